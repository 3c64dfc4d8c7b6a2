# SPDX-License-Identifier: Apache-2.0
"""The caller's headers and metadata: checked, encoded, and given to the requests they belong to.

S3's rule of which request carries what is the table :data:`ON_EVERY_REQUEST` and its neighbours.
Nothing of the caller's dictionaries is changed; header names are lower case from here on.
"""

from __future__ import annotations

import re
import base64
from typing import Any
from email.header import decode_header
from collections.abc import Mapping

from .errors import InvalidRequestError

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
#: Everything below the space but the tab, and DEL: never legal in a header value (RFC 9110, 5.5).
_CONTROL = re.compile("[\x00-\x08\x0a-\x1f\x7f]")
_ENCODED_WORD = re.compile(r"=\?[^?\s]+\?[bBqQ]\?[^?\s]*\?=")
#: An encoded word is at most 75 characters (RFC 2047, 2): 45 bytes in base64 besides the frame.
_WORD_BYTES = 45

#: Who pays, whose bucket: on every request of an upload.
ON_EVERY_REQUEST = frozenset({"x-amz-request-payer", "x-amz-expected-bucket-owner"})
#: SSE-C: the key goes with every request that moves or joins bytes.
SSE_CUSTOMER = frozenset(
    {
        "x-amz-server-side-encryption-customer-algorithm",
        "x-amz-server-side-encryption-customer-key",
        "x-amz-server-side-encryption-customer-key-md5",
    }
)
#: What a read may say besides what is read.
ON_READS = ON_EVERY_REQUEST | SSE_CUSTOMER
#: Conditions decide at the end: on complete, or on the single ``PUT``.
CONDITIONS = frozenset({"if-none-match", "if-match"})
#: About the whole body of one ``PUT``; a multipart upload has no request to carry them.
WHOLE_BODY = frozenset({"content-md5"})
#: Metadata of an upload whose object cannot be known by its ETag; readers do not show it.
TOKEN = "libcloud-s3mpu-token"
TOKEN_HEADER = f"x-amz-meta-{TOKEN}"
#: What names and values of an object's metadata may take together, in bytes (S3 User Guide,
#: "Working with object metadata", read 2026-11).
MAX_METADATA_BYTES = 2048
#: Ours to say; a caller's own would contradict what is sent.
OURS = frozenset(
    {
        "authorization",
        "connection",
        "content-length",
        "expect",
        "host",
        "transfer-encoding",
        "x-amz-content-sha256",
        "x-amz-copy-source",  # A PUT with it copies, and its body is nobody's.
        "x-amz-date",
        "x-amz-s3session-token",
        "x-amz-security-token",
    }
)


def checked_value(name: str, value: Any) -> str:
    """Give a header value as text.

    :raises InvalidRequestError: if it holds CR, LF or another control character, or is not latin-1.
    :raises TypeError: if it is neither text nor a number.
    """
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise TypeError(f"header {name} must be a str or a number, not {type(value).__name__}")
    if _CONTROL.search(value):
        raise InvalidRequestError(f"header {name} holds a control character (CR, LF, NUL, ...)")
    if not value.isascii():
        raise InvalidRequestError(f"header {name} holds a character that is not ASCII")
    return value


def checked_headers(headers: Mapping[str, Any] | None) -> dict[str, str]:
    """Give the caller's headers with lower-case names, checked; the caller's dict stays as it is.

    :raises InvalidRequestError: for a bad name or value, or one of :data:`OURS`.
    """
    result: dict[str, str] = {}
    for name, value in (headers or {}).items():
        if not isinstance(name, str) or not _TOKEN.match(name):
            raise InvalidRequestError(f"{name!r} is not a header name")
        lower = name.lower()
        if lower == "content-length":
            continue  # Apps pass it along with a stream; the length that is sent is what counts.
        if lower in OURS:
            raise InvalidRequestError(f"header {name} is set by the driver, not by the caller")
        if lower.startswith("x-amz-meta-"):
            result[lower] = encode_metadata_value(lower, value)
        elif value is not None:
            result[lower] = checked_value(name, value)
    return result


def checked_read_headers(headers: Mapping[str, Any] | None) -> dict[str, str]:
    """Give the caller's headers for a read, checked, with lower-case names.

    :raises InvalidRequestError: for one that is not of :data:`ON_READS`: ranges and conditions are
        the driver's, which goes on reading where a connection broke.
    """
    result = checked_headers(headers)
    if others := sorted(result.keys() - ON_READS):
        raise InvalidRequestError(
            f"a read takes no header {', '.join(others)}, only {', '.join(sorted(ON_READS))}"
        )
    return result


def metadata_headers(metadata: Mapping[str, Any] | None, *, prefix: str) -> dict[str, str]:
    """Give ``x-amz-meta-*`` headers; numbers become text, as upstream has it."""
    result: dict[str, str] = {}
    for name, value in (metadata or {}).items():
        if not isinstance(name, str) or not _TOKEN.match(name):
            raise InvalidRequestError(f"{name!r} cannot be a metadata name (it goes into a header)")
        lower = f"{prefix}-meta-{name}".lower()
        result[lower] = encode_metadata_value(lower, value)
    return result


def encode_metadata_value(name: str, value: Any) -> str:
    """Give a metadata value as S3 documents it: RFC 2047 where it is not plain ASCII.

    Values with blanks at their ends, and such that look like an encoded word themselves, are
    encoded too: plainly sent they would not come back as they were.
    """
    if isinstance(value, bool) or value is None:
        value = str(value)
    if isinstance(value, str):
        if "\r" in value or "\n" in value or "\x00" in value:
            raise InvalidRequestError(f"header {name} holds a control character (CR, LF or NUL)")
        if not value.isascii() or value != value.strip() or "=?" in value:
            return _encoded_words(value)
    return checked_value(name, value)


def _encoded_words(value: str) -> str:
    words: list[str] = []
    piece = b""
    for character in value:
        encoded = character.encode("utf-8", "surrogatepass")
        if len(piece) + len(encoded) > _WORD_BYTES:
            words.append(base64.b64encode(piece).decode("ascii"))
            piece = b""
        piece += encoded
    words.append(base64.b64encode(piece).decode("ascii"))
    return " ".join(f"=?UTF-8?B?{word}?=" for word in words)


def decode_metadata_value(value: str) -> str:
    """Give a metadata value as it was before it was encoded; what cannot be decoded stays."""
    if "=?" in value and _ENCODED_WORD.search(value):
        try:
            return "".join(
                part if isinstance(part, str) else part.decode(charset or "ascii", "surrogatepass")
                for part, charset in decode_header(value)
            )
        except (LookupError, ValueError):
            return value
    if not value.isascii():
        # A service that answers raw UTF-8: http.client reads headers as latin-1.
        try:
            return value.encode("latin-1").decode("utf-8")
        except ValueError:
            return value
    return value


def for_request(headers: Mapping[str, str], operation: str) -> dict[str, str]:
    """Give those of an object's headers that belong on one request.

    :param operation: ``put``, ``initiate``, ``part``, ``complete`` or ``other`` (abort, lists).
    """
    if operation == "put":
        return dict(headers)
    if operation == "initiate":
        return {
            name: value
            for name, value in headers.items()
            if name not in CONDITIONS and name not in WHOLE_BODY and not _is_body_checksum(name)
        }
    wanted = set(ON_EVERY_REQUEST)
    if operation in ("part", "complete"):
        wanted |= SSE_CUSTOMER
    if operation == "complete":
        wanted |= CONDITIONS
    return {name: headers[name] for name in wanted if name in headers}


def has_room_for_token(headers: Mapping[str, str], token: str) -> bool:
    """Tell whether the metadata may grow by a token: S3 refuses more than 2 KB of it."""
    prefix = len("x-amz-meta-")
    taken = sum(
        len(name) - prefix + len(value)
        for name, value in headers.items()
        if name.startswith("x-amz-meta-")
    )
    return taken + len(TOKEN) + len(token) <= MAX_METADATA_BYTES


def has_body_check(headers: Mapping[str, str]) -> bool:
    """Tell whether the caller brought a check of the whole body: S3 refuses two."""
    return any(name in WHOLE_BODY or _is_body_checksum(name) for name in headers)


def _is_body_checksum(name: str) -> bool:
    return name.startswith("x-amz-checksum-") and name not in (
        "x-amz-checksum-algorithm",
        "x-amz-checksum-type",
    )


def is_opaque_etag(headers: Mapping[str, str]) -> bool:
    """Tell whether an answer's ETag is no MD5 of the bytes (SSE-KMS, SSE-C)."""
    encryption = headers.get("x-amz-server-side-encryption", "")
    return (
        encryption.startswith("aws:kms")
        or "x-amz-server-side-encryption-customer-algorithm" in headers
    )
