# SPDX-License-Identifier: Apache-2.0
"""The driver: libcloud's signatures outside, the road inside.

A door: it turns libcloud's arguments into values, asks :class:`~.transfer.upload.Upload` to do the
work, and turns the result into libcloud's :class:`Object`. How an upload runs is told by
:mod:`libcloud_s3mpu.transfer.upload`; other services in :mod:`.services`.
"""

from __future__ import annotations

import os
import stat
from typing import Any
from collections.abc import Callable

from libcloud.storage.base import Object, Container
from libcloud.storage.drivers.s3 import REGION_TO_HOST_MAP, S3StorageDriver

from .cors import CorsExtensions
from .keys import KeyExtensions
from .copying import CopyExtensions
from .presign import PresignExtensions
from .probing import ProbeExtensions
from .reading import ReadingMethods
from .protocol import headers as header_rules
from .sessions import SessionExtensions
from .upstream import UpstreamHelpers
from .arguments import host_of, typed_by_path
from .containers import ContainerMethods
from .maintenance import MaintenanceExtensions
from .direct_uploads import DirectUploadExtensions
from .protocol.limits import S3_LIMITS, EXPRESS_LIMITS, Limits
from .protocol.options import UploadOptions
from .protocol.endpoint import (
    EXPRESS,
    Endpoint,
    Addressing,
    bracketed,
    checked_host,
    signing_name,
    region_of_host,
)
from .protocol.partsize import DEFAULT_PART_SIZE
from .transfer.transport import Transport
from .transfer.connection import S3MultipartConnection
from .transfer.credentials import GivenCredentials

__all__ = ["AmazonS3MultipartDriver"]

_KNOWN_REGION = "us-east-1"


class AmazonS3MultipartDriver(
    ReadingMethods,
    ContainerMethods,
    UpstreamHelpers,
    SessionExtensions,
    CopyExtensions,
    MaintenanceExtensions,
    PresignExtensions,
    DirectUploadExtensions,
    CorsExtensions,
    ProbeExtensions,
    KeyExtensions,
    S3StorageDriver,  # type: ignore[misc]
):
    """Amazon S3 with parallel, bounded multipart uploads; a drop-in for libcloud's S3 driver.

    One driver may be used by any number of threads at once.

    :cvar ex_limits: what the service accepts (:class:`~libcloud_s3mpu.protocol.limits.Limits`).
    """

    name = "Amazon S3"
    region_name: str = "us-east-1"
    connectionCls = S3MultipartConnection
    ex_limits: Limits = S3_LIMITS
    ex_location_name: str = ""

    def __init__(
        self,
        key: str = "",
        secret: str | None = None,
        secure: bool = True,
        host: str | None = None,
        port: int | None = None,
        region: str | None = None,
        token: str | None = None,
        ex_options: UploadOptions | None = None,
        ex_endpoint_url: str | None = None,
        ex_addressing: Addressing = "auto",
        ex_credentials: Callable[[], GivenCredentials] | None = None,
        ex_pickles_credentials: bool = False,
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

        :param ex_credentials: gives the keys instead: asked before the first request, before they
            expire, and when the service refuses them; in any thread.
        :type ex_credentials: ``callable``

        :param ex_pickles_credentials: a pickle of this driver holds its keys (see :mod:`.keys`).
        :type ex_pickles_credentials: ``bool``
        """
        if ex_credentials is None and not key:
            raise TypeError("a driver needs key and secret, or ex_credentials")
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
        host = checked_host(host, port)
        wanted = region or region_of_host(host) or type(self).region_name
        if host is None:
            host = host_of(wanted)
        # Upstream knows a closed map of regions and refuses others even with a host: it is given
        # one that it knows, and the right one is set afterwards (the signer reads it at each
        # request). These are this instance's attributes; no class is written to.
        super().__init__(
            key,
            secret=secret or "",  # Upstream shifts its arguments where there is none.
            secure=secure,
            host=host,
            port=port,
            region=wanted if wanted in REGION_TO_HOST_MAP else _KNOWN_REGION,
            token=token,
            **kwargs,
        )
        self.region = wanted
        self.region_name = wanted
        own = str(type(self).name)
        self.name = f"Amazon S3 ({wanted})" if own.startswith("Amazon S3") else own
        if endpoint is None:
            http = self.connection
            scheme = "https" if http.secure else "http"
            endpoint = Endpoint(scheme, bracketed(http.host), int(http.port), "", ex_addressing)
        self.connection.endpoint = endpoint
        self._know_place(endpoint, wanted)
        self._use_source(ex_credentials, pickles=ex_pickles_credentials)
        self._transport = Transport(self.connection)

    def __setstate__(self, state: dict[str, Any]) -> None:
        made = {name: state[name] for name in ("timeout", "retry_delay", "backoff", "proxy_url")}
        endpoint = state["endpoint"]
        AmazonS3MultipartDriver.__init__(
            self,
            state["key"] or "-",
            state["secret"],
            secure=endpoint.scheme == "https",
            host=endpoint.host,
            port=endpoint.port,
            region=state["region"],
            token=state["token"],
            ex_addressing=endpoint.addressing,
            ex_credentials=state["call"],
            ex_pickles_credentials=state["pickles"],
            **made,
        )
        self.__dict__.update(state["rest"])
        self.connection.endpoint = endpoint
        self.connection.connection.verify = state["verify"]
        self.connection.connection.ca_cert = state["ca_cert"]

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
            ``parts``, ``part_size_bytes``, ``checksum``, ``version_id``, ``seconds`` and
            ``orphan_suspects`` (ids of uploads that a lost answer may have left).
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
            it with the ETag, where the service knows MD5s (S3 Express does not). False leaves the
            integrity to ``checksum`` of the options.
        :type verify_hash: ``bool``
        """
        options = UploadOptions.checked(ex_options or self.ex_options)
        if verify_hash:
            options = self._hashed(options)
        path = os.fspath(file_path)
        extra = typed_by_path(extra, headers, path)
        upload = self._ex_prepared(
            container, object_name, extra, headers, ex_storage_class, options
        )
        seen = os.stat(path)
        # A pipe or a device has no size, and may bring more than fits into memory.
        is_small = stat.S_ISREG(seen.st_mode) and (
            seen.st_size <= (options.part_size_bytes or DEFAULT_PART_SIZE)
        )
        if is_small and ex_options is None:
            return self._put_object(
                container,
                object_name,
                extra=extra,
                file_path=path,
                verify_hash=verify_hash,
                storage_class=ex_storage_class,
                headers=headers,
            )
        with open(path, "rb") as file:
            return upload.run(file)

    # -- extensions ------------------------------------------------------------------------------

    @property
    def ex_transport(self) -> str:
        """``lean`` (a socket borrowed from libcloud's session) or ``plain`` (libcloud's own way).

        :rtype: ``str``
        """
        return self._transport.kind

    # -- upstream's helpers, which others call or patch ------------------------------------------

    def _know_place(self, endpoint: Endpoint, region: str) -> None:
        """Take from the host what else follows from it on AWS."""
        if self.ex_limits is S3_LIMITS and signing_name(endpoint.host) == EXPRESS:
            self.ex_limits = EXPRESS_LIMITS
        if not self.ex_location_name and region != _KNOWN_REGION and ".amazonaws." in endpoint.host:
            self.ex_location_name = region  # What create_container tells AWS.

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
            options = self._hashed(options)
        upload = self._ex_prepared(
            container, object_name, extra, headers, storage_class, options, must_not_change=False
        )
        return upload.run(stream)

    def _headers_to_object(
        self, object_name: str, container: Container, headers: dict[str, str]
    ) -> Object:
        """Upstream's, with metadata as it was before it was encoded for its headers."""
        found = super()._headers_to_object(
            object_name=object_name, container=container, headers=headers
        )
        decode = header_rules.decode_metadata_value
        found.meta_data = {
            name: decode(value)
            for name, value in found.meta_data.items()
            if name != header_rules.TOKEN  # Ours, not the app's (transfer/begin.py).
        }
        return found
