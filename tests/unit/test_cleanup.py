# SPDX-License-Identifier: Apache-2.0
"""The failure road: nothing is left, nothing hangs, and the first error is what is raised."""

from __future__ import annotations

import threading
from typing import Any
from collections.abc import Iterator

import pytest

from tests.fake_s3 import faults
from tests.unit.small import Apart, Service, whole, chunks, service
from libcloud_s3mpu.protocol import events
from libcloud_s3mpu.transfer import cleanup
from libcloud_s3mpu.transfer.pace import Pace
from libcloud_s3mpu.protocol.errors import ServiceError, AccessDeniedError, UploadMissingError
from libcloud_s3mpu.transfer.window import Window
from libcloud_s3mpu.protocol.session import UploadedPart, UploadSession
from libcloud_s3mpu.transfer.cleanup import drain

CONCURRENCY = [None, 1, 4]
ERRORS = [OSError, RuntimeError, KeyboardInterrupt, SystemExit, GeneratorExit, MemoryError]
ABORT = "AbortMultipartUpload"


@pytest.fixture
def running() -> Iterator[Service]:
    with service() as it:
        yield it


class Source:
    """A generator that raises after some chunks, and knows whether it was closed."""

    def __init__(self, error: BaseException, count: int) -> None:
        self.error = error
        self.is_closed = False
        self._count = count

    def chunks(self) -> Iterator[bytes]:
        try:
            yield from chunks(self._count)
            raise self.error
        finally:
            self.is_closed = True


@pytest.mark.parametrize("concurrency", CONCURRENCY)
@pytest.mark.parametrize("count", [0, 1, 2, 8])
@pytest.mark.parametrize("cls", ERRORS)
def test_what_the_source_raises_comes_out_as_the_same_object_and_leaves_nothing(
    cls: type[BaseException], count: int, concurrency: int | None, running: Service
) -> None:
    source = Source(cls("mine"), count)
    with pytest.raises(cls) as caught:
        running.upload(source.chunks(), concurrency=concurrency)
    assert caught.value is source.error
    assert source.is_closed
    assert (running.fake.uploads, running.keys) == ({}, [])


def test_a_generator_that_returns_early_is_simply_shorter(running: Service) -> None:
    def source() -> Iterator[bytes]:
        yield from chunks(3)
        return

    running.upload(source())
    assert running.stored() == whole(3)


def test_a_stop_iteration_inside_a_generator_is_an_error(running: Service) -> None:
    def source() -> Iterator[bytes]:
        yield from chunks(3)
        next(iter(()))

    with pytest.raises(RuntimeError, match="StopIteration"):
        running.upload(source())
    assert (running.fake.uploads, running.keys) == ({}, [])


@pytest.mark.parametrize("concurrency", CONCURRENCY)
def test_a_refused_part_closes_the_source_and_pulls_no_more(
    concurrency: int | None, running: Service
) -> None:
    pulled = []
    closed = []

    def source() -> Iterator[bytes]:
        try:
            for number, chunk in enumerate(chunks(20), 1):
                pulled.append(number)
                yield chunk
        finally:
            closed.append(True)

    running.fake.script("UploadPart", faults.error("AccessDenied"), part_number=2)
    with pytest.raises(AccessDeniedError) as caught:
        running.upload(source(), concurrency=concurrency)
    assert caught.value.part_number == 2
    assert closed == [True]
    assert len(pulled) <= 2 + (concurrency or 20) + 2
    assert concurrency != 1 or len(pulled) <= 3
    assert (running.fake.uploads, running.keys) == ({}, [])


def test_a_failing_close_of_the_source_is_attached_and_not_raised(running: Service) -> None:
    def source() -> Iterator[bytes]:
        try:
            yield from chunks(20)
        finally:
            raise LookupError("close")

    running.fake.script("UploadPart", faults.error("AccessDenied"), part_number=2)
    with pytest.raises(AccessDeniedError) as caught:
        running.upload(source(), concurrency=1)
    assert isinstance(caught.value.cleanup_error, LookupError)


# -- abort -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault", [faults.error("AccessDenied"), faults.error("InternalError"), faults.reset("answer")]
)
@pytest.mark.parametrize("cls", [OSError, KeyboardInterrupt])
def test_a_failing_abort_is_attached_and_not_raised(
    cls: type[BaseException], fault: Any, running: Service
) -> None:
    running.fake.script(ABORT, fault, forever=True)
    source = Source(cls("mine"), 4)
    with pytest.raises(cls) as caught:
        running.upload(source.chunks())
    assert caught.value is source.error
    (upload_id,) = running.fake.uploads
    second = caught.value.cleanup_error  # type: ignore[attr-defined]
    assert second.upload_id == upload_id
    notes = getattr(caught.value, "__notes__", [upload_id])
    assert any(upload_id in note for note in notes)


@pytest.mark.parametrize(
    "fault",
    [faults.error("InternalError"), faults.error("SlowDown"), faults.reset("answer"),
     faults.close("answer", applied=True), faults.html(502)],
)  # fmt: skip
def test_an_abort_is_tried_again(fault: Any, running: Service) -> None:
    running.fake.script(ABORT, fault)
    with pytest.raises(OSError, match="mine") as caught:
        running.upload(Source(OSError("mine"), 4).chunks())
    assert running.fake.uploads == {}
    assert getattr(caught.value, "cleanup_error", None) is None


def test_an_upload_that_is_gone_was_aborted(running: Service) -> None:
    running.fake.script(ABORT, faults.error("NoSuchUpload", applied=True))
    with pytest.raises(OSError, match="mine") as caught:
        running.upload(Source(OSError("mine"), 4).chunks())
    assert len(running.fake.requests_of(ABORT)) == 1
    assert getattr(caught.value, "cleanup_error", None) is None


def vanishing(running: Service) -> Iterator[bytes]:
    """Yield eight chunks, while somebody aborts the upload after the sixth."""
    for number, chunk in enumerate(chunks(8)):
        if number == 6:
            running.fake.uploads.clear()
        yield chunk


def test_an_upload_that_vanishes_in_the_middle_is_told_and_not_aborted(running: Service) -> None:
    heard: list[Any] = []
    with pytest.raises(UploadMissingError, match="aborted elsewhere") as caught:
        running.upload(vanishing(running), concurrency=1, on_event=heard.append)
    assert caught.value.upload_id and not caught.value.resumable
    assert caught.value.cleanup_error is None
    assert running.operations()[-1] == "ListParts" and ABORT not in running.operations()
    assert isinstance(heard[-1], events.UploadAborted) and not heard[-1].kept


def test_an_upload_that_is_gone_stays_so_when_nobody_can_be_asked(running: Service) -> None:
    running.fake.script("ListParts", faults.error("AccessDenied"))
    with pytest.raises(UploadMissingError, match="aborted elsewhere"):
        running.upload(vanishing(running), concurrency=1, on_failure="keep")
    assert ABORT not in running.operations()


def test_an_upload_that_is_said_to_be_gone_and_is_not_is_kept_and_told(running: Service) -> None:
    running.fake.script("UploadPart", faults.error("NoSuchUpload"), part_number=2)
    with pytest.raises(UploadMissingError, match="The upload was kept") as caught:
        running.upload(chunks(8))
    assert ABORT not in running.operations()
    assert list(running.fake.uploads) == [caught.value.upload_id] and caught.value.resumable


def test_nothing_is_aborted_that_was_never_begun(running: Service) -> None:
    running.fake.script("InitiateMultipartUpload", faults.error("AccessDenied"))
    with pytest.raises(AccessDeniedError):
        running.upload(chunks(8))
    assert running.operations() == ["InitiateMultipartUpload"]


def test_an_aborted_upload_is_told(running: Service) -> None:
    heard: list[Any] = []
    with pytest.raises(OSError):
        running.upload(Source(OSError("mine"), 4).chunks(), on_event=heard.append)
    assert isinstance(heard[-1], events.UploadAborted)
    assert (heard[-1].kept, heard[-1].reason) == (False, "OSError")


# -- keep ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("concurrency", CONCURRENCY)
@pytest.mark.parametrize("cls", [OSError, KeyboardInterrupt])
def test_a_kept_upload_keeps_its_parts_and_the_error_says_so(
    cls: type[BaseException], concurrency: int | None, running: Service
) -> None:
    heard: list[Any] = []
    source = Source(cls("mine"), 4)
    with pytest.raises(cls) as caught:
        running.upload(
            source.chunks(), on_failure="keep", concurrency=concurrency, on_event=heard.append
        )
    assert caught.value is source.error
    ((upload_id, upload),) = running.fake.uploads.items()
    assert sorted(upload.parts) == [1, 2, 3, 4]
    assert isinstance(heard[-1], events.UploadAborted) and heard[-1].kept
    notes = getattr(caught.value, "__notes__", [f"{upload_id}, 4 parts"])
    assert any(upload_id in note and "4 parts" in note for note in notes)


def test_parts_that_came_back_and_were_not_looked_at_are_kept_too() -> None:
    class Done:
        cost = size = 5
        wall_seconds = cpu_seconds = 0.0
        throttled = 0
        error = None
        result = UploadedPart(part_number=1, size=5, etag="e")

        def run(self) -> None:
            pass

        def cut(self) -> None:
            pass

        def release(self) -> None:
            pass

    session = UploadSession(container="b", object_name="k")
    session.initiated("u")
    window = Window(budget_bytes=10, ceiling=1, pace=Pace())
    job: Any = Done()
    window.submit(job)
    assert window.wait(30)
    drain(window, [job], session, keeps=True)
    window.close()
    assert list(session.parts) == [1]


def test_ctrl_c_waits_a_short_while_only_for_parts_that_hang(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seconds = cleanup.INTERRUPTED_KEEP_SECONDS + cleanup.INTERRUPTED_CUT_SECONDS
    assert seconds <= 5, "FAULTS, 58"
    release = threading.Event()

    class Hangs:
        cost = size = 5
        wall_seconds = cpu_seconds = 0.0
        throttled = 0
        error = result = None
        is_finished = False
        cuts = 0

        def run(self) -> None:
            release.wait(60)

        def cut(self) -> None:
            Hangs.cuts += 1

        def release(self) -> None:
            pass

    for name in ("KEEP_SECONDS", "CUT_SECONDS"):
        monkeypatch.setattr(cleanup, name, 60.0)
        monkeypatch.setattr(cleanup, f"INTERRUPTED_{name}", 0.05)
    session = UploadSession(container="b", object_name="k")
    session.initiated("u")
    window = Window(budget_bytes=10, ceiling=1, pace=Pace())
    job: Any = Hangs()
    window.submit(job)
    ended = Apart(lambda: drain(window, [job], session, keeps=True, is_interrupt=True))
    assert ended.result() == 1
    assert Hangs.cuts
    release.set()
    window.close()


def test_our_own_error_names_the_kept_upload(running: Service) -> None:
    running.fake.script("UploadPart", faults.error("AccessDenied"), part_number=3)
    with pytest.raises(AccessDeniedError) as caught:
        running.upload(chunks(8), on_failure="keep", concurrency=1)
    assert caught.value.resumable
    assert list(running.fake.uploads) == [caught.value.upload_id]


# -- nothing hangs ---------------------------------------------------------------------------------


@pytest.mark.parametrize("is_warm", [False, True])
@pytest.mark.parametrize("where", ["body", "answer"])
def test_parts_that_hang_do_not_hold_up_the_end(
    where: Any, is_warm: bool, running: Service
) -> None:
    if is_warm:
        with running.server.hold_parts(until=4):
            running.upload(chunks(12), key="before", concurrency=4)
    stalls = [faults.stall(where, after_bytes=2 if where == "body" else 0) for _ in range(3)]
    for number, stalled in enumerate(stalls, 2):
        running.fake.script("UploadPart", stalled, part_number=number)
        # Whoever sends it once more after the cut hangs again.
        running.fake.script("UploadPart", faults.stall("answer"), part_number=number)
    hanging = threading.Event()

    def source() -> Iterator[bytes]:
        yield from chunks(4)
        for stalled in stalls:
            assert stalled.wire is not None
            assert stalled.wire.reached.wait(30)
        hanging.set()
        raise KeyboardInterrupt

    upload = Apart(lambda: running.upload(source(), concurrency=4))
    assert hanging.wait(30)
    assert isinstance(upload.end(3.0), KeyboardInterrupt)
    assert running.fake.uploads == {}


def test_without_any_thread_the_upload_still_succeeds_or_leaves_nothing(
    running: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = threading.Thread.start

    def refuse(self: threading.Thread) -> None:
        if self.name.startswith("s3mpu"):
            raise RuntimeError("can't start new thread")
        real(self)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with running.server.hold_parts(until=1):
        try:
            running.upload(chunks(8), concurrency=4)
        except RuntimeError:
            assert running.keys == []
        else:
            assert running.stored() == whole(8)
    assert running.fake.uploads == {}


def test_no_worker_outlives_its_upload(running: Service) -> None:
    running.upload(chunks(20), concurrency=4)
    with pytest.raises(OSError):
        running.upload(Source(OSError(), 10).chunks(), concurrency=4)
    for thread in threading.enumerate():
        if thread.name.startswith("s3mpu"):
            thread.join(30)
            assert not thread.is_alive()


def test_the_driver_works_on_after_a_failure(running: Service) -> None:
    for _ in range(3):
        with pytest.raises(OSError):
            running.upload(Source(OSError(), 6).chunks(), concurrency=4)
    running.upload(chunks(8))
    assert running.stored() == whole(8)


def test_a_service_error_inside_a_worker_is_raised_whole(running: Service) -> None:
    running.fake.script("UploadPart", faults.error("EntityTooSmall"), part_number=3)
    with pytest.raises(ServiceError, match=r"part 3\): EntityTooSmall") as caught:
        running.upload(chunks(8), concurrency=4)
    assert (caught.value.part_number, caught.value.driver) == (3, running.driver)
