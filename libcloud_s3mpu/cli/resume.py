# SPDX-License-Identifier: Apache-2.0
"""``s3mpu resume``: go on with an upload that was kept, and list those that were.

What was sent already, and whether the source is the same, is found out by
:mod:`libcloud_s3mpu.transfer.resume`; where sessions are kept by
:mod:`libcloud_s3mpu.transfer.journal`.
"""

from __future__ import annotations

import sys
import json
from typing import Any
from datetime import datetime, timezone
from contextlib import contextmanager
from collections.abc import Iterator

import click
from libcloud.storage.base import Container

from .put import told, followed, pairs_of, interruptible
from .words import S3Url, Failed, printable, size_text, is_terminal
from .service import Session, size, object_url, positive_size, service_options
from ..sessions import endpoint_of
from ..protocol.options import UploadOptions
from ..protocol.session import State, UploadSession
from ..transfer.journal import FileJournal
from ..protocol.checksums import ALGORITHMS


@click.command()
@service_options
@click.argument("upload_id", metavar="[UPLOAD_ID]", required=False)
@click.argument("source", metavar="[FILE|-]", default="-")
@click.option("--list", "is_list", is_flag=True, help="List what was kept; nothing is sent.")
@click.option(
    "--to",
    metavar="s3://BUCKET/KEY",
    type=object_url,
    help="Where it goes; needed where the journal does not know it.",
)
@click.option("--header", metavar="'NAME: VALUE'", multiple=True, help="SSE-C's, once more.")
@click.option("--part-size", metavar="SIZE", type=positive_size, help="Only with --to.")
@click.option("--checksum", type=click.Choice(["auto", "none", *ALGORITHMS]), default="auto")
@click.option(
    "--memory-budget",
    metavar="SIZE",
    type=positive_size,
    help="128MiB unless given; a part above half of it waits in a temporary file.",
)
@click.option("--concurrency", metavar="N", type=click.IntRange(1), help="Parts in flight, most.")
@click.option("--no-sign-payload", is_flag=True, help="Sign headers only, on plain http too.")
@click.option("--size", metavar="SIZE", type=size, help="The source's exact size, else fail.")
@click.option("--quiet", is_flag=True, help="Show nothing but errors.")
@click.option("--json", "is_json", is_flag=True, help="The result, or the list, as JSON.")
@click.pass_obj
def resume(
    session: Session,
    /,
    upload_id: str | None,
    source: str,
    is_list: bool,
    to: S3Url | None,
    **given: Any,
) -> int:
    """Go on with an upload that put --keep or a crash left behind.

    \b
      s3mpu resume --list
      s3mpu resume UPLOAD_ID disk.img
      set -o pipefail; pg_dump db | s3mpu resume UPLOAD_ID

    The source is the same one, from its beginning. What the service has of it is compared and not
    sent again; one that differs is refused, and the upload stays.
    """
    journal = session.journal()
    if is_list:
        _list(session, journal, is_json=given["is_json"])
        return 0
    if upload_id is None:
        raise click.UsageError("Name an upload, or --list")
    if source == "-" and (sys.stdin is None or is_terminal(sys.stdin)):
        what = "closed" if sys.stdin is None else "a terminal"
        text = f"standard input is {what}: pipe the source in, or name a file"
        raise click.BadParameter(text, param_hint="'FILE|-'")
    driver = session.driver()
    saved = _saved(journal, upload_id, endpoint_of(driver.connection.endpoint))
    if saved is None and to is None:
        raise Failed(
            f"no upload {upload_id} was kept here (s3mpu resume --list); where another machine or "
            "program began it, say where it goes: --to s3://bucket/key"
        )
    place = to or S3Url(saved.container, saved.object_name)  # type: ignore[union-attr]
    headers = pairs_of(given["header"], ":", "'--header'")
    with followed(session, "resume", given, url=place, source=source, journal=journal) as watch:
        watch.upload_id = upload_id
        with _opened(source) as file:
            result = driver.ex_resume_upload(
                upload_id,
                file,
                Container(place.bucket, {}, driver),
                place.key,
                headers=headers,
                ex_options=_options(given, journal, watch),
            )
    told(session, place, result, given)
    return 0


def _options(given: dict[str, Any], journal: FileJournal, watch: Any) -> UploadOptions:
    optional = {"memory_budget_bytes": given["memory_budget"]}
    return UploadOptions(
        part_size_bytes=given["part_size"],
        concurrency=given["concurrency"],
        checksum=None if given["checksum"] == "none" else given["checksum"],
        sign_payload=False if given["no_sign_payload"] else None,
        size_bytes=given["size"],
        on_failure="keep",
        journal=journal,
        on_event=watch,
        **{name: value for name, value in optional.items() if value is not None},
    )


@contextmanager
def _opened(source: str) -> Iterator[Any]:
    if source == "-":
        yield interruptible(sys.stdin.buffer)
        return
    with open(source, "rb") as file:
        yield interruptible(file)


def _saved(journal: FileJournal, upload_id: str, endpoint: str) -> UploadSession | None:
    """Find an upload in the journal; the driver's endpoint decides between two of one id."""
    found = journal.load(upload_id, endpoint=endpoint)
    if found is not None:
        return found
    elsewhere = [it.endpoint for it in journal.list() if it.upload_id == upload_id]
    if elsewhere:
        raise Failed(
            f"upload {upload_id} was begun at {elsewhere[0]}, not at {endpoint}: give the same "
            "--endpoint-url and --region"
        )
    return None


# -- the list ----------------------------------------------------------------------------------


def _list(session: Session, journal: FileJournal, *, is_json: bool) -> None:
    """List what the journal has: all that is there of an orderly end, less after a crash."""
    uploads = sorted(journal.list(), key=lambda it: it.saved_at or 0.0)
    for it in uploads:
        if is_json:
            session.out(json.dumps(_row(it)))
            continue
        url = printable(str(S3Url(it.container, it.object_name)))
        when = _moment(it.saved_at) or "-"
        least = "" if it.state is State.KEPT else "at least "
        what = f"{least}{len(it.parts)} parts, {size_text(it.size)}"
        if it.source_bytes is not None:
            what += f" of {size_text(it.source_bytes)}"
        session.out(f"{when:20}  {printable(str(it.upload_id))}  {url}  ({what})  {it.endpoint}")
    unreadable = journal.owned().unreadable
    if unreadable:
        names = ", ".join(unreadable)
        session.note(f"s3mpu: not readable in {journal.folder}: {names}")


def _row(it: UploadSession) -> dict[str, Any]:
    return {
        "upload_id": it.upload_id,
        "bucket": it.container,
        "key": it.object_name,
        "endpoint": it.endpoint,
        "state": it.state.value,
        "parts": len(it.parts),
        "bytes": it.size,
        "source_bytes": it.source_bytes,
        "began": _moment(it.began_at),
        "saved": _moment(it.saved_at),
        "needs_headers": list(it.needs_headers),
    }


def _moment(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
