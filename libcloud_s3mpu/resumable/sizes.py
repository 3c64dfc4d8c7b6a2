# SPDX-License-Identifier: Apache-2.0
"""How large a part is: pure functions of its number, what is before it, and the length.

Parts of a known length are as large as asked, or larger where the numbers would run out; those of
an unknown length double ten times on their way (every 1,000 of 10,000), so that the largest object
can be reached. A write may end anywhere: what is left then becomes a short part if it is large
enough and the numbers that remain still carry the rest, else it waits as the tail.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..protocol.limits import MIB

#: How often the size doubles over all part numbers.
DOUBLINGS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """The cuts of one upload.

    :param equal: every part but the last has ``preferred`` bytes (R2), or what the length asks.
    """

    minimum: int
    preferred: int
    maximum: int
    max_parts: int
    max_object_size: int
    equal: bool = False

    def full(self, number: int, offset: int, length: int | None) -> int:
        """Give the bytes of part ``number`` at ``offset``; the last one of the object may be less.

        :raises ValueError: if there is no such part number.
        """
        if not 1 <= number <= self.max_parts:
            raise ValueError(f"part numbers are 1 to {self.max_parts}, not {number}")
        if self.equal:
            return self._fit(length, self.max_parts) if length is not None else self.preferred
        if length is None:
            return self._grown(number)
        return self._fit(length - offset, self.max_parts - number + 1)

    def takes_short(self, number: int, size: int, offset: int, length: int | None) -> bool:
        """Tell whether a part that is not full may be sent, and is not the object's last one.

        :param offset: where the part begins.
        """
        if self.equal or size < self.minimum or number >= self.max_parts:
            return False
        rest = (self.max_object_size if length is None else length) - offset - size
        return self._carries(number, length) >= rest

    def _carries(self, number: int, length: int | None) -> int:
        """Give how many bytes the numbers behind ``number`` carry at their own sizes."""
        left = self.max_parts - number
        if length is not None:
            return left * self.preferred
        step = self._step
        total, at = 0, number + 1
        while at <= self.max_parts:
            end = min(self.max_parts, ((at - 1) // step + 1) * step)
            total += (end - at + 1) * self._grown(at)
            at = end + 1
        return total

    @property
    def _step(self) -> int:
        return max(1, self.max_parts // DOUBLINGS)

    def _grown(self, number: int) -> int:
        return min(self.maximum, self.preferred << min((number - 1) // self._step, 60))

    def _fit(self, size: int, parts: int) -> int:
        needed = -(-size // parts)
        if needed <= self.preferred:
            return self.preferred
        unit = min(MIB, self.minimum)
        return min(-(-needed // unit) * unit, self.maximum)

    @property
    def reach(self) -> int:
        """The largest object of known length in bytes."""
        return min(self.max_object_size, self.max_parts * self.maximum)
