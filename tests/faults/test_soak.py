# SPDX-License-Identifier: Apache-2.0
"""The soak: 200 uploads on 16 threads with one driver, while one request in twenty goes wrong.

What goes wrong is drawn from a seed for each request by itself (operation, key, part, attempt), so
that the threads' order changes nothing. Nothing may be wrong, orphaned or misreported; the figures
are printed (``pytest tests/faults/test_soak.py -s``) and stand in docs/reliability.md.
"""

from __future__ import annotations

import time
import random
import hashlib
import threading
from typing import Any
from collections import Counter
from dataclasses import field, dataclass
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from libcloud.storage.base import Container

from tests.fake_s3 import FakeS3, FakeLimits, FakeServer, faults
from tests.unit.small import AT_ONCE, make_plain, make_driver, close_driver
from tests.faults.outcomes import PART, ABORT, COMPLETE, INITIATE
from tests.fake_s3.messages import Request
from libcloud_s3mpu.protocol import wire
from libcloud_s3mpu.protocol.errors import S3MultipartError, CompletionUnknownError
from libcloud_s3mpu.protocol.events import OrphanSuspected
from libcloud_s3mpu.protocol.limits import Limits
from libcloud_s3mpu.protocol.options import UploadOptions

pytestmark = [pytest.mark.soak, pytest.mark.timeout(120)]

UPLOADS = 200
THREADS = 16
SHARE = 0.05
TIMEOUT_SECONDS = 0.5
Menu = dict[str, Callable[[], faults.Fault]]
Menus = dict[str, Menu]
#: What may happen to any request.
ANY_REQUEST: Menu = {
    "500": lambda: faults.error("InternalError"),
    "503": lambda: faults.error("SlowDown"),
    "502 HTML": lambda: faults.html(502),
    "429": lambda: faults.answer(429),
    "RequestTimeout": lambda: faults.error("RequestTimeout"),
    "reset at the head": lambda: faults.reset("head"),
    "closed instead of the answer": lambda: faults.close("answer"),
    "reset instead of the answer": lambda: faults.reset("answer"),
    "hung up": lambda: faults.hang_up(),
    "dripping": lambda: faults.drip(step_bytes=64, pause_seconds=0.0001),
    "stall": lambda: faults.stall("answer", applied=False),
}
#: And to a part, or to a small object.
BODIES: Menu = {
    "reset in the body": lambda: faults.reset("body", after_bytes=2),
    "answer lost": lambda: faults.close("answer", applied=True),
    "answer cut": lambda: faults.close("answer", after_bytes=40, applied=True),
    "damaged on the way": lambda: faults.corrupt_received(),
    "head cut": lambda: faults.raw(b"HTTP/1.1 200 OK\r\nServer: x\r\n", applied=True),
    "early 503": lambda: faults.answer_early(faults.error("SlowDown")),
}
COMPLETES: Menu = {
    "error in a 200": lambda: faults.error_in_200("InternalError"),
    "answer to complete lost": lambda: faults.close("answer", applied=True),
    "answer to complete reset": lambda: faults.reset("answer", applied=True),
    "500 after complete": lambda: faults.error("InternalError", applied=True),
    "504 after complete": lambda: faults.html(504, applied=True),
    "empty 200": lambda: faults.empty_body(),
    "white space": lambda: faults.white_space(2000),
}
LOST_INITIATES: Menu = {
    "answer to initiate lost": lambda: faults.close("answer", applied=True),
    "answer to initiate cut": lambda: faults.close("answer", after_bytes=-20, applied=True),
}
MENUS: Menus = {
    INITIATE: ANY_REQUEST,
    PART: {**ANY_REQUEST, **BODIES},
    "PutObject": {**ANY_REQUEST, **BODIES},
    COMPLETE: {**ANY_REQUEST, **COMPLETES},
    ABORT: ANY_REQUEST,
    "HeadObject": ANY_REQUEST,
    "ListParts": ANY_REQUEST,
}


class Weather(FakeS3):
    """A fake whose requests meet faults by chance, the same for the same seed."""

    __slots__ = ("menus", "seed", "seen", "met")

    def begin(self, seed: int, menus: Menus) -> None:
        self.seed = seed
        self.menus = menus
        self.seen: Counter[str] = Counter()
        self.met: Counter[str] = Counter()

    def take_fault(self, request: Request) -> faults.Fault | None:
        """Called by the server, which holds its lock."""
        operation = self.operation_of(request)
        menu = self.menus.get(operation)
        if menu is None:
            return None
        path, _, query = request.target.partition("?")
        number = query.partition("partNumber=")[2].partition("&")[0]
        place = f"{operation} {path} {number}"
        self.seen[place] += 1
        chance = random.Random(f"{self.seed} {place} {self.seen[place]}")
        if chance.random() >= SHARE:
            return None
        name = chance.choice(sorted(menu))
        self.met[name] += 1
        fault = menu[name]()
        if name == "stall" and fault.wire is not None:
            # Half of them last longer than the client waits, half a moment.
            seconds = chance.choice([0.05, 2 * TIMEOUT_SECONDS])
            timer = threading.Timer(seconds, fault.wire.release.set)
            timer.daemon = True
            timer.start()
        return fault


def body_of(number: int) -> bytes:
    """Give an object of 1 to 20 parts, no two alike, every tenth small enough for one PUT."""
    size = 5 if number % 10 == 0 else random.Random(number).randint(6, 100)
    return (hashlib.sha256(b"%d" % number).digest() * 4)[:size]


def source_of(number: int) -> Iterator[bytes]:
    """Yield it in odd pieces; one in seventeen fails in the middle, so that aborts are met too."""
    data = body_of(number)
    for at in range(0, len(data), 7):
        if number % 17 == 3 and at >= 28:
            raise SourceFailed
        yield data[at : at + 7]


class SourceFailed(Exception):
    """What such a source raises."""


@dataclass
class Tally:
    """What came of the uploads."""

    uploaded: list[int] = field(default_factory=list)
    #: Upload ids that a lost answer may have left, as the callers were told.
    told: set[str] = field(default_factory=set)
    failed: dict[int, BaseException] = field(default_factory=dict)


def run(fake: Weather, server: FakeServer, road: str, **more: Any) -> Tally:
    """Upload everything, on all threads, with one driver."""
    driver = make_driver(server)
    if road == "plain":
        make_plain(driver)
    driver.connection.connection.session.timeout = TIMEOUT_SECONDS
    driver.ex_limits = Limits(  # type: ignore[misc]
        min_part_size=5, max_part_size=50, max_parts=20, max_object_size=1000, uniform_parts=True
    )
    tally = Tally()

    def heard(event: Any) -> None:
        if isinstance(event, OrphanSuspected):
            tally.told.update(event.upload_ids)

    options = UploadOptions(part_size_bytes=5, retry=AT_ONCE, concurrency=4, on_event=heard, **more)
    container = Container("bucket", {}, driver)

    def one(number: int) -> None:
        try:
            driver.upload_object_via_stream(
                source_of(number), container, f"object-{number}", ex_options=options
            )
        except (S3MultipartError, SourceFailed) as error:
            tally.failed[number] = error
            tally.told.update(each for each in list(fake.uploads) if each in str(error))
        else:
            tally.uploaded.append(number)

    try:
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(one, range(UPLOADS)))
    finally:
        close_driver(driver)
    return tally


@pytest.fixture(autouse=True)
def short_patience(no_waits: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stall is long when it lasts a second."""
    monkeypatch.setattr(wire, "COMPLETE_PATIENCE_SECONDS", TIMEOUT_SECONDS)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_soak_two_hundred_uploads_under_mixed_faults(seed: int, road: str) -> None:
    soak(seed, road, MENUS)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_soak_with_lost_answers_to_initiate_leaves_nothing_untold(seed: int, road: str) -> None:
    figures = soak(seed, road, {**MENUS, INITIATE: LOST_INITIATES})
    assert figures["told and left"] > 0


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_soak_with_lost_answers_to_initiate_leaves_nothing_of_an_only_writer(
    seed: int, road: str
) -> None:
    figures = soak(seed, road, {**MENUS, INITIATE: LOST_INITIATES}, is_only_writer=True)
    assert figures["told and left"] == 0


def soak(seed: int, road: str, menus: Menus, **more: Any) -> dict[str, int]:
    """Run, print the figures, and judge them."""
    fake = Weather(FakeLimits(), buckets=("bucket",))
    fake.begin(seed, menus)
    with FakeServer(fake) as server:
        began = time.monotonic()
        tally = run(fake, server, road, **more)
        seconds = time.monotonic() - began
    assert server.errors == []
    figures = judged(fake, tally)
    print(
        f"\n{road}, seed {seed}: {UPLOADS} uploads on {THREADS} threads in {seconds:.1f} s, "
        f"{len(fake.requests)} requests, {sum(fake.met.values())} faults of {len(fake.met)} kinds: "
        + ", ".join(f"{count} {name}" for name, count in figures.items())
    )
    wrong = {name: figures[name] for name in WRONG if figures[name]}
    assert wrong == {}, tally.failed
    assert seconds < 60
    return figures


#: Figures that must be 0.
WRONG = ("wrong objects", "orphans", "lost acknowledgements", "false acknowledgements")


def judged(fake: Weather, tally: Tally) -> dict[str, int]:
    """Compare what was reported with what is there."""
    there: dict[str, Any] = fake.objects["bucket"]
    unknown = {n for n, e in tally.failed.items() if isinstance(e, CompletionUnknownError)}
    source = {n for n, e in tally.failed.items() if isinstance(e, SourceFailed)}
    known = tally.failed.keys() - unknown
    return {
        "uploaded": len(tally.uploaded),
        "whose source failed": len(source),
        "given up": len(known - source),
        "unknown outcomes": len(unknown),
        "wrong objects": sum(
            found.body != body_of(int(key.rpartition("-")[2])) for key, found in there.items()
        ),
        "orphans": len(fake.uploads.keys() - tally.told),
        "told and left": len(fake.uploads.keys() & tally.told),
        "lost acknowledgements": sum(f"object-{n}" in there for n in known),
        "false acknowledgements": sum(f"object-{n}" not in there for n in tally.uploaded),
    }
