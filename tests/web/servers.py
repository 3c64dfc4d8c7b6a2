# SPDX-License-Identifier: Apache-2.0
"""Two tiny HTTP/1.1 servers for raw sockets: one runs a WSGI app, one an ASGI app.

They do what the tests need and real servers do: chunked bodies, trailers (the WSGI one), 100
Continue when the app reads, keep-alive, and a close after a body that was not read. One thread for
each connection of the first; one event loop in a thread for the second.
"""

from __future__ import annotations

import asyncio
import threading
import socketserver
from typing import Any, BinaryIO
from contextlib import suppress, contextmanager
from urllib.parse import unquote_to_bytes
from collections.abc import Iterator

PATIENCE_SECONDS = 10.0


def parse_head(head: bytes) -> tuple[str, str, str, list[tuple[str, str]]]:
    """Give method, raw path, query and headers of a request's head."""
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    method, target, _ = first.split(" ")
    path, _, query = target.partition("?")
    pairs = [line.partition(":") for line in lines]
    return method, path, query, [(name.strip(), value.strip()) for name, _, value in pairs]


class Input:
    """``wsgi.input``: a body by length or in chunks; raises where it is cut."""

    def __init__(self, file: BinaryIO, headers: dict[str, str], go_on: Any) -> None:
        self._file = file
        self._go_on = go_on if headers.get("expect") == "100-continue" else None
        self._is_chunked = headers.get("transfer-encoding", "") == "chunked"
        self._left = 0 if self._is_chunked else int(headers.get("content-length") or 0)
        self._is_over = not self._is_chunked and not self._left
        self.trailers: dict[str, str] = {}

    @property
    def is_read(self) -> bool:
        return self._is_over

    def read1(self, size: int = -1) -> bytes:
        if self._is_over or size == 0:
            return b""
        if self._go_on is not None:
            self._go_on()
            self._go_on = None
        if not self._left:
            self._begin_chunk()
            if self._is_over:
                return b""
        data = self._file.read1(min(self._left, size if size > 0 else 65536))  # type: ignore[attr-defined]
        if not data:
            raise ConnectionError("cut")
        self._left -= len(data)
        if not self._left:
            if self._is_chunked:
                self._file.readline()
            else:
                self._is_over = True
        return data

    read = read1

    def _begin_chunk(self) -> None:
        line = self._file.readline()
        if not line.endswith(b"\n"):
            raise ConnectionError("cut")
        self._left = int(line.split(b";")[0], 16)
        if self._left:
            return
        self._is_over = True
        while (line := self._file.readline()) not in (b"\r\n", b""):
            name, _, value = line.decode("latin-1").partition(":")
            self.trailers[name.strip()] = value.strip()


class _Handler(socketserver.StreamRequestHandler):
    timeout = PATIENCE_SECONDS

    def handle(self) -> None:
        with suppress(OSError):
            while self._one():
                pass

    def _one(self) -> bool:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = self.rfile.readline(65536)
            if not line:
                return False
            head += line
        method, path, query, pairs = parse_head(head)
        headers = {name.lower(): value for name, value in pairs}
        body = Input(
            self.rfile,  # type: ignore[arg-type]
            headers,
            lambda: self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n"),
        )
        environ: dict[str, Any] = {
            "REQUEST_METHOD": method,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
            "QUERY_STRING": query,
            "SERVER_PROTOCOL": "HTTP/1.1",
            "wsgi.url_scheme": "http",
            "wsgi.input": body,
            "wsgi.input_terminated": True,
        }
        if self.server.gives_trailers:  # type: ignore[attr-defined]
            environ["wsgi.trailers"] = lambda _: body.trailers
        for name, value in pairs:
            key = name.upper().replace("-", "_")
            environ[key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"] = value
        started: list[Any] = []
        result = self.server.app(environ, lambda *answer: started.append(answer))  # type: ignore[attr-defined]
        try:
            data = b"".join(result)
            status, told = started[0]
            keeps = body.is_read or headers.get("expect") == "100-continue"
            lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in told)]
            names = {name.lower() for name, _ in told}
            if "content-length" not in names and not status.startswith("204") and method != "HEAD":
                lines.append(f"Content-Length: {len(data)}")
            if not body.is_read:
                lines.append("Connection: close")
            self.wfile.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
            if method != "HEAD":
                self.wfile.write(data)
        finally:
            close = getattr(result, "close", None)
            if close is not None:
                close()
        return keeps and body.is_read


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        import sys

        self.errors.append(sys.exception() if hasattr(sys, "exception") else sys.exc_info()[1])  # type: ignore[attr-defined]


@contextmanager
def wsgi_server(app: Any, *, gives_trailers: bool = True) -> Iterator[int]:
    """Serve a WSGI app; give the port. An error of the app itself fails the test."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.app, server.gives_trailers, server.errors = app, gives_trailers, []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join(PATIENCE_SECONDS)
    assert server.errors == []  # type: ignore[attr-defined]


# -- ASGI --------------------------------------------------------------------------------------


class _Exchange:
    """One request of an ASGI app."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._left = 0
        self._is_chunked = False
        self._expects = False
        self._is_head = False
        self.is_read = False

    async def run(self, app: Any) -> bool:
        try:
            head = await self._reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, OSError):
            return False
        method, path, query, pairs = parse_head(head)
        headers = {name.lower(): value for name, value in pairs}
        self._is_head = method == "HEAD"
        self._expects = headers.get("expect") == "100-continue"
        self._is_chunked = headers.get("transfer-encoding") == "chunked"
        self._left = int(headers.get("content-length") or 0)
        scope = {
            "type": "http",
            "method": method,
            "path": unquote_to_bytes(path).decode("utf-8", "surrogateescape"),
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "scheme": "http",
            "headers": [(n.lower().encode(), v.encode("latin-1")) for n, v in pairs],
        }
        with suppress(OSError):
            await app(scope, self.receive, self.send)
        return self.is_read

    async def receive(self) -> dict[str, Any]:
        if self.is_read:
            with suppress(OSError):
                # Any byte now is the next request's: these tests send one after the other.
                await self._reader._wait_for_data("receive") if not self._reader._buffer else None  # type: ignore[attr-defined]
            if self._reader.at_eof():
                return {"type": "http.disconnect"}
            await asyncio.Event().wait()
        if self._expects:
            self._expects = False
            self._writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        try:
            if self._is_chunked and not self._left:
                self._left = int((await self._reader.readuntil(b"\n")).split(b";")[0], 16)
                if not self._left:
                    while await self._reader.readuntil(b"\n") != b"\r\n":
                        pass
                    return self._message(b"", is_last=True)
            if not self._left:
                return self._message(b"", is_last=True)
            data = await self._reader.read(min(self._left, 65536))
            if not data:
                return {"type": "http.disconnect"}
            self._left -= len(data)
            if self._is_chunked and not self._left:
                await self._reader.readuntil(b"\n")
        except (asyncio.IncompleteReadError, OSError):
            return {"type": "http.disconnect"}
        return self._message(data, is_last=not self._left and not self._is_chunked)

    def _message(self, data: bytes, *, is_last: bool) -> dict[str, Any]:
        self.is_read = is_last
        return {"type": "http.request", "body": data, "more_body": not is_last}

    async def send(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            lines = [f"HTTP/1.1 {message['status']} Said".encode()]
            lines += [name + b": " + value for name, value in message["headers"]]
            names = {name for name, _ in message["headers"]}
            if b"content-length" not in names and message["status"] != 204 and not self._is_head:
                lines.append(b"Content-Length: 0")
            if not self.is_read:
                lines.append(b"Connection: close")
            self._writer.write(b"\r\n".join([*lines, b"", b""]))
        elif not self._is_head:
            self._writer.write(message["body"])
        await self._writer.drain()


@contextmanager
def asgi_server(app: Any) -> Iterator[int]:
    """Serve an ASGI app; give the port."""
    started = threading.Event()
    state: dict[str, Any] = {}

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await _Exchange(reader, writer).run(app):
                pass
        finally:
            writer.close()

    async def main() -> None:
        server = await asyncio.start_server(connection, "127.0.0.1", 0)
        state["port"] = server.sockets[0].getsockname()[1]
        state["loop"], state["stop"] = asyncio.get_running_loop(), asyncio.Event()
        started.set()
        async with server:
            await state["stop"].wait()
            server.close()
            others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

    thread = threading.Thread(target=lambda: asyncio.run(main()), daemon=True)
    thread.start()
    assert started.wait(PATIENCE_SECONDS)
    try:
        yield state["port"]
    finally:
        state["loop"].call_soon_threadsafe(state["stop"].set)
        thread.join(PATIENCE_SECONDS)
        app.close()
