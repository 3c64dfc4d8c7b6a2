# SPDX-License-Identifier: Apache-2.0
"""Uploads whose time is over, and what processes that died left behind: found and removed.

Nothing outside the two prefixes is looked at, and nothing that is being written is touched.
"""

from __future__ import annotations

import logging
from datetime import timezone
from collections.abc import Iterator

from .lease import Locker
from .state import Kept, Store
from .verbs import Listed, moment
from .errors import UploadLockedError, UploadVersionError, UploadNotFoundError
from .finish import remove
from .record import name_of
from ..protocol import wire
from ..transfer.single import iterate_uploads
from ..protocol.listing import PendingUpload
from ..transfer.cleanup import abort_upload

log = logging.getLogger("libcloud_s3mpu.resumable")

#: Age in seconds below which something without a record is left alone: it may be about to get one.
ORPHAN_SECONDS = 86_400.0
#: Age below which the lock of an upload that is kept is left alone, whatever is asked: it may be
#: held. Held ones are renewed within seconds.
LOCK_SECONDS = 3_600.0
_SIDES = (".part", ".lock")


def iterate(store: Store) -> Iterator[Kept]:
    """Yield every record below the metadata prefix; what is no record is passed over."""
    for listed in store.objects.list(store.options.metadata_object_prefix):
        name = _name(store, listed, ".info")
        if name is None:
            continue
        try:
            kept = _found(store, name)
        except UploadVersionError as error:
            log.warning("passed over: %s", error)
            continue
        if kept is not None:
            yield kept


def _found(store: Store, name: str) -> Kept | None:
    """Give a record; None for what is none.

    :raises UploadVersionError: if it cannot be read here.
    :raises AccessDeniedError: if it may not be: it is there, since it was listed.
    """
    try:
        kept = store.find(name)
        if kept is not None and name_of(kept.record.id) == name:
            return kept
    except UploadNotFoundError as error:
        log.info("%s.info is no record: %s", name, error)
    return None


def _name(store: Store, listed: Listed, end: str) -> str | None:
    key = listed.key
    if not key.endswith(end):
        return None
    return key[len(store.options.metadata_object_prefix) : -len(end)] or None


def expire(store: Store, locker: Locker, *, older_than: float | None) -> int:
    """Remove what is over; gives how many uploads that were."""
    began = store.clock()  # What is begun from here on may have a record that was not listed.
    removed = 0
    used: set[str] | None = set()
    tails: set[str] = set()
    locks: set[str] = set()
    unread: list[str] = []
    sides: list[Listed] = []
    for listed in store.objects.list(store.options.metadata_object_prefix):
        name = _name(store, listed, ".info")
        if name is None:
            sides += [listed] if listed.key.endswith(_SIDES) else []
            continue
        try:
            kept = _found(store, name)
        except UploadVersionError as error:
            log.warning("left alone, and with it what no record names: %s", error)
            unread.append(store.side_key(name, ""))
            used = None
            continue
        if kept is None:
            continue
        if _is_over(store, kept, listed, older_than) and _removed(store, locker, kept):
            removed += 1
            continue
        if used is not None:
            used.add(kept.record.upload_id)
        locks.add(store.side_key(name, "lock"))
        tail = kept.record.tail
        tails.add(store.side_key(name, tail.kind if tail is not None else "part"))
    before = began - (ORPHAN_SECONDS if older_than is None else older_than)
    for listed in sides:
        is_kept = listed.key in tails or listed.key.startswith(tuple(unread))
        limit = min(before, began - LOCK_SECONDS) if listed.key in locks else before
        if not is_kept and _is_before(listed.modified, limit):
            store.objects.delete(listed.key)
    return removed + (_abort_orphans(store, used, before) if used is not None else 0)


def _is_over(store: Store, kept: Kept, listed: Listed, older_than: float | None) -> bool:
    record, now = kept.record, store.clock()
    if record.state == "deleted":
        return True  # Its removal was interrupted.
    if record.state == "finished" and not record.partial:
        return False
    if record.expires is not None and record.expires <= now:
        return True
    if older_than is None or record.state == "finished":
        return False
    if record.created is not None:
        return record.created <= now - older_than
    return _is_before(listed.modified, now - older_than)


def _removed(store: Store, locker: Locker, kept: Kept) -> bool:
    """Remove an upload unless somebody is at it, or it was finished meanwhile."""
    try:
        lock = locker.acquire(kept.record.name)
    except UploadLockedError:
        return False
    try:
        now = store.find(kept.record.name)
        if now is None or now.info_etag != kept.info_etag:
            return False
        if not now.record.is_ours:
            try:
                seen = store.seen(now)
            except UploadNotFoundError:
                seen = now
            if seen.record.state == "finished":
                return False
        remove(store, now)
        return True
    finally:
        lock.release()


def _abort_orphans(store: Store, used: set[str], before: float) -> int:
    """Abort uploads below the object prefix that no record names; without a prefix none at all.

    A process that died between initiating and keeping its record leaves one.
    """
    prefix, objects = store.options.object_prefix, store.objects
    if not prefix:
        return 0
    aborted = 0
    pending = iterate_uploads(
        objects.sender, objects.bucket, prefix=prefix, delimiter=None, policy=objects.policy
    )
    for found in list(pending):
        if found.upload_id in used or not _is_before(found.initiated, before):
            continue
        if _has_record(store, found):
            continue
        abort_upload(
            sender=objects.sender,
            target=wire.Target(bucket=objects.bucket, key=found.key, headers={}),
            upload_id=found.upload_id,
            policy=objects.policy,
            verifies=False,
        )
        aborted += 1
    return aborted


def _has_record(store: Store, found: PendingUpload) -> bool:
    """Tell whether a record was written since the listing."""
    name = found.key[len(store.options.object_prefix) :]
    kept = _found(store, name) if name else None
    return kept is not None and kept.record.upload_id == found.upload_id


def _is_before(text: str | None, before: float) -> bool:
    when = moment(text)
    if when is None:
        return False
    if when.tzinfo is None:
        when = when.replace(tzinfo=timezone.utc)
    return when.timestamp() <= before
