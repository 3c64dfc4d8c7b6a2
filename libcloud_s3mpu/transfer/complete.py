# SPDX-License-Identifier: Apache-2.0
"""The delicate verb: complete, and what to do when its answer was lost.

A 200 counts only with the right body, an existing object proves nothing, and nothing is aborted
while complete may have taken effect. Who calls it, and what follows a refusal, is :mod:`.upload`.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from collections.abc import Sequence

from .attempt import Sender, retried, call_settled
from ..protocol import wire, checksums
from ..protocol.retry import RetryPolicy
from ..protocol.errors import (
    ServiceError,
    TransportError,
    S3MultipartError,
    ObjectMissingError,
    UploadMissingError,
    MalformedAnswerError,
    ChecksumMismatchError,
    RetriesExhaustedError,
    CompletionUnknownError,
)
from ..protocol.session import Event, UploadedPart, UploadSession
from ..protocol.messages import S3Request, S3Response
from ..protocol.integrity import BodyCheck

log = logging.getLogger("libcloud_s3mpu.complete")

#: Refusals that the road's own rules make impossible: what was sent is worth seeing then.
_OUR_BUGS = ("EntityTooSmall", "InvalidPart", "InvalidPartOrder")


def complete_upload(
    *,
    session: UploadSession,
    sender: Sender,
    target: wire.Target,
    parts: Sequence[UploadedPart],
    size: int,
    check: BodyCheck,
    policy: RetryPolicy,
) -> wire.StoredObject:
    """Join the parts; gives back what is proved to be stored.

    :raises ChecksumMismatchError: if the service names another ETag than the parts make.
    :raises CompletionUnknownError: if nothing proves either outcome; nothing was aborted then.
    :raises S3MultipartError: if it is proved that complete did not take effect.
    """
    assert session.upload_id is not None
    request = wire.complete_request(target, upload_id=session.upload_id, parts=parts, check=check)
    doubts: list[S3MultipartError] = []

    def settle(response: S3Response) -> None:
        try:
            wire.complete_result(request, response, check)
            session.move(Event.COMPLETE_CONFIRMED)
        except S3MultipartError as error:
            if not (doubts or _leaves_doubt(error)):
                session.move(Event.COMPLETE_REFUSED)

    def once(_: int) -> wire.StoredObject:
        try:
            return wire.complete_result(request, call_settled(sender, request, settle), check)
        except S3MultipartError as error:
            if _leaves_doubt(error):
                doubts.append(error)
            elif doubts and _may_mean_gone(error):
                # An earlier attempt may have taken effect: ask before this is tried again.
                error.retryable = False
            raise

    session.move(Event.COMPLETE_SENT)
    expected = None
    if check.has_md5_etags:
        expected = checksums.composite_etag(part.etag for part in parts)
    try:
        stored = retried(once, policy=policy, sender=sender)
    except S3MultipartError as error:
        if not doubts:
            if error.s3_code in _OUR_BUGS:
                table = [(part.part_number, part.size, part.etag) for part in parts]
                log.error("%s was refused with %s; its parts: %r", session, error.s3_code, table)
            session.move(Event.COMPLETE_REFUSED)
            raise
        stored = _asked(session, sender, target, expected=expected, size=size, error=error)
    session.move(Event.COMPLETE_CONFIRMED)
    _compare(request, stored, expected=expected, number=len(parts))
    return stored


def _leaves_doubt(error: S3MultipartError) -> bool:
    """Tell whether complete may have taken effect although this is what was answered."""
    if isinstance(error, (TransportError, MalformedAnswerError)):
        return True
    if isinstance(error, ServiceError):
        # A 5xx, or the same code inside a 200.
        return (error.http_status or 0) >= 500 or error.retryable
    return False


def _may_mean_gone(error: S3MultipartError) -> bool:
    return isinstance(error, (UploadMissingError, ObjectMissingError))


def _asked(
    session: UploadSession,
    sender: Sender,
    target: wire.Target,
    *,
    expected: str | None,
    size: int,
    error: S3MultipartError,
) -> wire.StoredObject:
    """Decide by asking: the object proves that it is done, the listed upload that it is not."""
    policy = RetryPolicy(max_attempts=4, max_total_seconds=30.0)
    try:
        found = _proof(sender, target, expected=expected, size=size, policy=policy)
        if found is not None:
            return found
        assert session.upload_id is not None
        request = wire.list_parts_request(target, upload_id=session.upload_id, max_parts=1)
        retried(
            lambda _: wire.list_parts_result(request, sender.call(request)),
            policy=policy,
            sender=sender,
        )
    except S3MultipartError as second:
        cause = error.attempts[-1] if isinstance(error, RetriesExhaustedError) else error
        raise CompletionUnknownError(
            f"CompleteMultipartUpload of {target.bucket}/{target.key} (upload {session.upload_id}) "
            f"was sent, and whether it took effect cannot be told: {cause.value}\n"
            f"Check whether the object is there with {size} bytes and ETag {expected}; the parts "
            "were not aborted",
            operation="CompleteMultipartUpload",
            container=target.bucket,
            object_name=target.key,
            upload_id=session.upload_id,
            http_status=cause.http_status,
            s3_code=cause.s3_code,
        ) from second
    session.move(Event.COMPLETE_REFUSED)
    raise error


def _proof(
    sender: Sender, target: wire.Target, *, expected: str | None, size: int, policy: RetryPolicy
) -> wire.StoredObject | None:
    """Give the object if it is provably the one of these parts; None if it is not, or not there."""
    plain = replace(target, headers={k: v for k, v in target.headers.items() if k[:3] != "if-"})
    request = wire.head_request(plain)
    try:
        length, stored = retried(
            lambda _: wire.head_result(request, sender.call(request)), policy=policy, sender=sender
        )
    except ObjectMissingError:
        return None
    if expected is None or stored.is_opaque:
        return None  # Some object of this name: that proves nothing.
    return stored if stored.etag == expected and length == size else None


def _compare(
    request: S3Request, stored: wire.StoredObject, *, expected: str | None, number: int
) -> None:
    """Compare complete's ETag with the one the parts make, where it is one of that kind."""
    etag = stored.etag
    if etag is None or expected is None or stored.is_opaque or etag == expected:
        return
    digest, _, count = etag.partition("-")
    # A suffix that is not the number of parts is a service's own scheme, not a wrong ETag.
    if count == str(number) and checksums.is_md5(digest):
        raise ChecksumMismatchError(
            f"{request.operation} of {request.bucket}/{request.key}: the parts make ETag "
            f"{expected}, the service answered {etag}; the object was left alone",
            operation=request.operation,
            container=request.bucket,
            object_name=request.key,
            upload_id=request.upload_id,
        )
