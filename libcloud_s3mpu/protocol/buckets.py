# SPDX-License-Identifier: Apache-2.0
"""The verbs on buckets, and the one that deletes an object, as pairs: a request, and its reader.

What they mean in libcloud's words (containers, its errors) is
:mod:`libcloud_s3mpu.containers`'; listings of objects are :mod:`.keylist`'s.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from . import xml
from .wire import SMALL_ANSWER, Target
from .errors import ObjectMissingError
from .messages import (
    Bytes,
    S3Request,
    S3Response,
    malformed,
    context_of,
    parse_body,
    service_error,
    raise_for_status,
)


class ListedBucket(NamedTuple):
    """A bucket in a listing; ``created`` as the service writes it."""

    name: str
    created: str | None


def list_buckets_request() -> S3Request:
    """Make the ``GET`` of the service itself."""
    return S3Request(operation="ListBuckets", method="GET", bucket="")


def list_buckets_result(request: S3Request, response: S3Response) -> list[ListedBucket]:
    """Read the buckets; a bucket without a name is no answer."""
    raise_for_status(request, response, 200)
    root = parse_body(request, response, root="ListAllMyBucketsResult")
    found = []
    for held in xml.children(root, "Buckets"):
        for bucket in xml.children(held, "Bucket"):
            name = xml.text_of(bucket, "Name")
            if not name:
                raise malformed(request, response, "a bucket in it has no Name")
            found.append(ListedBucket(name, xml.text_of(bucket, "CreationDate")))
    return found


def head_bucket_request(bucket: str) -> S3Request:
    """Make the ``HEAD`` of a bucket; any good status says that it is there."""
    return S3Request(operation="HeadBucket", method="HEAD", bucket=bucket)


def create_bucket_request(bucket: str, *, location: str) -> S3Request:
    """Make the ``PUT`` of a bucket.

    :param location: the region that it is to be in; empty for the service's own choice.
    """
    if not location:
        return S3Request(operation="CreateBucket", method="PUT", bucket=bucket)
    text = xml.build_flat("CreateBucketConfiguration", [("LocationConstraint", location)])
    return S3Request(
        operation="CreateBucket",
        method="PUT",
        bucket=bucket,
        headers={"content-type": "application/xml"},
        body=Bytes(text),
        payload_sha256=hashlib.sha256(text).hexdigest(),
        answer_limit=SMALL_ANSWER,
    )


def delete_bucket_request(bucket: str) -> S3Request:
    """Make the ``DELETE`` of an empty bucket."""
    return S3Request(operation="DeleteBucket", method="DELETE", bucket=bucket)


def delete_object_request(target: Target) -> S3Request:
    """Make the ``DELETE`` of an object."""
    return S3Request(
        operation="DeleteObject",
        method="DELETE",
        bucket=target.bucket,
        key=target.key,
        answer_limit=SMALL_ANSWER,
    )


def delete_object_result(request: S3Request, response: S3Response) -> None:
    """Read the answer to a delete.

    :raises ObjectMissingError: for any 404, as upstream's driver has it. S3 itself answers 204 for
        an object that is not there.
    """
    if response.status == 404:
        error = service_error(request, response)
        raise ObjectMissingError(
            error.value,
            http_status=404,
            s3_code=error.s3_code,
            request_id=error.request_id,
            **context_of(request),
        )
    raise_for_status(request, response, 200, 202, 204)
