# SPDX-License-Identifier: Apache-2.0
"""opendal's blocking writer. Options: `part` in MiB, `concurrency` (one otherwise)."""

from __future__ import annotations

from typing import Any

from benchmarks.client.job import MIB, BUCKET, REGION, ACCESS_KEY, SECRET_KEY, Job
from benchmarks.client.sources import Source


def make(job: Job) -> Any:
    import opendal

    return opendal.Operator(
        "s3",
        bucket=BUCKET,
        endpoint=job.endpoint,
        region=REGION,
        access_key_id=ACCESS_KEY,
        secret_access_key=SECRET_KEY,
        disable_config_load="true",
        disable_ec2_metadata="true",
    )


def upload(client: Any, job: Job, source: Source, key: str) -> None:
    sizes = {"chunk": int(job.number("part") * MIB)} if "part" in job.options else {}
    if "concurrency" in job.options:
        sizes["concurrent"] = int(job.number("concurrency"))
    with client.open(key, "wb", **sizes) as writer:
        for chunk in source.blocks():
            writer.write(chunk)
