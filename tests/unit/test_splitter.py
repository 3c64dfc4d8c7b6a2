# SPDX-License-Identifier: Apache-2.0
"""The caller's source, of any kind and chunking, cut into parts of the sizes asked."""

from __future__ import annotations

import io
import os
import gzip
import mmap
import array
import ctypes
import tarfile
import zipfile
import tempfile
from typing import Any
from pathlib import Path
from collections import UserList, deque
from http.client import HTTPResponse
from collections.abc import Callable, Iterator, AsyncIterator

import pytest

from libcloud_s3mpu.protocol.errors import (
    SourceSizeError,
    SourceChangedError,
    UnsupportedSourceError,
)
from libcloud_s3mpu.transfer.splitter import (
    BLOCK,
    SMALL_CHUNK,
    Splitter,
    FileSplitter,
    open_source,
    check_length,
)

DATA = bytes(range(256)) * 1200  # 300 KiB: more than a block and more than one read


def pull(splitter: Splitter, size: int) -> list[bytes]:
    """Take parts until the source has ended, as the road does."""
    parts = []
    while True:
        if isinstance(splitter, FileSplitter):
            offset = splitter.start + splitter.offset
            granted = splitter.skip(size)
            part = os.pread(splitter.fileno, granted, offset)
        else:
            before = splitter.offset
            part = b"".join(splitter.take(size))
            assert splitter.offset - before == len(part)
        if not part:
            return parts
        parts.append(part)


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[i : i + size] for i in range(0, len(data), size)]


class ShortReads(io.RawIOBase):
    """A file that gives less than it is asked for."""

    def __init__(self, data: bytes, most: int) -> None:
        self._left = data
        self._most = most

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        size = min(self._most, len(buffer))
        got, self._left = self._left[:size], self._left[size:]
        buffer[: len(got)] = got
        return len(got)


class UploadedFile:
    """As Werkzeug's FileStorage and Django's UploadedFile: read, iteration and a file beneath."""

    def __init__(self, data: bytes) -> None:
        self.stream = self.file = io.BytesIO(data)
        self.name = "upload.bin"
        self.size = len(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.stream)

    def __bool__(self) -> bool:
        return False  # A file without a name is false in Werkzeug.


class OnlyNext:
    """An iterator of old: no ``__iter__``."""

    def __init__(self, chunks: list[bytes]) -> None:
        self._chunks = chunks

    def __next__(self) -> bytes:
        if not self._chunks:
            raise StopIteration
        return self._chunks.pop(0)


class OnlyItems:
    """The sequence protocol of old: ``__getitem__`` until IndexError."""

    def __getitem__(self, index: int) -> bytes:
        return cut(DATA, 1000)[index]


def spooled(data: bytes) -> Any:
    file = tempfile.SpooledTemporaryFile(max_size=1000)  # noqa: SIM115 - closed by the collector
    file.write(data)
    file.seek(0)
    return file


def at_offset(data: bytes) -> io.BytesIO:
    file = io.BytesIO(b"skipped" + data)
    file.seek(7)
    return file


def from_gzip(data: bytes) -> Any:
    return gzip.GzipFile(fileobj=io.BytesIO(gzip.compress(data, 1)))


def from_tar(data: bytes) -> Any:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        entry = tarfile.TarInfo("x")
        entry.size = len(data)
        archive.addfile(entry, io.BytesIO(data))
    packed.seek(0)
    return tarfile.open(fileobj=packed).extractfile("x")


def from_zip(data: bytes) -> Any:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x", data)
    return zipfile.ZipFile(packed).open("x")


def as_mmap(data: bytes) -> mmap.mmap:
    mapped = mmap.mmap(-1, len(data))
    mapped[:] = data
    return mapped


SOURCES: dict[str, Callable[[bytes], Any]] = {
    "bytes": bytes,
    "bytearray": bytearray,
    "memoryview": memoryview,
    "memoryview of ints": lambda data: memoryview(array.array("I", data)),
    "strided memoryview": lambda data: memoryview(bytes(b for x in data for b in (x, 0)))[::2],
    "array": lambda data: array.array("I", data),
    "mmap": as_mmap,
    "str": lambda data: data.decode("latin-1").encode("utf-8").decode("utf-8"),
    "list": lambda data: cut(data, 1000),
    "tuple": lambda data: tuple(cut(data, 70_000)),
    "deque": lambda data: deque(cut(data, 999)),
    "UserList": lambda data: UserList(cut(data, 999)),
    "generator": lambda data: (piece for piece in cut(data, 48)),
    "iterator of ints": iter,
    "only __next__": lambda data: OnlyNext(cut(data, 5000)),
    "only __getitem__": lambda data: OnlyItems(),
    "bytearray chunks": lambda data: iter([bytearray(piece) for piece in cut(data, 20_000)]),
    "memoryview chunks": lambda data: iter([memoryview(piece) for piece in cut(data, 20_000)]),
    "array chunks": lambda data: iter([array.array("H", piece) for piece in cut(data, 20_000)]),
    "BytesIO": io.BytesIO,
    "BytesIO at an offset": at_offset,
    "short reads": lambda data: ShortReads(data, 777),
    "BufferedReader of short reads": lambda data: io.BufferedReader(ShortReads(data, 777)),
    "SpooledTemporaryFile": spooled,
    "gzip": from_gzip,
    "tar": from_tar,
    "zip": from_zip,
    "upload object": UploadedFile,
}


@pytest.mark.parametrize("size", [1000, 65_536, len(DATA), len(DATA) + 1])
@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_every_kind_of_source_is_cut_into_parts_of_the_size_asked(kind: str, size: int) -> None:
    data = DATA
    if kind == "str":
        data = SOURCES["str"](DATA).encode("utf-8")
    assert pull(open_source(SOURCES[kind](DATA)), size) == cut(data, size)


@pytest.mark.parametrize(
    "chunk", [1, 7, 48, SMALL_CHUNK - 1, SMALL_CHUNK, BLOCK, BLOCK + 1, 65_536]
)
@pytest.mark.parametrize("part", [5, 1000, BLOCK, 262_144])
def test_parts_have_exactly_the_size_asked_whatever_the_chunks(chunk: int, part: int) -> None:
    data = DATA if part > 5 else DATA[:3000]
    assert pull(open_source(iter(cut(data, chunk))), part) == cut(data, part)


def test_sizes_may_differ_from_part_to_part() -> None:
    splitter = open_source(iter(cut(DATA, 700)))
    sizes = [1, 5, 100, 1500, 140_000, 10]
    offset = 0
    for size in sizes:
        assert b"".join(splitter.take(size)) == DATA[offset : offset + size]
        offset += size
    assert splitter.offset == offset


def test_small_chunks_are_joined_and_large_ones_are_not_copied() -> None:
    small = open_source(iter([b"x" * 48] * 3000)).take(140_000)
    assert len(small) <= 3
    large = b"y" * BLOCK
    gathered = open_source(iter([large, large])).take(2 * BLOCK)
    assert [piece is large for piece in gathered] == [True, True]


def test_a_large_chunk_is_cut_by_views() -> None:
    large = b"y" * 1_000_000
    splitter = open_source(iter([large]))
    pieces = [splitter.take(300_000)[0] for _ in range(4)]
    assert all(isinstance(piece, memoryview) and piece.obj is large for piece in pieces)
    assert [len(piece) for piece in pieces] == [300_000, 300_000, 300_000, 100_000]


@pytest.mark.parametrize("empty", [b"", "", bytearray(), memoryview(b""), array.array("I")])
@pytest.mark.parametrize("big", [5, 100_000])
def test_an_empty_chunk_never_ends_an_iterator(empty: Any, big: int) -> None:
    data = b"x" * big
    source = iter([empty, empty, data, empty, data, empty])
    assert b"".join(pull(open_source(source), 7)) == data * 2


def test_empty_chunks_become_no_buffers() -> None:
    gathered = open_source(iter([b"", b"x" * 100_000, b"", b"y" * 100_000])).take(200_000)
    assert [len(piece) for piece in gathered] == [100_000, 100_000]


def test_only_an_empty_read_ends_a_file() -> None:
    class Reader:
        answers = [b"abc", b"d", b"", b"never"]

        def read(self, size: int) -> bytes:
            return self.answers.pop(0)

    assert b"".join(pull(open_source(Reader()), 3)) == b"abcd"


def test_a_read_that_has_nothing_yet_is_refused() -> None:
    class NonBlocking:
        def read(self, size: int) -> None:
            return None

    with pytest.raises(UnsupportedSourceError, match="non-blocking"):
        open_source(NonBlocking()).take(5)


def test_a_read_is_asked_for_bounded_amounts() -> None:
    asked = []

    class Reader:
        def read(self, size: int = -1) -> bytes:
            asked.append(size)
            return b""

    open_source(Reader()).take(10**9)
    assert asked and all(0 < size <= 1_048_576 for size in asked)


@pytest.mark.parametrize("make", [bytearray, lambda data: memoryview(bytearray(data))])
def test_a_buffer_that_the_source_fills_anew_is_copied(make: Callable[[bytes], Any]) -> None:
    buffer = make(bytes(20_000))

    def source() -> Iterator[Any]:
        for number in range(3):
            buffer[:] = bytes([number]) * 20_000
            yield buffer

    gathered = open_source(source()).take(60_000)
    assert b"".join(gathered) == b"".join(bytes([n]) * 20_000 for n in range(3))


def test_a_read_only_view_of_a_mutable_buffer_is_copied_too() -> None:
    buffer = bytearray(b"a" * 20_000)
    splitter = open_source(iter([memoryview(buffer).toreadonly()]))
    gathered = splitter.take(20_000)
    buffer[:] = b"b" * 20_000
    assert b"".join(gathered) == b"a" * 20_000


def test_a_kept_rest_of_a_mutable_chunk_is_a_copy() -> None:
    buffer = bytearray(b"a" * 10)
    splitter = open_source(iter([buffer]))
    assert b"".join(splitter.take(4)) == b"aaaa"
    buffer[:] = b"b" * 10
    assert b"".join(splitter.take(6)) == b"aaaaaa"


def test_a_whole_buffer_is_never_copied() -> None:
    buffer = bytearray(100)
    piece = open_source(buffer).take(10)[0]
    assert isinstance(piece, memoryview) and piece.obj is buffer


def test_nothing_is_pulled_before_it_is_asked_for() -> None:
    pulled = []

    def source() -> Iterator[bytes]:
        for number in range(10):
            pulled.append(number)
            yield b"xxxxx"

    splitter = open_source(source())
    assert pulled == []
    splitter.take(5)
    assert pulled == [0]
    splitter.take(7)
    assert pulled == [0, 1, 2]
    splitter.take(3)
    assert pulled == [0, 1, 2]


def test_has_more_pulls_one_chunk_at_most_and_loses_none() -> None:
    splitter = open_source(iter([b"ab", b"", b"cd"]))
    splitter.take(2)
    assert splitter.has_more() and splitter.has_more()
    assert b"".join(splitter.take(5)) == b"cd"
    assert not splitter.has_more()
    assert splitter.take(5) == []


@pytest.mark.parametrize("at", [0, 1, 2])
@pytest.mark.parametrize("ask", ["take", "has_more"])
def test_a_none_among_the_chunks_is_refused_and_never_taken_for_the_end(at: int, ask: str) -> None:
    items: list[Any] = [b"abcde", b"fghij"]
    items.insert(at, None)
    splitter = open_source(iter(items))
    with pytest.raises(UnsupportedSourceError):
        for _ in range(4):
            if ask == "has_more" and splitter.offset == 5 * at:
                splitter.has_more()
            splitter.take(5)


@pytest.mark.parametrize("item", [{}, object(), 1.5, True, 256, -1, ["x"], range(3)])
def test_a_chunk_that_is_no_bytes_is_a_type_error_by_name(item: Any) -> None:
    with pytest.raises(TypeError, match=type(item).__name__):
        open_source(iter([b"x", item])).take(10)


def test_a_number_among_bytes_is_told_in_words() -> None:
    with pytest.raises(TypeError, match=r"an integer that is no byte \(0 to 255\)"):
        open_source([1, 2, 300]).take(10)


async def asynchronous() -> AsyncIterator[bytes]:
    yield b""


class AsyncReader:
    async def read(self, size: int) -> bytes:
        return b""


@pytest.mark.parametrize(
    "source", [{}, {"a": b""}, None, 5, 1.5, object(), True, Path("x"), len, asynchronous()]
)
def test_what_is_no_source_is_a_type_error_by_name(source: Any) -> None:
    with pytest.raises(TypeError, match=type(source).__name__):
        open_source(source)


def test_an_async_source_is_told_what_to_do() -> None:
    with pytest.raises(UnsupportedSourceError, match="bridge an async one"):
        open_source(asynchronous())


def test_a_file_with_an_async_read_is_a_type_error_that_says_what_to_do() -> None:
    with pytest.raises(UnsupportedSourceError, match="async: give the file that it wraps"):
        open_source(AsyncReader()).take(5)


# -- other buffers -------------------------------------------------------------------------------

ONE, TWO = ctypes.c_int(1), ctypes.c_int(2)
NUMBERS = (ctypes.c_int * 2)(1, 2)
STRUCTS = (type("Pair", (ctypes.Structure,), {"_fields_": [("Offset", ctypes.c_byte)]}) * 3)()


@pytest.mark.parametrize("source", [NUMBERS, STRUCTS, memoryview(NUMBERS), ONE])
def test_any_buffer_is_a_source_of_its_bytes_and_a_chunk(source: Any) -> None:
    """Iterating gives its numbers, and a number below 256 would be taken for a byte."""
    data = memoryview(source).tobytes()
    assert b"".join(open_source(source).take(100)) == data
    assert open_source(source).length == len(data)
    assert b"".join(open_source(iter([source])).take(100)) == data


def test_an_array_of_python_objects_is_what_it_holds_and_no_chunk() -> None:
    """Its own bytes are addresses."""
    objects = (ctypes.py_object * 2)(b"a", b"b")
    assert b"".join(open_source(objects).take(100)) == b"ab"
    with pytest.raises(UnsupportedSourceError):
        open_source(iter([objects])).take(100)


def test_what_the_source_raises_comes_out_as_it_is() -> None:
    error = KeyError("mine")

    def source() -> Iterator[bytes]:
        yield b"abc"
        raise error

    splitter = open_source(source())
    with pytest.raises(KeyError) as caught:
        splitter.take(10)
    assert caught.value is error


def test_closing_runs_a_generators_finally() -> None:
    closed = []

    def source() -> Iterator[bytes]:
        try:
            yield b"abc"
            yield b"def"
        finally:
            closed.append(True)

    splitter = open_source(source())
    splitter.take(3)
    assert closed == []
    splitter.close()
    assert closed == [True]
    assert splitter.take(3) == []
    assert not splitter.has_more()


def test_closing_leaves_the_callers_file_open() -> None:
    for file in (io.BytesIO(b"abc"), ShortReads(b"abc", 2)):
        splitter = open_source(file)
        splitter.take(2)
        splitter.close()
        assert not file.closed


@pytest.mark.parametrize(
    ("source", "length"),
    [
        (b"abc", 3),
        ("é", 2),
        (bytearray(4), 4),
        (array.array("I", [1, 2]), 8),
        ([b"ab", b"c"], 3),
        ((b"ab",), 2),
        ([], 0),
        (io.BytesIO(b"abcde"), 5),
        (at_offset(b"abc"), 3),
        (["ab"], None),
        ([b"ab", bytearray(1)], None),
        (iter([b"ab"]), None),
        (ShortReads(b"abc", 1), None),
    ],
)
def test_the_length_is_known_where_the_source_tells_it(source: Any, length: int | None) -> None:
    assert open_source(source).length == length


def test_a_bytesio_behind_its_end_is_empty() -> None:
    file = io.BytesIO(b"abc")
    file.seek(10)
    splitter = open_source(file)
    assert splitter.length in (0, None)
    assert splitter.take(5) == []


# -- answers of other services ---------------------------------------------------------------------


class Wire(io.BytesIO):
    """A socket that an answer is read from."""

    def makefile(self, mode: str) -> Wire:
        return self


def answer(data: bytes) -> HTTPResponse:
    made = HTTPResponse(Wire(data))  # type: ignore[arg-type]
    made.begin()
    return made


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"


class Counting(ShortReads):
    """As urllib3 has it."""

    length_remaining: int | None = 3


def test_an_answer_that_was_cut_is_no_whole_source() -> None:
    """Its own reading is silent about it."""
    assert answer(HEAD + b"half").read(10) == b"half"
    for source in (answer(HEAD + b"half"), Counting(b"half", 2)):
        with pytest.raises(SourceSizeError, match=r"was cut [36] bytes before its end"):
            pull(open_source(source), 3)


@pytest.mark.parametrize(
    "data", [HEAD + b"0123456789", b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n0123456789"]
)
def test_an_answer_that_came_whole_is_a_source(data: bytes) -> None:
    assert b"".join(pull(open_source(answer(data)), 3)) == b"0123456789"


@pytest.mark.parametrize("left", [0, None])
def test_an_answer_that_misses_nothing_or_does_not_know_is_a_source(left: int | None) -> None:
    source = Counting(b"whole", 2)
    source.length_remaining = left
    assert b"".join(pull(open_source(source), 3)) == b"whole"


# -- plain files -----------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(DATA)
    return path


@pytest.mark.parametrize("buffering", [-1, 0])
@pytest.mark.parametrize("offset", [0, 1000, len(DATA)])
def test_an_open_file_is_cut_by_ranges_from_its_offset(
    path: Path, buffering: int, offset: int
) -> None:
    with open(path, "rb", buffering) as file:
        file.seek(offset)
        splitter = open_source(file)
        assert isinstance(splitter, FileSplitter)
        assert splitter.length == len(DATA) - offset
        assert b"".join(pull(splitter, 70_000)) == DATA[offset:]
        splitter.close()
        assert file.tell() == len(DATA)
        assert not file.closed


def test_a_range_of_an_open_file_can_be_had_as_bytes(path: Path) -> None:
    with open(path, "rb") as file:
        file.seek(10)
        splitter = open_source(file)
        assert b"".join(splitter.take(290_000)) == DATA[10:290_010]
        assert splitter.has_more()
        assert b"".join(splitter.take(290_000)) == DATA[290_010:]
        assert splitter.take(1) == []


def test_a_file_that_is_cut_short_while_it_is_read_is_noticed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open(path, "rb") as file:
        splitter = open_source(file)
        granted = splitter.skip  # type: ignore[attr-defined]

        def cut_behind(size: int) -> Any:
            given = granted(size)
            os.truncate(path, 5)
            return given

        monkeypatch.setattr(splitter, "skip", cut_behind)
        with pytest.raises(SourceChangedError, match="cut to 5 bytes"):
            splitter.take(10)


def test_a_file_that_was_read_from_before_goes_on_where_it_stood(path: Path) -> None:
    with open(path, "rb") as file:
        file.read(10)  # The buffered reader is further than that.
        assert b"".join(pull(open_source(file), 70_000)) == DATA[10:]


@pytest.mark.parametrize("left", [0, 100, 1000, len(DATA) - 1])
def test_a_file_that_was_cut_between_two_parts_does_not_end_there(path: Path, left: int) -> None:
    """An upload that began with more must not succeed with less."""
    with open(path, "rb") as file:
        splitter = open_source(file)
        assert isinstance(splitter, FileSplitter)
        splitter.skip(1000)
        os.truncate(path, left)
        for look in (splitter.has_more, lambda: splitter.skip(1000), lambda: splitter.take(1000)):
            with pytest.raises(SourceChangedError, match=f"cut to {left} bytes"):
                look()


@pytest.mark.parametrize("buffering", [-1, 0])
@pytest.mark.parametrize("says", [0, 1000, len(DATA) + 4096])
def test_a_file_that_does_not_end_where_it_says_is_read_to_its_end(
    says: int, buffering: int, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of /proc say that they are empty, those of /sys that they have 4,096 bytes."""
    real = os.fstat
    monkeypatch.setattr(
        os, "fstat", lambda number: os.stat_result((*real(number)[:6], says, *real(number)[7:]))
    )
    with open(path, "rb", buffering) as file:
        assert b"".join(pull(open_source(file), 70_000)) == DATA


@pytest.mark.parametrize("path", ["/proc/version", "/sys/kernel/mm/transparent_hugepage/enabled"])
def test_what_the_kernel_makes_up_is_read(path: str) -> None:
    if not os.path.exists(path):
        pytest.skip("not on this system")
    with open(path, "rb") as file:
        data = file.read()
        file.seek(0)
        assert data and b"".join(pull(open_source(file), 7)) == data


def test_a_file_that_cannot_be_read_says_so_itself(path: Path) -> None:
    with open(path, "r+b", 0) as both, io.FileIO(str(path), "a") as file:
        assert both.read(1)
        with pytest.raises(io.UnsupportedOperation):
            open_source(file).take(1)


def test_an_offset_behind_the_end_is_an_empty_source(path: Path) -> None:
    with open(path, "rb") as file:
        file.seek(len(DATA) + 5)
        splitter = open_source(file)
        assert splitter.length == 0
        assert not splitter.has_more()
        assert pull(splitter, 10) == []


def test_a_file_that_grew_is_noticed_and_taken_along(path: Path) -> None:
    with open(path, "rb") as file:
        splitter = open_source(file)
        assert isinstance(splitter, FileSplitter)
        splitter.check_unchanged()
        with open(path, "ab") as writer:
            writer.write(b"more")
        assert b"".join(pull(splitter, 70_000)) == DATA + b"more"
        with pytest.raises(SourceChangedError, match=f"it has {len(DATA) + 4} now"):
            splitter.check_unchanged()


def test_a_file_written_to_in_place_is_noticed(path: Path) -> None:
    with open(path, "rb") as file:
        splitter = open_source(file)
        assert isinstance(splitter, FileSplitter)
        status = os.stat(path)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
        with pytest.raises(SourceChangedError, match="was written to"):
            splitter.check_unchanged()


class Progress:
    """What tqdm and friends do: everything of the inner file, but their own ``read``."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.seen = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def read(self, size: int = -1) -> bytes:
        data: bytes = self._file.read(size)
        self.seen += len(data)
        return data.upper()


def test_a_wrapper_around_a_file_is_read_through_its_own_read(tmp_path: Path) -> None:
    path = tmp_path / "lower"
    path.write_bytes(b"abc" * 1000)
    with open(path, "rb") as file:
        wrapper = Progress(file)
        assert wrapper.fileno() == file.fileno()
        assert b"".join(pull(open_source(wrapper), 700)) == b"ABC" * 1000
        assert wrapper.seen == 3000


def test_a_subclass_of_a_file_is_read_through_its_own_read(path: Path) -> None:
    class Upper(io.FileIO):
        def read(self, size: int | None = -1, /) -> Any:
            return (super().read(size) or b"").hex().encode()

    class Rot(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(size)[::-1]

    with Upper(path) as file:
        assert b"".join(pull(open_source(file), 70_000)) == DATA.hex().encode()
    assert b"".join(pull(open_source(Rot(b"abc")), 10)) == b"cba"


def test_a_reader_of_a_wrapped_raw_file_is_read_through_it(path: Path) -> None:
    class Raw(io.FileIO):
        pass

    with io.BufferedReader(Raw(path)) as file:
        assert not isinstance(open_source(file), FileSplitter)


def test_a_file_open_for_update_is_read_through_its_buffer(path: Path) -> None:
    with open(path, "r+b") as file:
        file.write(b"unflushed")
        assert b"".join(pull(open_source(file), 70_000)) == DATA[9:]


def test_a_text_file_is_read_as_utf8(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_text("grüße\n" * 10, encoding="utf-8")
    with open(path, encoding="utf-8") as file:
        assert b"".join(pull(open_source(file), 7)) == path.read_bytes()


def test_a_pipe_is_read_to_its_end() -> None:
    reading, writing = os.pipe()
    with open(reading, "rb") as source, open(writing, "wb") as target:
        target.write(b"abc" * 100)
        target.close()
        splitter = open_source(source)
        assert splitter.length is None
        assert b"".join(pull(splitter, 7)) == b"abc" * 100


def test_a_source_shorter_than_announced_is_refused() -> None:
    splitter = open_source(b"abc")
    splitter.take(10)
    check_length(splitter, announced=None, where="b/k")
    check_length(splitter, announced=3, where="b/k")
    with pytest.raises(SourceSizeError, match=r"b/k ended after 3 bytes; 4 were announced"):
        check_length(splitter, announced=4, where="b/k")
