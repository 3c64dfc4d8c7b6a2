# SPDX-License-Identifier: Apache-2.0
"""What comes in: the source, cut by its schedule into bodies that wait where they fit.

The first room of the road. Owned by the calling thread; it pulls only when it is asked, says how
much memory a part will hold before that, and knows when the source is not what was announced. What
becomes of a body is :mod:`.upload`'s business.
"""

from __future__ import annotations

import os
import mmap
import array
from typing import Any

from .spool import FILE_BLOCK, FileBody, MemoryBody, spool_to_file, keep_freed_memory
from .splitter import FileSplitter, open_source, check_length
from ..protocol.errors import SourceSizeError, InvalidRequestError
from ..protocol.limits import Limits
from ..protocol.options import UploadOptions
from ..protocol.partsize import PartSchedule, part_schedule

#: Sources that can be read twice without a trace; plain files are such too.
_REPLAYABLE = (str, bytes, bytearray, memoryview, mmap.mmap, array.array, list, tuple)


class Intake:
    """One source and its cuts.

    :param must_not_change: the source is a file that may not change while it is read.
    :param schedule: where the cuts are, if that was decided before (a resumed upload).
    :raises UnsupportedSourceError: (a TypeError) if it is no source.
    :raises SourceSizeError: (a ValueError) if its length is known and the service takes no such.
    :raises OSError: if ``spool_directory`` is not there.
    """

    def __init__(
        self,
        source: Any,
        *,
        options: UploadOptions,
        limits: Limits,
        where: str,
        must_not_change: bool = False,
        schedule: PartSchedule | None = None,
    ) -> None:
        if options.spool_directory is not None:
            # It is needed late (parts outgrow memory), and a typo is told now.
            os.stat(os.path.join(options.spool_directory, ""))
        self._options = options
        self._limits = limits
        self._where = where
        self._must_not_change = must_not_change
        self._splitter = open_source(source)
        known = options.size_bytes if options.size_bytes is not None else self._splitter.length
        #: The length in bytes where the source tells it, or else where it was announced.
        self.known_size = known if self._splitter.length is None else self._splitter.length
        #: Whether another intake may read the source from its beginning first.
        self.is_replayable = isinstance(source, _REPLAYABLE) or isinstance(
            self._splitter, FileSplitter
        )
        #: A part that would fill more than half of the budget waits in a file: two still overlap.
        self._most_in_memory = max(1, options.memory_budget_bytes // 2)
        try:
            self.schedule = schedule or part_schedule(
                limits,
                part_size=options.part_size_bytes,
                size=known,
                size_hint=options.size_hint_bytes,
            )
        except InvalidRequestError:
            raise
        except ValueError as error:
            raise SourceSizeError(f"{where} cannot be uploaded: {error}") from error

    @property
    def size(self) -> int:
        """Bytes taken so far."""
        return self._splitter.offset

    def stamp(self) -> str | None:
        """Tell which plain file this is and when it was changed; None for other sources.

        The time of the last change of the inode is part of it, which nobody can set back.
        """
        if not isinstance(self._splitter, FileSplitter):
            return None
        seen = os.fstat(self._splitter.fileno)
        values = (seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns)
        return ":".join(map(str, (*values, self._splitter.start)))

    def has_more(self) -> bool:
        """Tell whether a byte is left, pulling one chunk more if that is what it takes."""
        return self._splitter.has_more()

    def cost(self, part_number: int) -> int:
        """Give the memory in bytes that a part holds while it is in flight."""
        if isinstance(self._splitter, FileSplitter):
            return FILE_BLOCK
        return min(self.schedule.size_of(part_number), self._most_in_memory)

    def is_full(self, body: Any, part_number: int) -> bool:
        """Tell whether a body is as large as its part can be: then more may follow."""
        return body is not None and body.size == self.schedule.size_of(part_number)

    def take(self, part_number: int) -> Any:
        """Take the bytes of a part; None when the source has ended.

        :raises SourceSizeError: if the source is longer than announced, than the schedule's parts
            hold, or than the service takes. What the source raises comes out as it is.
        """
        if part_number > self.schedule.max_parts:
            if self.has_more():
                raise self._too_long(
                    f"which is all that {self.schedule.max_parts} parts of this schedule hold; "
                    "give size_hint_bytes or part_size_bytes"
                )
            return None
        body = self._take(self.schedule.size_of(part_number))
        try:
            self._check_so_far()
        except BaseException:
            if body is not None:
                body.release()
            raise
        return body

    def _check_so_far(self) -> None:
        announced = self._options.size_bytes
        if announced is not None and self.size > announced:
            raise self._too_long(f"but {announced} bytes were announced")
        if self.size > self._limits.max_object_size:
            raise self._too_long(
                f"but the largest object of this service has {self._limits.max_object_size}"
            )

    def _take(self, size: int) -> Any:
        splitter = self._splitter
        if isinstance(splitter, FileSplitter):
            offset = splitter.start + splitter.offset
            granted = splitter.skip(size)
            return FileBody(splitter.fileno, offset, granted) if granted else None
        if size > self._most_in_memory:
            return spool_to_file(splitter.take, size, directory=self._options.spool_directory)
        keep_freed_memory()
        before = splitter.offset
        buffers = splitter.take(size)
        got = splitter.offset - before
        return MemoryBody(buffers, got) if got else None

    def _too_long(self, reason: str) -> SourceSizeError:
        return SourceSizeError(
            f"the source of {self._where} is longer than expected ({self.size} bytes so far), "
            f"{reason}"
        )

    def snapshot(self, body: Any) -> Any:
        """Give the bytes of a whole small object in hand, before its one request is sent."""
        if body is None:
            return MemoryBody([], 0)
        if isinstance(self._splitter, FileSplitter) and body.size <= self._most_in_memory:
            return MemoryBody([bytes(block) for block in body.buffers()], body.size)
        return body

    def check_end(self) -> None:
        """Check, once the source has ended, that it was what was announced.

        :raises SourceSizeError: if it was shorter.
        :raises SourceChangedError: if it is a file that may not change and did.
        """
        check_length(self._splitter, announced=self._options.size_bytes, where=self._where)
        if self._must_not_change and isinstance(self._splitter, FileSplitter):
            self._splitter.check_unchanged()

    def close(self) -> None:
        """Let go of the source."""
        self._splitter.close()
