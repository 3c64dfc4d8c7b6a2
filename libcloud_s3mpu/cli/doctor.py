# SPDX-License-Identifier: Apache-2.0
"""``s3mpu doctor``: what a service can do, as a table, with what follows from it.

Here live its arguments and what it prints; the questions are :mod:`libcloud_s3mpu.transfer.probe`.
"""

from __future__ import annotations

import sys
import json

import click
from libcloud.storage.base import Container

from .. import ProbeReport
from .words import S3Url, printable
from .service import Session, bucket_url, service_options

_COLOURS = {"yes": "green", "no": "yellow", "ignored": "red", "unknown": "dim"}
_WIDTH = 100  # Where standard output is no terminal, rows are not folded for one.


@click.command()
@service_options
@click.argument("where", metavar="s3://BUCKET", type=bucket_url)
@click.option("--json", "is_json", is_flag=True, help="The whole report as one JSON object.")
@click.pass_obj
def doctor(session: Session, where: S3Url, is_json: bool) -> int:
    """Ask a service what it can do, and say what follows from it.

    Some seventy small requests under one random name in BUCKET; everything is removed again. An
    answer "ignored" means that the service says yes and does nothing.
    """
    driver = session.driver()
    report: ProbeReport = driver.ex_probe(Container(where.bucket, {}, driver))
    if is_json:
        session.out(json.dumps(report.as_json()))
    else:
        _show(session, report)
    for each in report.left_behind:
        session.note(f"s3mpu: could not be removed: {printable(each)}")
    return 1 if report.left_behind else 0


def _show(session: Session, report: ProbeReport) -> None:
    from rich import box
    from rich.text import Text
    from rich.table import Table
    from rich.console import Console

    named = printable(report.server or "no name given")
    table = Table("", "the service ...", "seen", title=None, box=box.SIMPLE)
    for found in report.findings:
        answer = found.answer.value
        colour = _COLOURS[answer]
        table.add_row(Text(answer, style=colour), found.question, Text(printable(found.detail)))
    console = Console(
        file=sys.stdout,
        width=None if sys.stdout.isatty() else _WIDTH,
        highlight=False,
        markup=False,
    )
    session.out(
        f"{report.endpoint} ({named}), region {report.region}, container {report.container}"
    )
    console.print(table)
    problems = list(dict.fromkeys(found.problem for found in report.findings if found.problem))
    for problem in problems:
        session.out(f"! {problem}")
    session.out(f"{len(report.findings)} questions in {report.seconds:.1f} s")
