# SPDX-License-Identifier: Apache-2.0
"""The caller's source: chunks of any kind and size, gathered into parts of the sizes asked.

A splitter belongs to the calling thread. It never pulls a chunk before it is asked for a part (the
window has granted the bytes by then), and copies only what it must: mutable chunks, which their
source may fill anew, and small ones, which are joined to blocks as they come. How large a part is,
and what becomes of it, is not decided here.
"""

from __future__ import annotations

import io
import os
import re
import mmap
import stat
import array
from types import GeneratorType
from typing import Any
from http.client import HTTPResponse
from collections.abc import Mapping, Iterable, Iterator

from ..protocol.errors import SourceSizeError, SourceChangedError, UnsupportedSourceError

#: Chunks below this are joined to blocks: one buffer costs a system call's share and 100 bytes of
#: bookkeeping, joining 16 KiB costs about as much (measured: docs/benchmarks.md, "lines").
SMALL_CHUNK = 16 * 1024
#: Size of such a block in bytes.
BLOCK = 128 * 1024
#: What is read from a file-like at once: few calls, and no more than a part's fraction in flight.
#: A pipe gives 64 KiB a system call; gathering four of them before the interpreter runs again costs
#: a fifth less CPU than taking each as it comes (measured 2026-11: 0.15 against 0.20 s/GiB).
READ_SIZE = 256 * 1024

_WHOLE_BUFFERS = (bytes, bytearray, memoryview, mmap.mmap, array.array)


class Splitter:
    """Cuts one source; see :func:`open_source`.

    ``length`` is the number of bytes where the source tells it, else None.
    """

    def __init__(self, chunks: Iterator[Any], *, length: int | None = None) -> None:
        self._chunks = chunks
        self._left: memoryview | bytes | None = None
        self._is_exhausted = False
        self.length = length
        #: Bytes handed out so far.
        self.offset = 0

    def take(self, size: int) -> list[Any]:
        """Gather up to ``size`` bytes as a list of buffers; fewer only when the source has ended.

        What the source raises comes out as it is.
        """
        gathered: list[Any] = []
        missing = size
        if self._left is not None:
            missing = self._cut(self._left, gathered, missing)
        if missing and not self._is_exhausted:
            missing = self._gather(gathered, missing)
        self.offset += size - missing
        return gathered

    def _gather(self, gathered: list[Any], missing: int) -> int:
        small: list[bytes] = []
        joined = 0
        limit = min(BLOCK, missing)
        # One turn of this loop is paid for every chunk: 48-byte lines make 22 million of a GiB.
        for chunk in self._chunks:
            if type(chunk) is not bytes:
                chunk = _as_bytes(chunk)
            length = len(chunk)
            if length < SMALL_CHUNK:
                small.append(chunk)
                joined += length
                if joined < limit:
                    continue
                chunk = b"".join(small)
                length = joined
                small = []
                joined = 0
            elif joined:
                gathered.append(b"".join(small))
                missing -= joined
                small = []
                joined = 0
            if length < missing:
                gathered.append(chunk)
                missing -= length
                limit = min(BLOCK, missing)
                continue
            return self._cut(chunk, gathered, missing)
        self._is_exhausted = True
        if joined:
            gathered.append(b"".join(small))
            missing -= joined
        return missing

    def _cut(self, chunk: Any, gathered: list[Any], missing: int) -> int:
        """Take what is missing of ``chunk`` and keep the rest; give what is missing still."""
        self._left = None
        if len(chunk) <= missing:
            gathered.append(chunk)
            return missing - len(chunk)
        view = memoryview(chunk)
        gathered.append(view[:missing])
        self._left = view[missing:]
        return 0

    def has_more(self) -> bool:
        """Tell whether a byte is left, pulling one chunk more if that is what it takes."""
        while self._left is None and not self._is_exhausted:
            chunk = next(self._chunks, _NEVER)
            if chunk is _NEVER:
                self._is_exhausted = True
            else:
                chunk = _as_bytes(chunk)
                self._left = chunk if len(chunk) else None
        return self._left is not None

    def close(self) -> None:
        """Let go of the source: generators are closed, so their ``finally`` runs now."""
        self._left = None
        self._is_exhausted = True
        if isinstance(self._chunks, GeneratorType):
            self._chunks.close()  # Other iterators, and files, stay the caller's to close.


def _as_bytes(chunk: Any) -> Any:
    """Give a chunk as something that nobody else can change, copying only what is mutable.

    :raises UnsupportedSourceError: if it is no bytes and no text.
    """
    if isinstance(chunk, bytes):
        return chunk
    if isinstance(chunk, str):
        return chunk.encode("utf-8")
    if isinstance(chunk, int) and not isinstance(chunk, bool):
        # iter(b"...") yields these, and libcloud takes it.
        return bytes((chunk,)) if 0 <= chunk <= 255 else _refuse_chunk(chunk)
    view = _view_of(chunk)
    if view is None:
        return _refuse_chunk(chunk)
    if type(view.obj) is bytes and view.c_contiguous:
        return view.cast("B") if view.nbytes else b""
    # A bytearray or array may be filled anew by the source before this is sent: copy at receipt.
    return view.tobytes()


def _view_of(thing: Any) -> memoryview | None:
    """Give the bytes that a buffer exports; None if it is none, or one of Python's objects."""
    try:
        view = memoryview(thing)
    except (TypeError, ValueError, BufferError):
        return None  # numpy refuses some of its types by a ValueError.
    # The format of a structure holds its fields' names, between colons.
    return None if "O" in re.sub(":[^:]*:", "", view.format) else view


def _refuse_chunk(chunk: Any) -> Any:
    # Integers that are bytes were taken: of [1, 2, 300] only the last is meant.
    what = "an integer that is no byte (0 to 255)" if type(chunk) is int else type(chunk).__name__
    raise UnsupportedSourceError(
        f"the source yielded {what}; chunks are bytes, other buffers, or str"
    )


def _read_chunks(read: Any, size: int = READ_SIZE) -> Iterator[Any]:
    """Yield what ``read`` gives until it gives nothing; short reads are no end."""
    while True:
        chunk = read(size)
        if chunk is None:
            raise UnsupportedSourceError(
                "read() of the source returned None: it is non-blocking and has nothing yet"
            )
        if hasattr(chunk, "__await__"):
            getattr(chunk, "close", bool)()  # Else it is reported as never awaited.
            raise UnsupportedSourceError(
                "read() of the source is async: give the file that it wraps (upload.file of "
                "Starlette and FastAPI), or bridge it with a generator"
            )
        if not len(chunk):
            return
        yield chunk


def _read_answer(source: Any) -> Iterator[Any]:
    """Read the answer of another service; its own reading is silent about one that was cut."""
    yield from _read_chunks(source.read)
    is_plain = isinstance(source, HTTPResponse)
    missing = source.length if is_plain else source.length_remaining
    if missing:
        raise SourceSizeError(f"the source, an HTTP answer, was cut {missing} bytes before its end")


class _WholeBuffer(Splitter):
    """A buffer that the caller holds during the whole call: cut by views, never copied."""

    def __init__(self, view: memoryview) -> None:
        super().__init__(iter(()), length=view.nbytes)
        self._left = view if view.nbytes else None


class FileSplitter(Splitter):
    """A plain regular file: cut by ranges of its descriptor, which whoever sends them reads.

    ``fileno`` and :meth:`skip` give such a range; :meth:`take` reads one, for callers that want
    bytes. What grows at the end while it is uploaded is taken along, as ``read`` would.
    """

    def __init__(self, source: Any, *, start: int, end: int) -> None:
        super().__init__(iter(()), length=end - start)
        self._source = source
        self.fileno: int = source.fileno()
        self._seen = self._stamp()
        self.start = start

    def take(self, size: int) -> list[Any]:
        """Read up to ``size`` bytes as a list of buffers; fewer only at the file's end.

        :raises SourceChangedError: if the file is cut short meanwhile.
        """
        at = self.start + self.offset
        missing = self.skip(size)
        gathered: list[Any] = []
        while missing:
            block = os.pread(self.fileno, min(READ_SIZE, missing), at)
            if not block:
                raise SourceChangedError(f"the file was cut to {at} bytes while it was uploaded")
            gathered.append(block)
            at += len(block)
            missing -= len(block)
        return gathered

    def skip(self, size: int) -> int:
        """Hand out the range of the next ``size`` bytes, or of those that are left.

        :raises SourceChangedError: if the file is shorter than it was at the beginning.
        """
        granted = max(0, min(size, self._size() - self.start - self.offset))
        self.offset += granted
        return granted

    def _size(self) -> int:
        size = os.fstat(self.fileno).st_size
        if size < self._seen[0]:
            raise SourceChangedError(f"the file was cut to {size} bytes while it was uploaded")
        return size

    def _stamp(self) -> tuple[int, int]:
        status = os.fstat(self.fileno)
        return status.st_size, status.st_mtime_ns

    def check_unchanged(self) -> None:
        """Compare size and time of modification with those at the beginning.

        :raises SourceChangedError: if they differ: what was read may be a mixture.
        """
        size, modified = self._stamp()
        if (size, modified) != self._seen:
            raise SourceChangedError(
                f"the file changed while it was uploaded: it had {self._seen[0]} bytes, it has "
                f"{size} now" + ("" if size != self._seen[0] else " and was written to")
            )

    def has_more(self) -> bool:
        return self._size() > self.start + self.offset

    def close(self) -> None:
        """Leave the file open, as libcloud does, at the offset that reading would have left it."""
        if not self._source.closed:
            self._source.seek(self.start + self.offset)


def open_source(source: Any) -> Splitter:
    """Give the splitter for a source, without pulling anything from it.

    ``read`` wins over iteration, as in libcloud. The length is known for buffers, ``str``, lists of
    bytes, ``BytesIO`` and plain files (from their current offset on).

    :raises UnsupportedSourceError: (a TypeError) if it is none.
    """
    if isinstance(source, str):
        source = source.encode("utf-8")
    if isinstance(source, _WHOLE_BUFFERS):
        return _WholeBuffer(_flat(memoryview(source)))
    read = getattr(source, "read", None)
    if callable(read):
        return _open_file(source, read)
    if isinstance(source, Mapping):
        raise _unsupported(source)
    if hasattr(source, "__aiter__"):
        raise _unsupported(source, "; bridge an async one with a generator")
    view = _view_of(source)
    if view is not None:
        return _WholeBuffer(_flat(view))  # Of numpy and ctypes: what iterates gives numbers.
    if isinstance(source, Iterable) or hasattr(source, "__getitem__"):
        length = _sum_of_lengths(source) if isinstance(source, (list, tuple)) else None
        return Splitter(iter(source), length=length)
    if hasattr(source, "__next__"):
        return Splitter(iter(source.__next__, _NEVER))
    raise _unsupported(source)


_NEVER = object()


def _unsupported(source: Any, advice: str = "") -> UnsupportedSourceError:
    return UnsupportedSourceError(
        f"{type(source).__name__} is no source: an upload takes an iterator or iterable of bytes, "
        f"an object with read(), bytes or another buffer, or a str{advice}"
    )


def _flat(view: memoryview) -> memoryview:
    if not view.nbytes:
        return memoryview(b"")
    is_plain = view.c_contiguous and len(view.format) == 1
    return view.cast("B") if is_plain else memoryview(view.tobytes())


def _open_file(source: Any, read: Any) -> Splitter:
    # Exact types only: a wrapper that reports progress or decrypts hands its inner file's
    # descriptor on as well, and what is read through it is not what the descriptor holds.
    if type(source) is io.BytesIO:
        left = source.getbuffer().nbytes - source.tell()
        return Splitter(_read_chunks(read), length=max(0, left))
    is_plain = type(source) is io.FileIO or (
        type(source) is io.BufferedReader and type(source.raw) is io.FileIO
    )
    if is_plain and hasattr(os, "pread"):
        status = os.fstat(source.fileno())
        is_regular = stat.S_ISREG(status.st_mode) and source.seekable()
        if is_regular and _ends_at(source.fileno(), status.st_size):
            start = source.tell()
            return FileSplitter(source, start=start, end=max(start, status.st_size))
    if isinstance(source, HTTPResponse) or hasattr(source, "length_remaining"):
        return Splitter(_read_answer(source))
    return Splitter(_read_chunks(read))


def _ends_at(fileno: int, size: int) -> bool:
    """Tell whether a file ends where it says; those of /proc and /sys say anything."""
    try:
        is_there = not size or bool(os.pread(fileno, 1, size - 1))
        return is_there and not os.pread(fileno, 1, size)
    except OSError:
        return False  # What is wrong with it, its own read says.


def _sum_of_lengths(chunks: Any) -> int | None:
    """Give the bytes of a list of chunks; None where one of them is no plain bytes."""
    if all(type(chunk) is bytes for chunk in chunks):
        return sum(map(len, chunks))
    return None


def check_length(splitter: Splitter, *, announced: int | None, where: str) -> None:
    """Compare what was read with what was announced, once the source has ended.

    :raises SourceSizeError: if they differ.
    """
    if announced is not None and splitter.offset != announced:
        raise SourceSizeError(
            f"the source of {where} ended after {splitter.offset} bytes; {announced} were announced"
        )
