# SPDX-License-Identifier: Apache-2.0
"""One file of a repository as one object: written, changed, read, summed, copied, deleted.

Knows no Invenio: what it raises are the package's errors, and sizes are judged by what the caller
gives. The interface that Invenio-Files-REST asks for is :mod:`.storage`.
"""

from __future__ import annotations

import io
import hashlib
import logging
import tempfile
from typing import Any
from dataclasses import replace, dataclass
from urllib.parse import unquote, urlsplit
from collections.abc import Callable, Iterator

from libcloud.storage.base import Object, Container
from libcloud.storage.types import ObjectDoesNotExistError

from .reader import ObjectReader
from ...protocol.errors import S3MultipartError, InvalidRequestError, PreconditionFailedError
from ...protocol.checksums import is_md5

log = logging.getLogger("libcloud_s3mpu.contrib.invenio")

#: Bytes that are taken from a source at once (Invenio's own figure).
CHUNK = 5 * 1024 * 1024
#: What waits for an update in memory, before it goes to a temporary file.
SPOOLED = 16 * 1024 * 1024
#: How often an update begins anew because another one was faster.
UPDATES = 10
#: How the checksum begins of an object whose parts others sent: the composite ETag and the size of
#: the parts (invenio-s3 2 has the same form).
COMPOSITE = "multipart"

#: Called with (bytes so far, whether these are all); what it raises ends the upload.
Judge = Callable[[int, bool], None]
Progress = Callable[[int], None]


def place_of_uri(uri: str, tenant: str | None = None) -> tuple[str, str]:
    """Give bucket and key of ``s3://bucket/key``.

    :raises InvalidRequestError: (a ValueError) if it is no such URI.
    """
    parts = urlsplit(uri)
    key = parts.path.lstrip("/")
    if parts.scheme != "s3" or not parts.netloc or parts.query or parts.fragment:
        raise InvalidRequestError(f"{uri!r} is not of the form s3://bucket/key")
    bucket = unquote(parts.netloc)
    return (f"{tenant}:{bucket}" if tenant and ":" not in bucket else bucket), key


def checksum_of(etag: str | None, *, number_of_parts: int, part_size_bytes: int) -> str | None:
    """Give the checksum of what others sent, as far as its ETag is one.

    None where the service encrypts, since its ETags say nothing then: compute it by reading.
    """
    head, _, count = (etag or "").partition("-")
    if not is_md5(head):
        return None
    if not count:
        return f"md5:{head}"
    if count != str(number_of_parts):
        return None
    return f"{COMPOSITE}:{etag}-{part_size_bytes}"


@dataclass(frozen=True, slots=True)
class ObjectFile:
    """One object; any thread."""

    driver: Any
    container: Container
    key: str

    @property
    def object(self) -> Object:
        """The object as it stands: its size, its ETag as ``hash``.

        :raises FileNotFoundError: if it is not there.
        """
        try:
            found: Object = self.driver.get_object(self.container.name, self.key)
        except ObjectDoesNotExistError as error:
            raise FileNotFoundError(f"{self.container.name}/{self.key} is not there") from error
        return found

    def open(self) -> io.BufferedReader:
        """Open it for reading; seekable.

        :raises FileNotFoundError: if it is not there.
        """
        return io.BufferedReader(ObjectReader(self.driver, self.object), CHUNK)

    def write(
        self, stream: Any, *, judge: Judge, chunk_size: int | None = None, size: int | None = None
    ) -> tuple[int, str]:
        """Store what ``stream.read`` gives, in parallel parts; give size and MD5.

        What was there before stands until the new bytes are whole.
        """
        digest = hashlib.md5(usedforsecurity=False)
        done = 0

        def chunks() -> Iterator[bytes]:
            nonlocal done
            judge(done, False)
            while chunk := stream.read(chunk_size or CHUNK):
                done += len(chunk)
                judge(done, False)
                digest.update(chunk)
                yield chunk
            judge(done, True)

        self._upload(chunks(), size_hint_bytes=size)
        return done, f"md5:{digest.hexdigest()}"

    def fill(self, size: int) -> None:
        """Store ``size`` zeros."""

        def zeros() -> Iterator[bytes]:
            block = bytes(min(size, CHUNK))
            for offset in range(0, size, CHUNK):
                yield block[: size - offset]

        self._upload(zeros(), size_hint_bytes=size)

    def update(
        self, stream: Any, *, seek: int, judge: Judge, chunk_size: int | None = None
    ) -> tuple[int, str]:
        """Write what ``stream.read`` gives over the bytes from ``seek`` on; give its size and MD5.

        S3 changes no object: it is written anew, under the condition that nobody else changed it
        meanwhile (where the service has conditions), or else once more on what others wrote.

        :raises PreconditionFailedError: if others were faster every time.
        """
        digest = hashlib.md5(usedforsecurity=False)
        done = 0
        with tempfile.SpooledTemporaryFile(SPOOLED) as held:
            judge(done, False)
            while chunk := stream.read(chunk_size or CHUNK):
                done += len(chunk)
                judge(done, False)
                digest.update(chunk)
                held.write(chunk)
            judge(done, True)
            is_conditional = "if-match" in self.driver.ex_limits.conditions
            for attempt in range(1, UPDATES + 1):
                held.seek(0)
                try:
                    self._rewrite(held, seek, done, is_conditional=is_conditional)
                    break
                except PreconditionFailedError:
                    if attempt == UPDATES:
                        raise
                except S3MultipartError as error:
                    # Swift 2.38 (seen 2026-11): "Conditional uploads are not supported."
                    if not is_conditional or error.s3_code != "NotImplemented":
                        raise
                    is_conditional = False
        return done, f"md5:{digest.hexdigest()}"

    def checksum(self, recorded: str | None = None, *, progress: Progress | None = None) -> str:
        """Read all of it and give its MD5, or the composite of MD5s if ``recorded`` is one.

        :param recorded: the checksum that it is to be compared with; tells the form.
        :raises FileNotFoundError: if it is not there.
        """
        part_size = _part_size_in(recorded)
        whole, parts, part = (hashlib.md5(usedforsecurity=False) for _ in range(3))
        done = in_part = count = 0
        with self.open() as file:
            while chunk := file.read(min(CHUNK, (part_size or CHUNK) - in_part)):
                done += len(chunk)
                if part_size is None:
                    whole.update(chunk)
                else:
                    part.update(chunk)
                    in_part += len(chunk)
                    if in_part == part_size:
                        parts.update(part.digest())
                        part, in_part, count = hashlib.md5(usedforsecurity=False), 0, count + 1
                if progress is not None:
                    progress(done)
        if part_size is None:
            return f"md5:{whole.hexdigest()}"
        if in_part:
            parts.update(part.digest())
            count += 1
        return f"{COMPOSITE}:{parts.hexdigest()}-{count}-{part_size}"

    def copy_from(self, source: ObjectFile) -> int:
        """Have the service copy another file here; give its size in bytes.

        :raises FileNotFoundError: if that is not there.
        """
        found = source.object
        self.driver.ex_copy_object(found, self.container, self.key)
        return int(found.size)

    def delete(self) -> None:
        """Delete it, and abort what was begun under its name; gone already is no error."""
        try:
            self.driver.delete_object(Object(self.key, 0, "", {}, {}, self.container, self.driver))
        except ObjectDoesNotExistError:
            pass
        try:
            self._abort_uploads()
        except S3MultipartError as error:
            # The file is gone, and that was asked for; a service may not let us list.
            log.warning("uploads of %s/%s stay: %s", self.container.name, self.key, error.value)

    def url(self, *, method: str, expires_seconds: int, overrides: dict[str, str]) -> str:
        """Give a presigned URL that it is read by; nothing is sent."""
        found: str = self.driver.ex_get_object_download_url(
            self.container, self.key, expires_seconds, overrides, method=method
        )
        return found

    # -- private ---------------------------------------------------------------------------------

    def _upload(self, chunks: Iterator[bytes], **options: Any) -> None:
        given = {name: value for name, value in options.items() if value is not None}
        # A file's key has its own UUID in it: nobody else uploads there.
        chosen = replace(self.driver.ex_options, is_only_writer=True, **given)
        self.driver.upload_object_via_stream(
            chunks,
            self.container,
            self.key,
            extra={"content_type": "application/octet-stream"},
            ex_options=chosen,
        )

    def _rewrite(self, held: Any, seek: int, size: int, *, is_conditional: bool) -> None:
        before = self.object
        end = seek + size

        def chunks() -> Iterator[bytes]:
            if seek and before.size:
                yield from self._range(before, 0, min(seek, before.size))
            for offset in range(before.size, seek, CHUNK):
                yield bytes(min(CHUNK, seek - offset))
            while chunk := held.read(CHUNK):
                yield chunk
            if end < before.size:
                yield from self._range(before, end, before.size)

        self._upload(
            chunks(),
            size_hint_bytes=max(end, before.size),
            if_match=before.hash if is_conditional else None,
        )

    def _range(self, before: Object, start: int, end: int) -> Iterator[bytes]:
        found: Iterator[bytes] = self.driver.download_object_range_as_stream(
            before, start, end, chunk_size=CHUNK
        )
        return found

    def _abort_uploads(self) -> None:
        for upload in self.driver.ex_iterate_multipart_uploads(self.container, prefix=self.key):
            if upload.key == self.key:
                self.driver.ex_abort_upload(self.container, self.key, upload.id)


def _part_size_in(recorded: str | None) -> int | None:
    kind, _, value = (recorded or "").partition(":")
    size = value.rpartition("-")[2]
    return int(size) if kind == COMPOSITE and size.isdecimal() and int(size) else None
