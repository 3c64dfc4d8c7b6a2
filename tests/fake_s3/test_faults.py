# SPDX-License-Identifier: Apache-2.0
"""Laws of scripted faults that need no socket: whom they meet, what is applied and answered."""

from __future__ import annotations

import hashlib

import pytest

from tests.fake_s3 import ANY, Fault, faults, checksums
from tests.fake_s3.caller import Caller, tag, texts, caller


@pytest.fixture
def call() -> Caller:
    return caller()


def test_each_fault_meets_one_matching_request_in_order(call: Caller) -> None:
    call.fake.script("UploadPart", faults.error("SlowDown"), faults.pass_through(), part_number=2)
    call.fake.script("UploadPart", faults.error("InternalError"))
    upload_id = call.initiate()
    numbers = (2, 1, 2, 2)
    assert [call.part(upload_id, n, b"x").status for n in numbers] == [503, 500, 200, 200]
    assert call.fake.unspent == []
    log = call.fake.requests_of("UploadPart")
    assert [(r.part_number, r.status, r.code, r.applied) for r in log] == [
        (2, 503, "SlowDown", False),
        (1, 500, "InternalError", False),
        (2, 200, "", True),
        (2, 200, "", True),
    ]
    assert all(record.upload_id == upload_id for record in log)


def test_a_fault_may_last_for_ever_meet_a_key_or_any_operation(call: Caller) -> None:
    call.fake.script(ANY, faults.error("ServiceUnavailable"), key="bad", forever=True)
    assert [call("PUT", "/b/bad", b"x").status for _ in range(3)] == [503] * 3
    assert call("PUT", "/b/good", b"x").status == 200
    call.fake.clear_scripts()
    assert call("PUT", "/b/bad", b"x").status == 200


def test_a_misspelt_operation_is_refused_and_an_unmet_fault_is_seen(call: Caller) -> None:
    with pytest.raises(ValueError, match="no operation"):
        call.fake.script("CreateMultipartUpload", faults.pass_through())
    call.fake.script("GetObject", faults.html(502))
    assert call.fake.unspent == ["answer 502"]


def test_an_error_may_be_answered_although_the_request_was_applied(call: Caller) -> None:
    call.fake.script("PutObject", faults.error("InternalError", retry_after="2", applied=True))
    answer = call("PUT", "/b/k", b"abc")
    assert (answer.status, answer.header("retry-after")) == (500, "2")
    assert texts(answer, "Code") == ["InternalError"]
    assert call.fake.objects["b"]["k"].body == b"abc"


@pytest.mark.parametrize("applied", [False, True])
@pytest.mark.parametrize(
    ("make", "start"),
    [(faults.error_in_200, b"<?xml"), (faults.html, b"<!DOCTYPE html"), (faults.empty_body, b"")],
)
def test_complete_may_lie_with_200(call: Caller, make: object, start: bytes, applied: bool) -> None:
    assert callable(make)
    call.fake.script("CompleteMultipartUpload", make(applied=applied))
    answer = call.whole([b"abc"])
    assert answer.status == 200
    assert answer.body.startswith(start)
    assert b"CompleteMultipartUploadResult" not in answer.body
    assert ("k" in call.fake.objects["b"]) is applied
    assert len(call.fake.uploads) == (0 if applied else 1)


def test_answers_are_edited_with_an_honest_length(call: Caller) -> None:
    for fault in (faults.white_space(9), faults.truncated_xml(applied=True)):
        call.fake.script("CompleteMultipartUpload", fault)
        answer = call.whole([b"abc"])
        assert answer.header("content-length") == str(len(answer.body))
        assert answer.body.strip() != answer.body or not answer.body.endswith(b">")
    call.fake.script("CompleteMultipartUpload", faults.truncated_xml())
    assert call.whole([b"abc"]).body.endswith(b"<Loca")


def test_etags_may_be_wrong_missing_or_odd(call: Caller) -> None:
    upload_id = call.initiate()
    script = (faults.wrong_etag(), faults.missing_etag(), faults.etag("odd"))
    call.fake.script("UploadPart", *script)
    answered = [call.part(upload_id, 1, b"x").header("etag") for _ in script]
    assert answered == [f'"{"0" * 32}"', None, "odd"]
    call.fake.script("CompleteMultipartUpload", faults.wrong_etag(), faults.missing_etag())
    assert texts(call.whole([b"x"]), "ETag") == [f'"{"0" * 32}-1"']
    assert texts(call.whole([b"x"]), "ETag") == []


def test_an_echoed_checksum_may_be_wrong(call: Caller) -> None:
    call.fake.script("PutObject", faults.wrong_checksum())
    given = {"x-amz-checksum-crc32": checksums.checksum("CRC32", b"x")}
    assert call("PUT", "/b/k", b"x", given).header("x-amz-checksum-crc32") == "AAAAAA=="


def test_corruption_on_the_way_is_found_by_what_the_request_carries(call: Caller) -> None:
    call.fake.script("PutObject", faults.corrupt_received(), forever=True)
    assert call("PUT", "/b/k", b"abc").code == "XAmzContentSHA256Mismatch"
    given = {"x-amz-checksum-crc32": checksums.checksum("CRC32", b"abc")}
    unsigned = "UNSIGNED-PAYLOAD"
    assert call("PUT", "/b/k", b"abc", given, payload=unsigned).code == "BadDigest"
    assert call("PUT", "/b/k", b"abc", payload=unsigned).status == 200
    assert call.fake.objects["b"]["k"].body != b"abc"


@pytest.mark.parametrize("honest", [True, False])
def test_a_store_may_keep_wrong_bytes(call: Caller, honest: bool) -> None:
    call.fake.script("UploadPart", faults.corrupt_stored(honest_etag=honest))
    upload_id = call.initiate()
    part = call.part(upload_id, 1, b"abc")
    assert (part.header("etag") == f'"{hashlib.md5(b"abc").hexdigest()}"') is not honest
    assert call.complete(upload_id, [(1, tag(part))]).status == 200
    assert call.fake.objects["b"]["k"].body == b"acc"


def test_redirects_name_place_and_region(call: Caller) -> None:
    call.fake.script("GetObject", faults.redirect(301, region="eu-1"))
    call.fake.script("PutObject", faults.redirect(307, "http://other/b/k"))
    moved = call("GET", "/b/k")
    assert (moved.code, moved.header("x-amz-bucket-region")) == ("PermanentRedirect", "eu-1")
    assert call("PUT", "/b/k", b"x").header("location") == "http://other/b/k"


@pytest.mark.parametrize(
    ("fault", "applied"),
    [
        (faults.reset("head"), False),
        (faults.close("body", after_bytes=1), False),
        (faults.reset("answer"), False),
        (faults.close("answer", applied=True), True),
    ],
)
def test_a_lost_answer_is_status_0_in_the_log(call: Caller, fault: Fault, applied: bool) -> None:
    call.fake.script("PutObject", fault)
    assert call("PUT", "/b/k", b"abc").is_lost
    record = call.fake.requests[-1]
    assert (record.status, record.applied, record.fault) == (0, applied, fault.name)
    assert ("k" in call.fake.objects["b"]) is applied


def test_faults_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot be applied"):
        faults.reset("body", applied=True)
    with pytest.raises(ValueError, match="bytes of an answer"):
        faults.close("answer", after_bytes=5)
    with pytest.raises(ValueError, match="has an answer"):
        faults.answer_early(faults.pass_through())
