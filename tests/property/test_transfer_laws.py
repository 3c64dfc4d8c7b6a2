# SPDX-License-Identifier: Apache-2.0
"""Laws of the road and its edges: whatever goes in comes out, or nothing is left."""

from __future__ import annotations

import io
from typing import Any
from itertools import pairwise
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fake_s3 import faults
from tests.property import strategies
from tests.unit.small import Service, service
from libcloud_s3mpu.transfer.pace import Pace, Patience
from libcloud_s3mpu.transfer.spool import spool_to_file
from libcloud_s3mpu.transfer.splitter import open_source

pytestmark = pytest.mark.property
#: A few exchanges over loopback each: as many as fit into a second or two.
FEW = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def rejoined(source: Any, sizes: list[int]) -> tuple[bytes, list[int]]:
    splitter = open_source(source)
    parts: list[bytes] = []
    while True:
        before = splitter.offset
        part = b"".join(splitter.take(sizes[len(parts) % len(sizes)]))
        assert splitter.offset - before == len(part)
        if not part:
            assert not splitter.has_more()
            return b"".join(parts), [len(part) for part in parts]
        parts.append(part)


@settings(deadline=None)
@given(strategies.chunkings(), st.lists(strategies.part_sizes, min_size=1, max_size=4))
def test_any_chunking_rejoins_to_the_same_bytes(
    chunking: tuple[bytes, list[Any]], sizes: list[int]
) -> None:
    data, chunks = chunking
    sizes = [max(size, len(data) // 200) for size in sizes]  # No example has 100,000 parts.
    joined, lengths = rejoined(iter(chunks), sizes)
    assert joined == data
    assert all(lengths[i] == sizes[i % len(sizes)] for i in range(len(lengths) - 1))


@settings(deadline=None)
@given(st.binary(max_size=2000), st.lists(st.integers(1, 300), min_size=1), strategies.part_sizes)
def test_any_short_reads_rejoin_to_the_same_bytes(data: bytes, reads: list[int], size: int) -> None:
    class Reader:
        def __init__(self) -> None:
            self.file = io.BytesIO(data)
            self.number = 0

        def read(self, most: int) -> bytes:
            self.number += 1
            return self.file.read(min(most, reads[self.number % len(reads)]))

    joined, _ = rejoined(Reader(), [size])
    assert joined == data


@settings(deadline=None)
@given(st.text(max_size=300), st.integers(1, 50))
def test_text_arrives_as_utf8(text: str, size: int) -> None:
    encoded = text.encode("utf-8")
    assert rejoined(text, [size])[0] == encoded
    assert rejoined(iter(list(text)), [size])[0] == encoded


@settings(deadline=None)
@given(strategies.chunkings(), st.lists(st.booleans(), max_size=10))
def test_asking_whether_there_is_more_loses_nothing(
    chunking: tuple[bytes, list[Any]], asks: list[bool]
) -> None:
    data, chunks = chunking
    splitter = open_source(iter(chunks))
    got = b""
    for ask in asks:
        if ask:
            assert splitter.has_more() == (len(got) < len(data))
        else:
            got += b"".join(splitter.take(1000))
    while splitter.has_more():
        got += b"".join(splitter.take(100_000))
    assert got == data


@settings(deadline=None)
@given(strategies.chunkings(), st.integers(1, 300_000))
def test_a_spooled_part_is_what_was_taken(chunking: tuple[bytes, list[Any]], size: int) -> None:
    data, chunks = chunking
    body = spool_to_file(open_source(iter(chunks)).take, size, directory=None)
    if body is None:
        assert data == b""
        return
    try:
        assert b"".join(bytes(piece) for piece in body.buffers()) == data[:size]
    finally:
        body.release()


SECONDS = st.floats(0, 1000)


@given(
    st.lists(st.tuples(SECONDS, SECONDS, st.integers(1, 2**40), st.integers(1, 30)), max_size=60),
    st.integers(1, 100),
)
def test_the_level_stays_between_two_and_its_ceiling(
    parts: list[tuple[float, float, int, int]], ceiling: int
) -> None:
    pace = Pace()
    for wall, cpu, size, in_flight in parts:
        pace.note(wall=wall, cpu=cpu, size=size, in_flight=in_flight)
        assert min(2, ceiling) <= pace.level(ceiling) <= ceiling


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 10), st.floats(0, 1000)), max_size=60))
def test_patience_stays_within_its_bounds_and_never_gives_up_for_good(
    events: list[tuple[bool, float, float]],
) -> None:
    patience = Patience()
    for is_hit, waited, elapsed in events:
        (patience.hit if is_hit else patience.missed)(waited)
        assert Patience.LEAST <= patience.seconds(elapsed) <= Patience.MOST
    assert any(patience.tries_inline() for _ in range(Patience.RETRY_EVERY))


# -- the road --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def running() -> Iterator[Service]:
    with service() as it:
        yield it


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    points = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    return [data[a:b] for a, b in pairwise(points)] + [b""]


@FEW
@given(
    data=st.binary(max_size=100),
    cuts=st.lists(st.integers(0, 100), max_size=10),
    concurrency=st.sampled_from([None, 1, 3]),
    budget=st.sampled_from([6, 20, 1000]),
)
def test_whatever_is_uploaded_is_stored(
    running: Service, data: bytes, cuts: list[int], concurrency: int | None, budget: int
) -> None:
    done = running.upload(
        iter(split(data, cuts)), concurrency=concurrency, memory_budget_bytes=budget
    )
    assert running.stored() == data
    assert done.size == len(data)
    assert done.extra["parts"] == max(1, -(-len(data) // 5))
    assert running.fake.uploads == {}


FAULTS = st.sampled_from(
    [
        faults.error("InternalError"),
        faults.error("SlowDown"),
        faults.error("RequestTimeout"),
        faults.error_in_200("InternalError"),
        faults.html(502),
        faults.empty_body(503),
        faults.missing_etag(),
        faults.corrupt_received(),
        faults.reset("head"),
        faults.reset("body", after_bytes=2),
        faults.reset("answer"),
        faults.close("head"),
        faults.close("answer"),
        faults.close("answer", after_bytes=20, applied=True),
        faults.raw(b"garbage\r\n\r\n"),
        faults.hang_up(),
        faults.hang_up(announced=True),
        faults.answer_early(faults.error("SlowDown")),
    ]
)


@FEW
@given(
    plan=st.lists(st.tuples(st.integers(1, 6), FAULTS), min_size=1, max_size=4),
    concurrency=st.sampled_from([None, 1, 3]),
)
def test_parts_survive_any_few_faults(
    running: Service, plan: list[tuple[int, Any]], concurrency: int | None
) -> None:
    running.fake.clear_scripts()
    for number, fault in plan:
        running.fake.script("UploadPart", fault, part_number=number)
    data = bytes(range(30))
    running.upload(iter(split(data, [3, 11])), concurrency=concurrency)
    assert running.stored() == data
    assert running.fake.uploads == {}


@FEW
@given(
    at=st.integers(0, 8),
    error=st.sampled_from([OSError, KeyboardInterrupt, SystemExit, GeneratorExit, MemoryError]),
    concurrency=st.sampled_from([None, 1, 3]),
    size=st.integers(1, 9),
)
def test_a_source_that_raises_anywhere_leaves_nothing(
    running: Service, at: int, error: type[BaseException], concurrency: int | None, size: int
) -> None:
    running.fake.clear_scripts()
    running.fake.objects["bucket"].clear()
    raised = error("mine")

    def source() -> Iterator[bytes]:
        for _ in range(at):
            yield b"x" * size
        raise raised

    with pytest.raises(error) as caught:
        running.upload(source(), concurrency=concurrency)
    assert caught.value is raised
    assert running.fake.uploads == {}
    assert running.keys == []
