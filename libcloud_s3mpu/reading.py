# SPDX-License-Identifier: Apache-2.0
"""The driver's reading side: downloads, streams, ranges, one object's headers, listings.

A mixin of :class:`~libcloud_s3mpu.driver.AmazonS3MultipartDriver` with libcloud's signatures. How a
download runs is told by :mod:`.transfer.download`, a listing by :mod:`.transfer.keylist`.
"""

from __future__ import annotations

import os
from typing import Any
from collections.abc import Mapping, Iterator

from libcloud.common.types import LibcloudError
from libcloud.storage.base import Object, Container

from .protocol import wire
from .arguments import naming, readable_place
from .protocol.errors import InvalidRequestError
from .protocol.limits import Limits
from .protocol.options import UploadOptions
from .transfer.attempt import retried
from .protocol.endpoint import check_bucket
from .protocol.messages import service_error
from .transfer.transport import Transport

#: Bytes of a chunk unless the caller says: what upstream yields at most.
CHUNK_SIZE = 5 * 1024 * 1024
VERIFY = ("auto", "md5", None)


class ReadingMethods:
    """libcloud's methods that read; any thread may call them, any number at once."""

    connection: Any
    ex_limits: Limits
    ex_options: UploadOptions
    _transport: Transport

    def download_object(
        self,
        obj: Object,
        destination_path: str,
        overwrite_existing: bool = False,
        delete_on_failure: bool = True,
        ex_verify: str | None = "auto",
        ex_options: UploadOptions | None = None,
        ex_headers: Mapping[str, Any] | None = None,
    ) -> bool:
        """
        @inherits: :class:`StorageDriver.download_object`

        Large objects come in ranges side by side, in a few MiB of memory. The file has its name
        only when it is whole and on the disk; a broken connection is replaced by another that goes
        on where it broke, with the same object or with :class:`ObjectChangedError`.

        :param delete_on_failure: False leaves what came of the object, from its beginning and
            without a gap, in the file's place.
        :type delete_on_failure: ``bool``

        :param ex_verify: ``"auto"`` compares the CRC of the whole object, where the service has
            one and it is cheap; ``"md5"`` an MD5 besides, if the ETag is one; None neither.
        :type ex_verify: ``str``

        :param ex_options: of these, ``part_size_bytes`` (of a range), ``memory_budget_bytes``,
            ``concurrency`` and ``retry`` count.
        :type ex_options: :class:`UploadOptions`

        :param ex_headers: go with every request of the read: the key of an SSE-C object
            (``x-amz-server-side-encryption-customer-*``), ``x-amz-request-payer``,
            ``x-amz-expected-bucket-owner``.
        :type ex_headers: ``dict``

        :return: False if the object is not as long as ``obj`` says.
        :rtype: ``bool``
        """
        return self._download(
            obj,
            destination_path,
            None,
            overwrites=overwrite_existing,
            keeps=not delete_on_failure,
            verify=ex_verify,
            options=ex_options,
            headers=ex_headers,
        )

    def download_object_range(
        self,
        obj: Object,
        destination_path: str,
        start_bytes: int,
        end_bytes: int | None = None,
        overwrite_existing: bool = False,
        delete_on_failure: bool = True,
        ex_options: UploadOptions | None = None,
        ex_headers: Mapping[str, Any] | None = None,
    ) -> bool:
        """
        @inherits: :class:`StorageDriver.download_object_range`

        A range from byte 0 of an empty object is an empty file.

        :param ex_options: as for :meth:`download_object`, and so are ``ex_headers``.
        :type ex_options: :class:`UploadOptions`
        """
        self._validate_start_and_end_bytes(start_bytes=start_bytes, end_bytes=end_bytes)  # type: ignore[attr-defined]
        return self._download(
            obj,
            destination_path,
            (start_bytes, end_bytes),
            overwrites=overwrite_existing,
            keeps=not delete_on_failure,
            verify=None,
            options=ex_options,
            headers=ex_headers,
        )

    def download_object_as_stream(
        self,
        obj: Object,
        chunk_size: int | None = None,
        ex_headers: Mapping[str, Any] | None = None,
    ) -> Iterator[bytes]:
        """
        @inherits: :class:`StorageDriver.download_object_as_stream`

        Every chunk but the last has ``chunk_size`` bytes (5 MiB if None); an empty object is one
        empty chunk. A broken connection is replaced by another that goes on where it broke.
        Closing the generator closes the connection.

        :param ex_headers: as for :meth:`download_object`.
        :type ex_headers: ``dict``
        """
        return self._stream(obj, chunk_size, 0, None, ex_headers)

    def download_object_range_as_stream(
        self,
        obj: Object,
        start_bytes: int,
        end_bytes: int | None = None,
        chunk_size: int | None = None,
        ex_headers: Mapping[str, Any] | None = None,
    ) -> Iterator[bytes]:
        """
        @inherits: :class:`StorageDriver.download_object_range_as_stream`

        As :meth:`download_object_as_stream`; a range from byte 0 of an empty object is empty.
        """
        self._validate_start_and_end_bytes(start_bytes=start_bytes, end_bytes=end_bytes)  # type: ignore[attr-defined]
        return self._stream(obj, chunk_size, start_bytes, end_bytes, ex_headers)

    def get_object(
        self,
        container_name: str,
        object_name: str,
        ex_headers: Mapping[str, Any] | None = None,
    ) -> Object:
        """
        @inherits: :class:`StorageDriver.get_object`

        One HEAD; the container is asked for only if the object is not there.

        :raises ObjectMissingError: (libcloud's ObjectDoesNotExistError) if it is not.
        :param ex_headers: as for :meth:`download_object`.
        :type ex_headers: ``dict``
        """
        if not self._transport.is_known_class and not ex_headers:
            # A replaced HTTP class (a mock) is asked what upstream would ask.
            return super().get_object(container_name, object_name)  # type: ignore[misc]
        container = Container(name=container_name, extra=None, driver=self)
        request = wire.head_request(readable_place(container, object_name, ex_headers))

        def once(_: int) -> Any:
            response = self._transport.call(request)
            if response.status not in (200, 404):
                raise service_error(request, response)
            return response

        with naming(self):
            response = retried(once, policy=self.ex_options.retry, sender=self._transport)
            if response.status == 404:
                self.get_container(container_name=container_name)  # type: ignore[attr-defined]
                raise service_error(request, response)
        return self._headers_to_object(  # type: ignore[attr-defined]
            object_name=object_name, container=container, headers=response.headers
        )

    def iterate_container_objects(
        self, container: Container, prefix: str | None = None, ex_prefix: str | None = None
    ) -> Iterator[Object]:
        """
        @inherits: :class:`StorageDriver.iterate_container_objects`

        Any number of objects, page by page in constant memory, in the service's order.
        """
        from .transfer import keylist

        check_bucket(container.name)
        wanted = self._normalize_prefix_argument(prefix, ex_prefix) or ""  # type: ignore[attr-defined]
        is_exact = self.ex_limits.lists_any_prefix or wanted.endswith("/")
        asked = wanted if is_exact else wanted[: wanted.rfind("/") + 1]
        with naming(self):
            for page in keylist.iterate_pages(
                self._transport,
                container.name,
                prefix=asked or None,
                policy=self.ex_options.retry,
                knows_v2=self.ex_limits.has_list_v2,
            ):
                for key, size, etag, modified, owner_id, owner_name in page:
                    if not is_exact and not key.startswith(wanted):
                        continue
                    yield Object(
                        name=key,
                        size=size,
                        hash=etag,
                        extra={"last_modified": modified},
                        meta_data={"owner": {"id": owner_id, "display_name": owner_name}},
                        container=container,
                        driver=self,
                    )

    # -- private ---------------------------------------------------------------------------------

    def _stream(
        self,
        obj: Object,
        chunk_size: int | None,
        start: int,
        end: int | None,
        headers: Mapping[str, Any] | None,
    ) -> Iterator[bytes]:
        """Give a generator whose connection is open: errors come now, as upstream's do."""
        from .transfer.ranged import Ranged

        size = chunk_size or CHUNK_SIZE
        if not isinstance(size, int) or size < 0:
            raise InvalidRequestError(f"chunk_size must be a number of bytes, not {chunk_size!r}")
        target = readable_place(obj.container, obj.name, headers)
        ranged = Ranged(self._transport, target, policy=self.ex_options.retry, start=start, end=end)
        with naming(self):
            ranged.open()
        chunks = self._named(ranged.chunks(size))
        next(chunks)
        return chunks

    def _named(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        with naming(self):
            yield from chunks

    def _download(
        self,
        obj: Object,
        destination_path: str,
        span: tuple[int, int | None] | None,
        *,
        overwrites: bool,
        keeps: bool,
        verify: str | None,
        options: UploadOptions | None,
        headers: Mapping[str, Any] | None,
    ) -> bool:
        from .transfer.landing import Landing
        from .transfer.download import Download

        if verify not in VERIFY:
            raise ValueError(f'ex_verify must be "auto", "md5" or None, not {verify!r}')
        chosen = UploadOptions.checked(options or self.ex_options)
        target = readable_place(obj.container, obj.name, headers)
        path = self._file_path(obj, destination_path, overwrites=overwrites)
        download = Download(
            transport=self._transport,
            target=target,
            options=chosen,
            landing=Landing(path, replaces=overwrites),
            size=int(obj.size),
            span=span,
            verify=verify,
            asks_checksum=bool(self.ex_limits.checksums),
        )
        try:
            with naming(self):
                return download.run(keeps=keeps)
        except FileExistsError as error:  # It was made meanwhile.
            raise self._already(path) from error

    def _already(self, path: str) -> LibcloudError:
        return LibcloudError(
            value=f"File {path} already exists, but overwrite_existing=False", driver=self
        )

    def _file_path(self, obj: Object, destination_path: str, *, overwrites: bool) -> str:
        """Give the file's path, by upstream's rules and in its words.

        :raises LibcloudError: if the folder does not exist, or the file does.
        :raises InvalidRequestError: (a ValueError) for a name that would leave the folder.
        """
        given = os.fspath(destination_path)
        path = given
        if not os.path.basename(given):
            if not os.path.exists(given):
                raise LibcloudError(value=f"Path {given} does not exist", driver=self)
            path = os.path.join(given, obj.name)
            inside = os.path.abspath(given)
            if os.path.commonpath([inside, os.path.abspath(path)]) != inside:
                raise InvalidRequestError(
                    f"the object's name {obj.name!r} leads out of {given}; name the file itself"
                )
        if os.path.exists(path) and not overwrites:
            raise self._already(path)
        if os.path.isdir(path):
            raise IsADirectoryError(f"{path} is a folder; with a slash behind it, it is filled")
        return path
