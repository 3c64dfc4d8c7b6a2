# SPDX-License-Identifier: Apache-2.0
"""Invenio: record files on the driver, and uploads that go straight to the bucket.

::

    FILES_REST_STORAGE_FACTORY = "libcloud_s3mpu.contrib.invenio.storage_factory"

Importing this needs no Invenio; the names below that do say so when they are asked for. The manual
is docs/invenio.md. Begin reading at :mod:`.storage`.
"""

from __future__ import annotations

from typing import Any
from importlib import import_module

from .multipart import MultipartUpload

_LATER = {
    "S3FileStorage": "storage",
    "storage_factory": "storage",
    "pending_upload": "uploads",
    "complete_upload": "uploads",
    "abort_upload": "uploads",
    "cleanup_expired": "uploads",
    "create_blueprint": "views",
}

__all__ = ["MultipartUpload", *_LATER]


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_LATER[name]}", __name__), name)
