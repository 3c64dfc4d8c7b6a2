# SPDX-License-Identifier: Apache-2.0
"""SIGKILL at any moment: a new process goes on, to the very bytes, and sends no part twice.

The moment is the n-th head, body or effect that the service sees, so it never depends on time;
which one, what the source is and how it is sent comes from a seed. A request whose body was read in
that moment has no effect; one whose head was read may have one, if its body was under way.
"""

from __future__ import annotations

import os
import sys
import json
import time
import random
import signal
import subprocess
from typing import Any
from pathlib import Path
from collections.abc import Callable

import pytest

from tests.fake_s3 import FakeS3, FakeLimits, FakeServer
from tests.crash.child import KEY, PART_SIZE_BYTES, generated
from tests.fake_s3.faults import Fault
from tests.fake_s3.messages import Request, Response

pytest.importorskip("filelock")
pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 60.0
SIDES = ("head", "body", "effect")
#: Requests of an upload that nothing interrupts: initiate, 34 parts (the schedule grows), complete.
LAST_REQUEST = 36
COMPLETE = "CompleteMultipartUpload"


class Killing(FakeS3):
    """A fake that calls ``kill`` at one moment; it runs under the server's lock."""

    def __init__(self) -> None:
        limits = FakeLimits(min_part_size=PART_SIZE_BYTES, max_parts=400)
        super().__init__(limits, buckets=("bucket",))
        self.moment: tuple[int, str] | None = None
        self.kill: Callable[[], None] = lambda: None
        self._seen: dict[str, int] = {}

    def aim(self, moment: tuple[int, str] | None, kill: Callable[[], None]) -> None:
        self.moment, self.kill, self._seen = moment, kill, {}

    def _passes(self, side: str) -> bool:
        """Count, and kill if this is the moment."""
        self._seen[side] = self._seen.get(side, 0) + 1
        is_now = self.moment == (self._seen[side], side)
        if is_now:
            self.kill()
        return is_now

    def take_fault(self, request: Request) -> Fault | None:
        self._passes("head")
        return super().take_fault(request)

    def handle(self, request: Request, **kwargs: Any) -> Response:
        if self._passes("body"):
            return Response(status=0)  # The service went down with it.
        response = super().handle(request, **kwargs)
        self._passes("effect")
        return response


class Run:
    """One upload over any number of processes."""

    def __init__(self, fake: Killing, server: FakeServer, folder: Path, seed: int) -> None:
        chosen = random.Random(seed)
        self.fake = fake
        self.server = server
        self.folder = folder
        self.job = {
            "port": server.port,
            "folder": str(folder),
            "seed": seed,
            "kind": chosen.choice(["generator", "bytes", "file"]),
            "concurrency": chosen.choice([None, 1, 4]),
            "checksum": chosen.choice(["auto", "crc32", "md5"]),
            "saves_at_once": chosen.choice([True, False]),
        }

    def process(self, moment: tuple[int, str] | None) -> dict[str, Any] | None:
        """Run a process to its end; None if it was killed on the way."""
        command = [sys.executable, "-m", "tests.crash.child", json.dumps(self.job)]
        with self.server._lock:  # It may not begin before the aim is taken.
            child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
            self.fake.aim(moment, lambda: os.kill(child.pid, signal.SIGKILL))
        try:
            output, _ = child.communicate(timeout=PATIENCE_SECONDS)
        finally:
            child.kill()
        self._quiesce()
        if child.returncode == -signal.SIGKILL:
            return None
        assert child.returncode == 0
        return dict(json.loads(output))

    def _quiesce(self) -> None:
        """Wait until the service has seen all that the process had sent."""
        until = time.monotonic() + PATIENCE_SECONDS
        while self.server._threads:
            assert time.monotonic() < until, "connections of a dead process stay open"
            time.sleep(0.005)

    @property
    def standing(self) -> set[int]:
        return {number for upload in self.fake.uploads.values() for number in upload.parts}

    def sent(self) -> list[int]:
        """Give the part numbers of every UploadPart since the last call."""
        numbers = [r.part_number for r in self.fake.requests_of("UploadPart")]
        self.fake.requests.clear()
        return [number for number in numbers if number is not None]

    def check_end(self, result: dict[str, Any] | None) -> None:
        data = generated(self.job["seed"])
        stored = self.fake.objects["bucket"][KEY]
        assert result is not None
        assert stored.body == data
        assert (result["size"], result["etag"]) == (len(data), stored.etag.strip('"'))
        assert self.fake.uploads == {}, "an orphan"
        assert list((self.folder / "journal").iterdir()) == [], "something is left of the journal"


@pytest.fixture
def make_run(tmp_path: Path) -> Any:
    fake = Killing()
    with FakeServer(fake) as server:
        yield lambda seed: Run(fake, server, tmp_path, seed)


def moments(seed: int, count: int) -> list[tuple[int, str]]:
    """Give moments after the answer to initiate: until then no process knows of an upload."""
    chosen = random.Random(seed)
    return [(chosen.randint(2, LAST_REQUEST), chosen.choice(SIDES)) for _ in range(count)]


@pytest.mark.parametrize(("seed", "moment"), list(enumerate(moments(2026, 20))))
def test_a_killed_upload_goes_on_in_a_new_process(
    make_run: Any, seed: int, moment: tuple[int, str]
) -> None:
    run = make_run(seed)
    assert run.process(moment) is None, "it was not killed"
    was_complete = KEY in run.fake.objects["bucket"]
    standing = run.standing
    run.sent()
    result = run.process(None)
    again = run.sent()
    assert len(again) == len(set(again))
    assert not standing & set(again), "a part that the service had was sent again"
    if was_complete:
        assert again == []
    run.check_end(result)
    assert result["resumed"]


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("concurrency", [None, 1])
def test_killed_in_complete_it_resumes_to_the_truth(
    make_run: Any, side: str, concurrency: int | None
) -> None:
    run = make_run(50)
    run.job["concurrency"] = concurrency
    assert run.process((LAST_REQUEST, side)) is None
    assert (KEY in run.fake.objects["bucket"]) == (side != "body")
    standing = run.standing
    run.sent()
    result = run.process(None)
    assert run.sent() == []
    assert len(standing) in (0, LAST_REQUEST - 2)
    run.check_end(result)


@pytest.mark.parametrize("seed", [100, 101, 102])
def test_killed_again_and_again_it_gets_there(make_run: Any, seed: int) -> None:
    run = make_run(seed)
    sent: list[int] = []
    chosen = random.Random(seed)
    before: set[int] = set()
    for _ in range(4):
        assert run.process((chosen.randint(4, 8), chosen.choice(SIDES))) is None
        again = run.sent()
        assert not before & set(again)
        before = run.standing
        sent += again
    result = run.process(None)
    assert not before & set(run.sent())
    run.check_end(result)


@pytest.mark.parametrize("side", SIDES)
def test_killed_before_initiate_was_answered_nothing_is_known_of_it(
    make_run: Any, side: str
) -> None:
    """The one orphan that is left to the clean-up by age: its id never reached a process."""
    run = make_run(200)
    assert run.process((1, side)) is None
    assert run.sent() == []
    assert len(run.fake.uploads) == (side != "body")
    run.fake.uploads.clear()
    result = run.process(None)
    assert result is not None and not result["resumed"]
    run.check_end(result)
