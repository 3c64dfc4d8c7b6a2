# SPDX-License-Identifier: Apache-2.0
"""Finished uploads joined into one: the service copies ranges, small neighbours are packed.

Which part is made of what is decided first (:func:`planned`), so that what cannot be is refused
before anything is sent. A part is one range that the service copies, or a few pieces that pass
through this process, of the smallest part's size or little more.
"""

from __future__ import annotations

import logging
from typing import Any
from dataclasses import replace, dataclass
from collections.abc import Mapping, Sequence

from libcloud.storage.base import Container

from .state import Kept, Store
from .create import undo, begin
from .errors import UploadTooLargeError
from .record import Record
from .reading import read_piece, found_object
from ..protocol import wire
from ..transfer.copy import upload_part_copy
from ..transfer.pace import Pace
from ..protocol.limits import MIB
from ..transfer.single import upload_part
from ..transfer.window import Window
from ..protocol.copying import FoundSource, CopyUnsupportedError
from ..protocol.session import State, UploadedPart, UploadSession
from ..transfer.complete import complete_upload

log = logging.getLogger("libcloud_s3mpu.resumable")

#: Bytes that one request asks the service to copy, where the part numbers suffice: it copies
#: several ranges at once, and a request that takes minutes runs into time-outs on the way.
COPY_BYTES = 256 * MIB


@dataclass(frozen=True, slots=True)
class Piece:
    """A range of one of the sources."""

    source: int
    first: int
    size: int


@dataclass(frozen=True, slots=True)
class Plan:
    """One part: copied by the service if it is a single large piece, else packed here."""

    pieces: tuple[Piece, ...]
    is_copied: bool

    @property
    def size(self) -> int:
        return sum(piece.size for piece in self.pieces)


def planned(
    sizes: Sequence[int], *, minimum: int, most: int, max_parts: int, copies: bool = True
) -> list[Plan]:
    """Cut sources of these sizes into parts; every part but the last has at least ``minimum``.

    :param most: the largest piece in bytes; larger ones only where ``max_parts`` asks for it.
    :param copies: whether the service can copy; if not, all pieces pass through here.
    :raises UploadTooLargeError: if there are too many.
    """
    total = sum(sizes)
    most = max(most, -(-total // max(1, max_parts // 2)), minimum)
    plans: list[Plan] = []
    waiting: list[Piece] = []

    def held() -> int:
        return sum(piece.size for piece in waiting)

    def flush() -> None:
        if waiting:
            plans.append(Plan(tuple(waiting), is_copied=False))
            waiting.clear()

    for number, size in enumerate(sizes):
        first, left = 0, size
        while left:
            if copies and not waiting and left >= minimum:
                count = -(-left // most)
                taken = -(-left // count)
                plans.append(Plan((Piece(number, first, taken),), is_copied=True))
            else:
                taken = min(left, minimum - held() if copies else most - held())
                waiting.append(Piece(number, first, taken))
                if held() >= (minimum if copies else most):
                    flush()
            first, left = first + taken, left - taken
    flush()
    if len(plans) > max_parts:
        raise UploadTooLargeError(
            f"the uploads make {len(plans)} parts; one object has at most {max_parts}"
        )
    return plans


def join(
    store: Store,
    driver: Any,
    container: Container,
    records: Sequence[Record],
    *,
    name: str,
    metadata: Mapping[str, bytes | str],
    key: str | None,
    extra: Mapping[str, Any] | None,
) -> Kept:
    """Make an upload of others; on any failure nothing is left of it.

    :raises UploadTooLargeError: if they make too many parts; nothing was sent.
    """
    sizes = [record.length or 0 for record in records]
    options = store.options
    how: dict[str, Any] = {
        "minimum": options.min_part_size,
        "max_parts": options.max_multipart_parts,
    }
    most_copied = min(COPY_BYTES, options.max_part_size)
    if options.equal_parts:
        # Equal parts begin anywhere in the sources: they can only be packed.
        copies, plans = False, planned(sizes, most=options.preferred_part_size, copies=False, **how)
    else:
        copies, plans = True, planned(sizes, most=most_copied, **how)
    found = [found_object(store, record) if record.length else None for record in records]
    kept = begin(
        store,
        driver,
        container,
        name=name,
        length=sum(sizes),
        metadata=metadata,
        key=key,
        extra=extra,
        parts_of=tuple(record.id for record in records),
    )
    target = store.target(kept.record)
    try:
        try:
            parts = _made(store, kept.record, found, plans)
        except CopyUnsupportedError:
            if not copies:
                raise
            log.warning(
                "bucket %s cannot copy parts: the uploads pass through this process",
                store.objects.bucket,
            )
            plans = planned(sizes, most=options.preferred_part_size, copies=False, **how)
            parts = _made(store, kept.record, found, plans)
        return _completed(store, kept, parts)
    except BaseException as error:
        undo(store, target, kept.record.upload_id, error)
        try:
            store.objects.delete(store.side_key(name, "info"))
        except Exception as second:
            log.warning("the record of %s was left over: %s", name, second)
        raise


class _Job:
    """One part on its way, for the window; it does not judge what failed."""

    def __init__(self, make: Any, cost: int) -> None:
        self._make = make
        self.cost = cost
        self.size = cost
        self.error: BaseException | None = None
        self.is_finished = False
        self.wall_seconds = 0.0
        self.cpu_seconds = 0.0
        self.throttled = 0
        self.part: UploadedPart | None = None

    def run(self) -> None:
        self.part = self._make()


def _made(
    store: Store, record: Record, found: Sequence[FoundSource | None], plans: Sequence[Plan]
) -> list[UploadedPart]:
    """Make all parts, several at once; the first failure ends it after those under way."""
    options = store.options
    window = Window(
        budget_bytes=options.budget_bytes, ceiling=options.workers, pace=Pace(), name="s3mpu-join"
    )
    parts: list[UploadedPart] = []
    failed: BaseException | None = None

    def collect() -> None:
        nonlocal failed
        for job in window.collect():
            failed = failed or job.error
            if job.part is not None:
                parts.append(job.part)

    try:
        for number, plan in enumerate(plans, 1):
            cost = 0 if plan.is_copied else plan.size
            while not window.reserve(cost):
                collect()
            if failed is not None:
                window.release(cost)
                break
            window.submit(_Job(_maker(store, record, found, plan, number), cost))
        while window.in_flight:
            window.wait()
            collect()
        collect()
    finally:
        window.cancel()
        window.close()
    if failed is not None:
        raise failed
    if not plans:
        parts.append(_part_of(store, record, 1, b""))
    return sorted(parts, key=lambda part: part.part_number)


def _maker(
    store: Store,
    record: Record,
    found: Sequence[FoundSource | None],
    plan: Plan,
    number: int,
) -> Any:
    def source_of(piece: Piece) -> FoundSource:
        source = found[piece.source]
        assert source is not None
        return source

    def copied() -> UploadedPart:
        (piece,) = plan.pieces
        return upload_part_copy(
            store.objects.sender,
            store.target(record),
            source_of(piece),
            upload_id=record.upload_id,
            part_number=number,
            first=piece.first,
            size=piece.size,
            policy=store.objects.policy,
        )

    def packed() -> UploadedPart:
        pieces = [read_piece(store, source_of(p), p.first, p.size) for p in plan.pieces]
        return _part_of(store, record, number, b"".join(pieces))

    return copied if plan.is_copied else packed


def _part_of(store: Store, record: Record, number: int, data: bytes) -> UploadedPart:
    return upload_part(
        store.objects.sender,
        store.target(record),
        upload_id=record.upload_id,
        part_number=number,
        data=data,
        check=store.check,
        policy=store.objects.policy,
    )


def _completed(store: Store, kept: Kept, parts: Sequence[UploadedPart]) -> Kept:
    record = kept.record
    session = UploadSession(
        container=store.objects.bucket,
        object_name=record.key,
        upload_id=record.upload_id,
        state=State.OPEN,
    )
    target: wire.Target = store.target(record)
    stored = complete_upload(
        session=session,
        sender=store.objects.sender,
        target=target,
        parts=parts,
        size=record.length or 0,
        check=store.check,
        policy=store.objects.policy,
    )
    etag = stored.etag
    if etag is None:
        head = store.objects.head(record.key)
        etag = head.etag if head is not None else None
    finished = replace(record, state="finished", etag=etag)
    return store.noted(replace(kept, record=finished))
