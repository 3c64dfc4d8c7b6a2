# SPDX-License-Identifier: Apache-2.0
"""Catalogue G, 68 to 74: what the source yields."""

from __future__ import annotations

import io
import sys
import json
import time
import array
import subprocess
from typing import Any
from pathlib import Path
from collections.abc import Iterator

import pytest

from tests.fake_s3 import FakeLimits
from tests.unit.small import AT_ONCE, whole, chunks
from tests.test_memory import store
from tests.faults.outcomes import Tried, MakeTried
from libcloud_s3mpu.protocol.limits import Limits
from libcloud_s3mpu.protocol.options import UploadOptions

ROOT = Path(__file__).parents[2]
MIB = 1024 * 1024

SHAPES: dict[str, Any] = {
    "bytes": lambda data: data,
    "list": lambda data: [data],
    "tuple of chunks": lambda data: tuple(data[at : at + 3] for at in range(0, len(data), 3)),
    "generator": lambda data: (data[at : at + 7] for at in range(0, len(data), 7)),
    "BytesIO": io.BytesIO,
    "bytearray": bytearray,
    "memoryview": memoryview,
}


@pytest.mark.parametrize("size", [0, 1, 4, 5, 6, 9, 10, 11, 99, 100])
@pytest.mark.parametrize("shape", SHAPES)
def test_f68_every_shape_and_size_arrives(shape: str, size: int, s3: Tried) -> None:
    data = whole(20)[:size]
    s3.succeeds(SHAPES[shape](data), data)


def larger(make_s3: MakeTried) -> Tried:
    """A service with parts of 256 KiB."""
    s3 = make_s3(limits=FakeLimits())
    s3.driver.ex_limits = Limits(min_part_size=5)  # type: ignore[misc]
    s3.driver.ex_options = UploadOptions(part_size_bytes=MIB // 4, retry=AT_ONCE)
    return s3


def test_f69_single_bytes_take_linear_time(make_s3: MakeTried) -> None:
    s3 = larger(make_s3)
    data = bytes(range(256)) * 2048
    began = time.process_time()
    s3.succeeds((data[at : at + 1] for at in range(len(data))), data)
    # Half a second here; joining what came so far at each chunk takes minutes.
    assert time.process_time() - began < 10


def test_f69_mixed_sizes_arrive(make_s3: MakeTried) -> None:
    s3 = larger(make_s3)
    sizes = [1, 70_000, 3, 262_144, 262_145, 0, 16_383, 16_384, 1_000_000, 5]
    pieces = [bytes([number]) * size for number, size in enumerate(sizes)]
    s3.succeeds(iter(pieces), b"".join(pieces))


HUGE = """
import sys, json
sys.path.insert(0, sys.argv[1])
import libcloud_s3mpu
from libcloud.storage.base import Container

def status(name):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(name + ":"))

driver = libcloud_s3mpu.AmazonS3MultipartDriver(
    "key", "secret", host="127.0.0.1", port=int(sys.argv[2]), secure=False)
container = Container("bucket", {}, driver)
driver.upload_object_via_stream(b"warm", container, "warm")
chunk = bytes(256 << 20)
memoryview(chunk)[:: 4096].tobytes()  # Every page of it is there.
before = status("VmRSS")
result = driver.upload_object_via_stream(iter([chunk]), container, "key")
print(json.dumps([before, status("VmHWM"), result.size]))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_f70_one_huge_chunk_is_not_copied() -> None:
    with store() as it:
        done = subprocess.run(
            [sys.executable, "-c", HUGE, str(ROOT), str(it.port)],
            capture_output=True,
            text=True,
            timeout=25,
            check=True,
        )
    before, peak, size = json.loads(done.stdout)
    assert size == 256 * MIB
    assert peak - before < 64 * MIB, f"{(peak - before) / MIB:.1f} MiB besides the chunk"


@pytest.mark.parametrize("every", [1, 3, 5])
def test_f71_empty_chunks_are_no_end(every: int, s3: Tried) -> None:
    def source() -> Iterator[bytes]:
        yield b""
        for number, chunk in enumerate(chunks(8)):
            yield from [b""] * (number % every + 1)
            yield chunk
        yield b""

    s3.succeeds(source(), whole(8))


def test_f72_buffers_of_any_kind_are_taken(s3: Tried) -> None:
    numbers = array.array("I", range(4))
    source = [
        bytearray(b"abc"),
        memoryview(b"defg"),
        numbers,
        memoryview(numbers)[1:],
        memoryview(b"0123456789")[::2].tobytes(),
    ]
    data = b"".join(bytes(memoryview(item).cast("B")) for item in source)
    s3.succeeds(iter(source), data)


def test_f72_a_buffer_that_the_source_uses_again_is_copied_in_time(s3: Tried) -> None:
    def source() -> Iterator[Any]:
        buffer = bytearray(5)
        for chunk in chunks(20):
            buffer[:] = chunk
            yield buffer
        buffer[:] = b"#####"

    s3.succeeds(source(), whole(20), concurrency=4)


def test_f73_text_is_utf_8(s3: Tried) -> None:
    s3.succeeds(iter(["aä🦊", b"x" * 9]), "aä🦊".encode() + b"x" * 9)


@pytest.mark.parametrize("at", [0, 1, 2, 7])
@pytest.mark.parametrize("bad", [None, 1.5, object(), ["a"], {}])
def test_f73_anything_else_is_a_type_error(bad: Any, at: int, s3: Tried) -> None:
    s3.fails(TypeError, iter([*chunks(at), bad, b"rest"]))


class Short:
    """A file-like object whose reads give less than was asked for."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.asked: list[int] = []

    def read(self, size: int = -1) -> bytes:
        self.asked.append(size)
        count = 1 + len(self.asked) % 3
        piece, self._data = self._data[:count], self._data[count:]
        return piece


def test_f74_short_reads_are_no_end(s3: Tried) -> None:
    source = Short(whole(20))
    result = s3.succeeds(source, whole(20))
    assert result.extra["parts"] == 20  # Every part is filled before it is sent.
    assert all(0 < size <= MIB * 16 for size in source.asked)
