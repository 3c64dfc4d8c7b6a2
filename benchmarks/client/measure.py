# SPDX-License-Identifier: Apache-2.0
"""Time, processor and memory of one upload, and nothing around it.

Must not live here: how a contender uploads. CPU is that of this process and of its ended
children, in user and in kernel mode. Memory is the peak of the upload phase: where the kernel
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

from benchmarks.client.job import MIB, GENERATED, Job
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


def upload_small(job: Job, client: Any, upload: Upload, base: bytes) -> None:
    for number in range(job.object_count):
        start = place(number, job.object_size)
        data = base[start : start + job.object_size]
        upload(client, job, SmallSource(job, data), f"small/{number}")


def versions(packages: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for name in packages:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def measure(job: Job, make: Callable[[Job], Any], upload: Upload) -> dict[str, Any]:
    """Make a client, upload once (or many small objects), and say what that took."""
    needs_base = job.workload in GENERATED or job.workload == "small"
    base = base_buffer() if needs_base else b""
    client = make(job)
    if job.workload == "small":  # what a client imports late is set-up, not cost of an object
        upload(client, job, SmallSource(job, base[: job.object_size]), "small/warm-up")
    source = Source(job, base)
    forget_peak()
    base_mib = status_mib("VmRSS") or peak_mib()
    before, begin = Usage.now(), time.perf_counter()
    if job.workload == "small":
        upload_small(job, client, upload, base)
    else:
        upload(client, job, source, "big/object.bin")
    end, after = time.perf_counter(), Usage.now()
    return {
        "wall_seconds": end - begin,
        "user_seconds": after.user - before.user,
        "system_seconds": after.system - before.system,
        "setup_cpu_seconds": before.user + before.system,
        "base_mib": base_mib,
        "peak_mib": peak_mib(),
        "tail_seconds": None if source.ended is None else end - source.ended,
        "versions": versions(job.packages),
        "python": sys.version.split()[0],
    }
