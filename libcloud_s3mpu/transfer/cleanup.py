# SPDX-License-Identifier: Apache-2.0
"""The failure road: drain what is in flight, abort until nothing is left.

Called by :mod:`.upload` for any BaseException. The first error is what the caller sees; what goes
wrong here never speaks louder than that: it is attached to it as ``cleanup_error``.
"""

from __future__ import annotations

import os
import time
import logging
from typing import Protocol
from functools import partial
from dataclasses import replace
from collections.abc import Callable, Iterable

from .intake import Intake
from .single import first_part
from .window import Window
from .attempt import Sender, retried, add_note
from ..protocol import wire
from ..protocol.retry import RetryPolicy
from ..protocol.errors import S3MultipartError, UploadMissingError
from ..protocol.options import UploadOptions
from ..protocol.session import Event, State, UploadedPart, UploadSession

log = logging.getLogger("libcloud_s3mpu.cleanup")

#: Aborts of one upload, while ListParts still shows parts that landed after the one before.
ABORT_ROUNDS = 3
#: Seconds that all attempts of an abort may take: the caller waits for its error meanwhile.
ABORT_SECONDS = 20.0
#: Seconds that a kept upload's parts in flight may take to end before they are cut.
KEEP_SECONDS = 10.0
#: The same after Ctrl-C and its like, and then for the cut ones: somebody waits for the process to
#: end, five seconds at most (docs/reliability.md, entry 58).
INTERRUPTED_KEEP_SECONDS = 2.0
INTERRUPTED_CUT_SECONDS = 2.0
#: Seconds that parts whose connection was cut may take to end: one that is still connecting, or
#: on libcloud's own way, cannot be cut; it sends nothing more, and its thread is left to end.
CUT_SECONDS = 5.0
#: A part that began its exchange between two cuts is cut again after this many seconds.
CUT_AGAIN_SECONDS = 0.05


class InFlight(Protocol):
    """A part on its way (:class:`.attempt.PartJob`, or a copied one)."""

    result: UploadedPart | None

    def cut(self) -> None: ...
    def release(self) -> None: ...


def end_failed_upload(
    error: BaseException,
    *,
    session: UploadSession,
    window: Window,
    in_flight: Iterable[InFlight],
    sender: Sender,
    target: wire.Target,
    options: UploadOptions,
    keeps: bool,
    record: Callable[[UploadedPart], None],
    may_land_late: bool,
) -> bool | None:
    """End an upload that cannot be completed; raises nothing, whatever happens.

    :param keeps: leave the parts on the service, to be resumed.
    :param record: called with each part that still arrived and is kept.
    :param may_land_late: a part whose sending was cut short may still reach the service.
    :returns: True if its parts were kept, False if they were aborted, None if there is nothing to
        do or it did not work (``error.cleanup_error`` says why).
    """
    if window.pid != os.getpid():
        return None  # The child of a fork: the upload, its threads and sockets are its parent's.
    is_interrupt = not isinstance(error, Exception)
    try:
        cut = drain(
            window, in_flight, session, keeps=keeps, record=record, is_interrupt=is_interrupt
        )
        if session.upload_id is None or session.state is not State.OPEN:
            if keeps and session.state is State.COMPLETING:
                note_kept(error, session)
            return None  # Nothing begun, or complete may have taken effect: nothing to abort.
        if isinstance(error, UploadMissingError):
            return _end_gone(error, session, sender=sender, target=target, policy=options.retry)
        if keeps:
            session.move(Event.KEPT)
            note_kept(error, session)
            return True
        session.move(Event.ABORT_SENT)
        abort_upload(
            sender=sender,
            target=target,
            upload_id=session.upload_id,
            policy=options.retry,
            verifies=cut > 0 or may_land_late,
        )
        session.move(Event.ABORT_CONFIRMED)
        return False
    except BaseException as second:
        note_cleanup_error(error, second, f"upload {session.upload_id} may still hold parts")
        return None


def _end_gone(
    error: UploadMissingError,
    session: UploadSession,
    *,
    sender: Sender,
    target: wire.Target,
    policy: RetryPolicy,
) -> bool:
    """End an upload that the service says is gone: nothing is aborted, whoever ended it.

    One question makes sure of it. A service that lists the upload all the same (one node of several
    that has not heard of it yet) did not mean it: the upload is kept then, and the error says so.
    """
    assert session.upload_id is not None
    policy = replace(policy, max_total_seconds=min(policy.max_total_seconds, ABORT_SECONDS))
    try:
        first_part(sender, target, session.upload_id, policy=policy)
    except S3MultipartError as second:
        if not isinstance(second, UploadMissingError):
            log.info("%s; its own word is that the upload is gone", second.value)
        session.move(Event.GONE_FOUND)
        add_text(
            error,
            "The upload was aborted elsewhere, by another client or a lifecycle rule; nothing of "
            "it is left: upload the source anew",
        )
        return False
    session.move(Event.KEPT)
    log.warning("upload %s was said to be gone and is listed all the same", session.upload_id)
    note_kept(error, session)
    return True


def drain(
    window: Window,
    in_flight: Iterable[InFlight],
    session: UploadSession,
    *,
    keeps: bool,
    record: Callable[[UploadedPart], None] | None = None,
    is_interrupt: bool = False,
) -> int:
    """Let the parts in flight end: cut at once for an abort, with patience for a resume.

    :param is_interrupt: Ctrl-C or its like ended the upload: there is less patience then.
    :returns: how many were cut, and so may land after an abort.
    """
    keep, end = KEEP_SECONDS, CUT_SECONDS
    if keeps and is_interrupt:
        keep, end = INTERRUPTED_KEEP_SECONDS, INTERRUPTED_CUT_SECONDS
    until = time.monotonic() + (keep if keeps else 0.0)
    waiting = set(in_flight)
    cut = 0
    look_at = partial(_look_at, window, waiting, session, keeps=keeps, record=record)
    while window.in_flight:
        left = until - time.monotonic()
        if left <= -end:
            break
        if left <= 0:
            window.cancel()
            cut = max(cut, len(waiting))
            for job in waiting:
                job.cut()
            left = CUT_AGAIN_SECONDS
        window.wait(left)
        look_at()
    window.cancel()
    look_at()
    if not window.in_flight:
        for job in waiting:
            job.release()
    return cut


def _look_at(
    window: Window,
    waiting: set[InFlight],
    session: UploadSession,
    *,
    keeps: bool,
    record: Callable[[UploadedPart], None] | None,
) -> None:
    """Take in the parts that have ended; those of a kept upload that arrived count."""
    for job in window.collect():
        waiting.discard(job)
        if job.result is not None and keeps and session.state is State.OPEN:
            (record or session.record)(job.result)


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
        retried(
            lambda _: wire.abort_result(request, sender.call(request)), policy=policy, sender=sender
        )
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
    try:
        return not first_part(sender, target, upload_id, policy=policy).parts
    except UploadMissingError:
        return True


def note_kept(error: BaseException, session: UploadSession) -> None:
    """Say on the error that the parts are still there, and how to go on."""
    text = (
        f"The upload was kept: upload id {session.upload_id}, {len(session.parts)} parts. Go on "
        "with driver.ex_resume_upload(upload id, source, container, object name), or free the "
        "parts with driver.ex_abort_upload"
    )
    if session.needs_headers:
        text += f"; give it the headers {', '.join(session.needs_headers)} again"
    if isinstance(error, S3MultipartError):
        error.resumable = True
        error.upload_id = error.upload_id or session.upload_id
        add_text(error, text)
    else:
        add_note(error, text)


def add_text(error: S3MultipartError, text: str) -> None:
    """Put a line behind an error's text."""
    error.value = f"{error.value}\n{text}"
    error.args = (error.value,)


def close_source(intake: Intake, error: BaseException) -> None:
    """Let go of the source of a failed upload; what it raises then is attached to the error."""
    try:
        intake.close()
    except BaseException as second:
        note_cleanup_error(error, second, "closing the source failed too")


def note_cleanup_error(error: BaseException, second: BaseException, text: str) -> None:
    """Attach what went wrong while cleaning up to the error that is raised; never raise it."""
    log.warning("%s: %s: %s", text, type(second).__name__, second)
    try:
        error.cleanup_error = second  # type: ignore[attr-defined]
    except (AttributeError, TypeError):
        pass  # An exception with slots: the log has it.
    add_note(error, f"{text} ({type(second).__name__}: {second})")
