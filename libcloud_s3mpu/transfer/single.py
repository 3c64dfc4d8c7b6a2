# SPDX-License-Identifier: Apache-2.0
"""Single requests of the multipart verbs.

For callers that drive an upload themselves (``ex_upload_part`` and its neighbours). The one ``PUT``
of a whole object is :mod:`.put`, the whole road of an upload :mod:`.upload`.
"""

from __future__ import annotations

from collections.abc import Iterator

from .attempt import Sender, retried
from ..protocol import wire
from ..protocol.retry import RetryPolicy
from ..protocol.errors import ObjectMissingError, MalformedAnswerError
from ..protocol.listing import (
    PAGE,
    UploadPage,
    PendingUpload,
    list_uploads_result,
    list_uploads_request,
)
from ..protocol.session import UploadedPart
from ..protocol.messages import Bytes
from ..protocol.integrity import BodyCheck, digests_of


def iterate_parts(
    sender: Sender, target: wire.Target, upload_id: str, *, policy: RetryPolicy
) -> Iterator[UploadedPart]:
    """Yield the parts that the service holds, page by page, in the order of their numbers."""
    marker = None

    def page_after(_: int) -> wire.PartPage:
        request = wire.list_parts_request(target, upload_id=upload_id, marker=marker)
        return wire.list_parts_result(request, sender.call(request))

    while True:
        page = retried(page_after, policy=policy, sender=sender)
        yield from page.parts
        if not _leads_on(page.next_marker, marker):
            return
        marker = page.next_marker


def first_part(
    sender: Sender,
    target: wire.Target,
    upload_id: str,
    *,
    policy: RetryPolicy,
    after: int | None = None,
) -> wire.PartPage:
    """Ask for one part: whether the upload is there, and whether it holds anything.

    :param after: the first one above this part number.
    :raises UploadMissingError: if it is not there.
    """
    marker = None if after is None else str(after)
    request = wire.list_parts_request(target, upload_id=upload_id, max_parts=1, marker=marker)
    return retried(
        lambda _: wire.list_parts_result(request, sender.call(request)),
        policy=policy,
        sender=sender,
    )


def _leads_on(following: str | None, marker: str | None) -> bool:
    """Tell whether a page leads to a later one: part numbers only rise, whatever a service says."""
    if following is None or not following.isdecimal():
        return False
    return marker is None or int(following) > int(marker)


def upload_part(
    sender: Sender,
    target: wire.Target,
    *,
    upload_id: str,
    part_number: int,
    data: bytes,
    check: BodyCheck,
    policy: RetryPolicy,
) -> UploadedPart:
    """Send one whole part."""
    body = Bytes(data)
    digests = digests_of(body, check)
    request = wire.upload_part_request(
        target, upload_id=upload_id, part_number=part_number, body=body, digests=digests
    )
    return retried(
        lambda _: wire.upload_part_result(request, sender.call(request), digests),
        policy=policy,
        sender=sender,
    )


def find_object(
    sender: Sender, target: wire.Target, *, policy: RetryPolicy, wants_checksum: bool = False
) -> tuple[int, wire.StoredObject] | None:
    """Ask for the object: its size in bytes and what is stored, or None if it is not there.

    Conditions among the target's headers are about what complete may replace; none is sent here.
    """
    request = wire.head_request(target, wants_checksum=wants_checksum)
    try:
        return retried(
            lambda _: wire.head_result(request, sender.call(request)), policy=policy, sender=sender
        )
    except ObjectMissingError:
        return None


def iterate_uploads(
    sender: Sender,
    bucket: str,
    *,
    prefix: str | None,
    delimiter: str | None,
    policy: RetryPolicy,
    page_size: int = PAGE,
) -> Iterator[PendingUpload]:
    """Yield the uploads under way in a bucket, page by page."""
    marker: tuple[str, str] | None = None
    seen: set[tuple[str, str]] = set()

    def ask(*, is_encoded: bool) -> UploadPage:
        request = list_uploads_request(
            bucket,
            prefix=prefix,
            delimiter=delimiter,
            marker=marker,
            is_encoded=is_encoded,
            most=page_size,
        )
        return list_uploads_result(request, sender.call(request))

    def page_after(_: int) -> UploadPage:
        try:
            return ask(is_encoded=False)
        except MalformedAnswerError:
            return ask(is_encoded=True)

    while True:
        page = retried(page_after, policy=policy, sender=sender)
        yield from page.uploads
        if page.next_marker is None or page.next_marker in seen:
            return  # The last page, or one that leads round in circles.
        marker = page.next_marker
        seen.add(marker)
