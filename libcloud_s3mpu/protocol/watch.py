# SPDX-License-Identifier: Apache-2.0
"""What an upload's exchanges are held to: a deadline, and a least throughput.

Both are off unless asked for, and cost nothing then; a connection without any progress ends by its
own time-out anyway. One :class:`Watch` serves an upload and all its workers; it never changes. How
an exchange measures itself is :class:`Meter`'s, what a cut attempt means the road's. The clock is
given.
"""

from __future__ import annotations

from typing import Any
from collections.abc import Callable

from .errors import DeadlineExceededError
from .options import UploadOptions
from .messages import S3Request


class SilenceError(TimeoutError):
    """Too little moved for too long, or not in time: ours, and no alarm of the app's own."""


class DeadlinePassed(SilenceError):
    """The upload's deadline came while an exchange was under way."""


class Watch:
    """The deadline and the floor of one upload; read by any thread.

    :param deadline: on ``clock``, in seconds; None for none.
    :param least: bytes a second below which an attempt counts as stalled; None for no floor.
    :param stall_seconds: for how long it must have been below.
    """

    __slots__ = ("clock", "deadline", "deadline_seconds", "least", "stall_seconds")

    def __init__(
        self,
        *,
        deadline_seconds: float | None,
        least: float | None,
        stall_seconds: float,
        clock: Callable[[], float],
    ) -> None:
        self.clock = clock
        self.deadline_seconds = deadline_seconds
        self.deadline = None if deadline_seconds is None else clock() + deadline_seconds
        self.least = least
        self.stall_seconds = stall_seconds

    @classmethod
    def of(cls, options: UploadOptions, clock: Callable[[], float]) -> Watch | None:
        """Make the watch that the options ask for; None if they ask for none."""
        if options.deadline_seconds is None and options.min_throughput_bytes_per_second is None:
            return None
        return cls(
            deadline_seconds=options.deadline_seconds,
            least=options.min_throughput_bytes_per_second,
            stall_seconds=options.stall_seconds,
            clock=clock,
        )

    @property
    def left(self) -> float | None:
        """Seconds until the deadline, 0 after it; None without one."""
        return None if self.deadline is None else max(0.0, self.deadline - self.clock())

    @property
    def is_over(self) -> bool:
        """Whether the deadline has passed."""
        return self.left == 0.0

    def error(self, **context: Any) -> DeadlineExceededError:
        """Make the error of an upload that the deadline ended."""
        return DeadlineExceededError(
            f"the upload was not done within deadline_seconds ({self.deadline_seconds:g})",
            **context,
        )


class Meter:
    """Measures one exchange against its watch; owned by whoever owns the exchange.

    The floor is checked over windows of ``stall_seconds``: an attempt is cut between one and two of
    them after it fell below.
    """

    __slots__ = ("_before", "_has_floor", "_since", "_watch")

    def __init__(self, watch: Watch, request: S3Request) -> None:
        self._watch = watch
        # Questions and complete move next to nothing while the service thinks.
        has_bytes = request.body is not None and request.patience_seconds is None
        self._has_floor = watch.least is not None and has_bytes
        self._since = watch.clock()
        self._before = 0

    def seconds(self, timeout: float | None) -> float | None:
        """Give how long the next wait may be: to the time-out, the deadline, or a measurement."""
        now = self._watch.clock()
        bounds = [] if timeout is None else [timeout]
        if self._watch.deadline is not None:
            bounds.append(self._watch.deadline - now)
        if self._has_floor:
            bounds.append(self._since + self._watch.stall_seconds - now)
        return max(0.0, min(bounds)) if bounds else None

    def check(self, moved: int) -> None:
        """Take in how many bytes have moved so far, in both directions.

        :raises DeadlinePassed: if the upload's deadline has come.
        :raises SilenceError: if too few have moved since the last measurement.
        """
        watch = self._watch
        if watch.is_over:
            raise DeadlinePassed(f"the deadline of {watch.deadline_seconds:g} s has passed")
        now = watch.clock()
        elapsed = now - self._since
        if not self._has_floor or elapsed < watch.stall_seconds:
            return
        assert watch.least is not None
        if (moved - self._before) < watch.least * elapsed:
            raise SilenceError(
                f"{moved - self._before} bytes moved in {elapsed:.1f} s, below the floor of "
                f"{watch.least:g} bytes a second"
            )
        self._since, self._before = now, moved
