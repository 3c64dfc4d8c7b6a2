# SPDX-License-Identifier: Apache-2.0
"""A request and a response as values: all that a handler sees of HTTP.

Nothing here knows a server, a framework or what is uploaded. :mod:`.wsgi` and :mod:`.asgi` make the
requests and send the responses; tests make them by hand.
"""

from __future__ import annotations

import json
import logging
from typing import Any, Protocol
from dataclasses import field, dataclass
from urllib.parse import parse_qsl
from collections.abc import Mapping, Callable, Iterable

__all__ = ["Body", "Refuse", "Request", "Response", "json_response", "text_response"]

_log = logging.getLogger(__name__)


class Body(Protocol):
    """What a request's body can be read from; one thread reads it."""

    def read(self, size: int, /) -> bytes:
        """Give 1 to ``size`` bytes as soon as there are some, and b"" at the end."""


class InputBody:
    """A body that never raises: a broken connection is the end of it, and is remembered.

    What arrived before is worth storing, so readers need not tell the two ends apart;
    :attr:`is_cut` does. Never is more read than was announced.

    :param read: the server's, called with a number of bytes; b"" is its end.
    :param length: of Content-Length; None for a chunked body, which ends by itself.
    """

    def __init__(self, read: Callable[[int], bytes], length: int | None) -> None:
        self._read = read
        self._left = length
        self._is_over = length == 0
        #: Did it end before its announced end?
        self.is_cut = False
        self.bytes_read = 0

    @property
    def is_over(self) -> bool:
        """Was its end seen, of whichever kind?"""
        return self._is_over

    @property
    def left(self) -> int | None:
        """Bytes that were announced and not read yet; None if nothing was announced."""
        return self._left

    def read(self, size: int, /) -> bytes:
        if self._is_over or size <= 0:
            return b""
        wanted = size if self._left is None else min(size, self._left)
        try:
            data = self._read(wanted)
        except Exception as error:
            # Each server has an error of its own here, from OSError to classes that no other knows.
            _log.info("body.cut after %d bytes: %s", self.bytes_read, type(error).__name__)
            self._is_over = self.is_cut = True
            return b""
        self.bytes_read += len(data)
        if self._left is not None:
            self._left -= len(data)
        if not data:
            self._is_over = True
            self.is_cut = bool(self._left)
        elif self._left == 0:
            self._is_over = True
        return data


def _never() -> bool:
    return False


def _no_trailers() -> Mapping[str, str]:
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request.

    ``headers`` have names in lower case; several of one name are joined by commas. ``path`` is
    percent-decoded and lies below ``mount``, which is where the framework put the handler.
    """

    method: str
    path: str
    mount: str = ""
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: InputBody = field(default_factory=lambda: InputBody(lambda _: b"", 0), repr=False)
    scheme: str = "http"
    #: The trailers of a chunked body, once its end was read.
    trailers: Callable[[], Mapping[str, str]] = field(default=_no_trailers, repr=False)
    #: Does the server pass trailers on at all?
    gives_trailers: bool = False
    #: Is the body passed on while it arrives? False where the server gathers it first (waitress).
    is_streamed: bool = True
    #: Has the client gone away? False where the server cannot tell.
    cancelled: Callable[[], bool] = field(default=_never, repr=False)
    #: Sends an interim (1xx) answer; None where the server cannot, which is so in WSGI and ASGI.
    interim: Callable[[int, Mapping[str, str]], None] | None = field(default=None, repr=False)
    #: The WSGI environ or the ASGI scope: where a hook finds the user that the framework found.
    native: Any = field(default=None, repr=False)

    def header(self, name: str) -> str | None:
        """Give a header by its name in lower case, without the white space around it."""
        value = self.headers.get(name)
        return None if value is None else value.strip()

    @property
    def full_path(self) -> str:
        return self.mount.rstrip("/") + self.path

    @property
    def parameters(self) -> dict[str, str]:
        """The query's fields; of several of one name the last.

        :raises Refuse: 400 if it is not UTF-8.
        """
        try:
            return dict(parse_qsl(self.query, keep_blank_values=True, errors="strict"))
        except UnicodeDecodeError as error:
            raise Refuse(400, "a query that is not UTF-8\n") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """One response. ``body`` is closed (if it can be) after it was sent or given up."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: Iterable[bytes] = ()

    def header(self, name: str) -> str | None:
        """Give the first header of this name, in any case."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    def plus(self, headers: Iterable[tuple[str, str]]) -> Response:
        """This response with more headers; one that it has already is not replaced."""
        has = {name.lower() for name, _ in self.headers}
        more = tuple((name, value) for name, value in headers if name.lower() not in has)
        return Response(status=self.status, headers=self.headers + more, body=self.body)


class Refuse(Exception):
    """What a hook raises to refuse a request: the answer that the client gets instead.

    :param status: 400 to 599.
    :param body: text or bytes, shown to the client.
    :param headers: of the answer; none may hold a line end.
    """

    def __init__(
        self,
        status: int = 403,
        body: str | bytes = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, body, headers)
        if not 400 <= status <= 599:
            raise ValueError(f"status must be 400 to 599, not {status}")
        self.status = status
        self.body = body
        self.headers = dict(headers or {})

    def response(self) -> Response:
        return text_response(self.status, self.body, self.headers)


def text_response(
    status: int, body: str | bytes = "", headers: Mapping[str, str] | None = None
) -> Response:
    """Make a response of plain text; of bytes that are UTF-8 if it is told nothing else."""
    data = body.encode() if isinstance(body, str) else body
    given = dict(headers or {})
    known = {name.lower() for name in given}
    if status not in (204, 304):
        if data and "content-type" not in known:
            given["Content-Type"] = "text/plain; charset=utf-8"
        if "x-content-type-options" not in known:
            given["X-Content-Type-Options"] = "nosniff"
        given["Content-Length"] = str(len(data))
    return Response(status=status, headers=checked_headers(given), body=(data,) if data else ())


def json_response(status: int, value: Any, headers: Mapping[str, str] | None = None) -> Response:
    """Make a response of JSON; nobody may keep it unless ``headers`` say so."""
    data = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    given = {"Content-Type": "application/json", "Cache-Control": "no-store", **(headers or {})}
    return text_response(status, data, given)


def checked_headers(headers: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Give headers as pairs.

    :raises ValueError: if one holds a line end or anything else that no header may hold.
    """
    for name, value in headers.items():
        text = f"{name}{value}"
        if any((ord(letter) < 32 and letter != "\t") or ord(letter) in (127,) for letter in text):
            raise ValueError(f"the header {name!r} holds a control character")
        if not name or not name.isascii() or any(letter in " :\t" for letter in name):
            raise ValueError(f"{name!r} is no name of a header")
    return tuple(headers.items())
