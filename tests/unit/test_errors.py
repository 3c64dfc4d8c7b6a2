# SPDX-License-Identifier: Apache-2.0
"""The error tree: which class an answer means, and what every error carries."""

from __future__ import annotations

import pickle
import inspect
import pkgutil
import importlib
from collections.abc import Iterator

import pytest
import requests
from libcloud.common.types import LibcloudError, InvalidCredsError
from libcloud.storage.types import (
    ObjectDoesNotExistError,
    ObjectHashMismatchError,
    ContainerDoesNotExistError,
)

import libcloud_s3mpu
from libcloud_s3mpu.protocol import errors
from libcloud_s3mpu.protocol.messages import S3Request
from libcloud_s3mpu.transfer.connection import transport_error

CLASSES = [
    cls
    for _, cls in inspect.getmembers(errors, inspect.isclass)
    if issubclass(cls, errors.S3MultipartError)
]
TRANSPORT = [
    transport_error(S3Request(operation="PutObject", method="PUT", bucket="b", key="k"), cause)
    for cause in (ConnectionResetError("reset"), TimeoutError("slow"))
]
DETAILS = {
    "operation": "UploadPart",
    "container": "b",
    "object_name": "k",
    "upload_id": "u",
    "part_number": 3,
    "http_status": 503,
    "s3_code": "SlowDown",
    "request_id": "R",
    "retry_after_seconds": 2.0,
}


@pytest.mark.parametrize("cls", CLASSES)
def test_every_error_is_a_libcloud_error_with_all_details(
    cls: type[errors.S3MultipartError],
) -> None:
    error = cls("text", **DETAILS, driver=object())  # type: ignore[arg-type]
    assert isinstance(error, LibcloudError)
    assert str(error) == error.value == "text"
    assert repr(error) == f"{cls.__name__}('text')"
    assert {name: getattr(error, name) for name in DETAILS} == DETAILS
    assert (error.container_name, error.http_code) == ("b", 503)


@pytest.mark.parametrize("cls", CLASSES)
def test_every_error_crosses_a_process_without_its_driver(
    cls: type[errors.S3MultipartError],
) -> None:
    error = cls("text", **DETAILS, driver=lambda: None)  # type: ignore[arg-type]
    error.cleanup_error = OSError(5, "x")
    error.resumable = True
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is cls
    assert str(back) == "text"
    assert {name: getattr(back, name) for name in DETAILS} == DETAILS
    assert back.resumable
    assert back.driver is None and back.cleanup_error is None


@pytest.mark.parametrize("error", TRANSPORT)
def test_transport_errors_cross_a_process_too(error: errors.TransportError) -> None:
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is type(error)
    assert (str(back), back.container) == (str(error), "b")


@pytest.mark.parametrize(
    ("cls", "base"),
    [
        (errors.UnsupportedSourceError, TypeError),
        (errors.SourceSizeError, ValueError),
        (errors.InvalidRequestError, ValueError),
        (errors.AccessDeniedError, InvalidCredsError),
        (errors.ClockSkewError, InvalidCredsError),
        (errors.ExpiredCredentialsError, InvalidCredsError),
        (errors.ContainerMissingError, ContainerDoesNotExistError),
        (errors.ObjectMissingError, ObjectDoesNotExistError),
        (errors.ChecksumMismatchError, ObjectHashMismatchError),
        (type(TRANSPORT[0]), requests.exceptions.ConnectionError),
        (type(TRANSPORT[1]), requests.exceptions.Timeout),
    ],
)
def test_apps_catch_our_errors_by_the_names_they_know(cls: type, base: type) -> None:
    assert issubclass(cls, base)
    assert issubclass(cls, errors.S3MultipartError)


@pytest.mark.parametrize("error", TRANSPORT)
def test_a_transport_error_has_what_handlers_of_requests_read(
    error: errors.TransportError,
) -> None:
    assert isinstance(error, requests.exceptions.RequestException)
    assert error.response is None
    assert error.request is None


@pytest.mark.parametrize(
    ("cls", "retryable", "throttled"),
    [
        (errors.TransportError, True, False),
        (errors.MalformedAnswerError, True, False),
        (errors.TransientServiceError, True, False),
        (errors.ThrottledError, True, True),
        (errors.ConditionalConflictError, True, False),
        (errors.ChecksumMismatchError, True, False),
        (errors.ServiceError, False, False),
        (errors.AccessDeniedError, False, False),
        (errors.PreconditionFailedError, False, False),
        (errors.UploadMissingError, False, False),
        (errors.WrongRegionError, False, False),
        (errors.SourceError, False, False),
        (errors.RetriesExhaustedError, False, False),
        (errors.CompletionUnknownError, False, False),
    ],
)
def test_each_class_says_whether_it_may_be_tried_again(
    cls: type[errors.S3MultipartError], retryable: bool, throttled: bool
) -> None:
    assert (cls.retryable, cls.throttled) == (retryable, throttled)


@pytest.mark.parametrize(
    ("status", "code", "cls"),
    [
        (404, "NoSuchBucket", errors.ContainerMissingError),
        (404, "NoSuchKey", errors.ObjectMissingError),
        (404, "NoSuchUpload", errors.UploadMissingError),
        (404, None, errors.ObjectMissingError),
        (403, "AccessDenied", errors.AccessDeniedError),
        (403, "SignatureDoesNotMatch", errors.AccessDeniedError),
        (403, "InvalidAccessKeyId", errors.AccessDeniedError),
        (403, "RequestTimeTooSkewed", errors.ClockSkewError),
        (403, "SomethingNew", errors.AccessDeniedError),
        (401, None, errors.AccessDeniedError),
        (400, "ExpiredToken", errors.ExpiredCredentialsError),
        (400, "InvalidToken", errors.ExpiredCredentialsError),
        (412, None, errors.PreconditionFailedError),
        (409, "ConditionalRequestConflict", errors.ConditionalConflictError),
        (409, "OperationAborted", errors.ConditionalConflictError),
        (301, "PermanentRedirect", errors.WrongRegionError),
        (307, None, errors.WrongRegionError),
        (400, "AuthorizationHeaderMalformed", errors.WrongRegionError),
        (503, "SlowDown", errors.ThrottledError),
        (429, None, errors.ThrottledError),
        (503, None, errors.ThrottledError),
        (200, "SlowDown", errors.ThrottledError),
        (500, "InternalError", errors.TransientServiceError),
        (200, "InternalError", errors.TransientServiceError),
        (503, "ServiceUnavailable", errors.TransientServiceError),
        (400, "RequestTimeout", errors.TransientServiceError),
        (501, "NotImplemented", errors.ServiceError),
        (501, None, errors.ServiceError),
        (200, "NotImplemented", errors.ServiceError),
        (502, None, errors.TransientServiceError),
        (504, None, errors.TransientServiceError),
        (599, None, errors.TransientServiceError),
        (400, "BadDigest", errors.ChecksumMismatchError),
        (400, "XAmzContentSHA256Mismatch", errors.ChecksumMismatchError),
        (400, "EntityTooSmall", errors.ServiceError),
        (400, None, errors.ServiceError),
        (409, None, errors.ServiceError),
        (200, None, errors.ServiceError),
    ],
)
def test_an_answer_means_the_class_of_its_code_or_else_of_its_status(
    status: int, code: str | None, cls: type
) -> None:
    assert errors.error_class(http_status=status, s3_code=code) is cls


def test_what_is_not_implemented_is_not_asked_for_again() -> None:
    for code in ("NotImplemented", None):
        cls = errors.error_class(http_status=501, s3_code=code)
        assert not cls.retryable and not cls.throttled


@pytest.mark.parametrize("table", [errors.CODE_TABLE, errors.STATUS_TABLE])
def test_the_tables_hold_errors_of_this_package_only(table: dict[object, type]) -> None:
    assert all(issubclass(cls, errors.S3MultipartError) for cls in table.values())


def test_exhausted_retries_cross_a_process_with_their_attempts() -> None:
    failures = [errors.ThrottledError(f"no {n}", **DETAILS) for n in (1, 2)]  # type: ignore[arg-type]
    error = errors.RetriesExhaustedError.after(failures)
    assert error.throttled and error.s3_code == "SlowDown" and error.part_number == 3
    back = pickle.loads(pickle.dumps(error))
    assert [type(attempt) for attempt in back.attempts] == [errors.ThrottledError] * 2
    assert [attempt.value for attempt in back.attempts] == ["no 1", "no 2"]


def everywhere() -> Iterator[type[errors.S3MultipartError]]:
    """Yield the errors of all modules that need no extra but those with a tree of their own."""
    for module in pkgutil.walk_packages(libcloud_s3mpu.__path__, "libcloud_s3mpu."):
        _, _, name = module.name.partition(".")
        if name.startswith(("cli", "__main__", "contrib", "resumable.", "web")):
            continue
        for _, cls in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            is_ours = issubclass(cls, errors.S3MultipartError) and not cls.__name__.startswith("_")
            if is_ours and cls.__module__ == module.name:
                yield cls


def test_the_tree_in_the_docstring_names_every_class() -> None:
    text = errors.__doc__ or ""
    names = {cls.__name__ for cls in everywhere()} - {"Stopped"}  # It never leaves the road.
    assert {"CredentialsError", "CopyUnsupportedError"} < names
    assert [name for name in names if name not in text] == []


def test_errors_that_live_with_their_subject_are_at_the_root_too() -> None:
    # Those of transfer/http are requests' own as well, and caught as such.
    private = {"Stopped", "ConnectionFailedError", "ConnectionTimeoutError", "CertificateError"}
    elsewhere = {cls.__name__ for cls in everywhere() if cls.__module__ != errors.__name__}
    assert elsewhere - set(libcloud_s3mpu.__all__) <= private


def test_public_errors_are_at_the_root_of_the_package() -> None:
    private = {"SourceError", "ClockSkewError", "ExpiredCredentialsError", "MalformedAnswerError",
               "WrongRegionError"}  # fmt: skip
    missing = {cls.__name__ for cls in CLASSES} - set(libcloud_s3mpu.__all__)
    assert missing <= private
