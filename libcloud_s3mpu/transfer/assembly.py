# SPDX-License-Identifier: Apache-2.0
"""The road of a copy: one object, made of pieces of others, from its plan to the confirmed object.

The calling thread owns the session and the plan; workers own one part each (:mod:`.copyjobs`), and
the window is all that they share. Every part is pinned to the ETag that its source had at first: a
source that changes is an error, never a mixture. Failures take the failure road of
:mod:`.cleanup`, complete is :mod:`.complete`'s. Which sources there are, and what is copied by one
request instead, is told in :mod:`.concatenate`.
"""

from __future__ import annotations

import time
from typing import Any
from dataclasses import replace, dataclass
from collections.abc import Callable, Iterator, Sequence

from .pace import CopyPace
from .begin import BeginSender, begin_upload
from .intake import Intake
from .resume import etag_there
from .window import Window
from .attempt import Job, PartJob
from .cleanup import close_source, end_failed_upload
from .outcome import Teller, UploadResult, uploaded
from .running import running
from .complete import complete_upload
from .copyjobs import Source, RelayJob, CopyPartJob
from ..protocol import wire, copying, checksums
from ..protocol.retry import RetryBudget
from ..protocol.watch import Watch
from ..protocol.errors import TransportError
from ..protocol.limits import Limits
from ..protocol.options import DEFAULT_MAX_CONCURRENCY, UploadOptions
from ..protocol.session import UploadSession
from ..protocol.copyplan import PlannedPart
from ..protocol.messages import S3Request
from ..protocol.integrity import BodyCheck, BodyDigests, body_check

#: Retries that the parts of one copy share while none succeeds, as an upload's parts do.
SHARED_RETRIES = 28


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How a copy is done: who sends to the target, within which limits, by which options.

    :param ceiling: most parts in flight.
    :param watch: the deadline and floor that the sender holds its requests to, if any.
    """

    sender: BeginSender
    limits: Limits
    options: UploadOptions
    ceiling: int = DEFAULT_MAX_CONCURRENCY
    watch: Watch | None = None

    def window(self) -> Window:
        """Give a window for one copy; the caller closes it."""
        budget = self.options.memory_budget_bytes
        deadline = self.watch.deadline if self.watch else None
        return Window(budget_bytes=budget, ceiling=self.ceiling, pace=CopyPace(), deadline=deadline)

    @property
    def check(self) -> BodyCheck:
        """Streamed parts are signed.

        It is the one check that every service makes, whatever it knows of checksums, and one that
        the parts which the service copies need not share.
        """
        options = replace(self.options, checksum=None, sign_payload=True)
        return body_check(options, self.limits, is_secure=True)

    @property
    def most_in_memory(self) -> int:
        """A part above half of the budget waits in a file, so that two overlap."""
        return max(1, self.options.memory_budget_bytes // 2)


class Lane:
    """Jobs through one window, taken back in the calling thread."""

    def __init__(self, way: Way) -> None:
        self._ceiling = way.ceiling
        self._watch = way.watch
        self.window = way.window()
        self.waiting: set[Any] = set()
        self.was_interrupted = False

    def send(self, job: Any, finished: Callable[[Any], None]) -> None:
        """Have a job run, as soon as there is room for it; here where no thread is to be had."""
        while not self.window.reserve(job.cost):
            self.collect(finished)
        self.submit(job, finished)

    def submit(self, job: Any, finished: Callable[[Any], None]) -> None:
        """Have a job run whose cost is reserved already."""
        if self._ceiling > 1:
            self.waiting.add(job)
            try:
                self.window.submit(job)
                return self.collect(finished)
            except RuntimeError:
                self.waiting.discard(job)  # The system gives no thread: slower beats failed.
        try:
            job.run()
        except BaseException as error:
            self.was_interrupted = not isinstance(error, Exception)
            raise
        self.window.release(job.cost)
        finished(job)

    def collect(self, finished: Callable[[Any], None]) -> None:
        """Give every job that has ended to ``finished``; the first failure comes out."""
        for job in self.window.collect():
            self.waiting.discard(job)
            if job.error is not None:
                raise job.error
            finished(job)
        if self._watch is not None and self._watch.is_over:
            raise self._watch.error()

    def drain(self, finished: Callable[[Any], None]) -> None:
        """Wait for all of them."""
        while self.waiting:
            self.window.wait()
            self.collect(finished)


class Assembly:
    """One object made in parts; :meth:`run` is called once.

    :param parts: from part 1 on.
    :param tail: what follows them: the caller's source, cut by its own numbers from 1.
    """

    def __init__(
        self,
        *,
        way: Way,
        target: wire.Target,
        sources: list[Source],
        parts: Sequence[PlannedPart],
        tail: Intake | None = None,
    ) -> None:
        self._way = way
        self._check = way.check
        self._target = target
        self._sources = sources
        self._parts = parts
        self._tail = tail
        self._began = time.monotonic()
        self._budget = RetryBudget(SHARED_RETRIES)
        self._lane = Lane(way)
        self._session = UploadSession(container=target.bucket, object_name=target.key)
        self._teller = Teller(self._session, way.options.on_event)
        #: The part that was made last; it may not have come to the window when a copy fails.
        self._at_hand: Any = None
        self._suspects: tuple[str, ...] = ()

    def run(self) -> UploadResult:
        """Make the object; gives back only what the service confirmed.

        :raises SourceChangedError: if a source changed meanwhile; nothing was written.
        :raises CopyUnsupportedError: if the service copies no parts; of ``tail`` nothing was read.
        """
        with running(self._session):
            return self._run()

    def _run(self) -> UploadResult:
        try:
            self._initiate()
            for number, job in enumerate(self._jobs(), 1):
                self._at_hand = job
                self._teller.tell(
                    "PartStarted",
                    part_number=number,
                    size=job.size,
                    in_flight=self._lane.window.in_flight + 1,
                )
                if isinstance(job, PartJob):
                    self._lane.submit(job, self._record)
                else:
                    self._lane.send(job, self._record)
                if number == 1 and self._tail is not None:
                    # Before a byte of the caller's is read it is known that parts can be copied.
                    self._lane.drain(self._record)
            self._lane.drain(self._record)
            result = self._complete()
        except BaseException as error:
            self._fail(error)
            raise
        finally:
            self._lane.window.close()
        if self._tail is not None:
            self._tail.close()
        self._teller.tell("UploadCompleted", size=result.size, etag=result.etag, parts=result.parts)
        return result

    def _initiate(self) -> None:
        self._suspects = begin_upload(
            session=self._session,
            sender=self._way.sender,
            target=self._target,
            check=self._check,
            options=self._way.options,
            on_begun=lambda: None,
            tell=self._teller.tell,
            sleep=self._lane.window.sleep,
        )

    # -- parts -----------------------------------------------------------------------------------

    def _jobs(self) -> Iterator[Any]:
        for part in self._parts:
            yield self._job_of(part)
        if self._tail is not None:
            yield from self._tail_jobs(self._tail)

    @property
    def _how(self) -> dict[str, Any]:
        return {
            "policy": self._way.options.retry,
            "stop": self._lane.window,
            "budget": self._budget,
            "sender": self._way.sender,
        }

    def _job_of(self, part: PlannedPart) -> Job:
        upload_id = self._session.upload_id
        assert upload_id is not None
        how: Any = {
            **self._how,
            "target": self._target,
            "upload_id": upload_id,
            "part": part,
        }
        if part.is_copied:
            return CopyPartJob(found=self._sources[part.pieces[0].source].found, **how)
        return RelayJob(
            sources=self._sources,
            check=self._check,
            most_in_memory=self._way.most_in_memory,
            spool_directory=self._way.options.spool_directory,
            **how,
        )

    def _tail_jobs(self, tail: Intake) -> Iterator[PartJob]:
        """Yield the parts of the caller's bytes, each with its cost reserved before it is read."""
        number, before = 1, len(self._parts)
        while True:
            cost = tail.cost(number) if number + before <= self._way.limits.max_parts else 0
            while not self._lane.window.reserve(cost):
                self._lane.collect(self._record)
            body = tail.take(number)
            if body is None:
                self._lane.window.release(cost)
                return tail.check_end()
            yield PartJob(
                make_request=self._request_maker(body, number + before),
                body=body,
                check=self._check,
                cost=cost,
                **self._how,
            )
            number += 1

    def _request_maker(self, body: Any, number: int) -> Callable[[BodyDigests], S3Request]:
        upload_id = self._session.upload_id
        assert upload_id is not None
        return lambda digests: wire.upload_part_request(
            self._target, upload_id=upload_id, part_number=number, body=body, digests=digests
        )

    def _record(self, job: Any) -> None:
        part = job.result
        assert part is not None
        self._session.record(part)
        self._teller.arrived(job, part, in_flight=self._lane.window.in_flight)

    # -- the end ---------------------------------------------------------------------------------

    def _complete(self) -> UploadResult:
        session, sender = self._session, self._way.sender
        parts = session.contiguous_parts(expected=len(session.parts))
        stored = complete_upload(
            session=session,
            sender=sender,
            target=self._target,
            parts=parts,
            check=self._check,
            policy=self._way.options.retry,
        )
        etag = stored.etag or checksums.composite_etag(part.etag for part in parts)
        return uploaded(
            stored,
            size=session.size,
            etag=etag or etag_there(sender, self._target),
            upload_id=session.upload_id,
            parts=len(parts),
            part_size=parts[0].size,
            began=self._began,
            suspects=self._suspects,
        )

    def _fail(self, error: BaseException) -> None:
        if self._at_hand is not None and self._at_hand not in self._lane.waiting:
            self._at_hand.release()
        if self._tail is not None and not isinstance(error, copying.CopyUnsupportedError):
            close_source(self._tail, error)
        kept = end_failed_upload(
            error,
            session=self._session,
            window=self._lane.window,
            in_flight=self._lane.waiting,
            sender=self._way.sender,
            target=self._target,
            options=replace(self._way.options, on_failure="abort"),
            keeps=False,
            record=self._session.record,
            may_land_late=self._lane.was_interrupted or isinstance(error, TransportError),
        )
        self._teller.failed(error, kept=kept)
