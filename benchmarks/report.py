# SPDX-License-Identifier: Apache-2.0
"""What the sink saw, as a value.

Must not live here: how a sink is started or asked (`sinks.py`). Both sinks, the C program and the
Python one, say the same JSON line.
"""

from __future__ import annotations

import json
from typing import Any
from dataclasses import dataclass

from benchmarks.client.job import MIB

PartSizes = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """One of the latest objects; `part_sizes` are runs of (bytes, how many), in part order."""

    path: str
    size: int
    parts: int
    sha256: str
    part_sizes: PartSizes


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkReport:
    """Counts since the last reset; `cpu_seconds` since the sink started."""

    cpu_seconds: float
    requests: int
    connections: int
    connections_peak: int
    in_flight_peak: int
    part_requests: int
    parts_stored: int
    object_count: int
    object_bytes: int
    bytes_on_wire: int
    digest_errors: int
    bad_requests: int
    expect_100: int
    aws_chunked: int
    aborts: int
    get_requests: int
    list_requests: int
    bytes_sent: int
    objects: tuple[StoredObject, ...]

    @property
    def parts_resent(self) -> int:
        return self.part_requests - self.parts_stored

    @property
    def largest(self) -> StoredObject | None:
        return max(self.objects, key=lambda stored: stored.size, default=None)


def parse_report(line: str) -> SinkReport:
    """Read the line a sink says.

    :raises ValueError: for anything else, with the line's beginning.
    """
    try:
        values: dict[str, Any] = json.loads(line)
        objects = [
            StoredObject(
                **{**stored, "part_sizes": tuple((size, n) for size, n in stored["part_sizes"])}
            )
            for stored in values.pop("objects")
        ]
        return SinkReport(**values, objects=tuple(objects))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"not a report of a sink: {line[:120]!r}") from error


def describe_part_sizes(runs: PartSizes) -> str:
    """Say part sizes in MiB: `8`, or `5>10` where they grow; the last, shorter part is left out."""
    if not runs:
        return "-"
    told = list(runs)
    if len(told) > 1 and told[-1][1] == 1 and told[-1][0] < told[-2][0]:
        told.pop()
    words = [f"{size / MIB:.3g}" for size, _ in told]
    return ">".join(words[:3]) + (f"..{words[-1]}" if len(words) > 3 else "")
