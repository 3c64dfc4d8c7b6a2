# SPDX-License-Identifier: Apache-2.0
"""The size of part *n*: a pure function of (*n*, options, limits).

A resumed session computes the same cuts from nothing but numbers, so nothing here may depend on
what was seen while uploading. Sources, buffers and budgets are none of this module's business; the
splitter asks it how much to gather next.

The published schedule of a source of unknown length: parts start at the base size (5 MiB, or
``part_size_bytes``) and climb the ladder 1, 1.5, 2, 3, 4, 6, 8, 12 ... times that size, one rung
for every 5 % of the service's part numbers (500 of 10,000). With S3's limits parts are 5 MiB up to
2.4 GiB, 10 MiB at 6 GiB, 20 MiB at 18 GiB, 40 MiB at 43 GiB, 80 MiB at 92 GiB. That reaches 6 TiB.
Where the service takes larger objects than that, the rungs become ten times shorter after 40 % of
the part numbers, which on Amazon S3 reaches 27 TiB. A source announced as larger (``size_bytes``,
``size_hint_bytes``) gets equal parts cut to fit, up to 48.8 TiB. No rung exceeds the service's
largest part.
"""

from __future__ import annotations

from functools import lru_cache
from dataclasses import dataclass

from .errors import InvalidRequestError
from .limits import KIB, MIB, Limits

#: First part size in bytes. More connections with smaller parts are faster for the same memory.
DEFAULT_PART_SIZE = 5 * MIB
#: Equal parts of an unknown length need a compromise: 16 MiB x 10,000 parts is 156 GiB.
DEFAULT_UNIFORM_PART_SIZE = 16 * MIB
#: Sizes that are cut to fit are rounded up to this, so that they read well in a listing.
ROUNDING = 64 * KIB
#: Rungs of the ladder over all part numbers, before and after the turn.
RUNGS_SLOW = 20
RUNGS_FAST = 200
#: Share of the part numbers (in per cent) after which an unreachable maximum shortens the rungs.
TURN_PERCENT = 40


@dataclass(frozen=True, slots=True)
class PartSchedule:
    """Where the cuts are: part sizes and offsets in bytes, by part number from 1."""

    base: int
    max_part_size: int
    max_parts: int
    rung: int = 0
    turn: int = 0
    fast_rung: int = 0

    def size_of(self, part_number: int) -> int:
        """Give the full size of part ``part_number`` (the last part may be shorter)."""
        if not 1 <= part_number <= self.max_parts:
            raise ValueError(f"part_number must be 1 to {self.max_parts}, not {part_number}")
        if not self.rung:
            return self.base
        return self._on_step(self._step_after(part_number - 1))

    def _step_after(self, done: int) -> int:
        """Give the rung that the part after ``done`` parts stands on, from 0."""
        if done < self.turn:
            return done // self.rung
        return self.turn // self.rung + (done - self.turn) // self.fast_rung

    def _on_step(self, step: int) -> int:
        doubled = self.base << (step // 2)
        if step % 2:
            doubled += doubled // 2
        return min(doubled, self.max_part_size)

    def offset_of(self, part_number: int) -> int:
        """Give the offset in the object of the first byte of part ``part_number``."""
        left = part_number - 1
        if not self.rung:
            return left * self.base
        offset = done = step = 0
        while left:
            here = min(left, self.rung if done < self.turn else self.fast_rung)
            offset += here * self._on_step(step)
            done += here
            left -= here
            step += 1
        return offset

    @property
    def reach(self) -> int:
        """The largest object in bytes that this schedule can carry."""
        return self.offset_of(self.max_parts) + self.size_of(self.max_parts)


def _round_up(size: int, unit: int) -> int:
    return -(-size // unit) * unit


def _fit(size: int, base: int, limits: Limits) -> int:
    """Give the smallest equal part size, at least ``base``, that carries ``size`` bytes."""
    needed = -(-size // limits.max_parts)
    if needed <= base:
        return base
    return min(_round_up(needed, min(ROUNDING, limits.min_part_size)), limits.max_part_size)


@lru_cache(maxsize=64)
def _ladder(base: int, limits: Limits, target: int) -> PartSchedule:
    rung = max(1, limits.max_parts // RUNGS_SLOW)
    slow = PartSchedule(
        base=base,
        max_part_size=limits.max_part_size,
        max_parts=limits.max_parts,
        rung=rung,
        turn=limits.max_parts,
        fast_rung=rung,
    )
    if slow.reach >= target:
        return slow
    turn = _round_up(limits.max_parts * TURN_PERCENT // 100, rung)
    return PartSchedule(
        base=base,
        max_part_size=limits.max_part_size,
        max_parts=limits.max_parts,
        rung=rung,
        turn=min(turn, limits.max_parts),
        fast_rung=max(1, limits.max_parts // RUNGS_FAST),
    )


def part_schedule(
    limits: Limits,
    *,
    part_size: int | None = None,
    size: int | None = None,
    size_hint: int | None = None,
) -> PartSchedule:
    """Give the cuts for a source.

    :param part_size: the caller's base part size in bytes, or None for the default.
    :param size: the exact length in bytes where it is known: fewer, equal parts can be cut to fit.
    :param size_hint: a length that the source is expected to stay within.
    :raises ValueError: if the length is above the maximum.
    :raises InvalidRequestError: (a ValueError) if ``part_size`` is outside the limits.
    """
    known = size if size is not None else size_hint
    if known is not None and known > limits.max_object_size:
        raise ValueError(
            f"{known} bytes are more than the largest object of this service "
            f"({limits.max_object_size} bytes; {limits.source})"
        )
    if part_size is not None and not limits.min_part_size <= part_size <= limits.max_part_size:
        raise InvalidRequestError(
            f"part_size_bytes must be {limits.min_part_size} to {limits.max_part_size} bytes for "
            f"this service, not {part_size} ({limits.source})"
        )
    default = DEFAULT_UNIFORM_PART_SIZE if limits.uniform_parts and known is None else 0
    base = part_size or min(
        max(default or DEFAULT_PART_SIZE, limits.min_part_size), limits.max_part_size
    )
    if limits.uniform_parts:
        equal = _fit(known, base, limits) if known is not None else base
        return PartSchedule(equal, limits.max_part_size, limits.max_parts)
    ladder = _ladder(base, limits, limits.max_object_size if known is None else known)
    if known is not None and ladder.reach < known:
        return PartSchedule(_fit(known, base, limits), limits.max_part_size, limits.max_parts)
    return ladder
