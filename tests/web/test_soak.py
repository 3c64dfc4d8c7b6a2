# SPDX-License-Identifier: Apache-2.0
"""Many uploads through several server processes while everything between them goes wrong.

Clients break off anywhere and go on with another process; connections to S3 meet resets, lost and
cut answers, refusals and delays; processes are killed, or stopped for longer than their leases and
continued. Each attempt sends bytes of its own. The law: an object is made of runs, each of one
attempt, that begin where that attempt began; what was acknowledged to it is there. ``S3MPU_LONG=1``
runs many more, and on real servers.
"""

from __future__ import annotations

import os
import time
import random
import threading
from typing import Any
from pathlib import Path
from contextlib import ExitStack, suppress
from dataclasses import field, dataclass
from urllib.parse import unquote, urlsplit
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from libcloud.storage.base import Container

from tests.fake_s3 import FakeS3, FakeLimits, FakeServer
from tests.web.chaos import chaos
from tests.web.doors import Sent, SocketDoor, head_of
from tests.unit.small import make_driver, close_driver
from tests.web.process import Process, config_of, redis_server
from tests.servers.ceph import Ceph
from tests.web.conftest import TYPE, VERSION
from libcloud_s3mpu.driver import AmazonS3MultipartDriver
from tests.servers.ministack import MiniStack
from libcloud_s3mpu.resumable import ResumableUploads

MIB = 1024 * 1024
IS_LONG = bool(os.environ.get("S3MPU_LONG"))
#: ``S3MPU_SEED`` finds other ways through it.
SEED = int(os.environ.get("S3MPU_SEED", "3"))
PATIENCE_SECONDS = 60.0 if not IS_LONG else 240.0


@dataclass
class Upload:
    """What one client knows of its upload: where each attempt began, and what it was promised."""

    length: int
    url: str = ""
    begins: list[int] = field(default_factory=list)
    #: (attempt, end) of each 204, and how often a told offset was less than a promised one.
    promised: list[tuple[int, int]] = field(default_factory=list)
    retreats: int = 0

    def attempt(self, offset: int) -> int:
        self.begins.append(offset)
        return len(self.begins)

    def bytes_of(self, attempt: int) -> bytes:
        return bytes([attempt]) * (self.length - self.begins[attempt - 1])

    def check(self, body: bytes) -> None:
        """Hold an object against the law."""
        assert len(body) == self.length
        at = 0
        ends: dict[int, int] = {}
        while at < len(body):
            attempt = body[at]
            assert 1 <= attempt <= len(self.begins), (at, attempt)
            assert self.begins[attempt - 1] == at, (at, attempt, self.begins)
            at += len(body[at:]) - len(body[at:].lstrip(body[at : at + 1]))
            ends[attempt] = at
        for attempt, end in self.promised:
            assert self.retreats or ends.get(attempt, self.begins[attempt - 1]) >= end


class Fleet:
    """The processes that serve one bucket; some of them die, or sleep."""

    def __init__(self, config: dict[str, Any], count: int, rng: random.Random) -> None:
        self._config = config
        self._rng = rng
        self._lock = threading.Lock()
        self._processes = [Process(config) for _ in range(count)]
        self.doors = [process.door for process in self._processes]
        self.killed = self.paused = 0

    def door(self) -> SocketDoor:
        return self._rng.choice(self.doors)

    def kill_one(self) -> None:
        at = self._rng.randrange(len(self._processes))
        made = Process(self._config)
        _ = made.door
        self._processes[at].kill()
        self._processes[at], self.doors[at] = made, made.door
        self.killed += 1

    def pause_one(self, seconds: float) -> None:
        process = self._rng.choice(self._processes)
        process.pause()
        time.sleep(seconds)
        process.wake()
        self.paused += 1

    def close(self) -> None:
        for process in self._processes:
            process.kill()


class Client:
    """Uploads until it is done, whatever happens to its requests."""

    def __init__(self, fleet: Fleet, *, seed: int, length: int, step: int) -> None:
        self._fleet = fleet
        self._rng = random.Random(seed)
        self._step = step
        self.upload = Upload(length)
        self.statuses: list[int] = []

    def run(self) -> Upload:
        upload, end = self.upload, time.monotonic() + PATIENCE_SECONDS
        while True:
            is_well = time.monotonic() < end and len(upload.begins) < 255
            assert is_well, ("it makes no way", self.statuses[-40:], upload)
            try:
                if not upload.url:
                    self._create()
                elif self._goes_on():
                    return upload
            except (OSError, IndexError, ValueError):
                time.sleep(0.01)  # Cut: no answer, or a part of one.

    def _create(self) -> None:
        headers = {**VERSION, "Upload-Length": str(self.upload.length)}
        answer = self._asked("POST", "/files", headers)
        if answer.status == 201:
            self.upload.url = answer["Location"]
        else:
            assert answer.status in (500, 503), answer

    def _asked(self, method: str, target: str, headers: dict[str, str]) -> Any:
        with self._fleet.door().connect() as connection:
            connection.socket.settimeout(3.0)
            connection.socket.sendall(head_of(method, target, headers, Sent()))
            answer = connection.answer(method)
        self.statuses.append(answer.status)
        return answer

    def _goes_on(self) -> bool:
        upload = self.upload
        answer = self._asked("HEAD", upload.url, VERSION)
        if answer.status != 200:
            assert answer.status in (423, 500, 503), answer
            time.sleep(0.02)
            return False
        offset = int(answer["Upload-Offset"])
        assert 0 <= offset <= upload.length
        upload.retreats += upload.promised != [] and offset < upload.promised[-1][1]
        if offset == upload.length:
            return True
        attempt = upload.attempt(offset)
        self._patch(offset, upload.bytes_of(attempt), attempt)
        return False

    def _patch(self, offset: int, body: bytes, attempt: int) -> None:
        rng = self._rng
        body = body[: rng.randint(1, len(body))] if rng.random() < 0.5 else body
        is_cut = rng.random() < 0.3
        end = rng.randrange(len(body)) if is_cut else len(body)
        headers = {**VERSION, "Content-Type": TYPE, "Upload-Offset": str(offset)}
        head = head_of("PATCH", self.upload.url, headers, Sent(length=len(body)))
        with self._fleet.door().connect() as connection:
            connection.socket.settimeout(4.0)
            connection.socket.sendall(head)
            for at in range(0, end, self._step):
                connection.socket.sendall(body[at : min(at + self._step, end)])
                time.sleep(0.01)  # So that what happens finds all stages.
            if is_cut:
                return  # The client is killed.
            answer = connection.answer("PATCH")
        self.statuses.append(answer.status)
        if answer.status == 204:
            self.upload.promised.append((attempt, int(answer["Upload-Offset"])))
        else:
            assert answer.status in (409, 423, 500, 503), answer


def soak(
    config: dict[str, Any],
    *,
    uploads: int,
    clients: int,
    processes: int,
    length: int,
    step: int,
    seed: int,
    kills: bool = True,
    pause_seconds: float = 0.0,
) -> list[Upload]:
    """Run all of it; gives what the clients know in the end."""
    rng = random.Random(seed)
    fleet = Fleet(config, processes, rng)
    over = threading.Event()

    def mischief() -> None:
        while not over.wait(rng.uniform(0.2, 0.8)):
            if pause_seconds and rng.random() < 0.5:
                fleet.pause_one(pause_seconds)
            elif kills:
                fleet.kill_one()

    thread = threading.Thread(target=mischief, daemon=True)
    thread.start()
    try:
        with ThreadPoolExecutor(clients) as pool:
            made = [
                Client(fleet, seed=seed * 1000 + n, length=rng.randint(1, length), step=step)
                for n in range(uploads)
            ]
            done = list(pool.map(Client.run, made))
    finally:
        over.set()
        thread.join(30)
        fleet.close()
    attempts = sum(len(each.begins) for each in done)
    retreats = sum(each.retreats for each in done)
    print(
        f"{uploads} uploads, {attempts} attempts, {fleet.killed} kills, {fleet.paused} pauses, "
        f"{retreats} retreats"
    )
    return done


@pytest.fixture(params=["file", "s3", "redis"])
def locks(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Any]]:
    with ExitStack() as stack:
        where: Any = tmp_path
        if request.param == "redis":
            pytest.importorskip("redis")
            where = stack.enter_context(redis_server(tmp_path))
        yield request.param, where


@pytest.mark.timeout(600)
@pytest.mark.parametrize("pause_seconds", [0.0, 1.6], ids=["kills", "kills and sleep"])
def test_whatever_happens_objects_are_what_was_told(
    locks: tuple[str, Any], pause_seconds: float
) -> None:
    on_the_fake(*locks, pause_seconds=pause_seconds)


@pytest.mark.timeout(600)
def test_over_https(tmp_path: Path) -> None:
    """Parts then carry CRCs, which the record keeps and complete names."""
    on_the_fake("file", tmp_path, pause_seconds=1.6, tls=True)


def on_the_fake(kind: str, where: Any, *, pause_seconds: float, tls: bool = False) -> None:
    fake = FakeS3(FakeLimits(min_part_size=512), buckets=("bucket",))
    with FakeServer(fake, tls=tls) as server:
        address = urlsplit(server.endpoint)
        with chaos(str(address.hostname), int(address.port or 0), rate=0.04, seed=7) as proxy:
            endpoint = proxy.endpoint.replace("http:", f"{address.scheme}:")
            config = config_of(endpoint, kind, where, part=700, min_part=512)
            if tls:
                config["ca"] = str(server.ca_file)
            done = soak(
                config,
                uploads=200 if IS_LONG else 16,
                clients=8 if IS_LONG else 4,
                processes=4 if IS_LONG else 2,
                length=20_000,
                step=600,
                seed=SEED,
                pause_seconds=pause_seconds,
            )
            print(dict(proxy.met))
        driver = make_driver(server)
        try:
            store = ResumableUploads(driver, Container("bucket", {}, driver), part=5)
            objects = fake.objects["bucket"]
            for each in done:
                each.check(objects[store.get(id_of(each)).key].body)
            # A creation whose answer was lost left an upload that no client knows.
            store.expire(older_than=-1.0)
        finally:
            close_driver(driver)
    assert fake.uploads == {}
    # The lock of who was killed runs out; an hour later a clean-up removes it.
    assert {key.rpartition(".")[2] for key in objects if "." in key} <= {"info", "lock"}


def id_of(upload: Upload) -> str:
    return unquote(upload.url.rpartition("/")[2])


@pytest.mark.contract
@pytest.mark.timeout(900)
@pytest.mark.skipif(not IS_LONG, reason="takes minutes: S3MPU_LONG=1 runs it")
@pytest.mark.parametrize("server", [MiniStack, Ceph], ids=["ministack", "ceph"])
def test_on_real_servers(server: Any, tmp_path: Path) -> None:
    made = server()
    missing = made.available()
    if missing:
        pytest.skip(missing)
    with made as endpoint:
        driver = AmazonS3MultipartDriver(
            endpoint.access_key,
            endpoint.secret_key,
            region=endpoint.region,
            ex_endpoint_url=endpoint.url,
        )
        try:
            container = driver.create_container("soak")
            with chaos(endpoint.host, endpoint.port, rate=0.04, seed=8) as proxy:
                config = config_of(
                    proxy.endpoint,
                    "file",
                    tmp_path,
                    part=5 * MIB,
                    min_part=5 * MIB,
                    keys=[endpoint.access_key, endpoint.secret_key],
                    region=endpoint.region,
                    bucket=container.name,
                )
                done = soak(
                    config,
                    uploads=16,
                    clients=3,
                    processes=2,
                    length=24 * MIB,
                    step=256 * 1024,
                    seed=SEED,
                    pause_seconds=1.6,
                )
                print(dict(proxy.met))
            store = ResumableUploads(driver, container, part=5 * MIB)
            for each in done:
                each.check(b"".join(store.read(id_of(each))))
            store.expire(older_than=-1.0)
            with suppress(StopIteration):
                assert not next(driver.ex_iterate_multipart_uploads(container))
        finally:
            close_driver(driver)
