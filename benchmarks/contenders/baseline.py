# SPDX-License-Identifier: Apache-2.0
"""No client at all: what the workload itself costs, and what joining its chunks costs.

Options: `join=1` to join, `block` in KiB for the size joined to (64). Nothing is ever subtracted
from another contender's figure; these rows only say how much of it is the workload's.
"""

from __future__ import annotations

from itertools import islice
from collections.abc import Iterator

from benchmarks.client.job import KIB, MIB, Job
from benchmarks.client.sources import Source

FILE_BLOCK = 8 * MIB


def make(job: Job) -> None:
    return None


def join(source: Iterator[bytes], size: int) -> None:
    """Join chunks to blocks of about `size`, the cheapest way there is, and let each go."""
    first = next(source, b"")
    many = max(1, size // max(1, len(first)))
    while b"".join(islice(source, many)):
        continue


def upload(client: None, job: Job, source: Source, key: str) -> None:
    chunks = source.blocks(FILE_BLOCK if source.kind == "file" else MIB)
    if "join" in job.options:
        join(chunks, int(job.number("block", 64) * KIB))
        return
    for _ in chunks:
        pass
