# SPDX-License-Identifier: Apache-2.0
"""Leases in S3 itself: one small object for each upload that is being written, put on conditions.

``If-None-Match: *`` takes a free one, ``If-Match`` renews or takes over. How old a lease is, is
told by the service's own clock (``Date`` against ``Last-Modified``), never by a machine's.
A store that has no conditional writes, or takes them and ignores them, is found out first: a lock
that does not lock must not be believed.
"""

from __future__ import annotations

import time
import uuid
import logging
from typing import Any
from dataclasses import replace
from collections.abc import Callable

from libcloud.storage.base import Container

from .lease import Held, Lock, Lease, Locker
from .errors import UploadLockedError
from .objects import Objects, is_unsupported
from ..protocol.errors import (
    S3MultipartError,
    ObjectMissingError,
    PreconditionFailedError,
    ConditionalConflictError,
)

log = logging.getLogger("libcloud_s3mpu.locks")

#: Longer than the other lockers': each renewal is a request.
TTL_SECONDS = 15.0
TIMEOUT_SECONDS = 30.0
#: What a condition that does not hold is answered with; "missing" where it was an ETag's.
_OTHERS = (PreconditionFailedError, ObjectMissingError, ConditionalConflictError)
#: How often a lease is renewed in its time; also how soon a holder sees that it is wanted.
RENEWALS = 6
#: An ETag that no object has.
_NO_ETAG = "00000000000000000000000000000000"


class S3Locker:
    """Locks among all processes that share a bucket. No server beside S3 is needed.

    Each write costs two requests more, and one every few seconds while it lasts.

    :param prefix: where the lock objects are: the metadata prefix of the uploads.
    :param fallback: used, with a warning in the log, where the store has no conditional writes;
        without one that is an error.
    :raises NotImplementedError: at the first lock, if there is no fallback either.
    """

    def __init__(
        self,
        driver: Any,
        container: Container,
        *,
        prefix: str = "uploads/",
        fallback: Locker | None = None,
        ttl_seconds: float = TTL_SECONDS,
        timeout_seconds: float = TIMEOUT_SECONDS,
        poll_seconds: float = 0.5,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._objects = Objects(driver._transport, container.name, policy=driver.ex_options.retry)
        self._prefix = prefix
        self._fallback = fallback
        self._is_sound: bool | None = None
        self.ttl_seconds = ttl_seconds
        self.timeout_seconds = timeout_seconds
        self._poll_seconds = poll_seconds
        self._clock = clock
        self._sleep = sleep

    def acquire(self, name: str) -> Lock:
        """
        @inherits: :class:`Locker.acquire`
        """
        if self._is_sound is None:
            self._is_sound = self._probe()
            if not self._is_sound:
                self._warn()
        if self._is_sound:
            return self._taken(name)
        if self._fallback is None:
            raise NotImplementedError(
                f"bucket {self._objects.bucket} has no conditional writes: S3Locker cannot lock "
                "there; use FileLocker or RedisLocker"
            )
        return self._fallback.acquire(name)

    def _taken(self, name: str) -> Lock:
        key = f"{self._prefix}{name}.lock"
        owner = uuid.uuid4().hex
        deadline = self._clock() + self.timeout_seconds
        found: Lease | None = None
        etag: str | None = None
        left = 0.0
        while True:
            began = self._clock()
            try:
                if found is None or left <= 0:
                    return self._put(name, key, owner, found, etag, began)
                if not found.wanted:
                    # The object is new with this, so what is left of the lease is all it has.
                    marked = replace(found, wanted=True, expires=left)
                    body = marked.to_json()
                    self._objects.put_if(key, body, etag=etag, must_be_conditional=True)
                wait = self._poll_seconds
            except _OTHERS:
                wait = 0.0  # Somebody was faster: look again.
            if found is not None and self._clock() >= deadline:
                raise UploadLockedError(
                    f"upload {name} is being written, and its writer did not let go within "
                    f"{self.timeout_seconds:g} s",
                    id=name,
                )
            self._sleep(wait)
            found, etag, left = read_lease(self._objects, key)

    def _put(
        self,
        name: str,
        key: str,
        owner: str,
        found: Lease | None,
        etag: str | None,
        began: float,
    ) -> Lock:
        # Microseconds keep the token rising where a released lease is forgotten.
        token = max(found.token + 1 if found is not None else 0, int(time.time() * 1e6))
        lease = Lease(owner=owner, token=token, expires=self.ttl_seconds)
        put = self._objects.put_if(key, lease.to_json(), etag=etag, must_be_conditional=True)
        return _HeldObject(
            self._objects,
            key,
            put,
            lease,
            name=name,
            ttl_seconds=self.ttl_seconds,
            check_seconds=self.ttl_seconds / RENEWALS,
            clock=self._clock,
            renewed_at=began,
        )

    def _warn(self) -> None:
        if self._fallback is not None:
            log.warning(
                "bucket %s has no conditional writes: uploads are locked by %r instead, which must "
                "reach every process that writes there",
                self._objects.bucket,
                self._fallback,
            )

    def _probe(self) -> bool:
        """Tell whether the store refuses what it must refuse. Four requests, once."""
        # A name of its own: the probe of a process that starts at the same time removes its own.
        key = f"{self._prefix}.s3mpu-probe-{uuid.uuid4().hex}.lock"
        try:
            self._objects.put_if(key, b"1", etag=None, must_be_conditional=True)
            return self._refuses(key, None) and self._refuses(key, _NO_ETAG)
        except S3MultipartError as error:
            if not is_unsupported(error):
                raise
            return False
        finally:
            try:
                self._objects.delete(key)
            except S3MultipartError as error:
                log.info("%s was left over: %s", key, error)

    def _refuses(self, key: str, etag: str | None) -> bool:
        try:
            body = uuid.uuid4().hex.encode("ascii")
            self._objects.put_if(key, body, etag=etag, must_be_conditional=True)
        except _OTHERS:
            return True
        return False

    def __repr__(self) -> str:
        return f"S3Locker({self._objects.bucket}/{self._prefix})"


class _HeldObject(Held):
    """A lease object that this process put."""

    def __init__(
        self, objects: Objects, key: str, etag: str | None, lease: Lease, **how: Any
    ) -> None:
        super().__init__(lease, **how)
        self._objects = objects
        self._key = key
        self._etag = etag

    def _renewed(self) -> Lease | None:
        lease = self._lease
        while True:
            renewed = replace(lease, expires=self._ttl)
            try:
                self._etag = self._objects.put_if(
                    self._key, renewed.to_json(), etag=self._etag, must_be_conditional=True
                )
                return renewed
            except _OTHERS:
                # Whoever wants it has marked it, or it was taken over.
                found, self._etag, _ = read_lease(self._objects, self._key)
                if not self._is_mine(found):
                    return found
                assert found is not None
                lease = found

    def _forget(self) -> None:
        if self._clock() - self._renewed_at > self._ttl / 2:
            self.check(now=True)  # It may have run out: what is deleted must be our own.
        self._objects.delete(self._key)


def read_lease(objects: Objects, key: str) -> tuple[Lease | None, str | None, float]:
    """Give the lease that is there, its object's ETag, and the seconds until it runs out."""
    got = objects.get(key)
    if got is None:
        return None, None, 0.0
    lease = Lease.from_json(got.body)
    left = lease.expires - (got.age_seconds or 0.0) if lease is not None else 0.0
    return lease, got.etag, left
