# SPDX-License-Identifier: Apache-2.0
"""Each app on a real server: with ours everything is right, and what upstream gets wrong is shown.

The apps live in an environment of their own (``python -m tests.servers install apps``), which has
this package by its path; without it these tests are skipped.
"""

from __future__ import annotations

import os
import json
import subprocess
from typing import Any
from pathlib import Path
from collections.abc import Callable, Iterator

import pytest

from tests.apps.venv import VENV
from tests.servers.base import INSTALL, Endpoint
from tests.apps.scenarios import EACH, THREADS, SCENARIOS
from tests.servers.ministack import MiniStack

ROOT = Path(__file__).resolve().parents[2]
ALL = f"{THREADS * EACH} of {THREADS * EACH}"
#: What upstream 3.9.1 gets wrong at once and every time.
WRONG_UPSTREAM = {
    "django_storages": {"a file above 5 MiB read", "an empty file read"},
    "sqlalchemy_file": {"a name that is not ASCII"},
    "file_keeper": set(),
    "mosaicml": {"the status is in an error's text"},
    "medusa": set(),
}

pytestmark = [pytest.mark.contract, pytest.mark.timeout(120)]

Run = Callable[[str, str, float], dict[str, Any]]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    server = MiniStack()
    required = os.environ.get("S3MPU_REQUIRE_SERVERS", "").split(",")
    missing = server.available()
    if not missing and not VENV.is_ready():
        missing = f"the apps are not in {VENV.folder}: {INSTALL}"
    if missing:
        (pytest.fail if "apps" in required else pytest.skip)(missing)
    with server as found:
        yield found


@pytest.fixture
def run(endpoint: Endpoint) -> Run:
    """A function that runs one scenario in the apps' environment and gives what it printed."""

    def call(name: str, whose: str, mib: float) -> dict[str, Any]:
        where = [endpoint.host, str(endpoint.port), endpoint.access_key, endpoint.secret_key]
        argv = [str(VENV.python), "-W", "ignore", "-m", "tests.apps.scenarios", name, whose]
        environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [*argv, *where, str(mib)], capture_output=True, text=True, timeout=100, env=environ
        )
        assert done.returncode == 0, done.stderr[-2000:]
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    return call


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_an_app_works_with_ours(run: Run, name: str) -> None:
    found = run(name, "ours", 1.0)
    assert found.pop("seconds") < 60
    wrong = {what: how for what, how in found.items() if how not in ("right", ALL, "6 of 6")}
    assert wrong == {}


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_what_upstream_gets_wrong_is_still_wrong_there(run: Run, name: str) -> None:
    """Or docs/apps.md tells something that has been mended."""
    found = run(name, "upstream", 0.05)
    assert WRONG_UPSTREAM[name] <= {what for what, how in found.items() if how != "right"}
    assert found.get("stored whole", "right") == "right"
