# SPDX-License-Identifier: Apache-2.0
"""Rule 7: finished uploads are joined, whatever their sizes; nothing is left on a failure."""

from __future__ import annotations

from typing import Any
from dataclasses import replace

import pytest

from tests.fake_s3 import FakeLimits, faults
from tests.resumable.store import LIMITS, data, bench
from libcloud_s3mpu.resumable import (
    UploadNotFoundError,
    UploadTooLargeError,
    UploadUnfinishedError,
)
from tests.resumable.test_crash import Died, Dying
from libcloud_s3mpu.protocol.errors import S3MultipartError, CompletionUnknownError


def made(store: Any, sizes: list[int]) -> tuple[list[str], bytes]:
    ids, whole = [], b""
    for number, size in enumerate(sizes):
        upload = store.create(length=size, partial=True)
        if size:
            store.write(upload.id, 0, data(size, seed=number))
        ids.append(upload.id)
        whole += data(size, seed=number)
    return ids, whole


@pytest.mark.parametrize(
    "sizes",
    [[20, 30], [1, 2, 3], [2, 40, 1], [4, 4, 40, 0, 3, 9], [0, 0], [5], [40, 2], [3, 6, 3]],
    ids=str,
)
@pytest.mark.parametrize("equal", [False, True])
def test_7_uploads_of_all_sizes_are_joined_in_order(sizes: list[int], equal: bool) -> None:
    with bench() as found:
        store = found.store(equal_parts=equal)
        ids, whole = made(store, sizes)
        info = store.concat(ids, metadata={"filetype": "text/css"})
        assert info.complete and info.final and info.parts_of == tuple(ids)
        assert found.body(info) == whole == b"".join(store.read(info.id))
        assert found.objects[info.key].attributes.headers["content-type"] == "text/css"
        again = store.concat([*ids, ids[0]])  # They stay, and one may come twice.
        assert found.body(again) == whole + data(sizes[0])
        assert found.fake.uploads == {}


def test_7_a_store_that_cannot_copy_gets_the_bytes_streamed() -> None:
    with bench() as found:
        store = found.store()
        ids, whole = made(store, [20, 3, 40])
        refusal = faults.answer(501, "NotImplemented")
        found.fake.script("UploadPartCopy", refusal, forever=True)
        assert found.body(store.concat(ids)) == whole


def test_7_too_many_parts_are_refused_before_anything_is_sent() -> None:
    with bench() as found:
        store = found.store(max_object_size=50)
        ids, _ = made(store, [30, 30])
        narrow = found.store(max_multipart_parts=3, max_part_size=10)
        found.asked()
        for too_small in (store, narrow):
            with pytest.raises(UploadTooLargeError):
                too_small.concat(ids)
        assert set(found.asked()) == {"GetObject"}


def test_7_more_uploads_than_parts_are_packed() -> None:
    with bench() as found:
        store = found.store(max_multipart_parts=4, max_object_size=200)
        ids, whole = made(store, [9] * 8)
        assert found.body(store.concat(ids)) == whole


def test_7_where_the_driver_knows_of_no_copies_none_is_tried() -> None:
    with bench() as found:
        store = found.store()
        ids, whole = made(store, [20, 3, 40])
        store.driver.ex_limits = replace(LIMITS, has_part_copy=False)
        found.asked()
        assert found.body(store.concat(ids)) == whole
        assert "UploadPartCopy" not in found.asked()


def test_7_an_unfinished_or_unknown_part_is_refused() -> None:
    with bench() as found:
        store = found.store()
        upload = store.create(length=20, partial=True)
        with pytest.raises(UploadUnfinishedError):
            store.concat([upload.id])
        with pytest.raises(UploadNotFoundError):
            store.concat(["nobody+x"])
        with pytest.raises(UploadUnfinishedError):
            store.read(upload.id)


@pytest.mark.parametrize(
    "operation", ["InitiateMultipartUpload", "UploadPartCopy", "UploadPart", "GetObject"]
)
def test_7_nothing_is_left_of_a_join_that_failed(operation: str) -> None:
    with bench() as found:
        store = found.store(workers=1)
        ids, _ = made(store, [20, 3, 40])
        before = set(found.objects)
        fault = faults.error("InvalidArgument")
        if operation == "GetObject":
            found.fake.script(operation, fault, key=f"uploads/{ids[1].partition('+')[0]}")
        else:
            found.fake.script(operation, fault)
        with pytest.raises(S3MultipartError):
            store.concat(ids)
        assert set(found.objects) == before and found.fake.uploads == {}


def test_7_keys_of_any_kind_are_copied() -> None:
    with bench() as found:
        store = found.store()
        upload = store.create(length=20, partial=True, key="a b/ü+%2F?#.bin")
        store.write(upload.id, 0, data(20))
        assert found.body(store.concat([upload.id, upload.id])) == data(20) * 2


def test_7_large_sources_are_copied_by_ranges() -> None:
    limits = FakeLimits(min_part_size=5, max_part_size=50, max_parts=40, max_object_size=1000)
    with bench(limits=limits) as found:
        store = found.store()
        ids, whole = made(store, [130, 120])
        found.asked()
        assert found.body(store.concat(ids)) == whole
        assert found.asked().count("UploadPartCopy") >= 6


@pytest.mark.parametrize("applied", [False, True], ids=["lost", "answer lost"])
@pytest.mark.parametrize("way", ["expire", "terminate"])
@pytest.mark.timeout(120)
def test_7_what_a_death_in_a_join_left_is_found_and_removed(way: str, applied: bool) -> None:
    at, deaths, finals = 1, 0, 0
    while True:
        with bench() as found:
            store = found.store(workers=1)
            ids, _ = made(store, [20, 3, 40])
            before = set(found.objects)
            objects = store._store.objects
            dying = Dying(objects.sender, at, applied=applied)
            objects.sender = dying  # type: ignore[assignment]
            try:
                store.concat(ids)
            except Died:
                deaths += 1
            if not dying.died:
                break
            fresh = found.store()
            left = [info for info in fresh.list() if info.final]
            finals += len(left)
            for info in left:
                if way == "terminate":
                    assert fresh.terminate(info.id)
            # Without a record it is found by its multipart upload alone; one whose object is there
            # is finished: whoever asks for it is told so, and nobody may take it away.
            fresh.expire(older_than=-1.0)
            after = set(found.objects) - before
            assert found.fake.uploads == {}
            assert before <= set(found.objects)
            for info in left:
                if way == "expire" and f"{info.key}.info" in after:
                    assert fresh.get(info.id).complete
                    after -= {info.key, f"{info.key}.info"}
            assert after == set()
        at += 1
    assert deaths >= 8 and finals >= 4


def test_7_a_completion_in_doubt_leaves_its_record() -> None:
    with bench() as found:
        store = found.store()
        ids, whole = made(store, [20, 3, 40])
        found.fake.script("CompleteMultipartUpload", faults.close(applied=True))
        found.fake.script("CompleteMultipartUpload", *[faults.error("InternalError")] * 9)
        heads = [faults.pass_through()] * 3 + [faults.error("InternalError")] * 50
        found.fake.script("HeadObject", *heads)
        with pytest.raises(CompletionUnknownError):
            store.concat(ids)
        found.fake.clear_scripts()
        (final,) = [info for info in store.list() if info.final]
        info = store.get(final.id)
        assert info.complete and info.just_completed
        assert found.body(info) == whole
