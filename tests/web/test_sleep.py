# SPDX-License-Identifier: Apache-2.0
"""A server process that is stopped in the midst of a part, and wakes up when its lease is over."""

from __future__ import annotations

from typing import Any
from pathlib import Path
from contextlib import ExitStack
from collections.abc import Iterator

import pytest

from tests.fake_s3 import faults
from tests.web.doors import Sent, head_of
from tests.unit.small import service
from tests.web.process import Process, running, config_of, redis_server
from tests.web.conftest import TYPE, VERSION, FAKE_LIMITS, Tus, make_uploads
from tests.web.test_tus_core import DATA, until

pytestmark = pytest.mark.timeout(90)
PATCH = {**VERSION, "Content-Type": TYPE, "Upload-Offset": "0"}
OTHER = bytes(byte + 100 for byte in DATA)


@pytest.fixture(scope="module", params=["file", "s3", "redis"])
def pair(
    request: pytest.FixtureRequest, tmp_path_factory: Any
) -> Iterator[tuple[Tus, Tus, Process]]:
    """Give clients of two processes over one bucket, and the first of these."""
    folder: Path = tmp_path_factory.mktemp("locks")
    with ExitStack() as stack:
        where: Any = folder
        if request.param == "redis":
            pytest.importorskip("redis")
            where = stack.enter_context(redis_server(folder))
        made = stack.enter_context(service(limits=FAKE_LIMITS))
        config = config_of(made.server.endpoint, request.param, where)
        first, second = stack.enter_context(running(config, config))
        clients = [Tus(each.door, made, make_uploads(made), "/files") for each in (first, second)]
        yield clients[0], clients[1], first


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("ends", [False, True], ids=["wakes before the end", "wakes after it"])
def test_what_it_sends_when_it_wakes_up_is_in_no_object(
    pair: tuple[Tus, Tus, Process], number: int, ends: bool
) -> None:
    """Its part arrives over the one that the other process counted."""
    one, other, process = pair
    url = one.create(len(DATA))
    late = faults.stall("body", after_bytes=2)
    assert late.wire is not None
    one.made.fake.script("UploadPart", late, part_number=number)
    with one.door.connect() as sleeper:
        sent = Sent(DATA, length=len(DATA))
        sleeper.socket.sendall(head_of("PATCH", url, PATCH, sent) + sent.data)
        assert late.wire.reached.wait(20)
        process.pause()
        try:
            offset = other.offset(url)
            end = len(DATA) if ends else 18
            until(lambda: other.patch(url, offset, OTHER[offset:end]).status == 204, 30.0)
            before = len(one.made.fake.requests_of("UploadPart"))
            late.wire.release.set()
            if not ends:  # The late part is carried out: S3 keeps what came last.
                until(lambda: len(one.made.fake.requests_of("UploadPart")) > before, 10.0)
        finally:
            process.wake()
        answer = sleeper.answer("PATCH")
        assert answer.status in (404, 409, 410, 423, 503), answer
    for _ in range(4):
        offset = other.offset(url)
        if offset == len(DATA):
            break
        assert other.patch(url, offset, OTHER[offset:]).status in (204, 409)
    assert other.stored(url) == OTHER
    assert one.offset(url) == len(DATA)
