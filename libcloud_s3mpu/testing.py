# SPDX-License-Identifier: Apache-2.0
"""An S3 server for tests and demos: started beside the app, gone when the ``with`` block ends.

Here is what finds, starts and stops that server (MiniStack, or moto where only moto is installed).
No S3 logic lives here, and no module of the package imports this one. Read ``driver.py`` next.

.. code-block:: python

    from libcloud_s3mpu.testing import embedded_server

    with embedded_server() as server:
        container = server.create_bucket("backups")
        server.driver().upload_object_via_stream(iter([b"hello"]), container, "greeting")

Both keep every object in memory: a demo of 2 GiB costs the server process 2 GiB. They run in a
process of their own because MiniStack pins an exact botocore; neither is imported into the app.

==============  ==========================================================================
``kind``        what the server lets pass that AWS refuses (seen 2026-11)
==============  ==========================================================================
``ministack``   (1.5.33) parts under 5 MiB, parts in any order, a body that does not match
                its signed hash. It does check signatures, Content-MD5 and part checksums.
``moto``        (5.2.5) all signatures and keys, Content-MD5, every checksum, parts in any
                order, an upload id of another key. A green test with it proves little.
==============  ==========================================================================

This file is also what runs inside the server's process, by path (see ``_inside``): at import it
needs the standard library only.
"""

from __future__ import annotations

import os
import re
import sys
import hmac
import json
import time
import atexit
import select
import shutil
import socket
import hashlib
import secrets
import tempfile
import importlib
import contextlib
import subprocess
import http.client
import urllib.parse
import importlib.metadata
from typing import Any, NoReturn
from pathlib import Path
from dataclasses import field, dataclass
from collections.abc import Iterator

__all__ = ["EmbeddedServer", "EmbeddedServerError", "embedded_server", "s3_server"]  # noqa: F822

_HOST = "127.0.0.1"
_REGION = "us-east-1"
_SETTLE_SECONDS = 10.0  # for a killed process to be reaped
_POLL_SECONDS = 0.02
_LOG_TAIL_LINES = 25
_RUN_NAME = "libcloud_s3mpu_server"
_BOOT = f"import runpy, sys; runpy.run_path(sys.argv[1], run_name={_RUN_NAME!r})"
# The distributions that tell that a kind is installed, best kind first. moto without its [server]
# extra has no flask.
_KINDS = {"ministack": ("ministack", "hypercorn"), "moto": ("moto", "flask", "flask-cors")}
# What a Python process needs of the environment to start; AWS_*, DOCKER_HOST and the like stay out.
_PASSED = ("PATH", "HOME", "USERPROFILE", "SYSTEMROOT", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
_ALL = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}'
#: What an error says that found no server; the command line has words of its own for it.
ADVICE = (
    "run pip install 'libcloud_s3mpu[demo]', which brings MiniStack, or name with python= the "
    "interpreter of an environment that has it (moto[s3,server] serves too, with fewer checks)"
)


class EmbeddedServerError(RuntimeError):
    """No server is installed where it was looked for, or it did not start; the text says which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedServer:
    """A running server: where it listens, and the keys of a user who may do all of S3.

    ``checks_signatures`` was tried on this very process, not assumed from ``kind``.
    """

    host: str
    port: int
    access_key: str
    secret_key: str = field(repr=False)
    region: str
    kind: str
    version: str
    pid: int
    checks_signatures: bool

    @property
    def endpoint_url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def driver(self, **kwargs: Any) -> Any:
        """Give a new ``s3_multipart`` driver connected to this server.

        :param kwargs: Passed to the driver class, over the ones that connect it.
        """
        from libcloud.storage.providers import get_driver

        where = {"secure": False, "host": self.host, "port": self.port, "region": self.region}
        return get_driver("s3_multipart")(self.access_key, self.secret_key, **{**where, **kwargs})

    def create_bucket(self, name: str) -> Any:
        """Make a bucket and give the libcloud container of it, bound to a new driver."""
        return self.driver().create_container(name)


@contextlib.contextmanager
def embedded_server(
    *,
    python: str | os.PathLike[str] | None = None,
    kind: str | None = None,
    timeout_seconds: float = 30.0,
) -> Iterator[EmbeddedServer]:
    """Run a server for the time of the block; afterwards no process, port or file of it is left.

    The same holds after Ctrl-C, after ``sys.exit`` and when this process is killed: the server
    ends itself when its parent is gone.

    :param python: An interpreter to look in for the server, when it is not this one.
    :param kind: ``"ministack"`` or ``"moto"``; by default the first of them that is installed.
    :param timeout_seconds: For the server to answer, all in all.
    :raises EmbeddedServerError: Nothing is installed, or the server did not start in time.
    """
    if kind is not None and kind not in _KINDS:
        raise ValueError(f"kind must be one of {', '.join(_KINDS)}, not {kind!r}")
    found = os.fspath(python or sys.executable)
    if os.path.dirname(found):  # The server runs in a folder of its own; a link may make a venv.
        found = os.path.abspath(found)
    try:
        process = _Process(found, kind or "any", own_path=python is None)
    except OSError as error:
        raise EmbeddedServerError(f"could not run {found}: {error}") from error
    try:
        yield process.ready(deadline=time.monotonic() + timeout_seconds)
    finally:
        process.stop()


class _Process:
    """The server's process and the folder it may write to; owned by the process that made it."""

    def __init__(self, python: str, kind: str, *, own_path: bool) -> None:
        self._owner = os.getpid()
        self._root_keys = "root" + secrets.token_hex(8), secrets.token_urlsafe(30)
        self._folder = Path(tempfile.mkdtemp(prefix="s3mpu-server-"))
        try:
            self._popen = self._start(python, kind, own_path=own_path)
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        atexit.register(self.stop)

    def _start(self, python: str, kind: str, *, own_path: bool) -> subprocess.Popen[bytes]:
        # A session of its own keeps a Ctrl-C in the terminal for the app, which then stops us.
        with open(self._folder / "server.log", "wb") as log:
            return subprocess.Popen(
                [python, "-c", _BOOT, __file__, kind],
                env=self._environment(own_path=own_path),
                cwd=self._folder,
                stdin=subprocess.PIPE,  # closes when this process ends, however it ends
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _environment(self, *, own_path: bool) -> dict[str, str]:
        environment = {name: os.environ[name] for name in _PASSED if name in os.environ}
        if own_path:  # the server is where this interpreter would import it from
            environment["PYTHONPATH"] = os.pathsep.join(p or os.getcwd() for p in sys.path)
        return environment | {
            "TMPDIR": str(self._folder),
            "TEMP": str(self._folder),
            "AWS_ACCESS_KEY_ID": self._root_keys[0],
            "AWS_SECRET_ACCESS_KEY": self._root_keys[1],
            # MiniStack 1.5.33: signatures are checked only with AUTH; port 8883 is not ours to
            # take; with a Docker daemon in reach it would remove containers of other MiniStacks.
            "AUTH": "true",
            "SERVICES": "s3,iam,sts",
            "LOG_LEVEL": "WARNING",
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            "DOCKER_HOST": f"unix://{self._folder}/no-docker.sock",
        }

    def ready(self, *, deadline: float) -> EmbeddedServer:
        told = self._told(deadline)
        port, keys = int(told["port"]), self._root_keys
        try:
            if told["kind"] == "ministack":
                # It never checks the root's signatures, only those of its IAM users.
                keys = _make_user(port, keys, deadline)
            forged, _ = _send(port, (keys[0], "not" + keys[1]), deadline)
            status, _ = _send(port, keys, deadline)
        except (OSError, http.client.HTTPException) as error:
            raise self._failed(f"could not be made ready: {error!r}") from error
        if status != 200:
            raise self._failed(f"answered {status} to a list of the buckets")
        return EmbeddedServer(
            host=_HOST,
            port=port,
            access_key=keys[0],
            secret_key=keys[1],
            region=_REGION,
            kind=told["kind"],
            version=told["version"],
            pid=self._popen.pid,
            checks_signatures=forged == 403,
        )

    def _told(self, deadline: float) -> dict[str, str]:
        """Wait for the file in which the server says what it is and where it listens."""
        while time.monotonic() < deadline:
            ended = self._popen.poll() is not None
            with contextlib.suppress(FileNotFoundError):
                told: dict[str, str] = json.loads((self._folder / "told").read_text())
                if "error" in told:
                    raise EmbeddedServerError(told["error"])
                return told
            if ended:
                raise self._failed(f"ended while starting, with code {self._popen.returncode}")
            time.sleep(_POLL_SECONDS)
        raise self._failed("was not ready in time")

    def _failed(self, what: str) -> EmbeddedServerError:
        log = (self._folder / "server.log").read_text(errors="replace").splitlines()
        tail = "\n".join(log[-_LOG_TAIL_LINES:]) or "(nothing)"
        return EmbeddedServerError(f"the embedded S3 server {what}; the end of its log:\n{tail}")

    def stop(self) -> None:
        """End the process and remove its folder; a forked copy of the owner does nothing."""
        if os.getpid() != self._owner:
            return
        # Nothing is kept, so there is nothing to save: no time for a polite end.
        self._popen.kill()
        self._popen.wait(_SETTLE_SECONDS)
        if self._popen.stdin:
            self._popen.stdin.close()
        shutil.rmtree(self._folder, ignore_errors=True)
        atexit.unregister(self.stop)


def _make_user(port: int, root: tuple[str, str], deadline: float) -> tuple[str, str]:
    """Make an IAM user who may do all of S3; give the keys."""
    policy = {"PolicyName": "s3", "PolicyDocument": _ALL}
    for action, more in (("CreateUser", {}), ("PutUserPolicy", policy), ("CreateAccessKey", {})):
        form = {"Action": action, "Version": "2010-05-08", "UserName": "embedded", **more}
        body = urllib.parse.urlencode(form)
        status, text = _send(port, root, deadline, service="iam", body=body)
        if status != 200:
            raise http.client.HTTPException(f"{action} answered {status}: {text[:300]}")
    found = re.search(r"<AccessKeyId>(.+?)<.*<SecretAccessKey>(.+?)<", text, re.DOTALL)
    if not found:
        raise http.client.HTTPException("CreateAccessKey answered without keys")
    return found[1], found[2]


def _send(
    port: int, keys: tuple[str, str], deadline: float, *, service: str = "s3", body: str = ""
) -> tuple[int, str]:
    """Send a form to a service, signed; without a form, ask S3 for the list of the buckets."""
    method = "POST" if body else "GET"
    headers = _signed(f"{_HOST}:{port}", keys, method, service, body)
    headers["Content-Type"] = "application/x-www-form-urlencoded"
    left = max(1.0, deadline - time.monotonic())
    with contextlib.closing(http.client.HTTPConnection(_HOST, port, timeout=left)) as connection:
        connection.request(method, "/", body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace")


def _signed(
    host: str, keys: tuple[str, str], method: str, service: str, body: str
) -> dict[str, str]:
    """Sign with version 4, on its own: the driver must not vouch for the server it is tried on."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    scope = (stamp[:8], _REGION, service, "aws4_request")
    body_hash = hashlib.sha256(body.encode()).hexdigest()
    headers = {"host": host, "x-amz-content-sha256": body_hash, "x-amz-date": stamp}
    names = ";".join(headers)
    lines = [f"{name}:{value}" for name, value in headers.items()]
    canonical = "\n".join([method, "/", "", *lines, "", names, body_hash])
    hashed = hashlib.sha256(canonical.encode()).hexdigest()
    text = "\n".join(["AWS4-HMAC-SHA256", stamp, "/".join(scope), hashed])
    key = b"AWS4" + keys[1].encode()
    for step in scope:
        key = hmac.digest(key, step.encode(), "sha256")
    credential = "/".join([keys[0], *scope])
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    headers["Authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}"
    )
    return headers


def __getattr__(name: str) -> Any:
    """Make the fixture ``s3_server`` when it is asked for; an app without pytest never asks.

    ``from libcloud_s3mpu.testing import s3_server`` in a conftest.py gives every test below it one
    :class:`EmbeddedServer` for the whole session.
    """
    if name != "s3_server":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import pytest

    @pytest.fixture(scope="session", name="s3_server")
    def s3_server() -> Iterator[EmbeddedServer]:
        with embedded_server() as server:
            yield server

    globals()[name] = s3_server
    return s3_server


def _inside(kind: str) -> None:
    """What ``_BOOT`` runs: serve with what is installed, until the parent is gone."""
    for name in _KINDS if kind == "any" else [kind]:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions = [importlib.metadata.version(package) for package in _KINDS[name]]
            serve = _serve_ministack if name == "ministack" else _serve_moto
            return serve({"kind": name, "version": versions[0]})
    what = "S3" if kind == "any" else kind
    _tell({"error": f"no {what} server is installed for {sys.executable}: {ADVICE}"})


def _serve_ministack(told: dict[str, str]) -> None:
    # Bound before MiniStack is imported: it reads its own port from the environment then. Doing
    # what its main() does, less the choice of the port, leaves no moment for another to take it.
    listener = socket.create_server((_HOST, 0), backlog=128)
    told["port"] = os.environ["GATEWAY_PORT"] = str(listener.getsockname()[1])

    import asyncio

    app = importlib.import_module("ministack.app").app
    config = importlib.import_module("hypercorn.config").Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.loglevel = "WARNING"
    config.keep_alive_timeout = 75

    async def until_the_parent_is_gone() -> None:
        await asyncio.to_thread(_wait_for_the_parent)
        _vanish()

    _tell(told)
    serve = importlib.import_module("hypercorn.asyncio").serve
    asyncio.run(serve(app, config, shutdown_trigger=until_the_parent_is_gone))


def _serve_moto(told: dict[str, str]) -> None:
    import logging

    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    threaded = importlib.import_module("moto.server").ThreadedMotoServer
    server = threaded(ip_address=_HOST, port=0, verbose=False)
    server.start()
    _tell(told | {"port": str(server.get_host_and_port()[1])})
    _wait_for_the_parent()
    _vanish()


def _tell(told: dict[str, str]) -> None:
    Path("told.new").write_text(json.dumps(told))
    os.replace("told.new", "told")  # the reader finds all of it or nothing


def _wait_for_the_parent() -> None:
    """Return when the parent closed our standard input or is gone.

    Both are watched: a process forked by the parent holds the pipe open after the parent's death.
    """
    if os.name != "posix":
        sys.stdin.buffer.read()
        return
    parent = os.getppid()
    while os.getppid() == parent:
        if select.select([0], [], [], 0.5)[0] and not os.read(0, 1):
            return


def _vanish() -> NoReturn:
    """The parent did not clean up, so we do: the working folder is the one made for us."""
    folder = Path.cwd()
    os.chdir(folder.parent)
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)


if __name__ == _RUN_NAME:
    _inside(sys.argv[2])
