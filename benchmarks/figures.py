# SPDX-License-Identifier: Apache-2.0
"""From runs to rows: medians, and medians of ratios taken inside one round.

Must not live here: how a row is printed. Two contenders are compared only where both ran in the
same round of the same call, so that a machine that slows down slows both.
"""

from __future__ import annotations

from typing import Any
from statistics import median
from dataclasses import dataclass
from collections.abc import Callable, Iterable, Sequence

from benchmarks.report import describe_part_sizes
from benchmarks.client.job import GIB, COUNTED

Run = dict[str, Any]
BASELINE = "ours"
FLOOR = "floor"
# What runs must have in common to be compared.
SAME = ("workload", "scheme", "emulate", "verify", "size", "object_count")


@dataclass(frozen=True, slots=True)
class Group:
    """The runs that may be compared: one call, workload, scheme, server and size."""

    workload: str
    scheme: str
    emulate: bool
    verify: bool
    size: int
    object_count: int
    engine: str
    runs: tuple[Run, ...]

    @property
    def contenders(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(run["contender"] for run in self.runs))

    @property
    def baseline(self) -> str | None:
        """`ours` where it ran, else the first contender that asked the sink for anything."""
        good = [run for run in self.runs if "error" not in run and run["requests"]]
        ran = dict.fromkeys(run["contender"] for run in good)
        return BASELINE if BASELINE in ran else next(iter(ran), None)

    @property
    def has_floor(self) -> bool:
        return any(run["contender"] == FLOOR and "error" not in run for run in self.runs)

    @property
    def rounds(self) -> int:
        return max((run["round"] + 1 for run in self.runs), default=0)

    @property
    def key(self) -> tuple[str, str, bool]:
        return self.workload, self.scheme, self.emulate


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One contender's medians. Per unit: of a GiB, or of an object or key where these count."""

    contender: str
    error: str | None = None
    cpu_per_unit: float = 0
    user_per_unit: float = 0
    system_per_unit: float = 0
    units_per_second: float = 0
    setup_cpu_seconds: float = 0
    peak_mib: float = 0
    over_base_mib: float = 0
    sink_cpu_per_unit: float = 0
    requests: float = 0
    requests_per_object: float = 0
    connections: float = 0
    in_flight_peak: float = 0
    parts: float = 0
    part_sizes: str = "-"
    tail_ms: float | None = None
    cpu_ratio: float | None = None
    wall_ratio: float | None = None
    cpu_floor_ratio: float | None = None


def paired_ratio(
    runs: Iterable[Run], others: Iterable[Run], measure: Callable[[Run], float]
) -> float | None:
    """Give the median over the rounds of `runs` to `others`; None when no round has both."""
    against = {run["round"]: measure(run) for run in others if "error" not in run}
    ratios = [
        measure(run) / against[run["round"]]
        for run in runs
        if "error" not in run and against.get(run["round"], 0) > 0
    ]
    return median(ratios) if ratios else None


def cpu(run: Run) -> float:
    return float(run["cpu_seconds"])


def wall(run: Run) -> float:
    return float(run["wall_seconds"])


def make_row(group: Group, contender: str) -> Row:
    """Sum one contender up; a row with `error` when none of its runs came through."""
    runs = [run for run in group.runs if run["contender"] == contender]
    good = [run for run in runs if "error" not in run]
    if not good:
        return Row(contender=contender, error=runs[-1]["error"] if runs else "not run")
    units = group.object_count if group.workload in COUNTED else group.size / GIB

    def middle(name: str) -> float:
        return float(median(run[name] for run in good))

    def against(other: str | None, measure: Callable[[Run], float]) -> float | None:
        return paired_ratio(good, [r for r in group.runs if r["contender"] == other], measure)

    tails = [run["tail_seconds"] for run in good if run["tail_seconds"] is not None]
    return Row(
        contender=contender,
        cpu_per_unit=middle("cpu_seconds") / units,
        user_per_unit=middle("user_seconds") / units,
        system_per_unit=middle("system_seconds") / units,
        units_per_second=units / middle("wall_seconds"),
        setup_cpu_seconds=middle("setup_cpu_seconds"),
        peak_mib=middle("peak_mib"),
        over_base_mib=max(0.0, median(run["peak_mib"] - run["base_mib"] for run in good)),
        sink_cpu_per_unit=middle("sink_cpu_seconds") / units,
        requests=middle("requests"),
        requests_per_object=middle("requests") / group.object_count,
        connections=middle("connections"),
        in_flight_peak=middle("in_flight_peak"),
        parts=middle("parts"),
        part_sizes=describe_part_sizes(tuple((s, n) for s, n in good[-1]["part_sizes"])),
        tail_ms=median(tails) * 1e3 if tails else None,
        cpu_ratio=against(group.baseline, cpu),
        wall_ratio=against(group.baseline, wall),
        cpu_floor_ratio=against(FLOOR, cpu),
    )


def make_rows(group: Group) -> list[Row]:
    return [make_row(group, contender) for contender in group.contenders]


def group_runs(runs: Sequence[Run]) -> list[Group]:
    """Sort the runs of one call into groups, in the order they were made."""
    sorted_in: dict[tuple[Any, ...], list[Run]] = {}
    for run in runs:
        sorted_in.setdefault(tuple(run[name] for name in SAME), []).append(run)
    groups = []
    for key, members in sorted_in.items():
        engine = next((run["engine"] for run in members if "engine" in run), "-")
        same = dict(zip(SAME, key, strict=True))
        groups.append(Group(**same, engine=engine, runs=tuple(members)))
    return groups
