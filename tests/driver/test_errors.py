# SPDX-License-Identifier: Apache-2.0
"""What apps catch: libcloud's classes, with the HTTP status and S3's code in the text."""

from __future__ import annotations

import pickle
from typing import Any
from pathlib import Path
from dataclasses import replace

import pytest
import requests
import urllib3.exceptions
from libcloud.common.types import LibcloudError, InvalidCredsError
from libcloud.storage.base import Container
from libcloud.storage.types import (
    ObjectDoesNotExistError,
    ObjectHashMismatchError,
    ContainerDoesNotExistError,
)

import libcloud_s3mpu as ours
from tests.driver.s3_mock import DATA, UPLOAD_ID, S3MockHttp, refused, answered
from tests.driver.conftest import AT_ONCE, OPTIONS
from tests.driver.mock_http import Answer, fixture
from libcloud_s3mpu.protocol.retry import NO_RETRIES

Mock = type[S3MockHttp]
ONCE = replace(OPTIONS, retry=NO_RETRIES)

#: Fixture, HTTP status, S3 code, what apps catch.
ERRORS: list[tuple[str, int, str, type[Exception]]] = [
    ("no_such_bucket", 404, "NoSuchBucket", ContainerDoesNotExistError),
    ("no_such_bucket_namespace", 404, "NoSuchBucket", ContainerDoesNotExistError),
    ("no_such_key", 404, "NoSuchKey", ObjectDoesNotExistError),
    ("no_such_upload", 404, "NoSuchUpload", ours.UploadMissingError),
    ("access_denied", 403, "AccessDenied", InvalidCredsError),
    ("access_denied_namespace", 403, "AccessDenied", InvalidCredsError),
    ("invalid_access_key_id", 403, "InvalidAccessKeyId", InvalidCredsError),
    ("signature_does_not_match", 403, "SignatureDoesNotMatch", InvalidCredsError),
    ("request_time_too_skewed", 403, "RequestTimeTooSkewed", InvalidCredsError),
    ("expired_token", 400, "ExpiredToken", InvalidCredsError),
    ("slow_down", 503, "SlowDown", ours.ThrottledError),
    ("slow_down_namespace", 503, "SlowDown", ours.ThrottledError),
    ("slow_down", 429, "SlowDown", ours.ThrottledError),
    ("internal_error", 500, "InternalError", ours.TransientServiceError),
    ("request_timeout", 400, "RequestTimeout", ours.TransientServiceError),
    ("bad_digest", 400, "BadDigest", ObjectHashMismatchError),
    ("entity_too_small", 400, "EntityTooSmall", ours.ServiceError),
    ("entity_too_large", 400, "EntityTooLarge", ours.ServiceError),
    ("invalid_part", 400, "InvalidPart", ours.ServiceError),
    ("precondition_failed", 412, "PreconditionFailed", ours.PreconditionFailedError),
    (
        "conditional_request_conflict",
        409,
        "ConditionalRequestConflict",
        ours.ConditionalConflictError,
    ),
    ("permanent_redirect", 301, "PermanentRedirect", ours.ServiceError),
    ("not_implemented", 501, "NotImplemented", ours.ServiceError),
    ("key_too_long", 400, "KeyTooLongError", ours.ServiceError),
]
IDS = [f"{name}-{status}" for name, status, _, _ in ERRORS]


def upload(container: Container, data: bytes = DATA, **kwargs: Any) -> Any:
    return container.driver.upload_object_via_stream(iter([data]), container, "object", **kwargs)


def message_of(name: str) -> str:
    return fixture(f"error_{name}.xml").partition("<Message>")[2].partition("</Message>")[0]


@pytest.mark.parametrize(
    ("verb", "data"),
    [("PutObject", b"small"), ("CreateMultipartUpload", DATA), ("UploadPart 2", DATA)],
    ids=["put", "initiate", "part"],
)
@pytest.mark.parametrize(("name", "status", "code", "expected"), ERRORS, ids=IDS)
def test_each_error_is_libclouds_and_names_status_and_code(
    container: Container,
    mock: Mock,
    verb: str,
    data: bytes,
    name: str,
    status: int,
    code: str,
    expected: type[Exception],
) -> None:
    mock.fails = {verb: [refused(name, status)]}
    with pytest.raises(expected) as caught:
        upload(container, data, ex_options=ONCE)
    error = caught.value
    assert isinstance(error, LibcloudError)
    assert str(status) in str(error) and code in str(error)
    assert message_of(name)[:40] in str(error)
    assert "bucket/object" in str(error)
    assert str(error) == error.value
    assert error.driver is container.driver
    # What is gone was aborted elsewhere: nobody aborts it again.
    is_aborted = verb.startswith("UploadPart") and code != "NoSuchUpload"
    assert ("AbortMultipartUpload" in mock.verbs()) == is_aborted
    restored = pickle.loads(pickle.dumps(error))
    assert type(restored) is type(error) and str(restored) == str(error)


@pytest.mark.parametrize(("name", "status", "code", "expected"), ERRORS, ids=IDS)
def test_complete_names_status_and_code_too(
    container: Container,
    mock: Mock,
    name: str,
    status: int,
    code: str,
    expected: type[Exception],
) -> None:
    mock.fails = {
        "CompleteMultipartUpload": [refused(name, status)] * 9,
        "HeadObject": [(404, "", {}, "")] * 9,
    }
    with pytest.raises(LibcloudError) as caught:
        upload(container)
    assert str(status) in str(caught.value) and code in str(caught.value)
    assert container.driver is caught.value.driver  # type: ignore[attr-defined]


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 503, 504])
@pytest.mark.parametrize("verb", ["CreateMultipartUpload", "UploadPart 1"])
def test_the_status_that_apps_scan_for_stands_in_the_text_without_xml_too(
    container: Container, mock: Mock, status: int, verb: str
) -> None:
    """MosaicML's Composer decides by these numbers in ``str(e)`` whether to try again."""
    mock.fails = {verb: [(status, "<html>busy</html>", {}, "")] * 9}
    with pytest.raises(LibcloudError) as caught:
        upload(container)
    assert str(status) in str(caught.value)


@pytest.mark.parametrize("status", [404, 403, 500, 503])
def test_an_answer_without_a_body_is_an_error_by_its_status(
    container: Container, mock: Mock, status: int
) -> None:
    mock.fails = {"UploadPart 1": [(status, "", {}, "")] * 9}
    with pytest.raises(LibcloudError, match=str(status)):
        upload(container)


def test_a_missing_bucket_is_the_containers_error_with_its_name(
    container: Container, mock: Mock, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x")
    mock.fails = {"PutObject": [refused("no_such_bucket", 404)] * 2}
    for call in (
        lambda: upload(container, b"x"),
        lambda: container.driver.upload_object(str(path), container, "object"),
    ):
        with pytest.raises(ContainerDoesNotExistError) as caught:
            call()
        assert caught.value.container_name == "bucket"


@pytest.mark.parametrize(
    "failure",
    [
        requests.exceptions.ConnectionError("reset"),
        requests.exceptions.Timeout("slow"),
        requests.exceptions.ChunkedEncodingError("cut"),
        ConnectionResetError("reset"),
    ],
    ids=lambda failure: type(failure).__name__,
)
@pytest.mark.parametrize("attempts", [1, 3])
def test_a_transport_error_is_requests_own_and_libclouds(
    container: Container, mock: Mock, failure: BaseException, attempts: int
) -> None:
    """Apps catch ``requests.exceptions.*`` for what they would try again themselves."""
    mock.fails = {"CreateMultipartUpload": [failure] * 9}
    options = replace(OPTIONS, retry=replace(AT_ONCE, max_attempts=attempts))
    with pytest.raises(requests.exceptions.RequestException) as caught:
        upload(container, ex_options=options)
    assert isinstance(caught.value, LibcloudError)
    is_timeout = isinstance(failure, requests.exceptions.Timeout)
    wanted = requests.exceptions.Timeout if is_timeout else requests.exceptions.ConnectionError
    assert isinstance(caught.value, wanted)


@pytest.mark.parametrize(
    ("name", "status", "expected"),
    [
        ("slow_down", 503, ours.RetriesExhaustedError),
        ("internal_error", 500, ours.RetriesExhaustedError),
        ("bad_digest", 400, ObjectHashMismatchError),
    ],
)
def test_after_several_attempts_the_error_still_has_its_class_and_text(
    container: Container, mock: Mock, name: str, status: int, expected: type[Exception]
) -> None:
    mock.fails = {"UploadPart 1": [refused(name, status)] * 9}
    with pytest.raises(expected) as caught:
        upload(container)
    assert str(status) in str(caught.value)
    assert mock.verbs().count("UploadPart 1") == AT_ONCE.max_attempts
    attempts = getattr(caught.value, "attempts", ())
    assert len(attempts) == AT_ONCE.max_attempts


def test_no_error_text_holds_a_signature_a_key_or_a_query(container: Container, mock: Mock) -> None:
    url = "/bucket/object?uploadId=abc&X-Amz-Signature=abcdef"
    inner = urllib3.exceptions.MaxRetryError(None, url)  # type: ignore[arg-type]
    mock.fails = {"UploadPart 1": [requests.exceptions.ConnectionError(inner)] * 9}
    with pytest.raises(LibcloudError) as caught:
        upload(container)
    assert "Signature" not in str(caught.value) and "uploadId=" not in str(caught.value)


def test_the_reason_of_a_transport_error_is_said(container: Container, mock: Mock) -> None:
    inner = urllib3.exceptions.ProtocolError(
        "Connection aborted.", ConnectionResetError(104, "reset")
    )
    mock.fails = {"UploadPart 1": [requests.exceptions.ConnectionError(inner)] * 9}
    with pytest.raises(LibcloudError, match="reset"):
        upload(container)


def test_an_errors_fields(container: Container, mock: Mock) -> None:
    mock.fails = {"UploadPart 2": [refused("entity_too_large", 400)]}
    with pytest.raises(ours.ServiceError) as caught:
        upload(container)
    error = caught.value
    assert (error.operation, error.container, error.object_name) == (
        "UploadPart",
        "bucket",
        "object",
    )
    assert (error.upload_id, error.part_number) == (UPLOAD_ID, 2)
    assert (error.http_status, error.s3_code) == (400, "EntityTooLarge")
    assert error.request_id == "4442587FB7D0A2F9"
    assert (error.retryable, error.resumable) == (False, False)


def test_an_answer_that_is_no_s3_is_an_error(container: Container, mock: Mock) -> None:
    page: Answer = (200, "<!DOCTYPE html><html><body>portal</body></html>", {}, "OK")
    mock.fails = {"CreateMultipartUpload": [page] * 9}
    with pytest.raises(LibcloudError):
        upload(container)
    assert "UploadPart 1" not in mock.verbs()


def test_an_initiate_without_an_upload_id_is_an_error(container: Container, mock: Mock) -> None:
    mock.fails = {"CreateMultipartUpload": [answered("initiate_multipart_no_upload_id.xml")] * 9}
    with pytest.raises(LibcloudError, match="UploadId"):
        upload(container)
    # What those answers may have left is looked for once.
    assert set(mock.verbs()) == {"CreateMultipartUpload", "ListMultipartUploads"}
    assert mock.verbs().count("ListMultipartUploads") <= 2  # Plainly, and percent-encoded.


def test_a_part_without_an_etag_is_no_part(container: Container, mock: Mock) -> None:
    mock.fails = {"UploadPart 2": [(200, "", {}, "OK")]}
    upload(container)
    assert mock.verbs().count("UploadPart 2") == 2


@pytest.mark.parametrize("verb", ["PutObject", "UploadPart 1"])
def test_an_error_inside_a_200_is_an_error(container: Container, mock: Mock, verb: str) -> None:
    answer = answered("complete_multipart_error_200.xml")
    answer = (200, answer[1], {**answer[2], "etag": '"x"'}, "OK")
    mock.fails = {verb: [answer] * 9}
    with pytest.raises(LibcloudError, match="InternalError"):
        upload(container, b"small" if verb == "PutObject" else DATA)


def test_a_wrong_etag_of_complete_is_a_hash_mismatch(container: Container, mock: Mock) -> None:
    mock.fails = {"CompleteMultipartUpload": [answered("complete_multipart_wrong_etag.xml")]}
    with pytest.raises(ObjectHashMismatchError):
        upload(container)
    assert "AbortMultipartUpload" not in mock.verbs()


def test_a_wrong_md5_of_a_part_is_sent_again(container: Container, mock: Mock) -> None:
    wrong: Answer = (200, "", {"etag": f'"{"0" * 32}"'}, "OK")
    mock.fails = {"UploadPart 2": [wrong]}
    upload(container, ex_options=replace(OPTIONS, checksum="md5"))
    assert mock.verbs().count("UploadPart 2") == 2


@pytest.mark.parametrize("status", [301, 307])
def test_a_region_is_followed_once_and_named_if_that_was_no_help(
    container: Container, mock: Mock, status: int
) -> None:
    body = fixture("error_permanent_redirect.xml")
    headers = {"x-amz-bucket-region": "eu-west-3", "location": "https://elsewhere.example/"}
    mock.fails = {"CreateMultipartUpload": [(status, body, headers, "")] * 2}
    with pytest.raises(LibcloudError, match="eu-west-3"):
        upload(container)
    # The same host both times, signed for the region: Location is never followed.
    assert mock.verbs() == ["CreateMultipartUpload"] * 2
    mock.fails = {}
    upload(container)


# -- inherited methods -----------------------------------------------------------------------------


def test_deleting_and_getting_what_is_not_there(driver: Any, mock: Mock) -> None:
    mock.fails = {"HeadObject": [(404, "", {}, "")] * 2, "DeleteObject": [(404, "", {}, "")] * 2}
    with pytest.raises(ContainerDoesNotExistError):
        driver.get_container("bucket")
    mock.fails["HeadObject"] = [(200, "", {}, ""), (404, "", {}, "")]
    with pytest.raises(ObjectDoesNotExistError):
        driver.get_object("bucket", "object")


def test_a_forbidden_listing_is_invalid_creds_with_status_and_code(
    driver: Any, container: Container, mock: Mock
) -> None:
    mock.fails = {"ListMultipartUploads": [refused("access_denied", 403)]}
    with pytest.raises(InvalidCredsError) as caught:
        list(driver.ex_iterate_multipart_uploads(container))
    assert "403" in str(caught.value) and "AccessDenied" in str(caught.value)
