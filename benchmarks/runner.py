# SPDX-License-Identifier: Apache-2.0
"""Run contenders one after the other, round by round, and keep what each run gave.

Must not live here: what should have come of a run (`judging.py`), statistics (`figures.py`) and
tables. Every run is a fresh process; every
round runs each contender once, beginning with another one each time, so that what the machine
does meanwhile falls on all alike.
"""

from __future__ import annotations

import os
import sys
import json
import time
import signal
import tempfile
import subprocess
from typing import Any
from pathlib import Path
from contextlib import ExitStack
from dataclasses import dataclass
from collections.abc import Iterator

from benchmarks.peers import Contender
from benchmarks.sinks import Sink, make_certificate
from benchmarks.venvs import ROOT, UnavailableError, interpreter
from benchmarks.report import SinkReport
from benchmarks.judging import find_fault, expected_sha256
from benchmarks.client.job import MIB, READING, VARIABLE, Job
from benchmarks.client.sources import chunks, base_buffer

Run = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What one call measures. `deadline` is a monotonic time after which no run starts; `target`
    the folder that downloads go to."""

    contenders: tuple[Contender, ...]
    workloads: tuple[str, ...]
    schemes: tuple[str, ...]
    size: int
    pairs: int
    object_count: int
    object_size: int
    key_count: int
    rate: float
    emulate: bool
    verify: bool
    use_c: bool
    timeout: float
    venv_seconds: float
    deadline: float
    python: str | None = None
    target: Path | None = None

    def count_of(self, workload: str) -> int:
        """How many objects or keys a workload has."""
        return {"small": self.object_count, "list": self.key_count}.get(workload, 1)

    def size_of(self, workload: str) -> int:
        if workload == "list":
            return 0
        return self.object_count * self.object_size if workload == "small" else self.size

    def time_left(self) -> float:
        return self.deadline - time.monotonic()


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def client_environment(job: Job) -> dict[str, str]:
    """An environment without anything that would steer a client elsewhere."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", "S3MPU_", "PYTHON")) and "proxy" not in name.lower()
    }
    return {
        **kept,
        VARIABLE: job.to_text(),
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }


def make_input(folder: Path, size: int) -> Path:
    path = folder / "input.bin"
    if not path.exists():
        with path.open("wb") as file:
            for chunk in chunks(size, MIB, base_buffer()):
                file.write(chunk)
    return path


def make_content(folder: Path) -> Path:
    """Write what the sink sends."""
    path = folder / "content.bin"
    if not path.exists():
        path.write_bytes(base_buffer())
    return path


def run_client(python: Path, job: Job, folder: Path, timeout: float) -> str | None:
    """Run one job to its end; None, or what went wrong."""
    feeder = None
    if job.workload == "pipe":
        feeder = subprocess.Popen(["cat", str(job.input_path)], stdout=subprocess.PIPE)
    with (folder / "output.txt").open("w+") as output:
        client = subprocess.Popen(
            [str(python), "-m", "benchmarks.client"],
            env=client_environment(job),
            stdin=feeder.stdout if feeder else subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=folder,
        )
        if feeder and feeder.stdout:
            feeder.stdout.close()
        try:
            code = client.wait(timeout)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            for process in (client, feeder):
                if process and process.poll() is None:
                    process.kill()
                    process.wait()
        if code == 0:
            return None
        if code is None:
            return f"not done within {timeout:.0f} s"
        output.seek(0)
        lines = output.read().strip().splitlines()
        ended = signal.Signals(-code).name if code < 0 else f"exit {code}"
        return f"{ended}: {lines[-1][:300] if lines else 'said nothing'}"


def seen(report: SinkReport, cpu_before: float) -> Run:
    """The sink's side of one run."""
    largest = report.largest
    return {
        "sink_cpu_seconds": report.cpu_seconds - cpu_before,
        "connections": report.connections,
        "in_flight_peak": report.in_flight_peak,
        "requests": report.requests,
        "parts": largest.parts if largest else 0,
        "part_sizes": largest.part_sizes if largest else (),
        "parts_resent": report.parts_resent,
        "bytes_arrived": report.object_bytes,
        "get_requests": report.get_requests,
        "list_requests": report.list_requests,
        "bytes_sent": report.bytes_sent,
        "aws_chunked": report.aws_chunked,
        "expect_100": report.expect_100,
        "digest_errors": report.digest_errors,
        "bad_requests": report.bad_requests,
    }


class Stage:
    """One workload over one scheme, with its sinks up."""

    def __init__(self, plan: Plan, workload: str, scheme: str, folder: Path) -> None:
        self.plan, self.workload, self.scheme, self.folder = plan, workload, scheme, folder
        self._stack = ExitStack()
        self._sinks: dict[bool, Sink] = {}
        self._certificate = make_certificate(folder) if scheme == "https" else None
        self._input = None
        if workload in ("file", "pipe"):
            self._input = str(make_input(folder, plan.size))
        self._expected = None
        if plan.verify and workload != "small":
            self._expected = expected_sha256(workload, plan.size, plan.key_count)
        self._output = None
        if workload == "download":
            target = tempfile.TemporaryDirectory(prefix="s3mpu-benchmarks-", dir=plan.target)
            self._output = Path(self._stack.enter_context(target)) / "object.bin"

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def sink(self, contender: Contender) -> Sink:
        standard = not contender.takes_port
        if standard not in self._sinks:
            sink = Sink(
                self.scheme,
                certificate=self._certificate,
                emulate=self.plan.emulate,
                verify=self.plan.verify,
                standard_port=standard,
                use_c=self.plan.use_c,
                content=make_content(self.folder) if self.workload in READING else None,
                keys=self.plan.key_count if self.workload == "list" else 0,
            )
            self._stack.callback(sink.stop)
            self._sinks[standard] = sink
        return self._sinks[standard]

    def python(self, contender: Contender) -> Path:
        if contender.name == "ours" and self.plan.python:
            return Path(self.plan.python)
        seconds = min(self.plan.venv_seconds, self.plan.time_left())
        return interpreter(contender.family, seconds=seconds)

    def run(self, contender: Contender) -> Run:
        """Run one contender once; the figures, or `error`."""
        python, sink = self.python(contender), self.sink(contender)
        result = self.folder / "result.json"
        result.unlink(missing_ok=True)
        job = Job(
            module=contender.module,
            workload=self.workload,
            scheme=self.scheme,
            host=sink.host,
            port=sink.port,
            ca_path=str(self._certificate[0]) if self._certificate else None,
            size=self.plan.size,
            object_count=self.plan.count_of(self.workload),
            object_size=self.plan.object_size,
            rate=self.plan.rate,
            input_path=self._input,
            output_path=str(self._output) if self._output else None,
            verify=self.plan.verify,
            result_path=str(result),
            options=contender.options,
            packages=contender.packages,
        )
        cpu_before = sink.reset().cpu_seconds
        timeout = max(1.0, min(self.plan.timeout, self.plan.time_left() + 5))
        error = run_client(python, job, self.folder, timeout)
        report = sink.report()
        run: Run = {"engine": sink.engine, **seen(report, cpu_before)}
        if error is None:
            run |= json.loads(result.read_text())
            run["cpu_seconds"] = run["user_seconds"] + run["system_seconds"]
            if contender.uploads:
                error = find_fault(job, report, run, self._expected)
        if self._output:
            self._output.unlink(missing_ok=True)
        return {**run, "error": error} if error else run

    def label(self, contender: Contender, round_number: int) -> Run:
        return {
            "contender": contender.spec,
            "workload": self.workload,
            "scheme": self.scheme,
            "emulate": self.plan.emulate,
            "verify": self.plan.verify,
            "size": self.plan.size_of(self.workload),
            "object_count": self.plan.count_of(self.workload),
            "round": round_number,
        }

    def rounds(self) -> Iterator[Run]:
        """Yield every run; a contender that failed is not run again, nor is one that cannot."""
        running = []
        for contender in self.plan.contenders:
            reason = contender.reason_to_skip(self.workload, self.scheme)
            if reason is None:
                running.append(contender)
            else:
                yield {**self.label(contender, 0), "error": f"skipped: {reason}"}
        while running:  # a run that brings code and memory in; counted only when it fails
            run = self._try(running[0])
            if "error" not in run:
                break
            yield {**self.label(running.pop(0), 0), **run}
        for round_number in range(self.plan.pairs):
            turn = round_number % max(1, len(running))
            for contender in running[turn:] + running[:turn]:
                if self.plan.time_left() <= 0:
                    say("no time left: the rest is not run")
                    return
                run = {**self.label(contender, round_number), **self._try(contender)}
                if "error" in run:
                    running = [other for other in running if other is not contender]
                yield run

    def _try(self, contender: Contender) -> Run:
        try:
            run = self.run(contender)
        except UnavailableError as error:
            run = {"error": str(error)}
        if "error" in run:
            say(f"! {contender.spec}, {self.workload}, {self.scheme}: {run['error']}")
        return run


def run_plan(plan: Plan, folder: Path) -> Iterator[list[Run]]:
    """Yield the runs of each workload over each scheme."""
    for workload in plan.workloads:
        for scheme in plan.schemes:
            if plan.time_left() <= 0:
                return
            try:
                with Stage(plan, workload, scheme, folder) as stage:
                    yield list(stage.rounds())
            except UnavailableError as error:
                say(f"! {workload}, {scheme}: {error}")
