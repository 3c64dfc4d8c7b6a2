# SPDX-License-Identifier: Apache-2.0
"""An upload goes on: what stands is not sent again, and nothing is ever a mixture."""

from __future__ import annotations

import io
import json
import hashlib
from typing import Any
from pathlib import Path
from dataclasses import replace
from collections.abc import Callable, Iterator

import pytest
from libcloud.storage.base import Container

from tests.fake_s3 import faults
from tests.unit.small import Apart, Service, whole, chunks, service
from libcloud_s3mpu.handle import SessionHandle
from libcloud_s3mpu.transfer import journal as journal_module
from libcloud_s3mpu.protocol.retry import NO_RETRIES
from libcloud_s3mpu.protocol.errors import (
    TransportError,
    SourceSizeError,
    SessionStateError,
    SourceChangedError,
    UploadMissingError,
    InvalidRequestError,
    CompletionUnknownError,
)
from libcloud_s3mpu.protocol.session import (
    State,
    UploadSession,
    SessionBusyError,
    UploadPausedError,
    SessionFormatError,
)
from libcloud_s3mpu.transfer.journal import MemoryJournal
from libcloud_s3mpu.protocol.checksums import encoded

COUNT = 8
DATA = whole(COUNT)
CONCURRENCY = [None, 1, 4]
COMPLETE = "CompleteMultipartUpload"


@pytest.fixture
def running() -> Iterator[Service]:
    with service() as it:
        yield it


@pytest.fixture
def journal() -> MemoryJournal:
    return MemoryJournal()


@pytest.fixture(autouse=True)
def saves_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Save after every part: what the tests see then does not depend on the clock."""
    monkeypatch.setattr(journal_module, "SAVE_SECONDS", 0.0)
    monkeypatch.setattr(journal_module, "SAVE_PAUSE", 0.0)


def start(running: Service, **options: Any) -> SessionHandle:
    ex_options = replace(running.driver.ex_options, **options)
    return running.driver.ex_start_upload(running.container, "key", ex_options=ex_options)


def broken(count: int, error: BaseException | None = None) -> Iterator[bytes]:
    """Yield some chunks of the source, then raise."""
    yield from chunks(count)
    raise error or OSError("the source broke")


def kept(running: Service, count: int = 4, **options: Any) -> SessionHandle:
    """Give an upload that failed after ``count`` parts and was kept."""
    handle = start(running, **{"on_failure": "keep", **options})
    with pytest.raises(OSError, match="the source broke"):
        handle.run(broken(count))
    assert handle.session.state is State.KEPT
    running.fake.requests.clear()
    return handle


def resume(running: Service, session: Any, source: Any, *args: Any, **options: Any) -> Any:
    ex_options = replace(running.driver.ex_options, **options)
    return running.driver.ex_resume_upload(session, source, *args, ex_options=ex_options)


def as_file(data: bytes, folder: Path) -> Any:
    path = folder / "source"
    path.write_bytes(data)
    return open(path, "rb")


SOURCES: dict[str, Callable[[bytes, Path], Any]] = {
    "generator": lambda data, _: (data[i : i + 3] for i in range(0, len(data), 3)),
    "bytes": lambda data, _: data,
    "bytearray": lambda data, _: bytearray(data),
    "list": lambda data, _: [data[i : i + 7] for i in range(0, len(data), 7)],
    "BytesIO": lambda data, _: io.BytesIO(data),
    "file": as_file,
}


def close(source: Any) -> None:
    if hasattr(source, "close"):
        source.close()


# -- an upload by a handle -------------------------------------------------------------------------


def test_starting_an_upload_sends_nothing_and_checks_its_arguments(running: Service) -> None:
    handle = start(running)
    assert running.fake.requests == []
    assert handle.upload_id is None
    assert repr(handle) == "<UploadSession NEW bucket/key 0 parts, 0.0 MiB, next 1>"
    with pytest.raises(ValueError):
        running.driver.ex_start_upload(running.container, "")


@pytest.mark.parametrize("count", [0, 1, 2, 8])
@pytest.mark.parametrize("concurrency", CONCURRENCY)
def test_a_run_that_meets_nothing_is_any_upload(
    running: Service, journal: MemoryJournal, concurrency: int | None, count: int
) -> None:
    handle = start(running, journal=journal, concurrency=concurrency)
    done = handle.run(chunks(count))
    assert (running.stored(), done.size) == (whole(count), 5 * count)
    assert (running.fake.uploads, journal.list()) == ({}, [])
    with pytest.raises(SessionStateError, match="is over"):
        handle.run(chunks(count))


@pytest.mark.parametrize("concurrency", CONCURRENCY)
def test_a_pause_keeps_what_was_sent_and_the_next_run_sends_the_rest(
    running: Service, concurrency: int | None, journal: MemoryJournal
) -> None:
    handle = start(running, concurrency=concurrency, journal=journal)

    def source() -> Iterator[bytes]:
        for number, chunk in enumerate(chunks(COUNT), 1):
            if number == 5:
                handle.pause()
            yield chunk

    with pytest.raises(UploadPausedError, match="was paused") as caught:
        handle.run(source())
    assert caught.value.resumable and caught.value.upload_id == handle.upload_id
    assert "ex_resume_upload" in str(caught.value).splitlines()[1]
    assert handle.session.state is State.KEPT
    assert "AbortMultipartUpload" not in running.operations()
    first = running.sent_parts()
    running.fake.requests.clear()
    handle.run(chunks(COUNT))
    assert running.stored() == DATA
    assert sorted(running.sent_parts() + first) == list(range(1, COUNT + 1))
    assert (running.fake.uploads, journal.list()) == ({}, [])


def test_a_pause_comes_from_any_thread(running: Service) -> None:
    handle = start(running)
    with running.server.hold_parts() as gate:
        run = Apart(lambda: handle.run(chunks(COUNT)))
        assert gate.wait_held(1)
        handle.pause()
        with pytest.raises(SessionStateError, match="is being run"):
            handle.run(chunks(COUNT))
        with pytest.raises(SessionStateError, match="pause it first"):
            handle.abort()
    assert isinstance(run.end(), UploadPausedError)
    # The part that was in flight had time to end, and counts.
    assert 1 in handle.session.parts
    assert handle.run(chunks(COUNT)).size == len(DATA)


def test_a_pause_before_the_run_sends_nothing(running: Service) -> None:
    handle = start(running)
    handle.pause()
    with pytest.raises(UploadPausedError):
        handle.run(chunks(COUNT))
    assert running.fake.requests == []
    assert handle.run(chunks(COUNT)).size == len(DATA)


def test_aborting_frees_the_parts_and_forgets_the_upload(
    running: Service, journal: MemoryJournal
) -> None:
    handle = kept(running, journal=journal)
    assert len(journal.list()) == 1
    handle.abort()
    assert (running.fake.uploads, journal.list()) == ({}, [])
    handle.abort()
    with pytest.raises(SessionStateError, match="is over"):
        handle.run(chunks(COUNT))


def test_aborting_what_has_not_begun_is_nothing(running: Service) -> None:
    start(running).abort()
    assert running.fake.requests == []


# -- what is kept, and what the error says ---------------------------------------------------------


@pytest.mark.parametrize("concurrency", CONCURRENCY)
@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt, SystemExit, MemoryError])
def test_with_a_journal_whatever_ends_an_upload_keeps_it(
    running: Service, journal: MemoryJournal, error: type[BaseException], concurrency: int | None
) -> None:
    raised = error("mine")
    with pytest.raises(error) as caught:
        running.upload(broken(4, raised), journal=journal, concurrency=concurrency)
    assert caught.value is raised
    assert "AbortMultipartUpload" not in running.operations()
    (saved,) = journal.list()
    assert (saved.state, sorted(saved.parts)) == (State.KEPT, [1, 2, 3, 4])
    running.fake.requests.clear()
    assert saved.upload_id is not None
    resume(running, saved.upload_id, chunks(COUNT), journal=journal)
    assert (running.stored(), sorted(running.sent_parts())) == (DATA, [5, 6, 7, 8])
    assert (journal.list(), running.fake.uploads) == ([], {})


def test_our_own_errors_say_on_their_second_line_how_to_go_on(
    running: Service, journal: MemoryJournal
) -> None:
    running.fake.script("UploadPart", *[faults.reset("head")] * 20, part_number=3)
    with pytest.raises(TransportError) as caught:
        running.upload(chunks(COUNT), journal=journal, retry=NO_RETRIES)
    line = str(caught.value).splitlines()[1]
    assert "was kept" in line and "ex_resume_upload" in line
    assert caught.value.upload_id is not None and caught.value.upload_id in line
    assert caught.value.resumable


def test_the_session_is_saved_before_the_first_part_is_sent(
    running: Service, journal: MemoryJournal
) -> None:
    seen: list[Any] = []

    def on_event(event: Any) -> None:
        seen.append((type(event).__name__, len(journal.list()), running.sent_parts()))

    running.upload(chunks(COUNT), journal=journal, on_event=on_event, concurrency=1)
    assert seen[0] == ("PartStarted", 1, [])


def test_a_journal_that_cannot_be_written_ends_the_upload_and_leaves_nothing(
    running: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = MemoryJournal()

    def full(*_: Any, **__: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(journal, "save", full)
    with pytest.raises(OSError, match="disk full"):
        running.upload(chunks(COUNT), journal=journal)
    assert (running.fake.uploads, running.keys, running.sent_parts()) == ({}, [], [])


def test_an_upload_that_vanished_is_not_kept(running: Service, journal: MemoryJournal) -> None:
    def source() -> Iterator[bytes]:
        for number, chunk in enumerate(chunks(COUNT)):
            if number == 4:
                running.fake.uploads.clear()
            yield chunk

    with pytest.raises(UploadMissingError) as caught:
        running.upload(source(), journal=journal, concurrency=1)
    assert not caught.value.resumable
    assert journal.list() == []


def test_an_upload_that_only_one_node_does_not_know_goes_on(
    running: Service, journal: MemoryJournal
) -> None:
    running.fake.script("UploadPart", faults.error("NoSuchUpload"), part_number=4)
    with pytest.raises(UploadMissingError) as caught:
        running.upload(chunks(COUNT), journal=journal)
    assert caught.value.resumable and caught.value.upload_id is not None
    resume(running, caught.value.upload_id, chunks(COUNT), journal=journal)
    assert (running.stored(), running.fake.uploads, journal.list()) == (DATA, {}, [])


def test_what_is_saved_holds_no_secret(running: Service, journal: MemoryJournal) -> None:
    with pytest.raises(OSError):
        running.driver.upload_object_via_stream(
            broken(4),
            running.container,
            "key",
            extra={"meta_data": {"note": "my-secret"}},
            headers={"x-amz-meta-b": "my-secret", "x-amz-request-payer": "requester"},
            ex_options=replace(running.driver.ex_options, journal=journal),
        )
    text = "".join(journal._texts.values())
    assert "secret" not in text and "Signature" not in text and "AKID" not in text
    assert "requester" in text


# -- going on --------------------------------------------------------------------------------------


@pytest.mark.parametrize("concurrency", CONCURRENCY)
@pytest.mark.parametrize("kind", SOURCES)
def test_only_what_is_missing_is_sent_whatever_the_source(
    running: Service, kind: str, concurrency: int | None, tmp_path: Path
) -> None:
    handle = kept(running)
    source = SOURCES[kind](DATA, tmp_path)
    try:
        done = resume(running, handle, source, concurrency=concurrency)
    finally:
        close(source)
    assert (running.stored(), done.size, done.extra["parts"]) == (DATA, len(DATA), COUNT)
    assert sorted(running.sent_parts()) == [5, 6, 7, 8]
    assert running.operations()[0] == "ListParts"
    assert running.fake.uploads == {}


@pytest.mark.parametrize("algorithm", ["crc32", "sha1", "sha256", "md5", None])
@pytest.mark.parametrize("tls", [False, True])
def test_every_check_of_the_first_run_serves_the_second(algorithm: str | None, tls: bool) -> None:
    with service(tls=tls) as running:
        handle = kept(running, checksum=algorithm)
        # The options of the second run do not matter: the upload was begun with a check.
        resume(running, handle.saved, chunks(COUNT), checksum="sha256")
        assert running.stored() == DATA
        assert sorted(running.sent_parts()) == [5, 6, 7, 8]


@pytest.mark.parametrize("by", ["handle", "session", "saved", "bytes", "id", "journal"])
def test_an_upload_is_named_in_any_of_these_ways(
    running: Service, by: str, journal: MemoryJournal
) -> None:
    handle = kept(running, journal=journal)
    named: Any = {
        "handle": handle, "session": handle.session, "saved": handle.saved,
        "bytes": handle.saved.encode(), "id": handle.upload_id, "journal": journal.list()[0],
    }[by]  # fmt: skip
    resume(running, named, chunks(COUNT), running.container, "key", journal=journal)
    assert running.stored() == DATA
    assert sorted(running.sent_parts()) == [5, 6, 7, 8]
    assert journal.list() == []


def test_an_upload_that_no_journal_knows_goes_on_by_its_id_and_place(running: Service) -> None:
    handle = kept(running)
    assert handle.upload_id is not None
    with pytest.raises(InvalidRequestError, match="give its container and object name"):
        resume(running, handle.upload_id, chunks(COUNT))
    assert running.fake.requests == []
    resume(running, handle.upload_id, chunks(COUNT), running.container, "key")
    assert (running.stored(), sorted(running.sent_parts())) == (DATA, [5, 6, 7, 8])


def test_an_upload_that_is_over_does_not_go_on(running: Service) -> None:
    handle = kept(running)
    handle.abort()
    running.fake.requests.clear()
    with pytest.raises(SessionStateError, match="ABORTED"):
        resume(running, handle, chunks(COUNT))
    assert running.fake.requests == []


@pytest.mark.parametrize("by", ["saved", "id"])
def test_a_resumed_upload_that_fails_again_is_kept_again(running: Service, by: str) -> None:
    handle = kept(running)
    named = handle.saved if by == "saved" else handle.upload_id
    for _ in range(2):
        with pytest.raises(OSError):
            resume(running, named, broken(6), running.container, "key")
    assert "AbortMultipartUpload" not in running.operations()
    resume(running, named, chunks(COUNT), running.container, "key")
    assert (running.stored(), sorted(running.sent_parts())) == (DATA, [5, 6, 7, 8])


def test_what_is_no_upload_is_refused(running: Service) -> None:
    for wrong in (None, 7, object()):
        with pytest.raises(TypeError, match="an upload is named by"):
            running.driver.ex_resume_upload(wrong, b"")
    for text in ("", "a\nb"):
        with pytest.raises(InvalidRequestError, match="not an upload id"):
            running.driver.ex_resume_upload(text, b"", running.container, "key")
    with pytest.raises(SessionFormatError):
        running.driver.ex_resume_upload('{"version": 1}', b"")
    assert running.fake.requests == []


def test_parts_that_only_the_service_knows_are_compared_and_not_sent_again(
    running: Service,
) -> None:
    handle = kept(running)
    for number in (2, 3):
        del handle.session.parts[number]
    resume(running, handle, chunks(COUNT))
    assert (running.stored(), sorted(running.sent_parts())) == (DATA, [5, 6, 7, 8])


def test_all_pages_of_a_listing_count() -> None:
    from tests.unit.small import FAKE_LIMITS

    with service(limits=replace(FAKE_LIMITS, max_page=2)) as running:
        handle = kept(running, 6)
        resume(running, handle, chunks(COUNT))
        assert (running.stored(), sorted(running.sent_parts())) == (DATA, [7, 8])
        assert running.operations().count("ListParts") >= 3


def test_a_part_that_the_service_lost_is_sent_again(running: Service) -> None:
    handle = kept(running)
    (upload,) = running.fake.uploads.values()
    del upload.parts[2]
    resume(running, handle, chunks(COUNT))
    assert (running.stored(), sorted(running.sent_parts())) == (DATA, [2, 5, 6, 7, 8])


def test_a_part_that_somebody_else_overwrote_is_sent_again(running: Service) -> None:
    handle = kept(running)
    assert handle.upload_id is not None
    running.driver.ex_upload_part(running.container, "key", handle.upload_id, 3, b"xxxxx")
    running.fake.requests.clear()
    resume(running, handle, chunks(COUNT))
    assert (running.stored(), sorted(running.sent_parts())) == (DATA, [3, 5, 6, 7, 8])


def test_parts_that_are_lost_still_say_what_the_source_was(running: Service) -> None:
    handle = kept(running)
    (upload,) = running.fake.uploads.values()
    upload.parts.clear()
    with pytest.raises(SourceChangedError, match="part 2"):
        resume(running, handle, DATA[:5] + b"#" * 35)
    assert running.sent_parts() == []
    resume(running, handle, DATA)
    assert (running.stored(), sorted(running.sent_parts())) == (DATA, list(range(1, COUNT + 1)))


def test_surplus_parts_that_only_the_service_knows_are_left_out(running: Service) -> None:
    handle = kept(running)
    assert handle.upload_id is not None
    running.driver.ex_upload_part(running.container, "key", handle.upload_id, 15, b"xxxxx")
    resume(running, handle, chunks(COUNT))
    assert running.stored() == DATA


def test_the_cuts_are_those_of_the_first_run_whatever_the_options_say_now(
    running: Service,
) -> None:
    handle = kept(running)
    resume(running, handle.saved, chunks(COUNT), part_size_bytes=11)
    assert (running.stored(), sorted(running.sent_parts())) == (DATA, [5, 6, 7, 8])


def test_an_upload_may_be_interrupted_and_resumed_again_and_again(
    running: Service, journal: MemoryJournal
) -> None:
    handle = start(running, journal=journal)
    sent: list[Any] = []
    for count in range(2, COUNT):
        with pytest.raises(OSError):
            handle.run(broken(count))
        sent += running.sent_parts()
        running.fake.requests.clear()
    handle.run(chunks(COUNT))
    assert running.stored() == DATA
    assert sorted(sent + running.sent_parts()) == list(range(1, COUNT + 1))


def test_parts_larger_than_the_budget_go_on_through_files(running: Service) -> None:
    handle = kept(running)
    resume(running, handle, chunks(COUNT), memory_budget_bytes=4)
    assert (running.stored(), sorted(running.sent_parts())) == (DATA, [5, 6, 7, 8])


# -- sources that differ ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.parametrize("at", [0, 12, 19])
def test_another_source_is_refused_before_anything_is_overwritten(
    running: Service, kind: str, at: int, tmp_path: Path, journal: MemoryJournal
) -> None:
    handle = kept(running, journal=journal)
    (upload,) = running.fake.uploads.values()
    before = {number: part.etag for number, part in upload.parts.items()}
    other = DATA[:at] + b"#" + DATA[at + 1 :]
    source = SOURCES[kind](other, tmp_path)
    try:
        with pytest.raises(SourceChangedError, match=f"part {at // 5 + 1} differs") as caught:
            resume(running, handle, source, journal=journal)
    finally:
        close(source)
    assert caught.value.resumable and caught.value.part_number == at // 5 + 1
    assert running.sent_parts() == []
    assert {number: part.etag for number, part in upload.parts.items()} == before
    # The right one still goes on.
    resume(running, handle, chunks(COUNT), journal=journal)
    assert (running.stored(), sorted(running.sent_parts())) == (DATA, [5, 6, 7, 8])


@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.parametrize("size", [0, 3, 10, 17, 19])
def test_a_shorter_source_is_refused(
    running: Service, kind: str, size: int, tmp_path: Path
) -> None:
    handle = kept(running)
    source = SOURCES[kind](DATA[:size], tmp_path)
    try:
        with pytest.raises((SourceSizeError, SourceChangedError)) as caught:
            resume(running, handle, source)
    finally:
        close(source)
    assert "key" in str(caught.value)
    assert (COMPLETE not in running.operations(), running.sent_parts()) == (True, [])
    resume(running, handle, chunks(COUNT))
    assert running.stored() == DATA


def test_a_source_of_another_known_length_is_refused_before_it_is_read(running: Service) -> None:
    handle = start(running, on_failure="keep")
    running.fake.script("UploadPart", *[faults.error("AccessDenied")], part_number=5)
    with pytest.raises(Exception, match="AccessDenied"):
        handle.run(DATA)
    for wrong in (DATA + b"x", DATA[:-1]):
        with pytest.raises(SourceSizeError, match="nothing was sent"):
            resume(running, handle, wrong)
    with pytest.raises(SourceSizeError):
        resume(running, handle, chunks(COUNT + 1))
    resume(running, handle, DATA)
    assert running.stored() == DATA


def test_what_another_source_had_sent_is_not_mixed_in_later(
    running: Service, journal: MemoryJournal
) -> None:
    """Parts 1 and 4 are known, a wrong stream fills 2 and 3 and is then found out."""
    handle = kept(running, journal=journal)
    (upload,) = running.fake.uploads.values()
    for number in (2, 3):
        del upload.parts[number], handle.session.parts[number]
    journal.save(handle.session)
    wrong = DATA[:5] + b"#" * 10 + b"!" + DATA[16:]
    with pytest.raises(SourceChangedError, match="part 4"):
        resume(running, handle.upload_id, iter([wrong]), journal=journal)
    (saved,) = journal.list()
    assert (saved.parts.keys(), sorted(upload.parts)) == ({1, 4}, [1, 2, 3, 4])
    running.fake.requests.clear()
    resume(running, handle.upload_id, chunks(COUNT), journal=journal)
    assert running.stored() == DATA
    assert sorted(running.sent_parts()) == [2, 3, 5, 6, 7, 8]


def test_by_the_id_alone_a_source_that_differs_is_refused(running: Service) -> None:
    handle = kept(running)
    with pytest.raises(SourceChangedError, match="part 1 differs"):
        resume(running, handle.upload_id, b"#" * len(DATA), running.container, "key")
    assert running.sent_parts() == []


def test_opaque_etags_are_compared_with_nothing_and_such_parts_sent_again(
    running: Service,
) -> None:
    handle = kept(running)
    handle.session.has_opaque_etags = True
    del handle.session.parts[2]
    resume(running, handle, chunks(COUNT))
    assert (running.stored(), sorted(running.sent_parts())) == (DATA, [2, 5, 6, 7, 8])


# -- files -----------------------------------------------------------------------------------------


class Reads:
    """Counts the bytes that are read of files' bodies."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from libcloud_s3mpu.transfer import spool

        self.ranges: list[tuple[int, int]] = []
        buffers = spool.FileBody.buffers

        def counted(body: Any) -> Iterator[memoryview]:
            self.ranges.append((body.offset, body.size))
            return buffers(body)

        monkeypatch.setattr(spool.FileBody, "buffers", counted)


def stopped_file(running: Service, path: Path, **options: Any) -> SessionHandle:
    """Give an upload of a file that failed at part 5."""
    path.write_bytes(DATA)
    handle = start(running, on_failure="keep", concurrency=1, **options)
    running.fake.script("UploadPart", faults.error("AccessDenied"), part_number=5)
    with open(path, "rb") as file, pytest.raises(Exception, match="AccessDenied"):
        handle.run(file)
    running.fake.requests.clear()
    return handle


def test_of_the_same_file_no_byte_that_is_there_is_read_again(
    running: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = stopped_file(running, tmp_path / "f")
    reads = Reads(monkeypatch)
    with open(tmp_path / "f", "rb") as file:
        resume(running, handle.saved, file)
    assert running.stored() == DATA
    assert sorted(running.sent_parts()) == [5, 6, 7, 8]
    assert reads.ranges and min(offset for offset, _ in reads.ranges) == 20


def test_a_file_that_was_changed_meanwhile_is_compared_and_refused(
    running: Service, tmp_path: Path
) -> None:
    handle = stopped_file(running, tmp_path / "f")
    with open(tmp_path / "f", "r+b") as file:
        file.write(b"#")
    with open(tmp_path / "f", "rb") as file, pytest.raises(SourceChangedError, match="part 1"):
        resume(running, handle.saved, file)
    assert running.sent_parts() == []


def test_a_copy_of_the_file_is_compared_and_taken(
    running: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = stopped_file(running, tmp_path / "f")
    reads = Reads(monkeypatch)
    (tmp_path / "copy").write_bytes(DATA)
    with open(tmp_path / "copy", "rb") as file:
        resume(running, handle, file)
    assert running.stored() == DATA
    assert handle.session.source_stamp is None
    assert sorted(running.sent_parts()) == [5, 6, 7, 8]
    assert min(offset for offset, _ in reads.ranges) == 0


# -- forged, busy, gone ----------------------------------------------------------------------------


def test_a_session_of_another_service_sends_nothing(running: Service) -> None:
    saved = json.loads(kept(running).saved)
    saved["endpoint"] = "http://evil.example:80"
    with pytest.raises(InvalidRequestError, match="nothing was sent"):
        resume(running, json.dumps(saved), chunks(COUNT))
    assert running.fake.requests == []


@pytest.mark.parametrize(("name", "value"), [("container", "other"), ("object_name", "other")])
def test_a_session_of_another_place_than_the_callers_sends_nothing(
    running: Service, name: str, value: str
) -> None:
    saved = json.loads(kept(running).saved)
    saved[name] = value
    with pytest.raises(InvalidRequestError, match="nothing was sent"):
        resume(running, json.dumps(saved), chunks(COUNT), running.container, "key")
    assert running.fake.requests == []


@pytest.mark.parametrize("name", ["../x?y", "bucket\r\nHost: evil"])
def test_a_forged_container_goes_into_no_request(running: Service, name: str) -> None:
    saved = json.loads(kept(running).saved)
    saved["container"] = name
    with pytest.raises(ValueError):
        resume(running, json.dumps(saved), chunks(COUNT))
    assert running.fake.requests == []


def test_an_upload_under_way_is_not_resumed_a_second_time(
    running: Service, journal: MemoryJournal
) -> None:
    handle = start(running, journal=journal)
    with running.server.hold_parts() as gate:
        run = Apart(lambda: handle.run(chunks(COUNT)))
        assert gate.wait_held(1)
        with pytest.raises(SessionBusyError, match="nothing was sent"):
            resume(running, handle.upload_id, chunks(COUNT), journal=journal)
    run.result()
    assert running.stored() == DATA


def test_an_upload_that_was_aborted_must_begin_anew(
    running: Service, journal: MemoryJournal
) -> None:
    handle = kept(running, journal=journal)
    running.fake.uploads.clear()
    with pytest.raises(UploadMissingError, match="upload the source anew"):
        resume(running, handle.upload_id, chunks(COUNT), journal=journal)
    assert journal.list() == []
    assert running.sent_parts() == []


def lost_complete(running: Service, journal: MemoryJournal, *, applied: bool) -> UploadSession:
    """Give the session of a process that was killed while complete was under way."""
    saved: list[str] = []
    save = journal.save

    def note(session: UploadSession, *, state: State | None = None) -> None:
        save(session, state=state)
        if state is State.COMPLETING:
            assert COMPLETE not in running.operations()
            saved.append(next(iter(journal._texts.values())))

    journal.save = note  # type: ignore[method-assign]
    if not applied:
        running.fake.script(COMPLETE, faults.error("AccessDenied"))
        with pytest.raises(Exception, match="AccessDenied"):
            running.upload(chunks(COUNT), journal=journal)
    else:
        running.upload(chunks(COUNT), journal=journal)
    running.fake.requests.clear()
    return UploadSession.from_json(saved[0])


def test_killed_in_complete_that_took_effect_resumes_to_the_object(
    running: Service, journal: MemoryJournal
) -> None:
    session = lost_complete(running, journal, applied=True)
    assert session.state is State.COMPLETING
    done = resume(running, session, chunks(COUNT), journal=journal)
    assert (done.size, done.extra["parts"]) == (len(DATA), COUNT)
    md5s = b"".join(hashlib.md5(chunk).digest() for chunk in chunks(COUNT))
    assert done.hash == f"{hashlib.md5(md5s).hexdigest()}-{COUNT}"
    assert running.operations() == ["ListParts", "HeadObject"]
    assert (journal.list(), running.stored()) == ([], DATA)


def test_killed_in_complete_that_did_not_take_effect_completes(
    running: Service, journal: MemoryJournal
) -> None:
    session = lost_complete(running, journal, applied=False)
    assert session.state is State.COMPLETING
    resume(running, session, chunks(COUNT), journal=journal)
    assert (running.stored(), running.sent_parts()) == (DATA, [])


def test_an_object_that_another_wrote_proves_nothing(
    running: Service, journal: MemoryJournal
) -> None:
    session = lost_complete(running, journal, applied=True)
    running.upload(b"x" * len(DATA))
    with pytest.raises(UploadMissingError, match="no object proves"):
        resume(running, session, chunks(COUNT), journal=journal)


def finished_elsewhere(running: Service, data: bytes = DATA, **options: Any) -> str:
    """Give the saved form of a kept upload that another process then completed."""
    handle = kept(running, **options)
    saved = handle.saved
    resume(running, UploadSession.from_json(saved), io.BytesIO(data), **options)
    running.fake.requests.clear()
    return saved


@pytest.mark.parametrize("source", [DATA, io.BytesIO(DATA), "generator"], ids=["b", "f", "g"])
def test_an_upload_that_another_process_completed_gives_its_object(
    running: Service, journal: MemoryJournal, source: Any
) -> None:
    saved = finished_elsewhere(running)
    journal.save(session := UploadSession.from_json(saved))
    source = chunks(COUNT) if source == "generator" else source
    done = resume(running, session.upload_id, source, journal=journal)
    assert (done.size, done.extra["parts"]) == (len(DATA), COUNT)
    assert done.hash == running.fake.objects["bucket"]["key"].etag
    assert running.operations() == ["ListParts", "HeadObject", "HeadObject"]
    assert journal.list() == []


def test_an_upload_without_parts_that_another_process_completed_gives_its_object(
    running: Service,
) -> None:
    session = UploadSession.from_json(finished_elsewhere(running))
    session.parts.clear()
    assert resume(running, session, DATA).size == len(DATA)


def test_an_upload_named_by_its_id_alone_that_was_completed_gives_its_object(
    running: Service,
) -> None:
    upload_id = UploadSession.from_json(finished_elsewhere(running)).upload_id
    assert resume(running, upload_id, DATA, running.container, "key").size == len(DATA)


def test_where_etags_are_opaque_the_checksum_proves_who_completed(running: Service) -> None:
    session = UploadSession.from_json(finished_elsewhere(running, checksum="crc32"))
    session.has_opaque_etags = True
    assert resume(running, session, DATA, checksum="crc32").size == len(DATA)
    session = UploadSession.from_json(finished_elsewhere(running, checksum="crc32"))
    session.has_opaque_etags = True
    with pytest.raises(UploadMissingError):
        resume(running, session, DATA[:-1] + b"!", checksum="crc32")


def test_a_source_that_was_not_the_completed_one_proves_nothing(
    running: Service, journal: MemoryJournal, tmp_path: Path
) -> None:
    (path := tmp_path / "wrong").write_bytes(DATA[:-1] + b"!")
    saved = finished_elsewhere(running)
    with path.open("rb") as file:
        refused_as_another(running, journal, saved, DATA[:-1] + b"!", DATA[:-1], DATA + b"!", file)
        assert file.tell() == 0
    assert running.stored() == DATA and running.sent_parts() == []


def refused_as_another(running: Service, journal: MemoryJournal, saved: str, *sources: Any) -> None:
    for wrong in sources:
        journal.save(session := UploadSession.from_json(saved))
        with pytest.raises(UploadMissingError, match="completed by someone else"):
            resume(running, session.upload_id, wrong, journal=journal)
        assert journal.list() == []


def test_a_comparison_with_the_object_can_be_paused(running: Service) -> None:
    handle = kept(running)
    resume(running, UploadSession.from_json(handle.saved), DATA)

    def pausing() -> Iterator[bytes]:
        yield from chunks(3)
        handle.pause()
        yield DATA[15:]

    with pytest.raises(UploadPausedError):
        handle.run(pausing())
    assert handle.run(chunks(COUNT)).size == len(DATA)


@pytest.mark.parametrize("there", ["nothing", "another length", "another count"])
def test_a_source_that_can_prove_nothing_is_not_read(running: Service, there: str) -> None:
    session = UploadSession.from_json(finished_elsewhere(running))
    if there == "nothing":
        running.fake.objects["bucket"].clear()
    else:
        size = 4 if there == "another length" else 10
        running.upload(DATA if size == 10 else b"1234", part_size_bytes=10)
    source = chunks(COUNT)
    with pytest.raises(UploadMissingError):
        resume(running, session, source, size_bytes=len(DATA))
    assert next(source) == DATA[:5]


def test_a_source_that_breaks_while_it_is_compared_leaves_the_session(
    running: Service, journal: MemoryJournal
) -> None:
    saved = finished_elsewhere(running)
    journal.save(session := UploadSession.from_json(saved))
    with pytest.raises(OSError, match="the source broke"):
        resume(running, session.upload_id, broken(6), journal=journal)
    (left,) = journal.list()
    assert resume(running, left, DATA, journal=journal).size == len(DATA)


def test_with_opaque_etags_a_lost_complete_is_said_to_be_unknown(
    running: Service, journal: MemoryJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = lost_complete(running, journal, applied=True)
    session.parts[1] = replace(session.parts[1], etag="opaque")
    with pytest.raises(CompletionUnknownError, match="cannot be told by its ETag"):
        resume(running, session, chunks(COUNT), journal=journal)


def test_a_complete_that_lands_between_the_listing_and_ours_is_found(running: Service) -> None:
    """The service was still at the complete of the killed process when the parts were listed."""
    handle = kept(running, COUNT)
    session = handle.session
    done: list[str] = []

    def source() -> Iterator[bytes]:
        yield from chunks(COUNT)
        if not done:
            done.append("")
            other = UploadSession.from_json(handle.saved)
            other.state = State.KEPT
            resume(running, other, chunks(COUNT))

    assert resume(running, session, source()).size == len(DATA)
    assert running.stored() == DATA


KEY = bytes(range(32))
SSE_C = {
    "x-amz-server-side-encryption-customer-algorithm": "AES256",
    "x-amz-server-side-encryption-customer-key": encoded(KEY),
    "x-amz-server-side-encryption-customer-key-md5": encoded(hashlib.md5(KEY).digest()),
}


def test_the_keys_of_sse_c_are_not_saved_and_must_be_given_again() -> None:
    journal = MemoryJournal()
    with service(tls=True) as running:
        options = replace(running.driver.ex_options, journal=journal)
        place = (running.container, "key")
        handle = running.driver.ex_start_upload(*place, headers=SSE_C, ex_options=options)
        with pytest.raises(OSError):
            handle.run(broken(4))
        assert not any(value in handle.saved for value in list(SSE_C.values())[1:])
        with pytest.raises(InvalidRequestError, match=r"SSE-C.*key is never saved"):
            resume(running, handle.upload_id, chunks(COUNT), journal=journal)
        running.fake.requests.clear()
        running.driver.ex_resume_upload(
            handle.saved, chunks(COUNT), headers=SSE_C, ex_options=options
        )
        assert sorted(running.sent_parts()) == [5, 6, 7, 8]
        assert running.fake.uploads == {}


def test_conditions_of_the_first_run_still_hold_in_the_second(running: Service) -> None:
    handle = kept(running, if_none_match="*")
    running.upload(b"other")
    with pytest.raises(Exception, match="PreconditionFailed"):
        resume(running, handle.saved, chunks(COUNT))
    assert running.stored() == b"other"


def test_a_resumed_object_is_the_containers_own(running: Service) -> None:
    handle = kept(running)
    done = resume(running, handle, chunks(COUNT))
    assert (done.container.name, done.name, done.driver) == ("bucket", "key", running.driver)
    assert isinstance(done.container, Container)


def test_an_upload_that_is_aborted_by_its_id_is_forgotten(running: Service) -> None:
    journal = MemoryJournal()
    handle = kept(running, journal=journal)
    (session,) = journal.list()
    running.driver.ex_options = replace(running.driver.ex_options, journal=journal)
    del handle
    assert running.driver.ex_abort_upload(running.container, "key", session.upload_id or "")
    assert journal.list() == [] and running.fake.uploads == {}


def test_an_upload_that_is_aborted_is_forgotten_by_the_journal_of_the_call(
    running: Service,
) -> None:
    journal = MemoryJournal()
    session = kept(running, journal=journal).session
    place = (running.container, "key", session.upload_id or "")
    ex_options = replace(running.driver.ex_options, journal=journal)
    assert running.driver.ex_abort_upload(*place, ex_options=ex_options)
    assert journal.list() == [] and running.fake.uploads == {}
    with pytest.raises(TypeError):
        running.driver.ex_abort_upload(*place, ex_options=journal)  # type: ignore[arg-type]
