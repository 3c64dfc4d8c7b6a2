# SPDX-License-Identifier: Apache-2.0
"""One part on its way: checked once, sent until it is there, begun here and ended there."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.small import AT_ONCE
from libcloud_s3mpu.protocol import wire
from libcloud_s3mpu.transfer.spool import MemoryBody
from libcloud_s3mpu.protocol.errors import (
    ServiceError,
    TransportError,
    S3MultipartError,
    RetriesExhaustedError,
)
from libcloud_s3mpu.transfer.attempt import PartJob, retried
from libcloud_s3mpu.protocol.messages import S3Request, S3Response
from libcloud_s3mpu.protocol.integrity import BodyCheck, BodyDigests

TARGET = wire.Target(bucket="b", key="k", headers={})
OK = S3Response(status=200, headers={"etag": '"e"'})
REFUSED = S3Response(status=403, headers={})
BUSY = S3Response(status=503, headers={})


class Exchange:
    """A stub: answers what it was told, after as many hand-overs as it was told."""

    def __init__(self, answer: Any, hand_overs: int = 0) -> None:
        self.answer = answer
        self.hand_overs = hand_overs
        self.waited = 0.5
        self.is_closed = self.is_cut = False

    def advance(self, patience: float | None = None) -> S3Response | None:
        if patience is not None and self.hand_overs:
            self.hand_overs -= 1
            return None
        if isinstance(self.answer, BaseException):
            raise self.answer
        answer: S3Response = self.answer
        return answer

    def close(self) -> None:
        self.is_closed = True

    def cut(self) -> None:
        self.is_cut = True


class Sender:
    """A stub that begins the exchanges it was given, one after the other."""

    def __init__(self, *exchanges: Exchange) -> None:
        self.left = list(exchanges)
        self.begun: list[S3Request] = []

    def adapt(self, error: Exception) -> bool:
        return False

    def begin(self, request: S3Request) -> Exchange:
        self.begun.append(request)
        return self.left.pop(0)

    def resume(self, request: S3Request, exchange: Exchange) -> S3Response:
        answer = exchange.advance()
        assert answer is not None
        return answer

    def advance(self, request: S3Request, exchange: Exchange, patience: float) -> S3Response | None:
        return exchange.advance(patience)

    def call(self, request: S3Request) -> S3Response:
        return self.resume(request, self.begin(request))


class Stop:
    """Says whether the upload is ending, and never sleeps."""

    def __init__(self) -> None:
        self.is_stopping = False
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


class Counted(MemoryBody):
    """A body that counts how often it was read, and knows whether it was let go."""

    def __init__(self) -> None:
        super().__init__([b"abcde"], 5)
        self.reads = 0
        self.is_released = False

    def buffers(self) -> list[Any]:
        self.reads += 1
        return super().buffers()

    def release(self) -> None:
        self.is_released = True
        super().release()


def make(*exchanges: Exchange, stop: Stop | None = None) -> tuple[PartJob, Sender, Counted]:
    sender, body = Sender(*exchanges), Counted()

    def request(digests: BodyDigests) -> S3Request:
        return wire.upload_part_request(
            TARGET, upload_id="u", part_number=3, body=body, digests=digests
        )

    job = PartJob(
        sender=sender,
        make_request=request,
        body=body,
        check=BodyCheck(algorithm="crc32", is_signed=True),
        policy=AT_ONCE,
        cost=5,
        stop=stop or Stop(),
    )
    return job, sender, body


def test_a_part_that_is_answered_lets_go_of_its_bytes() -> None:
    job, sender, body = make(Exchange(OK))
    job.run()
    assert job.result is not None
    assert (job.result.part_number, job.result.size, job.result.etag) == (3, 5, "e")
    assert body.is_released
    assert len(sender.begun) == 1
    assert job.wall_seconds > 0


def test_a_part_is_checked_once_however_often_it_is_sent() -> None:
    job, sender, body = make(Exchange(BUSY), Exchange(TransportError("reset")), Exchange(OK))
    job.run()
    assert body.reads == 2  # For the CRC and for the signed hash.
    assert len(sender.begun) == 3
    assert len({id(request) for request in sender.begun}) == 1
    assert [(number, reason) for number, _, reason in job.retries] == [
        (1, "ThrottledError"),
        (2, "TransportError"),
    ]


def test_a_part_may_be_sent_inline() -> None:
    job, _, body = make(Exchange(OK))
    assert job.run_inline(0.01) is True
    assert job.result is not None and body.is_released
    assert job.waited_seconds == 0.5


def test_a_part_that_waits_goes_on_in_a_worker_where_it_stopped() -> None:
    job, sender, body = make(Exchange(OK, hand_overs=1))
    assert job.run_inline(0.01) is False
    assert not body.is_released and job.result is None
    job.run()
    assert job.result is not None and body.is_released
    assert len(sender.begun) == 1


@pytest.mark.parametrize("failure", [BUSY, TransportError("reset")])
def test_an_attempt_that_failed_inline_counts_as_the_first(failure: Any) -> None:
    job, sender, _ = make(Exchange(failure), Exchange(OK))
    assert job.run_inline(0.01) is False
    job.run()
    assert job.result is not None
    assert [number for number, _, _ in job.retries] == [1]
    assert len(sender.begun) == 2


def test_six_attempts_are_six_wherever_the_first_was_made() -> None:
    job, sender, body = make(*[Exchange(BUSY) for _ in range(9)])
    assert job.run_inline(0.01) is False
    with pytest.raises(RetriesExhaustedError) as caught:
        job.run()
    assert len(caught.value.attempts) == len(sender.begun) == 6
    assert body.is_released


@pytest.mark.parametrize("inline", [True, False])
def test_a_refusal_is_raised_at_once(inline: bool) -> None:
    job, sender, _ = make(Exchange(REFUSED), Exchange(OK))
    with pytest.raises(ServiceError):
        job.run_inline(0.01) if inline else job.run()
    assert len(sender.begun) == 1


def test_no_attempt_begins_once_the_upload_is_ending() -> None:
    stop = Stop()
    stop.is_stopping = True
    job, sender, body = make(Exchange(OK), stop=stop)
    with pytest.raises(S3MultipartError, match="has ended"):
        job.run()
    assert sender.begun == []
    assert body.is_released


def test_a_failure_is_not_tried_again_once_the_upload_is_ending() -> None:
    stop = Stop()

    class Last(Exchange):
        def advance(self, patience: float | None = None) -> S3Response | None:
            stop.is_stopping = True
            return super().advance(patience)

    job, sender, _ = make(Last(BUSY), Exchange(OK), stop=stop)
    with pytest.raises(S3MultipartError):
        job.run()
    assert len(sender.begun) == 1
    assert stop.slept == []


def test_release_closes_a_half_sent_part() -> None:
    exchange = Exchange(OK, hand_overs=1)
    job, _, body = make(exchange)
    job.run_inline(0.01)
    job.cut()
    job.release()
    job.release()
    job.cut()
    assert exchange.is_cut and exchange.is_closed and body.is_released


@pytest.mark.parametrize("error", [KeyboardInterrupt(), MemoryError(), SystemExit(1)])
def test_other_exceptions_come_out_as_they_are(error: BaseException) -> None:
    job, sender, body = make(Exchange(error), Exchange(OK))
    with pytest.raises(type(error)) as caught:
        job.run()
    assert caught.value is error
    assert body.is_released
    assert len(sender.begun) == 1


def test_retried_tells_and_logs_each_failure(caplog: pytest.LogCaptureFixture) -> None:
    failures = [TransportError("reset"), TransportError("reset again")]
    heard = []

    def once(number: int) -> str:
        if failures:
            raise failures.pop(0)
        return "done"

    with caplog.at_level("INFO"):
        assert retried(once, policy=AT_ONCE, on_retry=lambda *a: heard.append(a[0])) == "done"
    assert heard == [1, 2]
    assert "attempt 1 failed" in caplog.text and "reset again" in caplog.text
    assert {record.levelname for record in caplog.records} == {"INFO"}


def test_a_half_sent_part_is_dropped_when_the_upload_is_ending() -> None:
    stop, exchange = Stop(), Exchange(OK, hand_overs=1)
    job, _, body = make(exchange, stop=stop)
    assert job.run_inline(0.01) is False
    stop.is_stopping = True
    with pytest.raises(S3MultipartError):
        job.run()
    assert exchange.is_closed and body.is_released
