# SPDX-License-Identifier: Apache-2.0
"""aioboto3's own `upload_fileobj`, driven from one event loop that outlives the uploads."""

from __future__ import annotations

import asyncio
from typing import Any

from benchmarks.client.job import BUCKET, REGION, ACCESS_KEY, SECRET_KEY, Job
from benchmarks.client.sources import Source


def make(job: Job) -> Any:
    import aioboto3
    from botocore.config import Config

    loop = asyncio.new_event_loop()
    session = aioboto3.Session(
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        region_name=REGION,
    )

    async def enter() -> Any:
        config = Config(s3={"addressing_style": "path"})
        given = {"endpoint_url": job.endpoint, "verify": job.ca_path, "config": config}
        return await session.client("s3", **given).__aenter__()

    return loop, loop.run_until_complete(enter())


def upload(client: Any, job: Job, source: Source, key: str) -> None:
    loop, s3 = client
    loop.run_until_complete(s3.upload_fileobj(source.file(), BUCKET, key))
