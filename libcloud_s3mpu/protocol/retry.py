# SPDX-License-Identifier: Apache-2.0
"""A retry policy as a value, and the loop that obeys it with injected clock, sleep and random.

What may be tried again is said by the errors themselves (``retryable``, ``throttled``); what an
attempt does is the caller's. Nothing here sleeps by itself.
"""

from __future__ import annotations

from typing import TypeVar
from collections import Counter, deque
from dataclasses import dataclass
from collections.abc import Callable

from .errors import S3MultipartError, DeadlineExceededError, RetriesExhaustedError

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """When and how often a request is tried again; all times in seconds.

    Full jitter (AWS Architecture Blog, "Exponential Backoff And Jitter", 2015): the wait before
    attempt *n* + 1 is random between 0 and ``base_delay_seconds`` x 2^(n-1), at most
    ``max_delay_seconds``; after a throttled answer (503 SlowDown, 429) the first factor is
    ``throttle_delay_seconds``.

    :param max_attempts: tries of one request, the first included (S3's own guidance: more than 3).
    :param max_total_seconds: no new attempt begins later than this after the first one.
    :param max_retry_after_seconds: a ``Retry-After`` is obeyed up to this; with the jitter on top
        no wait is longer than this or ``max_delay_seconds``, whichever is more.
    """

    max_attempts: int = 6
    base_delay_seconds: float = 0.1
    throttle_delay_seconds: float = 1.0
    max_delay_seconds: float = 20.0
    max_retry_after_seconds: float = 20.0
    max_total_seconds: float = 300.0

    def __post_init__(self) -> None:
        if not isinstance(self.max_attempts, int) or isinstance(self.max_attempts, bool):
            raise TypeError(f"max_attempts must be an integer, not {self.max_attempts!r}")
        if self.max_attempts < 1:
            raise ValueError(f"max_attempts must be at least 1, not {self.max_attempts}")
        for name in (
            "base_delay_seconds",
            "throttle_delay_seconds",
            "max_delay_seconds",
            "max_retry_after_seconds",
            "max_total_seconds",
        ):
            seconds = getattr(self, name)
            if not isinstance(seconds, (int, float)) or isinstance(seconds, bool):
                raise TypeError(f"{name} must be a number, not {type(seconds).__name__}")
            if not seconds >= 0:  # Nor "not a number".
                raise ValueError(f"{name} must not be negative, but is {seconds}")

    def delay_before(self, *, attempt: int, error: S3MultipartError, random: float) -> float:
        """Give the wait in seconds after failed ``attempt`` (from 1); ``random`` is in [0, 1)."""
        base = self.throttle_delay_seconds if error.throttled else self.base_delay_seconds
        ceiling = min(self.max_delay_seconds, base * 2.0 ** (attempt - 1))
        wait = ceiling * random
        if error.retry_after_seconds is not None:
            # At least what the service asked for, with jitter on top so that workers spread; both
            # together stay below the cap, or an hour that was asked for would be more than it.
            cap = max(self.max_delay_seconds, self.max_retry_after_seconds)
            wait = min(wait + min(error.retry_after_seconds, self.max_retry_after_seconds), cap)
        return wait


class RetryBudget:
    """Retries that all workers of one upload share: an outage does not multiply the load.

    Each retry takes one, and a success gives all of them back: faults that let anything through
    never run out of it, while twelve parts that all meet an outage share what one alone would have
    tried. (botocore's "standard" mode keeps such a quota per client.) Any thread: the deque's
    operations are atomic, and a bound on its length is the cap.
    """

    __slots__ = ("_full", "_tokens")

    def __init__(self, size: int) -> None:
        self._full = (None,) * size
        self._tokens: deque[None] = deque(self._full, maxlen=max(size, 1))

    def take(self) -> bool:
        """Take a retry; False if none is left."""
        try:
            self._tokens.pop()
        except IndexError:
            return False
        return True

    def refill(self) -> None:
        """Something got through: this is no outage."""
        if len(self._tokens) < len(self._full):
            self._tokens.extend(self._full)


#: One try and no more: what ``retry=NO_RETRIES`` asks for.
NO_RETRIES = RetryPolicy(max_attempts=1)


def attempt(
    fn: Callable[[int], T],
    *,
    policy: RetryPolicy,
    sleep: Callable[[float], None],
    clock: Callable[[], float],
    random: Callable[[], float],
    on_retry: Callable[[int, S3MultipartError, float], None] | None = None,
    adapt: Callable[[S3MultipartError], bool] | None = None,
    budget: RetryBudget | None = None,
) -> T:
    """Call ``fn(attempt)``, from attempt 1, until it returns, may not be tried again, or gave up.

    :param adapt: asked first whether it mended what the error names (another region, the clock,
        keys that ran out); then the next attempt follows at once and does not count.
    :param budget: shared with other requests; a retry that it does not grant is not made.
    :raises RetriesExhaustedError: after the last attempt; its ``attempts`` keep every failure and
        ``__cause__`` is the last. A failure of the only attempt comes out as it is.
    """
    failures: list[S3MultipartError] = []
    mended: Counter[type] = Counter()
    began = clock()
    while True:
        try:
            result = fn(len(failures) + 1)
            if budget is not None:
                budget.refill()
            return result
        except S3MultipartError as error:
            if adapt is not None and mended[type(error)] < error.mends and adapt(error):
                mended[type(error)] += 1
                continue
            if not error.retryable:
                if isinstance(error, DeadlineExceededError):
                    error.attempts = tuple(failures)
                raise
            failures.append(error)
            wait = policy.delay_before(attempt=len(failures), error=error, random=random())
            late = clock() - began + wait > policy.max_total_seconds
            spent = len(failures) >= policy.max_attempts or late
            if spent or (budget is not None and not budget.take()):
                if len(failures) == 1:
                    raise
                raise RetriesExhaustedError.after(failures) from error
            if on_retry is not None:
                on_retry(len(failures), error, wait)
        sleep(wait)
