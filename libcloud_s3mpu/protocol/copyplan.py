# SPDX-License-Identifier: Apache-2.0
"""Which parts an object is made of that is joined from others: a pure function of their sizes.

The service copies what is large enough for a part; small neighbours, and the few bytes that a
neighbour lacks, go through the client in parts of at least the smallest size. What comes out obeys
the limits, or is an error before anything is sent. How parts are sent is
:mod:`libcloud_s3mpu.transfer.copy`'s business.
"""

from __future__ import annotations

from dataclasses import replace, dataclass
from collections.abc import Iterator, Sequence

from .errors import SourceSizeError, InvalidRequestError
from .limits import MIB, Limits
from .partsize import DEFAULT_PART_SIZE, PartSchedule, part_schedule

#: Most bytes of a copied part unless the caller chose. At 20 in flight parts of 5 to 64 MiB take
#: the same time (Ceph 16, 1 GiB, seen 2026-11: 2.0 to 2.5 s): few requests, and a short last round.
MAX_COPIED_PART = 32 * MIB
#: A copy is cut into at least so many parts where they stay large enough: four rounds of 20.
WANTED_PARTS = 80


@dataclass(frozen=True, slots=True)
class Piece:
    """``size`` bytes from offset ``first`` of source number ``source`` (from 0)."""

    source: int
    first: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedPart:
    """One part; ``is_copied`` by the service, which takes a single piece, or else streamed."""

    part_number: int
    pieces: tuple[Piece, ...]
    is_copied: bool

    @property
    def size(self) -> int:
        return sum(piece.size for piece in self.pieces)


def copied_part_size(limits: Limits, *, part_size: int | None, size: int) -> int:
    """Give the part size in bytes of a copy of ``size`` bytes, by the rules of :mod:`.partsize`.

    :raises ValueError: if ``part_size`` or ``size`` is outside the limits.
    """
    if part_size is None:
        wanted = -(-size // WANTED_PARTS // MIB) * MIB
        wanted = min(max(DEFAULT_PART_SIZE, wanted), MAX_COPIED_PART)
        part_size = min(max(limits.min_part_size, wanted), limits.max_part_size)
    equal = replace(limits, uniform_parts=True)
    return part_schedule(equal, part_size=part_size, size=size).base


def planned(
    sizes: Sequence[int],
    limits: Limits,
    *,
    where: str,
    part_size: int | None = None,
    can_copy: bool | Sequence[bool] = True,
) -> list[PlannedPart]:
    """Give the parts of the object that the sources make, in their order; none for no bytes.

    :param sizes: of the sources, in bytes.
    :param where: the object's name, for the error.
    :param can_copy: whether the service copies parts (of each source); else all is streamed.
    :raises SourceSizeError: (a ValueError) if they cannot be joined within the limits.
    """
    total = sum(sizes)
    copies = [can_copy] * len(sizes) if isinstance(can_copy, bool) else list(can_copy)
    try:
        if any(copies):
            part = copied_part_size(limits, part_size=part_size, size=total)
            schedule = PartSchedule(part, limits.max_part_size, limits.max_parts)
        else:
            schedule = part_schedule(limits, part_size=part_size, size=total)
        if schedule.reach < total:
            raise ValueError(f"{total} bytes do not fit into {limits.max_parts} parts")
    except InvalidRequestError:
        raise
    except ValueError as error:
        raise SourceSizeError(f"{where} cannot be made: {error}") from error
    if any(copies) and not limits.uniform_parts:
        parts = _fewest(sizes, copies, limits, part=schedule.base)
        # A largest part hardly larger than the smallest leaves no choice but equal parts.
        if _is_legal(parts, limits):
            return parts
    return list(_cut(sizes, copies, schedule, limits))


def _is_copyable(piece: Piece, size: int, limits: Limits) -> bool:
    """S3 takes no range of an object that is not larger than the smallest part."""
    return piece.size == size or size > limits.min_part_size


def _cut(
    sizes: Sequence[int], copies: Sequence[bool], schedule: PartSchedule, limits: Limits
) -> Iterator[PlannedPart]:
    """Cut the joined bytes where the schedule says: a part may be of several pieces then."""
    number, pieces, room = 1, list[Piece](), schedule.size_of(1)

    def part() -> PlannedPart:
        one = pieces[0]
        is_copied = copies[one.source] and _is_copyable(one, sizes[one.source], limits)
        return PlannedPart(
            part_number=number, pieces=tuple(pieces), is_copied=len(pieces) == 1 and is_copied
        )

    for source, size in enumerate(sizes):
        first = 0
        while first < size:
            if not room:
                yield part()
                number, pieces = number + 1, []
                room = schedule.size_of(number)
            taken = min(room, size - first)
            pieces.append(Piece(source, first, taken))
            first += taken
            room -= taken
    if pieces:
        yield part()


def _fewest(
    sizes: Sequence[int], copies: Sequence[bool], limits: Limits, *, part: int
) -> list[PlannedPart]:
    """Pack what is smaller than a part; while that makes too many parts, pack larger ones too."""
    least = limits.min_part_size
    while True:
        packed = _Packing(sizes, copies, limits, least=least, part=max(part, least)).parts()
        if len(packed) <= limits.max_parts or least >= limits.max_part_size:
            return packed
        least = min(2 * least, limits.max_part_size)


class _Packing:
    """The parts of one plan, while they are made.

    :param least: smallest part in bytes but for the last; sources below it are packed.
    :param part: size of the parts that a large source is copied in.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        copies: Sequence[bool],
        limits: Limits,
        *,
        least: int,
        part: int,
    ) -> None:
        self._sizes = sizes
        self._copies = copies
        self._limits = limits
        self._least = least
        self._part = part
        self._parts: list[PlannedPart] = []
        #: Pieces too small for a part of their own, and their bytes.
        self._loose: list[Piece] = []
        self._loose_size = 0

    def parts(self) -> list[PlannedPart]:
        for source, size in enumerate(self._sizes):
            if not size:
                continue
            if self._copies[source]:
                self._take(source, size)
            else:
                self._stream(source, 0, size)
        self._end()
        return self._parts

    def _take(self, source: int, size: int) -> None:
        """Copy a source, but for the bytes that its small neighbour before it lacks."""
        lacks = self._least - self._loose_size if self._loose else 0
        left = size - lacks
        if left < self._least and self._loose_size + size <= self._limits.max_part_size:
            lacks = size  # Too small, or too small once something is taken from it.
        lacks = min(lacks, size)
        self._stream(source, 0, lacks)
        if lacks < size:
            self._copy(source, lacks, size - lacks)

    def _stream(self, source: int, first: int, size: int) -> None:
        """Add bytes to the part that is streamed; it goes as soon as it is large enough."""
        while size:
            taken = min(size, self._limits.max_part_size - self._loose_size)
            if taken > 2 * self._least:
                taken = max(1, self._least - self._loose_size)
            self._loose.append(Piece(source, first, taken))
            self._loose_size += taken
            first, size = first + taken, size - taken
            if self._loose_size >= self._least:
                self._flush(is_copied=False)

    def _copy(self, source: int, first: int, size: int) -> None:
        """Cut a range into copied parts; the last one takes up to twice the size."""
        part, count = self._part, max(1, size // self._part)
        if 2 * part > self._limits.max_part_size:
            count = -(-size // part)
            part = -(-size // count)
        for number in range(count):
            taken = part if number < count - 1 else size
            self._loose = [Piece(source, first, taken)]
            self._flush(is_copied=_is_copyable(self._loose[0], self._sizes[source], self._limits))
            first, size = first + taken, size - taken

    def _end(self) -> None:
        """The last part may be small, so the service can copy it where it is one piece."""
        if not self._loose:
            return
        piece = self._loose[0]
        is_single = len(self._loose) == 1 and self._copies[piece.source]
        self._flush(
            is_copied=is_single and _is_copyable(piece, self._sizes[piece.source], self._limits)
        )

    def _flush(self, *, is_copied: bool) -> None:
        self._parts.append(
            PlannedPart(
                part_number=len(self._parts) + 1, pieces=tuple(self._loose), is_copied=is_copied
            )
        )
        self._loose, self._loose_size = [], 0


def _is_legal(parts: Sequence[PlannedPart], limits: Limits) -> bool:
    """Tell whether the service takes these parts."""
    return (
        len(parts) <= limits.max_parts
        and all(part.size <= limits.max_part_size for part in parts)
        and all(part.size >= limits.min_part_size for part in parts[:-1])
    )
