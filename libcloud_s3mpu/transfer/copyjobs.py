# SPDX-License-Identifier: Apache-2.0
"""The jobs of a copy: a part the service copies, one whose bytes pass through here, a question.

Each is a :class:`~.attempt.Job`, run by a worker or by the calling thread, with its own retries.
Which parts there are is said by :mod:`libcloud_s3mpu.protocol.copyplan`, and what a failure means
by :mod:`.copy`.
"""

from __future__ import annotations

from typing import Any
from dataclasses import dataclass
from collections.abc import Callable, Iterator

from .spool import MemoryBody, spool_to_file
from .attempt import Job, Sender, retried
from ..protocol import wire, copying
from ..protocol.retry import RetryPolicy
from ..protocol.limits import MIB
from ..protocol.copying import CopySource, FoundSource
from ..protocol.copyplan import Piece, PlannedPart
from ..protocol.integrity import BodyCheck, digests_of

#: Bytes of one ranged read: an answer is held whole, beside the part that it goes into.
READ_BLOCK = 5 * MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A source that was found, and who reads it: another service's transport than the target's."""

    found: FoundSource
    sender: Sender


class FindJob(Job):
    """Ask for one source; ``found`` is what HEAD said."""

    def __init__(self, sender: Sender, source: CopySource, **how: Any) -> None:
        super().__init__(size=1, cost=0, **how)
        self._sender = sender
        self._source = source
        self.found: FoundSource | None = None

    def _work(self) -> None:
        request = copying.head_source_request(self._source)
        self.found = self._retried(
            lambda: copying.head_source_result(
                request, self._call(self._sender, request), self._source
            ),
            self._sender,
        )


class CopyPartJob(Job):
    """A part that the service copies by itself; it holds no memory to speak of."""

    def __init__(
        self,
        *,
        sender: Sender,
        target: wire.Target,
        upload_id: str,
        part: PlannedPart,
        found: FoundSource,
        **how: Any,
    ) -> None:
        super().__init__(size=part.size, cost=0, **how)
        self._sender = sender
        piece = part.pieces[0]
        self._request = copying.copy_part_request(
            target,
            found.source,
            upload_id=upload_id,
            part_number=part.part_number,
            first=None if piece.size == found.size else piece.first,
            size=piece.size,
        )

    def _work(self) -> None:
        request, size = self._request, self.size
        self.result = self._retried(
            lambda: copying.copy_part_result(request, self._call(self._sender, request), size=size),
            self._sender,
        )


class RelayJob(Job):
    """A part whose bytes are read from their sources and sent on.

    :param most_in_memory: a larger part waits in a temporary file.
    """

    def __init__(
        self,
        *,
        sender: Sender,
        target: wire.Target,
        upload_id: str,
        part: PlannedPart,
        sources: list[Source],
        check: BodyCheck,
        most_in_memory: int,
        spool_directory: str | None,
        **how: Any,
    ) -> None:
        super().__init__(size=part.size, cost=min(part.size, most_in_memory), **how)
        self._sender = sender
        self._target = target
        self._upload_id = upload_id
        self._part = part
        self._sources = sources
        self._check = check
        self._most_in_memory = most_in_memory
        self._spool_directory = spool_directory
        self._body: Any = None

    def _work(self) -> None:
        blocks = Blocks(self._part.pieces, self._sources, self._read)
        self._body = body_of(
            blocks, self.size, most=self._most_in_memory, directory=self._spool_directory
        )
        digests = digests_of(self._body, self._check)
        request = wire.upload_part_request(
            self._target,
            upload_id=self._upload_id,
            part_number=self._part.part_number,
            body=self._body,
            digests=digests,
        )
        self.result = self._retried(
            lambda: wire.upload_part_result(request, self._call(self._sender, request), digests),
            self._sender,
        )

    def _read(self, source: Source, first: int, size: int) -> bytes:
        request = copying.range_request(source.found.source, first=first, size=size)
        data: bytes = self._retried(
            lambda: copying.range_result(
                request, self._call(source.sender, request), first=first, size=size
            ),
            source.sender,
        )
        return data

    def release(self) -> None:
        super().release()
        if self._body is not None:
            self._body.release()


class Blocks:
    """The bytes of some pieces, read range by range as they are asked for.

    :param read: called with a source, an offset in it and a number of bytes, at most
        :data:`READ_BLOCK`.
    """

    def __init__(
        self,
        pieces: tuple[Piece, ...],
        sources: list[Source],
        read: Callable[[Source, int, int], bytes],
    ) -> None:
        self._pieces = list(pieces)
        self._sources = sources
        self._read = read

    def take(self, size: int) -> list[Any]:
        """Read up to ``size`` bytes; fewer only at the end."""
        buffers: list[Any] = []
        while size and self._pieces:
            piece = self._pieces[0]
            taken = min(size, piece.size, READ_BLOCK)
            buffers.append(self._read(self._sources[piece.source], piece.first, taken))
            rest = Piece(piece.source, piece.first + taken, piece.size - taken)
            self._pieces[:1] = [rest] if rest.size else []
            size -= taken
        return buffers

    def __iter__(self) -> Iterator[bytes]:
        while buffers := self.take(READ_BLOCK):
            yield from buffers


def body_of(blocks: Blocks, size: int, *, most: int, directory: str | None) -> Any:
    """Give the body of a part, in memory or, above ``most`` bytes, in a temporary file."""
    if size > most:
        return spool_to_file(blocks.take, size, directory=directory)
    return MemoryBody(blocks.take(size), size)


def read_range(policy: RetryPolicy, source: Source, first: int, size: int) -> bytes:
    """Read a range of a source, in the calling thread and with retries."""
    request = copying.range_request(source.found.source, first=first, size=size)
    return retried(
        lambda _: copying.range_result(
            request, source.sender.call(request), first=first, size=size
        ),
        policy=policy,
        sender=source.sender,
    )
