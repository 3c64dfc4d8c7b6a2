# SPDX-License-Identifier: Apache-2.0
"""Copies by single requests: a source is asked for, an object or a part is copied by the service.

Plain functions, each with its retries and pinned to the ETag that its source had; any thread may
call them. An object made in many parts is :mod:`.assembly`'s, which bytes go into it is
:mod:`.concatenate`'s business.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from .attempt import Sender, retried
from ..protocol import wire, copying, tagging
from ..protocol.retry import RetryPolicy
from ..protocol.copying import CopySource, FoundSource
from ..protocol.session import UploadedPart
from ..protocol.integrity import BodyCheck


def find_source(sender: Sender, source: CopySource, *, policy: RetryPolicy) -> FoundSource:
    """Ask for a source; what comes back is pinned to the ETag that it has now.

    :raises ObjectMissingError: if there is none.
    :raises SourceChangedError: if ``source`` has an ETag and the object another one.
    """
    request = copying.head_source_request(source)
    return retried(
        lambda _: copying.head_source_result(request, sender.call(request), source),
        policy=policy,
        sender=sender,
    )


def find_tags(sender: Sender, source: CopySource, *, policy: RetryPolicy) -> str:
    """Ask for a source's tags, as ``x-amz-tagging`` carries them."""
    request = tagging.tagging_request(source)
    return retried(
        lambda _: tagging.tagging_result(request, sender.call(request)),
        policy=policy,
        sender=sender,
    )


def copy_object(
    sender: Sender,
    target: wire.Target,
    found: FoundSource,
    *,
    replaces_metadata: bool,
    replaces_tags: bool,
    policy: RetryPolicy,
) -> wire.StoredObject:
    """Have the service copy a whole object by one request.

    :raises SourceChangedError: if the source has changed since ``found``.
    :raises CopyUnsupportedError: if the service cannot do this.
    """
    request = copying.copy_object_request(
        target, found.source, replaces_metadata=replaces_metadata, replaces_tags=replaces_tags
    )
    return retried(
        lambda _: copying.copy_object_result(request, sender.call(request), found),
        policy=policy,
        sender=sender,
    )


def upload_part_copy(
    sender: Sender,
    target: wire.Target,
    found: FoundSource,
    *,
    upload_id: str,
    part_number: int,
    first: int,
    size: int,
    policy: RetryPolicy,
    check: BodyCheck | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> UploadedPart:
    """Have the service copy ``size`` bytes from offset ``first`` of a source into one part.

    Any thread. The source is pinned: one that changed meanwhile is an error.

    :param check: that of the upload's initiate, if it declared a checksum.
    :raises SourceChangedError: if the source has changed since ``found``.
    :raises CopyUnsupportedError: if the service cannot do this; it is not tried again.
    """
    is_whole = first == 0 and size == found.size
    request = copying.copy_part_request(
        target,
        found.source,
        upload_id=upload_id,
        part_number=part_number,
        first=None if is_whole else first,
        size=size,
    )
    return retried(
        lambda _: copying.copy_part_result(request, sender.call(request), size=size, check=check),
        policy=policy,
        sleep=sleep,
        sender=sender,
    )
