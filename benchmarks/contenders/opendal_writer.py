# SPDX-License-Identifier: Apache-2.0
"""opendal's blocking files. Options: `part` in MiB, `concurrency` (one otherwise)."""

from __future__ import annotations

import shutil
from typing import Any
from collections.abc import Iterator

from benchmarks.client.job import MIB, BUCKET, REGION, ACCESS_KEY, READ_CHUNK, SECRET_KEY, Job
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


def download(client: Any, job: Job, key: str, path: str) -> None:
    with client.open(key, "rb") as reader, open(path, "wb") as file:
        shutil.copyfileobj(reader, file, MIB)


def read(client: Any, job: Job, key: str) -> Iterator[bytes]:
    with client.open(key, "rb") as reader:
        yield from iter(lambda: reader.read(READ_CHUNK), b"")
