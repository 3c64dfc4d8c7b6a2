# SPDX-License-Identifier: Apache-2.0
"""What a client of a direct upload was given, checked; and a server's part played by URLs alone.

A ticket is :meth:`~libcloud_s3mpu.direct.DirectUpload.as_dict`, as it came over the network.
:class:`UrlServer` lists, completes and aborts by the ticket's own URLs, for clients that have no
app to call. Who sends parts is :mod:`.direct_client`.
"""

from __future__ import annotations

import json
from typing import Any, Protocol
from dataclasses import field, dataclass
from collections.abc import Mapping, Callable, Iterable

from .protocol import wire
from .transfer.urls import UrlSender, UrlRequest, check_url
from .protocol.retry import RetryPolicy
from .protocol.direct import part_of
from .protocol.errors import (
    ClockSkewError,
    TransportError,
    AccessDeniedError,
    UploadMissingError,
    InvalidRequestError,
    MalformedAnswerError,
    TransientServiceError,
    CompletionUnknownError,
    ExpiredCredentialsError,
)
from .protocol.headers import checked_value
from .protocol.session import UploadedPart
from .transfer.attempt import retried
from .protocol.messages import S3Request
from .protocol.integrity import BodyCheck, BodyDigests
from .protocol.presigning import CONTENT_SHA256

#: URLs that are asked for at once.
URL_BATCH = 100


class DirectServer(Protocol):
    """What a client asks of the app that began the upload; all are called in its own thread.

    :class:`~libcloud_s3mpu.direct.DirectUpload` is one; over HTTP it is the app's own few lines.
    """

    def part_urls(self, numbers: list[int]) -> Mapping[int, str]:
        """Give fresh URLs for these parts."""
        ...

    def list_parts(self) -> Iterable[Any]:
        """Give what the service holds: mappings with ``PartNumber``, ``Size`` and ``ETag``."""
        ...

    def complete(self, parts: list[dict[str, Any]]) -> Any:
        """Complete with these parts: mappings with ``PartNumber`` and ``ETag``."""
        ...

    def abort(self) -> Any:
        """Give the upload up."""
        ...

    # And, where the app has it, for plain http (DirectUpload.signed_part_url), from any thread:
    # def signed_part_url(self, number: int, sha256: str) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """A ticket that was read and makes sense."""

    container: str
    object_name: str
    upload_id: str | None
    size_bytes: int
    part_size_bytes: int
    number_of_parts: int
    headers: Mapping[str, str] = field(repr=False)
    urls: Mapping[int, str] = field(repr=False)
    complete_url: str | None = field(repr=False, default=None)
    abort_url: str | None = field(repr=False, default=None)
    list_parts_urls: tuple[str, ...] = field(repr=False, default=())
    has_md5_etags: bool = True

    @classmethod
    def read(cls, given: Mapping[str, Any] | str | bytes) -> Ticket:
        """Read a ticket, as a mapping or as JSON.

        :raises InvalidRequestError: (a ValueError) if it is none; the text quotes nothing of it.
        """
        try:
            fields = given if isinstance(given, Mapping) else json.loads(given)
            made = cls(
                container=str(fields["container"]),
                object_name=str(fields["object_name"]),
                upload_id=fields["upload_id"],
                size_bytes=_count(fields["size_bytes"]),
                part_size_bytes=_count(fields["part_size_bytes"]),
                number_of_parts=_count(fields["number_of_parts"]),
                headers={
                    str(name).lower(): checked_value(str(name), value)
                    for name, value in fields["headers"].items()
                },
                urls={_count(p["part_number"]): check_url(p["url"]) for p in fields["parts"]},
                complete_url=_url_or_none(fields.get("complete_url")),
                abort_url=_url_or_none(fields.get("abort_url")),
                list_parts_urls=tuple(map(check_url, fields.get("list_parts_urls") or ())),
                has_md5_etags=fields.get("has_md5_etags", True) is not False,
            )
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise InvalidRequestError(
                f"this is no ticket of a direct upload ({type(error).__name__})"
            ) from None
        wanted = max(1, -(-made.size_bytes // max(made.part_size_bytes, 1)))
        if wanted != made.number_of_parts or (made.upload_id is None and wanted != 1):
            raise InvalidRequestError("the ticket's sizes and number of parts do not fit")
        return made

    def size_of(self, part_number: int) -> int:
        """Give the size of a part in bytes."""
        return min(self.part_size_bytes, self.size_bytes - (part_number - 1) * self.part_size_bytes)

    def check(self, algorithm: str | None = None, *, is_signed: bool = False) -> BodyCheck:
        """Give a check as the service's answers can be compared with it."""
        return BodyCheck(algorithm=algorithm, is_signed=is_signed, has_md5_etags=self.has_md5_etags)

    def request(self, operation: str, method: str, url: str, **fields: Any) -> UrlRequest:
        """Make a request of this upload."""
        return UrlRequest(
            operation=operation,
            method=method,
            bucket=self.container,
            key=self.object_name,
            upload_id=self.upload_id,
            url=url,
            **fields,
        )


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError("no number")
    return value


def _url_or_none(value: Any) -> str | None:
    return None if value is None else check_url(value)


def listed_part(item: Any) -> UploadedPart:
    """Give a listed part as our value.

    :raises InvalidRequestError: if it has no number, size or ETag.
    """
    if isinstance(item, UploadedPart):
        return item
    number, etag = part_of(item)
    size = item.get("Size", item.get("size")) if isinstance(item, Mapping) else None
    if isinstance(size, bool) or not isinstance(size, int):
        raise InvalidRequestError(f"listed part {number} has no Size")
    return UploadedPart(part_number=number, size=size, etag=etag)


class Urls:
    """The URLs of one upload: given, asked for in batches, and replaced when one was refused."""

    def __init__(self, ticket: Ticket, server: DirectServer, knows_bodies: dict[str, bool]) -> None:
        self._ticket = ticket
        self._known = dict(ticket.urls)
        self._last = ticket.number_of_parts
        self._server = server
        #: Gives a URL for one body; None where the server cannot.
        self._signed: Callable[[int, str], str] | None = getattr(server, "signed_part_url", None)
        #: Origin -> whether such are taken there; shared by a client's uploads.
        self._knows_bodies = knows_bodies
        #: Is a part under way that will tell?
        self.is_trying = False

    def check_of(self, checksum: str | None, url: str) -> BodyCheck:
        """Give the check of a part that goes to this URL.

        A URL that was signed before anybody had read the bytes allows ``Content-MD5`` alone: any
        ``x-amz-*`` header must have been signed ("Authenticating Requests: Using Query
        Parameters", S3 API reference, read 2026-11).
        """
        signs = False
        if checksum == "auto":
            is_plain, knows = url.startswith("http:"), self._knows_bodies.get(_origin(url))
            signs = is_plain and self._signed is not None and knows is not False
            self.is_trying = signs and knows is None
            checksum = "md5" if is_plain and not signs else None
        return self._ticket.check(checksum, is_signed=signs)

    def for_body(self, number: int, url: str, digests: BodyDigests) -> tuple[str, dict[str, str]]:
        """Give the URL that a part goes to, and the headers that check it; any thread."""
        if digests.sha256 is None or self._signed is None:
            return url, digests.headers
        return check_url(self._signed(number, digests.sha256)), {CONTENT_SHA256: digests.sha256}

    def give(self, number: int, *, done: Any) -> str:
        if number not in self._known:
            following = range(number, min(number + URL_BATCH, self._last + 1))
            wanted = [n for n in following if n not in done and n not in self._known]
            fresh = self._server.part_urls(wanted)
            # JSON has only text for names.
            self._known.update((int(n), check_url(url)) for n, url in fresh.items())
        if number not in self._known:
            raise InvalidRequestError(f"the server gave no URL for part {number}")
        return self._known[number]

    def taken(self, url: str) -> None:
        """A part has arrived; ``url`` is the one that it had before it was signed for its body."""
        if self.is_trying:
            self._knows_bodies[_origin(url)] = True
            self.is_trying = False

    def refused(self, number: int, url: str) -> None:
        """Forget all that were given with a URL that was refused: they run out together."""
        if self.is_trying:  # The next check is MD5.
            self._knows_bodies[_origin(url)] = False
            self.is_trying = False
        if self._known.get(number) == url:
            self._known.clear()


def _origin(url: str) -> str:
    return "/".join(url.split("/", 3)[:3])


def may_be_expired(error: BaseException) -> bool:
    """Tell whether a fresh URL may be taken where this one was refused."""
    is_refusal = isinstance(error, (AccessDeniedError, ExpiredCredentialsError))
    return is_refusal and not isinstance(error, ClockSkewError)


class UrlServer:
    """A :class:`DirectServer` made of the ticket's own URLs; it can sign nothing anew."""

    def __init__(self, ticket: Ticket, sender: UrlSender, policy: RetryPolicy) -> None:
        self._ticket = ticket
        self._sender = sender
        self._policy = policy

    def part_urls(self, numbers: list[int]) -> Mapping[int, str]:
        """Refuse: nobody here can sign.

        :raises InvalidRequestError: always.
        """
        raise InvalidRequestError(
            f"the ticket has no valid URL for part {numbers[0]}; give the client a server to ask"
        )

    def list_parts(self) -> list[UploadedPart]:
        """List what the service holds, one page for each URL."""
        found: dict[int, UploadedPart] = {}
        for url in self._ticket.list_parts_urls:
            page = self._answered("ListParts", "GET", url, wire.list_parts_result)
            if not page.parts:
                break
            found.update((part.part_number, part) for part in page.parts)
        return list(found.values())

    def complete(self, parts: list[dict[str, Any]]) -> wire.StoredObject | None:
        """Complete; None where the object is one ``PUT``, which is there already.

        :raises CompletionUnknownError: if no believable answer came and the upload is gone.
        """
        ticket = self._ticket
        if ticket.upload_id is None:
            return None
        if ticket.complete_url is None:
            raise InvalidRequestError("the ticket has no complete_url, and there is no server")
        named = [part_of(part) for part in parts]
        made = wire.complete_request(
            wire.Target(bucket=ticket.container, key=ticket.object_name, headers={}),
            upload_id=ticket.upload_id,
            parts=[
                UploadedPart(part_number=number, size=ticket.size_of(number), etag=etag)
                for number, etag in named
            ],
            check=ticket.check(),
        )
        doubts: list[Exception] = []

        def read(request: S3Request, response: Any) -> wire.StoredObject:
            return wire.complete_result(request, response, ticket.check())

        def once(_: int) -> wire.StoredObject:
            request = ticket.request(
                "CompleteMultipartUpload",
                "POST",
                ticket.complete_url or "",
                # Headers of S3's own that were not signed are refused.
                headers={"content-type": "application/xml"},
                body=made.body,
                patience_seconds=made.patience_seconds,
                is_repeatable=False,
            )
            try:
                return read(request, self._sender.call(request))
            except (TransportError, MalformedAnswerError, TransientServiceError) as error:
                doubts.append(error)
                raise

        try:
            return retried(once, policy=self._policy)
        except UploadMissingError as error:
            if not doubts:
                raise
            raise CompletionUnknownError(
                f"complete of {ticket.container}/{ticket.object_name} was sent, and whether it "
                "took effect cannot be told: look whether the object is there",
                container=ticket.container,
                object_name=ticket.object_name,
                upload_id=ticket.upload_id,
            ) from error

    def abort(self) -> None:
        """Abort; one that is gone is no error."""
        if self._ticket.abort_url is not None:
            url = self._ticket.abort_url
            self._answered("AbortMultipartUpload", "DELETE", url, wire.abort_result)

    def _answered(self, operation: str, method: str, url: str, read: Any) -> Any:
        request = self._ticket.request(operation, method, url)
        return retried(lambda _: read(request, self._sender.call(request)), policy=self._policy)
