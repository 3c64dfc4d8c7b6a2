# SPDX-License-Identifier: Apache-2.0
"""Sixteen threads share one driver, and each reads what it wrote."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from libcloud.storage.types import ObjectDoesNotExistError

import libcloud_s3mpu as ours
from tests.servers.base import Endpoint
from tests.contract.conftest import MIB, IS_LONG, read, chunks, pattern

pytestmark = pytest.mark.contract

THREADS = 16
TURNS = 6
PART = 5 * MIB


def work(driver: Any, container: Any, number: int, turns: int) -> None:
    """Upload, look, read, list and delete under a prefix of one's own."""
    prefix = f"{number:02d}/"
    expected: dict[str, bytes] = {}
    for turn in range(turns):
        # Every fourth thread sends one multipart upload; the others objects of one request.
        size = PART + 1 + number if number % 4 == 0 and turn == 1 else 1000 * turn + number
        name, data = f"{prefix}{turn}", pattern(size, seed=100 * number + turn)
        meta_data = {"owner": f"{number}-{turn}"}
        uploaded = driver.upload_object_via_stream(
            chunks(data), container, name, extra={"meta_data": meta_data}
        )
        expected[name] = data
        assert uploaded.size == size
        found = driver.get_object(container.name, name)
        assert (found.size, found.hash, found.meta_data) == (size, uploaded.hash, meta_data)
        for name, data in expected.items():
            assert read(driver, container, name) == data
        listed = driver.list_container_objects(container, prefix=prefix)
        assert {each.name: each.size for each in listed} == {
            name: len(data) for name, data in expected.items()
        }
    assert driver.delete_object(found) is True
    with pytest.raises(ObjectDoesNotExistError):
        driver.get_object(container.name, found.name)


@pytest.mark.on_real(road=["lean"])
def test_threads_share_one_driver(endpoint: Endpoint, container: Any, road: Any) -> None:
    turns = TURNS if IS_LONG or endpoint.name == "fake" else TURNS // 2
    driver = road(ex_options=ours.UploadOptions(concurrency=2))
    errors: list[BaseException] = []

    def guarded(number: int) -> None:
        try:
            work(driver, container, number, turns)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)
        assert not thread.is_alive(), "a thread hangs"
    if errors:
        raise errors[0]
    assert len(driver.list_container_objects(container)) == THREADS * (turns - 1)
    assert list(driver.ex_iterate_multipart_uploads(container)) == []
