# SPDX-License-Identifier: Apache-2.0
"""Values read back from a saved session, each checked for what it must be.

Whoever can write to a journal could otherwise choose what goes into a request. Which values there
are is :mod:`.session`'s; a wrong one is a ValueError or a TypeError.
"""

from __future__ import annotations

from typing import Any


def text(value: Any) -> str:
    """Give printable text that is not empty."""
    # What is no printable text would end up in a request line.
    if not isinstance(value, str) or not value or not value.isprintable():
        raise ValueError(f"{value!r} is no text")
    return value


def text_or_none(value: Any) -> str | None:
    """Give such a text, or None."""
    return None if value is None else text(value)


def count(value: Any, *, least: int = 0) -> int:
    """Give a number of bytes or parts."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{value!r} is no number of bytes or parts")
    return value


def seconds(value: Any) -> float | None:
    """Give a point in time, seconds since 1970."""
    return None if value is None else float(value)
