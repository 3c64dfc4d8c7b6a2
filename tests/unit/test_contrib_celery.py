# SPDX-License-Identifier: Apache-2.0
"""The clean-up as a Celery task: on an app that only looks like one, and on Celery itself."""

from __future__ import annotations

import sys
import json
import subprocess
from typing import Any
from pathlib import Path
from datetime import datetime, timezone
from collections.abc import Callable

import pytest

from libcloud_s3mpu.contrib.celery import TASK_NAME, register_tasks
from libcloud_s3mpu.transfer.orphans import CleanupReport, OrphanedUpload

UPLOAD = OrphanedUpload(
    object_name="key",
    upload_id="id",
    initiated=datetime(2026, 11, 1, tzinfo=timezone.utc),
    parts=2,
    size=10,
)


class Driver:
    """Notes what it is asked."""

    made = 0

    def __init__(self) -> None:
        type(self).made += 1
        self.calls: list[dict[str, Any]] = []

    def ex_cleanup_multipart_uploads(self, container: Any, **kwargs: Any) -> CleanupReport:
        self.calls.append({"container": container.name, **kwargs})
        return CleanupReport(
            container=container.name,
            dry_run=kwargs["dry_run"],
            seen=1,
            aborted=(UPLOAD,),
            bytes_freed=10,
        )


class App:
    """What a Celery app is asked for here."""

    def __init__(self) -> None:
        self.tasks: dict[str, Callable[..., Any]] = {}
        self.options: dict[str, Any] = {}

    def task(self, *, name: str, **options: Any) -> Callable[[Any], Any]:
        def register(function: Any) -> Any:
            self.tasks[name] = function
            self.options = options
            return function

        return register


def test_the_task_aborts_and_reports_plain_values() -> None:
    app, driver = App(), Driver()
    task = register_tasks(app, driver=lambda: driver, queue="slow")
    assert app.tasks == {TASK_NAME: task} and app.options == {"queue": "slow"}
    report = json.loads(json.dumps(task("backups")))
    assert report["aborted"][0]["object_name"] == "key" and report["bytes_freed"] == 10
    assert driver.calls == [
        {
            "container": "backups",
            "older_than_seconds": 86_400.0,
            "prefix": None,
            "dry_run": False,
            "journal": None,
        }
    ]


def test_the_driver_is_made_in_the_worker_and_once() -> None:
    app = App()
    before = Driver.made
    task = register_tasks(app, driver=Driver)
    assert Driver.made == before
    task("a"), task(container="b", older_than_seconds=3600, prefix="x", dry_run=True)
    assert Driver.made == before + 1


@pytest.mark.parametrize("is_made", [True, False])
def test_a_journal_or_what_makes_it_goes_with_it(is_made: bool) -> None:
    class Journal:
        def list(self) -> list[Any]:
            return []

    app, driver, journal = App(), Driver(), Journal()
    given: Any = (lambda: journal) if is_made else journal
    register_tasks(app, driver=lambda: driver, journal=given)("a")
    assert driver.calls[0]["journal"] is journal


def test_importing_it_needs_no_celery() -> None:
    code = "import sys, libcloud_s3mpu.contrib.celery; print('celery' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).resolve().parents[2],
    )
    assert done.stdout.strip() == "False"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_celery_runs_it() -> None:
    celery = pytest.importorskip("celery")
    app = celery.Celery("test", broker="memory://", backend="cache+memory://")
    app.conf.task_always_eager = True
    app.conf.task_store_eager_result = False
    driver = Driver()
    task = register_tasks(app, driver=lambda: driver)
    assert task.name == TASK_NAME and TASK_NAME in app.tasks
    result = app.tasks[TASK_NAME].delay(container="backups", older_than_seconds=60)
    assert result.get()["aborted"][0]["upload_id"] == "id"
    assert driver.calls[0]["older_than_seconds"] == 60
