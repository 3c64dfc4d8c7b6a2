# SPDX-License-Identifier: Apache-2.0
"""The driver's door to direct uploads: begin one, find it again, clean up those that are over.

A mixin of :class:`~libcloud_s3mpu.driver.AmazonS3MultipartDriver`. What is begun is a
:class:`~.direct.DirectUpload`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any
from collections.abc import Iterable

from libcloud.storage.base import Container

from .presign import EXPIRES_SECONDS
from .sessions import endpoint_of
from .arguments import place_of, target_of
from .extensions import initiated
from .protocol.errors import InvalidRequestError
from .protocol.limits import Limits
from .protocol.options import UploadOptions
from .protocol.session import UploadSession, SessionFormatError
from .transfer.transport import Transport

if TYPE_CHECKING:
    from .direct import DirectUpload
    from .protocol.direct import DirectPlan
    from .transfer.journal import Owned

#: How a saved form is named that says nothing: which uploads it owns is not known.
_UNREADABLE = "a saved direct upload"
#: A day: how long a client may take, with all its pauses (oarepo's figure).
UPLOAD_SECONDS = 86_400


class SavedDirectUploads:
    """An app's saved direct uploads, as :meth:`ex_cleanup_multipart_uploads` asks a journal.

    A client may pause for as long as its upload lives, and a clean-up sees only an old upload
    without new parts. Given as its ``journal``, this keeps it from those whose time is not over.

    :param saved: each :attr:`DirectUpload.saved` that the app keeps.
    """

    def __init__(self, saved: Iterable[str | bytes | DirectPlan]) -> None:
        self._saved = list(saved)

    def list(self) -> Iterable[DirectPlan]:
        """Give the plans that can be read and whose time is not over."""
        plans = [plan for plan in map(_plan_of, self._saved) if plan is not None]
        return [plan for plan in plans if plan.upload_id and time.time() < plan.expires_epoch]

    def owned(self) -> Owned:
        """Give the ids that are not to be touched; one form that cannot be read owns them all."""
        from .transfer.journal import Owned

        unreadable = sum(_plan_of(each) is None for each in self._saved)
        return Owned(
            upload_ids=frozenset(plan.upload_id or "" for plan in self.list()),
            unreadable=(_UNREADABLE,) * unreadable,
        )


def _plan_of(saved: str | bytes | DirectPlan) -> DirectPlan | None:
    from .protocol.direct import DirectPlan

    try:
        return saved if isinstance(saved, DirectPlan) else DirectPlan.from_json(saved)
    except SessionFormatError:
        return None


class DirectUploadExtensions:
    """``ex_create_direct_upload`` and its neighbours; any thread may call them."""

    connection: Any
    ex_limits: Limits
    ex_options: UploadOptions
    _transport: Transport

    def ex_create_direct_upload(
        self,
        container: Container,
        object_name: str,
        size_bytes: int,
        part_size_bytes: int | None = None,
        content_type: str | None = None,
        expires_seconds: int = EXPIRES_SECONDS,
        threshold_bytes: int | None = None,
        upload_expires_seconds: int = UPLOAD_SECONDS,
        extra: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> DirectUpload:
        """
        Begin an upload whose bytes a client sends straight to the service.

        :param size_bytes: the object's exact size: no URL takes a byte more.
        :type size_bytes: ``int``

        :param part_size_bytes: 20 MiB if None; more where the number of parts asks for it.
        :type part_size_bytes: ``int``

        :param expires_seconds: how long each URL lives, up to 604,800; fresh ones can be had until
            the upload itself is over.
        :type expires_seconds: ``int``

        :param threshold_bytes: up to this the object is one ``PUT``; the part size if None.
        :type threshold_bytes: ``int``

        :param upload_expires_seconds: after this no URL is given any more, none that was given
            holds, and :meth:`ex_cleanup_direct_uploads` aborts.
        :type upload_expires_seconds: ``int``

        :raises InvalidRequestError: (a ValueError) for anything that cannot be; nothing was sent.

        :rtype: :class:`DirectUpload`
        """
        from .direct import DirectUpload
        from .protocol.direct import DirectPlan, planned_part_size, check_direct_headers
        from .protocol.presigning import check_expires

        check_expires(expires_seconds)
        if not upload_expires_seconds > 0:
            raise InvalidRequestError("upload_expires_seconds must be above 0")
        _check_segments(object_name)
        target = target_of(
            self,
            container,
            object_name,
            extra={**(extra or {}), **({"content_type": content_type} if content_type else {})},
            headers=headers,
            storage_class=None,
            options=self.ex_options,
        )
        check_direct_headers(target.headers)
        part_size = planned_part_size(
            self.ex_limits,
            size_bytes=size_bytes,
            part_size_bytes=part_size_bytes,
            threshold_bytes=threshold_bytes,
        )
        begun = initiated(self, target) if part_size is not None else None
        plan = DirectPlan(
            container=target.bucket,
            object_name=target.key,
            upload_id=begun.upload_id if begun else None,
            size_bytes=size_bytes,
            part_size_bytes=part_size if part_size is not None else size_bytes,
            endpoint=endpoint_of(self.connection.endpoint),
            url_seconds=expires_seconds,
            expires_epoch=time.time() + upload_expires_seconds,
            headers=dict(target.headers),
        )
        return DirectUpload(self, plan, orphan_suspects=begun.orphan_suspects if begun else ())

    def ex_get_direct_upload(
        self,
        saved: str | bytes | DirectPlan,
        container: Container | None = None,
        object_name: str | None = None,
    ) -> DirectUpload:
        """
        Give a direct upload that was begun before, perhaps by another process.

        :param saved: :attr:`DirectUpload.saved`. It decides what is signed, so take it from where
            clients cannot write; or name the container and the object that it must be for.
        :type saved: ``str``

        :raises SessionFormatError: (a ValueError) if it is no saved form.
        :raises InvalidRequestError: (a ValueError) if it is for another service, container or
            object.

        :rtype: :class:`DirectUpload`
        """
        from .direct import DirectUpload
        from .protocol.direct import DirectPlan

        plan = saved if isinstance(saved, DirectPlan) else DirectPlan.from_json(saved)
        wanted = UploadSession(
            container=plan.container,
            object_name=plan.object_name,
            upload_id=plan.upload_id,
            endpoint=plan.endpoint,
        )
        name = container.name if container is not None else None
        wanted.check_place(
            endpoint=endpoint_of(self.connection.endpoint), container=name, object_name=object_name
        )
        place_of(Container(plan.container, {}, self), plan.object_name, self.ex_limits)
        if plan.number_of_parts > self.ex_limits.max_parts:
            raise InvalidRequestError(
                f"{plan.number_of_parts} parts are more than the {self.ex_limits.max_parts} of "
                "this service",
                upload_id=plan.upload_id,
            )
        return DirectUpload(self, plan)

    def ex_cleanup_direct_uploads(self, saved: Iterable[str | bytes | DirectPlan]) -> list[str]:
        """
        Abort those of the saved direct uploads whose time is over; for a task that runs at times.

        One that was completed or aborted meanwhile is no error. What was never saved is found by
        :meth:`ex_cleanup_multipart_uploads`.

        :param saved: each :attr:`DirectUpload.saved` that the app keeps.

        :return: the saved forms of those that are over, which the app may forget now.
        :rtype: ``list`` of ``str``

        :raises S3MultipartError: the first failure, after all the others were tried.
        """
        over, failures = [], []
        for text in saved:
            upload = self.ex_get_direct_upload(text)
            try:
                if upload.cleanup_expired():
                    over.append(upload.saved)
            except Exception as error:
                failures.append(error)
        if failures:
            raise failures[0]
        return over


def _check_segments(object_name: str) -> None:
    if any(segment in (".", "..") for segment in object_name.split("/")):
        raise InvalidRequestError(
            f"object name {object_name!r} has a '.' or '..' segment, which browsers remove "
            "from URLs: it cannot be uploaded directly"
        )
