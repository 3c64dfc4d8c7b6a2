# SPDX-License-Identifier: Apache-2.0
"""boto3's `upload_fileobj` and its ways to read; and the client that smart_open takes.

Options: `part` in MiB and `threads` (its own defaults otherwise), `sum=when_required` to send no
checksum unless the operation asks for one.
"""

from __future__ import annotations

from typing import Any
from collections.abc import Iterator

from benchmarks.client.job import MIB, BUCKET, REGION, ACCESS_KEY, READ_CHUNK, SECRET_KEY, Job
from benchmarks.client.sources import Source


def s3_client(job: Job) -> Any:
    import boto3
    from botocore.config import Config

    config = Config(
        s3={"addressing_style": "path"},
        max_pool_connections=int(job.number("threads", 10)),
        request_checksum_calculation=job.options.get("sum", "when_supported"),
    )
    return boto3.client(
        "s3",
        endpoint_url=job.endpoint,
        region_name=REGION,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        verify=job.ca_path,
        config=config,
    )


def make(job: Job) -> Any:
    from boto3.s3.transfer import TransferConfig

    part = int(job.number("part") * MIB)
    sizes = {"multipart_threshold": part, "multipart_chunksize": part} if part else {}
    return s3_client(job), TransferConfig(max_concurrency=int(job.number("threads", 10)), **sizes)


def upload(client: Any, job: Job, source: Source, key: str) -> None:
    s3, transfer = client
    s3.upload_fileobj(source.file(), BUCKET, key, Config=transfer)


def download(client: Any, job: Job, key: str, path: str) -> None:
    s3, transfer = client
    s3.download_file(BUCKET, key, path, Config=transfer)


def read(client: Any, job: Job, key: str) -> Iterator[bytes]:
    s3, _ = client
    chunks: Iterator[bytes] = s3.get_object(Bucket=BUCKET, Key=key)["Body"].iter_chunks(READ_CHUNK)
    return chunks


def names(client: Any, job: Job) -> Iterator[str]:
    s3, _ = client
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
        for found in page["Contents"]:
            yield found["Key"]
