# SPDX-License-Identifier: Apache-2.0
"""pyarrow's S3 output stream, unbuffered on the Python side."""

from __future__ import annotations

from typing import Any

from benchmarks.client.job import BUCKET, REGION, ACCESS_KEY, SECRET_KEY, Job
from benchmarks.client.sources import Source


def make(job: Job) -> Any:
    from pyarrow import fs

    trust = {"tls_ca_file_path": job.ca_path} if job.secure else {}
    return fs.S3FileSystem(
        access_key=ACCESS_KEY,
        secret_key=SECRET_KEY,
        region=REGION,
        scheme=job.scheme,
        endpoint_override=f"{job.host}:{job.port}",
        **trust,
    )


def upload(client: Any, job: Job, source: Source, key: str) -> None:
    with client.open_output_stream(f"{BUCKET}/{key}", buffer_size=0) as writer:
        for chunk in source.blocks():
            writer.write(chunk)
