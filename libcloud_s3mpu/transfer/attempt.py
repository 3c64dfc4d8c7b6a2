# SPDX-License-Identifier: Apache-2.0
"""Attempts: a body is checked once, made into a request, and sent until it is there or hopeless.

The third room of the road. A :class:`PartJob` begins in the caller's thread or in a worker's and
may move from the first to the second half-way; one thread owns it at a time. What is in flight, and
what a failure means for the upload, is not its business.
"""

from __future__ import annotations

import time
import random
import logging
from typing import TypeVar, Protocol, cast
from collections.abc import Callable

from ..protocol import wire
from ..protocol.retry import RetryBudget, RetryPolicy, attempt
from ..protocol.errors import TransportError, S3MultipartError
from ..protocol.session import UploadedPart
from ..protocol.messages import Body, S3Request, S3Response
from ..protocol.integrity import BodyCheck, BodyDigests, digests_of

log = logging.getLogger("libcloud_s3mpu.attempt")

T = TypeVar("T")

#: How long an interrupt waits for the answer to a request that must not be forgotten.
SETTLE_SECONDS = 3.0


class Waits(Protocol):
    """An exchange under way (:class:`.exchange.Exchange`)."""

    waited: float

    def close(self) -> None: ...
    def cut(self) -> None: ...


class Sender(Protocol):
    """What sends (:class:`.transport.Transport`)."""

    def call(self, request: S3Request) -> S3Response: ...
    def advance(
        self, request: S3Request, exchange: Waits, patience: float | None = None
    ) -> S3Response | None: ...
    def begin(self, request: S3Request) -> Waits: ...
    def resume(self, request: S3Request, exchange: Waits) -> S3Response: ...
    def adapt(self, error: S3MultipartError) -> bool: ...


class Stop(Protocol):
    """What ends waits between attempts when the upload ends (:class:`.window.Window`)."""

    @property
    def is_stopping(self) -> bool: ...
    def sleep(self, seconds: float) -> None: ...


class PartBody(Body, Protocol):
    """A body that lets go of its bytes."""

    def release(self) -> None: ...


class Stopped(S3MultipartError):
    """The upload ended while this part was under way; never leaves the road."""


def retried(
    fn: Callable[[int], T],
    *,
    policy: RetryPolicy,
    sleep: Callable[[float], None] | None = None,
    on_retry: Callable[[int, S3MultipartError, float], None] | None = None,
    sender: Sender | None = None,
    budget: RetryBudget | None = None,
) -> T:
    """Run ``fn(attempt)`` under ``policy``, with the real clock and random source.

    :param sleep: the sender's own unless given, which knows the upload's deadline if it has one.
    :param sender: may mend what an error names: another region, the clock, keys that ran out.
    :param budget: retries shared with the other parts of an upload.
    """

    if sleep is None:
        sleep = cast("Callable[[float], None]", getattr(sender, "sleep", time.sleep))

    def noted(number: int, error: S3MultipartError, delay: float) -> None:
        log.info("attempt %d failed, next in %.2f s: %s", number, delay, error.value)
        if on_retry is not None:
            on_retry(number, error, delay)

    return attempt(
        fn,
        policy=policy,
        sleep=sleep,
        clock=time.monotonic,
        random=random.random,
        on_retry=noted,
        adapt=sender.adapt if sender is not None else None,
        budget=budget,
    )


def call_settled(
    sender: Sender, request: S3Request, settle: Callable[[S3Response], None]
) -> S3Response:
    """Send a request that takes effect once, and do not lose what came of it.

    An interrupt (Ctrl-C, a task's cancellation, Celery's soft time limit: whatever is none of our
    own errors) that lands while the answer is awaited would leave an upload that nobody knows the
    id of, or an object that nobody knows of: the answer is awaited for :data:`SETTLE_SECONDS` more
    and given to ``settle`` before the interrupt goes on its way.
    """
    exchange = sender.begin(request)
    try:
        return sender.resume(request, exchange)
    except S3MultipartError:
        raise
    except BaseException as interrupt:
        try:
            response = sender.advance(request, exchange, SETTLE_SECONDS)
            if response is not None:
                settle(response)
            else:
                note_doubt(interrupt, request, f"no answer within {SETTLE_SECONDS:g} s")
        except Exception as error:
            note_doubt(interrupt, request, str(getattr(error, "value", error)))
        finally:
            exchange.close()
        raise


def note_doubt(interrupt: BaseException, request: S3Request, why: str) -> None:
    """Say in the log and on an interrupt that what it ended may have taken effect."""
    text = f"{request.operation} of {request.bucket}/{request.key} was interrupted: {why}; "
    if request.operation == "CreateMultipartUpload":
        text += "an upload may be left that nobody knows, ex_cleanup_multipart_uploads finds it"
    else:
        text += "it may have taken effect"
    log.warning("%s", text)
    add_note(interrupt, text)


def add_note(error: BaseException, text: str) -> None:
    """Put a line below an exception of any kind, where Python can (3.11 on)."""
    note = getattr(error, "add_note", None)
    if note is not None:
        note(text)


class Job:
    """One unit of work in the window, with its retries; one thread at a time owns it.

    ``error`` is set when it failed; ``retries`` holds (attempt, delay in seconds, reason) of the
    attempts that failed. What else it leaves is said by its class.

    :param stop: ends waits when what it belongs to ends.
    :param budget: retries shared with the other parts.
    """

    def __init__(
        self,
        *,
        policy: RetryPolicy,
        stop: Stop,
        size: int,
        cost: int,
        budget: RetryBudget | None = None,
    ) -> None:
        self._policy = policy
        self._stop = stop
        self._budget = budget
        self._exchange: Waits | None = None
        self.size = size
        self.cost = cost
        self.result: UploadedPart | None = None
        self.error: BaseException | None = None
        self.is_finished = False
        self.retries: list[tuple[int, float, str]] = []
        self.wall_seconds = 0.0
        self.cpu_seconds = 0.0
        #: How often the service asked for fewer requests.
        self.throttled = 0

    def run(self) -> None:
        """Do it, or go on where the caller's thread stopped, with retries; in any thread."""
        began, cpu = time.perf_counter(), time.thread_time()
        try:
            self._work()
        finally:
            self.release()  # Also what was half sent, if this ended before it went on.
            self.wall_seconds += time.perf_counter() - began
            self.cpu_seconds += time.thread_time() - cpu

    def cut(self) -> None:
        """Cut the connection under whoever is at it: the attempt fails at once. Any thread."""
        exchange = self._exchange
        if exchange is not None:
            exchange.cut()

    def release(self) -> None:
        """Let go of what is open or held."""
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.close()

    def _work(self) -> None:
        raise NotImplementedError

    def _call(self, sender: Sender, request: S3Request) -> S3Response:
        """Send one request, or go on with the one under way, so that :meth:`cut` can end it."""
        self._check_stop()
        if self._exchange is None:
            self._exchange = sender.begin(request)
        self._check_stop()  # It may have ended while this was connecting.
        response = sender.resume(request, self._exchange)
        self._exchange = None
        return response

    def _retried(self, fn: Callable[[], T], sender: Sender) -> T:
        """Call ``fn`` by the retry policy, each time with an exchange of its own."""

        def once(number: int) -> T:
            if number > 1:
                self._exchange = None
            return fn()

        return retried(
            once,
            policy=self._policy,
            sleep=self._stop.sleep,
            on_retry=self._retrying,
            sender=sender,
            budget=self._budget,
        )

    def _check_stop(self) -> None:
        if self._stop.is_stopping:
            raise Stopped("what this is a part of has ended")

    def _retrying(self, number: int, error: S3MultipartError, delay: float) -> None:
        self._check_stop()
        self.throttled += error.throttled
        kind = type(error).__name__ if isinstance(error, TransportError) else error.s3_code
        self.retries.append((number, delay, kind or type(error).__name__))


class PartJob(Job):
    """One part on its way to the service; ``result`` is set when it is there."""

    def __init__(
        self,
        *,
        sender: Sender,
        make_request: Callable[[BodyDigests], S3Request],
        body: PartBody,
        check: BodyCheck,
        policy: RetryPolicy,
        cost: int,
        stop: Stop,
        budget: RetryBudget | None = None,
    ) -> None:
        super().__init__(policy=policy, stop=stop, size=body.size, cost=cost, budget=budget)
        self._sender = sender
        self._make_request = make_request
        self._body = body
        self._check = check
        self._request: S3Request | None = None
        self._digests: BodyDigests | None = None
        self._first_error: S3MultipartError | None = None
        self.waited_seconds = 0.0

    def run_inline(self, patience: float) -> bool:
        """Send from the caller's thread; False if a worker must go on with :meth:`run`.

        :raises S3MultipartError: if the service refused it and trying again cannot help.
        """
        began, cpu = time.perf_counter(), time.thread_time()
        try:
            request, digests = self._prepared()
            exchange = self._sender.begin(request)
            try:
                response = self._sender.advance(request, exchange, patience)
            finally:
                self.waited_seconds = exchange.waited
            if response is None:
                self._exchange = exchange
                return False
            self._finish(wire.upload_part_result(request, response, digests))
            return True
        except S3MultipartError as error:
            if not error.retryable and not self._sender.adapt(error):
                raise
            if error.retryable and not (isinstance(error, TransportError) and error.is_stale):
                self._first_error = error
            return False
        finally:
            self.wall_seconds += time.perf_counter() - began
            self.cpu_seconds += time.thread_time() - cpu

    def release(self) -> None:
        """Let go of the bytes of a part that is not sent after all."""
        super().release()
        self._body.release()

    def _work(self) -> None:
        self._finish(self._retried(self._attempt, self._sender))

    def _attempt(self) -> UploadedPart:
        self._check_stop()
        request, digests = self._prepared()
        if self._first_error is not None:
            # The attempt that failed inline was the first one.
            error, self._first_error = self._first_error, None
            raise error
        return wire.upload_part_result(request, self._call(self._sender, request), digests)

    def _prepared(self) -> tuple[S3Request, BodyDigests]:
        if self._request is None or self._digests is None:
            self._digests = digests_of(self._body, self._check)
            self._request = self._make_request(self._digests)
        return self._request, self._digests

    def _finish(self, part: UploadedPart) -> None:
        self.result = part
        self._request = None
        self._body.release()
