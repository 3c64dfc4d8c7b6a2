# SPDX-License-Identifier: Apache-2.0
"""One object as a file that is read: any place of it, without a copy on the disk.

Knows no Invenio. What is read in order comes in ranges that grow, so that a preview that looks here
and there asks for little, and a whole file comes in few requests. Who opens it is :mod:`.files`.
"""

from __future__ import annotations

import io
from typing import Any
from collections.abc import Iterator

from libcloud.storage.base import Object

#: Bytes of the first range after a jump; twice as many with each that was used up.
FIRST_RANGE = 256 * 1024
#: Bytes of one range, at most.
MOST_RANGE = 64 * 1024 * 1024
#: Bytes that are taken from the connection at once.
CHUNK = 256 * 1024


class ObjectReader(io.RawIOBase):
    """Reads one object; one thread at a time. Wrap it in :class:`io.BufferedReader`.

    :param obj: as ``get_object`` gave it: its size is what counts.
    """

    def __init__(self, driver: Any, obj: Object) -> None:
        self._driver = driver
        self._object = obj
        self._size = int(obj.size)
        self._offset = 0
        self._span = FIRST_RANGE
        self._chunks: Iterator[bytes] | None = None
        self._left = memoryview(b"")

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._offset

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a byte; a jump drops the range that is being read."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._offset, io.SEEK_END: self._size}
        if whence not in base:
            raise ValueError(f"whence must be 0, 1 or 2, not {whence!r}")
        wanted = base[whence] + offset
        if wanted < 0:
            raise ValueError(f"there is no byte {wanted}")
        if wanted != self._offset:
            self._drop()
            self._offset, self._span = wanted, FIRST_RANGE
        return wanted

    def readinto(self, buffer: Any) -> int:
        """Fill as much of ``buffer`` as one chunk does; 0 at the end."""
        view = memoryview(buffer).cast("B")
        if not len(view) or self._offset >= self._size:
            return 0
        while not len(self._left):
            self._next_chunk()
        taken = min(len(view), len(self._left))
        view[:taken] = self._left[:taken]
        self._left = self._left[taken:]
        self._offset += taken
        return taken

    def close(self) -> None:
        """Let go of the connection."""
        self._drop()
        super().close()

    def _next_chunk(self) -> None:
        if self._chunks is None:
            end = min(self._offset + self._span, self._size)
            self._span = min(self._span * 2, MOST_RANGE)
            self._chunks = self._driver.download_object_range_as_stream(
                self._object, self._offset, end, chunk_size=CHUNK
            )
        chunk = next(self._chunks, None)
        if chunk is None:
            self._chunks = None
        else:
            self._left = memoryview(chunk)

    def _drop(self) -> None:
        chunks, self._chunks, self._left = self._chunks, None, memoryview(b"")
        if chunks is not None:
            chunks.close()  # type: ignore[attr-defined]
