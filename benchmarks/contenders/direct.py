# SPDX-License-Identifier: Apache-2.0
"""`DirectUploadClient` of this checkout: the same bytes by presigned URLs, without keys.

`direct:part=N` is the size of the parts in bytes (20 MiB if not given), `checksum` the client's.
Beginning and signing are part of what is measured. `app=off` gives the client the ticket alone, so
that it completes by URL, and on plain http has MD5 for its only check.
"""

from __future__ import annotations

from typing import Any

from benchmarks.client.job import Job
from benchmarks.contenders import ours
from benchmarks.client.sources import Source


def make(job: Job) -> Any:
    from dataclasses import replace

    from libcloud_s3mpu import DirectUploadClient

    driver, container = ours.make(replace(job, options={}))
    given = {"checksum": ours.value(job.options["checksum"])} if "checksum" in job.options else {}
    return driver, container, DirectUploadClient(ca_cert=job.ca_path, **given)


def upload(client: Any, job: Job, source: Source, key: str) -> None:
    driver, container, sender = client
    part = int(job.number("part")) or None
    direct = driver.ex_create_direct_upload(container, key, job.size, part_size_bytes=part)
    app = direct if job.options.get("app") != "off" else None
    sender.upload(source.iterator(), direct.as_dict(), app)
