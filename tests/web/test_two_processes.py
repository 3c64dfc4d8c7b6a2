# SPDX-License-Identifier: Apache-2.0
"""Two server processes over one bucket (Z1 to Z5), with each of the lockers that bind them."""

from __future__ import annotations

import random
from typing import Any
from pathlib import Path
from itertools import pairwise
from contextlib import ExitStack
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.web.doors import Sent, head_of
from tests.unit.small import Service, service
from tests.web.process import running, config_of, redis_server
from tests.web.conftest import TYPE, VERSION, FAKE_LIMITS, Tus, make_uploads
from tests.web.test_tus_core import DATA, until

pytestmark = pytest.mark.timeout(90)
PATCH = {**VERSION, "Content-Type": TYPE, "Upload-Offset": "0"}


class Pair:
    """A client of either process; ``one.uploads`` looks at the bucket itself."""

    def __init__(self, made: Service, doors: list[Any]) -> None:
        self.one, self.other = (Tus(door, made, make_uploads(made), "/files") for door in doors)
        self.fake = made.fake


@pytest.fixture(scope="module", params=["file", "s3", "redis"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Iterator[Pair]:
    folder: Path = tmp_path_factory.mktemp("locks")
    with ExitStack() as stack:
        where: Any = folder
        if request.param == "redis":
            pytest.importorskip("redis")
            where = stack.enter_context(redis_server(folder))
        made = stack.enter_context(service(limits=FAKE_LIMITS))
        config = config_of(made.server.endpoint, request.param, where)
        processes = stack.enter_context(running(config, config))
        yield Pair(made, [process.door for process in processes])


def test_z1_an_upload_moves(pair: Pair) -> None:
    url = pair.one.create(len(DATA))
    for at in range(0, len(DATA), 4):
        here, there = (pair.one, pair.other) if at % 8 else (pair.other, pair.one)
        assert here.patch(url, at, DATA[at : at + 4]).status == 204
        assert there.offset(url) == min(at + 4, len(DATA))
    assert pair.one.stored(url) == pair.other.stored(url) == DATA
    assert pair.other.send("GET", url).body == DATA


@pytest.mark.parametrize("seed", range(3))
def test_z2_no_bytes_are_acknowledged_twice(pair: Pair, seed: int) -> None:
    """Two clients write different bytes through different processes until it is full."""
    length = 120
    url = pair.one.create(length)

    def writes(client: Tus, letter: bytes) -> list[tuple[int, int, bytes]]:
        rng = random.Random(f"{seed}{letter!r}")
        acknowledged = []
        offset = 0
        while offset < length:
            size = min(rng.randint(1, 14), length - offset)
            answer = client.patch(url, offset, letter * size)
            if answer.status == 204:
                end = int(answer["Upload-Offset"])
                assert offset <= end <= offset + size
                acknowledged.append((offset, end, letter))
                offset = end
            else:
                assert answer.status in (409, 423), answer
                offset = client.offset(url)
        return acknowledged

    with ThreadPoolExecutor(2) as pool:
        both = pool.submit(writes, pair.one, b"a"), pool.submit(writes, pair.other, b"b")
        ranges = sorted(found for each in both for found in each.result() if found[0] < found[1])
    stored = pair.one.stored(url)
    assert len(stored) == length and set(stored) <= set(b"ab")
    assert all(first[1] <= second[0] for first, second in pairwise(ranges)), ranges
    for begin, end, letter in ranges:
        assert stored[begin:end] == letter * (end - begin)


def test_z3_a_stalled_one_is_taken_over_and_never_comes_back(pair: Pair) -> None:
    url = pair.one.create(len(DATA))
    before = len(pair.fake.requests_of("UploadPart"))
    with pair.one.door.connect() as stalled:
        sent = Sent(b"x" * 12, length=len(DATA))
        stalled.socket.sendall(head_of("PATCH", url, PATCH, sent) + sent.data)
        until(lambda: len(pair.fake.requests_of("UploadPart")) > before)
        until(lambda: pair.other.patch(url, pair.other.offset(url)).status == 204, 30.0)
        offset = pair.other.offset(url)
        assert pair.other.patch(url, offset, DATA[offset:]).status == 204
        # The stalled client wakes up: what it sends now counts nowhere.
        stalled.socket.sendall(b"x" * (len(DATA) - 12))
        answer = stalled.answer("PATCH")
        assert answer.status != 204 or int(answer["Upload-Offset"]) <= offset
    assert pair.one.stored(url) == b"x" * offset + DATA[offset:]
    assert pair.one.offset(url) == len(DATA)


def test_z4_a_delete_here_ends_a_write_there(pair: Pair) -> None:
    url = pair.one.create(len(DATA))
    uploads, keys = set(pair.fake.uploads), set(pair.fake.objects["bucket"])
    name = pair.one.id_of(url).partition("+")[0]
    before = len(pair.fake.requests_of("UploadPart"))
    with pair.one.door.connect() as writing:
        sent = Sent(b"x" * 12, length=len(DATA))
        writing.socket.sendall(head_of("PATCH", url, PATCH, sent) + sent.data)
        until(lambda: len(pair.fake.requests_of("UploadPart")) > before)
        assert pair.other.send("DELETE", url).status == 204
        writing.socket.sendall(b"x" * (len(DATA) - 12))
        assert writing.answer("PATCH").status in (404, 409, 410, 423)
    for client in (pair.one, pair.other):
        assert client.head(url).status in (404, 410)
        assert client.patch(url, 0, b"abc").status in (404, 410)

    def left() -> list[str]:
        return [key for key in pair.fake.objects["bucket"] if name in key]

    pair.one.uploads.expire(older_than=0.0)  # A part that was on its way may need the clean-up.
    assert left() == []
    assert set(pair.fake.uploads) < uploads
    assert {key for key in keys if name in key} != set()


def test_z5_parts_of_both_are_joined(pair: Pair) -> None:
    first, second = pair.one.partial(b"one"), pair.other.partial(b"two-and-more")
    url = pair.other.final(first, second)["Location"]
    assert pair.one.stored(url) == b"onetwo-and-more"
    assert pair.one.send("DELETE", first).status == 204
    assert pair.other.head(first).status in (404, 410)
    assert pair.other.send("GET", url).body == b"onetwo-and-more"
