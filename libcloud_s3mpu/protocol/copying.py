# SPDX-License-Identifier: Apache-2.0
"""The verbs that copy on the service, as pairs: a request value, and the reader of its answer.

CopyObject and UploadPartCopy, and what is asked of a source before and instead: HEAD, a range of
its bytes. Every request after the HEAD is pinned to the ETag that it named, so that a source that
changes is an error and never a mixture. Which parts a copy has is :mod:`.copyplan`'s business, its
tags are :mod:`.tagging`'s.
"""

from __future__ import annotations

from dataclasses import field, replace, dataclass
from urllib.parse import quote
from collections.abc import Mapping

from . import xml
from . import headers as header_rules
from .wire import SMALL_ANSWER, COMPLETE_PATIENCE_SECONDS, Target, StoredObject, unquoted
from .errors import (
    ServiceError,
    S3MultipartError,
    SourceChangedError,
    ChecksumMismatchError,
    is_final,
)
from .session import UploadedPart
from .endpoint import encode_key
from .messages import (
    S3Request,
    S3Response,
    described,
    malformed,
    context_of,
    parse_body,
    service_error,
)
from .checksums import is_md5
from .integrity import BodyCheck

_SSE_C = "server-side-encryption-customer-"
#: The key that a source was encrypted with, as the caller names it and as the copies send it.
SOURCE_KEY = tuple(f"x-amz-copy-source-{_SSE_C}{end}" for end in ("algorithm", "key", "key-md5"))
#: What a copy keeps of its source besides ``x-amz-meta-*`` (CopyObject's own list, Amazon S3 API
#: Reference, read 2026-11: "all metadata that is not system-controlled").
KEPT_HEADERS = (
    "content-type",
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "expires",
)
#: The ETag of no bytes: what a service answers that ignores ``x-amz-copy-source``.
_EMPTY_MD5 = "d41d8cd98f00b204e9800998ecf8427e"


class CopyUnsupportedError(ServiceError):
    """This service cannot copy (501), or not this source; bytes must go through the client."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CopySource:
    """An object that is copied from.

    :param version_id: a version other than the newest one.
    :param etag: without quotes, once it is known; what every request is pinned to.
    :param headers: checked, lower-case: who pays, whose bucket, and the SSE-C key by the names that
        reading has for it.
    """

    bucket: str
    key: str
    version_id: str | None = None
    etag: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def query(self) -> tuple[tuple[str, str], ...]:
        """What names the version in a request of its own."""
        return (("versionId", self.version_id),) if self.version_id is not None else ()

    @property
    def is_sealed(self) -> bool:
        """Whether it is under a customer's key."""
        return not header_rules.SSE_CUSTOMER.isdisjoint(self.headers)

    def copy_headers(self) -> dict[str, str]:
        """Give the headers that name this source, and pin it, in a copy's request.

        The value is decoded once by the service: ``%`` and ``+`` of a key are encoded, ``/`` stays.
        """
        value = f"{quote(self.bucket, safe='-._~')}/{encode_key(self.key)}"
        if self.version_id is not None:
            value += f"?versionId={quote(self.version_id, safe='-._~')}"
        found = {"x-amz-copy-source": value}
        if self.etag is not None:
            found["x-amz-copy-source-if-match"] = f'"{self.etag}"'
        for name, wire_name in zip(sorted(header_rules.SSE_CUSTOMER), SOURCE_KEY, strict=True):
            if name in self.headers:
                found[wire_name] = self.headers[name]
        if "x-amz-request-payer" in self.headers:
            found["x-amz-request-payer"] = self.headers["x-amz-request-payer"]
        if "x-amz-expected-bucket-owner" in self.headers:
            owner = self.headers["x-amz-expected-bucket-owner"]
            found["x-amz-source-expected-bucket-owner"] = owner
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundSource:
    """What HEAD said of a source.

    :param source: pinned to the ETag that was seen.
    :param size: bytes.
    :param headers: :data:`KEPT_HEADERS` and ``x-amz-meta-*``, as an upload sends them.
    :param tag_count: how many tags it has, as far as these keys may know.
    :param is_opaque: its ETag is no MD5 of its bytes.
    """

    source: CopySource
    size: int
    headers: Mapping[str, str]
    tag_count: int
    is_opaque: bool

    @property
    def etag(self) -> str:
        assert self.source.etag is not None
        return self.source.etag


def source_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Give those of a call's checked headers that reading its source needs."""
    names = zip(sorted(header_rules.SSE_CUSTOMER), SOURCE_KEY, strict=True)
    found = {name: headers[wire_name] for name, wire_name in names if wire_name in headers}
    if "x-amz-request-payer" in headers:
        found["x-amz-request-payer"] = headers["x-amz-request-payer"]
    if "x-amz-source-expected-bucket-owner" in headers:
        found["x-amz-expected-bucket-owner"] = headers["x-amz-source-expected-bucket-owner"]
    return found


# -- the source: HEAD, a range ------------------------------------------------------------------


def _of_source(source: CopySource, operation: str, **more: object) -> S3Request:
    request = S3Request(
        operation=operation,
        method="HEAD" if operation == "HeadObject" else "GET",
        bucket=source.bucket,
        key=source.key,
        query=source.query,
        headers=dict(source.headers),
    )
    return replace(request, **more)  # type: ignore[arg-type]


def head_source_request(source: CopySource) -> S3Request:
    """Make the ``HEAD`` of a source; pinned if its ETag is known."""
    headers = dict(source.headers)
    if source.etag is not None:
        headers["if-match"] = f'"{source.etag}"'
    return _of_source(source, "HeadObject", headers=headers)


def head_source_result(request: S3Request, response: S3Response, source: CopySource) -> FoundSource:
    """Read the answer to :func:`head_source_request`: without an ETag there is nothing to pin.

    :raises SourceChangedError: if it was pinned, and has changed.
    """
    _check_source_answer(request, response, 200)
    length = response.headers.get("content-length", "")
    etag = unquoted(response.headers.get("etag"))
    if not length.isdecimal() or etag is None:
        raise malformed(request, response, "it has no Content-Length or no ETag")
    count = response.headers.get("x-amz-tagging-count", "0")
    return FoundSource(
        source=replace(source, etag=etag),
        size=int(length),
        headers=_kept(response.headers),
        tag_count=int(count) if count.isdecimal() else 0,
        is_opaque=header_rules.is_opaque_etag(response.headers),
    )


def _kept(headers: Mapping[str, str]) -> dict[str, str]:
    kept = {name: headers[name] for name in KEPT_HEADERS if name in headers}
    # How the bytes were framed on their way in is no property of the object (Ceph, seen 2026-11).
    codings = [coding.strip() for coding in kept.pop("content-encoding", "").split(",")]
    codings = [coding for coding in codings if coding not in ("", "aws-chunked")]
    if codings:
        kept["content-encoding"] = ",".join(codings)
    for name, value in headers.items():
        if name.startswith("x-amz-meta-"):
            plain = header_rules.decode_metadata_value(value)
            kept[name] = header_rules.encode_metadata_value(name, plain)
    return kept


def range_request(source: CopySource, *, first: int, size: int) -> S3Request:
    """Make the ``GET`` of ``size`` bytes (at least 1) from offset ``first``, pinned."""
    headers = {**source.headers, "range": f"bytes={first}-{first + size - 1}"}
    if source.etag is not None:
        headers["if-match"] = f'"{source.etag}"'
    return _of_source(source, "GetObject", headers=headers, answer_limit=size)


def range_result(request: S3Request, response: S3Response, *, first: int, size: int) -> bytes:
    """Read a range: the status, the place and the number of its bytes must all be what was asked.

    A whole object is its own range: some services answer 200 then.

    :raises SourceChangedError: if the source has changed.
    """
    _check_source_answer(request, response, 200, 206)
    unit, _, place = response.headers.get("content-range", "").partition(" ")
    is_place = unit == "bytes" and place.startswith(f"{first}-{first + size - 1}/")
    if len(response.body) != size or (response.status == 206 and not is_place):
        raise malformed(
            request,
            replace(response, body=b""),
            f"it is not the {size} bytes from offset {first} ({len(response.body)} bytes came)",
        )
    if response.status == 200 and first:
        raise malformed(request, replace(response, body=b""), "the range was ignored")
    return response.body


def _check_source_answer(request: S3Request, response: S3Response, *good: int) -> None:
    if response.status not in good:
        raise _meant(request, service_error(request, response))


# -- copying ------------------------------------------------------------------------------------


def copy_object_request(
    target: Target, source: CopySource, *, replaces_metadata: bool, replaces_tags: bool
) -> S3Request:
    """Make the ``PUT`` that copies a whole object at once.

    :param replaces_metadata: the target's headers are the new object's, all of them; else content
        headers and metadata are the source's.
    """
    headers = {
        name: value
        for name, value in target.headers_for("initiate").items()
        if replaces_metadata or not is_kept_header(name)
    }
    headers["x-amz-metadata-directive"] = "REPLACE" if replaces_metadata else "COPY"
    if replaces_tags:
        headers["x-amz-tagging-directive"] = "REPLACE"
    return S3Request(
        operation="CopyObject",
        method="PUT",
        bucket=target.bucket,
        key=target.key,
        headers={**headers, **source.copy_headers()},
        answer_limit=SMALL_ANSWER,
        patience_seconds=COMPLETE_PATIENCE_SECONDS,
    )


def is_kept_header(name: str) -> bool:
    """Tell whether a header is one that a copy takes over: content headers and metadata."""
    return name in KEPT_HEADERS or name.startswith("x-amz-meta-")


def copy_object_result(
    request: S3Request, response: S3Response, found: FoundSource
) -> StoredObject:
    """Read the answer to CopyObject: a 200 may hold an error, behind white space.

    :raises ChecksumMismatchError: if both ETags are MD5s of the bytes, and differ.
    """
    root = _answer(request, response, root="CopyObjectResult")
    etag = unquoted(xml.text_of(root, "ETag"))
    if etag is None:
        raise malformed(request, response, "it has no whole ETag")
    is_opaque = header_rules.is_opaque_etag(response.headers)
    is_comparable = not (is_opaque or found.is_opaque) and is_md5(etag) and is_md5(found.etag)
    if is_comparable and etag.lower() != found.etag.lower():
        raise ChecksumMismatchError(
            f"{request.operation} of {request.bucket}/{request.key}: the source has MD5 "
            f"{found.etag}, the copy {etag}",
            **context_of(request),
        )
    version = response.headers.get("x-amz-version-id")
    return StoredObject(
        etag=etag,
        version_id=version if version and version != "null" else None,
        is_opaque=is_opaque,
    )


def copy_part_request(
    target: Target,
    source: CopySource,
    *,
    upload_id: str,
    part_number: int,
    first: int | None = None,
    size: int | None = None,
) -> S3Request:
    """Make the ``PUT ?partNumber=N&uploadId=U`` of a part that the service copies.

    :param first: offset in the source; None copies the whole source. S3 takes no range of objects
        of 5 MiB or less (UploadPartCopy, Amazon S3 API Reference, read 2026-11).
    :param size: bytes (at least 1), with ``first``.
    """
    headers = {**target.headers_for("part"), **source.copy_headers()}
    if first is not None:
        assert size is not None and size > 0
        headers["x-amz-copy-source-range"] = f"bytes={first}-{first + size - 1}"
    return S3Request(
        operation="UploadPartCopy",
        method="PUT",
        bucket=target.bucket,
        key=target.key,
        query=(("partNumber", str(part_number)), ("uploadId", upload_id)),
        headers=headers,
        answer_limit=SMALL_ANSWER,
        patience_seconds=COMPLETE_PATIENCE_SECONDS,
        upload_id=upload_id,
        part_number=part_number,
    )


def copy_part_result(
    request: S3Request, response: S3Response, *, size: int, check: BodyCheck | None = None
) -> UploadedPart:
    """Read the answer to UploadPartCopy; Ceph 16 writes its ETag without quotes.

    :param size: bytes that were asked for: the answer does not say.
    :param check: that of the upload: its checksum of this part is computed by the service.
    """
    root = _answer(request, response, root="CopyPartResult")
    etag = unquoted(xml.text_of(root, "ETag"))
    if etag is None:
        raise malformed(request, response, "it has no whole ETag")
    assert request.part_number is not None
    name = check.s3_algorithm if check is not None else None
    return UploadedPart(
        part_number=request.part_number,
        size=size,
        etag=etag,
        checksum=xml.text_of(root, f"Checksum{name}") if name else None,
    )


def _answer(request: S3Request, response: S3Response, *, root: str) -> xml.Element:
    if response.status != 200:
        raise _meant(request, service_error(request, response))
    if not response.body and unquoted(response.headers.get("etag")) == _EMPTY_MD5:
        # It took the request for one with an empty body: no copy, whatever the status says.
        raise CopyUnsupportedError(
            f"{described(request)}: the service ignored x-amz-copy-source",
            http_status=200,
            **context_of(request),
        )
    try:
        return parse_body(request, response, root=root)
    except ServiceError as error:
        raise _meant(request, error) from None


def _meant(request: S3Request, error: S3MultipartError) -> S3MultipartError:
    """Give the error that a refusal means where there is a source: it is named."""
    named = request.headers.get("x-amz-copy-source")
    text = f"{error.value} (source {named})" if named is not None else error.value
    cls = type(error)
    if error.http_status == 412 or error.s3_code == "PreconditionFailed":
        cls = SourceChangedError
        text = f"{text}\nThe source has changed since the copy began; it was not mixed"
    elif error.http_status == 501 or error.s3_code == "NotImplemented":
        cls = CopyUnsupportedError
    elif error.http_status == 400 and SOURCE_KEY[1] in request.headers and is_final(error):
        # HEAD took that key: the service cannot copy what is under one (Ceph 16, seen 2026-11).
        cls = CopyUnsupportedError
    if cls is type(error):
        error.value = text
        error.args = (text,)
        return error
    return cls(
        text,
        http_status=error.http_status,
        s3_code=error.s3_code,
        request_id=error.request_id,
        **context_of(request),
    )
