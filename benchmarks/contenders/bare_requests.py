# SPDX-License-Identifier: Apache-2.0
"""`requests` by itself: one GET, unsigned, without retries."""

from __future__ import annotations

from typing import Any
from collections.abc import Iterator

from benchmarks.client.job import BUCKET, READ_CHUNK, Job


def make(job: Job) -> Any:
    import requests

    session = requests.Session()
    session.trust_env = False
    if job.ca_path:
        session.verify = job.ca_path
    return session


def read(client: Any, job: Job, key: str) -> Iterator[bytes]:
    with client.get(f"{job.endpoint}/{BUCKET}/{key}", stream=True) as answer:
        answer.raise_for_status()
        yield from answer.iter_content(READ_CHUNK)


def download(client: Any, job: Job, key: str, path: str) -> None:
    with open(path, "wb") as file:
        for chunk in read(client, job, key):
            file.write(chunk)
