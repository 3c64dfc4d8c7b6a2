# SPDX-License-Identifier: Apache-2.0
"""The end of an upload that failed: abort until nothing is left, and never louder than the cause.

What is in flight has ended before this is called; who decides between abort and keep is
:mod:`.upload`.
"""

from __future__ import annotations

import logging
from dataclasses import replace

from .attempt import Sender, retried
from ..protocol import wire
from ..protocol.retry import RetryPolicy
from ..protocol.errors import S3MultipartError, UploadMissingError

log = logging.getLogger("libcloud_s3mpu.cleanup")

#: Aborts of one upload, while ListParts still shows parts that landed after the one before.
ABORT_ROUNDS = 3
#: Seconds that all attempts of an abort may take: the caller waits for its error meanwhile.
ABORT_SECONDS = 20.0


def abort_upload(
    *,
    sender: Sender,
    target: wire.Target,
    upload_id: str,
    policy: RetryPolicy,
    verifies: bool,
) -> None:
    """Abort, with retries; an upload that is gone already is what was wanted.

    :param verifies: ask ListParts afterwards and abort again, since a part whose connection was cut
        may land after the abort.
    :raises S3MultipartError: if the service would not.
    """
    policy = replace(policy, max_total_seconds=min(policy.max_total_seconds, ABORT_SECONDS))
    request = wire.abort_request(target, upload_id=upload_id)
    for _ in range(ABORT_ROUNDS):
        retried(lambda _: wire.abort_result(request, sender.call(request)), policy=policy)
        log.debug("upload.aborted %s/%s upload %s", target.bucket, target.key, upload_id)
        if not verifies or _is_gone(sender, target, upload_id, policy):
            return
    raise S3MultipartError(
        f"upload {upload_id} of {target.bucket}/{target.key} still lists parts after "
        f"{ABORT_ROUNDS} aborts",
        operation="AbortMultipartUpload",
        container=target.bucket,
        object_name=target.key,
        upload_id=upload_id,
    )


def _is_gone(sender: Sender, target: wire.Target, upload_id: str, policy: RetryPolicy) -> bool:
    request = wire.list_parts_request(target, upload_id=upload_id, max_parts=1)
    try:
        page = retried(
            lambda _: wire.list_parts_result(request, sender.call(request)), policy=policy
        )
    except UploadMissingError:
        return True
    return not page.parts


def note_cleanup_error(error: BaseException, second: BaseException, text: str) -> None:
    """Attach what went wrong while cleaning up to the error that is raised; never raise it."""
    log.warning("%s: %s: %s", text, type(second).__name__, second)
    try:
        error.cleanup_error = second  # type: ignore[attr-defined]
        if hasattr(error, "add_note"):
            error.add_note(f"{text} ({type(second).__name__}: {second})")
    except (AttributeError, TypeError):
        pass  # An exception with slots: the log has it.
