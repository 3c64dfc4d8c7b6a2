# SPDX-License-Identifier: Apache-2.0
"""The driver: libcloud's signatures outside, the road inside.

A door: it turns libcloud's arguments into values, asks :class:`~.transfer.upload.Upload` to do the
work, and turns the result into libcloud's :class:`Object`. How an upload runs is told by
:mod:`libcloud_s3mpu.transfer.upload`; services are described in :mod:`.providers`.
"""

from __future__ import annotations

import os
from typing import Any
from dataclasses import replace
from collections.abc import Mapping

from libcloud.storage.base import Object, Container
from libcloud.storage.drivers.s3 import REGION_TO_HOST_MAP, S3StorageDriver

from .protocol import wire
from .protocol import headers as header_rules
from .protocol.errors import S3MultipartError, InvalidRequestError, ChecksumMismatchError
from .protocol.limits import S3_LIMITS, Limits
from .transfer.upload import Upload, UploadResult
from .protocol.options import UploadOptions
from .protocol.session import UploadedPart
from .transfer.attempt import retried
from .protocol.endpoint import Endpoint, Addressing, aws_host, check_key, is_region, check_bucket
from .protocol.messages import Bytes, S3Response
from .protocol.partsize import DEFAULT_PART_SIZE
from .transfer.splitter import FileSplitter, open_source
from .protocol.integrity import body_check, digests_of
from .transfer.transport import Transport
from .transfer.connection import S3MultipartConnection

__all__ = ["AmazonS3MultipartDriver"]

_KNOWN_REGION = "us-east-1"


class AmazonS3MultipartDriver(S3StorageDriver):  # type: ignore[misc]
    """Amazon S3 with parallel, bounded multipart uploads; a drop-in for libcloud's S3 driver.

    One driver may be used by any number of threads at once.

    :cvar ex_limits: what the service accepts (:class:`~libcloud_s3mpu.protocol.limits.Limits`).
    """

    name = "Amazon S3"
    connectionCls = S3MultipartConnection
    ex_limits: Limits = S3_LIMITS

    def __init__(
        self,
        key: str,
        secret: str | None = None,
        secure: bool = True,
        host: str | None = None,
        port: int | None = None,
        region: str | None = None,
        token: str | None = None,
        ex_options: UploadOptions | None = None,
        ex_endpoint_url: str | None = None,
        ex_addressing: Addressing = "auto",
        **kwargs: Any,
    ) -> None:
        """
        @inherits: :class:`S3StorageDriver.__init__`

        :param region: any region of AWS's shape; with ``host`` any string at all.
        :type region: ``str``

        :param ex_options: how uploads of this driver are done unless a call says otherwise.
        :type ex_options: :class:`UploadOptions`

        :param ex_endpoint_url: ``https://host[:port][/base]``, in place of secure, host and port.
        :type ex_endpoint_url: ``str``

        :param ex_addressing: ``auto``, ``path`` or ``virtual`` (the bucket in the host name).
        :type ex_addressing: ``str``
        """
        if ex_addressing not in ("auto", "path", "virtual"):
            raise ValueError(
                f'ex_addressing must be "auto", "path" or "virtual", not {ex_addressing!r}'
            )
        self.ex_options = UploadOptions.checked(ex_options or UploadOptions())
        endpoint = None
        if ex_endpoint_url is not None:
            if host is not None or port is not None:
                raise ValueError("give ex_endpoint_url, or host and port, not both")
            endpoint = Endpoint.from_url(ex_endpoint_url, addressing=ex_addressing)
            host, port, secure = endpoint.host, endpoint.port, endpoint.scheme == "https"
        wanted = region or type(self).region_name
        if host is None:
            host = self._host_of(wanted)
        # Upstream knows a closed map of regions and refuses others even with a host: it is given
        # one that it knows, and the right one is set afterwards (the signer reads it at each
        # request). These are this instance's attributes; no class is written to.
        super().__init__(
            key,
            secret=secret,
            secure=secure,
            host=host,
            port=port,
            region=wanted if wanted in REGION_TO_HOST_MAP else _KNOWN_REGION,
            token=token,
            **kwargs,
        )
        self.region = wanted
        self.region_name = wanted
        self.name = f"Amazon S3 ({wanted})"
        if endpoint is None:
            endpoint = Endpoint(
                "https" if self.connection.secure else "http",
                self.connection.host,
                int(self.connection.port),
                addressing=ex_addressing,
            )
        self.connection.endpoint = endpoint
        self._transport = Transport(self.connection)

    @classmethod
    def _host_of(cls, region: str) -> str:
        known = REGION_TO_HOST_MAP.get(region)
        if known is not None:
            return str(known)
        if not is_region(region):
            raise ValueError(f"Invalid or unsupported region: {region}")
        return aws_host(region)

    # -- standard API ----------------------------------------------------------------------------

    def upload_object_via_stream(
        self,
        iterator: Any,
        container: Container,
        object_name: str,
        extra: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
        ex_storage_class: str | None = None,
        ex_options: UploadOptions | None = None,
    ) -> Object:
        """
        @inherits: :class:`S3StorageDriver.upload_object_via_stream`

        The source may be any iterator or iterable of bytes (empty chunks are skipped), any object
        with ``read``, any buffer, or a ``str``. It is never held whole: at most
        ``memory_budget_bytes`` of it are in memory. The object exists once this returns; when it
        raises, nothing is left on the service (or the upload is kept, if the options say so).

        :param ex_options: how this upload is done; the driver's own options if None.
        :type ex_options: :class:`UploadOptions`

        :return: ``extra`` has ``acl``, ``etag``, ``upload_id`` (None for a single ``PUT``),
            ``parts``, ``part_size_bytes``, ``checksum``, ``version_id`` and ``seconds``.
        :rtype: :class:`Object`
        """
        return self._put_object_multipart(
            container=container,
            object_name=object_name,
            stream=iterator,
            extra=extra,
            headers=headers,
            storage_class=ex_storage_class,
            ex_options=ex_options,
        )

    def upload_object(
        self,
        file_path: str,
        container: Container,
        object_name: str,
        extra: dict[str, Any] | None = None,
        verify_hash: bool = True,
        headers: dict[str, str] | None = None,
        ex_storage_class: str | None = None,
        ex_options: UploadOptions | None = None,
    ) -> Object:
        """
        @inherits: :class:`S3StorageDriver.upload_object`

        A file that fits into one part is one ``PUT``; a larger one goes up in parallel parts that
        are read from the file as they are sent. A file that changes meanwhile is refused.

        :param verify_hash: compute the MD5 of every part, have the service verify it, and compare
            it with the ETag. False leaves the integrity to ``checksum`` of the options.
        :type verify_hash: ``bool``
        """
        options = UploadOptions.checked(ex_options or self.ex_options)
        if verify_hash:
            options = replace(options, checksum="md5")
        path = os.fspath(file_path)
        target = self._target(container, object_name, extra, headers, ex_storage_class, options)
        is_small = os.stat(path).st_size <= (options.part_size_bytes or DEFAULT_PART_SIZE)
        if is_small and ex_options is None:
            return self._put_small_file(path, target, container, extra, verify_hash=verify_hash)
        with open(path, "rb") as file:
            result = self._upload(target, file, options, must_not_change=True)
        return self._to_object(result, container, object_name, extra)

    # -- extensions ------------------------------------------------------------------------------

    @property
    def ex_transport(self) -> str:
        """``lean`` (a socket borrowed from libcloud's session) or ``plain`` (libcloud's own way).

        :rtype: ``str``
        """
        return self._transport.kind

    def ex_list_parts(
        self, container: Container, object_name: str, upload_id: str
    ) -> list[UploadedPart]:
        """
        List the parts of an upload that the service holds, all pages of them.

        :param upload_id: the upload's id.
        :type upload_id: ``str``

        :rtype: ``list`` of :class:`UploadedPart`
        """
        target = self._bare_target(container, object_name, upload_id)
        parts: list[UploadedPart] = []
        marker = None
        while True:
            request = wire.list_parts_request(target, upload_id=upload_id, marker=marker)
            page = wire.list_parts_result(request, self._transport.call(request))
            parts.extend(page.parts)
            if page.next_marker is None or page.next_marker == marker:
                return parts
            marker = page.next_marker

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
        target = self._bare_target(container, object_name, upload_id)
        if not 1 <= part_number <= self.ex_limits.max_parts:
            raise InvalidRequestError(
                f"part_number must be 1 to {self.ex_limits.max_parts}, not {part_number}"
            )
        check = body_check(
            replace(self.ex_options, checksum="md5"), self.ex_limits, is_secure=self._is_secure
        )
        body = Bytes(bytes(data))
        digests = digests_of(body, check)
        request = wire.upload_part_request(
            target, upload_id=upload_id, part_number=part_number, body=body, digests=digests
        )
        return wire.upload_part_result(request, self._transport.call(request), digests)

    def ex_abort_upload(self, container: Container, object_name: str, upload_id: str) -> bool:
        """
        Abort an upload and free its parts; one that is not there any more is no error.

        :rtype: ``bool``
        """
        target = self._bare_target(container, object_name, upload_id)
        request = wire.abort_request(target, upload_id=upload_id)
        wire.abort_result(request, self._transport.call(request))
        return True

    # -- upstream's helpers, which others call or patch ------------------------------------------

    def _put_object_multipart(
        self,
        container: Container,
        object_name: str,
        stream: Any,
        extra: dict[str, Any] | None = None,
        verify_hash: bool = False,
        headers: dict[str, str] | None = None,
        storage_class: str | None = None,
        ex_options: UploadOptions | None = None,
    ) -> Object:
        """Upload ``stream``, by one ``PUT`` or in parts; upstream's single gate to multipart."""
        options = UploadOptions.checked(ex_options or self.ex_options)
        if verify_hash:
            options = replace(options, checksum="md5")
        target = self._target(container, object_name, extra, headers, storage_class, options)
        result = self._upload(target, stream, options)
        return self._to_object(result, container, object_name, extra)

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
        bucket, _, _ = request_path.lstrip("/").partition("/")
        given = header_rules.checked_headers(headers)
        if content_type is not None or "content-type" not in given:
            given["content-type"] = self._determine_content_type(content_type, object_name)
        target = wire.Target(bucket=bucket, key=object_name, headers=given)
        if file_path is not None:
            with open(file_path, "rb") as file:
                splitter = open_source(file)
                data = file.read()
                if isinstance(splitter, FileSplitter):
                    splitter.check_unchanged()
        else:
            splitter = open_source(stream if stream is not None else b"")
            data = b"".join(splitter.take(self.ex_limits.max_single_put))
        body = Bytes(data)
        check = body_check(
            replace(self.ex_options, checksum="md5"), self.ex_limits, is_secure=self._is_secure
        )
        digests = digests_of(body, check)
        request = wire.put_request(target, body, digests)

        def once(_: int) -> S3Response:
            answer = self._transport.call(request)
            wire.put_result(request, answer, digests)
            return answer

        response = retried(once, policy=self.ex_options.retry)
        return {"response": response, "bytes_transferred": len(data), "data_hash": digests.md5}

    def _abort_multipart(self, container: Container, object_name: str, upload_id: str) -> None:
        self.ex_abort_upload(container, object_name, upload_id)

    # -- private ---------------------------------------------------------------------------------

    @property
    def _is_secure(self) -> bool:
        return bool(self.connection.endpoint.scheme == "https")

    def _upload(
        self,
        target: wire.Target,
        source: Any,
        options: UploadOptions,
        *,
        must_not_change: bool = False,
    ) -> UploadResult:
        try:
            return Upload(
                transport=self._transport,
                limits=self.ex_limits,
                options=options,
                target=target,
                is_secure=self._is_secure,
                must_not_change=must_not_change,
            ).run(source)
        except S3MultipartError as error:
            error.driver = self
            raise

    def _target(
        self,
        container: Container,
        object_name: str,
        extra: Mapping[str, Any] | None,
        headers: Mapping[str, Any] | None,
        storage_class: str | None,
        options: UploadOptions,
    ) -> wire.Target:
        """Turn libcloud's arguments into the object's place and headers; none of them is changed.

        :raises ValueError: for a storage class, key or header that cannot be, before any request.
        """
        extra = extra or {}
        given = header_rules.checked_headers(headers)
        storage = self._to_storage_class_headers(storage_class)
        if storage_class is None and f"{self.http_vendor_prefix}-storage-class" in given:
            storage = {}
        merged = {**given, **header_rules.checked_headers(storage)}
        content_type = extra.get("content_type")
        if content_type is not None or "content-type" not in merged:
            merged["content-type"] = header_rules.checked_value(
                "Content-Type", self._determine_content_type(content_type, object_name)
            )
        merged.update(
            header_rules.metadata_headers(extra.get("meta_data"), prefix=self.http_vendor_prefix)
        )
        if extra.get("acl"):
            merged[f"{self.http_vendor_prefix}-acl"] = header_rules.checked_value(
                "acl", extra["acl"]
            )
        if options.if_none_match is not None:
            merged["if-none-match"] = options.if_none_match
        if options.if_match is not None:
            merged["if-match"] = f'"{wire.unquoted(options.if_match) or ""}"'
        check_bucket(container.name)
        check_key(object_name, container=container.name, max_bytes=self.ex_limits.max_key_bytes)
        return wire.Target(bucket=container.name, key=object_name, headers=merged)

    def _put_small_file(
        self,
        path: str,
        target: wire.Target,
        container: Container,
        extra: Mapping[str, Any] | None,
        *,
        verify_hash: bool,
    ) -> Object:
        """Upload a file by one ``PUT`` through :meth:`_upload_object`, which others may replace."""
        sent = self._upload_object(
            object_name=target.key,
            content_type=target.headers["content-type"],
            request_path=self._get_object_path(container, target.key),
            request_method="PUT",
            headers=dict(target.headers),
            file_path=path,
            stream=None,
        )
        response = sent["response"]
        if int(response.status) not in (200, 201):
            raise S3MultipartError(
                f"PutObject failed for {target.bucket}/{target.key}: HTTP {response.status}",
                http_status=int(response.status),
                container=target.bucket,
                object_name=target.key,
                driver=self,
            )
        headers = {name.lower(): value for name, value in response.headers.items()}
        etag = (headers.get("etag") or "").replace('"', "")
        is_comparable = not header_rules.is_opaque_etag(headers)
        if verify_hash and is_comparable and etag != sent["data_hash"]:
            raise ChecksumMismatchError(
                f"PutObject of {target.bucket}/{target.key}: the MD5 of the file is "
                f"{sent['data_hash']}, the service answered ETag {etag}",
                container=target.bucket,
                object_name=target.key,
                driver=self,
            )
        result = UploadResult(
            size=sent["bytes_transferred"],
            etag=etag,
            upload_id=None,
            parts=1,
            part_size_bytes=sent["bytes_transferred"],
            checksum=None,
            version_id=headers.get("x-amz-version-id"),
            seconds=0.0,
        )
        return self._to_object(result, container, target.key, extra)

    def _bare_target(self, container: Container, object_name: str, upload_id: str) -> wire.Target:
        check_bucket(container.name)
        check_key(object_name, container=container.name, max_bytes=self.ex_limits.max_key_bytes)
        wire.check_upload_id(upload_id)
        return wire.Target(bucket=container.name, key=object_name, headers={})

    def _to_object(
        self,
        result: UploadResult,
        container: Container,
        object_name: str,
        extra: Mapping[str, Any] | None,
    ) -> Object:
        extra = extra or {}
        return Object(
            name=object_name,
            size=result.size,
            hash=result.etag,
            extra={
                "acl": extra.get("acl"),
                "etag": result.etag,
                "upload_id": result.upload_id,
                "parts": result.parts,
                "part_size_bytes": result.part_size_bytes,
                "checksum": result.checksum,
                "version_id": result.version_id,
                "seconds": result.seconds,
            },
            meta_data=extra.get("meta_data") or {},
            container=container,
            driver=self,
        )
