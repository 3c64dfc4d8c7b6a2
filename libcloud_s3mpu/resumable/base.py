# SPDX-License-Identifier: Apache-2.0
"""How a store of uploads is set up: options into values, the locker, and holding an upload.

The verbs are :mod:`.uploads`'s.
"""

from __future__ import annotations

import time
from typing import Any
from contextlib import suppress, contextmanager
from dataclasses import replace
from collections.abc import Callable, Iterator

from libcloud.storage.base import Container

from .mend import mended
from .lease import Lock, Locker
from .locks import MemoryLocker
from .state import Kept, Store
from .errors import InvalidLengthError, UploadDamagedError, UploadTooLargeError
from .finish import complete
from .record import name_of
from .source import algorithms
from .objects import Objects
from .options import MAX_OBJECT_SIZE, StoreOptions, limited, with_slash
from .locks_s3 import S3Locker
from ..protocol.limits import MIB
from ..protocol.endpoint import check_bucket
from ..protocol.integrity import BodyCheck, body_check


class UploadStore:
    """What :class:`~.uploads.ResumableUploads` is built on; its arguments are explained there."""

    def __init__(
        self,
        driver: Any,
        container: Container,
        prefix: str = "uploads/",
        *,
        min_part: int | None = None,
        part: int = 8 * MIB,
        expires: float | None = None,
        locker: Locker | None = None,
        workers: int = 4,
        equal_parts: bool | None = None,
        object_prefix: str | None = None,
        metadata_object_prefix: str | None = None,
        max_part_size: int | None = None,
        max_multipart_parts: int | None = None,
        max_object_size: int | None = None,
        max_buffered_parts: int = 20,
        temporary_directory: str | None = None,
        disable_content_hashes: bool = False,
        use_tags: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        check_bucket(container.name)
        limits = driver.ex_limits
        objects_at = with_slash(prefix if object_prefix is None else object_prefix)
        side_at = metadata_object_prefix
        self.driver = driver
        self.container = container
        self.options = StoreOptions(
            object_prefix=objects_at,
            metadata_object_prefix=objects_at if side_at is None else with_slash(side_at),
            min_part_size=limited(limits, min_part, name="min_part_size"),
            preferred_part_size=part,
            max_part_size=limited(limits, max_part_size, name="max_part_size"),
            max_multipart_parts=limited(limits, max_multipart_parts, name="max_parts"),
            max_object_size=min(limits.max_object_size, MAX_OBJECT_SIZE)
            if max_object_size is None
            else limited(limits, max_object_size, name="max_object_size"),
            workers=workers,
            max_buffered_parts=max_buffered_parts,
            equal_parts=limits.uniform_parts if equal_parts is None else equal_parts,
            temporary_directory=temporary_directory,
            disable_content_hashes=disable_content_hashes,
            use_tags=use_tags,
            expires_seconds=expires,
        )
        objects = Objects(driver._transport, container.name, policy=driver.ex_options.retry)
        self._store = Store(
            objects,
            self.options,
            check=_check(driver, disable_content_hashes),
            clock=clock,
        )
        self._locker: Locker = locker or S3Locker(
            driver,
            container,
            prefix=self.options.metadata_object_prefix,
            fallback=MemoryLocker(),
        )

    __init__.__qualname__ = "ResumableUploads.__init__"  # The name that people know, in TypeErrors.

    @property
    def max_object_size(self) -> int:
        """The largest upload in bytes: what the options allow, and parts of all sizes reach."""
        return self._store.sizes.reach

    @property
    def checksum_algorithms(self) -> tuple[str, ...]:
        """What :meth:`write` can check a chunk by, as things are installed."""
        return algorithms()

    # -- private ---------------------------------------------------------------------------------

    @contextmanager
    def _held(self, id: str) -> Iterator[Lock]:
        lock = self._locker.acquire(name_of(id))
        try:
            yield lock
        finally:
            with suppress(Exception):
                lock.release()

    def _settled(self, id: str) -> Kept:
        """Complete an upload if all its bytes are there, and that was not done."""
        with self._held(id) as lock:
            kept = self._current(id, lock)
            return complete(self._store, kept, lock) if is_whole(kept) else kept

    def _current(self, id: str, lock: Lock) -> Kept:
        """Give an upload as S3 has it; of one that was damaged, what is still as it was."""
        kept = self._store.read(id)
        try:
            return self._store.seen(kept)
        except UploadDamagedError:
            return mended(self._store, kept, lock)

    def _above(self, length: int) -> UploadTooLargeError:
        return UploadTooLargeError(
            f"{length} bytes are more than the {self.max_object_size} that an upload may have"
        )

    def __repr__(self) -> str:
        return f"<ResumableUploads {self.container.name}/{self.options.object_prefix}>"


def is_whole(kept: Kept) -> bool:
    """Tell whether all bytes are there, and the object is not."""
    record = kept.record
    return record.state == "open" and record.length == record.offset


def checked_length(length: Any) -> int:
    if not isinstance(length, int) or isinstance(length, bool):
        raise TypeError(f"length must be an int, not {type(length).__name__}")
    if length < 0:
        raise InvalidLengthError(f"length must not be negative, not {length}")
    return length


def _check(driver: Any, is_disabled: bool) -> BodyCheck:
    """Choose the check of the parts of new uploads: the driver's own.

    Over https that is a CRC, which costs a tenth of the SHA-256 of a signed payload. S3 is told of
    it when an upload begins, and complete must name that of every part: the record keeps them, four
    bytes each, since who completes need not be who sent them.
    """
    found = body_check(driver.ex_options, driver.ex_limits, is_secure=driver._is_secure)
    return replace(found, algorithm=None, is_signed=False) if is_disabled else found
