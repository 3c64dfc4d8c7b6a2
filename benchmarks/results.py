# SPDX-License-Identifier: Apache-2.0
"""Runs on disk: one JSON file of calls, each with the machine it ran on.

Must not live here: what the runs mean. A file that exists is added to; a later call replaces an
earlier one's group in tables and plots, never in the file.
"""

from __future__ import annotations

import os
import ssl
import json
import time
import platform
from typing import Any
from pathlib import Path

from benchmarks.figures import Run, Group, group_runs

FORMAT = 1
Call = dict[str, Any]


def processor() -> str:
    """Name the processor, as far as the system tells."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def describe_machine() -> dict[str, Any]:
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "openssl": ssl.OPENSSL_VERSION,
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    }


def make_call(command: str, runs: list[Run]) -> Call:
    return {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "command": command,
        "machine": describe_machine(),
        "runs": runs,
    }


def load(path: Path) -> list[Call]:
    """Read the calls of a file.

    :raises ValueError: when it is something else.
    """
    content = json.loads(path.read_text())
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"{path} holds no results of format {FORMAT}")
    calls: list[Call] = content["calls"]
    return calls


def add(path: Path, call: Call) -> list[Call]:
    """Add a call to a file, written beside it first; give all its calls."""
    calls = [*(load(path) if path.exists() else []), call]
    beside = path.with_name(f"{path.name}.new")
    beside.write_text(json.dumps({"format": FORMAT, "calls": calls}, indent=1) + "\n")
    beside.replace(path)
    return calls


def latest_groups(calls: list[Call]) -> list[Group]:
    """Give each workload, scheme and kind of server once: as the last call measured it."""
    latest: dict[tuple[str, str, bool], Group] = {}
    for call in calls:
        for group in group_runs(call["runs"]):
            latest[group.key] = group
    return list(latest.values())


def all_versions(calls: list[Call]) -> dict[str, str]:
    found: dict[str, str] = {}
    for call in calls:
        for run in call["runs"]:
            found |= run.get("versions", {})
    return dict(sorted(found.items()))
