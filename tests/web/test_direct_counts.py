# SPDX-License-Identifier: Apache-2.0
"""What a direct upload costs the app's server: few requests, and no byte of the file."""

from __future__ import annotations

import os
import json
from typing import Any
from urllib.parse import quote
from collections.abc import Iterator

import pytest

from tests.web.doors import Sent, ValueDoor
from tests.unit.small import AT_ONCE, Service, service
from tests.web.conftest import LIMITS, FAKE_LIMITS
from libcloud_s3mpu.web.direct import DirectHandler
from libcloud_s3mpu.direct_client import DirectUploadClient

PARTS = 200
SIZE = 5 * PARTS - 2


@pytest.fixture
def s3() -> Iterator[Service]:
    with service(limits=FAKE_LIMITS) as made:
        made.driver.ex_limits = LIMITS
        yield made


class CountedApp:
    """The app by Companion's layout, as ``DirectServer`` sees it; all that crosses is noted."""

    def __init__(self, made: Service) -> None:
        handler = DirectHandler(
            made.driver, made.container, "in/", authorize=lambda *_: True, base_path="/up"
        )
        self._door = ValueDoor(handler)
        self.requests = 0
        self.crossed = b""

    def ask(self, method: str, target: str, value: Any = None) -> Any:
        sent = Sent(json.dumps(value).encode()) if value is not None else None
        answer = self._door.send(method, target, {}, sent)
        assert answer is not None and answer.status in (200, 201), answer
        self.requests += 1
        self.crossed += (sent.data if sent else b"") + answer.body
        return json.loads(answer.body)

    def begin(self) -> dict[str, Any]:
        made = self.ask("POST", "/up/s3/multipart", {"filename": "a.bin", "type": "a/b"})
        self._upload = f"/up/s3/multipart/{quote(made['uploadId'], safe='')}"
        self._key = f"key={quote(made['key'], safe='')}"
        return {
            "container": "bucket",
            "object_name": made["key"],
            "upload_id": made["uploadId"],
            "size_bytes": SIZE,
            "part_size_bytes": 5,
            "number_of_parts": PARTS,
            "headers": {},
            "parts": [],
        }

    def part_urls(self, numbers: list[int]) -> Any:
        wanted = ",".join(map(str, numbers))
        batch = f"{self._upload}/batch?{self._key}&partNumbers={wanted}"
        return self.ask("GET", batch)["presignedUrls"]

    def list_parts(self) -> Any:
        return self.ask("GET", f"{self._upload}?{self._key}")

    def complete(self, parts: Any) -> Any:
        return self.ask("POST", f"{self._upload}/complete?{self._key}", {"parts": parts})

    def abort(self) -> Any:
        return self.ask("DELETE", f"{self._upload}?{self._key}")


@pytest.mark.parametrize("concurrency", [1, None])
def test_an_upload_asks_the_app_twice_per_hundred_parts_and_sends_it_no_byte(
    s3: Service, concurrency: int | None
) -> None:
    # A byte of each part that no JSON, URL or ETag has.
    data = b"\xff".join(os.urandom(4) for _ in range(PARTS))[: SIZE - 1].ljust(SIZE, b"\xff")
    app = CountedApp(s3)
    with DirectUploadClient(retry=AT_ONCE, concurrency=concurrency) as client:
        ticket = app.begin()
        client.upload([data], ticket, app)
    assert s3.stored(ticket["object_name"]) == data
    assert len(s3.fake.requests_of("UploadPart")) == PARTS
    assert app.requests <= 2 * PARTS // 100
    assert b"\xff" not in app.crossed and app.crossed.isascii()


def test_the_app_itself_sends_no_body_of_a_part(s3: Service) -> None:
    app = CountedApp(s3)
    ticket = app.begin()
    app.part_urls(list(range(1, 101)))
    # What the app's own driver sent: the beginning, and one small question for the batch.
    assert [r.operation for r in s3.fake.requests] == ["InitiateMultipartUpload", "ListParts"]
    assert ticket["upload_id"] in s3.fake.uploads
    app.abort()


@pytest.mark.parametrize("parts", [100, 1])
def test_a_ticket_with_all_urls_asks_the_app_for_completion_alone(s3: Service, parts: int) -> None:
    asked: list[str] = []
    direct = s3.driver.ex_create_direct_upload(
        s3.container, "key", 5 * parts, part_size_bytes=5, threshold_bytes=0
    )

    class App:
        def __getattr__(self, name: str) -> Any:
            if name == "signed_part_url":
                raise AttributeError(name)  # What an app may have, and this one has not.

            def call(*args: Any) -> Any:
                asked.append(name)
                return getattr(direct, name)(*args)

            return call

    with DirectUploadClient(retry=AT_ONCE) as client:
        client.upload([os.urandom(5 * parts)], direct.as_dict(), App())  # type: ignore[arg-type]
    assert asked == ["complete"]
