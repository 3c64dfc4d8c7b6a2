# SPDX-License-Identifier: Apache-2.0
"""The road, through the driver, before a strict fake: every way in, every way out.

What only complete can do is in ``test_complete.py``, the failure road in ``test_cleanup.py``.
"""

from __future__ import annotations

import io
import os
import mmap
import hashlib
import tempfile
import threading
from typing import Any
from pathlib import Path
from dataclasses import replace
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.fake_s3 import Quirks, FakeLimits, faults
from tests.unit.small import (
    AT_ONCE,
    PATIENCE_SECONDS,
    Apart,
    Service,
    whole,
    chunks,
    service,
    make_plain,
)
from tests.fake_s3.caller import SSE_C
from libcloud_s3mpu.protocol import events
from libcloud_s3mpu.protocol.retry import NO_RETRIES
from libcloud_s3mpu.protocol.errors import (
    SourceSizeError,
    SourceChangedError,
    InvalidRequestError,
    ChecksumMismatchError,
    ContainerMissingError,
    RetriesExhaustedError,
    UnsupportedSourceError,
    PreconditionFailedError,
)
from libcloud_s3mpu.protocol.limits import Limits
from libcloud_s3mpu.protocol.options import UploadOptions

CONCURRENCY = [None, 1, 4]


@pytest.fixture
def running() -> Iterator[Service]:
    with service() as it:
        yield it


@pytest.fixture
def spooled(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every temporary file that the test has made."""
    files: list[Any] = []
    real = tempfile.TemporaryFile

    def make(*args: Any, **kwargs: Any) -> Any:
        files.append(real(*args, **kwargs))
        return files[-1]

    monkeypatch.setattr(tempfile, "TemporaryFile", make)
    return files


# -- one PUT, or parts -----------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 4, 5])
def test_what_fits_into_one_part_is_one_put(size: int, running: Service) -> None:
    done = running.upload(iter([b"x" * size]))
    assert running.operations() == ["PutObject"]
    assert running.stored() == b"x" * size
    assert (done.size, done.hash) == (size, hashlib.md5(b"x" * size).hexdigest())
    assert (done.extra["upload_id"], done.extra["parts"]) == (None, 1)


@pytest.mark.parametrize("source", [[], [b""], [b"", b""], b"", "", io.BytesIO(), iter([])])
def test_an_empty_source_is_an_empty_object(source: Any, running: Service) -> None:
    assert running.upload(source).size == 0
    assert running.stored() == b""


@pytest.mark.parametrize("concurrency", CONCURRENCY)
@pytest.mark.parametrize("size", [6, 9, 10, 11, 99, 100])
def test_what_does_not_fit_goes_up_in_parts(
    size: int, concurrency: int | None, running: Service
) -> None:
    data = bytes(range(size))
    done = running.upload(iter([data[:7], data[7:]]), concurrency=concurrency)
    assert running.stored() == data
    number = -(-size // 5)
    assert sorted(running.sent_parts()) == list(range(1, number + 1))  # type: ignore[type-var]
    stored = running.fake.objects["bucket"]["key"]
    assert stored.part_sizes == (5,) * (size // 5) + ((size % 5,) if size % 5 else ())
    assert (done.size, done.hash) == (size, stored.etag)
    assert done.extra["parts"] == number
    assert done.extra["part_size_bytes"] == 5
    assert done.extra["upload_id"].startswith("up")
    assert running.fake.uploads == {}


@pytest.mark.parametrize("road", ["lean", "plain"])
@pytest.mark.parametrize("concurrency", CONCURRENCY)
def test_parts_are_joined_in_the_order_of_the_source_whenever_they_arrive(
    concurrency: int | None, road: str, running: Service
) -> None:
    if road == "plain":
        make_plain(running.driver)
    for number in (1, 3, 7):
        running.fake.script("UploadPart", faults.error("SlowDown"), part_number=number)
    running.upload(chunks(20), concurrency=concurrency)
    assert running.stored() == whole(20)


def test_one_worker_more_than_none_overlaps_parts(running: Service) -> None:
    with running.server.hold_parts(until=4) as gate:
        running.upload(chunks(12), concurrency=4)
    assert running.server.max_parts_in_flight == 4
    assert not gate.timed_out
    assert running.stored() == whole(12)


def test_with_concurrency_one_everything_runs_in_the_callers_thread(running: Service) -> None:
    before = {thread.name for thread in threading.enumerate()}
    seen = set()

    def source() -> Iterator[bytes]:
        for chunk in chunks(8):
            seen.update(t.name for t in threading.enumerate() if t.name.startswith("s3mpu"))
            yield chunk

    running.upload(source(), concurrency=1)
    assert running.server.max_parts_in_flight == 1
    assert seen - before == set()
    assert running.server.connections == 1


def test_sizes_grow_by_the_schedule_where_the_service_lets_them() -> None:
    limits = FakeLimits(min_part_size=5, max_part_size=50, max_parts=20, max_object_size=700)
    with service(limits=limits) as it:
        it.driver.ex_limits = Limits(5, 50, 20, 700)
        it.upload(iter([b"x" * 600]))
        sizes = it.fake.objects["bucket"]["key"].part_sizes
        assert sizes[:4] == (5, 7, 10, 15)
        assert sum(sizes) == 600 and max(sizes) == 50


def test_a_known_length_is_cut_to_fit(running: Service) -> None:
    running.driver.ex_limits = Limits(5, 50, 4, 200, uniform_parts=True)
    running.upload(b"x" * 80)
    assert running.fake.objects["bucket"]["key"].part_sizes == (20, 20, 20, 20)


def test_libclouds_arguments_arrive_as_headers(running: Service) -> None:
    extra = {"content_type": "text/x", "meta_data": {"Name": "é"}, "acl": "private"}
    headers = {"Cache-Control": "no-store"}
    before = (dict(extra), dict(headers))
    options = replace(running.driver.ex_options)
    for key, source in (("one", b"abc"), ("many", chunks(3))):
        running.driver.upload_object_via_stream(
            source, running.container, key, extra, headers, "standard_ia", ex_options=options
        )
        stored = running.fake.objects["bucket"][key]
        assert stored.attributes.headers["content-type"] == "text/x"
        assert stored.attributes.headers["cache-control"] == "no-store"
        assert stored.attributes.storage_class == "STANDARD_IA"
        assert stored.attributes.acl == "private"
        assert stored.metadata == {"name": "=?UTF-8?B?w6k=?="}
        found = running.driver.get_object("bucket", key)
        assert found.meta_data == {"name": "é"}
    assert (extra, headers) == before


def test_sse_c_goes_with_every_request_that_needs_it() -> None:
    with service(quirks=Quirks(customer_keys_over_http=True)) as it:
        for key, source in (("one", b"abc"), ("many", chunks(8))):
            it.driver.upload_object_via_stream(source, it.container, key, headers=dict(SSE_C))
        assert it.stored("many") == whole(8)
        for operation in ("PutObject", "InitiateMultipartUpload", "UploadPart"):
            for record in it.fake.requests_of(operation):
                assert SSE_C.items() <= record.headers.items()
        (complete,) = it.fake.requests_of("CompleteMultipartUpload")
        assert SSE_C.items() <= complete.headers.items()


def test_uploads_are_part_of_one_conversation_of_32_threads(running: Service) -> None:
    running.upload(b"abc", key="seed")
    start = threading.Barrier(32)

    def work(number: int) -> None:
        start.wait(PATIENCE_SECONDS)
        data = bytes([number]) * (number + 1)
        for turn in range(3):
            key = f"{number}/{turn}"
            running.upload(iter([data[:5], data[5:]]), key=key)
            found = running.driver.get_object("bucket", key)
            assert found.size == len(data)
            assert b"".join(found.as_stream()) == data
            names = {item.name for item in running.container.list_objects(prefix=f"{number}/")}
            assert names == {f"{number}/{t}" for t in range(turn + 1)}

    with ThreadPoolExecutor(32) as pool:
        for future in [pool.submit(work, number) for number in range(32)]:
            future.result(60)
    assert len(running.keys) == 97
    assert running.fake.uploads == {}
    assert {record.code for record in running.fake.requests} == {""}


# -- memory ----------------------------------------------------------------------------------------


def test_a_slow_store_stops_the_source_at_the_budget(running: Service) -> None:
    pulled = []

    def source() -> Iterator[bytes]:
        for chunk in chunks(20):
            pulled.append(chunk)
            yield chunk

    with running.server.hold_parts() as gate:
        upload = Apart(lambda: running.upload(source(), concurrency=8, memory_budget_bytes=20))
        assert gate.wait_held(4)
        assert not upload.wait(0.05)
        assert gate.arrived == 4
        assert len(pulled) <= 5  # Four in flight, and the first chunk behind the first part.
    assert upload.result().size == 100
    assert running.server.max_parts_in_flight == 4


def test_a_part_larger_than_half_the_budget_waits_in_a_file(
    running: Service, spooled: list[Any]
) -> None:
    running.upload(chunks(8), memory_budget_bytes=9)
    assert running.stored() == whole(8)
    assert len(spooled) >= 8
    assert all(file.closed for file in spooled)
    running.upload(chunks(8), memory_budget_bytes=10)
    assert len(spooled) <= 10


@pytest.mark.parametrize("concurrency", CONCURRENCY)
@pytest.mark.parametrize("budget", [1, 4])
def test_a_budget_below_one_part_has_all_parts_wait_in_files(
    running: Service, spooled: list[Any], concurrency: int | None, budget: int
) -> None:
    running.upload(chunks(8), memory_budget_bytes=budget, concurrency=concurrency)
    assert running.stored() == whole(8)
    assert len(spooled) >= 8
    assert running.server.max_parts_in_flight <= 2


def test_a_file_whose_name_says_no_content_type_has_that_of_the_objects_name(
    running: Service, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    running.driver.upload_object(path, running.container, "object.txt")
    assert running.driver.get_object("bucket", "object.txt").extra["content_type"] == "text/plain"


def test_the_folder_for_such_files_is_the_callers_choice(running: Service, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        running.upload(chunks(8), spool_directory=str(tmp_path / "missing"))
    assert running.fake.requests == []  # Though it would not have been needed yet.
    running.upload(chunks(8), memory_budget_bytes=6, spool_directory=str(tmp_path))
    assert running.stored() == whole(8)
    assert list(tmp_path.iterdir()) == []


def raising_source() -> Iterator[bytes]:
    yield from chunks(3)
    raise OSError("source")


def refuse_event(event: Any) -> None:
    raise LookupError("listener")


SPOOL_FAILURES: dict[str, tuple[str | None, dict[str, Any]]] = {
    "the initiate is refused": ("InitiateMultipartUpload", {}),
    "a part is refused": ("UploadPart", {}),
    "complete is refused": ("CompleteMultipartUpload", {}),
    "the single PUT is refused": ("PutObject", {"source": b"abc"}),
    "the source raises": (None, {"source": raising_source}),
    "the source is too long": (None, {"size_bytes": 12}),
    "the source is too long at its first part": (None, {"size_bytes": 3}),
    "the listener raises": (None, {"on_event": refuse_event}),
}


@pytest.mark.parametrize("concurrency", CONCURRENCY)
@pytest.mark.parametrize("case", SPOOL_FAILURES)
def test_no_spool_file_outlives_a_failure(
    case: str, concurrency: int | None, running: Service, spooled: list[Any]
) -> None:
    operation, options = SPOOL_FAILURES[case]
    options = dict(options)
    source = options.pop("source", None)
    source = source() if callable(source) else source or chunks(8)
    if operation is not None:
        running.fake.script(operation, faults.error("AccessDenied"), forever=True)
    with pytest.raises(Exception):  # noqa: B017 - which one is other tests' business
        running.upload(source, concurrency=concurrency, memory_budget_bytes=6, **options)
    assert spooled and all(file.closed for file in spooled)
    assert running.fake.uploads == {}


@pytest.mark.parametrize("concurrency", CONCURRENCY)
def test_a_mapped_file_can_be_closed_after_its_upload(
    concurrency: int | None, running: Service
) -> None:
    with mmap.mmap(-1, 40) as mapped:
        mapped[:] = whole(8)
        running.upload(mapped, concurrency=concurrency)
    assert running.stored() == whole(8)


# -- sources ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", [None, 5, {}, object(), Path("x")])
def test_what_is_no_source_is_refused_before_any_request(source: Any, running: Service) -> None:
    with pytest.raises(UnsupportedSourceError):
        running.upload(source)
    assert running.fake.requests == []


@pytest.mark.parametrize("at", [1, 2, 3])
@pytest.mark.parametrize("bad", [None, object(), 1.5])
def test_a_chunk_that_is_none_is_never_the_end(bad: Any, at: int, running: Service) -> None:
    items: list[Any] = list(chunks(4))
    items.insert(at, bad)
    with pytest.raises(TypeError):
        running.upload(iter(items))
    assert (running.fake.uploads, running.keys) == ({}, [])


@pytest.mark.parametrize(("announced", "given"), [(7, 6), (7, 8), (3, 4), (3, 2), (20, 40), (0, 1)])
def test_a_source_of_another_length_than_announced_is_refused(
    announced: int, given: int, running: Service
) -> None:
    with pytest.raises(SourceSizeError) as caught:
        running.upload(iter([b"x" * given]), size_bytes=announced)
    assert isinstance(caught.value, ValueError)
    assert (running.fake.uploads, running.keys) == ({}, [])


def test_a_source_longer_than_announced_is_not_read_on(running: Service) -> None:
    pulled = []

    def endless() -> Iterator[bytes]:
        while True:
            pulled.append(1)
            yield b"xxxxx"

    with pytest.raises(SourceSizeError):
        running.upload(endless(), size_bytes=12)
    assert len(pulled) <= 4


@pytest.mark.parametrize("size", [0, 4, 5, 6, 40])
def test_a_source_of_the_announced_length_passes(size: int, running: Service) -> None:
    assert running.upload(iter([b"x" * size]), size_bytes=size).size == size


def test_more_than_the_largest_object_is_refused_where_it_is_known_before_any_request(
    running: Service,
) -> None:
    with pytest.raises(SourceSizeError, match="101"):
        running.upload(b"x" * 101)
    assert running.fake.requests == []
    with pytest.raises(SourceSizeError):
        running.upload(iter([b"x" * 101]))
    assert (running.fake.uploads, running.keys) == ({}, [])


def test_a_file_is_read_from_where_it_stands_and_left_at_its_end(
    running: Service, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"skip" + whole(8))
    with open(path, "rb") as file:
        file.seek(4)
        running.upload(file)
        assert file.tell() == 44 and not file.closed
    assert running.stored() == whole(8)


def test_upload_object_of_a_file(running: Service, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(whole(8))
    done = running.driver.upload_object(str(path), running.container, "many")
    assert running.stored("many") == whole(8)
    assert done.extra["parts"] == 8
    for record in running.fake.requests_of("UploadPart"):
        assert "content-md5" in record.headers
    path.write_bytes(b"abc")
    done = running.driver.upload_object(path, running.container, "one")  # type: ignore[arg-type]
    assert done.hash == hashlib.md5(b"abc").hexdigest()
    assert running.stored("one") == b"abc"
    path.write_bytes(b"")
    assert running.driver.upload_object(str(path), running.container, "none").size == 0


def test_a_file_that_changes_while_it_is_uploaded_is_refused(
    running: Service, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_bytes(whole(8))

    def touch(event: Any) -> None:
        if isinstance(event, events.PartUploaded) and event.part_number == 2:
            status = os.stat(path)
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000))

    options = replace(running.driver.ex_options, on_event=touch)
    with pytest.raises(SourceChangedError):
        running.driver.upload_object(str(path), running.container, "key", ex_options=options)
    assert (running.fake.uploads, running.keys) == ({}, [])


@pytest.mark.parametrize("stored_wrong", [True, False])
def test_a_file_that_arrives_damaged_is_sent_again_or_refused(
    stored_wrong: bool, running: Service, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    fault = faults.corrupt_stored() if stored_wrong else faults.corrupt_received()
    running.fake.script("PutObject", fault)
    running.driver.upload_object(str(path), running.container, "key")
    assert running.stored() == b"abc"


# -- retries ---------------------------------------------------------------------------------------

PASSING = {
    "500": faults.error("InternalError"),
    "503": faults.error("SlowDown"),
    "429": faults.answer(429),
    "RequestTimeout": faults.error("RequestTimeout"),
    "error in a 200": faults.error_in_200("InternalError"),
    "gateway": faults.html(502),
    "no ETag": faults.missing_etag(),
    "half an ETag": faults.etag('"abc'),
    "damaged on the way": faults.corrupt_received(),
    "reset at the head": faults.reset("head"),
    "reset in the body": faults.reset("body", after_bytes=2),
    "reset instead of the answer": faults.reset("answer"),
    "reset after it was stored": faults.reset("answer", applied=True),
    "closed at the head": faults.close("head"),
    "closed instead of the answer": faults.close("answer"),
    "answer cut": faults.close("answer", after_bytes=30, applied=True),
    "status line cut": faults.raw(b"HTTP/1.1 200"),
    "head cut": faults.raw(b"HTTP/1.1 200 OK\r\nServer: x\r\n"),
    "no HTTP": faults.raw(b"garbage\r\n\r\n"),
    "early 503": faults.answer_early(faults.error("SlowDown")),
}


@pytest.mark.parametrize("road", ["lean", "plain"])
@pytest.mark.parametrize("concurrency", CONCURRENCY)
@pytest.mark.parametrize("fault", PASSING)
def test_a_part_survives_what_passes(
    fault: str, concurrency: int | None, road: str, running: Service
) -> None:
    if road == "plain":
        make_plain(running.driver)
    for number in (1, 3):
        running.fake.script("UploadPart", PASSING[fault], PASSING[fault], part_number=number)
    running.upload(chunks(4), concurrency=concurrency)
    assert running.stored() == whole(4)
    assert running.fake.unspent == []


@pytest.mark.parametrize("road", ["lean", "plain"])
@pytest.mark.parametrize("fault", [name for name in PASSING if "ETag" not in name])
def test_a_single_put_survives_what_passes(fault: str, road: str, running: Service) -> None:
    if road == "plain":
        make_plain(running.driver)
    running.fake.script("PutObject", PASSING[fault], PASSING[fault])
    running.upload(b"abc")
    assert running.stored() == b"abc"


@pytest.mark.parametrize("concurrency", CONCURRENCY)
def test_a_fault_that_stays_ends_the_upload_with_every_attempt_told(
    concurrency: int | None, running: Service
) -> None:
    running.fake.script("UploadPart", faults.error("SlowDown"), part_number=2, forever=True)
    with pytest.raises(RetriesExhaustedError, match="gave up after 6 attempts") as caught:
        running.upload(chunks(8), concurrency=concurrency)
    assert len(caught.value.attempts) == 6
    assert (caught.value.part_number, caught.value.s3_code) == (2, "SlowDown")
    assert running.sent_parts().count(2) == 6
    assert (running.fake.uploads, running.keys) == ({}, [])


@pytest.mark.parametrize("concurrency", CONCURRENCY)
def test_without_retries_the_first_failure_is_the_last(
    concurrency: int | None, running: Service
) -> None:
    running.fake.script("UploadPart", faults.error("InternalError"), part_number=2)
    with pytest.raises(Exception, match="InternalError"):
        running.upload(chunks(8), concurrency=concurrency, retry=NO_RETRIES)
    assert running.sent_parts().count(2) == 1
    assert running.fake.uploads == {}


def test_dead_connections_of_an_earlier_upload_are_no_attempts(running: Service) -> None:
    running.upload(chunks(8), concurrency=4)
    running.fake.script("UploadPart", faults.close("head"), part_number=2)
    running.upload(chunks(8), concurrency=1, retry=NO_RETRIES, key="again")
    assert running.stored("again") == whole(8)


def test_a_missing_container_is_told_once(running: Service) -> None:
    container = type(running.container)("missing", {}, running.driver)
    for source in (b"abc", chunks(8)):
        with pytest.raises(ContainerMissingError) as caught:
            running.driver.upload_object_via_stream(source, container, "key")
        assert caught.value.container_name == "missing"
        assert caught.value.driver is running.driver
    assert len(running.fake.requests) == 2


@pytest.mark.parametrize("checksum", ["crc32", "crc32c", "sha1", "sha256", "md5"])
def test_a_store_that_keeps_wrong_bytes_is_found_out(checksum: str, running: Service) -> None:
    if checksum == "crc32c":
        pytest.importorskip("crc32c")
    running.fake.script("UploadPart", faults.corrupt_stored(), part_number=2, forever=True)
    with pytest.raises((RetriesExhaustedError, ChecksumMismatchError)) as caught:
        running.upload(chunks(4), checksum=checksum, retry=replace(AT_ONCE, max_attempts=2))
    assert "part 2" in str(caught.value)
    assert (running.fake.uploads, running.keys) == ({}, [])


# -- conditions ------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", [b"abc", whole(4)])
def test_if_none_match_creates_only_what_is_not_there(source: bytes, running: Service) -> None:
    running.upload(source, if_none_match="*")
    with pytest.raises(PreconditionFailedError) as caught:
        running.upload(b"y" * len(source), if_none_match="*")
    assert caught.value.http_status == 412
    assert running.stored() == source
    assert running.fake.uploads == {}


@pytest.mark.parametrize("source", [b"abc", whole(4)])
def test_if_match_replaces_only_that_object(source: bytes, running: Service) -> None:
    etag = running.upload(b"old").hash
    with pytest.raises(PreconditionFailedError):
        running.upload(source, if_match="0" * 32)
    assert running.stored() == b"old"
    for bad in ("", '"', 'a"b', "a\r\nb", "é"):
        before = len(running.fake.requests)
        with pytest.raises(ValueError, match="if_match"):
            running.upload(source, if_match=bad)
        assert len(running.fake.requests) == before
    running.upload(source, if_match=f'"{etag}"')
    assert running.stored() == source


def test_a_conflict_of_conditional_writes_is_tried_again(running: Service) -> None:
    fault = faults.error("ConditionalRequestConflict")
    running.fake.script("CompleteMultipartUpload", fault)
    running.upload(chunks(4), if_none_match="*")
    assert running.stored() == whole(4)


# -- names -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["", "a\x00b", "k" * 1025, "ü" * 513])
def test_a_key_that_cannot_be_is_refused_before_any_request(key: str, running: Service) -> None:
    for source in (b"abc", chunks(4)):
        with pytest.raises(InvalidRequestError):
            running.upload(source, key=key)
    assert running.fake.requests == []


@pytest.mark.parametrize("key", ["k" * 1024, "ü" * 512])
def test_a_key_of_1024_bytes_is_legal(key: str, running: Service) -> None:
    running.upload(chunks(4), key=key)
    assert running.keys == [key]


@pytest.mark.parametrize("name", ["", "..", "a/b", "a?b", "a b", "a\r\nb"])
def test_a_container_name_that_cannot_be_is_refused_before_any_request(
    name: str, running: Service
) -> None:
    container = type(running.container)(name, {}, running.driver)
    with pytest.raises(InvalidRequestError):
        running.driver.upload_object_via_stream(b"abc", container, "key")
    assert running.fake.requests == []


@pytest.mark.parametrize(
    ("extra", "headers"),
    [
        ({"content_type": "text/x\r\nX-Evil: 1"}, None),
        ({"meta_data": {"a": "b\r\nX-Evil: 1"}}, None),
        ({"meta_data": {"a\r\nb": "c"}}, None),
        ({"acl": "private\r\n"}, None),
        (None, {"Cache-Control": "x\nX-Evil: 1"}),
        (None, {"X-Evil\r\n": "1"}),
        (None, {"Authorization": "mine"}),
        (None, {"Host": "other"}),
        (None, {"Transfer-Encoding": "chunked"}),
    ],
)
def test_nothing_can_be_injected_into_a_request(extra: Any, headers: Any, running: Service) -> None:
    with pytest.raises(InvalidRequestError):
        running.driver.upload_object_via_stream(
            b"abc", running.container, "key", extra=extra, headers=headers
        )
    assert running.fake.requests == []


# -- events ----------------------------------------------------------------------------------------


def told(running: Service, source: Any, **options: Any) -> list[Any]:
    heard: list[Any] = []
    running.upload(source, on_event=heard.append, **options)
    return heard


def test_events_tell_the_upload_in_the_callers_thread(running: Service) -> None:
    threads = set()
    heard: list[Any] = []

    def listen(event: Any) -> None:
        threads.add(threading.current_thread())
        heard.append(event)

    running.upload(chunks(8), on_event=listen, concurrency=4)
    assert threads == {threading.current_thread()}
    uploaded = [e for e in heard if isinstance(e, events.PartUploaded)]
    started = [e for e in heard if isinstance(e, events.PartStarted)]
    assert [e.part_number for e in started] == list(range(1, 9))
    assert sorted(e.part_number for e in uploaded) == list(range(1, 9))
    assert [e.uploaded_bytes for e in uploaded] == list(range(5, 41, 5))
    assert isinstance(heard[-1], events.UploadCompleted)
    assert (heard[-1].size, heard[-1].parts) == (40, 8)
    assert {(e.container, e.object_name) for e in heard} == {("bucket", "key")}
    assert len({e.upload_id for e in heard}) == 1


def test_a_single_put_tells_only_its_end(running: Service) -> None:
    (event,) = told(running, b"abc")
    assert isinstance(event, events.UploadCompleted)
    assert (event.upload_id, event.size, event.parts) == (None, 3, 1)


@pytest.mark.parametrize("concurrency", CONCURRENCY)
def test_a_retry_is_told_with_its_reason(concurrency: int | None, running: Service) -> None:
    running.fake.script("UploadPart", faults.error("SlowDown"), part_number=2)
    heard = told(running, chunks(4), concurrency=concurrency)
    (retried,) = [e for e in heard if isinstance(e, events.PartRetried)]
    assert (retried.part_number, retried.attempt, retried.reason) == (2, 1, "SlowDown")


@pytest.mark.parametrize("concurrency", CONCURRENCY)
def test_what_a_listener_raises_ends_the_upload(concurrency: int | None, running: Service) -> None:
    error = LookupError("enough")

    def listen(event: Any) -> None:
        if isinstance(event, events.PartUploaded):
            raise error

    with pytest.raises(LookupError) as caught:
        running.upload(chunks(8), on_event=listen, concurrency=concurrency)
    assert caught.value is error
    assert (running.fake.uploads, running.keys) == ({}, [])


# -- extensions ------------------------------------------------------------------------------------


def test_parts_of_an_upload_begun_elsewhere_can_be_sent_listed_and_aborted(
    running: Service,
) -> None:
    with pytest.raises(OSError):
        running.upload(raising_source(), on_failure="keep")
    (upload_id,) = running.fake.uploads
    parts = running.driver.ex_list_parts(running.container, "key", upload_id)
    assert [part.part_number for part in parts] == [1, 2, 3]
    sent = running.driver.ex_upload_part(running.container, "key", upload_id, 4, b"fourth")
    listed = running.driver.ex_list_parts(running.container, "key", upload_id)
    assert (listed[-1].etag, listed[-1].size) == (sent.etag, 6)
    with pytest.raises(InvalidRequestError, match="1 to 20"):
        running.driver.ex_upload_part(running.container, "key", upload_id, 21, b"x")
    assert running.driver.ex_abort_upload(running.container, "key", upload_id) is True
    assert running.driver.ex_abort_upload(running.container, "key", upload_id) is True
    assert running.fake.uploads == {}


def test_parts_are_listed_over_all_pages() -> None:
    limits = FakeLimits(min_part_size=5, max_part_size=50, max_parts=20, max_page=3)
    with service(limits=limits) as it:
        with pytest.raises(LookupError):
            it.upload(chunks(12), on_failure="keep", on_event=fail_at(10))
        (upload_id,) = it.fake.uploads
        parts = it.driver.ex_list_parts(it.container, "key", upload_id)
        assert [part.part_number for part in parts] == sorted(it.fake.uploads[upload_id].parts)
        assert len(it.fake.requests_of("ListParts")) > 1


def fail_at(number: int) -> Any:
    def listen(event: Any) -> None:
        if isinstance(event, events.PartUploaded) and event.uploaded_bytes >= 5 * number:
            raise LookupError("enough")

    return listen


def test_options_of_another_kind_are_refused(running: Service) -> None:
    with pytest.raises(TypeError, match="ex_options must be UploadOptions"):
        running.driver.upload_object_via_stream(
            b"",
            running.container,
            "key",
            ex_options={"concurrency": 1},  # type: ignore[arg-type]
        )
    assert isinstance(running.driver.ex_options, UploadOptions)
