# SPDX-License-Identifier: Apache-2.0
"""Where the cuts are; the laws over all limits are in ``tests/property/``."""

from __future__ import annotations

from typing import Any

import pytest

from libcloud_s3mpu.protocol.limits import (
    GIB,
    KIB,
    MIB,
    TIB,
    R2_LIMITS,
    S3_LIMITS,
    SCALEWAY_LIMITS,
    Limits,
)
from libcloud_s3mpu.protocol.partsize import part_schedule


@pytest.mark.parametrize(
    ("part_mib", "at_gib"), [(7.5, 2.4), (10, 6), (20, 18), (40, 43), (80, 92)]
)
def test_the_published_table_is_true(part_mib: float, at_gib: float) -> None:
    schedule = part_schedule(S3_LIMITS)
    size = int(part_mib * MIB)
    first = next(n for n in range(1, 10_001) if schedule.size_of(n) >= size)
    assert schedule.size_of(first) == size
    assert schedule.offset_of(first) / GIB == pytest.approx(at_gib, abs=0.5)


def test_the_ladder_climbs_every_five_per_cent_of_the_part_numbers() -> None:
    schedule = part_schedule(S3_LIMITS)
    rungs = [schedule.size_of(1 + 500 * step) / (5 * MIB) for step in range(8)]
    assert rungs == [1, 1.5, 2, 3, 4, 6, 8, 12]
    assert schedule.size_of(500) == 5 * MIB


def test_an_unknown_length_reaches_27_tib_on_amazon_and_six_where_that_is_the_maximum() -> None:
    assert int(part_schedule(S3_LIMITS).reach / TIB) == 27
    five = Limits(max_object_size=5 * TIB)
    schedule = part_schedule(five)
    assert schedule.reach >= 5 * TIB
    assert int(schedule.reach / TIB) == 6


@pytest.mark.parametrize("how", ["size", "size_hint"])
def test_an_announced_length_is_carried_up_to_the_largest_object(how: str) -> None:
    for limits in (S3_LIMITS, R2_LIMITS, SCALEWAY_LIMITS):
        schedule = part_schedule(limits, **{how: limits.max_object_size})
        assert schedule.reach >= limits.max_object_size
        assert schedule.size_of(limits.max_parts) <= limits.max_part_size


def test_sizes_that_are_cut_to_fit_read_well() -> None:
    size = part_schedule(R2_LIMITS, size=1000 * GIB).size_of(1)
    assert size % (64 * KIB) == 0
    assert size * 10_000 - 1000 * GIB < 64 * KIB * 10_000


def test_equal_parts_of_an_unknown_length_are_16_mib() -> None:
    schedule = part_schedule(R2_LIMITS)
    assert {schedule.size_of(n) for n in (1, 500, 10_000)} == {16 * MIB}


def test_the_callers_part_size_is_the_first_rung() -> None:
    schedule = part_schedule(S3_LIMITS, part_size=8 * MIB)
    assert [schedule.size_of(n) for n in (1, 500, 501)] == [8 * MIB, 8 * MIB, 12 * MIB]


def test_no_rung_exceeds_the_largest_part() -> None:
    schedule = part_schedule(Limits(5, 50, 20, 1000), part_size=5)
    sizes = [schedule.size_of(n) for n in range(1, 21)]
    assert max(sizes) == 50
    assert sizes == sorted(sizes)


@pytest.mark.parametrize("number", [0, -1, 21])
def test_part_numbers_run_from_one_to_the_maximum(number: int) -> None:
    schedule = part_schedule(Limits(5, 50, 20, 1000))
    with pytest.raises(ValueError, match=f"1 to 20, not {number}"):
        schedule.size_of(number)


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ({"part_size": 4}, "5 to 50 bytes"),
        ({"part_size": 51}, "5 to 50 bytes"),
        ({"size": 1001}, "1001 bytes are more"),
        ({"size_hint": 1001}, "1001 bytes are more"),
    ],
)
def test_what_the_service_does_not_take_is_refused(asked: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        part_schedule(Limits(5, 50, 20, 1000), **asked)


def test_the_exact_length_wins_over_the_hint() -> None:
    limits = Limits(5, 50, 20, 1000, uniform_parts=True)
    assert part_schedule(limits, part_size=5, size=10, size_hint=1000).size_of(1) == 5


@pytest.mark.parametrize("is_uniform", [True, False])
@pytest.mark.parametrize("base", [5, 6, 50])
def test_every_size_is_covered_without_a_gap(base: int, is_uniform: bool) -> None:
    for limits in (Limits(5, 50, 4, 200, is_uniform), Limits(1, 50, 4, 200, is_uniform)):
        for size in range(201):
            schedule = part_schedule(limits, part_size=base, size=size)
            assert schedule.reach >= size
            assert schedule.size_of(4) <= 50
