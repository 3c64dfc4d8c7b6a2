# SPDX-License-Identifier: Apache-2.0
"""Orphans: one walk over the uploads under way that aborts those that nobody will end.

What is aborted cannot be had back, so whatever speaks for an upload being alive keeps it: its age
by the service's own clock, a part that came lately, a journal that owns it, this process having it
open, an answer that makes no sense. The door to it is :mod:`libcloud_s3mpu.maintenance`.
"""

from __future__ import annotations

import re
import time
from typing import Any
from datetime import datetime, timezone
from dataclasses import field, dataclass
from email.utils import parsedate_to_datetime
from collections.abc import Mapping, Iterator

from . import single
from .attempt import Sender
from .cleanup import abort_upload
from .running import open_here
from ..protocol import xml, wire
from ..protocol.retry import RetryPolicy
from ..protocol.errors import S3MultipartError, UploadMissingError
from ..protocol.listing import PendingUpload
from ..protocol.messages import S3Request, S3Response

#: How the reason begins that leaves every upload alone.
UNREADABLE = "a journal cannot be read and may own it"


@dataclass(frozen=True, slots=True, kw_only=True)
class OrphanedUpload:
    """An upload that was aborted, or in a dry run would have been; ``size`` in bytes."""

    object_name: str
    upload_id: str
    initiated: datetime
    parts: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SkippedUpload:
    """An upload that was left alone, and why."""

    object_name: str
    upload_id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanupReport:
    """What a clean-up found and did.

    :param seen: uploads that were looked at.
    :param aborted: in a dry run those that would be.
    :param skipped: those that were left alone.
    :param failures: (object name, upload id, error) of those that could not be aborted.
    :param bytes_freed: what the parts of the aborted ones took, by ListParts.
    """

    container: str
    dry_run: bool
    seen: int = 0
    aborted: tuple[OrphanedUpload, ...] = ()
    skipped: tuple[SkippedUpload, ...] = ()
    failures: tuple[tuple[str, str, S3MultipartError], ...] = ()
    bytes_freed: int = 0


class CleanupError(S3MultipartError):
    """Some uploads could not be aborted; ``report`` has what was done, and each failure."""

    report: CleanupReport

    @classmethod
    def of(cls, report: CleanupReport, cause: S3MultipartError) -> CleanupError:
        """Make the error for a clean-up that ``cause`` was the first failure of."""
        error = cls(
            f"the clean-up of {report.container} aborted {len(report.aborted)} uploads and failed "
            f"for {len(report.failures)}; the first: {cause.value}",
            operation="ex_cleanup_multipart_uploads",
            container=report.container,
            http_status=cause.http_status,
            s3_code=cause.s3_code,
            request_id=cause.request_id,
        )
        error.report = report
        error.__cause__ = cause
        return error


class DatedSender:
    """A sender that notes the date of the last answer: the service's clock."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self.date: float | None = None

    def call(self, request: S3Request) -> S3Response:
        response = self._sender.call(request)
        self.date = _date_of(response.headers) or self.date
        return response

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sender, name)

    @property
    def now(self) -> float:
        """The service's time; this machine's where it tells none."""
        return time.time() if self.date is None else self.date


@dataclass(slots=True)
class _Parts:
    """What ListParts says of an upload."""

    count: int = 0
    size: int = 0
    newest: float | None = None


@dataclass
class Cleanup:
    """One clean-up of one container.

    :param owned: ids of uploads that are not touched.
    :param unreadable: names of what may own any upload: while there is one, none is touched.
    """

    sender: Sender
    bucket: str
    policy: RetryPolicy = field(kw_only=True)
    older_than_seconds: float = field(kw_only=True)
    owned: frozenset[str] = field(kw_only=True)
    unreadable: tuple[str, ...] = field(kw_only=True, default=())
    dry_run: bool = field(kw_only=True)

    def __post_init__(self) -> None:
        self._sender: Any = DatedSender(self.sender)
        self._seen = 0
        self._aborted: list[OrphanedUpload] = []
        self._skipped: list[SkippedUpload] = []
        self._failures: list[tuple[str, str, S3MultipartError]] = []

    def run(self, prefix: str | None) -> CleanupReport:
        """Walk the listing once.

        :raises CleanupError: at the end, if anything failed.
        """
        uploads = single.iterate_uploads(
            self._sender, self.bucket, prefix=prefix, delimiter=None, policy=self.policy
        )
        cause: S3MultipartError | None = None
        try:
            for upload in uploads:
                if prefix and not upload.key.startswith(prefix):
                    continue  # A service that ignores the prefix lists what was not asked for.
                self._seen += 1
                self._look_at(upload)
        except S3MultipartError as error:
            if not self._seen:
                raise
            cause = error  # The listing broke off; what was done is in the report.
        if self._failures:
            cause = self._failures[0][2]
        if cause is not None:
            raise CleanupError.of(self._report(), cause)
        return self._report()

    def _report(self) -> CleanupReport:
        return CleanupReport(
            container=self.bucket,
            dry_run=self.dry_run,
            seen=self._seen,
            aborted=tuple(self._aborted),
            skipped=tuple(self._skipped),
            failures=tuple(self._failures),
            bytes_freed=sum(upload.size for upload in self._aborted),
        )

    def _look_at(self, upload: PendingUpload) -> None:
        try:
            self._judge(upload)
        except UploadMissingError:
            self._skip(upload, "it is gone already")
        except S3MultipartError as error:
            self._failures.append((upload.key, upload.upload_id, error))

    def _judge(self, upload: PendingUpload) -> None:
        if upload.upload_id in self.owned:
            return self._skip(upload, "a journal owns it")
        if self.unreadable:
            names = ", ".join(self.unreadable[:3])
            return self._skip(upload, f"{UNREADABLE} ({names})")
        if open_here().has(self.bucket, upload.key, upload.upload_id):
            return self._skip(upload, "this process has it open")
        began = moment_of(upload.initiated)
        if began is None:
            return self._skip(upload, f"it has no readable Initiated ({upload.initiated!r})")
        if self._is_young(began):
            return self._skip(upload, "it was initiated too lately")
        # Names as the service has them, odd ones too: they were not made here.
        target = wire.Target(bucket=self.bucket, key=upload.key, headers={})
        wire.check_upload_id(upload.upload_id)
        parts = self._parts_of(target, upload.upload_id)
        if parts.newest is not None and self._is_young(parts.newest):
            return self._skip(upload, "it got a part too lately")
        if not self.dry_run:
            abort_upload(
                sender=self._sender,
                target=target,
                upload_id=upload.upload_id,
                policy=self.policy,
                verifies=False,
            )
        self._aborted.append(
            OrphanedUpload(
                object_name=upload.key,
                upload_id=upload.upload_id,
                initiated=datetime.fromtimestamp(began, timezone.utc),
                parts=parts.count,
                size=parts.size,
            )
        )
        return None

    def _skip(self, upload: PendingUpload, reason: str) -> None:
        self._skipped.append(
            SkippedUpload(object_name=upload.key, upload_id=upload.upload_id, reason=reason)
        )

    def _is_young(self, moment: float) -> bool:
        return bool(self._sender.now - moment < self.older_than_seconds)

    def _parts_of(self, target: wire.Target, upload_id: str) -> _Parts:
        noting = _NewestPart(self._sender)
        found = _Parts()
        for part in single.iterate_parts(
            noting,
            target,
            upload_id,
            policy=self.policy,
        ):
            found.count += 1
            found.size += part.size
        found.newest = noting.newest
        return found


class _NewestPart:
    """A sender that notes when the newest part of a listing came."""

    def __init__(self, sender: Any) -> None:
        self._sender = sender
        self.newest: float | None = None

    def call(self, request: S3Request) -> S3Response:
        response: S3Response = self._sender.call(request)
        if response.status == 200:
            moments = [moment_of(text) for text in _last_modified(response.body)]
            known = [m for m in (*moments, self.newest) if m is not None]
            self.newest = max(known, default=None)
        return response

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sender, name)


def _last_modified(body: bytes) -> Iterator[str | None]:
    try:
        root = xml.parse(body)
    except xml.XmlError:
        return  # Its reader says so.
    for part in xml.children(root, "Part"):
        yield xml.text_of(part, "LastModified")


def _date_of(headers: Mapping[str, str]) -> float | None:
    try:
        date = parsedate_to_datetime(headers["date"])
    except (KeyError, TypeError, ValueError):
        return None
    return (date if date.tzinfo else date.replace(tzinfo=timezone.utc)).timestamp()


def moment_of(text: str | None) -> float | None:
    """Read ISO 8601 as services write it (``Z``, any number of decimals); seconds since epoch."""
    match = re.fullmatch(
        r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:?\d\d)?", (text or "").strip()
    )
    if match is None:
        return None
    zone = (match[3] or "Z").replace("Z", "+00:00")
    zone = zone if ":" in zone else f"{zone[:3]}:{zone[3:]}"
    try:
        return datetime.fromisoformat(match[1] + zone).timestamp()
    except ValueError:
        return None
