# SPDX-License-Identifier: Apache-2.0
"""Crash, pause and resume on real servers: to the very bytes, and no part twice.

What the service had confirmed is asked of it by ListParts before the resume; what is sent in the
resume is counted by a gateway in between. Twenty kills with ``S3MPU_LONG=1``, else two; the figures
are printed (``-s``) and stand in docs/reliability.md.
"""

from __future__ import annotations

import sys
import json
import time
import random
import signal
import subprocess
from typing import Any
from pathlib import Path
from dataclasses import replace
from collections.abc import Iterator

import pytest

import libcloud_s3mpu as ours
from tests.servers.base import Endpoint
from tests.contract.weather import COMPLETE, Gateway, Exchange
from tests.contract.conftest import IS_LONG, read, chunks, connect, pattern
from tests.contract.crashing import KEY, PART, SIZE_BYTES, generated

pytest.importorskip("filelock", reason="a journal of files needs filelock")
pytestmark = pytest.mark.contract

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 60
KILLS = 20 if IS_LONG else 2
PARTS = 7


@pytest.fixture
def gateway(endpoint: Endpoint) -> Iterator[Gateway]:
    with Gateway(endpoint.host, endpoint.port) as made:
        yield made
    assert made.errors == []


@pytest.fixture
def through(endpoint: Endpoint, gateway: Gateway) -> Any:
    """A driver whose requests pass the gateway."""
    return connect(endpoint, port=gateway.port)


def parts_of(driver: Any, container: Any) -> dict[int, str]:
    """Give the parts that the service has of the one upload under way, or none."""
    found = list(driver.ex_iterate_multipart_uploads(container))
    assert len(found) <= 1
    return {
        part.part_number: part.etag
        for it in found
        for part in driver.ex_list_parts(container, it.key, it.id)
    }


# -- a process that is killed ----------------------------------------------------------------------


class Crash:
    """One upload over two processes, the first of which is killed."""

    def __init__(
        self, endpoint: Endpoint, gateway: Gateway, container: Any, folder: Path, seed: int
    ) -> None:
        chosen = random.Random(seed)
        self.gateway = gateway
        self.seed = seed
        #: After how many bytes of bodies it is killed; the last tenth stands for complete.
        self.moment = chosen.randint(1, SIZE_BYTES + SIZE_BYTES // 10)
        self.job: dict[str, Any] = {
            "driver": {
                "key": endpoint.access_key,
                "secret": endpoint.secret_key,
                "secure": endpoint.secure,
                "host": endpoint.host,
                "port": gateway.port,
                "region": endpoint.region,
            },
            "container": container.name,
            "folder": str(folder),
            "seed": seed,
            "kind": chosen.choice(["generator", "file"]),
            "concurrency": chosen.choice([None, 1, 4]),
            "checksum": chosen.choice(["auto", "crc32", "md5"]),
        }

    def process(self, *, is_killed: bool) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "tests.contract.crashing", json.dumps(self.job)]
        child = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        before = self.gateway._passed

        def on_body(passed: int) -> None:
            if passed - before >= self.moment:
                child.kill()

        def choose(exchange: Exchange) -> str | None:
            if exchange.operation == COMPLETE and self.moment > SIZE_BYTES:
                child.kill()  # Its request goes on: what is on the way takes effect.
            return None

        if is_killed:
            self.gateway.on_body, self.gateway.choose = on_body, choose
        try:
            said, errors = child.communicate(timeout=PATIENCE_SECONDS)
        finally:
            child.kill()
            self.gateway.on_body = lambda count: None
            self.gateway.choose = lambda exchange: None
        self.gateway.quiesce()
        return subprocess.CompletedProcess(command, child.returncode, said, errors)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
@pytest.mark.parametrize("seed", range(KILLS))
def test_a_killed_upload_goes_on_in_a_new_process(
    endpoint: Endpoint, gateway: Gateway, container: Any, driver: Any, tmp_path: Path, seed: int
) -> None:
    crash = Crash(endpoint, gateway, container, tmp_path, seed)
    killed = crash.process(is_killed=True)
    assert killed.returncode == -signal.SIGKILL, killed
    confirmed = parts_of(driver, container)
    is_there = KEY in [it.name for it in driver.iterate_container_objects(container)]
    gateway.exchanges.clear()
    began = time.monotonic()
    done = crash.process(is_killed=False)
    seconds = time.monotonic() - began
    assert done.returncode == 0, done.stderr
    sent = gateway.sent_parts()
    assert len(sent) == len(set(sent)), "a part was sent twice"
    assert not confirmed.keys() & set(sent), "a part that the service had was sent again"
    expected = set() if is_there else set(range(1, PARTS + 1)) - confirmed.keys()
    assert set(sent) == expected
    said = json.loads(done.stdout)
    assert said == {"size": SIZE_BYTES, "resumed": True}
    assert read(driver, container, KEY) == generated(seed)
    assert list((tmp_path / "journal").glob("*.json")) == []
    print(
        f"\n{endpoint.name}, seed {seed}, {crash.job['kind']}, concurrency "
        f"{crash.job['concurrency']}, {crash.job['checksum']}: killed after {crash.moment:,} of "
        f"{SIZE_BYTES:,} bytes, {len(confirmed)} parts confirmed"
        f"{', completed' if is_there else ''}; sent in the resume: {len(sent)}; {seconds:.1f} s"
    )


# -- a pause, and sources of all kinds ---------------------------------------------------------


@pytest.mark.on_real(concurrency=[4])
@pytest.mark.parametrize("concurrency", [1, 4])
def test_a_paused_upload_goes_on(
    container: Any, driver: Any, through: Any, gateway: Gateway, concurrency: int
) -> None:
    data = pattern(4 * PART + 17)
    options = ours.UploadOptions(part_size_bytes=PART, concurrency=concurrency)
    upload = through.ex_start_upload(container, "object", ex_options=options)

    def source() -> Iterator[bytes]:
        for number, chunk in enumerate(chunks(data, PART)):
            if number == 3:
                upload.pause()
            yield chunk

    with pytest.raises(ours.UploadPausedError):
        upload.run(source())
    confirmed = parts_of(driver, container)
    assert confirmed
    gateway.exchanges.clear()
    upload.run(chunks(data))
    assert set(gateway.sent_parts()) == set(range(1, 6)) - confirmed.keys()
    assert read(driver, container, "object") == data


def kept(driver: Any, container: Any, data: bytes, **options: Any) -> str:
    """Upload the first half, and keep it; give the upload's id."""

    def source() -> Iterator[bytes]:
        yield data[: 2 * PART + 1]
        raise OSError("mine")

    made = ours.UploadOptions(part_size_bytes=PART, concurrency=2, on_failure="keep", **options)
    with pytest.raises(OSError, match="mine"):
        driver.upload_object_via_stream(source(), container, "object", ex_options=made)
    (upload,) = driver.ex_iterate_multipart_uploads(container)
    return str(upload.id)


def test_a_stranger_goes_on_by_the_id_alone_from_a_source_that_cannot_seek(
    container: Any, driver: Any, through: Any, gateway: Gateway
) -> None:
    """No journal, no session: what stands is compared by the service's own ETags."""
    data = pattern(3 * PART + 17)
    upload_id = kept(through, container, data)
    gateway.exchanges.clear()
    options = ours.UploadOptions(part_size_bytes=PART)
    through.ex_resume_upload(upload_id, chunks(data), container, "object", ex_options=options)
    assert sorted(gateway.sent_parts()) == [3, 4]
    assert read(driver, container, "object") == data


def test_another_source_is_refused_and_the_right_one_still_goes_on(
    container: Any, driver: Any, through: Any, gateway: Gateway
) -> None:
    data = pattern(3 * PART + 17)
    journal = ours.MemoryJournal()
    upload_id = kept(through, container, data, journal=journal)
    options = ours.UploadOptions(part_size_bytes=PART, journal=journal)
    gateway.exchanges.clear()
    with pytest.raises(ours.SourceChangedError):
        wrong = chunks(pattern(len(data), seed=1))
        through.ex_resume_upload(upload_id, wrong, container, "object", ex_options=options)
    assert gateway.sent_parts() == []
    through.ex_resume_upload(upload_id, data, container, "object", ex_options=options)
    assert sorted(gateway.sent_parts()) == [3, 4]
    assert read(driver, container, "object") == data


# -- keys ------------------------------------------------------------------------------------------


def test_keys_are_replaced_in_the_middle_of_an_upload_once_for_all_workers(
    endpoint: Endpoint, container: Any, driver: Any, gateway: Gateway
) -> None:
    if endpoint.other_keys is None:
        pytest.skip("this server has one pair of keys")
    given = [(endpoint.access_key, endpoint.secret_key), endpoint.other_keys]
    calls: list[tuple[str, str]] = []

    def issue() -> tuple[str, str]:
        calls.append(given[min(len(calls), 1)])
        return calls[-1]

    def choose(exchange: Exchange) -> str | None:
        is_old = f"Credential={endpoint.access_key}/" in exchange.headers.get("authorization", "")
        has_run_out = len(gateway.sent_parts()) > 3
        return "expired" if is_old and has_run_out else None

    gateway.choose = choose
    data = pattern(8 * PART + 17)
    through = connect(endpoint, port=gateway.port, key="", secret=None, ex_credentials=issue)
    options = ours.UploadOptions(part_size_bytes=PART, concurrency=4)
    through.upload_object_via_stream(chunks(data), container, "object", ex_options=options)
    assert calls == given, "asked once for each pair"
    assert any(it.fault == "expired" for it in gateway.exchanges)
    assert read(driver, container, "object") == data


def test_a_clean_up_spares_what_runs_and_what_a_journal_owns(
    endpoint: Endpoint, container: Any, driver: Any
) -> None:
    data = pattern(3 * PART + 17)
    journal = ours.MemoryJournal()
    mine = kept(driver, container, data, journal=journal)
    orphan = driver._initiate_multipart(container, "orphan")
    time.sleep(1.1)  # Dates have whole seconds: what is of this one is not old yet.
    reports: list[Any] = []

    def source() -> Iterator[bytes]:
        for chunk in chunks(data, PART):
            yield chunk
            if not reports and len(list(driver.ex_iterate_multipart_uploads(container))) == 3:
                reports.append(
                    connect(endpoint).ex_cleanup_multipart_uploads(
                        container, older_than_seconds=0, dry_run=False, journal=journal
                    )
                )

    driver.upload_object_via_stream(source(), container, "running")
    (report,) = reports
    assert [it.upload_id for it in report.aborted] == [orphan]
    reasons = {it.object_name: it.reason for it in report.skipped}
    assert reasons == {"object": "a journal owns it", "running": "this process has it open"}
    options = replace(driver.ex_options, journal=journal)
    driver.ex_resume_upload(mine, data, container, "object", ex_options=options)
    assert read(driver, container, "object") == data
