# SPDX-License-Identifier: Apache-2.0
"""The bytes of finished uploads: ranges of objects, pinned to the ETag that was seen first."""

from __future__ import annotations

from collections.abc import Iterator

from .state import Store
from .record import Record
from ..protocol import copying
from ..transfer.copy import find_source
from ..protocol.limits import MIB
from ..protocol.copying import CopySource, FoundSource
from ..transfer.attempt import retried

#: Bytes of one request; what a reader has in memory.
BLOCK = 8 * MIB


def found_object(store: Store, record: Record) -> FoundSource:
    """Give the object of a finished upload, pinned.

    :raises ObjectMissingError: if somebody removed it.
    """
    objects = store.objects
    source = CopySource(bucket=objects.bucket, key=record.key)
    return find_source(objects.sender, source, policy=objects.policy)


def read_piece(store: Store, found: FoundSource, first: int, size: int) -> bytes:
    """Give ``size`` bytes from offset ``first``."""
    objects = store.objects
    request = copying.range_request(found.source, first=first, size=size)
    return retried(
        lambda _: copying.range_result(
            request, objects.sender.call(request), first=first, size=size
        ),
        policy=objects.policy,
        sender=objects.sender,
    )


def read_range(store: Store, record: Record, start: int, end: int) -> Iterator[bytes]:
    """Yield the bytes from ``start`` up to ``end``, piece by piece."""
    if start == end:
        return
    found = found_object(store, record)
    while start < end:
        size = min(BLOCK, end - start)
        yield read_piece(store, found, start, size)
        start += size
