# SPDX-License-Identifier: Apache-2.0
"""The state of an upload: read from S3, held against what S3 lists, and committed back.

``.info`` is the one commit point: it is replaced on the condition that it is still the one that was
read, so of two writers at most one is acknowledged, whatever became of their locks. What is not
committed does not count: parts behind those that the record counts are overwritten by the next
write, and a tail that the record does not name is no tail.
"""

from __future__ import annotations

import time
import uuid
import logging
from typing import Any
from dataclasses import replace, dataclass
from collections.abc import Callable

from .info import UploadInfo
from .lease import Lock
from .sizes import Sizes
from .errors import (
    FencedError,
    ResumableError,
    UploadGoneError,
    UploadDamagedError,
    UploadExpiredError,
    UploadNotFoundError,
)
from .record import Tail, Record, chained, mark_of, name_of, with_check, read_record
from .headers import MARK
from .objects import Objects
from .options import StoreOptions
from ..protocol import wire
from ..protocol.errors import (
    S3MultipartError,
    ObjectMissingError,
    UploadMissingError,
    PreconditionFailedError,
)
from ..transfer.single import iterate_parts
from ..protocol.session import UploadedPart
from ..protocol.checksums import new_digest
from ..protocol.integrity import BodyCheck

log = logging.getLogger("libcloud_s3mpu.resumable")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A record as it was read, and the ETag of the object that holds it.

    :param is_news: it is finished, and this is who wrote that into the record.
    """

    record: Record
    info_etag: str | None
    is_news: bool = False

    def info(self) -> UploadInfo:
        """Give what a caller sees."""
        return replace(self.record.info(), just_completed=self.is_news)


class Store:
    """Where the uploads of one container are. Any thread.

    :param check: what the parts of new uploads are checked by.
    :param clock: seconds since 1970.
    """

    def __init__(
        self,
        objects: Objects,
        options: StoreOptions,
        *,
        check: BodyCheck,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.objects = objects
        self.options = options
        self.check = check
        self.clock = clock
        self.sizes = Sizes(
            minimum=options.min_part_size,
            preferred=options.preferred_part_size,
            maximum=options.max_part_size,
            max_parts=options.max_multipart_parts,
            max_object_size=options.max_object_size,
            equal=options.equal_parts,
        )

    def side_key(self, name: str, kind: str) -> str:
        """Give the key of a side object: ``.info``, ``.part`` or ``.lock``."""
        return f"{self.options.metadata_object_prefix}{name}.{kind}"

    def target(self, record: Record) -> wire.Target:
        """Give the place of the object that an upload becomes."""
        return wire.Target(bucket=self.objects.bucket, key=record.key, headers={})

    @property
    def unnamed_check(self) -> BodyCheck:
        """What parts are checked by where S3 was not told, when the upload began, of a checksum.

        It refuses parts with one then. Signing the payload is the check that needs no telling.
        """
        if self.check.s3_algorithm is None:
            return self.check
        return replace(self.check, algorithm=None, is_signed=True)

    def check_of(self, record: Record) -> BodyCheck:
        """Give what an upload's parts are checked by: what was said when it began, by whomever.

        :raises ImportError: if that cannot be computed as things are installed here.
        """
        if record.check is None:
            return self.unnamed_check
        new_digest(record.check)
        return replace(self.check, algorithm=record.check)

    def tag_headers(self, *, completed: bool) -> dict[str, str]:
        """Give the tag by which a lifecycle rule tells side objects (tus-node-server's name)."""
        if not self.options.use_tags:
            return {}
        return {"x-amz-tagging": f"Tus-Completed={'true' if completed else 'false'}"}

    def expiry(self) -> float | None:
        """Give when an upload that was just touched runs out."""
        seconds = self.options.expires_seconds
        return None if seconds is None else self.clock() + seconds

    # -- reading ---------------------------------------------------------------------------------

    def find(self, name: str) -> Kept | None:
        """Give what is kept under a name; None if there is nothing, or no record."""
        got = self.objects.get(self.side_key(name, "info"))
        if got is None:
            return None
        record = read_record(got.body, name=name, default_key=f"{self.options.object_prefix}{name}")
        return Kept(record=record, info_etag=got.etag)

    def read(self, id: str) -> Kept:
        """Give an upload's record as it is kept. One request.

        :raises UploadNotFoundError: if there is none, or it is over.
        """
        kept = self.find(name_of(id))
        if kept is None or kept.record.id != id:
            raise UploadNotFoundError(f"there is no upload {id!r}", id=id)
        record = kept.record
        if record.state == "deleted":
            raise UploadGoneError(f"upload {id} was terminated", id=id)
        is_late = record.expires is not None and record.expires <= self.clock()
        if is_late and record.state != "finished":
            raise UploadExpiredError(f"upload {id} was not finished in its time", id=id)
        return kept

    def seen(self, kept: Kept) -> Kept:
        """Hold a record against what S3 has of the upload. One request, for one that tusd wrote
        more.

        :raises UploadGoneError: if the upload was aborted behind our back.
        :raises UploadDamagedError: if S3 does not list the last part that counts, or another one.
        """
        record = kept.record
        if record.state == "finished":
            return kept
        try:
            if not record.is_ours:
                return self._adopted(kept)
            page = self.objects.part_page(
                self.target(record), record.upload_id, after=max(0, record.parts - 1), count=1
            )
        except UploadMissingError as error:
            return self.settled(kept, error)
        last = next((part for part in page if part.part_number == record.parts), None)
        if record.parts and (last is None or not record.marks.endswith(mark_of(last))):
            raise self.damaged(record, f"part {record.parts} is not as it was")
        return kept

    def _adopted(self, kept: Kept) -> Kept:
        """Give the state of an upload that tusd began: parts up to the first gap, and ``.part``."""
        record = kept.record
        parts, highest = self.listed_prefix(record)
        # tusd puts a join of small ones as one object, and aborts its multipart upload later.
        if record.final and not parts and (finished := self._proven(record)) is not None:
            return self.noted(replace(kept, record=finished))
        tail = None
        if len(parts) == highest:  # Behind a gap nobody knows where the tail belongs.
            head = self.objects.head(self.side_key(record.name, "part"), denied_is_none=True)
            size = sum(part.size for part in parts)
            if head is not None and head.size:
                tail = Tail(offset=size, size=head.size, etag=head.etag)
        digest = ""
        for part in parts:
            digest = chained(digest, part)
        adopted = replace(
            record,
            parts=len(parts),
            part_bytes=sum(part.size for part in parts),
            digest=digest,
            marks=b"".join(map(mark_of, parts)),
            tail=tail,
        )
        return replace(kept, record=adopted)

    def listed_prefix(self, record: Record) -> tuple[list[UploadedPart], int]:
        """List an upload's parts up to the first gap, and give the highest number of all."""
        listed = {part.part_number: part for part in self._listed(record)}
        parts: list[UploadedPart] = []
        while len(parts) + 1 in listed:
            parts.append(listed[len(parts) + 1])
        return parts, max(listed, default=0)

    def _listed(self, record: Record) -> Any:
        objects = self.objects
        return iterate_parts(
            objects.sender, self.target(record), record.upload_id, policy=objects.policy
        )

    def counted_parts(self, record: Record) -> list[UploadedPart]:
        """List the parts that count, and make sure that they are those that were acknowledged.

        :raises UploadDamagedError: if they are not.
        """
        parts = self.listed_prefix(record)[0][: record.parts]
        digest = ""
        for part in parts:
            digest = chained(digest, part)
        if len(parts) < record.parts or digest != record.digest:
            raise self.damaged(record, f"{len(parts)} of {record.parts} parts are as they were")
        return [with_check(record, part) for part in parts]

    def damaged(self, record: Record, problem: str) -> UploadDamagedError:
        return UploadDamagedError(
            f"upload {record.id}: S3 lists other parts than were acknowledged ({problem})",
            id=record.id,
            container=self.objects.bucket,
            object_name=record.key,
            upload_id=record.upload_id,
        )

    # -- an upload that is not there any more ----------------------------------------------------

    def settled(self, kept: Kept, error: UploadMissingError) -> Kept:
        """Decide what a missing multipart upload means: finished if its object is there, else gone.

        :raises UploadGoneError: if nothing proves that it was completed.
        """
        record = kept.record
        finished = self._proven(record)
        if finished is not None:
            return self.noted(replace(kept, record=finished))
        raise self._gone(record) from error

    def ended(self, record: Record) -> ResumableError:
        """Make the error of a writer whose multipart upload was not there any more."""
        if record.state != "finished" and self._proven(record) is None:
            return self._gone(record)
        return FencedError(f"upload {record.id} was finished by another writer", id=record.id)

    def _gone(self, record: Record) -> UploadGoneError:
        return UploadGoneError(
            f"upload {record.id} is not on the service any more, and no object proves that it was "
            "finished: its parts were aborted",
            id=record.id,
            container=self.objects.bucket,
            object_name=record.key,
            upload_id=record.upload_id,
        )

    def _proven(self, record: Record) -> Record | None:
        """Give the record of a finished upload if its object is there."""
        head = self.objects.head(record.key, denied_is_none=True)
        if head is None or not self._is_proof(record, head.headers, head.size, head.etag):
            return None
        return replace(record, state="finished", length=head.size, etag=head.etag, tail=None)

    def _is_proof(self, record: Record, headers: Any, size: int, etag: str | None) -> bool:
        if record.length is None or size != record.length:
            return False
        mark = headers.get(MARK)
        if mark is not None or record.created is not None:
            return bool(mark == record.name)
        # tusd marks nothing: an object of that size, made of parts (or joined), is all there is.
        return record.final or "-" in (etag or "")

    def noted(self, kept: Kept) -> Kept:
        """Commit that an upload is finished; that it could not be noted changes nothing of it.

        Whoever's commit it is has the news; where that cannot be told, they are told twice rather
        than never.
        """
        nonce = uuid.uuid4().hex
        try:
            return replace(self.commit(kept, kept.record, None, nonce=nonce), is_news=True)
        except FencedError:
            return kept  # Another call was faster, and has the news.
        except Exception as error:
            log.info("the record of upload %s was not renewed: %s", kept.record.id, error)
            return replace(kept, is_news=self._may_be_noted(kept.record, nonce))

    def _may_be_noted(self, record: Record, nonce: str) -> bool:
        """Tell whether a commit whose answer was lost took effect, or nobody can say."""
        try:
            found = self.find(record.name)
        except Exception:
            return True
        return found is not None and found.record.nonce == nonce

    def etag_of(self, record: Record, stored: wire.StoredObject) -> str | None:
        """Give the ETag of an object that was just completed; None if nobody says."""
        if stored.etag is not None:
            return stored.etag
        try:  # Ceph 16 names none. The object is there, whatever becomes of this question.
            head = self.objects.head(record.key)
        except S3MultipartError:
            return None
        return head.etag if head is not None else None

    # -- committing ------------------------------------------------------------------------------

    def commit(
        self, kept: Kept, record: Record, lock: Lock | None, *, nonce: str | None = None
    ) -> Kept:
        """Replace the record that was read by ``record``.

        :param nonce: the mark of this commit, if it must be known again.
        :raises FencedError: if it is not the one that was read any more; nothing was acknowledged.
        """
        lasts = record.state == "finished" and not record.partial
        record = replace(
            record,
            is_ours=True,
            nonce=nonce or uuid.uuid4().hex,
            token=lock.token if lock is not None else record.token,
            expires=None if lasts else self.expiry(),
        )
        if lock is not None:
            lock.check(now=True)
        try:
            etag = self.objects.put_if(
                self.side_key(record.name, "info"),
                record.to_json(self.objects.bucket),
                etag=kept.info_etag,
                headers={
                    "content-type": "application/json",
                    **self.tag_headers(completed=record.state == "finished"),
                },
            )
        except (PreconditionFailedError, ObjectMissingError) as error:
            raise FencedError(
                f"upload {record.id} was changed by another writer; what was not acknowledged "
                "before does not count",
                id=record.id,
            ) from error
        if etag is None:  # A service that names no ETag: it must be asked for.
            found = self.objects.head(self.side_key(record.name, "info"))
            etag = found.etag if found is not None else None
        return Kept(record=record, info_etag=etag)


def forget_tail(store: Store, record: Record) -> None:
    """Remove the object of a tail that no record names any more; what is left over harms nobody."""
    assert record.tail is not None
    try:
        store.objects.delete(store.side_key(record.name, record.tail.kind))
    except S3MultipartError as error:
        log.info("a tail of upload %s was left over: %s", record.id, error)
