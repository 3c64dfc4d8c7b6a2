# SPDX-License-Identifier: Apache-2.0
"""boto3's `upload_fileobj`; and the client that smart_open takes.

Options: `part` in MiB and `threads` (its own defaults otherwise), `sum=when_required` to send no
checksum unless the operation asks for one.
"""

from __future__ import annotations

from typing import Any

from benchmarks.client.job import MIB, BUCKET, REGION, ACCESS_KEY, SECRET_KEY, Job
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
