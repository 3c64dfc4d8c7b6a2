# SPDX-License-Identifier: Apache-2.0
"""What these tests share: a store of uploads on the fake, with parts of five bytes."""

from __future__ import annotations

from typing import Any
from contextlib import contextmanager
from dataclasses import dataclass
from collections.abc import Iterator

from tests.fake_s3 import FakeLimits
from tests.unit.small import Service, SmallDriver, service
from libcloud_s3mpu.resumable import MemoryLocker, ResumableUploads
from libcloud_s3mpu.protocol.limits import Limits

#: Parts of five bytes and more, forty at most; not equal ones.
LIMITS = Limits(5, 50, 40, 1000, max_single_put=1000)
FAKE_LIMITS = FakeLimits(min_part_size=5, max_part_size=50, max_parts=40, max_object_size=1000)


class PartDriver(SmallDriver):
    """The small driver with parts of different sizes."""

    ex_limits = LIMITS


@dataclass(frozen=True, slots=True)
class Bench:
    """A running fake and how to make stores on it."""

    service: Service

    @property
    def fake(self) -> Any:
        return self.service.fake

    @property
    def objects(self) -> Any:
        return self.fake.objects["bucket"]

    def store(self, **options: Any) -> ResumableUploads:
        options.setdefault("part", 8)
        options.setdefault("locker", MemoryLocker())
        return ResumableUploads(self.service.driver, self.service.container, **options)

    def body(self, info: Any) -> bytes:
        return bytes(self.objects[info.key].body)

    def asked(self) -> list[str]:
        """Give the operations since the last call."""
        found = [record.operation for record in self.fake.requests]
        self.fake.requests.clear()
        return found

    def sides(self) -> list[str]:
        """Give the ends of the names of all side objects."""
        return sorted(k.rpartition(".")[2] for k in self.objects if "." in k.rpartition("/")[2])


@contextmanager
def bench(**options: Any) -> Iterator[Bench]:
    options.setdefault("limits", FAKE_LIMITS)
    with service(**options) as found:
        found.driver.ex_limits = LIMITS  # type: ignore[misc]
        yield Bench(found)


def data(size: int, seed: int = 0) -> bytes:
    """Give bytes of which no two neighbours are alike."""
    return bytes((seed * 31 + n * 7 + n // 251) % 256 for n in range(size))


class Broken:
    """A stream that gives some bytes, then breaks."""

    def __init__(self, body: bytes, error: BaseException | None = None) -> None:
        self._body = body
        self._error = error or ConnectionResetError("the client is gone")

    def read(self, size: int) -> bytes:
        if not self._body:
            raise self._error
        piece, self._body = self._body[: min(size, 3)], self._body[min(size, 3) :]
        return piece
