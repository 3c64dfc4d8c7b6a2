# SPDX-License-Identifier: Apache-2.0
"""The S3 driver of apache-libcloud itself."""

from __future__ import annotations

from typing import Any

from benchmarks.client.job import BUCKET, REGION, ACCESS_KEY, SECRET_KEY, Job
from benchmarks.contenders import ours
from benchmarks.client.sources import Source


def make(job: Job) -> Any:
    if job.ca_path:
        import libcloud.security

        libcloud.security.CA_CERTS_PATH = job.ca_path
    from libcloud.storage.drivers.s3 import S3StorageDriver

    server = {"secure": job.secure, "host": job.host, "port": job.port, "region": REGION}
    driver = S3StorageDriver(ACCESS_KEY, SECRET_KEY, **server)
    return driver, driver.get_container(BUCKET)


def upload(client: Any, job: Job, source: Source, key: str) -> None:
    driver, container = client
    driver.upload_object_via_stream(source.iterator(), container, key)


# Both drivers have libcloud's own methods: what reads with one reads with the other.
download, read, names = ours.download, ours.read, ours.names
