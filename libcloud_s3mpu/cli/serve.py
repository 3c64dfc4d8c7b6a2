# SPDX-License-Identifier: Apache-2.0
"""``s3mpu serve``: a page to drop files on, or a tus server, for one bucket, without an app.

Python's own WSGI server, a thread for each connection: enough for a few people, a test, a pipe
between two machines. It listens on this machine alone unless told otherwise, and asks for a
password (:mod:`libcloud_s3mpu.web.login`) where others reach it. Apps mount
:class:`~libcloud_s3mpu.web.tus.TusHandler` or :class:`~libcloud_s3mpu.web.direct.DirectHandler` in
a real server.
"""

from __future__ import annotations

import socket
import secrets
from typing import Any
from threading import Thread
from contextlib import suppress
from socketserver import ThreadingMixIn
from collections.abc import Iterable
from wsgiref.simple_server import WSGIServer, WSGIRequestHandler, make_server

import click
from libcloud.storage.base import Container

from .words import S3Url
from .service import Session, size, s3_url, positive_size, service_options
from ..web.tus import TusHandler
from ..web.page import UploadPage
from ..web.wsgi import wsgi_app
from ..resumable import ResumableUploads, UploadNotFoundError
from ..web.login import Login
from ..protocol.errors import ServiceError, ContainerMissingError, ExpiredCredentialsError

_DEFAULT_PREFIX = "uploads/"
#: What a service says of keys that are none; other refusals may be meant for CORS alone.
_NO_KEYS = ("InvalidAccessKeyId", "SignatureDoesNotMatch")
#: Without a byte for so long, a client is taken for gone, in seconds; tusd has the same (v2.9).
_IDLE_SECONDS = 60
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_NAME, _PASSWORD = "s3mpu", "S3MPU_SERVE_PASSWORD"


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away are no news; what the handler could not do is in its log."""


class _Server6(_Server):
    address_family = socket.AF_INET6


class _Requests(WSGIRequestHandler):
    timeout = _IDLE_SECONDS

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: paths are all that protects an upload."""

    def address_string(self) -> str:
        return str(self.client_address[0])  # Without asking a name server.


@click.command()
@service_options
@click.argument("where", metavar="s3://BUCKET[/PREFIX]", type=s3_url)
@click.option("--tus", "is_tus", is_flag=True, help="Speak tus 1.0.0, and show no page.")
@click.option("--set-cors", "sets_cors", is_flag=True, help="Have the bucket let the page upload.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=1080, show_default=True)
@click.option(
    "--public-url",
    "public_urls",
    metavar="URL",
    multiple=True,
    help="How browsers reach the page, where that is another address; may be given again.",
)
@click.option(
    "--login/--no-login",
    "has_login",
    default=None,
    help="Ask for the password in S3MPU_SERVE_PASSWORD, or one that is made up and shown; "
    "the name is s3mpu. On unless only this machine can reach it.",
)
@click.option("--base-path", metavar="PATH", help="Of --tus; /files unless given.")
@click.option("--max-size", metavar="SIZE", type=size, help="Of one upload.")
@click.option("--part-size", metavar="SIZE", type=positive_size, default="8MiB", show_default=True)
@click.option(
    "--expires",
    metavar="SECONDS",
    type=click.IntRange(1),
    help="Of what is unfinished, with --tus.",
)
@click.pass_obj
def serve(
    session: Session,
    where: S3Url,
    is_tus: bool,
    sets_cors: bool,
    host: str,
    port: int,
    public_urls: tuple[str, ...],
    has_login: bool | None,
    base_path: str | None,
    max_size: int | None,
    part_size: int,
    expires: int | None,
) -> int:
    """Take uploads into a bucket, from a page to drop files on, or by tus.

    It runs until Ctrl-C. From the page files go straight to the bucket, whose CORS rule must allow
    that: see --set-cors. Objects are named s3://BUCKET/PREFIX/...; PREFIX is "uploads/" unless
    given.
    """
    if not is_tus and (base_path or expires):
        raise click.UsageError("--base-path and --expires are for --tus")
    if is_tus and (sets_cors or public_urls):
        raise click.UsageError("--set-cors and --public-url are for the page: tus needs no rule")
    origins = [_origin_of(each) for each in public_urls]
    base_path = base_path or "/files"
    if not host:
        raise click.UsageError("--host is empty: 0.0.0.0 listens on every address")
    if not base_path.startswith("/"):
        raise click.UsageError("--base-path begins with a slash")
    app = _App()
    try:
        server = make_server(host, port, app, _Server6 if ":" in host else _Server, _Requests)
    except OSError as error:
        text = f"cannot listen on {_in_url(host)}:{port}: {error.strerror}"
        raise click.UsageError(text) from error
    try:
        driver = session.driver()
        container = Container(where.bucket, {}, driver)
        prefix = where.key or _DEFAULT_PREFIX
        url = f"http://{_in_url(host)}:{server.server_port}"
        is_alone = host in _LOOPBACK
        if is_tus:
            uploads = ResumableUploads(
                driver, container, prefix=prefix, part=part_size, expires=expires
            )
            _check_bucket(uploads)
            handler: Any = TusHandler(uploads, base_path, max_size_bytes=max_size)
            said = f"tus 1.0.0 at {url}{base_path}"
        else:
            own = _hosts_of(host, server.server_port)
            origins += [f"http://{name}" for name in own]
            hosts = None if not is_alone else [each.partition("://")[2] for each in origins]
            _look_at_cors(session, driver, container, origins, sets_cors=sets_cors)
            handler = UploadPage(
                driver,
                container,
                prefix if prefix.endswith("/") else f"{prefix}/",
                max_size_bytes=max_size,
                part_size_bytes=max(part_size, driver.ex_limits.min_part_size),
                hosts=hosts,
            )
            said = f"a page to drop files on at {origins[0]}/"
        asks = has_login if has_login is not None else bool(public_urls) or not is_alone
        app.handler = _guarded(session, handler, asks=asks)
        session.out(said)
        session.flush()
        _until_stopped(server)
    finally:
        server.server_close()
    return 0


def _check_bucket(uploads: ResumableUploads) -> None:
    """Ask for one upload: a bucket that is not there, or keys that are none, are said at once."""
    with suppress(UploadNotFoundError):
        uploads.get("is-anybody+there")


class _App:
    """The WSGI app of a server that had to be bound before its handler could be made."""

    handler: Any

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        return wsgi_app(self.handler)(environ, start_response)


def _look_at_cors(
    session: Session, driver: Any, container: Container, origins: list[str], *, sets_cors: bool
) -> None:
    """Set the bucket's CORS rule if that was asked for, else say what is wrong with it."""
    if sets_cors:
        driver.ex_set_cors(container, origins)
        return
    try:
        problems = driver.ex_check_cors(container, origins)
    except ContainerMissingError:
        raise
    except ServiceError as error:
        if error.s3_code in _NO_KEYS or isinstance(error, ExpiredCredentialsError):
            raise
        # Not allowed to look, or a service without CORS.
        session.note(f"warning: cannot see whether the bucket lets pages upload: {error}")
        return
    for problem in problems:
        session.note(f"warning: {problem} (--set-cors adds a rule)")


def _hosts_of(host: str, port: int) -> list[str]:
    """Give the names, with the port, by which a browser finds what listens on ``host``."""
    names = [_in_url(host)]
    if host in _LOOPBACK:
        names.append("localhost")
    elif host in ("0.0.0.0", "::"):
        names = [socket.gethostname(), "localhost"]
    return [f"{name}:{port}" for name in dict.fromkeys(names)]


def _origin_of(url: str) -> str:
    """Give a page's origin as its browser sends it."""
    scheme, mark, rest = url.partition("://")
    host, _, path = rest.partition("/")
    if not mark or scheme not in ("http", "https") or not host or path:
        raise click.UsageError(f"--public-url reads https://HOST[:PORT], not {url!r}")
    return f"{scheme}://{host.lower()}"


def _guarded(session: Session, handler: Any, *, asks: bool) -> Any:
    """Put the login before a handler, and say what to log in with."""
    if not asks:
        return handler
    password = session.password(_PASSWORD)
    if password is None:
        password = secrets.token_urlsafe(12)
        session.note(f"log in as {_NAME} with the password {password} ({_PASSWORD} sets another)")
    return Login(handler, _NAME, password)


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _until_stopped(server: _Server) -> None:
    """Serve in a thread, so that a signal finds the main one waiting; requests end with it."""
    thread = Thread(target=server.serve_forever, name="s3mpu-serve", daemon=True)
    thread.start()
    try:
        while thread.is_alive():
            thread.join(1.0)
    finally:
        server.shutdown()


__all__ = ["serve"]
