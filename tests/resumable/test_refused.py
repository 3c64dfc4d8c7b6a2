# SPDX-License-Identifier: Apache-2.0
"""A refusal (403) is no missing upload, nor is a record that cannot be read: neither loses one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.fake_s3 import faults
from tests.resumable.store import Bench, data, bench
from libcloud_s3mpu.resumable import (
    S3Locker,
    UploadGoneError,
    UploadVersionError,
    UploadNotFoundError,
)
from tests.resumable.test_expire import Clock
from libcloud_s3mpu.protocol.errors import AccessDeniedError
from libcloud_s3mpu.protocol.messages import S3Response

DENIED = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"


class Blind:
    """A sender without the right to list: what is not there is refused."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def call(self, request: Any) -> Any:
        response = self._inner.call(request)
        is_object = request.key and not request.query and request.method in ("GET", "HEAD")
        if is_object and response.status == 404:
            body = b"" if request.method == "HEAD" else DENIED
            return S3Response(status=403, headers=response.headers, body=body)
        return response

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def blind(found: Bench, **options: Any) -> Any:
    store = found.store(**options)
    store._store.objects.sender = Blind(store._store.objects.sender)
    return store


def record_of(upload: Any) -> str:
    return f"uploads/{upload.id.rpartition('+')[0]}.info"


def test_without_the_right_to_list_all_goes_on() -> None:
    with bench() as found:
        store = blind(found)
        for id in ("abc+def", "no/such+id"):
            with pytest.raises(UploadNotFoundError):
                store.get(id)
        upload = store.create(length=20)
        assert store.get(upload.id).offset == 0
        store.write(upload.id, 0, data(11))
        assert found.body(store.write(upload.id, 11, data(20)[11:])) == data(20)
        assert store.terminate(upload.id) and not store.terminate(upload.id)
        gone = store.create(length=20)
        found.fake.uploads.clear()
        with pytest.raises(UploadGoneError):
            store.get(gone.id)
        assert sorted(found.objects) == [record_of(gone)]  # No probe is left.


@pytest.mark.parametrize("make", [Bench.store, blind], ids=["may list", "may not"])
def test_a_record_that_is_refused_is_no_missing_upload(make: Any) -> None:
    with bench() as found:
        store = make(found)
        upload = store.create(length=20)
        store.write(upload.id, 0, data(11))
        key = None if make is blind else record_of(upload)
        found.fake.script("GetObject", faults.error("AccessDenied"), key=key, forever=True)
        for verb in (store.get, store.terminate, store.finish):
            with pytest.raises(AccessDeniedError):
                verb(upload.id)
        with pytest.raises(AccessDeniedError):
            store.write(upload.id, 11, data(9))
        found.fake.clear_scripts()
        assert store.get(upload.id).offset == 11
        assert not [key for key in found.objects if "probe" in key]


def test_a_clean_up_that_may_not_read_a_record_removes_nothing_of_it() -> None:
    clock = Clock()
    with bench() as found:
        store = found.store(clock=clock)
        upload = store.create(length=20, key="named")
        store.write(upload.id, 0, data(11))
        clock.ahead = 10 * 86_400
        found.fake.script(
            "GetObject", faults.error("AccessDenied"), key=record_of(upload), forever=True
        )
        with pytest.raises(AccessDeniedError):
            store.expire()
        found.fake.clear_scripts()
        assert found.body(store.write(upload.id, 11, data(20)[11:])) == data(20)


def test_what_a_newer_version_keeps_is_left_to_it() -> None:
    clock = Clock()
    with bench() as found:
        store = found.store(clock=clock)
        upload = store.create(length=20, key="named")
        store.write(upload.id, 0, data(11))
        key = record_of(upload)
        fields = json.loads(found.objects[key].body)
        fields["S3MPU"]["Version"] += 1
        store._store.objects.put(key, json.dumps(fields).encode())
        with pytest.raises(UploadVersionError) as caught:
            store.get(upload.id)
        assert caught.value.retryable
        assert list(store.list()) == []
        before = sorted(found.objects)
        clock.ahead = 10 * 86_400
        assert store.expire(older_than=60) == 0
        assert sorted(found.objects) == before and len(found.fake.uploads) == 1


@pytest.mark.timeout(20)
def test_a_lock_that_may_not_be_read_is_not_waited_for_for_ever() -> None:
    with bench() as found:
        how: dict[str, Any] = {"poll_seconds": 0.01, "timeout_seconds": 0.2}
        locker = S3Locker(found.service.driver, found.service.container, **how)
        held = locker.acquire("name")
        found.fake.script("GetObject", faults.error("AccessDenied"), forever=True)
        with pytest.raises(AccessDeniedError):
            locker.acquire("name")
        found.fake.clear_scripts()
        held.check(now=True)
        held.release()


def test_a_name_that_is_no_text_is_refused_before_anything_is_sent() -> None:
    with bench() as found:
        with pytest.raises(ValueError, match="metadata"):
            found.store().create(length=1, metadata={"\ud800": b"x"})
        assert found.asked() == []
