# SPDX-License-Identifier: Apache-2.0
"""``s3mpu put``: one source up, as a stream.

Here is what stands around the driver's call, also for :mod:`.resume` and :mod:`.copy`: where bytes
come from, what is shown meanwhile, and what is said of it when it fails. How an upload runs is told
by :mod:`libcloud_s3mpu.transfer.upload`.
"""

from __future__ import annotations

import io
import os
import sys
import json
import stat
from typing import Any
from contextlib import contextmanager
from collections.abc import Iterator

import click
from libcloud.common.types import InvalidCredsError
from libcloud.storage.base import Container
from libcloud.storage.types import ObjectDoesNotExistError, ContainerDoesNotExistError

from .words import S3Url, Failed, is_remote, rate_text, size_text, is_terminal
from .service import Session, size, s3_url, positive_size, service_options
from .signals import WakefulReader
from .progress import Watch, Display
from ..protocol.errors import SourceError, UploadMissingError, PreconditionFailedError
from ..protocol.options import UploadOptions
from ..protocol.session import UploadSession
from ..transfer.journal import FileJournal
from ..protocol.checksums import ALGORITHMS


def _local_source(text: Any) -> str:
    """Click's type for what ``put`` reads."""
    if is_remote(text):
        raise click.BadParameter(
            f"{text!r} is an object: s3mpu get downloads it, s3mpu cp copies it on the service"
        )
    return str(text)


@click.command()
@service_options
@click.argument("source", metavar="FILE|-", type=_local_source)
@click.argument("dest", metavar="s3://BUCKET[/KEY]", type=s3_url)
@click.option("--content-type", metavar="TYPE", help="Guessed from the name unless given.")
@click.option("--metadata", metavar="K=V", multiple=True, help="x-amz-meta-K: V; repeatable.")
@click.option("--storage-class", metavar="NAME", help="As in STANDARD_IA.")
@click.option("--acl", metavar="NAME", help="A canned ACL, as in bucket-owner-full-control.")
@click.option("--header", metavar="'NAME: VALUE'", multiple=True, help="Repeatable.")
@click.option("--part-size", metavar="SIZE", type=positive_size, help="Of the first parts.")
@click.option(
    "--memory-budget",
    metavar="SIZE",
    type=positive_size,
    help="128MiB unless given; a part above half of it waits in a temporary file.",
)
@click.option("--concurrency", metavar="N", type=click.IntRange(1), help="Parts in flight, most.")
@click.option("--checksum", type=click.Choice(["auto", "none", *ALGORITHMS]), default="auto")
@click.option("--no-sign-payload", is_flag=True, help="Sign headers only, on plain http too.")
@click.option("--if-none-match", is_flag=True, help="Fail where the object exists already.")
@click.option("--size", metavar="SIZE", type=size, help="The source's exact size, else fail.")
@click.option("--keep", is_flag=True, help="If it fails or is ended, s3mpu resume can go on.")
@click.option("--quiet", is_flag=True, help="Show nothing but errors.")
@click.option("--json", "is_json", is_flag=True, help="The result as JSON on standard output.")
@click.pass_obj
def put(session: Session, /, source: str, dest: S3Url, **given: Any) -> int:
    """Upload a file, or standard input of any length.

    \b
      set -o pipefail; pg_dump db | s3mpu put - s3://bucket/db.dump

    A DEST that is a bucket or ends in "/" takes the file's name. A writer that dies looks like
    one that is done: --size refuses what is shorter, pipefail tells your script.

    What fails, or is ended by a signal, is aborted. With --keep its parts stay, and the last line
    is the command that goes on; after a crash s3mpu resume --list knows the upload.
    """
    upload(session, source, dest, given)
    return 0


#: What ``put`` can be told and ``cp`` cannot.
UNSAID = {
    "content_type": None,
    "acl": None,
    "memory_budget": None,
    "checksum": "auto",
    "no_sign_payload": False,
    "size": None,
    "keep": False,
}


def upload(session: Session, source: str, dest: S3Url, given: dict[str, Any]) -> None:
    """Upload a file or standard input, as ``put`` and ``cp`` do, and say so."""
    url = _object_of(source, dest)
    journal = session.journal() if given["keep"] else None
    driver = session.driver()
    if given["if_none_match"]:
        check_absent(driver, url)
    with (
        told_apart(url, given),
        followed(session, "put", given, url=url, source=source, journal=journal) as watch,
    ):
        result = _Upload(driver, url, given, _options(given, watch, journal)).run(source)
    told(session, url, result, given)


def check_absent(driver: Any, url: S3Url) -> None:
    """Look whether an object is there before bytes are sent that would be refused at the end.

    The condition goes to the service all the same, and decides where it is known there. Ceph 16
    ignores it on complete (seen 2026-11): what stood there before the upload is safe so.

    :raises Failed: if it is there.
    """
    try:
        driver.get_object(url.bucket, url.key)
    except (ObjectDoesNotExistError, ContainerDoesNotExistError, InvalidCredsError):
        return  # Not there, or not to be seen with these keys: the write tells.
    raise Failed(f"{url} exists already; nothing was sent")


#: What makes an object whose name may have been taken meanwhile.
_MAKING = ("PutObject", "CompleteMultipartUpload")


@contextmanager
def told_apart(url: S3Url, given: dict[str, Any]) -> Iterator[None]:
    """Say of a write that was to make a new object, and did not, that there is one.

    :raises Failed: in place of the service's own words for it, which name a condition.
    """
    try:
        yield
    except PreconditionFailedError as error:
        # That of CopyObject may be about the source; a HEAD is the upload's own look before it.
        if not given["if_none_match"] or error.operation not in (*_MAKING, "HeadObject"):
            raise
        how = "nothing was sent" if error.operation == "HeadObject" else "it stays"
        raise Failed(f"{url} exists already: it was made meanwhile, and {how}") from error


@contextmanager
def followed(
    session: Session,
    title: str,
    given: dict[str, Any],
    *,
    url: S3Url,
    source: str,
    journal: FileJournal | None,
) -> Iterator[Watch]:
    """Show an upload while the block runs; where it fails, find out what is left of it."""
    watch = Watch(lambda done: display.show(done))
    is_shown = not (given["quiet"] or session.is_debug)
    display = Display(
        title,
        stream=sys.stderr if is_shown else None,
        total=given["size"] if given["size"] is not None else size_of(source),
        watch=watch,
    )
    try:
        with display:
            yield watch
    except BaseException as error:
        upload_id = watch.upload_id or getattr(error, "upload_id", None)
        kept = _kept(journal, upload_id)
        if kept is None and title == "resume" and not watch.has_begun:
            session.outcome = "nothing was sent"
            if isinstance(error, UploadMissingError):
                session.outcome += (
                    ", and s3mpu resume --list has it no longer (s3mpu ls --long shows the object, "
                    "if there is one)"
                )
        elif kept is None:
            words = ("resume", str(upload_id), _again(source), "--to", str(url))
            session.outcome = watch.outcome(error, again=f"go on: {session.command(*words)}")
        else:
            what = f"{len(kept.parts)} parts, {size_text(kept.size)}"
            session.outcome = f"upload {kept.upload_id} was kept ({what}); go on with"
            is_refused = title == "resume" and source != "-" and isinstance(error, SourceError)
            again = "THE_SAME_SOURCE" if is_refused else _again(source)
            session.go_on = session.command("resume", str(kept.upload_id), again)
        raise


def _kept(journal: FileJournal | None, upload_id: str | None) -> UploadSession | None:
    """Give what the journal has of a failed upload: it knows, whatever came in between."""
    if journal is None or upload_id is None:
        return None
    try:
        return next((it for it in journal.list() if it.upload_id == upload_id), None)
    except OSError:
        return None


def _again(source: str) -> str:
    return source if source == "-" else os.path.abspath(source)


def told(session: Session, url: S3Url, result: Any, given: dict[str, Any]) -> None:
    """Say what was uploaded."""
    if given["is_json"]:
        session.out(json.dumps(described_result(url, result)))
    if not given["quiet"]:
        session.note(summary_of(url, result))


def _object_of(source: str, dest: S3Url) -> S3Url:
    """Give the object to write, before anything is opened."""
    if source == "-":
        if sys.stdin is None or is_terminal(sys.stdin):
            what = "closed" if sys.stdin is None else "a terminal"
            text = f"standard input is {what}: pipe something in, or name a file"
            raise click.BadParameter(text, param_hint="'FILE|-'")
        if not dest.key or dest.key.endswith("/"):
            text = "standard input has no name to take: name the object, s3://bucket/key"
            raise click.BadParameter(text, param_hint="'DEST'")
        return dest
    if not dest.key or dest.key.endswith("/"):
        return S3Url(dest.bucket, dest.key + os.path.basename(source.rstrip("/")))
    return dest


def size_of(source: str) -> int | None:
    """Give the size that the display may promise; what is uploaded is decided by what is read."""
    try:
        found = os.fstat(sys.stdin.fileno()) if source == "-" else os.stat(source)
    except (OSError, ValueError, AttributeError, io.UnsupportedOperation):
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None


def _options(given: dict[str, Any], watch: Watch, journal: FileJournal | None) -> UploadOptions:
    optional = {"memory_budget_bytes": given["memory_budget"]}
    return UploadOptions(
        part_size_bytes=given["part_size"],
        concurrency=given["concurrency"],
        checksum=None if given["checksum"] == "none" else given["checksum"],
        sign_payload=False if given["no_sign_payload"] else None,
        if_none_match="*" if given["if_none_match"] else None,
        size_bytes=given["size"],
        journal=journal,
        on_event=watch,
        **{name: value for name, value in optional.items() if value is not None},
    )


def pairs_of(texts: tuple[str, ...], separator: str, option: str) -> dict[str, str]:
    """Read ``NAME=VALUE`` or ``NAME: VALUE``, any number of them."""
    pairs: dict[str, str] = {}
    for text in texts:
        name, found, value = text.partition(separator)
        if not found or not name.strip():
            raise click.BadParameter(f"{text!r} has no name and {separator!r}", param_hint=option)
        pairs[name.strip()] = value.strip() if separator == ":" else value
    return pairs


class _Upload:
    """One ``put``, ready to run: every argument was looked at, nothing was opened or sent."""

    def __init__(self, driver: Any, url: S3Url, given: dict[str, Any], options: Any) -> None:
        self._driver = driver
        extra = {
            "content_type": given["content_type"],
            "meta_data": pairs_of(given["metadata"], "=", "'--metadata'"),
            "acl": given["acl"],
        }
        self._arguments = {
            "container": Container(url.bucket, {}, driver),
            "object_name": url.key,
            "extra": {name: value for name, value in extra.items() if value},
            "headers": pairs_of(given["header"], ":", "'--header'"),
            "ex_storage_class": (given["storage_class"] or "").lower() or None,
            "ex_options": options,
        }

    def run(self, source: str) -> Any:
        if source == "-":
            source_file = interruptible(sys.stdin.buffer)
            return self._driver.upload_object_via_stream(source_file, **self._arguments)
        if stat.S_ISREG(os.stat(source).st_mode):
            # The checksum of the options is the check: an MD5 besides would cost more than all.
            return self._driver.upload_object(source, verify_hash=False, **self._arguments)
        with open(source, "rb") as file:  # a FIFO, a device, or an error that names it
            return self._driver.upload_object_via_stream(interruptible(file), **self._arguments)


def interruptible(file: Any) -> Any:
    """Give a plain file as it is (the engine reads it by ranges), else one that signals wake."""
    try:
        is_pipe = not stat.S_ISREG(os.fstat(file.fileno()).st_mode)
    except (OSError, AttributeError):
        return file
    return WakefulReader(file) if is_pipe else file


def described_result(url: S3Url, result: Any) -> dict[str, Any]:
    """Give what ``--json`` prints of an object that was made."""
    names = ("etag", "upload_id", "parts", "part_size_bytes", "checksum", "version_id", "seconds")
    return {
        "url": str(url),
        "bucket": url.bucket,
        "key": url.key,
        "size": result.size,
        **{name: result.extra.get(name) for name in names},
    }


def summary_of(url: S3Url, result: Any) -> str:
    """Give the last line of a command that made an object."""
    parts, seconds = result.extra["parts"], result.extra["seconds"]
    text = f"{url}: {size_text(result.size)}"
    if result.extra["upload_id"] is not None:
        text += f" in {parts} parts"
    if not seconds:
        return f"{text}, completed before, ETag {result.hash}"  # Found there: nothing was timed.
    return f"{text}, {seconds:.1f} s, {rate_text(result.size, seconds)}, ETag {result.hash}"
