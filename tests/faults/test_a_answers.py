# SPDX-License-Identifier: Apache-2.0
"""Catalogue A, 1 to 10: what the server answers."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from tests.fake_s3 import FakeLimits, faults
from tests.unit.small import AT_ONCE, Apart, whole
from tests.faults.outcomes import (
    PART,
    ABORT,
    VERBS,
    ATTEMPTS,
    COMPLETE,
    INITIATE,
    LIST_PARTS,
    Tried,
    Counted,
    MakeTried,
    then,
    forever,
    longest_wait,
)
from libcloud_s3mpu.protocol.retry import RetryPolicy
from libcloud_s3mpu.protocol.errors import (
    ThrottledError,
    AccessDeniedError,
    RetriesExhaustedError,
    TransientServiceError,
)
from libcloud_s3mpu.protocol.limits import Limits
from libcloud_s3mpu.transfer.window import Window

MIB = 1024 * 1024


@pytest.mark.parametrize("verb", VERBS)
def test_f01_an_internal_error_is_tried_again_with_the_same_bytes(verb: str, s3: Tried) -> None:
    s3.fake.script(verb, faults.error("InternalError"))
    s3.succeeds()
    first, *_, last = s3.fake.requests_of(verb)
    assert s3.count(verb) == (5 if verb == PART else 2)
    assert first.body_size == last.body_size
    assert all(record.headers["authorization"] for record in s3.fake.requests)


def test_f01_the_wait_grows_exponentially_with_full_jitter() -> None:
    policy = RetryPolicy()
    error = TransientServiceError("x")
    assert 5 <= policy.max_attempts <= 10
    longest = [longest_wait(policy, attempt, error) for attempt in range(1, 12)]
    assert longest[:4] == [0.1, 0.2, 0.4, 0.8]
    assert max(longest) == policy.max_delay_seconds == 20.0
    assert policy.delay_before(attempt=3, error=error, random=0.0) == 0.0


@pytest.mark.parametrize("status", [502, 504])
@pytest.mark.parametrize("verb", VERBS)
def test_f02_a_gateways_page_is_no_xml(verb: str, status: int, s3: Tried) -> None:
    s3.fake.script(verb, faults.html(status))
    s3.succeeds()


def test_f02_an_error_quotes_a_line_of_the_page_at_most(s3: Tried) -> None:
    page = b"<html><body>\n" + b"<p>so sorry</p>\n" * 5000 + b"</body></html>"
    forever(s3.fake, PART, faults.answer(502, body=page))
    text = str(s3.fails(RetriesExhaustedError))
    assert "502" in text
    assert max(map(len, text.splitlines())) < 500


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("verb", VERBS)
def test_f03_slow_down_is_survived(verb: str, times: int, s3: Tried) -> None:
    s3.fake.script(verb, *[faults.error("SlowDown")] * times)
    s3.succeeds()


def test_f03_throttling_waits_longer_than_failing() -> None:
    throttled = longest_wait(RetryPolicy(), 1, ThrottledError("x"))
    assert throttled >= 5 * longest_wait(RetryPolicy(), 1, TransientServiceError("x"))


def test_f03_throttling_slows_the_whole_upload_down(lean: Tried) -> None:
    for number in range(1, 5):
        lean.fake.script(PART, faults.error("SlowDown"), part_number=number)
    lean.server.hold_parts(until=4)
    gates: list[Any] = []
    holding = threading.Event()

    def hold() -> None:
        gates.append(lean.server.hold_parts())
        holding.set()

    upload = Apart(lambda: lean.upload(then(8, hold, more=12), concurrency=4))
    assert holding.wait(10)
    is_full = gates[0].wait_held(4, timeout_seconds=0.5)
    gates[0].release()
    upload.result()
    lean.is_whole(whole(20))
    assert not is_full, "as many parts in flight as before"


@pytest.mark.parametrize(("status", "kind"), [(429, ThrottledError), (408, TransientServiceError)])
@pytest.mark.parametrize("verb", VERBS)
def test_f04_gateways_codes_are_throttling_and_transient(
    verb: str, status: int, kind: type[Exception], s3: Tried
) -> None:
    s3.fake.script(verb, faults.answer(status), faults.answer(status))
    s3.succeeds()
    forever(s3.fake, INITIATE, faults.answer(status))
    error = s3.fails(RetriesExhaustedError, key="other")
    assert all(isinstance(attempt, kind) for attempt in error.attempts)


@pytest.mark.parametrize("verb", VERBS)
def test_f05_one_operation_that_always_fails_is_given_up(verb: str, s3: Tried) -> None:
    forever(s3.fake, verb, faults.error("SlowDown"), part_number=2 if verb == PART else None)
    error = s3.fails(RetriesExhaustedError)
    assert len(error.attempts) == ATTEMPTS <= 10
    assert s3.count(verb, 2 if verb == PART else None) == ATTEMPTS
    assert error.s3_code == "SlowDown" and "6 attempts" in str(error)
    assert error.part_number == (2 if verb == PART else None)
    assert (error.upload_id is None) == (verb == INITIATE)
    assert s3.count(ABORT) == (0 if verb == INITIATE else 1)


def test_f05_the_time_for_all_attempts_is_bounded(s3: Tried) -> None:
    forever(s3.fake, INITIATE, faults.error("SlowDown"))
    s3.fails(ThrottledError, retry=RetryPolicy(max_total_seconds=0))
    assert s3.count(INITIATE) == 1


def test_f06_a_storm_over_twelve_parts_is_not_multiplied(s3: Tried) -> None:
    forever(s3.fake, PART, faults.error("SlowDown"))
    gate = s3.server.hold_parts(until=5)  # As many as an upload begins with.
    source = Counted(20)
    s3.fails(RetriesExhaustedError, source, concurrency=12)
    assert s3.count(PART) <= 40
    assert source.pulled <= 14 and not gate.timed_out


def test_f06_a_storm_over_everything_ends_with_both_errors(s3: Tried) -> None:
    def storm() -> None:
        forever(s3.fake, "*", faults.error("SlowDown"))

    with pytest.raises(RetriesExhaustedError) as caught:
        s3.timed(lambda: s3.upload(then(4, storm, more=10), concurrency=4))
    assert caught.value.operation == PART and caught.value.cleanup_error is not None
    assert s3.count(PART) <= 40 and s3.count(ABORT) <= 10
    assert list(s3.fake.uploads) == [caught.value.upload_id]  # Every abort was refused.


@pytest.mark.parametrize("code", ["InternalError", "SlowDown"])
def test_f07_an_abort_is_tried_again(code: str, s3: Tried) -> None:
    s3.fake.script(PART, faults.error("AccessDenied"), part_number=2)
    s3.fake.script(ABORT, faults.error(code), faults.error(code))
    error = s3.fails(AccessDeniedError)
    assert error.cleanup_error is None and s3.fake.unspent == []


@pytest.mark.parametrize(
    ("value", "least", "most"),
    [
        ("2", 2.0, 3.0),
        ("19.5", 19.5, 20.0),
        ("3600", 20.0, 20.0),
        ("soon", 0.0, 1.0),
        ("-5", 0.0, 1.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0, 1.0),
    ],
)
def test_f08_retry_after_is_obeyed_up_to_a_cap(
    value: str, least: float, most: float, s3: Tried, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(Window, "sleep", lambda self, seconds: waits.append(seconds))
    s3.fake.script(PART, faults.error("SlowDown", retry_after=value), part_number=2)
    s3.succeeds(retry=RetryPolicy())
    assert len(waits) == 1 and least <= waits[0] <= most


@pytest.mark.parametrize("resets", [False, True])
@pytest.mark.parametrize("code", ["SlowDown", "AccessDenied"])
def test_f09_an_answer_before_the_body_was_read_is_looked_for(
    code: str, resets: bool, road: str, make_s3: MakeTried
) -> None:
    s3 = big(make_s3, road)
    early = faults.answer_early(faults.error(code), resets=resets)
    s3.fake.script(PART, early, part_number=1)
    source = [bytes([n]) * MIB for n in range(12)]
    if code == "SlowDown":
        s3.succeeds(iter(source), b"".join(source))
    elif not resets:
        s3.fails(AccessDeniedError, iter(source))
        assert s3.count(PART, 1) == 1
    else:
        # RST may take the answer from both ends' hands: then the part is sent once more.
        try:
            s3.timed(lambda: s3.upload(iter(source)))
        except AccessDeniedError:
            assert s3.keys == [] and s3.fake.uploads == {}
        else:
            s3.is_whole(b"".join(source))


def big(make_s3: MakeTried, road: str) -> Tried:
    """A service whose parts of 8 MiB are more than the socket's buffers take."""
    s3 = make_s3(road, limits=FakeLimits(min_part_size=MIB))
    s3.driver.ex_limits = Limits(min_part_size=MIB, max_parts=20)  # type: ignore[misc]
    s3.driver.ex_options = type(s3.driver.ex_options)(part_size_bytes=8 * MIB, retry=AT_ONCE)
    return s3


def test_f10_listings_and_questions_are_tried_again(road: str, make_s3: MakeTried) -> None:
    s3 = make_s3(road, limits=FakeLimits(min_part_size=5, max_page=2))
    with pytest.raises(OSError):
        s3.upload(Counted(5, OSError()), on_failure="keep")
    (upload_id,) = s3.fake.uploads
    s3.fake.script(LIST_PARTS, faults.pass_through(), faults.error("InternalError"))
    parts = s3.driver.ex_list_parts(s3.container, "key", upload_id)
    assert [part.part_number for part in parts] == [1, 2, 3, 4, 5]
    targets = [record.target for record in s3.fake.requests_of(LIST_PARTS)]
    assert len(targets) == 4 and targets[1] == targets[2]  # It went on at the marker.
    s3.fake.script("ListMultipartUploads", faults.error("SlowDown"))
    found = list(s3.driver.ex_iterate_multipart_uploads(s3.container))
    assert [each.id for each in found] == [upload_id]
    assert s3.fake.unspent == []


@pytest.mark.usefixtures("no_waits")
def test_f10_the_question_after_a_lost_complete_is_tried_again(s3: Tried) -> None:
    s3.fake.script(COMPLETE, faults.close("answer", applied=True))
    s3.fake.script("HeadObject", faults.error("InternalError"), faults.answer(503))
    s3.succeeds()
