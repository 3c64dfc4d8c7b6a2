# SPDX-License-Identifier: Apache-2.0
"""Chunked bodies (RFC 9112, section 7.1) read from a connection, where a server leaves it to us.

Python's own WSGI server hands over the connection as it is; Android's tus client sends all its
bytes in chunks. Other servers decode them, or hide them: :mod:`.wsgi` knows which.
"""

from __future__ import annotations

import io
import re

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(;[^\r\n]*)?\r?\n\Z")
_MOST_LINE = 4096
_MOST_TRAILERS = 64


class Dechunked:
    """The decoded bytes; what breaks off before the last chunk, or is none, raises."""

    def __init__(self, connection: io.BufferedReader) -> None:
        self._connection = connection
        self._left = 0
        self._is_over = False

    def read(self, size: int, /) -> bytes:
        """Give 1 to ``size`` bytes, b"" at the end.

        :raises ConnectionError: if it was cut.
        """
        if self._is_over or size <= 0:
            return b""
        if not self._left:
            self._begin()
            if self._is_over:
                return b""
        data = self._connection.read1(min(size, self._left))
        if not data:
            raise ConnectionError("a chunk was cut")
        self._left -= len(data)
        if not self._left and self._line() not in (b"\r\n", b"\n"):
            raise ConnectionError("a chunk is longer than it said")
        return data

    def _begin(self) -> None:
        match = _SIZE.match(self._line())
        if match is None:
            raise ConnectionError("the size of a chunk makes no sense")
        self._left = int(match.group(1), 16)
        if self._left:
            return
        self._is_over = True
        for _ in range(_MOST_TRAILERS):
            if self._line() in (b"\r\n", b"\n", b""):
                return

    def _line(self) -> bytes:
        return self._connection.readline(_MOST_LINE)
