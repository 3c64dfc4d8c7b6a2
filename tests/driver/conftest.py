# SPDX-License-Identifier: Apache-2.0
"""The driver on a mock, in one thread, with limits so small that 25 bytes are three parts."""

from __future__ import annotations

from typing import Any
from collections.abc import Iterator

import pytest
from libcloud.storage.base import Container

from tests.fake_s3.state import FakeS3
from tests.driver.s3_mock import PART_SIZE_BYTES, S3MockHttp
from tests.fake_s3.config import ACCESS_KEY, SECRET_KEY
from tests.fake_s3.server import FakeServer
from libcloud_s3mpu.driver import AmazonS3MultipartDriver
from libcloud_s3mpu.protocol.retry import RetryPolicy
from libcloud_s3mpu.protocol.limits import Limits
from libcloud_s3mpu.protocol.options import UploadOptions

#: Three tries, and no wait between them.
AT_ONCE = RetryPolicy(max_attempts=3, base_delay_seconds=0.0, throttle_delay_seconds=0.0)
OPTIONS = UploadOptions(concurrency=1, part_size_bytes=PART_SIZE_BYTES, retry=AT_ONCE)


class SmallDriver(AmazonS3MultipartDriver):
    """The driver for a service that takes parts of 5 to 100 bytes."""

    ex_limits = Limits(
        min_part_size=5, max_part_size=100, max_parts=100, max_object_size=1000, max_single_put=100
    )


@pytest.fixture
def mock(monkeypatch: pytest.MonkeyPatch) -> type[S3MockHttp]:
    """The service: a class of its own for each test, in the place of libcloud's connection."""
    mock = type("Mock", (S3MockHttp,), {"requests": [], "fails": {}, "put_headers": {}})
    monkeypatch.setattr(AmazonS3MultipartDriver.connectionCls, "conn_class", mock)
    return mock


@pytest.fixture
def driver(mock: type[S3MockHttp]) -> Any:
    """A driver on the mock, by https."""
    return SmallDriver("key", "secret", ex_options=OPTIONS)


@pytest.fixture
def container(driver: Any) -> Container:
    return Container(name="bucket", extra={}, driver=driver)


@pytest.fixture
def fake_server() -> Iterator[FakeServer]:
    """A service with a socket, for what only a socket shows; ``fake_server.fake`` is its state."""
    with FakeServer(FakeS3(buckets=("bucket", "other-bucket"))) as server:
        yield server


@pytest.fixture
def fake_driver(fake_server: FakeServer) -> Any:
    """A driver on the fake, by plain http."""
    where = {"secure": False, "host": "127.0.0.1", "port": fake_server.port}
    return SmallDriver(ACCESS_KEY, SECRET_KEY, ex_options=OPTIONS, **where)
