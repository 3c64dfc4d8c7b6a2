# SPDX-License-Identifier: Apache-2.0
"""The only threads and the only lock of the core: parts in flight, bounded in bytes.

One window serves one upload and is driven by its calling thread. The lock (a condition) protects
the queue of jobs, the finished jobs and the counters; a job itself belongs to one thread at a time:
to the caller until it is submitted, then to a worker until it comes back finished. Workers start
only when jobs are waiting and end with the window. What a job does, and whether a failed one
matters, is :mod:`.upload`'s business.
"""

from __future__ import annotations

import threading
from typing import Any, Protocol
from collections import deque


class Job(Protocol):
    """What a window runs.

    ``cost`` is the memory in bytes that it holds until it has finished, ``size`` what it sends;
    ``wall_seconds`` and ``cpu_seconds`` say what it took, in whichever threads it ran.
    """

    cost: int
    size: int
    error: BaseException | None
    wall_seconds: float
    cpu_seconds: float

    def run(self) -> None:
        """Do the work in a worker's thread."""
        ...


class Level(Protocol):
    """Who says how many parts are worth having in flight (:mod:`.pace`); called under the lock."""

    def note(self, *, wall: float, cpu: float, size: int, in_flight: int) -> None: ...
    def level(self, ceiling: int) -> int: ...


class Window:
    """Parts in flight for one upload.

    :param budget_bytes: bound on the memory of the parts that were reserved and not yet finished.
    :param ceiling: most parts in flight.
    :param pace: asked how many of them are worth having.
    """

    def __init__(
        self, *, budget_bytes: int, ceiling: int, pace: Level, name: str = "s3mpu"
    ) -> None:
        self._budget = budget_bytes
        self._ceiling = ceiling
        self._name = name
        self._changed = threading.Condition(threading.Lock())
        self._waiting: deque[Job] = deque()
        self._finished: deque[Job] = deque()
        self._running = 0
        self._reserved = 0
        self._idle = 0
        self._threads: list[threading.Thread] = []
        self._is_closed = False
        self._pace = pace
        self._stopping = threading.Event()

    @property
    def in_flight(self) -> int:
        """Jobs submitted and not yet finished."""
        return len(self._waiting) + self._running

    def reserve(self, cost: int) -> bool:
        """Wait until ``cost`` bytes fit, and take them: permission before bytes are pulled.

        Gives False, and takes nothing, as soon as a job has finished that was not collected yet:
        the caller looks at it first, so that a failure ends the upload before more is read. One
        part always fits when nothing is in flight.
        """
        with self._changed:
            while not self._fits(cost):
                if self._finished:
                    return False
                self._changed.wait()
            self._reserved += cost
            return True

    def _fits(self, cost: int) -> bool:
        in_flight = self.in_flight
        if not in_flight:
            return True
        if self._reserved + cost > self._budget:
            return False
        return in_flight < self._pace.level(self._ceiling)

    def release(self, cost: int) -> None:
        """Give back what was reserved for a part that never became a job, or finished inline."""
        with self._changed:
            self._reserved -= cost
            self._changed.notify_all()

    def submit(self, job: Job) -> None:
        """Hand a job, whose cost is reserved, to a worker; starts one if none is idle.

        :raises RuntimeError: if the system gives no thread and there is no worker at all; the job
            is then still the caller's.
        """
        with self._changed:
            if self._idle <= len(self._waiting) and len(self._threads) < self._ceiling:
                thread = threading.Thread(
                    target=self._work, name=f"{self._name}-{len(self._threads) + 1}", daemon=True
                )
                try:
                    thread.start()
                    self._threads.append(thread)
                except RuntimeError:
                    if not self._threads:
                        raise
            self._waiting.append(job)
            self._changed.notify_all()

    def collect(self) -> list[Any]:
        """Give the jobs that have finished since the last call, in the order they did."""
        if not self._finished:  # Unlocked: a deque's length is one read; the next call sees more.
            return []
        with self._changed:
            jobs = list(self._finished)
            self._finished.clear()
            return jobs

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until a job has finished or none is in flight; False after ``timeout`` seconds."""
        with self._changed:
            return self._changed.wait_for(
                lambda: bool(self._finished) or not self.in_flight, timeout
            )

    @property
    def is_stopping(self) -> bool:
        """Whether the upload is ending before its time: no attempt is worth beginning."""
        return self._stopping.is_set()

    def sleep(self, seconds: float) -> None:
        """Wait between two attempts, in whichever thread; ends at once when the window stops."""
        self._stopping.wait(seconds)

    def cancel(self) -> None:
        """Take back every job that no worker has begun, and wake those that sleep."""
        self._stopping.set()
        with self._changed:
            for job in self._waiting:
                self._reserved -= job.cost
            self._waiting.clear()
            self._changed.notify_all()

    def close(self) -> None:
        """Let idle workers end; those that run a job end after it. Does not wait."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._idle += 1
                while not self._waiting and not self._is_closed:
                    self._changed.wait()
                self._idle -= 1
                if not self._waiting:
                    return
                job = self._waiting.popleft()
                self._running += 1
                company = self.in_flight
            try:
                job.run()
            except BaseException as error:
                # A worker's death would be a hang for the caller: it hands everything over.
                job.error = error
            with self._changed:
                self._running -= 1
                self._reserved -= job.cost
                self._finished.append(job)
                self._changed.notify_all()
                self._pace.note(
                    wall=job.wall_seconds,
                    cpu=job.cpu_seconds,
                    size=job.size,
                    in_flight=company,
                )
            del job  # An idle worker pins no part.
