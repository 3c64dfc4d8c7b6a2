# SPDX-License-Identifier: Apache-2.0
"""A tus handler on the fake S3, behind each of the three doors."""

from __future__ import annotations

import base64
import hashlib
from typing import Any
from dataclasses import replace
from collections.abc import Iterator

import pytest

from tests.web.doors import DOORS, Sent, Answer, open_door
from tests.unit.small import Service, service
from tests.fake_s3.config import FakeLimits
from libcloud_s3mpu.web.tus import TusHandler
from libcloud_s3mpu.resumable import MemoryLocker, ResumableUploads
from libcloud_s3mpu.protocol.limits import Limits

TYPE = "application/offset+octet-stream"
VERSION = {"Tus-Resumable": "1.0.0"}
#: Parts of five bytes, and room for two hundred of them.
LIMITS = Limits(5, 50, 200, 1000, uniform_parts=False, max_single_put=1000)
FAKE_LIMITS = FakeLimits(min_part_size=5, max_part_size=50, max_parts=200, max_object_size=1000)
MAX_SIZE = 500


def b64(data: bytes | str) -> str:
    return base64.b64encode(data.encode() if isinstance(data, str) else data).decode()


def checksum(data: bytes, algorithm: str = "sha1") -> str:
    if algorithm == "crc32":
        import zlib

        return f"crc32 {b64(zlib.crc32(data).to_bytes(4, 'big'))}"
    return f"{algorithm} {b64(hashlib.new(algorithm, data).digest())}"


class Tus:
    """A tus client that says exactly what a test wants it to."""

    def __init__(self, door: Any, made: Service, uploads: Any, base: str) -> None:
        self.door = door
        self.made = made
        self.uploads = uploads
        self.base = base

    @property
    def is_raw(self) -> bool:
        return self.door.name != "values"

    def send(
        self, method: str, target: str, sent: Sent | bytes | None = None, **headers: Any
    ) -> Answer:
        """Send a request with Tus-Resumable; ``Upload_Offset=3`` is the header Upload-Offset."""
        given: dict[str, str] = dict(VERSION)
        for name, value in headers.items():
            if value is None:
                given.pop(name.replace("_", "-"), None)
            else:
                given[name.replace("_", "-")] = str(value)
        body = Sent(sent) if isinstance(sent, bytes) else sent
        answer = self.door.send(method, target, given, body)
        return answer if answer is not None else Answer(0, {})

    def post(self, length: int | None = None, sent: Any = None, **headers: Any) -> Answer:
        if length is not None:
            headers["Upload_Length"] = length
        if sent is not None:
            headers.setdefault("Content_Type", TYPE)
        return self.send("POST", self.base, sent, **headers)

    def create(self, length: int | None = None, sent: Any = None, **headers: Any) -> str:
        if length is None and "Upload_Concat" not in headers:
            headers["Upload_Defer_Length"] = "1"
        answer = self.post(length, sent, **headers)
        assert answer.status == 201, answer
        return answer["Location"]

    def patch(self, url: str, offset: Any, sent: Any = b"", **headers: Any) -> Answer:
        headers.setdefault("Content_Type", TYPE)
        return self.send("PATCH", url, sent, Upload_Offset=offset, **headers)

    def head(self, url: str) -> Answer:
        return self.send("HEAD", url)

    def offset(self, url: str) -> int:
        answer = self.head(url)
        assert answer.status == 200, answer
        return int(answer["Upload-Offset"])

    def partial(self, data: bytes) -> str:
        """Upload a finished partial upload."""
        url = self.create(len(data), Upload_Concat="partial")
        if data:
            assert self.patch(url, 0, data).status == 204
        return url

    def final(self, *urls: str, **headers: Any) -> Answer:
        return self.send("POST", self.base, Upload_Concat=f"final;{' '.join(urls)}", **headers)

    def id_of(self, url: str) -> str:
        from urllib.parse import unquote

        return unquote(url.rpartition(f"{self.base}/")[2])

    def stored(self, url: str) -> bytes:
        """Give the bytes of a finished upload's object, from the fake itself."""
        info = self.uploads.get(self.id_of(url))
        assert info.complete, info
        return self.made.stored(info.key)

    def s3_requests(self) -> int:
        return len(self.made.fake.requests)


def make_uploads(made: Service, **options: Any) -> Any:
    made.driver.ex_limits = LIMITS
    options.setdefault("prefix", "uploads/")
    options.setdefault("min_part", 5)
    options.setdefault("part", 5)
    options.setdefault("locker", MemoryLocker(ttl_seconds=0.5, timeout_seconds=8.0))
    return ResumableUploads(made.driver, made.container, **options)


@pytest.fixture(params=DOORS)
def door_kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def made() -> Iterator[Service]:
    with service(limits=FAKE_LIMITS) as found:
        yield found


@pytest.fixture
def open_tus(made: Service, door_kind: str) -> Iterator[Any]:
    """Give a function that opens a door to a handler of these settings."""
    from contextlib import ExitStack

    with ExitStack() as stack:

        def opened(store: dict[str, Any] | None = None, **options: Any) -> Tus:
            uploads = make_uploads(made, **(store or {}))
            options.setdefault("base_path", "/files")
            options.setdefault("max_size_bytes", MAX_SIZE)
            handler = TusHandler(uploads, **options)
            door = stack.enter_context(open_door(door_kind, handler))
            found = Tus(door, made, uploads, options["base_path"])
            found.handler = handler  # type: ignore[attr-defined]
            return found

        yield opened


@pytest.fixture
def tus(open_tus: Any) -> Tus:
    found: Tus = open_tus()
    return found


__all__ = ["Answer", "Sent", "replace"]
