# SPDX-License-Identifier: Apache-2.0
"""An answer as it comes from a socket: in its time, with its whole head, and with its whole body.

``http.client`` does the parsing; what it takes for granted, and a service or an interrupt may not
give, is seen to here. What an answer means is not looked at.
"""

from __future__ import annotations

import io
import ssl
import time
from typing import Any
from http.client import HTTPResponse, HTTPException, IncompleteRead

from ..protocol.watch import SilenceError

#: Answers before the answer (1xx) are not without end.
MOST_INTERIM = 100


class ExchangeFailed(Exception):
    """No whole answer came; ``__cause__`` says why.

    ``is_stale`` is True when a kept-alive connection turned out dead before any of the answer,
    ``is_deadline`` when the whole upload's time was up.
    """

    def __init__(
        self,
        reason: str,
        *,
        is_stale: bool = False,
        is_timeout: bool = False,
        is_deadline: bool = False,
    ) -> None:
        super().__init__(reason)
        self.is_stale = is_stale
        self.is_timeout = is_timeout
        self.is_deadline = is_deadline


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


def read_body(answer: HTTPResponse, limit: int) -> tuple[bytes, bool]:
    """Read a body up to ``limit`` bytes, and tell whether that was all of it.

    :raises IncompleteRead: if it ends before its Content-Length; ``read(limit)`` is silent there.
    """
    body = answer.read(limit)
    is_whole = answer.isclosed() or not answer.read(1)
    if is_whole and answer.length:
        raise IncompleteRead(body, answer.length)
    return body, is_whole
