# SPDX-License-Identifier: Apache-2.0
"""A retry policy as a value, obeyed under a clock and a sleep that only the test moves."""

from __future__ import annotations

from typing import Any
from dataclasses import FrozenInstanceError

import pytest

from libcloud_s3mpu.protocol.retry import NO_RETRIES, RetryPolicy, attempt
from libcloud_s3mpu.protocol.errors import (
    ThrottledError,
    AccessDeniedError,
    RetriesExhaustedError,
    TransientServiceError,
)


class World:
    """Time that passes only while somebody sleeps."""

    def __init__(self, *failures: BaseException | None, random: float = 1.0) -> None:
        self.failures = list(failures)
        self.now = 1000.0
        self.slept: list[float] = []
        self.noted: list[tuple[int, str, float]] = []
        self.numbers: list[int] = []
        self.random = random

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def once(self, number: int) -> str:
        self.numbers.append(number)
        failure = self.failures.pop(0) if self.failures else None
        if failure is not None:
            raise failure
        return "done"

    def run(self, policy: RetryPolicy) -> str:
        return attempt(
            self.once,
            policy=policy,
            sleep=self.sleep,
            clock=lambda: self.now,
            random=lambda: self.random,
            on_retry=lambda n, error, wait: self.noted.append((n, error.value, wait)),
        )


def transient(text: str = "500", **more: Any) -> TransientServiceError:
    return TransientServiceError(text, **more)


POLICY = RetryPolicy(
    max_attempts=6, base_delay_seconds=1, throttle_delay_seconds=3, max_delay_seconds=5
)


def test_the_waits_double_up_to_their_ceiling() -> None:
    world = World(*[transient() for _ in range(5)])
    assert world.run(POLICY) == "done"
    assert world.slept == [1, 2, 4, 5, 5]
    assert world.numbers == [1, 2, 3, 4, 5, 6]


def test_jitter_is_full() -> None:
    world = World(transient(), transient(), random=0.25)
    world.run(POLICY)
    assert world.slept == [0.25, 0.5]


def test_throttled_answers_wait_longer() -> None:
    world = World(ThrottledError("slow"), ThrottledError("slow"))
    world.run(POLICY)
    assert world.slept == [3, 5]


def test_retry_after_is_the_least_wait_and_is_capped() -> None:
    world = World(transient(retry_after_seconds=2.0), transient(retry_after_seconds=3600.0))
    world.random = 0.0
    world.run(RetryPolicy(max_retry_after_seconds=20.0))
    assert world.slept == [2.0, 20.0]


def test_retry_after_carries_jitter_on_top() -> None:
    world = World(transient(retry_after_seconds=2.0), random=0.5)
    world.run(POLICY)
    assert world.slept == [2.5]


def test_retry_after_and_backoff_together_stay_below_the_cap() -> None:
    errors = [transient(retry_after_seconds=seconds) for seconds in (19.9, 3600.0)]
    for number in range(1, 12):
        for error in errors:
            wait = RetryPolicy().delay_before(attempt=number, error=error, random=0.999)
            assert min(19.9, error.retry_after_seconds or 0) <= wait <= 20.0


def test_exhausted_retries_keep_every_failure_and_speak_with_the_last() -> None:
    failures = [transient(f"no {n}", http_status=500 + n, s3_code="X") for n in range(3)]
    world = World(*failures)
    with pytest.raises(RetriesExhaustedError, match=r"no 2 \(gave up after 3 attempts\)") as caught:
        world.run(RetryPolicy(max_attempts=3, base_delay_seconds=0))
    assert list(caught.value.attempts) == failures
    assert caught.value.__cause__ is failures[2]
    assert (caught.value.http_status, caught.value.s3_code) == (502, "X")
    assert not caught.value.retryable


def test_an_error_that_may_not_be_tried_again_comes_out_at_once() -> None:
    error = AccessDeniedError("no")
    world = World(transient(), error)
    with pytest.raises(AccessDeniedError) as caught:
        world.run(POLICY)
    assert caught.value is error
    assert world.numbers == [1, 2]


def test_the_failure_of_an_only_attempt_comes_out_as_it_is() -> None:
    error = transient()
    with pytest.raises(TransientServiceError) as caught:
        World(error).run(NO_RETRIES)
    assert caught.value is error


def test_no_attempt_begins_after_the_total_time() -> None:
    world = World(*[transient() for _ in range(50)])
    policy = RetryPolicy(
        max_attempts=50, base_delay_seconds=10, max_delay_seconds=10, max_total_seconds=35
    )
    with pytest.raises(RetriesExhaustedError):
        world.run(policy)
    assert world.slept == [10, 10, 10]


def test_other_exceptions_are_not_tried_again() -> None:
    for error in (KeyError("k"), KeyboardInterrupt(), SystemExit(3)):
        world = World(error)
        with pytest.raises(type(error)) as caught:
            world.run(POLICY)
        assert caught.value is error
        assert world.slept == []


def test_each_retry_is_told_with_its_number_reason_and_wait() -> None:
    world = World(transient("first"), transient("second"))
    world.run(POLICY)
    assert world.noted == [(1, "first", 1.0), (2, "second", 2.0)]


def test_a_success_on_the_first_attempt_neither_sleeps_nor_tells() -> None:
    world = World()
    assert world.run(POLICY) == "done"
    assert (world.slept, world.noted, world.numbers) == ([], [], [1])


@pytest.mark.parametrize(
    "values",
    [
        {"max_attempts": 0},
        {"base_delay_seconds": -1},
        {"throttle_delay_seconds": -0.1},
        {"max_delay_seconds": -1},
        {"max_retry_after_seconds": -1},
        {"max_total_seconds": -1},
        {"base_delay_seconds": float("nan")},
    ],
)
def test_a_policy_that_cannot_be_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(values))):
        RetryPolicy(**values)


@pytest.mark.parametrize(
    "values", [{"max_attempts": "6"}, {"max_attempts": 2.5}, {"max_delay_seconds": None}]
)
def test_a_policy_of_another_kind_is_a_type_error(values: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=next(iter(values))):
        RetryPolicy(**values)


def test_a_policy_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        POLICY.max_attempts = 1  # type: ignore[misc]
