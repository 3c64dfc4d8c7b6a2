# SPDX-License-Identifier: Apache-2.0
"""A gateway before a real server that counts what passes, and lets some of it go wrong.

It passes requests on byte for byte, so signatures hold (``Host`` is the gateway's, as the client
signed it). What goes wrong is asked for each exchange by itself; nothing is judged here.
"""

from __future__ import annotations

import time
import socket
import struct
import threading
from typing import Any
from contextlib import suppress
from dataclasses import field, dataclass
from urllib.parse import parse_qs, urlsplit
from collections.abc import Callable

_BLOCK = 256 * 1024
#: No exchange of a test lasts longer: what hangs here is an error there.
_TIMEOUT_SECONDS = 120.0
INITIATE, PART, COMPLETE, ABORT = "initiate", "part", "complete", "abort"
_BY_QUERY = {"PUT": PART, "POST": COMPLETE, "DELETE": ABORT, "GET": "list parts"}


@dataclass(slots=True)
class Exchange:
    """A request, what became of it, and what the server said to it (0: nothing, or not asked)."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    fault: str | None = None
    status: int = 0

    @property
    def operation(self) -> str:
        if "uploads" in self.query:
            return INITIATE if self.method == "POST" else "list uploads"
        if "uploadId" in self.query:
            return _BY_QUERY.get(self.method, self.method)
        return self.method

    @property
    def part_number(self) -> int | None:
        number = self.query.get("partNumber")
        return int(number) if number is not None else None


class Gone(Exception):
    """The client has hung up, or is to believe that we have."""


#: Answers that need no server.
ERRORS = {
    "500": (500, "InternalError"),
    "503": (503, "SlowDown"),
    "expired": (400, "ExpiredToken"),
}


@dataclass
class Gateway:
    """A context manager; ``port`` is where it listens.

    :param choose: names what goes wrong with an exchange: one of :data:`ERRORS`, ``reset before``,
        ``reset in the body``, ``reset after`` (the server has done it), ``cut`` (in the middle of
        the answer), ``late`` (a second), ``stall`` (until the client hangs up); None is nothing.
    :param on_body: called with the number of all bytes of bodies that have passed so far.
    """

    host: str
    server_port: int
    choose: Callable[[Exchange], str | None] = lambda exchange: None
    on_body: Callable[[int], None] = lambda count: None
    exchanges: list[Exchange] = field(default_factory=list)
    errors: list[BaseException] = field(default_factory=list)
    _threads: set[threading.Thread] = field(default_factory=set)
    _passed: int = 0

    def __enter__(self) -> Gateway:
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self._listener.getsockname()[1]
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()
        return self

    def __exit__(self, *unused: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join(10)

    def sent_parts(self) -> list[int]:
        """Give the part numbers of every request that the server was given a whole part by."""
        found = [it.part_number for it in self.exchanges if it.operation == PART]
        return [number for number in found if number is not None]

    def quiesce(self, timeout_seconds: float = 60.0) -> None:
        """Wait until every client has hung up and the server has answered all it was given."""
        until = time.monotonic() + timeout_seconds
        while self._threads:
            assert time.monotonic() < until, "connections stay open"
            time.sleep(0.005)

    # -- private ---------------------------------------------------------------------------------

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(client,), daemon=True)
            self._threads.add(thread)
            thread.start()

    def _serve(self, client: socket.socket) -> None:
        client.settimeout(_TIMEOUT_SECONDS)
        try:
            with client:
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                while self._exchange(client):
                    pass
        except (Gone, OSError):
            pass
        except BaseException as error:
            self.errors.append(error)
        finally:
            self._threads.discard(threading.current_thread())

    def _exchange(self, client: socket.socket) -> bool:
        head, rest = _read_head(client)
        if not head:
            return False
        exchange, length = _parsed(head)
        with self._lock:
            self.exchanges.append(exchange)
            exchange.fault = self.choose(exchange)
        fault = exchange.fault
        if fault == "reset before" or (fault == "reset in the body" and not length):
            _reset(client)
        if fault in ERRORS:
            self._body(client, None, rest, length)
            client.sendall(_error(*ERRORS[fault]))
            return True
        with socket.create_connection((self.host, self.server_port), _TIMEOUT_SECONDS) as server:
            server.sendall(head)
            self._body(client, server, rest, length, stops=fault == "reset in the body")
            answer = _read_answer(server, exchange)
        if fault == "late":
            time.sleep(1.0)
        elif fault == "stall":
            client.recv(1)  # Until the client has had enough.
            raise Gone
        elif fault == "reset after":
            _reset(client)
        elif fault == "cut":
            client.sendall(answer[: len(answer) // 2])
            raise Gone
        client.sendall(answer)
        return True

    def _body(
        self,
        client: socket.socket,
        server: socket.socket | None,
        rest: bytes,
        length: int,
        *,
        stops: bool = False,
    ) -> None:
        left = length // 2 if stops else length
        block = rest
        while left > 0:
            if not block:
                block = client.recv(min(left, _BLOCK))
                if not block:
                    raise Gone
            with self._lock:
                self._passed += len(block)
                self.on_body(self._passed)
            if server is not None:
                server.sendall(block)
            left -= len(block)
            block = b""
        if stops:
            _reset(client)


def _parsed(head: bytes) -> tuple[Exchange, int]:
    line, *rest = head.decode("latin-1").split("\r\n")
    method, target, _ = line.split(" ")
    pairs = (each.partition(":")[::2] for each in rest if each)
    headers = {name.strip().lower(): value.strip() for name, value in pairs}
    url = urlsplit(target)
    query = {n: v[0] for n, v in parse_qs(url.query, keep_blank_values=True).items()}
    found = Exchange(method=method, path=url.path, query=query, headers=headers)
    return found, int(headers.get("content-length", 0))


def _read_head(sock: socket.socket) -> tuple[bytes, bytes]:
    """Give a head with its empty line, and what came behind it; nothing at the end."""
    data = b""
    while b"\r\n\r\n" not in data:
        block = sock.recv(65536)
        if not block:
            return b"", b""
        data += block
    head, _, rest = data.partition(b"\r\n\r\n")
    return head + b"\r\n\r\n", rest


def _read_answer(server: socket.socket, exchange: Exchange) -> bytes:
    """Read a whole answer, as it is on the wire; none is larger than a page of a listing."""
    head, body = _read_head(server)
    if not head:
        raise Gone
    lines = head.decode("latin-1").lower().split("\r\n")
    exchange.status = int(lines[0].split(" ")[1])
    names: dict[str, Any] = dict(each.split(":", 1) for each in lines[1:] if ":" in each)
    if exchange.method == "HEAD" or exchange.status in (204, 304):
        return head
    if "chunked" in names.get("transfer-encoding", ""):
        while not body.endswith(b"0\r\n\r\n"):
            body += _more(server)
    else:
        while len(body) < int(names.get("content-length", 0)):
            body += _more(server)
    return head + body


def _more(server: socket.socket) -> bytes:
    block = server.recv(65536)
    if not block:
        raise Gone
    return block


def _error(status: int, code: str) -> bytes:
    body = f"<Error><Code>{code}</Code><Message>the weather</Message></Error>".encode()
    head = f"HTTP/1.1 {status} Bad\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}"
    return head.encode() + b"\r\n\r\n" + body


def _reset(sock: socket.socket) -> None:
    """End a connection as a crash does."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
    raise Gone
