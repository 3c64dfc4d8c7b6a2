# SPDX-License-Identifier: Apache-2.0
"""One range of an object on its way into a file: a small buffer, filled and written by turns.

It begins in the caller's thread or in a worker's and may move from the first to the second
half-way; which, and what becomes of it, is :mod:`.download`'s business.
"""

from __future__ import annotations

import time
import logging

from .ranged import Ranged
from .landing import Landing
from ..protocol import checksums
from ..protocol.errors import S3MultipartError

log = logging.getLogger("libcloud_s3mpu.download")


class RangeJob:
    """One range on its way into the file; one thread owns it at a time (:class:`.window.Job`)."""

    def __init__(
        self, ranged: Ranged, landing: Landing, *, base: int, algorithm: str | None, buffer: int
    ) -> None:
        self.ranged = ranged
        self._landing = landing
        self._base = base
        self._digest = checksums.new_digest(algorithm) if algorithm else None
        self.cost = buffer
        self.start = ranged.offset
        #: Bytes that are in the file.
        self.size = 0
        self.error: BaseException | None = None
        self.is_finished = False
        self.wall_seconds = 0.0
        self.cpu_seconds = 0.0
        self.waited_seconds = 0.0
        #: How often the service asked for fewer requests.
        self.throttled = 0

    @property
    def crc(self) -> int:
        """The CRC of what was written."""
        return int.from_bytes(self._digest.digest(), "big") if self._digest is not None else 0

    def run(self) -> None:
        """Bring in what is left, with retries; in any thread."""
        self._timed(None)

    def run_inline(self, patience: float) -> bool:
        """Bring it in from the caller's thread; False if a worker must go on with :meth:`run`."""
        try:
            return self._timed(patience)
        except S3MultipartError as error:
            log.debug("left to a worker: %s", error.value)
            return False

    def _timed(self, patience: float | None) -> bool:
        began, cpu = time.perf_counter(), time.thread_time()
        try:
            if patience is not None and not self.ranged.begin(patience):
                return False
            return self._move(patience, began, cpu)
        finally:
            wall, busy = time.perf_counter() - began, time.thread_time() - cpu
            self.wall_seconds += wall
            self.cpu_seconds += busy
            self.waited_seconds += max(0.0, wall - busy)
            self.throttled = self.ranged.throttled

    def _move(self, patience: float | None, began: float, cpu: float) -> bool:
        ranged = self.ranged
        buffer = memoryview(bytearray(self.cost))
        while True:
            try:
                got = ranged.readinto(buffer)
            except S3MultipartError:
                # Whoever goes on, or keeps what there is, goes by the offset.
                self._write(buffer[: ranged.came])
                raise
            if not got:
                return True
            self._write(buffer[:got])
            if patience is None or ranged.offset == ranged.end:
                continue
            if time.perf_counter() - began - (time.thread_time() - cpu) > patience:
                return False

    def _write(self, piece: memoryview) -> None:
        if self._digest is not None:
            self._digest.update(piece)
        self._landing.write(piece, self.ranged.offset - len(piece) - self._base)
        self.size += len(piece)
