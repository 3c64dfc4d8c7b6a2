# SPDX-License-Identifier: Apache-2.0
"""A retry policy as a value, and the loop that obeys it with injected clock, sleep and random.

What may be tried again is said by the errors themselves (``retryable``, ``throttled``); what an
attempt does is the caller's. Nothing here sleeps by itself.
"""

from __future__ import annotations

from typing import TypeVar
from dataclasses import dataclass
from collections.abc import Callable

from .errors import S3MultipartError, RetriesExhaustedError

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
    :param max_retry_after_seconds: a ``Retry-After`` is obeyed up to this.
    """

    max_attempts: int = 6
    base_delay_seconds: float = 0.1
    throttle_delay_seconds: float = 1.0
    max_delay_seconds: float = 20.0
    max_retry_after_seconds: float = 20.0
    max_total_seconds: float = 300.0

    def __post_init__(self) -> None:
        if self.max_attempts < 1:
            raise ValueError(f"max_attempts must be at least 1, not {self.max_attempts}")
        for name in (
            "base_delay_seconds",
            "throttle_delay_seconds",
            "max_delay_seconds",
            "max_retry_after_seconds",
            "max_total_seconds",
        ):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative")

    def delay_before(self, *, attempt: int, error: S3MultipartError, random: float) -> float:
        """Give the wait in seconds after failed ``attempt`` (from 1); ``random`` is in [0, 1)."""
        base = self.throttle_delay_seconds if error.throttled else self.base_delay_seconds
        ceiling = min(self.max_delay_seconds, base * 2.0 ** (attempt - 1))
        wait = ceiling * random
        if error.retry_after_seconds is not None:
            # At least what the service asked for, with jitter on top so that workers spread.
            wait += min(error.retry_after_seconds, self.max_retry_after_seconds)
        return wait


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
) -> T:
    """Call ``fn(attempt)``, from attempt 1, until it returns, may not be tried again, or gave up.

    :raises RetriesExhaustedError: after the last attempt; its ``attempts`` keep every failure and
        ``__cause__`` is the last. A failure of the only attempt comes out as it is.
    """
    failures: list[S3MultipartError] = []
    began = clock()
    while True:
        try:
            return fn(len(failures) + 1)
        except S3MultipartError as error:
            if not error.retryable:
                raise
            failures.append(error)
            wait = policy.delay_before(attempt=len(failures), error=error, random=random())
            late = clock() - began + wait > policy.max_total_seconds
            if len(failures) >= policy.max_attempts or late:
                if len(failures) == 1:
                    raise
                raise RetriesExhaustedError.after(failures) from error
            if on_retry is not None:
                on_retry(len(failures), error, wait)
        sleep(wait)
