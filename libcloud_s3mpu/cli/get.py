# SPDX-License-Identifier: Apache-2.0
"""``s3mpu get``: one object down, as a stream.

Here is what stands around the driver's call: where bytes go to, what is shown meanwhile, and what
is removed when it fails. How objects are read is told by :mod:`libcloud_s3mpu.transfer.download`.
"""

from __future__ import annotations

import os
import sys
import stat
import time
import tempfile
from typing import Any
from contextlib import suppress, contextmanager
from collections.abc import Iterator

import click

from .words import S3Url, Failed, ReaderGoneError, is_remote, rate_text, size_text, is_terminal
from .errors import about
from .service import Session, object_url, service_options
from .progress import Display

_READ_SIZE = 1024 * 1024


def _remote_source(text: Any) -> S3Url:
    """Click's type for what ``get`` reads."""
    if isinstance(text, str) and not is_remote(text):
        raise click.BadParameter(
            f"{text!r} is no S3 URL: it reads s3://bucket/key (s3mpu put uploads a file)"
        )
    return object_url(text)


def _local_dest(text: Any) -> str:
    """Click's type for what ``get`` writes."""
    if is_remote(text):
        raise click.BadParameter(f"{text!r} is no file: s3mpu cp copies on the service")
    if not text:
        raise click.BadParameter("it is empty: name a file, a directory, or - for standard output")
    return str(text)


@click.command()
@service_options
@click.argument("source", metavar="s3://BUCKET/KEY", type=_remote_source)
@click.argument("dest", metavar="FILE|-", type=_local_dest)
@click.option("--no-overwrite", is_flag=True, help="Fail where the file exists already.")
@click.option("--quiet", is_flag=True, help="Show nothing but errors.")
@click.pass_obj
def get(session: Session, source: S3Url, dest: str, no_overwrite: bool, quiet: bool) -> int:
    """Download an object to a file, or to standard output.

    The file appears under its name once it is whole. One that exists already is replaced then,
    unless --no-overwrite is given. A DEST that is a directory takes the last part of the object's
    name.
    """
    download(session, source, dest, overwrites=not no_overwrite, quiet=quiet)
    return 0


def download(
    session: Session, source: S3Url, dest: str, *, quiet: bool, overwrites: bool = True
) -> None:
    """Download an object, as ``get`` and ``cp`` do, and say so.

    :raises Failed: if the file is there and may not be replaced.
    """
    path = None if dest == "-" else _file_of(source, dest)
    if path is not None and not overwrites and os.path.isfile(path):
        raise Failed(_already(path))
    driver = session.driver()
    with about(source):
        found = driver.get_object(source.bucket, source.key)
    is_shown = not (quiet or session.is_debug or (path is None and is_terminal(sys.stdout)))
    display = Display("get", stream=sys.stderr if is_shown else None, total=found.size)
    began = time.monotonic()
    place = _standard_output() if path is None else _new_file(path, overwrites=overwrites)
    with place as file, display:
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
def _naming(place: str) -> Iterator[None]:
    """Tell what the place of the bytes has against them from what the connection has."""
    try:
        yield
    except BrokenPipeError as error:
        raise ReaderGoneError from error
    except OSError as error:
        raise Failed(f"{place}: {error.strerror or error}") from error


class _Sink:
    """Where the bytes go; its errors name it."""

    def __init__(self, file: Any, place: str) -> None:
        self._file = file
        self._place = place

    def write(self, chunk: Any) -> None:
        left = memoryview(chunk)
        with _naming(self._place):
            while left:
                left = left[self._file.write(left) :]


@contextmanager
def _standard_output() -> Iterator[_Sink]:
    """Give standard output for bytes; a reader that went away is no failure of ours."""
    if sys.stdout is None:
        raise Failed("standard output is closed")
    yield _Sink(sys.stdout.buffer, "standard output")
    with _naming("standard output"):
        sys.stdout.buffer.flush()


@contextmanager
def _new_file(path: str, *, overwrites: bool) -> Iterator[_Sink]:
    """Write beside ``path`` and rename at the end; whatever goes wrong, nothing is left there.

    What exists and is no regular file (a FIFO, a device) is written to as it is. A link is
    followed: the file that it names is the one replaced.
    """
    place, path = path, os.path.realpath(path)
    if os.path.exists(path) and not os.path.isfile(path):
        with _naming(place):
            file = open(path, "wb", buffering=0)  # noqa: SIM115 - errors of its use are others
        with file:
            yield _Sink(file, place)
        return
    with _naming(place):
        temporary, file = _made_beside(path)
    try:
        with file:
            yield _Sink(file, place)
        with _naming(place):
            os.chmod(temporary, _mode_for(path))
            _give_name(temporary, path, overwrites=overwrites)
    except BaseException:
        with suppress(FileNotFoundError):  # A signal came as it got its name: it is whole.
            os.unlink(temporary)
        raise


def _give_name(temporary: str, path: str, *, overwrites: bool) -> None:
    """Give a whole file its name; one that may not be replaced was made meanwhile, perhaps.

    :raises Failed: if so.
    """
    try:
        if not overwrites:
            os.link(temporary, path)  # Unlike a rename, it replaces nothing.
    except FileExistsError:
        raise Failed(_already(path)) from None
    except OSError:
        # A file system without links: between this look and the rename is a moment.
        if os.path.lexists(path):
            raise Failed(_already(path)) from None
        overwrites = True
    if overwrites:
        os.replace(temporary, path)
    else:
        os.unlink(temporary)


def _already(path: str) -> str:
    return f"{path} exists already, and --no-overwrite was given"


def _made_beside(path: str) -> tuple[str, Any]:
    """Make a new file in the folder of another one, of a name that says whose it is."""
    folder, name = os.path.split(path)
    # 50 characters are 200 bytes at most, of the 255 that a name may have.
    prefix = f".{name[:50]}."
    handle, temporary = tempfile.mkstemp(prefix=prefix, suffix=".s3mpu", dir=folder)
    return temporary, open(handle, "wb", buffering=0)


def _mode_for(path: str) -> int:
    """Give the mode of the file that is replaced, or the one that ``open`` would have given."""
    try:
        return stat.S_IMODE(os.stat(path).st_mode)
    except OSError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask
