# SPDX-License-Identifier: Apache-2.0
"""The driver's extensions for callers that drive an upload in parts themselves.

A mixin: :class:`~libcloud_s3mpu.driver.AmazonS3MultipartDriver` is made of it and of libcloud's
driver. Whole uploads are the driver's own methods.
"""

from __future__ import annotations

from typing import Any
from dataclasses import replace, dataclass
from collections.abc import Iterator

from libcloud.storage.base import Container
from libcloud.storage.drivers.s3 import S3MultipartUpload

from .protocol import wire
from .transfer import single
from .arguments import naming, place_of, target_of
from .protocol.retry import RetryPolicy
from .transfer.begin import begin_upload
from .protocol.errors import InvalidRequestError
from .protocol.limits import Limits
from .protocol.options import UploadOptions
from .protocol.session import UploadedPart, UploadSession
from .transfer.cleanup import abort_upload, note_cleanup_error
from .transfer.outcome import Teller
from .protocol.endpoint import check_bucket
from .protocol.integrity import BodyCheck, body_check
from .transfer.transport import Transport

#: Parts that others send carry no checksum that could be declared.
NO_CHECK = BodyCheck(algorithm=None, is_signed=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class InitiatedUpload:
    """An upload that the service has begun.

    :param orphan_suspects: ids of uploads that a lost answer may have left, or another writer's.
    """

    upload_id: str
    orphan_suspects: tuple[str, ...] = ()


def initiated(driver: Any, target: wire.Target) -> InitiatedUpload:
    """Initiate an upload by the rules of the driver's own (:mod:`.transfer.begin`).

    What a lost answer may have left is looked for: what is proved to be ours is aborted, the rest
    is named (in the log, to ``on_event``, in what this gives). Interrupted once the service has
    begun it, the upload is aborted: nobody would learn of it.
    """
    options, sender = driver.ex_options, driver._transport
    session = UploadSession(container=target.bucket, object_name=target.key)
    try:
        with naming(driver):
            suspects = begin_upload(
                session=session,
                sender=sender,
                target=target,
                check=NO_CHECK,
                options=options,
                on_begun=lambda: None,
                tell=Teller(session, options.on_event).tell,
            )
    except BaseException as error:
        _free(sender, target, session, options.retry, error)
        raise
    assert session.upload_id is not None
    return InitiatedUpload(upload_id=session.upload_id, orphan_suspects=suspects)


def _free(
    sender: Transport,
    target: wire.Target,
    session: UploadSession,
    policy: RetryPolicy,
    error: BaseException,
) -> None:
    """Abort what was begun in vain; a failure to do so is noted on the error."""
    upload_id = session.upload_id
    if upload_id is None:
        return
    try:
        abort_upload(
            sender=sender, target=target, upload_id=upload_id, policy=policy, verifies=False
        )
    except Exception as second:
        note_cleanup_error(error, second, f"upload {upload_id} may still be there")


class UploadExtensions:
    """``ex_`` methods on uploads under way; any thread may call them."""

    connection: Any
    ex_limits: Limits
    ex_options: UploadOptions
    _ex_endpoint: str
    _transport: Transport

    def ex_initiate_upload(
        self,
        container: Container,
        object_name: str,
        extra: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
        ex_storage_class: str | None = None,
    ) -> InitiatedUpload:
        """
        Initiate an upload whose parts others send: a browser, another process.

        :param extra: content type, metadata and ACL of the object, as an upload takes them.
        :type extra: ``dict``

        :rtype: :class:`InitiatedUpload`
        """
        target = target_of(
            self,
            container,
            object_name,
            extra=extra,
            headers=headers,
            storage_class=ex_storage_class,
            options=self.ex_options,
        )
        return initiated(self, target)

    def ex_list_parts(
        self, container: Container, object_name: str, upload_id: str
    ) -> list[UploadedPart]:
        """
        List the parts of an upload that the service holds, all pages of them.

        :param upload_id: the upload's id.
        :type upload_id: ``str``

        :rtype: ``list`` of :class:`UploadedPart`
        """
        target = self._place(container, object_name, upload_id)
        policy = self.ex_options.retry
        with naming(self):
            return list(single.iterate_parts(self._transport, target, upload_id, policy=policy))

    def ex_upload_part(
        self, container: Container, object_name: str, upload_id: str, part_number: int, data: bytes
    ) -> UploadedPart:
        """
        Upload one part of an upload that was initiated elsewhere.

        :param part_number: 1 to the service's maximum.
        :type part_number: ``int``

        :param data: the whole part.
        :type data: ``bytes``

        :rtype: :class:`UploadedPart`
        """
        target = self._place(container, object_name, upload_id)
        if not 1 <= part_number <= self.ex_limits.max_parts:
            raise InvalidRequestError(
                f"part_number must be 1 to {self.ex_limits.max_parts}, not {part_number}"
            )
        with naming(self):
            return single.upload_part(
                self._transport,
                target,
                upload_id=upload_id,
                part_number=part_number,
                data=memoryview(data).tobytes(),
                check=self._md5_check(),
                policy=self.ex_options.retry,
            )

    def ex_abort_upload(
        self,
        container: Container,
        object_name: str,
        upload_id: str,
        ex_options: UploadOptions | None = None,
    ) -> bool:
        """
        Abort an upload and free its parts; one that is not there any more is no error.

        The journal of the options, if they have one, forgets the upload.

        :param ex_options: instead of the driver's; of these, ``journal`` and ``retry`` count.
        :type ex_options: :class:`UploadOptions`

        :rtype: ``bool``
        """
        options = UploadOptions.checked(ex_options or self.ex_options)
        target = self._place(container, object_name, upload_id)
        with naming(self):
            abort_upload(
                sender=self._transport,
                target=target,
                upload_id=upload_id,
                policy=options.retry,
                verifies=False,
            )
        if options.journal is not None:
            options.journal.forget(upload_id, endpoint=self._ex_endpoint)
        return True

    def ex_iterate_multipart_uploads(
        self, container: Container, prefix: str | None = None, delimiter: str | None = None
    ) -> Iterator[S3MultipartUpload]:
        """
        @inherits: :class:`S3StorageDriver.ex_iterate_multipart_uploads`

        Any number of uploads, page by page; no namespace, owner or initiator is needed.
        """
        check_bucket(container.name)
        with naming(self):
            for found in single.iterate_uploads(
                self._transport,
                container.name,
                prefix=prefix,
                delimiter=delimiter,
                policy=self.ex_options.retry,
            ):
                yield S3MultipartUpload(
                    found.key, found.upload_id, found.initiated, found.initiator, found.owner
                )

    # -- private ---------------------------------------------------------------------------------

    @property
    def _is_secure(self) -> bool:
        return bool(self.connection.endpoint.scheme == "https")

    def _md5_check(self) -> BodyCheck:
        options = self._hashed(self.ex_options)
        return body_check(options, self.ex_limits, is_secure=self._is_secure)

    def _hashed(self, options: UploadOptions) -> UploadOptions:
        """Give options that have bodies verified by MD5, where the service can."""
        if not self.ex_limits.takes_content_md5:
            return options
        return replace(options, checksum="md5")

    def _place(self, container: Container, object_name: str, upload_id: str) -> wire.Target:
        wire.check_upload_id(upload_id)
        return place_of(container, object_name, self.ex_limits)
