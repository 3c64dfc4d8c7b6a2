# SPDX-License-Identifier: Apache-2.0
"""What reading clients get of the Python sink: spans of virtual objects, pages of keys.

Must not live here: sockets and HTTP (`pysink.py`), and what the bytes and keys are
(`client/virtual.py`). Says the same as the C sink's `virtual.c`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote_plus

from benchmarks.pystore import RefusedError
from benchmarks.client.virtual import name_of

PAGE = 1000
XMLNS = ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
RANGE = re.compile(r"bytes=(\d*)-(\d*)")
NUMBER = re.compile(r"object-(\d+)")
OWNER = "<Owner><ID>someid0123456789</ID><DisplayName>somebody</DisplayName></Owner>"


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes `start` to `end` of the endless file that the content makes over and over."""

    start: int
    end: int
    content: bytes

    def __len__(self) -> int:
        return self.end - self.start


def _asked(text: str, size: int) -> tuple[int, int] | None:
    """Read a Range header; None where it is no range of bytes, which HTTP has ignored."""
    found = RANGE.fullmatch(text.strip())
    if found is None or not any(found.groups()):
        return None
    first, last = found.groups()
    if not first:
        return max(0, size - int(last)), size if int(last) else 0
    return int(first), min(size, int(last) + 1) if last else size


def find_span(
    headers: dict[str, str], size: int, content: bytes
) -> tuple[int, dict[str, str], Span]:
    """Answer a GET or HEAD of the virtual object of `size` bytes.

    :raises RefusedError: when it has another ETag than is asked for, or none of those bytes.
    """
    etag = f'"{size:032x}-7"'
    if headers.get("if-match", "*") not in ("*", etag):
        raise RefusedError(412, "PreconditionFailed")
    told = {
        "ETag": etag,
        "Accept-Ranges": "bytes",
        "Content-Type": "binary/octet-stream",
        "Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT",
    }
    asked = _asked(headers.get("range", ""), size)
    if asked is None:
        return 200, told, Span(0, size, content)
    start, end = asked
    if start >= end:
        raise RefusedError(416, "InvalidRange")
    told["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    return 206, told, Span(start, end, content)


def list_page(query: dict[str, str], keys: int) -> str:
    """Give one page of ListObjects or ListObjectsV2; nothing is cut by prefix or delimiter.

    :raises RefusedError: when one of these is asked for.
    """
    if query.get("prefix") or query.get("delimiter"):
        raise RefusedError(501, "NotImplemented")
    v2 = query.get("list-type") == "2"
    encoded = query.get("encoding-type") == "url"
    most = int(query.get("max-keys", PAGE))
    most = most if 1 <= most <= PAGE else PAGE
    if v2 and "continuation-token" in query:
        begin = int(query["continuation-token"])
    else:
        found = NUMBER.search(query.get("start-after" if v2 else "marker", ""))
        begin = int(found.group(1)) + 1 if found else 0
    begin = min(begin, keys)
    end = min(begin + most, keys)
    more = end < keys
    owner = OWNER if not v2 or query.get("fetch-owner") == "true" else ""
    rows = "".join(
        f"<Contents><Key>{quote_plus(name_of(n), safe='/') if encoded else name_of(n)}</Key>"
        "<LastModified>2024-01-01T00:00:00.000Z</LastModified>"
        f"<ETag>&quot;0123456789abcdef0123456789abcdef&quot;</ETag><Size>{n}</Size>{owner}"
        "<StorageClass>STANDARD</StorageClass></Contents>"
        for n in range(begin, end)
    )
    return (
        f"<ListBucketResult{XMLNS}><Name>bench</Name><Prefix></Prefix><MaxKeys>{most}</MaxKeys>"
        f"<IsTruncated>{str(more).lower()}</IsTruncated>"
        + "<EncodingType>url</EncodingType>" * encoded
        + f"<KeyCount>{end - begin}</KeyCount>" * v2
        + f"<NextContinuationToken>{end}</NextContinuationToken>" * (v2 and more)
        + f"{rows}</ListBucketResult>"
    )
