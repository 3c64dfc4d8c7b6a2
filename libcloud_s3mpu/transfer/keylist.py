# SPDX-License-Identifier: Apache-2.0
"""The walk over a bucket's objects, page by page.

What a page is asked and how it is read is :mod:`libcloud_s3mpu.protocol.keylist`.
"""

from __future__ import annotations

from collections.abc import Iterator

from .attempt import Sender, retried
from ..protocol.retry import RetryPolicy
from ..protocol.errors import MalformedAnswerError
from ..protocol.keylist import Listed, KeyPage, list_objects_result, list_objects_request


def iterate_pages(
    sender: Sender, bucket: str, *, prefix: str | None, policy: RetryPolicy, knows_v2: bool
) -> Iterator[list[Listed]]:
    """Yield the objects of each page, one page in memory.

    :raises MalformedAnswerError: if a page leads back to itself: ending there would pass a part of
        the objects off as all of them.
    """
    following: tuple[str, str] | None = None

    def page_after(_: int) -> KeyPage:
        request = list_objects_request(
            bucket, prefix=prefix, following=following, knows_v2=knows_v2
        )
        return list_objects_result(request, sender.call(request))

    while True:
        page = retried(page_after, policy=policy, sender=sender)
        yield page.objects
        if page.following is None:
            return
        if page.following == following:
            raise MalformedAnswerError(
                f"ListObjects failed for {bucket}: the page after {following[1]!r} leads to itself",
                operation="ListObjects",
                container=bucket,
            )
        following = page.following
