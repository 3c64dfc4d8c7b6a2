# SPDX-License-Identifier: Apache-2.0
"""What is kept of an upload: the ``.info`` object, in tusd's own JSON with one field of ours.

tusd's fields (``handler.FileInfo``: ID, Size, SizeIsDeferred, Offset, MetaData, IsPartial, IsFinal,
PartialUploads, Storage) are read and written as tusd does; it ignores ``S3MPU``, in which is what
makes an offset true: how many parts count, a digest of them, and which tail. An upload that tusd
began has no such field until we write to it.

Nothing is sent here. Who reads and writes records is :mod:`.state`.
"""

from __future__ import annotations

import re
import json
import base64
import hashlib
from typing import Any, Literal
from datetime import datetime, timezone
from dataclasses import field, replace, dataclass
from collections.abc import Mapping, Sequence

from .info import UploadInfo
from .errors import UploadVersionError, UploadNotFoundError
from ..protocol import checksums
from ..protocol.session import UploadedPart

#: Version of our own field.
VERSION = 1
#: Bytes of what tells one part from another that has its number.
MARK_BYTES = 4
FIELD = "S3MPU"

State = Literal["open", "finished", "deleted"]

#: An upload id that can stand in an id, and in a URL, as it is.
_PLAIN = re.compile(r"[A-Za-z0-9._~-]+\Z")
_CONTROL = re.compile("[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tail:
    """Bytes too few for a part, in an object beside the upload.

    :param offset: where they belong; a tail that is not at the end of the parts does not count.
    :param etag: of the object that holds them; None if the service names none.
    :param mark: in that object's name: no two writers ever use the same, so none can replace what
        the other acknowledged. Empty for tusd's, which has but one name.
    """

    offset: int
    size: int
    etag: str | None
    mark: str = ""

    @property
    def kind(self) -> str:
        """The end of its object's name, as :meth:`.state.Store.side_key` takes it."""
        return f"{self.mark}.part" if self.mark else "part"

    def to_fields(self) -> dict[str, Any]:
        return {"Offset": self.offset, "Size": self.size, "ETag": self.etag, "Mark": self.mark}

    @classmethod
    def of_fields(cls, fields: Mapping[str, Any]) -> Tail:
        return cls(
            offset=int(fields["Offset"]),
            size=int(fields["Size"]),
            etag=fields["ETag"],
            mark=str(fields.get("Mark") or ""),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One upload as it is kept.

    :param name: what its side objects are called by (tusd's object id).
    :param parts: how many parts count, from number 1 on; ``part_bytes`` is their sum and ``digest``
        their chained digest (:func:`chained`).
    :param check: the checksum that S3 was told every part carries, as options name it; None: none.
        ``checks`` are those of the parts that count, one behind the other: complete must name them.
    :param marks: :func:`mark_of` each part that counts: tells which one was replaced.
    :param expires: seconds since 1970, as ``created``.
    :param token: the fencing token of who wrote it, and ``nonce`` its own mark.
    :param is_ours: False for one that tusd wrote; then nothing but tusd's own fields is known.
    """

    id: str
    name: str
    key: str
    upload_id: str
    length: int | None
    metadata: Mapping[str, bytes] = field(default_factory=dict)
    partial: bool = False
    final: bool = False
    parts_of: tuple[str, ...] = ()
    state: State = "open"
    parts: int = 0
    part_bytes: int = 0
    digest: str = ""
    check: str | None = None
    checks: bytes = field(default=b"", repr=False)
    marks: bytes = field(default=b"", repr=False)
    tail: Tail | None = None
    expires: float | None = None
    created: float | None = None
    token: int = 0
    nonce: str = ""
    etag: str | None = None
    is_ours: bool = True

    @property
    def offset(self) -> int:
        """Bytes that are stored for good."""
        if self.state == "finished":
            return self.length or 0
        return self.part_bytes + (self.tail_size if self.tail is not None else 0)

    @property
    def tail_size(self) -> int:
        """Bytes of the tail that count: none if its bytes are in a part by now."""
        return self.tail.size if self.tail and self.tail.offset == self.part_bytes else 0

    def info(self) -> UploadInfo:
        """Give what a caller sees."""
        return UploadInfo(
            id=self.id,
            key=self.key,
            offset=self.offset,
            length=self.length,
            metadata=dict(self.metadata),
            complete=self.state == "finished",
            partial=self.partial,
            final=self.final,
            parts_of=self.parts_of,
            expires=_moment(self.expires) if self.state != "finished" else None,
            created=_moment(self.created),
            etag=self.etag,
        )

    def to_json(self, bucket: str) -> bytes:
        """Give the bytes of the ``.info`` object."""
        tail = self.tail
        own = {
            "Version": VERSION,
            "UploadId": self.upload_id,
            "State": self.state,
            "Parts": self.parts,
            "PartBytes": self.part_bytes,
            "Digest": self.digest,
            "Check": self.check,
            "Checks": base64.b64encode(self.checks).decode("ascii"),
            "Marks": base64.b64encode(self.marks).decode("ascii"),
            "Tail": tail.to_fields() if tail else None,
            "Metadata": {
                name: base64.b64encode(value).decode("ascii")
                for name, value in self.metadata.items()
            },
            "Expires": self.expires,
            "Created": self.created,
            "Token": self.token,
            "Nonce": self.nonce,
            "ETag": self.etag,
        }
        fields = {
            "ID": self.id,
            "Size": self.length or 0,
            "SizeIsDeferred": self.length is None,
            "Offset": self.offset,
            "MetaData": {n: v.decode("utf-8", "replace") for n, v in self.metadata.items()},
            "IsPartial": self.partial,
            "IsFinal": self.final,
            "PartialUploads": list(self.parts_of) or None,
            "Storage": {"Type": "s3store", "Bucket": bucket, "Key": self.key},
            FIELD: own,
        }
        return json.dumps(fields, ensure_ascii=False).encode("utf-8")


def read_record(body: bytes, *, name: str, default_key: str) -> Record:
    """Read an ``.info`` object, ours or tusd's.

    :param default_key: the object's key where ``Storage`` does not name it (tusd before 1.0).
    :raises UploadNotFoundError: if it is none.
    :raises UploadVersionError: if a newer version of this package wrote it.
    """
    try:
        fields = json.loads(body)
        own = fields.get(FIELD) or {}
        version = int(own["Version"]) if own else VERSION
        if version > VERSION:
            raise UploadVersionError(
                f"the record of upload {name} is of version {version}; this package knows {VERSION}"
            )
        id = str(fields["ID"])
        upload_id = str(own.get("UploadId") or id.rpartition("+")[2])
        storage = fields.get("Storage") or {}
        return Record(
            id=id,
            name=name,
            key=str(storage.get("Key") or default_key),
            upload_id=upload_id,
            length=None if fields.get("SizeIsDeferred") else int(fields["Size"]),
            metadata=_metadata(own, fields),
            partial=bool(fields.get("IsPartial")),
            final=bool(fields.get("IsFinal")),
            parts_of=tuple(str(each) for each in fields.get("PartialUploads") or ()),
            is_ours=bool(own),
            **_own(own),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UploadNotFoundError(f"the record of upload {name} cannot be read: {error}") from error


def _own(own: Mapping[str, Any]) -> dict[str, Any]:
    if not own:
        return {}
    if own["State"] not in ("open", "finished", "deleted"):
        raise ValueError(f"it has no such state: {own['State']!r}")
    tail = own.get("Tail")
    return {
        "state": own["State"],
        "parts": int(own["Parts"]),
        "part_bytes": int(own["PartBytes"]),
        "digest": str(own["Digest"]),
        "check": _known_check(own.get("Check")),
        "checks": base64.b64decode(own.get("Checks") or "", validate=True),
        "marks": base64.b64decode(own.get("Marks") or "", validate=True),
        "tail": Tail.of_fields(tail) if tail else None,
        "expires": own.get("Expires"),
        "created": own.get("Created"),
        "token": int(own.get("Token") or 0),
        "nonce": str(own.get("Nonce") or ""),
        "etag": own.get("ETag"),
    }


def _known_check(name: Any) -> str | None:
    if name is not None and name not in checksums.ALGORITHMS:
        raise ValueError(f"it has no such checksum: {name!r}")
    return None if name is None else str(name)


def _metadata(own: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, bytes]:
    exact = own.get("Metadata")
    if exact is not None:
        return {str(n): base64.b64decode(v, validate=True) for n, v in exact.items()}
    plain = fields.get("MetaData") or {}
    return {str(n): str(v).encode("utf-8", "surrogatepass") for n, v in plain.items()}


def counted(record: Record, part: UploadedPart) -> Record:
    """Give the record that counts one part more, the next one."""
    assert part.part_number == record.parts + 1
    check = checksums.decoded(part.checksum or "", record.check) if record.check else None
    return replace(
        record,
        parts=part.part_number,
        part_bytes=record.part_bytes + part.size,
        digest=chained(record.digest, part),
        checks=record.checks + (check or b""),
        marks=record.marks + mark_of(part),
        tail=None,  # Its bytes are in the first of them.
    )


def with_check(record: Record, part: UploadedPart) -> UploadedPart:
    """Give a part that counts with its checksum, which no listing needs to say."""
    if record.check is None:
        return part
    size = checksums.SIZES[record.check]
    check = record.checks[(part.part_number - 1) * size : part.part_number * size]
    return replace(part, checksum=checksums.encoded(check)) if len(check) == size else part


def mark_of(part: UploadedPart) -> bytes:
    """Give what a part is known again by; of parts of one number only."""
    text = f"{part.part_number}:{part.size}:{part.etag}"
    return hashlib.sha256(text.encode("utf-8")).digest()[:MARK_BYTES]


def unchanged(record: Record, listed: Sequence[UploadedPart]) -> Record:
    """Give the record that counts what it did, up to the first part that is another one now."""
    digest, good = "", 0
    for part in listed[: record.parts]:
        if record.marks[good * MARK_BYTES : (good + 1) * MARK_BYTES] != mark_of(part):
            break
        digest, good = chained(digest, part), good + 1
    if good == record.parts:
        return record
    return replace(
        record,
        parts=good,
        part_bytes=sum(part.size for part in listed[:good]),
        digest=digest,
        checks=record.checks[: good * checksums.SIZES[record.check]] if record.check else b"",
        marks=record.marks[: good * MARK_BYTES],
        tail=None,
    )


def chained(digest: str, part: UploadedPart) -> str:
    """Carry the digest of the parts that count on by one: any other list has another digest."""
    text = f"{digest}\n{part.part_number}:{part.size}:{part.etag}"
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:32]


def id_of(name: str, upload_id: str) -> str:
    """Give an upload's id: tusd's ``name+upload id``, where the upload id can stand in a URL.

    One that cannot (it holds ``+`` or ``/``) is replaced by its digest; the record has it.
    """
    if _PLAIN.match(upload_id):
        return f"{name}+{upload_id}"
    return f"{name}+{hashlib.sha256(upload_id.encode('utf-8')).hexdigest()[:32]}"


def name_of(id: str) -> str:
    """Give the name that an id's side objects are called by; tusd splits at the last plus, too.

    :raises UploadNotFoundError: if it is no id at all.
    """
    name, plus, rest = id.rpartition("+") if isinstance(id, str) else ("", "", "")
    segments = name.split("/")
    if not (name and plus and rest) or _CONTROL.search(id) or {".", "..", ""} & set(segments):
        shown = id if isinstance(id, str) and len(id) <= 200 else "..."
        raise UploadNotFoundError(f"there is no upload {shown!r}")
    return name


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, timezone.utc)
