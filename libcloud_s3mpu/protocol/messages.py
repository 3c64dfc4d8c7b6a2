# SPDX-License-Identifier: Apache-2.0
"""Requests and answers as values, and the error that an answer means.

What the multipart verbs put into a request and read out of an answer is :mod:`.wire`; who sends it
is :mod:`libcloud_s3mpu.transfer.connection`. Nothing here is specific to a verb.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Protocol
from datetime import datetime, timezone
from dataclasses import field, dataclass
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit, urlunsplit
from collections.abc import Mapping, Iterable

from .errors import (
    ClockSkewError,
    S3MultipartError,
    WrongRegionError,
    MalformedAnswerError,
    error_class,
)
from .headers import CONDITIONS

if TYPE_CHECKING:
    from . import xml

_QUERY = re.compile(r"\?[^\s'\"<>]+")
_SIGNED = re.compile(
    r"(?i)\b(x-amz-[a-z0-9-]+|signature|credential|authorization)\s*[=:][^\s,'\"<>]+"
)
#: What may be a region at all; AWS's own shape is narrower (:func:`.endpoint.is_region`).
_REGION = re.compile(r"[a-z0-9-]{1,64}\Z")
#: Redirects that keep the method and the body; 301 does so among S3's.
REDIRECTS = (301, 307, 308)
#: How many of them one request may follow.
MOST_REDIRECTS = 3
#: The most that is read of an answer in bytes: ListParts of 1,000 parts is about 300 KiB, a listing
#: of 1,000 keys of 1,024 escaped bytes stays below this.
MAX_XML_BYTES = 8 * 1024 * 1024
#: The most that is read of an error's body, in bytes.
MAX_ERROR_BYTES = 64 * 1024
#: How much of an answer that is no XML an error quotes, in characters.
QUOTED = 200


class Body(Protocol):
    """What a request carries: sent any number of times, so iterating must begin anew each time."""

    @property
    def size(self) -> int:
        """Length in bytes."""
        ...

    def buffers(self) -> Iterable[Any]:
        """Give the bytes as buffers, in order."""
        ...


class Bytes:
    """A body that is one small piece of bytes (XML)."""

    __slots__ = ("_data",)

    def __init__(self, data: bytes) -> None:
        self._data = data

    @property
    def size(self) -> int:
        return len(self._data)

    def buffers(self) -> tuple[bytes, ...]:
        return (self._data,)


class Stream(Protocol):
    """The body of an answer that is read while it comes; one thread at a time, but for ``cut``.

    Reading raises :class:`~.errors.TransportError` if the connection breaks. A body that ends
    before its length is no error here: whoever reads it knows how long it must be.
    """

    def read(self, size: int) -> bytes:
        """Give ``size`` bytes, fewer only at the end, none behind it."""
        ...

    def readinto(self, view: memoryview) -> int:
        """Fill ``view``; give how many bytes came: fewer only at the end."""
        ...

    def close(self) -> None:
        """Keep the connection for others if all was read, else drop it."""
        ...

    def cut(self) -> None:
        """Make the read under way fail at once, if that is possible; from any thread."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Request:
    """One request, not yet signed.

    :param operation: S3's name of it ("UploadPart"), for errors and logs.
    :param headers: lower-case names, values checked; without host, date, authorization, length.
    :param payload_sha256: hexadecimal SHA-256 of the body, or None for ``UNSIGNED-PAYLOAD``.
    :param answer_limit: the most bytes of a good answer's body that are read.
    :param patience_seconds: read time-out where this verb's differs from the connection's.
    :param streams: a good answer's body is not read; the answer has it as ``stream``.
    :param is_repeatable: sending it twice does what sending it once does (not so of initiate and
        complete: a second one makes another upload, or finds none).
    """

    operation: str
    method: str
    bucket: str
    key: str | None = None
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: Body | None = None
    payload_sha256: str | None = None
    answer_limit: int = MAX_XML_BYTES
    patience_seconds: float | None = None
    streams: bool = False
    is_repeatable: bool = True
    upload_id: str | None = None
    part_number: int | None = None

    @property
    def is_conditional_write(self) -> bool:
        """Whether sending it twice may be refused because of what the first one did."""
        return self.method == "PUT" and not CONDITIONS.isdisjoint(self.headers)


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Response:
    """An answer: status, headers by lower-case name, and the body as far as it was read."""

    status: int
    # Not shown: an error's body may quote the request's token, a Location may be presigned.
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(default=b"", repr=False)
    #: The body that is still to be read, of a request that asked for it; whoever gets it closes it.
    stream: Stream | None = field(default=None, repr=False)


def is_head_cut(
    request: S3Request, *, status: int, version: int, headers: Mapping[str, str]
) -> bool:
    """Tell whether the head of an answer to a body was cut; ``http.client`` takes it for whole.

    Such an answer has an ETag, and over HTTP/1.1 says how long it is, or that the connection ends
    with it. One that has none of these lost them on the way.

    :param version: 10 or 11, as ``http.client`` has it; 0 where there was no wire (mocks).
    :param headers: lower-case names.
    """
    if version != 11 or request.method != "PUT" or status >= 300 or "etag" in headers:
        return False
    return not any(n in headers for n in ("content-length", "transfer-encoding", "connection"))


def context_of(request: S3Request) -> dict[str, Any]:
    """Give the keyword arguments with which an error says what was being done."""
    return {
        "operation": request.operation,
        "container": request.bucket or None,
        "object_name": request.key,
        "upload_id": request.upload_id,
        "part_number": request.part_number,
    }


def described(request: S3Request) -> str:
    """Give the head of an error's text: what failed, for which object, upload and part."""
    where = request.bucket if request.key is None else f"{request.bucket}/{request.key}"
    details = []
    if request.upload_id:
        details.append(f"upload {request.upload_id}")
    if request.part_number is not None:
        details.append(f"part {request.part_number}")
    suffix = f" ({', '.join(details)})" if details else ""
    # A request for the service itself names nothing: the list of the containers.
    return f"{request.operation} failed" + (f" for {where}{suffix}" if where else suffix)


def parse_body(
    request: S3Request, response: S3Response, *, root: str, also: str = ""
) -> xml.Element:
    """Parse a good answer, which must have this root, or the one some service has instead.

    :raises S3MultipartError: the error inside a 200, or :class:`MalformedAnswerError`.
    """
    from . import xml  # lxml is loaded for the first answer that needs it.

    try:
        element = xml.parse(response.body)
    except xml.XmlError as error:
        # Without its traceback: the parser's frames have the answer's text among their locals.
        raise malformed(request, response, str(error)) from error.with_traceback(None)
    name = xml.local_name(element)
    if name == "Error":
        raise service_error(request, response)
    if name not in (root, also):
        raise malformed(request, response, f"the answer is <{name}>, not <{root}>")
    return element


def malformed(request: S3Request, response: S3Response, problem: str) -> MalformedAnswerError:
    """Make the error for an answer that makes no sense; it quotes a line of it."""
    return MalformedAnswerError(
        f"{described(request)}: HTTP {response.status}, but {problem}{_quoted(response.body)}",
        http_status=response.status,
        request_id=response.headers.get("x-amz-request-id"),
        **context_of(request),
    )


def service_error(request: S3Request, response: S3Response) -> S3MultipartError:
    """Make the error that an answer means, by the table of :mod:`.errors`."""
    code, message, request_id = _parsed_error(response.body)
    cls = error_class(http_status=response.status, s3_code=code)
    if cls.__name__ == "ObjectMissingError" and request.key is None:
        cls = error_class(http_status=404, s3_code="NoSuchBucket")
    retry_after = _retry_after(response.headers)
    if code:
        said = (
            f"{code}: {message} (HTTP {response.status})"
            if message
            else f"{code} (HTTP {response.status})"
        )
    else:
        said = f"HTTP {response.status}{_quoted(response.body)}"
    if region := response.headers.get("x-amz-bucket-region"):
        said += f"; the container is in region {region[:64]!r}"
    error = cls(
        f"{described(request)}: {said}",
        http_status=response.status,
        s3_code=code,
        request_id=request_id or response.headers.get("x-amz-request-id"),
        retry_after_seconds=retry_after,
        **context_of(request),
    )
    if isinstance(error, WrongRegionError):
        named = response.headers.get("x-amz-bucket-region") or _named_region(response.body)
        # It becomes part of a signature, and of AWS host names: text from an answer is not trusted.
        error.region = named if named and _REGION.match(named) else None
        if response.status in REDIRECTS and (place := _place(response.headers.get("location"))):
            error.location = place
            error.mends = MOST_REDIRECTS if error.region is None else 1
    elif isinstance(error, ClockSkewError):
        error.server_date = response.headers.get("date")
    return error


def raise_for_status(request: S3Request, response: S3Response, *good: int) -> None:
    """Raise the error an answer means unless its status is one of ``good``."""
    if response.status not in good:
        raise service_error(request, response)


def _parsed_error(body: bytes) -> tuple[str | None, str | None, str | None]:
    from . import xml  # lxml is loaded for the first answer that needs it.

    try:
        root = xml.parse(body)
    except xml.XmlError:
        return None, None, None
    if xml.local_name(root) != "Error":
        return None, None, None
    code, message = xml.text_of(root, "Code"), xml.text_of(root, "Message")
    return (code or None), (_one_line(message) if message else None), xml.text_of(root, "RequestId")


def redacted(text: str) -> str:
    """Give ``text`` without what may sign a request: the queries of URLs, and signatures."""
    return _SIGNED.sub("...", _QUERY.sub("?...", text))


def _named_region(body: bytes) -> str | None:
    from . import xml  # lxml is loaded for the first answer that needs it.

    try:
        return xml.text_of(xml.parse(body), "Region")
    except xml.XmlError:
        return None


def _place(location: str | None) -> str | None:
    """Give where a redirect leads, without query, user and password; None if it is no place."""
    try:
        parts = urlsplit(location or "")
        netloc = parts.netloc.rpartition("@")[2]
        return urlunsplit((parts.scheme, netloc, parts.path, "", "")) or None
    except ValueError:
        return None


def _one_line(text: str) -> str:
    line = redacted(" ".join(text.split()))
    return line if len(line) <= QUOTED else line[: QUOTED - 3] + "..."


def _quoted(body: bytes) -> str:
    line = _one_line(body[: 4 * QUOTED].decode("utf-8", "replace"))
    return f": {line!r}" if line else ""


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Read ``Retry-After`` (seconds, or a date against the answer's own Date); garbage is None."""
    value = headers.get("retry-after")
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        pass
    else:
        return seconds if 0 <= seconds < 1e9 else None
    try:
        until = parsedate_to_datetime(value)
        now = parsedate_to_datetime(headers["date"])
        return max(0.0, (_aware(until) - _aware(now)).total_seconds())
    except (KeyError, TypeError, ValueError):
        return None


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=timezone.utc)
