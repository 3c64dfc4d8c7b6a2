# SPDX-License-Identifier: Apache-2.0
"""The multipart verbs as pairs: what a request says, and which answers are believed."""

from __future__ import annotations

from typing import Any
from dataclasses import replace

import pytest

from libcloud_s3mpu.protocol import xml, wire, errors
from tests.unit.test_headers import ALL, PAYER, SSE_C
from libcloud_s3mpu.protocol.session import UploadedPart
from libcloud_s3mpu.protocol.messages import Bytes, S3Request, S3Response
from libcloud_s3mpu.protocol.integrity import BodyCheck, BodyDigests, digests_of

TARGET = wire.Target(bucket="b", key="k/é", headers=ALL)
PLAIN = wire.Target(bucket="b", key="k", headers={})
NOTHING = BodyCheck(algorithm=None, is_signed=False)
CRC32 = BodyCheck(algorithm="crc32", is_signed=False)
BODY = Bytes(b"abcde")
ODD_ID = "up/+=&% ?~"
INITIATE = wire.initiate_request(PLAIN, NOTHING)
LIST = wire.list_parts_request(PLAIN, upload_id="u")


def answer(status: int = 200, body: bytes = b"", **headers: str) -> S3Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return S3Response(status=status, headers=named, body=body)


def part_request(digests: BodyDigests) -> S3Request:
    return wire.upload_part_request(PLAIN, upload_id="u", part_number=3, body=BODY, digests=digests)


def uploaded(number: int, etag: str = "e", checksum: str | None = None) -> UploadedPart:
    return UploadedPart(part_number=number, size=5, etag=etag, checksum=checksum)


ERROR = b"<Error><Code>InternalError</Code></Error>"


# -- requests --------------------------------------------------------------------------------------


def test_each_verb_has_its_method_and_query() -> None:
    digests = digests_of(BODY, NOTHING)
    check = NOTHING
    requests = [
        wire.put_request(PLAIN, BODY, digests),
        INITIATE,
        wire.upload_part_request(PLAIN, upload_id="u", part_number=3, body=BODY, digests=digests),
        wire.complete_request(PLAIN, upload_id="u", parts=[uploaded(1)], check=check),
        wire.abort_request(PLAIN, upload_id="u"),
        wire.list_parts_request(PLAIN, upload_id="u", marker="7", max_parts=2),
        wire.head_request(PLAIN),
    ]
    assert [(r.operation, r.method, dict(r.query)) for r in requests] == [
        ("PutObject", "PUT", {}),
        ("CreateMultipartUpload", "POST", {"uploads": ""}),
        ("UploadPart", "PUT", {"partNumber": "3", "uploadId": "u"}),
        ("CompleteMultipartUpload", "POST", {"uploadId": "u"}),
        ("AbortMultipartUpload", "DELETE", {"uploadId": "u"}),
        ("ListParts", "GET", {"max-parts": "2", "uploadId": "u", "part-number-marker": "7"}),
        ("HeadObject", "HEAD", {}),
    ]
    assert all((r.bucket, r.key) == ("b", "k") for r in requests)


def test_the_callers_headers_go_where_the_table_says() -> None:
    digests = digests_of(BODY, NOTHING)
    part = wire.upload_part_request(
        TARGET, upload_id="u", part_number=1, body=BODY, digests=digests
    )
    complete = wire.complete_request(TARGET, upload_id="u", parts=[uploaded(1)], check=NOTHING)
    assert part.headers == {**SSE_C, **PAYER}
    assert complete.headers["if-none-match"] == "*"
    assert SSE_C.items() <= complete.headers.items()
    assert wire.head_request(TARGET).headers == {**SSE_C, **PAYER}
    assert wire.abort_request(TARGET, upload_id="u").headers == PAYER
    assert wire.list_parts_request(TARGET, upload_id="u").headers == PAYER
    assert wire.put_request(TARGET, BODY, digests).headers == ALL


def test_making_requests_changes_nothing_of_the_target() -> None:
    given = dict(ALL)
    target = wire.Target(bucket="b", key="k", headers=given)
    digests = digests_of(BODY, CRC32)
    wire.put_request(target, BODY, digests)
    wire.initiate_request(target, CRC32)
    wire.complete_request(target, upload_id="u", parts=[uploaded(1)], check=CRC32)
    assert given == ALL


def test_initiate_declares_the_checksum_of_the_parts() -> None:
    headers = wire.initiate_request(PLAIN, CRC32).headers
    assert headers == {"x-amz-checksum-algorithm": "CRC32"}
    nvme = BodyCheck(algorithm="crc64nvme", is_signed=False)
    assert wire.initiate_request(PLAIN, nvme).headers == {
        "x-amz-checksum-algorithm": "CRC64NVME",
        "x-amz-checksum-type": "FULL_OBJECT",
    }
    md5 = BodyCheck(algorithm="md5", is_signed=False)
    assert wire.initiate_request(PLAIN, md5).headers == {}


def test_a_part_carries_its_checksum_and_what_is_signed() -> None:
    digests = digests_of(BODY, BodyCheck(algorithm="crc32", is_signed=True))
    request = part_request(digests)
    assert request.headers == {"x-amz-checksum-crc32": digests.checksum}
    assert request.payload_sha256 == digests.sha256
    assert (request.upload_id, request.part_number) == ("u", 3)


def test_complete_lists_the_parts_with_quoted_etags_and_checksums() -> None:
    parts = [uploaded(1, "e1", "c1"), uploaded(2, "<&>", "c2")]
    request = wire.complete_request(PLAIN, upload_id="u", parts=parts, check=CRC32)
    assert request.body is not None
    root = xml.parse(b"".join(request.body.buffers()))
    assert xml.local_name(root) == "CompleteMultipartUpload"
    names = ("PartNumber", "ETag", "ChecksumCRC32")
    rows = [tuple(xml.text_of(p, name) for name in names) for p in xml.children(root, "Part")]
    assert rows == [("1", '"e1"', "c1"), ("2", '"<&>"', "c2")]
    assert (request.patience_seconds or 0) >= 600
    assert request.headers["content-type"] == "application/xml"


def test_complete_leaves_out_checksums_that_parts_do_not_have() -> None:
    request = wire.complete_request(PLAIN, upload_id="u", parts=[uploaded(1)], check=CRC32)
    assert request.body is not None
    assert b"Checksum" not in b"".join(request.body.buffers())


# -- initiate --------------------------------------------------------------------------------------


def initiated(upload_id: str, head: str = "", xmlns: str = "") -> bytes:
    text = upload_id.replace("&", "&amp;")
    return (
        f"{head}<InitiateMultipartUploadResult{xmlns}><Bucket>b</Bucket><UploadId>{text}"
        "</UploadId></InitiateMultipartUploadResult>"
    ).encode()


@pytest.mark.parametrize("upload_id", ["u", ODD_ID, "x" * 1024, "ü"])
def test_an_upload_id_is_opaque(upload_id: str) -> None:
    for body in (
        initiated(upload_id),
        initiated(upload_id, '\n <?xml version="1.0" encoding="UTF-8"?>\n'),
        initiated(upload_id, xmlns=' xmlns="urn:other"'),
    ):
        assert wire.initiate_result(INITIATE, answer(200, body)) == upload_id
    wire.check_upload_id(upload_id)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        initiated(""),
        initiated("X").replace(b"X", b"a&#13;&#10;b"),
        initiated("a\tb"),
        initiated("a\nb"),
        initiated("\x7f"),
        b"<InitiateMultipartUploadResult/>",
        b"<CompleteMultipartUploadResult><UploadId>u</UploadId></CompleteMultipartUploadResult>",
        b"<html/>",
    ],
)
def test_an_upload_id_that_cannot_be_is_a_malformed_answer(body: bytes) -> None:
    with pytest.raises(errors.MalformedAnswerError):
        wire.initiate_result(INITIATE, answer(200, body))


def test_an_error_in_the_200_of_initiate_is_an_error() -> None:
    with pytest.raises(errors.TransientServiceError):
        wire.initiate_result(INITIATE, answer(200, ERROR))
    with pytest.raises(errors.AccessDeniedError):
        wire.initiate_result(INITIATE, answer(403))


@pytest.mark.parametrize("upload_id", ["", "a\r\nb", "\x00", None, 5])
def test_an_upload_id_is_checked_before_it_goes_into_a_request(upload_id: Any) -> None:
    with pytest.raises(errors.InvalidRequestError, match="not an upload id"):
        wire.check_upload_id(upload_id)


# -- parts and single PUT --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "etag"),
    [
        ('"abc"', "abc"),
        ("abc", "abc"),
        (' "abc" ', "abc"),
        ('"0123456789abcdef0123456789abcdef-2"', "0123456789abcdef0123456789abcdef-2"),
        ('""', None),
        ("", None),
        ('"', None),
        ('"abc', None),
        ('abc"', None),
        ('"a"b"', None),
        (None, None),
    ],
)
def test_an_etag_is_kept_without_quotes_and_only_whole(
    header: str | None, etag: str | None
) -> None:
    assert wire.unquoted(header) == etag


def test_an_uploaded_part_is_what_was_sent_and_answered() -> None:
    digests = digests_of(BODY, CRC32)
    part = wire.upload_part_result(part_request(digests), answer(200, etag='"e"'), digests)
    assert part == UploadedPart(part_number=3, size=5, etag="e", checksum=digests.checksum)


@pytest.mark.parametrize("etag", ['"half', "", '""', '"\x01"', '"a\x00b"'])
def test_a_part_without_a_usable_etag_was_not_answered(etag: str) -> None:
    digests = digests_of(BODY, NOTHING)
    with pytest.raises(errors.MalformedAnswerError):
        wire.upload_part_result(part_request(digests), answer(200, etag=etag), digests)


def test_a_part_answered_with_an_error_in_a_200_failed() -> None:
    digests = digests_of(BODY, NOTHING)
    with pytest.raises(errors.TransientServiceError):
        wire.upload_part_result(part_request(digests), answer(200, ERROR, etag='"e"'), digests)
    with pytest.raises(errors.ServiceError):
        wire.upload_part_result(part_request(digests), answer(204, etag='"e"'), digests)


def test_a_part_whose_echoed_checksum_differs_is_a_mismatch() -> None:
    digests = digests_of(BODY, CRC32)
    response = answer(200, etag='"e"', x_amz_checksum_crc32="AAAAAA==")
    with pytest.raises(errors.ChecksumMismatchError):
        wire.upload_part_result(part_request(digests), response, digests)


def test_a_single_put_may_be_answered_without_an_etag() -> None:
    digests = digests_of(BODY, CRC32)
    request = wire.put_request(PLAIN, BODY, digests)
    stored = wire.put_result(request, answer(201), digests)
    assert (stored.etag, stored.checksum) == (None, digests.checksum)
    stored = wire.put_result(request, answer(200, etag='"e"', x_amz_version_id="v"), digests)
    assert (stored.etag, stored.version_id) == ("e", "v")
    null = wire.put_result(request, answer(200, etag='"e"', x_amz_version_id="null"), digests)
    assert null.version_id is None
    with pytest.raises(errors.PreconditionFailedError):
        wire.put_result(request, answer(412), digests)
    with pytest.raises(errors.TransientServiceError):
        wire.put_result(request, answer(200, ERROR), digests)


def test_an_opaque_etag_is_marked_as_such() -> None:
    digests = digests_of(BODY, NOTHING)
    request = wire.put_request(PLAIN, BODY, digests)
    response = answer(200, etag='"e"', x_amz_server_side_encryption="aws:kms")
    assert wire.put_result(request, response, digests).is_opaque


# -- complete --------------------------------------------------------------------------------------

COMPLETE = wire.complete_request(PLAIN, upload_id="u", parts=[uploaded(1)], check=CRC32)


def completed(inside: str) -> bytes:
    return f"<CompleteMultipartUploadResult>{inside}</CompleteMultipartUploadResult>".encode()


def test_complete_is_read_from_its_body() -> None:
    inside = (
        '<ETag>"e-1"</ETag><ChecksumCRC32>c-1</ChecksumCRC32><ChecksumType>COMPOSITE</ChecksumType>'
    )
    body = b"  \n \n" + completed(inside)
    stored = wire.complete_result(COMPLETE, answer(200, body, x_amz_version_id="v"), CRC32)
    assert (stored.etag, stored.checksum, stored.checksum_type) == ("e-1", "c-1", "COMPOSITE")
    assert stored.version_id == "v"


@pytest.mark.parametrize("inside", ["", "<ETag></ETag>", "<ETag>&quot;</ETag>"])
def test_complete_may_name_no_etag(inside: str) -> None:
    assert wire.complete_result(COMPLETE, answer(200, completed(inside)), CRC32).etag is None


@pytest.mark.parametrize(
    ("body", "cls"),
    [
        (b"", errors.MalformedAnswerError),
        (b"   ", errors.MalformedAnswerError),
        (b"<!DOCTYPE html><html/>", errors.MalformedAnswerError),
        (b"<CompleteMultipartUploadResult><Loca", errors.MalformedAnswerError),
        (b"  \n" + ERROR, errors.TransientServiceError),
        (b"<Error><Code>InvalidPart</Code></Error>", errors.ServiceError),
    ],
)
def test_a_200_alone_completes_nothing(body: bytes, cls: type[Any]) -> None:
    with pytest.raises(cls) as caught:
        wire.complete_result(COMPLETE, answer(200, body), CRC32)
    assert caught.value.upload_id == "u"


# -- abort, list parts, head -----------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 204, 404])
def test_an_upload_that_is_gone_is_aborted(status: int) -> None:
    wire.abort_result(wire.abort_request(PLAIN, upload_id="u"), answer(status))


@pytest.mark.parametrize("status", [403, 500, 503, 202])
def test_an_abort_that_was_refused_is_an_error(status: int) -> None:
    with pytest.raises(errors.ServiceError):
        wire.abort_result(wire.abort_request(PLAIN, upload_id="u"), answer(status))


def listed(parts: str, tail: str = "<IsTruncated>false</IsTruncated>") -> S3Response:
    return answer(200, f"<ListPartsResult>{parts}{tail}</ListPartsResult>".encode())


def row(number: object, size: object = 5, etag: str = "&quot;e&quot;") -> str:
    return f"<Part><PartNumber>{number}</PartNumber><Size>{size}</Size><ETag>{etag}</ETag></Part>"


def test_a_page_of_parts_is_read() -> None:
    page = wire.list_parts_result(LIST, listed(row(2) + row(7, 0, "x")))
    assert page.parts == (uploaded(2), UploadedPart(part_number=7, size=0, etag="x"))
    assert page.next_marker is None
    assert wire.list_parts_result(LIST, listed("")).parts == ()


@pytest.mark.parametrize(
    ("tail", "marker"),
    [
        ("<IsTruncated>true</IsTruncated><NextPartNumberMarker>7</NextPartNumberMarker>", "7"),
        ("<IsTruncated>TRUE </IsTruncated><NextPartNumberMarker>7</NextPartNumberMarker>", "7"),
        ("<IsTruncated>false</IsTruncated><NextPartNumberMarker>7</NextPartNumberMarker>", None),
        ("<IsTruncated>true</IsTruncated><NextPartNumberMarker/>", None),
        ("<IsTruncated>true</IsTruncated>", None),
        ("<NextPartNumberMarker>7</NextPartNumberMarker>", None),
    ],
)
def test_a_page_is_followed_by_another_only_where_it_leads_somewhere(
    tail: str, marker: str | None
) -> None:
    assert wire.list_parts_result(LIST, listed(row(7), tail)).next_marker == marker


@pytest.mark.parametrize(
    "parts",
    [row(""), row("x"), row(-1), row(1, "x"), row(1, ""), row(1, 5, ""), "<Part/>", row("1.5")],
)
def test_a_listed_part_that_cannot_be_is_a_malformed_answer(parts: str) -> None:
    with pytest.raises(errors.MalformedAnswerError, match="lacks its number, size or ETag"):
        wire.list_parts_result(LIST, listed(parts))


@pytest.mark.parametrize("code", ["NoSuchUpload", "NoSuchKey", ""])
def test_parts_of_an_unknown_upload_mean_that_it_is_gone(code: str) -> None:
    body = f"<Error><Code>{code}</Code></Error>".encode() if code else b""
    with pytest.raises(errors.UploadMissingError) as caught:
        wire.list_parts_result(LIST, answer(404, body))
    assert caught.value.upload_id == "u"


def test_parts_in_a_missing_container_do_not() -> None:
    body = b"<Error><Code>NoSuchBucket</Code></Error>"
    with pytest.raises(errors.ContainerMissingError):
        wire.list_parts_result(LIST, answer(404, body))


def test_head_gives_size_and_etag() -> None:
    request = wire.head_request(PLAIN)
    size, stored = wire.head_result(request, answer(200, content_length="12", etag='"e"'))
    assert (size, stored.etag) == (12, "e")
    with pytest.raises(errors.ObjectMissingError):
        wire.head_result(request, answer(404))
    for length in ("", "-1", "x"):
        with pytest.raises(errors.MalformedAnswerError):
            wire.head_result(request, answer(200, content_length=length))


def test_a_target_cannot_be_changed() -> None:
    assert replace(TARGET, key="other").key == "other"
    with pytest.raises(AttributeError):
        TARGET.key = "x"  # type: ignore[misc]


def test_the_root_that_moto_has_is_read_too() -> None:
    request = wire.list_parts_request(wire.Target(bucket="b", key="k", headers={}), upload_id="u")
    part = b"<Part><PartNumber>1</PartNumber><ETag>e</ETag><Size>5</Size></Part>"
    body = b"<ListPartsResponse>" + part + b"</ListPartsResponse>"
    page = wire.list_parts_result(request, S3Response(status=200, headers={}, body=body))
    assert [part.part_number for part in page.parts] == [1]
