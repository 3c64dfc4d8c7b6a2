# SPDX-License-Identifier: Apache-2.0
"""What already stands on the service, and whether the source is the one that it came from.

Used by the road (:mod:`.upload`) when an upload goes on. The law: a part that stands is used only
if its bytes are those of this source, because a digest says so, or because session and service
agree on the part and the source is the very file that the session knows, unchanged. Everything else
is sent again, and a source that differs is refused before it overwrites anything. Which uploads
there are, and where sessions are kept, is not decided here.
"""

from __future__ import annotations

import time
import logging
from typing import Any
from dataclasses import replace
from collections.abc import Callable, Iterator

from .proof import Verdict, ask, patience
from .intake import Intake
from .single import iterate_parts
from .attempt import Sender, PartBody
from .outcome import UploadResult
from ..protocol import wire, checksums
from ..protocol.retry import RetryPolicy
from ..protocol.errors import (
    SourceSizeError,
    S3MultipartError,
    SessionStateError,
    SourceChangedError,
    UploadMissingError,
    CompletionUnknownError,
)
from ..protocol.options import UploadOptions
from ..protocol.session import MOVES, Event, State, UploadedPart, UploadSession, UploadPausedError
from ..protocol.integrity import BodyCheck, BodyDigests

log = logging.getLogger("libcloud_s3mpu.resume")


class Standing:
    """The parts of one upload that stand on the service, as far as this source bears them out.

    Owned by the calling thread, as the session is. What the session has of parts that are lost or
    overwritten stays in it until they are sent again: every part that complete names was examined
    or sent before.

    :param listed: what the service lists.
    """

    def __init__(self, session: UploadSession, listed: Iterator[UploadedPart]) -> None:
        session.move(Event.RESUMED)
        self._session = session
        self._listed = {part.part_number: part for part in listed}
        self._agreed: dict[int, UploadedPart] = {}
        #: What was sent once and is lost or overwritten: it still says what the source was.
        self._lost: dict[int, UploadedPart] = {}
        for number, part in session.parts.items():
            there = self._listed.get(number)
            is_there = there is not None and (there.size, there.etag) == (part.size, part.etag)
            (self._agreed if is_there else self._lost)[number] = part
        self._is_same_file = False
        #: Whether something said that this source is the one: then a part that differs is a
        #: stranger's, or from a run with another source, and not the source's fault.
        self._is_vouched = False
        self._seen: dict[int, UploadedPart | None] = {}
        self._sent_since: set[int] = set()

    def begin(self, intake: Intake, ahead: Intake) -> None:
        """Look at the source before anything is sent, and read it ahead where that leaves no trace.

        :param ahead: a second intake of the same source.
        :raises SourceSizeError: if it is known to be shorter or longer than the source was before.
        :raises SourceChangedError: if it is another one.
        """
        session = self._session
        before, now = session.source_bytes, intake.known_size
        if before is not None and now is not None and before != now:
            raise SourceSizeError(
                f"the source of {self._where} has {now} bytes, the one that its upload "
                f"{session.upload_id} was begun with had {before}; nothing was sent"
            )
        session.schedule = intake.schedule
        stamp = intake.stamp()
        self._is_same_file = stamp is not None and stamp == session.source_stamp
        self._is_vouched = self._is_same_file
        if ahead.is_replayable:
            self._look_ahead(ahead)

    def _look_ahead(self, ahead: Intake) -> None:
        number = 0
        while (body := ahead.take(number + 1)) is not None:
            number += 1
            try:
                self.examine(number, body)
            finally:
                body.release()
        self.check_end(number)

    def examine(self, number: int, body: PartBody) -> UploadedPart | None:
        """Give the uploaded part that holds the bytes of ``body``; None if they must be sent.

        :raises SourceChangedError: if the source is not the one that this upload was begun with.
        """
        if number not in self._seen:
            self._seen[number] = self._examined(number, body)
        return self._seen[number]

    def _examined(self, number: int, body: PartBody) -> UploadedPart | None:
        known = self._agreed.get(number) or self._lost.get(number)
        part = known or self._listed.get(number)
        if part is None:
            return None
        if body.size != part.size:
            if known is not None:
                raise self._changed(number, f"has {body.size} bytes there, not {part.size}")
            return None
        if known is not None and self._is_same_file:
            return self._agreed.get(number)
        is_equal, part = _compared(part, body, self._session)
        if is_equal:
            self._is_vouched = True
            if number not in self._lost:
                return part
        if is_equal is False and (known is not None or not self._is_vouched):
            raise self._changed(number, "differs there")
        log.info("part %d of upload %s is sent again", number, self._session.upload_id)
        return None

    def sent(self, number: int) -> None:
        """Note that this run sends a part."""
        self._sent_since.add(number)
        if not self._is_same_file:
            # What stands then is not all of that file: no later run may take it on trust.
            self._session.source_stamp = None

    def check_end(self, number: int) -> None:
        """Check, once the source has ended after part ``number``, that nothing of it is missing.

        Parts behind its end that only the service knows are left out of complete.

        :raises SourceSizeError: if the session has parts behind it.
        """
        behind = [n for n in (*self._agreed, *self._lost) if n > number]
        if behind:
            raise SourceSizeError(
                f"the source of {self._where} ended within part {number}; its upload "
                f"{self._session.upload_id} has parts up to {max(behind)} already"
            )

    def distrust(self) -> None:
        """Strike out what this run sent: the source turned out to be another one."""
        for number in self._sent_since:
            self._session.parts.pop(number, None)
            if number in self._lost:
                self._session.parts[number] = self._lost[number]

    def _changed(self, number: int, how: str) -> SourceChangedError:
        self.distrust()
        session = self._session
        return SourceChangedError(
            f"the source of {self._where} is not the one that its upload {session.upload_id} was "
            f"begun with: part {number} {how}; nothing was overwritten",
            container=session.container,
            object_name=session.object_name,
            upload_id=session.upload_id,
            part_number=number,
        )

    @property
    def _where(self) -> str:
        return f"{self._session.container}/{self._session.object_name}"


def _compared(
    part: UploadedPart, body: PartBody, session: UploadSession
) -> tuple[bool | None, UploadedPart]:
    """Compare a part with the bytes it should hold; None where nothing is comparable.

    Gives the part with the checksum that complete wants of it, computed on the way.
    """
    kind, _, digest = (part.digest or "").partition(":")
    algorithm = session.algorithm
    has_md5 = checksums.is_md5(part.etag) and not session.has_opaque_etags
    # One witness is enough; our own record of what was sent is better than a service's ETag.
    if part.checksum is not None and algorithm is not None:
        witness = algorithm
    elif kind in ("sha256", "md5"):
        witness = kind
    elif has_md5:
        witness, digest = "md5", part.etag.lower()
    else:
        return None, part
    wanted = {witness}
    if algorithm is not None and checksums.ALGORITHMS.get(algorithm):
        wanted.add(algorithm)
    found = {name: checksums.new_digest(name) for name in wanted}
    for buffer in body.buffers():
        for it in found.values():
            it.update(buffer)
    values = {name: it.digest() for name, it in found.items()}
    if part.checksum is not None:
        return checksums.encoded(values[witness]) == part.checksum, part
    is_equal = values[witness].hex() == digest
    own = values.get(algorithm) if algorithm in wanted - {"md5"} else None
    if own is not None:
        part = replace(part, checksum=checksums.encoded(own))
    return is_equal, replace(part, digest=f"{witness}:{values[witness].hex()}")


def paused(session: UploadSession) -> UploadPausedError:
    """Make the error that ends a run which was paused."""
    return UploadPausedError(
        f"the upload of {session.container}/{session.object_name} was paused",
        container=session.container,
        object_name=session.object_name,
        upload_id=session.upload_id,
    )


def with_digest(part: UploadedPart, digests: BodyDigests | None) -> UploadedPart:
    """Give a part with what was computed of its bytes anyway, where it carries no checksum."""
    if digests is None or part.checksum is not None:
        return part
    if digests.sha256 is not None:
        return replace(part, digest=f"sha256:{digests.sha256}")
    return replace(part, digest=f"md5:{digests.md5}") if digests.md5 is not None else part


def resumed_check(check: BodyCheck, session: UploadSession, options: UploadOptions) -> BodyCheck:
    """Give the check that the upload was begun with: parts of two kinds cannot be completed."""
    if session.algorithm == check.algorithm:
        return check
    is_signed = check.is_signed
    if session.algorithm is None and options.sign_payload is None:
        is_signed = True  # What "auto" chose is not to be had: the signature checks the bytes then.
    return replace(check, algorithm=session.algorithm, is_signed=is_signed)


#: Asks the source itself whether it is the object that is there (:mod:`.retrace`).
Retrace = Callable[[], "tuple[dict[int, UploadedPart], wire.StoredObject] | None"]


def find_standing(
    session: UploadSession,
    *,
    sender: Sender,
    target: wire.Target,
    policy: RetryPolicy,
    retrace: Retrace | None = None,
) -> Standing | wire.StoredObject:
    """Ask the service what there is: the upload's parts, or the object if it was completed.

    :param retrace: asked where the session's own parts prove nothing.
    :raises SessionStateError: if the session is over.
    :raises UploadMissingError: if there is neither; the upload must begin anew.
    :raises CompletionUnknownError: if complete was sent and nothing proves either outcome.
    """
    assert session.upload_id is not None
    if (session.state, Event.RESUMED) not in MOVES:
        raise SessionStateError(
            f"upload {session.upload_id} of {target.bucket}/{target.key} is "
            f"{session.state.value}: there is nothing to go on with",
            container=target.bucket,
            object_name=target.key,
            upload_id=session.upload_id,
        )
    try:
        listed = list(iterate_parts(sender, target, session.upload_id, policy=policy))
        return Standing(session, iter(listed))
    except UploadMissingError as error:
        how: Any = {"sender": sender, "target": target, "policy": policy}
        return gone(session=session, error=error, retrace=retrace, **how)


def gone(
    *,
    session: UploadSession,
    error: UploadMissingError,
    sender: Sender,
    target: wire.Target,
    policy: RetryPolicy,
    sleep: Callable[[float], None] = time.sleep,
    retrace: Retrace | None = None,
) -> wire.StoredObject:
    """Give the object if it proves that an upload, which is not there any more, was completed.

    :raises UploadMissingError: if it does not.
    :raises CompletionUnknownError: if complete was sent, and an object is there that nothing can be
        told of (opaque ETags without a token, or nobody may ask).
    """
    numbers = sorted(session.parts)
    where = f"{target.bucket}/{target.key}"
    if numbers and numbers == list(range(1, len(numbers) + 1)):
        parts = [session.parts[number] for number in numbers]
        was_sent = session.state is State.COMPLETING
        waits = patience(policy) if was_sent else ()
        verdict, stored = ask(
            session, parts, sender=sender, target=target, policy=policy, waits=waits, sleep=sleep
        )
        if verdict is Verdict.OURS and stored is not None:
            session.move(Event.COMPLETE_FOUND)
            return stored
        if was_sent and verdict in (Verdict.UNTOLD, Verdict.DENIED):
            raise CompletionUnknownError(
                f"upload {session.upload_id} of {where} is not there any more and complete had "
                f"been sent for {session.size} bytes; {verdict.value}\n"
                "Compare the object with the source before anything is sent again",
                container=target.bucket,
                object_name=target.key,
                upload_id=session.upload_id,
            ) from error
    if retrace is not None and (found := retrace()) is not None:
        session.parts, stored = found
        session.move(Event.COMPLETE_FOUND)
        return stored
    session.move(Event.GONE_FOUND)
    raise UploadMissingError(
        f"upload {session.upload_id} of {where} is not there any more (HTTP {error.http_status}: "
        f"{error.s3_code}), and no object proves that it was completed\n"
        "It was aborted (here or by a lifecycle rule), or completed by someone else from another "
        "source: look at the object, or upload the source anew",
        operation=error.operation,
        container=target.bucket,
        object_name=target.key,
        upload_id=session.upload_id,
        http_status=error.http_status,
        s3_code=error.s3_code,
    ) from error


def etag_there(sender: Sender, target: wire.Target) -> str:
    """Give the ETag of an object that is confirmed already, where the answer named none."""
    request = wire.head_request(target)
    try:
        return wire.head_result(request, sender.call(request))[1].etag or ""
    except S3MultipartError:
        return ""  # Its tag is a courtesy that this service withholds.


def found_result(session: UploadSession, stored: wire.StoredObject) -> UploadResult:
    """Give the result of an upload that turned out to be completed."""
    first = session.parts[1]
    return UploadResult(
        size=session.size,
        etag=stored.etag or "",
        upload_id=session.upload_id,
        parts=len(session.parts),
        part_size_bytes=first.size,
        checksum=stored.checksum,
        version_id=stored.version_id,
        seconds=0.0,
    )
