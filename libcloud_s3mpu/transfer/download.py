# SPDX-License-Identifier: Apache-2.0
"""One download to a file: in one go, or in ranges that come in side by side.

The reader opens :meth:`Download.run`, then :mod:`.ranged` (a span, whatever happens to its
connections) and :mod:`.landing` (the file). As with uploads the caller's thread does the work as
long as the network does not make it wait, and workers of a :class:`~.window.Window` take over when
it does. Memory is one small buffer for each range in flight.
"""

from __future__ import annotations

import time
import logging
from typing import Any, Protocol
from collections.abc import Mapping

from .pace import Pace, Patience
from .ranged import Ranged
from .window import Window
from .attempt import Sender, Stopped
from .landing import Landing
from .rangejob import RangeJob
from ..protocol import wire, reading, checksums
from ..protocol.errors import S3MultipartError, ChecksumMismatchError
from ..protocol.options import DEFAULT_MAX_CONCURRENCY, UploadOptions
from ..protocol.messages import S3Request, S3Response

log = logging.getLogger("libcloud_s3mpu.download")

#: What one range holds in memory, in bytes: it stays in a core's own cache on its way to the file.
BUFFER = 256 * 1024
#: An object below this many ranges comes in one go.
FEWEST_RANGES = 2
#: Seconds that ranges whose connection was cut may take to end; then they are left to end alone.
CUT_SECONDS = 5.0
CUT_AGAIN_SECONDS = 0.05


#: Seconds that the answer with the checksum may come later than the first bytes.
BESIDE_SECONDS = 5.0


class DownloadSender(Sender, Protocol):
    """What a download asks of :class:`~.transport.Transport`."""

    @property
    def kind(self) -> str: ...
    @property
    def is_known_class(self) -> bool: ...
    def has_idle(self, bucket: str) -> bool: ...


class _Beside:
    """A request whose answer is welcome, sent while another is awaited; it never fails."""

    def __init__(self, transport: DownloadSender, request: S3Request) -> None:
        self._transport = transport
        self._request = request
        self._exchange: Any = None
        self._response: S3Response | None = None

    def begin(self) -> None:
        """Send it, and do not wait."""
        self._advance(0.0)

    def headers(self) -> Mapping[str, str]:
        """Give the answer's headers; none if it is not there within :data:`BESIDE_SECONDS`."""
        if self._response is None:
            self._advance(BESIDE_SECONDS)
        return self._response.headers if self._response is not None else {}

    def close(self) -> None:
        """Do not wait for it any more."""
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.close()

    def _advance(self, patience: float) -> None:
        for _ in range(2):  # A kept-alive connection that turns out dead is no attempt.
            try:
                if self._exchange is None:
                    self._exchange = self._transport.begin(self._request)
                self._response = self._transport.advance(self._request, self._exchange, patience)
            except S3MultipartError as error:
                log.debug("no answer: %s", error.value)
                self._exchange = None
                continue
            if self._response is not None:
                self._exchange = None
            return


class Download:
    """One download; :meth:`run` is called once.

    :param size: the object's size as the caller knows it.
    :param span: offsets of the first byte that is wanted, and behind the last one (None: the
        object's end); None for the whole object, which must be as long as ``size`` then.
    :param verify: ``auto`` compares a CRC of the whole object where the service has one and it is
        cheap, ``md5`` an MD5 besides; None compares lengths and ETags only.
    """

    def __init__(
        self,
        *,
        transport: DownloadSender,
        target: wire.Target,
        options: UploadOptions,
        landing: Landing,
        size: int,
        span: tuple[int, int | None] | None = None,
        verify: str | None = "auto",
        asks_checksum: bool = True,
    ) -> None:
        self._transport = transport
        self._target = target
        self._options = options
        self._landing = landing
        self._size = size
        self._is_whole = span is None
        self._start, self._end = span or (0, None)
        self._verify = verify
        self._sums = verify is not None and asks_checksum and self._is_whole
        self._ceiling = options.concurrency or (
            DEFAULT_MAX_CONCURRENCY if transport.is_known_class else 1
        )
        self._buffer = min(BUFFER, options.memory_budget_bytes)
        self._patience = Patience()
        self._began = time.monotonic()
        self._window: Window | None = None
        self._first: Ranged | None = None
        self._in_flight: set[RangeJob] = set()
        self._checksum: tuple[str, str] | None = None
        self._found: reading.Found | None = None
        #: Up to here, without a gap, everything is in the file.
        self._frontier = self._start
        self._ahead: dict[int, RangeJob] = {}
        self._crc = 0

    def run(self, *, keeps: bool = False) -> bool:
        """Download; the file is in its place when this returns True.

        :param keeps: leave what came in its place also if that was not all.
        :returns: False if the whole object was wanted and is not as long as ``size``.
        :raises ObjectChangedError: if it was replaced meanwhile.
        :raises ChecksumMismatchError: if what came is not what is stored.
        """
        try:
            as_expected = self._fetch(keeps=keeps)
            if as_expected or keeps:
                self._landing.settle()
            else:
                self._landing.discard()
        except BaseException:
            self._fail(keeps=keeps)
            raise
        finally:
            if self._window is None or not self._window.in_flight:
                self._landing.close()
        return as_expected

    def _fetch(self, *, keeps: bool) -> bool:
        end = self._size if self._end is None else min(self._end, self._size)
        span = max(0, end - self._start)
        size = reading.range_size(span, self._options.part_size_bytes)
        in_ranges = self._ceiling > 1 and self._landing.takes_any_order
        in_ranges = in_ranges and span >= FEWEST_RANGES * size
        first = self._span(self._start, self._start + size if in_ranges else self._end)
        self._first = first
        found = self._found = self._opened(first, asks=in_ranges)
        if self._is_unexpected(found.size) and not keeps:
            first.close()
            return False
        if not in_ranges:
            self._run_here(first)
        elif found.end == found.size:
            # It ignores Range, or the object is smaller than one: all of it is on its way.
            first.end = found.end if self._end is None else min(self._end, found.end or 0)
            self._run_here(first)
        elif found.size is None or found.etag is None:
            # Nobody could tell whether two ranges are of the same object.
            first.close()
            self._run_here(self._span(self._start, self._end))
        else:
            behind = found.size if self._end is None else min(self._end, found.size)
            self._run_side_by_side(first, behind, size)
        self._compare()
        return not self._is_unexpected(self._frontier)

    def _is_unexpected(self, size: int | None) -> bool:
        return self._is_whole and size is not None and size != self._size

    # -- the first answer ------------------------------------------------------------------------

    def _span(self, start: int, end: int | None) -> Ranged:
        return Ranged(
            self._transport,
            self._target,
            policy=self._options.retry,
            start=start,
            end=end,
            known=self._found,
            with_checksum=self._sums,
            sleep=self._sleep,
        )

    def _opened(self, first: Ranged, *, asks: bool) -> reading.Found:
        """Wait for the first answer; it, or a HEAD sent beside it, tells the checksum."""
        if not (asks and self._sums):
            found = first.open()
            if self._sums:
                self._checksum = reading.comparable_checksum(found.headers)
            return found
        beside = _Beside(self._transport, reading.head_request(self._target))
        try:
            try:
                first.begin(0.0)
            except S3MultipartError as error:
                log.debug("%s", error.value)  # It comes again, or was none.
            beside.begin()
            found = first.open()
            headers = beside.headers()
        finally:
            beside.close()
        if wire.unquoted(headers.get("etag")) == found.etag:
            self._checksum = reading.comparable_checksum(headers)
        return found

    # -- in one go -------------------------------------------------------------------------------

    def _run_here(self, ranged: Ranged) -> None:
        job = self._job(ranged)
        self._in_flight.add(job)
        try:
            job.run()
        finally:
            ranged.close()
        self._in_flight.discard(job)
        self._landed(job)

    def _job(self, ranged: Ranged) -> RangeJob:
        algorithm = self._checksum[0] if self._checksum is not None else None
        return RangeJob(
            ranged, self._landing, base=self._start, algorithm=algorithm, buffer=self._buffer
        )

    # -- side by side ----------------------------------------------------------------------------

    def _run_side_by_side(self, first: Ranged, end: int, size: int) -> None:
        window = self._window = Window(
            budget_bytes=self._options.memory_budget_bytes,
            ceiling=self._ceiling,
            pace=Pace(),
            name="s3mpu-get",
        )
        for start, behind in reading.ranges(self._start, end, size):
            while not window.reserve(self._buffer):
                self._collect(window)
            ranged = first if start == self._start else self._span(start, behind)
            self._send(window, self._job(ranged))
            self._collect(window)
        while self._in_flight:
            window.wait()
            self._collect(window)
        window.close()

    def _send(self, window: Window, job: RangeJob) -> None:
        """Bring a range in: inline as long as the network does not make this thread wait."""
        self._in_flight.add(job)
        if self._is_inline_worth(job):
            is_done = job.run_inline(self._patience.seconds(time.monotonic() - self._began))
            if is_done:
                self._patience.hit(job.waited_seconds)
                window.release(job.cost)
                self._in_flight.discard(job)
                self._landed(job)
                return
            self._patience.missed(job.waited_seconds)
        try:
            window.submit(job)
        except RuntimeError:
            log.info("no thread could be started; going on in the calling thread")
            job.run()
            window.release(job.cost)
            self._in_flight.discard(job)
            self._landed(job)

    def _is_inline_worth(self, job: RangeJob) -> bool:
        if self._transport.kind != "lean":
            return False
        can_begin = self._transport.has_idle(self._target.bucket) or len(self._in_flight) == 1
        return can_begin and self._patience.tries_inline()

    def _sleep(self, seconds: float) -> None:
        """Wait between two attempts, in whichever thread."""
        window = self._window
        if window is None:
            time.sleep(seconds)
            return
        window.sleep(seconds)
        if window.is_stopping:
            raise Stopped("the download has ended")

    def _collect(self, window: Window) -> None:
        for job in window.collect():
            if job.error is not None:
                raise job.error
            self._in_flight.discard(job)
            self._landed(job)

    # -- what came -------------------------------------------------------------------------------

    def _landed(self, job: RangeJob) -> None:
        """Note a range that is in the file, and sum up those that follow without a gap."""
        self._ahead[job.start] = job
        while (following := self._ahead.pop(self._frontier, None)) is not None:
            if self._checksum is not None:
                self._crc = checksums.joined_crc(
                    self._checksum[0], self._crc, following.crc, following.size
                )
            self._frontier += following.size
            if not following.size:
                return

    def _compare(self) -> None:
        """Compare what came with what is stored.

        :raises ChecksumMismatchError: with both values.
        """
        if self._checksum is not None:
            name, stored = self._checksum
            width = checksums.SIZES[name]
            came = checksums.encoded(self._crc.to_bytes(width, "big"))
            self._check(name.upper(), came, stored)
        if self._verify != "md5" or self._found is None or not self._landing.is_seekable:
            return
        md5 = reading.comparable_md5(self._found)
        if md5 is not None and self._frontier == self._found.size:
            digest = self._landing.digest(checksums.new_digest("md5"), self._frontier)
            self._check("MD5", digest.hex(), md5)

    def _check(self, what: str, came: str, stored: str) -> None:
        if came != stored:
            raise ChecksumMismatchError(
                f"GetObject failed for {self._target.bucket}/{self._target.key}: the {what} of "
                f"what came is {came}, that of the object {stored}",
                operation="GetObject",
                container=self._target.bucket,
                object_name=self._target.key,
            )

    # -- the failure road ------------------------------------------------------------------------

    def _fail(self, *, keeps: bool) -> None:
        """End what is in flight, then leave no trace, or what came without a gap."""
        self._drain()
        if self._first is not None and (self._window is None or not self._window.in_flight):
            self._first.close()
        if not keeps:
            self._landing.discard()
            return
        partial = next((job for job in self._in_flight if job.start == self._frontier), None)
        more = partial.size if partial is not None else 0
        self._landing.keep(self._frontier + more - self._start)

    def _drain(self) -> None:
        window = self._window
        if window is None:
            return
        until = time.monotonic() + CUT_SECONDS
        window.cancel()
        while window.in_flight and time.monotonic() < until:
            for job in self._in_flight:
                job.ranged.cut()
            window.wait(CUT_AGAIN_SECONDS)
            self._end_jobs(window)
        self._end_jobs(window)
        if not window.in_flight:
            for job in self._in_flight:
                job.ranged.close()
        window.close()

    def _end_jobs(self, window: Window) -> None:
        for job in window.collect():
            job.ranged.close()
            if job.error is None:
                self._in_flight.discard(job)
                self._landed(job)
