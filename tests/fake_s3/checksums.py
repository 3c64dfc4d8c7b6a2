# SPDX-License-Identifier: Apache-2.0
"""Checksums of small bodies, written from their definitions and from nothing of the package.

The fake must not verify the package with the package's own arithmetic. Both tables are slow
(some MB/s) on purpose: readable, not fast. The reader goes next to ``multipart.py``.
"""

from __future__ import annotations

import zlib
import base64
import hashlib
import binascii
from typing import Final
from collections.abc import Callable, Iterable


def _reflected_table(polynomial: int) -> tuple[int, ...]:
    table = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = (value >> 1) ^ polynomial if value & 1 else value >> 1
        table.append(value)
    return tuple(table)


# Castagnoli, 0x1EDC6F41 reflected. "123456789" gives e3069283 (RFC 3720, appendix B.4).
_CRC32C: Final = _reflected_table(0x82F63B78)
# NVM Express base specification 2.0, 0xAD93D23594C93659 reflected. "123456789" gives
# ae8b14860a799888 (CRC catalogue, CRC-64/NVME).
_CRC64NVME: Final = _reflected_table(0x9A6C9329AC4BC9B5)


def _table_driven(table: tuple[int, ...], width_bytes: int, data: bytes) -> bytes:
    ones = (1 << (8 * width_bytes)) - 1
    value = ones
    for byte in data:
        value = table[(value ^ byte) & 0xFF] ^ (value >> 8)
    return (value ^ ones).to_bytes(width_bytes, "big")


def slow_step(algorithm: str) -> tuple[Callable[[bytes, int], int], int]:
    """``step(data, crc)`` and the width in bytes, where no wheel that computes it is installed."""
    table, width = {"CRC32C": (_CRC32C, 4), "CRC64NVME": (_CRC64NVME, 8)}[algorithm]
    ones = (1 << (8 * width)) - 1

    def step(data: bytes, crc: int) -> int:
        value = crc ^ ones
        for byte in bytes(data):
            value = table[(value ^ byte) & 0xFF] ^ (value >> 8)
        return value ^ ones

    return step, width


def _crc32(data: bytes) -> bytes:
    return zlib.crc32(data).to_bytes(4, "big")


def _crc32c(data: bytes) -> bytes:
    return _table_driven(_CRC32C, 4, data)


def _crc64nvme(data: bytes) -> bytes:
    return _table_driven(_CRC64NVME, 8, data)


def _sha1(data: bytes) -> bytes:
    return hashlib.sha1(data).digest()


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


#: By the name that ``x-amz-checksum-algorithm`` uses.
ALGORITHMS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "CRC32": _crc32,
    "CRC32C": _crc32c,
    "CRC64NVME": _crc64nvme,
    "SHA1": _sha1,
    "SHA256": _sha256,
}

#: The checksum types each algorithm may have in a multipart upload, the default first.
#: "Checking object integrity", table of supported types, read 2026-09.
TYPES: Final[dict[str, tuple[str, ...]]] = {
    "CRC32": ("COMPOSITE", "FULL_OBJECT"),
    "CRC32C": ("COMPOSITE", "FULL_OBJECT"),
    "CRC64NVME": ("FULL_OBJECT",),
    "SHA1": ("COMPOSITE",),
    "SHA256": ("COMPOSITE",),
}


def header_name(algorithm: str) -> str:
    return f"x-amz-checksum-{algorithm.lower()}"


def element_name(algorithm: str) -> str:
    return f"Checksum{algorithm}"


def checksum(algorithm: str, data: bytes) -> str:
    """The value in S3's form, base64 of the big-endian bytes."""
    return base64.b64encode(ALGORITHMS[algorithm](data)).decode("ascii")


def is_well_formed(algorithm: str, value: str) -> bool:
    try:
        raw = base64.b64decode(value, validate=True)
    except binascii.Error:
        return False
    return len(raw) == len(ALGORITHMS[algorithm](b""))


def composite_checksum(algorithm: str, values: Iterable[str]) -> str:
    """The checksum of the parts' checksums, with ``-N`` behind it."""
    raw = [base64.b64decode(value) for value in values]
    return f"{checksum(algorithm, b''.join(raw))}-{len(raw)}"


def composite_etag(etags: Iterable[str]) -> str:
    """MD5 of the parts' MD5s, with ``-N`` behind it; no quotes in, none out."""
    raw = [bytes.fromhex(etag) for etag in etags]
    return f"{hashlib.md5(b''.join(raw)).hexdigest()}-{len(raw)}"
