# SPDX-License-Identifier: Apache-2.0
"""CRCs of neighbours make the CRC of both."""

from __future__ import annotations

import zlib

import pytest

from libcloud_s3mpu.protocol.crc import POLYNOMIALS, combine


def bitwise(algorithm: str, data: bytes) -> int:
    """The definition: all bits set before and inverted after."""
    polynomial, width = POLYNOMIALS[algorithm]
    ones = (1 << width) - 1
    crc = ones
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ polynomial if crc & 1 else crc >> 1
    return crc ^ ones


@pytest.mark.parametrize(
    ("algorithm", "check"),
    [("crc32", 0xCBF43926), ("crc32c", 0xE3069283), ("crc64nvme", 0xAE8B14860A799888)],
)
def test_the_polynomials_are_those_of_the_catalogue(algorithm: str, check: int) -> None:
    assert bitwise(algorithm, b"123456789") == check


@pytest.mark.parametrize("algorithm", list(POLYNOMIALS))
@pytest.mark.parametrize("cut", [0, 1, 5, 13, 14])
def test_neighbours_are_combined(algorithm: str, cut: int) -> None:
    data = b"fourteen bytes"
    first, second = bitwise(algorithm, data[:cut]), bitwise(algorithm, data[cut:])
    assert combine(algorithm, first, second, len(data) - cut) == bitwise(algorithm, data)


def test_long_neighbours_are_combined() -> None:
    data = bytes(range(256)) * 4096
    crcs = zlib.crc32(data[:777]), zlib.crc32(data[777:])
    assert combine("crc32", *crcs, len(data) - 777) == zlib.crc32(data)
