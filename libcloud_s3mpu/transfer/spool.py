# SPDX-License-Identifier: Apache-2.0
"""Where a part's bytes wait: memory, a temporary file, or the file that they come from.

Each is a :class:`~libcloud_s3mpu.protocol.messages.Body`: it can be sent again from its beginning,
in any thread, one attempt at a time, and lets go of its bytes on :meth:`release`. Which of them a
part gets is the road's choice.
"""

from __future__ import annotations

import os
import tempfile
from typing import Any
from functools import cache
from collections.abc import Callable, Iterator

from ..protocol.errors import SourceChangedError

#: Bytes read from a file for one send: SPEED's measurement of pread sizes put 256 KiB at the knee.
FILE_BLOCK = 256 * 1024
#: Freed memory that glibc keeps at the top of its heap afterwards is twice this, in bytes.
KEPT_FREE = 8 * 1024 * 1024
#: Bytes gathered before they go to a temporary file.
SPOOL_BLOCK = 4 * 1024 * 1024


@cache
def keep_freed_memory() -> None:
    """Let the allocator use the memory of one part again for the next; once in a process.

    glibc gives the top of its heap back to the system whenever 128 KiB of it are free, so every
    part's chunks would be fresh pages: 131,000 page faults and 0.2 CPU s for each 512 MiB read from
    a pipe (measured 2026-11: 0.37 against 0.15 CPU s/GiB). It raises both of its thresholds to the
    size of the largest block that was ever freed (mallopt(3), M_MMAP_THRESHOLD, "dynamic"), so one
    block that is freed untouched is enough. Other allocators do not mind.
    """
    bytearray(KEPT_FREE)


class MemoryBody:
    """A part that waits as the list of its chunks, never joined."""

    __slots__ = ("_buffers", "size")

    #: The buffers stay valid together, so one system call may take many of them.
    is_lazy = False

    def __init__(self, buffers: list[Any], size: int) -> None:
        self._buffers = buffers
        self.size = size

    def buffers(self) -> list[Any]:
        return self._buffers

    def release(self) -> None:
        self._buffers = []


class FileBody:
    """A range of an open file, read as it is sent: nothing of it stays in memory.

    The kernel may take it from ``fileno``, ``offset`` and ``size`` by itself (``sendfile``).

    The descriptor is the caller's; other threads may read other ranges of it at the same time.
    """

    __slots__ = ("fileno", "offset", "size")

    #: One block at a time: the next one is read into the same memory.
    is_lazy = True

    def __init__(self, fileno: int, offset: int, size: int) -> None:
        self.fileno = fileno
        self.offset = offset
        self.size = size

    def buffers(self) -> Iterator[memoryview]:
        """Yield the range block by block; a block is overwritten when the next one is asked for.

        :raises SourceChangedError: if the file has become shorter.
        """
        block = memoryview(bytearray(min(FILE_BLOCK, self.size)))
        done = 0
        while done < self.size:
            wanted = block[: min(FILE_BLOCK, self.size - done)]
            got = _pread_into(self.fileno, wanted, self.offset + done)
            if not got:
                raise self.ended_at(self.offset + done)
            done += got
            yield wanted[:got]

    def ended_at(self, offset: int) -> SourceChangedError:
        """Make the error of a file that became shorter while it was uploaded."""
        return SourceChangedError(
            f"the file ended at offset {offset} while it was uploaded; it had at least "
            f"{self.offset + self.size} bytes before"
        )

    def release(self) -> None:
        """Nothing is held."""


if hasattr(os, "preadv"):

    def _pread_into(fileno: int, block: memoryview, offset: int) -> int:
        return os.preadv(fileno, [block], offset)

else:  # Windows and macOS before 11 have no preadv.

    def _pread_into(fileno: int, block: memoryview, offset: int) -> int:
        data = _pread(fileno, len(block), offset)
        block[: len(data)] = data
        return len(data)

    def _pread(fileno: int, size: int, offset: int) -> bytes:
        if hasattr(os, "pread"):
            return os.pread(fileno, size, offset)
        # Windows has no positioned read. Only spooled parts come here (the splitter reads plain
        # files on such systems), and a spooled part is read by one thread at a time.
        os.lseek(fileno, offset, os.SEEK_SET)
        return os.read(fileno, size)


class SpoolBody(FileBody):
    """A part too large for the memory budget: it waits in an unnamed temporary file of its own."""

    __slots__ = ("_file",)

    def __init__(self, file: Any, size: int) -> None:
        super().__init__(file.fileno(), 0, size)
        self._file = file

    def release(self) -> None:
        self._file.close()


def spool_to_file(
    take: Callable[[int], list[Any]], size: int, *, directory: str | None
) -> SpoolBody | None:
    """Move up to ``size`` bytes, taken block by block, into a temporary file.

    Gives None if the source had already ended. The file has no name where the system allows it, so
    it is gone with this process whatever happens.

    :raises OSError: as the disk does (full, not writable); nothing is left behind.
    """
    # Closed by the body when the part is uploaded, in whichever thread that is.
    file = tempfile.TemporaryFile(dir=directory, prefix="s3mpu-")  # noqa: SIM115
    try:
        done = 0
        while done < size:
            wanted = min(SPOOL_BLOCK, size - done)
            before = done
            for buffer in take(wanted):
                file.write(buffer)
                done += len(buffer)
            if done - before < wanted:
                break
        file.flush()
    except BaseException:
        file.close()
        raise
    if not done:
        file.close()
        return None
    return SpoolBody(file, done)
