# SPDX-License-Identifier: Apache-2.0
"""A span of one object, read in order over as many connections as it takes.

A connection that breaks in the middle is replaced by another, which goes on at the next byte, and
only with the object that was begun with (``If-Match`` on its ETag). One thread at a time owns a
:class:`Ranged`. What is done with the bytes is :mod:`.download`'s business.
"""

from __future__ import annotations

import io
import time
from typing import Any
from collections.abc import Callable, Iterator

from .attempt import Waits, Sender, retried
from ..protocol import wire, reading
from ..protocol.retry import RetryPolicy
from ..protocol.errors import ServiceError, TransportError, RetriesExhaustedError
from ..protocol.messages import Stream, S3Request, described, context_of

#: What is asked of a connection at once, in bytes. What came of it is lost when it breaks.
GRAIN = 8 * 1024 * 1024
#: The same after a break.
SMALL_GRAIN = 64 * 1024
#: A round of attempts that brought this many bytes was not in vain: the next one begins anew.
PROGRESS = 64 * 1024
#: S3's answer to a range behind an object's end; an empty object has no other.
UNSATISFIABLE = 416


class Ranged:
    """Bytes ``start`` to ``end`` (None: to the object's end), in order.

    :param known: what is known of the object from another span of it; it must be the same object.
    :param with_checksum: have the first answer tell the object's checksum.
    :param sleep: waits between attempts.
    """

    def __init__(
        self,
        sender: Sender,
        target: wire.Target,
        *,
        policy: RetryPolicy,
        start: int = 0,
        end: int | None = None,
        known: reading.Found | None = None,
        with_checksum: bool = False,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._sender = sender
        self._target = target
        self._policy = policy
        self._with_checksum = with_checksum
        self._sleep = sleep
        self._request: S3Request | None = None
        self._exchange: Waits | None = None
        self._stream: Stream | None = None
        self._grain = GRAIN
        self._start = start
        #: Where the next byte comes from.
        self.offset = start
        #: Where it ends; None until that is known.
        self.end = end
        #: What the first answer said.
        self.found = known
        #: Bytes that the last ``readinto`` brought.
        self.came = 0
        #: How often the service asked for fewer requests.
        self.throttled = 0

    # -- opening ---------------------------------------------------------------------------------

    def begin(self, patience: float) -> bool:
        """Send the request; False if the answer does not begin within ``patience`` seconds.

        Whoever goes on reading, in whichever thread, waits for it.

        :raises S3MultipartError: if the first attempt failed.
        """
        if self._stream is not None:
            return True
        if self._exchange is None:
            self._request = self._next_request()
            self._exchange = self._sender.begin(self._request)
        assert self._request is not None
        response = self._sender.advance(self._request, self._exchange, patience)
        if response is None:
            return False
        self._exchange = None
        self._take(self._request, response)
        return True

    def open(self) -> reading.Found:
        """Wait for the first answer, with retries.

        :raises ObjectMissingError: and whatever else the service says.
        """

        def once(_: int) -> None:
            if self._stream is None:
                self._connect()

        try:
            self._retried(once)
        except ServiceError as error:
            if error.http_status != UNSATISFIABLE or self._start or self.found is not None:
                raise
            # Only an empty object has no byte 0.
            self.found = reading.Found(start=0, end=0, size=0, etag=None, headers={})
            self.end = 0
        assert self.found is not None
        return self.found

    def _next_request(self) -> S3Request:
        known = self.found
        if known is not None and known.etag is None and self.offset > self._start:
            raise TransportError(
                f"GetObject failed for {self._target.bucket}/{self._target.key}: the connection "
                f"broke at byte {self.offset}, and without an ETag nobody can tell whether what "
                "follows belongs to it"
            )
        return reading.get_request(
            self._target,
            start=self.offset,
            end=self.end,
            etag=known.etag if known is not None else None,
            with_checksum=self._with_checksum and known is None,
        )

    def _connect(self) -> None:
        request, exchange = self._request, self._exchange
        self._request = self._exchange = None
        if exchange is None or request is None:
            request = self._next_request()
            exchange = self._sender.begin(request)
        self._exchange = exchange  # Where ``cut`` finds it.
        try:
            response = self._sender.resume(request, exchange)
        finally:
            self._exchange = None
        self._take(request, response)

    def _take(self, request: S3Request, response: Any) -> None:
        stream: Stream | None = response.stream
        try:
            found = reading.get_result(request, response, start=self.offset, known=self.found)
            assert stream is not None
            self._skip(request, stream, self.offset - found.start)
        except BaseException:
            if stream is not None:
                stream.close()
            raise
        if self.found is None:
            self.found = found
        bound = found.end if found.size is None else found.size
        if bound is not None:
            self.end = bound if self.end is None else min(self.end, bound)
        self._stream = stream
        if self.end is not None and self.offset >= self.end:
            self.close()

    def _skip(self, request: S3Request, stream: Stream, count: int) -> None:
        """Read over what a service sent that ignores ``Range``."""
        while count:
            got = len(stream.read(min(count, SMALL_GRAIN)))
            if not got:
                raise _cut_short(request, count)
            count -= got

    # -- reading ---------------------------------------------------------------------------------

    def read(self, size: int) -> bytes:
        """Give the next ``size`` bytes; fewer only at the end, and none behind it.

        :raises ObjectChangedError: if the object was replaced meanwhile.
        :raises RetriesExhaustedError: if the connection broke too often.
        """
        at_once: list[bytes] = []
        gathered = io.BytesIO()  # Gives what it holds without a copy.

        def once(_: int) -> None:
            while left := size - gathered.tell():
                data = self._pull(left, _read, len)
                if len(data) == size:
                    at_once.append(data)
                    return
                if not data:
                    return
                gathered.write(data)

        self._retried(once)
        return at_once[0] if at_once else gathered.getvalue()

    def readinto(self, view: memoryview) -> int:
        """Fill ``view``, as :meth:`read` does; give how many bytes came.

        If it raises, ``came`` tells how many there are all the same.
        """
        filled = self.came = 0

        def fill(stream: Stream, most: int) -> int:
            return stream.readinto(view[filled : filled + most])

        def once(_: int) -> None:
            nonlocal filled
            while filled < len(view) and (got := self._pull(len(view) - filled, fill, int)):
                filled = self.came = filled + got

        self._retried(once)
        return filled

    def chunks(self, size: int) -> Iterator[bytes]:
        """Yield what is left in chunks of ``size`` bytes; an empty object is one empty chunk.

        The first one is empty and nobody's: a generator that was begun closes the connection
        whenever it goes, one that was not would leave it open.
        """
        try:
            yield b""
            yield self.read(size)
            while self.end is None or self.offset < self.end:
                chunk = self.read(size)
                if not chunk:
                    return
                yield chunk
                del chunk  # One chunk in memory, not two.
        finally:
            self.close()

    def _pull(self, most: int, take: Callable[[Stream, int], Any], length: Any) -> Any:
        """Take up to ``most`` bytes from the connection, which is made if there is none."""
        if self.end is not None and self.offset >= self.end:
            self.close()
            return take(_NOTHING, 0)
        if self._stream is None:
            self._connect()
            return self._pull(most, take, length)
        if self.end is not None:
            most = min(most, self.end - self.offset)
        try:
            taken = take(self._stream, min(most, self._grain))
        except TransportError:
            self._grain = SMALL_GRAIN
            self.close()
            raise
        got = length(taken)
        self.offset += got
        if not got:
            self._ended()
        elif self.offset == self.end:
            self.close()
        return taken

    def _ended(self) -> None:
        """The body is over: that is the object's end, or it was cut short."""
        self.close()
        if self.end is None:
            self.end = self.offset
            return
        self._grain = SMALL_GRAIN
        request = self._next_request()
        raise _cut_short(request, self.end - self.offset)

    def _retried(self, once: Callable[[int], None]) -> None:
        while True:
            at = self.offset
            try:
                return retried(
                    once,
                    policy=self._policy,
                    sleep=self._sleep,
                    on_retry=self._noted,
                    sender=self._sender,
                )
            except RetriesExhaustedError:
                if self.offset - at < PROGRESS:
                    raise

    def _noted(self, number: int, error: Any, delay: float) -> None:
        self.throttled += error.throttled

    # -- the end ---------------------------------------------------------------------------------

    def close(self) -> None:
        """Let go of the connection: kept for others if all was read, else dropped."""
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.close()

    def cut(self) -> None:
        """Make whoever reads fail at once; from any thread."""
        for under_way in (self._stream, self._exchange):
            if under_way is not None:
                under_way.cut()


def _read(stream: Stream, most: int) -> bytes:
    return stream.read(most)


class _Nothing:
    """What is read behind the end."""

    def read(self, size: int) -> bytes:
        return b""

    def readinto(self, view: memoryview) -> int:
        return 0

    def close(self) -> None: ...
    def cut(self) -> None: ...


_NOTHING = _Nothing()


def _cut_short(request: S3Request, missing: int) -> TransportError:
    return TransportError(
        f"{described(request)}: the answer ended {missing} bytes too early",
        **context_of(request),
    )
