# SPDX-License-Identifier: Apache-2.0
"""Apps that real servers import: made of the environment that a test gives its server's process.

``wsgi`` and ``asgi`` are the bare tus handler; ``flask``, ``django``, ``fastapi`` and ``starlette``
the examples with both handlers.
"""

from __future__ import annotations

import os
from typing import Any
from importlib import import_module

from libcloud.storage.base import Container

from tests.fake_s3 import REGION, ACCESS_KEY, SECRET_KEY
from tests.unit.small import AT_ONCE
from tests.web.conftest import LIMITS
from libcloud_s3mpu.driver import AmazonS3MultipartDriver
from libcloud_s3mpu.web.tus import TusHandler
from libcloud_s3mpu.web.asgi import tus_asgi
from libcloud_s3mpu.web.wsgi import tus_wsgi
from libcloud_s3mpu.resumable import S3Locker, ResumableUploads
from libcloud_s3mpu.web.direct import DirectHandler
from libcloud_s3mpu.protocol.options import UploadOptions


def handlers() -> tuple[Any, Any]:
    driver = AmazonS3MultipartDriver(
        ACCESS_KEY,
        SECRET_KEY,
        region=REGION,
        ex_endpoint_url=os.environ["TEST_S3"],
        ex_options=UploadOptions(retry=AT_ONCE),
    )
    part = int(os.environ.get("TEST_PART", "5"))
    if part < 1024:
        driver.ex_limits = LIMITS  # type: ignore[misc]
    container = Container("bucket", {}, driver)
    locker = S3Locker(driver, container, prefix="uploads/", ttl_seconds=1.0, timeout_seconds=10.0)
    minimum = {"min_part": 5} if part < 1024 else {}
    uploads = ResumableUploads(driver, container, part=part, locker=locker, **minimum)
    direct = DirectHandler(
        driver, container, "direct/", authorize=lambda *_: True, base_path="/direct"
    )
    return TusHandler(uploads, base_path="/files"), direct


def make(name: str) -> Any:
    tus, direct = handlers()
    if name == "wsgi":
        return tus_wsgi(tus)
    if name == "asgi":
        return tus_asgi(tus)
    return import_module(f"examples.{name}_app").make_app(tus, direct)


if "TEST_APP" in os.environ:
    app = make(os.environ["TEST_APP"])
