# SPDX-License-Identifier: Apache-2.0
"""Laws of the fake itself, at small limits: it must refuse what AWS refuses.

The signature's vectors are those of the S3 API reference, "Signature Calculations for the
Authorization Header" and "Query Parameters" (read 2026-09). Multipart uploads, faults and sockets
have their own tests beside the fake, in ``tests/fake_s3/test_*.py``.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Any
from datetime import datetime, timezone, timedelta
from dataclasses import replace
from urllib.parse import quote, unquote_plus

import pytest

from tests.fake_s3 import REGION, ACCESS_KEY, SECRET_KEY, FakeS3, Request, sigv4, checksums
from tests.fake_s3.caller import NOW, SSE_C, Caller, texts, caller

ODD_KEYS = [
    "a b",
    "a+b",
    "a%41",
    "/lead",
    "a//b",
    "../o/x",
    ".",
    "ü/é",
    "?&=#;",
    "\x01\r\n",
    "trail/",
]


@pytest.fixture
def call() -> Caller:
    return caller()


# -- identity ---------------------------------------------------------------------------------

EMPTY = hashlib.sha256(b"").hexdigest()
GREETING = b"Welcome to Amazon S3."
VECTORS = [
    (
        "GET", "/test.txt", b"", {"range": "bytes=0-9"},
        "host;range;x-amz-content-sha256;x-amz-date",
        "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
    ),
    (
        "PUT", "/test$file.text", GREETING,
        {"date": "Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class": "REDUCED_REDUNDANCY"},
        "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
        "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
    ),
    (
        "GET", "/?lifecycle", b"", {}, "host;x-amz-content-sha256;x-amz-date",
        "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
    ),
    (
        "GET", "/?max-keys=2&prefix=J", b"", {}, "host;x-amz-content-sha256;x-amz-date",
        "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
    ),
]  # fmt: skip
AWS_KEYS = {"AKIAIOSFODNN7EXAMPLE": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}
AWS_NOW = datetime(2013, 5, 24, tzinfo=timezone.utc)


@pytest.mark.parametrize(("method", "target", "body", "headers", "names", "signature"), VECTORS)
def test_signatures_of_the_aws_reference_are_accepted(
    method: str, target: str, body: bytes, headers: dict[str, str], names: str, signature: str
) -> None:
    scope = "AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request"
    headers = {
        **headers,
        "host": "examplebucket.s3.amazonaws.com",
        "x-amz-date": "20130524T000000Z",
        "x-amz-content-sha256": hashlib.sha256(body).hexdigest(),
        "authorization": f"AWS4-HMAC-SHA256 Credential={scope},SignedHeaders={names},"
        f"Signature={signature}",
    }
    ring = sigv4.Keyring(credentials=dict(AWS_KEYS), region=REGION)
    request = Request.of(method, target, headers, body)
    assert sigv4.verify(request, ring, AWS_NOW) == "AKIAIOSFODNN7EXAMPLE"
    with pytest.raises(Exception, match="SignatureDoesNotMatch"):
        sigv4.verify(replace(request, method="DELETE"), ring, AWS_NOW)


def test_the_presigned_url_of_the_aws_reference_is_accepted_until_it_expires() -> None:
    target = (
        "/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE"
        "%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z"
        "&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature="
        "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    )
    request = Request.of("GET", target, {"host": "examplebucket.s3.amazonaws.com"})
    ring = sigv4.Keyring(credentials=dict(AWS_KEYS), region=REGION)
    assert sigv4.verify(request, ring, AWS_NOW + timedelta(hours=23)) == "AKIAIOSFODNN7EXAMPLE"
    with pytest.raises(Exception, match="expired"):
        sigv4.verify(request, ring, AWS_NOW + timedelta(hours=25))


@pytest.mark.parametrize("key", ODD_KEYS)
@pytest.mark.parametrize("presigned", [False, True])
def test_signatures_of_botocore_are_accepted(key: str, presigned: bool) -> None:
    auth = pytest.importorskip("botocore.auth")
    awsrequest = pytest.importorskip("botocore.awsrequest")
    credentials = pytest.importorskip("botocore.credentials").Credentials(
        ACCESS_KEY, SECRET_KEY, "the/token+="
    )
    url = f"http://fake:80/b/{quote(key, safe='/~')}"
    headers = {} if presigned else {"x-amz-meta-a": " b   c ", "content-length": "3"}
    request = awsrequest.AWSRequest("PUT", url, headers=headers, data=b"" if presigned else b"abc")
    kind = auth.S3SigV4QueryAuth if presigned else auth.S3SigV4Auth
    kind(credentials, "s3", REGION).add_auth(request)
    sent = {name: str(value) for name, value in request.headers.items()}
    sent = {"Host": "fake", "Content-Length": "3", **{n.title(): v for n, v in sent.items()}}
    fake = FakeS3(credentials={ACCESS_KEY: (SECRET_KEY, "the/token+=")}, buckets=("b",))
    target = request.url.removeprefix("http://fake:80")
    assert fake.handle(Request.of("PUT", target, sent, b"abc")).body == b""
    assert fake.objects["b"][key].body == b"abc"


@pytest.mark.parametrize(
    ("signing", "code"),
    [
        ({"access_key": "NOBODY"}, "InvalidAccessKeyId"),
        ({"secret_key": "wrong"}, "SignatureDoesNotMatch"),
        ({"now": NOW + timedelta(minutes=16)}, "RequestTimeTooSkewed"),
        ({"region": "mars-1"}, "AuthorizationHeaderMalformed"),
        ({"payload": EMPTY}, "XAmzContentSHA256Mismatch"),
        ({"payload": "junk"}, "InvalidArgument"),
        ({"payload": "STREAMING-UNSIGNED-PAYLOAD-TRAILER"}, "NotImplemented"),
        ({"token": "stray"}, "InvalidToken"),
        ({"payload": "UNSIGNED-PAYLOAD"}, ""),
    ],
)
def test_identity_is_checked(call: Caller, signing: dict[str, Any], code: str) -> None:
    assert call("PUT", "/b/k", b"x", **signing).code == code


def test_a_request_without_signature_or_with_an_unsigned_amz_header_is_refused(
    call: Caller,
) -> None:
    fake = call.fake
    bare = Request.of("GET", "/b/k", {"host": "fake"})
    assert fake.handle(bare).code == "AccessDenied"
    keys = {"access_key": ACCESS_KEY, "secret_key": SECRET_KEY, "region": REGION}
    signed = sigv4.sign(bare, now=NOW, **keys)
    signed = replace(signed, headers=(*signed.headers, ("x-amz-acl", "public-read")))
    assert texts(fake.handle(signed), "HeadersNotSigned") == ["x-amz-acl"]


def test_a_temporary_key_needs_its_token_until_it_expires() -> None:
    call = caller(credentials={ACCESS_KEY: (SECRET_KEY, "token")})
    assert call("PUT", "/b/k", b"x").code == "InvalidAccessKeyId"
    assert call("PUT", "/b/k", b"x", token="token").status == 200
    call.fake.keyring.expired_tokens.add("token")
    assert call("PUT", "/b/k", b"x", token="token").code == "ExpiredToken"


# -- objects ----------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ODD_KEYS)
def test_an_object_is_stored_under_exactly_its_key(call: Caller, key: str) -> None:
    assert call("PUT", f"/b/{quote(key, safe='')}", b"x").status == 200
    assert list(call.fake.objects["b"]) == [key]
    listed = texts(call("GET", "/b?encoding-type=url"), "Key")
    assert [unquote_plus(name) for name in listed] == [key]
    assert call.fake.requests[0].key == key


def test_a_key_may_have_1024_bytes_and_no_more(call: Caller) -> None:
    assert call("PUT", "/b/" + quote("ü" * 512)).status == 200
    assert call("PUT", "/b/" + quote("ü" * 512) + "k").code == "KeyTooLongError"


def test_headers_and_metadata_come_back(call: Caller) -> None:
    given = {"content-type": "text/x", "cache-control": "no-store", "x-amz-meta-a": "1"}
    wire = "é".encode().decode("latin-1")
    assert call("PUT", "/b/k", b"abc", {**given, "x-amz-meta-b": wire}).status == 200
    head = call("HEAD", "/b/k")
    assert {name: head.header(name) for name in given} == given
    assert head.header("x-amz-meta-b") == "=?UTF-8?B?w6k=?="
    assert (head.body, head.header("content-length")) == (b"", "3")
    assert head.header("etag") == f'"{hashlib.md5(b"abc").hexdigest()}"'


@pytest.mark.parametrize(
    ("asked", "status", "body"),
    [
        ("bytes=0-1", 206, b"01"),
        ("bytes=8-", 206, b"89"),
        ("bytes=-3", 206, b"789"),
        ("bytes=5-99", 206, b"56789"),
        ("bytes=-99", 206, b"0123456789"),
        ("bytes=10-", 416, None),
        ("bytes=-0", 416, None),
        ("bytes=3-2", 200, b"0123456789"),
        ("bytes=0-1,3-4", 200, b"0123456789"),
        ("junk", 200, b"0123456789"),
    ],
)
def test_ranges(call: Caller, asked: str, status: int, body: bytes | None) -> None:
    call("PUT", "/b/k", b"0123456789")
    response = call("GET", "/b/k", headers={"range": asked})
    assert response.status == status
    assert body is None or response.body == body


@pytest.mark.parametrize(
    ("algorithm", "hexadecimal"),
    [("CRC32", "cbf43926"), ("CRC32C", "e3069283"), ("CRC64NVME", "ae8b14860a799888")],
)
def test_check_values_of_the_crc_catalogue(algorithm: str, hexadecimal: str) -> None:
    value = checksums.checksum(algorithm, b"123456789")
    assert base64.b64decode(value).hex() == hexadecimal


@pytest.mark.parametrize("algorithm", checksums.ALGORITHMS)
def test_a_checksum_is_verified_kept_and_given_back(call: Caller, algorithm: str) -> None:
    name = checksums.header_name(algorithm)
    right, wrong = (checksums.checksum(algorithm, body) for body in (b"abc", b"abd"))
    assert call("PUT", "/b/k", b"abc", {name: wrong}).code == "BadDigest"
    assert call("PUT", "/b/k", b"abc", {name: "short"}).code == "InvalidRequest"
    assert call("PUT", "/b/k", b"abc", {name: right}).header(name) == right
    got = call("GET", "/b/k", headers={"x-amz-checksum-mode": "ENABLED"})
    assert got.header(name) == right


def test_content_md5_lengths_and_chunks_are_checked(call: Caller) -> None:
    wrong = base64.b64encode(hashlib.md5(b"other").digest()).decode()
    assert call("PUT", "/b/k", b"x", {"content-md5": wrong}).code == "BadDigest"
    assert call("PUT", "/b/k", b"x", {"content-md5": "AAAA"}).code == "InvalidDigest"
    chunked = Request.of("PUT", "/b/k", {"host": "fake", "transfer-encoding": "chunked"})
    assert call.fake.handle(chunked).status == 501
    assert call.fake.handle(Request.of("PUT", "/b/k", {"host": "fake"})).status == 411
    assert call.fake.objects["b"] == {}


def test_conditional_writes(call: Caller) -> None:
    once = {"if-none-match": "*"}
    assert call("PUT", "/b/k", b"x", {"if-match": '"x"'}).code == "NoSuchKey"
    etag = call("PUT", "/b/k", b"x", once).header("etag") or ""
    assert call("PUT", "/b/k", b"y", once).status == 412
    assert call("PUT", "/b/k", b"y", {"if-match": etag}).status == 200
    assert call("PUT", "/b/k", b"z", {"if-match": etag}).status == 412
    assert call.whole([b"abc"], headers=once).status == 412
    assert call.fake.objects["b"]["k"].body == b"y"


def test_buckets_are_made_found_and_removed_only_when_empty(call: Caller) -> None:
    assert call("PUT", "/other").status == 200
    assert call("PUT", "/other").code == "BucketAlreadyOwnedByYou"
    assert call("PUT", "/No_Bucket").code == "InvalidBucketName"
    assert texts(call("GET", "/"), "Name") == ["b", "other"]
    call("PUT", "/other/k", b"x")
    assert call("DELETE", "/other").code == "BucketNotEmpty"
    assert call("DELETE", "/other/k").status == call("DELETE", "/other").status == 204
    assert call("HEAD", "/other").status == 404
    assert call("GET", "/b?location").body.endswith(b"></LocationConstraint>")
    assert call("GET", "/b?acl").status == 501


def test_many_objects_are_deleted_only_with_a_digest(call: Caller) -> None:
    for key in ("a", "b", "c"):
        call("PUT", f"/b/{key}", b"x")
    body = b"<Delete><Object><Key>a</Key></Object><Object><Key>zz</Key></Object></Delete>"
    assert call("POST", "/b?delete", body).code == "InvalidRequest"
    digest = {"content-md5": base64.b64encode(hashlib.md5(body).digest()).decode()}
    assert texts(call("POST", "/b?delete", body, digest), "Key") == ["a", "zz"]
    assert list(call.fake.objects["b"]) == ["b", "c"]


def test_an_object_under_a_customers_key_is_read_with_that_key_only(call: Caller) -> None:
    assert call("PUT", "/b/k", b"abc", SSE_C).status == 200
    assert call("GET", "/b/k").code == "InvalidRequest"
    assert call("HEAD", "/b/k").status == 400
    assert call("GET", "/b/k", headers=SSE_C).body == b"abc"
    assert call.fake.objects["b"]["k"].etag != hashlib.md5(b"abc").hexdigest()
    plain = Request.of("GET", "/b/k", {"host": "fake", **SSE_C})
    keys = {"access_key": ACCESS_KEY, "secret_key": SECRET_KEY, "region": REGION}
    signed = sigv4.sign(replace(plain, secure=False), now=NOW, **keys)
    assert "secure connection" in texts(call.fake.handle(signed), "Message")[0]


def test_copies_keep_or_replace_metadata(call: Caller) -> None:
    call("PUT", "/b/s%20s", b"0123456789", {"x-amz-meta-a": "1"})
    source = {"x-amz-copy-source": "/b/s%20s"}
    assert call("PUT", "/b/c", headers=source).status == 200
    assert call.fake.objects["b"]["c"].metadata == {"a": "1"}
    call("PUT", "/b/c", headers={**source, "x-amz-metadata-directive": "REPLACE"})
    assert call.fake.objects["b"]["c"].metadata == {}
    assert call("PUT", "/b/s%20s", headers=source).code == "InvalidRequest"
    missing = {"x-amz-copy-source": "/b/none"}
    assert call("PUT", "/b/c", headers=missing).code == "NoSuchKey"


# -- pages ------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 3, 50])
@pytest.mark.parametrize("version", ["1", "2"])
def test_pages_of_objects_hold_every_name_once(call: Caller, size: int, version: str) -> None:
    for key in ("a", "d/1", "d/2", "e/", "e/x", "z"):
        call("PUT", f"/b/{key}", b"x")
    names: list[str] = []
    more = ""
    while True:
        page = call("GET", f"/b?list-type={version}&max-keys={size}&delimiter=/{more}")
        groups = [name for name in texts(page, "Prefix") if name]
        names += sorted(texts(page, "Key") + groups)
        if texts(page, "IsTruncated") == ["false"]:
            break
        if version == "1":
            more = "&marker=" + texts(page, "NextMarker")[0]
        else:
            more = "&continuation-token=" + texts(page, "NextContinuationToken")[0]
    assert names == ["a", "d/", "e/", "z"]


def test_pages_of_parts_hold_every_part_once(call: Caller) -> None:
    upload_id = call.initiate()
    for number in (7, 2, 20, 11):
        call.part(upload_id, number, b"x")
    target = f"/b/k?uploadId={quote(upload_id, safe='')}&max-parts=3"
    first = call("GET", target)
    assert texts(first, "PartNumber") == ["2", "7", "11"]
    assert (texts(first, "IsTruncated"), texts(first, "NextPartNumberMarker")) == (["true"], ["11"])
    second = call("GET", f"{target}&part-number-marker=11")
    assert (texts(second, "PartNumber"), texts(second, "IsTruncated")) == (["20"], ["false"])


@pytest.mark.parametrize("size", [1, 2, 4, 50])
def test_pages_of_uploads_hold_every_upload_once(call: Caller, size: int) -> None:
    ids = [call.initiate(key) for key in ("a", "k%20/1", "k%20/1", "k%20/2", "z")]
    found, more = [], ""
    while True:
        page = call("GET", f"/b?uploads&max-uploads={size}&encoding-type=url{more}")
        found += texts(page, "UploadId")
        if texts(page, "IsTruncated") == ["false"]:
            break
        marker = quote(texts(page, "NextUploadIdMarker")[0], safe="")
        more = f"&key-marker={texts(page, 'NextKeyMarker')[0]}&upload-id-marker={marker}"
    assert found == ids
    assert texts(call("GET", "/b?uploads&prefix=k%20/"), "UploadId") == ids[1:4]
    assert texts(call("GET", "/b?uploads&delimiter=/"), "Prefix") == ["", "k /"]
