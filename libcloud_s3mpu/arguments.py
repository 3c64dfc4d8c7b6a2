# SPDX-License-Identifier: Apache-2.0
"""libcloud's arguments into values, and results into libcloud's :class:`Object`.

The translator at the door: nothing is sent here and nothing of the caller's is changed. The driver
calls it; the rules for headers and keys themselves are in :mod:`libcloud_s3mpu.protocol`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any
from contextlib import contextmanager
from collections.abc import Mapping, Iterator

import libcloud.utils.files
from libcloud.storage.base import Object, Container
from libcloud.storage.drivers.s3 import REGION_TO_HOST_MAP

from .protocol import wire
from .protocol import headers as header_rules
from .protocol.errors import S3MultipartError, InvalidRequestError, ChecksumMismatchError
from .protocol.limits import Limits
from .protocol.options import UploadOptions
from .protocol.endpoint import aws_host, check_key, is_region, check_bucket

if TYPE_CHECKING:
    from .transfer.upload import UploadResult


@contextmanager
def naming(driver: Any) -> Iterator[None]:
    """Put the driver on our errors, as libcloud's have it."""
    try:
        yield
    except S3MultipartError as error:
        error.driver = driver
        raise


def host_of(region: str) -> str:
    """Give the host of an AWS region: upstream's where it knows one.

    :raises ValueError: in upstream's words, if it is no region.
    """
    known = REGION_TO_HOST_MAP.get(region)
    if known is not None:
        return str(known)
    if not is_region(region):
        raise ValueError(f"Invalid or unsupported region: {region}")
    return aws_host(region)


def place_of(container: Container, object_name: str, limits: Limits) -> wire.Target:
    """Give an object's place, without headers.

    :raises InvalidRequestError: (a ValueError) if either name cannot be.
    """
    check_bucket(container.name)
    check_key(object_name, container=container.name, max_bytes=limits.max_key_bytes)
    return wire.Target(bucket=container.name, key=object_name, headers={})


def readable_place(
    container: Container, object_name: str, headers: Mapping[str, Any] | None = None
) -> wire.Target:
    """Give an object's place; any key is taken that others may have written, unlike for uploads.

    :param headers: what the caller has every request of a read say (an SSE-C key).
    :raises InvalidRequestError: (a ValueError) if it cannot be the name of an object at all, or a
        header is none for a read.
    """
    check_bucket(container.name)
    if not isinstance(object_name, str) or not object_name:
        raise InvalidRequestError(f"{object_name!r} is not the name of an object")
    try:
        object_name.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InvalidRequestError(f"object name {object_name!r} is not Unicode text") from error
    checked = header_rules.checked_read_headers(headers)
    return wire.Target(bucket=container.name, key=object_name, headers=checked)


def target_of(
    driver: Any,
    container: Container,
    object_name: str,
    *,
    extra: Mapping[str, Any] | None,
    headers: Mapping[str, Any] | None,
    storage_class: str | None,
    options: UploadOptions,
) -> wire.Target:
    """Give an object's place and the headers that ``extra``, ``headers`` and options ask for.

    ``extra`` wins over ``headers``, and ``headers`` over what would be guessed.

    :raises ValueError: for a storage class, key or header that cannot be.
    """
    extra = extra or {}
    vendor = driver.http_vendor_prefix
    storage = header_rules.checked_headers(driver._to_storage_class_headers(storage_class))
    merged = header_rules.checked_headers(headers)
    is_named = storage_class is not None or driver.ex_limits.has_standard_class
    if is_named and (storage_class is not None or f"{vendor}-storage-class" not in merged):
        merged.update(storage)
    content_type = extra.get("content_type")
    if content_type is not None or "content-type" not in merged:
        merged["content-type"] = header_rules.checked_value(
            "Content-Type", driver._determine_content_type(content_type, object_name)
        )
    merged.update(header_rules.metadata_headers(extra.get("meta_data"), prefix=vendor))
    if extra.get("acl"):
        merged[f"{vendor}-acl"] = header_rules.checked_value("acl", extra["acl"])
    if options.if_none_match is not None:
        merged["if-none-match"] = options.if_none_match
    if options.if_match is not None:
        etag = wire.unquoted(options.if_match)
        if etag is None:
            raise InvalidRequestError(f"if_match must be an ETag, not {options.if_match!r}")
        merged["if-match"] = header_rules.checked_value("if_match", f'"{etag}"')
    _check_conditions(driver, merged)
    place = place_of(container, object_name, driver.ex_limits)
    return wire.Target(bucket=place.bucket, key=place.key, headers=merged)


def typed_by_path(
    extra: Mapping[str, Any] | None, headers: Mapping[str, Any] | None, path: Any
) -> dict[str, Any]:
    """Give ``extra`` with the content type of a file's own name, as upstream guesses it.

    Where that says nothing, or the caller has said it, it stays: the object's name is next.
    """
    given = dict(extra or {})
    is_said = given.get("content_type") or "content-type" in {str(n).lower() for n in headers or ()}
    if not is_said:
        guessed, _ = libcloud.utils.files.guess_file_mime_type(os.fsdecode(path))
        if guessed is not None:
            given["content_type"] = guessed
    return given


def _check_conditions(driver: Any, headers: Mapping[str, str]) -> None:
    """Refuse a condition that the service may ignore: the write would happen all the same.

    :raises InvalidRequestError: with the page that says so.
    """
    limits = driver.ex_limits
    for name in sorted(header_rules.CONDITIONS & headers.keys() - limits.conditions):
        raise InvalidRequestError(
            f"{name} is not known to be honoured by {driver.name} on every upload "
            f"({limits.source}); the object could be replaced all the same"
        )


def object_of(
    driver: Any,
    result: UploadResult,
    container: Container,
    object_name: str,
    extra: Mapping[str, Any] | None,
) -> Object:
    """Give libcloud's object for what was confirmed."""
    extra = extra or {}
    return Object(
        name=object_name,
        size=result.size,
        hash=result.etag,
        extra={
            "acl": extra.get("acl"),
            "etag": result.etag,
            "upload_id": result.upload_id,
            "parts": result.parts,
            "part_size_bytes": result.part_size_bytes,
            "checksum": result.checksum,
            "version_id": result.version_id,
            "seconds": result.seconds,
            "orphan_suspects": list(result.orphan_suspects),
        },
        meta_data=extra.get("meta_data") or {},
        container=container,
        driver=driver,
    )


def result_of_put(
    driver: Any, target: wire.Target, sent: Mapping[str, Any], *, verify_hash: bool
) -> UploadResult:
    """Judge what ``_upload_object`` gave, which others may have replaced.

    :param sent: ``response`` (``status``, ``headers``), ``bytes_transferred``, ``data_hash``.
    :raises ChecksumMismatchError: if the ETag is an MD5 and not that of the file.
    """
    from .transfer.upload import UploadResult

    response = sent["response"]
    where = {"container": target.bucket, "object_name": target.key, "driver": driver}
    if int(response.status) not in (200, 201):
        raise S3MultipartError(
            f"PutObject failed for {target.bucket}/{target.key}: HTTP {response.status}",
            http_status=int(response.status),
            **where,
        )
    headers = {name.lower(): value for name, value in response.headers.items()}
    etag = (headers.get("etag") or "").replace('"', "")
    is_comparable = driver.ex_limits.has_md5_etags and not header_rules.is_opaque_etag(headers)
    if verify_hash and is_comparable and etag != sent["data_hash"]:
        raise ChecksumMismatchError(
            f"PutObject of {target.bucket}/{target.key}: the MD5 of the file is "
            f"{sent['data_hash']}, the service answered ETag {etag}",
            **where,
        )
    return UploadResult(
        size=sent["bytes_transferred"],
        etag=etag,
        upload_id=None,
        parts=1,
        part_size_bytes=sent["bytes_transferred"],
        checksum=None,
        version_id=headers.get("x-amz-version-id"),
        seconds=0.0,
    )
