# SPDX-License-Identifier: Apache-2.0
"""What holds for every folder of tests: whoever started them, Ctrl-C means what it means."""

from __future__ import annotations

import signal


def pytest_configure() -> None:
    """Undo what a shell script does to its background jobs: they ignore SIGINT, and so do children.

    An upload in such a process cannot be interrupted, which is what some tests are about.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
