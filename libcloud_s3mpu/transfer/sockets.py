# SPDX-License-Identifier: Apache-2.0
"""Connected sockets: one that is kept alive, waiting for it, and the side an answer is read from.

The ground floor of the connection room; what travels over it is :mod:`.exchange`'s.
"""

from __future__ import annotations

import io
import ssl
import sys
import time
import select
import socket
from typing import Any
from contextlib import suppress

try:
    import fcntl
    import termios
except ImportError:  # No such question on this system: what was handed over counts as moved.
    fcntl = None  # type: ignore[assignment]

#: Linux's option that holds back packets which are not full; None where there is none.
_CORK: int | None = getattr(socket, "TCP_CORK", None)

#: An idle connection older than this is not used again: S3 closes them after 5 to 20 s.
MAX_IDLE_SECONDS = 8.0


class Channel:
    """A connected socket and whether it was used before; owned by one exchange at a time."""

    __slots__ = ("connection", "socket", "is_tls", "is_reused", "idle_since")

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.socket = connection.sock
        self.is_tls = isinstance(self.socket, ssl.SSLSocket)
        self.is_reused = False
        self.idle_since = 0.0

    def is_usable(self) -> bool:
        """Tell whether an idle channel may carry another request: young, and nothing came in."""
        if time.monotonic() - self.idle_since > MAX_IDLE_SECONDS:
            return False
        if self.socket.fileno() < 0:
            return False  # Closed after it was given back, by an interrupted call_settled.
        if not wait_for(self.socket, select.POLLIN, 0.0):
            return True
        if not self.is_tls:
            return False  # The service closed it, or sent what nobody asked for.
        try:
            self.socket.setblocking(False)
            self.socket.recv(1)
        except ssl.SSLWantReadError:
            return True  # Only session tickets of TLS 1.3.
        except OSError:
            return False
        return False

    def close(self) -> None:
        """Drop the connection."""
        self.connection.close()


def hold_small_packets(sock: Any, is_held: bool) -> None:
    """Have the kernel gather what is sent into full packets, or send what it gathered.

    OpenSSL hands over every record of 16 KiB by a system call of its own; with TCP_NODELAY, which
    http.client sets, each is also a packet that wakes the other side. Gathered they cost 0.47
    instead of 0.67 CPU s/GiB (measured 2026-11, docs/benchmarks.md).
    """
    if _CORK is not None:
        with suppress(OSError):  # No TCP, or broken: the next send tells that better.
            sock.setsockopt(socket.IPPROTO_TCP, _CORK, is_held)


def wait_for(sock: Any, event: int, timeout: float | None) -> int:
    """Wait for ``event`` (or an error) on ``sock``; 0 if ``timeout`` seconds passed."""
    poller = select.poll()
    poller.register(sock, event)
    ready = poller.poll(None if timeout is None else timeout * 1000.0)
    return ready[0][1] if ready else 0


class AnswerSide(io.RawIOBase):
    """The side of a socket that ``http.client`` reads an answer from, each read in its time.

    :param timeout: the longest wait for more, in seconds; None waits for ever.
    :param until: when all of it must be there (:func:`time.monotonic`); None for no bound.
    """

    def __init__(self, sock: Any, timeout: float | None, until: float | None) -> None:
        super().__init__()
        self._socket = sock
        self._timeout = timeout
        self._until = until

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def hand_over(self) -> None:
        """Leave reading to a socket of TLS itself, if all of the answer has no time of its own.

        TLS gives 16 KiB a call: a GiB costs 0.46 instead of 0.49 CPU s without the way through
        here (measured 2026-11, chunks of 5 MiB). A plain socket gives more at once, and its method
        is C: with that, nobody would notice a signal between two reads of a chunk.
        """
        if self._until is None and isinstance(self._socket, ssl.SSLSocket):
            self._socket.settimeout(self._timeout)
            self.readinto = self._socket.recv_into  # type: ignore[method-assign]

    def readinto(self, buffer: Any) -> int:
        timeout = self._timeout
        if self._until is not None:
            left = self._until - time.monotonic()
            if left <= 0:
                raise TimeoutError("the answer was not whole in time")
            timeout = left if timeout is None else min(timeout, left)
        self._socket.settimeout(timeout)
        return self._socket.recv_into(buffer)  # type: ignore[no-any-return]


def unacknowledged(sock: Any) -> int:
    """Give how many bytes the kernel holds that the service has not taken; 0 where it won't say."""
    if fcntl is None:
        return 0
    try:
        queued = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0" * 4)
    except OSError:
        return 0
    return int.from_bytes(queued, sys.byteorder)
