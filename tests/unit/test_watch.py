# SPDX-License-Identifier: Apache-2.0
"""The watch: deadline and floor as pure rules of a clock that is given."""

from __future__ import annotations

import pytest

from libcloud_s3mpu.protocol.watch import Meter, Watch, DeadlinePassed
from libcloud_s3mpu.protocol.errors import TransportError, DeadlineExceededError
from libcloud_s3mpu.protocol.options import UploadOptions
from libcloud_s3mpu.protocol.messages import Bytes, S3Request


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def request(*, patience: float | None = None, body: bytes | None = b"x") -> S3Request:
    return S3Request(
        operation="UploadPart",
        method="PUT",
        bucket="bucket",
        body=None if body is None else Bytes(body),
        patience_seconds=patience,
    )


def watch(clock: Clock, **options: float) -> Watch:
    made = Watch.of(UploadOptions(**options), clock)  # type: ignore[arg-type]
    assert made is not None
    return made


def test_without_the_options_there_is_no_watch() -> None:
    assert Watch.of(UploadOptions(stall_seconds=1.0), Clock()) is None


def test_the_deadline_counts_from_the_beginning() -> None:
    clock = Clock()
    made = watch(clock, deadline_seconds=5)
    clock.now += 4
    assert made.left == 1 and not made.is_over
    clock.now += 1
    assert made.left == 0 and made.is_over
    with pytest.raises(DeadlinePassed, match="deadline of 5 s"):
        Meter(made, request()).check(0)


def test_an_exchange_that_moves_enough_goes_on() -> None:
    clock = Clock()
    meter = Meter(watch(clock, min_throughput_bytes_per_second=10, stall_seconds=2), request())
    for moved in (20, 40, 60):
        clock.now += 2
        meter.check(moved)


def test_an_exchange_below_the_floor_is_cut_after_a_whole_window() -> None:
    clock = Clock()
    meter = Meter(watch(clock, min_throughput_bytes_per_second=10, stall_seconds=2), request())
    clock.now += 1.9
    meter.check(0)
    clock.now += 0.1
    with pytest.raises(TimeoutError, match=r"0 bytes moved in 2\.0 s, below the floor of 10 bytes"):
        meter.check(0)


def test_a_window_is_measured_by_itself() -> None:
    clock = Clock()
    meter = Meter(watch(clock, min_throughput_bytes_per_second=10, stall_seconds=1), request())
    clock.now += 1
    meter.check(1000)
    clock.now += 1
    with pytest.raises(TimeoutError):
        meter.check(1009)


@pytest.mark.parametrize("exempt", [request(patience=600.0), request(body=None)])
def test_what_moves_no_bytes_has_no_floor(exempt: S3Request) -> None:
    clock = Clock()
    meter = Meter(watch(clock, min_throughput_bytes_per_second=10, stall_seconds=1), exempt)
    clock.now += 50
    meter.check(0)
    assert meter.seconds(7.0) == 7.0 and meter.seconds(None) is None


def test_a_wait_is_as_long_as_its_nearest_bound() -> None:
    clock = Clock()
    made = watch(clock, deadline_seconds=9, min_throughput_bytes_per_second=1, stall_seconds=3)
    meter = Meter(made, request())
    assert meter.seconds(1.0) == 1.0
    assert meter.seconds(None) == 3.0
    clock.now += 20
    assert meter.seconds(5.0) == 0.0


def test_the_deadlines_error_is_a_time_out_that_is_not_tried_again() -> None:
    error = watch(Clock(), deadline_seconds=5).error(container="bucket")
    assert isinstance(error, DeadlineExceededError)
    assert isinstance(error, TransportError) and isinstance(error, TimeoutError)
    assert not error.retryable and error.container == "bucket"


@pytest.mark.parametrize("name", ["deadline_seconds", "min_throughput_bytes_per_second"])
@pytest.mark.parametrize("value", [0, -1.0, float("inf"), float("nan")])
def test_bounds_that_are_none_are_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=name):
        UploadOptions(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [None, "5", True])
def test_stall_seconds_is_a_number(value: object) -> None:
    with pytest.raises(TypeError, match="stall_seconds must be a number"):
        UploadOptions(stall_seconds=value)  # type: ignore[arg-type]
