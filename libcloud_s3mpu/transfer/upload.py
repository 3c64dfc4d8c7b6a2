# SPDX-License-Identifier: Apache-2.0
"""THE ROAD: one upload from its source to the confirmed object, and the failure road.

Read it top to bottom: :meth:`Upload.run`, then ``_multipart``. The calling thread owns the source
and the session; workers own one part each (:mod:`.attempt`), and the window (:mod:`.window`) is all
they share. The law of memory, measured by ``tests/test_memory.py``:

    peak <= memory budget + one part (while its chunks are gathered) + one caller's chunk

The failure road, for any BaseException: stop pulling, close the source, cancel what waits, cut and
drain what is in flight, then abort (or keep, as asked); the first error is what is raised, what went
wrong afterwards is attached to it.
"""

from __future__ import annotations

import time
import logging
from typing import Any, Protocol
from dataclasses import dataclass

from .pace import Pace, Patience
from .spool import FILE_BLOCK, FileBody, MemoryBody, spool_to_file
from .window import Window
from .attempt import Sender, PartJob, retried
from .cleanup import abort_upload, note_cleanup_error
from .complete import complete_upload
from .splitter import Splitter, FileSplitter, open_source, check_length
from ..protocol import wire, events, checksums
from ..protocol.errors import SourceSizeError, S3MultipartError
from ..protocol.limits import Limits
from ..protocol.options import DEFAULT_MAX_CONCURRENCY, UploadOptions
from ..protocol.session import Event, UploadSession
from ..protocol.partsize import part_schedule
from ..protocol.integrity import BodyDigests, body_check, digests_of

log = logging.getLogger("libcloud_s3mpu.upload")

#: Seconds that a kept upload's parts in flight may take to end before they are cut.
KEEP_DRAIN_SECONDS = 10.0


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
        self._patience = Patience()
        self._began = time.monotonic()
        self._in_flight: set[PartJob] = set()
        self._cut = 0
        self._acknowledged = 0
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
        splitter = open_source(source)
        try:
            announced = self._options.size_bytes
            known = announced if announced is not None else splitter.length
            self._schedule = self._cuts(known)
            first = self._take(splitter, 1)
            if first is None or (first.size < self._schedule.size_of(1)) or not splitter.has_more():
                check_length(splitter, announced=announced, where=self._where)
                result = self._single(self._snapshot(splitter, first))
            else:
                result = self._multipart(splitter, first)
        except BaseException as error:
            self._close_source(splitter, error)
            raise
        splitter.close()
        self._tell(events.UploadCompleted, size=result.size, etag=result.etag, parts=result.parts)
        return result

    @property
    def _where(self) -> str:
        return f"{self._target.bucket}/{self._target.key}"

    def _cuts(self, known: int | None) -> Any:
        options = self._options
        try:
            return part_schedule(
                self._limits,
                part_size=options.part_size_bytes,
                size=known,
                size_hint=options.size_hint_bytes,
            )
        except ValueError as error:
            raise SourceSizeError(
                f"{self._where} cannot be uploaded: {error}",
                container=self._target.bucket,
                object_name=self._target.key,
            ) from error

    # -- a small object: one PUT -----------------------------------------------------------------

    def _snapshot(self, splitter: Splitter, body: Any) -> Any:
        """Have the bytes of a small object in hand before its one request is sent."""
        if body is None:
            return MemoryBody([], 0)
        if isinstance(splitter, FileSplitter):
            body = MemoryBody([bytes(block) for block in body.buffers()], body.size)
            if self._must_not_change:
                splitter.check_unchanged()
        return body

    def _single(self, body: Any) -> UploadResult:
        try:
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

    def _multipart(self, splitter: Splitter, body: Any) -> UploadResult:
        options = self._options
        self._window = Window(
            budget_bytes=options.memory_budget_bytes, ceiling=self._ceiling(), pace=Pace()
        )
        try:
            cost = self._cost(splitter, 1)
            self._window.reserve(cost)
            self._initiate()
            number = 0
            while body is not None:
                number += 1
                self._send(number, body, cost)
                body, cost = self._next(splitter, number + 1)
            while self._in_flight:
                self._window.wait()
                self._collect()
            check_length(splitter, announced=options.size_bytes, where=self._where)
            if self._must_not_change and isinstance(splitter, FileSplitter):
                splitter.check_unchanged()
            return self._completed(number, splitter.offset)
        except BaseException as error:
            self._fail(error)
            raise
        finally:
            self._window.close()

    def _ceiling(self) -> int:
        """Most parts in flight; a connection class that nobody knows is not given threads."""
        if self._options.concurrency is not None:
            return self._options.concurrency
        return DEFAULT_MAX_CONCURRENCY if self._transport.is_known_class else 1

    def _initiate(self) -> None:
        request = wire.initiate_request(self._target, self._check)
        upload_id = retried(
            lambda _: wire.initiate_result(request, self._transport.call(request)),
            policy=self._options.retry,
            sleep=self._window.sleep,
        )
        self._session.initiated(upload_id)
        log.debug("upload.initiated %s upload %s", self._where, upload_id)

    def _next(self, splitter: Splitter, number: int) -> tuple[Any, int]:
        """Get permission, then the bytes of the next part; (None, 0) when the source has ended."""
        if number > self._schedule.max_parts:
            if splitter.has_more():
                raise SourceSizeError(
                    f"the source of {self._where} is longer than {splitter.offset} bytes, which is "
                    f"all that {number - 1} parts of this schedule hold; give size_hint_bytes or "
                    "part_size_bytes",
                    container=self._target.bucket,
                    object_name=self._target.key,
                    upload_id=self._session.upload_id,
                )
            return None, 0
        cost = self._cost(splitter, number)
        while not self._window.reserve(cost):
            self._collect()
        body = self._take(splitter, number)
        if body is None:
            self._window.release(cost)
        return body, cost

    def _cost(self, splitter: Splitter, number: int) -> int:
        """Give the memory in bytes that part ``number`` holds while it is in flight."""
        if isinstance(splitter, FileSplitter):
            return FILE_BLOCK
        size = int(self._schedule.size_of(number))
        half = max(1, self._options.memory_budget_bytes // 2)
        return size if size <= half else half

    def _take(self, splitter: Splitter, number: int) -> Any:
        """Take the bytes of a part from the source; None when it has ended."""
        size = self._schedule.size_of(number)
        if isinstance(splitter, FileSplitter):
            offset = splitter.start + splitter.offset
            granted = splitter.skip(size)
            body: Any = FileBody(splitter.fileno, offset, granted) if granted else None
        elif size > max(1, self._options.memory_budget_bytes // 2):
            body = spool_to_file(splitter.take, size, directory=self._options.spool_directory)
        else:
            before = splitter.offset
            buffers = splitter.take(size)
            got = splitter.offset - before
            body = MemoryBody(buffers, got) if got else None
        announced = self._options.size_bytes
        if announced is not None and splitter.offset > announced:
            check_length(splitter, announced=announced, where=self._where)
        if splitter.offset > self._limits.max_object_size:
            raise SourceSizeError(
                f"the source of {self._where} is larger than the largest object of this service "
                f"({self._limits.max_object_size} bytes)"
            )
        return body

    def _send(self, number: int, body: Any, cost: int) -> None:
        """Send a part: inline as long as the network does not make this thread wait."""
        session = self._session
        assert session.upload_id is not None
        upload_id = session.upload_id

        def make_request(digests: BodyDigests) -> Any:
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
            sleep=self._window.sleep,
            is_stopping=lambda: self._window.is_stopping,
        )
        if self._tells:
            self._tell(
                events.PartStarted,
                part_number=number,
                size=body.size,
                in_flight=self._window.in_flight + 1,
            )
        if self._ceiling() == 1:
            try:
                job.run()
            finally:
                self._window.release(cost)
            self._record(job)
        elif not (self._is_inline_worth() and self._sent_inline(job, cost)):
            self._in_flight.add(job)
            self._window.submit(job)
        self._collect()

    def _is_inline_worth(self) -> bool:
        # Connecting takes round trips: only the first part may wait for that in this thread.
        if not self._is_lean or not (
            self._transport.has_idle(self._target.bucket) or not self._in_flight
        ):
            return False
        return self._patience.tries_inline()

    def _sent_inline(self, job: PartJob, cost: int) -> bool:
        try:
            is_sent = job.run_inline(self._patience.seconds(time.monotonic() - self._began))
        except BaseException:
            job.release()
            self._window.release(cost)
            raise
        if not is_sent:
            self._patience.missed(job.waited_seconds)
            return False
        self._patience.hit(job.waited_seconds)
        self._window.release(cost)
        self._record(job)
        return True

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

    def _completed(self, number: int, size: int) -> UploadResult:
        session = self._session
        parts = session.contiguous_parts(expected=number)
        stored = complete_upload(
            session=session,
            sender=self._transport,
            target=self._target,
            parts=parts,
            size=size,
            check=self._check,
            policy=self._options.retry,
        )
        etag = stored.etag or checksums.composite_etag(p.etag for p in parts)
        return UploadResult(
            size=size,
            etag=etag or self._etag_by_head(),
            upload_id=session.upload_id,
            parts=number,
            part_size_bytes=parts[0].size,
            checksum=stored.checksum,
            version_id=stored.version_id,
            seconds=time.monotonic() - self._began,
        )

    # -- the failure road ------------------------------------------------------------------------

    def _close_source(self, splitter: Splitter, error: BaseException) -> None:
        try:
            splitter.close()
        except BaseException as second:
            note_cleanup_error(error, second, "closing the source failed too")

    def _fail(self, error: BaseException) -> None:
        """End an upload that cannot be completed; never raises in the first error's place."""
        keeps = self._options.on_failure == "keep"
        try:
            self._drain(keeps=keeps)
            session = self._session
            if session.upload_id is None or not abortable(session):
                return
            if keeps:
                session.move(Event.KEPT)
                note_kept(error, session)
            else:
                session.move(Event.ABORT_SENT)
                abort_upload(
                    sender=self._transport,
                    target=self._target,
                    upload_id=session.upload_id,
                    policy=self._options.retry,
                    verifies=self._cut > 0,
                )
                session.move(Event.ABORT_CONFIRMED)
            self._tell(events.UploadAborted, kept=keeps, reason=type(error).__name__)
        except BaseException as second:
            note_cleanup_error(
                error, second, f"upload {self._session.upload_id} may still hold parts"
            )

    def _drain(self, *, keeps: bool) -> None:
        """Let the parts in flight end: cut at once for an abort, with some patience for a resume."""
        until = time.monotonic() + (KEEP_DRAIN_SECONDS if keeps else 0.0)
        waiting = set(self._in_flight)
        if not keeps:
            self._window.cancel()
        while self._window.in_flight:
            left = until - time.monotonic()
            if left <= 0:
                self._window.cancel()
                self._cut += len(waiting)
                for job in waiting:
                    job.cut()
            # Woken by each part that ends; one that began between cut and here is cut again.
            self._window.wait(max(left, 0.05) if left > 0 else 0.05)
            for job in self._window.collect():
                waiting.discard(job)
                if job.result is not None and keeps:
                    self._session.record(job.result)
        for job in waiting:
            job.release()
        self._in_flight.clear()

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


def abortable(session: UploadSession) -> bool:
    """Tell whether an upload may be aborted: not while complete may have taken effect."""
    return session.state.name == "OPEN"


def note_kept(error: BaseException, session: UploadSession) -> None:
    """Say on the error that the parts are still there."""
    if isinstance(error, S3MultipartError):
        error.resumable = True
        error.upload_id = error.upload_id or session.upload_id
    text = f"The upload was kept: upload id {session.upload_id}, {len(session.parts)} parts."
    if hasattr(error, "add_note"):
        error.add_note(text)
