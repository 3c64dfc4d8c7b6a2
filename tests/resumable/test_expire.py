# SPDX-License-Identifier: Apache-2.0
"""What is over is removed, and nothing else."""

from __future__ import annotations

from typing import Any
from datetime import timedelta

import pytest

from tests.fake_s3.state import system_clock
from tests.resumable.store import data, bench
from libcloud_s3mpu.resumable import UploadExpiredError, UploadNotFoundError


class Clock:
    """Seconds since 1970 that a test may move."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return system_clock().timestamp() + self.ahead


def test_an_upload_that_nobody_touched_in_time_is_gone_and_removed() -> None:
    clock = Clock()
    with bench() as found:
        store = found.store(expires=100, clock=clock)
        slow = store.create(length=20)
        quick = store.write(store.create(length=3).id, 0, b"abc")
        assert slow.expires is not None and quick.expires is None
        clock.ahead = 60
        slow = store.write(slow.id, 0, data(11))
        clock.ahead = 120  # Touched 60 s ago.
        assert store.get(slow.id).offset == 11 and store.expire() == 0
        clock.ahead = 200
        with pytest.raises(UploadExpiredError):
            store.get(slow.id)
        with pytest.raises(UploadExpiredError):
            store.write(slow.id, 11, data(9))
        assert store.expire() == 1
        assert found.fake.uploads == {}
        assert sorted(found.objects) == sorted([quick.key, f"{quick.key}.info"])
        with pytest.raises(UploadNotFoundError):
            store.get(slow.id)


def test_partial_uploads_run_out_although_they_are_finished() -> None:
    clock = Clock()
    with bench() as found:
        store = found.store(expires=100, clock=clock)
        part = store.write(store.create(length=3, partial=True).id, 0, b"abc")
        whole = store.concat([part.id, part.id])
        clock.ahead = 101
        assert store.expire() == 1
        assert sorted(found.objects) == sorted([whole.key, f"{whole.key}.info"])


def test_older_than_removes_what_has_no_time_of_its_own() -> None:
    clock = Clock()
    with bench() as found:
        store = found.store(clock=clock)
        store.create(length=20)
        clock.ahead = 50
        young = store.create(length=20)
        assert store.expire() == 0
        clock.ahead = 70
        assert store.expire(older_than=60) == 1
        assert [info.id for info in store.list()] == [young.id]


def test_what_other_programs_have_is_left_alone() -> None:
    clock = Clock()
    with bench() as found:
        driver, container = found.service.driver, found.service.container
        store = found.store(clock=clock)
        outside = driver.ex_start_upload(container, "elsewhere/file")
        outside.pause()
        with pytest.raises(Exception, match="paused"):
            outside.run(iter([data(8)] * 5))
        driver.upload_object_via_stream(iter([b"x"]), container, "elsewhere/a.info")
        driver.upload_object_via_stream(iter([b"{}"]), container, "uploads/b.info")
        before = dict(found.objects), set(found.fake.uploads)
        clock.ahead = 10 * 86_400
        store.expire(older_than=0)
        assert (dict(found.objects), set(found.fake.uploads)) == before
        assert list(store.list()) == []


def test_what_a_process_that_died_left_behind_is_removed_a_day_later() -> None:
    from tests.resumable.test_crash import Died, Dying

    clock = Clock()
    with bench() as found:
        dead = found.store()
        inner = dead._store.objects.sender
        dead._store.objects.sender = Dying(inner, 2, applied=False)  # type: ignore[assignment]
        with pytest.raises(Died):
            dead.create(length=20)
        assert len(found.fake.uploads) == 1 and found.objects == {}
        found.service.driver.upload_object_via_stream(
            iter([b"x"]), found.service.container, "uploads/abc.12345678.part"
        )
        store = found.store(clock=clock)
        assert store.expire() == 0 and len(found.fake.uploads) == 1
        clock.ahead = timedelta(days=1, seconds=5).total_seconds()
        assert store.expire() == 1
        assert found.fake.uploads == {} and found.objects == {}


def test_an_upload_that_is_being_written_is_left_alone() -> None:
    clock = Clock()
    with bench() as found:
        from libcloud_s3mpu.resumable import MemoryLocker

        locker = MemoryLocker(timeout_seconds=0.01)
        store = found.store(expires=100, clock=clock, locker=locker)
        upload = store.create(length=20)
        clock.ahead = 101
        held = locker.acquire(upload.id.partition("+")[0])
        assert store.expire() == 0
        held.release()
        assert store.expire() == 1


def test_side_objects_are_tagged_for_lifecycle_rules() -> None:
    with bench() as found:
        store = found.store(use_tags=True)
        upload = store.create(length=20)
        store.write(upload.id, 0, b"abc")

        def tags() -> set[Any]:
            return {o.attributes.tagging for k, o in found.objects.items() if "." in k}

        assert tags() == {"Tus-Completed=false"}
        store.write(upload.id, 3, data(17))
        assert tags() == {"Tus-Completed=true"}


def test_the_lock_of_a_process_that_died_is_removed_and_one_that_is_held_is_not() -> None:
    from libcloud_s3mpu.resumable import S3Locker

    clock = Clock()
    with bench() as found:
        locker = S3Locker(found.service.driver, found.service.container)
        store = found.store(clock=clock, locker=locker)
        done = store.write(store.create(length=3).id, 0, b"abc")
        locker.acquire(done.id.partition("+")[0])  # And nobody lets go of it.
        store.expire(older_than=0)
        assert found.sides() == ["info", "lock"]
        clock.ahead = 3601
        store.expire(older_than=60)
        assert found.sides() == ["info"] and store.get(done.id).complete
