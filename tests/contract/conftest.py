# SPDX-License-Identifier: Apache-2.0
"""The servers that the contract is held against, one after another, and a clean bucket per test.

A server that cannot run here is skipped with the reason. Where a skip must not pass unseen (CI),
name the servers in S3MPU_REQUIRE_SERVERS, as in ``swift,ceph``: then it is an error.
"""

from __future__ import annotations

import os
import uuid
import random
from typing import Any
from pathlib import Path
from contextlib import ExitStack
from collections.abc import Iterator

import pytest
from libcloud.http import LibcloudConnection

from tests.servers.base import MIN_PART_SIZE_BYTES, Server, Endpoint
from tests.servers.ceph import Ceph
from tests.servers.moto import Moto
from tests.fake_s3.state import FakeS3
from tests.servers.swift import Swift
from tests.contract.proxy import http_proxy
from tests.fake_s3.config import REGION, ACCESS_KEY, SECRET_KEY, Quirks, FakeLimits
from tests.fake_s3.server import FakeServer
from tests.contract.record import write, note_report, note_server
from tests.servers.ministack import MiniStack
from tests.servers.localstack import LocalStack


class Fake(Server):
    """The fake on its loopback server, with S3's own smallest part."""

    name = "fake"

    def __init__(self) -> None:
        self._server: FakeServer | None = None

    def available(self) -> str | None:
        return None

    def start(self) -> Endpoint:
        self.stop()
        limits = FakeLimits(min_part_size=MIN_PART_SIZE_BYTES)
        keys = {ACCESS_KEY: SECRET_KEY, "AKIDOTHER": "another-secret"}
        quirks = Quirks(customer_keys_over_http=True)
        self._server = FakeServer(
            FakeS3(limits, vhost_domain="localhost", credentials=keys, quirks=quirks)
        )
        self._server.start()
        return Endpoint(
            name=self.name,
            version="0",
            host="127.0.0.1",
            port=self._server.port,
            access_key=ACCESS_KEY,
            secret_key=SECRET_KEY,
            other_keys=("AKIDOTHER", "another-secret"),
            region=REGION,
            quirks=frozenset({"customer-keys-over-http"}),
        )

    def stop(self) -> None:
        if self._server:
            server, self._server = self._server, None
            server.stop()
            if server.errors:
                raise RuntimeError("the fake itself failed") from server.errors[0]


HERE = Path(__file__).parent
MIB = 1024 * 1024
#: What takes minutes is left out unless it is asked for: S3MPU_LONG=1.
IS_LONG = bool(os.environ.get("S3MPU_LONG"))

SERVERS: dict[str, type[Server]] = {
    each.name: each for each in (Fake, MiniStack, Swift, Ceph, Moto, LocalStack)
}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what ``on_real`` marks as searched on the fake, and what takes minutes.

    Of a server that is not here one test is kept, which says so.
    """
    missing = {name for name, server in SERVERS.items() if server().available()}
    said: set[str] = set()
    kept: list[pytest.Item] = []
    left_out: list[pytest.Item] = []
    for item in items:
        name = _params(item).get("endpoint", "fake") if item.path.parent == HERE else "fake"
        is_kept = name not in said if name in missing else IS_LONG or _is_essential(item)
        if name in missing:
            said.add(name)
        (kept if is_kept else left_out).append(item)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = kept


def _params(item: pytest.Item) -> dict[str, Any]:
    return item.callspec.params if hasattr(item, "callspec") else {}


def _is_essential(item: pytest.Item) -> bool:
    given = _params(item)
    if given.get("endpoint", "fake") == "fake":
        return True
    return all(
        given[name] in wanted
        for mark in item.iter_markers("on_real")
        for name, wanted in mark.kwargs.items()
    )


@pytest.fixture(scope="session", params=list(SERVERS))
def endpoint(request: pytest.FixtureRequest) -> Iterator[Endpoint]:
    """Each server in turn; pytest runs all tests of one before it starts the next."""
    server = SERVERS[request.param]()
    if missing := server.available():
        required = os.environ.get("S3MPU_REQUIRE_SERVERS", "").split(",")
        (pytest.fail if server.name in required else pytest.skip)(missing)
    with server as found:
        note_server(found)
        yield found


@pytest.fixture(autouse=True)
def _named(request: pytest.FixtureRequest) -> None:
    """Say with each test's outcome which server it ran on."""
    if "endpoint" in request.fixturenames:
        name = request.getfixturevalue("endpoint").name
        request.node.user_properties.append(("server", name))


def pytest_runtest_logreport(report: Any) -> None:
    note_report(report)


def pytest_sessionfinish() -> None:
    write()


@pytest.fixture
def driver(endpoint: Endpoint) -> Any:
    """A new driver on the endpoint; a test that wants another calls ``connect`` with options."""
    return connect(endpoint)


@pytest.fixture
def container(endpoint: Endpoint, driver: Any) -> Iterator[Any]:
    """A new bucket, removed after the test, which fails when it left a multipart upload there."""
    name = f"contract-{uuid.uuid4().hex[:12]}"
    yield driver.create_container(name)
    # A driver of its own: what the test did to its driver is not to spoil the cleaning.
    orphans = _remove(connect(endpoint).get_container(name))
    if orphans:
        pytest.fail("the test left multipart uploads behind: " + ", ".join(orphans))


class PlainConnection(LibcloudConnection):  # type: ignore[misc]
    """An app's own connection class: whoever sets one gets all requests through it."""


@pytest.fixture(params=["lean", "plain", "proxy"])
def road(
    request: pytest.FixtureRequest, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    """A function that connects by one of the three ways that requests may take."""
    from libcloud_s3mpu.driver import AmazonS3MultipartDriver

    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with ExitStack() as held:
        extra: dict[str, Any] = {}
        if request.param == "proxy":
            proxy = held.enter_context(http_proxy())
            extra["proxy_url"] = proxy.url
        elif request.param == "plain":
            connection_class = AmazonS3MultipartDriver.connectionCls
            monkeypatch.setattr(connection_class, "conn_class", PlainConnection)

        def connected(**kwargs: Any) -> Any:
            driver = connect(endpoint, **{**extra, **kwargs})
            assert driver.ex_transport == ("lean" if request.param == "lean" else "plain")
            return driver

        yield connected
        if request.param == "proxy":
            assert proxy.passed, "nothing went through the proxy"


def pattern(size: int, seed: int = 0) -> bytes:
    """Give ``size`` bytes that are the same each time and nowhere repeat."""
    return random.Random(seed).randbytes(size)


def chunks(data: bytes, size: int = 300_000) -> Iterator[bytes]:
    """Give ``data`` in pieces, as a generator."""
    for at in range(0, len(data), size):
        yield data[at : at + size]


def read(driver: Any, container: Any, name: str) -> bytes:
    """Give an object's bytes as the service has them."""
    found = driver.get_object(container.name, name)
    return b"".join(driver.download_object_as_stream(found))


def connect(endpoint: Endpoint, **kwargs: Any) -> Any:
    """Give a new ``s3_multipart`` driver; kwargs go to its class, over the ones that connect it."""
    from libcloud.storage.providers import get_driver

    import libcloud_s3mpu  # noqa: F401  (registers the driver)

    where = {
        "secure": endpoint.secure,
        "host": endpoint.host,
        "port": endpoint.port,
        "region": endpoint.region,
    }
    made = {"key": endpoint.access_key, "secret": endpoint.secret_key, **where, **kwargs}
    return get_driver("s3_multipart")(**made)


def _remove(container: Any) -> list[str]:
    """Empty and delete a container; give what multipart uploads were still open in it."""
    driver = container.driver
    orphans = [f"{each.key} ({each.id})" for each in driver.ex_iterate_multipart_uploads(container)]
    if orphans:
        driver.ex_cleanup_all_multipart_uploads(container)
    for each in list(driver.iterate_container_objects(container)):
        driver.delete_object(each)
    driver.delete_container(container)
    return orphans
