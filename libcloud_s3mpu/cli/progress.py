# SPDX-License-Identifier: Apache-2.0
"""What a terminal sees of a transfer, and what is known of an upload by its events.

:class:`Watch` is given to ``UploadOptions(on_event=...)``: it counts for the display, and says
afterwards what became of an upload that failed. The display draws only on a terminal. Memory is
read from the kernel's own books. Nothing here decides anything.
"""

from __future__ import annotations

import os
import sys
from typing import Any, TextIO
from collections import Counter
from collections.abc import Callable

from rich.text import Text
from rich.table import Column
from rich.console import Console
from rich.progress import Task, Progress, BarColumn, TextColumn, ProgressColumn

from .words import rate_text, size_text, is_terminal
from ..protocol.errors import (
    SourceError,
    ServiceError,
    S3MultipartError,
    InvalidRequestError,
    CompletionUnknownError,
)
from ..protocol.events import PartRetried, PartStarted, PartUploaded, UploadAborted, UploadCompleted


class Watch:
    """Follows one upload by its events, in the thread that uploads.

    :param on_change: called with the bytes acknowledged so far, after each event.
    """

    def __init__(self, on_change: Callable[[int], None] | None = None) -> None:
        self._on_change = on_change
        self._is_aborted = False
        self.is_completed = False
        #: Whether anything was told of the upload at all.
        self.has_begun = False
        self.upload_id: str | None = None
        self.uploaded_bytes = 0
        self.in_flight = 0
        self.retries = 0
        #: Part size in bytes -> how many parts had it.
        self.part_sizes: Counter[int] = Counter()

    def __call__(self, event: Any) -> None:
        self.has_begun = True
        self.upload_id = event.upload_id or self.upload_id
        if isinstance(event, (PartStarted, PartUploaded)):
            self.in_flight = event.in_flight
        if isinstance(event, PartUploaded):
            self.uploaded_bytes = event.uploaded_bytes
            self.part_sizes[event.size] += 1
        elif isinstance(event, PartRetried):
            self.retries += 1
        elif isinstance(event, UploadCompleted):
            self.uploaded_bytes, self.in_flight = event.size, 0
            self.is_completed = True
        elif isinstance(event, UploadAborted):
            self._is_aborted = not event.kept
        if self._on_change is not None:
            self._on_change(self.uploaded_bytes)

    def outcome(self, error: BaseException, *, again: str = "begin anew") -> str:
        """Say what is on the service after ``error``; empty where its own text says it.

        :param again: what to do where complete was sent and made no object.
        """
        upload_id = self.upload_id or getattr(error, "upload_id", None)
        if self._is_aborted:
            return f"upload {upload_id} was aborted, nothing is left on the service"
        if isinstance(error, CompletionUnknownError):
            return ""
        if upload_id is not None and getattr(error, "cleanup_error", None) is not None:
            return f"upload {upload_id} could not be aborted, its parts may still be there"
        if upload_id is not None:
            return (
                f"upload {upload_id} was being completed: s3mpu ls --long shows whether the object "
                f"is there; where it is not, {again}"
            )
        if _is_refusal(error):
            return "nothing is left on the service"
        return "no part had been sent, and no object was confirmed"


def _is_refusal(error: BaseException) -> bool:
    """Whether it is sure that a single PUT, if there was one, stored nothing."""
    if isinstance(error, S3MultipartError):
        is_final = isinstance(error, ServiceError) and not error.retryable
        return is_final or isinstance(error, (SourceError, InvalidRequestError))
    # The source is read to its end before it is sent; an argument is refused before that.
    return isinstance(error, (OSError, ValueError))


class _Figures(ProgressColumn):
    """Bytes, rate, parts in flight and this process's memory: with the bar, 80 columns."""

    def __init__(self, watch: Watch | None) -> None:
        super().__init__(table_column=Column(no_wrap=True))
        self._watch = watch

    def render(self, task: Task) -> Text:
        figures = [size_text(task.completed)]
        speed = task.finished_speed or task.speed
        if speed:
            figures.append(rate_text(speed, 1.0))
        if self._watch is not None:
            is_sent = bool(task.total) and task.completed == task.total
            doing = f"{self._watch.in_flight} in flight"
            figures.append("completing" if is_sent and not self._watch.is_completed else doing)
        if resident := resident_bytes():
            figures.append(f"{size_text(resident)} resident")
        return Text("  ".join(figures))


class Display:
    """A line that moves while a transfer runs, on a terminal; elsewhere nothing, or plain lines.

    :param stream: where to draw; None draws nowhere.
    :param watch: the upload that is shown; None shows a download.
    :param plain: called with a line after each tenth, where ``stream`` is no terminal.
    """

    def __init__(
        self,
        title: str,
        *,
        stream: TextIO | None,
        total: int | None,
        watch: Watch | None = None,
        is_kept: bool = False,
        plain: Callable[[str], None] | None = None,
    ) -> None:
        self._total = total
        self._watch = watch
        self._plain = plain
        self._told = 0
        self._progress: Progress | None = None
        if stream is None or not is_terminal(stream):
            return
        self._plain = None
        # Not redirecting: standard output may be the object's bytes.
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=12),
            _Figures(watch),
            console=Console(file=stream),
            transient=not is_kept,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task = self._progress.add_task(title, total=total)

    def __enter__(self) -> Display:
        if self._progress is not None:
            self._progress.start()
        return self

    def __exit__(self, *unused: object) -> None:
        if self._progress is not None:
            self._progress.stop()

    def show(self, done: int) -> None:
        if self._progress is not None:
            self._progress.update(self._task, completed=done)
        elif self._plain is not None and self._total:
            tenth = done * 10 // self._total
            if tenth > self._told:
                self._told = tenth
                self._plain(self._plain_line(done))

    def _plain_line(self, done: int) -> str:
        line = f"{size_text(done)} of {size_text(self._total or 0)}"
        if self._watch is not None:
            line += f", {self._watch.in_flight} in flight"
        if resident := resident_bytes():
            line += f", {size_text(resident)} resident"
        return line


# -- memory ------------------------------------------------------------------------------------


def resident_bytes() -> int | None:
    """Give the memory that this process holds now; None where the kernel does not tell (Linux)."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None


def forget_peak() -> None:
    """Measure the peak from here on (Linux: proc(5), ``clear_refs``); elsewhere it stays."""
    try:
        with open("/proc/self/clear_refs", "wb") as file:
            file.write(b"5")
    except OSError:
        pass


def peak_bytes() -> int | None:
    """Give the most memory that this process has held."""
    try:
        with open("/proc/self/status", "rb") as file:
            for line in file:
                if line.startswith(b"VmHWM:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    if sys.platform == "win32":
        return None
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def available_bytes() -> int | None:
    """Give the memory that processes may still take without swapping; None where it is unknown."""
    try:
        with open("/proc/meminfo", "rb") as file:
            for line in file:
                if line.startswith(b"MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None
