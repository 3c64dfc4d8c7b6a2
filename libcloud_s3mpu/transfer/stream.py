# SPDX-License-Identifier: Apache-2.0
"""The bodies of answers that are read while they come: one kind for each road.

:class:`LeanStream` reads from a borrowed socket into the reader's own memory, without a copy
between; ``http.client`` has parsed the head and knows where the body ends. :class:`PlainStream`
takes what libcloud's answer yields. Neither knows what it reads, or goes on after a break.
"""

from __future__ import annotations

import socket
from typing import Any
from http.client import HTTPResponse, HTTPException
from collections.abc import Callable

import urllib3
import requests

from .http import transport_error
from .sockets import is_alarm
from ..protocol.messages import S3Request

#: What is taken from libcloud's answer at once, in bytes.
PIECE = 256 * 1024
#: What http.client raises when a connection breaks or lies.
BREAKS = (OSError, HTTPException, ValueError)


def shut_down(sock: Any) -> None:
    """Break a connection under whoever uses it; from any thread."""
    try:
        # The base class's method: SSLSocket's own takes the TLS object from under the other thread.
        socket.socket.shutdown(sock, socket.SHUT_RDWR)
    except OSError:
        pass  # Not connected any more.


class LeanStream:
    """An answer's body on a channel, which is given back when all of it was read."""

    __slots__ = ("_answer", "_channel", "_give_back", "_request")

    def __init__(
        self,
        answer: HTTPResponse,
        channel: Any,
        request: S3Request,
        give_back: Callable[[Any], None],
    ) -> None:
        self._answer = answer
        self._channel = channel
        self._request = request
        self._give_back = give_back

    def read(self, size: int) -> bytes:
        try:
            return self._answer.read(size)
        except BaseException as error:
            self._drop()  # What was read of it is lost.
            if isinstance(error, BREAKS) and not is_alarm(error):
                raise transport_error(self._request, error) from error
            raise

    def readinto(self, view: memoryview) -> int:
        try:
            return self._answer.readinto(view)
        except BaseException as error:
            self._drop()
            if isinstance(error, BREAKS) and not is_alarm(error):
                raise transport_error(self._request, error) from error
            raise

    def close(self) -> None:
        answer, channel = self._answer, self._channel
        if channel is None:
            return
        # Known length: none of it is left. Chunked: http.client closed it behind the last chunk.
        is_whole = not answer.length and (answer.length == 0 or answer.isclosed())
        if not is_whole or answer.will_close:
            self._drop()
            return
        self._channel = None
        answer.close()
        self._give_back(channel)

    def cut(self) -> None:
        channel = self._channel
        if channel is not None:
            shut_down(channel.socket)

    def _drop(self) -> None:
        channel, self._channel = self._channel, None
        self._answer.close()
        if channel is not None:
            channel.close()


class PlainStream:
    """The body of an answer of libcloud's own way; its connection belongs to requests' pool."""

    __slots__ = ("_answer", "_broken", "_pieces", "_request", "_rest")

    def __init__(self, answer: Any, request: S3Request) -> None:
        self._answer = answer
        self._pieces = iter(answer.iter_content(PIECE))
        self._rest = memoryview(b"")
        self._request = request
        self._broken: BaseException | None = None

    def read(self, size: int) -> bytes:
        pieces: list[memoryview] = []
        while size and (piece := self._next(size, is_first=not pieces)):
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)

    def readinto(self, view: memoryview) -> int:
        filled = 0
        while filled < len(view):
            piece = self._next(len(view) - filled, is_first=not filled)
            if not piece:
                break
            view[filled : filled + len(piece)] = piece
            filled += len(piece)
        return filled

    def close(self) -> None:
        close = getattr(getattr(self._answer, "answer", None), "close", None)
        if close is not None:
            close()

    def cut(self) -> None:
        """requests has no way to be cut from outside; a read ends with its time-out."""

    def _next(self, most: int, *, is_first: bool) -> memoryview:
        """Give the next bytes, ``most`` at most; none at the end, or at a break behind others.

        What came before a break is not lost: the break is told when nothing else is left to tell.
        """
        while not self._rest and self._broken is None:
            try:
                piece = next(self._pieces, None)
            except (
                requests.exceptions.RequestException,
                urllib3.exceptions.HTTPError,
                OSError,
            ) as error:
                self._broken = error
                break
            if piece is None:
                return memoryview(b"")
            # Mocks give text.
            self._rest = memoryview(piece.encode() if isinstance(piece, str) else piece)
        if self._broken is not None and not self._rest and is_first:
            self.close()
            raise transport_error(self._request, self._broken) from self._broken
        taken, self._rest = self._rest[:most], self._rest[most:]
        return taken
