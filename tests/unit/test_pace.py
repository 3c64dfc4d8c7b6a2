# SPDX-License-Identifier: Apache-2.0
"""When a thread is worth its price: rules over numbers, without a clock."""

from __future__ import annotations

import pytest

from libcloud_s3mpu.transfer.pace import Pace, CopyPace, Patience


def paced(*parts: tuple[float, float, int], in_flight: int = 1000) -> Pace:
    pace = Pace()
    for wall, cpu, size in parts:
        pace.note(wall=wall, cpu=cpu, size=size, in_flight=in_flight)
        pace.level(1000)
    return pace


@pytest.mark.parametrize("ceiling", [1, 2, 4, 20])
def test_a_few_parts_are_in_flight_while_nothing_is_known(ceiling: int) -> None:
    assert Pace().level(ceiling) == min(Pace.START, ceiling)


@pytest.mark.parametrize(("wall", "cpu"), [(0.01, 0.01), (0.015, 0.01), (0.0, 0.0)])
def test_two_parts_are_enough_where_sending_is_all_copying(wall: float, cpu: float) -> None:
    assert paced((wall, cpu, 1000)).level(20) == 2


def test_the_ceiling_is_never_exceeded() -> None:
    for ceiling in (1, 2, 3, 20):
        assert paced(*[(100.0, 0.001, 1000)] * 50).level(ceiling) <= ceiling


def test_the_level_grows_while_the_throughput_grows_with_it() -> None:
    pace, levels = Pace(), []
    for _ in range(200):
        level = pace.level(64)
        levels.append(level)
        pace.note(wall=1.0, cpu=0.001, size=1000, in_flight=level)  # Each part as fast as alone.
    assert levels[0] == Pace.START
    assert levels == sorted(levels)
    assert sorted(set(levels))[1] == Pace.FIRST_STEP * Pace.START
    assert levels[-1] == 64


def test_the_level_stays_where_more_parts_only_share_the_same_link() -> None:
    pace, levels = Pace(), []
    for _ in range(400):
        level = pace.level(64)
        levels.append(level)
        pace.note(wall=0.1 * level, cpu=0.001, size=1000, in_flight=level)
    assert max(levels) <= Pace.FIRST_STEP * Pace.START
    assert levels.count(Pace.START) > len(levels) / 2
    later = levels[levels.index(Pace.START, levels.index(max(levels))) :]
    assert max(later) <= 2 * Pace.START  # Only the first try is a large one.


def test_a_source_slower_than_the_level_says_nothing_about_the_link() -> None:
    pace = paced(*[(1.0, 0.001, 1000)] * 100, in_flight=1)
    assert pace.level(64) == Pace.START


def test_a_fresh_upload_is_patient_for_a_little_while() -> None:
    patience = Patience()
    assert patience.tries_inline()
    assert patience.seconds(0.0) == Patience.LEAST
    assert patience.seconds(1000.0) == Patience.MOST
    assert patience.seconds(0.1) == pytest.approx(0.01)


def test_waiting_uses_up_the_share_of_the_time() -> None:
    patience = Patience()
    patience.hit(0.095)
    assert patience.seconds(1.0) == pytest.approx(0.005)
    patience.hit(0.1)
    assert patience.seconds(1.0) == Patience.LEAST


def test_after_some_misses_in_a_row_parts_go_to_workers_and_one_is_tried_now_and_then() -> None:
    patience = Patience()
    for _ in range(Patience.MISSES):
        assert patience.tries_inline()
        patience.missed(0.02)
    tries = [patience.tries_inline() for _ in range(2 * Patience.RETRY_EVERY)]
    assert tries.count(True) == 2
    assert tries[Patience.RETRY_EVERY - 1] and tries[-1]
    assert patience.seconds(1000.0) == Patience.LEAST


def test_a_hit_makes_up_for_the_misses() -> None:
    patience = Patience()
    for _ in range(Patience.MISSES):
        patience.missed(0.0)
    patience.hit(0.0)
    assert all(patience.tries_inline() for _ in range(5))
    assert patience.seconds(1000.0) == Patience.MOST


def test_misses_that_are_not_in_a_row_do_not_count_together() -> None:
    patience = Patience()
    for _ in range(5):
        for _ in range(Patience.MISSES - 1):
            patience.missed(0.0)
        patience.hit(0.0)
    assert patience.tries_inline()


def test_a_copy_begins_with_all_that_are_allowed_and_gives_way() -> None:
    assert [CopyPace().level(ceiling) for ceiling in (1, 4, 20)] == [1, 4, 20]
    pace = CopyPace()
    pace.throttled()
    assert pace.level(20) == 10


def test_after_throttling_the_level_is_only_doubled() -> None:
    pace = Pace()
    pace.throttled()
    for _ in range(200):
        level = pace.level(64)
        pace.note(wall=1.0, cpu=0.001, size=1000, in_flight=level)
        assert pace.level(64) <= 2 * level
