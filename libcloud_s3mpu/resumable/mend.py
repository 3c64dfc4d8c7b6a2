# SPDX-License-Identifier: Apache-2.0
"""An upload one of whose parts was replaced goes on from before it.

A process that is stopped in the middle of a part (a machine that sleeps, a paused container) sends
the rest of it when it wakes up. If its lease ran out meanwhile, another writer may have sent a part
of that number and counted it, and S3 keeps the one that came last. No lock can prevent that; so
each part that counts is known again by its mark in the record, and what is behind the first one
that is another now is given up: the client is told the smaller offset, and sends it again.
"""

from __future__ import annotations

import logging

from .lease import Lock
from .state import Kept, Store, forget_tail
from .record import unchanged
from ..protocol.errors import UploadMissingError

log = logging.getLogger("libcloud_s3mpu.resumable")


def mended(store: Store, kept: Kept, lock: Lock) -> Kept:
    """Give an upload as far as its parts are those that were acknowledged; commit that.

    :raises UploadDamagedError: if parts are missing, none replaced: the listing may come late.
    """
    record = kept.record
    try:
        listed, _ = store.listed_prefix(record)
    except UploadMissingError as error:
        return store.settled(kept, error)
    good = unchanged(record, listed)
    if good is record:
        return kept
    if good.parts == len(listed):
        raise store.damaged(record, f"{good.parts} of {record.parts} are listed")
    log.warning(
        "upload %s: part %d was replaced by a writer that had lost its lock; of %d bytes %d are as "
        "they were",
        record.id,
        good.parts + 1,
        record.offset,
        good.offset,
    )
    kept = store.commit(kept, good, lock)
    if record.tail is not None:
        forget_tail(store, record)
    return kept
