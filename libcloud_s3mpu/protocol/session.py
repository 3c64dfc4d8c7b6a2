# SPDX-License-Identifier: Apache-2.0
"""One upload's state, its legal moves as a table, what the service acknowledged, its saved form.

Owned by the calling thread: workers hand results back and never touch a session. The saved form is
JSON with a version and without a secret: of the caller's headers only those of :data:`SAFE_HEADERS`
are in it. How the moves come about is :mod:`libcloud_s3mpu.transfer.upload`'s business, where saved
sessions are kept :mod:`libcloud_s3mpu.transfer.journal`'s.
"""

from __future__ import annotations

import json
from enum import Enum
from typing import Any, Protocol
from contextlib import AbstractContextManager
from dataclasses import field, asdict, dataclass
from collections.abc import Mapping, Callable, Sequence

from .errors import S3MultipartError, SessionStateError, InvalidRequestError
from .fields import text, count, seconds, text_or_none
from .headers import CONDITIONS, SSE_CUSTOMER, ON_EVERY_REQUEST
from .partsize import PartSchedule

#: Version of the saved form. A change of it comes with an entry in :data:`UPGRADES`.
VERSION = 2
#: Version -> what makes the next version's fields of its.
UPGRADES: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {
    1: lambda fields: {**fields, "token": None},
}
#: The caller's headers that are saved: an allowlist, since any other may hold a secret. The rest
#: belongs to initiate, which a resumed upload has behind it, or is :data:`SSE_CUSTOMER`.
SAFE_HEADERS = CONDITIONS | ON_EVERY_REQUEST


class UploadPausedError(S3MultipartError):
    """The upload was paused; what was sent stays on the service."""

    resumable = True


class SessionBusyError(SessionStateError):
    """The upload is being run elsewhere: by another process, or another thread."""


class SessionFormatError(S3MultipartError, ValueError):
    """What should be a saved session is none: cut, garbage, or of a newer version."""


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
    RESUMED = "resumed"
    COMPLETE_FOUND = "complete found"
    GONE_FOUND = "gone found"


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
    # What was kept may be given up, or taken up again: by then the service has listed its parts.
    (State.KEPT, Event.ABORT_SENT): State.ABORTING,
    (State.KEPT, Event.RESUMED): State.OPEN,
    # Saved as OPEN or COMPLETING: the process ended before it could say anything else.
    (State.OPEN, Event.RESUMED): State.OPEN,
    (State.COMPLETING, Event.RESUMED): State.OPEN,
    # The upload is gone from the service: the object proves that it was completed, or nothing does.
    (State.KEPT, Event.COMPLETE_FOUND): State.COMPLETED,
    (State.OPEN, Event.COMPLETE_FOUND): State.COMPLETED,
    (State.COMPLETING, Event.COMPLETE_FOUND): State.COMPLETED,
    (State.KEPT, Event.GONE_FOUND): State.ABORTED,
    (State.OPEN, Event.GONE_FOUND): State.ABORTED,
    (State.COMPLETING, Event.GONE_FOUND): State.ABORTED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadedPart:
    """A part that the service acknowledged.

    :param size: bytes.
    :param etag: opaque, without quotes.
    :param checksum: base64, of the session's algorithm; None where parts carry none.
    :param digest: ``sha256:`` or ``md5:`` and hexadecimal digits of the bytes that were sent, where
        it was computed anyway; a resumed upload compares its source with it.
    """

    part_number: int
    size: int
    etag: str
    checksum: str | None = None
    digest: str | None = None


@dataclass(slots=True, kw_only=True)
class UploadSession:
    """One upload: which object, which upload id, which parts are there.

    :param algorithm: the checksum of its parts (``crc32`` ...), or None.
    :param endpoint: ``scheme://host:port/base`` of the service.
    :param schedule: where the cuts are; a resumed upload makes the same.
    :param source_bytes: length of the source where it is known or was announced.
    :param source_stamp: which plain file it is, and when it was changed; None for other sources.
    :param has_opaque_etags: the parts' ETags are no MD5 of their bytes (SSE-KMS, SSE-C).
    :param token: random text in the object's metadata, by which it is known for this upload's where
        ETags are opaque; None where it has none.
    :param headers: the caller's that a resumed upload needs again and that are no secret.
    :param needs_headers: names of those that it needs too and that are never saved (SSE-C).
    :param began_at: seconds since 1970, as ``saved_at``, when it was last saved.
    """

    container: str
    object_name: str
    upload_id: str | None = None
    algorithm: str | None = None
    state: State = State.NEW
    parts: dict[int, UploadedPart] = field(default_factory=dict)
    endpoint: str = ""
    schedule: PartSchedule | None = None
    source_bytes: int | None = None
    source_stamp: str | None = None
    has_opaque_etags: bool = False
    token: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    needs_headers: tuple[str, ...] = ()
    began_at: float | None = None
    saved_at: float | None = None

    def take_headers(self, headers: Mapping[str, str]) -> None:
        """Keep what of the caller's checked headers may be saved, and the names of what may not."""
        self.headers = {name: headers[name] for name in sorted(SAFE_HEADERS & headers.keys())}
        self.needs_headers = tuple(sorted(SSE_CUSTOMER & headers.keys()))

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

    # -- the saved form --------------------------------------------------------------------------

    def to_json(self, *, saved_at: float | None = None, state: State | None = None) -> str:
        """Give the saved form; it holds no secret.

        :param state: the state that is saved, where it is not the present one.
        """
        fields = {
            "version": VERSION,
            "saved_at": saved_at,
            "began_at": self.began_at,
            "state": (state or self.state).value,
            "endpoint": self.endpoint,
            "container": self.container,
            "object_name": self.object_name,
            "upload_id": self.upload_id,
            "algorithm": self.algorithm,
            "schedule": asdict(self.schedule) if self.schedule is not None else None,
            "source_bytes": self.source_bytes,
            "source_stamp": self.source_stamp,
            "has_opaque_etags": self.has_opaque_etags,
            "token": self.token,
            "headers": {k: v for k, v in self.headers.items() if k in SAFE_HEADERS},
            "needs_headers": list(self.needs_headers),
            # Short rows: ten thousand of them are written again and again.
            "parts": {
                str(number): [part.size, part.etag, part.checksum, part.digest]
                for number, part in sorted(self.parts.items())
            },
        }
        return json.dumps(fields, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | bytes) -> UploadSession:
        """Read the saved form, of this version or an older one.

        :raises SessionFormatError: (a ValueError) if it is cut, garbage, or of a newer version.
        """
        try:
            fields = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise SessionFormatError(f"this is no saved session: {error}") from None
        try:
            return _read(_upgraded(fields))
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            if isinstance(error, SessionFormatError):
                raise
            raise SessionFormatError(
                f"this is no saved session: {type(error).__name__}: {error}"
            ) from None

    def check_place(
        self, *, endpoint: str, container: str | None = None, object_name: str | None = None
    ) -> None:
        """Refuse to go on elsewhere: what was saved may have been forged, or be of another driver.

        :raises InvalidRequestError: (a ValueError) if one of them is not the session's.
        """
        pairs = (
            ("service", self.endpoint, endpoint),
            ("container", self.container, container),
            ("object", self.object_name, object_name),
        )
        for what, saved, given in pairs:
            if given is not None and saved != given:
                raise InvalidRequestError(
                    f"the session of upload {self.upload_id} is for {what} {saved!r}, "
                    f"not for {given!r}; nothing was sent",
                    container=self.container,
                    object_name=self.object_name,
                    upload_id=self.upload_id,
                )


class Journal(Protocol):
    """Where sessions are kept between runs; kinds are in :mod:`libcloud_s3mpu.transfer.journal`.

    An upload is named by its endpoint and its upload id.
    """

    def save(self, session: UploadSession, *, state: State | None = None) -> None:
        """Keep the session as it is now, in place of what was kept of it; all or nothing."""
        ...

    def load(self, upload_id: str, *, endpoint: str) -> UploadSession | None:
        """Give what was kept, or None; a :class:`SessionFormatError` if it cannot be read."""
        ...

    def forget(self, upload_id: str, *, endpoint: str) -> None:
        """Drop it; no error if there is none."""
        ...

    def list(self) -> Sequence[UploadSession]:
        """Give all that is kept and can be read."""
        ...

    def hold(self, upload_id: str, *, endpoint: str) -> AbstractContextManager[object]:
        """Keep others off while the block runs; a :class:`SessionBusyError` if they have it."""
        ...


def _upgraded(fields: Any) -> dict[str, Any]:
    if not isinstance(fields, dict):
        raise SessionFormatError("this is no saved session: it is no JSON object")
    version = fields.get("version")
    if not isinstance(version, int) or isinstance(version, bool):
        raise SessionFormatError("this is no saved session: it has no version")
    if version > VERSION:
        raise SessionFormatError(
            f"this session was saved by a newer libcloud_s3mpu (version {version} of the form; "
            f"this one reads up to {VERSION}): resume it with that one"
        )
    while version < VERSION:
        fields = UPGRADES[version](fields)
        version += 1
    return dict(fields)


def _read(fields: dict[str, Any]) -> UploadSession:
    schedule = fields["schedule"]
    key = fields["object_name"]
    if not isinstance(key, str) or not key:
        raise ValueError("an object without a name")
    session = UploadSession(
        container=text(fields["container"]),
        object_name=key,  # Any text; what cannot be a key is refused where it is used.
        upload_id=text(fields["upload_id"]),
        algorithm=text_or_none(fields["algorithm"]),
        state=State(fields["state"]),
        endpoint=text(fields["endpoint"]),
        schedule=_schedule(schedule) if schedule is not None else None,
        source_bytes=None if fields["source_bytes"] is None else count(fields["source_bytes"]),
        source_stamp=text_or_none(fields["source_stamp"]),
        has_opaque_etags=fields["has_opaque_etags"] is True,
        token=text_or_none(fields["token"]),
        needs_headers=tuple(text(name) for name in fields["needs_headers"]),
        began_at=seconds(fields["began_at"]),
        saved_at=seconds(fields["saved_at"]),
    )
    session.headers = {
        name: text(value) for name, value in fields["headers"].items() if name in SAFE_HEADERS
    }
    for number, (size, etag, checksum, digest) in fields["parts"].items():
        part = UploadedPart(
            part_number=count(int(number), least=1),
            size=count(size),
            etag=text(etag),
            checksum=text_or_none(checksum),
            digest=text_or_none(digest),
        )
        session.parts[part.part_number] = part
    return session


def _schedule(fields: dict[str, Any]) -> PartSchedule:
    schedule = PartSchedule(**{name: count(value) for name, value in fields.items()})
    if not schedule.base or not schedule.max_parts or not schedule.max_part_size:
        raise ValueError("a schedule of no parts")
    if schedule.rung and not schedule.fast_rung:
        raise ValueError("a schedule without steps")
    return schedule
