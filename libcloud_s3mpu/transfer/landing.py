# SPDX-License-Identifier: Apache-2.0
"""The file that an object lands in: written under another name, and moved when it is whole.

Until :meth:`Landing.settle` nobody sees it under its own name, and a file of that name is as it
was. What goes into it, and when it is whole, is :mod:`.download`'s business.
"""

from __future__ import annotations

import io
import os
import stat
import errno
import secrets
from typing import Any
from collections.abc import Iterator

from ..protocol.checksums import Digest

#: What is read at once when a file is summed, in bytes.
BLOCK = 1024 * 1024
#: Names of unfinished files begin with this; short, since a name has 255 bytes at most.
UNFINISHED = ".s3mpu-"


class Landing:
    """A file under way. ``write`` may be called from any thread; the rest is the caller's.

    :param path: where it is to be; a link is followed, and what is no plain file (a pipe, a
        device) is written as it stands.
    :param replaces: a file of that name is replaced; else one that comes meanwhile stays.
    """

    def __init__(self, path: str, *, replaces: bool = True) -> None:
        self._path = os.path.realpath(path)
        self._replaces = replaces
        mode = self._mode_there()
        #: Whether it has a name of its own until it is whole.
        self.is_seekable = mode is None or stat.S_ISREG(mode)
        #: Whether bytes can be written anywhere in it, in any order, by any number of threads.
        self.takes_any_order = self.is_seekable and hasattr(os, "pwrite")
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        self._written = self._path
        if self.is_seekable:
            folder = os.path.dirname(self._path)
            self._written = os.path.join(folder, f"{UNFINISHED}{secrets.token_hex(8)}")
        else:
            flags = os.O_WRONLY
        # FileIO closes itself when the last thread that writes has let go of it. Its descriptor is
        # never closed under a writer: the number might be another file's by then.
        try:
            number = os.open(self._written, flags, 0o666)
        except OSError as error:  # In the name that its caller knows.
            raise OSError(error.errno, error.strerror, self._path) from error
        self._file = io.FileIO(number, "r+" if self.is_seekable else "w")
        if mode is not None and self.is_seekable:
            self._keep_mode(mode)

    def _mode_there(self) -> int | None:
        try:
            return os.stat(self._path).st_mode
        except FileNotFoundError:
            return None

    def _keep_mode(self, mode: int) -> None:
        try:
            os.chmod(self._written, stat.S_IMODE(mode))
        except OSError:
            pass  # A file system without modes.

    def write(self, data: Any, offset: int) -> None:
        """Write all of ``data`` at ``offset``; in order where the file is not seekable."""
        view = memoryview(data)
        number = self._file.fileno()
        while view:
            if self.takes_any_order:
                done = os.pwrite(number, view, offset)
            else:
                done = os.write(number, view)
            view = view[done:]
            offset += done

    def blocks(self, end: int) -> Iterator[memoryview]:
        """Yield the first ``end`` bytes of what was written."""
        buffer = memoryview(bytearray(BLOCK))
        with open(self._written, "rb", buffering=0) as file:
            while end and (got := file.readinto(buffer[: min(BLOCK, end)])):
                yield buffer[:got]
                end -= got

    def digest(self, digest: Digest, end: int) -> bytes:
        """Read what was written and give its digest."""
        for block in self.blocks(end):
            digest.update(block)
        return digest.digest()

    def settle(self) -> None:
        """Put the whole file in its place: on the disk first, then under its name.

        :raises FileExistsError: if somebody has made one there and it may not be replaced.
        """
        if self.is_seekable:
            os.fsync(self._file.fileno())
            self._file.close()
            self._move()
        self._file.close()

    def keep(self, size: int) -> None:
        """Put what there is in its place: its first ``size`` bytes, all of them the object's.

        Where somebody has made a file there that may not be replaced, nothing is kept.
        """
        if not self.is_seekable:
            return
        try:
            if not self._file.closed:
                os.ftruncate(self._file.fileno(), size)
            # It was closed whole, by an interrupt before it had its name; or it has it already.
            if os.path.exists(self._written):
                self._move()
        except FileExistsError:
            self.discard()

    def _move(self) -> None:
        if self._replaces:
            return os.replace(self._written, self._path)
        try:
            os.link(self._written, self._path)  # Unlike a rename it takes nobody's place.
        except FileExistsError:
            raise
        except OSError:
            # A file system without links: between this look and the rename is a moment.
            if os.path.lexists(self._path):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), self._path) from None
            return os.replace(self._written, self._path)
        os.unlink(self._written)

    def discard(self) -> None:
        """Leave no trace. Threads that still write, write into a file that nobody finds."""
        if self.is_seekable:
            try:
                os.unlink(self._written)
            except OSError:
                pass  # It was moved already, or its folder is gone.

    def close(self) -> None:
        """Close the file; only when no thread writes any more."""
        self._file.close()
