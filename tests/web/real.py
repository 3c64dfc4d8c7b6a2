# SPDX-License-Identifier: Apache-2.0
"""Real servers as child processes, on a port of their own."""

from __future__ import annotations

import os
import sys
import time
import shutil
import socket
import tempfile
import subprocess
from typing import BinaryIO
from pathlib import Path
from contextlib import suppress, contextmanager
from importlib.util import find_spec
from collections.abc import Iterator

import pytest

ROOT = Path(__file__).resolve().parents[2]
_START_SECONDS = 30.0

#: Name -> (package, kind of app, arguments after ``python -m``).
SERVERS = {
    "gunicorn": (
        "gunicorn",
        "wsgi",
        "gunicorn -w 2 -k gthread --threads 8 -b 127.0.0.1:{port} tests.web.served:app",
    ),
    "gunicorn-sync": (
        "gunicorn",
        "wsgi",
        "gunicorn -w 3 -b 127.0.0.1:{port} tests.web.served:app",
    ),
    "waitress": (
        "waitress",
        "wsgi",
        "waitress --listen=127.0.0.1:{port} --threads=8 tests.web.served:app",
    ),
    "uvicorn": (
        "uvicorn",
        "asgi",
        "uvicorn --port {port} --workers 1 --log-level warning tests.web.served:app",
    ),
    "hypercorn": ("hypercorn", "asgi", "hypercorn -b 127.0.0.1:{port} tests.web.served:app"),
    "daphne": ("daphne", "asgi", "daphne -b 127.0.0.1 -p {port} tests.web.served:app"),
    "granian": (
        "granian",
        "asgi",
        "granian --interface asgi --host 127.0.0.1 --port {port} tests.web.served:app",
    ),
    "granian-wsgi": (
        "granian",
        "wsgi",
        "granian --interface wsgi --blocking-threads 8 --host 127.0.0.1 --port {port} "
        "tests.web.served:app",
    ),
    "gunicorn-gevent": (
        "gunicorn gevent",
        "wsgi",
        "gunicorn -w 2 -k gevent -b 127.0.0.1:{port} tests.web.served:app",
    ),
    "cheroot": ("cheroot", "wsgi", "cheroot --bind 127.0.0.1:{port} tests.web.served:app"),
    **{
        name: (package, "wsgi", f"tests.web.launch {name} {{port}}")
        for name, package in (
            ("wsgiref", "wsgiref"),
            ("werkzeug", "werkzeug"),
            ("gevent", "gevent"),
            ("tornado", "tornado"),
            ("twisted", "twisted"),
            ("uwsgi", "pyuwsgi"),
            ("bjoern", "bjoern"),
        )
    },
}
#: Call the app when the whole body is there: of a broken one it never hears, and none stalls.
GATHERS = frozenset({"waitress", "daphne", "tornado", "twisted"})
#: Raise on a cut body, with up to a piece (64 KiB) of it in their hands.
LOSES_A_PIECE = frozenset({"gevent", "uwsgi"})
#: Pass chunked bodies on as they are, or without a word on where they end.
NO_CHUNKS = frozenset({"tornado", "twisted", "uwsgi"})


def need(packages: str) -> None:
    for package in packages.split():
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed")


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def real_server(name: str, endpoint: str, app: str | None = None, part: int = 5) -> Iterator[str]:
    """Run a server; give its URL. Its process group ends with the block."""
    package, kind, arguments = SERVERS[name]
    need(package)
    port = free_port()
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "TEST_APP": app or kind}
    environ |= {"TEST_S3": endpoint, "TEST_PART": str(part)}
    command = [sys.executable, "-m", *arguments.format(port=port).split()]
    with tempfile.TemporaryFile() as log:  # A pipe that nobody reads stops who logs each request.
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environ,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            _wait_for(port, process, log)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, 9)
                process.wait()


def _wait_for(port: int, process: subprocess.Popen[bytes], log: BinaryIO) -> None:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            log.seek(0)
            pytest.fail(f"the server ended: {log.read()[-2000:].decode(errors='replace')}")
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    pytest.fail("the server did not start")


def node_modules() -> Path | None:
    """Give where tus-js-client is: in the folder S3MPU_NODE_MODULES, or the project's; or None."""
    if shutil.which("node") is None:
        return None
    named = os.environ.get("S3MPU_NODE_MODULES")
    for folder in [Path(named)] if named else [ROOT / "node_modules"]:
        if (folder / "tus-js-client").is_dir():
            return folder
    return None
