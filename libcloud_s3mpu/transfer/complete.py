# SPDX-License-Identifier: Apache-2.0
"""The delicate verb: complete, and what to do when its answer was lost.

A 200 counts only with the right body, an existing object proves nothing, and nothing is aborted
while complete may have taken effect. Who calls it, and what follows a refusal, is :mod:`.upload`.
"""

from __future__ import annotations

import time
import logging
from typing import Any
from dataclasses import replace
from collections.abc import Callable, Sequence

from .proof import Verdict, ask, patience
from .single import first_part
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
    RetriesExhaustedError,
    CompletionUnknownError,
)
from ..protocol.headers import TOKEN
from ..protocol.session import Event, UploadedPart, UploadSession
from ..protocol.messages import S3Request, S3Response
from ..protocol.integrity import BodyCheck, whole_of, compare_whole, compare_whole_etag

log = logging.getLogger("libcloud_s3mpu.complete")

#: How each question after a lost answer is retried, whatever the caller's policy: what hangs on it
#: is whether anything may be aborted.
ASKING = RetryPolicy(max_attempts=4, max_total_seconds=30.0)
#: Refusals that the road's own rules make impossible: what was sent is worth seeing then.
_OUR_BUGS = ("EntityTooSmall", "InvalidPart", "InvalidPartOrder")


def complete_upload(
    *,
    session: UploadSession,
    sender: Sender,
    target: wire.Target,
    parts: Sequence[UploadedPart],
    check: BodyCheck,
    policy: RetryPolicy,
    sleep: Callable[[float], None] = time.sleep,
) -> wire.StoredObject:
    """Join the parts; gives back what is proved to be stored.

    :raises ChecksumMismatchError: if the service names another ETag or checksum than the
        parts make.
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
    try:
        stored = retried(once, policy=policy, sender=sender)
    except S3MultipartError as error:
        if not doubts:
            if error.s3_code in _OUR_BUGS:
                table = [(part.part_number, part.size, part.etag) for part in parts]
                log.error("%s was refused with %s; its parts: %r", session, error.s3_code, table)
            session.move(Event.COMPLETE_REFUSED)
            raise
        stored = _asked(
            session, sender, target, parts=parts, error=error, policy=policy, sleep=sleep
        )
    session.move(Event.COMPLETE_CONFIRMED)
    return _compared(request, stored, parts=parts, check=check)


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
    parts: Sequence[UploadedPart],
    error: S3MultipartError,
    policy: RetryPolicy,
    sleep: Callable[[float], None],
) -> wire.StoredObject:
    """Decide by asking: the object proves that it is done, the listed upload that it is not.

    An upload that is gone while its object does not show up is asked for again for some seconds.
    """
    how: Any = {
        "sender": sender,
        "target": target,
        "policy": replace(ASKING, max_delay_seconds=min(4.0, policy.max_delay_seconds)),
    }
    is_listed = False
    try:
        verdict, stored = ask(session, parts, **how)
        if verdict is not Verdict.OURS:
            is_listed = _is_listed(session, **how)
            if not is_listed:
                verdict, stored = ask(session, parts, waits=patience(policy), sleep=sleep, **how)
    except S3MultipartError as second:
        raise _unknown(session, parts, error, "nobody answers") from second
    if is_listed:
        session.move(Event.COMPLETE_REFUSED)
        raise error
    if verdict is Verdict.OURS and stored is not None:
        return stored
    said = f"the upload is not there any more, and {verdict.value}"
    raise _unknown(session, parts, error, said) from error


def _is_listed(
    session: UploadSession, *, sender: Sender, target: wire.Target, policy: RetryPolicy
) -> bool:
    assert session.upload_id is not None
    try:
        first_part(sender, target, session.upload_id, policy=policy)
    except UploadMissingError:
        return False
    return True


def _unknown(
    session: UploadSession,
    parts: Sequence[UploadedPart],
    error: S3MultipartError,
    said: str,
) -> CompletionUnknownError:
    cause = error.attempts[-1] if isinstance(error, RetriesExhaustedError) else error
    size = sum(part.size for part in parts)
    etag = checksums.composite_etag(part.etag for part in parts)
    proof = f"metadata {TOKEN}={session.token}" if session.token else f"ETag {etag}"
    return CompletionUnknownError(
        f"CompleteMultipartUpload of {session.container}/{session.object_name} (upload "
        f"{session.upload_id}) was sent, and whether it took effect cannot be told ({said}): "
        f"{cause.value}\n"
        f"Check whether the object is there with {size} bytes and {proof}; the parts "
        "were not aborted",
        operation="CompleteMultipartUpload",
        container=session.container,
        object_name=session.object_name,
        upload_id=session.upload_id,
        http_status=cause.http_status,
        s3_code=cause.s3_code,
    )


def _compared(
    request: S3Request,
    stored: wire.StoredObject,
    *,
    parts: Sequence[UploadedPart],
    check: BodyCheck,
) -> wire.StoredObject:
    """Compare what the service says of the whole with what the parts make.

    Gives what is stored with the checksum of the whole: the service's, or where its answer has none
    the one that the parts' own make. No request is sent for it.

    :raises ChecksumMismatchError: with both values; there is an object then, and it is left alone.
    """
    is_opaque = stored.is_opaque or not check.has_md5_etags
    compare_whole_etag(request, parts=parts, answered=stored.etag, is_opaque=is_opaque)
    if stored.checksum is None:
        return replace(stored, checksum=whole_of(check, parts))
    compare_whole(
        request,
        algorithm=check.algorithm,
        parts=parts,
        answered=stored.checksum,
        kind=stored.checksum_type,
    )
    return stored
