# SPDX-License-Identifier: Apache-2.0
"""What a direct-upload handler does on the service: begin, list, sign, complete, abort.

Stateless: the service itself binds an upload id to its key, and every operation names both, so an
id that was given for one key is unknown under any other. Knows no HTTP of its clients; the rules of
who may name which key are :mod:`.direct`'s.
"""

from __future__ import annotations

from typing import Any
from dataclasses import dataclass
from collections.abc import Mapping, Iterable, Sequence

from libcloud.storage.base import Container

from ..protocol import wire, checksums
from ..sessions import endpoint_of
from ..arguments import naming, place_of, target_of
from ..protocol.direct import PartsMismatchError, part_of
from ..protocol.errors import (
    ServiceError,
    SourceSizeError,
    UploadMissingError,
    InvalidRequestError,
)
from ..transfer.single import first_part, find_object
from ..protocol.listing import PAGE
from ..protocol.session import State, UploadedPart, UploadSession
from ..transfer.cleanup import abort_upload
from ..transfer.complete import complete_upload
from ..protocol.integrity import unchecked

#: Of problems with parts, so many are named.
_NAMED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectStore:
    """The operations on one container. Any thread.

    :param max_size_bytes: of an object; None for the service's own limit.
    :param expires_seconds: life time of what is signed.
    :param extra: of every object, as the driver's upload methods take it.
    """

    driver: Any
    container: Container
    max_size_bytes: int | None
    expires_seconds: int
    extra: Mapping[str, Any]

    def begin(self, key: str, content_type: str, metadata: Mapping[str, str]) -> str:
        """Initiate a multipart upload; give its id.

        :raises InvalidRequestError: if the metadata is more than the service takes.
        """
        extra = self._extra(content_type, metadata)
        try:
            found = self.driver.ex_initiate_upload(self.container, key, extra=extra)
        except ServiceError as error:
            if error.s3_code == "MetadataTooLarge":  # S3 has 2 KB, others have more.
                raise InvalidRequestError("the metadata is too large") from error
            raise
        return str(found.upload_id)

    def parts(self, key: str, upload_id: str) -> list[UploadedPart]:
        """List all parts of an upload.

        :raises UploadMissingError: if this key has no such upload.
        """
        found: list[UploadedPart] = self.driver.ex_list_parts(self.container, key, upload_id)
        return found

    def check(self, key: str, upload_id: str) -> None:
        """Make sure that this key has this upload; one small request.

        :raises UploadMissingError: if it has not.
        """
        wire.check_upload_id(upload_id)
        with naming(self.driver):
            first_part(
                self.driver._transport,
                self._target(key),
                upload_id,
                policy=self.driver.ex_options.retry,
            )

    def has_many_parts(self, key: str, upload_id: str) -> bool:
        """Tell whether an upload has parts that S3's first page of them does not name.

        :raises UploadMissingError: if this key has no such upload.
        """
        wire.check_upload_id(upload_id)
        with naming(self.driver):
            page = first_part(
                self.driver._transport,
                self._target(key),
                upload_id,
                policy=self.driver.ex_options.retry,
                after=PAGE,
            )
        return any(part.part_number > PAGE for part in page.parts)

    def sign_parts(self, key: str, upload_id: str, numbers: Sequence[int]) -> dict[int, str]:
        """Give a URL for each part of an upload that is there.

        :raises InvalidRequestError: for a number that is none; UploadMissingError.
        """
        urls: dict[int, str] = self.driver.ex_get_part_upload_urls(
            self.container, key, upload_id, numbers, self.expires_seconds
        )
        self.check(key, upload_id)
        return urls

    def sign_body(self, key: str, upload_id: str, number: int, sha256: str) -> str:
        """Give a URL for one part and for the one body that has this SHA-256.

        :raises InvalidRequestError: for what is none; UploadMissingError.
        """
        target = self._target(key)
        wire.check_upload_id(upload_id)
        url: str = self.driver.ex_presigner(self.expires_seconds).body_url(
            target.bucket, target.key, upload_id=upload_id, part_number=number, sha256=sha256
        )
        self.check(key, upload_id)
        return url

    def form(self, key: str, content_type: str, metadata: Mapping[str, str]) -> Any:
        """Give the form that one object is POSTed with: this key, this type, no more bytes."""
        most = int(self.driver.ex_limits.max_single_put)
        if self.max_size_bytes is not None:
            most = min(most, self.max_size_bytes)
        fields = self.headers(key, content_type, metadata)
        del fields["content-type"]
        # 201 brings the Location and the ETag in the body, whatever CORS lets a page see.
        return self.driver.ex_get_upload_form(
            self.container,
            max_size_bytes=most,
            object_name=key,
            content_type=content_type,
            fields={"success_action_status": "201", **fields},
            expires_seconds=self.expires_seconds,
        )

    def headers(
        self, key: str, content_type: str, metadata: Mapping[str, str] | None = None
    ) -> dict[str, str]:
        """Give the headers that describe a new object, for whoever makes it: no conditions.

        The default storage class is not said: some browsers' clients can send no such header.
        """
        described = self._described(key, content_type, metadata or {})
        usual = (f"{self.driver.http_vendor_prefix}-storage-class", "STANDARD")
        return {n: v for n, v in described.headers.items() if n[:3] != "if-" and (n, v) != usual}

    def put_url(self, key: str, headers: Mapping[str, str]) -> str:
        """Give a URL to PUT one object at, of any type and size, with these headers."""
        url: str = self.driver.ex_get_object_upload_url(
            self.container, key, expires_seconds=self.expires_seconds, headers=headers
        )
        return url

    def complete(self, key: str, upload_id: str, given: Iterable[Any]) -> str:
        """Join the parts that the client names, if they are what the service lists; give the ETag.

        Again is no error: an object that is just these parts is taken for it.

        :raises PartsMismatchError: if they are others; nothing was completed.
        :raises SourceSizeError: if they are too much; the upload was aborted.
        :raises UploadMissingError: if this key has no such upload.
        """
        named: dict[int, str] = {}
        for item in given:
            number, etag = part_of(item)
            if named.setdefault(number, etag) != etag:
                raise PartsMismatchError(f"part {number} is named twice, with two ETags")
        if not named:
            raise PartsMismatchError("no parts are named")
        try:
            listed = self.parts(key, upload_id)
        except UploadMissingError:
            before = self._completed_before(key, named)
            if before is None:
                raise
            return before
        self._compare(named, listed)
        size = sum(part.size for part in listed)
        if self.max_size_bytes is not None and size > self.max_size_bytes:
            self.abort(key, upload_id)
            raise SourceSizeError(f"{size} bytes are more than {self.max_size_bytes}")
        session = UploadSession(
            container=self.container.name,
            object_name=key,
            upload_id=upload_id,
            state=State.OPEN,
            endpoint=endpoint_of(self.driver.connection.endpoint),
            has_opaque_etags=not self.driver.ex_limits.has_md5_etags,
        )
        with naming(self.driver):
            stored = complete_upload(
                session=session,
                sender=self.driver._transport,
                target=self._target(key),
                parts=listed,
                check=unchecked(self.driver.ex_limits),
                policy=self.driver.ex_options.retry,
            )
        return stored.etag or checksums.composite_etag(part.etag for part in listed) or ""

    def abort(self, key: str, upload_id: str) -> None:
        """Free the parts; an upload that is gone is no error."""
        wire.check_upload_id(upload_id)
        with naming(self.driver):
            abort_upload(
                sender=self.driver._transport,
                target=self._target(key),
                upload_id=upload_id,
                policy=self.driver.ex_options.retry,
                verifies=True,
            )

    def verb_url(
        self, key: str, verb: str, upload_id: str | None, headers: Mapping[str, str] | None = None
    ) -> str:
        """Give a URL for one of the other requests of an upload, which must be there."""
        url: str = self.driver.ex_get_upload_verb_url(
            self.container, key, verb, upload_id, self.expires_seconds, headers
        )
        if upload_id is not None:
            self.check(key, upload_id)
        return url

    def location(self, key: str) -> str:
        """Give the object's URL, unsigned."""
        endpoint, bucket = self.driver.connection.endpoint, self.container.name
        host = endpoint.netloc(endpoint.host_for(bucket))
        return f"{endpoint.scheme}://{host}{endpoint.path(bucket, key)}"

    # -- private ---------------------------------------------------------------------------------

    def _target(self, key: str) -> wire.Target:
        return place_of(self.container, key, self.driver.ex_limits)

    def _extra(self, content_type: str, metadata: Mapping[str, str]) -> dict[str, Any]:
        meta = {**(self.extra.get("meta_data") or {}), **metadata}
        return {**self.extra, "content_type": content_type, "meta_data": meta}

    def _described(self, key: str, content_type: str, metadata: Mapping[str, str]) -> wire.Target:
        return target_of(
            self.driver,
            self.container,
            key,
            extra=self._extra(content_type, metadata),
            headers=None,
            storage_class=None,
            options=self.driver.ex_options,
        )

    def _compare(self, named: Mapping[int, str], listed: Sequence[UploadedPart]) -> None:
        """Hold the client's list against the service's; every part must be in both.

        :raises PartsMismatchError: which names the first that differ.
        """
        found = {part.part_number: part for part in listed}
        wrong = [
            number
            for number in sorted(found.keys() | named.keys())
            if number not in found or number not in named or found[number].etag != named[number]
        ]
        if wrong:
            some = ", ".join(str(number) for number in wrong[:_NAMED])
            raise PartsMismatchError(
                f"{len(wrong)} parts are not those that the service has, by number: {some}"
            )
        least = self.driver.ex_limits.min_part_size
        small = [part.part_number for part in listed[:-1] if part.size < least]
        if small:
            raise PartsMismatchError(f"part {small[0]} has less than {least} bytes")

    def _completed_before(self, key: str, named: Mapping[int, str]) -> str | None:
        """Give the object's ETag if it is the one that these parts make."""
        expected = checksums.composite_etag(named[number] for number in sorted(named))
        sender, policy = self.driver._transport, self.driver.ex_options.retry
        with naming(self.driver):
            found = find_object(sender, self._target(key), policy=policy)
        if found is None or expected is None or found[1].etag != expected:
            return None
        return expected


def check_metadata(metadata: Any) -> dict[str, str]:
    """Give metadata as a browser sends it: names to texts, numbers, true or null.

    :raises InvalidRequestError: for anything else.
    """
    if metadata is None:
        return {}
    if not isinstance(metadata, Mapping):
        raise InvalidRequestError("metadata must be an object of texts")
    found = {}
    for name, value in metadata.items():
        if value is None:
            continue
        if not isinstance(value, str | int | float):
            raise InvalidRequestError(f"metadata {name!r} must be a text")
        text = str(value).lower() if isinstance(value, bool) else str(value)
        found[str(name).lower()] = text
    return found
