# SPDX-License-Identifier: Apache-2.0
"""Catalogue K, 90 to 95: cleaning up, and scale."""

from __future__ import annotations

import time
import tracemalloc
from typing import Any
from datetime import datetime, timezone, timedelta
from collections.abc import Iterator

import pytest

from tests.fake_s3 import FakeLimits, faults
from tests.unit.small import AT_ONCE, chunks
from tests.test_memory import growth
from tests.faults.outcomes import ABORT, Tried, Counted, MakeTried, then
from libcloud_s3mpu.protocol.errors import SourceSizeError, S3MultipartError
from libcloud_s3mpu.protocol.limits import S3_LIMITS, Limits
from libcloud_s3mpu.protocol.options import UploadOptions
from libcloud_s3mpu.protocol.partsize import part_schedule

MIB = 1024 * 1024
GIB = 1024 * MIB
TIB = 1024 * GIB
DAY = 24 * 3600.0
NAMES = ["old/a", "old/a", "old/ü ö", "old/x&y<z>", "old/+%20", "old//b", "older", "new/a"]


def begun(s3: Tried, names: list[str], *, days_ago: float = 0.0) -> list[str]:
    """Begin uploads, as a process that died then; give their ids."""
    now = datetime.now(timezone.utc)
    s3.fake.clock = lambda: now - timedelta(days=days_ago)
    before = set(s3.fake.uploads)
    for name in names:
        s3.fake.store.initiated_count += 1
        number = s3.fake.store.initiated_count
        upload_id = s3.fake.store.name_upload(number)
        s3.fake.uploads[upload_id] = upload_of(s3, name, upload_id)
    s3.fake.clock = lambda: datetime.now(timezone.utc)
    return [upload_id for upload_id in s3.fake.uploads if upload_id not in before]


def upload_of(s3: Tried, name: str, upload_id: str) -> Any:
    from tests.fake_s3 import Upload
    from tests.fake_s3.store import Attributes

    return Upload(
        upload_id=upload_id,
        bucket="bucket",
        key=name,
        attributes=Attributes(),
        initiated=s3.fake.clock(),
    )


@pytest.fixture
def paged(road: str, make_s3: MakeTried) -> Tried:
    """A service whose pages hold two entries."""
    return make_s3(road, limits=FakeLimits(max_page=2))


def test_f90_every_upload_of_all_pages_is_found(paged: Tried) -> None:
    ids = begun(paged, NAMES)
    found = list(paged.driver.ex_iterate_multipart_uploads(paged.container))
    assert sorted(each.id for each in found) == sorted(ids)
    assert sorted(each.key for each in found) == sorted(NAMES)


def test_f90_a_cleanup_takes_exactly_those_of_its_prefix(paged: Tried) -> None:
    begun(paged, NAMES, days_ago=30)
    paged.driver.ex_cleanup_multipart_uploads(
        paged.container, older_than_seconds=DAY, prefix="old/", dry_run=False
    )
    assert sorted(upload.key for upload in paged.fake.uploads.values()) == ["new/a", "older"]


def test_f90_upstreams_cleanup_of_all_takes_all(paged: Tried) -> None:
    begun(paged, NAMES)
    paged.driver.ex_cleanup_all_multipart_uploads(paged.container)
    assert paged.fake.uploads == {}


def test_f91_a_cleanup_that_races_with_another_goes_on(paged: Tried) -> None:
    begun(paged, NAMES, days_ago=30)
    paged.fake.script(
        ABORT,
        faults.error("NoSuchUpload", applied=True),
        faults.error("InternalError"),
        faults.error("SlowDown"),
    )
    paged.driver.ex_cleanup_multipart_uploads(
        paged.container, older_than_seconds=DAY, dry_run=False
    )
    assert paged.fake.uploads == {} and paged.fake.unspent == []


def test_f91_what_failed_is_told_at_the_end_and_the_rest_is_done(paged: Tried) -> None:
    begun(paged, NAMES, days_ago=30)
    paged.fake.script(ABORT, faults.error("AccessDenied"), key="old/x&y<z>", forever=True)
    with pytest.raises(S3MultipartError) as caught:
        paged.driver.ex_cleanup_multipart_uploads(
            paged.container, older_than_seconds=DAY, dry_run=False
        )
    assert [upload.key for upload in paged.fake.uploads.values()] == ["old/x&y<z>"]
    assert "AccessDenied" in str(caught.value)


def test_f92_only_what_is_older_is_taken_and_a_dry_run_takes_nothing(paged: Tried) -> None:
    begun(paged, ["old"], days_ago=3)
    young = begun(paged, ["young"], days_ago=1)
    clean = paged.driver.ex_cleanup_multipart_uploads
    clean(paged.container, older_than_seconds=2 * DAY, dry_run=True)
    assert len(paged.fake.uploads) == 2 and paged.count(ABORT) == 0
    clean(paged.container, older_than_seconds=2 * DAY, dry_run=False)
    assert list(paged.fake.uploads) == young


def test_f92_the_age_is_by_the_services_clock(paged: Tried) -> None:
    begun(paged, ["young"], days_ago=-3)
    later = datetime.now(timezone.utc) + timedelta(days=3, hours=1)
    paged.fake.clock = lambda: later
    try:
        paged.driver.ex_cleanup_multipart_uploads(
            paged.container, older_than_seconds=2 * DAY, dry_run=False
        )
    except S3MultipartError:  # pragma: no cover
        pytest.fail("the clock should have been taken from the service (43)")
    assert len(paged.fake.uploads) == 1


def test_f92_an_upload_that_this_process_has_open_is_left_alone(s3: Tried) -> None:
    def clean() -> None:
        s3.driver.ex_cleanup_multipart_uploads(s3.container, older_than_seconds=0, dry_run=False)

    s3.succeeds(then(3, clean, more=1))
    assert s3.count(ABORT) == 0


def many(make_s3: MakeTried) -> Tried:
    """A service for ten thousand parts of five bytes."""
    s3 = make_s3(limits=FakeLimits(), anonymous=True)
    s3.driver.ex_limits = Limits(  # type: ignore[misc]
        min_part_size=5, max_part_size=5, max_parts=10_000, max_object_size=50_000
    )
    s3.driver.ex_options = UploadOptions(part_size_bytes=5, retry=AT_ONCE)
    return s3


@pytest.mark.timeout(120)
def test_f93_ten_thousand_parts_arrive_with_flat_memory(make_s3: MakeTried) -> None:
    s3 = many(make_s3)
    data = bytes(range(250)) * 200
    # What the fake itself keeps of requests and parts is not the client's: it is traced apart.
    ours = tracemalloc.Filter(True, "*/libcloud_s3mpu/*")
    held: list[int] = []

    def source() -> Iterator[bytes]:
        for at in range(0, len(data), 5):
            if at in (5_000, 49_990):
                taken = tracemalloc.take_snapshot().filter_traces((ours,))
                held.append(sum(trace.size for trace in taken.statistics("filename")))
            yield data[at : at + 5]

    tracemalloc.start(1)
    began = time.monotonic()
    try:
        s3.timed(lambda: s3.upload(source()), seconds=100)
    finally:
        tracemalloc.stop()
    s3.is_whole(data)
    assert s3.fake.objects["bucket"]["key"].part_sizes == (5,) * 10_000
    assert held[1] - held[0] < 16 * MIB, held
    print(f"10,000 parts in {time.monotonic() - began:.1f} s, {held[1] - held[0]:,} bytes more")


def test_f93_a_part_more_is_refused_and_leaves_nothing(make_s3: MakeTried) -> None:
    s3 = make_s3()
    s3.fails(SourceSizeError, iter(list(chunks(21))))
    s3.fails(SourceSizeError, Counted(40), key="other")


def test_f94_parts_grow_so_that_their_number_suffices() -> None:
    schedule = part_schedule(S3_LIMITS)
    assert schedule.size_of(1) == 5 * MIB and schedule.reach >= 5 * TIB
    sizes = [schedule.size_of(number) for number in range(1, 10_001)]
    assert sizes == sorted(sizes) and max(sizes) <= 5 * GIB
    for size in (5 * TIB, 48 * TIB):
        hinted = part_schedule(S3_LIMITS, size_hint=size)
        assert hinted.reach >= size and hinted.size_of(10_000) <= 5 * GIB


def test_f94_a_source_of_unknown_length_outgrows_its_first_parts(make_s3: MakeTried) -> None:
    s3 = make_s3(limits=FakeLimits(max_parts=20))
    s3.driver.ex_limits = Limits(  # type: ignore[misc]
        min_part_size=5, max_part_size=1000, max_parts=20, max_object_size=20_000
    )
    data = bytes(range(200))
    s3.succeeds((data[at : at + 7] for at in range(0, len(data), 7)), data)
    sizes = s3.fake.objects["bucket"]["key"].part_sizes
    assert len(sizes) <= 20 and sizes[0] == 5 and max(sizes[:-1]) > 5


def test_f95_the_peak_does_not_depend_on_the_length() -> None:
    # One part at a time: how many more are worth having in flight differs from run to run.
    first, second = growth(256 * MIB, concurrency=1), growth(GIB, concurrency=1)
    assert second - first < 8 * MIB, f"{first / MIB:.1f} and {second / MIB:.1f} MiB"
