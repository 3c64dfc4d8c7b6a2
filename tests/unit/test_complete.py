# SPDX-License-Identifier: Apache-2.0
"""The delicate verb: success only with evidence, and no harm while nobody knows."""

from __future__ import annotations

from typing import Any
from dataclasses import replace
from collections.abc import Iterator

import pytest

from tests.fake_s3 import Quirks, faults
from tests.unit.small import Service, whole, chunks, service, make_plain
from libcloud_s3mpu.transfer.proof import LATE_SECONDS
from libcloud_s3mpu.protocol.errors import (
    ServiceError,
    S3MultipartError,
    ChecksumMismatchError,
    RetriesExhaustedError,
    TransientServiceError,
    CompletionUnknownError,
)
from libcloud_s3mpu.transfer.window import Window
from libcloud_s3mpu.protocol.headers import TOKEN_HEADER

COMPLETE = "CompleteMultipartUpload"


@pytest.fixture
def running() -> Iterator[Service]:
    with service() as it:
        yield it


LOST = {
    "reset": faults.reset("answer", applied=True),
    "closed": faults.close("answer", applied=True),
    "cut in its head": faults.close("answer", after_bytes=30, applied=True),
    "cut in its body": faults.close("answer", after_bytes=-20, applied=True),
    "reset in its body": faults.reset("answer", after_bytes=-20, applied=True),
    "500": faults.error("InternalError", applied=True),
    "503": faults.error("SlowDown", applied=True),
    "504": faults.html(504, applied=True),
    "HTML in a 200": faults.html(200, applied=True),
    "an empty 200": faults.empty_body(200, applied=True),
    "cut XML in a 200": faults.truncated_xml(applied=True),
    "InternalError in a 200": faults.error_in_200("InternalError", applied=True),
    "garbage": faults.raw(b"garbage\r\n\r\n", applied=True),
}


@pytest.mark.parametrize("road", ["lean", "plain"])
@pytest.mark.parametrize("concurrency", [None, 1])
@pytest.mark.parametrize("lost", LOST)
def test_a_lost_answer_is_proved_by_the_object_when_the_repeat_knows_no_upload(
    lost: str, concurrency: int | None, road: str, running: Service
) -> None:
    if road == "plain":
        make_plain(running.driver)
    running.fake.script(COMPLETE, LOST[lost])
    done = running.upload(chunks(4), concurrency=concurrency)
    assert running.stored() == whole(4)
    assert done.hash == running.fake.objects["bucket"]["key"].etag
    assert running.fake.requests_of("HeadObject")
    assert running.fake.requests_of("AbortMultipartUpload") == []


@pytest.mark.parametrize("lost", LOST)
def test_a_lost_answer_is_made_good_by_a_service_that_repeats_it(lost: str) -> None:
    with service(quirks=Quirks(complete_repeats=True)) as it:
        it.fake.script(COMPLETE, LOST[lost])
        it.upload(chunks(4))
        assert it.stored() == whole(4)


def unknown(running: Service, **more: Any) -> CompletionUnknownError:
    with pytest.raises(CompletionUnknownError) as caught:
        running.driver.upload_object_via_stream(chunks(4), running.container, "key", **more)
    assert running.fake.requests_of("AbortMultipartUpload") == []
    error = caught.value
    assert (error.container, error.object_name) == ("bucket", "key")
    assert error.upload_id and error.resumable
    assert "20 bytes" in str(error) and "cannot be told" in str(error)
    return error


@pytest.mark.parametrize("fault", [faults.error("AccessDenied"), faults.error("InternalError")])
def test_nothing_is_aborted_where_nothing_can_be_known(fault: Any, running: Service) -> None:
    running.fake.script(COMPLETE, faults.close("answer", applied=True))
    running.fake.script("HeadObject", fault, forever=True)
    unknown(running)
    assert running.stored() == whole(4)


KMS = {"x-amz-server-side-encryption": "aws:kms"}


def by_default(fake: Any) -> None:
    """Have the bucket encrypt by SSE-KMS, whatever a request says."""

    def edit(response: Any) -> Any:
        return replace(response, headers=(*response.headers, *KMS.items()))

    for operation in ("InitiateMultipartUpload", "HeadObject"):
        fake.script(operation, faults.Fault(name="kms", edit=edit), forever=True)


def tokens(running: Service) -> list[str | None]:
    sent = running.fake.requests_of("InitiateMultipartUpload")
    return [record.headers.get(TOKEN_HEADER) for record in sent]


@pytest.mark.parametrize("lost", LOST)
def test_where_etags_are_opaque_a_token_proves_it(lost: str, running: Service) -> None:
    running.fake.script(COMPLETE, LOST[lost])
    meta = {"meta_data": {"mine": "kept"}}
    running.driver.upload_object_via_stream(
        chunks(4), running.container, "key", extra=meta, headers=KMS
    )
    assert running.stored() == whole(4)
    (token,) = tokens(running)
    assert token is not None and len(token) == 32
    found = running.driver.get_object("bucket", "key")
    assert found.meta_data == {"mine": "kept"}  # It is hidden from readers again.


def test_no_token_is_used_where_the_etag_says_enough(running: Service) -> None:
    running.upload(chunks(4))
    sse_s3 = {"x-amz-server-side-encryption": "AES256"}
    running.driver.upload_object_via_stream(chunks(4), running.container, "key", headers=sse_s3)
    assert tokens(running) == [None, None]


def test_another_objects_token_proves_nothing(running: Service) -> None:
    def upload(source: Any) -> None:
        running.driver.upload_object_via_stream(source, running.container, "key", headers=KMS)

    upload(chunks(4))
    older = running.fake.objects["bucket"]["key"]
    running.fake.script(COMPLETE, faults.close("answer"), faults.error("NoSuchUpload"))
    running.fake.script("ListParts", faults.error("NoSuchUpload"), forever=True)
    with pytest.raises(CompletionUnknownError, match="is another's"):
        upload(chunks(4))  # The very same bytes, even.
    assert running.fake.objects["bucket"]["key"] is older


def test_a_bucket_that_encrypts_by_default_is_learned_from_its_first_answer(
    running: Service,
) -> None:
    by_default(running.fake)
    running.upload(chunks(4), key="first")
    running.fake.script(COMPLETE, faults.close("answer", applied=True))
    running.upload(chunks(4))
    first, second = tokens(running)
    assert first is None and second is not None


def test_without_a_token_the_checksum_of_the_whole_proves_it(running: Service) -> None:
    by_default(running.fake)
    running.fake.script(COMPLETE, faults.close("answer", applied=True))
    done = running.upload(chunks(4), checksum="sha256")
    assert running.stored() == whole(4) and tokens(running) == [None]
    assert done.extra["checksum"] == running.fake.objects["bucket"]["key"].checksum


def test_without_token_and_checksum_an_opaque_etag_proves_nothing(running: Service) -> None:
    by_default(running.fake)
    running.fake.script(COMPLETE, faults.close("answer", applied=True))
    unknown(running)


def test_a_token_that_the_metadata_has_no_room_for_is_left_out(running: Service) -> None:
    extra = {"meta_data": {"big": "x" * 2040}}
    running.driver.upload_object_via_stream(
        chunks(4), running.container, "key", extra=extra, headers=KMS
    )
    assert tokens(running) == [None]


def test_an_object_that_shows_up_late_is_waited_for_and_not_for_ever(
    running: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(Window, "sleep", lambda self, seconds: slept.append(seconds))
    running.fake.script(COMPLETE, faults.close("answer", applied=True))
    running.fake.script("HeadObject", faults.answer(404), forever=True)
    policy = replace(running.driver.ex_options.retry, max_delay_seconds=20.0)
    error = None
    try:
        running.upload(chunks(4), retry=policy)
    except CompletionUnknownError as caught:
        error = caught
    assert error is not None and "no object of that name is there" in str(error)
    assert [wait for wait in slept if wait] == list(LATE_SECONDS)
    assert 5 < sum(slept) < 15


def test_a_missing_object_that_may_not_be_listed_is_waited_for_too(running: Service) -> None:
    running.fake.script(COMPLETE, faults.close("answer", applied=True))
    running.fake.script("HeadObject", faults.answer(403), faults.answer(403))
    running.upload(chunks(4))


def test_where_asking_is_forbidden_a_listed_upload_was_not_completed(running: Service) -> None:
    running.fake.script(COMPLETE, faults.close("answer"), forever=True)
    running.fake.script("HeadObject", faults.answer(403), forever=True)
    with pytest.raises(RetriesExhaustedError):
        running.upload(chunks(4))
    assert running.fake.uploads == {}


@pytest.mark.parametrize("lost", [faults.close("answer"), faults.error("InternalError")])
@pytest.mark.parametrize("older", [b"x" * 20, b"x" * 19, b"x" * 5])
def test_an_older_object_of_the_same_name_proves_nothing(
    older: bytes, lost: Any, running: Service
) -> None:
    running.upload(older)
    etag = running.fake.objects["bucket"]["key"].etag
    running.fake.script(COMPLETE, lost, faults.error("NoSuchUpload"))
    running.fake.script("ListParts", faults.error("NoSuchUpload"), forever=True)
    with pytest.raises(S3MultipartError):
        running.upload(chunks(4))
    assert running.fake.objects["bucket"]["key"].etag == etag


def test_a_complete_that_never_took_effect_is_aborted(running: Service) -> None:
    running.fake.script(COMPLETE, faults.close("answer"), forever=True)
    with pytest.raises(RetriesExhaustedError) as caught:
        running.upload(chunks(4))
    assert len(caught.value.attempts) == 6
    assert (running.fake.uploads, running.keys) == ({}, [])


def test_a_complete_that_never_took_effect_is_kept_where_asked(running: Service) -> None:
    running.fake.script(COMPLETE, faults.close("answer"), forever=True)
    with pytest.raises(RetriesExhaustedError) as caught:
        running.upload(chunks(4), on_failure="keep")
    assert caught.value.resumable
    assert list(running.fake.uploads) == [caught.value.upload_id]


@pytest.mark.parametrize("code", ["InternalError", "SlowDown"])
def test_an_error_in_a_200_is_tried_again(code: str, running: Service) -> None:
    running.fake.script(COMPLETE, faults.error_in_200(code))
    running.upload(chunks(4))
    assert running.stored() == whole(4)
    assert len(running.fake.requests_of(COMPLETE)) == 2


def test_an_error_in_a_200_that_stays_is_an_error_and_is_aborted(running: Service) -> None:
    running.fake.script(COMPLETE, faults.error_in_200("InternalError"), forever=True)
    with pytest.raises(RetriesExhaustedError, match="InternalError") as caught:
        running.upload(chunks(4))
    assert isinstance(caught.value.attempts[-1], TransientServiceError)
    assert (running.fake.uploads, running.keys) == ({}, [])


@pytest.mark.parametrize("code", ["InvalidPart", "InvalidPartOrder", "EntityTooSmall"])
@pytest.mark.parametrize("in_200", [True, False])
def test_what_cannot_be_mended_is_not_tried_again(
    code: str, in_200: bool, running: Service
) -> None:
    fault = faults.error_in_200(code) if in_200 else faults.error(code)
    running.fake.script(COMPLETE, fault)
    with pytest.raises(ServiceError, match=code):
        running.upload(chunks(4))
    assert len(running.fake.requests_of(COMPLETE)) == 1
    assert (running.fake.uploads, running.keys) == ({}, [])


@pytest.mark.parametrize("before", [b" \n", b"\r\n", b"\t"])
def test_white_space_before_the_answer_is_no_fault(before: bytes, running: Service) -> None:
    running.fake.script(COMPLETE, faults.white_space(5000, before=before))
    running.upload(chunks(4))
    assert running.stored() == whole(4)


def test_white_space_before_an_error_does_not_hide_it(running: Service) -> None:
    padded = faults.answer(
        200, body=b" " * 5000 + b"<Error><Code>InvalidPart</Code></Error>", applied=False
    )
    running.fake.script(COMPLETE, padded)
    with pytest.raises(ServiceError, match="InvalidPart"):
        running.upload(chunks(4))


def test_a_dripping_answer_is_read_to_its_end(running: Service) -> None:
    drip = faults.white_space(50).plus(faults.drip(step_bytes=16, pause_seconds=0.0001))
    running.fake.script(COMPLETE, drip)
    running.upload(chunks(4))
    assert running.stored() == whole(4)


def test_a_wrong_etag_is_a_mismatch_and_the_object_is_left_alone(running: Service) -> None:
    running.fake.script(COMPLETE, faults.wrong_etag())
    with pytest.raises(ChecksumMismatchError, match="the object was left alone"):
        running.upload(chunks(4))
    assert running.stored() == whole(4)
    assert running.fake.requests_of("AbortMultipartUpload") == []


@pytest.mark.parametrize(
    "quirks", [Quirks(complete_etag=False), Quirks(namespace=False), Quirks(quotes_etags=False)]
)
def test_services_that_answer_otherwise_are_understood(quirks: Quirks) -> None:
    with service(quirks=quirks) as it:
        done = it.upload(chunks(4))
        assert it.stored() == whole(4)
        assert done.hash == it.fake.objects["bucket"]["key"].etag


def test_a_service_that_answers_an_unknown_upload_with_500_is_asked(running: Service) -> None:
    with service(quirks=Quirks(complete_unknown="InternalError")) as it:
        it.fake.script(COMPLETE, faults.close("answer", applied=True))
        it.upload(chunks(4))
        assert it.stored() == whole(4)


def test_an_upload_that_was_aborted_elsewhere_is_an_error(running: Service) -> None:
    running.fake.script(COMPLETE, faults.error("NoSuchUpload"))
    with pytest.raises(ServiceError, match="NoSuchUpload"):
        running.upload(chunks(4))
    assert running.keys == []
