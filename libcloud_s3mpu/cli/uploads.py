# SPDX-License-Identifier: Apache-2.0
"""``s3mpu uploads``: the uploads under way, seen and ended from a terminal or from cron.

Here live their arguments and what they print. What is an orphan is told by
:mod:`libcloud_s3mpu.transfer.orphans`.
"""

from __future__ import annotations

import re
import json
from typing import Any

import click
from libcloud.storage.base import Container

from .words import S3Url, Failed, printable, size_text
from .service import Session, s3_url, bucket_url, object_url, service_options
from ..sessions import endpoint_of
from ..maintenance import as_json
from ..protocol.errors import UploadMissingError
from ..transfer.journal import FileJournal
from ..transfer.orphans import UNREADABLE, CleanupError, CleanupReport

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}


def age(text: Any) -> float:
    """Click's type for ages: ``90s``, ``30m``, ``12h``, ``7d``, ``2w``; the unit is never left out.

    :returns: seconds.
    """
    if isinstance(text, float):
        return text
    match = re.fullmatch(r"([0-9]+)([smhdw])", str(text).strip())
    if match is None:
        raise click.BadParameter(f"{text!r} is no age: write 90s, 30m, 12h, 7d or 2w")
    return float(int(match[1]) * _SECONDS[match[2]])


@click.group(no_args_is_help=False)
@service_options
def uploads() -> None:
    """See and end multipart uploads that were begun and not completed.

    Their parts cost money and stand in no listing of objects.
    """


@uploads.command()
@service_options
@click.argument("where", metavar="s3://BUCKET[/PREFIX]", type=s3_url)
@click.option("--json", "is_json", is_flag=True, help="One JSON object per line.")
@click.pass_obj
def ls(session: Session, where: S3Url, is_json: bool) -> int:
    """List the uploads under way: when initiated, upload id, object name."""
    driver = session.driver()
    container = Container(where.bucket, {}, driver)
    for upload in driver.ex_iterate_multipart_uploads(container, prefix=where.key or None):
        row = {
            "key": upload.key,
            "upload_id": upload.id,
            "initiated": upload.created_at,
            "initiator": upload.initiator,
            "owner": upload.owner,
        }
        if is_json:
            session.out(json.dumps(row))
        else:
            name, upload_id = printable(upload.key), printable(upload.id)
            session.out(f"{upload.created_at or '-':24}  {upload_id}  {name}")
    return 0


@uploads.command()
@service_options
@click.argument("url", metavar="s3://BUCKET/KEY", type=object_url)
@click.argument("upload_id", metavar="UPLOAD_ID")
@click.pass_obj
def abort(session: Session, url: S3Url, upload_id: str) -> int:
    """Abort one upload and free its parts.

    One that is not there any more is no error. It can no longer be resumed.
    """
    driver = session.driver()
    container = Container(url.bucket, {}, driver)
    try:
        next(iter(driver.ex_list_parts(container, url.key, upload_id)), None)
    except UploadMissingError:
        # A mistyped id must not look like parts that are freed.
        session.note(f"{url}: there is no upload {upload_id}; nothing was aborted")
    driver.ex_abort_upload(container, url.key, upload_id)
    journal = _journal(session)
    if journal is not None:
        journal.forget(upload_id, endpoint=endpoint_of(driver.connection.endpoint))
    return 0


def _journal(session: Session) -> FileJournal | None:
    """Give the journal of put --keep; None where it has never been possible to keep anything."""
    try:
        return session.journal()
    except Failed:
        return None


@uploads.command()
@service_options
@click.argument("where", metavar="s3://BUCKET", type=bucket_url)
@click.option(
    "--older-than",
    metavar="AGE",
    type=age,
    default="1d",
    show_default=True,
    help="Leave alone what was begun, or got a part, later.",
)
@click.option("--prefix", metavar="TEXT", help="Only objects whose names begin with it.")
@click.option("--yes", "is_meant", is_flag=True, help="Abort; without it only tell.")
@click.option("--json", "is_json", is_flag=True, help="The whole report as one JSON object.")
@click.pass_obj
def clean(
    session: Session,
    where: S3Url,
    older_than: float,
    prefix: str | None,
    is_meant: bool,
    is_json: bool,
) -> int:
    """Abort the uploads that were begun long ago and that nobody is at.

    Ages go by the service's clock. What put --keep has kept is left alone. Without --yes nothing
    is aborted.
    """
    driver = session.driver()
    failed: CleanupError | None = None
    try:
        report: CleanupReport = driver.ex_cleanup_multipart_uploads(
            Container(where.bucket, {}, driver),
            older_than_seconds=older_than,
            prefix=prefix,
            dry_run=not is_meant,
            journal=_journal(session),
        )
    except CleanupError as error:
        failed, report = error, error.report
    if is_json:
        session.out(json.dumps(as_json(report)))
    else:
        _tell(session, report)
    if failed is not None:
        raise failed
    return 0


def _tell(session: Session, report: CleanupReport) -> None:
    done = "would abort" if report.dry_run else "aborted"
    for upload in report.aborted:
        what = f"{upload.parts} parts, {size_text(upload.size)}"
        begun = upload.initiated.strftime("%Y-%m-%dT%H:%M:%SZ")
        name, upload_id = printable(upload.object_name), printable(upload.upload_id)
        session.out(f"{done}  {begun}  {upload_id}  {name}  ({what})")
    for object_name, upload_id, error in report.failures:
        session.note(f"s3mpu: {printable(object_name)} ({upload_id}): {error.value}")
    for left in report.skipped:
        name, upload_id = printable(left.object_name), printable(left.upload_id)
        session.out(f"left alone  {upload_id}  {name}  ({printable(left.reason)})")
    session.out(
        f"{report.seen} uploads seen, {len(report.aborted)} {done}, {len(report.skipped)} left "
        f"alone, {size_text(report.bytes_freed)} {'to free' if report.dry_run else 'freed'}"
    )
    unread = next((it.reason for it in report.skipped if it.reason.startswith(UNREADABLE)), None)
    if unread is not None:
        session.note(f"s3mpu: all were left alone: {unread}")
    if report.dry_run and report.aborted:
        session.note("nothing was aborted: --yes does it")
