# SPDX-License-Identifier: Apache-2.0
"""One download, one read to the end or one listing, and what came of it.

Must not live here: how a contender reads, and what the figures are (`measure.py`). What a module of
`contenders/` has of `download(client, job, key, path)`, `read(client, job, key)`, which yields
bytes, and `names(client, job)`, which yields the keys of the whole bucket, it is measured with.
"""

from __future__ import annotations

import os
import hashlib
from typing import Any

from benchmarks.client.job import Job
from benchmarks.client.virtual import WARM_UP_SIZE, key_of


class Reading:
    """One job that reads; `facts` says what came, for the runner to judge."""

    ended: float | None = None

    def __init__(self, job: Job, contender: Any) -> None:
        self.job = job
        self._client = contender.make(job)
        self._contender = contender
        self.facts: dict[str, Any] = {}

    def warm_up(self) -> None:
        """Read a little: what a client imports late is set-up."""
        if self.job.workload == "list":
            next(iter(self._contender.names(self._client, self.job)))
        elif self.job.workload == "read":
            for _ in self._contender.read(self._client, self.job, key_of(WARM_UP_SIZE)):
                pass
        else:
            path = f"{self.job.output_path}.warm-up"
            self._contender.download(self._client, self.job, key_of(WARM_UP_SIZE), path)
            os.unlink(path)

    def run(self) -> None:
        if self.job.workload == "list":
            self._list()
        elif self.job.workload == "read":
            self._read()
        else:  # the runner looks at the file
            key = key_of(self.job.size)
            self._contender.download(self._client, self.job, key, self.job.output_path)

    def _read(self) -> None:
        came, digest = 0, hashlib.sha256()
        for chunk in self._contender.read(self._client, self.job, key_of(self.job.size)):
            came += len(chunk)
            if self.job.verify:
                digest.update(chunk)
        self.facts = {"came": came, "sha256": digest.hexdigest()}

    def _list(self) -> None:
        came, digest = 0, hashlib.sha256()
        for name in self._contender.names(self._client, self.job):
            came += 1
            if self.job.verify:
                digest.update(f"{name}\n".encode())
        self.facts = {"came": came, "sha256": digest.hexdigest()}
