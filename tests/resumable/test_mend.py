# SPDX-License-Identifier: Apache-2.0
"""A part that a writer without a lock replaced: the upload goes on from before it."""

from __future__ import annotations

import json
from typing import Any
from dataclasses import replace

import pytest

from tests.resumable.store import Bench, data, bench
from libcloud_s3mpu.resumable import (
    UploadDamagedError,
    OffsetMismatchError,
    UploadUnfinishedError,
)

BODY = data(36)
OTHER = bytes(255 - byte for byte in BODY)


def begun(found: Bench, size: int = 27, *, length: int | None = 36) -> Any:
    """An upload of parts of eight bytes and a tail."""
    store = found.store(workers=1)
    upload = store.create(length=length)
    assert store.write(upload.id, 0, BODY[:size]).offset == size
    return store.get(upload.id)


def replaced(found: Bench, number: int, body: bytes) -> None:
    """Send a part late, as a process does that slept in the midst of it."""
    (upload,) = found.fake.uploads.values()
    driver, container = found.service.driver, found.service.container
    driver.ex_upload_part(container, upload.key, upload.upload_id, number, body)


def ends_well(found: Bench, id: str, offset: int) -> None:
    store = found.store()
    info = store.get(id)
    assert (info.offset, info.complete) == (offset, False)
    info = store.write(id, offset, OTHER[offset:])
    if info.length is None:
        info = store.declare_length(id, len(BODY))
    assert info.complete
    assert found.body(info) == BODY[:offset] + OTHER[offset:]
    assert found.sides() == ["info"] and found.fake.uploads == {}


@pytest.mark.parametrize("length", [36, None])
@pytest.mark.parametrize("late", [b"x" * 8, b"x" * 6], ids=["other bytes", "another size"])
def test_of_the_last_part_whoever_asks_is_told(late: bytes, length: int | None) -> None:
    with bench() as found:
        info = begun(found, length=length)
        replaced(found, 3, late)
        assert found.store().get(info.id).offset == 16
        ends_well(found, info.id, 16)


def test_the_same_bytes_in_the_same_part_are_no_news() -> None:
    with bench() as found:
        info = begun(found)
        replaced(found, 3, BODY[16:24])
        ends_well(found, info.id, 27)


@pytest.mark.parametrize("number", [1, 2])
def test_of_a_part_before_it_a_write_that_would_complete_is_told(number: int) -> None:
    with bench() as found:
        info = begun(found)
        replaced(found, number, b"x" * 8)
        store = found.store()
        with pytest.raises(OffsetMismatchError) as caught:
            store.write(info.id, 27, BODY[27:])
        assert caught.value.offset == 8 * (number - 1)
        assert info.key not in found.objects
        with pytest.raises(UploadUnfinishedError):
            store.finish(info.id)
        ends_well(found, info.id, 8 * (number - 1))


def test_a_write_behind_the_last_part_is_told() -> None:
    with bench() as found:
        info = begun(found)
        replaced(found, 3, b"x" * 8)
        with pytest.raises(OffsetMismatchError) as caught:
            found.store().write(info.id, 27, BODY[27:])
        assert caught.value.offset == 16
        ends_well(found, info.id, 16)


def test_a_length_that_is_declared_then_completes_nothing() -> None:
    with bench() as found:
        info = begun(found, length=None)
        replaced(found, 2, b"x" * 8)
        assert not found.store().declare_length(info.id, 27).complete
        store = found.store()
        assert store.get(info.id).offset == 8
        assert found.body(store.write(info.id, 8, OTHER[8:27])) == BODY[:8] + OTHER[8:27]


def test_checksums_that_complete_names_are_those_of_the_new_parts() -> None:
    with bench() as found:
        driver = found.service.driver
        driver.ex_options = replace(driver.ex_options, checksum="crc32")
        info = begun(found)
        (upload,) = found.fake.uploads.values()
        upload.parts[2] = replace(upload.parts[2], body=b"x" * 8, etag="0" * 32)
        with pytest.raises(OffsetMismatchError):
            found.store().write(info.id, 27, BODY[27:])
        ends_well(found, info.id, 8)


def test_a_record_that_cannot_tell_which_part_it_was_begins_anew() -> None:
    with bench() as found:
        info = begun(found)
        key = f"{info.key}.info"
        fields = json.loads(found.objects[key].body)
        del fields["S3MPU"]["Marks"]
        found.store()._store.objects.put(key, json.dumps(fields).encode())
        ends_well(found, info.id, 0)


def test_parts_that_are_not_listed_may_be_late_and_nothing_is_given_up() -> None:
    with bench() as found:
        info = begun(found)
        (upload,) = found.fake.uploads.values()
        part = upload.parts.pop(3)
        for _ in range(2):
            with pytest.raises(UploadDamagedError):
                found.store().get(info.id)
        upload.parts[3] = part
        ends_well(found, info.id, 27)


def test_a_whole_upload_that_is_listed_late_once_is_not_given_as_finished() -> None:
    with bench() as found:
        info = begun(found)
        store = found.store()
        inner = store._store.objects.sender

        class LateOnce:
            """Leaves the last part out of the first listing that precedes completing."""

            def call(self, request: Any) -> Any:
                if request.operation != "ListParts" or ("max-parts", "1") in request.query:
                    return inner.call(request)
                store._store.objects.sender = inner
                (upload,) = found.fake.uploads.values()
                number = max(upload.parts)
                part = upload.parts.pop(number)
                try:
                    return inner.call(request)
                finally:
                    upload.parts[number] = part

            def __getattr__(self, name: str) -> Any:
                return getattr(inner, name)

        store._store.objects.sender = LateOnce()  # type: ignore[assignment]
        with pytest.raises(UploadDamagedError):
            store.write(info.id, 27, BODY[27:])
        assert info.key not in found.objects
        assert found.store().get(info.id).complete
        assert info.key in found.objects


def test_a_part_that_is_replaced_between_listing_and_completing_is_seen() -> None:
    with bench() as found:
        info = begun(found)
        store = found.store()
        inner = store._store.objects.sender

        class Late:
            """Lets a part arrive behind the listing that precedes completing."""

            def call(self, request: Any) -> Any:
                response = inner.call(request)
                if request.operation == "ListParts" and ("max-parts", "1") not in request.query:
                    store._store.objects.sender = inner
                    replaced(found, 2, b"x" * 8)
                return response

            def __getattr__(self, name: str) -> Any:
                return getattr(inner, name)

        store._store.objects.sender = Late()  # type: ignore[assignment]
        with pytest.raises(OffsetMismatchError) as caught:
            store.write(info.id, 27, BODY[27:])
        assert caught.value.offset == 8
        assert info.key not in found.objects
        ends_well(found, info.id, 8)
