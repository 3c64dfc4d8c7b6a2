# SPDX-License-Identifier: Apache-2.0
"""Upstream's own verbs of an upload in parts, for the apps that call them: same names and results.

A mixin of :class:`~libcloud_s3mpu.driver.AmazonS3MultipartDriver`. One part after another, in the
calling thread, each request tried again; an upload that anything else ends is the caller's to
abort. Whole uploads do not come here: they are the road's.
"""

from __future__ import annotations

from typing import Any
from dataclasses import replace
from collections.abc import Mapping, Callable, Iterable

from libcloud.storage.base import Container

from .protocol import wire, checksums
from .protocol import headers as header_rules
from .arguments import naming
from .transfer.begin import begin_upload
from .protocol.errors import S3MultipartError, UploadMissingError, leaves_doubt
from .protocol.limits import Limits
from .transfer.single import find_object, upload_part
from .protocol.options import UploadOptions
from .protocol.session import UploadedPart, UploadSession
from .transfer.attempt import retried
from .protocol.partsize import part_schedule
from .transfer.splitter import open_source
from .protocol.integrity import BodyCheck
from .transfer.transport import Transport


class VerbsByHand:
    """Initiate, upload parts, complete, abort, as upstream's driver names them."""

    ex_limits: Limits
    ex_options: UploadOptions
    _transport: Transport
    _place: Callable[[Container, str, str], wire.Target]
    _md5_check: Callable[[], BodyCheck]
    ex_abort_upload: Callable[[Container, str, str], bool]

    def _initiate_multipart(
        self, container: Container, object_name: str, headers: Mapping[str, Any] | None = None
    ) -> str:
        """Begin an upload; gives its id."""
        place = self._place(container, object_name, "none yet")
        target = replace(place, headers=header_rules.checked_headers(headers))
        session = UploadSession(container=target.bucket, object_name=target.key)
        with naming(self):
            begin_upload(
                session=session,
                sender=self._transport,
                target=target,
                check=self._md5_check(),
                options=self.ex_options,
                on_begun=lambda: None,
                tell=lambda event, **values: None,
            )
        assert session.upload_id is not None
        return session.upload_id

    def _upload_multipart_chunks(
        self,
        container: Container,
        object_name: str,
        upload_id: str,
        stream: Any,
        calculate_hash: bool = True,
    ) -> tuple[list[tuple[int, str]], str | None, int]:
        """Upload a source in parts, from part 1; an empty one is one empty part.

        :return: the (part number, ETag) pairs, the MD5 of all bytes in hexadecimal digits (None
            unless it was asked for), and the number of bytes.
        """
        target = self._place(container, object_name, upload_id)
        splitter = open_source(stream)
        whole = checksums.new_digest("md5") if calculate_hash else None
        uploaded: list[tuple[int, str]] = []
        try:
            schedule = part_schedule(
                self.ex_limits, part_size=self.ex_options.part_size_bytes, size=splitter.length
            )
            with naming(self):
                while not uploaded or splitter.has_more():
                    number = len(uploaded) + 1
                    data = b"".join(splitter.take(schedule.size_of(number)))
                    if whole is not None:
                        whole.update(data)
                    part = upload_part(
                        self._transport,
                        target,
                        upload_id=upload_id,
                        part_number=number,
                        data=data,
                        check=self._md5_check(),
                        policy=self.ex_options.retry,
                    )
                    uploaded.append((number, part.etag))
        finally:
            splitter.close()
        return uploaded, whole.digest().hex() if whole is not None else None, splitter.offset

    def _commit_multipart(
        self,
        container: Container,
        object_name: str,
        upload_id: str,
        chunks: Iterable[tuple[int, str]],
    ) -> str:
        """Complete an upload from (part number, ETag) pairs; gives the object's ETag, unquoted."""
        target = self._place(container, object_name, upload_id)
        parts = [
            UploadedPart(part_number=number, size=0, etag=wire.unquoted(etag) or "")
            for number, etag in chunks
        ]
        expected = checksums.composite_etag(part.etag for part in parts)
        # Upstream's pairs do not say how large the parts are.
        check = replace(self._md5_check(), checks_object_size=False)
        request = wire.complete_request(target, upload_id=upload_id, parts=parts, check=check)
        lost: list[S3MultipartError] = []

        def once(_: int) -> wire.StoredObject:
            try:
                return wire.complete_result(request, self._transport.call(request), check)
            except UploadMissingError:
                if not (lost and (stored := self._found(target, expected))):
                    raise
                return stored
            except S3MultipartError as error:
                if leaves_doubt(error):
                    lost.append(error)
                raise

        with naming(self):
            stored = retried(once, policy=self.ex_options.retry, sender=self._transport)
        return stored.etag or expected or ""

    def _abort_multipart(self, container: Container, object_name: str, upload_id: str) -> None:
        """Abort an upload; one that is not there any more is no error."""
        self.ex_abort_upload(container, object_name, upload_id)

    def _found(self, target: wire.Target, etag: str | None) -> wire.StoredObject | None:
        """Give the object that a complete made whose answer was lost: only its ETag proves it."""
        found = find_object(self._transport, target, policy=self.ex_options.retry)
        return (
            found[1] if found is not None and etag is not None and found[1].etag == etag else None
        )
