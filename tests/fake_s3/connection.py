# SPDX-License-Identifier: Apache-2.0
"""One accepted connection: HTTP/1.1 read strictly, answered, and broken as a fault says.

No rule of S3 lives here. The standard library's handler is not used: it rewrites request targets
that start with ``//``, and a key may. The reader goes back to ``server.py``.
"""

from __future__ import annotations

import ssl
import socket
import struct
from http import HTTPStatus
from typing import NoReturn, Protocol
from contextlib import AbstractContextManager
from dataclasses import replace, dataclass

from tests.fake_s3.faults import Wire, Fault
from tests.fake_s3.messages import Request, Response

MAX_HEAD_BYTES = 64 * 1024
_BLOCK = 64 * 1024


class Gone(Exception):
    """The connection is over, by the client's will, a fault's or the server's."""


class Host(Protocol):
    """What a connection asks of its server; each method may be called from any thread."""

    @property
    def is_stopping(self) -> bool: ...

    def take_fault(self, request: Request) -> Fault | None: ...
    def handle(self, request: Request, fault: Fault | None) -> Response: ...
    def in_flight(self, request: Request) -> AbstractContextManager[None]: ...
    def pass_gate(self, request: Request) -> None: ...
    def stall(self, wire: Wire) -> None: ...
    def pause(self, seconds: float) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Head:
    request: Request
    length: int
    #: False for HTTP/1.0, ``Connection: close`` and bodies whose end is unknown.
    keeps_alive: bool
    expects_continue: bool


class _BadHead(Exception):
    """Not HTTP as this server wants it; the text is the answer's."""


class Connection:
    """Owned by one thread; :meth:`run` ends when the connection does."""

    def __init__(self, sock: socket.socket, host: Host) -> None:
        self._sock = sock
        self._host = host
        self._buffer = bytearray()

    def run(self) -> None:
        try:
            while self._serve_one():
                pass
        except (Gone, OSError):
            # ssl.SSLError is an OSError too. A client may vanish at any time: no news.
            pass
        finally:
            self._sock.close()

    def _serve_one(self) -> bool:
        raw_head = self._read_head()
        if raw_head is None:
            return False
        try:
            head = _parse_head(raw_head, isinstance(self._sock, ssl.SSLSocket))
        except _BadHead as error:
            text = f"{error}\n".encode()
            headers = (("content-length", str(len(text))), ("connection", "close"))
            self._sock.sendall(_head_bytes(400, headers) + text)
            self._linger()
        fault = self._host.take_fault(head.request)
        wire = fault.wire if fault is not None else None
        with self._host.in_flight(head.request):
            self._act_at_head(head, fault, wire)
            body = self._read_body(head, fault, wire)
            request = replace(head.request, body=body)
            self._host.pass_gate(request)
            if self._host.is_stopping:
                raise Gone
            response = self._host.handle(request, fault)
            closes = not head.keeps_alive or (wire is not None and wire.data == b"close")
            self._send_answer(response, wire, closes)
        if closes:
            self._linger()
        return True

    # -- reading ------------------------------------------------------------------------------

    def _read_head(self) -> bytes | None:
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            if len(self._buffer) > MAX_HEAD_BYTES:
                raise Gone
            data = self._sock.recv(_BLOCK)
            if not data:
                return None
            self._buffer += data
        head = bytes(self._buffer[:end])
        del self._buffer[: end + 4]
        return head

    def _take(self, count: int) -> bytes:
        """Exactly that many bytes of the body; never more from the socket than asked."""
        body = bytearray(count)
        ready = min(count, len(self._buffer))
        body[:ready] = self._buffer[:ready]
        del self._buffer[:ready]
        view = memoryview(body)
        while ready < count:
            received = self._sock.recv_into(view[ready:])
            if not received:
                raise Gone
            ready += received
        return bytes(body)

    def _act_at_head(self, head: _Head, fault: Fault | None, wire: Wire | None) -> None:
        if wire is not None and wire.at == "head":
            if wire.kind == "stall":
                self._host.stall(wire)
            elif wire.kind in ("reset", "close"):
                self._break(head.request, fault, wire)
        answers_first = wire is not None and wire.kind == "early" and wire.after_bytes == 0
        silent = wire is not None and wire.kind == "no_continue"
        if head.expects_continue and not answers_first and not silent:
            self._sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _read_body(self, head: _Head, fault: Fault | None, wire: Wire | None) -> bytes:
        if wire is None or wire.at != "body":
            return self._take(head.length)
        if wire.kind == "drip":
            pieces, left = [], head.length
            while left:
                pieces.append(self._take(min(wire.step_bytes, left)))
                left -= len(pieces[-1])
                self._host.pause(wire.pause_seconds)
            return b"".join(pieces)
        first = self._take(min(wire.after_bytes, head.length))
        if wire.kind == "stall":
            self._host.stall(wire)
        elif wire.kind in ("reset", "close"):
            self._break(replace(head.request, body=first), fault, wire)
        elif wire.kind == "early":
            response = self._host.handle(replace(head.request, body=first), fault)
            self._sock.sendall(_answer_bytes(response, closes=True))
            wire.reached.set()
            self._reset() if wire.resets else self._linger()
        return first + self._take(head.length - len(first))

    # -- answering ----------------------------------------------------------------------------

    def _send_answer(self, response: Response, wire: Wire | None, closes: bool) -> None:
        data = _answer_bytes(response, closes=closes) if response.status else b""
        if wire is None or wire.at != "answer":
            self._sock.sendall(data)
            return
        if wire.kind == "drip":
            for start in range(0, len(data), wire.step_bytes):
                self._sock.sendall(data[start : start + wire.step_bytes])
                self._host.pause(wire.pause_seconds)
        elif wire.kind == "raw":
            self._sock.sendall(wire.data)
            self._linger()
        elif wire.kind == "flood":
            self._sock.sendall(data)
            self._flood(wire.after_bytes)
        elif wire.kind == "hang_up":
            self._sock.sendall(data)
            wire.reached.set()
            if wire.resets:
                self._reset()
            raise Gone
        else:
            self._cut_answer(data, wire)

    def _cut_answer(self, data: bytes, wire: Wire) -> None:
        first = data[: wire.after_bytes] if wire.after_bytes else b""
        self._sock.sendall(first)
        if wire.kind == "reset":
            wire.reached.set()
            self._reset()
        if wire.kind == "stall":
            self._host.stall(wire)
            if data:
                self._sock.sendall(data[len(first) :])
                return
        wire.reached.set()
        self._linger()

    def _flood(self, size_bytes: int) -> None:
        block = b" " * _BLOCK
        while size_bytes > 0:
            if self._host.is_stopping:
                raise Gone
            self._sock.sendall(block[: min(size_bytes, _BLOCK)])
            size_bytes -= _BLOCK

    # -- ending -------------------------------------------------------------------------------

    def _break(self, request: Request, fault: Fault | None, wire: Wire) -> NoReturn:
        self._host.handle(request, fault)
        wire.reached.set()
        if wire.kind == "reset":
            self._reset()
        self._linger()

    def _reset(self) -> NoReturn:
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._sock.close()
        raise Gone

    def _linger(self) -> NoReturn:
        """
        FIN, and what still comes is thrown away. Closing with bytes unread would send RST, and that
        may take the answer from the client's hands.
        """
        # Of the plain socket: SSLSocket.shutdown would drop TLS for what is still to be read.
        socket.socket.shutdown(self._sock, socket.SHUT_WR)
        while self._sock.recv(_BLOCK):
            pass
        raise Gone


def _parse_head(raw: bytes, secure: bool) -> _Head:
    lines = raw.decode("latin-1").split("\r\n")
    pieces = lines[0].split(" ")
    if len(pieces) != 3 or pieces[2] not in ("HTTP/1.1", "HTTP/1.0") or not pieces[1].isascii():
        raise _BadHead("the request line is malformed")
    headers = []
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip() or "\n" in line or "\r" in line:
            raise _BadHead("a header line is malformed")
        headers.append((name.lower(), value.strip(" \t")))
    request = Request(method=pieces[0], target=pieces[1], headers=tuple(headers), secure=secure)
    lengths = {value for name, value in headers if name == "content-length"}
    if len(lengths) > 1 or not all(value.isascii() and value.isdigit() for value in lengths):
        raise _BadHead("Content-Length is malformed")
    if [name for name, _ in headers].count("host") != 1:
        raise _BadHead("there must be one Host header")
    chunked = request.header("transfer-encoding") is not None
    asked_to_close = "close" in (request.header("connection") or "").lower()
    return _Head(
        request=request,
        length=int(lengths.pop()) if lengths and not chunked else 0,
        keeps_alive=pieces[2] == "HTTP/1.1" and not asked_to_close and not chunked,
        expects_continue=(request.header("expect") or "").lower() == "100-continue",
    )


def _head_bytes(status: int, headers: tuple[tuple[str, str], ...]) -> bytes:
    try:
        reason = HTTPStatus(status).phrase
    except ValueError:
        reason = "Unknown"
    lines = [f"HTTP/1.1 {status} {reason}"]
    for name, value in headers:
        # A response-* override may hold a line's end; this server does not split answers.
        lines.append(f"{name}: {value}".replace("\r", " ").replace("\n", " "))
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")


def _answer_bytes(response: Response, *, closes: bool) -> bytes:
    headers = (*response.headers, ("connection", "close")) if closes else response.headers
    return _head_bytes(response.status, headers) + response.body
