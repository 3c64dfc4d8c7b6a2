# SPDX-License-Identifier: Apache-2.0
"""Rule 7: finished uploads are joined, whatever their sizes; nothing is left on a failure."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fake_s3 import FakeLimits, faults
from tests.resumable.store import data, bench
from libcloud_s3mpu.resumable import (
    UploadNotFoundError,
    UploadTooLargeError,
    UploadUnfinishedError,
)
from libcloud_s3mpu.protocol.errors import S3MultipartError
from libcloud_s3mpu.resumable.concat import planned


def made(store: Any, sizes: list[int]) -> tuple[list[str], bytes]:
    ids, whole = [], b""
    for number, size in enumerate(sizes):
        upload = store.create(length=size, partial=True)
        if size:
            store.write(upload.id, 0, data(size, seed=number))
        ids.append(upload.id)
        whole += data(size, seed=number)
    return ids, whole


@given(
    sizes=st.lists(st.integers(0, 60), max_size=8),
    minimum=st.integers(1, 9),
    most=st.integers(1, 30),
    copies=st.booleans(),
)
def test_every_byte_is_in_one_part_in_order(
    sizes: list[int], minimum: int, most: int, copies: bool
) -> None:
    most = max(most, 2 * minimum)
    plans = planned(sizes, minimum=minimum, most=most, max_parts=10_000, copies=copies)
    pieces = [piece for plan in plans for piece in plan.pieces]
    at = [(p.source, p.first + n) for p in pieces for n in range(p.size)]
    assert at == [(number, n) for number, size in enumerate(sizes) for n in range(size)]
    assert all(plan.size >= minimum for plan in plans[:-1])
    for plan in plans:
        assert len(plan.pieces) == 1 or not plan.is_copied
        # What passes through this process is small, or as small as asked.
        assert plan.is_copied or plan.size <= (minimum if copies else most)


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
    with pytest.raises(UploadTooLargeError):
        planned([5] * 41, minimum=5, most=50, max_parts=40)
    with bench() as found:
        store = found.store(max_object_size=50)
        ids, _ = made(store, [30, 30])
        found.asked()
        with pytest.raises(UploadTooLargeError):
            store.concat(ids)
        assert set(found.asked()) == {"GetObject"}


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
