# SPDX-License-Identifier: Apache-2.0
"""Which check a body carries, and which answers disagree with it."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest

from libcloud_s3mpu.protocol import checksums
from libcloud_s3mpu.protocol.errors import InvalidRequestError, ChecksumMismatchError
from libcloud_s3mpu.protocol.limits import S3_LIMITS, Limits
from libcloud_s3mpu.protocol.options import UploadOptions
from libcloud_s3mpu.protocol.messages import Bytes, S3Request
from libcloud_s3mpu.protocol.integrity import BodyCheck, compare, body_check, digests_of

REQUEST = S3Request(operation="UploadPart", method="PUT", bucket="b", key="k", part_number=3)


def chosen(limits: Limits = S3_LIMITS, *, is_secure: bool, **options: Any) -> tuple[Any, bool]:
    check = body_check(UploadOptions(**options), limits, is_secure=is_secure)
    return check.algorithm, check.is_signed


def test_plain_http_signs_and_carries_nothing_more() -> None:
    assert chosen(is_secure=False) == (None, True)


def test_tls_carries_the_cheapest_checksum_that_is_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(checksums, "is_available", lambda name: True)
    assert chosen(is_secure=True) == ("crc32c", False)
    monkeypatch.setattr(checksums, "is_available", lambda name: name != "crc32c")
    assert chosen(is_secure=True) == ("crc32", False)


def test_a_service_without_checksums_gets_signed_payloads_over_tls_too() -> None:
    bare = Limits(checksums=frozenset())
    assert chosen(bare, is_secure=True) == (None, True)
    assert chosen(bare, is_secure=True, sign_payload=False) == (None, False)


@pytest.mark.parametrize("is_secure", [True, False])
@pytest.mark.parametrize("sign", [True, False])
def test_the_callers_choice_about_signing_wins(is_secure: bool, sign: bool) -> None:
    assert chosen(is_secure=is_secure, checksum=None, sign_payload=sign) == (None, sign)


@pytest.mark.parametrize("name", ["crc32", "sha1", "sha256", "md5"])
def test_a_named_checksum_is_carried_signed_or_not(name: str) -> None:
    assert chosen(is_secure=True, checksum=name) == (name, False)
    assert chosen(is_secure=False, checksum=name) == (name, True)


def test_a_checksum_that_the_service_does_not_verify_is_refused_by_name() -> None:
    only = Limits(checksums=frozenset({"CRC32"}))
    with pytest.raises(InvalidRequestError, match=r"sha256.*it knows: CRC32"):
        chosen(only, is_secure=True, checksum="sha256")
    assert chosen(only, is_secure=True, checksum="md5") == ("md5", False)


def test_a_body_is_read_once_for_each_digest_and_not_at_all_without_one() -> None:
    class Counted(Bytes):
        reads = 0

        def buffers(self) -> tuple[bytes, ...]:
            type(self).reads += 1
            return super().buffers()

    body = Counted(b"abc")
    digests_of(body, BodyCheck(algorithm=None, is_signed=False))
    assert Counted.reads == 0
    digests = digests_of(body, BodyCheck(algorithm="sha256", is_signed=True))
    assert Counted.reads == 1
    assert digests.sha256 == hashlib.sha256(b"abc").hexdigest()
    digests_of(body, BodyCheck(algorithm="crc32", is_signed=True))
    assert Counted.reads == 3


def test_the_headers_make_the_service_verify_the_body() -> None:
    def headers(algorithm: str | None) -> dict[str, str]:
        return digests_of(Bytes(b"abc"), BodyCheck(algorithm=algorithm, is_signed=False)).headers

    assert headers(None) == {}
    md5 = base64.b64encode(hashlib.md5(b"abc").digest()).decode()
    assert headers("md5") == {"content-md5": md5}
    sha = base64.b64encode(hashlib.sha256(b"abc").digest()).decode()
    assert headers("sha256") == {"x-amz-checksum-sha256": sha}
    assert list(headers("crc32")) == ["x-amz-checksum-crc32"]


def test_an_echoed_checksum_that_differs_is_named_with_both_values() -> None:
    digests = digests_of(Bytes(b"abc"), BodyCheck(algorithm="crc32", is_signed=False))
    name = "x-amz-checksum-crc32"
    compare(REQUEST, {name: str(digests.checksum)}, etag="e", digests=digests)
    compare(REQUEST, {}, etag="e", digests=digests)
    with pytest.raises(ChecksumMismatchError, match=r"part 3.*CRC32.*AAAAAA==") as caught:
        compare(REQUEST, {name: "AAAAAA=="}, etag="e", digests=digests)
    assert str(digests.checksum) in str(caught.value)
    assert caught.value.retryable


def test_an_etag_is_compared_with_the_md5_only_where_it_is_one() -> None:
    digests = digests_of(Bytes(b"abc"), BodyCheck(algorithm="md5", is_signed=False))
    right = hashlib.md5(b"abc").hexdigest()
    compare(REQUEST, {}, etag=right, digests=digests)
    compare(REQUEST, {}, etag=right.upper(), digests=digests)
    compare(REQUEST, {}, etag="opaque", digests=digests)
    compare(REQUEST, {"x-amz-server-side-encryption": "aws:kms"}, etag="0" * 32, digests=digests)
    compare(
        REQUEST,
        {"x-amz-server-side-encryption-customer-algorithm": "AES256"},
        etag="0" * 32,
        digests=digests,
    )
    with pytest.raises(ChecksumMismatchError, match="MD5"):
        compare(REQUEST, {}, etag="0" * 32, digests=digests)
    with pytest.raises(ChecksumMismatchError, match="MD5"):
        compare(REQUEST, {"x-amz-server-side-encryption": "AES256"}, etag="0" * 32, digests=digests)


def test_an_etag_is_not_compared_when_no_md5_was_computed() -> None:
    digests = digests_of(Bytes(b"abc"), BodyCheck(algorithm=None, is_signed=True))
    compare(REQUEST, {}, etag="0" * 32, digests=digests)
