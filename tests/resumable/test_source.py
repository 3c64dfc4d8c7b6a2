# SPDX-License-Identifier: Apache-2.0
"""What a write reads from: what the stream's own ``read`` gives, and nothing that goes past it."""

from __future__ import annotations

import io
from typing import Any

import pytest

from tests.resumable.store import data, bench

BODY = data(40)


class Flipped(io.BytesIO):
    """Decrypts in ``read``, and has inherited a ``read1`` that does not."""

    def read(self, size: int | None = -1, /) -> bytes:
        return bytes(byte ^ 255 for byte in super().read(size))


class FlippedFile(io.BufferedReader):
    def read(self, size: int | None = -1, /) -> bytes:
        return bytes(byte ^ 255 for byte in super().read(size))


@pytest.mark.parametrize(
    "wrapped",
    [Flipped, lambda body: FlippedFile(io.BytesIO(body))],  # type: ignore[arg-type]
)
def test_a_wrapper_that_overrides_read_is_read_through(wrapped: Any) -> None:
    with bench() as found:
        store = found.store()
        info = store.write(store.create(length=len(BODY)).id, 0, wrapped(BODY))
        assert info.complete and found.body(info) == bytes(byte ^ 255 for byte in BODY)


@pytest.mark.parametrize("plain", [io.BytesIO, lambda body: io.BufferedReader(io.BytesIO(body))])
def test_plain_files_give_what_is_there(plain: Any) -> None:
    with bench() as found:
        store = found.store()
        info = store.write(store.create(length=len(BODY)).id, 0, plain(BODY))
        assert info.complete and found.body(info) == BODY
