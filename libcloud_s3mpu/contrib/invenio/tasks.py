# SPDX-License-Identifier: Apache-2.0
"""The clean-up as a Celery task, by the name and for the schedule that oarepo-s3 has.

::

    CELERY_BEAT_SCHEDULE = {
        "cleanup_expired_multipart_uploads": {
            "task": "libcloud_s3mpu.contrib.invenio.tasks.cleanup_expired_multipart_uploads",
            "schedule": timedelta(minutes=60),
        },
    }

Invenio-Celery finds it by the package's entry point ``invenio_celery.tasks``. What it does is
:func:`.uploads.cleanup_expired`.
"""

from __future__ import annotations

from .config import missing

try:
    from celery import shared_task
except ImportError as error:
    raise missing(__name__, error) from error


@shared_task  # type: ignore[untyped-decorator,unused-ignore]
def cleanup_expired_multipart_uploads() -> list[str]:
    """Abort the uploads whose time is over; give the ids of the versions that were removed."""
    from .uploads import cleanup_expired

    return cleanup_expired()
