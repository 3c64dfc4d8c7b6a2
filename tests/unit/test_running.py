# SPDX-License-Identifier: Apache-2.0
"""The register of uploads under way: what this process is at, and for how long it counts."""

from __future__ import annotations

import gc
import os
import threading
from typing import Any
from collections.abc import Iterator

import pytest

from tests.fake_s3 import faults
from tests.unit.small import Apart, Service, chunks, service, make_driver, close_driver
from libcloud_s3mpu.protocol.errors import SourceError
from libcloud_s3mpu.protocol.session import State, UploadSession, UploadPausedError
from libcloud_s3mpu.transfer.running import running, remember, open_here


@pytest.fixture
def made() -> Iterator[Service]:
    with service(name_upload=lambda number: f"upload-of-this-test-{number}") as found:
        yield found


def clean(made: Service) -> list[tuple[str, str]]:
    """Clean up by another driver of this process; give what was left alone, and why."""
    other = make_driver(made.server)
    try:
        report = other.ex_cleanup_multipart_uploads(
            made.container, older_than_seconds=0, dry_run=False
        )
    finally:
        close_driver(other)
    return [(it.object_name, it.reason) for it in report.skipped]


MINE = [("key", "this process has it open")]


def test_an_upload_counts_from_before_its_id_is_known_until_it_is_over() -> None:
    session = UploadSession(container="b", object_name="k")
    with running(session):
        assert open_here().has("b", "k", "an id that nobody has been told of")
        assert not open_here().has("b", "other", "id")
        session.initiated("id")
        assert open_here().has("b", "k", "id")
        assert not open_here().has("b", "k", "another upload of the same object")
    assert not open_here().has("b", "k", "id")


def test_whatever_ends_it_ends_the_entry() -> None:
    session = UploadSession(container="b", object_name="k")
    with pytest.raises(KeyboardInterrupt), running(session):
        raise KeyboardInterrupt
    assert not open_here().has("b", "k", "id")


def test_one_that_is_entered_twice_counts_until_both_are_over() -> None:
    session = UploadSession(container="b", object_name="k", upload_id="id", state=State.KEPT)
    with running(session):
        with running(session):
            pass
        assert open_here().has("b", "k", "id")


@pytest.mark.parametrize("concurrency", [1, 4])
def test_a_clean_up_while_initiate_is_answered_spares_the_upload(
    made: Service, concurrency: int
) -> None:
    """The service has it, and no process has been told its id."""
    stall = faults.stall("answer", applied=True)
    made.fake.script("InitiateMultipartUpload", stall)
    uploading = Apart(lambda: made.upload(chunks(4), concurrency=concurrency))
    assert stall.wire is not None and stall.wire.reached.wait(10)
    assert len(made.fake.uploads) == 1
    assert clean(made) == MINE
    stall.wire.release.set()
    uploading.result()
    assert len(made.stored()) == 20


def test_a_clean_up_in_the_middle_of_every_part_spares_the_upload(made: Service) -> None:
    found: list[Any] = []

    def source() -> Iterator[bytes]:
        for chunk in chunks(5):
            yield chunk
            found.append(clean(made))

    made.upload(source(), concurrency=1)
    assert [each for each in found if each] == [MINE] * 4
    assert len(made.stored()) == 25


def test_a_clean_up_while_a_resume_asks_what_stands_spares_the_upload(made: Service) -> None:
    upload_id = kept(made)
    stall = faults.stall("answer")
    made.fake.script("ListParts", stall)
    resuming = Apart(lambda: resume(made, upload_id))
    assert stall.wire is not None and stall.wire.reached.wait(10)
    assert clean(made) == MINE
    stall.wire.release.set()
    resuming.result()
    assert len(made.stored()) == 20


def kept(made: Service) -> str:
    with pytest.raises(OSError):
        made.upload(failing(), on_failure="keep")
    (upload_id,) = made.fake.uploads
    return upload_id


def failing() -> Iterator[bytes]:
    yield from chunks(3)
    raise OSError("mine")


def resume(made: Service, upload_id: str) -> Any:
    return made.driver.ex_resume_upload(upload_id, b"".join(chunks(4)), made.container, "key")


def test_an_upload_that_failed_and_was_kept_is_no_longer_open(made: Service) -> None:
    kept(made)
    assert clean(made) == [] and made.fake.uploads == {}


def test_a_paused_upload_is_open_as_long_as_its_handle_lives(made: Service) -> None:
    handle = made.driver.ex_start_upload(made.container, "key")

    def source() -> Iterator[bytes]:
        for number, chunk in enumerate(chunks(4)):
            if number == 2:
                handle.pause()
            yield chunk

    with pytest.raises(UploadPausedError):
        handle.run(source())
    assert clean(made) == MINE
    handle.run(chunks(4))
    assert len(made.stored()) == 20


def test_a_handle_that_nobody_has_is_nobodys_upload() -> None:
    class Handle:
        def __init__(self) -> None:
            self.session = UploadSession(
                container="b", object_name="k", upload_id="id", state=State.KEPT
            )

    handle = Handle()
    remember(handle)
    assert open_here().has("b", "k", "id")
    handle.session.state = State.COMPLETED
    assert not open_here().has("b", "k", "id")
    handle.session.state = State.KEPT
    del handle
    gc.collect()
    assert not open_here().has("b", "k", "id")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_child_of_a_fork_is_at_nothing_and_may_be_at_its_own() -> None:
    session = UploadSession(container="b", object_name="k", upload_id="id")
    own = UploadSession(container="b", object_name="k", upload_id="own")
    with running(session):
        child = os.fork()
        if not child:
            is_right = not open_here().has("b", "k", "id")
            with running(own):
                is_right = is_right and open_here().has("b", "k", "own")
            os._exit(0 if is_right else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert open_here().has("b", "k", "id") and not open_here().has("b", "k", "own")


def test_many_threads_come_and_go_while_it_is_read() -> None:
    is_over = threading.Event()
    steady = UploadSession(container="b", object_name="steady", upload_id="steady")

    def come_and_go(number: int) -> None:
        session = UploadSession(container="b", object_name="k", upload_id=f"id-{number}")
        while not is_over.is_set():
            with running(session):
                assert open_here().has("b", "k", f"id-{number}")

    with running(steady):
        calls = [Apart(lambda n=n: come_and_go(n)) for n in range(8)]  # type: ignore[misc]
        for _ in range(2000):
            assert open_here().has("b", "steady", "steady")
        is_over.set()
        for call in calls:
            call.result()
    assert not open_here().has("b", "k", "id-1")


def test_a_source_that_is_refused_leaves_no_entry(made: Service) -> None:
    with pytest.raises(SourceError):
        made.upload(b"12345678", size_bytes=9)
    assert not open_here().has("bucket", "key", "id")
