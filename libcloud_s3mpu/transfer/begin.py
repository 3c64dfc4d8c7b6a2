# SPDX-License-Identifier: Apache-2.0
"""Initiate: the upload is begun, and nobody loses sight of it.

Called by the road (:mod:`.upload`) before the first part is sent. Where the ETag of the object will
say nothing (SSE-KMS, SSE-C), a random token goes into its metadata, by which :mod:`.proof` knows it
again; elsewhere none does, since apps compare metadata.
"""

from __future__ import annotations

import time
import logging
import secrets
from typing import Protocol
from collections.abc import Callable

from .attempt import Sender, retried, call_settled
from ..protocol import wire
from ..protocol.retry import RetryPolicy
from ..protocol.headers import is_opaque_etag, has_room_for_token
from ..protocol.session import UploadSession
from ..protocol.messages import S3Response
from ..protocol.integrity import BodyCheck

log = logging.getLogger("libcloud_s3mpu.begin")


class BeginSender(Sender, Protocol):
    """What initiate asks of a transport besides sending."""

    #: Buckets whose answers said that their ETags are opaque, whatever was asked for.
    opaque_buckets: set[str]


def begin_upload(
    *,
    session: UploadSession,
    sender: BeginSender,
    target: wire.Target,
    check: BodyCheck,
    policy: RetryPolicy,
    on_begun: Callable[[], None],
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Begin an upload, and put what the answer says into its session.

    :param on_begun: called the moment the upload id is known, also in an interrupt.
    :raises S3MultipartError: if it could not be begun.
    """
    session.token = _token_for(sender, target)
    request = wire.initiate_request(target, check, token=session.token)

    def begun(response: S3Response) -> None:
        upload_id = wire.initiate_result(request, response)
        session.has_opaque_etags = is_opaque_etag(response.headers)
        if session.has_opaque_etags:
            sender.opaque_buckets.add(target.bucket)
        session.initiated(upload_id)
        on_begun()

    retried(
        lambda _: begun(call_settled(sender, request, begun)),
        policy=policy,
        sleep=sleep,
        sender=sender,
    )


def _token_for(sender: BeginSender, target: wire.Target) -> str | None:
    """Give a token where the object could not be known otherwise.

    A bucket that encrypts by default says so in its first answer only: that upload goes without,
    and its checksum has to do where there is one.
    """
    if not is_opaque_etag(target.headers) and target.bucket not in sender.opaque_buckets:
        return None
    token = secrets.token_hex(16)
    return token if has_room_for_token(target.headers, token) else None
