# SPDX-License-Identifier: Apache-2.0
"""The door of this room: create, write, finish, read, join, terminate, list, expire.

Read :meth:`ResumableUploads.write` first; then :mod:`.write` (how bytes become parts),
:mod:`.state` (what counts, and how it is committed), :mod:`.finish` and :mod:`.concat`. Locks are
in :mod:`.lease`, what is set up once in :mod:`.base`. Nothing here knows HTTP.
"""

from __future__ import annotations

import secrets
from typing import Any
from dataclasses import replace
from collections.abc import Mapping, Iterator, Sequence

from libcloud.storage.base import Object

from . import concat as joining
from . import expire as expiring
from .base import UploadStore, is_whole, checked_length
from .info import UploadInfo
from .lease import Lock
from .state import Kept
from .write import Write
from .create import begin
from .errors import (
    UploadGoneError,
    UploadFinalError,
    InvalidLengthError,
    UploadDamagedError,
    OffsetMismatchError,
    UploadNotFoundError,
    UploadTooLargeError,
    UploadUnfinishedError,
)
from .finish import remove, complete
from .record import name_of
from .source import Source, Checksum, Expected, verified
from .reading import read_range
from ..arguments import naming
from ..protocol.errors import UploadMissingError


class ResumableUploads(UploadStore):
    """Uploads that arrive in pieces, at any time, in any process; their state is in S3 alone.

    Any number of threads and processes may use one bucket, each with its own object or the same.

    :param driver: an :class:`~libcloud_s3mpu.AmazonS3MultipartDriver`.
    :param prefix: begins the name of every object, side objects too; a slash is added.
    :param part: bytes of a part (tusd: PreferredPartSize). A write has at most ``workers`` of them
        in memory, and no more than two large ones.
    :param min_part: the smallest part (tusd: MinPartSize); what is less waits as the tail.
    :param expires: seconds after which an upload that was not touched may be removed.
    :param locker: keeps writers of one upload apart: :class:`.S3Locker` if None (each write then
        costs two more requests; :class:`.MemoryLocker` costs none but is for one process).
    :param workers: parts in flight of one write (tusd: ConcurrentPartUploads).
    :param equal_parts: all parts but the last of one size (Cloudflare R2); None: as the driver's
        service wants it.
    :param object_prefix: for the objects alone, instead of ``prefix``.
    :param metadata_object_prefix: for the side objects alone, instead of ``prefix``.
    :param max_part_size: largest part; ``max_multipart_parts`` how many; ``max_object_size`` how
        large an upload may be (5 TiB, or the service's own). Narrower than the service's limits.
    :param max_buffered_parts: bound on the parts that wait in memory, as ``workers`` is.
    :param temporary_directory: parts wait there in unnamed files instead of in memory.
    :param disable_content_hashes: parts are neither signed nor checked; only over TLS.
    :param use_tags: tag side objects ``Tus-Completed=false`` or ``true``, for lifecycle rules.
    """

    # -- the life of an upload -------------------------------------------------------------------

    def create(
        self,
        length: int | None = None,
        metadata: Mapping[str, bytes | str] | None = None,
        key: str | None = None,
        extra: Mapping[str, Any] | None = None,
        partial: bool = False,
    ) -> UploadInfo:
        """Begin an upload; one of no bytes is finished at once.

        :param length: bytes in all; None if it will be declared later.
        :param metadata: kept byte for byte. ``filetype`` and ``filename`` become the object's
            Content-Type and Content-Disposition, and what fits its user metadata.
        :param key: the object's name behind the prefix; None makes one that nobody can guess.
        :param extra: as the driver takes it (``content_type``, ``meta_data``, ``acl``), and
            ``headers``, ``storage_class`` and ``tags``.
        :param partial: it will be joined with others (:meth:`concat`).
        :raises UploadTooLargeError: if ``length`` is more than an upload may have.
        :raises InvalidRequestError: for a key or header that cannot be. Nothing was sent.
        """
        with naming(self.driver):
            if length is not None and checked_length(length) > self.max_object_size:
                raise self._above(length)
            kept = begin(
                self._store,
                self.driver,
                self.container,
                name=secrets.token_hex(16),
                length=length,
                metadata=metadata or {},
                key=key,
                extra=extra,
                partial=partial,
            )
            if length == 0:
                kept = self._settled(kept.record.id)
            return kept.info()

    def get(self, id: str) -> UploadInfo:
        """Give an upload as it is: two requests, one once it is finished.

        All bytes there but no object yet (a completion that failed) is never reported: it is tried
        again here.

        :raises UploadNotFoundError: if there is none; UploadGoneError, UploadExpiredError.
        """
        with naming(self.driver):
            try:
                kept = self._store.seen(self._store.read(id))
                is_settled = not is_whole(kept)
            except UploadDamagedError:
                is_settled = False
            return (kept if is_settled else self._settled(id)).info()

    def write(
        self, id: str, offset: int, stream: Any, checksum: Checksum | None = None
    ) -> UploadInfo:
        """Store what a stream gives, from ``offset`` on; the last byte completes the upload.

        It may take less than was offered: when the stream breaks or another writer asks for the
        upload, what came is stored and the answer says where to go on. An error that the stream
        raised comes out after that, unless the upload is complete all the same.

        :param stream: has ``read(size)`` (or is bytes); read from the calling thread only.
        :param checksum: (algorithm, digest) of all that the stream gives; the digest is raw bytes,
            base64 text, or a function that gives it after the end (a trailer). The chunk is
            verified before any of it is stored, and waits until then in memory or, if it is large,
            in a temporary file.
        :raises OffsetMismatchError: if the upload does not end there; its ``offset`` says where.
        :raises UploadTooLargeError: if there is more than the length.
        :raises UploadChecksumError: if the chunk is another one; nothing was stored.
        :raises UploadFinalError: for the result of a concatenation.
        :raises UploadLockedError: if another writer does not let go; FencedError if one took over.
        """
        expected = Expected(checksum) if checksum is not None else None
        with naming(self.driver), self._held(id) as lock:
            kept = self._current(id, lock)
            record = kept.record
            if record.final:
                raise UploadFinalError(f"upload {id} is made of others and takes no bytes", id=id)
            _check_offset(kept, offset)
            if kept.is_news:
                return kept.info()  # An error would keep it from whoever waits for it.
            limit = self.max_object_size if record.length is None else record.length
            source = Source(stream, limit=limit - offset, lock=lock)
            if record.state == "finished" or is_whole(kept):
                if source.has_more():
                    raise UploadTooLargeError(f"upload {id} has all its {limit} bytes", id=id)
            else:
                try:
                    kept = self._stored(kept, lock, source, expected)
                except UploadMissingError as error:
                    raise self._store.ended(self._store.read(id).record) from error
            if is_whole(kept):
                kept = complete(self._store, kept, lock)
                _check_offset(kept, max(offset, kept.record.offset))
        if source.error is not None and not kept.is_news:
            raise source.error
        return kept.info()

    def _stored(self, kept: Kept, lock: Lock, source: Source, expected: Expected | None) -> Kept:
        if expected is None:
            return Write(self._store, kept, lock, source).run()
        memory = self.options.preferred_part_size
        directory = self.options.temporary_directory
        with verified(source, expected, memory=memory, directory=directory) as file:
            if source.has_more():
                raise UploadTooLargeError(
                    f"upload {kept.record.id} was sent more bytes than it takes; nothing of this "
                    "chunk was stored",
                    id=kept.record.id,
                )
            # Verified: from here on nobody may ask for less than all of it.
            limit = (kept.record.length or self.max_object_size) - kept.record.offset
            return Write(self._store, kept, lock, Source(file, limit=limit, lock=None)).run()

    def declare_length(self, id: str, length: int) -> UploadInfo:
        """Say how long an upload of deferred length is; completes it if all bytes are there.

        :raises InvalidLengthError: if it is known, or less than what is there.
        :raises UploadTooLargeError: if it is more than an upload may have.
        """
        checked_length(length)
        with naming(self.driver), self._held(id) as lock:
            kept = self._current(id, lock)
            record = kept.record
            if record.length is not None:
                if record.length == length:
                    return record.info()
                raise InvalidLengthError(f"the length of upload {id} is {record.length}", id=id)
            if length < record.offset:
                raise InvalidLengthError(
                    f"upload {id} has {record.offset} bytes already, more than {length}", id=id
                )
            sizes = self._store.sizes
            is_other = sizes.equal and sizes.full(1, 0, length) != sizes.preferred
            if length > self.max_object_size or (is_other and record.parts):
                raise self._above(length)
            kept = self._store.commit(kept, replace(record, length=length), lock)
            if is_whole(kept):
                kept = complete(self._store, kept, lock)
            return kept.info()

    def finish(self, id: str) -> Object:
        """Give the object of an upload, completing it if that was not done. May be called again.

        :raises UploadUnfinishedError: if bytes are missing.
        """
        with naming(self.driver):
            kept = self._store.read(id)
            if kept.record.state != "finished":
                kept = self._settled(id)
            record = kept.record
            if record.state != "finished":
                raise UploadUnfinishedError(
                    f"upload {id} has {record.offset} of {record.length} bytes", id=id
                )
            told = {"id": id, "just_completed": kept.is_news}
            return Object(
                name=record.key,
                size=record.length,
                hash=record.etag,
                extra={"etag": record.etag, "upload_id": record.upload_id, **told},
                meta_data={n: v.decode("utf-8", "replace") for n, v in record.metadata.items()},
                container=self.container,
                driver=self.driver,
            )

    def read(self, id: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Give the bytes of a finished upload, from ``start`` up to (not including) ``end``.

        Read in pieces as they are asked for; an object that is replaced meanwhile is an error.

        :raises UploadUnfinishedError: before anything is read.
        """
        with naming(self.driver):
            record = self._store.read(id).record
            if record.state != "finished":
                raise UploadUnfinishedError(f"upload {id} is not finished", id=id)
            size = record.length or 0
            end = size if end is None else min(end, size)
            if start < 0 or end < start:
                raise ValueError(f"there is no range {start} to {end} of {size} bytes")
            return read_range(self._store, record, start, end)

    def concat(
        self,
        ids: Sequence[str],
        metadata: Mapping[str, bytes | str] | None = None,
        key: str | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> UploadInfo:
        """Join finished uploads, in this order, into a new one; they stay as they are.

        The service copies; only neighbours too small for a part of their own pass through here.

        :raises UploadUnfinishedError: if one is not finished.
        :raises UploadTooLargeError: if they are too much together. Nothing was made then.
        """
        with naming(self.driver):
            records = []
            for id in ids:
                record = self._store.read(id).record
                if record.state != "finished":
                    raise UploadUnfinishedError(f"upload {id} is not finished", id=id)
                records.append(record)
            total = sum(record.length or 0 for record in records)
            if total > self.max_object_size:
                raise self._above(total)
            return joining.join(
                self._store,
                self.driver,
                self.container,
                records,
                name=secrets.token_hex(16),
                metadata=metadata or {},
                key=key,
                extra=extra,
            ).info()

    def terminate(self, id: str) -> bool:
        """Remove an upload with all that belongs to it, finished or not. May be called again.

        A running write is asked to stop, and acknowledges nothing any more.

        :returns: whether there was anything.
        :raises S3MultipartError: if something could not be removed; calling again goes on.
        """
        with naming(self.driver):
            try:
                kept = self._store.find(name_of(id))
            except UploadNotFoundError:
                return False
            if kept is None or kept.record.id != id:
                return False
            remove(self._store, kept)
            return True

    # -- many ------------------------------------------------------------------------------------

    def list(self) -> Iterator[UploadInfo]:
        """Yield all uploads below the prefix, finished or not, by the names of their records.

        One request each: offsets are as they were committed.
        """
        with naming(self.driver):
            for kept in expiring.iterate(self._store):
                if kept.record.state == "deleted":
                    continue
                if not kept.record.is_ours:
                    try:
                        kept = self._store.seen(kept)
                    except UploadGoneError:
                        continue
                yield kept.info()

    def expire(self, older_than: float | None = None) -> int:
        """Remove unfinished uploads whose time is over, and what crashed processes left behind.

        Only below the prefix, and never a finished upload, unless it was partial and its time is
        over. One that is being written is left alone.

        :param older_than: seconds; those that were begun longer ago go too, whatever their time.
        :returns: how many uploads were removed.
        """
        with naming(self.driver):
            return expiring.expire(self._store, self._locker, older_than=older_than)


def _check_offset(kept: Kept, offset: int) -> None:
    """
    :raises OffsetMismatchError: if the upload does not end there.
    """
    record = kept.record
    if offset != record.offset:
        raise OffsetMismatchError(
            f"upload {record.id} ends at offset {record.offset}, not {offset}",
            offset=record.offset,
            id=record.id,
        )
