# SPDX-License-Identifier: Apache-2.0
"""Presigned URLs and forms, for clients that have no keys; computed here, nothing is sent.

A mixin of :class:`~libcloud_s3mpu.driver.AmazonS3MultipartDriver`. A URL is exactly what the
driver's own endpoint makes (port, base path, addressing style), signed with the keys and the region
of now and by the service's clock. The signing itself is :mod:`.protocol.presigning`; uploads made
of many such URLs are :mod:`.direct`.
"""

from __future__ import annotations

import time
import logging
from typing import TYPE_CHECKING, Any
from collections.abc import Mapping, Iterable

from libcloud.storage.base import Object, Container
from libcloud.storage.drivers.s3 import S3_CDN_URL_EXPIRY_HOURS

from .arguments import naming, place_of, readable_place
from .protocol.errors import InvalidRequestError
from .protocol.limits import Limits
from .protocol.endpoint import check_bucket
from .transfer.credentials import CredentialsError

if TYPE_CHECKING:
    from .protocol.presigning import Presigner, UploadForm

log = logging.getLogger("libcloud_s3mpu.presign")

#: An hour: what other S3 clients take, and enough for a part on a slow line.
EXPIRES_SECONDS = 3600


class PresignExtensions:
    """``ex_`` methods that give URLs to others; any thread may call them."""

    connection: Any
    ex_limits: Limits

    def ex_presigner(
        self, expires_seconds: int = EXPIRES_SECONDS, container: Container | None = None
    ) -> Presigner:
        """
        Give what signs any number of URLs, all from now on and for the same time.

        Keys that run out earlier end their URLs: the time is shortened to theirs, with a warning
        in the log; ``expires_at`` of the result tells when.

        :param expires_seconds: 1 to 604,800, seven days.
        :type expires_seconds: ``int``

        :param container: the one that the URLs are for: S3 Express signs with keys for one
            container (that last five minutes); others need none.
        :type container: :class:`Container`

        :raises CredentialsError: if there are no keys, or they have run out.
        """
        from .protocol.presigning import Presigner, check_expires

        seconds = check_expires(expires_seconds)
        http = self.connection
        with naming(self):
            if http.has_sessions and container is None:
                raise InvalidRequestError("S3 Express presigns for one container: name it")
            signer, until = http.presigning(container.name if container is not None else "")
            now = time.time() + http.clock_offset
            if until is not None and until < now + seconds:
                left = int(until - now)
                if left < 1:
                    raise CredentialsError("the keys have run out: nothing can be presigned")
                log.warning("URLs are presigned for %d s, not %d: then the keys end", left, seconds)
                seconds = left
        amz_date = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
        return Presigner(signer, http.endpoint, amz_date=amz_date, expires_seconds=seconds)

    def get_object_cdn_url(
        self, obj: Object, ex_expiry: float = S3_CDN_URL_EXPIRY_HOURS, ex_method: str = "GET"
    ) -> str:
        """
        @inherits: :class:`S3StorageDriver.get_object_cdn_url`

        Right on any port and in both addressing styles, with the token of temporary keys.

        :param ex_expiry: hours, at most 168 (seven days); those of the environment's
            ``LIBCLOUD_S3_CDN_URL_EXPIRY_HOURS`` or 24.
        :type ex_expiry: ``float``

        :param ex_method: ``GET``, ``HEAD``, ``PUT`` or ``DELETE``.
        :type ex_method: ``str``
        """
        if ex_method not in ("GET", "HEAD", "PUT", "DELETE"):
            raise InvalidRequestError(f"ex_method must be GET, HEAD, PUT or DELETE: {ex_method!r}")
        if ex_method == "PUT":
            target = place_of(obj.container, obj.name, self.ex_limits)
        else:
            target = readable_place(obj.container, obj.name)
        presigner = self.ex_presigner(int(ex_expiry * 3600), obj.container)
        return presigner.url(ex_method, target.bucket, target.key)

    def ex_get_object_download_url(
        self,
        container: Container,
        object_name: str,
        expires_seconds: int = EXPIRES_SECONDS,
        overrides: Mapping[str, str] | None = None,
        version_id: str | None = None,
        method: str = "GET",
    ) -> str:
        """
        Give a URL that an object is read from, by ``GET`` or ``HEAD``.

        :param overrides: what the service answers instead of what was stored, by header name:
            ``{"content-disposition": 'attachment; filename="a.pdf"'}``. One of Cache-Control,
            Content-Disposition, -Encoding, -Language, -Type, and Expires.
        :type overrides: ``dict``
        """
        from .protocol.presigning import OVERRIDES

        if method not in ("GET", "HEAD"):
            raise InvalidRequestError(f"method must be GET or HEAD, not {method!r}")
        target = readable_place(container, object_name)
        query = []
        for name, value in (overrides or {}).items():
            lower = name.lower()
            parameter = lower if lower.startswith("response-") else f"response-{lower}"
            if parameter not in OVERRIDES:
                raise InvalidRequestError(f"S3 overrides no header {name!r}")
            query.append((parameter, value))
        if version_id is not None:
            query.append(("versionId", version_id))
        presigner = self.ex_presigner(expires_seconds, container)
        return presigner.url(method, target.bucket, target.key, query=query)

    def ex_get_object_upload_url(
        self,
        container: Container,
        object_name: str,
        expires_seconds: int = EXPIRES_SECONDS,
        content_type: str | None = None,
        size_bytes: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> str:
        """
        Give a URL that one object is PUT to.

        What is given here is signed: the client must send exactly these headers, and with
        ``size_bytes`` a body of exactly this length (``Content-Length``). Without ``size_bytes``
        the URL takes an object of any size.

        :param headers: further ones to sign, such as ``Content-MD5`` or ``x-amz-checksum-sha256``.
        :type headers: ``dict``
        """
        from .protocol.presigning import signed_headers

        target = place_of(container, object_name, self.ex_limits)
        if size_bytes is not None:
            self._check_size(size_bytes, self.ex_limits.max_single_put, "PUT")
        given = signed_headers(headers, content_type=content_type, size_bytes=size_bytes)
        presigner = self.ex_presigner(expires_seconds, container)
        return presigner.url("PUT", target.bucket, target.key, headers=given)

    def ex_get_part_upload_url(
        self,
        container: Container,
        object_name: str,
        upload_id: str,
        part_number: int,
        expires_seconds: int = EXPIRES_SECONDS,
        size_bytes: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> str:
        """
        Give a URL that one part of one upload is PUT to, and nothing else.

        :param part_number: 1 to the service's maximum.
        :type part_number: ``int``

        :param size_bytes: signed as ``Content-Length``: the only length that is taken.
        :type size_bytes: ``int``
        """
        sizes = None if size_bytes is None else {part_number: size_bytes}
        urls = self.ex_get_part_upload_urls(
            container, object_name, upload_id, [part_number], expires_seconds, sizes, headers
        )
        return urls[part_number]

    def ex_get_part_upload_urls(
        self,
        container: Container,
        object_name: str,
        upload_id: str,
        part_numbers: Iterable[int],
        expires_seconds: int = EXPIRES_SECONDS,
        sizes_bytes: Mapping[int, int] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[int, str]:
        """
        Give such URLs for many parts, by part number.

        :param sizes_bytes: part number -> the only length that is taken; of all parts, or None.
        :type sizes_bytes: ``dict``
        """
        from .protocol import wire
        from .protocol.presigning import signed_headers

        target = place_of(container, object_name, self.ex_limits)
        wire.check_upload_id(upload_id)
        numbers = list(part_numbers)
        check_part_numbers(numbers, self.ex_limits.max_parts)
        for number in numbers if sizes_bytes is not None else ():
            if number not in sizes_bytes:  # type: ignore[operator]
                raise InvalidRequestError(f"sizes_bytes has no size of part {number}")
            self._check_size(sizes_bytes[number], self.ex_limits.max_part_size, "part")  # type: ignore[index]
        given = signed_headers(headers)
        presigner = self.ex_presigner(expires_seconds, container)
        return presigner.part_urls(
            target.bucket,
            target.key,
            upload_id=upload_id,
            numbers=numbers,
            size_of=sizes_bytes,
            headers=given,
        )

    def ex_get_upload_verb_url(
        self,
        container: Container,
        object_name: str,
        verb: str,
        upload_id: str | None = None,
        expires_seconds: int = EXPIRES_SECONDS,
        headers: Mapping[str, str] | None = None,
    ) -> str:
        """
        Give a URL for one of a multipart upload's other requests.

        :param verb: ``initiate`` (``POST``), or with an upload id ``complete`` (``POST``),
            ``abort`` (``DELETE``) or ``list_parts`` (``GET``). Whoever completes by URL chooses
            the parts: :meth:`ex_create_direct_upload` completes on the app's side, with checks.
        :type verb: ``str``
        """
        from .protocol import wire
        from .protocol.presigning import signed_headers

        target = place_of(container, object_name, self.ex_limits)
        methods = {"initiate": "POST", "complete": "POST", "abort": "DELETE", "list_parts": "GET"}
        if verb not in methods:
            raise InvalidRequestError(f"verb must be one of {', '.join(methods)}, not {verb!r}")
        if (verb == "initiate") != (upload_id is None):
            raise InvalidRequestError("upload_id is for every verb but initiate")
        query = [("uploads", "")]
        if upload_id is not None:
            wire.check_upload_id(upload_id)
            query = [("uploadId", upload_id)]
        given = signed_headers(headers)
        presigner = self.ex_presigner(expires_seconds, container)
        return presigner.url(methods[verb], target.bucket, target.key, query=query, headers=given)

    def ex_get_upload_form(
        self,
        container: Container,
        max_size_bytes: int,
        object_name: str | None = None,
        prefix: str | None = None,
        min_size_bytes: int = 0,
        content_type: str | None = None,
        content_type_prefix: str | None = None,
        fields: Mapping[str, str] | None = None,
        expires_seconds: int = EXPIRES_SECONDS,
    ) -> UploadForm:
        """
        Give what an HTML form (or any ``multipart/form-data``) POSTs one object with.

        The service holds it to the policy: the key or its prefix, the size in bytes, the content
        type or its prefix, every field as it is.

        :param object_name: the exact key; or else ``prefix``, to which the file's name is added.
        :type object_name: ``str``

        :param fields: further fields of the form, such as ``acl`` or
            ``success_action_status``.
        :type fields: ``dict``

        :rtype: :class:`UploadForm`
        """
        check_bucket(container.name)
        if object_name is not None:
            place_of(container, object_name, self.ex_limits)
        self._check_size(max_size_bytes, self.ex_limits.max_single_put, "POST")
        return self.ex_presigner(expires_seconds, container).form(
            container.name,
            key=object_name,
            key_prefix=prefix,
            min_size_bytes=min_size_bytes,
            max_size_bytes=max_size_bytes,
            content_type=content_type,
            content_type_prefix=content_type_prefix,
            fields=fields,
        )

    # -- private ---------------------------------------------------------------------------------

    def _check_size(self, size_bytes: int, most: int, what: str) -> None:
        from .protocol.presigning import signed_headers

        signed_headers(size_bytes=size_bytes)
        if size_bytes > most:
            raise InvalidRequestError(f"one {what} takes {most} bytes, not {size_bytes}")


def check_part_numbers(numbers: Iterable[Any], max_parts: int) -> None:
    """Refuse what is no part number.

    :raises InvalidRequestError: unless all are whole numbers from 1 to ``max_parts``.
    """
    for number in numbers:
        if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= max_parts:
            raise InvalidRequestError(f"part_number must be 1 to {max_parts}, not {number!r}")
