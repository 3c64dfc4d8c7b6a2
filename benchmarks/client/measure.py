# SPDX-License-Identifier: Apache-2.0
"""Time, processor and memory of one upload or reading, and nothing around it.

Must not live here: how a contender does it. CPU is that of this process and of its ended
children, in user and in kernel mode. Memory is the peak of that phase: where the kernel
lets a process forget its peak (Linux, `clear_refs` 5, see proc(5)), else the peak of its life.
"""

from __future__ import annotations

import sys
import time
import resource
from typing import Any
from importlib import metadata
from dataclasses import dataclass
from collections.abc import Callable

from benchmarks.client.job import MIB, READING, GENERATED, Job
from benchmarks.client.reading import Reading
from benchmarks.client.sources import Source, SmallSource, place, base_buffer

Upload = Callable[[Any, Job, Source, str], None]


@dataclass(frozen=True, slots=True)
class Usage:
    user: float
    system: float

    @classmethod
    def now(cls) -> Usage:
        """Read what this process has used so far, in seconds."""
        own = resource.getrusage(resource.RUSAGE_SELF)
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return cls(own.ru_utime + children.ru_utime, own.ru_stime + children.ru_stime)


def status_mib(field: str) -> float | None:
    """Read one size from /proc/self/status, in MiB; None where there is no such file."""
    try:
        with open("/proc/self/status") as status:
            for line in status:
                if line.startswith(f"{field}:"):
                    return int(line.split()[1]) / 1024
    except OSError:
        pass
    return None


def peak_mib() -> float:
    peak = status_mib("VmHWM")
    if peak is not None:
        return peak
    unit = 1 if sys.platform == "darwin" else 1024  # getrusage(2) of each system
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / MIB


def forget_peak() -> None:
    try:
        with open("/proc/self/clear_refs", "w") as clear:
            clear.write("5")
    except OSError:
        pass


def versions(packages: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for name in packages:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


class Uploading:
    """One job that uploads: one object, or many small ones."""

    def __init__(self, job: Job, contender: Any) -> None:
        self._job = job
        self._upload: Upload = contender.upload
        needs_base = job.workload in GENERATED or job.workload == "small"
        self._base = base_buffer() if needs_base else b""
        self._client = contender.make(job)
        self._source = Source(job, self._base)
        #: What a reading would say of the bytes that came; the sink has those of an upload.
        self.facts: dict[str, Any] = {}

    @property
    def ended(self) -> float | None:
        """When the source gave its last byte, where that is noted."""
        return self._source.ended

    def warm_up(self) -> None:
        """What a client imports late is set-up, not cost of an object."""
        if self._job.workload == "small":
            self._upload_small(self._base[: self._job.object_size], "small/warm-up")

    def run(self) -> None:
        job = self._job
        if job.workload != "small":
            self._upload(self._client, job, self._source, "big/object.bin")
            return
        for number in range(job.object_count):
            start = place(number, job.object_size)
            data = self._base[start : start + job.object_size]
            self._upload_small(data, f"small/{number}")

    def _upload_small(self, data: bytes, key: str) -> None:
        self._upload(self._client, self._job, SmallSource(self._job, data), key)


def measure(job: Job, contender: Any) -> dict[str, Any]:
    """Make a client, have it do the workload once, and say what that took."""
    kind = Reading if job.workload in READING else Uploading
    work = kind(job, contender)
    work.warm_up()
    forget_peak()
    base_mib = status_mib("VmRSS") or peak_mib()
    before, begin = Usage.now(), time.perf_counter()
    work.run()
    end, after = time.perf_counter(), Usage.now()
    return {
        "wall_seconds": end - begin,
        "user_seconds": after.user - before.user,
        "system_seconds": after.system - before.system,
        "setup_cpu_seconds": before.user + before.system,
        "base_mib": base_mib,
        "peak_mib": peak_mib(),
        "tail_seconds": None if work.ended is None else end - work.ended,
        "versions": versions(job.packages),
        "python": sys.version.split()[0],
        **work.facts,
    }
