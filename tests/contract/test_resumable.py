# SPDX-License-Identifier: Apache-2.0
"""Uploads that arrive in pieces, with parts of the sizes that real services ask for."""

from __future__ import annotations

import io
from typing import Any

import pytest

from tests.contract.conftest import MIB, read, pattern
from libcloud_s3mpu.resumable import (
    MemoryLocker,
    UploadGoneError,
    ResumableUploads,
    UploadNotFoundError,
)

pytestmark = pytest.mark.contract


@pytest.fixture
def store(driver: Any, container: Any) -> ResumableUploads:
    return ResumableUploads(driver, container, part=6 * MIB, locker=MemoryLocker())


def test_an_upload_in_pieces_arrives_whole(store: Any, driver: Any, container: Any) -> None:
    body = pattern(23 * MIB + 345)
    upload = store.create(
        length=len(body),
        metadata={"filename": "Menü %2F.bin".encode(), "filetype": b"text/plain", "raw": b"\xff"},
    )
    offset = 0
    for end in (1, MIB, 13 * MIB, 13 * MIB, 14 * MIB, len(body)):
        info = store.write(upload.id, offset, io.BytesIO(body[offset:end]))
        offset = store.get(upload.id).offset
        assert info.offset == offset == end
    assert info.complete and store.finish(upload.id).size == len(body)
    assert read(driver, container, info.key) == body == b"".join(store.read(upload.id))
    assert b"".join(store.read(upload.id, 5, 9)) == body[5:9]
    assert store.get(upload.id).metadata == upload.metadata
    names = [each.name for each in driver.iterate_container_objects(container)]
    assert sorted(names) == sorted([info.key, f"{info.key}.info"])
    assert store.terminate(upload.id)
    with pytest.raises(UploadNotFoundError):
        store.get(upload.id)


def test_a_deferred_length_a_tail_and_an_empty_upload(store: Any) -> None:
    upload = store.create()
    store.write(upload.id, 0, b"abc")
    info = store.declare_length(upload.id, 3)
    assert info.complete and b"".join(store.read(info.id)) == b"abc"
    assert store.create(length=0).complete


def test_an_upload_is_joined_from_large_and_small(store: Any, driver: Any, container: Any) -> None:
    bodies = [pattern(size, seed=size) for size in (3, 7 * MIB + 1, 0, 11, 12 * MIB, 5)]
    ids = []
    for body in bodies:
        upload = store.create(length=len(body), partial=True, key=None)
        if body:
            store.write(upload.id, 0, body)
        ids.append(upload.id)
    info = store.concat(ids, key="joined ü+%.bin")
    assert info.complete
    assert read(driver, container, info.key) == b"".join(bodies)


def test_an_upload_that_was_aborted_is_gone(store: Any, driver: Any, container: Any) -> None:
    upload = store.create(length=20 * MIB)
    store.write(upload.id, 0, pattern(6 * MIB))
    (pending,) = driver.ex_iterate_multipart_uploads(container, prefix=upload.key)
    driver.ex_abort_upload(container, upload.key, pending.id)
    with pytest.raises(UploadGoneError):
        store.get(upload.id)


def test_the_default_lock_works_or_says_that_it_does_not(
    driver: Any, container: Any, caplog: pytest.LogCaptureFixture
) -> None:
    store = ResumableUploads(driver, container, part=6 * MIB)
    upload = store.create(length=3)
    assert store.write(upload.id, 0, b"abc").complete
    is_locked = store._locker._is_sound  # type: ignore[attr-defined]
    assert is_locked or "no conditional writes" in caplog.text
    names = [each.name for each in driver.iterate_container_objects(container)]
    assert not any(name.endswith(".lock") for name in names)


def test_what_is_over_is_removed(driver: Any, container: Any) -> None:
    ahead = [0.0]
    import time

    store = ResumableUploads(
        driver,
        container,
        part=6 * MIB,
        expires=3600,
        locker=MemoryLocker(),
        clock=lambda: time.time() + ahead[0],
    )
    upload = store.create(length=20 * MIB)
    store.write(upload.id, 0, pattern(7 * MIB))
    ahead[0] = 7200
    assert store.expire() == 1
    assert list(driver.iterate_container_objects(container)) == []
