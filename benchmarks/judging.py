# SPDX-License-Identifier: Apache-2.0
"""What should have come of a run, and whether it did: lengths always, SHA-256 with --verify.

Must not live here: how a run is made (`runner.py`). Bytes of uploads are the sink's to tell, those
of reads and the keys of listings the client's; a download is looked at here.
"""

from __future__ import annotations

import hashlib
from typing import Any
from pathlib import Path

from benchmarks.report import SinkReport
from benchmarks.client.job import MIB, READING, Job
from benchmarks.client.sources import Source, base_buffer
from benchmarks.client.virtual import pieces, name_of

OTHER_BYTES = "other bytes arrived than were given"


def expected_sha256(workload: str, size: int, keys: int) -> str:
    """The SHA-256 of what a workload moves; the input file holds the chunks of gen1m."""
    digest = hashlib.sha256()
    if workload == "list":
        for number in range(keys):
            digest.update(f"{name_of(number)}\n".encode())
    elif workload in READING:
        for piece in pieces(0, size, base_buffer()):
            digest.update(piece)
    else:
        same = {"file": "gen1m", "pipe": "gen1m", "slow": "gen64k"}
        job = Job(module="", workload=same.get(workload, workload), size=size)
        for chunk in Source(job, base_buffer()).blocks():
            digest.update(chunk)
    return digest.hexdigest()


def _sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(MIB):
            digest.update(block)
    return digest.hexdigest()


def find_fault(
    job: Job, report: SinkReport, facts: dict[str, Any], expected: str | None
) -> str | None:
    """Say what did not arrive as it should have, or None.

    :param facts: what the client said.
    :param expected: the SHA-256, when it is to be compared.
    """
    if job.workload in READING:
        return _find_reading_fault(job, facts, expected)
    if job.workload == "small":
        missing = job.object_count + 1 - report.object_count
        return f"{missing} objects did not arrive" if missing > 0 else None
    if report.object_bytes != job.size:
        return f"{report.object_bytes} of {job.size} bytes arrived"
    largest = report.largest
    if expected and (largest is None or largest.sha256 != expected):
        return OTHER_BYTES
    return None


def _find_reading_fault(job: Job, facts: dict[str, Any], expected: str | None) -> str | None:
    if job.workload == "download":
        path = Path(job.output_path or "")
        came = path.stat().st_size if path.is_file() else 0
        sha256 = _sha256_of(path) if expected and came == job.size else ""
    else:
        came, sha256 = facts["came"], facts["sha256"]
    wanted, unit = (job.object_count, "keys") if job.workload == "list" else (job.size, "bytes")
    if came != wanted:
        return f"{came} of {wanted} {unit} arrived"
    return OTHER_BYTES if expected and sha256 != expected else None
