# SPDX-License-Identifier: Apache-2.0
"""Containers and deletes by libcloud's names: its errors, and none of its driver's defects."""

from __future__ import annotations

from typing import Any
from collections.abc import Iterator

import pytest
from libcloud.storage.base import Object, Container
from libcloud.storage.types import (
    ObjectDoesNotExistError,
    ContainerIsNotEmptyError,
    InvalidContainerNameError,
    ContainerDoesNotExistError,
    ContainerAlreadyExistsError,
)

from tests.fake_s3 import faults
from tests.unit.small import Service, whole, chunks, service
from libcloud_s3mpu.protocol import buckets
from libcloud_s3mpu.protocol.errors import (
    ObjectMissingError,
    MalformedAnswerError,
    RetriesExhaustedError,
)
from libcloud_s3mpu.protocol.messages import S3Response

SLOW = faults.error("SlowDown")


@pytest.fixture
def s3() -> Iterator[Service]:
    with service() as running:
        yield running


def held(s3: Service, key: str = "key") -> Object:
    return Object(key, 0, "", {}, {}, s3.container, s3.driver)


def test_containers_are_listed_after_a_failure_in_passing(s3: Service) -> None:
    s3.fake.script("ListBuckets", SLOW)
    (found,) = s3.driver.iterate_containers()
    assert (found.name, found.driver) == ("bucket", s3.driver)
    assert found.extra["creation_date"]
    assert [it.name for it in s3.driver.list_containers()] == ["bucket"]


@pytest.mark.parametrize("space", ["", ' xmlns="http://doc.s3.amazonaws.com/2006-03-01"'])
def test_a_listing_of_containers_needs_no_namespace(space: str) -> None:
    body = (
        f"<ListAllMyBucketsResult{space}><Buckets><Bucket><Name>a</Name></Bucket></Buckets>"
        "</ListAllMyBucketsResult>"
    )
    request = buckets.list_buckets_request()
    answer = S3Response(status=200, headers={}, body=body.encode())
    assert buckets.list_buckets_result(request, answer) == [("a", None)]
    for bad in (b"<html/>", b"", body.replace("a</Name>", "</Name>").encode()):
        with pytest.raises(MalformedAnswerError):
            buckets.list_buckets_result(request, S3Response(status=200, headers={}, body=bad))


def test_a_container_is_found_or_not(s3: Service) -> None:
    s3.fake.script("HeadBucket", SLOW)
    assert s3.driver.get_container("bucket").name == "bucket"
    with pytest.raises(ContainerDoesNotExistError) as caught:
        s3.driver.get_container("missing")
    assert caught.value.container_name == "missing"  # type: ignore[attr-defined]
    s3.fake.script("HeadBucket", faults.answer(403))
    assert s3.driver.get_container("bucket").name == "bucket"
    s3.fake.script("HeadBucket", faults.answer(400))
    with pytest.raises(Exception, match="HTTP 400"):
        s3.driver.get_container("bucket")


def test_a_container_is_made_and_deleted(s3: Service) -> None:
    s3.fake.script("CreateBucket", SLOW)
    s3.fake.script("DeleteBucket", SLOW)
    made = s3.driver.create_container("another")
    assert "another" in s3.fake.objects
    assert s3.driver.delete_container(made) is True
    assert "another" not in s3.fake.objects
    with pytest.raises(ContainerDoesNotExistError):
        s3.driver.delete_container(made)


def test_a_container_is_made_in_the_drivers_region() -> None:
    request = buckets.create_bucket_request("bucket", location="eu-west-1")
    assert request.body is not None
    text = b"".join(request.body.buffers())
    assert b"<LocationConstraint>eu-west-1</LocationConstraint>" in text
    assert buckets.create_bucket_request("bucket", location="").body is None


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("BucketAlreadyOwnedByYou", ContainerAlreadyExistsError),
        ("BucketAlreadyExists", InvalidContainerNameError),
    ],
)
def test_a_container_that_is_there_already(s3: Service, code: str, kind: Any) -> None:
    s3.fake.script("CreateBucket", faults.answer(409, code, "It is there."))
    with pytest.raises(kind, match=code):
        s3.driver.create_container("another")


def test_a_container_with_objects_is_not_deleted(s3: Service) -> None:
    s3.upload(b"x")
    with pytest.raises(ContainerIsNotEmptyError, match="BucketNotEmpty"):
        s3.driver.delete_container(s3.container)
    assert s3.keys == ["key"]


@pytest.mark.parametrize(
    "key", ["key", "/lead", "a//b", "a/../b", "../bucket/x", "100% +&=?#", "日本"]
)
def test_the_object_of_exactly_this_name_is_deleted(s3: Service, key: str) -> None:
    others = ["b", "a/b", "lead", "x"]
    for name in [*others, key]:
        s3.upload(b"x", name)
    s3.fake.script("DeleteObject", SLOW)
    assert s3.driver.delete_object(held(s3, key)) is True
    assert s3.keys == sorted(others)


def test_a_service_that_says_that_there_is_no_such_object(s3: Service) -> None:
    s3.fake.script("DeleteObject", faults.error("NoSuchKey"))
    with pytest.raises(ObjectDoesNotExistError) as caught:
        s3.driver.delete_object(held(s3))
    assert isinstance(caught.value, ObjectMissingError)


LOST = faults.error("InternalError", applied=True)


def test_what_an_attempt_did_whose_answer_was_lost_is_a_success(s3: Service) -> None:
    s3.upload(b"x")
    s3.fake.script("DeleteObject", LOST, faults.error("NoSuchKey"))
    assert s3.driver.delete_object(held(s3)) is True
    s3.fake.script("CreateBucket", LOST, faults.answer(409, "BucketAlreadyOwnedByYou", "Yours."))
    made = s3.driver.create_container("another")
    s3.fake.script("DeleteBucket", LOST)
    assert s3.driver.delete_container(made) is True


def test_a_service_that_stays_away_is_named(s3: Service) -> None:
    s3.fake.script("DeleteObject", faults.error("InternalError"), forever=True)
    with pytest.raises(RetriesExhaustedError, match="InternalError"):
        s3.driver.delete_object(held(s3))


# -- upstream's verbs of an upload in parts -------------------------------------------------------


def by_hand(s3: Service, source: Any, **options: Any) -> tuple[Any, str]:
    upload_id = s3.driver._initiate_multipart(s3.container, "key", headers={"x-amz-acl": "private"})
    uploaded = s3.driver._upload_multipart_chunks(s3.container, "key", upload_id, source, **options)
    return uploaded, s3.driver._commit_multipart(s3.container, "key", upload_id, uploaded[0])


@pytest.mark.parametrize("source", [[b"ABC", b"", b"DEFGH"], [b""], []])
def test_an_empty_chunk_is_not_the_end_by_hand_either(s3: Service, source: list[bytes]) -> None:
    (pairs, digest, size), etag = by_hand(s3, iter(source))
    data = b"".join(source)
    assert (size, s3.stored()) == (len(data), data)
    assert len(pairs) == max(1, -(-len(data) // 5)) and len(digest) == 32
    assert etag == s3.fake.objects["bucket"]["key"].etag.strip('"')


def test_each_verb_by_hand_is_tried_again(s3: Service) -> None:
    for operation in ("InitiateMultipartUpload", "UploadPart", "CompleteMultipartUpload"):
        s3.fake.script(operation, faults.error("InternalError"))
    uploaded, _ = by_hand(s3, chunks(3), calculate_hash=False)
    assert (uploaded[1], s3.stored()) == (None, whole(3))


def test_a_lost_answer_to_complete_by_hand_is_cleared_up(s3: Service) -> None:
    s3.fake.script("CompleteMultipartUpload", faults.error("InternalError", applied=True))
    _, etag = by_hand(s3, chunks(3))
    assert (etag.endswith("-3"), s3.stored()) == (True, whole(3))


def test_an_error_in_the_200_of_complete_by_hand_is_named(s3: Service) -> None:
    s3.fake.script("CompleteMultipartUpload", faults.error_in_200(), forever=True)
    with pytest.raises(RetriesExhaustedError, match="InternalError"):
        by_hand(s3, chunks(3))
    assert s3.keys == []


def test_a_container_object_has_its_methods(s3: Service) -> None:
    made = Container("third", {}, s3.driver)
    s3.driver.create_container("third")
    found = made.upload_object_via_stream(iter([b"x"]), "key")
    assert made.delete_object(found) and made.delete()
