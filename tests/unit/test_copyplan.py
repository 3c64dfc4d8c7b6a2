# SPDX-License-Identifier: Apache-2.0
"""The parts of a joined object: every byte once, in order, within the limits, few streamed."""

from __future__ import annotations

import random
from dataclasses import replace
from collections.abc import Sequence

import pytest

from libcloud_s3mpu.protocol.errors import SourceSizeError, InvalidRequestError
from libcloud_s3mpu.protocol.limits import GIB, MIB, TIB, S3_LIMITS, Limits
from libcloud_s3mpu.protocol.copyplan import Piece, PlannedPart, planned, copied_part_size

SMALL = Limits(5, 50, 20, 300)


def plan(sizes: Sequence[int], limits: Limits = SMALL, **how: object) -> list[PlannedPart]:
    return planned(sizes, limits, where="b/k", **how)  # type: ignore[arg-type]


def streamed(parts: list[PlannedPart]) -> int:
    return sum(part.size for part in parts if not part.is_copied)


def check(parts: list[PlannedPart], sizes: Sequence[int], limits: Limits) -> None:
    """The laws that every plan keeps."""
    place = [0, 0]
    for number, part in enumerate(parts, 1):
        assert part.part_number == number
        assert part.size <= limits.max_part_size
        assert part.size >= limits.min_part_size or number == len(parts)
        for piece in part.pieces:
            while place[1] == sizes[place[0]]:
                place = [place[0] + 1, 0]
            assert (piece.source, piece.first) == tuple(place)
            assert piece.size > 0
            place[1] += piece.size
        if part.is_copied:
            (one,) = part.pieces
            # S3 takes no range of a source that is not larger than the smallest part.
            assert one.size == sizes[one.source] or sizes[one.source] > limits.min_part_size
    assert sum(part.size for part in parts) == sum(sizes)
    assert len(parts) <= limits.max_parts
    if limits.uniform_parts and parts:
        assert {part.size for part in parts[:-1]} <= {parts[0].size}
        assert parts[-1].size <= parts[0].size


@pytest.mark.parametrize("seed", range(40))
def test_every_byte_is_in_one_part_and_every_part_is_legal(seed: int) -> None:
    rng = random.Random(seed)
    refused = 0
    for _ in range(50):
        limits = Limits(5, rng.choice([10, 12, 50]), rng.choice([6, 20]), 300, rng.random() < 0.3)
        sizes = [rng.choice([0, 1, 4, 5, 6, 9, 10, 11, 30, 51]) for _ in range(rng.randint(0, 8))]
        copies = [rng.random() < 0.8 for _ in sizes]
        part_size = rng.choice([None, None, 5, 7, 10])
        try:
            parts = plan(sizes, limits, can_copy=copies, part_size=part_size)
        except SourceSizeError:
            refused += 1
            assert sum(sizes) > (limits.max_parts - 1) * limits.max_part_size // 2
            continue
        check(parts, sizes, limits)
    assert refused < 50


def test_nothing_is_made_of_nothing() -> None:
    assert plan([]) == plan([0, 0]) == []


def test_a_large_source_is_copied_whole() -> None:
    for size in (51, 99, 300):
        assert streamed(plan([size])) == 0
    assert streamed(plan([60, 5, 50, 3])) == 0  # The last part may be small.


def test_a_small_source_takes_what_it_lacks_from_the_next() -> None:
    parts = plan([3, 40])
    assert parts[0] == PlannedPart(
        part_number=1, pieces=(Piece(0, 0, 3), Piece(1, 0, 2)), is_copied=False
    )
    assert parts[1].is_copied
    assert parts[1].pieces == (Piece(1, 2, 38),)


def test_what_would_leave_too_little_is_streamed_whole() -> None:
    (part,) = plan([3, 6])
    assert (part.size, part.is_copied) == (9, False)


def test_small_neighbours_are_packed() -> None:
    parts = plan([1] * 12)
    assert [part.size for part in parts] == [5, 5, 2]
    assert not any(part.is_copied for part in parts)


def test_larger_sources_are_packed_too_once_the_parts_run_out() -> None:
    parts = plan([6] * 40)
    check(parts, [6] * 40, SMALL)


def test_ten_thousand_parts_of_s3_are_enough_for_twenty_thousand_objects() -> None:
    sizes = [6 * MIB] * 20_000
    parts = plan(sizes, S3_LIMITS)
    check(parts, sizes, S3_LIMITS)


def test_a_service_that_copies_no_parts_has_all_streamed_by_an_uploads_schedule() -> None:
    parts = plan([60, 60], replace(SMALL, max_parts=500), can_copy=False, part_size=10)
    assert [part.size for part in parts] == [10] * 12
    assert streamed(parts) == 120


def test_equal_parts_span_sources_only_where_these_end() -> None:
    limits = replace(SMALL, uniform_parts=True)
    parts = plan([23, 40], limits, part_size=10)
    check(parts, [23, 40], limits)
    assert [part.is_copied for part in parts] == [True, True, False, True, True, True, True]


@pytest.mark.parametrize(
    ("sizes", "limits"),
    [([301], SMALL), ([150, 151], SMALL), ([100] * 3, replace(SMALL, max_parts=3))],
)
def test_what_does_not_fit_is_refused(sizes: list[int], limits: Limits) -> None:
    with pytest.raises(SourceSizeError, match="b/k cannot be made"):
        plan(sizes, limits)


def test_a_part_size_outside_the_limits_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="part_size_bytes must be 5 to 50"):
        plan([60], part_size=51)


@pytest.mark.parametrize(
    ("size", "part"),
    [
        (10 * MIB, 5 * MIB),
        (1 * GIB, 13 * MIB),
        (10 * GIB, 32 * MIB),
        (300 * GIB, 32 * MIB),
        (5 * TIB, 549_781_504),
    ],
)
def test_the_size_of_a_copied_part(size: int, part: int) -> None:
    assert copied_part_size(S3_LIMITS, part_size=None, size=size) == part
    check(plan([size], S3_LIMITS), [size], S3_LIMITS)


def test_the_largest_object_can_be_copied() -> None:
    size = S3_LIMITS.max_object_size
    check(plan([size], S3_LIMITS), [size], S3_LIMITS)
