# SPDX-License-Identifier: Apache-2.0
"""Objects looked up and listed: as upstream has them, in fewer requests and with every key."""

from __future__ import annotations

from typing import Any
from dataclasses import replace
from collections.abc import Iterator

import pytest
from libcloud.storage.types import ObjectDoesNotExistError, ContainerDoesNotExistError
from libcloud.storage.drivers.s3 import S3StorageDriver

from tests.fake_s3 import Quirks, FakeLimits, faults
from tests.unit.small import LIMITS, Service, service, make_plain
from libcloud_s3mpu.protocol.errors import (
    AccessDeniedError,
    ObjectMissingError,
    MalformedAnswerError,
)
from libcloud_s3mpu.protocol.limits import Limits

ROADS = ["lean", "plain"]
NAMES = sorted(
    ["a", "a b", "a+b", "a%20b", "a&b<c>", "b/1", "b/2", "é", "\r\n", "\t", "\x01", "/lead", "//"],
    key=str.encode,
)
PAGES = FakeLimits(min_part_size=5, max_page=3)


@pytest.fixture(params=ROADS)
def running(request: pytest.FixtureRequest) -> Iterator[Service]:
    with service(limits=PAGES) as made:
        if request.param == "plain":
            make_plain(made.driver)
        yield made


def fill(running: Service) -> None:
    running.upload(b"abc", key="a")
    objects = running.fake.objects["bucket"]
    for name in NAMES:  # Some of them only other clients write.
        objects[name] = replace(objects["a"], key=name)
    running.fake.requests.clear()


def names(running: Service, **kwargs: Any) -> list[str]:
    return [
        obj.name for obj in running.driver.iterate_container_objects(running.container, **kwargs)
    ]


# -- one object ----------------------------------------------------------------------------------


def test_looking_up_an_object_is_one_request(running: Service) -> None:
    running.upload(b"abc")
    running.fake.requests.clear()
    obj = running.driver.get_object("bucket", "key")
    assert running.operations() == ["HeadObject"]
    assert (obj.name, obj.size, obj.container.name) == ("key", 3, "bucket")
    assert obj.hash == running.fake.objects["bucket"]["key"].etag
    assert obj.extra["last_modified"] and obj.extra["etag"] == f'"{obj.hash}"'


def test_what_is_missing_is_told_apart(running: Service) -> None:
    with pytest.raises(ObjectDoesNotExistError) as caught:
        running.driver.get_object("bucket", "none")
    error = caught.value
    assert isinstance(error, ObjectMissingError) and not error.retryable
    assert (error.http_status, error.container, error.object_name) == (404, "bucket", "none")
    with pytest.raises(ContainerDoesNotExistError):
        running.driver.get_object("no-such-bucket", "key")


def test_looking_up_is_retried_but_not_when_it_is_denied(running: Service) -> None:
    running.upload(b"abc")
    running.fake.script("HeadObject", faults.error("SlowDown"), faults.close())
    assert running.driver.get_object("bucket", "key").size == 3
    running.fake.script("HeadObject", faults.error("AccessDenied"))
    with pytest.raises(AccessDeniedError, match="403"):
        running.driver.get_object("bucket", "key")


@pytest.mark.parametrize("name", NAMES)
def test_every_key_is_looked_up_and_read(name: str, running: Service) -> None:
    fill(running)
    obj = running.driver.get_object("bucket", name)
    assert obj.name == name
    assert b"".join(running.driver.download_object_as_stream(obj)) == b"abc"


@pytest.mark.parametrize("name", ["", "\ud800", None])
def test_what_is_no_key_is_refused(name: Any, running: Service) -> None:
    with pytest.raises(ValueError, match="name"):
        running.driver.get_object("bucket", name)
    assert running.fake.requests == []


# -- listings ------------------------------------------------------------------------------------


def test_every_key_is_listed_page_by_page(running: Service) -> None:
    fill(running)
    assert names(running) == NAMES
    pages = running.fake.requests_of("ListObjectsV2")
    assert len(pages) == -(-len(NAMES) // 3)


def test_a_listing_begins_with_its_first_page_alone(running: Service) -> None:
    fill(running)
    listing = running.driver.iterate_container_objects(running.container)
    assert running.fake.requests == []
    next(listing)
    assert len(running.fake.requests) == 1


@pytest.mark.filterwarnings("ignore:The ``ex_prefix`` argument")
@pytest.mark.parametrize("argument", ["prefix", "ex_prefix"])
def test_a_prefix_is_the_services_to_filter_by(argument: str, running: Service) -> None:
    fill(running)
    assert names(running, **{argument: "a"}) == [n for n in NAMES if n.startswith("a")]
    assert names(running, **{argument: "a+"}) == ["a+b"]
    assert names(running, prefix="none") == []


def test_the_first_version_is_asked_for_where_the_limits_say_so(running: Service) -> None:
    fill(running)
    running.driver.ex_limits = Limits(5, 50, 20, 100, has_list_v2=False)  # type: ignore[misc]
    assert names(running) == NAMES
    assert set(running.operations()) == {"ListObjects"}


@pytest.mark.parametrize("road", ROADS)
def test_a_service_that_answers_in_the_first_version_is_understood(road: str) -> None:
    with service(limits=PAGES, quirks=Quirks(lists_v2=False)) as running:
        if road == "plain":
            make_plain(running.driver)
        fill(running)
        assert names(running) == NAMES


def test_the_fields_are_upstreams() -> None:
    with service() as running:
        running.upload(b"abc", key="one")
        running.upload(b"abcdefgh", key="two")
        ours = running.container.list_objects()
        theirs = list(S3StorageDriver.iterate_container_objects(running.driver, running.container))
    assert len(ours) == len(theirs) == 2
    for mine, other in zip(ours, theirs, strict=True):
        for field in ("name", "size", "hash", "extra", "meta_data", "container", "driver"):
            assert getattr(mine, field) == getattr(other, field)


def test_a_listing_is_retried_page_by_page(running: Service) -> None:
    fill(running)
    cut = faults.close(after_bytes=-9, applied=True)
    running.fake.script("ListObjectsV2", faults.pass_through(), faults.error("SlowDown"), cut)
    assert names(running) == NAMES


def page(text: str) -> faults.Fault:
    body = f"<ListBucketResult>{text}</ListBucketResult>".encode()
    return faults.answer(200, headers={"Content-Type": "application/xml"}, body=body)


ROW = "<Contents><Key>a</Key><Size>1</Size></Contents>"
ENDLESS = f"<IsTruncated>true</IsTruncated><NextContinuationToken>x</NextContinuationToken>{ROW}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<IsTruncated>true</IsTruncated>", "but not after which"),
        ("<Contents><Key>a</Key></Contents>", "lacks its Key or Size"),
        ("<Contents><Key>a</Key><Size>x</Size></Contents>", "lacks its Key or Size"),
        (ENDLESS, "leads to itself"),
    ],
)
def test_a_listing_that_cannot_be_whole_is_an_error(text: str, said: str, running: Service) -> None:
    running.fake.script("ListObjectsV2", page(text), forever=True)
    with pytest.raises(MalformedAnswerError, match=said):
        names(running)


def test_rows_without_namespace_owner_and_etag_are_read(running: Service) -> None:
    running.fake.script("ListObjectsV2", page(ROW))
    (obj,) = running.container.list_objects()
    assert (obj.name, obj.size, obj.hash) == ("a", 1, None)
    assert obj.meta_data == {"owner": {"id": None, "display_name": None}}


def test_half_an_owner_is_read_as_upstream_reads_it(running: Service) -> None:
    row = ROW.replace("<Size>", "<Owner><ID>o</ID><DisplayName/></Owner><Size>")
    running.fake.script("ListObjectsV2", page(row + ROW.replace("<Size>", "<Owner/><Size>")))
    first, second = running.container.list_objects()
    assert first.meta_data == {"owner": {"id": "o", "display_name": ""}}
    assert second.meta_data == {"owner": {"id": None, "display_name": None}}


def test_a_missing_container_is_named(running: Service) -> None:
    running.container.name = "no-such-bucket"
    with pytest.raises(ContainerDoesNotExistError):
        running.container.list_objects()


def test_the_small_limits_know_the_second_version() -> None:
    assert LIMITS.has_list_v2
