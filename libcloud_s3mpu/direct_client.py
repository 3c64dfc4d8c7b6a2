# SPDX-License-Identifier: Apache-2.0
"""The client's half of a direct upload: no keys, only URLs that others signed.

For desktop clients and tests; browsers have their own. Parts go up in parallel by the engine's own
rooms (:mod:`.transfer.window`, :mod:`.transfer.attempt`), within the memory budget, and files are
sent without being copied. A URL that has expired is replaced by asking the app
(:class:`~.direct_ticket.DirectServer`), always in the calling thread. What stands already on the
service is not sent again. What a client was given is :mod:`.direct_ticket`'s.
"""

from __future__ import annotations

import os
import time
from typing import Any
from contextlib import ExitStack
from collections import Counter, deque
from collections.abc import Mapping, Callable

from .protocol import wire
from .direct_ticket import Urls, Ticket, UrlServer, DirectServer, listed_part, may_be_expired
from .transfer.pace import Pace, Patience
from .transfer.urls import UrlSender
from .protocol.retry import RetryBudget, RetryPolicy
from .protocol.errors import SourceSizeError, S3MultipartError, InvalidRequestError
from .protocol.limits import Limits
from .transfer.intake import Intake
from .transfer.window import Window
from .protocol.options import DEFAULT_MEMORY_BUDGET, DEFAULT_MAX_CONCURRENCY, UploadOptions
from .protocol.session import State, UploadedPart, UploadSession, UploadPausedError
from .transfer.attempt import PartJob
from .transfer.cleanup import drain, close_source, note_cleanup_error
from .protocol.messages import S3Request
from .protocol.partsize import PartSchedule
from .protocol.checksums import is_md5, digest_of
from .protocol.integrity import BodyDigests

#: How often one part's URL is replaced before a refusal is believed.
RENEWALS = 3
#: Retries that the parts of one upload share while none succeeds.
SHARED_RETRIES = 28


class DirectUploadClient:
    """Uploads by presigned URLs; one client may run any number of uploads, in any threads.

    :param concurrency: most parts in flight; as the network asks for, 20 at most, if None.
    :param memory_budget_bytes: bound on the parts held in memory; files are not held at all.
    :param checksum: ``"md5"`` has the service verify each part (``Content-MD5``, the one check
        that a URL allows without having signed it); ``"auto"`` relies on TLS on https, and on plain
        http has the server sign each part's SHA-256 if it can (``signed_part_url``, half the
        price), or else takes MD5; None never checks.
    :param on_progress: called with (bytes on the service, bytes in all) after each part, in the
        thread of :meth:`upload`; what it raises ends the upload.
    :param on_failure: ``"keep"`` leaves the parts for another :meth:`upload`, ``"abort"`` has the
        server give the upload up.
    :param ca_cert: path of a file with the certificates to trust; the system's if None.
    """

    def __init__(
        self,
        *,
        concurrency: int | None = None,
        memory_budget_bytes: int = DEFAULT_MEMORY_BUDGET,
        checksum: str | None = "auto",
        retry: RetryPolicy | None = None,
        on_progress: Callable[[int, int], None] | None = None,
        on_failure: str = "keep",
        timeout_seconds: float = 60.0,
        ca_cert: str | None = None,
    ) -> None:
        if checksum not in (None, "auto", "md5"):
            raise InvalidRequestError(f'checksum must be "auto", "md5" or None, not {checksum!r}')
        self.options = UploadOptions(
            concurrency=concurrency,
            memory_budget_bytes=memory_budget_bytes,
            checksum=checksum,
            retry=retry or RetryPolicy(),
            on_failure=on_failure,  # type: ignore[arg-type]
        )
        self.on_progress = on_progress
        self.sender = UrlSender(ca_cert=ca_cert, timeout_seconds=timeout_seconds)
        self.is_paused = False
        #: Origin -> whether its service takes URLs that are signed for one body.
        self.knows_bodies: dict[str, bool] = {}

    def __enter__(self) -> DirectUploadClient:
        return self

    def __exit__(self, *unused: object) -> None:
        self.close()

    def close(self) -> None:
        """Drop the connections that are kept alive."""
        self.sender.close()

    def pause(self) -> None:
        """Have the uploads under way stop after the parts in flight; from any thread.

        They raise :class:`UploadPausedError`; :meth:`upload` with the same ticket goes on.
        """
        self.is_paused = True

    def upload(
        self,
        source: Any,
        ticket: Mapping[str, Any] | str | bytes,
        server: DirectServer | None = None,
        *,
        is_resumed: bool = False,
    ) -> Any:
        """Send ``source`` and have the upload completed; gives what the server's ``complete`` does.

        :param source: a file's path, or what the driver takes as a source, from its beginning.
        :param ticket: what the app gave (``DirectUpload.as_dict``), as a mapping or JSON.
        :param server: asked for URLs, what is there, and to complete; the ticket's own URLs if
            None.
        :param is_resumed: list first what the service has. Parts of the right size are not sent
            again if their ETag is the MD5 of the bytes, or tells nothing of them.
        :raises SourceSizeError: if the source has not the declared size.
        :raises UploadPausedError: after :meth:`pause`.
        :raises AccessDeniedError: if a URL is refused, and fresh ones are too.
        """
        self.is_paused = False
        read = Ticket.read(ticket)
        asked = server or UrlServer(read, self.sender, self.options.retry)
        with ExitStack() as held:
            if isinstance(source, (os.PathLike, str)):
                source = held.enter_context(open(source, "rb"))
            return _Run(self, read, asked).run(source, is_resumed=is_resumed)


class _Held:
    """A body that outlives a failed attempt: its part may be sent by another URL."""

    __slots__ = ("_body", "size", "is_lazy")

    def __init__(self, body: Any) -> None:
        self._body = body
        self.size: int = body.size
        self.is_lazy: bool = body.is_lazy

    def buffers(self) -> Any:
        return self._body.buffers()

    def release(self) -> None:
        """Wait for :meth:`let_go`."""

    def let_go(self) -> None:
        self._body.release()


class _Run:
    """One upload by one thread."""

    def __init__(self, client: DirectUploadClient, ticket: Ticket, server: DirectServer) -> None:
        self._client = client
        self._options = client.options
        self._sender = client.sender
        self._ticket = ticket
        self._server = server
        self._urls = Urls(ticket, server, client.knows_bodies)
        self._ceiling = client.options.concurrency or DEFAULT_MAX_CONCURRENCY
        self._patience = Patience()
        self._budget = RetryBudget(SHARED_RETRIES)
        self._began = time.monotonic()
        #: Part in flight -> its number, its body, and the URL it went to.
        self._jobs: dict[PartJob, tuple[int, _Held, str]] = {}
        #: Parts whose URL was refused, to be sent by another one before more is read.
        self._again: deque[tuple[int, _Held, int]] = deque()
        self._renewals: Counter[int] = Counter()
        self._listed: dict[int, UploadedPart] = {}
        self._session = UploadSession(
            container=ticket.container,
            object_name=ticket.object_name,
            upload_id=ticket.upload_id,
            state=State.OPEN,
        )

    def run(self, source: Any, *, is_resumed: bool) -> Any:
        ticket = self._ticket
        intake = self._open(source)
        self._window = Window(
            budget_bytes=self._options.memory_budget_bytes, ceiling=self._ceiling, pace=Pace()
        )
        try:
            if is_resumed and ticket.upload_id is not None:
                found = map(listed_part, self._server.list_parts())
                self._listed = {part.part_number: part for part in found}
            self._send_all(intake)
            intake.check_end()
            parts = self._session.contiguous_parts(expected=ticket.number_of_parts)
        except BaseException as error:
            close_source(intake, error)
            self._fail(error)
            raise
        finally:
            self._window.close()
        intake.close()
        return self._server.complete(
            [{"PartNumber": part.part_number, "ETag": part.etag} for part in parts]
        )

    def _open(self, source: Any) -> Intake:
        ticket = self._ticket
        size = max(ticket.part_size_bytes, 1)
        limits = Limits(
            min_part_size=1,
            max_part_size=size,
            max_parts=ticket.number_of_parts,
            max_object_size=max(ticket.size_bytes, 1),
        )
        intake = Intake(
            source,
            options=UploadOptions(
                size_bytes=ticket.size_bytes,
                memory_budget_bytes=self._options.memory_budget_bytes,
            ),
            limits=limits,
            where=f"{ticket.container}/{ticket.object_name}",
            must_not_change=True,
            schedule=PartSchedule(size, size, ticket.number_of_parts),
        )
        if intake.known_size != ticket.size_bytes:
            raise SourceSizeError(
                f"the source has {intake.known_size} bytes; the upload of {ticket.container}/"
                f"{ticket.object_name} was begun for {ticket.size_bytes}"
            )
        return intake

    # -- parts -----------------------------------------------------------------------------------

    def _send_all(self, intake: Intake) -> None:
        number = 0
        while True:
            self._collect()
            if self._again:
                again, body, cost = self._again.popleft()
                self._reserve(cost)
                self._send(again, body, cost=cost)
            elif number < self._ticket.number_of_parts and not (
                # Whether the service knows URLs for one body is seen by one part, not by all.
                self._urls.is_trying and self._jobs
            ):
                number += 1
                self._send_next(intake, number)
            elif self._jobs:
                self._window.wait()
            else:
                break
        if intake.take(number + 1) is not None:
            raise SourceSizeError("the source is longer than declared")

    def _send_next(self, intake: Intake, number: int) -> None:
        cost = intake.cost(number)
        self._reserve(cost)
        taken = intake.take(number)
        body = _Held(taken if taken is not None else intake.snapshot(None))
        if body.size != self._ticket.size_of(number):
            body.let_go()
            intake.check_end()  # Says how much came and how much was announced.
            raise SourceSizeError(f"part {number} of the source has {body.size} bytes")
        if self._stands(number, body):
            self._window.release(cost)
            self._record(self._listed[number], body)
        else:
            self._send(number, body, cost=cost)

    def _reserve(self, cost: int) -> None:
        while not self._window.reserve(cost):
            self._collect()

    def _stands(self, number: int, body: _Held) -> bool:
        """Tell whether the service has this part with these bytes."""
        part = self._listed.get(number)
        if part is None or part.size != body.size:
            return False
        if not self._ticket.has_md5_etags or not is_md5(part.etag):
            return True  # The service's own, or encrypted: the size is all that can be compared.
        return digest_of("md5", body.buffers()).hex() == part.etag.lower()

    def _send(self, number: int, body: _Held, *, cost: int) -> None:
        url = self._urls.give(number, done=self._session.parts)
        job = self._job(number, body, url, cost)
        can_begin = self._sender.has_idle or not self._jobs
        is_inline = can_begin and self._sender.is_lean and self._patience.tries_inline()
        self._jobs[job] = number, body, url
        is_alone = self._ceiling == 1
        if (is_alone or is_inline) and self._run_here(job, is_alone=is_alone):
            return
        try:
            self._window.submit(job)
        except RuntimeError:
            self._run_here(job, is_alone=True)  # The system gives no thread.

    def _job(self, number: int, body: _Held, url: str, cost: int) -> PartJob:
        ticket = self._ticket
        operation = "UploadPart" if ticket.upload_id is not None else "PutObject"

        def make_request(digests: BodyDigests) -> S3Request:
            place, checks = self._urls.for_body(number, url, digests)
            return ticket.request(
                operation,
                "PUT",
                place,
                headers={**checks, **ticket.headers},
                body=body,
                answer_limit=wire.SMALL_ANSWER,
                part_number=number,
            )

        return PartJob(
            sender=self._sender,
            make_request=make_request,
            body=body,
            check=self._urls.check_of(self._options.checksum, url),
            policy=self._options.retry,
            cost=cost,
            stop=self._window,
            budget=self._budget,
        )

    def _run_here(self, job: PartJob, *, is_alone: bool) -> bool:
        """Run a job in this thread; False if a worker must go on with it."""
        try:
            if is_alone:
                job.run()
            else:
                elapsed = time.monotonic() - self._began
                if not job.run_inline(self._patience.seconds(elapsed)):
                    self._patience.missed(job.waited_seconds)
                    return False
                self._patience.hit(job.waited_seconds)
        except Exception as error:
            job.error = error
        except BaseException:
            job.release()
            raise
        self._window.release(job.cost)
        self._settle(job)
        return True

    def _collect(self) -> None:
        for job in self._window.collect():
            self._settle(job)
        if self._client.is_paused:
            raise UploadPausedError(
                f"the upload of {self._ticket.container}/{self._ticket.object_name} was paused "
                f"after {len(self._session.parts)} parts",
                upload_id=self._ticket.upload_id,
            )

    def _settle(self, job: PartJob) -> None:
        """Record a part that arrived; take a refused URL's part up again; raise other failures."""
        number, body, url = self._jobs.pop(job)
        error = job.error
        if error is None:
            assert job.result is not None
            self._urls.taken(url)
            self._record(job.result, body)
            return
        can_renew = may_be_expired(error) and not isinstance(self._server, UrlServer)
        if not can_renew or self._renewals[number] >= RENEWALS:
            body.let_go()
            raise error
        self._renewals[number] += 1
        self._urls.refused(number, url)
        self._again.append((number, body, job.cost))

    def _record(self, part: UploadedPart, body: _Held) -> None:
        body.let_go()
        self._session.record(part)
        if self._client.on_progress is not None:
            self._client.on_progress(self._session.size, self._ticket.size_bytes)

    def _fail(self, error: BaseException) -> None:
        """Let what is in flight end, and keep or give up the parts; raises nothing."""
        keeps = self._options.on_failure == "keep" or isinstance(error, UploadPausedError)
        is_interrupt = not isinstance(error, Exception)
        try:
            drain(self._window, self._jobs, self._session, keeps=keeps, is_interrupt=is_interrupt)
            waiting = [body for _, body, _ in self._jobs.values()]
            for body in waiting + [body for _, body, _ in self._again]:
                body.let_go()
            if not keeps:
                self._server.abort()
            elif isinstance(error, S3MultipartError):
                error.resumable = self._ticket.upload_id is not None
        except BaseException as second:
            note_cleanup_error(error, second, "the direct upload may still hold parts")


__all__ = ["DirectServer", "DirectUploadClient"]
