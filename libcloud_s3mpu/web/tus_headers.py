# SPDX-License-Identifier: Apache-2.0
"""The headers of tus 1.0.0: texts into values and back, strictly; nothing is sent or stored here.

Each function raises :class:`~.messages.Refuse` with the protocol's status for what makes no sense.
The protocol's text: https://tus.io/protocols/resumable-upload (1.0.0, read 2026-11).
"""

from __future__ import annotations

import re
import hmac
import zlib
import base64
import hashlib
import binascii
from typing import Protocol
from dataclasses import dataclass
from email.utils import formatdate
from urllib.parse import unquote, urljoin, urlsplit
from collections.abc import Mapping, Callable, Sequence

from .messages import Refuse

VERSION = "1.0.0"
OFFSET_TYPE = "application/offset+octet-stream"
#: Every algorithm that Upload-Checksum may name here, and the size of its value in bytes.
ALGORITHMS = {"sha1": 20, "sha256": 32, "md5": 16, "crc32": 4}
#: More than any server lets through in one header (gunicorn 8 KiB, uvicorn 64 KiB).
_MAX_METADATA = 256 * 1024
_NUMBER = re.compile(r"[0-9]{1,4000}", re.ASCII)
#: What no length exceeds; longer numbers are taken for it, so that a limit refuses them.
_MOST = 2**63 - 1
_METADATA_KEY = re.compile(r"[!-+\--~]+", re.ASCII)

CHECKSUM_MISMATCH = 460


def number(name: str, text: str | None) -> int:
    """Give the number of a header that must be there.

    :raises Refuse: 400 if it is missing or not digits only.
    """
    if text is None:
        raise Refuse(400, f"{name} is missing\n")
    if not _NUMBER.fullmatch(text):
        raise Refuse(400, f"{name} must be a number of bytes\n")
    return int(text) if len(text) <= 19 else _MOST


def length_of(headers: Mapping[str, str]) -> int | None:
    """Give what a creation says of its length; None is one that is declared later.

    :raises Refuse: 400 if it says nothing, both, or nonsense.
    """
    length, deferred = headers.get("upload-length"), headers.get("upload-defer-length")
    if deferred is None:
        return number("Upload-Length", None if length is None else length.strip())
    if length is not None:
        raise Refuse(400, "Upload-Length and Upload-Defer-Length exclude each other\n")
    if deferred.strip() != "1":
        raise Refuse(400, "Upload-Defer-Length must be 1\n")
    return None


def metadata_of(text: str | None) -> dict[str, bytes]:
    """Give the pairs of Upload-Metadata; values are any bytes.

    :raises Refuse: 400 if it is malformed, 413 if it is too large.
    """
    if text is None or not text.strip():
        return {}
    if len(text) > _MAX_METADATA:
        raise Refuse(413, f"Upload-Metadata may have {_MAX_METADATA} bytes\n")
    found: dict[str, bytes] = {}
    for pair in text.split(","):
        key, _, value = pair.strip(" \t").partition(" ")
        if not _METADATA_KEY.fullmatch(key):
            raise Refuse(400, "Upload-Metadata has a key that is empty or not ASCII\n")
        if key in found:
            raise Refuse(400, f"Upload-Metadata has the key {key} twice\n")
        try:
            found[key] = base64.b64decode(value.strip(" \t").encode("ascii"), validate=True)
        except (binascii.Error, ValueError) as error:
            raise Refuse(400, f"Upload-Metadata: the value of {key} is not base64\n") from error
    return found


def metadata_text(metadata: Mapping[str, bytes]) -> str | None:
    """Give Upload-Metadata of pairs; None if there is none, since no empty header may be sent."""
    pairs = [
        f"{key} {base64.b64encode(value).decode()}" if value else key
        for key, value in metadata.items()
        if _METADATA_KEY.fullmatch(key)
    ]
    return ",".join(pairs) or None


@dataclass(frozen=True, slots=True)
class Checksum:
    """What a piece of the body must add up to."""

    algorithm: str
    value: bytes


class Summing(Protocol):
    """A checksum that is being computed."""

    def update(self, data: bytes, /) -> object: ...
    def digest(self) -> bytes: ...


class _Crc32:
    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes, /) -> None:
        self._value = zlib.crc32(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "big")


def summing(algorithm: str) -> Summing:
    """Begin a checksum of an algorithm of :data:`ALGORITHMS`."""
    if algorithm == "crc32":
        return _Crc32()
    return hashlib.new(algorithm, usedforsecurity=False)


def is_same(checksum: Checksum, value: bytes) -> bool:
    return hmac.compare_digest(checksum.value, value)


def checksum_of(text: str | None) -> Checksum | None:
    """Give Upload-Checksum, of a header or a trailer.

    :raises Refuse: 400 if it is malformed or the algorithm is not known.
    """
    if text is None:
        return None
    algorithm, _, encoded = text.strip().partition(" ")
    if algorithm not in ALGORITHMS:
        raise Refuse(400, f"Upload-Checksum must use one of {', '.join(ALGORITHMS)}\n")
    try:
        value = base64.b64decode(encoded.strip().encode("ascii"), validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refuse(400, "Upload-Checksum is not base64\n") from error
    if len(value) != ALGORITHMS[algorithm]:
        raise Refuse(400, f"Upload-Checksum: {algorithm} has {ALGORITHMS[algorithm]} bytes\n")
    return Checksum(algorithm, value)


@dataclass(frozen=True, slots=True)
class Concat:
    """What Upload-Concat says: a partial upload, or the URLs that a final one is made of."""

    is_partial: bool
    urls: Sequence[str] = ()


def concat_of(text: str | None) -> Concat | None:
    """Give Upload-Concat.

    :raises Refuse: 400 if it is neither ``partial`` nor ``final;`` with a list of URLs.
    """
    if text is None:
        return None
    kind, semicolon, rest = text.strip().partition(";")
    if kind == "partial" and not semicolon:
        return Concat(is_partial=True)
    urls = rest.split()
    if kind != "final" or not urls:
        raise Refuse(400, "Upload-Concat must be partial, or final; and a list of URLs\n")
    return Concat(is_partial=False, urls=urls)


def id_in_url(url: str, *, base: str, is_own: Callable[[str, str], bool]) -> str:
    """Give the upload's id in a URL that a client names, absolute or relative.

    :param base: the absolute URL of the collection, ending in a slash.
    :param is_own: told scheme and host, says whether an absolute URL is one of ours.
    :raises Refuse: 400 if it is somebody else's.
    """
    try:
        named, own = urlsplit(urljoin(base, url)), urlsplit(base)
        is_ours = named.netloc == own.netloc or is_own(named.scheme, named.netloc)
    except ValueError:
        is_ours = False
    if is_ours and named.path.startswith(own.path):
        upload_id = unquote(named.path[len(own.path) :], errors="replace")
        if upload_id:
            return upload_id
    raise Refuse(400, "Upload-Concat names a URL that is not an upload of this server\n")


def http_date(seconds: float) -> str:
    """Give seconds since 1970 as HTTP writes a date."""
    return formatdate(seconds, usegmt=True)
