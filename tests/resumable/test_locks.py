# SPDX-License-Identifier: Apache-2.0
"""Rule 10: one writer per upload, in whichever process, and no byte acknowledged to two."""

from __future__ import annotations

import io
import sys
import json
import logging
import threading
import subprocess
from typing import Any
from pathlib import Path
from itertools import pairwise

import pytest

from tests.fake_s3 import Quirks, faults
from tests.resumable.store import Bench, data, bench
from libcloud_s3mpu.resumable import (
    S3Locker,
    FileLocker,
    FencedError,
    MemoryLocker,
    UploadLockedError,
)

ROOT = Path(__file__).resolve().parents[2]
KINDS = ["memory", "file", "s3"]


class Time:
    """A clock that only its own sleep moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def made(kind: str, found: Bench, tmp_path: Path, **options: Any) -> Any:
    if kind == "memory":
        return MemoryLocker(**options)
    if kind == "file":
        return FileLocker(tmp_path / "locks", **options)
    return S3Locker(found.service.driver, found.service.container, poll_seconds=0.01, **options)


@pytest.mark.parametrize("kind", KINDS)
def test_10_a_free_lock_is_taken_and_given_back(kind: str, tmp_path: Path) -> None:
    with bench() as found:
        locker = made(kind, found, tmp_path)
        first = locker.acquire("name")
        first.check(now=True)
        first.release()
        first.release()
        second = locker.acquire("name")
        assert second.token > first.token
        with pytest.raises(FencedError):
            first.check(now=True)
        second.release()
        assert found.objects == {}
        assert list(tmp_path.glob("locks/*.lease")) == []


@pytest.mark.parametrize("kind", KINDS)
def test_10_a_holder_is_asked_to_stop(kind: str, tmp_path: Path) -> None:
    with bench() as found:
        locker = made(kind, found, tmp_path, timeout_seconds=10)
        held = locker.acquire("name")
        assert not held.is_wanted
        got: list[Any] = []
        thread = threading.Thread(target=lambda: got.append(locker.acquire("name")), daemon=True)
        thread.start()
        while not held.is_wanted:
            held.check(now=True)
        held.release()
        thread.join(10)
        assert got and got[0].token > held.token
        got[0].release()


@pytest.mark.parametrize("kind", KINDS)
def test_10_a_holder_that_works_is_not_replaced(kind: str, tmp_path: Path) -> None:
    with bench() as found:
        locker = made(kind, found, tmp_path, timeout_seconds=0.05)
        held = locker.acquire("name")
        with pytest.raises(UploadLockedError):
            locker.acquire("name")
        held.check(now=True)
        held.release()


@pytest.mark.parametrize("kind", ["memory", "file"])
def test_10_a_holder_that_stalls_is_replaced_and_finds_out(kind: str, tmp_path: Path) -> None:
    with bench() as found:
        locker = made(kind, found, tmp_path, ttl_seconds=0.05, timeout_seconds=10)
        held = locker.acquire("name")
        other = locker.acquire("name")
        with pytest.raises(FencedError):
            held.check(now=True)
        held.release()  # Which is not his to release any more.
        other.check(now=True)
        other.release()


def test_10_on_s3_the_services_clock_says_when_a_holder_stalls() -> None:
    with bench() as found:
        locker = made("s3", found, Path(), ttl_seconds=60, timeout_seconds=0.05)
        held = locker.acquire("name")
        with pytest.raises(UploadLockedError):
            locker.acquire("name")
        from datetime import timedelta

        from tests.fake_s3.state import system_clock

        found.fake.clock = lambda: system_clock() + timedelta(seconds=61)
        other = locker.acquire("name")
        with pytest.raises(FencedError):
            held.check(now=True)
        other.check(now=True)
        other.release()
        assert found.objects == {}


def test_10_a_lock_whose_answer_was_lost_is_still_ones_own() -> None:
    with bench() as found:
        locker = made("s3", found, Path())
        locker.acquire("probe").release()
        found.fake.script("PutObject", faults.close(applied=True))
        held = locker.acquire("name")
        found.fake.script("PutObject", faults.close(applied=True))
        held.check(now=True)
        held.release()
        assert found.objects == {}


@pytest.mark.parametrize("code", ["NotImplemented", None])
def test_10_a_store_without_conditions_is_found_out_and_said(
    code: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    with bench() as found:
        locker = S3Locker(found.service.driver, found.service.container)
        fallback = S3Locker(found.service.driver, found.service.container, fallback=MemoryLocker())
        for each in (locker, fallback):
            _without_conditions(found, each, code)
        with pytest.raises(NotImplementedError):
            locker.acquire("name")
        with caplog.at_level(logging.WARNING):
            fallback.acquire("name").release()
        assert "no conditional writes" in caplog.text


def _without_conditions(found: Bench, locker: Any, code: str | None) -> None:
    """Have a store say 501, or (None) ignore the conditions."""
    objects = locker._objects
    if code is not None:
        found.fake.script("PutObject", faults.answer(501, code))
        return
    put = objects.put
    objects.put_if = lambda key, body, **_: put(key, body)


def test_10_without_conditions_a_record_is_looked_at_before_it_is_replaced(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with bench() as found:
        store = found.store()
        upload = store.create(length=20)
        found.fake.script(
            "PutObject", faults.answer(501, "NotImplemented"), key=f"{upload.key}.info"
        )
        assert store.write(upload.id, 0, data(11)).offset == 11
        assert "no conditional writes" in caplog.text
        assert found.body(store.write(upload.id, 11, data(20)[11:])) == data(20)


def test_10_a_stalled_write_is_taken_over_and_never_acknowledged() -> None:
    with bench() as found:
        store = found.store(locker=MemoryLocker(ttl_seconds=0.1, timeout_seconds=10))
        upload = store.create(length=40)
        stalls, goes_on = threading.Event(), threading.Event()

        class Stalling(io.BytesIO):
            def read(self, size: int | None = -1, /) -> bytes:
                if self.tell() == 12:
                    stalls.set()
                    assert goes_on.wait(10)
                return super().read(4)

        errors: list[BaseException] = []

        def stalled() -> None:
            try:
                store.write(upload.id, 0, Stalling(b"x" * 40))
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=stalled, daemon=True)
        thread.start()
        assert stalls.wait(10)
        offset = store.get(upload.id).offset
        info = store.write(upload.id, offset, data(40)[offset:])
        goes_on.set()
        thread.join(10)
        assert [type(error) for error in errors] == [FencedError]
        assert info.complete and found.body(info)[offset:] == data(40)[offset:]


def test_10_a_live_write_stops_when_asked_and_keeps_what_came() -> None:
    with bench() as found:
        store = found.store()
        upload = store.create(length=40)
        flows = threading.Event()
        infos: list[Any] = []

        class Slow:
            def read(self, size: int) -> bytes:
                flows.set()
                threading.Event().wait(0.01)
                return b"x"

        thread = threading.Thread(
            target=lambda: infos.append(store.write(upload.id, 0, Slow())), daemon=True
        )
        thread.start()
        assert flows.wait(10)
        from libcloud_s3mpu.resumable import OffsetMismatchError

        with pytest.raises(OffsetMismatchError) as caught:
            store.write(upload.id, 39, b"y")
        thread.join(10)
        assert infos[0].offset == caught.value.offset > 0


@pytest.mark.parametrize("locker", ["file", "s3", "memory"])
@pytest.mark.timeout(60)
def test_10_two_processes_never_acknowledge_the_same_bytes(locker: str, tmp_path: Path) -> None:
    with bench() as found:
        store = found.store()
        upload = store.create(length=120)
        port = str(found.service.server.port)
        command = [sys.executable, "-m", "tests.resumable.child", port, upload.id, locker]
        children = [
            subprocess.Popen(
                [*command, str(tmp_path), letter],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=ROOT,
                text=True,
            )
            for letter in "ab"
        ]
        told = []
        try:
            for letter, child in zip("ab", children, strict=True):
                out, err = child.communicate(timeout=40)
                assert child.returncode == 0, err[-1500:]
                told += [(*json.loads(line), letter) for line in out.splitlines()]
        finally:
            for child in children:
                child.kill()
                child.wait()
        told = sorted(span for span in told if span[0] != span[1])
        if locker == "memory":
            # Without a common lock each overwrites the other's parts, and is sent back.
            body = found.body(store.get(upload.id))
            assert len(body) == 120 and set(body) <= set(b"ab")
            return
        for (_, end, _), (begin, _, _) in pairwise(told):
            assert end <= begin  # No byte twice.
        assert told[0][0] == 0 and told[-1][1] == 120, told
        assert all(before[1] == after[0] for before, after in pairwise(told)), told
        wanted = b"".join(letter.encode() * (end - begin) for begin, end, letter in told)
        assert found.body(store.get(upload.id)) == wanted
        assert found.sides() == ["info"]


def test_10_conditions_are_signed_and_sent() -> None:
    with bench(quirks=Quirks()) as found:
        store = found.store()
        store.create(length=20)
        put = found.fake.requests_of("PutObject")[0]
        assert put.headers["if-none-match"] == "*"


def test_10_redis_keeps_leases() -> None:
    fakeredis = pytest.importorskip("fakeredis")
    from libcloud_s3mpu.resumable import RedisLocker

    client = fakeredis.FakeRedis()
    locker = RedisLocker(client, timeout_seconds=0.05)
    held = locker.acquire("name")
    with pytest.raises(UploadLockedError):
        locker.acquire("name")
    held.check(now=True)
    assert held.is_wanted
    held.release()
    other = locker.acquire("name")
    assert other.token > held.token
    with pytest.raises(FencedError):
        held.check(now=True)
    client.flushall()
    with pytest.raises(FencedError):
        other.check(now=True)


def test_10_a_locker_that_lacks_its_library_names_the_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from libcloud_s3mpu.resumable import RedisLocker

    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(ImportError, match=r"libcloud_s3mpu\[redis\]"):
        RedisLocker(object())


def test_10_a_probe_for_conditions_is_not_disturbed_by_that_of_another_process() -> None:
    """Workers start together: each puts, asks, and cleans up at the same time."""
    with bench() as found:
        one, other = (S3Locker(found.service.driver, found.service.container) for _ in range(2))
        inner = one._objects.sender
        met: list[Any] = []

        class Meets:
            adapt = inner.adapt

            def call(self, request: Any) -> Any:
                response = inner.call(request)
                if request.method == "PUT" and not met:
                    met.append(request)
                    other.acquire("other").release()
                return response

        one._objects.sender = Meets()  # type: ignore[assignment]
        one.acquire("name").release()
        assert met and one._is_sound and other._is_sound
        assert found.objects == {}


def test_10_who_loses_the_record_with_a_tail_in_his_hands_is_told_so() -> None:
    with bench() as found:
        store, other = found.store(), found.store()
        upload = store.create(length=40)
        store.write(upload.id, 0, data(3))

        class Meddled:
            def __init__(self) -> None:
                self._body = io.BytesIO(data(40)[3:17])

            def read(self, size: int) -> bytes:
                if not self._body.tell():
                    other.write(upload.id, 3, b"x")
                return self._body.read(size)

        with pytest.raises(FencedError):
            store.write(upload.id, 3, Meddled())
        assert store.get(upload.id).offset == 4


def test_10_a_lease_on_s3_lasts_its_time_although_dates_are_whole_seconds() -> None:
    from datetime import datetime, timezone, timedelta

    with bench() as found:
        now = datetime.now(timezone.utc).replace(microsecond=900_000)
        found.fake.clock = lambda: now
        locker = made("s3", found, Path(), ttl_seconds=1, timeout_seconds=0)
        locker.acquire("probe").release()
        held = locker.acquire("name")
        now += timedelta(seconds=0.2)  # The next second has begun.
        with pytest.raises(UploadLockedError):
            locker.acquire("name")
        now += timedelta(seconds=2)
        assert locker.acquire("name").token > held.token
