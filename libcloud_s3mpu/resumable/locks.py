# SPDX-License-Identifier: Apache-2.0
"""Where leases are kept: in memory, in files, in Redis. In S3 itself: :mod:`.locks_s3`.

The rules of a lease are :mod:`.lease`'s.
"""

from __future__ import annotations

import os
import time
import hashlib
import threading
from typing import Any
from pathlib import Path
from importlib import import_module
from contextlib import suppress

from .lease import Lock, Lease, Change, Locker, LeaseLocker

__all__ = ["FileLocker", "Lock", "Locker", "MemoryLocker", "RedisLocker"]

#: Seconds without a sign of the holder after which it may be replaced. A client that sends nothing
#: for so long is gone more often than not; tusd cuts one after 60 s (NetworkTimeout).
TTL_SECONDS = 10.0
#: As tusd's AcquireLockTimeout.
TIMEOUT_SECONDS = 20.0


class MemoryLocker(LeaseLocker):
    """Locks among the threads of one process. Not for several processes.

    Every thread that writes must use the same object.
    """

    def __init__(
        self,
        *,
        ttl_seconds: float = TTL_SECONDS,
        timeout_seconds: float = TIMEOUT_SECONDS,
        **clocks: Any,
    ) -> None:
        super().__init__(
            _MemoryStore(clocks.get("clock", time.monotonic)),
            ttl_seconds=ttl_seconds,
            timeout_seconds=timeout_seconds,
            poll_seconds=0.01,
            **clocks,
        )

    def __repr__(self) -> str:
        return "MemoryLocker()"


class _MemoryStore:
    """The lock protects the dictionary, for the time of one change."""

    def __init__(self, clock: Any) -> None:
        self._leases: dict[str, Lease] = {}
        self._mutex = threading.Lock()
        self._clock = clock

    def change(self, name: str, change: Change) -> Lease | None:
        with self._mutex:
            wanted = change(self._leases.get(name), self._clock())
            if wanted is None:
                self._leases.pop(name, None)
            else:
                self._leases[name] = wanted
            return wanted


class FileLocker(LeaseLocker):
    """Locks among the processes of one machine, or of several over a file system that locks.

    :param folder: where; made (with mode 0700) when it is first needed.
    :raises ImportError: without ``filelock``.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        ttl_seconds: float = TTL_SECONDS,
        timeout_seconds: float = TIMEOUT_SECONDS,
        poll_seconds: float = 0.05,
        **clocks: Any,
    ) -> None:
        self.folder = Path(folder)
        super().__init__(
            _FileStore(self.folder, _needed("filelock", "FileLocker", "journal")),
            ttl_seconds=ttl_seconds,
            timeout_seconds=timeout_seconds,
            poll_seconds=poll_seconds,
            check_seconds=min(0.25, ttl_seconds / 3),
            **clocks,
        )

    def __repr__(self) -> str:
        return f"FileLocker({str(self.folder)!r})"


class _FileStore:
    """One file for each lease, one lock file for all: it is held for microseconds only."""

    def __init__(self, folder: Path, filelock: Any) -> None:
        self._folder = folder
        self._mutex = filelock.FileLock(folder / "leases.lock", mode=0o600, thread_local=False)
        # filelock counts how often one object was taken; threads need the second lock.
        self._threads = threading.Lock()

    def change(self, name: str, change: Change) -> Lease | None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        hashed = hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:40]
        path = self._folder / f"{hashed}.lease"
        with self._threads, self._mutex:
            try:
                found = Lease.from_json(path.read_bytes())
            except FileNotFoundError:
                found = None
            # Wall clock: the machine may have been started anew since the lease was written.
            wanted = change(found, time.time())
            if wanted is None:
                with suppress(FileNotFoundError):
                    path.unlink()
            elif wanted != found:
                written = path.with_suffix(".tmp")
                written.write_bytes(wanted.to_json())
                os.replace(written, path)
            return wanted


class RedisLocker(LeaseLocker):
    """Locks among any processes that reach one Redis (or Valkey) server.

    :param client: a ``redis.Redis``; several processes need the same server and database.
    :raises ImportError: without ``redis``.
    """

    def __init__(
        self,
        client: Any,
        *,
        prefix: str = "s3mpu:lock:",
        ttl_seconds: float = TTL_SECONDS,
        timeout_seconds: float = TIMEOUT_SECONDS,
        **clocks: Any,
    ) -> None:
        super().__init__(
            _RedisStore(client, prefix, _needed("redis", "RedisLocker", "redis"), ttl_seconds),
            ttl_seconds=ttl_seconds,
            timeout_seconds=timeout_seconds,
            poll_seconds=0.1,
            check_seconds=min(0.5, ttl_seconds / 3),
            **clocks,
        )

    def __repr__(self) -> str:
        return "RedisLocker()"


class _RedisStore:
    """One key for each lease; a change is a WATCH, and the time is the server's."""

    def __init__(self, client: Any, prefix: str, redis: Any, ttl_seconds: float) -> None:
        self._client = client
        self._prefix = prefix
        self._changed = redis.WatchError
        # Leases of the dead go by themselves, long after they ran out.
        self._forget_ms = int(ttl_seconds * 1000) * 10

    def change(self, name: str, change: Change) -> Lease | None:
        key = self._prefix + name
        with self._client.pipeline() as pipe:
            while True:
                try:
                    pipe.watch(key)
                    found = Lease.from_json(pipe.get(key))
                    seconds, micros = pipe.time()
                    wanted = change(found, seconds + micros / 1e6)
                    if wanted == found:
                        return wanted
                    pipe.multi()
                    if wanted is None:
                        pipe.delete(key)
                    else:
                        pipe.set(key, wanted.to_json(), px=self._forget_ms)
                    pipe.execute()
                    return wanted
                except self._changed:
                    continue


def _needed(module: str, who: str, extra: str) -> Any:
    try:
        return import_module(module)
    except ImportError:
        raise ImportError(f'{who} needs {module}: pip install "libcloud_s3mpu[{extra}]"') from None
