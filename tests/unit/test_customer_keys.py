# SPDX-License-Identifier: Apache-2.0
"""Objects under a customer's key (SSE-C): every way of reading one takes the key, and says it."""

from __future__ import annotations

from typing import Any
from pathlib import Path
from collections.abc import Iterator

import pytest

from tests.fake_s3 import Quirks, faults
from tests.unit.small import Service, service, make_plain
from tests.fake_s3.caller import SSE_C
from libcloud_s3mpu.protocol.errors import S3MultipartError, InvalidRequestError
from libcloud_s3mpu.protocol.options import UploadOptions

DATA = b"0123456789abcdefghijk"


@pytest.fixture(params=["lean", "plain"])
def s3(request: pytest.FixtureRequest) -> Iterator[Service]:
    with service(quirks=Quirks(customer_keys_over_http=True)) as it:
        if request.param == "plain":
            make_plain(it.driver)
        it.driver.upload_object_via_stream(iter([DATA]), it.container, "key", headers=SSE_C)
        yield it


def test_it_is_looked_up(s3: Service) -> None:
    found = s3.driver.get_object("bucket", "key", ex_headers=SSE_C)
    assert (found.name, found.size) == ("key", len(DATA))
    with pytest.raises(S3MultipartError):
        s3.driver.get_object("bucket", "key")


def test_it_is_read_as_a_stream(s3: Service) -> None:
    found = s3.driver.get_object("bucket", "key", ex_headers=SSE_C)
    s3.fake.script("GetObject", faults.close("answer", after_bytes=300, applied=True))
    assert b"".join(s3.driver.download_object_as_stream(found, 4, ex_headers=SSE_C)) == DATA
    part = s3.driver.download_object_range_as_stream(found, 3, 8, ex_headers=SSE_C)
    assert b"".join(part) == DATA[3:8]
    with pytest.raises(S3MultipartError):
        s3.driver.download_object_as_stream(found)


@pytest.mark.parametrize("concurrency", [1, 4])
def test_it_is_read_to_a_file(s3: Service, concurrency: int, tmp_path: Path) -> None:
    found = s3.driver.get_object("bucket", "key", ex_headers=SSE_C)
    options = UploadOptions(part_size_bytes=5, concurrency=concurrency)
    how: Any = {"ex_headers": SSE_C, "ex_options": options}
    assert s3.driver.download_object(found, str(tmp_path / "a"), **how)
    assert (tmp_path / "a").read_bytes() == DATA
    assert s3.driver.download_object_range(found, str(tmp_path / "b"), 2, 19, **how)
    assert (tmp_path / "b").read_bytes() == DATA[2:19]
    with pytest.raises(S3MultipartError):
        s3.driver.download_object(found, str(tmp_path / "c"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


@pytest.mark.parametrize(
    "headers", [{"Range": "bytes=0-1"}, {"If-Match": "x"}, {"x-amz-acl": "private"}, {"a b": "1"}]
)
def test_a_read_takes_no_other_header(s3: Service, headers: Any, tmp_path: Path) -> None:
    found = s3.driver.get_object("bucket", "key", ex_headers=SSE_C)
    asked = len(s3.fake.requests)
    for call in (
        lambda: s3.driver.get_object("bucket", "key", ex_headers=headers),
        lambda: s3.driver.download_object_as_stream(found, ex_headers=headers),
        lambda: s3.driver.download_object(found, str(tmp_path / "a"), ex_headers=headers),
    ):
        with pytest.raises(InvalidRequestError):
            call()
    assert len(s3.fake.requests) == asked
    assert list(tmp_path.iterdir()) == []
