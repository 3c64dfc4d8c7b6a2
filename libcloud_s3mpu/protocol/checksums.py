# SPDX-License-Identifier: Apache-2.0
"""Checks of a part, and values of a whole object made from its parts.

Digests of buffer lists, never of joined copies; the faster wheels are imported when first used.
Which check a part carries is decided in :mod:`libcloud_s3mpu.protocol.integrity`.
"""

from __future__ import annotations

import zlib
import base64
import hashlib
from typing import Any, Protocol
from functools import cache, lru_cache
from importlib import import_module
from collections.abc import Callable, Iterable

#: Algorithm, as options name it -> its ``x-amz-checksum-algorithm`` (None: only Content-MD5).
ALGORITHMS: dict[str, str | None] = {
    "crc32": "CRC32",
    "crc32c": "CRC32C",
    "crc64nvme": "CRC64NVME",
    "sha1": "SHA1",
    "sha256": "SHA256",
    "md5": None,
}

#: Length of their digests in bytes.
SIZES = {"crc32": 4, "crc32c": 4, "crc64nvme": 8, "sha1": 20, "sha256": 32, "md5": 16}

#: CRC -> (its reflected polynomial, bits), from the CRC catalogue. All three begin with ones and
#: end inverted, which is what :func:`combined_crc` relies on.
POLYNOMIALS = {
    "crc32": (0xEDB88320, 32),
    "crc32c": (0x82F63B78, 32),
    "crc64nvme": (0x9A6C9329AC4BC9B5, 64),
}

#: SHA-256 of no bytes at all, as SigV4 writes it.
EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()


class Digest(Protocol):
    """What ``hashlib`` objects do, as far as it is needed here."""

    def update(self, data: Any, /) -> None: ...
    def digest(self) -> bytes: ...


class _Crc:
    """A CRC with the interface of a ``hashlib`` object; ``step(data, crc)`` carries it on."""

    __slots__ = ("_step", "_crc", "_width")

    def __init__(self, step: Callable[[Any, int], int], width: int) -> None:
        self._step = step
        self._crc = 0
        self._width = width

    def update(self, data: Any, /) -> None:
        self._crc = self._step(data, self._crc)

    def digest(self) -> bytes:
        return self._crc.to_bytes(self._width, "big")


def _md5() -> Digest:
    # usedforsecurity: a FIPS build refuses MD5 as a security measure, which it is not here.
    return hashlib.md5(usedforsecurity=False)


def _sha1() -> Digest:
    return hashlib.sha1(usedforsecurity=False)


@cache
def _crc_step(algorithm: str) -> tuple[Callable[[Any, int], int], int] | None:
    """Give the fastest ``step`` that is installed and its width in bytes, or None."""
    if algorithm == "crc32":
        return zlib.crc32, 4
    # (module, function, order of its arguments); the first that imports is taken.
    found = {
        "crc32c": [("crc32c", "crc32c"), ("awscrt.checksums", "crc32c")],
        "crc64nvme": [("awscrt.checksums", "crc64nvme")],
    }[algorithm]
    for module_name, function in found:
        try:
            module = import_module(module_name)
        except ImportError:
            continue
        return getattr(module, function), 8 if algorithm == "crc64nvme" else 4
    return None


def is_available(algorithm: str) -> bool:
    """Tell whether ``algorithm`` can be computed with what is installed."""
    return not algorithm.startswith("crc") or _crc_step(algorithm) is not None


def new_digest(algorithm: str) -> Digest:
    """Begin a digest.

    :raises ImportError: if a CRC needs a wheel that is not installed; names the extra.
    """
    if algorithm == "md5":
        return _md5()
    if algorithm == "sha1":
        return _sha1()
    if algorithm == "sha256":
        return hashlib.sha256()
    step = _crc_step(algorithm)
    if step is None:
        extra = "fast" if algorithm == "crc32c" else "crt"
        raise ImportError(
            f"checksum={algorithm!r} needs a wheel that is not installed: "
            f'pip install "libcloud_s3mpu[{extra}]"'
        )
    return _Crc(*step)


def digest_of(algorithm: str, buffers: Iterable[Any]) -> bytes:
    """Digest ``buffers`` in order. Runs without the GIL for all but the smallest buffers."""
    digest = new_digest(algorithm)
    for buffer in buffers:
        digest.update(buffer)
    return digest.digest()


def encoded(digest: bytes) -> str:
    """Give a digest as headers and XML carry it (base64)."""
    return base64.b64encode(digest).decode("ascii")


def decoded(checksum: str, algorithm: str) -> bytes | None:
    """Give the digest that a header or XML carries; None if it cannot be one of ``algorithm``."""
    try:
        digest = base64.b64decode(checksum, validate=True)
    except ValueError:
        return None
    return digest if len(digest) == SIZES[algorithm] else None


def composite_etag(part_etags: Iterable[str]) -> str | None:
    """Give the ETag that S3 makes of the parts' ETags: the MD5 of their MD5s, ``-`` their number.

    None where an ETag is not an MD5 (SSE-KMS, SSE-C, other services' own schemes).
    """
    whole = _md5()
    number = 0
    for etag in part_etags:
        if not is_md5(etag):
            return None
        whole.update(bytes.fromhex(etag))
        number += 1
    return f"{whole.digest().hex()}-{number}"


def is_md5(etag: str) -> bool:
    """Tell whether ``etag`` has the form of an MD5 in hexadecimal digits."""
    return len(etag) == 32 and all(c in "0123456789abcdefABCDEF" for c in etag)


def can_combine(algorithm: str) -> bool:
    """Tell whether the value of a whole follows from those of its parts: so it is with CRCs."""
    return algorithm in POLYNOMIALS


def combined_crc(algorithm: str, parts: Iterable[tuple[bytes, int]]) -> bytes:
    """Give the CRC of a whole from (digest, length in bytes) of its parts, in their order.

    A CRC is a remainder in the polynomials over GF(2). To put *n* bytes behind a message multiplies
    its remainder by x^(8n), which is a matrix over GF(2) too; as one polynomial it costs 64 steps
    to apply, and it is computed once for each length: ten thousand parts take a tenth of a second.
    """
    whole = 0
    for digest, size in parts:
        whole = joined_crc(algorithm, whole, int.from_bytes(digest, "big"), size)
    return whole.to_bytes(SIZES[algorithm], "big")


def joined_crc(algorithm: str, first: int, second: int, size: int) -> int:
    """Give the CRC of two byte strings in a row, the second of ``size`` bytes."""
    polynomial, width = POLYNOMIALS[algorithm]
    return _product(first, _power(polynomial, width, 8 * size), polynomial, width) ^ second


def _product(first: int, second: int, polynomial: int, width: int) -> int:
    """Multiply two reflected polynomials (x^0 is the highest bit), modulo ``polynomial``."""
    result = 0
    bit = 1 << (width - 1)
    while bit:
        if first & bit:
            result ^= second
        second = second >> 1 ^ polynomial if second & 1 else second >> 1
        bit >>= 1
    return result


@lru_cache(maxsize=4096)
def _power(polynomial: int, width: int, exponent: int) -> int:
    """Give x^``exponent`` by squaring. An upload has few lengths of parts, so few are kept."""
    result = 1 << (width - 1)
    square = 1 << (width - 2)
    while exponent:
        if exponent & 1:
            result = _product(result, square, polynomial, width)
        square = _product(square, square, polynomial, width)
        exponent >>= 1
    return result


def composite_checksum(algorithm: str, part_digests: Iterable[bytes]) -> str:
    """Give S3's COMPOSITE checksum: the digest of the parts' digests, ``-`` their number."""
    digest = new_digest(algorithm)
    number = 0
    for part in part_digests:
        digest.update(part)
        number += 1
    return f"{encoded(digest.digest())}-{number}"
