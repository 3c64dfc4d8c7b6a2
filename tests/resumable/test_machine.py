# SPDX-License-Identifier: Apache-2.0
"""A machine over uploads: whatever is created, written, broken, crashed, resumed and joined.

The model is a dictionary of what was acknowledged. After every step each upload's offset is what
the model has, or more where an answer was lost, and in the end every object is byte for byte right.
"""

from __future__ import annotations

from typing import Any
from contextlib import ExitStack
from dataclasses import replace, dataclass

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, rule, consumes, initialize

from tests.fake_s3 import faults
from tests.resumable.store import Broken, data, bench
from libcloud_s3mpu.resumable import (
    OffsetMismatchError,
    UploadChecksumError,
    UploadNotFoundError,
    UploadTooLargeError,
)
from tests.resumable.test_crash import Died, Dying
from libcloud_s3mpu.protocol.errors import S3MultipartError

pytestmark = pytest.mark.property
FAULTS = [
    faults.error("SlowDown"),
    faults.error("InternalError", applied=True),
    faults.close(applied=True),
    faults.error("AccessDenied"),
]


@dataclass
class Model:
    """What must be there: the acknowledged bytes, and what may be there besides."""

    id: str
    length: int | None
    body: bytes = b""
    seed: int = 0

    def following(self, size: int) -> bytes:
        """Give other bytes each time, so that a mixture of two attempts would show."""
        self.seed += 1
        if self.length is not None:
            size = min(size, self.length - len(self.body))
        return data(size, seed=self.seed)


class Uploads(RuleBasedStateMachine):
    """Real stores on the fake against models."""

    open = Bundle("open")
    done = Bundle("done")

    @initialize(
        equal=st.booleans(),
        workers=st.sampled_from([1, 3]),
        spools=st.booleans(),
        checksum=st.sampled_from(["auto", "crc32"]),
    )
    def begin(self, equal: bool, workers: int, spools: bool, checksum: str) -> None:
        self.held = ExitStack()
        self.bench = self.held.enter_context(bench())
        import tempfile

        folder = tempfile.gettempdir() if spools else None
        self.options = {
            "equal_parts": equal,
            "workers": workers,
            "temporary_directory": folder,
        }
        driver = self.bench.service.driver
        driver.ex_options = replace(driver.ex_options, checksum=checksum)
        self.store = self.bench.store(**self.options)

    def teardown(self) -> None:
        if hasattr(self, "held"):
            self.held.close()

    @rule(target=open, length=st.integers(1, 100) | st.none())
    def creates(self, length: int | None) -> Model:
        return Model(id=self.store.create(length=length).id, length=length)

    @rule(model=open, size=st.integers(0, 40), checked=st.booleans())
    def writes(self, model: Model, size: int, checked: bool) -> None:
        import hashlib

        chunk = model.following(size)
        check = ("sha256", hashlib.sha256(chunk).digest()) if checked else None
        info = self._written(model, chunk, chunk, checksum=check)
        if info is not None:
            assert info.offset == len(model.body)

    def _written(self, model: Model, stream: Any, chunk: bytes, **how: Any) -> Any:
        if self._is_over(model):
            return None
        info = self.store.write(model.id, len(model.body), stream, **how)
        model.body += chunk
        self._holds(model)
        return info

    @rule(model=open, size=st.integers(0, 40))
    def breaks_off(self, model: Model, size: int) -> None:
        if self._is_over(model):
            return
        chunk = model.following(size)
        if model.length is not None and len(model.body) + len(chunk) == model.length:
            return  # Then it is whole, and nobody asks for more.
        with pytest.raises(ConnectionResetError):
            self.store.write(model.id, len(model.body), Broken(chunk))
        model.body += chunk
        self._holds(model)

    @rule(model=open, size=st.integers(1, 40))
    def is_sent_wrong(self, model: Model, size: int) -> None:
        if self._is_over(model):
            return
        with pytest.raises(UploadChecksumError):
            self.store.write(
                model.id, len(model.body), model.following(size), checksum=("md5", bytes(16))
            )
        with pytest.raises(OffsetMismatchError):
            self.store.write(model.id, len(model.body) + 1, b"x")
        if model.length is not None:
            left = model.length - len(model.body)
            with pytest.raises(UploadTooLargeError):
                self.store.write(model.id, len(model.body), chunk := data(left + 1, seed=99))
            self._learns(model, chunk)
        self._holds(model)

    @rule(model=open, size=st.integers(1, 40), at=st.integers(1, 9), applied=st.booleans())
    def dies(self, model: Model, size: int, at: int, applied: bool) -> None:
        """The process dies in a write; another one takes over."""
        if self._is_over(model):
            return
        chunk = model.following(size)
        objects = self.store._store.objects
        objects.sender = Dying(objects.sender, at, applied=applied)  # type: ignore[assignment]
        try:
            self.store.write(model.id, len(model.body), chunk)
        except Died:
            pass
        self.store = self.bench.store(**self.options)
        self._learns(model, chunk)

    @rule(
        model=open,
        size=st.integers(1, 40),
        fault=st.sampled_from(FAULTS),
        operation=st.sampled_from(["UploadPart", "PutObject", "CompleteMultipartUpload", "*"]),
        after=st.integers(0, 3),
    )
    def meets_a_fault(
        self, model: Model, size: int, fault: Any, operation: str, after: int
    ) -> None:
        if self._is_over(model):
            return
        chunk = model.following(size)
        self.bench.fake.script(operation, *[faults.pass_through()] * after, fault)
        try:
            self.store.write(model.id, len(model.body), chunk)
        except S3MultipartError:
            pass
        self.bench.fake.clear_scripts()
        self._learns(model, chunk)

    def _learns(self, model: Model, chunk: bytes) -> None:
        """What was not acknowledged may be there or not, from the beginning of it on."""
        info = self.store.get(model.id)
        more = info.offset - len(model.body)
        assert 0 <= more <= len(chunk)
        model.body += chunk[:more]
        self._holds(model)

    def _is_over(self, model: Model) -> bool:
        return model.length == len(model.body)

    def _holds(self, model: Model) -> None:
        info = self.store.get(model.id)
        assert (info.offset, info.length) == (len(model.body), model.length)
        assert info.complete == self._is_over(model)
        if info.complete:
            assert self.bench.body(info) == model.body

    @rule(target=done, model=consumes(open))
    def finishes(self, model: Model) -> Model:
        if model.length is None:
            info = self.store.declare_length(model.id, len(model.body) + 3)
            assert not info.complete
            model.length = len(model.body) + 3
        while not self._is_over(model):
            chunk = model.following(7)
            self.store.write(model.id, len(model.body), chunk)
            model.body += chunk
        assert self.store.finish(model.id).size == len(model.body)
        self._holds(model)
        return model

    @rule(first=done, second=done)
    def joins(self, first: Model, second: Model) -> None:
        whole = first.body + second.body + first.body
        info = self.store.concat([first.id, second.id, first.id])
        assert self.bench.body(info) == whole
        self.store.terminate(info.id)

    @rule(model=consumes(open))
    def is_terminated(self, model: Model) -> None:
        assert self.store.terminate(model.id)
        with pytest.raises(UploadNotFoundError):
            self.store.get(model.id)


TestUploads = Uploads.TestCase
TestUploads.settings = settings(
    max_examples=40,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
