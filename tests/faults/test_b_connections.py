# SPDX-License-Identifier: Apache-2.0
"""Catalogue B, 11 to 22: connections that fail, lie, stall and die."""

from __future__ import annotations

import re
import time
import socket
import logging
from typing import Any
from datetime import timedelta
from dataclasses import replace
from collections.abc import Iterator

import pytest
import requests
from libcloud.common.types import LibcloudError

from tests.fake_s3 import FakeLimits, faults
from tests.unit.small import AT_ONCE, RawServer, chunks, make_plain, make_driver, close_driver
from tests.faults.outcomes import (
    DATA,
    PART,
    ABORT,
    PARTS,
    VERBS,
    COMPLETE,
    INITIATE,
    Tried,
    Counted,
    MakeTried,
    forever,
)
from libcloud_s3mpu.protocol import wire
from libcloud_s3mpu.protocol.retry import NO_RETRIES, RetryPolicy
from libcloud_s3mpu.protocol.errors import TransportError, S3MultipartError, DeadlineExceededError
from libcloud_s3mpu.protocol.events import OrphanSuspected
from libcloud_s3mpu.protocol.limits import Limits

MIB = 1024 * 1024


@pytest.mark.parametrize("name", ["nothing listens", "name unknown"])
def test_f11_no_service_is_a_quick_and_clean_error(
    name: str, road: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RawServer(lambda sock, number: None) as server:
        pass  # Its port is free again.
    asked: list[Any] = []

    def unknown(host: str, *args: Any, **kwargs: Any) -> Any:
        asked.append(host)
        raise socket.gaierror(-2, "Name or service not known")

    if name == "name unknown":
        monkeypatch.setattr(socket, "getaddrinfo", unknown)
    driver = make_driver(server)
    if road == "plain":
        make_plain(driver)
    began = time.monotonic()
    with pytest.raises(TransportError) as caught:
        driver.upload_object_via_stream(chunks(4), driver_container(driver), "key")
    assert isinstance(caught.value, (LibcloudError, requests.exceptions.ConnectionError))
    assert caught.value.upload_id is None and caught.value.cleanup_error is None
    assert time.monotonic() - began < 5 and len(asked) <= 10
    close_driver(driver)


def driver_container(driver: Any) -> Any:
    from libcloud.storage.base import Container

    return Container("bucket", {}, driver)


@pytest.mark.parametrize("verb", VERBS)
def test_f12_a_reset_after_the_head_is_tried_again(verb: str, s3: Tried) -> None:
    s3.fake.script(verb, faults.reset("head"), faults.reset("head"))
    s3.succeeds()


@pytest.mark.parametrize("fault", [faults.reset, faults.close])
def test_f13_a_body_that_was_cut_is_sent_again_without_the_source(fault: Any, s3: Tried) -> None:
    s3.fake.script(PART, fault("body", after_bytes=2), part_number=1)
    s3.fake.script(PART, fault("body", after_bytes=4), part_number=3)
    source = Counted(PARTS)
    s3.succeeds(source)
    assert source.pulled == PARTS and s3.count(PART) == PARTS + 2


@pytest.mark.parametrize("verb", VERBS)
def test_f14_the_end_instead_of_an_answer_is_tried_again(verb: str, s3: Tried) -> None:
    s3.fake.script(verb, faults.close("answer"))
    s3.succeeds()


@pytest.mark.parametrize(
    "fault",
    [
        faults.reset("answer", applied=True),
        faults.close("answer", applied=True),
        faults.close("answer", after_bytes=30, applied=True),
    ],
    ids=["reset", "closed", "cut"],
)
def test_f15_a_part_whose_answer_was_lost_is_sent_under_the_same_number(
    fault: Any, s3: Tried
) -> None:
    s3.fake.script(PART, fault, part_number=2)
    s3.succeeds()
    assert sorted(s3.sent_parts(), key=str) == [1, 2, 2, 3, 4]


def told_of(caplog: pytest.LogCaptureFixture) -> str:
    """Give what was logged as a warning by our loggers."""
    ours = [each for each in caplog.records if each.name.startswith("libcloud_s3mpu")]
    return "\n".join(each.getMessage() for each in ours if each.levelno >= logging.WARNING)


@pytest.mark.parametrize("after_bytes", [0, 60, -20])
def test_f16_an_initiate_whose_answer_was_lost_leaves_no_orphan_that_nobody_knows_of(
    after_bytes: int, s3: Tried, caplog: pytest.LogCaptureFixture
) -> None:
    fault = faults.close("answer", after_bytes=after_bytes, applied=True)
    s3.fake.script(INITIATE, fault)
    heard: list[Any] = []
    done = s3.upload(chunks(PARTS), on_event=heard.append)
    assert s3.stored() == DATA and s3.count(ABORT) <= 1
    left = list(s3.fake.uploads)
    assert done.extra["orphan_suspects"] == left
    events = [each.upload_ids for each in heard if isinstance(each, OrphanSuspected)]
    assert events == ([tuple(left)] if left else [])
    assert all(each in told_of(caplog) for each in left)
    assert bool(left) == ("bucket/key" in told_of(caplog))
    if s3.driver.ex_transport == "lean":  # There the rest of a cut answer is at hand.
        assert (left == []) == (after_bytes == -20)


def test_f16_an_answer_that_was_cut_behind_the_upload_id_proves_whose_it_is(s3: Tried) -> None:
    def cut(response: Any) -> Any:
        return replace(response, body=response.body[:-20])

    s3.fake.script(INITIATE, faults.Fault(name="cut", edit=cut))
    done = s3.upload(chunks(PARTS))
    s3.is_whole()
    assert done.extra["orphan_suspects"] == []
    assert s3.count("ListMultipartUploads") == 0


def test_f16_an_only_writer_has_it_aborted(s3: Tried, caplog: pytest.LogCaptureFixture) -> None:
    s3.fake.script(INITIATE, faults.close("answer", applied=True))
    s3.succeeds(is_only_writer=True)
    assert s3.count(ABORT) == 1 and told_of(caplog) == ""


def test_f16_where_nobody_may_list_it_is_said_that_it_cannot_be_told(
    s3: Tried, caplog: pytest.LogCaptureFixture
) -> None:
    s3.fake.script(INITIATE, faults.close("answer", applied=True))
    s3.fake.script("ListMultipartUploads", faults.error("AccessDenied"))
    s3.upload(chunks(PARTS))
    assert "cannot be told" in told_of(caplog) and "bucket/key" in told_of(caplog)


def test_f16_an_initiate_that_never_comes_back_says_what_it_may_have_left(s3: Tried) -> None:
    forever(s3.fake, INITIATE, faults.close("answer", applied=True))
    with pytest.raises(TransportError) as caught:
        s3.timed(lambda: s3.upload(chunks(PARTS)))
    assert len(s3.fake.uploads) == s3.count(INITIATE) > 1
    assert all(upload_id in str(caught.value) for upload_id in s3.fake.uploads)


def test_f16_an_initiate_that_left_nothing_says_nothing(
    s3: Tried, caplog: pytest.LogCaptureFixture
) -> None:
    s3.fake.script(INITIATE, faults.close("answer"))
    s3.succeeds()
    assert told_of(caplog) == "" and s3.count("ListMultipartUploads") == 1


@pytest.mark.parametrize("is_only_writer", [False, True])
def test_f16_the_upload_of_another_writer_of_the_same_name_is_left_alone(
    is_only_writer: bool, s3: Tried, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(OSError):
        s3.upload(Counted(3, OSError()), on_failure="keep")
    (others,) = s3.fake.uploads
    s3.fake.script(INITIATE, faults.close("answer", applied=True))
    done = s3.upload(chunks(PARTS), is_only_writer=is_only_writer)
    assert others in s3.fake.uploads and s3.stored() == DATA
    # It has parts: nobody could have sent any to the lost one.
    assert others not in done.extra["orphan_suspects"] and others not in told_of(caplog)


def test_f16_a_service_whose_dates_say_nothing_is_not_believed_about_them(s3: Tried) -> None:
    """Moto dates every upload 2010, with a right Date in its answers."""

    def old(response: Any) -> Any:
        dated = rb"<Initiated>2010-11-10T20:48:33.000Z</Initiated>"
        body = re.sub(rb"<Initiated>[^<]*</Initiated>", dated, response.body)
        return replace(response, body=body)

    s3.fake.script("ListMultipartUploads", faults.Fault(name="2010", edit=old))
    s3.fake.script(INITIATE, faults.close("answer", applied=True))
    done = s3.upload(chunks(PARTS))
    assert done.extra["orphan_suspects"] == list(s3.fake.uploads) != []


def test_f16_what_is_ours_and_cannot_be_aborted_is_told(
    lean: Tried, caplog: pytest.LogCaptureFixture
) -> None:
    lost = faults.close("answer", after_bytes=-20, applied=True)
    lean.fake.script(INITIATE, lost, faults.close("answer", applied=True))
    lean.fake.script("ListMultipartUploads", faults.error("AccessDenied"))
    lean.fake.script(ABORT, faults.error("AccessDenied"))
    done = lean.upload(chunks(PARTS))
    first, _ = lean.fake.uploads
    assert done.extra["orphan_suspects"] == [first]
    assert first in told_of(caplog) and "cannot be told" in told_of(caplog)


def test_f16_what_was_begun_before_or_by_another_is_no_suspect(s3: Tried) -> None:
    def begin() -> str:
        s3.driver._initiate_multipart(s3.container, "key")
        return list(s3.fake.uploads)[-1]

    clock = s3.fake.clock
    s3.fake.clock = lambda: clock() - timedelta(minutes=5)
    before = begin()
    s3.fake.clock = clock
    longer = s3.driver._initiate_multipart(s3.container, "key-of-more")
    s3.fake.script(INITIATE, faults.close("answer", applied=True))
    done = s3.upload(chunks(PARTS), is_only_writer=True)
    assert done.extra["orphan_suspects"] == []
    assert set(s3.fake.uploads) == {before, longer}


@pytest.mark.parametrize("applied", [False, True])
@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nServer: x\r\n",
        b'HTTP/1.1 200 OK\r\nServer: x\r\nETag: "0123456789abcdef',
        b"HTTP/1.1 200 OK\r\nServer: x\r\nETag: ",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 20",
    ],
)
def test_f17_a_cut_head_is_no_answer(head: bytes, applied: bool, s3: Tried) -> None:
    s3.fake.script(PART, faults.raw(head, applied=applied), part_number=2)
    s3.succeeds()
    assert s3.count(PART, 2) == 2


@pytest.mark.parametrize("verb", VERBS)
def test_f18_silence_ends_with_the_time_out_and_is_tried_again(
    verb: str, road: str, make_s3: MakeTried, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "COMPLETE_PATIENCE_SECONDS", 0.2)
    s3 = make_s3(road, timeout_seconds=0.2)
    s3.fake.script(verb, faults.stall("answer", applied=False))
    s3.succeeds()


def test_f18_complete_is_waited_for_for_minutes() -> None:
    assert wire.COMPLETE_PATIENCE_SECONDS >= 300


def slow(make_s3: MakeTried, road: str) -> Tried:
    """A service with parts of 24 MiB, several times what the socket's buffers take."""
    s3 = make_s3(road, limits=FakeLimits(min_part_size=MIB), timeout_seconds=1.0)
    assert s3.server._listener is not None  # What it accepts inherits the buffer.
    s3.server._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
    s3.driver.ex_limits = Limits(min_part_size=MIB, max_parts=20)  # type: ignore[misc]
    s3.driver.ex_options = type(s3.driver.ex_options)(part_size_bytes=24 * MIB, retry=AT_ONCE)
    return s3


BLOCKS = [bytes([n]) * MIB for n in range(30)]


def test_f19_a_server_that_stops_reading_is_left(road: str, make_s3: MakeTried) -> None:
    s3 = slow(make_s3, road)
    s3.fake.script(PART, faults.stall("body", after_bytes=1000), part_number=1)
    s3.succeeds(iter(BLOCKS), b"".join(BLOCKS))


def test_f19_a_server_that_reads_slowly_is_waited_for(road: str, make_s3: MakeTried) -> None:
    s3 = slow(make_s3, road)
    drip = faults.drip("body", step_bytes=MIB // 2, pause_seconds=0.03)
    s3.fake.script(PART, drip, part_number=1)
    s3.succeeds(iter(BLOCKS), b"".join(BLOCKS))
    assert s3.count(PART, 1) == 1


def test_f19_a_part_below_the_least_throughput_is_cut_and_sent_again(lean: Tried) -> None:
    drip = faults.drip("answer", step_bytes=1, pause_seconds=0.05)
    lean.fake.script(PART, drip, part_number=2)
    lean.succeeds(min_throughput_bytes_per_second=1_000_000, stall_seconds=0.3)
    assert lean.count(PART, 2) == 2


def test_f19_a_body_below_the_least_throughput_is_cut_and_sent_again(make_s3: MakeTried) -> None:
    s3 = slow(make_s3, "lean")
    s3.driver.connection.connection.session.timeout = 60
    s3.fake.script(PART, faults.stall("body", after_bytes=1000), part_number=1)
    floor = {"min_throughput_bytes_per_second": 100_000, "stall_seconds": 0.3}
    began = time.monotonic()
    s3.succeeds(iter(BLOCKS), b"".join(BLOCKS), **floor)
    assert time.monotonic() - began < 25, "the connection's own time-out is 60 s"


def test_f19_what_the_kernel_holds_back_has_not_moved(make_s3: MakeTried) -> None:
    """A body that fits into the socket's buffers is sent at once, and still does not arrive."""
    s3 = make_s3()
    s3.driver.connection.connection.session.timeout = 60
    s3.fake.script(PART, faults.stall("answer", applied=False), part_number=2)
    s3.succeeds(min_throughput_bytes_per_second=1, stall_seconds=0.2)
    assert s3.count(PART, 2) == 2


def test_f20_an_answer_that_drips_is_read_to_its_end(s3: Tried) -> None:
    for verb in VERBS:
        s3.fake.script(verb, faults.drip("answer", step_bytes=8, pause_seconds=0.0005))
    s3.succeeds()
    assert s3.count(PART) == PARTS


def test_f20_an_answer_that_drips_for_minutes_meets_the_deadline(s3: Tried) -> None:
    drip = faults.drip("answer", step_bytes=1, pause_seconds=0.8)
    forever(s3.fake, PART, drip)
    began = time.monotonic()
    s3.fails(S3MultipartError, deadline_seconds=1.0)
    assert time.monotonic() - began < 25


@pytest.mark.parametrize("verb", [INITIATE, PART, COMPLETE])
def test_f20_the_deadline_ends_whatever_hangs(verb: str, lean: Tried) -> None:
    forever(lean.fake, verb, faults.stall("answer", applied=False))
    began = time.monotonic()
    if verb == COMPLETE:  # It was sent, and the fake joined nothing: asking proves that.
        error = lean.fails(S3MultipartError, deadline_seconds=0.7)
    else:
        error = lean.fails(DeadlineExceededError, deadline_seconds=0.7)
    assert isinstance(error, TimeoutError) and "deadline_seconds (0.7)" in str(error)
    assert time.monotonic() - began < 25


def test_f20_the_deadline_holds_between_attempts_and_the_failures_are_kept(s3: Tried) -> None:
    forever(s3.fake, PART, faults.error("SlowDown"))
    waits = dict.fromkeys(
        ("throttle_delay_seconds", "base_delay_seconds", "max_delay_seconds"), 200.0
    )
    policy = RetryPolicy(**waits)
    began = time.monotonic()
    error = s3.fails(DeadlineExceededError, deadline_seconds=0.5, retry=policy, concurrency=1)
    assert time.monotonic() - began < 25
    assert {type(e).__name__ for e in error.attempts} == {"ThrottledError"}


def test_f20_a_slow_source_meets_the_deadline_when_it_yields(s3: Tried) -> None:
    def source() -> Iterator[bytes]:
        yield from chunks(2)
        time.sleep(0.2)
        yield from chunks(2)

    s3.fails(DeadlineExceededError, source(), deadline_seconds=0.1)


def test_f20_a_single_put_has_the_deadline_too(lean: Tried) -> None:
    forever(lean.fake, "PutObject", faults.stall("answer", applied=False))
    lean.fails(DeadlineExceededError, iter([b"abc"]), deadline_seconds=0.3)


@pytest.mark.parametrize("resets", [False, True])
@pytest.mark.parametrize("announced", [False, True])
def test_f21_a_dead_kept_connection_is_no_attempt(announced: bool, resets: bool, s3: Tried) -> None:
    for number in range(1, PARTS):
        s3.fake.script(PART, faults.hang_up(announced=announced, resets=resets), part_number=number)
    # libcloud's own way notices most of them, but not one that dies under the request.
    policy = NO_RETRIES if s3.driver.ex_transport == "lean" else AT_ONCE
    s3.succeeds(concurrency=1, retry=policy)


def test_f21_every_answer_may_say_close(s3: Tried) -> None:
    forever(s3.fake, "*", faults.hang_up(announced=True))
    s3.succeeds(retry=NO_RETRIES)


def test_f21_connections_that_were_idle_for_long_are_not_used() -> None:
    from libcloud_s3mpu.transfer.sockets import MAX_IDLE_SECONDS

    assert MAX_IDLE_SECONDS < 20


def test_f22_no_request_waits_for_leave_to_go_on(s3: Tried) -> None:
    forever(s3.fake, "*", faults.no_continue())
    s3.succeeds()
    assert not any("expect" in record.headers for record in s3.fake.requests)
    assert s3.count(COMPLETE) == 1 and s3.count(ABORT) == 0
