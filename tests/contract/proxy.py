# SPDX-License-Identifier: Apache-2.0
"""A plain-http proxy on loopback, and the three roads that a request may take to a server.

The proxy passes on what it got, byte for byte, and counts. It judges nothing.
"""

from __future__ import annotations

import threading
import http.client
from typing import Any
from contextlib import contextmanager
from http.server import ThreadingHTTPServer, BaseHTTPRequestHandler
from urllib.parse import urlsplit
from collections.abc import Iterator

#: Headers that are about one connection, not about the message (RFC 9110, 7.6.1).
_HOP_BY_HOP = frozenset({"connection", "proxy-connection", "keep-alive", "te", "upgrade"})
_TIMEOUT_SECONDS = 60.0


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _pass_on(self) -> None:
        parts = urlsplit(self.path)
        # From the request line itself: urlsplit would drop the empty query of "/bucket?".
        _, _, target = self.path.partition("://")[2].partition("/")
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        connection = http.client.HTTPConnection(
            parts.hostname or "", parts.port or 80, timeout=_TIMEOUT_SECONDS
        )
        try:
            connection.putrequest(
                self.command, f"/{target}", skip_host=True, skip_accept_encoding=True
            )
            for name, value in self.headers.items():
                if name.lower() not in _HOP_BY_HOP:
                    connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            data = answer.read()
            self.send_response_only(answer.status, answer.reason)
            for name, value in answer.getheaders():
                if name.lower() not in (_HOP_BY_HOP | {"transfer-encoding", "content-length"}):
                    self.send_header(name, value)
            length = answer.getheader("Content-Length") if self.command == "HEAD" else None
            if answer.status not in (204, 304):
                self.send_header("Content-Length", length or str(len(data)))
            self.end_headers()
            self.wfile.write(data)
        finally:
            connection.close()
        self.server.passed += 1  # type: ignore[attr-defined]

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _pass_on

    def log_message(self, format: str, *args: Any) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    passed = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # A client that hung up; what it missed, it says itself.


@contextmanager
def http_proxy() -> Iterator[Any]:
    """Run the proxy; gives it, with ``url`` and how many requests it has ``passed``."""
    server = _Server(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()
