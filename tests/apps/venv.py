# SPDX-License-Identifier: Apache-2.0
"""Which apps, and where they are installed; no test, so that installing needs no pytest."""

from __future__ import annotations

from tests.servers.base import Venv

VENV = Venv(
    name="apps-2026.11",
    requirements=(
        "apache-libcloud==3.9.1",
        "lxml>=4.9",
        "Django~=5.2.0",
        "django-storages==1.14.6",
        "sqlalchemy-file==0.7.0",
        "fastapi",
        "httpx",
        "python-multipart",
        "file-keeper==0.2.6",
    ),
)
