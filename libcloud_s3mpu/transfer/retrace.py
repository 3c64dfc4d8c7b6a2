# SPDX-License-Identifier: Apache-2.0
"""An upload that is gone: what the source itself says of the object that is there.

Another process may have gone on with the upload and completed it. The session does not have the
parts that were sent there, so the parts that it has do not make the object. The source makes all of
them, cut where the upload's cuts are: the ETag or the checksum that follows is the proof. The token
is none here. It would say whose upload it was, not that the parts sent elsewhere hold this source.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from collections.abc import Callable

from .proof import Verdict, judge
from .intake import Intake
from .single import find_object
from .attempt import Sender, PartBody
from .cleanup import close_source
from ..protocol import wire, checksums
from ..protocol.retry import RetryPolicy
from ..protocol.errors import SourceSizeError, AccessDeniedError
from ..protocol.session import UploadedPart, UploadSession
from ..protocol.partsize import PartSchedule

log = logging.getLogger("libcloud_s3mpu.retrace")


def retrace(
    session: UploadSession,
    open_source: Callable[[], Intake],
    *,
    sender: Sender,
    target: wire.Target,
    policy: RetryPolicy,
    check_stop: Callable[[], None],
) -> tuple[dict[int, UploadedPart], wire.StoredObject] | None:
    """Give the parts that the source makes, and the object, if it is the one of these parts.

    The source is read only where an object is there whose length and number of parts fit. The
    session stays as it is.

    :param check_stop: called before each part; what it raises comes out, as does what the source
        raises.
    :raises S3MultipartError: if there was no answer.
    """
    wants_checksum = session.has_opaque_etags
    try:
        found = find_object(sender, target, policy=policy, wants_checksum=wants_checksum)
    except AccessDeniedError:
        return None  # So S3 answers for a missing object to who may not list.
    if found is None:
        return None
    length, stored = found
    intake = open_source()
    known = intake.known_size if intake.known_size is not None else session.source_bytes
    if known not in (None, length) or not _fits(intake.schedule, length, stored.etag or ""):
        return None  # Nothing was read of it.
    log.info("%s/%s: reading the source to compare it", target.bucket, target.key)
    try:
        parts = _parts_of(intake, session.algorithm, length, check_stop)
    except BaseException as error:
        close_source(intake, error)
        raise
    tokenless = replace(session, token=None)
    if parts is None or judge(tokenless, list(parts.values()), found) is not Verdict.OURS:
        if not intake.is_replayable:
            intake.close()  # It is used up; a file may be uploaded anew.
        return None
    intake.close()
    return parts, stored


def _fits(schedule: PartSchedule, length: int, etag: str) -> bool:
    """Tell whether an object can have been made of these cuts, as far as its ETag says."""
    _, _, count = etag.partition("-")
    if not (count.isascii() and count.isdigit()):
        return True
    number = int(count)
    if not 1 <= number <= schedule.max_parts:
        return False
    before = schedule.offset_of(number)
    return (before < length or number == 1) and length <= before + schedule.size_of(number)


def _parts_of(
    intake: Intake, algorithm: str | None, length: int, check_stop: Callable[[], None]
) -> dict[int, UploadedPart] | None:
    """Read the source to its end; None as soon as it turns out to be of another length."""
    if algorithm is not None:
        is_known = checksums.ALGORITHMS.get(algorithm) and checksums.is_available(algorithm)
        algorithm = algorithm if is_known else None
    parts: dict[int, UploadedPart] = {}
    try:
        check_stop()
        # An empty source is one empty part.
        body = intake.take(1) or intake.snapshot(None)
        while body is not None:
            number = len(parts) + 1
            try:
                parts[number] = _part_of(number, body, algorithm)
            finally:
                body.release()
            check_stop()
            body = intake.take(number + 1) if intake.size <= length else None
    except SourceSizeError:
        return None
    return parts


def _part_of(number: int, body: PartBody, algorithm: str | None) -> UploadedPart:
    """Give a part as the service would acknowledge it."""
    names = {"md5"} | ({algorithm} if algorithm is not None else set())
    digests = {name: checksums.new_digest(name) for name in names}
    for buffer in body.buffers():
        for it in digests.values():
            it.update(buffer)
    md5 = digests["md5"].digest().hex()
    checksum = checksums.encoded(digests[algorithm].digest()) if algorithm is not None else None
    return UploadedPart(
        part_number=number, size=body.size, etag=md5, checksum=checksum, digest=f"md5:{md5}"
    )
