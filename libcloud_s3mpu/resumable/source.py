# SPDX-License-Identifier: Apache-2.0
"""What a client sends: a stream that may stop anywhere, read piece by piece; and its checksum.

A stream that breaks is a stream that ends: what came is stored, and the error goes on its way
afterwards. Between two pieces the lock is looked at.
"""

from __future__ import annotations

import io
import hmac
import base64
import tempfile
from typing import Any, Protocol
from binascii import Error as Base64Error
from collections.abc import Callable

from .lease import Lock
from .errors import UploadLockedError, UploadChecksumError, UnknownAlgorithmError
from ..protocol.checksums import Digest, new_digest, is_available

#: Bytes asked of a stream at once. A break loses at most so many that were under way in it.
READ_BYTES = 64 * 1024
#: The algorithms that a chunk may be checked by, if what they need is installed.
ALGORITHMS = ("sha1", "sha256", "md5", "crc32", "crc32c", "crc64nvme")
_SIZES = {"sha1": 20, "sha256": 32, "md5": 16, "crc32": 4, "crc32c": 4, "crc64nvme": 8}

#: (algorithm, digest): raw bytes, base64 text, or a function that gives either once the stream has
#: ended (a trailer).
Checksum = tuple[str, "bytes | str | Callable[[], bytes | str]"]


class Stream(Protocol):
    """What is read from."""

    def read(self, size: int, /) -> bytes:
        """Give up to ``size`` bytes; none at the end."""
        ...


def algorithms() -> tuple[str, ...]:
    """Give those of :data:`ALGORITHMS` that can be computed here."""
    return tuple(name for name in ALGORITHMS if is_available(name))


class Source:
    """One write's bytes. Owned by the writing thread.

    :param limit: the most bytes that are taken.
    :ivar error: what the stream raised, which ended it.
    :ivar was_asked: another writer wants the upload, which ended it.
    """

    def __init__(self, stream: Any, *, limit: int, lock: Lock | None) -> None:
        if isinstance(stream, (bytes, bytearray, memoryview)):
            stream = io.BytesIO(stream)
        # read1 gives what is there instead of waiting for all of it. Of exact types only: a wrapper
        # that decrypts or counts in read() may have inherited a read1() that goes past it.
        knows_read1 = type(stream) in (io.BufferedReader, io.BufferedRandom, io.BytesIO)
        read = stream.read1 if knows_read1 else getattr(stream, "read", None)
        if not callable(read):
            raise TypeError(f"a stream needs read(size), which {type(stream).__name__} has not")
        self._read: Callable[[int], Any] = read
        self._left = limit
        self._lock = lock
        self._ahead = b""
        self.has_ended = False
        self.was_asked = False
        self.error: Exception | None = None

    def take(self, size: int) -> list[bytes]:
        """Give up to ``size`` bytes as chunks; less only once it has ended."""
        chunks: list[bytes] = []
        size = min(size, self._left)
        while size > 0 and (chunk := self._next(min(size, READ_BYTES))):
            chunks.append(chunk)
            size -= len(chunk)
            self._left -= len(chunk)
        return chunks

    @property
    def is_full(self) -> bool:
        """Whether all that may be taken was."""
        return self._left <= 0

    def has_more(self) -> bool:
        """Tell whether there is another byte, whatever the limit; it waits for it or the end."""
        self._ahead = self._next(1)
        return bool(self._ahead)

    def _next(self, size: int) -> bytes:
        if self._ahead:
            chunk, self._ahead = self._ahead, b""
            return chunk
        if self.has_ended:
            return b""
        if self._lock is not None:
            self._lock.check()
            if self._lock.is_wanted:
                self.has_ended = self.was_asked = True
                return b""
        try:
            chunk = self._read(size)
            if not isinstance(chunk, (bytes, bytearray, memoryview)):
                raise TypeError(f"read() gave {type(chunk).__name__}, not bytes")
            if len(chunk) > size:
                raise ValueError(f"read({size}) gave {len(chunk)} bytes")
        except Exception as error:
            self.error = error
            chunk = b""
        self.has_ended = not chunk
        return bytes(chunk)


class Expected:
    """A checksum that a chunk must have.

    :raises UnknownAlgorithmError: if there is no such algorithm, or it cannot be its digest.
    """

    def __init__(self, checksum: Checksum) -> None:
        try:
            algorithm, digest = checksum
        except (TypeError, ValueError):
            raise TypeError("checksum must be (algorithm, digest)") from None
        if algorithm not in algorithms():
            raise UnknownAlgorithmError(
                f"{algorithm!r} is none of the checksums known here ({', '.join(algorithms())})"
            )
        self.algorithm = algorithm
        self._digest = digest if callable(digest) else self._checked(digest)

    def _checked(self, digest: bytes | str) -> bytes:
        try:
            raw = base64.b64decode(digest, validate=True) if isinstance(digest, str) else digest
        except (Base64Error, ValueError):
            raw = b""
        if not isinstance(raw, (bytes, bytearray)) or len(raw) != _SIZES[self.algorithm]:
            raise UnknownAlgorithmError(f"what is given as {self.algorithm} cannot be one")
        return bytes(raw)

    def verify(self, digest: Digest) -> None:
        """
        :raises UploadChecksumError: if it is another one.
        """
        wanted = self._checked(self._digest()) if callable(self._digest) else self._digest
        found = digest.digest()
        if not hmac.compare_digest(wanted, found):
            raise UploadChecksumError(
                f"the chunk's {self.algorithm} is {base64.b64encode(found).decode()}, not "
                f"{base64.b64encode(wanted).decode()}; all of it was thrown away"
            )


def verified(source: Source, expected: Expected, *, memory: int, directory: str | None) -> Any:
    """Read a source to its end and give a file of what it held, if its checksum is right.

    Beyond ``memory`` bytes it waits in an unnamed temporary file. The caller closes it.

    :raises UploadChecksumError: if not: also for a stream that broke, whose rest nobody knows.
    """
    digest = new_digest(expected.algorithm)
    # Closed by the caller, and here on failure.
    file = tempfile.SpooledTemporaryFile(max_size=memory, dir=directory, prefix="s3mpu-")  # noqa: SIM115
    try:
        while chunks := source.take(READ_BYTES):
            for chunk in chunks:
                digest.update(chunk)
                file.write(chunk)
        if source.error is not None:
            raise source.error
        if source.was_asked:
            raise UploadLockedError("another writer asked for the upload; the chunk was not stored")
        expected.verify(digest)
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file
