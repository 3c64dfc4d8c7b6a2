# SPDX-License-Identifier: Apache-2.0
"""GET as a pair: a request value for a span of an object, and the reader of its answer's head.

Also how an object is cut into ranges, and which checksum of an answer can be compared. The bytes
themselves are read by :mod:`libcloud_s3mpu.transfer.ranged`. Offsets are bytes from 0; an ``end``
is the offset behind the last byte.
"""

from __future__ import annotations

import re
from dataclasses import replace, dataclass
from collections.abc import Mapping, Iterator

from . import wire
from .errors import ObjectChangedError
from .limits import MIB
from .headers import is_opaque_etag
from .messages import (
    S3Request,
    S3Response,
    described,
    malformed,
    context_of,
    service_error,
    raise_for_status,
)
from .checksums import is_md5, is_available

#: The size of a range: at 90 MB/s a connection, 30 ms of latency take a quarter of its time.
RANGE_SIZE = 8 * MIB
#: Most ranges of one object: their size grows above 78 GiB.
MAX_RANGES = 10_000
#: Checksums worth computing while an object comes in, the cheapest first (docs/benchmarks.md).
CHEAP = ("crc64nvme", "crc32c", "crc32")

_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What the head of an answer says of the object, and of the bytes that follow it.

    :param start: offset of the first byte that follows.
    :param end: behind the last one; None where nobody can tell before it has come.
    :param size: of the whole object; None where it is not said.
    :param etag: without quotes.
    :param headers: lower-case names.
    """

    start: int
    end: int | None
    size: int | None
    etag: str | None
    headers: Mapping[str, str]


def get_request(
    target: wire.Target,
    *,
    start: int = 0,
    end: int | None = None,
    etag: str | None = None,
    with_checksum: bool = False,
) -> S3Request:
    """Make the ``GET`` of a span.

    :param etag: only of the object that has this one.
    :param with_checksum: have the service tell the object's checksum.
    """
    headers = target.headers_for("part")
    if start or end is not None:
        headers["range"] = f"bytes={start}-" + ("" if end is None else str(end - 1))
    if etag is not None:
        headers["if-match"] = f'"{etag}"'
    if with_checksum:
        headers["x-amz-checksum-mode"] = "ENABLED"
    return S3Request(
        operation="GetObject",
        method="GET",
        bucket=target.bucket,
        key=target.key,
        headers=headers,
        streams=True,
    )


def head_request(target: wire.Target, *, etag: str | None = None) -> S3Request:
    """Make the ``HEAD`` that tells the checksum: the answer to a range has none of the whole."""
    request = wire.head_request(target)
    headers = {**request.headers, "x-amz-checksum-mode": "ENABLED"}
    if etag is not None:
        headers["if-match"] = f'"{etag}"'
    return replace(request, headers=headers)


def get_result(
    request: S3Request, response: S3Response, *, start: int, known: Found | None
) -> Found:
    """Read the head of the answer to ``request``.

    A service that ignores ``Range`` sends the whole object: its bytes begin before ``start`` then.

    :param known: what an earlier answer said of the object; this one must say the same.
    :raises ObjectChangedError: if it is another object by now.
    :raises MalformedAnswerError: for another range than was asked for.
    """
    if response.status == 412 and "if-match" in request.headers:
        raise changed(request, service_error(request, response).value)
    raise_for_status(request, response, 200, 206)
    etag = wire.unquoted(response.headers.get("etag"))
    first, behind, size = _span(request, response, start=start)
    if first != start and not (response.status == 200 and first == 0):
        raise malformed(request, response, f"the bytes from {first} came, not those from {start}")
    if known is not None:
        if known.etag is not None and known.etag != etag:
            raise changed(request, f"its ETag was {known.etag} and is {etag}")
        if None not in (known.size, size) and known.size != size:
            raise changed(request, f"it had {known.size} bytes and has {size}")
    return Found(start=first, end=behind, size=size, etag=etag, headers=response.headers)


def _span(
    request: S3Request, response: S3Response, *, start: int
) -> tuple[int, int | None, int | None]:
    """Give first offset, the one behind the last, and the object's size, as far as told."""
    length = _length(response)
    if response.status == 200:
        return 0, length, length
    text = response.headers.get("content-range")
    if text is None:
        # No service is known to leave it out; libcloud's own mocks do.
        return start, None if length is None else start + length, None
    match = _CONTENT_RANGE.match(text.strip())
    if match is None or int(match[2]) < int(match[1]):
        raise malformed(request, response, f"its Content-Range is {text[:80]!r}")
    first, behind = int(match[1]), int(match[2]) + 1
    if length is not None and length != behind - first:
        raise malformed(request, response, f"its Content-Length is not that of {text[:80]!r}")
    return first, behind, None if match[3] == "*" else int(match[3])


def _length(response: S3Response) -> int | None:
    text = response.headers.get("content-length", "")
    chunked = "transfer-encoding" in response.headers
    return int(text) if text.isdecimal() and not chunked else None


def changed(request: S3Request, why: str) -> ObjectChangedError:
    """Make the error for an object that was replaced while it was read."""
    return ObjectChangedError(
        f"{described(request)}: the object changed while it was read ({why})\n"
        "What was read of it is of no use; read it again from its beginning.",
        http_status=PRECONDITION_FAILED,
        **context_of(request),
    )


#: What the service answers where a condition does not hold, and what it would have answered.
PRECONDITION_FAILED = 412


def ranges(start: int, end: int, size: int) -> Iterator[tuple[int, int]]:
    """Cut a span into ranges of ``size`` bytes; the last may be shorter."""
    for first in range(start, end, size):
        yield first, min(first + size, end)


def range_size(span: int, wanted: int | None) -> int:
    """Give the size of the ranges that a span of bytes is read in."""
    return max(wanted or RANGE_SIZE, -(-span // MAX_RANGES))


def comparable_checksum(headers: Mapping[str, str]) -> tuple[str, str] | None:
    """Give algorithm and value (base64) of the object's checksum, if it is cheap to compare.

    One of the whole object's bytes, that is; a COMPOSITE one needs the cuts of its upload.
    """
    # moto (seen 2026-11, 5.2.5): that of an object in parts is COMPOSITE, without a type or a "-2".
    unsaid = "COMPOSITE" if "-" in headers.get("etag", "") else "FULL_OBJECT"
    for name in CHEAP:
        value = headers.get(f"x-amz-checksum-{name}")
        kind = headers.get("x-amz-checksum-type", unsaid)
        if value and "-" not in value and kind == "FULL_OBJECT" and is_available(name):
            return name, value
    return None


def comparable_md5(found: Found) -> str | None:
    """Give the MD5 of the object's bytes, if its ETag is one."""
    if found.etag is None or not is_md5(found.etag) or is_opaque_etag(found.headers):
        return None
    return found.etag.lower()
