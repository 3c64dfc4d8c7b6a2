# SPDX-License-Identifier: Apache-2.0
"""The copying verbs as values: what is sent byte for byte, and what each answer means."""

from __future__ import annotations

from typing import Any

import pytest

from libcloud_s3mpu.protocol import copying, tagging
from libcloud_s3mpu.protocol.wire import Target
from libcloud_s3mpu.protocol.errors import (
    ThrottledError,
    ObjectMissingError,
    SourceChangedError,
    MalformedAnswerError,
    ChecksumMismatchError,
    TransientServiceError,
    ExpiredCredentialsError,
)
from libcloud_s3mpu.protocol.copying import CopySource, FoundSource, CopyUnsupportedError
from libcloud_s3mpu.protocol.headers import SSE_CUSTOMER
from libcloud_s3mpu.protocol.messages import S3Request, S3Response
from libcloud_s3mpu.protocol.integrity import BodyCheck

SOURCE = CopySource(bucket="from", key="a/key", etag="aa11")
TARGET = Target(bucket="to", key="new", headers={"x-amz-meta-a": "1", "content-type": "t/t"})
MD5 = "0123456789abcdef0123456789abcdef"


def found(**changes: Any) -> FoundSource:
    values = {"source": SOURCE, "size": 7, "headers": {}, "tag_count": 0, "is_opaque": False}
    return FoundSource(**{**values, **changes})


def error_xml(code: str) -> bytes:
    return f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()


def answer(body: bytes = b"", status: int = 200, **headers: str) -> S3Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return S3Response(status=status, headers=named, body=body)


def part_request(**kwargs: Any) -> S3Request:
    given = {"upload_id": "u", "part_number": 3, **kwargs}
    return copying.copy_part_request(TARGET, SOURCE, **given)


@pytest.mark.parametrize(
    ("key", "written"),
    [
        ("a/b.txt", "from/a/b.txt"),
        ("a b+c%20&d?e=f#g", "from/a%20b%2Bc%2520%26d%3Fe%3Df%23g"),
        ("é文🎉", "from/%C3%A9%E6%96%87%F0%9F%8E%89"),
        ("~._-", "from/~._-"),
        ("/a//b/../c", "from//a//b/../c"),
    ],
)
def test_the_source_is_encoded_once_and_whole(key: str, written: str) -> None:
    headers = CopySource(bucket="from", key=key).copy_headers()
    assert headers == {"x-amz-copy-source": written}


def test_a_version_is_part_of_the_source() -> None:
    source = CopySource(bucket="tenant:b", key="k", version_id="a+/=")
    written = source.copy_headers()["x-amz-copy-source"]
    assert written == "tenant%3Ab/k?versionId=a%2B%2F%3D"
    assert copying.head_source_request(source).query == (("versionId", "a+/="),)
    assert copying.range_request(source, first=0, size=1).query == (("versionId", "a+/="),)


def test_the_sources_key_has_one_name_for_reading_and_one_for_copying() -> None:
    given = {name: str(n) for n, name in enumerate(copying.SOURCE_KEY)}
    given |= {"x-amz-source-expected-bucket-owner": "me", "x-amz-request-payer": "requester"}
    read = copying.source_headers(given)
    assert read["x-amz-server-side-encryption-customer-key"] == "1"
    assert read["x-amz-expected-bucket-owner"] == "me"
    sent = CopySource(bucket="b", key="k", headers=read).copy_headers()
    assert sent.pop("x-amz-copy-source") == "b/k"
    assert sent == given
    assert "1" not in repr(CopySource(bucket="b", key="k", headers=read))


# -- requests ------------------------------------------------------------------------------------


def test_a_part_names_its_range_and_pins_its_source() -> None:
    request = part_request(first=5, size=4)
    assert (request.method, request.query) == ("PUT", (("partNumber", "3"), ("uploadId", "u")))
    assert request.headers == {
        "x-amz-copy-source": "from/a/key",
        "x-amz-copy-source-if-match": '"aa11"',
        "x-amz-copy-source-range": "bytes=5-8",
    }
    assert "x-amz-copy-source-range" not in part_request().headers


def test_a_copy_keeps_or_replaces_what_goes_with_the_bytes() -> None:
    def sent(**how: bool) -> dict[str, str]:
        return dict(copying.copy_object_request(TARGET, SOURCE, **how).headers)

    kept = sent(replaces_metadata=False, replaces_tags=False)
    assert kept["x-amz-metadata-directive"] == "COPY"
    assert not {"x-amz-meta-a", "content-type", "x-amz-tagging-directive"} & kept.keys()
    new = sent(replaces_metadata=True, replaces_tags=True)
    assert (new["x-amz-metadata-directive"], new["x-amz-tagging-directive"]) == (
        "REPLACE",
        "REPLACE",
    )
    assert (new["x-amz-meta-a"], new["content-type"]) == ("1", "t/t")


# -- the source ----------------------------------------------------------------------------------


def test_head_pins_the_etag_and_keeps_what_belongs_to_the_object() -> None:
    request = copying.head_source_request(CopySource(bucket="b", key="k"))
    got = copying.head_source_result(
        request,
        answer(
            content_length="12",
            etag='"e-2"',
            content_type="text/plain",
            content_encoding="aws-chunked,gzip",
            cache_control="no-store",
            server="x",
            x_amz_meta_name="=?UTF-8?B?w6k=?=",
            x_amz_tagging_count="2",
        ),
        CopySource(bucket="b", key="k"),
    )
    assert (got.size, got.etag, got.tag_count, got.is_opaque) == (12, "e-2", 2, False)
    assert got.headers == {
        "content-type": "text/plain",
        "content-encoding": "gzip",
        "cache-control": "no-store",
        "x-amz-meta-name": "=?UTF-8?B?w6k=?=",
    }


@pytest.mark.parametrize("headers", [{"content_length": "1"}, {"etag": '"e"'}])
def test_a_source_without_etag_or_length_is_refused(headers: dict[str, str]) -> None:
    request = copying.head_source_request(SOURCE)
    with pytest.raises(MalformedAnswerError):
        copying.head_source_result(request, answer(**headers), SOURCE)


def test_a_pinned_head_says_that_the_source_has_changed() -> None:
    request = copying.head_source_request(SOURCE)
    assert request.headers["if-match"] == '"aa11"'
    with pytest.raises(SourceChangedError, match="changed since the copy began"):
        copying.head_source_result(request, answer(status=412), SOURCE)


def test_tags_are_read_as_they_are_sent() -> None:
    request = tagging.tagging_request(SOURCE)
    assert request.query == (("tagging", ""),)
    body = (
        b"<Tagging><TagSet><Tag><Key>a b</Key><Value>&amp;=</Value></Tag>"
        b"<Tag><Key>n</Key><Value/></Tag></TagSet></Tagging>"
    )
    assert tagging.tagging_result(request, answer(body)) == "a%20b=%26%3D&n="


@pytest.mark.parametrize(
    ("response", "is_good"),
    [
        (answer(b"abc", 206, content_range="bytes 4-6/10"), True),
        (answer(b"abc", 206, content_range="bytes 4-6/*"), True),
        (answer(b"abc", 206, content_range="bytes 0-2/10"), False),
        (answer(b"abc", 206), False),
        (answer(b"ab", 206, content_range="bytes 4-6/10"), False),
        (answer(b"abc", 200), False),
    ],
)
def test_a_range_is_believed_only_at_its_place(response: S3Response, is_good: bool) -> None:
    request = copying.range_request(SOURCE, first=4, size=3)
    assert request.headers == {"range": "bytes=4-6", "if-match": '"aa11"'}
    assert request.answer_limit == 3
    if is_good:
        assert copying.range_result(request, response, first=4, size=3) == b"abc"
    else:
        with pytest.raises(MalformedAnswerError):
            copying.range_result(request, response, first=4, size=3)


def test_a_whole_object_may_come_as_200() -> None:
    request = copying.range_request(SOURCE, first=0, size=3)
    assert copying.range_result(request, answer(b"abc"), first=0, size=3) == b"abc"


# -- answers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("etag", ['"e1"', "e1", "&quot;e1&quot;"])
def test_a_parts_etag_comes_with_and_without_quotes(etag: str) -> None:
    body = f"  \n<CopyPartResult><ETag>{etag}</ETag></CopyPartResult>".encode()
    part = copying.copy_part_result(part_request(), answer(body), size=4)
    assert (part.part_number, part.size, part.etag, part.checksum) == (3, 4, "e1", None)


def test_a_parts_checksum_is_the_one_that_the_upload_declared() -> None:
    body = b"<CopyPartResult><ETag>e</ETag><ChecksumCRC32C>sum=</ChecksumCRC32C></CopyPartResult>"
    for algorithm, checksum in (("crc32c", "sum="), ("crc32", None), (None, None)):
        check = BodyCheck(algorithm=algorithm, is_signed=False)
        part = copying.copy_part_result(part_request(), answer(body), size=4, check=check)
        assert part.checksum == checksum


@pytest.mark.parametrize(
    ("response", "kind", "is_retryable"),
    [
        (answer(b"  \n" + error_xml("InternalError")), TransientServiceError, True),
        (answer(b" " + error_xml("SlowDown")), ThrottledError, True),
        (answer(error_xml("PreconditionFailed")), SourceChangedError, False),
        (answer(error_xml("PreconditionFailed"), 412), SourceChangedError, False),
        (answer(error_xml("NoSuchKey"), 404), ObjectMissingError, False),
        (answer(error_xml("NotImplemented"), 501), CopyUnsupportedError, False),
        (answer(b"", 501), CopyUnsupportedError, False),
        (answer(b"", etag=f'"{copying._EMPTY_MD5}"'), CopyUnsupportedError, False),
        (answer(b""), MalformedAnswerError, True),
        (answer(b"<CopyPartResult><ETag>"), MalformedAnswerError, True),
        (answer(b"<CopyPartResult/>"), MalformedAnswerError, True),
        (answer(b"<Other/>"), MalformedAnswerError, True),
    ],
)
def test_what_is_no_copy_is_an_error(
    response: S3Response, kind: type[Exception], is_retryable: bool
) -> None:
    with pytest.raises(kind) as caught:
        copying.copy_part_result(part_request(), response, size=4)
    assert caught.value.retryable is is_retryable  # type: ignore[attr-defined]
    assert caught.value.part_number == 3  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("InvalidRequest", CopyUnsupportedError),
        ("ExpiredToken", ExpiredCredentialsError),
        ("RequestTimeout", TransientServiceError),
    ],
)
def test_a_400_for_a_source_under_a_key_is_told_apart(code: str, kind: type[Exception]) -> None:
    names = sorted(SSE_CUSTOMER)
    source = CopySource(bucket="b", key="k", headers=dict.fromkeys(names, "x"))
    request = copying.copy_part_request(TARGET, source, upload_id="u", part_number=3)
    assert copying.SOURCE_KEY[1] in request.headers
    with pytest.raises(kind):
        copying.copy_part_result(request, answer(error_xml(code), 400), size=4)


def test_an_error_names_the_source() -> None:
    with pytest.raises(ObjectMissingError, match=r"source from/a/key"):
        copying.copy_part_result(part_request(), answer(error_xml("NoSuchKey"), 404), size=4)


def copied(etag: str, source_etag: str, **changes: Any) -> Any:
    request = copying.copy_object_request(
        TARGET, SOURCE, replaces_metadata=False, replaces_tags=False
    )
    body = f"<CopyObjectResult><ETag>{etag}</ETag></CopyObjectResult>".encode()
    source = found(source=CopySource(bucket="b", key="k", etag=source_etag), **changes)
    return copying.copy_object_result(request, answer(body, x_amz_version_id="v1"), source)


def test_a_copys_md5_is_compared_where_both_are_one() -> None:
    stored = copied(MD5, MD5)
    assert (stored.etag, stored.version_id) == (MD5, "v1")
    assert copied(MD5, f"{MD5[:-1]}0-2").etag == MD5
    assert copied(MD5, MD5[::-1], is_opaque=True).etag == MD5
    with pytest.raises(ChecksumMismatchError):
        copied(MD5, MD5[::-1])
