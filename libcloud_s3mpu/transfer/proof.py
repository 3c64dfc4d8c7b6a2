# SPDX-License-Identifier: Apache-2.0
"""Whether the object that is there is an upload's own: asked when complete's answer was lost.

That some object has the name proves nothing, not even one of the same size. Proofs are, in this
order: the random token that the upload put into the metadata (:mod:`.begin`), the ETag that its
parts make, and where ETags are opaque the checksum that its parts make. What follows from the
verdict is :mod:`.complete`'s and :mod:`.resume`'s.
"""

from __future__ import annotations

import time
import logging
from enum import Enum
from collections.abc import Callable, Sequence

from .single import find_object
from .attempt import Sender
from ..protocol import wire, checksums
from ..protocol.retry import RetryPolicy
from ..protocol.errors import AccessDeniedError
from ..protocol.session import UploadedPart, UploadSession
from ..protocol.integrity import composite_of, full_object_of

log = logging.getLogger("libcloud_s3mpu.proof")

#: Seconds between two questions for an object that should be there and does not show up: S3 shows
#: it at once, stores that copy it between sites take some seconds.
LATE_SECONDS = (0.25, 0.5, 1.0, 2.0, 4.0)


class Verdict(Enum):
    """What an answer to HEAD says of an upload."""

    OURS = "its object is there"
    ANOTHERS = "the object of that name is another's"
    ABSENT = "no object of that name is there"
    UNTOLD = "whether the object is that upload's cannot be told by its ETag"
    DENIED = "nobody may ask for the object"


def judge(
    session: UploadSession,
    parts: Sequence[UploadedPart],
    found: tuple[int, wire.StoredObject] | None,
) -> Verdict:
    """Compare what is there with what the upload's parts make."""
    if found is None:
        return Verdict.ABSENT
    length, stored = found
    if length != sum(part.size for part in parts):
        return Verdict.ANOTHERS
    if session.token is not None:
        return Verdict.OURS if stored.token == session.token else Verdict.ANOTHERS
    expected = checksums.composite_etag(part.etag for part in parts)
    if expected is not None and not (stored.is_opaque or session.has_opaque_etags):
        if stored.etag == expected:
            return Verdict.OURS
        is_comparable = stored.etag and checksums.is_md5(stored.etag.partition("-")[0])
        return Verdict.ANOTHERS if is_comparable else Verdict.UNTOLD
    make = full_object_of if stored.checksum_type == "FULL_OBJECT" else composite_of
    value = make(session.algorithm, parts)
    if value is None or stored.checksum is None:
        return Verdict.UNTOLD
    return Verdict.OURS if stored.checksum == value else Verdict.ANOTHERS


def ask(
    session: UploadSession,
    parts: Sequence[UploadedPart],
    *,
    sender: Sender,
    target: wire.Target,
    policy: RetryPolicy,
    waits: Sequence[float] = (),
    sleep: Callable[[float], None] = time.sleep,
) -> tuple[Verdict, wire.StoredObject | None]:
    """Ask for the object, again after each of ``waits`` (seconds) until it proves to be its own.

    :raises S3MultipartError: if there was no answer.
    """
    # Where there is a better proof, nobody's right to decrypt is put to the test.
    etags_tell = checksums.composite_etag(part.etag for part in parts) is not None
    needs_checksum = session.token is None and (session.has_opaque_etags or not etags_tell)
    for wait in (*waits, None):
        found = None
        try:
            found = find_object(sender, target, policy=policy, wants_checksum=needs_checksum)
            verdict = judge(session, parts, found)
        except AccessDeniedError:
            verdict = Verdict.DENIED  # So S3 answers for a missing object to who may not list.
        if verdict is Verdict.OURS or wait is None:
            break
        log.info("%s/%s: %s; asking again", target.bucket, target.key, verdict.value)
        sleep(wait)
    return verdict, found[1] if found is not None else None


def patience(policy: RetryPolicy) -> list[float]:
    """Give :data:`LATE_SECONDS`, none longer than the caller's policy lets any wait be."""
    return [min(wait, policy.max_delay_seconds) for wait in LATE_SECONDS]
