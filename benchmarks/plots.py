# SPDX-License-Identifier: Apache-2.0
"""Pictures of a results file: CPU per GiB, memory, and throughput against concurrency.

Must not live here: anything the tables need. matplotlib is imported here only, and only when
a picture is asked for.
"""

from __future__ import annotations

from typing import Any
from pathlib import Path

from benchmarks.figures import Row, Group, make_rows
from benchmarks.results import load, latest_groups
from benchmarks.client.job import COUNTED, READING

OURS_COLOUR = "#c2410c"
PEER_COLOUR = "#64748b"
FLOOR_COLOUR = "#16a34a"
NOT_CLIENTS = ("null", "join")


def colour(contender: str) -> str:
    name = contender.partition(":")[0]
    return {"ours": OURS_COLOUR, "floor": FLOOR_COLOUR}.get(name, PEER_COLOUR)


def good_rows(group: Group) -> list[Row]:
    rows = [row for row in make_rows(group) if row.error is None]
    return [row for row in rows if row.contender.partition(":")[0] not in NOT_CLIENTS]


def bars(axes: Any, rows: list[Row], values: list[float], label: str, form: str) -> None:
    order = sorted(range(len(rows)), key=lambda at: values[at], reverse=True)
    names = [rows[at].contender for at in order]
    drawn = axes.barh(names, [values[at] for at in order], color=[colour(n) for n in names])
    axes.bar_label(drawn, fmt=form, padding=3)
    axes.set_xlabel(label)
    axes.margins(x=0.15)
    axes.spines[["top", "right"]].set_visible(False)


def unit(group: Group) -> tuple[str, float]:
    if group.workload not in COUNTED:
        return "CPU s/GiB", 1.0
    return f"CPU us/{'key' if group.workload == 'list' else 'object'}", 1e6


def plot_bars(pyplot: Any, group: Group, folder: Path) -> list[Path]:
    """Draw CPU and memory of one group, one picture each."""
    rows = good_rows(group)
    if not rows:
        return []
    label, factor = unit(group)
    server = "-emulated" if group.emulate else ""
    made = []
    for kind, values, text, form in (
        ("cpu", [row.cpu_per_unit * factor for row in rows], label, "%.3g"),
        ("memory", [row.over_base_mib for row in rows], "peak RSS over base, MiB", "%.0f"),
    ):
        figure, axes = pyplot.subplots(figsize=(8, 1.2 + 0.35 * len(rows)))
        bars(axes, rows, values, text, form)
        axes.set_title(f"{group.workload}, {group.scheme}{server.replace('-', ', ')}")
        path = folder / f"{kind}-{group.workload}-{group.scheme}{server}.png"
        figure.savefig(path, dpi=120, bbox_inches="tight")
        pyplot.close(figure)
        made.append(path)
    return made


def plot_concurrency(pyplot: Any, group: Group, folder: Path) -> list[Path]:
    """Draw GiB/s over the most parts in flight; rows of one contender are joined by a line."""
    rows = [row for row in good_rows(group) if row.in_flight_peak]
    if group.workload in COUNTED or not rows:
        return []
    figure, axes = pyplot.subplots(figsize=(8, 5))
    lines: dict[str, list[Row]] = {}
    for row in rows:
        lines.setdefault(row.contender.partition(":")[0], []).append(row)
    for name, members in lines.items():
        members.sort(key=lambda row: row.in_flight_peak)
        points = ([row.in_flight_peak for row in members], [r.units_per_second for r in members])
        axes.plot(*points, marker="o", color=colour(name), alpha=0.9)
        last = members[-1]
        at = (last.in_flight_peak, last.units_per_second)
        axes.annotate(name, at, xytext=(6, 4), textcoords="offset points")
    axes.set_xlabel(f"most {'ranges' if group.workload in READING else 'parts'} in flight")
    axes.set_ylabel("GiB/s")
    axes.set_xlim(0, 1.25 * max(row.in_flight_peak for row in rows))  # room for the names
    axes.set_ylim(bottom=0)
    axes.set_title(f"{group.workload}, {group.scheme}, {'emulated service' * group.emulate}")
    path = folder / f"concurrency-{group.workload}-{group.scheme}.png"
    figure.savefig(path, dpi=120, bbox_inches="tight")
    pyplot.close(figure)
    return [path]


def plot(results: Path, folder: Path) -> list[Path]:
    """Draw every group of a results file into a folder; give the pictures made.

    :raises ImportError: without matplotlib.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    folder.mkdir(parents=True, exist_ok=True)
    made: list[Path] = []
    for group in latest_groups(load(results)):
        made += plot_bars(pyplot, group, folder)
        if group.emulate:
            made += plot_concurrency(pyplot, group, folder)
    return made
