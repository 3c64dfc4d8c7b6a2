# SPDX-License-Identifier: Apache-2.0
"""What processes do to uploads: forks, pickles sent to workers, disks that are full.

Signals are in ``tests/cli`` and ``tests/faults/test_f_ends.py``, SIGKILL is in ``tests/crash``.
"""

from __future__ import annotations

import os
import sys
import errno
import pickle
import signal
import logging
import traceback
import subprocess
from typing import Any
from pathlib import Path
from dataclasses import replace
from collections.abc import Callable, Iterator

import pytest

from tests.fake_s3 import ACCESS_KEY, SECRET_KEY
from tests.unit.small import Apart, Service, whole, chunks, service, make_plain
from libcloud_s3mpu.transfer import journal as journal_module
from libcloud_s3mpu.protocol.options import UploadOptions
from libcloud_s3mpu.protocol.session import State, UploadSession
from libcloud_s3mpu.protocol.signing import Credentials
from libcloud_s3mpu.transfer.journal import FileJournal, MemoryJournal

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 20
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


@pytest.fixture
def made() -> Iterator[Service]:
    with service() as found:
        yield found


def in_child(call: Callable[[], Any]) -> int:
    """Fork; give the child's pid, which ends by itself, or by SIGALRM if it hangs."""
    pid = os.fork()
    if pid:
        return pid
    try:
        signal.alarm(SECONDS)
        call()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def is_well(pid: int) -> bool:
    return os.waitpid(pid, 0)[1] == 0


# -- forks -------------------------------------------------------------------------------------


@forks
@pytest.mark.parametrize("road", ["lean", "plain"])
@pytest.mark.parametrize("concurrency", [None, 1, 4])
def test_a_driver_that_was_used_is_used_on_both_sides_of_a_fork(
    made: Service, concurrency: int | None, road: str
) -> None:
    """Its sockets are the parent's; so are the worker threads of its uploads."""
    if road == "plain":
        make_plain(made.driver)
    made.upload(chunks(9), key="before", concurrency=concurrency)

    def both(key: str) -> None:
        for number in range(3):
            made.upload(chunks(9), key=f"{key}-{number}", concurrency=concurrency)

    children = [in_child(lambda n=n: both(f"child-{n}")) for n in range(3)]  # type: ignore[misc]
    both("parent")
    assert [is_well(child) for child in children] == [True] * len(children)
    assert len(made.keys) == 1 + 4 * 3
    assert {made.stored(key) for key in made.keys} == {whole(9)}
    assert made.fake.uploads == {} and made.server.errors == []


@forks
def test_a_fork_while_another_thread_uploads_leaves_both_able_to(made: Service) -> None:
    """Whatever lock that thread holds in the moment of the fork, the child does not wait for it."""
    gate = made.server.hold_parts(until=3, timeout_seconds=SECONDS)
    uploading = Apart(lambda: made.upload(chunks(9), key="parent", concurrency=3))
    assert gate.wait_held(3)
    gate_is_over = made.server.hold_parts(until=0)
    gate_is_over.release()
    child = in_child(lambda: made.upload(chunks(9), key="child", concurrency=3))
    assert is_well(child)
    uploading.result(SECONDS)
    assert (made.stored("child"), made.stored("parent")) == (whole(9), whole(9))


@forks
def test_forks_at_any_moment_of_an_upload_do_not_hang_the_child(made: Service) -> None:
    """Twenty children, each forked while four workers send."""
    children: list[int] = []

    def source() -> Iterator[bytes]:
        for number, chunk in enumerate(chunks(20)):
            key = f"child-{number}"
            children.append(
                in_child(lambda key=key: made.upload(chunks(3), key=key))  # type: ignore[misc]
            )
            yield chunk

    made.upload(source(), concurrency=4)
    assert [is_well(child) for child in children] == [True] * len(children)
    assert made.stored() == whole(20) and len(made.keys) == 21
    assert made.fake.uploads == {}


@forks
def test_a_forked_child_goes_on_with_an_upload_that_its_parent_kept(
    made: Service, tmp_path: Path
) -> None:
    pytest.importorskip("filelock")
    options = replace(made.driver.ex_options, journal=FileJournal(tmp_path))
    upload_id = stopped(made, options)
    resume: Callable[[], Any] = lambda: made.driver.ex_resume_upload(  # noqa: E731
        upload_id, whole(8), ex_options=options
    )
    assert is_well(in_child(resume))
    assert made.stored() == whole(8) and options.journal is not None
    assert options.journal.list() == []


def stopped(made: Service, options: UploadOptions) -> str:
    """Upload four parts of an object, and fail; give the upload's id."""

    def source() -> Iterator[bytes]:
        yield from chunks(4)
        raise OSError("mine")

    with pytest.raises(OSError, match="mine"):
        made.driver.upload_object_via_stream(source(), made.container, "key", ex_options=options)
    (upload_id,) = made.fake.uploads
    return upload_id


# -- pickles -----------------------------------------------------------------------------------


def issue() -> Credentials:
    return Credentials(ACCESS_KEY, SECRET_KEY)


def test_a_pickled_driver_uploads_in_a_process_that_shares_nothing() -> None:
    """As task queues and process pools that spawn do it; no key goes through the pipe."""
    keys = {"key": "", "secret": None, "ex_credentials": issue}
    with service(driver=keys) as made:
        data = pickle.dumps((made.driver, made.container))
        assert SECRET_KEY.encode() not in data
        code = (
            "import sys, pickle; driver, container = pickle.load(sys.stdin.buffer); "
            "driver.upload_object_via_stream(iter([b'x' * 5] * 9), container, 'key')"
        )
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code],
            input=data,
            cwd=ROOT,
            check=True,
            timeout=SECONDS,
        )
        assert made.stored() == b"x" * 45


# -- disks -------------------------------------------------------------------------------------


class Full(MemoryJournal):
    """A journal on a disk that is full from one save on."""

    def __init__(self, saves: int) -> None:
        super().__init__()
        self.left = saves

    def save(self, session: UploadSession, *, state: State | None = None) -> None:
        self.left -= 1
        if self.left < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        super().save(session, state=state)


@pytest.mark.parametrize("saves", [1, 2, 5])
def test_a_disk_that_fills_up_under_the_journal_does_not_end_the_upload(
    made: Service, saves: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(journal_module, "SAVE_SECONDS", 0.0)
    monkeypatch.setattr(journal_module, "SAVE_PAUSE", 0.0)
    journal = Full(saves)
    with caplog.at_level(logging.WARNING):
        made.upload(chunks(9), journal=journal, concurrency=1)
    assert made.stored() == whole(9) and journal.list() == []
    assert "could not be saved: [Errno 28] No space left on device" in caplog.text


@pytest.mark.parametrize("saves", [1, 2])
def test_what_a_full_disk_did_not_save_is_asked_of_the_service(
    made: Service, saves: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "SAVE_SECONDS", 0.0)
    monkeypatch.setattr(journal_module, "SAVE_PAUSE", 0.0)
    journal = Full(saves)
    options = replace(made.driver.ex_options, journal=journal, concurrency=1)
    upload_id = stopped(made, options)
    assert len(journal.list()[0].parts) < 4 == len(made.fake.uploads[upload_id].parts)
    before = len(made.sent_parts())
    journal.left = 1000  # Somebody made room.
    made.driver.ex_resume_upload(upload_id, whole(8), ex_options=options)
    assert made.stored() == whole(8)
    assert sorted(made.sent_parts()[before:]) == [5, 6, 7, 8]  # type: ignore[type-var]


LIMITED = """
import sys, resource
from tests.fake_s3 import ACCESS_KEY, SECRET_KEY
from tests.unit.small import AT_ONCE, SmallDriver, chunks
from libcloud.storage.base import Container
from libcloud_s3mpu import FileJournal, UploadOptions

driver = SmallDriver(ACCESS_KEY, SECRET_KEY, host="127.0.0.1", port=int(sys.argv[1]), secure=False)
kind = sys.argv[2]
options = {"part_size_bytes": 5, "retry": AT_ONCE}
if kind == "spool":
    options |= {"memory_budget_bytes": 8, "spool_directory": sys.argv[3]}
else:
    options |= {"journal": FileJournal(sys.argv[3])}
resource.setrlimit(resource.RLIMIT_FSIZE, (3, 3))
try:
    driver.upload_object_via_stream(
        chunks(9), Container("bucket", {}, driver), "key", ex_options=UploadOptions(**options)
    )
except OSError as error:
    print(type(error).__name__, error.errno)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs RLIMIT_FSIZE")
@pytest.mark.parametrize("kind", ["spool", "journal"])
def test_a_disk_that_takes_no_more_is_a_clean_error_and_leaves_nothing(
    made: Service, tmp_path: Path, kind: str
) -> None:
    """The kernel itself refuses the fourth byte: in the middle of a part, or of a session."""
    pytest.importorskip("filelock")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LIMITED, str(made.server.port), kind, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert (done.returncode, done.stdout) == (0, f"OSError {errno.EFBIG}\n"), done.stderr
    assert made.fake.uploads == {} and made.keys == [] and "UploadPart" not in made.operations()
    assert [path for path in tmp_path.iterdir() if path.suffix == ".json"] == []
