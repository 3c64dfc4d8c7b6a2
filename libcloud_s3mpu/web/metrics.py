# SPDX-License-Identifier: Apache-2.0
"""Counters of a handler, as a plain mapping for whatever an app watches itself with."""

from __future__ import annotations

from threading import Lock
from collections import Counter
from collections.abc import Mapping

__all__ = ["Counters"]


class Counters:
    """Numbers that only grow, of this process. The lock protects them; any thread may add."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._counts: Counter[str] = Counter()

    def add(self, name: str, amount: int = 1) -> None:
        with self._lock:
            self._counts[name] += amount

    def read(self) -> Mapping[str, int]:
        """Give a copy of all of them by name."""
        with self._lock:
            return dict(sorted(self._counts.items()))
