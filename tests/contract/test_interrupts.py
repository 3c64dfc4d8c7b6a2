# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C at any moment: the upload ends soon, nothing of it is left, and nothing hangs.

The signal comes from outside, so it may land between any two instructions: in the source, in a
send, in the middle of a lock. The uploads are in a process of their own (``interrupted.py``).
"""

from __future__ import annotations

import sys
import json
import subprocess
from typing import Any
from pathlib import Path

import pytest

from tests.servers.base import Endpoint
from tests.contract.conftest import IS_LONG

pytestmark = pytest.mark.contract

ROOT = Path(__file__).parents[2]
DELAYS_SECONDS = [0.007 * turn for turn in range(40)]
PATIENCE_SECONDS = 60


@pytest.mark.on_real(concurrency=[None])
@pytest.mark.parametrize(("first", "concurrency"), [(0, 1), (1, 4), (2, None)])
def test_ctrl_c_leaves_nothing_and_does_not_hang(
    endpoint: Endpoint, container: Any, driver: Any, first: int, concurrency: int | None
) -> None:
    # The fake is where moments are searched; a real server shows that it is no different there.
    # Between them, the three runs on the fake see every moment; S3MPU_LONG=1: each sees all.
    step = 1 if IS_LONG else 3 if endpoint.name == "fake" else 4
    delays = DELAYS_SECONDS[first % step :: step]
    job = {
        "driver": {
            "key": endpoint.access_key,
            "secret": endpoint.secret_key,
            "secure": endpoint.secure,
            "host": endpoint.host,
            "port": endpoint.port,
            "region": endpoint.region,
        },
        "container": container.name,
        "concurrency": concurrency,
        "delays_seconds": delays,
    }
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.contract.interrupted"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        said, _ = child.communicate(json.dumps(job), timeout=PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        said, _ = child.communicate()
        pytest.fail(f"upload {len(said.splitlines()) + 1} hangs after Ctrl-C:\n{said}")
    assert said.splitlines() == ["interrupted None"] * len(delays)
    assert child.returncode == 0
    assert list(driver.ex_iterate_multipart_uploads(container)) == []
    assert driver.list_container_objects(container) == []
