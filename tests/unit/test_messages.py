# SPDX-License-Identifier: Apache-2.0
"""Requests and answers as values, and what the text of an error says."""

from __future__ import annotations

from typing import Any

import pytest

from libcloud_s3mpu.protocol import errors
from libcloud_s3mpu.protocol.messages import (
    Bytes,
    S3Request,
    S3Response,
    described,
    context_of,
    parse_body,
    service_error,
    raise_for_status,
)

PART = S3Request(
    operation="UploadPart", method="PUT", bucket="b", key="k", upload_id="u", part_number=3,
    query=(("uploadId", "u"),),
)  # fmt: skip
BUCKET = S3Request(operation="ListObjects", method="GET", bucket="b")


def answer(status: int, body: bytes = b"", **headers: str) -> S3Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return S3Response(status=status, headers=named, body=body)


def error_xml(code: str, message: str = "Said.") -> bytes:
    return (
        f"<Error><Code>{code}</Code><Message>{message}</Message><RequestId>R1</RequestId></Error>"
    ).encode()


def test_an_error_says_what_failed_where_and_what_was_answered() -> None:
    error = service_error(PART, answer(503, error_xml("SlowDown", "Reduce.")))
    assert str(error) == (
        "UploadPart failed for b/k (upload u, part 3): SlowDown: Reduce. (HTTP 503)"
    )
    assert (error.http_status, error.s3_code, error.request_id) == (503, "SlowDown", "R1")
    assert {name: getattr(error, name) for name in context_of(PART)} == context_of(PART)


def test_a_request_for_the_service_itself_names_nothing() -> None:
    assert described(S3Request(operation="ListBuckets", method="GET", bucket="")) == (
        "ListBuckets failed"
    )


def test_an_answer_without_xml_is_quoted_in_one_short_line() -> None:
    error = service_error(PART, answer(502, b"<html>\n  Bad   gateway </html>" + b"x" * 5000))
    assert "HTTP 502: '<html> Bad gateway </html>xxx" in str(error)
    assert "\n" not in str(error)
    assert len(str(error)) < 400


def test_an_answer_without_a_body_names_its_status_alone() -> None:
    error = service_error(BUCKET, answer(500))
    assert str(error) == "ListObjects failed for b: HTTP 500"


def test_a_code_without_a_message_stands_alone() -> None:
    error = service_error(PART, answer(400, b"<Error><Code>EntityTooSmall</Code></Error>"))
    assert str(error).endswith(": EntityTooSmall (HTTP 400)")


def test_a_long_message_is_cut_and_kept_on_one_line() -> None:
    error = service_error(PART, answer(400, error_xml("X", "line\n" * 400)))
    assert "\n" not in str(error)
    assert len(str(error)) < 400


def test_the_region_of_a_container_elsewhere_is_named() -> None:
    error = service_error(PART, answer(301, b"", x_amz_bucket_region="eu-west-1"))
    assert isinstance(error, errors.WrongRegionError)
    assert "'eu-west-1'" in str(error)


def test_a_404_without_a_key_means_the_container() -> None:
    assert isinstance(service_error(BUCKET, answer(404)), errors.ContainerMissingError)
    assert isinstance(service_error(PART, answer(404)), errors.ObjectMissingError)


def test_the_request_id_is_taken_from_the_header_where_the_body_has_none() -> None:
    error = service_error(PART, answer(500, x_amz_request_id="R2"))
    assert error.request_id == "R2"


NOW = "Wed, 21 Oct 2026 07:28:00 GMT"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry_after": "2"}, 2.0),
        ({"retry_after": "0.5"}, 0.5),
        ({"retry_after": "0"}, 0.0),
        ({"retry_after": "-1"}, None),
        ({"retry_after": "nan"}, None),
        ({"retry_after": "inf"}, None),
        ({"retry_after": "1e12"}, None),
        ({"retry_after": "soon"}, None),
        ({"retry_after": ""}, None),
        ({"retry_after": "Wed, 21 Oct 2026 07:28:30 GMT", "date": NOW}, 30.0),
        ({"retry_after": "Wed, 21 Oct 2026 07:27:00 GMT", "date": NOW}, 0.0),
        ({"retry_after": "Wed, 21 Oct 2026 07:28:30 -0000", "date": NOW}, 30.0),
        ({"retry_after": "Wed, 21 Oct 2026 07:28:30 GMT"}, None),
        ({"retry_after": "Wed, 21 Oct 2026 07:28:30 GMT", "date": "x"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_read_as_seconds_or_a_date(
    headers: dict[str, str], seconds: float | None
) -> None:
    assert service_error(PART, answer(503, **headers)).retry_after_seconds == seconds


def test_a_good_status_passes_and_another_raises() -> None:
    raise_for_status(PART, answer(204), 200, 204)
    with pytest.raises(errors.TransientServiceError):
        raise_for_status(PART, answer(500), 200)


@pytest.mark.parametrize(
    "body", [b"<Root/>", b'<Root xmlns="urn:x"/>', b" \n\n<?xml version='1.0'?><Root/> \n"]
)
def test_a_body_counts_with_the_right_root_whatever_its_namespace(body: bytes) -> None:
    assert parse_body(PART, answer(200, body), root="Root") is not None


@pytest.mark.parametrize(
    ("body", "cls"),
    [
        (error_xml("InternalError"), errors.TransientServiceError),
        (b"   \n" + error_xml("SlowDown"), errors.ThrottledError),
        (error_xml("AccessDenied"), errors.AccessDeniedError),
        (b"<Other/>", errors.MalformedAnswerError),
        (b"", errors.MalformedAnswerError),
        (b"<!DOCTYPE html><html></html>", errors.MalformedAnswerError),
        (b"<Root>", errors.MalformedAnswerError),
        (b"{}", errors.MalformedAnswerError),
    ],
)
def test_a_200_counts_only_with_the_right_body(body: bytes, cls: type[Any]) -> None:
    with pytest.raises(cls) as caught:
        parse_body(PART, answer(200, body), root="Root")
    assert "UploadPart failed for b/k" in str(caught.value)
    assert caught.value.http_status == 200
    assert caught.value.part_number == 3


def test_an_error_body_with_a_doctype_is_not_believed() -> None:
    body = b"<!DOCTYPE x>" + error_xml("AccessDenied")
    assert service_error(PART, answer(500, body)).s3_code is None


def test_a_small_body_can_be_read_again_and_again() -> None:
    body = Bytes(b"abc")
    assert body.size == 3
    assert b"".join(body.buffers()) == b"".join(body.buffers()) == b"abc"
