# SPDX-License-Identifier: Apache-2.0
"""Where sessions are kept: whole or not at all, by one process at a time, for their owner alone."""

from __future__ import annotations

import os
import sys
import stat
import errno
import subprocess
from typing import Any
from pathlib import Path
from contextlib import nullcontext

import pytest

from tests.unit.small import Apart
from libcloud_s3mpu.transfer import journal as journal_module
from libcloud_s3mpu.protocol.options import UploadOptions
from libcloud_s3mpu.protocol.session import (
    State,
    UploadedPart,
    UploadSession,
    SessionBusyError,
    SessionFormatError,
)
from libcloud_s3mpu.transfer.journal import Keeper, FileJournal, MemoryJournal

HERE = "http://127.0.0.1:80"
ROOT = Path(__file__).resolve().parents[2]


def session(upload_id: str = "u", parts: int = 2, endpoint: str = HERE) -> UploadSession:
    it = UploadSession(
        container="bucket", object_name="key", upload_id=upload_id, state=State.OPEN,
        endpoint=endpoint,
    )  # fmt: skip
    it.parts = {n: UploadedPart(part_number=n, size=5, etag="e") for n in range(1, parts + 1)}
    return it


@pytest.fixture(params=["memory", "file"])
def journal(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    if request.param == "memory":
        return MemoryJournal()
    pytest.importorskip("filelock")
    return FileJournal(tmp_path / "sessions")


@pytest.fixture
def files(tmp_path: Path) -> FileJournal:
    pytest.importorskip("filelock")
    return FileJournal(tmp_path / "sessions")


def names(journal: FileJournal) -> list[str]:
    return sorted(path.suffix for path in journal.folder.iterdir())


def test_a_saved_session_is_loaded_as_it_was_when_it_was_saved(journal: Any) -> None:
    it = session()
    journal.save(it)
    before = it.to_json(saved_at=it.saved_at)
    it.parts.clear()
    found = journal.load("u", endpoint=HERE)
    assert found is not None and found.to_json(saved_at=found.saved_at) == before
    assert found.saved_at is not None


def test_the_state_may_be_saved_ahead_of_its_move(journal: Any) -> None:
    it = session()
    journal.save(it, state=State.COMPLETING)
    assert journal.load("u", endpoint=HERE).state is State.COMPLETING
    assert it.state is State.OPEN


def test_the_same_upload_id_of_another_service_is_another_upload(journal: Any) -> None:
    journal.save(session(parts=1))
    journal.save(session(parts=2, endpoint="http://other:80"))
    assert len(journal.load("u", endpoint=HERE).parts) == 1
    assert len(journal.list()) == 2
    journal.forget("u", endpoint=HERE)
    assert journal.load("u", endpoint=HERE) is None
    assert len(journal.list()) == 1


def test_what_is_not_there_is_none_and_forgetting_it_no_error(journal: Any) -> None:
    assert journal.load("u", endpoint=HERE) is None
    journal.forget("u", endpoint=HERE)
    assert list(journal.list()) == []


def test_an_upload_is_held_by_one_at_a_time(journal: Any) -> None:
    with journal.hold("u", endpoint=HERE):
        with pytest.raises(SessionBusyError, match="upload u is being run"):
            journal.hold("u", endpoint=HERE).__enter__()

        def other() -> None:
            with journal.hold("u", endpoint=HERE):
                pass

        assert isinstance(Apart(other).end(), SessionBusyError)
        with journal.hold("other", endpoint=HERE):
            pass
    with journal.hold("u", endpoint=HERE):
        pass


def test_it_is_let_go_whatever_happens(journal: Any) -> None:
    with pytest.raises(KeyboardInterrupt), journal.hold("u", endpoint=HERE):
        raise KeyboardInterrupt
    with journal.hold("u", endpoint=HERE):
        pass


def test_the_options_take_a_journal_and_nothing_else(journal: Any) -> None:
    assert UploadOptions(journal=journal).journal is journal
    with pytest.raises(TypeError, match="journal must be a Journal, not str"):
        UploadOptions(journal="folder")  # type: ignore[arg-type]


# -- files -----------------------------------------------------------------------------------------


def test_files_are_their_owners_alone(files: FileJournal) -> None:
    old = os.umask(0)
    try:
        with files.hold("u", endpoint=HERE):
            files.save(session())
    finally:
        os.umask(old)
    assert stat.S_IMODE(files.folder.stat().st_mode) == 0o700
    for path in files.folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_nothing_is_left_of_an_upload_that_is_over(files: FileJournal) -> None:
    with files.hold("u", endpoint=HERE):
        files.save(session())
        files.forget("u", endpoint=HERE)
    assert names(files) == []


def test_one_upload_is_one_file(files: FileJournal) -> None:
    for _ in range(3):
        files.save(session("a" * 3000 + "/../\\:*?"))
    assert names(files) == [".json"]


@pytest.mark.parametrize("step", ["open", "fsync", "replace"])
def test_a_save_that_fails_leaves_what_was_saved_before(
    files: FileJournal, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.save(session(parts=1))

    def full(*_: Any, **__: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, step, full)
    with pytest.raises(OSError, match="No space"):
        files.save(session(parts=2))
    monkeypatch.undo()
    found = files.load("u", endpoint=HERE)
    assert found is not None and len(found.parts) == 1
    files.save(session(parts=2))
    assert names(files) == [".json"]


def test_it_is_renamed_only_after_it_was_synced(
    files: FileJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    fsync, rename = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (done.append("sync"), fsync(fd))[1])
    monkeypatch.setattr(os, "replace", lambda a, b: (done.append("rename"), rename(a, b))[1])
    files.save(session())
    assert done == ["sync", "rename", "sync"]


def test_a_link_in_the_place_of_the_file_is_not_followed(
    files: FileJournal, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    files.save(session())
    path = next(files.folder.glob("*.json"))
    path.with_suffix(".tmp").symlink_to(victim)
    with pytest.raises(OSError):
        files.save(session())
    assert victim.read_text() == "precious"


def test_a_damaged_file_is_a_clear_error_and_hides_no_other(
    files: FileJournal, caplog: pytest.LogCaptureFixture
) -> None:
    files.save(session("good"))
    files.save(session("bad"))
    path = files._path("bad", HERE)
    path.write_text(path.read_text()[:40])
    with pytest.raises(SessionFormatError, match=rf"{path.name}.*no saved session"):
        files.load("bad", endpoint=HERE)
    assert [it.upload_id for it in files.list()] == ["good"]
    assert path.name in caplog.text


@pytest.mark.parametrize("how", ["cut", "newer", "garbage", "locked", "misplaced"])
def test_what_a_file_owns_is_known_or_it_is_said_that_it_is_not(
    files: FileJournal, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.save(session("good"))
    files.save(session('b"a\\d'))
    path = files._path('b"a\\d', HERE)
    text = path.read_text()
    with monkeypatch.context() as patch, files.hold('b"a\\d', endpoint=HERE):
        if how == "cut":
            path.write_text(text[: text.index('"algorithm"')])
        elif how == "newer":
            path.write_text(text.replace('"version":2', '"version":99'))
        elif how == "garbage":
            path.write_bytes(b"\x00\xff")
        elif how == "locked":
            _lock_out(patch, path)
        else:
            path.write_text(text.replace('"version":2', '"version":99').replace(HERE, "http://x"))
        owned = files.owned()
    if how in ("cut", "newer"):
        assert (owned.upload_ids, owned.unreadable) == ({"good", 'b"a\\d'}, ())
    else:
        assert (owned.upload_ids, owned.unreadable) == ({"good"}, (path.name,))


def _lock_out(patch: pytest.MonkeyPatch, path: Path) -> None:
    """Refuse to open a file: root may open any, so a mode alone would prove nothing."""
    real = open

    def refuse(name: Any, *args: Any, **kwargs: Any) -> Any:
        if name == path:
            raise PermissionError(errno.EACCES, "Permission denied", str(name))
        return real(name, *args, **kwargs)

    patch.setattr(journal_module, "open", refuse, raising=False)


def test_a_folder_that_cannot_be_read_is_no_empty_one(
    files: FileJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (files.list(), files.owned().upload_ids) == ([], frozenset())
    files.save(session())

    def refuse(*_: Any) -> Any:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "listdir", refuse)
    monkeypatch.setattr(os, "scandir", refuse)
    for ask in (files.list, files.owned):
        with pytest.raises(PermissionError):
            ask()


def test_a_file_that_is_forgotten_while_the_folder_is_read_is_not_missed(
    files: FileJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.save(session("a"))
    found = os.listdir(files.folder)
    monkeypatch.setattr(os, "listdir", lambda _: [*found, "0" * 40 + ".json"])
    assert files.owned().upload_ids == {"a"} and files.owned().unreadable == ()


def test_a_huge_file_is_not_read(files: FileJournal, monkeypatch: pytest.MonkeyPatch) -> None:
    files.save(session())
    monkeypatch.setattr(journal_module, "MOST_BYTES", 50)
    with pytest.raises(SessionFormatError, match="larger than 50 bytes"):
        files.load("u", endpoint=HERE)


def test_a_file_that_was_put_under_another_uploads_name_is_refused(files: FileJournal) -> None:
    files.save(session("u"))
    files.save(session("evil", endpoint="http://evil:80"))
    os.replace(files._path("evil", "http://evil:80"), files._path("u", HERE))
    with pytest.raises(SessionFormatError, match=r"forged or misplaced, and nothing was sent"):
        files.load("u", endpoint=HERE)


def test_a_second_process_is_kept_off_and_a_dead_one_is_not(files: FileJournal) -> None:
    code = (
        "import sys; from libcloud_s3mpu.transfer.journal import FileJournal\n"
        f"with FileJournal({str(files.folder)!r}).hold('u', endpoint={HERE!r}):\n"
        "    print('held', flush=True); sys.stdin.read()"
    )
    run = [sys.executable, "-c", code]
    with subprocess.Popen(run, cwd=ROOT, stdin=-1, stdout=-1) as child:
        try:
            assert child.stdout is not None and child.stdout.readline() == b"held\n"
            with pytest.raises(SessionBusyError, match="another process"):
                files.hold("u", endpoint=HERE).__enter__()
        finally:
            child.kill()
    with files.hold("u", endpoint=HERE):
        pass


@pytest.mark.parametrize("name", ["filelock", "platformdirs"])
def test_a_missing_package_is_named_with_its_extra(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if name == "platformdirs":
        pytest.importorskip("filelock")
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=rf"needs {name}: pip install .libcloud_s3mpu\[journal\]"):
        FileJournal()
    with nullcontext() if name == "platformdirs" else pytest.raises(ImportError):
        FileJournal(tmp_path)


def test_the_default_folder_is_the_users_own_for_state(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("filelock")
    pytest.importorskip("platformdirs")
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    if sys.platform == "linux":
        assert FileJournal().folder == Path("/state/libcloud_s3mpu")


# -- when it is saved ------------------------------------------------------------------------------


class Clock:
    """A clock that a test sets; a save takes ``save_seconds`` of it."""

    def __init__(self) -> None:
        self.now = 100.0
        self.save_seconds = 0.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return 1e9


class Counting(MemoryJournal):
    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock
        self.saves = 0
        self.fails = False

    def save(self, session: UploadSession, *, state: State | None = None) -> None:
        if self.fails:
            raise OSError(errno.ENOSPC, "full")
        self.saves += 1
        self.clock.now += self.clock.save_seconds
        super().save(session, state=state)


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> Counting:
    clock = Clock()
    monkeypatch.setattr(journal_module, "time", clock)
    return Counting(clock)


def test_ten_thousand_parts_are_saved_once_a_second_at_most(counting: Counting) -> None:
    keeper = Keeper(counting, session(), is_held=False)
    keeper.begin()
    for _ in range(10_000):
        counting.clock.now += 0.001
        keeper.save_soon()
    assert counting.saves <= 1 + 10
    keeper.close()


def test_a_slow_save_is_followed_by_a_longer_pause(counting: Counting) -> None:
    keeper = Keeper(counting, session(), is_held=False)
    keeper.begin()
    counting.clock.save_seconds = 1.0
    for _ in range(1000):
        counting.clock.now += 0.1
        keeper.save_soon()
    assert counting.saves <= 1 + 3
    keeper.close()


def test_the_first_save_that_fails_is_an_error_and_later_ones_are_not(
    counting: Counting, caplog: pytest.LogCaptureFixture
) -> None:
    counting.fails = True
    keeper = Keeper(counting, session(), is_held=False)
    with pytest.raises(OSError, match="full"):
        keeper.begin()
    assert not keeper.has_saved
    keeper.close()
    counting.fails = False
    keeper = Keeper(counting, session(), is_held=False)
    keeper.begin()
    counting.fails = True
    keeper.save()
    assert "could not be saved" in caplog.text
    keeper.close()


def test_a_session_that_is_over_is_forgotten_and_another_saved(counting: Counting) -> None:
    it = session()
    keeper = Keeper(counting, it, is_held=False)
    keeper.begin()
    it.state = State.KEPT
    keeper.end()
    assert [found.state for found in counting.list()] == [State.KEPT]
    it.state = State.COMPLETED
    keeper.end()
    keeper.close()
    assert counting.list() == []


def test_without_a_journal_nothing_is_done() -> None:
    keeper = Keeper(None, session(), is_held=False)
    keeper.begin()
    keeper.save()
    keeper.save_soon()
    keeper.end()
    keeper.close()
    assert not keeper.has_saved
