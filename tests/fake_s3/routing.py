# SPDX-License-Identifier: Apache-2.0
"""From a raw request to the operation it asks for, with bucket, key and query decoded once.

No state is consulted here, so that a fault can be chosen from a request's head alone. The reader
goes next to ``state.py``.
"""

from __future__ import annotations

import re
from typing import Final, Literal
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes
from collections.abc import Mapping

from tests.fake_s3.messages import Request, S3Error

Damage = Literal["received", "stored", "stored_silently"]

OPERATIONS: Final = frozenset(
    {
        "ListBuckets", "CreateBucket", "HeadBucket", "DeleteBucket", "GetBucketLocation",
        "ListObjects", "ListObjectsV2", "DeleteObjects", "PutObject", "CopyObject", "GetObject",
        "HeadObject", "DeleteObject", "InitiateMultipartUpload", "UploadPart", "UploadPartCopy",
        "CompleteMultipartUpload", "AbortMultipartUpload", "ListParts", "ListMultipartUploads",
        "PostObject",
        "GetObjectTagging", "CreateSession",
    }
)  # fmt: skip

#: Operations whose request has a body, and must say how long it is.
WITH_BODY: Final = frozenset(
    {"PutObject", "UploadPart", "CompleteMultipartUpload", "DeleteObjects", "PostObject"}
)

# What S3 knows and this fake does not: better a 501 than an object called by accident.
_UNKNOWN: Final = frozenset(
    {
        "accelerate", "acl", "analytics", "attributes", "cors", "encryption", "inventory",
        "legal-hold", "lifecycle", "logging", "metrics", "notification", "object-lock",
        "ownershipControls", "policy", "policyStatus", "publicAccessBlock", "replication",
        "requestPayment", "restore", "retention", "select", "session", "tagging", "torrent",
        "versionId", "versioning", "versions", "website", "append", "renameObject",
    }
)  # fmt: skip

_BAD_ESCAPE = re.compile("%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request, understood. ``damage`` is a fault's wish, obeyed where bytes are stored."""

    operation: str
    request: Request
    bucket: str = ""
    key: str = ""
    query: Mapping[str, str]
    damage: Damage | None = None

    @property
    def body(self) -> bytes:
        return self.request.body

    def header(self, name: str) -> str | None:
        return self.request.header(name)

    @property
    def upload_id(self) -> str | None:
        return self.query.get("uploadId")

    @property
    def part_number(self) -> int | None:
        text = self.query.get("partNumber", "")
        return int(text) if text.isascii() and text.isdigit() else None


def decode(text: str) -> str:
    """Percent-decode once. ``+`` stays ``+``."""
    if _BAD_ESCAPE.search(text) or not text.isascii():
        raise S3Error("InvalidURI", URI=ascii(text))
    try:
        return unquote_to_bytes(text).decode("utf-8")
    except UnicodeDecodeError as error:
        raise S3Error("InvalidURI", URI=text) from error


def split_target(target: str) -> tuple[str, list[tuple[str, str]]]:
    """The raw path, and the query's pairs decoded in the order given (``+`` is a blank there)."""
    path, _, query = target.partition("?")
    if not path.startswith("/") or "#" in target:
        raise S3Error("InvalidURI", URI=ascii(target))
    pairs = []
    for item in query.split("&") if query else ():
        name, _, value = item.partition("=")
        pairs.append((decode(name.replace("+", " ")), decode(value.replace("+", " "))))
    return path, pairs


def _address(request: Request, path: str, vhost_domain: str | None) -> tuple[str, str]:
    host = (request.header("host") or "").rpartition(":")
    name = (host[0] if host[0] and host[2].isdigit() else host[0] + host[1] + host[2]).lower()
    if vhost_domain and name.endswith("." + vhost_domain.lower()):
        return name[: -len(vhost_domain) - 1], decode(path[1:])
    bucket, _, key = path[1:].partition("/")
    return decode(bucket), decode(key)


def _of_bucket(method: str, query: Mapping[str, str], is_form: bool) -> str:
    if method == "GET":
        if "location" in query:
            return "GetBucketLocation"
        if "session" in query:
            return "CreateSession"
        if "uploads" in query:
            return "ListMultipartUploads"
        return "ListObjectsV2" if query.get("list-type") == "2" else "ListObjects"
    if method == "POST":
        return "DeleteObjects" if "delete" in query else "PostObject" if is_form else ""
    return {"PUT": "CreateBucket", "HEAD": "HeadBucket", "DELETE": "DeleteBucket"}.get(method, "")


def _of_object(method: str, query: Mapping[str, str], copies: bool) -> str:
    if method == "PUT":
        # One of the two alone is a client's mistake, never an object: the handler refuses it.
        if "uploadId" in query or "partNumber" in query:
            return "UploadPartCopy" if copies else "UploadPart"
        return "CopyObject" if copies else "PutObject"
    if method == "POST":
        if "uploads" in query:
            return "InitiateMultipartUpload"
        return "CompleteMultipartUpload" if "uploadId" in query else ""
    if method == "GET":
        if "tagging" in query:
            return "GetObjectTagging"
        return "ListParts" if "uploadId" in query else "GetObject"
    if method == "DELETE":
        return "AbortMultipartUpload" if "uploadId" in query else "DeleteObject"
    return "HeadObject" if method == "HEAD" else ""


def parse(request: Request, vhost_domain: str | None = None) -> Call:
    """:raises S3Error: for a target that cannot be read or an operation the fake does not have."""
    path, pairs = split_target(request.target)
    query: dict[str, str] = {}
    for name, value in pairs:
        query.setdefault(name, value)
    bucket, key = _address(request, path, vhost_domain)
    unknown = _UNKNOWN & query.keys()
    known = {"tagging"} if key else {"session"}
    if unknown and not (unknown == known and request.method == "GET"):
        raise S3Error("NotImplemented", f"The fake has no {sorted(_UNKNOWN & query.keys())}")
    if key:
        copies = request.header("x-amz-copy-source") is not None
        operation = _of_object(request.method, query, copies)
    elif bucket:
        is_form = (request.header("content-type") or "").startswith("multipart/form-data")
        operation = _of_bucket(request.method, query, is_form)
    else:
        operation = "ListBuckets" if request.method == "GET" else ""
    if not operation:
        raise S3Error("MethodNotAllowed", Method=request.method)
    return Call(operation=operation, request=request, bucket=bucket, key=key, query=query)
