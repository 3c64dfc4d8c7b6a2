# SPDX-License-Identifier: Apache-2.0
"""What goes into an object that is made from others: whole copies, joined objects, appended bytes.

Asks for the sources, has their parts planned (:mod:`libcloud_s3mpu.protocol.copyplan`), and takes
the shortest way: one ``PUT`` where a single part would be streamed, else :mod:`.assembly`. Which
headers the new object gets is decided at the door.
"""

from __future__ import annotations

import time
from typing import Any
from functools import partial
from dataclasses import replace
from collections.abc import Iterator, Sequence

from .put import put_whole
from .intake import Intake
from .resume import etag_there
from .attempt import Sender
from .outcome import UploadResult, uploaded
from .assembly import Way, Lane, Assembly
from .copyjobs import Blocks, Source, FindJob, body_of, read_range
from .splitter import open_source
from ..protocol import wire
from ..protocol.limits import MIB
from ..protocol.copying import CopySource
from ..protocol.copyplan import Piece, PlannedPart, planned
from ..protocol.partsize import DEFAULT_UNIFORM_PART_SIZE

#: Bytes of the caller's that follow streamed ones, gathered at once.
GATHERED = MIB


def find_sources(asked: Sequence[tuple[Sender, CopySource]], way: Way) -> list[Source]:
    """Ask for all sources, several at a time; one that is named twice is asked for once."""
    lane = Lane(way)
    jobs: dict[tuple[Any, ...], FindJob] = {}
    how: Any = {"policy": way.options.retry, "stop": lane.window, "budget": None}
    keys = [(id(at), it.bucket, it.key, it.version_id, it.etag) for at, it in asked]
    try:
        for key, (sender, source) in zip(keys, asked, strict=True):
            if key not in jobs:
                jobs[key] = FindJob(sender, source, **how)
                lane.send(jobs[key], lambda job: None)
        lane.drain(lambda job: None)
    finally:
        lane.window.cancel()
        for job in lane.waiting:
            job.cut()
        lane.window.close()
    found = {key: job.found for key, job in jobs.items()}
    return [
        Source(found=it, sender=sender)
        for key, (sender, _) in zip(keys, asked, strict=True)
        if (it := found[key]) is not None
    ]


def joined(
    way: Way,
    target: wire.Target,
    sources: list[Source],
    *,
    can_copy: Sequence[bool],
) -> UploadResult:
    """Make an object of all bytes of ``sources``, in their order.

    :param can_copy: whether the target's service can copy parts of each of them.
    :raises SourceSizeError: (a ValueError) if they cannot be joined within the limits; nothing was
        sent.
    :raises SourceChangedError: if one changed meanwhile; nothing was written.
    """
    sizes = [source.found.size for source in sources]
    parts = planned(
        sizes,
        way.limits,
        where=f"{target.bucket}/{target.key}",
        part_size=way.options.part_size_bytes,
        can_copy=can_copy,
    )
    is_one = len(parts) <= 1 and not any(part.is_copied for part in parts)
    if is_one and sum(sizes) <= way.limits.max_single_put:
        return _put(way, target, parts, sources)
    return Assembly(way=way, target=target, sources=sources, parts=parts).run()


def _put(
    way: Way, target: wire.Target, parts: Sequence[PlannedPart], sources: list[Source]
) -> UploadResult:
    """Make a small object by one ``PUT`` of bytes that are read from the sources."""
    began = time.monotonic()
    policy = way.options.retry
    pieces = parts[0].pieces if parts else ()
    blocks = Blocks(pieces, sources, partial(read_range, policy))
    size = sum(piece.size for piece in pieces)
    body = body_of(blocks, size, most=way.most_in_memory, directory=way.options.spool_directory)
    try:
        stored = put_whole(way.sender, target, body, check=way.check, policy=policy)
    finally:
        body.release()
    etag = stored.etag or etag_there(way.sender, target)
    return uploaded(stored, size=size, etag=etag, part_size=size, began=began)


# -- append --------------------------------------------------------------------------------------


class Append:
    """An object's bytes and then a caller's: which of the first the service copies.

    :ivar head: parts that it copies; where there are none, :meth:`chained` is all that is needed.
    """

    def __init__(self, way: Way, source: Source, data: Any, *, can_copy: bool) -> None:
        self._way = way
        self._source = source
        self._data = data
        splitter = open_source(data)
        known = way.options.size_bytes if way.options.size_bytes is not None else splitter.length
        size = source.found.size
        self._part_size = way.options.part_size_bytes
        if way.limits.uniform_parts and self._part_size is None:
            # All parts have the size that these have, however much follows.
            least = max(DEFAULT_UNIFORM_PART_SIZE, way.limits.min_part_size)
            fitting = -(-(size + (known or 0)) // way.limits.max_parts // MIB) * MIB
            self._part_size = min(max(least, fitting), way.limits.max_part_size)
        self.head = self._copied(size) if can_copy else []
        self._copied_size = sum(part.size for part in self.head)

    def _copied(self, size: int) -> list[PlannedPart]:
        """Plan the parts of the object that stay parts when something follows them."""
        limits = self._way.limits
        where = f"{self._source.found.source.bucket}/{self._source.found.source.key}"
        plan = planned([size], limits, where=where, part_size=self._part_size)
        if limits.uniform_parts:
            return [part for part in plan if part.is_copied and part.size == self._part_size]
        return [part for part in plan if part.is_copied and part.size >= limits.min_part_size]

    @property
    def rest(self) -> int:
        """Bytes of the object that go through the client, in front of the caller's."""
        return self._source.found.size - self._copied_size

    def chained(self) -> Any:
        """Give the source of what is not copied: the object's rest, then the caller's bytes."""
        return _chained(self._rest_blocks(), self._data) if self.rest else self._data

    def _rest_blocks(self) -> Blocks:
        policy = self._way.options.retry
        piece = Piece(0, self._copied_size, self.rest)
        return Blocks((piece,), [self._source], partial(read_range, policy))

    def options(self) -> Any:
        """Give the options of the upload of :meth:`chained`: announced lengths grow by the rest."""
        options = self._way.options

        def grown(size: int | None) -> int | None:
            return None if size is None else size + self.rest

        return replace(
            options,
            size_bytes=grown(options.size_bytes),
            size_hint_bytes=grown(options.size_hint_bytes),
            part_size_bytes=self._part_size,
        )

    def run(self, target: wire.Target) -> UploadResult:
        """Copy the head and upload what follows it, as one object.

        :raises CopyUnsupportedError: if the service copies no parts; nothing of the caller's bytes
            was read.
        """
        limits = self._way.limits
        tail = Intake(
            self.chained(),
            options=self.options(),
            limits=replace(
                limits,
                max_parts=max(1, limits.max_parts - len(self.head)),
                max_object_size=limits.max_object_size - self._copied_size,
            ),
            where=f"{target.bucket}/{target.key}",
        )
        return Assembly(
            way=self._way,
            target=target,
            sources=[self._source],
            parts=self.head,
            tail=tail,
        ).run()


def _chained(first: Blocks, data: Any) -> Iterator[Any]:
    splitter = open_source(data)
    try:
        yield from first
        while buffers := splitter.take(GATHERED):
            yield from buffers
    finally:
        splitter.close()
