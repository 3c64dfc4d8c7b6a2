# SPDX-License-Identifier: Apache-2.0
"""THE ROAD: one upload, from its source to the confirmed object.

Read it top to bottom: :meth:`Upload.run`, then ``_multipart``. The calling thread owns the source
(:mod:`.intake`) and the session; workers own one part each (:mod:`.attempt`), and the window
(:mod:`.window`) is all they share. The law of memory, measured by ``tests/test_memory.py``:

    peak <= memory budget + one part (while its chunks are gathered) + one caller's chunk

The failure road, for any BaseException: stop pulling, close the source, cancel what waits, cut and
drain what is in flight, then abort (or keep, as asked): :mod:`.cleanup`. The first error is what is
raised.
"""

from __future__ import annotations

import time
import logging
from typing import Any, Protocol
from dataclasses import dataclass

from .pace import Pace, Patience
from .intake import Intake
from .window import Window
from .attempt import Sender, PartJob, retried, call_settled
from .cleanup import end_failed_upload, note_cleanup_error
from .complete import complete_upload
from ..protocol import wire, events, checksums
from ..protocol.errors import TransportError, S3MultipartError
from ..protocol.limits import Limits
from ..protocol.options import DEFAULT_MAX_CONCURRENCY, UploadOptions
from ..protocol.session import UploadSession
from ..protocol.messages import S3Request, S3Response
from ..protocol.integrity import BodyDigests, body_check, digests_of

log = logging.getLogger("libcloud_s3mpu.upload")


class RoadSender(Sender, Protocol):
    """What the road asks of a transport besides sending."""

    @property
    def kind(self) -> str: ...
    @property
    def is_known_class(self) -> bool: ...
    def has_idle(self, bucket: str) -> bool: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadResult:
    """What was confirmed.

    :param etag: without quotes.
    :param upload_id: None for a single ``PUT``.
    :param parts: how many there were (1 for a single ``PUT``).
    :param part_size_bytes: size of the first part, as cut (0 for an empty object).
    :param checksum: base64, with the ``-N`` of a composite one; None where none was used.
    :param seconds: from the first request to the confirmation.
    """

    size: int
    etag: str
    upload_id: str | None
    parts: int
    part_size_bytes: int
    checksum: str | None
    version_id: str | None
    seconds: float


class Upload:
    """One upload; :meth:`run` is called once, from the thread that owns the source."""

    def __init__(
        self,
        *,
        transport: RoadSender,
        limits: Limits,
        options: UploadOptions,
        target: wire.Target,
        is_secure: bool,
        must_not_change: bool = False,
    ) -> None:
        self._transport = transport
        self._limits = limits
        self._options = options
        self._target = target
        self._check = body_check(options, limits, is_secure=is_secure)
        self._must_not_change = must_not_change
        self._is_lean = transport.kind == "lean"
        # Most parts in flight; a connection class that nobody knows is not given threads.
        self._ceiling = options.concurrency or (
            DEFAULT_MAX_CONCURRENCY if transport.is_known_class else 1
        )
        self._patience = Patience()
        self._began = time.monotonic()
        self._in_flight: set[PartJob] = set()
        self._acknowledged = 0
        self._was_interrupted = False
        self._tells = options.on_event is not None or log.isEnabledFor(logging.DEBUG)
        self._session = UploadSession(
            container=target.bucket, object_name=target.key, algorithm=self._check.algorithm
        )

    def run(self, source: Any) -> UploadResult:
        """Upload ``source``; gives back only what the service confirmed.

        :raises UnsupportedSourceError: (a TypeError) before any request.
        :raises SourceSizeError: (a ValueError) before any request if its length is known and too
            large, else when it turns out so.
        :raises BaseException: what the source raises comes out as it is.
        """
        intake = Intake(
            source,
            options=self._options,
            limits=self._limits,
            where=f"{self._target.bucket}/{self._target.key}",
            must_not_change=self._must_not_change,
        )
        try:
            first = intake.take(1)
            if intake.is_full(first, 1) and intake.has_more():
                result = self._multipart(intake, first)
            else:
                result = self._single(intake, intake.snapshot(first))
        except BaseException as error:
            self._close_source(intake, error)
            raise
        intake.close()
        self._tell(events.UploadCompleted, size=result.size, etag=result.etag, parts=result.parts)
        return result

    # -- a small object: one PUT -----------------------------------------------------------------

    def _single(self, intake: Intake, body: Any) -> UploadResult:
        try:
            intake.check_end()
            digests = digests_of(body, self._check)
            request = wire.put_request(self._target, body, digests)
            stored = retried(
                lambda _: wire.put_result(request, self._transport.call(request), digests),
                policy=self._options.retry,
            )
        finally:
            body.release()
        return UploadResult(
            size=body.size,
            etag=stored.etag or self._etag_by_head(),
            upload_id=None,
            parts=1,
            part_size_bytes=body.size,
            checksum=digests.checksum,
            version_id=stored.version_id,
            seconds=time.monotonic() - self._began,
        )

    def _etag_by_head(self) -> str:
        request = wire.head_request(self._target)
        try:
            return wire.head_result(request, self._transport.call(request))[1].etag or ""
        except S3MultipartError:
            return ""  # The object is confirmed; its tag is a courtesy that this service withholds.

    # -- a large one: the road -------------------------------------------------------------------

    def _multipart(self, intake: Intake, body: Any) -> UploadResult:
        self._window = Window(
            budget_bytes=self._options.memory_budget_bytes, ceiling=self._ceiling, pace=Pace()
        )
        try:
            self._window.reserve(intake.cost(1))
            self._initiate()
            number = 0
            while body is not None:
                number += 1
                self._send(number, body, cost=intake.cost(number))
                body = self._next(intake, number + 1)
            while self._in_flight:
                self._window.wait()
                self._collect()
            intake.check_end()
            return self._complete(number, intake.size)
        except BaseException as error:
            self._close_source(intake, error)
            self._fail(error)
            if body is not None:
                body.release()
            raise
        finally:
            self._window.close()

    def _initiate(self) -> None:
        request = wire.initiate_request(self._target, self._check)

        def begun(response: S3Response) -> None:
            self._session.initiated(wire.initiate_result(request, response))

        retried(
            lambda _: begun(call_settled(self._transport, request, begun)),
            policy=self._options.retry,
            sleep=self._window.sleep,
        )

    def _next(self, intake: Intake, number: int) -> Any:
        """Get permission, then the bytes of the next part; None when the source has ended."""
        cost = intake.cost(number) if number <= self._limits.max_parts else 0
        while not self._window.reserve(cost):
            self._collect()
        body = intake.take(number)
        if body is None:
            self._window.release(cost)
        return body

    def _send(self, number: int, body: Any, *, cost: int) -> None:
        """Send a part: inline as long as the network does not make this thread wait."""
        upload_id = self._session.upload_id
        assert upload_id is not None

        def make_request(digests: BodyDigests) -> S3Request:
            return wire.upload_part_request(
                self._target, upload_id=upload_id, part_number=number, body=body, digests=digests
            )

        job = PartJob(
            sender=self._transport,
            make_request=make_request,
            body=body,
            check=self._check,
            policy=self._options.retry,
            cost=cost,
            stop=self._window,
        )
        self._tell(
            events.PartStarted,
            part_number=number,
            size=body.size,
            in_flight=self._window.in_flight + 1,
        )
        if self._ceiling == 1:
            self._run_here(job.run, job)
        elif not (self._is_inline_worth() and self._run_here(self._sent_inline, job)):
            self._hand_over(job)
        self._collect()

    def _is_inline_worth(self) -> bool:
        # Connecting takes round trips: only the first part may wait for that in this thread.
        can_begin = self._transport.has_idle(self._target.bucket) or not self._in_flight
        return self._is_lean and can_begin and self._patience.tries_inline()

    def _run_here(self, run: Any, job: PartJob) -> bool:
        """Run a job in this thread; False if it is not done and goes to a worker."""
        try:
            is_done = run() if run == job.run else run(job)
        except BaseException as error:
            self._was_interrupted = not isinstance(error, Exception)
            job.release()
            raise
        if is_done is False:
            return False
        self._window.release(job.cost)
        self._record(job)
        return True

    def _hand_over(self, job: PartJob) -> None:
        self._in_flight.add(job)
        try:
            self._window.submit(job)
        except RuntimeError:
            # The system gives no thread (or Python is ending): slower is better than failed.
            log.info("no thread could be started; going on in the calling thread")
            self._in_flight.discard(job)
            self._run_here(job.run, job)

    def _sent_inline(self, job: PartJob) -> bool:
        is_sent = job.run_inline(self._patience.seconds(time.monotonic() - self._began))
        if is_sent:
            self._patience.hit(job.waited_seconds)
        else:
            self._patience.missed(job.waited_seconds)
        return is_sent

    def _collect(self) -> None:
        """Record the parts that workers have finished; the first failure ends the upload here."""
        for job in self._window.collect():
            self._in_flight.discard(job)
            if job.error is not None:
                raise job.error
            self._record(job)

    def _record(self, job: PartJob) -> None:
        part = job.result
        assert part is not None
        self._session.record(part)
        self._acknowledged += part.size
        if not self._tells:
            return
        for number, delay, reason in job.retries:
            self._tell(
                events.PartRetried,
                part_number=part.part_number,
                attempt=number,
                delay_seconds=delay,
                reason=reason,
            )
        self._tell(
            events.PartUploaded,
            part_number=part.part_number,
            size=part.size,
            uploaded_bytes=self._acknowledged,
            in_flight=self._window.in_flight,
        )

    def _complete(self, number: int, size: int) -> UploadResult:
        parts = self._session.contiguous_parts(expected=number)
        stored = complete_upload(
            session=self._session,
            sender=self._transport,
            target=self._target,
            parts=parts,
            size=size,
            check=self._check,
            policy=self._options.retry,
        )
        etag = stored.etag or checksums.composite_etag(part.etag for part in parts)
        return UploadResult(
            size=size,
            etag=etag or self._etag_by_head(),
            upload_id=self._session.upload_id,
            parts=number,
            part_size_bytes=parts[0].size,
            checksum=stored.checksum,
            version_id=stored.version_id,
            seconds=time.monotonic() - self._began,
        )

    # -- the failure road, and who hears of it ---------------------------------------------------

    def _close_source(self, intake: Intake, error: BaseException) -> None:
        try:
            intake.close()
        except BaseException as second:
            note_cleanup_error(error, second, "closing the source failed too")

    def _fail(self, error: BaseException) -> None:
        kept = end_failed_upload(
            error,
            session=self._session,
            window=self._window,
            in_flight=self._in_flight,
            sender=self._transport,
            target=self._target,
            options=self._options,
            may_land_late=self._was_interrupted or isinstance(error, TransportError),
        )
        if kept is None:
            return
        try:
            self._tell(events.UploadAborted, kept=kept, reason=type(error).__name__)
        except BaseException as second:
            note_cleanup_error(error, second, "on_event failed too")

    def _tell(self, event: Any, **values: Any) -> None:
        if not self._tells:
            return
        value = event(
            container=self._target.bucket,
            object_name=self._target.key,
            upload_id=self._session.upload_id,
            **values,
        )
        log.debug("%r", value)
        if self._options.on_event is not None:
            self._options.on_event(value)
