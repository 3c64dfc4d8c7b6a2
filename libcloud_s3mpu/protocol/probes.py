# SPDX-License-Identifier: Apache-2.0
"""The requests of a probe, and what an answer to one of them means.

Small bodies with right and wrong checks, copies, listings and deletions as values; who sends them,
in which order, and who cleans up is :mod:`libcloud_s3mpu.transfer.probe`.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from collections.abc import Mapping

from . import xml
from .errors import S3MultipartError
from .endpoint import encode_key
from .findings import Answer, Finding
from .messages import Bytes, S3Request, S3Response
from .integrity import BodyCheck

BODY, OTHER = b"s3mpu probe\n", b"another body"
#: Checksums of :data:`BODY` and, by the same algorithm, of :data:`OTHER`. Written down so that no
#: wheel is needed to ask.
_SUMS = {
    "crc32": ("Pkdigg==", "4GQZPg=="),
    "crc32c": ("vIHlMQ==", "4cjvPg=="),
    "crc64nvme": ("0AngS3TZzs8=", "y2lZ9oJlbOQ="),
}
PLAIN = BodyCheck(algorithm=None, is_signed=True, checks_object_size=False)
NO_ETAG = '"00000000000000000000000000000000"'


def sums_of(name: str) -> tuple[str, str]:
    if name in _SUMS:
        return _SUMS[name]
    right, wrong = (hashlib.new(name, body, usedforsecurity=False) for body in (BODY, OTHER))
    return base64.b64encode(right.digest()).decode(), base64.b64encode(wrong.digest()).decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What came back: an answer, or the error in its place."""

    response: S3Response | None = None
    error: S3MultipartError | None = None

    @property
    def is_good(self) -> bool:
        return self.error is None

    @property
    def is_refusal(self) -> bool:
        """The service understood and said no; not a failure of the network or of itself."""
        status = self.error.http_status if self.error else None
        return status is not None and (status < 500 or status == 501)

    @property
    def words(self) -> str:
        if self.error is None:
            return ""
        status = self.error.http_status
        code = self.error.s3_code or type(self.error).__name__
        return f"HTTP {status} {code}" if status else code

    def header(self, name: str) -> str | None:
        return self.response.headers.get(name) if self.response else None

    def root(self) -> xml.Element | None:
        try:
            return xml.parse(self.response.body) if self.response else None
        except xml.XmlError:
            return None


# -- requests --------------------------------------------------------------------------------------


def put_request(
    bucket: str,
    key: str,
    *,
    headers: Mapping[str, str] | None = None,
    query: tuple[tuple[str, str], ...] = (),
    signed: str | None = "",
) -> S3Request:
    """Make the ``PUT`` of :data:`BODY` as an object, or as a part.

    :param signed: the hash that is signed: its own if empty, none at all if None.
    """
    return S3Request(
        operation="UploadPart" if query else "PutObject",
        method="PUT",
        bucket=bucket,
        key=key,
        query=query,
        headers=dict(headers or {}),
        body=Bytes(BODY),
        payload_sha256=hashlib.sha256(BODY).hexdigest() if signed == "" else signed,
    )


def part_copy_request(bucket: str, key: str, upload_id: str, source: str) -> S3Request:
    """Make the copy of ``source`` into part 3; whole: S3 copies no range of a small object."""
    return S3Request(
        operation="UploadPartCopy",
        method="PUT",
        bucket=bucket,
        key=key,
        query=(("partNumber", "3"), ("uploadId", upload_id)),
        headers={"x-amz-copy-source": f"/{bucket}/{encode_key(source)}"},
    )


def list_request(bucket: str, *query: tuple[str, str]) -> S3Request:
    """Make a ``GET`` of the container."""
    return S3Request(operation="ListObjects", method="GET", bucket=bucket, query=query)


def delete_request(bucket: str, key: str, version: str | None = None) -> S3Request:
    """Make the ``DELETE`` of an object, or of one version of it."""
    query = () if version is None else (("versionId", version),)
    return S3Request(operation="DeleteObject", method="DELETE", bucket=bucket, key=key, query=query)


# -- what an answer means --------------------------------------------------------------------------


def yes(is_so: bool) -> Answer:
    return Answer.YES if is_so else Answer.NO


def no(said: Said) -> Answer:
    """Give NO for a refusal; a failure, or a good answer that makes no sense, tells nothing."""
    return Answer.NO if said.is_refusal else Answer.UNKNOWN


def plainly(name: str, said: Said) -> Finding:
    return Finding(name=name, answer=Answer.YES if said.is_good else no(said), detail=said.words)


def refused(name: str, said: Said) -> Finding:
    """YES if a request that contradicts itself was refused, IGNORED if it was taken."""
    if said.is_good:
        return Finding(name=name, answer=Answer.IGNORED)
    if not said.is_refusal or (said.error and said.error.http_status == 501):
        return Finding(name=name, answer=no(said), detail=said.words)
    return Finding(name=name, answer=Answer.YES, detail=said.words)
