# SPDX-License-Identifier: Apache-2.0
"""THE ROAD: one upload, from its source to the confirmed object.

Read it top to bottom: :meth:`Upload.run`, then ``_multipart``. The calling thread owns the source
(:mod:`.intake`) and the session; workers own one part each (:mod:`.attempt`), and the window
(:mod:`.window`) is all they share. The law of memory, measured by ``tests/test_memory.py``:

    peak <= memory budget + one part (while its chunks are gathered) + one caller's chunk

An upload that goes on walks the same road; :mod:`.resume` says which parts stand already. The
session is saved (:mod:`.journal`) before the first part is sent, before complete, and at the end.

The failure road, for any BaseException: stop pulling, close the source, cancel what waits, cut and
drain what is in flight, then abort (or keep, as asked): :mod:`.cleanup`. The first error is what is
raised.
"""

from __future__ import annotations

import time
import logging
from typing import Any, Protocol
from collections.abc import Callable

from .put import put_whole
from .pace import Pace, Patience
from .begin import BeginSender, begin_upload
from .intake import Intake
from .resume import Standing, gone, paused, etag_there, with_digest, resumed_check
from .window import Window
from .attempt import PartJob
from .cleanup import close_source, end_failed_upload
from .journal import Keeper
from .outcome import Teller, UploadResult, uploaded
from .watched import Watched
from .complete import complete_upload
from ..protocol import wire, checksums
from ..protocol.retry import RetryBudget
from ..protocol.watch import Watch
from ..protocol.errors import TransportError, S3MultipartError, UploadMissingError
from ..protocol.limits import Limits
from ..protocol.options import DEFAULT_MAX_CONCURRENCY, UploadOptions
from ..protocol.session import State, UploadedPart, UploadSession, UploadPausedError
from ..protocol.messages import S3Request
from ..protocol.integrity import BodyDigests, body_check

__all__ = ["Upload", "UploadResult"]

log = logging.getLogger("libcloud_s3mpu.upload")

#: Retries that the parts of one upload share while none succeeds: an outage that meets 12 parts in
#: flight costs at most 12 + 28 requests, whatever one part alone may try.
SHARED_RETRIES = 28


class RoadSender(BeginSender, Protocol):
    """What the road asks of a transport besides sending."""

    @property
    def kind(self) -> str: ...
    @property
    def is_known_class(self) -> bool: ...
    def begin(self, request: S3Request, *, watch: Watch | None = None) -> Any: ...
    def has_idle(self, bucket: str) -> bool: ...


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
        endpoint: str = "",
        session: UploadSession | None = None,
        standing: Standing | None = None,
        is_paused: Callable[[], bool] = lambda: False,
    ) -> None:
        self._transport = transport
        self._watch = Watch.of(options, time.monotonic)
        self._sender: Any = Watched(transport, self._watch) if self._watch else transport
        self._limits = limits
        self._options = options
        self._target = target
        self._check = body_check(options, limits, is_secure=is_secure)
        self._must_not_change = must_not_change
        # Most parts in flight; a connection class that nobody knows is not given threads.
        self._ceiling = options.concurrency or (
            DEFAULT_MAX_CONCURRENCY if transport.is_known_class else 1
        )
        self._patience = Patience()
        self._began = time.monotonic()
        self._in_flight: set[PartJob] = set()
        self._was_interrupted = False
        self._budget = RetryBudget(SHARED_RETRIES)
        self._digests: dict[int, BodyDigests] = {}
        self._standing = standing
        self._suspects: tuple[str, ...] = ()
        self._is_paused = is_paused
        if session is None:
            session = UploadSession(container=target.bucket, object_name=target.key)
        if standing is not None:
            self._check = resumed_check(self._check, session, options)
        session.endpoint, session.algorithm = endpoint, self._check.algorithm
        session.take_headers(target.headers)
        self._session = session
        self._keeper = Keeper(options.journal, session, is_held=standing is not None)
        self._teller = Teller(session, options.on_event)
        self._tell = self._teller.tell

    def run(self, source: Any) -> UploadResult:
        """Upload ``source``; gives back only what the service confirmed.

        :raises UnsupportedSourceError: (a TypeError) before any request.
        :raises SourceSizeError: (a ValueError) before any request if its length is known and too
            large, else when it turns out so.
        :raises BaseException: what the source raises comes out as it is.
        """
        intake = self._open(source)
        try:
            self._check_stop()
            if self._standing is not None:
                result = self._multipart(intake, None, ahead=self._open(source))
            elif intake.is_full(first := intake.take(1), 1) and intake.has_more():
                result = self._multipart(intake, first)
            else:
                result = self._single(intake, intake.snapshot(first))
        except BaseException as error:
            close_source(intake, error)
            raise
        intake.close()
        self._tell("UploadCompleted", size=result.size, etag=result.etag, parts=result.parts)
        return result

    def _open(self, source: Any) -> Intake:
        return Intake(
            source,
            options=self._options,
            limits=self._limits,
            where=f"{self._target.bucket}/{self._target.key}",
            must_not_change=self._must_not_change,
            schedule=self._session.schedule,
        )

    # -- a small object: one PUT -----------------------------------------------------------------

    def _single(self, intake: Intake, body: Any) -> UploadResult:
        try:
            intake.check_end()
            policy = self._options.retry
            stored = put_whole(self._sender, self._target, body, check=self._check, policy=policy)
        finally:
            body.release()
        etag = stored.etag or etag_there(self._transport, self._target)
        return uploaded(stored, size=body.size, etag=etag, part_size=body.size, began=self._began)

    # -- a large one: the road -------------------------------------------------------------------

    def _multipart(self, intake: Intake, body: Any, ahead: Intake | None = None) -> UploadResult:
        self._is_lean = self._transport.kind == "lean"
        self._window = Window(
            budget_bytes=self._options.memory_budget_bytes,
            ceiling=self._ceiling,
            pace=Pace(),
            deadline=self._watch.deadline if self._watch else None,
        )
        try:
            self._window.reserve(intake.cost(1))
            if self._standing is None or ahead is None:
                self._initiate(intake)
            else:
                self._standing.begin(intake, ahead)
                self._keeper.save()
                # An empty source is one empty part: the upload is there already.
                body = intake.take(1) or intake.snapshot(None)
            number = 0
            while body is not None:
                number += 1
                cost = intake.cost(number)
                if not self._stands(number, body, cost=cost):
                    self._send(number, body, cost=cost)
                body = self._next(intake, number + 1)
            while self._in_flight:
                self._window.wait()
                self._collect()
            intake.check_end()
            result = self._complete(number, intake.size)
            self._keeper.end()
            return result
        except BaseException as error:
            close_source(intake, error)
            self._fail(error)
            if body is not None:
                body.release()
            raise
        finally:
            self._window.close()
            self._keeper.close()

    def _initiate(self, intake: Intake) -> None:
        self._session.schedule = intake.schedule
        self._session.source_bytes = intake.known_size
        self._session.source_stamp = intake.stamp()
        self._suspects = begin_upload(
            session=self._session,
            sender=self._sender,
            target=self._target,
            check=self._check,
            options=self._options,
            on_begun=self._keeper.begin,
            tell=self._tell,
            sleep=self._window.sleep,
        )

    def _stands(self, number: int, body: Any, *, cost: int) -> bool:
        """Use the part that is on the service, if it is this body's."""
        standing = self._standing
        if standing is None:
            return False
        part = standing.examine(number, body)
        if part is None:
            standing.sent(number)
            return False
        body.release()
        self._window.release(cost)
        self._session.record(part)
        self._teller.stood(part)
        self._keeper.save_soon()
        self._collect()
        return True

    # -- parts -----------------------------------------------------------------------------------

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
            self._digests[number] = digests
            return wire.upload_part_request(
                self._target, upload_id=upload_id, part_number=number, body=body, digests=digests
            )

        job = PartJob(
            sender=self._sender,
            make_request=make_request,
            body=body,
            check=self._check,
            policy=self._options.retry,
            cost=cost,
            stop=self._window,
            budget=self._budget,
        )
        self._tell(
            "PartStarted",
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
            self._was_interrupted = not isinstance(error, S3MultipartError)
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
        self._check_stop()

    def _check_stop(self) -> None:
        if self._is_paused():
            raise paused(self._session)
        if self._watch is not None and self._watch.is_over:
            session = self._session
            raise self._watch.error(
                container=session.container,
                object_name=session.object_name,
                upload_id=session.upload_id,
            )

    def _note(self, part: UploadedPart) -> None:
        """Put a part into the session, with what else is known of its bytes."""
        self._session.record(with_digest(part, self._digests.pop(part.part_number, None)))

    def _record(self, job: PartJob) -> None:
        part = job.result
        assert part is not None
        self._note(part)
        self._keeper.save_soon()
        self._teller.arrived(job, part, in_flight=self._window.in_flight)

    def _complete(self, number: int, size: int) -> UploadResult:
        if self._standing is not None:
            self._standing.check_end(number)
        self._check_stop()
        parts = self._session.contiguous_parts(expected=number)
        self._keeper.save(state=State.COMPLETING)
        how: Any = {
            "session": self._session,
            "sender": self._sender,
            "target": self._target,
            "policy": self._options.retry,
            "sleep": self._window.sleep,
        }
        try:
            stored = complete_upload(parts=parts, check=self._check, **how)
        except UploadMissingError as error:
            if self._standing is None:
                raise
            stored = gone(error=error, **how)  # An earlier run's complete has only now been done.
        etag = stored.etag or checksums.composite_etag(part.etag for part in parts)
        return uploaded(
            stored,
            size=size,
            etag=etag or etag_there(self._transport, self._target),
            upload_id=self._session.upload_id,
            parts=number,
            part_size=parts[0].size,
            began=self._began,
            suspects=self._suspects,
        )

    # -- the failure road, and who hears of it ---------------------------------------------------

    def _fail(self, error: BaseException) -> None:
        # What was kept once, on purpose, is kept again.
        keeps = self._options.on_failure == "keep" or self._standing is not None
        keeps = keeps or self._keeper.has_saved or isinstance(error, UploadPausedError)
        kept = end_failed_upload(
            error,
            session=self._session,
            window=self._window,
            in_flight=self._in_flight,
            sender=self._transport,
            target=self._target,
            options=self._options,
            keeps=keeps and not isinstance(error, UploadMissingError),
            record=self._note,
            may_land_late=self._was_interrupted or isinstance(error, TransportError),
        )
        self._keeper.end()
        self._teller.failed(error, kept=kept)
