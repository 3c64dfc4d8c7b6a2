# SPDX-License-Identifier: Apache-2.0
"""What the outcome of an upload must be, said once: there and identical, or an error and nothing.

No test lives here; the fixtures are in ``conftest.py``.
"""

from __future__ import annotations

from typing import Any, TypeVar, Protocol
from dataclasses import dataclass
from collections.abc import Callable, Iterator

import pytest

from tests.fake_s3 import FakeS3, faults
from tests.unit.small import PATIENCE_SECONDS, Apart, Service, whole, chunks
from libcloud_s3mpu.protocol.retry import RetryPolicy

INITIATE = "InitiateMultipartUpload"
PART = "UploadPart"
COMPLETE = "CompleteMultipartUpload"
ABORT = "AbortMultipartUpload"
LIST_PARTS = "ListParts"
HEAD = "HeadObject"

#: The three operations that every upload in parts has.
VERBS = [INITIATE, PART, COMPLETE]
#: Parts of the usual object, and the attempts that :data:`~tests.unit.small.AT_ONCE` allows.
PARTS = 4
ATTEMPTS = 6
DATA = whole(PARTS)

E = TypeVar("E", bound=BaseException)


@dataclass(frozen=True, slots=True)
class Tried(Service):
    """A service, and what may be there when an upload has ended."""

    def succeeds(self, source: Any = None, data: bytes = DATA, key: str = "key", **o: Any) -> Any:
        """Upload; every scripted fault was met, the object is identical, nothing else is left."""
        result = self.timed(lambda: self.upload(self._or_chunks(source), key, **o))
        self.is_whole(data, key)
        assert self.fake.unspent == []
        return result

    def fails(
        self, kind: type[E] | tuple[type[E], ...], source: Any = None, key: str = "key", **o: Any
    ) -> E:
        """Upload; the error is of that kind, there is no object, and no upload is left."""
        before = self.fake.objects["bucket"].get(key)
        with pytest.raises(kind) as caught:
            self.timed(lambda: self.upload(self._or_chunks(source), key, **o))
        assert self.fake.objects["bucket"].get(key) is before
        assert self.fake.uploads == {}
        return caught.value

    def is_whole(self, data: bytes = DATA, key: str = "key") -> None:
        assert self.stored(key) == data
        assert self.fake.uploads == {}

    def timed(self, call: Callable[[], Any], seconds: float = PATIENCE_SECONDS) -> Any:
        """Call, in a thread of its own: a hang is a failure."""
        return Apart(call).result(seconds)

    def count(self, operation: str, part_number: int | None = None) -> int:
        return sum(
            part_number in (None, record.part_number) for record in self.fake.requests_of(operation)
        )

    def _or_chunks(self, source: Any) -> Any:
        return chunks(PARTS) if source is None else source


class MakeTried(Protocol):
    """The type of the fixture ``make_s3``."""

    def __call__(
        self, road: str = "lean", *, timeout_seconds: float | None = None, **options: Any
    ) -> Tried: ...


class Counted:
    """A source that says what was pulled from it, and whether it was closed.

    :param error: raised after ``count`` chunks; None ends there.
    """

    def __init__(self, count: int, error: BaseException | None = None) -> None:
        self.pulled = 0
        self.is_closed = False
        self._count = count
        self._error = error

    def __iter__(self) -> Iterator[bytes]:
        try:
            for chunk in chunks(self._count):
                self.pulled += 1
                yield chunk
            if self._error is not None:
                raise self._error
        finally:
            self.is_closed = True


def then(count: int, call: Callable[[], Any], more: int = 0) -> Iterator[bytes]:
    """Yield ``count`` chunks, call, and yield the rest of ``count + more``."""
    for number, chunk in enumerate(chunks(count + more)):
        if number == count:
            call()
        yield chunk
    if not more:
        call()


def forever(fake: FakeS3, operation: str, fault: faults.Fault, **which: Any) -> None:
    """Have every such request meet that fault."""
    fake.script(operation, fault, forever=True, **which)


def longest_wait(policy: RetryPolicy, attempt: int, error: Any) -> float:
    return policy.delay_before(attempt=attempt, error=error, random=1.0)
