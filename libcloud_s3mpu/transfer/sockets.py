# SPDX-License-Identifier: Apache-2.0
"""Connected sockets: one that is kept alive, waiting for it, and how an answer is read from it.

The ground floor of the connection room; what travels over it is :mod:`.exchange`'s.
"""

from __future__ import annotations

import io
import re
import ssl
import sys
import time
import select
import socket
from typing import Any
from contextlib import suppress
from http.client import HTTPResponse, HTTPException

from ..protocol.watch import SilenceError

try:
    import fcntl
    import termios
except ImportError:  # No such question on this system: what was handed over counts as moved.
    fcntl = None  # type: ignore[assignment]

#: Linux's option that holds back packets which are not full; None where there is none.
_CORK: int | None = getattr(socket, "TCP_CORK", None)

#: An idle connection older than this is not used again: S3 closes them after 5 to 20 s.
MAX_IDLE_SECONDS = 8.0
#: Answers before the answer (1xx) are not without end.
MOST_INTERIM = 100
#: The largest of them that is looked for while a body is sent, in bytes.
_INTERIM_BYTES = 4096
#: All 1xx but 101, which is no interim one.
_INTERIM = re.compile(rb"HTTP/1\.[01] 1(?!01)\d\d")


class Channel:
    """A connected socket and whether it was used before; owned by one exchange at a time.

    :param is_tls: by the address, never by the socket's class: gevent replaces ``ssl.SSLSocket``,
        and what is taken for a plain socket would get its bytes past TLS.
    """

    __slots__ = ("connection", "socket", "is_tls", "is_reused", "idle_since")

    def __init__(self, connection: Any, *, is_tls: bool) -> None:
        self.connection = connection
        self.socket = connection.sock
        self.is_tls = is_tls
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

    def read_interim(self) -> bool | None:
        """Read what came in while a body is sent if it is an interim answer; not for TLS.

        False if it is none, None if that cannot be told yet, or its end has not come. Some servers
        send 100 Continue though nobody asked for it.
        """
        came = self.socket.recv(_INTERIM_BYTES, socket.MSG_PEEK)
        if 0 < len(came) < len(b"HTTP/1.1 100"):
            return None
        if not _INTERIM.match(came):
            return False
        end = came.find(b"\r\n\r\n")
        if end < 0:
            return None
        self.socket.recv(end + 4)
        return True

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


#: What Python's own sockets say.
_TIMED_OUT = ("timed out", "The read operation timed out", "The write operation timed out")


def is_alarm(error: BaseException) -> bool:
    """Tell whether a TimeoutError is the app's: its signal's handler raised it, wherever we were.

    Taken for a socket's it would be tried again, and the app's alarm have rung in vain.
    """
    if not isinstance(error, TimeoutError) or isinstance(error, SilenceError):
        return False
    return error.errno is None and str(error) not in _TIMED_OUT


class AnswerSide(io.RawIOBase):
    """The side of a socket that ``http.client`` reads an answer from, each read in its time.

    :param timeout: the longest wait for more, in seconds; None waits for ever.
    :param until: when all of it must be there (:func:`time.monotonic`); None for no bound.
    :param taken: what was read before, which is read again first; what is read is added to it.
        None keeps nothing.
    """

    def __init__(
        self,
        sock: Any,
        timeout: float | None,
        until: float | None,
        taken: list[bytes] | None = None,
    ) -> None:
        super().__init__()
        self._socket = sock
        self._timeout = timeout
        self._until = until
        self._taken = taken
        self._replayed = 0
        self._reader: io.BufferedReader | None = None

    def makefile(self, mode: str) -> io.BufferedReader:
        # The same for each answer that is read from here: it may hold the next one's beginning.
        if self._reader is None:
            self._reader = io.BufferedReader(self)
        return self._reader

    def readable(self) -> bool:
        return True

    def hand_over(self) -> None:
        """Leave reading to a socket of TLS itself, if all of the answer has no time of its own.

        TLS gives 16 KiB a call: a GiB costs 0.46 instead of 0.49 CPU s without the way through
        here (measured 2026-11, chunks of 5 MiB). A plain socket gives more at once, and its method
        is C: with that, nobody would notice a signal between two reads of a chunk.
        """
        is_tls = isinstance(self._socket, ssl.SSLSocket)
        if is_tls and self._until is None and self._taken is None:
            self._socket.settimeout(self._timeout)
            self.readinto = self._socket.recv_into  # type: ignore[method-assign]

    def readinto(self, buffer: Any) -> int:
        taken = self._taken
        if taken is None:
            self._set_time()
            return self._socket.recv_into(buffer)  # type: ignore[no-any-return]
        if self._replayed == len(taken):
            self._set_time()
            # One step for the interpreter, without TLS: between a recv and a line that notes what
            # it gave, an interrupt would lose it.
            taken.extend(map(self._socket.recv, (len(buffer),)))
        data = taken[self._replayed]
        if len(data) > len(buffer):
            taken[self._replayed : self._replayed + 1] = [data[: len(buffer)], data[len(buffer) :]]
            data = taken[self._replayed]
        self._replayed += 1
        buffer[: len(data)] = data
        return len(data)

    def _set_time(self) -> None:
        timeout = self._timeout
        if self._until is not None:
            left = self._until - time.monotonic()
            if left <= 0:
                raise SilenceError("the answer was not whole in time")
            timeout = left if timeout is None else min(timeout, left)
        self._socket.settimeout(timeout)


class _Head:
    """The lines of an answer's head as ``http.client`` asks for them; knows whether it ended."""

    def __init__(self, file: Any) -> None:
        self.file = file
        self.is_over = False

    def readline(self, limit: int = -1) -> bytes:
        line: bytes = self.file.readline(limit)
        self.is_over = line in (b"\r\n", b"\n")
        return line

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


class WholeHeadResponse(HTTPResponse):
    """``http.client``'s answer, whose head is whole or an error.

    It takes a head for whole that was cut anywhere behind its first line: the object of an answer
    that lost its Content-Length, or the last digits of it, would be another's (seen 2026-11).
    """

    fp: Any

    def begin(self) -> None:
        """
        @inherits: :class:`HTTPResponse.begin`

        :raises HTTPException: if the connection ended before the empty line behind the head.
        """
        head = self.fp = _Head(self.fp)
        super().begin()
        if self.fp is head:
            self.fp = head.file
        if not head.is_over:
            self.close()
            raise HTTPException("the head of the answer was cut")


def begin_answer(side: AnswerSide, method: str) -> HTTPResponse:
    """Read the head of an answer, and over interim ones before it; http.client knows 100 only.

    :raises HTTPException: as http.client does, and where there is no end of them.
    """
    for _ in range(MOST_INTERIM):
        answer = WholeHeadResponse(side, method=method)  # type: ignore[arg-type]
        try:
            answer.begin()
        except BaseException:
            answer.close()
            raise
        if not 100 <= answer.status < 200 or answer.status == 101:
            return answer
        answer.fp = None  # Its end closes nothing: more is to come.
    raise HTTPException(f"{MOST_INTERIM} interim answers and no other")


def unacknowledged(sock: Any) -> int:
    """Give how many bytes the kernel holds that the service has not taken; 0 where it won't say."""
    if fcntl is None:
        return 0
    try:
        queued = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0" * 4)
    except OSError:
        return 0
    return int.from_bytes(queued, sys.byteorder)
