# SPDX-License-Identifier: Apache-2.0
"""What a tus server's process takes of memory, whatever is sent to it: two parts and 32 MiB.

Measured as the largest resident size of a server in a process of its own (Linux), beyond what it
had after a small upload. The sizes of an upload are the test's own: ``S3MPU_LONG=1`` sends 1 GiB.
"""

from __future__ import annotations

import os
import sys
import threading
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
def endpoint() -> Iterator[str]:
    with discarding_s3() as found:
        yield found


def config(endpoint: str, folder: Path, part: int) -> dict[str, Any]:
    how = {"part": part, "min_part": 5 * MIB, "checks_object_size": False}
    return config_of(endpoint, "file", folder, **how)


def upload(door: SocketDoor, size: int) -> None:
    """Create an upload and send it in one PATCH."""
    answer = door.send("POST", "/files", {**VERSION, "Upload-Length": str(size)})
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
def test_one_patch_takes_two_parts_of_memory(endpoint: str, tmp_path: Path, part: int) -> None:
    size = (1024 if IS_LONG else 160) * MIB
    with running(config(endpoint, tmp_path, part)) as (process,):
        grown, cpu = measured(process, lambda: upload(process.door, size))
    print(
        f"{size // MIB} MiB, parts of {part // MIB} MiB: grew by {grown / MIB:.0f} MiB, "
        f"{cpu / size * 2**30:.2f} s/GiB"
    )
    assert grown <= 2 * part + SLACK


def test_many_at_once_take_each_its_budget(endpoint: str, tmp_path: Path) -> None:
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
