# SPDX-License-Identifier: Apache-2.0
"""A direct upload as a plan: what was declared, where its parts are cut, and what proves it whole.

Pure: the saved form is JSON without URL or secret, and the parts that a client names are compared
here with those that the service lists. Who asks the service, and who signs, is
:mod:`libcloud_s3mpu.direct`.
"""

from __future__ import annotations

import json
from typing import Any
from dataclasses import field, asdict, fields, replace, dataclass
from collections.abc import Mapping, Iterable

from .wire import unquoted, check_upload_id
from .errors import S3MultipartError, InvalidRequestError
from .limits import MIB, Limits
from .headers import SSE_CUSTOMER
from .session import UploadedPart, SessionFormatError
from .partsize import part_schedule
from .presigning import signed_headers

#: Version of the saved form.
VERSION = 1
#: Up to this an object is one ``PUT``, and above it the size of its parts (Nuxeo Drive's figure:
#: small enough to be sent again on a poor line).
DEFAULT_PART_SIZE = 20 * MIB
#: How many missing or wrong part numbers an error's text names.
_NAMED = 10


class PartsMismatchError(InvalidRequestError):
    """What the service holds is not what was declared, or not what the client says.

    Nothing was completed: the parts named can be sent again.

    :ivar part_numbers: which parts are missing or wrong.
    """

    part_numbers: tuple[int, ...] = ()


class DirectUploadExpiredError(S3MultipartError):
    """The direct upload's time is over; it must begin anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectPlan:
    """One direct upload.

    :param upload_id: None where the object is one ``PUT``.
    :param part_size_bytes: of every part but the last; the whole size for one ``PUT``.
    :param headers: the object's, by lower-case name; for one ``PUT`` the client sends them.
    :param url_seconds: how long each URL lives, at most.
    :param expires_epoch: when the upload is over, in seconds since 1970.
    """

    container: str
    object_name: str
    upload_id: str | None
    size_bytes: int
    part_size_bytes: int
    endpoint: str
    url_seconds: int
    expires_epoch: float
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def is_multipart(self) -> bool:
        return self.upload_id is not None

    @property
    def number_of_parts(self) -> int:
        """How many parts there are; an object by one ``PUT`` counts as one."""
        return max(1, -(-self.size_bytes // self.part_size_bytes)) if self.size_bytes else 1

    def size_of(self, part_number: int) -> int:
        """Give the one size in bytes that a part may have."""
        self.check_numbers([part_number])
        return min(self.part_size_bytes, self.size_bytes - self.offset_of(part_number))

    def offset_of(self, part_number: int) -> int:
        """Give where in the object a part begins, in bytes."""
        return (part_number - 1) * self.part_size_bytes

    def check_numbers(self, numbers: Iterable[Any]) -> None:
        """Refuse what is no number of a part of this upload.

        :raises InvalidRequestError: unless each is a whole number from 1 to the number of parts.
        """
        most = self.number_of_parts
        for number in numbers:
            if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= most:
                raise self._refused(f"part numbers are 1 to {most}, not {number!r}")

    def proved_parts(
        self, listed: Iterable[UploadedPart], given: Iterable[Any] | None = None
    ) -> list[UploadedPart]:
        """Give the parts to complete with, in order: listed by the service, and just as declared.

        :param given: the parts as the client has them (:func:`part_of`), or None to go by the list.
        :raises PartsMismatchError: if a part is missing, one too many, of another size, or not the
            one that the client sent.
        """
        found = {part.part_number: part for part in listed}
        wanted = range(1, self.number_of_parts + 1)
        problems = {n: "is missing" for n in wanted if n not in found}
        for number, part in found.items():
            if number not in wanted:
                problems[number] = "was not asked for"
            elif part.size != self.size_of(number):
                problems[number] = f"has {part.size} bytes, not {self.size_of(number)}"
        if given is not None:
            named: dict[int, str] = {}
            for item in given:
                number, etag = part_of(item)
                if named.setdefault(number, etag) != etag:
                    problems[number] = "is named twice"
            for number, etag in named.items():
                if number in found and found[number].etag != etag:
                    problems[number] = "is not the one that was sent: its ETag differs"
                elif number not in found and number not in wanted:
                    problems[number] = "was not asked for"
            for number in wanted:
                if number not in named:
                    problems.setdefault(number, "is not in the client's list")
        if problems:
            raise self._mismatch(problems)
        return [found[number] for number in wanted]

    def to_json(self) -> str:
        """Give the saved form; it has no URL, key or token."""
        return json.dumps({"version": VERSION, **asdict(self)}, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | bytes) -> DirectPlan:
        """Read the saved form.

        :raises SessionFormatError: (a ValueError) if it is cut, garbage, or of a newer version.
        """
        try:
            values = json.loads(text)
            if not isinstance(values, dict) or values.pop("version", None) != VERSION:
                raise ValueError(f"it is no object of version {VERSION}")
            if set(values) != {each.name for each in fields(cls)}:
                raise ValueError("its fields are others")
            return cls(**values)._checked()
        except (ValueError, TypeError, RecursionError, AttributeError) as error:
            raise SessionFormatError(f"this is no saved direct upload: {error}") from None

    # -- private ---------------------------------------------------------------------------------

    def _checked(self) -> DirectPlan:
        """Believe nothing of what was read: it goes into signatures."""
        for name in ("container", "object_name", "endpoint"):
            if not isinstance(getattr(self, name), str) or not getattr(self, name):
                raise ValueError(f"{name} is no text")
        if self.upload_id is not None:
            check_upload_id(self.upload_id)
        least = {"size_bytes": 0, "part_size_bytes": 0 if not self.size_bytes else 1}
        for name, smallest in {**least, "url_seconds": 1}.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < smallest:
                raise ValueError(f"{name} is {value!r}")
        if self.upload_id is None and self.part_size_bytes != self.size_bytes:
            raise ValueError("one PUT has one size")
        headers = signed_headers(dict(self.headers))
        check_direct_headers(headers)
        return replace(self, headers=headers, expires_epoch=float(self.expires_epoch))

    def _refused(self, text: str) -> InvalidRequestError:
        return InvalidRequestError(
            f"direct upload of {self.container}/{self.object_name}: {text}",
            container=self.container,
            object_name=self.object_name,
            upload_id=self.upload_id,
        )

    def _mismatch(self, problems: Mapping[int, str]) -> PartsMismatchError:
        named = sorted(problems)
        shown = "; ".join(f"part {number} {problems[number]}" for number in named[:_NAMED])
        more = f"; and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
        error = PartsMismatchError(
            f"direct upload of {self.container}/{self.object_name}: {shown}{more}\n"
            "Nothing was completed; these parts can be sent again",
            container=self.container,
            object_name=self.object_name,
            upload_id=self.upload_id,
        )
        error.part_numbers = tuple(named)
        return error


def part_of(item: Any) -> tuple[int, str]:
    """Give number and ETag of a part as a client names it.

    ``{"PartNumber": 1, "ETag": '"..."'}`` as S3 and Uppy have it, ``{"part_number", "etag"}``, a
    pair, or an :class:`UploadedPart`.

    :raises InvalidRequestError: if it is none of these.
    """
    number: Any = None
    etag: Any = None
    if isinstance(item, UploadedPart):
        number, etag = item.part_number, item.etag
    elif isinstance(item, Mapping):
        number = item.get("PartNumber", item.get("part_number"))
        etag = item.get("ETag", item.get("etag"))
    elif isinstance(item, (tuple, list)) and len(item) == 2:
        number, etag = item
    if isinstance(number, bool) or not isinstance(number, int) or not isinstance(etag, str):
        raise InvalidRequestError("a part is named by its PartNumber (an int) and its ETag")
    plain = unquoted(etag)
    if plain is None:
        raise InvalidRequestError(f"part {number} has no ETag")
    return number, plain


def check_direct_headers(headers: Mapping[str, str]) -> None:
    """Refuse headers that would hand a secret to the client.

    :raises InvalidRequestError: for SSE-C, whose key every part would need.
    """
    if secret := sorted(SSE_CUSTOMER & headers.keys()):
        raise InvalidRequestError(
            f"a direct upload cannot have {secret[0]}: the client would get the key"
        )


def planned_part_size(
    limits: Limits, *, size_bytes: int, part_size_bytes: int | None, threshold_bytes: int | None
) -> int | None:
    """Give the size of the equal parts; None for one ``PUT``.

    :param part_size_bytes: at least this; more where the service's number of parts asks for it.
    :param threshold_bytes: the largest single ``PUT``; None takes the part size.
    :raises InvalidRequestError: if a size cannot be, or the service takes no such object.
    """
    for name, value in (("size_bytes", size_bytes), ("part_size_bytes", part_size_bytes),
                        ("threshold_bytes", threshold_bytes)):  # fmt: skip
        is_open = value is None and name != "size_bytes"
        if not is_open and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
            raise InvalidRequestError(f"{name} must be an int from 0, not {value!r}")
    default = min(max(DEFAULT_PART_SIZE, limits.min_part_size), limits.max_part_size)
    try:
        schedule = part_schedule(
            replace(limits, uniform_parts=True),
            part_size=part_size_bytes if part_size_bytes is not None else default,
            size=size_bytes,
        )
    except ValueError as error:
        raise InvalidRequestError(f"this object cannot be uploaded: {error}") from error
    threshold = threshold_bytes if threshold_bytes is not None else schedule.base
    if size_bytes <= min(threshold, limits.max_single_put) or not size_bytes:
        return None
    return schedule.base
