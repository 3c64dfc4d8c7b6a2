# SPDX-License-Identifier: Apache-2.0
"""What a tus server's process costs, whatever is sent to it: two parts and 32 MiB of memory, and
of processor time at most twice what the driver takes that sends the same bytes from memory.

Measured at a server in a process of its own (Linux), beyond what it had and took after a small
upload. ``S3MPU_LONG=1`` sends 1 GiB, and runs what is about time.
"""

from __future__ import annotations

import os
import sys
import json
import threading
import subprocess
from typing import Any
from pathlib import Path
from collections.abc import Iterator

import pytest

from tests.web.doors import Sent, SocketDoor, head_of
from tests.web.process import Process, running, config_of
from tests.web.conftest import TYPE, VERSION
from tests.web.discarding import discarding_s3

MIB = 1024 * 1024
IS_LONG = bool(os.environ.get("S3MPU_LONG"))
#: Bytes sent at once; the same ones each time: nobody here looks at them.
BLOCK = os.urandom(MIB)
SLACK = 32 * MIB

pytestmark = [
    pytest.mark.memory,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]


@pytest.fixture
def endpoint() -> Iterator[dict[str, str]]:
    with discarding_s3() as found:
        yield found


def config(place: dict[str, str], folder: Path, part: int) -> dict[str, Any]:
    how = {"part": part, "min_part": 5 * MIB, "checks_object_size": False, **place}
    return config_of(locker="file", where=folder, **how)


def upload(door: SocketDoor, size: int) -> None:
    """Create an upload and send it in one PATCH."""
    with door.connect() as connection:
        connection.socket.settimeout(120)  # A hundred at once wait for each other.
        answer = connection.send("POST", "/files", {**VERSION, "Upload-Length": str(size)})
    assert answer is not None and answer.status == 201, answer
    headers = {**VERSION, "Content-Type": TYPE, "Upload-Offset": "0"}
    with door.connect() as connection:
        connection.socket.settimeout(120)
        url = answer["Location"]
        connection.socket.sendall(head_of("PATCH", url, headers, Sent(length=size)))
        for at in range(0, size, MIB):
            connection.socket.sendall(BLOCK[: size - at])
        answer = connection.answer("PATCH")
    assert (answer.status, answer["Upload-Offset"]) == (204, str(size))


def measured(process: Process, run: Any) -> tuple[int, float]:
    """Give the growth of the peak in bytes and the processor seconds of a run."""
    upload(process.door, 16 * MIB)
    peak, cpu = process.peak_bytes(), process.cpu_seconds()
    run()
    return process.peak_bytes() - peak, process.cpu_seconds() - cpu


@pytest.mark.parametrize("part", [8 * MIB, 32 * MIB], ids=["8 MiB", "32 MiB"])
def test_one_patch_takes_two_parts_of_memory(
    endpoint: dict[str, str], tmp_path: Path, part: int
) -> None:
    size = (1024 if IS_LONG else 160) * MIB
    with running(config(endpoint, tmp_path, part)) as (process,):
        grown, cpu = measured(process, lambda: upload(process.door, size))
    print(
        f"{size // MIB} MiB, parts of {part // MIB} MiB: grew by {grown / MIB:.0f} MiB, "
        f"{cpu / size * 2**30:.2f} s/GiB"
    )
    assert grown <= 2 * part + SLACK


def test_many_at_once_take_each_its_budget(endpoint: dict[str, str], tmp_path: Path) -> None:
    count, size = (100, 64 * MIB) if IS_LONG else (8, 24 * MIB)
    part = 8 * MIB
    with running(config(endpoint, tmp_path, part)) as (process,):

        def all_at_once() -> None:
            failed: list[BaseException] = []

            def one() -> None:
                try:
                    upload(process.door, size)
                except BaseException as error:
                    failed.append(error)

            threads = [threading.Thread(target=one) for _ in range(count)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert failed == []

        grown, cpu = measured(process, all_at_once)
    print(
        f"{count} times {size // MIB} MiB: grew by {grown / MIB:.0f} MiB, "
        f"{cpu / size / count * 2**30:.2f} s/GiB"
    )
    budget = 2 * part + 16 * MIB
    assert grown <= count * budget + SLACK


#: The driver alone, in a process of its own: bytes from memory, in the pieces that a server reads.
_ALONE = """
import sys, json, time
from dataclasses import replace
from libcloud.storage.base import Container
from libcloud_s3mpu.driver import AmazonS3MultipartDriver
from libcloud_s3mpu.protocol.options import UploadOptions
config, size = json.loads(sys.argv[1]), int(sys.argv[2])
driver = AmazonS3MultipartDriver(
    *config["keys"], region=config["region"], ex_endpoint_url=config["endpoint"],
    ex_options=UploadOptions(part_size_bytes=config["part"]),
)
driver.ex_limits = replace(driver.ex_limits, checks_object_size=False)
if "ca" in config:
    driver.connection.connection.ca_cert = config["ca"]
container = Container(config["bucket"], {}, driver)
block = bytes(65536)
def source(size):
    for _ in range(size // len(block)):
        yield block
driver.upload_object_via_stream(source(16 << 20), container, "small")
began = time.process_time()
driver.upload_object_via_stream(source(size), container, "large")
print(time.process_time() - began)
"""


@pytest.mark.skipif(not IS_LONG, reason="takes minutes: S3MPU_LONG=1 runs it")
@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_it_takes_at_most_twice_the_drivers_processor_time(tmp_path: Path, tls: bool) -> None:
    size = 1024 * MIB
    with discarding_s3(tls=tls) as place:
        how = config(place, tmp_path, 8 * MIB)
        command = [sys.executable, "-c", _ALONE, json.dumps(how), str(size)]
        alone = float(subprocess.run(command, check=True, capture_output=True, timeout=120).stdout)
        with running(how) as (process,):
            _, cpu = measured(process, lambda: upload(process.door, size))
    print(f"{'https' if tls else 'http'}: {cpu:.2f} s/GiB, the driver alone {alone:.2f} s/GiB")
    assert cpu <= 2 * alone
