# SPDX-License-Identifier: Apache-2.0
"""Finished uploads joined into one: the service copies ranges, small neighbours are packed.

Which part is made of what is decided first (:mod:`..protocol.copyplan`), so that what cannot be is
refused before anything is sent. A part is one range that the service copies, or a few pieces that
pass through this process, of the smallest part's size or little more.
"""

from __future__ import annotations

import logging
from typing import Any
from dataclasses import replace
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
from ..protocol.errors import SourceSizeError, CompletionUnknownError
from ..transfer.single import upload_part
from ..transfer.window import Window
from ..protocol.copying import FoundSource, CopyUnsupportedError
from ..protocol.session import State, UploadedPart, UploadSession
from ..protocol.copyplan import Piece, PlannedPart, planned
from ..transfer.complete import complete_upload

log = logging.getLogger("libcloud_s3mpu.resumable")


def _planned(store: Store, driver: Any, sizes: Sequence[int], *, copies: bool) -> list[PlannedPart]:
    """Decide which part is made of what.

    :param copies: whether the service copies; if not, all bytes pass through here.
    :raises UploadTooLargeError: if they do not fit into one object.
    """
    options = store.options
    limits = replace(
        driver.ex_limits,
        min_part_size=options.min_part_size,
        max_part_size=options.max_part_size,
        max_parts=options.max_multipart_parts,
        uniform_parts=options.equal_parts,
    )
    can_copy = copies and limits.has_part_copy
    part = None if can_copy else store.sizes.full(1, 0, sum(sizes))
    try:
        return planned(sizes, limits, where="their join", part_size=part, can_copy=can_copy)
    except SourceSizeError as error:
        raise UploadTooLargeError(f"the uploads make too many parts: {error.value}") from error


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
    """Make an upload of others; on any failure nothing is left of it but what may be finished.

    A process that dies in here leaves an upload that was never heard of: :meth:`list` has it,
    :meth:`terminate` and :meth:`expire` remove it as any other.

    :raises UploadTooLargeError: if they make too many parts; nothing was sent.
    """
    sizes = [record.length or 0 for record in records]
    plans = _planned(store, driver, sizes, copies=True)
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
            log.warning(
                "bucket %s cannot copy parts: the uploads pass through this process",
                store.objects.bucket,
            )
            plans = _planned(store, driver, sizes, copies=False)
            parts = _made(store, kept.record, found, plans)
        return _completed(store, kept, parts)
    except CompletionUnknownError:
        raise  # The object may be there: its record is how it is found, and removed.
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
    store: Store, record: Record, found: Sequence[FoundSource | None], plans: Sequence[PlannedPart]
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
        for plan in plans:
            cost = 0 if plan.is_copied else plan.size
            while not window.reserve(cost):
                collect()
            if failed is not None:
                window.release(cost)
                break
            window.submit(_Job(_maker(store, record, found, plan), cost))
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
    plan: PlannedPart,
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
            part_number=plan.part_number,
            first=piece.first,
            size=piece.size,
            policy=store.objects.policy,
        )

    def packed() -> UploadedPart:
        pieces = [read_piece(store, source_of(p), p.first, p.size) for p in plan.pieces]
        return _part_of(store, record, plan.part_number, b"".join(pieces))

    return copied if plan.is_copied else packed


def _part_of(store: Store, record: Record, number: int, data: bytes) -> UploadedPart:
    return upload_part(
        store.objects.sender,
        store.target(record),
        upload_id=record.upload_id,
        part_number=number,
        data=data,
        check=store.check_of(record),
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
        check=store.check_of(record),
        policy=store.objects.policy,
    )
    finished = replace(record, state="finished", etag=store.etag_of(record, stored))
    return store.noted(replace(kept, record=finished))
