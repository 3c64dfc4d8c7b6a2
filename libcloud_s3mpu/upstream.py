# SPDX-License-Identifier: Apache-2.0
"""Upstream's own helpers, for the apps that call or replace them: same names and results.

A mixin of :class:`~libcloud_s3mpu.driver.AmazonS3MultipartDriver`. The one ``PUT`` of a small file
comes here as well; parts go one after another in the calling thread, each request tried again, and
an upload that anything ends in the middle is the caller's to abort. Uploads by
``upload_object_via_stream`` do not come here: they are the road's.
"""

from __future__ import annotations

from typing import Any
from dataclasses import replace
from collections.abc import Mapping, Callable, Iterable

from libcloud.storage.base import Object, Container

from .protocol import wire, checksums
from .protocol import headers as header_rules
from .arguments import naming, object_of, target_of, result_of_put
from .extensions import UploadExtensions
from .transfer.begin import begin_upload
from .protocol.errors import (
    SourceSizeError,
    S3MultipartError,
    UploadMissingError,
    InvalidRequestError,
    leaves_doubt,
)
from .transfer.single import find_object, upload_part
from .protocol.session import UploadedPart, UploadSession
from .transfer.attempt import retried
from .transfer.outcome import UploadResult
from .protocol.partsize import part_schedule
from .transfer.splitter import FileSplitter, open_source
from .protocol.integrity import body_check


class UpstreamHelpers(UploadExtensions):
    """One ``PUT``, and initiate, upload parts, complete, abort, as upstream's driver names them."""

    _determine_content_type: Callable[..., str]
    _get_object_path: Callable[[Container, str], str]

    def _put_object(
        self,
        container: Container,
        object_name: str,
        method: str = "PUT",
        query_args: str | None = None,
        extra: dict[str, Any] | None = None,
        file_path: str | None = None,
        stream: Any = None,
        verify_hash: bool = True,
        storage_class: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> Object:
        """Upload by one ``PUT`` through :meth:`_upload_object`, which others may replace."""
        target = target_of(
            self,
            container,
            object_name,
            extra=extra,
            headers=headers,
            storage_class=storage_class,
            options=self.ex_options,
        )
        path = self._get_object_path(container, target.key)

        def once(_: int) -> UploadResult:
            sent = self._upload_object(
                object_name=target.key,
                content_type=target.headers["content-type"],
                request_path=f"{path}?{query_args}" if query_args else path,
                request_method=method,
                headers=dict(target.headers),
                file_path=file_path,
                stream=stream,
            )
            return result_of_put(self, target, sent, verify_hash=verify_hash)

        # Its requests were retried already; only bytes that arrived damaged are sent again, where
        # they can be read again.
        attempts = 2 if file_path is not None else 1
        policy = replace(self.ex_options.retry, max_attempts=attempts)
        return object_of(self, retried(once, policy=policy), container, target.key, extra)

    def _upload_object(
        self,
        object_name: str,
        content_type: str | None,
        request_path: str,
        request_method: str = "PUT",
        headers: dict[str, str] | None = None,
        file_path: str | None = None,
        stream: Any = None,
    ) -> dict[str, Any]:
        """Send one ``PUT``; keeps upstream's arguments and result, since others replace it.

        :return: ``response`` (with ``status`` and ``headers``), ``bytes_transferred`` and
            ``data_hash`` (the MD5 in hexadecimal digits).
        :rtype: ``dict``
        """
        from .transfer.put import put_bytes

        if request_method != "PUT" or "?" in request_path:
            raise InvalidRequestError(f"_upload_object sends a plain PUT, not {request_method}")
        bucket, _, _ = request_path.lstrip("/").partition("/")
        given = header_rules.checked_headers(headers)
        if content_type is not None or "content-type" not in given:
            given["content-type"] = self._determine_content_type(content_type, object_name)
        target = wire.Target(bucket=bucket, key=object_name, headers=given)
        if file_path is not None:
            with open(file_path, "rb") as file:
                data = self._whole(file, target, must_not_change=True)
        else:
            data = self._whole(stream if stream is not None else b"", target)
        check = body_check(self.ex_options, self.ex_limits, is_secure=self._is_secure)
        response = put_bytes(
            self._transport, target, data, check=check, policy=self.ex_options.retry
        )
        data_hash = checksums.digest_of("md5", [data]).hex()
        return {"response": response, "bytes_transferred": len(data), "data_hash": data_hash}

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

    def _whole(self, source: Any, target: wire.Target, *, must_not_change: bool = False) -> bytes:
        """Read the whole source of one ``PUT``.

        :raises SourceSizeError: (a ValueError) if the service takes no ``PUT`` of its size.
        :raises SourceChangedError: if it is a file that may not change and did.
        """
        splitter = open_source(source)
        try:
            data = b"".join(splitter.take(self.ex_limits.max_single_put))
            if splitter.has_more():
                raise SourceSizeError(
                    f"the source of {target.bucket}/{target.key} is longer than one PUT may be "
                    f"({self.ex_limits.max_single_put} bytes)",
                    driver=self,
                )
            if must_not_change and isinstance(splitter, FileSplitter):
                splitter.check_unchanged()
        finally:
            splitter.close()
        return data

    def _found(self, target: wire.Target, etag: str | None) -> wire.StoredObject | None:
        """Give the object that a complete made whose answer was lost: only its ETag proves it."""
        found = find_object(self._transport, target, policy=self.ex_options.retry)
        return (
            found[1] if found is not None and etag is not None and found[1].etag == etag else None
        )
