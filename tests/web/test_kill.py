# SPDX-License-Identifier: Apache-2.0
"""The server process is killed (SIGKILL) at random moments of a PATCH; the client goes on.

After each death the client sends other bytes from the offset on that it is told: an object in which
bytes of two attempts are mixed, or in which acknowledged ones are missing, is found at once.
"""

from __future__ import annotations

import os
import time
import uuid
import random
import threading
from typing import Any
from pathlib import Path
from contextlib import suppress

import pytest
from libcloud.storage.base import Container

from tests.fake_s3 import FakeS3, FakeLimits, FakeServer
from tests.web.doors import Sent, SocketDoor, head_of
from tests.unit.small import make_driver, close_driver
from tests.web.process import Process, config_of
from tests.servers.ceph import Ceph
from tests.web.conftest import TYPE, VERSION
from libcloud_s3mpu.driver import AmazonS3MultipartDriver
from tests.servers.ministack import MiniStack
from libcloud_s3mpu.resumable import ResumableUploads

KIB = 1024
MIB = 1024 * KIB
IS_LONG = bool(os.environ.get("S3MPU_LONG"))


class Client:
    """Uploads files one after the other, whatever becomes of the server.

    :param step: bytes sent at once; a short pause follows, so that deaths find all stages.
    """

    def __init__(self, *, length: int, step: int, rng: random.Random) -> None:
        self._length = length
        self._step = step
        self._rng = rng
        self._url = ""
        #: What the object must hold, as far as bytes were sent at all; and acknowledged ones.
        self._sent = b""
        self._acknowledged = 0
        self.completed: list[tuple[str, bytes]] = []
        self.resumed: list[int] = []

    def go_on(self, door: SocketDoor) -> None:
        """One life of the server: ask, send, take in the answer if there is one."""
        if not self._url:
            answer = door.send("POST", "/files", {**VERSION, "Upload-Length": str(self._length)})
            assert answer is not None and answer.status == 201, answer
            self._url, self._sent, self._acknowledged = answer["Location"], b"", 0
        answer = door.send("HEAD", self._url, VERSION)
        assert answer is not None and answer.status == 200, answer
        offset = int(answer["Upload-Offset"])
        assert self._acknowledged <= offset <= len(self._sent), "the offset is not true"
        self._acknowledged = offset
        self.resumed.append(offset)
        if offset == self._length:
            self._is_done()
            return
        self._sent = self._sent[:offset]
        self._patch(door, offset)

    def _patch(self, door: SocketDoor, offset: int) -> None:
        rest = self._rng.randbytes(self._length - offset)
        headers = {**VERSION, "Content-Type": TYPE, "Upload-Offset": str(offset)}
        head = head_of("PATCH", self._url, headers, Sent(length=len(rest)))
        with door.connect() as connection:
            connection.socket.sendall(head)
            for at in range(0, len(rest), self._step):
                piece = rest[at : at + self._step]
                self._sent += piece  # Before it is sent: it may arrive although this fails.
                connection.socket.sendall(piece)
                time.sleep(0.0005)
            answer = connection.answer("PATCH")
            if answer.status == 204:
                self._acknowledged = int(answer["Upload-Offset"])
                assert self._acknowledged <= len(self._sent)
                if self._acknowledged == self._length:
                    self._is_done()
            else:  # The dead one's lease: it runs out.
                assert answer.status in (409, 423), answer

    def _is_done(self) -> None:
        self.completed.append((self._url.rpartition("/")[2], self._sent))
        self._url = ""


def killed(client: Client, config: dict[str, Any], *, kills: int, within_seconds: float) -> None:
    """Run the client through so many deaths, and let it end what it began."""
    rng = random.Random(kills)
    now, spare = Process(config), Process(config)
    try:
        for _ in range(kills):
            door = now.door
            begun = threading.Event()
            killer = threading.Thread(target=_kill_later, args=(now, begun, rng, within_seconds))
            killer.start()
            try:
                begun.set()
                while True:
                    client.go_on(door)
            except (OSError, IndexError, ValueError):
                pass  # Cut: no answer, or a part of one.
            killer.join()
            now, spare = spare, Process(config)
        done = len(client.completed)
        while len(client.completed) == done:
            client.go_on(now.door)
    finally:
        now.stop()
        spare.stop()


def _kill_later(
    process: Process, begun: threading.Event, rng: random.Random, within_seconds: float
) -> None:
    begun.wait(10.0)
    time.sleep(rng.uniform(0.0, within_seconds))
    process.kill()


@pytest.mark.timeout(120)
def test_twenty_kills_leave_bytes_and_offsets_true(tmp_path: Path) -> None:
    fake = FakeS3(FakeLimits(min_part_size=16 * KIB), buckets=("bucket",))
    client = Client(length=400 * KIB, step=4 * KIB, rng=random.Random(1))
    with FakeServer(fake) as server:
        config = config_of(server.endpoint, "file", tmp_path, part=24 * KIB, min_part=16 * KIB)
        killed(client, config, kills=20, within_seconds=0.3)
        # A creation that died before its answer left an upload that no client knows.
        driver = make_driver(server)
        try:
            store = ResumableUploads(driver, Container("bucket", {}, driver), part=5)
            store.expire(older_than=-1.0)
        finally:
            close_driver(driver)
    objects = fake.objects["bucket"]
    for id, body in client.completed:
        assert objects[f"uploads/{id.partition('%2B')[0].partition('+')[0]}"].body == body
    assert len(client.resumed) > 20
    assert any(0 < offset < 400 * KIB for offset in client.resumed)  # It was in the midst of it.
    assert fake.uploads == {}


@pytest.mark.contract
@pytest.mark.timeout(600)
@pytest.mark.skipif(not IS_LONG, reason="takes minutes: S3MPU_LONG=1 runs it")
@pytest.mark.parametrize("server", [MiniStack, Ceph], ids=["ministack", "ceph"])
def test_kills_on_real_servers(server: Any, tmp_path: Path) -> None:
    made = server()
    missing = made.available()
    if missing:
        pytest.skip(missing)
    client = Client(length=24 * MIB + 17, step=256 * KIB, rng=random.Random(2))
    with made as endpoint:
        driver = AmazonS3MultipartDriver(
            endpoint.access_key,
            endpoint.secret_key,
            region=endpoint.region,
            ex_endpoint_url=endpoint.url,
        )
        try:
            bucket = f"kill-{uuid.uuid4().hex[:8]}"
            driver.create_container(bucket)
            config = config_of(
                endpoint.url,
                "file",
                tmp_path,
                keys=[endpoint.access_key, endpoint.secret_key],
                region=endpoint.region,
                bucket=bucket,
                part=6 * MIB,
                min_part=5 * MIB,
            )
            killed(client, config, kills=6, within_seconds=1.5)
            container = Container(bucket, {}, driver)
            for id, body in client.completed:
                key = f"uploads/{id.partition('%2B')[0].partition('+')[0]}"
                found = driver.get_object(container.name, key)
                assert b"".join(found.as_stream()) == body
        finally:
            with suppress(Exception):
                close_driver(driver)
