# SPDX-License-Identifier: Apache-2.0
"""One upload's state, its legal moves as a table, and what the service has acknowledged.

Owned by the calling thread: workers hand results back and never touch a session. How the moves come
about is :mod:`libcloud_s3mpu.transfer.upload`'s business.
"""

from __future__ import annotations

from enum import Enum
from dataclasses import field, dataclass

from .errors import SessionStateError


class State(Enum):
    """Where an upload stands."""

    NEW = "NEW"
    OPEN = "OPEN"
    COMPLETING = "COMPLETING"
    COMPLETED = "COMPLETED"
    ABORTING = "ABORTING"
    ABORTED = "ABORTED"
    KEPT = "KEPT"


class Event(Enum):
    """What happens to it."""

    INITIATED = "initiated"
    COMPLETE_SENT = "complete sent"
    COMPLETE_CONFIRMED = "complete confirmed"
    COMPLETE_REFUSED = "complete refused"
    ABORT_SENT = "abort sent"
    ABORT_CONFIRMED = "abort confirmed"
    KEPT = "kept"


#: Every legal move. COMPLETING is a state because a lost answer to complete is one.
MOVES: dict[tuple[State, Event], State] = {
    (State.NEW, Event.INITIATED): State.OPEN,
    (State.OPEN, Event.COMPLETE_SENT): State.COMPLETING,
    (State.COMPLETING, Event.COMPLETE_CONFIRMED): State.COMPLETED,
    (State.COMPLETING, Event.COMPLETE_REFUSED): State.OPEN,
    (State.OPEN, Event.ABORT_SENT): State.ABORTING,
    (State.COMPLETING, Event.ABORT_SENT): State.ABORTING,
    (State.ABORTING, Event.ABORT_CONFIRMED): State.ABORTED,
    (State.OPEN, Event.KEPT): State.KEPT,
    (State.COMPLETING, Event.KEPT): State.KEPT,
    (State.ABORTING, Event.KEPT): State.KEPT,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadedPart:
    """A part that the service acknowledged.

    :param size: bytes.
    :param etag: opaque, without quotes.
    :param checksum: base64, of the session's algorithm; None where parts carry none.
    """

    part_number: int
    size: int
    etag: str
    checksum: str | None = None


@dataclass(slots=True, kw_only=True)
class UploadSession:
    """One upload: which object, which upload id, which parts are there.

    :param algorithm: the checksum of its parts (``crc32`` ...), or None.
    """

    container: str
    object_name: str
    upload_id: str | None = None
    algorithm: str | None = None
    state: State = State.NEW
    parts: dict[int, UploadedPart] = field(default_factory=dict)

    def move(self, event: Event) -> None:
        """Make a move.

        :raises SessionStateError: if the table has no such move.
        """
        try:
            self.state = MOVES[self.state, event]
        except KeyError:
            raise SessionStateError(
                f"{event.value} is no move of an upload that is {self.state.value}",
                container=self.container,
                object_name=self.object_name,
                upload_id=self.upload_id,
            ) from None

    def initiated(self, upload_id: str) -> None:
        """Note the upload id the moment it is known."""
        self.move(Event.INITIATED)
        self.upload_id = upload_id

    def record(self, part: UploadedPart) -> None:
        """Note an uploaded part; the same part number again replaces it, as on the service."""
        if self.state is not State.OPEN:
            raise SessionStateError(
                f"part {part.part_number} was uploaded while the upload is {self.state.value}",
                container=self.container,
                object_name=self.object_name,
                upload_id=self.upload_id,
                part_number=part.part_number,
            )
        self.parts[part.part_number] = part

    @property
    def size(self) -> int:
        """Bytes acknowledged so far."""
        return sum(part.size for part in self.parts.values())

    def contiguous_parts(self, *, expected: int) -> list[UploadedPart]:
        """Give the parts in order, proved to be 1 to ``expected`` without a gap.

        :raises SessionStateError: if one is missing or there is one too many; S3 would take an
            incomplete list and lose bytes in silence.
        """
        numbers = sorted(self.parts)
        if numbers != list(range(1, expected + 1)):
            raise SessionStateError(
                f"{expected} parts were cut but {len(numbers)} were acknowledged",
                container=self.container,
                object_name=self.object_name,
                upload_id=self.upload_id,
            )
        return [self.parts[number] for number in numbers]

    def __repr__(self) -> str:
        # `next` is where a resumed upload would go on: the first part number that is missing.
        following = next(n for n in range(1, len(self.parts) + 2) if n not in self.parts)
        return (
            f"<UploadSession {self.state.value} {self.container}/{self.object_name} "
            f"{len(self.parts)} parts, {self.size / (1 << 20):.1f} MiB, next {following}>"
        )
