# SPDX-License-Identifier: Apache-2.0
"""Rows to text: aligned columns that read in a terminal and render as Markdown.

Must not live here: any arithmetic on runs (`figures.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from benchmarks.figures import FLOOR, Row, Group, make_rows
from benchmarks.client.job import MIB, COUNTED, READING

Column = tuple[str, Callable[[Row], str]]


def ratio(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}x" if value >= 0.1 else f"{value:.3f}x"


def align(header: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """Lay cells out in columns, the first to the left and the others to the right."""
    widths = [
        max(3, len(title), *(len(cells[at]) for cells in body if at < len(cells)))
        for at, title in enumerate(header)
    ]

    def line(cells: Sequence[str]) -> str:
        padded = [
            cell.rjust(width) if at else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(cells, widths, strict=False))
        ]
        return "| " + " | ".join(padded) + " |"

    rule = (
        "|"
        + "|".join("-" * (width + 1) + (":" if at else "-") for at, width in enumerate(widths))
        + "|"
    )
    return "\n".join([line(header), rule, *(line(cells) for cells in body)])


PARTS: list[Column] = [
    ("parts", lambda row: f"{row.parts:.0f}"),
    ("part MiB", lambda row: row.part_sizes),
]
REQUESTS: list[Column] = [("requests", lambda row: f"{row.requests:.0f}")]


def counted_columns(group: Group) -> list[Column]:
    """Give the columns of what is told for each object or key."""
    thing, asked = "object", ("requests/object", lambda row: f"{row.requests_per_object:.2f}")
    digits = 0
    if group.workload == "list":
        thing, asked, digits = "key", REQUESTS[0], 1
    return [
        (f"{thing}s/s", lambda row: f"{row.units_per_second:.0f}"),
        (f"CPU us/{thing}", lambda row: f"{row.cpu_per_unit * 1e6:.{digits}f}"),
        ("user", lambda row: f"{row.user_per_unit * 1e6:.{digits}f}"),
        ("system", lambda row: f"{row.system_per_unit * 1e6:.{digits}f}"),
        ("set-up CPU s", lambda row: f"{row.setup_cpu_seconds:.2f}"),
        ("RSS over base", lambda row: f"{row.over_base_mib:.0f}"),
        asked,
        ("connections", lambda row: f"{row.connections:.0f}"),
    ]


def columns_of(group: Group) -> list[Column]:
    base = group.baseline or "-"
    compared: list[Column] = [(f"CPU vs {base}", lambda row: ratio(row.cpu_ratio))]
    if group.has_floor and base != FLOOR:
        compared.append((f"CPU vs {FLOOR}", lambda row: ratio(row.cpu_floor_ratio)))
    compared.append((f"wall vs {base}", lambda row: ratio(row.wall_ratio)))
    if group.workload in COUNTED:
        return [*counted_columns(group), *compared]
    columns: list[Column] = [
        ("CPU s/GiB", lambda row: f"{row.cpu_per_unit:.3f}"),
        ("user", lambda row: f"{row.user_per_unit:.3f}"),
        ("system", lambda row: f"{row.system_per_unit:.3f}"),
        ("GiB/s", lambda row: f"{row.units_per_second:.2f}"),
        ("set-up CPU s", lambda row: f"{row.setup_cpu_seconds:.2f}"),
        ("peak RSS MiB", lambda row: f"{row.peak_mib:.0f}"),
        ("over base", lambda row: f"{row.over_base_mib:.0f}"),
        *(REQUESTS if group.workload in READING else PARTS),
        ("in flight", lambda row: f"{row.in_flight_peak:.0f}"),
        ("connections", lambda row: f"{row.connections:.0f}"),
        ("sink CPU s/GiB", lambda row: f"{row.sink_cpu_per_unit:.2f}"),
        *compared,
    ]
    if group.workload == "slow":
        columns.append(("tail ms", lambda row: f"{row.tail_ms:.0f}" if row.tail_ms else "-"))
    return columns


def title(group: Group) -> str:
    """Say in one line what a table holds, and what to hold against it."""
    size = f"{group.size / MIB:.4g} MiB"
    if group.workload == "small":
        size = f"{group.object_count} x {group.size // group.object_count} B"
    if group.workload == "list":
        size = f"{group.object_count} keys"
    words = [group.workload, group.scheme, size]
    if group.emulate:
        words.append("emulated service")
    if group.verify:
        words.append("content verified (slows the sink: not for quoting)")
    if group.engine.startswith("Python"):
        words.append(f"{group.engine} sink, so wall times are partly the sink's")
    return f"{', '.join(words)}; medians of {group.rounds}"


def render(group: Group) -> str:
    """Give the table of one group, with a line for each contender that has no figures."""
    rows = make_rows(group)
    columns = columns_of(group)
    good = [row for row in rows if row.error is None]
    body = [[row.contender, *(cell(row) for _, cell in columns)] for row in good]
    parts = [f"### {title(group)}"]
    if body:
        parts.append(align(["contender", *(name for name, _ in columns)], body))
    missing = [f"- {row.contender}: {row.error}" for row in rows if row.error is not None]
    if missing:
        parts.append("Without figures:\n\n" + "\n".join(missing))
    return "\n\n".join(parts) + "\n"
