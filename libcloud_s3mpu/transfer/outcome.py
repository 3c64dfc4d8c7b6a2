# SPDX-License-Identifier: Apache-2.0
"""What is told of an upload: its events on the way, and its result.

Called by the road (:mod:`.upload`) in the calling thread. What an event holds is
:mod:`libcloud_s3mpu.protocol.events`'; nothing here decides what happens next.
"""

from __future__ import annotations

import time
import logging
from typing import Any, Protocol
from dataclasses import dataclass
from collections.abc import Callable

from .cleanup import note_cleanup_error
from ..protocol import wire
from ..protocol.session import UploadedPart, UploadSession

log = logging.getLogger("libcloud_s3mpu.upload")


class Arrived(Protocol):
    """A part that has arrived; ``retries`` is (attempt, delay in seconds, reason) of failures."""

    retries: list[tuple[int, float, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadResult:
    """What was confirmed.

    :param etag: without quotes.
    :param upload_id: None for a single ``PUT``.
    :param parts: how many there were (1 for a single ``PUT``).
    :param part_size_bytes: size of the first part, as cut (0 for an empty object).
    :param checksum: base64, with the ``-N`` of a composite one, as the service answered it and the
        parts make it (the latter alone where its answer has none). None where none was used; MD5s
        are in the ETag.
    :param orphan_suspects: uploads that a lost answer to initiate may have left; nobody else knows
        of them (:mod:`.lost`).
    :param seconds: from the first request to the confirmation.
    """

    size: int
    etag: str
    upload_id: str | None
    parts: int
    part_size_bytes: int
    checksum: str | None
    version_id: str | None
    seconds: float
    orphan_suspects: tuple[str, ...] = ()


def uploaded(
    stored: wire.StoredObject,
    *,
    size: int,
    etag: str,
    part_size: int,
    began: float,
    upload_id: str | None = None,
    parts: int = 1,
    suspects: tuple[str, ...] = (),
) -> UploadResult:
    """Make the result of what was confirmed; ``began`` is on :func:`time.monotonic`."""
    return UploadResult(
        size=size,
        etag=etag,
        upload_id=upload_id,
        parts=parts,
        part_size_bytes=part_size,
        checksum=stored.checksum,
        version_id=stored.version_id,
        seconds=time.monotonic() - began,
        orphan_suspects=suspects,
    )


class Teller:
    """Gives one upload's events to the log, and to the callback if there is one."""

    def __init__(self, session: UploadSession, on_event: Callable[[Any], None] | None) -> None:
        self._session = session
        self._on_event = on_event
        self._tells = on_event is not None or log.isEnabledFor(logging.DEBUG)
        #: Bytes that the service acknowledged, over all parts.
        self.uploaded_bytes = 0

    def tell(self, event: str, **values: Any) -> None:
        """Make the event of that name and give it; what the callback raises comes out."""
        if not self._tells:
            return
        from ..protocol import events  # Only for those who listen.

        session = self._session
        value = getattr(events, event)(
            container=session.container,
            object_name=session.object_name,
            upload_id=session.upload_id,
            **values,
        )
        log.debug("%r", value)
        if self._on_event is not None:
            self._on_event(value)

    def stood(self, part: UploadedPart) -> None:
        """Count a part that an earlier run sent."""
        self.uploaded_bytes += part.size

    def arrived(self, job: Arrived, part: UploadedPart, *, in_flight: int) -> None:
        """Tell of a part that has arrived, and of the attempts that it took."""
        self.uploaded_bytes += part.size
        if not self._tells:
            return
        for number, delay, reason in job.retries:
            self.tell(
                "PartRetried",
                part_number=part.part_number,
                attempt=number,
                delay_seconds=delay,
                reason=reason,
            )
        self.tell(
            "PartUploaded",
            part_number=part.part_number,
            size=part.size,
            uploaded_bytes=self.uploaded_bytes,
            in_flight=in_flight,
        )

    def failed(self, error: BaseException, *, kept: bool | None) -> None:
        """Tell how a failed upload was ended, if it was; never speaks louder than its error."""
        if kept is None:
            return
        try:
            self.tell("UploadAborted", kept=kept, reason=type(error).__name__)
        except BaseException as second:
            note_cleanup_error(error, second, "on_event failed too")
