# SPDX-License-Identifier: Apache-2.0
"""The end of an upload: completed into its object, or removed with all that is beside it."""

from __future__ import annotations

import logging
from dataclasses import replace

from .mend import mended
from .lease import Lock
from .state import Kept, Store, forget_tail
from .write import Write
from .errors import FencedError, UploadDamagedError
from .record import Record
from .source import Source
from ..protocol.errors import ServiceError, AccessDeniedError, UploadMissingError
from ..transfer.single import upload_part
from ..protocol.session import State, UploadedPart, UploadSession
from ..transfer.cleanup import abort_upload
from ..transfer.complete import complete_upload

log = logging.getLogger("libcloud_s3mpu.resumable")


def complete(store: Store, kept: Kept, lock: Lock) -> Kept:
    """Make the object of an upload all of whose bytes are there; give it as finished.

    Whatever happens, a later call can go on: nothing is called finished before the object is there.
    One with a part that was replaced is given as open, with what is left of it.

    :raises UploadDamagedError: if S3 does not list all parts that were acknowledged.
    :raises CompletionUnknownError: if nobody can tell whether it took effect.
    """
    if kept.record.tail_size:
        # The length was declared after its last bytes had come: the tail is the last part.
        kept = Write(store, kept, lock, Source(b"", limit=0, lock=lock)).run()
    record = kept.record
    objects, target = store.objects, store.target(record)
    try:
        try:
            parts = store.counted_parts(record)
        except UploadDamagedError:
            found = mended(store, kept, lock)
            if found is kept:
                raise  # It was listed late, and is whole: the next call completes it.
            return found
        if not parts:
            parts = [_empty_part(store, kept)]
        lock.check()
        session = UploadSession(
            container=objects.bucket,
            object_name=record.key,
            upload_id=record.upload_id,
            state=State.OPEN,
        )
        stored = complete_upload(
            session=session,
            sender=objects.sender,
            target=target,
            parts=parts,
            check=store.check_of(record),
            policy=objects.policy,
        )
    except UploadMissingError as error:
        # Another process completed it meanwhile, or an earlier answer was lost; or it is gone.
        return store.settled(kept, error)
    except ServiceError as error:
        if error.s3_code != "InvalidPart":
            raise
        found = mended(store, kept, lock)  # One was replaced since they were listed.
        if found is kept:
            raise
        return found
    etag = store.etag_of(record, stored)
    finished = replace(record, state="finished", etag=etag, tail=None)
    kept = store.noted(replace(kept, record=finished))
    if record.tail is not None:
        forget_tail(store, record)
    return kept


def _empty_part(store: Store, kept: Kept) -> UploadedPart:
    return upload_part(
        store.objects.sender,
        store.target(kept.record),
        upload_id=kept.record.upload_id,
        part_number=1,
        data=b"",
        check=store.check_of(kept.record),
        policy=store.objects.policy,
    )


def remove(store: Store, kept: Kept) -> None:
    """Remove an upload, finished or not: first marked as deleted, so that a writer stops.

    :raises S3MultipartError: if something could not be removed; calling again goes on.
    """
    record = kept.record
    if record.state != "deleted":
        for _ in range(5):
            try:
                marked = replace(kept.record, state="deleted")
                kept = store.commit(kept, marked, None)
                break
            except FencedError:  # A writer was faster: its commit is what is marked then.
                found = store.find(record.name)
                if found is None:
                    return
                kept = found
    objects = store.objects
    if record.etag is None:  # Finished ones have no parts; Swift lists them all the same.
        abort_upload(
            sender=objects.sender,
            target=store.target(record),
            upload_id=record.upload_id,
            policy=objects.policy,
            verifies=True,
        )
    objects.delete(record.key)
    for key in _sides(store, record):
        objects.delete(key)
    objects.delete(store.side_key(record.name, "info"))  # Last: what is left can be found by it.


def _sides(store: Store, record: Record) -> list[str]:
    """Give the keys of what is beside the record; without the right to list, those it names."""
    ends = (".part", ".lock")
    try:
        listed = list(store.objects.list(store.side_key(record.name, "")))
        return [each.key for each in listed if each.key.endswith(ends)]
    except AccessDeniedError:
        kinds = {"part", "lock"} | ({record.tail.kind} if record.tail is not None else set())
        return [store.side_key(record.name, kind) for kind in sorted(kinds)]
