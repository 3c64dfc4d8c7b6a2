# SPDX-License-Identifier: Apache-2.0
"""The only threads of the core: parts in flight, bounded in bytes.

One window serves one upload and belongs to its calling thread, counters and all; a job belongs to
the caller until it is submitted, then to one worker until it comes back finished. The two sides
share two queues and nothing else, and no lock written in Python: a Ctrl-C that lands between taking
such a lock and the block that would give it back leaves it taken for ever (seen 2026-11 with
``threading.Condition``: one hang in a hundred interrupted uploads). ``SimpleQueue`` is one C call.
Workers start only when jobs are waiting and end with the window. What a job does, and whether a
failed one matters, is :mod:`.upload`'s business.
"""

from __future__ import annotations

import os
import time
import queue
import threading
from queue import Empty
from typing import Any, Protocol
from collections import deque


class Job(Protocol):
    """What a window runs.

    ``cost`` is the memory in bytes that it holds until it has finished, ``size`` what it sends;
    ``wall_seconds`` and ``cpu_seconds`` say what it took, in whichever threads it ran;
    ``throttled`` how often the service asked it for fewer requests. The window
    sets ``error`` to what ``run`` raised, and ``is_finished`` when a worker is done with it.
    """

    cost: int
    size: int
    error: BaseException | None
    is_finished: bool
    wall_seconds: float
    cpu_seconds: float
    throttled: int

    def run(self) -> None:
        """Do the work in a worker's thread."""
        ...


class Level(Protocol):
    """Who says how many parts are worth having in flight (:mod:`.pace`)."""

    def note(self, *, wall: float, cpu: float, size: int, in_flight: int) -> None: ...
    def throttled(self) -> None: ...
    def level(self, ceiling: int) -> int: ...


class Window:
    """Parts in flight for one upload; all methods are the calling thread's but for ``sleep``.

    :param budget_bytes: bound on the memory of the parts that were reserved and not yet finished.
    :param ceiling: most parts in flight.
    :param pace: asked how many of them are worth having.
    :param deadline: no wait is longer than until then (:func:`time.monotonic`).
    """

    def __init__(
        self,
        *,
        budget_bytes: int,
        ceiling: int,
        pace: Level,
        deadline: float | None = None,
        name: str = "s3mpu",
    ) -> None:
        self._deadline = deadline
        self._budget = budget_bytes
        self._ceiling = ceiling
        self._pace = pace
        self._name = name
        self._reserved = 0
        # By their module, as threads are: gevent may have replaced both since this was imported.
        self._to_do: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[Job] = queue.SimpleQueue()
        #: Job -> how many were in flight with it when it was submitted.
        self._submitted: dict[Job, int] = {}
        self._finished: deque[Job] = deque()
        self._threads = 0
        #: The process whose threads these are; a fork's child has none of them.
        self.pid = os.getpid()
        self._is_stopping = False
        #: Held until the window stops: waiting for it is how a worker sleeps.
        self._running = threading.Lock()
        self._running.acquire()

    @property
    def in_flight(self) -> int:
        """Jobs submitted and not yet seen to be finished."""
        return len(self._submitted)

    def reserve(self, cost: int) -> bool:
        """Wait until ``cost`` bytes fit, and take them: permission before bytes are pulled.

        Gives False, and takes nothing, as soon as a job has finished that was not collected yet:
        the caller looks at it first, so that a failure ends the upload before more is read; also
        when the deadline has come. One part always fits when nothing is in flight.
        """
        self._pick_up()
        while not self._finished:
            if self._fits(cost):
                self._reserved += cost
                return True
            try:
                self._take_in(self._done.get(timeout=self._bounded(None)))
            except Empty:
                return False
        return False

    def _bounded(self, seconds: float | None) -> float | None:
        """Give how long a wait may be that would be ``seconds`` long, or without end."""
        if self._deadline is None:
            return seconds
        left = max(0.0, self._deadline - time.monotonic())
        return left if seconds is None else min(seconds, left)

    def _fits(self, cost: int) -> bool:
        in_flight = self.in_flight
        if not in_flight:
            return True
        if self._reserved + cost > self._budget:
            return False
        return in_flight < self._pace.level(self._ceiling)

    def release(self, cost: int) -> None:
        """Give back what was reserved for a part that never became a job, or finished inline."""
        self._reserved -= cost

    def submit(self, job: Job) -> None:
        """Hand a job, whose cost is reserved, to a worker; starts one if all are busy.

        :raises RuntimeError: if the system gives no thread and there is no worker at all; the job
            is then still the caller's.
        """
        self._pick_up()
        if self._threads <= self.in_flight and self._threads < self._ceiling:
            # Counted first: one whose start was interrupted is told to end as well.
            self._threads += 1
            name = f"{self._name}-{self._threads}"
            try:
                threading.Thread(target=self._work, name=name, daemon=True).start()
            except RuntimeError:
                self._threads -= 1
                if not self._threads:
                    raise
        self._submitted[job] = self.in_flight + 1
        self._to_do.put(job)

    def collect(self) -> list[Any]:
        """Give the jobs that have finished since the last call, in the order they did."""
        self._pick_up()
        jobs = list(self._finished)
        self._finished.clear()
        return jobs

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until a job has finished or none is in flight; False after ``timeout`` seconds.

        Without a time-out it waits until the deadline.
        """
        self._pick_up()
        if self._finished or not self.in_flight:
            return True
        try:
            bound = self._bounded(None) if timeout is None else timeout
            self._take_in(self._done.get(timeout=bound))
        except Empty:
            # An interrupt may have lost one between the queue and us: its own word counts too.
            for job in [job for job in self._submitted if job.is_finished]:
                self._take_in(job)
        return bool(self._finished) or not self.in_flight

    def _pick_up(self) -> None:
        """Take in what has finished, without waiting."""
        try:
            while True:
                self._take_in(self._done.get_nowait())
        except Empty:
            return

    def _take_in(self, job: Job) -> None:
        company = self._submitted.pop(job, None)
        if company is None:
            return
        self._reserved -= job.cost
        self._finished.append(job)
        self._pace.note(
            wall=job.wall_seconds, cpu=job.cpu_seconds, size=job.size, in_flight=company
        )
        if job.throttled:
            self._pace.throttled()

    # -- the end ---------------------------------------------------------------------------------

    @property
    def is_stopping(self) -> bool:
        """Whether the upload is ending before its time: no attempt is worth beginning."""
        return self._is_stopping

    def sleep(self, seconds: float) -> None:
        """Wait between two attempts, in whichever thread; ends at once when the window stops."""
        if self._running.acquire(timeout=self._bounded(seconds) or 0.0):
            self._running.release()

    def cancel(self) -> None:
        """Take back every job that no worker has begun, and wake those that sleep."""
        if not self._is_stopping:
            self._is_stopping = True
            self._running.release()
        try:
            while True:
                job = self._to_do.get_nowait()
                if job is not None and self._submitted.pop(job, None) is not None:
                    self._reserved -= job.cost
        except Empty:
            return

    def close(self) -> None:
        """Let idle workers end; those that run a job end after it. Does not wait."""
        for _ in range(self._threads):
            self._to_do.put(None)
        self._threads = 0

    def _work(self) -> None:
        while True:
            job = self._to_do.get()
            if job is None:
                return
            try:
                job.run()
            except BaseException as error:
                # A worker's death would be a hang for the caller: it hands everything over.
                job.error = error
            job.is_finished = True
            self._done.put(job)
            del job  # An idle worker pins no part.
