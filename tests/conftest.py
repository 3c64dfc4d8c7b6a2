# SPDX-License-Identifier: Apache-2.0
"""What holds for every folder of tests: Ctrl-C works, and the lean road is tested where it is."""

from __future__ import annotations

import signal

import pytest


def pytest_configure() -> None:
    """Undo what nohup and a script's background jobs do: a signal that is ignored is ignored by all
    children too, and some tests are about what a signal ends.

    We stay deaf to a hang-up, but by a handler: that is not inherited.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    hang_up = getattr(signal, "SIGHUP", None)
    if hang_up is not None and signal.getsignal(hang_up) is signal.SIG_IGN:
        signal.signal(hang_up, lambda number, frame: None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With requests below 2.32 the driver takes the plain road only; that is tested like any."""
    from libcloud_s3mpu.transfer.transport import _CAN_BE_LEAN

    if _CAN_BE_LEAN:
        return
    skip = pytest.mark.skip(reason="no lean road on this system, or with this requests")
    for item in items:
        given = item.callspec.params.values() if hasattr(item, "callspec") else ()
        if "lean" in given or item.get_closest_marker("lean"):
            item.add_marker(skip)
