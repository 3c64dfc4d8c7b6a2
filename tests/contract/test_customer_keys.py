# SPDX-License-Identifier: Apache-2.0
"""Objects under a customer's key (SSE-C), where a server takes one over http: read and copied."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from typing import Any
from pathlib import Path

import pytest

import libcloud_s3mpu as ours
from tests.servers.base import Endpoint
from tests.contract.conftest import MIB, chunks, pattern

pytestmark = pytest.mark.contract

DATA = pattern(11 * MIB + 3, seed=3)
NAMES = ("algorithm", "key", "key-MD5")


def customer_key(number: int, prefix: str = "x-amz-") -> dict[str, str]:
    raw = bytes([number]) * 32
    values = ("AES256", *(b64encode(each).decode() for each in (raw, hashlib.md5(raw).digest())))
    names = (f"{prefix}server-side-encryption-customer-{name}" for name in NAMES)
    return dict(zip(names, values, strict=True))


@pytest.fixture(autouse=True)
def _takes_keys(endpoint: Endpoint) -> None:
    if "customer-keys-over-http" not in endpoint.quirks:
        pytest.skip(f"{endpoint.name} encrypts under no customer's key over http")


def test_what_is_under_a_key_is_read_with_it(container: Any, driver: Any, tmp_path: Path) -> None:
    key, path = customer_key(1), tmp_path / "file"
    for name, data in (("small", DATA[:1000]), ("large", DATA)):
        driver.upload_object_via_stream(chunks(data), container, name, headers=key)
        found = driver.get_object(container.name, name, ex_headers=key)
        assert found.size == len(data)
        assert b"".join(driver.download_object_as_stream(found, ex_headers=key)) == data
        in_ranges = ours.UploadOptions(part_size_bytes=MIB)
        assert driver.download_object(found, str(path), True, ex_headers=key, ex_options=in_ranges)
        assert path.read_bytes() == data
        for wrong in (None, customer_key(2)):
            with pytest.raises(ours.S3MultipartError):
                driver.download_object_as_stream(found, ex_headers=wrong)


@pytest.mark.parametrize("size", [1000, len(DATA)])
def test_a_copy_takes_both_keys(size: int, container: Any, driver: Any) -> None:
    old, new = customer_key(1), customer_key(2)
    driver.upload_object_via_stream(chunks(DATA[:size]), container, "old", headers=old)
    source = driver.get_object(container.name, "old", ex_headers=old)
    both = {**customer_key(1, "x-amz-copy-source-"), **new}

    def read(name: str, headers: Any) -> bytes:
        found = driver.get_object(container.name, name, ex_headers=headers)
        return b"".join(driver.download_object_as_stream(found, ex_headers=headers))

    driver.ex_copy_object(source, container, "new", headers=both)
    assert read("new", new) == DATA[:size]
    driver.ex_copy_object(source, container, "plain", headers=customer_key(1, "x-amz-copy-source-"))
    assert read("plain", None) == DATA[:size]
    driver.ex_concatenate_objects([source, source], container, "twice", headers=both)
    assert read("twice", new) == 2 * DATA[:size]
