# SPDX-License-Identifier: Apache-2.0
"""Parts in flight: bounded in bytes, never lost, never hung. Tests block on events only."""

from __future__ import annotations

import queue
import threading
from typing import Any
from collections.abc import Callable, Iterator

import pytest

from tests.unit.small import PATIENCE_SECONDS, Apart
from libcloud_s3mpu.transfer.window import Window


class Level:
    """A pace that always wants as many as there may be."""

    def __init__(self, most: int = 1000) -> None:
        self.most = most
        self.noted: list[dict[str, float]] = []

    def note(self, **values: float) -> None:
        self.noted.append(values)

    def level(self, ceiling: int) -> int:
        return min(self.most, ceiling)


class Job:
    """Runs until it is let go, or raises what it was given."""

    def __init__(self, cost: int = 1, raises: BaseException | None = None) -> None:
        self.cost = cost
        self.size = 7
        self.error: BaseException | None = None
        self.is_finished = False
        self.throttled = 0
        self.wall_seconds = 2.0
        self.cpu_seconds = 1.0
        self.raises = raises
        self.begun = threading.Event()
        self.go = threading.Event()
        self.thread: threading.Thread | None = None

    def run(self) -> None:
        self.thread = threading.current_thread()
        self.begun.set()
        assert self.go.wait(PATIENCE_SECONDS), "the test forgot to let this job go"
        if self.raises is not None:
            raise self.raises

    def begins(self) -> bool:
        return self.begun.wait(PATIENCE_SECONDS)


@pytest.fixture
def make() -> Iterator[Callable[..., Window]]:
    windows: list[Window] = []

    def made(budget: int = 10, ceiling: int = 4, pace: Any = None) -> Window:
        windows.append(Window(budget_bytes=budget, ceiling=ceiling, pace=pace or Level()))
        return windows[-1]

    yield made
    for window in windows:
        window.close()


def submitted(window: Window, job: Job) -> Job:
    assert window.reserve(job.cost)
    window.submit(job)
    return job


def finished(window: Window) -> list[Any]:
    assert window.wait(PATIENCE_SECONDS)
    return window.collect()


def test_a_job_comes_back_when_it_has_finished(make: Callable[..., Window]) -> None:
    window = make()
    job = submitted(window, Job())
    assert job.begins()
    assert (window.in_flight, window.collect()) == (1, [])
    job.go.set()
    assert finished(window) == [job]
    assert (window.in_flight, job.error) == (0, None)
    assert job.thread is not threading.current_thread()


def test_no_thread_starts_before_a_job_waits(make: Callable[..., Window]) -> None:
    before = threading.active_count()
    window = make()
    window.reserve(5)
    assert threading.active_count() == before
    window.release(5)


def test_reserve_blocks_until_the_bytes_fit(make: Callable[..., Window]) -> None:
    window = make(budget=10)
    first, second = submitted(window, Job(6)), submitted(window, Job(4))
    third = Apart(lambda: window.reserve(1))
    assert first.begins() and second.begins()
    assert not third.is_over
    second.go.set()
    assert third.result() is False  # The finished job is looked at first.
    assert finished(window) == [second]
    assert window.reserve(4)
    window.release(4)
    assert window.reserve(1)
    first.go.set()


def test_one_part_always_fits_when_nothing_is_in_flight(make: Callable[..., Window]) -> None:
    window = make(budget=10)
    assert window.reserve(1000)


def test_no_more_jobs_are_in_flight_than_the_pace_wants(make: Callable[..., Window]) -> None:
    window = make(budget=1000, ceiling=4, pace=Level(2))
    jobs = [submitted(window, Job()) for _ in range(2)]
    third = Apart(lambda: window.reserve(1))
    assert all(job.begins() for job in jobs)
    assert not third.is_over
    jobs[0].go.set()
    assert third.result() is False
    jobs[1].go.set()


def test_the_budget_is_never_exceeded(make: Callable[..., Window]) -> None:
    window = make(budget=10, ceiling=8)
    lock = threading.Lock()
    held, most = 0, 0

    class Counted(Job):
        def run(self) -> None:
            nonlocal held
            with lock:
                held -= self.cost

    for number in range(300):
        job = Counted(1 + number % 5)
        while not window.reserve(job.cost):
            window.collect()
        with lock:
            held += job.cost
            most = max(most, held)
        window.submit(job)
    assert most <= 10
    while window.in_flight:
        window.wait(PATIENCE_SECONDS)
        window.collect()


def test_reserve_gives_way_to_a_failure_that_was_not_looked_at(
    make: Callable[..., Window],
) -> None:
    window = make(budget=2)
    failing, other = submitted(window, Job(1, OSError("no"))), submitted(window, Job(1))
    waiting = Apart(lambda: window.reserve(1))
    failing.go.set()
    assert waiting.result() is False
    (job,) = finished(window)
    assert job is failing and job.error is failing.raises
    other.go.set()


@pytest.mark.parametrize(
    "error", [OSError("no"), SystemExit(3), KeyboardInterrupt(), MemoryError(), GeneratorExit()]
)
def test_a_worker_never_dies_silently(make: Callable[..., Window], error: BaseException) -> None:
    window = make(ceiling=1)
    job = Job(1, error)
    job.go.set()
    submitted(window, job)
    assert finished(window) == [job]
    assert job.error is error
    later = Job()
    later.go.set()
    submitted(window, later)
    assert finished(window) == [later]
    assert later.thread is job.thread


def test_there_are_never_more_workers_than_the_ceiling(make: Callable[..., Window]) -> None:
    window = make(budget=1000, ceiling=3, pace=Level())
    jobs = [Job() for _ in range(6)]
    for job in jobs:
        window.submit(job)
    assert all(job.begins() for job in jobs[:3])
    assert not any(job.begun.is_set() for job in jobs[3:])
    for job in jobs:
        job.go.set()
    while window.in_flight:
        window.wait(PATIENCE_SECONDS)
        window.collect()
    assert len({job.thread for job in jobs}) <= 3


def test_an_idle_worker_is_used_again(make: Callable[..., Window]) -> None:
    window = make()
    threads = set()
    for _ in range(5):
        job = Job()
        job.go.set()
        submitted(window, job)
        assert finished(window) == [job]
        threads.add(job.thread)
    assert len(threads) <= 2  # A worker is idle a moment after its job came back.


def test_cancel_takes_back_what_no_worker_has_begun(make: Callable[..., Window]) -> None:
    window = make(budget=2, ceiling=1)
    running = submitted(window, Job(1))
    assert running.begins()
    waiting = Job(1)
    window.submit(waiting)
    assert window.in_flight == 2
    window.cancel()
    assert window.in_flight == 1
    assert window.is_stopping
    running.go.set()
    assert finished(window) == [running]
    assert not waiting.begun.is_set()


def test_cancel_wakes_who_sleeps_between_attempts(make: Callable[..., Window]) -> None:
    window = make()
    sleeper = Apart(lambda: window.sleep(3600))
    window.cancel()
    assert sleeper.end() is None


def test_wait_ends_when_nothing_is_in_flight_and_at_its_time_out(
    make: Callable[..., Window],
) -> None:
    window = make()
    assert window.wait(PATIENCE_SECONDS)
    job = submitted(window, Job())
    assert not window.wait(0)
    job.go.set()
    assert window.wait(PATIENCE_SECONDS)


def test_without_any_thread_submit_raises_and_the_job_stays_the_callers(
    make: Callable[..., Window], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    window = make()
    assert window.reserve(1)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        window.submit(Job())
    assert window.in_flight == 0


def test_with_one_thread_and_no_other_jobs_still_run(
    make: Callable[..., Window], monkeypatch: pytest.MonkeyPatch
) -> None:
    window = make()
    first = submitted(window, Job())
    assert first.begins()

    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    second = submitted(window, Job())
    second.go.set()
    first.go.set()
    got: list[Any] = []
    while len(got) < 2:
        got += finished(window)
    assert {id(job) for job in got} == {id(first), id(second)}


def test_workers_end_with_the_window(make: Callable[..., Window]) -> None:
    window = make()
    job = submitted(window, Job())
    job.go.set()
    finished(window)
    window.close()
    assert job.thread is not None
    job.thread.join(PATIENCE_SECONDS)
    assert not job.thread.is_alive()


def test_a_closed_window_lets_a_running_job_end(make: Callable[..., Window]) -> None:
    window = make()
    job = submitted(window, Job())
    assert job.begins()
    window.close()
    job.go.set()
    assert finished(window) == [job]


def test_the_pace_learns_from_every_job(make: Callable[..., Window]) -> None:
    pace = Level()
    window = make(pace=pace)
    job = submitted(window, Job())
    job.go.set()
    finished(window)
    (noted,) = pace.noted
    assert (noted["wall"], noted["cpu"], noted["size"]) == (2.0, 1.0, 7)


def test_a_job_that_went_back_is_not_kept_by_an_idle_worker(make: Callable[..., Window]) -> None:
    import gc
    import weakref

    window = make()
    job = submitted(window, Job())
    job.go.set()
    finished(window)
    gone = weakref.ref(job)
    del job
    marker = submitted(window, Job())  # The worker has let go of the first once this one begins.
    marker.go.set()
    finished(window)
    gc.collect()
    assert gone() is None


# -- cooperative threads -------------------------------------------------------------------------


def test_threads_and_queues_are_those_that_there_are_when_a_window_is_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """gevent may replace both after this was imported (gunicorn --preload)."""
    made: list[str] = []

    class Queue(queue.Queue[Any]):
        def __init__(self) -> None:
            super().__init__()
            made.append("queue")

    class Thread(threading.Thread):
        def start(self) -> None:
            made.append("thread")
            super().start()

    monkeypatch.setattr(queue, "SimpleQueue", Queue)
    monkeypatch.setattr(threading, "Thread", Thread)
    window = Window(budget_bytes=10, ceiling=2, pace=Level())
    job = Job()
    job.go.set()
    assert window.reserve(1)
    window.submit(job)
    assert window.wait() and window.collect() == [job]
    window.close()
    assert made == ["queue", "queue", "thread"]


class Interrupted(BaseException):
    """As gevent's Timeout, which lands wherever a greenlet waits."""


def test_a_worker_whose_start_was_interrupted_ends_with_the_window(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started: list[threading.Thread] = []

    class Thread(threading.Thread):
        def start(self) -> None:
            super().start()
            started.append(self)
            raise Interrupted

    monkeypatch.setattr(threading, "Thread", Thread)
    window = Window(budget_bytes=10, ceiling=2, pace=Level())
    assert window.reserve(1)
    with pytest.raises(Interrupted):
        window.submit(Job())
    window.cancel()
    window.close()
    started[0].join(PATIENCE_SECONDS)
    assert not started[0].is_alive()
