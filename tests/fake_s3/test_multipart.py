# SPDX-License-Identifier: Apache-2.0
"""Laws of the fake's multipart verbs: what is joined is what was sent, and AWS's refusals."""

from __future__ import annotations

import base64
import hashlib
from typing import Any
from urllib.parse import quote

import pytest

from tests.fake_s3 import Quirks, FakeLimits, checksums
from tests.fake_s3.caller import SSE_C, Caller, tag, texts, caller


@pytest.fixture
def call() -> Caller:
    return caller()


@pytest.mark.parametrize("sizes", [[0], [1], [5, 1], [5, 5], [50, 7, 50, 3], [5] * 20])
def test_the_object_is_its_parts_in_order(call: Caller, sizes: list[int]) -> None:
    bodies = [bytes([65 + n]) * size for n, size in enumerate(sizes)]
    answer = call.whole(bodies)
    stored = call.fake.objects["b"]["k"]
    assert stored.body == b"".join(bodies)
    assert stored.part_sizes == tuple(sizes)
    md5s = b"".join(hashlib.md5(body).digest() for body in bodies)
    assert stored.etag == f"{hashlib.md5(md5s).hexdigest()}-{len(sizes)}"
    assert texts(answer, "ETag") == [f'"{stored.etag}"']
    assert call.fake.uploads == {}


def test_parts_come_in_any_order_twice_and_some_are_left_out(call: Caller) -> None:
    upload_id = call.initiate()
    tags = {n: tag(call.part(upload_id, n, bytes([65 + n]) * 5)) for n in (3, 9, 1)}
    tags[3] = tag(call.part(upload_id, 3, b"again"))
    assert call.complete(upload_id, [(1, tags[1]), (3, tags[3])]).status == 200
    assert call.fake.objects["b"]["k"].body == b"BBBBBagain"
    got = call("GET", "/b/k?partNumber=2")
    assert (got.status, got.body, got.header("x-amz-mp-parts-count")) == (206, b"again", "2")


def test_attributes_of_initiate_are_the_objects(call: Caller) -> None:
    headers = {"content-type": "text/x", "x-amz-meta-token": "t", "x-amz-acl": "private"}
    upload_id = call.initiate(headers=headers)
    call.complete(upload_id, [(1, tag(call.part(upload_id, 1, b"x")))])
    stored = call.fake.objects["b"]["k"]
    assert stored.metadata == {"token": "t"}
    assert stored.attributes.acl == "private"
    assert call("HEAD", "/b/k").header("content-type") == "text/x"


def test_a_small_part_may_only_be_the_last(call: Caller) -> None:
    refused = call.whole([b"1234", b"12345"])
    assert (refused.status, refused.code) == (400, "EntityTooSmall")
    assert texts(refused, "MinSizeAllowed") == ["5"]
    assert len(call.fake.uploads) == 1


def test_the_lists_mistakes_have_their_codes(call: Caller) -> None:
    upload_id = call.initiate()
    one, two = (tag(call.part(upload_id, n, b"12345")) for n in (1, 2))
    other = "<ETag>&quot;0&quot;</ETag>"
    for parts, code in (
        ([(2, two), (1, one)], "InvalidPartOrder"),
        ([(1, one), (1, one)], "InvalidPartOrder"),
        ([(1, one), (3, two)], "InvalidPart"),
        ([(1, other)], "InvalidPart"),
        ([], "MalformedXML"),
        ([(1, "")], "MalformedXML"),
        ([(1, one + "<Junk>1</Junk>")], "MalformedXML"),
    ):
        assert call.complete(upload_id, parts).code == code
    target = f"/b/k?uploadId={quote(upload_id, safe='')}"
    assert call("POST", target, b"").code == "InvalidRequest"
    assert call("POST", target, b"<CompleteMultipartUpload>").code == "MalformedXML"
    assert call.complete(upload_id, [(1, one.replace("&quot;", "")), (2, two)]).status == 200


@pytest.mark.parametrize("number", ["0", "-1", "21", "x", ""])
def test_part_numbers_have_limits(call: Caller, number: str) -> None:
    upload_id = quote(call.initiate(), safe="")
    refused = call("PUT", f"/b/k?partNumber={number}&uploadId={upload_id}", b"x")
    assert refused.code == "InvalidArgument"


def test_sizes_have_limits(call: Caller) -> None:
    assert call.part(call.initiate(), 1, b"x" * 51).code == "EntityTooLarge"
    assert call.whole([b"x" * 50] * 5).code == "EntityTooLarge"
    short = caller(limits=FakeLimits(max_single_put=3))
    assert short("PUT", "/b/k", b"1234").code == "EntityTooLarge"


def test_uniform_parts_are_r2s_rule() -> None:
    call = caller(limits=FakeLimits(uniform_parts=True))
    assert call.whole([b"x" * 6, b"x" * 7, b"x"]).code == "InvalidPart"
    assert call.whole([b"x" * 6, b"x" * 7]).code == "InvalidPart"
    assert call.whole([b"x" * 6, b"x" * 6, b"x"]).status == 200


def test_nothing_is_left_of_an_upload_that_ended(call: Caller) -> None:
    upload_id = call.initiate()
    target = f"/b/k?uploadId={quote(upload_id, safe='')}"
    etag = tag(call.part(upload_id, 1, b"x"))
    assert call("DELETE", target.replace("/k", "/other")).code == "NoSuchUpload"
    assert call("DELETE", target).status == 204
    assert call("DELETE", target).code == "NoSuchUpload"
    assert call.part(upload_id, 1, b"x").code == "NoSuchUpload"
    assert call("GET", target).code == "NoSuchUpload"
    assert call.complete(upload_id, [(1, etag)]).code == "NoSuchUpload"
    assert call("POST", "/none/k?uploads").code == "NoSuchBucket"


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "SHA1", "SHA256"])
def test_a_composite_checksum_needs_one_in_every_part_and_row(call: Caller, algorithm: str) -> None:
    name, element = checksums.header_name(algorithm), checksums.element_name(algorithm)
    values = [checksums.checksum(algorithm, body) for body in (b"12345", b"678")]
    upload_id = call.initiate(headers={"x-amz-checksum-algorithm": algorithm})
    assert call.part(upload_id, 1, b"12345").code == "InvalidRequest"
    other = "SHA1" if algorithm != "SHA1" else "CRC32"
    wrong = {checksums.header_name(other): checksums.checksum(other, b"12345")}
    assert call.part(upload_id, 1, b"12345", wrong).code == "InvalidRequest"
    bare = [
        (n, tag(call.part(upload_id, n, body, {name: value})))
        for n, body, value in zip((1, 2), (b"12345", b"678"), values, strict=True)
    ]
    assert call.complete(upload_id, bare).code == "InvalidRequest"
    swapped = [(n, f"{row}<{element}>{values[0]}</{element}>") for n, row in bare]
    assert call.complete(upload_id, swapped).code == "InvalidPart"
    rows = [
        (n, f"{row}<{element}>{value}</{element}>")
        for (n, row), value in zip(bare, values, strict=True)
    ]
    answer = call.complete(upload_id, rows)
    assert texts(answer, element) == [checksums.composite_checksum(algorithm, values)]
    assert texts(answer, "ChecksumType") == ["COMPOSITE"]


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME"])
def test_a_full_object_checksum_is_that_of_the_object(call: Caller, algorithm: str) -> None:
    name = checksums.header_name(algorithm)
    declared = {"x-amz-checksum-algorithm": algorithm, "x-amz-checksum-type": "FULL_OBJECT"}
    upload_id = call.initiate(headers=declared)
    rows = [
        (n, tag(call.part(upload_id, n, body, {name: checksums.checksum(algorithm, body)})))
        for n, body in ((1, b"12345"), (2, b"6789"))
    ]
    wrong, right = (checksums.checksum(algorithm, body) for body in (b"12345", b"123456789"))
    assert call.complete(upload_id, rows, {name: wrong}).code == "BadDigest"
    assert call.complete(upload_id, rows, {"x-amz-mp-object-size": "8"}).code == "InvalidRequest"
    answer = call.complete(upload_id, rows, {name: right, "x-amz-mp-object-size": "9"})
    assert texts(answer, checksums.element_name(algorithm)) == [right]


def test_checksum_types_that_do_not_fit_are_refused(call: Caller) -> None:
    for algorithm, kind in (("SHA256", "FULL_OBJECT"), ("CRC64NVME", "COMPOSITE"), ("MD5", "")):
        headers = {"x-amz-checksum-algorithm": algorithm, "x-amz-checksum-type": kind}
        assert call("POST", "/b/k?uploads", headers=headers).code == "InvalidRequest"


def test_a_customers_key_goes_with_every_part(call: Caller) -> None:
    upload_id = call.initiate(headers=SSE_C)
    assert call.part(upload_id, 1, b"x").code == "InvalidRequest"
    part = call.part(upload_id, 1, b"x", SSE_C)
    assert part.header("etag") != f'"{hashlib.md5(b"x").hexdigest()}"'
    wrong = {
        **SSE_C,
        "x-amz-server-side-encryption-customer-key-md5": base64.b64encode(b"").decode(),
    }
    assert call.part(upload_id, 1, b"x", wrong).code == "InvalidArgument"
    assert call.part(call.initiate(), 1, b"x", SSE_C).code == "InvalidRequest"
    assert call.complete(upload_id, [(1, tag(part))]).status == 200
    assert call("GET", "/b/k", headers=SSE_C).body == b"x"


def test_parts_are_copied_whole_and_by_range(call: Caller) -> None:
    call("PUT", "/b/source", b"0123456789")
    upload_id = call.initiate()
    whole = {"x-amz-copy-source": "b/source"}
    some = {**whole, "x-amz-copy-source-range": "bytes=2-4"}
    rows = [(n, texts(call.part(upload_id, n, b"", h), "ETag")) for n, h in ((1, whole), (2, some))]
    assert call.complete(upload_id, [(n, f"<ETag>{e[0]}</ETag>") for n, e in rows]).status == 200
    assert call.fake.objects["b"]["k"].body == b"0123456789234"
    upload_id = call.initiate()
    for wrong in ("bytes=5-10", "bytes=4-2", "bytes=3-", "junk"):
        refused = call.part(upload_id, 1, b"", {**whole, "x-amz-copy-source-range": wrong})
        assert refused.code == "InvalidArgument"
    condition = {**whole, "x-amz-copy-source-if-match": '"0"'}
    assert call.part(upload_id, 1, b"", condition).status == 412


@pytest.mark.parametrize(
    ("quirks", "element", "expected"),
    [
        ({}, "ETag", True),
        ({"complete_etag": False}, "ETag", False),
        ({"namespace": False}, "ETag", True),
        ({"adds_checksum": True}, "ChecksumCRC64NVME", True),
    ],
)
def test_quirks_of_the_answer_to_complete(
    quirks: dict[str, Any], element: str, expected: bool
) -> None:
    answer = caller(quirks=Quirks(**quirks)).whole([b"abc"])
    assert bool(texts(answer, element)[0]) is expected
    assert (b"xmlns" in answer.body) is quirks.get("namespace", True)


def test_quirks_of_other_services() -> None:
    ceph = Quirks(
        complete_repeats=True,
        conditional_complete=False,
        complete_unknown="InternalError",
        list_parts_unknown="NoSuchKey",
        list_parts_paginates=False,
        quotes_etags=False,
        verifies_checksums=False,
    )
    call = caller(quirks=ceph)
    upload_id = call.initiate(headers={"x-amz-checksum-algorithm": "CRC32"})
    parts = [call.part(upload_id, n, b"12345", {"x-amz-checksum-crc32": "junk"}) for n in (1, 2)]
    target = f"/b/k?uploadId={quote(upload_id, safe='')}"
    assert len(texts(call("GET", f"{target}&max-parts=1"), "PartNumber")) == 2
    assert '"' not in (parts[0].header("etag") or "")
    rows = [(n, tag(part)) for n, part in enumerate(parts, 1)]
    for _ in range(2):
        assert call.complete(upload_id, rows, {"if-none-match": "*"}).status == 200
    assert call.complete("none", rows).status == 500
    assert call("GET", target).code == "NoSuchKey"


def test_swifts_truncated_list_of_uploads_has_empty_markers() -> None:
    call = caller(quirks=Quirks(list_uploads_markers=False))
    call.initiate(), call.initiate()
    page = call("GET", "/b?uploads&max-uploads=1")
    assert texts(page, "IsTruncated") == ["true"]
    assert texts(page, "NextKeyMarker") == texts(page, "NextUploadIdMarker") == [""]
