# SPDX-License-Identifier: Apache-2.0
"""Catalogue F, 52 to 67: aborts, sources that fail, processes that end, everything at once."""

from __future__ import annotations

import os
import sys
import json
import errno
import random
import signal
import tempfile
import threading
import subprocess
from typing import Any
from pathlib import Path
from contextlib import contextmanager
from dataclasses import replace
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.fake_s3 import faults
from tests.unit.small import PATIENCE_SECONDS, Apart, whole, chunks
from tests.faults.outcomes import (
    PART,
    ABORT,
    PARTS,
    COMPLETE,
    INITIATE,
    LIST_PARTS,
    Tried,
    Counted,
    MakeTried,
    then,
    forever,
)
from libcloud_s3mpu.protocol import wire
from libcloud_s3mpu.protocol.errors import (
    S3MultipartError,
    AccessDeniedError,
    SourceChangedError,
    UploadMissingError,
)

ROOT = Path(__file__).parents[2]


def test_f52_an_upload_that_was_aborted_elsewhere_ends_at_once(s3: Tried) -> None:
    source = then(6, s3.fake.uploads.clear, more=14)
    error = s3.fails(UploadMissingError, source, concurrency=1)
    assert s3.count(PART) <= 7 and s3.count(COMPLETE) == 0
    assert s3.count(ABORT) == 0, "aborted once more"
    assert "NoSuchUpload" in str(error) and error.upload_id


@pytest.mark.parametrize("is_stored", [False, True])
def test_f53_a_part_fails_while_others_are_in_flight(is_stored: bool, make_s3: MakeTried) -> None:
    s3 = make_s3(timeout_seconds=5)
    stalls = [faults.stall("answer", applied=is_stored) for _ in range(3)]
    for number, stall in enumerate(stalls, 2):
        s3.fake.script(PART, stall, part_number=number)
    s3.fake.script(PART, faults.error("AccessDenied"), part_number=5)

    def source() -> Iterator[bytes]:
        yield from chunks(4)
        for stall in stalls:
            assert stall.wire is not None and stall.wire.reached.wait(30)
        yield from list(chunks(20))[4:]

    s3.fails(AccessDeniedError, source(), concurrency=5)
    for stall in stalls:  # Whatever lands now lands after the abort.
        assert stall.wire is not None
        stall.wire.release.set()
    operations = s3.operations()
    assert operations.index(ABORT) > max(i for i, o in enumerate(operations) if o == PART)
    assert LIST_PARTS in operations[operations.index(ABORT) :]


def test_f53_a_part_that_lands_after_the_abort_is_aborted_again(make_s3: MakeTried) -> None:
    s3 = make_s3()
    kept = faults.answer(204)  # Says so, and does nothing: as if a part had landed behind it.
    s3.fake.script(ABORT, kept)
    stall = faults.stall("answer", applied=True)
    s3.fake.script(PART, stall, part_number=1)

    def source() -> Iterator[bytes]:
        yield from chunks(3)
        assert stall.wire is not None and stall.wire.reached.wait(30)
        raise OSError("mine")

    s3.fails(OSError, source(), concurrency=4)
    assert s3.count(ABORT) == 2


def test_f54_after_a_refused_part_the_source_is_not_read_on(s3: Tried) -> None:
    """Three of four hold their places until the source is let go of; the refused one frees its."""
    s3.fake.script(PART, faults.error("AccessDenied"), part_number=2)
    held = {number: faults.stall("answer") for number in (1, 3, 4)}
    for number, fault in held.items():
        s3.fake.script(PART, fault, part_number=number)
    counted = Counted(20)

    def source() -> Iterator[bytes]:
        try:
            yield from counted
        finally:
            for fault in held.values():
                assert fault.wire is not None
                fault.wire.release.set()

    s3.fails(AccessDeniedError, source(), concurrency=4)
    assert counted.pulled <= 4 + 2 and counted.is_closed


BAD_ABORTS = {
    "500": faults.error("InternalError"),
    "403": faults.error("AccessDenied"),
    "lost": faults.close("answer"),
    "reset": faults.reset("head"),
}


@pytest.mark.parametrize("how", [*BAD_ABORTS, "stall"])
def test_f55_a_failing_abort_is_noted_in_the_first_error(
    how: str, road: str, make_s3: MakeTried
) -> None:
    s3 = make_s3(road, timeout_seconds=0.3)
    fault = BAD_ABORTS.get(how) or faults.stall("answer", applied=False)
    forever(s3.fake, ABORT, fault)
    mine = OSError("mine")
    with pytest.raises(OSError, match="mine") as caught:
        s3.timed(lambda: s3.upload(Counted(3, mine)))
    (upload_id,) = s3.fake.uploads
    assert caught.value is mine
    assert getattr(mine, "cleanup_error", None) is not None
    if sys.version_info >= (3, 11):
        assert any(upload_id in note for note in mine.__notes__)
    assert s3.count(ABORT) <= 10


@pytest.mark.parametrize(
    "fault", [faults.error("NoSuchUpload", applied=True), faults.close("answer", applied=True)]
)
def test_f55_an_upload_that_is_gone_was_aborted(fault: Any, s3: Tried) -> None:
    s3.fake.script(ABORT, fault)
    mine = OSError("mine")
    assert s3.fails(OSError, Counted(3, mine)) is mine
    assert getattr(mine, "cleanup_error", None) is None


@pytest.mark.parametrize("concurrency", [None, 1, 4])
@pytest.mark.parametrize("count", [0, 1, 7, 19])
def test_f56_what_the_source_raises_comes_out_as_it_is(
    count: int, concurrency: int | None, s3: Tried
) -> None:
    source = Counted(count, mine := ValueError("mine"))
    assert s3.fails(ValueError, source, concurrency=concurrency) is mine
    assert source.is_closed


@pytest.mark.parametrize("concurrency", [None, 1, 4])
@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_f57_an_interrupt_from_the_source_aborts_and_comes_out(
    kind: type[BaseException], concurrency: int | None, s3: Tried
) -> None:
    mine = kind()
    assert s3.fails(kind, Counted(8, mine), concurrency=concurrency) is mine
    assert s3.count(ABORT) == 1


@contextmanager
def child(s3: Tried, **job: Any) -> Iterator[subprocess.Popen[str]]:
    """An upload in a process of its own; see ``child.py``."""
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "tests.faults.child"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdin is not None
    try:
        process.stdin.write(json.dumps({"port": s3.server.port, "count": 20, **job}))
        process.stdin.close()
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def hang(s3: Tried, count: int = 4, operation: str = PART) -> list[faults.Fault]:
    stalls = [faults.stall("answer", applied=False) for _ in range(count)]
    s3.fake.script(operation, *stalls)
    return stalls


def reached(stalls: list[faults.Fault]) -> None:
    for stall in stalls:
        assert stall.wire is not None and stall.wire.reached.wait(PATIENCE_SECONDS)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["f58", "f59"])
def test_f58_f59_a_signal_ends_an_upload_that_hangs_within_seconds(
    number: signal.Signals, lean: Tried
) -> None:
    stalls = hang(lean)
    with child(lean, on_term=True) as process:
        reached(stalls)
        process.send_signal(number)
        assert process.wait(30) != 0
        assert process.stdout is not None
        said = process.stdout.read().split()
    assert said[0] == ("KeyboardInterrupt" if number == signal.SIGINT else "SystemExit")
    assert lean.fake.uploads == {} and lean.keys == []


def test_f58_the_second_interrupt_ends_at_once(lean: Tried) -> None:
    stalls = hang(lean)
    aborts = hang(lean, 1, ABORT)
    with child(lean) as process:
        reached(stalls)
        process.send_signal(signal.SIGINT)
        reached(aborts)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) != 0
    assert lean.keys == []


def test_f60_after_sigkill_an_upload_goes_on_where_it_was(s3: Tried, tmp_path: Path) -> None:
    pytest.importorskip("filelock", reason="a FileJournal needs filelock")
    from libcloud_s3mpu.transfer.journal import FileJournal

    stalls = hang(s3, 1, PART)
    s3.fake.clear_scripts()
    s3.fake.script(PART, stalls[0], part_number=12)
    with child(s3, journal=str(tmp_path), concurrency=1) as process:
        reached(stalls)
        process.kill()
        process.wait()
    (upload_id,) = s3.fake.uploads
    there = set(s3.fake.uploads[upload_id].parts)
    assert there == set(range(1, 12))
    before = len(s3.fake.requests)
    journal = FileJournal(tmp_path)
    assert [session.upload_id for session in journal.list()] == [upload_id]
    resume(s3, upload_id, chunks(20), journal=journal)
    s3.is_whole(whole(20))
    sent = {r.part_number for r in s3.fake.requests[before:] if r.operation == PART}
    assert sent == set(range(12, 21)) and journal.list() == []


def resume(s3: Tried, upload_id: str, source: Any, **options: Any) -> Any:
    return s3.timed(
        lambda: s3.driver.ex_resume_upload(
            upload_id,
            source,
            s3.container,
            "key",
            ex_options=replace(s3.driver.ex_options, **options),
        )
    )


def kept(s3: Tried, count: int = 6) -> str:
    """Upload some parts, and keep them; give the upload's id."""
    with pytest.raises(OSError):
        s3.upload(Counted(count, OSError()), on_failure="keep")
    (upload_id,) = s3.fake.uploads
    return upload_id


@pytest.mark.parametrize("other", ["another", "shorter"])
def test_f61_another_source_is_never_mixed_in(other: str, s3: Tried) -> None:
    upload_id = kept(s3)
    source = [b"other"] * 8 if other == "another" else list(chunks(3))
    try:
        resume(s3, upload_id, iter(source))
    except (SourceChangedError, S3MultipartError):
        assert s3.keys == [] and len(s3.fake.uploads[upload_id].parts) == 6
    else:
        s3.is_whole(b"".join(source))


def test_f61_an_upload_that_was_aborted_cannot_go_on(s3: Tried) -> None:
    upload_id = kept(s3)
    s3.fake.uploads.clear()
    with pytest.raises(UploadMissingError):
        resume(s3, upload_id, chunks(8))
    assert s3.keys == []


def test_f61_an_upload_whose_complete_took_effect_is_done(s3: Tried) -> None:
    from libcloud_s3mpu.transfer.journal import MemoryJournal

    journal = MemoryJournal()
    s3.fake.script(COMPLETE, faults.reset("answer", applied=True))
    for operation in (COMPLETE, "HeadObject", LIST_PARTS):
        s3.fake.script(operation, *[faults.reset("head")] * 12)
    with pytest.raises(S3MultipartError) as caught:
        s3.upload(chunks(PARTS), journal=journal)
    s3.fake.clear_scripts()
    assert caught.value.upload_id is not None
    resume(s3, caught.value.upload_id, chunks(PARTS), journal=journal)
    s3.is_whole()


@pytest.mark.parametrize("how", ["cut", "missing", "garbage"])
def test_f61_without_its_journal_an_upload_goes_on_or_says_why(
    how: str, s3: Tried, tmp_path: Path
) -> None:
    pytest.importorskip("filelock", reason="a FileJournal needs filelock")
    from libcloud_s3mpu.transfer.journal import FileJournal

    journal = FileJournal(tmp_path)
    with pytest.raises(OSError):
        s3.upload(Counted(6, OSError()), journal=journal)
    (upload_id,) = s3.fake.uploads
    for path in [path for path in tmp_path.rglob("*") if path.is_file()]:
        if how == "missing":
            path.unlink()
        else:
            path.write_bytes(path.read_bytes()[:50] if how == "cut" else b"\x00\xff")
    try:
        resume(s3, upload_id, chunks(8), journal=journal)
    except S3MultipartError:
        assert s3.keys == [] and upload_id in s3.fake.uploads
    else:
        s3.is_whole(whole(8))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_f62_the_child_of_a_fork_does_not_end_its_parents_upload(lean: Tried) -> None:
    children: list[int] = []
    parent = os.getpid()

    def source() -> Iterator[bytes]:
        yield from chunks(3)
        children.append(os.fork())
        if not children[-1]:
            signal.alarm(10)  # A child that waits for its parent's threads is killed.
            raise SystemExit
        assert os.waitpid(children[-1], 0)[1] == 0, "the child did not end by itself"
        yield from list(chunks(PARTS))[3:]

    try:
        lean.upload(source(), concurrency=4)
    finally:
        if os.getpid() != parent:
            os._exit(0)
    lean.is_whole()
    assert lean.count(ABORT) == 0


def test_f63_without_any_thread_the_calling_one_does_it(
    s3: Tried, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = threading.Thread.start

    def refuse(self: threading.Thread) -> None:
        if self.name.startswith("s3mpu"):
            raise RuntimeError("can't start new thread")
        real(self)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    s3.succeeds(concurrency=4)


@pytest.mark.parametrize("kind", [MemoryError, SystemExit, KeyboardInterrupt, ZeroDivisionError])
def test_f63_a_worker_that_dies_is_an_error_and_no_hang(
    kind: type[BaseException], s3: Tried, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = wire.upload_part_result

    def die(request: Any, *args: Any) -> Any:
        if request.part_number == 3:
            raise kind("mine")
        return real(request, *args)

    monkeypatch.setattr(wire, "upload_part_result", die)
    s3.fails(kind, Counted(20), concurrency=4)


@pytest.mark.parametrize("spare", [1, 2, 4, 8])
def test_f64_few_file_descriptors_are_success_or_a_clean_error(spare: int, lean: Tried) -> None:
    with lean.server.hold_parts(until=4, timeout_seconds=0.3), child(lean, files=8 + spare) as it:
        assert it.stdout is not None
        it.wait(PATIENCE_SECONDS)
        said = it.stdout.read()
    if it.returncode == 0:
        lean.is_whole(whole(20))
    else:
        assert said and lean.keys == [] and lean.fake.uploads == {}, said


def test_f64_no_disk_is_needed_and_its_lack_is_a_clean_error(
    s3: Tried, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: Any, **kwargs: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    s3.succeeds()
    error = s3.fails(OSError, key="other", memory_budget_bytes=8)
    assert error.errno == errno.ENOSPC


@pytest.mark.parametrize("concurrency", [2, 4])
def test_f65_a_store_slower_than_the_source_stops_it(concurrency: int, s3: Tried) -> None:
    source = Counted(20)
    gate = s3.server.hold_parts()
    upload = Apart(lambda: s3.upload(source, concurrency=concurrency))
    assert gate.wait_held(concurrency)
    upload.wait(0.2)
    assert source.pulled <= concurrency + 2
    gate.release()
    upload.result()
    s3.is_whole(whole(20))


def test_f66_one_driver_serves_many_threads(s3: Tried) -> None:
    def one(number: int) -> None:
        count = 1 + number % 9
        s3.upload(chunks(count), key=f"key-{number}")
        assert s3.stored(f"key-{number}") == whole(count)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, range(64)))
    assert s3.fake.uploads == {} and len(s3.keys) == 64


def mixed(seed: int) -> dict[tuple[str, int | None], list[faults.Fault]]:
    """At most four faults for each request, of every kind."""
    choose = random.Random(seed)
    makers = [
        lambda: faults.error("InternalError"),
        lambda: faults.error("SlowDown"),
        lambda: faults.html(502),
        lambda: faults.answer(429),
        lambda: faults.reset("head"),
        lambda: faults.reset("body", after_bytes=1),
        lambda: faults.close("answer"),
        lambda: faults.raw(b"HTTP/1.1 200 OK\r\n"),
        lambda: faults.drip(step_bytes=32, pause_seconds=0.0001),
        lambda: faults.corrupt_received(),
    ]
    requests: list[tuple[str, int | None]] = [(INITIATE, None), (COMPLETE, None)]
    requests += [(PART, number) for number in range(1, 21)]
    # A complete that arrives damaged is an entry of its own (37).
    return {
        at: [choose.choice(makers[:-1] if at[0] == COMPLETE else makers)() for _ in range(4)]
        for at in requests
    }


@pytest.mark.parametrize("seed", range(6))
def test_f67_everything_at_once_is_survived(seed: int, s3: Tried) -> None:
    for (operation, number), some in mixed(seed).items():
        s3.fake.script(operation, *some, part_number=number)
    s3.timed(lambda: s3.upload(chunks(20), concurrency=4))
    s3.is_whole(whole(20))
    assert len(s3.fake.requests) <= 5 * 22
