# SPDX-License-Identifier: Apache-2.0
"""The ``ex_`` methods: parts by hand, and the uploads that are under way in a container."""

from __future__ import annotations

from typing import Any

import pytest
from libcloud.common.types import LibcloudError
from libcloud.storage.base import Container
from libcloud.storage.drivers.s3 import S3MultipartUpload

import libcloud_s3mpu as ours
from tests.driver.s3_mock import DATA, UPLOAD_ID, PART_ETAGS, S3MockHttp, refused, answered
from tests.driver.test_wire import verified

Mock = type[S3MockHttp]
BAD_UPLOAD_IDS = ["", "a\nb", "a\x00b", None, 7]


# -- parts -----------------------------------------------------------------------------------------


def test_list_parts_gives_all_pages(driver: Any, container: Container) -> None:
    parts = driver.ex_list_parts(container, "object", UPLOAD_ID)
    found = [(part.part_number, part.size, part.etag) for part in parts]
    assert found == [(1, 10, PART_ETAGS[0]), (2, 10, PART_ETAGS[1]), (3, 5, PART_ETAGS[2])]
    assert all(type(part) is ours.UploadedPart for part in parts)


def test_list_parts_of_an_upload_without_parts(
    driver: Any, container: Container, mock: Mock
) -> None:
    mock.fails = {"ListParts": [answered("list_parts_empty.xml")]}
    assert driver.ex_list_parts(container, "object", UPLOAD_ID) == []


def test_list_parts_ends_where_a_page_leads_nowhere(
    driver: Any, container: Container, mock: Mock
) -> None:
    mock.type = "STUCK"
    assert len(driver.ex_list_parts(container, "object", UPLOAD_ID)) == 1


@pytest.mark.parametrize("name", ["no_such_upload", "no_such_key"])
def test_list_parts_of_an_unknown_upload(
    driver: Any, container: Container, mock: Mock, name: str
) -> None:
    mock.fails = {"ListParts": [refused(name, 404)]}
    with pytest.raises(ours.UploadMissingError, match="404"):
        driver.ex_list_parts(container, "object", UPLOAD_ID)


def test_list_parts_is_tried_again(driver: Any, container: Container, mock: Mock) -> None:
    mock.fails = {"ListParts": [refused("slow_down", 503)]}
    assert len(driver.ex_list_parts(container, "object", UPLOAD_ID)) == 3


def test_upload_part(driver: Any, container: Container, mock: Mock) -> None:
    part = driver.ex_upload_part(container, "object", UPLOAD_ID, 2, DATA[10:20])
    (sent,) = mock.requests
    assert (sent.verb, sent.body) == ("UploadPart 2", DATA[10:20])
    assert sent.query == {"partNumber": "2", "uploadId": UPLOAD_ID}
    assert (part.part_number, part.size, part.etag) == (2, 10, PART_ETAGS[1])
    verified(sent)


@pytest.mark.parametrize("data", [bytearray(b"12345"), memoryview(b"12345")])
def test_upload_part_of_any_buffer(
    driver: Any, container: Container, mock: Mock, data: Any
) -> None:
    assert driver.ex_upload_part(container, "object", UPLOAD_ID, 1, data).size == 5
    assert mock.requests[0].body == b"12345"


@pytest.mark.parametrize("data", [5, None, "text", [b"a"]])
def test_upload_part_refuses_what_is_no_buffer(
    driver: Any, container: Container, mock: Mock, data: Any
) -> None:
    """``bytes(5)`` is five zeros: nobody means to upload those."""
    with pytest.raises(TypeError):
        driver.ex_upload_part(container, "object", UPLOAD_ID, 1, data)
    assert not mock.requests


@pytest.mark.parametrize("number", [0, -1, 101])
def test_upload_part_refuses_a_number_that_cannot_be(
    driver: Any, container: Container, mock: Mock, number: int
) -> None:
    with pytest.raises(ValueError, match="part_number"):
        driver.ex_upload_part(container, "object", UPLOAD_ID, number, b"x")
    assert not mock.requests


def test_upload_part_is_tried_again(driver: Any, container: Container, mock: Mock) -> None:
    mock.fails = {"UploadPart 1": [refused("internal_error", 500)]}
    assert driver.ex_upload_part(container, "object", UPLOAD_ID, 1, DATA[:10]).size == 10


@pytest.mark.parametrize("status", [200, 204, 404])
def test_abort_of_what_is_gone_is_no_error(
    driver: Any, container: Container, mock: Mock, status: int
) -> None:
    mock.fails = {"AbortMultipartUpload": [(status, "", {}, "")]}
    assert driver.ex_abort_upload(container, "object", UPLOAD_ID) is True


def test_abort_says_when_it_is_refused(driver: Any, container: Container, mock: Mock) -> None:
    mock.fails = {"AbortMultipartUpload": [refused("access_denied", 403)]}
    with pytest.raises(ours.AccessDeniedError, match="403"):
        driver.ex_abort_upload(container, "object", UPLOAD_ID)


def test_abort_in_a_bucket_that_is_not_there_says_so(
    driver: Any, container: Container, mock: Mock
) -> None:
    mock.fails = {"AbortMultipartUpload": [refused("no_such_bucket", 404)]}
    with pytest.raises(ours.ContainerMissingError):
        driver.ex_abort_upload(container, "object", UPLOAD_ID)


def test_abort_is_tried_again(driver: Any, container: Container, mock: Mock) -> None:
    mock.fails = {"AbortMultipartUpload": [refused("slow_down", 503)]}
    assert driver.ex_abort_upload(container, "object", UPLOAD_ID) is True


@pytest.mark.parametrize("upload_id", BAD_UPLOAD_IDS)
def test_what_is_no_upload_id_is_refused_before_any_request(
    driver: Any, container: Container, mock: Mock, upload_id: Any
) -> None:
    """``DELETE /bucket/object?uploadId=`` with nothing behind it could delete the object."""
    for call in (
        lambda: driver.ex_abort_upload(container, "object", upload_id),
        lambda: driver.ex_list_parts(container, "object", upload_id),
        lambda: driver.ex_upload_part(container, "object", upload_id, 1, b"x"),
    ):
        with pytest.raises(ValueError, match="upload id"):
            call()
    assert not mock.requests


def test_errors_of_extensions_name_the_driver(
    driver: Any, container: Container, mock: Mock
) -> None:
    mock.fails = {
        verb: [refused("access_denied", 403)]
        for verb in ("ListParts", "AbortMultipartUpload", "UploadPart 1")
    }
    for call in (
        lambda: driver.ex_abort_upload(container, "object", UPLOAD_ID),
        lambda: driver.ex_list_parts(container, "object", UPLOAD_ID),
        lambda: driver.ex_upload_part(container, "object", UPLOAD_ID, 1, b"x"),
    ):
        with pytest.raises(LibcloudError) as caught:
            call()
        assert caught.value.driver is driver  # type: ignore[attr-defined]


# -- uploads under way -----------------------------------------------------------------------------


def test_uploads_under_way_are_listed_over_all_pages(
    driver: Any, container: Container, mock: Mock
) -> None:
    found = list(driver.ex_iterate_multipart_uploads(container))
    assert all(type(each) is S3MultipartUpload for each in found)
    assert [(each.key, each.id) for each in found] == [
        ("my-divisor", "id-1"),
        ("my-movie.m2ts", "id-2"),
        ("my-movie.m2ts", "id-3"),
    ]
    first = found[0]
    assert first.created_at == "2026-11-10T20:48:33.000Z"
    assert (first.initiator, first.owner) == ("some-user", "owner-name")
    assert mock.requests[1].query["key-marker"] == "my-movie.m2ts"
    assert mock.requests[1].query["upload-id-marker"] == "id-2"
    for sent in mock.requests:
        verified(sent)


def test_prefix_and_delimiter_are_sent(driver: Any, container: Container, mock: Mock) -> None:
    list(driver.ex_iterate_multipart_uploads(container, prefix="my", delimiter="/"))
    assert mock.requests[0].query["prefix"] == "my"
    assert mock.requests[0].query["delimiter"] == "/"
    assert mock.requests[0].path == "/bucket"


def test_no_uploads_under_way(driver: Any, container: Container, mock: Mock) -> None:
    mock.type = "EMPTY"
    assert list(driver.ex_iterate_multipart_uploads(container)) == []


def test_a_listing_of_uploads_whose_page_leads_nowhere_ends(
    driver: Any, container: Container, mock: Mock
) -> None:
    """Swift with max-uploads=1: truncated, with empty markers, for ever."""
    mock.type = "STUCK"
    assert len(list(driver.ex_iterate_multipart_uploads(container))) == 1


def test_an_upload_without_owner_and_initiator(
    driver: Any, container: Container, mock: Mock
) -> None:
    mock.type = "NO_OWNER"
    (found,) = driver.ex_iterate_multipart_uploads(container)
    assert (found.key, found.initiator, found.owner) == ("my-divisor", None, None)


def test_cleaning_up_aborts_every_upload(driver: Any, container: Container, mock: Mock) -> None:
    driver.ex_cleanup_all_multipart_uploads(container)
    aborted = [
        (sent.path, sent.query["uploadId"]) for sent in mock.requests if sent.method == "DELETE"
    ]
    assert aborted == [
        ("/bucket/my-divisor", "id-1"),
        ("/bucket/my-movie.m2ts", "id-2"),
        ("/bucket/my-movie.m2ts", "id-3"),
    ]


def test_cleaning_up_by_prefix(driver: Any, container: Container, mock: Mock) -> None:
    driver.ex_cleanup_all_multipart_uploads(container, prefix="my")
    assert all(s.query["prefix"] == "my" for s in mock.requests if s.method == "GET")


def test_cleaning_up_goes_on_where_an_upload_is_gone_already(
    driver: Any, container: Container, mock: Mock
) -> None:
    mock.fails = {"AbortMultipartUpload": [refused("no_such_upload", 404)]}
    driver.ex_cleanup_all_multipart_uploads(container)
    assert mock.verbs().count("AbortMultipartUpload") == 3


def test_cleaning_up_a_bucket_that_is_not_there(
    driver: Any, container: Container, mock: Mock
) -> None:
    mock.fails = {"ListMultipartUploads": [refused("no_such_bucket", 404)]}
    with pytest.raises(LibcloudError, match="404"):
        driver.ex_cleanup_all_multipart_uploads(container)


def test_the_transport_is_plain_on_a_replaced_connection_class(driver: Any) -> None:
    assert driver.ex_transport == "plain"
