# SPDX-License-Identifier: Apache-2.0
"""The one ``PUT`` of a whole object, and what to do when its answer was lost.

Sent again it writes the same bytes, so nothing is asked but under a condition: what an attempt
wrote whose answer was lost makes the next one fail with 412. The object decides then, as after a
lost complete (:mod:`.complete`): with this size and this MD5 or checksum it is what was to be
written. Uploads in parts are :mod:`.upload`'s.
"""

from __future__ import annotations

import logging

from .single import find_object
from .attempt import Sender, retried
from .cleanup import add_text
from ..protocol import wire, checksums
from ..protocol.retry import RetryPolicy
from ..protocol.errors import S3MultipartError, PreconditionFailedError, leaves_doubt
from ..protocol.messages import Body, Bytes, S3Response
from ..protocol.integrity import BodyCheck, BodyDigests, digests_of

log = logging.getLogger("libcloud_s3mpu.put")


def put_whole(
    sender: Sender, target: wire.Target, body: Body, *, check: BodyCheck, policy: RetryPolicy
) -> wire.StoredObject:
    """Send the single ``PUT`` of a whole object; the body stays the caller's.

    :raises PreconditionFailedError: if the target's condition does not hold and the object that is
        there is not the one that an earlier attempt wrote.
    """
    return _put(sender, target, body, check=check, policy=policy)[1]


def put_bytes(
    sender: Sender, target: wire.Target, data: bytes, *, check: BodyCheck, policy: RetryPolicy
) -> S3Response:
    """Send one ``PUT`` of bytes in hand; give its answer, which was a success.

    After a lost answer that is the one to HEAD. Raises as :func:`put_whole` does.
    """
    return _put(sender, target, Bytes(data), check=check, policy=policy)[0]


def _put(
    sender: Sender, target: wire.Target, body: Body, *, check: BodyCheck, policy: RetryPolicy
) -> tuple[S3Response, wire.StoredObject]:
    digests = digests_of(body, check)
    request = wire.put_request(target, body, digests)
    lost: list[S3MultipartError] = []

    def once(_: int) -> tuple[S3Response, wire.StoredObject]:
        try:
            answer = sender.call(request)
            return answer, wire.put_result(request, answer, digests)
        except S3MultipartError as error:
            if leaves_doubt(error):
                lost.append(error)
            raise

    try:
        return retried(once, policy=policy, sender=sender)
    except PreconditionFailedError as error:
        if not (lost and request.is_conditional_write):
            raise
        stored = _own(sender, target, body, digests, error, policy=policy)
        if stored is None:
            raise
    log.info("%s/%s was written by an attempt whose answer was lost", target.bucket, target.key)
    found = {"etag": f'"{stored.etag}"'}
    if stored.version_id is not None:
        found["x-amz-version-id"] = stored.version_id
    answer = S3Response(status=200, headers=found)
    return answer, wire.put_result(request, answer, digests)


def _own(
    sender: Sender,
    target: wire.Target,
    body: Body,
    digests: BodyDigests,
    error: PreconditionFailedError,
    *,
    policy: RetryPolicy,
) -> wire.StoredObject | None:
    """Give the object that is there if it is what was to be written; None if it is another.

    Where that cannot be told, the error's text says so.
    """
    wants_checksum = digests.checksum is not None and not digests.check.has_md5_etags
    try:
        found = find_object(sender, target, policy=policy, wants_checksum=wants_checksum)
    except S3MultipartError as second:
        add_text(error, f"An attempt before it may have written the object: {second.value}")
        return None
    if found is None or found[0] != body.size:
        return None
    stored = found[1]
    is_opaque = stored.is_opaque or not digests.check.has_md5_etags
    if stored.etag is not None and checksums.is_md5(stored.etag) and not is_opaque:
        md5 = digests.md5 or checksums.digest_of("md5", body.buffers()).hex()
        return stored if stored.etag.lower() == md5 else None
    if digests.checksum is not None and stored.checksum is not None:
        return stored if stored.checksum == digests.checksum else None
    add_text(
        error,
        "An attempt before it may have written the object: it has this size, and neither an MD5 "
        "nor a checksum to compare",
    )
    return None
