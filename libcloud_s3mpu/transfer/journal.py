# SPDX-License-Identifier: Apache-2.0
"""Where sessions are kept between runs: in memory, or one file for each upload.

What a session is, and what its saved form holds, is :mod:`libcloud_s3mpu.protocol.session`'s; when
it is saved is the road's (:mod:`.upload`), which has a :class:`Keeper` for it. A journal is only a
hint: what the service lists is the truth, so a save that comes late loses no part.
"""

from __future__ import annotations

import os
import re
import json
import time
import hashlib
import logging
from typing import Any
from pathlib import Path
from importlib import import_module
from contextlib import ExitStack, suppress, contextmanager
from dataclasses import dataclass
from collections.abc import Iterator

from ..protocol.session import State, Journal, UploadSession, SessionBusyError, SessionFormatError

log = logging.getLogger("libcloud_s3mpu.journal")

#: Least seconds between two saves of parts; what is missing is asked of the service.
SAVE_SECONDS = 1.0
#: Between two saves lies this many times what the last one took: ten thousand parts are a megabyte
#: of JSON and an fsync, and saving them stays below 2 % of the upload's time.
SAVE_PAUSE = 50.0
#: Bytes of a saved session that are read: 10,000 parts with all their digests are 3 MB.
MOST_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Owned:
    """What a journal owns, as far as it can tell.

    :param unreadable: names of what it could not read, and which may own any upload.
    """

    upload_ids: frozenset[str]
    unreadable: tuple[str, ...] = ()


def name_of(upload_id: str, endpoint: str) -> str:
    """Give the name that an upload is kept by: of one length, and fit for any file system."""
    return hashlib.sha256(f"{endpoint}\n{upload_id}".encode("utf-8", "replace")).hexdigest()[:40]


class MemoryJournal:
    """Keeps sessions as long as this object lives. Any thread may use it."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}
        self._held: dict[str, object] = {}

    def save(self, session: UploadSession, *, state: State | None = None) -> None:
        assert session.upload_id is not None
        session.saved_at = time.time()
        text = session.to_json(saved_at=session.saved_at, state=state)
        self._texts[name_of(session.upload_id, session.endpoint)] = text

    def load(self, upload_id: str, *, endpoint: str) -> UploadSession | None:
        text = self._texts.get(name_of(upload_id, endpoint))
        return UploadSession.from_json(text) if text is not None else None

    def forget(self, upload_id: str, *, endpoint: str) -> None:
        self._texts.pop(name_of(upload_id, endpoint), None)

    def list(self) -> list[UploadSession]:
        return [UploadSession.from_json(text) for text in list(self._texts.values())]

    @contextmanager
    def hold(self, upload_id: str, *, endpoint: str) -> Iterator[None]:
        name, mine = name_of(upload_id, endpoint), object()
        if self._held.setdefault(name, mine) is not mine:
            raise _busy(upload_id, "another thread")
        try:
            yield
        finally:
            self._held.pop(name, None)

    def __repr__(self) -> str:
        return f"MemoryJournal({len(self._texts)} sessions)"


class FileJournal:
    """Keeps sessions as files: one upload one file, readable by its owner alone.

    A file is written under another name, synced, and renamed: whatever ends the process, the last
    whole one is there. Any thread and any process may use the same folder.

    :param folder: where; made (with mode 0700) when it is first needed. None is the user's folder
        for state (``platformdirs.user_state_dir``).
    :raises ImportError: without ``filelock``, or without ``platformdirs`` where it is needed.
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        _needed("filelock")
        if folder is None:
            folder = _needed("platformdirs").user_state_dir("libcloud_s3mpu", appauthor=False)
        self.folder = Path(folder)

    def save(self, session: UploadSession, *, state: State | None = None) -> None:
        """
        @inherits: :class:`Journal.save`

        :raises OSError: as the disk does; what was saved before is still there then.
        """
        assert session.upload_id is not None
        session.saved_at = time.time()
        text = session.to_json(saved_at=session.saved_at, state=state)
        path = self._path(session.upload_id, session.endpoint)
        self._make_folder()
        # One writer at a time holds the upload, so the temporary name may always be the same: what
        # a killed process left of it is overwritten by the next one.
        written = path.with_suffix(".tmp")
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0)
        with open(os.open(written, flags, 0o600), "wb") as file:
            file.write(text.encode("utf-8"))
            file.flush()
            os.fsync(file.fileno())
        os.replace(written, path)
        self._sync_folder()

    def load(self, upload_id: str, *, endpoint: str) -> UploadSession | None:
        session = _read(self._path(upload_id, endpoint))
        if session is not None and (session.upload_id, session.endpoint) != (upload_id, endpoint):
            raise SessionFormatError(
                f"the journal's file for upload {upload_id} is of upload {session.upload_id} at "
                f"{session.endpoint}: it was forged or misplaced, and nothing was sent",
                upload_id=upload_id,
            )
        return session

    def forget(self, upload_id: str, *, endpoint: str) -> None:
        path = self._path(upload_id, endpoint)
        for name in (path, path.with_suffix(".tmp"), path.with_suffix(".lock")):
            with suppress(FileNotFoundError):
                os.unlink(name)

    def list(self) -> list[UploadSession]:
        """
        @inherits: :class:`Journal.list`

        A file that cannot be read is left out, with a warning in the log.

        :raises OSError: if the folder cannot be read.
        """
        return [found for _, found in self._files() if isinstance(found, UploadSession)]

    def owned(self) -> Owned:
        """Give the ids of all uploads that are kept, and what could not be read.

        :raises OSError: if the folder cannot be read.
        """
        upload_ids, unreadable = set(), []
        for path, found in self._files():
            if isinstance(found, UploadSession):
                upload_ids.add(str(found.upload_id))
            elif (upload_id := _id_in(path)) is not None:
                upload_ids.add(upload_id)  # Cut, or newer: it still says whose it is.
            else:
                unreadable.append(path.name)
        return Owned(upload_ids=frozenset(upload_ids), unreadable=tuple(unreadable))

    def _files(self) -> Iterator[tuple[Path, UploadSession | Exception]]:
        """Give each file with its session, or with what was wrong with it."""
        try:
            # Not glob(), which takes a folder that may not be read for an empty one.
            names = sorted(name for name in os.listdir(self.folder) if name.endswith(".json"))
        except FileNotFoundError:
            return
        for path in [self.folder / name for name in names]:
            try:
                session = _read(path)
            except (OSError, SessionFormatError) as error:
                log.warning("%s: %s", path.name, error)
                yield path, error
            else:
                if session is not None:  # else it was forgotten meanwhile
                    yield path, session

    @contextmanager
    def hold(self, upload_id: str, *, endpoint: str) -> Iterator[None]:
        filelock = _needed("filelock")
        self._make_folder()
        path = self._path(upload_id, endpoint).with_suffix(".lock")
        # The lock is the process's: the system drops it with the process, however that ends.
        lock = filelock.FileLock(path, timeout=0, mode=0o600, thread_local=False)
        try:
            lock.acquire()
        except filelock.Timeout:
            raise _busy(upload_id, "another process or thread") from None
        try:
            yield
        finally:
            lock.release()
            if not self._path(upload_id, endpoint).exists():
                with suppress(OSError):
                    os.unlink(path)

    def _path(self, upload_id: str, endpoint: str) -> Path:
        return self.folder / f"{name_of(upload_id, endpoint)}.json"

    def _make_folder(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def _sync_folder(self) -> None:
        if os.name == "nt":
            return  # Windows opens no folder.
        fileno = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(fileno)
        finally:
            os.close(fileno)

    def __repr__(self) -> str:
        return f"FileJournal({str(self.folder)!r})"


def _read(path: Path) -> UploadSession | None:
    try:
        with open(path, "rb") as file:
            text = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        return None
    try:
        if len(text) > MOST_BYTES:
            raise SessionFormatError(f"it is larger than {MOST_BYTES} bytes")
        return UploadSession.from_json(text)
    except SessionFormatError as error:
        raise SessionFormatError(f"{path}: {error.value}") from None


def _id_in(path: Path) -> str | None:
    """Find the upload id in a file that is no session to us, if the file's name proves it."""
    try:
        with open(path, "rb") as file:
            text = file.read(MOST_BYTES).decode("utf-8", "replace")
    except OSError:
        return None
    found = {}
    for name in ("upload_id", "endpoint"):
        match = re.search(rf'"{name}":\s*("(?:[^"\\]|\\.)*")', text)
        try:
            found[name] = json.loads(match[1]) if match is not None else None
        except ValueError:
            return None
    upload_id, endpoint = found["upload_id"], found["endpoint"]
    if upload_id is None or endpoint is None or name_of(upload_id, endpoint) != path.stem:
        return None
    return str(upload_id)


def _needed(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        advice = "; or give it a folder" if name == "platformdirs" else ""
        raise ImportError(
            f'FileJournal needs {name}: pip install "libcloud_s3mpu[journal]"{advice}'
        ) from None


def _busy(upload_id: str, who: str) -> SessionBusyError:
    return SessionBusyError(
        f"upload {upload_id} is being run by {who}; nothing was sent", upload_id=upload_id
    )


class Keeper:
    """Saves one upload's session while it runs; without a journal it does nothing.

    Owned by the calling thread.

    :param is_held: the caller holds the upload in the journal already.
    """

    def __init__(self, journal: Journal | None, session: UploadSession, *, is_held: bool) -> None:
        self._journal = journal
        self._session = session
        self._is_held = is_held
        self._holding = ExitStack()
        self._next_save = 0.0
        #: Whether the journal knows the upload: then a failure keeps its parts.
        self.has_saved = is_held and journal is not None

    def begin(self) -> None:
        """Save for the first time: the upload id has just become known.

        :raises OSError: if it cannot be saved; then nobody would find the upload again.
        """
        if self._journal is None:
            return
        session = self._session
        assert session.upload_id is not None
        if not self._is_held:
            hold = self._journal.hold(session.upload_id, endpoint=session.endpoint)
            self._holding.enter_context(hold)
            self._is_held = True
        if session.began_at is None:
            session.began_at = time.time()
        self._journal.save(session)
        self.has_saved = True
        self._next_save = time.monotonic() + SAVE_SECONDS

    def save(self, *, state: State | None = None) -> None:
        """Save now; a failure is logged, since the service knows the parts as well."""
        if self._journal is None or not self.has_saved:
            return
        began = time.monotonic()
        try:
            self._journal.save(self._session, state=state)
        except OSError as error:
            log.warning("upload %s could not be saved: %s", self._session.upload_id, error)
        ended = time.monotonic()
        self._next_save = ended + max(SAVE_SECONDS, SAVE_PAUSE * (ended - began))

    def save_soon(self) -> None:
        """Save if the last time is long enough ago."""
        if self.has_saved and time.monotonic() >= self._next_save:
            self.save()

    def end(self) -> None:
        """Drop an upload that is over, save one that is not."""
        if self._session.state in (State.COMPLETED, State.ABORTED):
            self._forget()
        else:
            self.save()

    def _forget(self) -> None:
        if self._journal is None or not self.has_saved:
            return
        self.has_saved = False
        assert self._session.upload_id is not None
        try:
            self._journal.forget(self._session.upload_id, endpoint=self._session.endpoint)
        except OSError as error:
            log.warning("upload %s could not be forgotten: %s", self._session.upload_id, error)

    def close(self) -> None:
        """Let go of the upload in the journal."""
        self._holding.close()
