# SPDX-License-Identifier: Apache-2.0
"""The command line: arguments in, tables out.

Must not live here: anything that measures or reckons.
"""

from __future__ import annotations

import os
import sys
import time
import shlex
import shutil
import argparse
import tempfile
from typing import Any
from pathlib import Path

from benchmarks import docs, plots, results
from benchmarks.peers import NAMES, parse_contender
from benchmarks.venvs import ROOT
from benchmarks.runner import Run, Plan, run_plan
from benchmarks.tables import render
from benchmarks.figures import group_runs
from benchmarks.client.job import KIB, MIB, READING, WORKLOADS

DOCS_PAGE = ROOT / "docs" / "benchmarks.md"
ALL_CONTENDERS = (
    "ours,ours:off,libcloud,boto3,obstore,obstore-unsigned,opendal,pyarrow,minio,awscrt,boto3-crt,"
    "s3fs,smart_open,aioboto3,requests,floor"
)
READERS = "ours,libcloud,boto3,obstore,opendal,minio,requests,floor"
QUICK_READERS = "ours,libcloud,boto3,requests,floor"
#: Downloads go here where it is: not the disk is to be measured, but the client.
MEMORY_FOLDER = Path("/dev/shm")
QUICK_SECONDS = 105.0  # leaves a last run and the table room below two minutes
QUICK = {
    "contenders": "ours,libcloud,boto3,floor",
    "workload": "gen64k,small,lines48",
    "scheme": "http,https",
    "mib": 128,
    "pairs": 3,
    "objects": 100,
    "keys": 20_000,
    "timeout": 20.0,
}
#: This project with and without its retries and watch: the goal is 3 % of CPU at most.
RELIABILITY = "ours:off,ours:off+bare,ours,ours:bare"
USUAL = {
    "contenders": "ours,libcloud,boto3,obstore,floor",
    "workload": "gen64k",
    "scheme": "http",
    "mib": 512,
    "pairs": 3,
    "objects": 500,
    "keys": 100_000,
    "timeout": 120.0,
}


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="end within two minutes")
    parser.add_argument(
        "--contenders",
        help=f"comma list of NAME[:option=value+option], or `all`; names: {', '.join(NAMES)}",
    )
    parser.add_argument(
        "--reliability",
        action="store_true",
        help="what retries and watch cost: this project beside itself without them",
    )
    parser.add_argument(
        "--workload", help=f"comma list of {', '.join(WORKLOADS)}, or `all` or `reading`"
    )
    parser.add_argument("--scheme", help="http, https or both: http,https")
    parser.add_argument("--pairs", type=int, help="rounds; every contender runs once in each")
    parser.add_argument("--mib", type=int, help="size of the object in MiB")
    parser.add_argument("--objects", type=int, help="how many objects the workload small uploads")
    parser.add_argument("--object-size", type=int, default=4 * KIB, help="their size in bytes")
    parser.add_argument("--keys", type=int, help="how many keys the workload list has")
    parser.add_argument(
        "--target",
        type=Path,
        help="folder that the workload download writes to (memory, where there is such a folder)",
    )
    parser.add_argument("--rate", type=float, default=60, help="MB/s of the workload slow")
    parser.add_argument(
        "--emulate",
        action="store_true",
        help="a service that takes 30 ms a request and 90 MB/s a connection",
    )
    parser.add_argument("--verify", action="store_true", help="compare the SHA-256 that arrived")
    parser.add_argument("--python-sink", action="store_true", help="do not use the C sink")
    parser.add_argument("--python", help="interpreter for `ours`, instead of an own environment")
    parser.add_argument("--timeout", type=float, help="seconds for one run")
    parser.add_argument("--json", type=Path, help="add the runs to this results file")
    parser.add_argument(
        "--update-docs",
        action="store_true",
        help="rewrite the measured section of docs/benchmarks.md (of all calls in --json FILE)",
    )
    return parser


def memory_folder(size: int) -> Path | None:
    """Give a folder in memory that a file of `size` bytes fits into; None where there is none."""
    try:
        roomy = shutil.disk_usage(MEMORY_FOLDER).free > 2 * size
    except OSError:
        return None
    return MEMORY_FOLDER if roomy and os.access(MEMORY_FOLDER, os.W_OK) else None


def make_plan(given: argparse.Namespace) -> Plan:
    """Turn arguments into a plan; ValueError for words that are none of ours."""
    usual: dict[str, Any] = QUICK if given.quick else USUAL
    if given.reliability:
        usual = {**usual, "contenders": RELIABILITY, "workload": "gen64k,file", "scheme": "http"}
    asked = given.workload or usual["workload"]
    workloads = {"all": WORKLOADS, "reading": READING}.get(asked) or tuple(asked.split(","))
    if not given.reliability and set(workloads) <= set(READING):
        usual = {**usual, "contenders": QUICK_READERS if given.quick else READERS}
    for name, value in usual.items():
        if getattr(given, name) is None:
            setattr(given, name, value)
    contenders = ALL_CONTENDERS if given.contenders == "all" else given.contenders
    schemes = tuple(given.scheme.split(","))
    for word in (*workloads, *schemes):
        if word not in (*WORKLOADS, "http", "https"):
            raise ValueError(f"unknown workload or scheme {word!r}")
    return Plan(
        contenders=tuple(parse_contender(spec) for spec in contenders.split(",") if spec),
        workloads=workloads,
        schemes=schemes,
        size=given.mib * MIB,
        pairs=given.pairs,
        object_count=given.objects,
        object_size=given.object_size,
        key_count=given.keys,
        rate=given.rate * 1e6,
        emulate=given.emulate,
        verify=given.verify,
        use_c=not given.python_sink,
        timeout=given.timeout,
        venv_seconds=40 if given.quick else 600,
        deadline=time.monotonic() + (QUICK_SECONDS if given.quick else float("inf")),
        python=given.python,
        target=given.target or memory_folder(given.mib * MIB),
    )


def told_command(arguments: list[str]) -> str:
    """Give the command to be read by others: without what names places on this machine."""
    told = ["python", "-m", "benchmarks"]
    words = iter(arguments)
    for word in words:
        if word in ("--json", "--python", "--target"):
            next(words, None)
        elif not word.startswith(("--json=", "--python=", "--target=", "--update-docs")):
            told.append(word)
    return shlex.join(told)


def measure(arguments: list[str]) -> int:
    parser = make_parser()
    given = parser.parse_args(arguments)
    try:
        plan = make_plan(given)
    except ValueError as error:
        parser.error(str(error))
    runs: list[Run] = []
    with tempfile.TemporaryDirectory(prefix="s3mpu-benchmarks-") as folder:
        try:
            for group_of_runs in run_plan(plan, Path(folder)):
                runs += group_of_runs
                for group in group_runs(group_of_runs):
                    print(f"\n{render(group)}", flush=True)
        except KeyboardInterrupt:
            print("stopped: finished tables are kept", file=sys.stderr)
    if not runs:
        return 1
    call = results.make_call(told_command(arguments), runs)
    calls = results.add(given.json, call) if given.json else [call]
    if given.update_docs:
        docs.update(DOCS_PAGE, calls)
        print(f"rewrote {DOCS_PAGE.relative_to(ROOT)}")
    return 1 if plan.verify and any("error" in run for run in runs) else 0


def plot(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks plot")
    parser.add_argument("results", type=Path)
    parser.add_argument("--folder", type=Path, default=Path("benchmark-plots"))
    given = parser.parse_args(arguments)
    try:
        for path in plots.plot(given.results, given.folder):
            print(path)
    except ImportError as error:
        print(f"plots need matplotlib: {error}", file=sys.stderr)
        return 1
    return 0


def table(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks table")
    parser.add_argument("results", type=Path)
    parser.add_argument("--update-docs", action="store_true")
    given = parser.parse_args(arguments)
    calls = results.load(given.results)
    for group in results.latest_groups(calls):
        print(render(group))
    if given.update_docs:
        docs.update(DOCS_PAGE, calls)
    return 0


def main(arguments: list[str]) -> int:
    """Run `plot FILE`, `table FILE`, or the measurement the options ask for."""
    commands = {"plot": plot, "table": table}
    if arguments and arguments[0] in commands:
        return commands[arguments[0]](arguments[1:])
    return measure(arguments)
