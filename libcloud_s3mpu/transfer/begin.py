# SPDX-License-Identifier: Apache-2.0
"""Initiate: the upload is begun, and nobody loses sight of it.

Called by the road (:mod:`.upload`) before the first part is sent. Where the ETag of the object will
say nothing (SSE-KMS, SSE-C, services with ETags of their own making), a random token goes into its
metadata, by which :mod:`.proof` knows it again; elsewhere none does, since apps compare metadata.
"""

from __future__ import annotations

import time
import logging
import secrets
from typing import TYPE_CHECKING, Protocol
from collections.abc import Callable

from .attempt import Sender, retried, call_settled
from .cleanup import add_text
from ..protocol import wire
from ..protocol.errors import (
    ServiceError,
    S3MultipartError,
    AccessDeniedError,
    ObjectMissingError,
    PreconditionFailedError,
    leaves_doubt,
)
from ..protocol.headers import is_opaque_etag, has_room_for_token
from ..protocol.options import UploadOptions
from ..protocol.session import UploadSession
from ..protocol.messages import S3Response, context_of
from ..protocol.integrity import BodyCheck

if TYPE_CHECKING:
    from .lost import Suspects

log = logging.getLogger("libcloud_s3mpu.begin")


class BeginSender(Sender, Protocol):
    """What initiate asks of a transport besides sending."""

    #: Buckets whose answers said that their ETags are opaque, whatever was asked for.
    opaque_buckets: set[str]

    @property
    def is_known_class(self) -> bool:
        """Whether it is a service that answers, and no mock of what upstream would ask."""


def begin_upload(
    *,
    session: UploadSession,
    sender: BeginSender,
    target: wire.Target,
    check: BodyCheck,
    options: UploadOptions,
    on_begun: Callable[[], None],
    tell: Callable[..., None],
    sleep: Callable[[float], None] = time.sleep,
) -> tuple[str, ...]:
    """Begin an upload, and put what the answer says into its session.

    Gives the ids of uploads that answers which were lost may have left (:mod:`.lost`).

    :param on_begun: called the moment the upload id is known, also in an interrupt.
    :param tell: given the event that there are such.
    :raises PreconditionFailedError: if the write's condition does not hold as things are.
    :raises S3MultipartError: if it could not be begun; its text names them.
    """
    _check_condition(target, sender=sender, options=options, sleep=sleep)
    began = time.monotonic()
    #: For each answer that was lost the upload id that was left of it, if any.
    doubts: list[str | None] = []
    session.token = _token_for(sender, target, check)
    request = wire.initiate_request(target, check, token=session.token)

    def begun(response: S3Response) -> None:
        upload_id = wire.initiate_result(request, response)
        is_opaque = is_opaque_etag(response.headers)
        session.has_opaque_etags = is_opaque or not check.has_md5_etags
        if is_opaque:
            sender.opaque_buckets.add(target.bucket)
        session.initiated(upload_id)
        on_begun()

    def once(_: int) -> None:
        response = None
        try:
            response = call_settled(sender, request, begun)
            begun(response)
        except S3MultipartError as error:
            if leaves_doubt(error):
                doubts.append(_proof_in(response, error))
            raise

    def search() -> Suspects:
        from .lost import find_suspects  # Most uploads lose nothing.

        return find_suspects(
            sender=sender,
            target=target,
            own_id=session.upload_id,
            lost=doubts,
            began=began,
            policy=options.retry,
            aborts=options.is_only_writer,
        )

    try:
        retried(once, policy=options.retry, sleep=sleep, sender=sender)
    except S3MultipartError as error:
        if doubts and (said := _said(target, search())):
            log.warning("%s", said)
            add_text(error, said)
        raise
    if not doubts:
        return ()
    suspects = search()
    if said := _said(target, suspects):
        log.warning("%s", said)
        tell("OrphanSuspected", upload_ids=suspects.upload_ids, reason=said)
    return suspects.upload_ids


def _proof_in(response: S3Response | None, error: BaseException | None) -> str | None:
    """Give the upload id in what came of an answer; its text is no local of a frame that raises.

    Where there is no answer, ``http.client.IncompleteRead`` has what came before it was cut.
    """
    if response is not None:
        return wire.upload_id_in(response.body)
    while error is not None:
        partial = getattr(error, "partial", None)
        if isinstance(partial, bytes):
            return wire.upload_id_in(partial)
        error = error.__cause__
    return None


def _check_condition(
    target: wire.Target,
    *,
    sender: BeginSender,
    options: UploadOptions,
    sleep: Callable[[float], None],
) -> None:
    """Look whether the condition of a write holds, before its parts are sent for nothing.

    Complete carries it too and decides; but Ceph 16 ignores it there and replaces the object (seen
    2026-11), and what stood before the upload is safe so.
    """
    wanted = target.headers.get("if-match")
    if (wanted is None and "if-none-match" not in target.headers) or not sender.is_known_class:
        return
    request = wire.head_request(target)

    def once(_: int) -> wire.StoredObject:
        return wire.head_result(request, sender.call(request))[1]

    try:
        found = retried(once, policy=options.retry, sleep=sleep, sender=sender).etag
    except (ObjectMissingError, AccessDeniedError):
        return  # Not there, or not to be seen: complete tells.
    except ServiceError as error:
        if error.http_status != 400:
            raise
        return  # One under another customer's key than the new one, or under none.
    if wanted is None or found != wire.unquoted(wanted):
        what = "exists already" if wanted is None else f"has another ETag ({found})"
        raise PreconditionFailedError(
            f"{target.bucket}/{target.key} {what}; nothing was sent",
            http_status=412,
            **context_of(request),
        )


def _said(target: wire.Target, suspects: Suspects) -> str:
    """Say what may have been left, and why that is not known for certain; empty if nothing was."""
    lost = f"an answer to CreateMultipartUpload of {target.bucket}/{target.key} was lost"
    said = []
    if suspects.upload_ids:
        said.append(
            f"upload {', '.join(suspects.upload_ids)} may be what it left, or another writer's, "
            "and is there: free it with driver.ex_abort_upload or ex_cleanup_multipart_uploads"
        )
    if suspects.problem:
        said.append(f"whether it left an upload cannot be told: {suspects.problem}")
    return "; ".join([lost, *said]) if said else ""


def _token_for(sender: BeginSender, target: wire.Target, check: BodyCheck) -> str | None:
    """Give a token where the object could not be known otherwise.

    A bucket that encrypts by default says so in its first answer only: that upload goes without,
    and its checksum has to do where there is one.
    """
    is_opaque = is_opaque_etag(target.headers) or target.bucket in sender.opaque_buckets
    if check.has_md5_etags and not is_opaque:
        return None
    token = secrets.token_hex(16)
    return token if has_room_for_token(target.headers, token) else None
