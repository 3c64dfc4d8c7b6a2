# SPDX-License-Identifier: Apache-2.0
"""The listing of uploads under way: any number, any name, any service's way of saying it."""

from __future__ import annotations

from urllib.parse import quote
from collections.abc import Iterator

import pytest

from tests.fake_s3 import Quirks, FakeLimits, faults
from tests.unit.small import FAKE_LIMITS, Service, service
from tests.fake_s3.caller import Caller
from libcloud_s3mpu.protocol.errors import MalformedAnswerError, ContainerMissingError
from libcloud_s3mpu.protocol.listing import list_uploads_result, list_uploads_request
from libcloud_s3mpu.protocol.messages import S3Response

REQUEST = list_uploads_request("bucket")


def answer(inside: str) -> S3Response:
    body = f"<ListMultipartUploadsResult>{inside}</ListMultipartUploadsResult>".encode()
    return S3Response(status=200, headers={}, body=body)


def upload(key: str = "k", upload_id: str = "u", more: str = "") -> str:
    return f"<Upload><Key>{key}</Key><UploadId>{upload_id}</UploadId>{more}</Upload>"


def test_a_page_is_asked_for_by_prefix_delimiter_and_marker() -> None:
    plain = dict(REQUEST.query)
    assert (plain["uploads"], plain["max-uploads"]) == ("", "1000")
    assert not {"prefix", "delimiter", "key-marker", "upload-id-marker"} & plain.keys()
    query = dict(list_uploads_request("b", prefix="p", delimiter="/", marker=("k", "u")).query)
    assert (query["prefix"], query["delimiter"]) == ("p", "/")
    assert (query["key-marker"], query["upload-id-marker"]) == ("k", "u")


def test_owner_and_initiator_may_be_missing_or_have_an_id_alone() -> None:
    who = "<Owner><ID>o</ID></Owner><Initiator><ID>i</ID><DisplayName>n</DisplayName></Initiator>"
    page = list_uploads_result(REQUEST, answer(upload(more=who + "<Initiated>t</Initiated>")))
    (found,) = page.uploads
    assert (found.owner, found.initiator, found.initiated) == ("o", "n", "t")
    (bare,) = list_uploads_result(REQUEST, answer(upload())).uploads
    assert (bare.key, bare.upload_id, bare.owner, bare.initiated) == ("k", "u", None, None)


@pytest.mark.parametrize("inside", [upload(key=""), upload(upload_id=""), "<Upload/>"])
def test_an_upload_without_key_or_id_is_a_malformed_answer(inside: str) -> None:
    with pytest.raises(MalformedAnswerError, match="lacks its Key or UploadId"):
        list_uploads_result(REQUEST, answer(inside))


@pytest.mark.parametrize(
    ("tail", "marker"),
    [
        ("<IsTruncated>true</IsTruncated><NextKeyMarker>k</NextKeyMarker>"
         "<NextUploadIdMarker>u</NextUploadIdMarker>", ("k", "u")),
        ("<IsTruncated>true</IsTruncated><NextKeyMarker>k</NextKeyMarker>", ("k", "")),
        ("<IsTruncated>true</IsTruncated><NextKeyMarker/><NextUploadIdMarker/>", None),
        ("<IsTruncated>false</IsTruncated><NextKeyMarker>k</NextKeyMarker>", None),
        ("", None),
    ],
)  # fmt: skip
def test_a_page_is_followed_only_where_it_leads_somewhere(
    tail: str, marker: tuple[str, str] | None
) -> None:
    assert list_uploads_result(REQUEST, answer(upload() + tail)).next_marker == marker


# -- through the driver ----------------------------------------------------------------------------


@pytest.fixture
def running() -> Iterator[Service]:
    limits = FakeLimits(min_part_size=5, max_part_size=50, max_parts=20, max_page=3)
    with service(limits=limits, anonymous=True) as it:
        yield it


def begin(it: Service, key: str) -> str:
    """Initiate an upload as somebody else would."""
    assert Caller(it.fake)("POST", f"/bucket/{quote(key, safe='')}?uploads").status == 200
    return list(it.fake.uploads)[-1]


@pytest.mark.parametrize("count", [0, 1, 3, 4, 10])
def test_every_upload_is_listed_once_over_all_pages(count: int, running: Service) -> None:
    ids = {begin(running, f"key {number % 4}") for number in range(count)}
    found = list(running.driver.ex_iterate_multipart_uploads(running.container))
    assert len(found) == len(ids)
    assert {upload.id for upload in found} == ids


def test_only_those_of_a_prefix_are_listed(running: Service) -> None:
    for key in ("a/1", "a/2", "b"):
        begin(running, key)
    found = running.driver.ex_iterate_multipart_uploads(running.container, prefix="a/")
    assert [upload.key for upload in found] == ["a/1", "a/2"]


@pytest.mark.parametrize(
    "key", ["a b", "a+b", "a%2Bb", "ü", "a&<>", "🦊", "//", "tab\tkey", "line\nend", "bell\x07"]
)
def test_an_upload_of_any_name_is_listed_under_exactly_its_name(key: str, running: Service) -> None:
    begin(running, key)
    for _ in range(3):
        begin(running, key)  # More than a page: the name is a marker too.
    found = list(running.driver.ex_iterate_multipart_uploads(running.container))
    assert [upload.key for upload in found] == [key] * 4


def test_all_of_them_can_be_cleaned_up(running: Service) -> None:
    for number in range(7):
        begin(running, f"key/{number}")
    running.driver.ex_cleanup_all_multipart_uploads(running.container)
    assert running.fake.uploads == {}


def test_a_service_whose_markers_are_empty_ends_the_listing() -> None:
    quirks = Quirks(list_uploads_markers=False, namespace=False)
    with service(limits=FAKE_LIMITS, anonymous=True, quirks=quirks) as it:
        begin(it, "key")
        assert len(list(it.driver.ex_iterate_multipart_uploads(it.container))) == 1


def test_a_listing_is_tried_again_and_tells_a_missing_container(running: Service) -> None:
    begin(running, "key")
    running.fake.script("ListMultipartUploads", faults.error("SlowDown"), faults.html(502))
    assert len(list(running.driver.ex_iterate_multipart_uploads(running.container))) == 1
    missing = type(running.container)("missing", {}, running.driver)
    with pytest.raises(ContainerMissingError) as caught:
        list(running.driver.ex_iterate_multipart_uploads(missing))
    assert caught.value.driver is running.driver
