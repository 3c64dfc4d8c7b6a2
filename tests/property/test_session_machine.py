# SPDX-License-Identifier: Apache-2.0
"""Machines over session events: whatever the order, no move is lost and no object is a mixture.

The first drives a session as a value against a model in ten lines; the second drives real uploads
on a fake, which are broken off, forgotten by their process, robbed, and taken up again, until what
is stored is compared with the source.
"""

from __future__ import annotations

from typing import Any
from hashlib import md5
from dataclasses import replace
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, invariant, initialize, precondition

from tests.unit.small import AT_ONCE, whole, chunks, service
from libcloud_s3mpu.protocol.errors import (
    SourceSizeError,
    SessionStateError,
    SourceChangedError,
    UploadMissingError,
)
from libcloud_s3mpu.protocol.options import UploadOptions
from libcloud_s3mpu.protocol.session import (
    MOVES,
    Event,
    State,
    UploadedPart,
    UploadSession,
)
from libcloud_s3mpu.transfer.journal import MemoryJournal

pytestmark = pytest.mark.property

COUNT = 8
DATA = whole(COUNT)
ENDS = (State.COMPLETED, State.ABORTED)


class SessionMachine(RuleBasedStateMachine):
    """A session as a value: its moves, its parts, its saved form."""

    def __init__(self) -> None:
        super().__init__()
        self.session = UploadSession(
            container="bucket", object_name="key", endpoint="http://127.0.0.1:80"
        )
        self.state = State.NEW
        self.parts: dict[int, str] = {}

    @rule(event=st.sampled_from(list(Event)))
    def moves(self, event: Event) -> None:
        target = MOVES.get((self.state, event))
        if target is None:
            with pytest.raises(SessionStateError):
                self.session.move(event)
        else:
            self.session.move(event)
            self.session.upload_id = "u"
            self.state = target

    @rule(number=st.integers(1, 5), etag=st.sampled_from("abc"))
    def records(self, number: int, etag: str) -> None:
        part = UploadedPart(part_number=number, size=5, etag=etag)
        if self.state is not State.OPEN:
            with pytest.raises(SessionStateError):
                self.session.record(part)
        else:
            self.session.record(part)
            self.parts[number] = etag

    @precondition(lambda self: self.session.upload_id is not None)
    @rule()
    def is_saved_and_read(self) -> None:
        back = UploadSession.from_json(self.session.to_json())
        assert back == self.session
        self.session = back

    @invariant()
    def is_what_the_model_says(self) -> None:
        assert self.session.state is self.state
        assert {n: part.etag for n, part in self.session.parts.items()} == self.parts
        assert self.session.size == 5 * len(self.parts)

    @invariant()
    def an_end_is_an_end(self) -> None:
        if self.state in ENDS:
            assert not any(state is self.state for state, _ in MOVES)

    @invariant()
    def only_a_whole_is_completed(self) -> None:
        numbers = sorted(self.parts)
        if numbers and numbers == list(range(1, len(numbers) + 1)):
            assert len(self.session.contiguous_parts(expected=len(numbers))) == len(numbers)
        else:
            with pytest.raises(SessionStateError):
                self.session.contiguous_parts(expected=max(numbers, default=1))


class Broken(Exception):
    """What ends a run of the machine below."""


class UploadMachine(RuleBasedStateMachine):
    """One upload through any number of runs, with everything between them that may happen."""

    @initialize(
        checksum=st.sampled_from(["auto", "crc32", "md5", "sha256"]),
        concurrency=st.sampled_from([None, 1, 3]),
    )
    def begins(self, checksum: str, concurrency: int | None) -> None:
        self.context = service()
        self.running = self.context.__enter__()
        self.journal = MemoryJournal()
        self.options = UploadOptions(
            part_size_bytes=5,
            retry=AT_ONCE,
            journal=self.journal,
            checksum=checksum,
            concurrency=concurrency,
        )
        self.runs(3, size=5)

    def teardown(self) -> None:
        if hasattr(self, "context"):
            self.context.__exit__(None, None, None)

    # -- what the machine does ---------------------------------------------------------------------

    def go(self, source: Any) -> Any:
        """Begin, or go on as a new process would: with the journal and nothing else."""
        driver, container = self.running.driver, self.running.container
        self.running.fake.requests.clear()
        saved = self.journal.list()
        assert len(saved) <= 1
        if not saved:
            handle = driver.ex_start_upload(container, "key", ex_options=self.options)
            return handle.run(source)
        return driver.ex_resume_upload(
            saved[0].upload_id, source, container, "key", ex_options=self.options
        )

    @property
    def upload(self) -> Any:
        return next(iter(self.running.fake.uploads.values()), None)

    @property
    def standing(self) -> dict[int, str]:
        return {n: part.etag for n, part in self.upload.parts.items()} if self.upload else {}

    @precondition(lambda self: self.upload is not None)
    @rule(count=st.integers(0, COUNT), size=st.integers(1, 9))
    def runs(self, count: int, size: int) -> None:
        """A run whose source breaks; what stands and is right is not sent again."""
        right = self.right()

        def source() -> Iterator[bytes]:
            for offset in range(0, 5 * count, size):
                yield DATA[offset : min(offset + size, 5 * count)]
            raise Broken

        with pytest.raises(Broken):
            self.go(source())
        assert not set(self.running.sent_parts()) & right
        assert right <= self.right()

    @precondition(lambda self: self.upload is not None)
    @rule(at=st.integers(0, len(DATA) - 1), is_stream=st.booleans())
    def meets_another_source(self, at: int, is_stream: bool) -> None:
        """It is refused, or what it had sent is sent again by the right one."""
        other = DATA[:at] + b"#" + DATA[at + 1 :]
        known = {n for saved in self.journal.list() for n in saved.parts} & self.right()
        before = self.standing
        if at // 5 + 1 not in known:
            return  # Nothing but the source knows what that part should be.
        with pytest.raises(SourceChangedError):
            self.go(iter([other]) if is_stream else other)
        assert {n: etag for n, etag in self.standing.items() if n in known} == {
            n: etag for n, etag in before.items() if n in known
        }
        if not is_stream:
            assert self.standing == before

    @precondition(lambda self: self.upload is not None)
    @rule(size=st.integers(0, len(DATA) - 1))
    def meets_a_shorter_source(self, size: int) -> None:
        known = {n for saved in self.journal.list() for n in saved.parts} & self.right()
        if max(known, default=0) * 5 <= size:
            return  # It may as well be the source of another, shorter object.
        with pytest.raises((SourceSizeError, SourceChangedError)):
            self.go(DATA[:size])

    @precondition(lambda self: self.upload is not None)
    @rule()
    def forgets_its_parts(self) -> None:
        """The process was killed before it saved what had arrived."""
        if self.right() != set(self.standing):
            return  # Nothing would say then whether the source or the part is the wrong one.
        (saved,) = self.journal.list()
        saved.parts.clear()
        saved.state = State.OPEN
        self.journal.save(saved)

    @precondition(lambda self: self.standing)
    @rule(data=st.data())
    def loses_a_part(self, data: st.DataObject) -> None:
        del self.upload.parts[data.draw(st.sampled_from(sorted(self.standing)))]

    @precondition(lambda self: self.standing)
    @rule(data=st.data())
    def is_robbed_of_a_part(self, data: st.DataObject) -> None:
        """Somebody else overwrites one that the session knows."""
        (saved,) = self.journal.list()
        known = sorted(saved.parts.keys() & self.right())
        if not known:
            return
        number = data.draw(st.sampled_from(known))
        part = self.upload.parts[number]
        etag = md5(b"?????").hexdigest()
        self.upload.parts[number] = replace(part, body=b"?????", etag=etag)

    @precondition(lambda self: self.upload is not None)
    @rule(is_stream=st.booleans())
    def gets_to_its_end(self, is_stream: bool) -> None:
        right = self.right()
        self.go(chunks(COUNT) if is_stream else DATA)
        assert self.running.stored() == DATA
        assert not set(self.running.sent_parts()) & right
        assert (self.journal.list(), self.upload) == ([], None)

    @precondition(lambda self: self.upload is not None)
    @rule()
    def is_aborted_by_a_lifecycle_rule(self) -> None:
        self.running.fake.uploads.clear()
        self.running.fake.objects["bucket"].pop("key", None)
        with pytest.raises(UploadMissingError):
            self.go(chunks(COUNT))
        assert self.journal.list() == []

    @precondition(lambda self: self.upload is None)
    @rule(count=st.integers(2, COUNT))
    def begins_anew(self, count: int) -> None:
        self.runs(count, size=5)

    def right(self) -> set[int]:
        """Give the numbers of those parts that hold the source's bytes."""
        if self.upload is None:
            return set()
        parts = self.upload.parts
        return {n for n, part in parts.items() if part.body == DATA[5 * n - 5 : 5 * n]}

    @invariant()
    def nothing_but_the_source_is_ever_stored(self) -> None:
        if hasattr(self, "running") and "key" in self.running.keys:
            assert self.running.stored() == DATA


FEW = settings(
    max_examples=40,
    stateful_step_count=15,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestSession = SessionMachine.TestCase
TestSession.settings = settings(max_examples=100, deadline=None)
TestUpload = UploadMachine.TestCase
TestUpload.settings = FEW
