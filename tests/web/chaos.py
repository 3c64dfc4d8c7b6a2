# SPDX-License-Identifier: Apache-2.0
"""A TCP proxy before any S3 server that does to its connections what networks and services do.

Each exchange on a connection may meet one fault: a reset within the request, an answer that is lost
although the request was carried out, one that is cut, a refusal (SlowDown, InternalError), or a
delay. Signatures stay right: the Host header is the proxy's, and nothing is changed on the way.
"""

from __future__ import annotations

import random
import socket
import struct
import threading
from typing import Any
from contextlib import suppress, contextmanager
from collections import Counter
from collections.abc import Iterator

HOST = "127.0.0.1"
FAULTS = ("reset", "lost", "cut", "slow down", "internal", "delay")
_REFUSALS = {"slow down": ("503 Slow Down", "SlowDown"), "internal": ("500 No", "InternalError")}


class Chaos:
    """The proxy: :attr:`rate` of all exchanges meet a fault; may be set at any time."""

    def __init__(self, host: str, port: int, *, rate: float, seed: int) -> None:
        self._to = (host, port)
        self.rate = rate
        self._rng = random.Random(seed)
        self._lock = threading.Lock()
        self.met: Counter[str] = Counter()
        self._listener = socket.create_server((HOST, 0), backlog=128)
        self.port = int(self._listener.getsockname()[1])
        self._stop = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def endpoint(self) -> str:
        return f"http://{HOST}:{self.port}"

    def close(self) -> None:
        self._stop.set()
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while not self._stop.is_set():
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _plan(self) -> tuple[str | None, int]:
        """Choose what the next exchange meets, and after how many bytes."""
        with self._lock:
            if self._rng.random() >= self.rate:
                return None, 0
            kind = self._rng.choice(FAULTS)
            self.met[kind] += 1
            return kind, self._rng.randint(1, 4000)

    def _serve(self, client: socket.socket) -> None:
        try:
            with client, socket.create_connection(self._to, 10) as server:
                self._exchanges(client, server)
        except OSError:
            pass

    def _exchanges(self, client: socket.socket, server: socket.socket) -> None:
        """Pass on requests one by one: a client sends the next after the last one's answer."""
        done = threading.Event()
        plan: dict[str, Any] = {"kind": None, "left": 0, "answers": True}

        def upwards() -> None:
            with suppress(OSError):
                while data := client.recv(65536):
                    if plan["answers"]:
                        plan["kind"], plan["left"] = self._plan()
                        plan["answers"] = False
                    kind = plan["kind"]
                    if kind in _REFUSALS:
                        _refuse(client, kind)
                        break
                    if kind == "delay":
                        done.wait(0.2)
                        plan["kind"] = None
                    if kind == "reset":
                        plan["left"] -= len(data)
                        if plan["left"] <= 0:
                            _reset(client)
                            break
                    server.sendall(data)
            with suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)

        thread = threading.Thread(target=upwards, daemon=True)
        thread.start()
        with suppress(OSError):
            while data := server.recv(65536):
                kind = plan["kind"]
                plan["answers"] = True
                if kind == "lost":
                    _reset(client)
                    break
                if kind == "cut":
                    client.sendall(data[: max(1, len(data) // 2)])
                    _reset(client)
                    break
                client.sendall(data)
        done.set()
        with suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)
        thread.join(5)


def _reset(client: socket.socket) -> None:
    with suppress(OSError):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.shutdown(socket.SHUT_RD)


def _refuse(client: socket.socket, kind: str) -> None:
    status, code = _REFUSALS[kind]
    body = f"<Error><Code>{code}</Code><Message>Not now</Message></Error>".encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/xml\r\nConnection: close\r\n"
    client.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    client.shutdown(socket.SHUT_WR)
    client.settimeout(1)
    with suppress(OSError):
        while client.recv(65536):
            pass


@contextmanager
def chaos(host: str, port: int, *, rate: float, seed: int) -> Iterator[Chaos]:
    """Run it before a server."""
    found = Chaos(host, port, rate=rate, seed=seed)
    try:
        yield found
    finally:
        found.close()
