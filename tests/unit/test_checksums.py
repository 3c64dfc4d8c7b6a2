# SPDX-License-Identifier: Apache-2.0
"""Checks of a part and values of a whole, against published check values."""

from __future__ import annotations

import time
import zlib
import base64
import hashlib

import pytest

from tests.fake_s3 import checksums as reference
from libcloud_s3mpu.protocol import checksums

AVAILABLE = [name for name in checksums.ALGORITHMS if checksums.is_available(name)]
#: The check values of the CRC catalogue, and the digests of RFC 1321 and FIPS 180, of "123456789".
CHECK_VALUES = {
    "crc32": "cbf43926",
    "crc32c": "e3069283",
    "crc64nvme": "ae8b14860a799888",
    "md5": "25f9e794323b453885f5181f1b624d0b",
    "sha1": "f7c3bc1d808e04732adf679965ccc34ca7ae3441",
    "sha256": "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225",
}


@pytest.mark.parametrize("algorithm", AVAILABLE)
def test_check_values_of_the_catalogues(algorithm: str) -> None:
    assert checksums.digest_of(algorithm, [b"123456789"]).hex() == CHECK_VALUES[algorithm]


@pytest.mark.parametrize("algorithm", AVAILABLE)
def test_a_digest_does_not_depend_on_how_the_bytes_are_cut(algorithm: str) -> None:
    pieces = [b"1234", b"", memoryview(b"56"), bytearray(b"789")]
    assert checksums.digest_of(algorithm, pieces).hex() == CHECK_VALUES[algorithm]


@pytest.mark.parametrize("algorithm", AVAILABLE)
def test_a_digest_of_nothing_is_defined(algorithm: str) -> None:
    assert checksums.digest_of(algorithm, []) == checksums.digest_of(algorithm, [b""])


def test_a_checksum_without_its_wheel_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checksums, "_crc_step", lambda algorithm: None)
    for algorithm, extra in (("crc32c", "fast"), ("crc64nvme", "crt")):
        assert not checksums.is_available(algorithm)
        with pytest.raises(ImportError, match=rf"{algorithm}.*libcloud_s3mpu\[{extra}\]"):
            checksums.new_digest(algorithm)
    assert checksums.is_available("md5")


def test_a_checksum_is_written_in_base64() -> None:
    assert checksums.encoded(bytes.fromhex("cbf43926")) == "y/Q5Jg=="
    assert checksums.encoded(b"") == ""


def test_the_composite_etag_is_the_md5_of_the_md5s_and_their_number() -> None:
    digests = [hashlib.md5(body).digest() for body in (b"one", b"two")]
    expected = hashlib.md5(b"".join(digests)).hexdigest() + "-2"
    assert checksums.composite_etag(digest.hex() for digest in digests) == expected


@pytest.mark.parametrize("odd", ["", "opaque", "0" * 31, "0" * 33, "g" * 32, "0" * 32 + "-1"])
def test_an_etag_that_is_no_md5_makes_no_composite(odd: str) -> None:
    assert not checksums.is_md5(odd)
    assert checksums.composite_etag(["0" * 32, odd]) is None


def test_an_md5_may_be_written_in_capitals() -> None:
    assert checksums.is_md5("ABCDEF0123456789abcdef0123456789")


def test_the_composite_checksum_is_the_one_the_service_computes() -> None:
    digests = [checksums.digest_of("sha256", [body]) for body in (b"one", b"two")]
    expected = base64.b64encode(hashlib.sha256(b"".join(digests)).digest()).decode() + "-2"
    assert checksums.composite_checksum("sha256", digests) == expected


@pytest.mark.parametrize("algorithm", [a for a in AVAILABLE if a != "md5"])
def test_a_second_implementation_agrees(algorithm: str) -> None:
    name = checksums.ALGORITHMS[algorithm]
    body = bytes(range(256)) * 5
    ours = checksums.encoded(checksums.digest_of(algorithm, [body]))
    assert ours == reference.checksum(str(name), body)


def test_the_sha256_of_nothing_is_the_constant_of_sigv4() -> None:
    assert hashlib.sha256(b"").hexdigest() == checksums.EMPTY_SHA256


@pytest.mark.parametrize("algorithm", ["crc32", "crc32c", "crc64nvme"])
def test_the_crcs_of_parts_make_that_of_the_whole(algorithm: str) -> None:
    name = algorithm.upper()
    parts = [b"123", b"", b"4", b"56789"]
    digests = [(reference.ALGORITHMS[name](part), len(part)) for part in parts]
    assert checksums.combined_crc(algorithm, digests).hex() == CHECK_VALUES[algorithm]
    assert checksums.combined_crc(algorithm, digests[:1]) == digests[0][0]
    assert checksums.combined_crc(algorithm, []) == bytes(checksums.SIZES[algorithm])


@pytest.mark.parametrize("algorithm", ["crc32", "crc32c", "crc64nvme"])
@pytest.mark.parametrize("cut", [0, 1, 5, 13, 14])
def test_the_crcs_of_neighbours_make_that_of_both(algorithm: str, cut: int) -> None:
    crc = reference.ALGORITHMS[algorithm.upper()]
    data = b"fourteen bytes"
    first, second, both = (
        int.from_bytes(crc(piece), "big") for piece in (data[:cut], data[cut:], data)
    )
    assert checksums.joined_crc(algorithm, first, second, len(data) - cut) == both


def test_ten_thousand_parts_of_real_sizes_are_combined() -> None:
    zeros, ones = bytes(5 << 20), b"\x01" * (5 << 20)
    crcs = [zlib.crc32(zeros), zlib.crc32(ones)]
    expected = 0
    for _ in range(3):
        expected = zlib.crc32(ones, zlib.crc32(zeros, expected))
    parts = [(crc.to_bytes(4, "big"), 5 << 20) for crc in crcs]
    assert checksums.combined_crc("crc32", parts * 3) == expected.to_bytes(4, "big")
    began = time.process_time()
    assert len(checksums.combined_crc("crc64nvme", [(b"\x01" * 8, 5 << 20)] * 10_000)) == 8
    assert time.process_time() - began < 5


@pytest.mark.parametrize("algorithm", [n for n, s3 in checksums.ALGORITHMS.items() if s3])
def test_only_what_can_be_a_digest_is_read_back(algorithm: str) -> None:
    digest = reference.ALGORITHMS[algorithm.upper()](b"x")
    assert checksums.decoded(checksums.encoded(digest), algorithm) == digest
    for wrong in ("", "?", "AAA", checksums.encoded(digest + b"x")):
        assert checksums.decoded(wrong, algorithm) is None
