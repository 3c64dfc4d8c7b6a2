# SPDX-License-Identifier: Apache-2.0
"""What is uploaded: the same bytes in every process, in whatever shape a client takes.

Must not live here: anything that measures, or that knows a contender. All chunks are cut from
one random buffer at places that never repeat in step, so parts that are swapped, lost or sent
twice change the SHA-256 of the object.
"""

from __future__ import annotations

import io
import sys
import time
import random
from typing import Any, BinaryIO
from collections.abc import Iterable, Iterator

from benchmarks.client.job import KIB, MIB, GENERATED, Job

BASE_SIZE = 8 * MIB
LINE_SIZE = 48
LINES_PER_WALK = 1024
# Turns of an empty loop between two chunks: ~50 us on the machine of the first measurements.
BUSY_TURNS = 4000


def base_buffer() -> bytes:
    """Give 8 MiB that no client can compress, equal in every process."""
    return random.Random(48).randbytes(BASE_SIZE)


def place(number: int, size: int) -> int:
    """Say where chunk `number` starts in the base buffer."""
    return (number * 1299709 + number * number * 15485863) % (BASE_SIZE - size)


def chunks(total: int, size: int, base: bytes) -> Iterator[bytes]:
    """Yield fresh chunks of `size`, as a producer that computes its bytes would."""
    view = memoryview(base)
    whole, rest = divmod(total, size)
    for number in range(whole):
        start = place(number, size)
        yield bytes(view[start : start + size])
    if rest:
        start = place(whole, size)
        yield bytes(view[start : start + rest])


def lines(total: int, base: bytes) -> Iterator[bytes]:
    """Yield 48-byte chunks, as a producer that writes rows would; the last may be shorter."""
    walk = LINE_SIZE * LINES_PER_WALK
    left, number = total, 0
    while left >= walk:
        start = place(number, walk)
        for at in range(start, start + walk, LINE_SIZE):
            yield base[at : at + LINE_SIZE]
        left -= walk
        number += 1
    start = place(number, walk)
    for at in range(start, start + left, LINE_SIZE):
        yield base[at : min(at + LINE_SIZE, start + left)]


def busy(source: Iterable[bytes]) -> Iterator[bytes]:
    """Hold the interpreter between chunks, as a parser or a row formatter does."""
    for chunk in source:
        for _ in range(BUSY_TURNS):
            pass
        yield chunk


def paced(source: Iterable[bytes], rate: float) -> Iterator[bytes]:
    """Yield no faster than `rate` bytes a second."""
    begin, given = time.perf_counter(), 0
    for chunk in source:
        given += len(chunk)
        early = begin + given / rate - time.perf_counter()
        if early > 0:
            time.sleep(early)
        yield chunk


class IteratorFile(io.RawIOBase):
    """The file that users write around a generator for a client which only takes files."""

    def __init__(self, source: Iterable[bytes]) -> None:
        self._source = iter(source)
        self._kept = b""
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def tell(self) -> int:
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        wanted = sys.maxsize if size is None or size < 0 else size
        have = len(self._kept)
        gathered = [self._kept] if have else []
        while have < wanted:
            chunk = next(self._source, None)
            if chunk is None:
                break
            gathered.append(chunk)
            have += len(chunk)
        data = gathered[0] if len(gathered) == 1 else b"".join(gathered)
        self._kept = data[wanted:]
        if have > wanted:
            data = data[:wanted]
        self._position += len(data)
        return data

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


class Source:
    """One object to upload. `ended` is the time of the last byte of a workload that notes it."""

    def __init__(self, job: Job, base: bytes) -> None:
        self.kind = job.workload
        self.size = job.size
        self.ended: float | None = None
        self._job = job
        self._base = base

    @property
    def is_generated(self) -> bool:
        """Whether there is no file behind it."""
        return self.kind in GENERATED

    def iterator(self) -> Iterator[bytes] | BinaryIO:
        """Give what a user would pass to a client that takes any iterable of bytes."""
        if self.kind == "lines48":
            return lines(self.size, self._base)
        if not self.is_generated:
            return self.file()
        made = chunks(self.size, MIB if self.kind == "gen1m" else 64 * KIB, self._base)
        if self.kind == "busy":
            return busy(made)
        if self.kind == "slow":
            return self._note_end(paced(made, self._job.rate))
        return made

    def _note_end(self, source: Iterable[bytes]) -> Iterator[bytes]:
        yield from source
        self.ended = time.perf_counter()

    def file(self) -> BinaryIO:
        """Give what a user would pass to a client that takes only files."""
        if self.kind == "file":
            assert self._job.input_path is not None
            return open(self._job.input_path, "rb")
        if self.kind == "pipe":
            return sys.stdin.buffer
        return IteratorFile(self.iterator())  # type: ignore[return-value]

    def blocks(self, size: int = MIB) -> Iterator[bytes]:
        """Give what a user would write, one after the other, to a client that is written to."""
        if self.is_generated:
            return iter(self.iterator())
        file = self.file()
        return iter(lambda: file.read(size), b"")


class SmallSource(Source):
    """A few KiB that are already in memory."""

    def __init__(self, job: Job, data: bytes) -> None:
        super().__init__(job, b"")
        self.size = len(data)
        self._data = data

    @property
    def is_generated(self) -> bool:
        return True

    def iterator(self) -> Iterator[bytes]:
        return iter([self._data])

    def file(self) -> BinaryIO:
        return io.BytesIO(self._data)
