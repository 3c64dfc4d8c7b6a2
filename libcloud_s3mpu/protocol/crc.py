# SPDX-License-Identifier: Apache-2.0
"""CRCs of neighbouring ranges, made into the CRC of both without reading a byte again.

Each range of a parallel download is summed by whoever reads it. The arithmetic is that of Mark
Adler's zlib (``crc32_combine``): a CRC is a polynomial over GF(2), and ``length`` zero bytes behind
it multiply it by x^(8 * length).
"""

from __future__ import annotations

#: Algorithm -> its polynomial, lowest power in the highest bit ("reflected"), and width in bits.
#: RFC 3720 has CRC32C's, the NVM Express NVM Command Set Specification 1.0 CRC64NVME's.
POLYNOMIALS = {
    "crc32": (0xEDB88320, 32),
    "crc32c": (0x82F63B78, 32),
    "crc64nvme": (0x9A6C9329AC4BC9B5, 64),
}


def combine(algorithm: str, first: int, second: int, length: int) -> int:
    """Give the CRC of two byte strings in a row, the second of ``length`` bytes."""
    polynomial, width = POLYNOMIALS[algorithm]
    return _times(_shift(length, polynomial, width), first, polynomial, width) ^ second


def _shift(length: int, polynomial: int, width: int) -> int:
    """Give x^(8 * length) by squaring."""
    result = 1 << (width - 1)  # x^0
    power = 1 << (width - 9)  # x^8
    while length:
        if length & 1:
            result = _times(power, result, polynomial, width)
        power = _times(power, power, polynomial, width)
        length >>= 1
    return result


def _times(a: int, b: int, polynomial: int, width: int) -> int:
    """Multiply two polynomials modulo ``polynomial``."""
    product = 0
    bit = 1 << (width - 1)
    while bit:
        if a & bit:
            product ^= b
        b = (b >> 1) ^ polynomial if b & 1 else b >> 1
        bit >>= 1
    return product
