# SPDX-License-Identifier: Apache-2.0
"""Three ways to one handler: by value, by a raw socket through WSGI, and likewise through ASGI.

A test that takes the fixture ``door`` runs three times. Where a way cannot do something (no
trailers in ASGI), its attributes say so and the test asserts what happens instead.
"""

from __future__ import annotations

import socket
import struct
from typing import Any
from contextlib import contextmanager
from dataclasses import field, dataclass
from collections.abc import Mapping, Iterator

from tests.web.servers import PATIENCE_SECONDS, asgi_server, wsgi_server
from libcloud_s3mpu.web.asgi import asgi_app
from libcloud_s3mpu.web.wsgi import wsgi_app
from libcloud_s3mpu.web.messages import Request, InputBody

HOST = "files.example:8080"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; names of headers in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(default=b"")

    def __getitem__(self, name: str) -> str:
        return self.headers[name.lower()]

    def __contains__(self, name: str) -> bool:
        return name.lower() in self.headers


@dataclass(frozen=True, slots=True)
class Sent:
    """A body: its bytes, and how they are sent.

    :param chunks: sizes of the chunks of a chunked body; None sends it by its length.
    :param cut: ``fin`` or ``rst``: end the connection after the data, which the length says is not
        the end of the body.
    """

    data: bytes = b""
    chunks: tuple[int, ...] | None = None
    trailers: Mapping[str, str] = field(default_factory=dict)
    cut: str | None = None
    length: int | None = None

    @property
    def is_chunked(self) -> bool:
        return self.chunks is not None

    def pieces(self) -> Iterator[bytes]:
        at = 0
        for size in [*(self.chunks or ()), len(self.data)]:
            if at < len(self.data):
                yield self.data[at : at + size]
                at += size


class ValueDoor:
    """The handler itself."""

    name = "values"
    gives_trailers = True

    def __init__(self, handler: Any) -> None:
        self._handler = handler

    def send(
        self, method: str, target: str, headers: Mapping[str, str], sent: Sent | None = None
    ) -> Answer | None:
        from urllib.parse import unquote

        sent = sent or Sent()
        path, _, query = target.partition("?")
        named = {name.lower(): value for name, value in {"Host": HOST, **headers}.items()}
        if sent.is_chunked:
            named["transfer-encoding"] = "chunked"
        pieces = sent.pieces()
        rest = b""

        def read(size: int) -> bytes:
            nonlocal rest
            rest = rest or next(pieces, b"")
            data, rest = rest[:size], rest[size:]
            if not data and sent.cut:
                raise ConnectionResetError("cut")
            return data

        length = None if sent.is_chunked else len(sent.data)
        if sent.length is not None:
            length = sent.length
        request = Request(
            method=method,
            path=unquote(path),
            query=query,
            headers=named,
            body=InputBody(read, length),
            trailers=lambda: {n.lower(): v for n, v in sent.trailers.items()},
            gives_trailers=True,
        )
        response = self._handler.handle(request)
        body = b"".join(response.body)
        told = {name.lower(): value for name, value in response.headers}
        assert len(told) == len(response.headers), response.headers
        if method == "HEAD" or response.status == 204:
            assert body == b""
        elif "content-length" in told:
            assert len(body) == int(told["content-length"])
        return None if sent.cut else Answer(response.status, told, body)


class SocketDoor:
    """A server behind a socket, spoken to byte by byte."""

    def __init__(self, name: str, port: int, *, gives_trailers: bool) -> None:
        self.name = name
        self.port = port
        self.gives_trailers = gives_trailers

    def connect(self) -> Connection:
        return Connection(self.port)

    def send(
        self, method: str, target: str, headers: Mapping[str, str], sent: Sent | None = None
    ) -> Answer | None:
        with self.connect() as connection:
            return connection.send(method, target, headers, sent)


class Connection:
    """One connection; may be used for several requests."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = self.socket.makefile("rb")

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *unused: object) -> None:
        self._file.close()
        self.socket.close()

    def send(
        self, method: str, target: str, headers: Mapping[str, str], sent: Sent | None = None
    ) -> Answer | None:
        sent = sent or Sent()
        self.socket.sendall(head_of(method, target, headers, sent))
        try:
            self.send_body(sent)
        except (BrokenPipeError, ConnectionResetError):
            pass  # It was refused before its end; the answer may still be there.
        if sent.cut == "rst":
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._file.close()
            self.socket.close()
            return None
        if sent.cut == "fin":
            self.socket.shutdown(socket.SHUT_WR)
        return self.answer(method)

    def send_body(self, sent: Sent) -> None:
        if not sent.is_chunked:
            self.socket.sendall(sent.data)
            return
        for piece in sent.pieces():
            self.socket.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
        if not sent.cut:
            trailers = "".join(f"{name}: {value}\r\n" for name, value in sent.trailers.items())
            self.socket.sendall(f"0\r\n{trailers}\r\n".encode())

    def answer(self, method: str = "GET") -> Answer:
        status = int(self._file.readline().split(b" ")[1])
        headers: dict[str, str] = {}
        while (line := self._file.readline()) not in (b"\r\n", b""):
            name, _, value = line.decode("latin-1").partition(":")
            assert name.lower() not in headers, f"{name} twice"
            headers[name.lower()] = value.strip()
        body = b""
        if method != "HEAD" and status not in (204, 100):
            body = self._file.read(int(headers.get("content-length", 0)))
        return Answer(status, headers, body)


def head_of(method: str, target: str, headers: Mapping[str, str], sent: Sent) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", f"Host: {headers.get('Host', HOST)}"]
    lines += [f"{name}: {value}" for name, value in headers.items() if name != "Host"]
    length = len(sent.data) if sent.length is None else sent.length
    if sent.is_chunked:
        lines.append("Transfer-Encoding: chunked")
    elif length or method in ("POST", "PATCH"):
        lines.append(f"Content-Length: {length}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


@contextmanager
def open_door(kind: str, handler: Any) -> Iterator[Any]:
    """Give a door of this kind to the handler: ``values``, ``wsgi`` or ``asgi``."""
    if kind == "values":
        yield ValueDoor(handler)
    elif kind == "wsgi":
        with wsgi_server(wsgi_app(handler)) as port:
            yield SocketDoor(kind, port, gives_trailers=True)
    else:
        with asgi_server(asgi_app(handler, max_threads=80, idle_seconds=5.0)) as port:
            yield SocketDoor(kind, port, gives_trailers=False)


DOORS = ("values", "wsgi", "asgi")
