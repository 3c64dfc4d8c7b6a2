# SPDX-License-Identifier: Apache-2.0
"""Which check a body carries, and which answers disagree with it."""

from __future__ import annotations

import base64
import hashlib
from typing import Any
from dataclasses import replace

import pytest

from libcloud_s3mpu.protocol import checksums
from libcloud_s3mpu.protocol.errors import InvalidRequestError, ChecksumMismatchError
from libcloud_s3mpu.protocol.limits import S3_LIMITS, Limits
from libcloud_s3mpu.protocol.options import UploadOptions
from libcloud_s3mpu.protocol.session import UploadedPart
from libcloud_s3mpu.protocol.messages import Bytes, S3Request
from libcloud_s3mpu.protocol.integrity import (
    BodyCheck,
    compare,
    whole_of,
    body_check,
    digests_of,
    composite_of,
    compare_whole,
    full_object_of,
)

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


# -- the whole ------------------------------------------------------------------------------------

COMPLETE = S3Request(operation="CompleteMultipartUpload", method="POST", bucket="b", key="k")


def parts_of(algorithm: str, *bodies: bytes) -> list[UploadedPart]:
    return [
        UploadedPart(
            part_number=number,
            size=len(body),
            etag=hashlib.md5(body).hexdigest(),
            checksum=checksums.encoded(checksums.digest_of(algorithm, [body])),
        )
        for number, body in enumerate(bodies, 1)
    ]


def whole_values(algorithm: str) -> tuple[list[UploadedPart], str, str | None]:
    parts = parts_of(algorithm, b"one", b"two!")
    composite = composite_of(algorithm, parts)
    assert composite is not None and composite.endswith("-2")
    return parts, composite, full_object_of(algorithm, parts)


def compare_value(algorithm: str, answered: str, kind: str | None) -> None:
    parts, _, _ = whole_values(algorithm)
    compare_whole(COMPLETE, algorithm=algorithm, parts=parts, answered=answered, kind=kind)


def test_a_full_object_value_is_that_of_the_bytes_and_only_crcs_have_one() -> None:
    _, _, full = whole_values("crc32")
    assert full == checksums.encoded(checksums.digest_of("crc32", [b"onetwo!"]))
    assert whole_values("sha256")[2] is None


@pytest.mark.parametrize("algorithm", ["crc32", "sha1", "sha256"])
@pytest.mark.parametrize("kind", ["COMPOSITE", "FULL_OBJECT", None])
def test_the_right_value_of_each_kind_is_taken_and_a_wrong_one_is_not(
    algorithm: str, kind: str | None
) -> None:
    _, composite, full = whole_values(algorithm)
    wrong = checksums.encoded(bytes(checksums.SIZES[algorithm]))
    compare_value(algorithm, composite, "COMPOSITE")
    compare_value(algorithm, composite, None)
    compare_value(algorithm, composite.partition("-")[0], "COMPOSITE")
    compare_value(algorithm, composite.partition("-")[0], None)
    if full is not None:
        compare_value(algorithm, full, "FULL_OBJECT")
        compare_value(algorithm, full, None)
    for answered in (wrong, f"{wrong}-2", composite[:-1] + "3"):
        if full is None and kind != "COMPOSITE" and "-" not in answered:
            compare_value(algorithm, answered, kind)  # Nothing it could be compared with.
            continue
        with pytest.raises(ChecksumMismatchError) as caught:
            compare_value(algorithm, answered, kind)
        assert answered in str(caught.value) and "was left alone" in str(caught.value)


def test_without_every_parts_value_nothing_is_said_of_the_whole() -> None:
    parts = parts_of("crc32", b"one", b"two")
    for lost in (None, "garbage", ""):
        some = [parts[0], replace(parts[1], checksum=lost)]
        assert composite_of("crc32", some) is None and full_object_of("crc32", some) is None
        compare_whole(COMPLETE, algorithm="crc32", parts=some, answered="AAAAAA==-2", kind=None)
    assert composite_of("md5", parts) is None and composite_of(None, parts) is None


def test_the_value_of_a_whole_is_composite_but_of_crc64nvme() -> None:
    parts = parts_of("crc32", b"one", b"two")
    assert whole_of(BodyCheck(algorithm="crc32", is_signed=False), parts) == composite_of(
        "crc32", parts
    )
    eight = [replace(part, checksum=checksums.encoded(bytes(8))) for part in parts]
    full = whole_of(BodyCheck(algorithm="crc64nvme", is_signed=False), eight)
    assert full is not None and "-" not in full
