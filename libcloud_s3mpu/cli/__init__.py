# SPDX-License-Identifier: Apache-2.0
"""``s3mpu``: arguments and environment in, words and exit codes out.

Here is the frame around a command: the only place of the package that reads the environment, the
signals, and the table from an error to its exit code. Neither click nor rich is imported here, so
that their absence can be told in words. The commands are in :mod:`.commands`, each imported when
it is used.
"""

from __future__ import annotations

import os
import sys
import traceback
from typing import TYPE_CHECKING, Any
from contextlib import suppress
from collections.abc import Mapping, Sequence

from .words import Interrupted, ReaderGoneError, one_line
from .errors import words_of
from .signals import orderly_signals

if TYPE_CHECKING:
    from .service import Session

__all__ = ["main", "run"]

_OPTIONAL = ("click", "rich")

EXIT_FAILED = 1
EXIT_USAGE = 2
#: sysexits.h, EX_TEMPFAIL: what failed may be tried again.
EXIT_KEPT = 75
EXIT_INTERRUPTED = 130
EXIT_READER_GONE = 141


def main() -> int:
    """Run the command line of this process; give its exit code."""
    _take_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        # Keys are any Unicode; a terminal's encoding need not be.
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
    try:
        with orderly_signals(_say):
            code = run(sys.argv[1:], os.environ)
    except Interrupted as error:
        code = error.exit_code
    if not _is_flushed(sys.stdout):
        code = code or EXIT_READER_GONE
    _is_flushed(sys.stderr)  # Who does not want to be told is not told; that is no failure.
    return code


def run(args: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run one command line with this environment, without touching signals; give its exit code."""
    try:
        from .service import Session
        from .commands import commands
    except ModuleNotFoundError as error:
        if not _is_extra_missing(error):
            raise
        return EXIT_USAGE
    session = Session(environ)
    try:
        result = commands.main(
            args=list(args), prog_name="s3mpu", standalone_mode=False, obj=session
        )
        if sys.stdout is not None:
            sys.stdout.flush()
    except BaseException as error:
        return _ended(error, session)
    finally:
        session.close()
    return result if isinstance(result, int) else 0


# -- how it ended ------------------------------------------------------------------------------


def _ended(error: BaseException, session: Session) -> int:
    """Say in one line how a command failed; give the exit code."""
    import click

    # click exits by itself for one reason only: its help met a pipe that nobody reads.
    if isinstance(error, (ReaderGoneError, BrokenPipeError, SystemExit)):
        return EXIT_READER_GONE
    if isinstance(error, click.UsageError):
        _say(_usage_text(error))
        return EXIT_USAGE
    if isinstance(error, ModuleNotFoundError) and _is_extra_missing(error):
        return EXIT_USAGE
    if isinstance(error, click.Abort):  # click's word for KeyboardInterrupt
        error = error.__cause__ or error
    if session.is_debug:
        text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        _write(session.redacted(text))
    text = words_of(error)
    if session.outcome:
        text = f"{text.rstrip('.')}; {session.outcome}"
    _say(session.redacted(text))
    if session.go_on:
        _write(f"  {session.redacted(session.go_on)}\n")
    if isinstance(error, Interrupted):
        return error.exit_code
    if isinstance(error, KeyboardInterrupt):
        return EXIT_INTERRUPTED
    return EXIT_KEPT if session.go_on else EXIT_FAILED


def _is_extra_missing(error: ModuleNotFoundError) -> bool:
    """Say which package is to be installed, if it is one of ours that is missing."""
    missing = (error.name or "").partition(".")[0]
    if missing not in _OPTIONAL:
        return False
    _say(f'the command line needs {missing}: pip install "libcloud_s3mpu[cli]"')
    return True


def _usage_text(error: Any) -> str:
    context = error.ctx
    command = context.command_path if context is not None else "s3mpu"
    text = error.format_message().rstrip(".")
    return f"{text} (see {command} --help)"


# -- streams -----------------------------------------------------------------------------------


def _take_closed_streams() -> None:
    """Open what was closed when we began: a socket must not become number 1 or 2.

    Python's own streams stay closed, so that a command can say so.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            with suppress(OSError):
                os.open(os.devnull, os.O_RDWR)  # It takes the lowest number that is free.


def _is_flushed(stream: Any) -> bool:
    """Flush a stream; if it is gone, point it elsewhere, or Python complains at exit."""
    try:
        if stream is not None:
            stream.flush()
        return True
    except OSError:
        with suppress(OSError, ValueError):
            devnull = os.open(os.devnull, os.O_WRONLY)
            os.dup2(devnull, stream.fileno())
        return False


def _say(text: str) -> None:
    _write(f"s3mpu: {one_line(text)}\n")


def _write(text: str) -> None:
    with suppress(OSError, ValueError, AttributeError, RuntimeError):
        # Nobody listens there; or a signal came while it was being written to.
        sys.stderr.write(text)
        sys.stderr.flush()
