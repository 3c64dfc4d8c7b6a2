# SPDX-License-Identifier: Apache-2.0
"""What of an upload's metadata the object carries: type, file name, and what fits into 2 KB.

The exact bytes are in the record; an object's headers take less. Pure text in, text out.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote
from collections.abc import Mapping

from ..protocol.errors import InvalidRequestError
from ..protocol.headers import SSE_CUSTOMER, checked_headers, encode_metadata_value

#: S3's bound on user metadata, names and values together ("Working with object metadata", Amazon S3
#: User Guide, read 2026-11), less room for our own mark.
MOST_METADATA = 2048 - 128
#: Marks the object as the one of this upload, which proves a completion whose answer was lost.
MARK = "x-amz-meta-s3mpu-upload"
_TYPE = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+/[!#$%&'*+.^_`|~0-9A-Za-z-]+(\s*;[ -~]*)?\Z")
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
#: ``attr-char`` of RFC 8187, besides letters and digits.
_ATTR_SAFE = "!#$&+-.^_`|~"


def object_headers(metadata: Mapping[str, bytes], given: Mapping[str, str]) -> dict[str, str]:
    """Give the headers that an upload's metadata make for its object; ``given`` ones win."""
    made: dict[str, str] = {}
    text = {name: value.decode("utf-8", "replace") for name, value in metadata.items()}
    kind = text.get("filetype") or text.get("contentType") or text.get("type")
    if kind and _TYPE.match(kind):
        made["content-type"] = kind
    name = text.get("filename") or text.get("name")
    if name:
        made["content-disposition"] = disposition(name)
    left = MOST_METADATA
    for key, value in given.items():
        if key.startswith("x-amz-meta-"):
            left -= len(key) + len(value)
    for key, value in text.items():
        header = f"x-amz-meta-{key}".lower()
        if not _NAME.match(key) or header in given:
            continue
        encoded = encode_metadata_value(header, _printable(value))
        left -= len(header) + len(encoded)
        if left < 0:
            break
        made[header] = encoded
    return {**made, **given}


def disposition(name: str) -> str:
    """Give a Content-Disposition for a file name (RFC 6266; RFC 8187 for what is not ASCII)."""
    plain = "".join(c if " " <= c <= "~" else "_" for c in name)
    plain = plain.replace("\\", "\\\\").replace('"', '\\"')
    header = f'attachment; filename="{plain}"'
    if not name.isascii() or any(not " " <= c <= "~" for c in name) or "%" in name:
        encoded = quote(name.encode("utf-8", "replace"), safe=_ATTR_SAFE)
        header += f"; filename*=UTF-8''{encoded}"
    return header


def _printable(value: str) -> str:
    return "".join("?" if (c < " " and c != "\t") or c == "\x7f" else c for c in value)


def checked_extra(extra: Mapping[str, Any] | None) -> tuple[dict[str, Any], dict[str, str], Any]:
    """Give what the driver understands of ``extra``, its headers, and its storage class.

    :raises InvalidRequestError: for a name that means nothing, and for SSE-C, whose key every later
        request would need and which is never kept.
    """
    left = dict(extra or {})
    known: dict[str, Any] = {
        name: left.pop(name) for name in ("content_type", "meta_data", "acl") if name in left
    }
    headers = checked_headers(left.pop("headers", None))
    storage_class = left.pop("storage_class", None)
    tags = left.pop("tags", None)
    if tags:
        headers["x-amz-tagging"] = "&".join(
            f"{quote(str(n), safe='-._~')}={quote(str(v), safe='-._~')}" for n, v in tags.items()
        )
    if left:
        raise InvalidRequestError(f"extra has no meaning for {', '.join(sorted(left))}")
    if SSE_CUSTOMER & headers.keys():
        raise InvalidRequestError(
            "SSE-C is not possible for resumable uploads: its key would have to be kept"
        )
    return known, headers, storage_class
