# SPDX-License-Identifier: Apache-2.0
"""The small objects beside an upload: put (on a condition), get, head, delete, list.

Requests are values and answers are judged here; sending and retrying is :class:`.objects.Objects`.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from dataclasses import field, dataclass
from email.utils import parsedate_to_datetime
from collections.abc import Mapping

from ..protocol import xml, wire
from ..protocol.messages import (
    Bytes,
    S3Request,
    S3Response,
    malformed,
    parse_body,
    raise_for_status,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Got:
    """A small object, or its head: bytes, ETag without quotes, headers by lower-case name."""

    body: bytes = field(default=b"", repr=False)
    etag: str | None
    size: int
    headers: Mapping[str, str] = field(repr=False)

    @property
    def age_seconds(self) -> float | None:
        """How old it is at least, by the service's own clock; None where it does not say.

        Both dates are whole seconds: what was put at 10.9 and is asked for at 11.0 is not 1 s old.
        """
        try:
            now = parsedate_to_datetime(self.headers["date"])
            then = parsedate_to_datetime(self.headers["last-modified"])
            return max(0.0, (now - then).total_seconds() - 1.0)
        except (KeyError, TypeError, ValueError):
            return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One line of a listing."""

    key: str
    size: int
    modified: str | None


def quoted(etag: str) -> str:
    """Give an ETag as conditions carry it."""
    return f'"{etag}"'


def put_request(
    bucket: str,
    key: str,
    body: bytes,
    *,
    headers: Mapping[str, str],
    if_match: str | None = None,
    if_none_match: bool = False,
    is_quoted: bool = True,
) -> S3Request:
    """Make the ``PUT`` of a small object; its body is signed, which every service verifies.

    :param if_match: an ETag that must be there now.
    :param if_none_match: nothing must be there now.
    :param is_quoted: write the ETag as HTTP has it.
    """
    conditions = {}
    if if_match is not None:
        conditions["if-match"] = quoted(if_match) if is_quoted else if_match
    if if_none_match:
        conditions["if-none-match"] = "*"
    return S3Request(
        operation="PutObject",
        method="PUT",
        bucket=bucket,
        key=key,
        headers={**headers, **conditions},
        body=Bytes(body),
        payload_sha256=hashlib.sha256(body).hexdigest(),
        answer_limit=wire.SMALL_ANSWER,
    )


def put_result(request: S3Request, response: S3Response) -> str | None:
    """Read the answer to a put: the ETag, if the service names one."""
    raise_for_status(request, response, 200, 201)
    return wire.unquoted(response.headers.get("etag"))


def get_request(bucket: str, key: str, *, limit: int) -> S3Request:
    """Make the ``GET`` of a whole small object."""
    return S3Request(
        operation="GetObject", method="GET", bucket=bucket, key=key, answer_limit=limit
    )


def get_result(request: S3Request, response: S3Response) -> Got:
    """Read the answer to a get."""
    raise_for_status(request, response, 200)
    return Got(
        body=response.body,
        etag=wire.unquoted(response.headers.get("etag")),
        size=len(response.body),
        headers=response.headers,
    )


def head_request(bucket: str, key: str) -> S3Request:
    """Make the ``HEAD`` of an object."""
    return S3Request(operation="HeadObject", method="HEAD", bucket=bucket, key=key)


def head_result(request: S3Request, response: S3Response) -> Got:
    """Read the answer to a head."""
    size, stored = wire.head_result(request, response)
    return Got(etag=stored.etag, size=size, headers=response.headers)


def delete_request(bucket: str, key: str) -> S3Request:
    """Make the ``DELETE`` of an object."""
    return S3Request(
        operation="DeleteObject",
        method="DELETE",
        bucket=bucket,
        key=key,
        answer_limit=wire.SMALL_ANSWER,
    )


def delete_result(request: S3Request, response: S3Response) -> None:
    """Read the answer to a delete: an object that is not there is what was wanted."""
    if response.status != 404 or b"NoSuchBucket" in response.body:
        raise_for_status(request, response, 200, 204)


def list_request(bucket: str, *, prefix: str, token: str | None) -> S3Request:
    """Make the ``GET ?list-type=2`` of one page of the objects below a prefix."""
    query = [("list-type", "2"), ("prefix", prefix)]
    if token is not None:
        query.append(("continuation-token", token))
    return S3Request(operation="ListObjectsV2", method="GET", bucket=bucket, query=tuple(query))


def list_result(request: S3Request, response: S3Response) -> tuple[list[Listed], str | None]:
    """Read one page; the second is the token of the next one."""
    raise_for_status(request, response, 200)
    root = parse_body(request, response, root="ListBucketResult")
    found = []
    for element in xml.children(root, "Contents"):
        key, size = xml.text_of(element, "Key"), xml.text_of(element, "Size")
        if not key or not (size or "").isdecimal():
            raise malformed(request, response, "an object in it lacks its Key or Size")
        modified = xml.text_of(element, "LastModified")
        found.append(Listed(key=key, size=int(size or 0), modified=modified))
    is_truncated = (xml.text_of(root, "IsTruncated") or "").strip().lower() == "true"
    token = xml.text_of(root, "NextContinuationToken")
    return found, token if is_truncated and token else None


def moment(text: str | None) -> datetime | None:
    """Read a date as XML listings have it; None for what is none."""
    try:
        return datetime.fromisoformat((text or "").replace("Z", "+00:00"))
    except ValueError:
        return None
