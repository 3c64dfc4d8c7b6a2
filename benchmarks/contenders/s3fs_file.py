# SPDX-License-Identifier: Apache-2.0
"""s3fs's file for writing. Option: `part` in MiB, its block size."""

from __future__ import annotations

from typing import Any

from benchmarks.client.job import MIB, BUCKET, REGION, ACCESS_KEY, SECRET_KEY, Job
from benchmarks.client.sources import Source


def make(job: Job) -> Any:
    import s3fs

    server: dict[str, Any] = {"endpoint_url": job.endpoint, "region_name": REGION}
    if job.secure:
        server["verify"] = job.ca_path
    return s3fs.S3FileSystem(
        key=ACCESS_KEY,
        secret=SECRET_KEY,
        client_kwargs=server,
        config_kwargs={"s3": {"addressing_style": "path"}},
        use_listings_cache=False,
    )


def upload(client: Any, job: Job, source: Source, key: str) -> None:
    sizes = {"block_size": int(job.number("part") * MIB)} if "part" in job.options else {}
    with client.open(f"{BUCKET}/{key}", "wb", **sizes) as writer:
        for chunk in source.blocks():
            writer.write(chunk)
