# SPDX-License-Identifier: Apache-2.0
"""The clean-up of orphaned uploads as a Celery task, for Celery beat.

::

    from libcloud_s3mpu.contrib.celery import register_tasks

    def driver():
        return get_driver("s3_multipart")(ex_credentials=botocore_credentials())

    register_tasks(app, driver=driver)
    app.conf.beat_schedule = {
        "cleanup-expired-multipart-uploads": {
            "task": "libcloud_s3mpu.cleanup_expired_multipart_uploads",
            "schedule": timedelta(minutes=60),
            "kwargs": {"container": "backups", "older_than_seconds": 86400},
        },
    }

Neither keys nor drivers go through the broker: ``driver`` is called in the worker. What is aborted,
and what is left alone, is told by ``ex_cleanup_multipart_uploads``.
"""

from __future__ import annotations

from typing import Any
from collections.abc import Callable

from libcloud.storage.base import Container

from ..maintenance import OLDER_THAN_SECONDS, OwnsUploads, as_json

#: The name that beat calls the task by.
TASK_NAME = "libcloud_s3mpu.cleanup_expired_multipart_uploads"


def register_tasks(
    app: Any,
    *,
    driver: Callable[[], Any],
    journal: OwnsUploads | Callable[[], OwnsUploads] | None = None,
    name: str = TASK_NAME,
    **task_options: Any,
) -> Any:
    """Make the task known to a Celery app, and give it.

    The task takes ``container`` (its name), ``older_than_seconds``, ``prefix`` and ``dry_run``;
    unlike the driver's method it does abort unless told otherwise, since that is what it is
    scheduled for. It gives the report as a mapping of plain values, and fails with
    :class:`CleanupError` after all that could be aborted was.

    :param driver: makes the driver, in the worker; kept from then on, one for each process.
    :param journal: whose uploads are not touched; or what makes it, in the worker.
    :param name: of the task.
    :param task_options: for ``app.task`` (``queue``, ``time_limit``, ``ignore_result`` ...).
    """
    made: dict[str, Any] = {}

    def cleanup_expired_multipart_uploads(
        container: str,
        older_than_seconds: float = OLDER_THAN_SECONDS,
        prefix: str | None = None,
        dry_run: bool = False,
    ) -> dict[str, Any]:
        if "driver" not in made:
            made["driver"] = driver()
        found = made["driver"]
        report = found.ex_cleanup_multipart_uploads(
            Container(container, {}, found),
            older_than_seconds=older_than_seconds,
            prefix=prefix,
            dry_run=dry_run,
            journal=journal() if callable(journal) else journal,
        )
        return as_json(report)

    return app.task(name=name, **task_options)(cleanup_expired_multipart_uploads)
