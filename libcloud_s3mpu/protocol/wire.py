# SPDX-License-Identifier: Apache-2.0
"""The multipart verbs and their neighbours as pairs: a request value, and the reader of its answer.

A request says nothing about hosts, signatures or time; an answer's reader returns a value or raises
one of our errors, and believes a 200 only after it has read the body. Sending is
:mod:`libcloud_s3mpu.transfer.connection`'s, order is :mod:`.session`'s.
"""

from __future__ import annotations

import re
import hashlib
from dataclasses import replace, dataclass
from collections.abc import Mapping, Sequence

from . import xml
from . import headers as header_rules
from .errors import UploadMissingError, InvalidRequestError
from .limits import S3_CHECKSUMS
from .session import UploadedPart
from .messages import (
    Body,
    Bytes,
    S3Request,
    S3Response,
    malformed,
    context_of,
    parse_body,
    service_error,
    raise_for_status,
)
from .integrity import BodyCheck, BodyDigests, compare

_UPLOAD_ID = re.compile(rb"<UploadId>([^<>]+)</UploadId>")
#: S3 may take minutes over a complete and sends white space meanwhile (CompleteMultipartUpload,
#: Amazon S3 API Reference, read 2026-11).
COMPLETE_PATIENCE_SECONDS = 600.0
#: Part answers and aborts have no body to speak of.
SMALL_ANSWER = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The object of an upload: its place, and the caller's checked headers (lower-case names)."""

    bucket: str
    key: str
    headers: Mapping[str, str]

    def headers_for(self, operation: str) -> dict[str, str]:
        """Give those headers that belong on ``operation`` (see :mod:`.headers`)."""
        return header_rules.for_request(self.headers, operation)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """What a PUT or a complete confirmed: ETag without quotes (None if the service named none)."""

    etag: str | None
    version_id: str | None = None
    checksum: str | None = None
    checksum_type: str | None = None
    is_opaque: bool = False
    token: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PartPage:
    """One page of ListParts; ``next_marker`` is None on the last."""

    parts: tuple[UploadedPart, ...]
    next_marker: str | None


def unquoted(etag: str | None) -> str | None:
    """Give an ETag without its quotes; None if it is missing, empty, or cut in the middle."""
    if etag is None:
        return None
    etag = etag.strip()
    if len(etag) >= 2 and etag[0] == etag[-1] == '"':
        etag = etag[1:-1]
    return etag if etag and '"' not in etag and etag.isprintable() else None


# -- single PUT ----------------------------------------------------------------------------------


def put_request(target: Target, body: Body, digests: BodyDigests) -> S3Request:
    """Make the single ``PUT`` of a whole object."""
    return S3Request(
        operation="PutObject",
        method="PUT",
        bucket=target.bucket,
        key=target.key,
        headers={**digests.headers, **target.headers_for("put")}
        if not header_rules.has_body_check(target.headers)
        else target.headers_for("put"),
        body=body,
        payload_sha256=digests.sha256,
        answer_limit=SMALL_ANSWER,
    )


def put_result(request: S3Request, response: S3Response, digests: BodyDigests) -> StoredObject:
    """Read the answer to a single ``PUT``."""
    _check_answered(request, response, 200, 201)
    etag = unquoted(response.headers.get("etag"))
    if etag is not None:
        compare(request, response.headers, etag=etag, digests=digests)
    return _stored(response, etag=etag, digests=digests)


# -- initiate ------------------------------------------------------------------------------------


def initiate_request(target: Target, check: BodyCheck, *, token: str | None = None) -> S3Request:
    """Make the ``POST ?uploads`` that begins an upload and declares the parts' checksum.

    :param token: metadata by which the object will be known for this upload's.
    """
    headers = target.headers_for("initiate")
    if token is not None:
        headers[header_rules.TOKEN_HEADER] = token
    if check.s3_algorithm:
        headers["x-amz-checksum-algorithm"] = check.s3_algorithm
        if check.is_full_object:
            headers["x-amz-checksum-type"] = "FULL_OBJECT"
    return S3Request(
        operation="CreateMultipartUpload",
        method="POST",
        bucket=target.bucket,
        key=target.key,
        query=(("uploads", ""),),
        headers=headers,
        is_repeatable=False,
        answer_limit=SMALL_ANSWER,
    )


def initiate_result(request: S3Request, response: S3Response) -> str:
    """Read the upload id: opaque, but never empty and never with a control character."""
    raise_for_status(request, response, 200)
    root = parse_body(request, response, root="InitiateMultipartUploadResult")
    upload_id = xml.text_of(root, "UploadId")
    if not upload_id or not upload_id.isprintable():
        raise malformed(request, response, "it has no usable UploadId")
    return upload_id


def upload_id_in(cut: bytes) -> str | None:
    """Give the upload id in an answer to initiate that was cut behind it; None if there is none.

    Nobody but who asked for that upload gets such an answer: it proves whose the upload is.
    """
    found = _UPLOAD_ID.search(cut)
    if b"<InitiateMultipartUploadResult" not in cut or found is None:
        return None
    from html import unescape  # Its tables are large, and this is rare.

    upload_id = unescape(found.group(1).decode("utf-8", "replace"))
    return upload_id if upload_id.isprintable() else None


# -- upload part ---------------------------------------------------------------------------------


def upload_part_request(
    target: Target, *, upload_id: str, part_number: int, body: Body, digests: BodyDigests
) -> S3Request:
    """Make the ``PUT ?partNumber=N&uploadId=U`` of one part."""
    return S3Request(
        operation="UploadPart",
        method="PUT",
        bucket=target.bucket,
        key=target.key,
        query=(("partNumber", str(part_number)), ("uploadId", upload_id)),
        headers={**target.headers_for("part"), **digests.headers},
        body=body,
        payload_sha256=digests.sha256,
        answer_limit=SMALL_ANSWER,
        upload_id=upload_id,
        part_number=part_number,
    )


def upload_part_result(
    request: S3Request, response: S3Response, digests: BodyDigests
) -> UploadedPart:
    """Read the answer to a part: a 200 without a whole ETag is no answer (a cut head has none)."""
    _check_answered(request, response, 200)
    etag = unquoted(response.headers.get("etag"))
    if etag is None:
        raise malformed(request, response, "it has no whole ETag")
    compare(request, response.headers, etag=etag, digests=digests)
    assert request.part_number is not None and request.body is not None
    return UploadedPart(
        part_number=request.part_number,
        size=request.body.size,
        etag=etag,
        checksum=digests.checksum,
    )


# -- complete ------------------------------------------------------------------------------------


def complete_request(
    target: Target, *, upload_id: str, parts: Sequence[UploadedPart], check: BodyCheck
) -> S3Request:
    """Make the ``POST ?uploadId=U`` that joins ``parts``, in the order of their numbers."""
    name = f"Checksum{check.s3_algorithm}" if check.s3_algorithm else None
    items = []
    for part in parts:
        fields = [("PartNumber", str(part.part_number)), ("ETag", f'"{part.etag}"')]
        if name and part.checksum:
            fields.append((name, part.checksum))
        items.append(("Part", fields))
    headers = target.headers_for("complete")
    headers["content-type"] = "application/xml"
    if check.checks_object_size:
        # S3 refuses to join parts that do not make this many bytes (CompleteMultipartUpload, Amazon
        # S3 API Reference, read 2026-11); Backblaze refuses headers that it does not know.
        headers["x-amz-mp-object-size"] = str(sum(part.size for part in parts))
    # Its body is small: signing it is the check that every service makes.
    text = xml.build("CompleteMultipartUpload", items)
    if check.is_full_object:
        headers["x-amz-checksum-type"] = "FULL_OBJECT"
        # Its value could be said here too, and S3 would compare it. But MiniStack 1.5 compares it
        # with this request's own body, and each part's value is in that.
    return S3Request(
        operation="CompleteMultipartUpload",
        method="POST",
        bucket=target.bucket,
        key=target.key,
        query=(("uploadId", upload_id),),
        headers=headers,
        body=Bytes(text),
        payload_sha256=hashlib.sha256(text).hexdigest(),
        answer_limit=SMALL_ANSWER,
        patience_seconds=COMPLETE_PATIENCE_SECONDS,
        is_repeatable=False,
        upload_id=upload_id,
    )


def complete_result(request: S3Request, response: S3Response, check: BodyCheck) -> StoredObject:
    """Read the answer to complete: a 200 counts only with the right root element."""
    raise_for_status(request, response, 200)
    root = parse_body(request, response, root="CompleteMultipartUploadResult")
    stored = _stored(response, etag=unquoted(xml.text_of(root, "ETag")), digests=None)
    name = f"Checksum{check.s3_algorithm}" if check.s3_algorithm else None
    return StoredObject(
        etag=stored.etag,
        version_id=stored.version_id,
        checksum=(xml.text_of(root, name) or None) if name else None,
        checksum_type=xml.text_of(root, "ChecksumType"),
        is_opaque=stored.is_opaque,
    )


# -- abort, list parts, head ---------------------------------------------------------------------


def abort_request(target: Target, *, upload_id: str) -> S3Request:
    """Make the ``DELETE ?uploadId=U`` that frees the parts."""
    return S3Request(
        operation="AbortMultipartUpload",
        method="DELETE",
        bucket=target.bucket,
        key=target.key,
        query=(("uploadId", upload_id),),
        headers=target.headers_for("other"),
        answer_limit=SMALL_ANSWER,
        upload_id=upload_id,
    )


def abort_result(request: S3Request, response: S3Response) -> None:
    """Read the answer to abort: an upload that is not there any more is what was wanted.

    :raises ContainerMissingError: if it is the container that is not there.
    """
    if response.status in (200, 204):
        return
    error = service_error(request, response)
    if response.status != 404 or error.s3_code == "NoSuchBucket":
        raise error


def list_parts_request(
    target: Target, *, upload_id: str, marker: str | None = None, max_parts: int = 1000
) -> S3Request:
    """Make the ``GET ?uploadId=U`` of one page of parts after part number ``marker``."""
    query = [("max-parts", str(max_parts)), ("uploadId", upload_id)]
    if marker is not None:
        query.append(("part-number-marker", marker))
    return S3Request(
        operation="ListParts",
        method="GET",
        bucket=target.bucket,
        key=target.key,
        query=tuple(query),
        headers=target.headers_for("other"),
        upload_id=upload_id,
    )


def list_parts_result(request: S3Request, response: S3Response) -> PartPage:
    """Read one page of parts; Ceph 16 answers an unknown upload with NoSuchKey."""
    if response.status == 404:
        error = service_error(request, response)
        if error.s3_code in (None, "NoSuchKey", "NoSuchUpload"):
            raise UploadMissingError(
                error.value, http_status=404, s3_code=error.s3_code, **context_of(request)
            )
        raise error
    raise_for_status(request, response, 200)
    # moto 5.2 calls it ListPartsResponse.
    root = parse_body(request, response, root="ListPartsResult", also="ListPartsResponse")
    parts = []
    for element in xml.children(root, "Part"):
        number, size = xml.text_of(element, "PartNumber"), xml.text_of(element, "Size")
        etag = unquoted(xml.text_of(element, "ETag"))
        if not (number or "").isdecimal() or not (size or "").isdecimal() or etag is None:
            raise malformed(request, response, "a part in it lacks its number, size or ETag")
        parts.append(UploadedPart(part_number=int(number or 0), size=int(size or 0), etag=etag))
    marker = xml.text_of(root, "NextPartNumberMarker")
    truncated = (xml.text_of(root, "IsTruncated") or "").strip().lower() == "true"
    # Swift says "truncated" with an empty marker for ever: a page that leads nowhere is the last.
    return PartPage(parts=tuple(parts), next_marker=marker if truncated and marker else None)


def head_request(target: Target, *, wants_checksum: bool = False) -> S3Request:
    """Make the ``HEAD`` of the object; with SSE-KMS its checksum needs the right to decrypt."""
    headers = target.headers_for("part")
    if wants_checksum:
        headers["x-amz-checksum-mode"] = "ENABLED"
    return S3Request(
        operation="HeadObject", method="HEAD", bucket=target.bucket, key=target.key, headers=headers
    )


def head_result(request: S3Request, response: S3Response) -> tuple[int, StoredObject]:
    """Read the answer to HEAD: size in bytes, and what is stored."""
    raise_for_status(request, response, 200)
    length = response.headers.get("content-length", "")
    if not length.isdecimal():
        raise malformed(request, response, "it has no Content-Length")
    stored = _stored(response, etag=unquoted(response.headers.get("etag")), digests=None)
    names = [f"x-amz-checksum-{name.lower()}" for name in S3_CHECKSUMS]
    return int(length), replace(
        stored,
        checksum=next((response.headers[name] for name in names if name in response.headers), None),
        checksum_type=response.headers.get("x-amz-checksum-type"),
        token=response.headers.get(header_rules.TOKEN_HEADER),
    )


# -- shared --------------------------------------------------------------------------------------


def _check_answered(request: S3Request, response: S3Response, *good: int) -> None:
    raise_for_status(request, response, *good)
    if b"<Error" in response.body[:1024]:
        raise service_error(request, response)


def _stored(response: S3Response, *, etag: str | None, digests: BodyDigests | None) -> StoredObject:
    version = response.headers.get("x-amz-version-id")
    return StoredObject(
        etag=etag,
        version_id=version if version and version != "null" else None,
        checksum=digests.checksum if digests else None,
        is_opaque=header_rules.is_opaque_etag(response.headers),
    )


def check_upload_id(upload_id: str) -> None:
    """Refuse what cannot be an upload id before it goes into a request.

    :raises InvalidRequestError: if it is empty or holds a control character.
    """
    if not isinstance(upload_id, str) or not upload_id or not upload_id.isprintable():
        raise InvalidRequestError(f"{upload_id!r} is not an upload id")
