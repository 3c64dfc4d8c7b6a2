# SPDX-License-Identifier: Apache-2.0
"""When a thread is worth its price: rules over what was measured; no thread, no clock.

Two questions are answered here. Should the calling thread send the next part itself, and how long
may the network keep it waiting (:class:`Patience`)? How many parts are worth having in flight
(:class:`Pace`)? The figures behind the numbers are in docs/benchmarks.md.
"""

from __future__ import annotations


class Pace:
    """How many parts are worth having in flight, learned from those that came back.

    A part that takes the network ``wall`` seconds and this process ``cpu`` seconds keeps one thread
    busy for a ``cpu / wall`` share, so ``wall / cpu`` parts in flight saturate one core (Little's
    law): a fast network, where sending is all copying, asks for one or two; S3's latencies ask for
    dozens. Moving averages; written and read under the window's lock.
    """

    __slots__ = ("_wall", "_cpu", "_seen")

    #: Weight of the newest part in the moving averages.
    NEWEST = 0.25
    #: Parts in flight before the first one came back: nothing is known yet.
    UNKNOWN = 4
    #: Below a tenth of a millisecond the thread clock's own steps are what is seen.
    SHORTEST_CPU = 1e-4

    def __init__(self) -> None:
        self._wall = 0.0
        self._cpu = 0.0
        self._seen = False

    def note(self, *, wall: float, cpu: float) -> None:
        """Take in one finished part; times in seconds."""
        weight = self.NEWEST if self._seen else 1.0
        self._seen = True
        self._wall += weight * (wall - self._wall)
        self._cpu += weight * (cpu - self._cpu)

    def level(self, ceiling: int) -> int:
        """Give how many parts to have in flight: 2 to ``ceiling``."""
        if not self._seen:
            return min(self.UNKNOWN, ceiling)
        wanted = int(self._wall / max(self._cpu, self.SHORTEST_CPU) + 0.5)
        return min(max(2, wanted), ceiling)


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
