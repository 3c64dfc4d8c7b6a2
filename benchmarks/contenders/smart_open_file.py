# SPDX-License-Identifier: Apache-2.0
"""smart_open's file for writing, over a boto3 client. Option: `part` in MiB."""

from __future__ import annotations

from typing import Any

from benchmarks.client.job import MIB, BUCKET, Job
from benchmarks.client.sources import Source
from benchmarks.contenders.boto3_transfer import s3_client


def make(job: Job) -> Any:
    import smart_open  # noqa: F401  (its import is set-up)

    return s3_client(job)


def upload(client: Any, job: Job, source: Source, key: str) -> None:
    import smart_open

    given = {"client": client}
    if "part" in job.options:
        given["min_part_size"] = int(job.number("part") * MIB)
    with smart_open.open(f"s3://{BUCKET}/{key}", "wb", transport_params=given) as writer:
        for chunk in source.blocks():
            writer.write(chunk)
