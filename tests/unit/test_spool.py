# SPDX-License-Identifier: Apache-2.0
"""Where a part waits: each body can be sent again from its beginning and lets go when told."""

from __future__ import annotations

import os
import tempfile
from typing import Any
from pathlib import Path
from collections.abc import Iterator

import pytest

from libcloud_s3mpu.transfer import spool
from libcloud_s3mpu.protocol.errors import SourceChangedError
from libcloud_s3mpu.transfer.splitter import open_source

DATA = bytes(range(256)) * 3000  # 750 KiB: three blocks of a file


def joined(body: Any) -> bytes:
    return b"".join(bytes(buffer) for buffer in body.buffers())


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every temporary file that the test has made."""
    files: list[Any] = []
    real = tempfile.TemporaryFile

    def make(*args: Any, **kwargs: Any) -> Any:
        files.append(real(*args, **kwargs))
        return files[-1]

    monkeypatch.setattr(tempfile, "TemporaryFile", make)
    return files


def test_a_part_in_memory_is_its_chunks_until_it_is_released() -> None:
    pieces = [b"ab", memoryview(b"cd")]
    body = spool.MemoryBody(pieces, 4)
    assert body.size == 4
    assert [piece is given for piece, given in zip(body.buffers(), pieces, strict=True)]
    assert joined(body) == joined(body) == b"abcd"
    body.release()
    assert list(body.buffers()) == []


@pytest.mark.parametrize(("offset", "size"), [(0, len(DATA)), (1000, 300_000), (5, 1)])
def test_a_range_of_a_file_can_be_read_again_and_again(
    tmp_path: Path, offset: int, size: int
) -> None:
    path = tmp_path / "file"
    path.write_bytes(DATA)
    with open(path, "rb") as file:
        body = spool.FileBody(file.fileno(), offset, size)
        assert joined(body) == joined(body) == DATA[offset : offset + size]
        body.release()
        assert not file.closed
        assert file.tell() == 0


def test_two_readers_of_a_file_do_not_disturb_each_other(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(DATA)
    with open(path, "rb") as file:
        first = spool.FileBody(file.fileno(), 0, 600_000).buffers()
        second = spool.FileBody(file.fileno(), 100, 600_000).buffers()
        one, other = b"", b""
        for a, b in zip(first, second, strict=True):
            one += bytes(a)
            other += bytes(b)
    assert (one, other) == (DATA[:600_000], DATA[100:600_100])


def test_a_file_that_became_shorter_is_an_error_with_its_offset(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    told = r"ended at offset 3.*at least 5 bytes"
    with open(path, "rb") as file, pytest.raises(SourceChangedError, match=told):
        joined(spool.FileBody(file.fileno(), 0, 5))


def test_systems_without_preadv_read_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def by_seek(fileno: int, block: memoryview, offset: int) -> int:
        os.lseek(fileno, offset, os.SEEK_SET)
        data = os.read(fileno, len(block))
        block[: len(data)] = data
        return len(data)

    monkeypatch.setattr(spool, "_pread_into", by_seek)
    path = tmp_path / "file"
    path.write_bytes(DATA)
    with open(path, "rb") as file:
        assert joined(spool.FileBody(file.fileno(), 7, 300_000)) == DATA[7:300_007]


@pytest.mark.parametrize("size", [1, 1000, len(DATA), len(DATA) + 1])
def test_a_spooled_part_holds_what_was_taken(size: int, opened: list[Any]) -> None:
    body = spool.spool_to_file(open_source(DATA).take, size, directory=None)
    assert body is not None
    assert body.size == min(size, len(DATA))
    assert joined(body) == joined(body) == DATA[:size]
    body.release()
    assert [file.closed for file in opened] == [True]


def test_spooling_takes_blocks_that_fit_into_memory(opened: list[Any]) -> None:
    asked = []
    left = 3 * spool.SPOOL_BLOCK + 5

    def take(size: int) -> list[bytes]:
        nonlocal left
        asked.append(size)
        got = min(size, left)
        left -= got
        return [bytes(got)] if got else []

    body = spool.spool_to_file(take, 10 * spool.SPOOL_BLOCK, directory=None)
    assert body is not None
    assert body.size == 3 * spool.SPOOL_BLOCK + 5
    assert max(asked) == spool.SPOOL_BLOCK
    body.release()


def test_a_source_that_has_ended_spools_nothing(opened: list[Any]) -> None:
    assert spool.spool_to_file(open_source(b"").take, 10, directory=None) is None
    assert [file.closed for file in opened] == [True]


def test_a_source_that_raises_leaves_no_file(opened: list[Any]) -> None:
    def source() -> Iterator[bytes]:
        yield b"abc"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        spool.spool_to_file(open_source(source()).take, 10, directory=None)
    assert [file.closed for file in opened] == [True]


def test_the_file_lies_in_the_folder_that_was_asked_for_and_has_no_name(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        spool.spool_to_file(open_source(b"abc").take, 3, directory=str(tmp_path / "missing"))
    body = spool.spool_to_file(open_source(b"abc").take, 3, directory=str(tmp_path))
    assert body is not None
    device = os.fstat(body.fileno).st_dev
    assert device == os.stat(tmp_path).st_dev
    body.release()
    assert list(tmp_path.iterdir()) == []
