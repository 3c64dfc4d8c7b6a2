# SPDX-License-Identifier: Apache-2.0
"""What every fault test stands on: a service on both roads, and a time limit.

The service is the strict fake of ``tests/fake_s3`` behind a socket, with parts of five bytes; what
an outcome must be is in ``outcomes.py``.
"""

from __future__ import annotations

from typing import Any
from pathlib import Path
from contextlib import ExitStack
from collections.abc import Iterator

import pytest

from tests.unit.small import service, make_plain
from tests.faults.outcomes import Tried, MakeTried
from libcloud_s3mpu.protocol.retry import RetryPolicy

#: Seconds that one test may take before it counts as a hang.
LIMIT_SECONDS = 60
HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give every test of this folder its time limit, unless it has one."""
    for item in items:
        if item.path.parent != HERE:
            continue
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(LIMIT_SECONDS))


@pytest.fixture(params=["lean", "plain"])
def road(request: pytest.FixtureRequest) -> str:
    """Each way that a request may travel."""
    return str(request.param)


@pytest.fixture
def make_s3() -> Iterator[MakeTried]:
    """Make services that end with the test; arguments are those of ``small.service``.

    Further ones: ``road`` ("lean" or "plain") and ``timeout_seconds`` of every read and write.
    """
    with ExitStack() as held:

        def make(
            road: str = "lean", *, timeout_seconds: float | None = None, **options: Any
        ) -> Tried:
            it = held.enter_context(service(**options))
            if timeout_seconds is not None:
                it.driver.connection.connection.session.timeout = timeout_seconds
            if road == "plain":
                make_plain(it.driver)
            assert it.driver.ex_transport == road
            return Tried(it.fake, it.server, it.driver, it.container)

        yield make


@pytest.fixture
def s3(road: str, make_s3: MakeTried) -> Tried:
    """The service, once for each road."""
    return make_s3(road)


@pytest.fixture
def lean(make_s3: MakeTried) -> Tried:
    """The service on the lean road alone, where the road makes no difference."""
    return make_s3()


@pytest.fixture
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """No wait between two attempts, whoever's policy it is."""
    monkeypatch.setattr(RetryPolicy, "delay_before", lambda self, **_: 0.0)
