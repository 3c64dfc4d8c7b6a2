# SPDX-License-Identifier: Apache-2.0
"""``s3mpu serve``: a tus server for one bucket, on this machine, without an app around it.

Python's own WSGI server, a thread for each connection: enough for a few people, a test, a pipe
between two machines. There is no log-in: whoever reaches the port may upload, so it listens on this
machine alone unless told otherwise. Apps mount :class:`~.web.tus.TusHandler` in a real server.
"""

from __future__ import annotations

import sys
from typing import Any
from threading import Thread
from contextlib import suppress
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIServer, WSGIRequestHandler, make_server

import click
from libcloud.storage.base import Container

from .web.tus import TusHandler
from .web.wsgi import tus_wsgi
from .cli_words import S3Url
from .resumable import ResumableUploads, UploadNotFoundError
from .cli_service import Session, size, s3_url, positive_size, service_options

_DEFAULT_PREFIX = "uploads/"
#: Without a byte for so long, a client is taken for gone, in seconds; tusd has the same (v2.9).
_IDLE_SECONDS = 60


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away are no news; what the handler could not do is in its log."""


class _Requests(WSGIRequestHandler):
    timeout = _IDLE_SECONDS

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: paths are all that protects an upload."""

    def address_string(self) -> str:
        return str(self.client_address[0])  # Without asking a name server.


@click.command()
@service_options
@click.argument("where", metavar="s3://BUCKET[/PREFIX]", type=s3_url)
@click.option("--tus", "is_tus", is_flag=True, help="Speak tus 1.0.0 (the only protocol yet).")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=1080, show_default=True)
@click.option("--base-path", default="/files", show_default=True)
@click.option("--max-size", metavar="SIZE", type=size, help="Of one upload.")
@click.option("--part-size", metavar="SIZE", type=positive_size, default="8MiB", show_default=True)
@click.option("--expires", metavar="SECONDS", type=click.IntRange(1), help="Of what is unfinished.")
@click.pass_obj
def serve(
    session: Session,
    where: S3Url,
    is_tus: bool,
    host: str,
    port: int,
    base_path: str,
    max_size: int | None,
    part_size: int,
    expires: int | None,
) -> int:
    """Take resumable uploads into a bucket, until Ctrl-C.

    Nobody is asked who they are. Objects are named s3://BUCKET/PREFIX/ID; PREFIX is "uploads/"
    unless given.
    """
    if not is_tus:
        raise click.UsageError("say which protocol: --tus")
    if not base_path.startswith("/"):
        raise click.UsageError("--base-path begins with a slash")
    driver = session.driver()
    uploads = ResumableUploads(
        driver,
        Container(where.bucket, {}, driver),
        prefix=where.key or _DEFAULT_PREFIX,
        part=part_size,
        expires=expires,
    )
    _check_bucket(uploads)
    handler = TusHandler(uploads, base_path, max_size_bytes=max_size)
    try:
        server = make_server(host, port, tus_wsgi(handler), _Server, _Requests)
    except OSError as error:
        raise click.UsageError(f"cannot listen on {host}:{port}: {error.strerror}") from error
    session.out(f"tus 1.0.0 at http://{host}:{server.server_port}{base_path}")
    sys.stdout.flush()
    _until_stopped(server)
    return 0


def _check_bucket(uploads: ResumableUploads) -> None:
    """Ask for one upload: a bucket that is not there, or keys that are none, are said at once."""
    with suppress(UploadNotFoundError):
        uploads.get("is-anybody+there")


def _until_stopped(server: _Server) -> None:
    """Serve in a thread, so that a signal finds the main one waiting; requests end with it."""
    thread = Thread(target=server.serve_forever, name="s3mpu-serve", daemon=True)
    thread.start()
    try:
        while thread.is_alive():
            thread.join(1.0)
    finally:
        server.shutdown()
        server.server_close()


__all__ = ["serve"]
