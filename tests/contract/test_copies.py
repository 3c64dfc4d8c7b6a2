# SPDX-License-Identifier: Apache-2.0
"""Copies on the service arrive whole, with what goes with them, whatever their keys are."""

from __future__ import annotations

from typing import Any
from dataclasses import replace

import pytest

import libcloud_s3mpu as ours
from tests.servers.base import Endpoint
from tests.contract.conftest import MIB, read, chunks, connect, pattern

pytestmark = pytest.mark.contract

PART = 5 * MIB
LARGE = 12 * MIB + 345
KEYS = ["plain", "a b/é文🎉", "plus+and 100% sure", "%41?versionId=1", "//x//"]


@pytest.fixture
def driver(endpoint: Endpoint) -> Any:
    """A driver that knows what its service cannot do, as its provider's class would."""
    driver = connect(endpoint)
    limits = driver.ex_limits
    if endpoint.quirks & {"no-conditional-writes", "complete-ignores-conditions"}:
        limits = replace(limits, conditions=frozenset())
    twice = endpoint.quirks & {"decodes-copy-source-twice"}
    driver.ex_limits = replace(limits, quirks=limits.quirks | twice)
    return driver


@pytest.fixture
def low(driver: Any) -> Any:
    """A driver that copies in parts what is above 5 MiB."""
    driver.ex_limits = replace(driver.ex_limits, max_single_copy=PART)
    return driver


def put(driver: Any, container: Any, key: str, data: bytes, **extra: Any) -> Any:
    return driver.upload_object_via_stream(chunks(data), container, key, extra=extra)


def is_there(driver: Any, container: Any, made: Any, data: bytes) -> None:
    found = driver.get_object(container.name, made.name)
    assert (found.size, found.hash) == (made.size, made.hash) == (len(data), made.hash)
    assert read(driver, container, made.name) == data


@pytest.mark.on_real(size=[10, LARGE])
@pytest.mark.parametrize("size", [0, 10, PART, LARGE])
@pytest.mark.parametrize("key", KEYS)
def test_a_copy(container: Any, low: Any, size: int, key: str) -> None:
    data = pattern(size)
    it = put(low, container, key, data, meta_data={"name": "é x", "b": "2"}, content_type="a/b")
    made = low.ex_copy_object(it, container, key + "~copy")
    is_there(low, container, made, data)
    assert (made.extra["upload_id"] is None) == (size <= PART)
    found = low.get_object(container.name, made.name)
    assert found.meta_data == {"name": "é x", "b": "2"}
    assert found.extra["content_type"] == "a/b"


@pytest.mark.parametrize("size", [10, LARGE])
def test_a_copy_with_other_metadata(container: Any, low: Any, size: int) -> None:
    it = put(low, container, "old", pattern(size), meta_data={"a": "1"}, content_type="a/b")
    headers = {"Cache-Control": "max-age=60"}
    made = low.ex_copy_object(it, container, "old", metadata={"new": "2"}, headers=headers)
    is_there(low, container, made, pattern(size))
    found = low.get_object(container.name, "old")
    assert found.meta_data == {"new": "2"}
    assert found.extra["content_type"] == "a/b"
    again = low.ex_copy_object(it, container, "again")
    is_there(low, container, again, pattern(size))


@pytest.mark.parametrize("size", [10, LARGE])
def test_a_condition_on_the_source(container: Any, low: Any, size: int) -> None:
    it = put(low, container, "old", pattern(size))
    low.ex_copy_object(it, container, "new", if_source_etag=it.hash)
    with pytest.raises(ours.SourceChangedError, match="412"):
        low.ex_copy_object(it, container, "other", if_source_etag="0" * 32)


@pytest.mark.parametrize("size", [10, LARGE])
def test_a_copy_to_another_container(container: Any, low: Any, size: int) -> None:
    it = put(low, container, "old", pattern(size))
    other = low.create_container(container.name + "-2")
    try:
        made = low.ex_copy_object(it, other, "new")
        is_there(low, other, made, pattern(size))
        low.delete_object(low.get_object(other.name, "new"))
    finally:
        low.delete_container(other)


def test_a_source_that_is_not_there(container: Any, low: Any) -> None:
    it = put(low, container, "old", b"x")
    low.delete_object(it)
    with pytest.raises(ours.ObjectMissingError):
        low.ex_copy_object(it, container, "new")


def test_large_and_small_objects_are_joined(container: Any, driver: Any) -> None:
    bodies = [pattern(size, n) for n, size in enumerate([10, LARGE, 0, 7, PART, 2 * PART, 3])]
    objects = [put(driver, container, f"{n}/é +", body) for n, body in enumerate(bodies)]
    made = driver.ex_concatenate_objects([*objects, objects[1]], container, objects[1].name)
    is_there(driver, container, made, b"".join(bodies) + bodies[1])


def test_small_objects_are_joined(container: Any, driver: Any) -> None:
    bodies = [pattern(MIB, n) for n in range(7)]
    objects = [put(driver, container, f"{n}", body) for n, body in enumerate(bodies)]
    extra = {"meta_data": {"a": "b"}, "content_type": "a/b"}
    made = driver.ex_concatenate_objects(objects, container, "all", extra=extra)
    is_there(driver, container, made, b"".join(bodies))
    assert driver.get_object(container.name, "all").meta_data == {"a": "b"}


@pytest.mark.on_real(old=[10, LARGE])
@pytest.mark.parametrize("old", [0, 10, PART, LARGE])
@pytest.mark.parametrize("more", [5, PART + 5])
def test_bytes_are_appended(container: Any, driver: Any, old: int, more: int) -> None:
    it = put(driver, container, "a é+", pattern(old), meta_data={"a": "é"})
    made = driver.ex_append(it, chunks(pattern(more, 1)))
    is_there(driver, container, made, pattern(old) + pattern(more, 1))
    assert driver.get_object(container.name, made.name).meta_data == {"a": "é"}
