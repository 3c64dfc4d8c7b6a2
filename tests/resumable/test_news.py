# SPDX-License-Identifier: Apache-2.0
"""Of all calls in all processes, one is told that it completed an upload."""

from __future__ import annotations

from typing import Any
from contextlib import suppress
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.fake_s3 import faults
from tests.resumable.store import Bench, data, bench
from libcloud_s3mpu.resumable import UploadNotFoundError
from libcloud_s3mpu.protocol.errors import S3MultipartError

BODY = data(20)


def unfinished(found: Bench, store: Any) -> Any:
    """An upload with all its bytes and no object: its completion was refused."""
    upload = store.create(length=len(BODY))
    found.fake.script("CompleteMultipartUpload", faults.error("AccessDenied"))
    with pytest.raises(S3MultipartError):
        store.write(upload.id, 0, BODY)
    return upload


def test_a_write_that_completes_says_so_once() -> None:
    with bench() as found:
        store = found.store()
        upload = store.create(length=len(BODY))
        assert not upload.just_completed
        assert not store.write(upload.id, 0, BODY[:9]).just_completed
        assert store.write(upload.id, 9, BODY[9:]).just_completed
        assert not store.write(upload.id, 20, b"").just_completed
        assert not store.get(upload.id).just_completed
        assert not store.finish(upload.id).extra["just_completed"]
        assert not any(info.just_completed for info in store.list())


def test_every_verb_that_completes_says_so() -> None:
    with bench() as found:
        store = found.store()
        empty = store.create(length=0)
        assert empty.just_completed and not store.get(empty.id).just_completed
        deferred = store.create()
        store.write(deferred.id, 0, BODY)
        assert store.declare_length(deferred.id, len(BODY)).just_completed
        joined = store.concat([deferred.id, deferred.id])
        assert joined.just_completed and not store.get(joined.id).just_completed


@pytest.mark.parametrize("again", ["get", "write", "finish"])
def test_who_makes_a_failed_completion_good_is_told(again: str) -> None:
    with bench() as found:
        store = found.store()
        upload = unfinished(found, store)
        if again == "get":
            assert store.get(upload.id).just_completed
        elif again == "write":
            assert store.write(upload.id, 20, b"").just_completed
        else:
            assert store.finish(upload.id).extra["just_completed"]
        assert not store.get(upload.id).just_completed


@pytest.mark.timeout(60)
@pytest.mark.parametrize("is_done", [False, True], ids=["refused", "done and not noted"])
def test_of_many_at_once_one_is_told(is_done: bool) -> None:
    with bench() as found:
        store = found.store()
        if is_done:
            upload = store.create(length=len(BODY))
            store.write(upload.id, 0, BODY[:19])
            # It is completed, and then nobody can write that down.
            found.fake.script("PutObject", faults.pass_through())  # The commit of the last byte.
            found.fake.script("PutObject", *[faults.error("AccessDenied")] * 9)
            assert not store.write(upload.id, 19, BODY[19:]).just_completed
            found.fake.clear_scripts()
        else:
            upload = unfinished(found, store)
        with ThreadPoolExecutor(8) as pool:
            # Each with a locker of its own, as processes without a common one have.
            told = list(pool.map(lambda _: _asked(found.store(), upload.id), range(24)))
        assert told.count(True) == 1
        assert found.body(upload) == BODY


def _asked(store: Any, id: str) -> bool:
    with suppress(S3MultipartError):
        return bool(store.get(id).just_completed)
    return bool(store.get(id).just_completed)


@pytest.mark.parametrize(
    "fault",
    [faults.reset(applied=True), faults.error("InternalError", applied=True)],
    ids=lambda fault: fault.name,
)
def test_a_lost_answer_to_the_commit_is_no_loss_of_the_news(fault: Any) -> None:
    with bench() as found:
        store = found.store()
        upload = unfinished(found, store)
        key = f"{upload.key}.info"
        found.fake.script("PutObject", fault, key=key)
        assert store.get(upload.id).just_completed
        assert not store.get(upload.id).just_completed


def test_a_commit_that_took_effect_and_was_given_up_is_looked_for() -> None:
    with bench() as found:
        store = found.store()
        upload = unfinished(found, store)
        answers = [faults.error("InternalError", applied=True)]
        answers += [faults.error("InternalError")] * 5
        found.fake.script("PutObject", *answers, key=f"{upload.key}.info")
        assert store.get(upload.id).just_completed
        assert not store.get(upload.id).just_completed


def test_in_doubt_two_are_told_rather_than_none() -> None:
    with bench() as found:
        store = found.store()
        upload = unfinished(found, store)
        key = f"{upload.key}.info"
        # The record is read twice before that: by get, and under the lock.
        gets = [faults.pass_through()] * 2 + [faults.error("InternalError")] * 6
        found.fake.script("GetObject", *gets, key=key)
        found.fake.script("PutObject", *[faults.error("InternalError")] * 6, key=key)
        assert store.get(upload.id).just_completed
        assert store.get(upload.id).just_completed
        assert not store.get(upload.id).just_completed


def test_nobody_is_told_of_one_that_was_terminated_meanwhile() -> None:
    with bench() as found:
        store = found.store()
        upload = unfinished(found, store)
        assert store.terminate(upload.id)
        with pytest.raises(UploadNotFoundError):
            store.get(upload.id)
