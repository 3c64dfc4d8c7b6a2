# SPDX-License-Identifier: Apache-2.0
"""A bare client that signs and calls the fake in this process, for tests of the fake itself.

It computes what it must and judges nothing. Its clock and the fake's stand still at ``NOW``.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Any
from datetime import datetime, timezone
from xml.etree import ElementTree
from urllib.parse import quote
from collections.abc import Mapping

from tests.fake_s3 import sigv4
from tests.fake_s3.state import FakeS3
from tests.fake_s3.config import REGION, ACCESS_KEY, SECRET_KEY, FakeLimits
from tests.fake_s3.messages import Request, Response

NOW = datetime(2026, 9, 1, 12, 0, tzinfo=timezone.utc)
LIMITS = FakeLimits(min_part_size=5, max_part_size=50, max_parts=20, max_object_size=200)
CUSTOMER_KEY = b"k" * 32
SSE_C = {
    "x-amz-server-side-encryption-customer-algorithm": "AES256",
    "x-amz-server-side-encryption-customer-key": base64.b64encode(CUSTOMER_KEY).decode(),
    "x-amz-server-side-encryption-customer-key-md5": base64.b64encode(
        hashlib.md5(CUSTOMER_KEY).digest()
    ).decode(),
}


class Caller:
    """``call(method, target, body, headers)``; its shorthands work in bucket ``b``, key ``k``."""

    def __init__(self, fake: FakeS3) -> None:
        self.fake = fake

    def __call__(
        self,
        method: str,
        target: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        **signing: Any,
    ) -> Response:
        given = {"host": "fake", "content-length": str(len(body)), **(headers or {})}
        keys = {"access_key": ACCESS_KEY, "secret_key": SECRET_KEY, "region": REGION, "now": NOW}
        request = Request.of(method, target, given, body)
        return self.fake.handle(sigv4.sign(request, **{**keys, **signing}))

    def initiate(self, key: str = "k", headers: Mapping[str, str] | None = None) -> str:
        return texts(self("POST", f"/b/{key}?uploads", headers=headers), "UploadId")[0]

    def part(
        self, upload_id: str, number: int, body: bytes, headers: Mapping[str, str] | None = None
    ) -> Response:
        target = f"/b/k?partNumber={number}&uploadId={quote(upload_id, safe='')}"
        return self("PUT", target, body, headers)

    def complete(
        self, upload_id: str, parts: list[tuple[int, str]], headers: Mapping[str, str] | None = None
    ) -> Response:
        rows = "".join(f"<Part><PartNumber>{n}</PartNumber>{etag}</Part>" for n, etag in parts)
        body = f"<CompleteMultipartUpload>{rows}</CompleteMultipartUpload>".encode()
        return self("POST", f"/b/k?uploadId={quote(upload_id, safe='')}", body, headers)

    def whole(self, bodies: list[bytes], **complete: Any) -> Response:
        upload_id = self.initiate()
        rows = [(n, tag(self.part(upload_id, n, body))) for n, body in enumerate(bodies, 1)]
        return self.complete(upload_id, rows, **complete)


def tag(response: Response) -> str:
    """The answered ETag as a complete request names it."""
    return f"<ETag>{response.header('etag')}</ETag>"


def texts(response: Response, name: str) -> list[str]:
    """The texts of all elements of that local name, in the order of the document."""
    root = ElementTree.fromstring(response.body)
    return [item.text or "" for item in root.iter() if item.tag.rpartition("}")[2] == name]


def caller(**options: Any) -> Caller:
    """A fake with the bucket ``b``, at small limits unless the options say otherwise."""
    return Caller(
        FakeS3(options.pop("limits", LIMITS), clock=lambda: NOW, buckets=("b",), **options)
    )
