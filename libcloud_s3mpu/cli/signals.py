# SPDX-License-Identifier: Apache-2.0
"""Signals of the command line: an orderly end, also while standard input keeps us waiting.

Only :mod:`libcloud_s3mpu.cli` installs the handlers, for the time of one command. Nothing here
knows what is cleaned up: that is done by whoever sees :class:`~.words.Interrupted` pass.
"""

from __future__ import annotations

import os
import select
import signal
from typing import Any
from contextlib import contextmanager
from collections.abc import Callable, Iterator

from .words import Interrupted

_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")
#: A pipe's capacity on Linux: no read gives more.
_READ_SIZE = 64 * 1024


class _Wakeup:
    """The descriptor that turns readable when a signal came; None while no handler is installed."""

    reader: int | None = None


@contextmanager
def orderly_signals(say: Callable[[str], None]) -> Iterator[None]:
    """Turn Ctrl-C, SIGTERM and SIGHUP into :class:`Interrupted`, so that every cleanup runs.

    The second is only answered: wrappers (npm, make) hand on the Ctrl-C that the process group has
    had from the terminal already. From the third on, the cleanup itself is interrupted. A signal
    that was ignored when we began stays ignored: nohup and ``command &`` rely on that.
    """
    before: dict[int, Any] = {}
    count = 0

    def interrupt(number: int, frame: Any) -> None:
        nonlocal count
        count += 1
        if count == 2:
            say("cleaning up; a further signal ends that too")
        else:
            raise Interrupted(number)

    with _wakeup():
        for number in [getattr(signal, name) for name in _SIGNALS if hasattr(signal, name)]:
            if signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, interrupt)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


@contextmanager
def _wakeup() -> Iterator[None]:
    if not hasattr(select, "poll"):
        yield
        return
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    _Wakeup.reader = reader
    try:
        yield
    finally:
        _Wakeup.reader = None
        signal.set_wakeup_fd(before)
        os.close(reader)
        os.close(writer)


class WakefulReader:
    """Reads a pipe so that a signal is never slept through.

    A signal that arrives just before ``read`` blocks, or in another thread, is noticed by Python
    only once the read returns: with a silent writer, never (seen with Python 3.11: 3 of 36 runs).
    """

    def __init__(self, file: Any) -> None:
        self._file = file

    def read(self, size: int) -> bytes:
        wakeup = _Wakeup.reader
        if wakeup is None:
            return bytes(self._file.read1(size))
        poller = select.poll()
        poller.register(self._file, select.POLLIN)
        poller.register(wakeup, select.POLLIN)
        while True:
            ready = {fd for fd, _ in poller.poll()}  # Python's handlers run as this returns.
            if wakeup in ready:
                os.read(wakeup, 512)
            if ready - {wakeup}:
                return os.read(self._file.fileno(), min(size, _READ_SIZE))
