# SPDX-License-Identifier: Apache-2.0
"""What a run of the contract showed of each server, kept as JSON where S3MPU_MATRIX says.

``python -m tests.contract.matrix`` makes the page of it.
"""

from __future__ import annotations

import os
import json
import platform
from typing import Any
from pathlib import Path

import libcloud_s3mpu
from tests.servers.base import Endpoint

#: server -> version, outcomes of its tests, seconds they took, and what a probe found.
_servers: dict[str, dict[str, Any]] = {}


def note_server(endpoint: Endpoint) -> dict[str, Any]:
    """Give the record of a server, made when it is first seen."""
    made = {"version": endpoint.version, "passed": 0, "failed": 0, "skipped": 0, "seconds": 0.0}
    return _servers.setdefault(endpoint.name, made)


def note_probe(endpoint: Endpoint, report: libcloud_s3mpu.ProbeReport) -> None:
    note_server(endpoint)["probe"] = {
        found.name: {"answer": found.answer.value, "detail": found.detail}
        for found in report.findings
    }


def note_report(report: Any) -> None:
    """Count one phase of one test, by the server that it says it ran on."""
    server = dict(report.user_properties).get("server")
    if server not in _servers:
        return
    record = _servers[server]
    record["seconds"] = round(record["seconds"] + report.duration, 2)
    if report.when == "call" or report.outcome != "passed":
        record[report.outcome] += 1


def write() -> None:
    path = os.environ.get("S3MPU_MATRIX")
    if not path or not _servers:
        return
    made = {
        "libcloud_s3mpu": libcloud_s3mpu.__version__,
        "python": platform.python_version(),
        "servers": _servers,
    }
    Path(path).write_text(json.dumps(made, indent=1, sort_keys=True) + "\n")
