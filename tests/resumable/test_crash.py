# SPDX-License-Identifier: Apache-2.0
"""A process may die at any request: whoever comes next is told the truth and can go on.

The death is simulated in the sender: from request number *n* on nothing is sent any more, and the
request itself is lost either before it reaches the service or on its answer's way back.
"""

from __future__ import annotations

import io
from typing import Any
from collections.abc import Callable

import pytest

from tests.resumable.store import Bench, data, bench
from libcloud_s3mpu.resumable import UploadNotFoundError

BODY = data(53)
OTHER = bytes(255 - byte for byte in BODY)


class Died(BaseException):
    """The process is no more."""


class Dying:
    """A transport that ends at request number ``at``; ``applied``: only its answer is lost."""

    def __init__(self, inner: Any, at: int, *, applied: bool) -> None:
        self._inner = inner
        self._left = at
        self._applied = applied
        self.died = False

    def _dies(self, request: Any) -> None:
        self._left -= 1
        if self.died or self._left > 0:
            if self.died:
                raise Died
            return
        self.died = True
        if self._applied:
            self._inner.call(request)
        raise Died

    def call(self, request: Any) -> Any:
        self._dies(request)
        return self._inner.call(request)

    def begin(self, request: Any) -> Any:
        self._dies(request)
        return self._inner.begin(request)

    def resume(self, request: Any, exchange: Any) -> Any:
        return self._inner.resume(request, exchange)

    def advance(self, request: Any, exchange: Any, patience: Any = None) -> Any:
        return self._inner.advance(request, exchange, patience)

    def adapt(self, error: Any) -> bool:
        return False


def first(store: Any, run: Any) -> str:
    """One upload in pieces that leave and take up tails, and end with a completion."""
    upload = store.create(length=len(BODY))
    run(upload.id)
    offset = 0
    for size in (3, 2, 20, 4, 24):
        offset = store.write(upload.id, offset, io.BytesIO(BODY[offset : offset + size])).offset
    return str(upload.id)


def deferred(store: Any, run: Any) -> str:
    upload = store.create()
    run(upload.id)
    offset = 0
    for size in (20, 1, 32):
        offset = store.write(upload.id, offset, io.BytesIO(BODY[offset : offset + size])).offset
    store.declare_length(upload.id, len(BODY))
    return str(upload.id)


@pytest.mark.parametrize("applied", [False, True], ids=["lost", "answer lost"])
@pytest.mark.parametrize("scenario", [first, deferred])
@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.timeout(120)
def test_after_a_death_at_any_request_the_offset_is_true(
    scenario: Callable[..., str], applied: bool, workers: int
) -> None:
    with bench() as found:
        at = 1
        while _dies_at(found, scenario, at, applied=applied, workers=workers):
            at += 1
        assert at > 20  # It was more than a few requests, and the last run met no death.


def _dies_at(
    found: Bench, scenario: Callable[..., str], at: int, *, applied: bool, workers: int
) -> bool:
    store = found.store(workers=workers)
    dying = Dying(store._store.objects.sender, at, applied=applied)
    store._store.objects.sender = dying
    ids: list[str] = []
    seen: list[int] = [0]
    write = store.write

    def noted(*args: Any, **kwargs: Any) -> Any:
        info = write(*args, **kwargs)
        seen[0] = info.offset
        return info

    store.write = noted  # type: ignore[method-assign]
    try:
        scenario(store, ids.append)
    except Died:
        pass
    fresh = found.store()
    if ids:
        _goes_on(found, fresh, ids[0], seen[0])
    return dying.died


def _goes_on(found: Bench, fresh: Any, id: str, acknowledged: int) -> None:
    """The truth, then the rest, then the right bytes; what was sent but not told may be other."""
    info = fresh.get(id)
    assert acknowledged <= info.offset <= len(BODY)
    assert fresh.get(id).offset == info.offset
    if not info.complete:
        # Bytes that were never acknowledged may be sent as others: no mixture of both may result.
        wanted = BODY[: info.offset] + OTHER[info.offset :]
        middle = min(len(BODY), info.offset + 9)
        info = fresh.write(id, info.offset, io.BytesIO(wanted[info.offset : middle]))
        assert info.offset == middle
        info = fresh.write(id, middle, io.BytesIO(wanted[middle:]))
        if info.length is None:
            info = fresh.declare_length(id, len(BODY))
    else:
        wanted = BODY
    assert info.complete and info.offset == len(BODY)
    assert found.body(info) == wanted
    assert found.fake.uploads.keys().isdisjoint({fresh._store.read(id).record.upload_id})
    assert fresh.terminate(id)
    with pytest.raises(UploadNotFoundError):
        fresh.get(id)
    assert [key for key in found.objects if id.partition("+")[0] in key] == []
