# SPDX-License-Identifier: Apache-2.0
"""Catalogue C, 23 to 35: complete, the delicate verb."""

from __future__ import annotations

import base64
import hashlib
import logging
from typing import Any
from dataclasses import replace
from collections.abc import Iterator

import pytest

from tests.fake_s3 import Quirks, faults
from tests.unit.small import whole, chunks, has_crcs
from tests.faults.outcomes import (
    DATA,
    HEAD,
    PART,
    ABORT,
    PARTS,
    COMPLETE,
    INITIATE,
    LIST_PARTS,
    Tried,
    MakeTried,
    then,
    forever,
)
from libcloud_s3mpu.protocol import wire
from libcloud_s3mpu.protocol.errors import (
    ServiceError,
    AccessDeniedError,
    UploadMissingError,
    MalformedAnswerError,
    ChecksumMismatchError,
    RetriesExhaustedError,
    CompletionUnknownError,
    PreconditionFailedError,
)
from libcloud_s3mpu.transfer.journal import MemoryJournal

#: Checksums that S3 keeps of an object; MD5 is its ETag.
WITH_VALUE = ["crc32", "crc32c", "crc64nvme", "sha1", "sha256"]

# The question after a lost answer has a policy of its own, with waits.
pytestmark = pytest.mark.usefixtures("no_waits")

#: Complete takes effect, and nobody hears of it. (A stall belongs to one server: made where used.)
LOST = {
    "closed": faults.close("answer", applied=True),
    "reset": faults.reset("answer", applied=True),
    "cut": faults.close("answer", after_bytes=200, applied=True),
    "500": faults.error("InternalError", applied=True),
    "504": faults.html(504, applied=True),
}


@pytest.mark.parametrize("code", ["InternalError", "SlowDown"])
def test_f23_an_error_in_a_200_is_tried_again(code: str, s3: Tried) -> None:
    s3.fake.script(COMPLETE, faults.error_in_200(code))
    s3.succeeds()
    assert s3.count(COMPLETE) == 2


def test_f24_an_error_in_a_200_that_stays_is_an_error(s3: Tried) -> None:
    forever(s3.fake, COMPLETE, faults.error_in_200("InternalError"))
    error = s3.fails(RetriesExhaustedError)
    assert error.s3_code == "InternalError"
    assert 1 < s3.count(COMPLETE) <= 10 and s3.count(ABORT) == 1


def test_f24_an_error_in_a_200_that_cannot_pass_is_not_tried_again(s3: Tried) -> None:
    forever(s3.fake, COMPLETE, faults.error_in_200("AccessDenied"))
    assert s3.fails(AccessDeniedError).s3_code == "AccessDenied"
    assert s3.count(COMPLETE) == 1 and s3.count(ABORT) == 1


SPACED_ERROR = b" \n" * 3000 + b"<Error><Code>%s</Code></Error>" + b"\n" * 9


@pytest.mark.parametrize("before", [b" \n", b"\r\n\t"])
def test_f25_white_space_around_the_answer_is_no_fault(before: bytes, s3: Tried) -> None:
    slow = faults.drip(step_bytes=64, pause_seconds=0.0005)
    s3.fake.script(COMPLETE, faults.white_space(5000, before=before).plus(slow))
    s3.succeeds()
    assert s3.count(COMPLETE) == 1


def test_f25_white_space_does_not_hide_an_error(s3: Tried) -> None:
    s3.fake.script(
        COMPLETE,
        faults.answer(200, body=SPACED_ERROR % b"InternalError"),
        faults.answer(200, body=SPACED_ERROR % b"InvalidPart"),
    )
    assert s3.fails(ServiceError).s3_code == "InvalidPart"
    assert s3.count(COMPLETE) == 2 and s3.count(ABORT) == 1


def test_f25_completes_time_out_begins_anew_with_each_byte(
    lean: Tried, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "COMPLETE_PATIENCE_SECONDS", 0.3)
    lean.driver.connection.connection.session.timeout = 0.3
    slow = faults.drip(step_bytes=40, pause_seconds=0.02)
    lean.fake.script(COMPLETE, faults.white_space(1200).plus(slow))
    lean.succeeds()
    assert lean.count(COMPLETE) == 1


@pytest.mark.parametrize("lost", ["closed", "reset", "cut", "500"])
def test_f26_a_repeat_that_succeeds_is_success(lost: str, road: str, make_s3: MakeTried) -> None:
    s3 = make_s3(road, quirks=Quirks(complete_repeats=True))
    s3.fake.script(COMPLETE, LOST[lost])
    s3.succeeds()
    assert s3.count(COMPLETE) == 2


@pytest.mark.parametrize("lost", [*LOST, "stall"])
def test_f27_a_lost_answer_is_proved_by_the_object(
    lost: str, road: str, make_s3: MakeTried, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "COMPLETE_PATIENCE_SECONDS", 0.2)
    s3 = make_s3(road, timeout_seconds=0.3)
    s3.fake.script(COMPLETE, LOST.get(lost) or faults.stall("answer", applied=True))
    s3.succeeds()
    assert s3.count(ABORT) == 0 and s3.count(HEAD) >= 1 and s3.count(COMPLETE) <= 2


def test_f28_where_asking_is_forbidden_the_outcome_is_unknown(s3: Tried) -> None:
    s3.fake.script(COMPLETE, LOST["closed"])
    forever(s3.fake, HEAD, faults.answer(403))
    error = unknown(s3)
    assert (error.container, error.object_name) == ("bucket", "key")
    assert str(len(DATA)) in str(error) and s3.fake.objects["bucket"]["key"].etag in str(error)


def unknown(s3: Tried) -> CompletionUnknownError:
    """Upload; nobody can know the outcome, nothing was aborted, and the object is there."""
    with pytest.raises(CompletionUnknownError) as caught:
        s3.timed(lambda: s3.upload(chunks(PARTS)))
    assert s3.count(ABORT) == 0 and s3.stored() == DATA
    assert caught.value.upload_id and caught.value.upload_id in str(caught.value)
    return caught.value


def test_f28_an_object_that_shows_up_late_is_waited_for(s3: Tried) -> None:
    s3.fake.script(COMPLETE, LOST["closed"])
    s3.fake.script(HEAD, faults.answer(404), faults.answer(404))
    s3.succeeds()


@pytest.mark.parametrize("lost", LOST)
def test_f28_an_opaque_etag_is_made_good_by_a_token(lost: str, s3: Tried) -> None:
    s3.fake.script(COMPLETE, LOST[lost])
    headers = {"x-amz-server-side-encryption": "aws:kms"}
    s3.timed(
        lambda: s3.driver.upload_object_via_stream(
            chunks(PARTS), s3.container, "key", headers=headers
        )
    )
    s3.is_whole()
    assert s3.count(ABORT) == 0
    assert s3.driver.get_object("bucket", "key").meta_data == {}


@pytest.mark.parametrize("fault", [faults.reset("head"), faults.error("InternalError")])
def test_f29_when_nothing_answers_any_more_the_outcome_is_unknown(fault: Any, s3: Tried) -> None:
    s3.fake.script(COMPLETE, LOST["reset"], fault, forever=True)
    for operation in (HEAD, LIST_PARTS, ABORT):
        forever(s3.fake, operation, fault)
    unknown(s3)
    assert len(s3.fake.requests) <= 40


@pytest.mark.parametrize("headers", [{}, {"x-amz-server-side-encryption": "aws:kms"}])
def test_f29_the_journal_keeps_what_was_unknown_and_can_tell_later(
    headers: dict[str, str], s3: Tried
) -> None:
    journal = MemoryJournal()
    options = replace(s3.driver.ex_options, journal=journal)
    s3.fake.script(COMPLETE, LOST["reset"], faults.reset("head"), forever=True)
    for operation in (HEAD, LIST_PARTS):
        forever(s3.fake, operation, faults.reset("head"))
    with pytest.raises(CompletionUnknownError) as caught:
        s3.timed(
            lambda: s3.driver.upload_object_via_stream(
                chunks(PARTS), s3.container, "key", headers=headers, ex_options=options
            )
        )
    (session,) = journal.list()
    assert session.upload_id == caught.value.upload_id
    assert (session.token is not None) == bool(headers)
    s3.fake.clear_scripts()
    s3.fake.requests.clear()
    s3.driver.ex_resume_upload(session.upload_id, chunks(PARTS), ex_options=options)
    s3.is_whole()
    assert (s3.count(PART), s3.count(COMPLETE), journal.list()) == (0, 0, [])


@pytest.mark.parametrize("older", [b"x" * len(DATA), b"x"])
@pytest.mark.parametrize("lost", [None, faults.close("answer"), faults.html(504)])
def test_f30_an_older_object_proves_nothing_when_somebody_aborted(
    lost: Any, older: bytes, s3: Tried
) -> None:
    s3.upload(older)
    if lost is not None:
        s3.fake.script(COMPLETE, lost)
    error = s3.fails((UploadMissingError, CompletionUnknownError), then(4, s3.fake.uploads.clear))
    assert s3.stored() == older
    assert "key" in str(error)


NO_XML = {
    "HTML": faults.html(200),
    "empty": faults.empty_body(),
    "cut XML": faults.truncated_xml(),
    "JSON": faults.answer(200, body=b'{"ok": true}'),
}
NO_XML_APPLIED = {
    "HTML": faults.html(200, applied=True),
    "empty": faults.empty_body(applied=True),
    "cut XML": faults.truncated_xml(applied=True),
}


@pytest.mark.parametrize("body", NO_XML)
def test_f31_a_200_without_its_xml_is_no_success(body: str, s3: Tried) -> None:
    s3.fake.script(COMPLETE, NO_XML[body])
    s3.succeeds()
    forever(s3.fake, COMPLETE, NO_XML[body])
    assert isinstance(s3.fails(RetriesExhaustedError, key="other"), MalformedAnswerError)


@pytest.mark.parametrize("body", NO_XML_APPLIED)
def test_f31_a_200_without_its_xml_that_took_effect_is_found_out(body: str, s3: Tried) -> None:
    s3.fake.script(COMPLETE, NO_XML_APPLIED[body])
    s3.succeeds()
    assert s3.count(ABORT) == 0


def test_f32_a_precondition_that_failed_is_final(s3: Tried) -> None:
    def source() -> Any:
        yield from chunks(PARTS)
        s3.upload(b"other")  # Made by somebody else, meanwhile.

    with pytest.raises(PreconditionFailedError) as caught:
        s3.upload(source(), if_none_match="*")
    assert caught.value.http_status == 412 and s3.fake.uploads == {}
    assert s3.count(COMPLETE) == 1 and s3.count(ABORT) == 1
    assert s3.stored() == b"other"


@pytest.mark.parametrize("condition", [{"if_none_match": "*"}, {"if_match": "0" * 32}])
def test_f32_a_condition_that_does_not_hold_before_is_said_before(
    condition: dict[str, str], s3: Tried
) -> None:
    s3.upload(b"older")
    error = s3.fails(PreconditionFailedError, **condition)
    assert error.http_status == 412 and "nothing was sent" in str(error)
    assert s3.count(INITIATE) == 0
    assert s3.stored() == b"older"


@pytest.mark.parametrize("unseen", ["AccessDenied", "InvalidRequest"])  # Under another key, too.
def test_f32_who_may_not_look_is_told_by_complete(unseen: str, s3: Tried) -> None:
    s3.upload(b"older")
    s3.fake.script("HeadObject", faults.error(unseen), forever=True)
    s3.fails(PreconditionFailedError, if_none_match="*")
    assert s3.count(COMPLETE) == 1 and s3.stored() == b"older"


def test_f32_a_conflict_is_tried_again_a_few_times(s3: Tried) -> None:
    conflict = faults.error("ConditionalRequestConflict")
    s3.fake.script(COMPLETE, conflict, conflict)
    s3.succeeds(if_none_match="*")
    forever(s3.fake, COMPLETE, conflict)
    error = s3.fails(RetriesExhaustedError, key="other", if_none_match="*")
    assert error.http_status == 409 and s3.count(COMPLETE) <= 3 + 10


REFUSED = ["EntityTooSmall", "InvalidPart", "InvalidPartOrder"]


@pytest.mark.parametrize("code", REFUSED)
def test_f33_what_is_our_own_fault_is_not_tried_again(code: str, s3: Tried) -> None:
    s3.fake.script(COMPLETE, faults.error(code))
    assert s3.fails(ServiceError).s3_code == code
    assert s3.count(COMPLETE) == 1 and s3.count(ABORT) == 1


def test_f33_the_parts_are_logged_where_the_service_refuses_them(
    s3: Tried, caplog: pytest.LogCaptureFixture
) -> None:
    s3.fake.script(COMPLETE, faults.error("InvalidPart"))
    etags: list[str] = []

    def look() -> None:
        (upload,) = s3.fake.uploads.values()
        etags.extend(part.etag for part in upload.parts.values())

    with caplog.at_level(logging.INFO, logger="libcloud_s3mpu"):
        s3.fails(ServiceError, then(3, look, more=1), concurrency=1)  # Sent before it looks.
    assert etags and all(etag in caplog.text for etag in etags)


def test_f34_a_wrong_etag_is_a_mismatch_and_the_object_is_left_alone(s3: Tried) -> None:
    s3.fake.script(COMPLETE, faults.wrong_etag())
    with pytest.raises(ChecksumMismatchError) as caught:
        s3.timed(lambda: s3.upload(chunks(PARTS)))
    assert s3.fake.objects["bucket"]["key"].etag in str(caught.value) and "0" * 32 in str(
        caught.value
    )
    s3.is_whole()
    assert s3.count(ABORT) == 0 and s3.count("DeleteObject") == 0


@pytest.mark.parametrize("checksum", WITH_VALUE)
def test_f34_a_wrong_checksum_of_the_whole_is_a_mismatch(
    checksum: str, s3: Tried, monkeypatch: pytest.MonkeyPatch
) -> None:
    has_crcs(monkeypatch)
    s3.fake.script(COMPLETE, faults.wrong_checksum())
    with pytest.raises(ChecksumMismatchError) as caught:
        s3.timed(lambda: s3.upload(chunks(PARTS), checksum=checksum))
    s3.is_whole()
    right = s3.fake.objects["bucket"]["key"].checksum
    assert right is not None and right in str(caught.value) and "AAAAA" in str(caught.value)
    assert s3.count(ABORT) == 0 and s3.count("DeleteObject") == 0


@pytest.mark.parametrize("checksum", [*WITH_VALUE, "md5"])
def test_f34_every_checksum_is_carried_compared_and_given_back(
    checksum: str, s3: Tried, monkeypatch: pytest.MonkeyPatch
) -> None:
    has_crcs(monkeypatch)
    done = s3.succeeds(checksum=checksum)
    stored = s3.fake.objects["bucket"]["key"]
    assert done.extra["checksum"] == stored.checksum
    if checksum == "md5":
        assert (stored.checksum, done.hash) == (None, stored.etag)
        wanted = "content-md5"
    else:
        assert stored.checksum_algorithm == checksum.upper()
        wanted = f"x-amz-checksum-{checksum}"
    assert all(wanted in record.headers for record in s3.fake.requests_of(PART))


def test_f34_the_whole_of_an_answer_without_a_checksum_is_that_of_its_parts(
    road: str, make_s3: MakeTried
) -> None:
    s3 = make_s3(road, quirks=Quirks(verifies_checksums=False))
    done = s3.succeeds(checksum="sha256")
    digests = [hashlib.sha256(chunk).digest() for chunk in chunks(PARTS)]
    whole_value = base64.b64encode(hashlib.sha256(b"".join(digests)).digest()).decode()
    assert done.extra["checksum"] == f"{whole_value}-{PARTS}"


def other_namespace() -> faults.Fault:
    """Every answer's namespace is another one."""

    def edit(response: Any) -> Any:
        return replace(response, body=response.body.replace(b"s3.amazonaws.com", b"example.org"))

    return faults.Fault(name="other namespace", edit=edit)


@pytest.mark.parametrize("kind", ["none", "another"])
def test_f35_the_namespace_does_not_matter(kind: str, road: str, make_s3: MakeTried) -> None:
    s3 = make_s3(road, quirks=Quirks(namespace=kind != "none"))
    if kind == "another":
        forever(s3.fake, "*", other_namespace())
    s3.succeeds()
    with pytest.raises(OSError):
        s3.upload(stopping(), key="kept", on_failure="keep")
    (upload_id,) = s3.fake.uploads
    parts = s3.driver.ex_list_parts(s3.container, "kept", upload_id)
    assert [part.size for part in parts] == [5, 5]
    there = s3.fake.uploads[upload_id].parts
    assert b"".join(there[number].body for number in sorted(there)) == whole(2)


def stopping() -> Iterator[bytes]:
    yield from chunks(2)
    raise OSError
