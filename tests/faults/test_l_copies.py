# SPDX-License-Identifier: Apache-2.0
"""Copies that go wrong: there and identical, or an error and nothing; never a mixture."""

from __future__ import annotations

import time
from typing import Any
from dataclasses import replace
from collections.abc import Callable, Iterator

import pytest
from libcloud.storage.base import Object

import libcloud_s3mpu as ours
from tests.fake_s3 import FakeLimits, faults
from tests.unit.small import LIMITS, Apart, whole
from tests.faults.outcomes import HEAD, PART, COMPLETE, INITIATE, Tried, MakeTried
from tests.fake_s3.messages import Response

COPY = "CopyObject"
COPY_PART = "UploadPartCopy"
READ = "GetObject"
OLD = whole(12)
FAKE = FakeLimits(min_part_size=5, max_part_size=50, max_parts=20, max_object_size=10_000)


@pytest.fixture
def s3(road: str, make_s3: MakeTried) -> Iterator[Tried]:
    """A service on each road, with an object of 60 bytes; above 20 they are copied in parts."""
    it = make_s3(road, limits=FAKE)
    it.driver.ex_limits = replace(
        LIMITS, uniform_parts=False, max_single_copy=20, max_object_size=10_000
    )
    put(it, "old", OLD)
    yield it


def put(s3: Tried, key: str, data: bytes) -> Object:
    made = s3.upload([data], key, part_size_bytes=50)
    s3.fake.requests.clear()
    return made


def old(s3: Tried, key: str = "old") -> Object:
    return Object(key, 0, "", {}, {}, s3.container, s3.driver)


def copy(s3: Tried, key: str = "old", **options: Any) -> Object:
    ex_options = replace(s3.driver.ex_options, **options)
    return s3.timed(
        lambda: s3.driver.ex_copy_object(old(s3, key), s3.container, "key", ex_options=ex_options)
    )


def join(s3: Tried, *keys: str, **options: Any) -> Object:
    ex_options = replace(s3.driver.ex_options, **options)
    objects = [old(s3, key) for key in keys]
    return s3.timed(
        lambda: s3.driver.ex_concatenate_objects(
            objects, s3.container, "key", ex_options=ex_options
        )
    )


def nothing_is_left(s3: Tried, *keys: str) -> None:
    assert s3.keys == sorted(keys or ("old",))
    assert s3.fake.uploads == {}


TRANSIENT = [
    faults.error("InternalError"),
    faults.error("SlowDown"),
    faults.error_in_200(),
    faults.error_in_200("SlowDown"),
    faults.error_in_200().plus(faults.drip()),
    faults.empty_body(),
    faults.html(),
    faults.truncated_xml(),
    faults.truncated_xml(applied=True),
    faults.reset(),
    faults.reset(applied=True),
    faults.close(applied=True),
    faults.close(after_bytes=30, applied=True),
    faults.white_space(2000),
    faults.missing_etag(),
]


@pytest.mark.parametrize("fault", TRANSIENT, ids=lambda fault: fault.name)
@pytest.mark.parametrize("operation", [COPY_PART, COPY])
def test_l1_what_may_pass_is_tried_again(s3: Tried, operation: str, fault: faults.Fault) -> None:
    data = OLD
    if operation == COPY:
        data = b"small"
        put(s3, "small", data)
    # A 200 behind white space is none of them: one request is all then.
    is_answer = fault.name == "white_space"
    s3.fake.script(operation, *[fault] * (1 if is_answer else 2))
    copy(s3, "small" if operation == COPY else "old")
    s3.is_whole(data)
    assert s3.fake.unspent == []


@pytest.mark.parametrize("operation", [HEAD, INITIATE, COPY_PART, READ, PART, COMPLETE])
@pytest.mark.parametrize(
    "fault", [faults.error("SlowDown"), faults.error("InternalError")], ids=lambda f: f.name
)
def test_l2_every_verb_of_a_join_is_tried_again(
    s3: Tried, operation: str, fault: faults.Fault
) -> None:
    put(s3, "small", b"abc")
    s3.fake.script(operation, fault, fault)
    join(s3, "small", "old", "small")
    s3.is_whole(b"abc" + OLD + b"abc")
    assert s3.fake.unspent == []


@pytest.mark.parametrize("operation", [HEAD, COPY_PART, READ, PART])
def test_l3_an_answer_that_is_lost_is_asked_for_again(s3: Tried, operation: str) -> None:
    put(s3, "small", b"abc")
    s3.fake.script(operation, faults.reset(applied=True), faults.close(applied=True))
    join(s3, "small", "old", "small")
    s3.is_whole(b"abc" + OLD + b"abc")
    assert s3.fake.unspent == []


def test_l4_a_lost_complete_is_settled_by_asking(s3: Tried) -> None:
    s3.fake.script(COMPLETE, faults.reset(applied=True))
    copy(s3)
    s3.is_whole(OLD)
    assert s3.count(COMPLETE) == 2


@pytest.mark.parametrize("operation", [INITIATE, COPY_PART, COMPLETE])
@pytest.mark.parametrize("code", ["InternalError", "AccessDenied"])
def test_l5_what_cannot_be_mended_leaves_nothing(s3: Tried, operation: str, code: str) -> None:
    s3.fake.script(operation, faults.error(code), forever=True)
    with pytest.raises(ours.ServiceError, match=code) as caught:
        copy(s3)
    nothing_is_left(s3)
    assert caught.value.driver is s3.driver
    assert s3.count(operation) <= 12 + 28  # 12 parts in flight, and the retries that they share.


# -- sources that change -------------------------------------------------------------------------


def changing(s3: Tried, key: str = "old", *, is_deleted: bool = False) -> faults.Fault:
    """A request that goes well, and behind which the source becomes another object."""

    def change(response: Response) -> Response:
        objects = s3.fake.objects["bucket"]
        if is_deleted:
            objects.pop(key, None)
        elif key in objects:
            objects[key] = replace(objects[key], body=b"x" * 60, etag="f" * 32)
        return response

    return faults.Fault(name="changing", edit=change)


@pytest.mark.parametrize("operation", [HEAD, INITIATE, COPY_PART])
@pytest.mark.parametrize("concurrency", [1, None])
def test_l6_a_source_that_changes_is_never_mixed(
    s3: Tried, operation: str, concurrency: int | None
) -> None:
    s3.fake.script(operation, changing(s3))
    with pytest.raises(ours.SourceChangedError, match=r"changed.*not mixed") as caught:
        copy(s3, concurrency=concurrency)
    nothing_is_left(s3)
    assert not caught.value.retryable


def test_l7_a_small_source_that_changes_before_its_copy(s3: Tried) -> None:
    put(s3, "small", b"small")
    s3.fake.script(HEAD, changing(s3, "small"))
    with pytest.raises(ours.SourceChangedError):
        copy(s3, "small")
    nothing_is_left(s3, "old", "small")


def test_l8_a_source_that_changes_while_it_is_streamed(s3: Tried) -> None:
    put(s3, "small", b"abc")
    s3.fake.script(INITIATE, changing(s3, "small"))
    with pytest.raises(ours.SourceChangedError):
        join(s3, "small", "old", "small")
    nothing_is_left(s3, "old", "small")


@pytest.mark.parametrize("operation", [HEAD, COPY_PART])
def test_l9_a_source_that_is_deleted_meanwhile(s3: Tried, operation: str) -> None:
    s3.fake.script(operation, changing(s3, is_deleted=True))
    with pytest.raises(ours.ObjectMissingError, match="source bucket/old"):
        copy(s3, concurrency=1)
    assert s3.keys == []
    assert s3.fake.uploads == {}


def test_l10_a_source_that_changes_after_its_last_part_is_the_one_that_was_seen(s3: Tried) -> None:
    s3.fake.script(COMPLETE, changing(s3))
    copy(s3)
    s3.is_whole(OLD)


# -- interrupts ----------------------------------------------------------------------------------


class Stop(BaseException):
    """An interrupt, as Ctrl-C is one."""


@pytest.mark.parametrize("kind", ["copy", "join", "append"])
@pytest.mark.parametrize("concurrency", [1, None])
@pytest.mark.parametrize("part_number", [1, 3])
def test_l11_an_interrupt_leaves_nothing(
    s3: Tried, kind: str, concurrency: int | None, part_number: int
) -> None:
    def seen(event: Any) -> None:
        if isinstance(event, ours.PartUploaded) and event.part_number == part_number:
            raise Stop

    put(s3, "small", b"abc")
    options = {"on_event": seen, "concurrency": concurrency, "part_size_bytes": 5}
    calls: dict[str, Callable[[], Any]] = {
        "copy": lambda: copy(s3, **options),
        "join": lambda: join(s3, "old", "small", "old", **options),
        "append": lambda: append(s3, iter([b"more"] * 9), **options),
    }
    with pytest.raises(Stop):
        calls[kind]()
    nothing_is_left(s3, "old", "small")
    assert s3.stored("old") == OLD


def append(s3: Tried, data: Any, key: str = "old", **options: Any) -> Object:
    ex_options = replace(s3.driver.ex_options, **options)
    return s3.timed(lambda: s3.driver.ex_append(old(s3, key), data, ex_options=ex_options))


def test_l12_parts_in_flight_end_with_a_copy_that_failed(s3: Tried) -> None:
    stalled = [faults.stall() for _ in range(4)]
    for number, fault in enumerate(stalled, 2):
        s3.fake.script(COPY_PART, fault, part_number=number)
    s3.fake.script(COPY_PART, faults.error("AccessDenied"), part_number=1)
    began = time.monotonic()
    with pytest.raises(ours.AccessDeniedError):
        copy(s3, part_size_bytes=5)
    assert time.monotonic() - began < 30
    for fault in stalled:
        assert fault.wire is not None
        fault.wire.release.set()
    nothing_is_left(s3)


# -- append --------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", [HEAD, INITIATE, COPY_PART, PART, COMPLETE])
@pytest.mark.parametrize(
    "fault", [faults.error("SlowDown"), faults.reset()], ids=lambda fault: fault.name
)
def test_l13_every_verb_of_an_append_is_tried_again(
    s3: Tried, operation: str, fault: faults.Fault
) -> None:
    if operation == INITIATE and fault.name.startswith("reset"):
        pytest.skip("a lost initiate is an upload's own case")
    s3.fake.script(operation, fault)
    append(s3, [b"more"])
    s3.is_whole(OLD + b"more", "old")


def test_l14_a_source_that_fails_leaves_the_object_as_it_was(s3: Tried) -> None:
    def data() -> Iterator[bytes]:
        yield b"x" * 30
        raise OSError("the caller's own")

    with pytest.raises(OSError, match="the caller's own"):
        append(s3, data())
    nothing_is_left(s3)
    assert s3.stored("old") == OLD


@pytest.mark.parametrize("operation", [INITIATE, COPY_PART])
def test_l15_an_object_that_changes_under_an_append(s3: Tried, operation: str) -> None:
    s3.fake.script(operation, changing(s3))
    with pytest.raises((ours.SourceChangedError, ours.PreconditionFailedError)):
        append(s3, [b"more"])
    assert s3.stored("old") == b"x" * 60
    nothing_is_left(s3)


def test_l16_a_lost_complete_of_an_append_is_settled_by_asking(s3: Tried) -> None:
    s3.fake.script(COMPLETE, faults.reset(applied=True))
    append(s3, [b"more"])
    s3.is_whole(OLD + b"more", "old")


def test_l17_a_copy_onto_itself_whose_answer_is_lost(s3: Tried) -> None:
    small = s3.upload(iter([b"abcde", b"fgh"]), "small")
    assert small.hash.endswith("-2")
    s3.fake.script(COPY, faults.reset(applied=True))
    s3.fake.script(COMPLETE, faults.reset(applied=True))
    s3.timed(lambda: s3.driver.ex_copy_object(small, s3.container, "small", metadata={"a": "1"}))
    s3.is_whole(b"abcdefgh", "small")
    assert dict(s3.fake.objects["bucket"]["small"].metadata) == {"a": "1"}


def test_l18_many_copies_at_once_through_one_driver(s3: Tried) -> None:
    s3.fake.script(COPY_PART, *[faults.error("SlowDown"), faults.pass_through()] * 10)

    def one(number: int) -> Any:
        return s3.driver.ex_copy_object(old(s3), s3.container, f"new{number}")

    for apart in [Apart(lambda number=number: one(number)) for number in range(8)]:
        apart.result(20)
    assert {s3.stored(f"new{number}") for number in range(8)} == {OLD}
    assert s3.fake.uploads == {}
