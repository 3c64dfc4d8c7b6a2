# SPDX-License-Identifier: Apache-2.0
"""minio's `put_object` of unknown length, and its ways to read.

Options of an upload: `part` in MiB (it has no default; 10 is what its own examples use), `threads`.
"""

from __future__ import annotations

import os
from typing import Any
from collections.abc import Iterator

from benchmarks.client.job import MIB, BUCKET, REGION, ACCESS_KEY, READ_CHUNK, SECRET_KEY, Job
from benchmarks.client.sources import Source


def make(job: Job) -> Any:
    if job.ca_path:
        os.environ["SSL_CERT_FILE"] = job.ca_path
    from minio import Minio

    server = f"{job.host}:{job.port}"
    given = {"access_key": ACCESS_KEY, "secret_key": SECRET_KEY, "region": REGION}
    return Minio(endpoint=server, secure=job.secure, **given)


def upload(client: Any, job: Job, source: Source, key: str) -> None:
    threads = int(job.number("threads"))
    width = {"num_parallel_uploads": threads} if threads else {}
    client.put_object(
        bucket_name=BUCKET,
        object_name=key,
        data=source.file(),
        length=-1,
        part_size=int(job.number("part", 10) * MIB),
        **width,
    )


def download(client: Any, job: Job, key: str, path: str) -> None:
    client.fget_object(bucket_name=BUCKET, object_name=key, file_path=path)


def read(client: Any, job: Job, key: str) -> Iterator[bytes]:
    answer = client.get_object(bucket_name=BUCKET, object_name=key)
    try:
        yield from answer.stream(READ_CHUNK)
    finally:
        answer.close()
        answer.release_conn()


def names(client: Any, job: Job) -> Iterator[str]:
    return (found.object_name for found in client.list_objects(bucket_name=BUCKET, recursive=True))
