# SPDX-License-Identifier: Apache-2.0
"""``MultipartUpload``: assigned to a record's file in place of a stream, it begins a direct upload.

Knows no Invenio. :mod:`.storage` begins it, :mod:`.uploads` completes and aborts it later.
"""

from __future__ import annotations

from typing import Any

from .files import ObjectFile
from ...direct import DirectUpload
from ...protocol.errors import InvalidRequestError


class MultipartUpload:
    """A file that a client will send straight to the bucket.

    ``files["name"] = MultipartUpload(...)`` begins it; then :attr:`session` is for the client.

    :param key: the file's name in the record.
    :param base_uri: the location's URI, if it is to be checked.
    :param expires: seconds that the upload may take; ``S3_MULTIPART_UPLOAD_EXPIRATION`` if None.
    :param size: the file's exact size in bytes.
    :param part_size: bytes of each part; 20 MiB if None, more where the number of parts asks it.
    :param complete_url: the app's own, for the session (:mod:`.views` has such).
    :param abort_url: the same.
    :ivar direct: the server's half of the upload, once it has begun.
    """

    def __init__(
        self,
        key: str,
        base_uri: str | None = None,
        expires: int | None = None,
        size: int = 0,
        content_type: str = "application/octet-stream",
        complete_url: str | None = None,
        abort_url: str | None = None,
        part_size: int | None = None,
    ) -> None:
        self.key = key
        self.base_uri = base_uri
        self.expires = expires
        self.size = size
        self.content_type = content_type
        self.complete_url = complete_url
        self.abort_url = abort_url
        self.part_size = part_size
        self.direct: DirectUpload | None = None

    def __repr__(self) -> str:
        return f"<MultipartUpload {self.key!r} {self.size} bytes>"

    def begin(self, file: ObjectFile, *, fileurl: str, expires_seconds: int) -> DirectUpload:
        """Begin it on the service.

        :raises InvalidRequestError: (a ValueError) if it was begun already, is for another
            location, or cannot be.
        """
        if self.direct is not None:
            raise InvalidRequestError(f"{self!r} was begun already")
        if self.base_uri is not None and not fileurl.startswith(self.base_uri.rstrip("/") + "/"):
            raise InvalidRequestError(f"{self!r} is not for this location")
        lives = self.expires if self.expires is not None else expires_seconds
        self.direct = file.driver.ex_create_direct_upload(
            file.container,
            file.key,
            self.size,
            part_size_bytes=self.part_size,
            content_type=self.content_type,
            upload_expires_seconds=lives,
        )
        return self.direct

    @property
    def saved(self) -> str:
        """The saved form, for the app's own store; no URL, no key."""
        return self._begun().saved

    @property
    def session(self) -> dict[str, Any]:
        """What the client needs, as oarepo-s3 calls it; JSON-able, with fresh URLs each time.

        ``parts_url`` has the URL of each part. ``checksum_update`` is ``etag``: the client gives
        each part's ETag when it completes.
        """
        direct = self._begun()
        ticket = direct.as_dict()
        return {
            **{name: ticket[name] for name in _COMMON},
            "key": ticket["object_name"],
            "bucket": ticket["container"],
            "chunk_size": ticket["part_size_bytes"],
            "num_chunks": ticket["number_of_parts"],
            "parts_url": {str(part["part_number"]): part["url"] for part in ticket["parts"]},
            "origin": direct.plan.endpoint,
            "checksum_update": "etag",
            "complete_url": self.complete_url,
            "finish_url": self.complete_url,
            "abort_url": self.abort_url,
        }

    @property
    def ticket(self) -> dict[str, Any]:
        """The same for :class:`~libcloud_s3mpu.DirectUploadClient`, whose ``server`` is the app.

        It completes by no URL of the service: the app would not learn of it.
        """
        none: dict[str, Any] = {"complete_url": None, "abort_url": None, "list_parts_urls": []}
        return {**self._begun().as_dict(), **none}

    def _begun(self) -> DirectUpload:
        if self.direct is None:
            raise InvalidRequestError(f"{self!r} has not begun: assign it to a file first")
        return self.direct


_COMMON = ("method", "upload_id", "size_bytes", "headers", "urls_expire_at", "expires_at")
