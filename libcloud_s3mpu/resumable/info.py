# SPDX-License-Identifier: Apache-2.0
"""What a caller sees of an upload: a value. How it is kept is :mod:`.record`'s business."""

from __future__ import annotations

from datetime import datetime
from dataclasses import field, dataclass
from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadInfo:
    """One upload, as it stood when it was asked for.

    :param id: its name for :class:`~libcloud_s3mpu.resumable.ResumableUploads`.
    :param key: the name of the object that it becomes.
    :param offset: bytes that are stored for good; the next write begins there.
    :param length: bytes in all; None while it is deferred.
    :param metadata: name to exact bytes, in the order given; no value is ``b""``.
    :param complete: the object is there. Never true before that, whatever the offset.
    :param partial: made to be joined with others.
    :param final: made of others by concatenation.
    :param parts_of: the ids of those, in order.
    :param expires: when it may be removed unless it is finished; None for never.
    :param created: when it was begun; None for uploads that tusd began.
    :param etag: the object's, without quotes, once it is complete.
    :param just_completed: it became complete with the very call that gave this. Of all calls in all
        processes one is told so, if the service has conditional writes; a process that dies before
        it looks is the one that was told.
    """

    id: str
    key: str
    offset: int
    length: int | None
    metadata: Mapping[str, bytes] = field(default_factory=dict)
    complete: bool = False
    partial: bool = False
    final: bool = False
    parts_of: tuple[str, ...] = ()
    expires: datetime | None = None
    created: datetime | None = None
    etag: str | None = None
    just_completed: bool = False

    @property
    def is_deferred(self) -> bool:
        """Whether its length is not known yet."""
        return self.length is None
