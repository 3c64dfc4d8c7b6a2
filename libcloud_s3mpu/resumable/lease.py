# SPDX-License-Identifier: Apache-2.0
"""One writer per upload: leases that are asked for, renewed, run out, and are taken over.

The rules are the same wherever a lease is kept (:mod:`.locks`, :mod:`.locks_s3`): who wants a held
one marks it as wanted, the holder reads that between two pieces and stops; a holder that does not
renew (its client stalls, its process is gone) loses it when it runs out. Each taking gives a new
owner's name and a higher token, so a former holder finds out at its next :meth:`Lock.check` and
acknowledges nothing any more.
"""

from __future__ import annotations

import json
import time
import uuid
import logging
from typing import Any, Protocol
from dataclasses import asdict, replace, dataclass
from collections.abc import Callable

from .errors import FencedError, UploadLockedError

log = logging.getLogger("libcloud_s3mpu.locks")


class Lock(Protocol):
    """An upload, held for writing. One thread uses it."""

    @property
    def token(self) -> int:
        """The fencing token: higher with each taking of the same name."""
        ...

    @property
    def is_wanted(self) -> bool:
        """Whether another writer asked for it, as far as the last :meth:`check` saw."""
        ...

    def check(self, *, now: bool = False) -> None:
        """Make sure it is still held, and renew it. Cheap: called between any two pieces.

        :param now: ask, even if it cannot have run out since the last time.
        :raises FencedError: if another writer has taken it over.
        """
        ...

    def release(self) -> None:
        """Let go. Raises nothing, and may be called twice."""
        ...


class Locker(Protocol):
    """Gives the locks of a store of uploads. Any thread."""

    def acquire(self, name: str) -> Lock:
        """Take the upload ``name``: at once, or after its holder has been asked to stop.

        :raises UploadLockedError: if it did not let go in time.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """Who holds an upload. ``expires`` is in seconds, by the clock of where the lease is kept."""

    owner: str
    token: int
    expires: float
    wanted: bool = False

    def to_json(self) -> bytes:
        return json.dumps(asdict(self)).encode("ascii")

    @classmethod
    def from_json(cls, text: bytes | str | None) -> Lease | None:
        """Read a lease; what is none (cut, foreign) counts as not held."""
        try:
            found: Any = json.loads(text or b"")
            return cls(
                owner=str(found["owner"]),
                token=int(found["token"]),
                expires=float(found["expires"]),
                wanted=bool(found.get("wanted", False)),
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            return None


#: Gets the lease that is there (None: free) and the time; gives the one that shall be there.
Change = Callable[[Lease | None, float], Lease | None]


class LeaseStore(Protocol):
    """Where leases are kept."""

    def change(self, name: str, change: Change) -> Lease | None:
        """Change a lease in one indivisible step; give the one that is there afterwards.

        What ``change`` gets may be stale once; it is asked again then.
        """
        ...


class LeaseLocker:
    """A locker on any store of leases.

    :param ttl_seconds: a holder that does not renew for so long may be replaced.
    :param timeout_seconds: how long :meth:`acquire` waits; more than ``ttl_seconds``, or a stalled
        holder is never replaced.
    :param poll_seconds: between two looks at a lease that is held.
    :param check_seconds: a holder looks at its lease, and renews it, no more often than this.
    """

    def __init__(
        self,
        store: LeaseStore,
        *,
        ttl_seconds: float,
        timeout_seconds: float,
        poll_seconds: float,
        check_seconds: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if not ttl_seconds > 0:
            raise ValueError(f"ttl_seconds must be positive, not {ttl_seconds!r}")
        self._store = store
        self.ttl_seconds = ttl_seconds
        self.timeout_seconds = timeout_seconds
        self._poll_seconds = poll_seconds
        self._check_seconds = check_seconds
        self._clock = clock
        self._sleep = sleep

    def acquire(self, name: str) -> Lock:
        """
        @inherits: :class:`Locker.acquire`
        """
        owner = uuid.uuid4().hex
        deadline = self._clock() + self.timeout_seconds

        def take(found: Lease | None, now: float) -> Lease:
            if found is not None and found.owner != owner and found.expires > now:
                return found if found.wanted else replace(found, wanted=True)
            last = found.token if found is not None else 0
            # Microseconds keep it rising where a released lease is forgotten.
            token = max(last + 1, int(now * 1e6))
            return Lease(owner=owner, token=token, expires=now + self.ttl_seconds)

        while True:
            began = self._clock()
            lease = self._store.change(name, take)
            if lease is not None and lease.owner == owner:
                return _HeldLease(
                    self._store,
                    lease,
                    name=name,
                    ttl_seconds=self.ttl_seconds,
                    check_seconds=self._check_seconds,
                    clock=self._clock,
                    renewed_at=began,
                )
            if self._clock() >= deadline:
                raise UploadLockedError(
                    f"upload {name} is being written, and its writer did not let go within "
                    f"{self.timeout_seconds:g} s",
                    id=name,
                )
            self._sleep(self._poll_seconds)


class Held:
    """A lease that this process took (:class:`Lock`); subclasses know where it is kept.

    :param ttl_seconds: how long it lasts, and ``check_seconds`` how often it is looked at.
    :param renewed_at: when it was last sure to be held, by ``clock``.
    """

    def __init__(
        self,
        lease: Lease,
        *,
        name: str,
        ttl_seconds: float,
        check_seconds: float,
        clock: Callable[[], float],
        renewed_at: float,
    ) -> None:
        self._lease = lease
        self._name = name
        self._ttl = ttl_seconds
        self._check_seconds = check_seconds
        self._clock = clock
        self._renewed_at = renewed_at
        self._is_over = False

    @property
    def token(self) -> int:
        return self._lease.token

    @property
    def is_wanted(self) -> bool:
        return self._lease.wanted

    def check(self, *, now: bool = False) -> None:
        """
        @inherits: :class:`Lock.check`
        """
        if self._is_over:
            raise fenced(self._name)
        began = self._clock()
        if not now and began - self._renewed_at < self._check_seconds:
            return
        lease = self._renewed()
        if lease is None or not self._is_mine(lease):
            self._is_over = True
            raise fenced(self._name)
        self._lease = lease
        self._renewed_at = began

    def release(self) -> None:
        """
        @inherits: :class:`Lock.release`
        """
        if self._is_over:
            return
        try:
            self._forget()
        except Exception as error:
            # It runs out by itself; what was written under it counts all the same.
            log.warning("the lock of upload %s could not be released: %s", self._name, error)
        self._is_over = True

    def _is_mine(self, found: Lease | None) -> bool:
        return found is not None and found.owner == self._lease.owner

    def _renewed(self) -> Lease | None:
        """Renew it where it is kept, if it is still held; give the one that is there then."""
        raise NotImplementedError

    def _forget(self) -> None:
        """Remove it where it is kept, if it is still held."""
        raise NotImplementedError


class _HeldLease(Held):
    """A lease of a :class:`LeaseStore`."""

    def __init__(self, store: LeaseStore, lease: Lease, **how: Any) -> None:
        super().__init__(lease, **how)
        self._store = store

    def _renewed(self) -> Lease | None:
        return self._store.change(self._name, self._longer)

    def _forget(self) -> None:
        self._store.change(self._name, lambda found, _: None if self._is_mine(found) else found)

    def _longer(self, found: Lease | None, now: float) -> Lease | None:
        # One that ran out and that nobody took is still ours.
        if found is None or not self._is_mine(found):
            return found
        return replace(found, expires=now + self._ttl)


def fenced(name: str) -> FencedError:
    """Make the error of a holder that was replaced."""
    return FencedError(
        f"upload {name} was taken over by another writer; what was not acknowledged before does "
        "not count",
        id=name,
    )
