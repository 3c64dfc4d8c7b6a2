# SPDX-License-Identifier: Apache-2.0
"""What was stored is what is read: to files, as streams, in ranges, in listings, by every road."""

from __future__ import annotations

import os
from typing import Any
from pathlib import Path
from dataclasses import replace

import pytest
from libcloud.storage.types import ObjectDoesNotExistError, ContainerDoesNotExistError

import libcloud_s3mpu as ours
from libcloud_s3mpu.protocol import wire
from tests.contract.conftest import MIB, chunks, pattern
from libcloud_s3mpu.transfer.ranged import Ranged

pytestmark = pytest.mark.contract

RANGE = 256 * 1024
DATA = pattern(6 * MIB + 345, seed=7)
NAMES = ["a b", "a+b", "a%20b", "a&<b>", "b/1", "é文", "~-._", "a=b;c:d@e"]


def options(**changes: Any) -> ours.UploadOptions:
    return replace(ours.UploadOptions(part_size_bytes=RANGE), **changes)


@pytest.mark.on_real(road=["lean", "plain"])
@pytest.mark.parametrize("checksum", ["auto", "crc32"])
def test_an_object_arrives_whole_in_ranges(
    checksum: str, container: Any, road: Any, tmp_path: Path
) -> None:
    driver, path = road(), tmp_path / "file"
    upload = ours.UploadOptions(checksum=checksum)
    driver.upload_object_via_stream(chunks(DATA), container, "object", ex_options=upload)
    found = driver.get_object(container.name, "object")
    assert driver.download_object(found, str(path), ex_options=options()) is True
    assert path.read_bytes() == DATA
    assert driver.download_object(found, str(path), True, ex_verify="md5") is True
    assert path.read_bytes() == DATA
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.on_real(size=[None], road=["lean", "plain"])
@pytest.mark.parametrize("size", [1000, MIB, None])
def test_a_stream_has_chunks_of_one_size(size: int | None, container: Any, road: Any) -> None:
    driver = road()
    driver.upload_object_via_stream(chunks(DATA), container, "object")
    found = driver.get_object(container.name, "object")
    wanted = size or 5 * MIB
    read = list(driver.download_object_as_stream(found, size))
    assert b"".join(read) == DATA
    assert {len(chunk) for chunk in read[:-1]} == {wanted}


@pytest.mark.on_real(road=["lean", "plain"])
def test_ranges_and_empty_objects(container: Any, road: Any, tmp_path: Path) -> None:
    driver = road()
    driver.upload_object_via_stream(chunks(DATA), container, "object")
    driver.upload_object_via_stream(iter(()), container, "empty")
    found = driver.get_object(container.name, "object")
    empty = driver.get_object(container.name, "empty")
    for start, end in ((0, 1), (5, 2 * MIB), (len(DATA) - 3, None), (len(DATA) - 3, len(DATA) + 9)):
        assert driver.download_object_range(found, str(tmp_path / "file"), start, end, True)
        assert (tmp_path / "file").read_bytes() == DATA[start:end]
        assert b"".join(found.range_as_stream(start, end)) == DATA[start:end]
    assert driver.download_object(empty, str(tmp_path / "file"), True) is True
    assert (tmp_path / "file").read_bytes() == b""
    assert b"".join(empty.as_stream()) == b""
    assert b"".join(empty.range_as_stream(0, 10)) == b""


@pytest.mark.on_real(road=["lean"])
def test_every_name_is_listed(container: Any, road: Any) -> None:
    driver = road()
    for name in NAMES:
        driver.upload_object_via_stream(iter([b"abc"]), container, name)
    listed = list(driver.iterate_container_objects(container))
    assert sorted(obj.name for obj in listed) == sorted(NAMES)
    assert {obj.size for obj in listed} == {3}
    assert {obj.hash for obj in listed} == {driver.get_object(container.name, "a b").hash}
    prefixed = driver.list_container_objects(container, prefix="a+")
    assert [obj.name for obj in prefixed] == ["a+b"]


def test_a_changed_object_is_an_error(container: Any, driver: Any) -> None:
    driver.upload_object_via_stream(chunks(DATA), container, "object")
    found = driver.get_object(container.name, "object")
    target = wire.Target(bucket=container.name, key="object", headers={})
    ranged = Ranged(driver._transport, target, policy=ours.RetryPolicy(), end=RANGE)
    ranged.open()
    assert ranged.read(RANGE) == DATA[:RANGE]
    driver.upload_object_via_stream(iter([b"other" * RANGE]), container, "object")
    rest = Ranged(
        driver._transport, target, policy=ours.RetryPolicy(), start=RANGE, known=ranged.found
    )
    with pytest.raises(ours.ObjectChangedError):
        rest.read(RANGE)
    assert found.hash != driver.get_object(container.name, "object").hash


def test_what_is_missing_is_told_apart(container: Any, driver: Any) -> None:
    with pytest.raises(ObjectDoesNotExistError):
        driver.get_object(container.name, "none")
    with pytest.raises(ContainerDoesNotExistError):
        driver.get_object(container.name + "-none", "none")
