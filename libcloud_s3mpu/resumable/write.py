# SPDX-License-Identifier: Apache-2.0
"""One write: the tail and what the client sends, cut into parts that travel in parallel.

The calling thread owns the stream, the record and the lock; workers own one part each
(:mod:`..transfer.attempt`) and share only the window with it. Permission is taken before bytes are
read, so that the parts in memory never exceed the budget.

What is acknowledged is the gapless run of parts that arrived, behind those that counted before;
parts behind a gap are forgotten, and their numbers used again. A tail's object is never changed: a
new one has another name, and the old one goes once the record names the new one, or counts a part
that has its bytes. Whatever request is the last one sent, the record that is read next is true.
"""

from __future__ import annotations

import time
import logging
import secrets
from typing import Any
from dataclasses import replace

from .lease import Lock
from .state import Kept, Store, forget_tail
from .errors import FencedError, OffsetMismatchError, UploadTooLargeError
from .record import Tail, counted
from .source import Source
from ..protocol import wire
from ..transfer.pace import Pace
from ..protocol.retry import RetryBudget
from ..transfer.spool import MemoryBody, spool_to_file, keep_freed_memory
from ..transfer.window import Window
from ..protocol.session import UploadedPart
from ..transfer.attempt import PartJob
from ..protocol.messages import S3Request
from ..protocol.integrity import BodyDigests

log = logging.getLogger("libcloud_s3mpu.resumable")

#: Retries that the parts of one write share while none succeeds, as :mod:`..transfer.upload` has.
SHARED_RETRIES = 28
#: Seconds that parts whose connection was cut may take to end, and between two cuts.
ABANDON_SECONDS = 5.0
CUT_AGAIN_SECONDS = 0.05
#: Seconds after which parts that arrived are committed although the write goes on.
COMMIT_SECONDS = 3.0


class Write:
    """One write under its lock; :meth:`run` is called once, from the thread that reads."""

    def __init__(self, store: Store, kept: Kept, lock: Lock, source: Source) -> None:
        self._store = store
        self._lock = lock
        self._source = source
        self._target = store.target(kept.record)
        self._check = store.check_of(kept.record)
        self._kept = kept
        #: What will be committed next.
        self._record = kept.record
        self._arrived: dict[int, UploadedPart] = {}
        self._budget = RetryBudget(SHARED_RETRIES)
        self._committed_at = time.monotonic()
        self._window = Window(
            budget_bytes=store.options.budget_bytes,
            ceiling=min(store.options.workers, store.options.max_buffered_parts),
            pace=Pace(),
            name="s3mpu-write",
        )
        self._jobs: set[PartJob] = set()

    @property
    def kept(self) -> Kept:
        """What was committed last."""
        return self._kept

    def run(self) -> Kept:
        """Store what the source gives; gives back what is committed.

        :raises UploadTooLargeError: if there is more than the length; what was sent in whole parts
            before that stays.
        :raises S3MultipartError: if S3 would not; what arrived before a gap was committed.
        """
        try:
            rest = self._send_parts()
            self._drain()
            self._keep_rest(rest)
            if self._source.is_full and self._source.has_more():
                raise self._too_large("an upload has no more")
            return self._kept
        except FencedError:
            self._abandon()
            raise
        except Exception as error:
            if not isinstance(error, UploadTooLargeError):
                self._window.cancel()  # What waits, and what would be tried again.
            self._drain_failed()
            raise
        except BaseException:
            self._abandon()
            raise
        finally:
            self._window.close()

    # -- parts -----------------------------------------------------------------------------------

    def _send_parts(self) -> tuple[list[bytes], int]:
        """Send every part that the source gives; give what is left behind the last one."""
        record, sizes, length = self._record, self._store.sizes, self._record.length
        number, offset = record.parts + 1, record.part_bytes
        held = self._tail_bytes()
        while True:
            if number > sizes.max_parts:
                if self._source.has_more():
                    raise self._too_large(f"part numbers end at {sizes.max_parts}")
                return held, sum(map(len, held))
            size = sizes.full(number, offset, length)
            while not self._window.reserve(size):
                self._collect()
            body = self._take(size, held)
            got = body.size if body is not None else 0
            is_last = length is not None and offset + got == length
            if is_last and self._has_more(body):
                self._window.release(size)
                raise self._too_large(f"its length is {length} bytes")
            if not got or not self._is_part(number, got, offset, size, is_last=is_last):
                rest = [bytes(chunk) for chunk in body.buffers()] if got else []
                self._let_go(body, size)
                return rest, got
            held = []
            self._send(number, body, cost=size, here=is_last and not self._jobs)
            number, offset = number + 1, offset + got
            if is_last or (self._source.has_ended and got < size):
                return [], 0

    def _has_more(self, body: Any) -> bool:
        """Tell whether there is more than the last part; then its body is let go of."""
        more = True
        try:
            more = self._source.has_more()
        finally:
            if more:
                body.release()
        return more

    def _let_go(self, body: Any, cost: int) -> None:
        self._window.release(cost)
        if body is not None:
            body.release()

    def _is_part(self, number: int, got: int, offset: int, size: int, *, is_last: bool) -> bool:
        if is_last or got == size:
            return True
        return self._store.sizes.takes_short(number, got, offset, self._record.length)

    def _take(self, size: int, held: list[bytes]) -> Any:
        """Give the next part's body: the tail's bytes first, then the source's; None for none."""
        directory = self._store.options.temporary_directory
        if directory is not None:
            waiting = list(held)

            def take(wanted: int) -> list[bytes]:
                first = waiting.copy()
                waiting.clear()
                return first + self._source.take(max(0, wanted - sum(map(len, first))))

            return spool_to_file(take, size, directory=directory)
        keep_freed_memory()
        chunks: list[Any] = [*held, *self._source.take(size - sum(map(len, held)))]
        got = sum(map(len, chunks))
        return MemoryBody(chunks, got) if got else None

    def _send(self, number: int, body: Any, *, cost: int, here: bool) -> None:
        try:
            self._lock.check()
        except BaseException:
            self._let_go(body, cost)
            raise
        upload_id = self._record.upload_id

        def make_request(digests: BodyDigests) -> S3Request:
            return wire.upload_part_request(
                self._target, upload_id=upload_id, part_number=number, body=body, digests=digests
            )

        job = PartJob(
            sender=self._store.objects.sender,
            make_request=make_request,
            body=body,
            check=self._check,
            policy=self._store.objects.policy,
            cost=cost,
            stop=self._window,
            budget=self._budget,
        )
        if here or self._store.options.workers == 1:
            self._run_here(job)
        else:
            self._jobs.add(job)
            try:
                self._window.submit(job)
            except RuntimeError:  # The system gives no thread: slower is better than failed.
                self._jobs.discard(job)
                self._run_here(job)
        self._collect()

    def _run_here(self, job: PartJob) -> None:
        try:
            job.run()
        finally:
            self._window.release(job.cost)
        self._note(job)

    def _collect(self) -> None:
        """Take in what has finished; the first failure ends the write."""
        failed = self._look()
        if failed is not None:
            raise failed
        grown = len(self._record.digest) and self._record.parts - self._kept.record.parts
        is_time = time.monotonic() - self._committed_at > COMMIT_SECONDS
        if grown >= self._store.options.commit_parts or (grown and is_time):
            self._commit()

    def _look(self) -> BaseException | None:
        failed: BaseException | None = None
        for job in self._window.collect():
            self._jobs.discard(job)
            if job.error is not None:
                failed = failed or job.error
            else:
                self._note(job)
        return failed

    def _note(self, job: PartJob) -> None:
        """Count every part up to the first gap."""
        part = job.result
        assert part is not None
        self._arrived[part.part_number] = part
        while (following := self._arrived.pop(self._record.parts + 1, None)) is not None:
            self._record = counted(self._record, following)

    def _drain(self) -> None:
        while self._window.in_flight:
            self._window.wait()
            self._collect()
        self._collect()

    def _drain_failed(self) -> None:
        """Wait for all, commit what arrived before the first gap; the first error goes on."""
        try:
            while self._window.in_flight:
                self._window.wait()
                self._look()
            self._look()
            self._release()
            if self._record.parts > self._kept.record.parts:
                self._commit()
        except Exception as error:
            log.warning("upload %s: what arrived was not committed: %s", self._record.id, error)

    def _abandon(self) -> None:
        """Stop as soon as may be, and acknowledge nothing more."""
        self._window.cancel()
        until = time.monotonic() + ABANDON_SECONDS
        while self._window.in_flight and time.monotonic() < until:
            for job in list(self._jobs):
                job.cut()
            self._window.wait(CUT_AGAIN_SECONDS)
            self._look()
        if not self._window.in_flight:
            self._release()

    def _release(self) -> None:
        """Let go of the parts that no worker will begin."""
        for job in self._jobs:
            job.release()
        self._jobs.clear()

    # -- the tail --------------------------------------------------------------------------------

    def _tail_bytes(self) -> list[bytes]:
        """Give the bytes of the tail that counts.

        :raises OffsetMismatchError: if they are gone; the record was corrected.
        """
        record = self._record
        if not record.tail_size or record.tail is None:
            return []
        tail, store = record.tail, self._store
        key = store.side_key(record.name, tail.kind)
        # A 403 proves no loss: bytes that were acknowledged are not given up for it.
        got = store.objects.get(
            key, limit=max(tail.size, store.options.max_part_size), denied_is_none=False
        )
        if got is not None and len(got.body) >= tail.size and tail.etag in (None, got.etag):
            return [got.body[: tail.size]]
        self._record = replace(record, tail=None)
        self._commit()
        raise OffsetMismatchError(
            f"upload {record.id}: the bytes behind offset {self._record.offset} were lost by "
            "somebody who removed or replaced their object; they must be sent again",
            offset=self._record.offset,
            id=record.id,
        )

    def _keep_rest(self, rest: tuple[list[bytes], int]) -> None:
        """Keep what is no part as the tail, and commit."""
        chunks, size = rest
        record = self._record
        if size > record.tail_size:
            store = self._store
            self._lock.check(now=True)
            tail = Tail(offset=record.part_bytes, size=size, etag=None, mark=secrets.token_hex(4))
            key = store.side_key(record.name, tail.kind)
            headers = store.tag_headers(completed=False)
            etag = store.objects.put(key, b"".join(chunks), headers=headers)
            self._record = replace(record, tail=replace(tail, etag=etag))
        if self._record != self._kept.record:
            try:
                self._commit()
            except FencedError:
                if self._record.tail not in (None, self._kept.record.tail):
                    forget_tail(self._store, self._record)  # Nobody else knows of it.
                raise

    def _commit(self) -> None:
        before = self._kept.record
        self._kept = self._store.commit(self._kept, self._record, self._lock)
        self._record = self._kept.record
        if before.tail is not None and before.tail != self._record.tail:
            forget_tail(self._store, before)
        self._committed_at = time.monotonic()

    def _too_large(self, reason: str) -> UploadTooLargeError:
        return UploadTooLargeError(
            f"upload {self._record.id} was sent more bytes than it takes: {reason}",
            id=self._record.id,
        )
