# SPDX-License-Identifier: Apache-2.0
"""``s3mpu put`` and ``s3mpu get``: one source up, one object down, both as streams.

Here is what stands around the driver's two calls: where bytes come from and go to, what is shown
meanwhile, and what is removed when it fails. How an upload runs is told by
:mod:`libcloud_s3mpu.transfer.upload`.
"""

from __future__ import annotations

import io
import os
import sys
import json
import stat
import time
import tempfile
from typing import Any, BinaryIO
from contextlib import contextmanager
from collections.abc import Iterator

import click
from libcloud.storage.base import Container

from .cli_words import S3Url, Failed, ReaderGoneError, rate_text, size_text
from .cli_service import Session, size, s3_url, object_url, positive_size, service_options
from .cli_signals import WakefulReader
from .cli_progress import Watch, Display, is_terminal
from .protocol.errors import SourceError
from .protocol.options import UploadOptions
from .protocol.session import UploadSession
from .transfer.journal import FileJournal
from .protocol.checksums import ALGORITHMS

_READ_SIZE = 1024 * 1024


# -- put ---------------------------------------------------------------------------------------


@click.command()
@service_options
@click.argument("source", metavar="FILE|-")
@click.argument("dest", metavar="s3://BUCKET[/KEY]", type=s3_url)
@click.option("--content-type", metavar="TYPE", help="Guessed from the name unless given.")
@click.option("--metadata", metavar="K=V", multiple=True, help="x-amz-meta-K: V; repeatable.")
@click.option("--storage-class", metavar="NAME", help="As in STANDARD_IA.")
@click.option("--acl", metavar="NAME", help="A canned ACL, as in bucket-owner-full-control.")
@click.option("--header", metavar="'NAME: VALUE'", multiple=True, help="Repeatable.")
@click.option("--part-size", metavar="SIZE", type=positive_size, help="Of the first parts.")
@click.option("--memory-budget", metavar="SIZE", type=positive_size, help="128MiB unless given.")
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
    url = _object_of(source, dest)
    journal = session.journal() if given["keep"] else None
    driver = session.driver()
    with followed(session, "put", given, source=source, journal=journal) as watch:
        upload = _Upload(driver, url, given, _options(given, watch, journal))
        result = upload.run(source)
    told(session, url, result, given)
    return 0


@contextmanager
def followed(
    session: Session, title: str, given: dict[str, Any], *, source: str, journal: FileJournal | None
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
        if kept is None:
            session.outcome = watch.outcome(error)
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
            text = "standard input is a terminal: pipe something in, or name a file"
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
    return f"{text}, {seconds:.1f} s, {rate_text(result.size, seconds)}, ETag {result.hash}"


# -- get ---------------------------------------------------------------------------------------


@click.command()
@service_options
@click.argument("source", metavar="s3://BUCKET/KEY", type=object_url)
@click.argument("dest", metavar="FILE|-")
@click.option("--quiet", is_flag=True, help="Show nothing but errors.")
@click.pass_obj
def get(session: Session, source: S3Url, dest: str, quiet: bool) -> int:
    """Download an object to a file, or to standard output.

    The file appears under its name once it is whole. A DEST that is a directory takes the last
    part of the object's name.
    """
    path = None if dest == "-" else _file_of(source, dest)
    driver = session.driver()
    found = driver.get_object(source.bucket, source.key)
    is_shown = not (quiet or session.is_debug or (path is None and is_terminal(sys.stdout)))
    display = Display("get", stream=sys.stderr if is_shown else None, total=found.size)
    began = time.monotonic()
    with _standard_output() if path is None else _new_file(path) as file, display:
        done = 0
        for chunk in driver.download_object_as_stream(found, chunk_size=_READ_SIZE):
            file.write(chunk)
            done += len(chunk)
            display.show(done)
        if done != found.size:
            raise Failed(f"{source} has {found.size} bytes, but {done} came")
    if path is not None and not quiet:
        seconds = time.monotonic() - began
        text = f"{path}: {size_text(done)}, {seconds:.1f} s, {rate_text(done, seconds)}"
        session.note(text)
    return 0


def _file_of(source: S3Url, dest: str) -> str:
    if not os.path.isdir(dest) and not dest.endswith("/"):
        return dest
    name = source.key.rpartition("/")[2]
    if name in ("", ".", ".."):
        raise click.BadParameter(
            f"{source} ends in no file name: name the file", param_hint="'DEST'"
        )
    return os.path.join(dest, name)


@contextmanager
def _standard_output() -> Iterator[Any]:
    """Give standard output for bytes; a reader that went away is no failure of ours."""
    if sys.stdout is None:
        raise Failed("standard output is closed")
    try:
        yield _Guarded(sys.stdout.buffer)
        sys.stdout.buffer.flush()
    except BrokenPipeError as error:
        raise ReaderGoneError from error


class _Guarded:
    """Tells a pipe that broke behind us from a connection that broke before us."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, chunk: bytes) -> None:
        try:
            self._file.write(chunk)
        except BrokenPipeError as error:
            raise ReaderGoneError from error


@contextmanager
def _new_file(path: str) -> Iterator[Any]:
    """Write beside ``path`` and rename at the end; whatever goes wrong, nothing is left there.

    What exists and is no regular file (a FIFO, a device) is written to as it is. A link is
    followed: the file that it names is the one replaced.
    """
    path = os.path.realpath(path)
    if os.path.exists(path) and not os.path.isfile(path):
        with open(path, "wb") as file:
            yield file
        return
    folder, name = os.path.split(path)
    handle, temporary = tempfile.mkstemp(prefix=f".{name[:100]}.", suffix=".s3mpu", dir=folder)
    try:
        with open(handle, "wb") as file:
            yield file
        os.chmod(temporary, _mode_for(path))
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _mode_for(path: str) -> int:
    """Give the mode of the file that is replaced, or the one that ``open`` would have given."""
    try:
        return stat.S_IMODE(os.stat(path).st_mode)
    except OSError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask
