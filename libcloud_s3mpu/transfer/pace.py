# SPDX-License-Identifier: Apache-2.0
"""When a thread is worth its price: rules over what was measured; no thread, no clock.

Two questions are answered here. Should the calling thread send the next part itself, and how long
may the network keep it waiting (:class:`Patience`)? How many parts are worth having in flight
(:class:`Pace`)? The figures behind the numbers are in docs/benchmarks.md.
"""

from __future__ import annotations


class Pace:
    """How many parts are worth having in flight, learned from those that came back.

    Two bounds, the smaller one holds. *What one core can feed*: a part that takes the network
    ``wall`` seconds and this process ``cpu`` seconds keeps a thread busy for a ``cpu / wall``
    share, so ``wall / cpu`` parts saturate one core (Little's law); a fast network asks for two.
    *What the link carries*: the level is doubled only while that raised the throughput, so a slow
    uplink is not paid for with memory. Written and read under the window's lock.
    """

    __slots__ = (
        "_before",
        "_cpu",
        "_hold",
        "_level",
        "_proved",
        "_samples",
        "_seen",
        "_step",
        "_wall",
    )

    #: Weight of the newest part in the moving averages.
    NEWEST = 0.25
    #: Parts in flight before the first ones came back: nothing is known yet.
    START = 5
    #: The first growth, where nothing is known yet but that parts wait; all others double. On a
    #: service with latency it saves a round trip of the ramp: 0.63 instead of 0.69 s for 512 MiB
    #: (measured 2026-11: 30 ms a request, 90 MB/s a connection).
    FIRST_STEP = 4
    #: Below a tenth of a millisecond the thread clock's own steps are what is seen.
    SHORTEST = 1e-4
    #: Growth must have raised the throughput by this factor to be kept.
    GAIN = 1.2
    #: After one that did not, this many measurements go by until the next one is tried.
    HOLD = 32

    def __init__(self) -> None:
        self._wall = 0.0
        self._cpu = 0.0
        self._seen = False
        self._level = self.START
        self._proved = self.START
        self._before = 0.0
        self._hold = 0
        self._step = self.FIRST_STEP
        self._samples: list[float] = []

    def note(self, *, wall: float, cpu: float, size: int, in_flight: int) -> None:
        """Take in one finished part: its times in seconds, its bytes, and its company."""
        wall = max(wall, self.SHORTEST)
        weight = self.NEWEST if self._seen else 1.0
        self._seen = True
        self._wall += weight * (wall - self._wall)
        self._cpu += weight * (cpu - self._cpu)
        if 2 * in_flight <= self._level:
            return  # The source was slower than this level: it says nothing about the link.
        self._samples.append(size / wall)
        if len(self._samples) >= max(2, self._level // 4):
            self._judge(self._level * sum(self._samples) / len(self._samples))
            self._samples.clear()

    def _judge(self, rate: float) -> None:
        """Decide on the level by the throughput that was seen on it, in bytes a second."""
        if self._hold:
            self._hold -= 1
        elif rate >= self.GAIN * self._before:
            self._before = rate
            self._proved = self._level
            self._level *= self._step
            self._step = 2
        else:
            self._level = self._proved
            self._before = 0.0
            self._hold = self.HOLD

    def throttled(self) -> None:
        """The service asked for fewer requests: halve, and grow again only while that pays."""
        self._level = self._proved = max(2, self._level // 2)
        self._before = 0.0
        self._hold = self.HOLD
        self._step = 2
        self._samples.clear()

    def level(self, ceiling: int) -> int:
        """Give how many parts to have in flight: 2 to ``ceiling``."""
        wanted = min(self._level, ceiling)
        if self._seen:
            wanted = min(wanted, int(self._wall / max(self._cpu, self.SHORTEST) + 0.5))
        self._level = min(self._level, 2 * ceiling)
        return min(max(2, wanted), ceiling)


class CopyPace(Pace):
    """The same for parts that the service copies: all that are allowed, from the beginning.

    Neither memory nor this machine's link is at stake, so nothing has to be learned first; a
    service that asks for fewer requests gets fewer.
    """

    __slots__ = ()

    START = 20


class Patience:
    """Whether the calling thread sends the next part itself ("inline until blocked").

    On a network faster than the CPU nothing is gained by a thread: the caller's own is the
    cheapest. As soon as the network makes it wait for more than a small share of the upload's time,
    the half-sent part is handed to a worker; after some in a row, parts go to workers straight
    away, and one in a while is tried inline to notice a faster network. Owned by the caller's
    thread.
    """

    __slots__ = ("_misses", "_since", "_waited")

    #: Seconds of waiting that are always allowed for one part (ramp-up is not delayed by more).
    LEAST = 0.002
    #: Most seconds for one part: a peer that is merely descheduled comes back within this.
    MOST = 0.020
    #: Share of the upload's time that may go into waiting before a thread is worth it.
    SHARE = 0.10
    #: Hand-offs in a row after which parts go to workers straight away.
    MISSES = 3
    #: And how many of those go by until one is tried inline again.
    RETRY_EVERY = 16

    def __init__(self) -> None:
        self._misses = 0
        self._since = 0
        self._waited = 0.0

    def tries_inline(self) -> bool:
        """Tell whether the next part is sent by the caller's thread."""
        if self._misses < self.MISSES:
            return True
        self._since += 1
        if self._since < self.RETRY_EVERY:
            return False
        self._since = 0
        return True

    def seconds(self, elapsed: float) -> float:
        """Give how long that part may wait, ``elapsed`` seconds into the upload."""
        if self._misses >= self.MISSES:
            return self.LEAST
        return min(self.MOST, max(self.LEAST, self.SHARE * elapsed - self._waited))

    def hit(self, waited: float) -> None:
        """The part was sent and answered inline, after ``waited`` seconds of waiting."""
        self._waited += waited
        self._misses = 0

    def missed(self, waited: float) -> None:
        """The part was handed over."""
        self._waited += waited
        self._misses += 1
