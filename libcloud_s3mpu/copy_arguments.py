# SPDX-License-Identifier: Apache-2.0
"""The arguments of copies into values, and results into libcloud's :class:`Object`.

Which of the caller's headers are the source's and which the new object's, and what that keeps of
its source. :mod:`.copying` calls it; nothing is sent here.
"""

from __future__ import annotations

from typing import Any
from dataclasses import replace
from collections.abc import Mapping

from libcloud.storage.base import Object, Container

from .protocol import wire
from .protocol import headers as header_rules
from .arguments import object_of, target_of
from .protocol.errors import InvalidRequestError
from .transfer.upload import UploadResult
from .protocol.copying import SOURCE_KEY, FoundSource
from .protocol.options import UploadOptions
from .protocol.endpoint import Endpoint

#: Of the caller's headers, those that are about the source and go on no other request.
_ABOUT_SOURCE = (*SOURCE_KEY, "x-amz-source-expected-bucket-owner")
_METADATA = "x-amz-meta-"


def checked_given(headers: Mapping[str, Any] | None) -> dict[str, str]:
    """Give the caller's headers, checked.

    :raises InvalidRequestError: for a bad one, or one that is the driver's.
    """
    given = header_rules.checked_headers(headers)
    for name in given:
        if name.startswith("x-amz-copy-source") and name not in SOURCE_KEY:
            raise InvalidRequestError(f"header {name} is set by the driver, not by the caller")
    return given


def checked_metadata(metadata: Mapping[str, Any] | None) -> dict[str, str] | None:
    """Give metadata as headers; None stays None."""
    if metadata is None:
        return None
    return header_rules.metadata_headers(metadata, prefix="x-amz")


def for_target(given: Mapping[str, str]) -> dict[str, str]:
    """Give those headers that are about the new object."""
    return {name: value for name, value in given.items() if name not in _ABOUT_SOURCE}


def partition_of(endpoint: Endpoint) -> tuple[str, ...]:
    """Give what all endpoints have in common that copy from one another: AWS's regions do."""
    host = endpoint.host
    if host.endswith(".amazonaws.com"):
        return ("aws-us-gov" if ".us-gov-" in host else "aws",)
    if host.endswith(".amazonaws.com.cn"):
        return ("aws-cn",)
    return (host, str(endpoint.port), endpoint.base_path)


def copy_target(
    driver: Any,
    container: Container,
    object_name: str,
    found: FoundSource,
    metadata: Mapping[str, str] | None,
    given: Mapping[str, str],
    storage_class: str | None,
    options: UploadOptions,
) -> wire.Target:
    """Give the target with what it keeps of the source and what the caller replaces."""
    kept = dict(found.headers)
    if metadata is not None:
        kept = {name: value for name, value in kept.items() if not name.startswith(_METADATA)}
        kept.update(metadata)
    merged = {**kept, **for_target(given)}
    target = target_of(
        driver,
        container,
        object_name,
        extra={"content_type": merged.pop("content-type", "binary/octet-stream")},
        headers={name: value for name, value in merged.items() if not name.startswith(_METADATA)},
        storage_class=storage_class,
        options=options,
    )
    # Metadata is encoded already, once.
    return replace(target, headers={**merged, **target.headers})


def copied_object(
    driver: Any, result: UploadResult, target: wire.Target, container: Container
) -> Object:
    """Give libcloud's object for what was confirmed, with the metadata that it has."""
    decode = header_rules.decode_metadata_value
    metadata = {
        name[len(_METADATA) :]: decode(value)
        for name, value in target.headers.items()
        if name.startswith(_METADATA)
    }
    return object_of(driver, result, container, target.key, {"meta_data": metadata})
