# SPDX-License-Identifier: Apache-2.0
"""The soak on real servers: 200 uploads on 16 threads through a gateway where 5 % goes wrong.

Parts of 5 MiB, so it runs with ``S3MPU_LONG=1`` only; the same on the fake, with more kinds of
faults and small parts, is ``tests/faults/test_soak.py``. What goes wrong is drawn from a seed for
each request by itself. Every object is read back, past the gateway, and compared by its hash; the
figures are printed (``-s``) and stand in docs/reliability.md.
"""

from __future__ import annotations

import time
import random
import hashlib
import threading
from typing import Any
from collections import Counter
from dataclasses import field, dataclass
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

import libcloud_s3mpu as ours
from tests.unit.small import close_driver
from tests.servers.base import Endpoint
from tests.contract.weather import PART, ABORT, COMPLETE, INITIATE, Gateway, Exchange
from tests.contract.conftest import IS_LONG, connect, pattern

pytestmark = [
    pytest.mark.contract,
    pytest.mark.soak,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not IS_LONG, reason="takes minutes: S3MPU_LONG=1 runs it"),
]

MIB = 1024 * 1024
UPLOADS = 200
THREADS = 16
SHARE = 0.05
TIMEOUT_SECONDS = 5.0
PART_SIZE = 5 * MIB
POOL = pattern(16 * MIB)
ANY = ["500", "503", "reset before", "reset in the body", "late"]
#: Complete is waited for for minutes, so that a stall there is none; what is lost of initiate's
#: answer leaves an upload that nobody knows, which has a test of its own.
MENUS = {
    INITIATE: ANY,
    PART: [*ANY, "reset after", "cut", "stall"],
    "PUT": [*ANY, "reset after", "cut", "stall"],
    COMPLETE: [*ANY, "reset after", "cut"],
    ABORT: [*ANY, "reset after", "cut", "stall"],
    "list parts": [*ANY, "cut", "stall"],
    "HEAD": [*ANY, "stall"],
}


class SourceFailed(Exception):
    """What the source of one upload in seventeen raises."""


def size_of(number: int) -> int:
    """Give a size of one to four parts, of any length; two gibibytes in all."""
    return random.Random(number).randint(1, 4 * PART_SIZE)


def chunks_of(number: int) -> Iterator[bytes]:
    """Yield an object that is like no other, in pieces."""
    left = size_of(number)
    at = number * 4096
    first = hashlib.sha256(b"%d" % number).digest()[:left]
    yield first
    left -= len(first)
    while left:
        chunk = POOL[at % len(POOL) :][: min(left, MIB)]
        yield chunk
        at += len(chunk)
        left -= len(chunk)


def source_of(number: int) -> Iterator[bytes]:
    for count, chunk in enumerate(chunks_of(number)):
        if number % 17 == 3 and count == 6:
            raise SourceFailed
        yield chunk


def hash_of(number: int) -> str:
    found = hashlib.sha256()
    for chunk in chunks_of(number):
        found.update(chunk)
    return found.hexdigest()


@dataclass
class Weather:
    """Draws what goes wrong, the same for the same request of the same seed."""

    seed: int
    seen: Counter[str] = field(default_factory=Counter)
    met: Counter[str] = field(default_factory=Counter)

    def __call__(self, exchange: Exchange) -> str | None:
        menu = MENUS.get(exchange.operation)
        if menu is None:
            return None
        key = exchange.path.rpartition("/")[2]
        place = f"{exchange.operation} {key} {exchange.part_number}"
        self.seen[place] += 1
        chance = random.Random(f"{self.seed} {place} {self.seen[place]}")
        if chance.random() >= SHARE:
            return None
        name = chance.choice(menu)
        self.met[name] += 1
        return name


@dataclass
class Tally:
    uploaded: dict[int, str] = field(default_factory=dict)
    failed: dict[int, BaseException] = field(default_factory=dict)
    seconds: float = 0.0


def upload_all(driver: Any, container: Any) -> Tally:
    tally, began = Tally(), time.monotonic()
    lock = threading.Lock()

    def one(number: int) -> None:
        try:
            done = driver.upload_object_via_stream(source_of(number), container, f"object-{number}")
        except (ours.S3MultipartError, SourceFailed) as error:
            with lock:
                tally.failed[number] = error
        else:
            with lock:
                tally.uploaded[number] = done.hash

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(one, range(UPLOADS)))
    tally.seconds = time.monotonic() - began
    return tally


def is_whole(driver: Any, found: Any) -> bool:
    """Read an object back, and remove it."""
    number = int(found.name.rpartition("-")[2])
    digest = hashlib.sha256()
    for chunk in driver.download_object_as_stream(found, chunk_size=MIB):
        digest.update(chunk)
    driver.delete_object(found)
    return found.size == size_of(number) and digest.hexdigest() == hash_of(number)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_two_hundred_uploads_under_mixed_faults(
    endpoint: Endpoint, container: Any, driver: Any, seed: int
) -> None:
    weather = Weather(seed)
    with Gateway(endpoint.host, endpoint.port, choose=weather) as gateway:
        options = ours.UploadOptions(part_size_bytes=PART_SIZE)
        through = connect(endpoint, port=gateway.port, timeout=TIMEOUT_SECONDS, ex_options=options)
        tally = upload_all(through, container)
        close_driver(through)
        gateway.quiesce()
    assert gateway.errors == []
    there = {it.name: it for it in driver.iterate_container_objects(container)}
    orphans = list(driver.ex_iterate_multipart_uploads(container))
    unknown = {n for n, e in tally.failed.items() if isinstance(e, ours.CompletionUnknownError)}
    source = {n for n, e in tally.failed.items() if isinstance(e, SourceFailed)}
    wrong = {
        "wrong objects": sum(not is_whole(driver, found) for found in there.values()),
        "orphans": len(orphans),
        "lost acknowledgements": sum(f"object-{n}" in there for n in tally.failed.keys() - unknown),
        "false acknowledgements": sum(f"object-{n}" not in there for n in tally.uploaded),
    }
    sent = sum(size_of(n) for n in tally.uploaded) / MIB
    print(
        f"\n{endpoint.name} {endpoint.version}, seed {seed}: {UPLOADS} uploads on {THREADS} "
        f"threads ({sent:,.0f} MiB arrived) in {tally.seconds:.1f} s, "
        f"{len(gateway.exchanges):,} requests, "
        f"{sum(weather.met.values())} faults ("
        + ", ".join(f"{count} {name}" for name, count in sorted(weather.met.items()))
        + f"): {len(tally.uploaded)} uploaded, {len(source)} whose source failed, "
        f"{len(tally.failed.keys() - unknown - source)} given up, {len(unknown)} unknown, "
        + ", ".join(f"{count} {name}" for name, count in wrong.items())
    )
    assert not any(wrong.values()), tally.failed
    assert len(tally.uploaded) + len(source) == UPLOADS, tally.failed
