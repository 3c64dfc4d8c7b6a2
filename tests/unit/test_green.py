# SPDX-License-Identifier: Apache-2.0
"""Greenlets in place of threads: gunicorn's and Celery's gevent workers. Needs gevent.

Each test runs a process of its own, since what gevent patches stays so; the fake is here.
"""

from __future__ import annotations

import sys
import subprocess
from pathlib import Path
from collections.abc import Iterator

import pytest

from tests.fake_s3 import ACCESS_KEY, SECRET_KEY, faults
from tests.unit.small import Service, whole, service

pytest.importorskip("gevent")

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 40
PATCH = "from gevent import monkey; monkey.patch_all()\n"
IMPORT = """
import sys, gevent
from dataclasses import replace
from libcloud.storage.base import Container
from tests.unit.small import AT_ONCE, SmallDriver, chunks, make_plain
from libcloud_s3mpu import UploadOptions
import libcloud_s3mpu.transfer.upload, libcloud_s3mpu.transfer.download
"""
DRIVER = """
key, secret, port, road = sys.argv[1:]
driver = SmallDriver(key, secret, host="127.0.0.1", port=int(port), secure=False)
if road == "plain":
    make_plain(driver)
container = Container("bucket", {}, driver)
def upload(key, source, concurrency):
    options = UploadOptions(part_size_bytes=5, retry=AT_ONCE, concurrency=concurrency)
    return driver.upload_object_via_stream(source, container, key, ex_options=options)
def slow():
    for chunk in chunks(19):
        gevent.sleep(0.001)
        yield chunk
"""
MANY = """
def one(number):
    upload(f"key-{number}", slow() if number % 2 else chunks(19), [None, 1, 3][number % 3])
    return b"".join(driver.get_object("bucket", f"key-{number}").as_stream())
jobs = [gevent.spawn(one, number) for number in range(12)]
gevent.joinall(jobs, timeout=30, raise_error=True)
assert [job.value for job in jobs] == [b"".join(chunks(19))] * 12
"""
TIMEOUT = """
for concurrency in (None, 1, 4):
    try:
        with gevent.Timeout(0.3):
            upload("hangs", slow(), concurrency)
    except gevent.Timeout:
        continue
    raise SystemExit("no time-out")
"""
KILLED = """
for wait in range(20):
    job = gevent.spawn(upload, "killed", slow(), [None, 1, 3][wait % 3])
    gevent.sleep(wait / 1000)
    job.kill(timeout=30)
    assert job.dead
"""


@pytest.fixture
def it() -> Iterator[Service]:
    with service() as made:
        yield made


def run(it: Service, road: str, *code: str) -> None:
    arguments = (ACCESS_KEY, SECRET_KEY, str(it.server.port), road)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", "".join(code), *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("road", ["lean", "plain"])
@pytest.mark.parametrize("order", [PATCH + IMPORT, IMPORT + PATCH], ids=["before", "after"])
def test_greenlets_share_a_driver_whenever_gevent_patches(
    order: str, road: str, it: Service
) -> None:
    """Patched after the import is what ``gunicorn --preload -k gevent`` does."""
    run(it, road, order, DRIVER, MANY)
    assert {it.stored(key) for key in it.keys} == {whole(19)} and len(it.keys) == 12
    assert it.fake.uploads == {}


@pytest.mark.parametrize("road", ["lean", "plain"])
def test_a_time_out_thrown_into_an_upload_that_hangs_leaves_nothing(road: str, it: Service) -> None:
    it.fake.script("UploadPart", faults.stall("answer", applied=False), forever=True)
    run(it, road, PATCH, IMPORT, DRIVER, TIMEOUT)
    assert it.fake.uploads == {} and it.keys == []


def test_a_greenlet_killed_at_any_moment_leaves_nothing_behind(it: Service) -> None:
    run(it, "lean", PATCH, IMPORT, DRIVER, KILLED)
    assert it.fake.uploads == {}
    assert all(it.stored(key) == whole(19) for key in it.keys)
