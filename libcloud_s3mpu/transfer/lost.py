# SPDX-License-Identifier: Apache-2.0
"""What an initiate may have left whose answer was lost: an upload that nobody knows the id of.

Asked by :mod:`.begin`, and only then. The law: what cannot be proved to be ours is not aborted,
since another writer's live upload of the same name looks exactly like it: a pending upload shows
its key, its time and its owner, and no token (S3 shows metadata of objects only). An answer that
was cut behind its upload id is such a proof, and that upload is aborted. What can be proved of the
others is that an upload is **not** the lost one:

* it was initiated before this upload began, by the service's own clock;
* it has parts: nobody was told the lost one's id, so nobody can have sent it any;
* its initiator is another one than that of the upload which was begun in its place;
* this process has it open.

What is left is named in the log, to ``on_event`` and in the result, so that somebody knows of it.
An app that says that nobody else writes to the key (``is_only_writer``) has given the proof that
was missing, and then it is aborted.
"""

from __future__ import annotations

import time
import logging
from itertools import islice
from dataclasses import replace, dataclass
from collections.abc import Sequence

from .single import iterate_parts, iterate_uploads
from .attempt import Sender
from .cleanup import abort_upload
from .orphans import DatedSender, moment_of
from .running import open_here
from ..protocol import wire
from ..protocol.retry import RetryPolicy
from ..protocol.errors import S3MultipartError, UploadMissingError
from ..protocol.listing import PendingUpload

log = logging.getLogger("libcloud_s3mpu.lost")

#: ``Date`` and ``Initiated`` are cut to whole seconds, each.
CLOCK_SECONDS = 2.0
#: Uploads of a listing that are looked at. S3 lists a key before those that only begin with it.
MOST_LISTED = 1000
#: Of one page: an upload must not need the memory of a long listing.
PAGE_SIZE = 100
#: Seconds that the search may take: the first part waits for it.
SEARCH_SECONDS = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspects:
    """What was found; ``problem`` says why nothing could be."""

    upload_ids: tuple[str, ...] = ()
    problem: str = ""


def find_suspects(
    *,
    sender: Sender,
    target: wire.Target,
    own_id: str | None,
    lost: Sequence[str | None],
    began: float,
    policy: RetryPolicy,
    aborts: bool,
) -> Suspects:
    """Look for what a lost answer may have left; raises nothing that the service does.

    :param own_id: the upload that was begun after all; None if none was.
    :param lost: for each lost answer the upload id that was left of it, if any: those are ours.
    :param began: when the first attempt began, by :func:`time.monotonic`.
    :param aborts: nobody else writes to this key, the caller says.
    """
    seconds = min(policy.max_total_seconds, SEARCH_SECONDS)
    # Where not even initiate got through, one question is enough.
    attempts = min(policy.max_attempts, 3) if own_id is not None else 1
    policy = replace(policy, max_attempts=attempts, max_total_seconds=seconds)
    ours = [each for each in lost if each is not None]
    left = [each for each in ours if not _aborted(sender, target, each, policy)]
    if len(ours) == len(lost):
        return Suspects(upload_ids=tuple(left))
    try:
        listed = _listed(sender, target, {own_id, *ours}, began, policy)
    except S3MultipartError as error:
        return Suspects(upload_ids=tuple(left), problem=error.value)
    if aborts:
        listed = [each for each in listed if not _aborted(sender, target, each, policy)]
    return Suspects(upload_ids=(*left, *listed))


def _listed(
    sender: Sender,
    target: wire.Target,
    settled: set[str | None],
    began: float,
    policy: RetryPolicy,
) -> list[str]:
    dated = DatedSender(sender)
    listing = iterate_uploads(
        dated,
        target.bucket,
        prefix=target.key,
        delimiter=None,
        policy=policy,
        page_size=PAGE_SIZE,
    )
    pending = [each for each in islice(listing, MOST_LISTED) if each.key == target.key]
    own = next((each for each in pending if each.upload_id in settled), None)
    since = dated.now - (time.monotonic() - began) - CLOCK_SECONDS
    if own is not None and (moment_of(own.initiated) or since) < since:
        since = 0.0  # Moto 5 dates all of them 2010: its times say nothing.
    known = open_here().upload_ids | settled
    return [
        each.upload_id
        for each in pending
        if each.upload_id not in known
        and _may_be_it(each, own, since)
        and not _has_parts(sender, target, each.upload_id, policy)
    ]


def _may_be_it(upload: PendingUpload, own: PendingUpload | None, since: float) -> bool:
    initiated = moment_of(upload.initiated)
    if initiated is not None and initiated < since:
        return False
    return own is None or (upload.initiator, upload.owner) == (own.initiator, own.owner)


def _has_parts(sender: Sender, target: wire.Target, upload_id: str, policy: RetryPolicy) -> bool:
    try:
        return any(True for _ in iterate_parts(sender, target, upload_id, policy=policy))
    except UploadMissingError:
        return True  # It was ended meanwhile, by somebody who knew its id.


def _aborted(sender: Sender, target: wire.Target, upload_id: str, policy: RetryPolicy) -> bool:
    try:
        abort_upload(
            sender=sender, target=target, upload_id=upload_id, policy=policy, verifies=False
        )
    except S3MultipartError as error:
        log.warning("upload %s could not be aborted: %s", upload_id, error.value)
        return False
    return True
