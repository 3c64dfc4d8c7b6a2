# SPDX-License-Identifier: Apache-2.0
"""The app of the tests: the page with Uppy, and the handlers under test, on a port of its own."""

from __future__ import annotations

import threading
from typing import Any
from pathlib import Path
from collections.abc import Iterable
from wsgiref.simple_server import make_server

from tests.browser.packages import UPPY, PACKAGES
from libcloud_s3mpu.web.wsgi import wsgi_app
from libcloud_s3mpu.cli.serve import _Server, _Requests

_HTML = b'<!doctype html><meta charset="utf-8"><script type="module" src="/page.mjs"></script>'
_BLOCK = bytes(((i * i >> 3) ^ i) & 255 for i in range(65537))


def data_of(size: int) -> bytes:
    """Give what the page's ``bytes(size)`` gives."""
    return (_BLOCK * (size // len(_BLOCK) + 1))[:size]


class App:
    """Serves the page at ``/`` and each handler below its name; a context manager.

    ``body_bytes`` counts what clients sent to the app itself.
    """

    def __init__(self) -> None:
        self.handlers: dict[str, Any] = {}
        self.body_bytes = 0
        self.files = {
            "page.mjs": Path(__file__).with_name("uppy_page.mjs").read_bytes(),
            **{PACKAGES.bundle(each).name: PACKAGES.bundle(each).read_bytes() for each in UPPY},
        }
        self._server = make_server("127.0.0.1", 0, self._answer, _Server, _Requests)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> App:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _answer(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path = environ["PATH_INFO"].lstrip("/")
        self.body_bytes += int(environ.get("CONTENT_LENGTH") or 0)
        handler = self.handlers.get(path.partition("/")[0])
        if handler is not None:
            return wsgi_app(handler)(environ, start_response)
        found = _HTML if not path else self.files.get(path)
        if found is None:
            start_response("404 Not Found", [("Content-Length", "0")])
            return []
        kind = "text/javascript" if path else "text/html"
        start_response("200 OK", [("Content-Type", kind), ("Content-Length", str(len(found)))])
        return [found]
