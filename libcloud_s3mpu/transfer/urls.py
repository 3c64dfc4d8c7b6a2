# SPDX-License-Identifier: Apache-2.0
"""Requests whose URL was signed elsewhere, sent by the same roads as the driver's own.

A :class:`UrlRequest` brings its URL along: it goes out as it stands, byte for byte, and nothing is
signed here. There are no keys in this file. Who has such URLs is
:mod:`libcloud_s3mpu.direct_client`.
"""

from __future__ import annotations

import re
from typing import Any
from dataclasses import field, dataclass
from urllib.parse import urlsplit

import requests
from libcloud.utils.retry import Retry

from .http import (
    PlainBody,
    ExactLibcloudConnection,
    read_limited,
    transport_error,
)
from .transport import Transport
from ..protocol.errors import S3MultipartError, InvalidRequestError
from ..protocol.endpoint import Endpoint
from ..protocol.messages import MAX_ERROR_BYTES, S3Request, S3Response, is_head_cut

#: What a request line can carry.
_URL = re.compile(r"https?://[!-~]+\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class UrlRequest(S3Request):
    """A request and the URL that allows it; the URL is as good as a key and is not shown."""

    url: str = field(repr=False)


def check_url(url: Any) -> str:
    """Refuse what is no URL of a service.

    :raises InvalidRequestError: without a word of what it says: it may be signed.
    """
    try:
        if isinstance(url, str) and _URL.match(url) and "#" not in url:
            parts = urlsplit(url)
            if parts.hostname and parts.username is None and parts.port != 0:
                return url
    except ValueError:
        pass
    raise InvalidRequestError("what should be a presigned URL is none")


class _UrlConnection:
    """What :class:`Transport` asks of a connection, for one origin and without keys."""

    retryCls = Retry
    is_exact = True

    def __init__(self, endpoint: Endpoint, *, ca_cert: str | None, timeout_seconds: float) -> None:
        self.endpoint = endpoint
        is_secure = endpoint.scheme == "https"
        self.connection = ExactLibcloudConnection(
            endpoint.host, endpoint.port, is_secure, timeout=timeout_seconds
        )
        if ca_cert is not None:
            self.connection.ca_cert = ca_cert

    def _user_agent(self) -> str:
        return "libcloud-s3mpu-direct"

    def unjudged(self, request: UrlRequest) -> S3Response:
        """Send by requests alone, where something is set that only it honours."""
        path, _ = _target_of(request.url)
        body = request.body
        data = PlainBody(body, None) if body is not None and body.size else b""
        headers = _headers_of(request, self.endpoint)
        http = self.connection
        try:
            http.request(request.method, path, body=data, headers=headers, raw=True)
            answer = http.response
            limit = request.answer_limit if answer.status_code < 300 else MAX_ERROR_BYTES
            text, is_whole = read_limited(answer, limit)
        except (requests.exceptions.RequestException, OSError) as error:
            raise transport_error(request, error) from error
        found = {name.lower(): value for name, value in answer.headers.items()}
        version = getattr(answer.raw, "version", 0)
        status = int(answer.status_code)
        if is_head_cut(request, status=status, version=version, headers=found) or not (
            is_whole or status >= 300
        ):
            raise transport_error(request, ValueError("the answer was cut, or is too long"))
        return S3Response(status=status, headers=found, body=text)


def _target_of(url: str) -> tuple[str, str]:
    """Give path with query, as they stand, and the host."""
    _, _, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    if not slash:
        host, _, query = rest.partition("?")
        return f"/?{query}" if query else "/", host
    return f"/{path}", host


def _headers_of(request: UrlRequest, endpoint: Endpoint) -> dict[str, str]:
    headers = {"host": endpoint.netloc(endpoint.host), **request.headers}
    size = request.body.size if request.body is not None else 0
    if size or request.method in ("PUT", "POST"):
        headers["content-length"] = str(size)
    headers["accept-encoding"] = "identity"
    return headers


class _UrlTransport(Transport):
    """The roads to one origin."""

    def _head(self, request: S3Request, host: str) -> bytes:
        assert isinstance(request, UrlRequest)
        connection = self._connection
        headers = _headers_of(request, connection.endpoint)
        headers["user-agent"] = connection._user_agent()
        path, _ = _target_of(request.url)
        lines = [f"{request.method} {path} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


class UrlSender:
    """Sends requests that bring their URL; safe for any number of threads.

    :param ca_cert: path of a file with the certificates to trust; the system's if None.
    :param timeout_seconds: the longest wait without any progress.
    """

    def __init__(self, *, ca_cert: str | None = None, timeout_seconds: float = 60.0) -> None:
        self._ca_cert = ca_cert
        self._timeout_seconds = timeout_seconds
        self._transports: dict[tuple[str, str], _UrlTransport] = {}

    def _of(self, request: S3Request) -> _UrlTransport:
        assert isinstance(request, UrlRequest)
        scheme, _, _ = request.url.partition("://")
        origin = scheme, _target_of(request.url)[1]
        found = self._transports.get(origin)
        if found is None:
            endpoint = Endpoint.from_url(f"{scheme}://{origin[1]}", addressing="path")
            connection: Any = _UrlConnection(
                endpoint, ca_cert=self._ca_cert, timeout_seconds=self._timeout_seconds
            )
            # Two threads that come here at once agree on the one that was first.
            found = self._transports.setdefault(origin, _UrlTransport(connection))
        return found

    def call(self, request: S3Request) -> S3Response:
        """Send a request and wait for its answer."""
        return self._of(request).call(request)

    def begin(self, request: S3Request) -> Any:
        """Begin an exchange (:meth:`Transport.begin`)."""
        return self._of(request).begin(request)

    def advance(
        self, request: S3Request, exchange: Any, patience: float | None = None
    ) -> S3Response | None:
        """Go on with an exchange (:meth:`Transport.advance`)."""
        return self._of(request).advance(request, exchange, patience)

    def resume(self, request: S3Request, exchange: Any) -> S3Response:
        """Go on with an exchange until its answer is there (:meth:`Transport.resume`)."""
        return self._of(request).resume(request, exchange)

    def adapt(self, error: S3MultipartError) -> bool:
        """Mend nothing: only who signed can sign again."""
        return False

    @property
    def is_lean(self) -> bool:
        """Whether an exchange can stop half-way, for all origins seen so far."""
        return all(each.kind == "lean" for each in self._transports.values())

    @property
    def has_idle(self) -> bool:
        """Whether a kept-alive connection is there."""
        return any(each.has_idle("") for each in self._transports.values())

    def close(self) -> None:
        """Drop every idle connection."""
        for transport in list(self._transports.values()):
            transport.close()
            transport._connection.connection.session.close()
