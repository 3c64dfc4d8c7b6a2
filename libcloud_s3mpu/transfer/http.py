# SPDX-License-Identifier: Apache-2.0
"""requests and libcloud's HTTP classes, made exact: what goes out is what was signed.

The lower half of the connection room: adapter, HTTP connection, answers, and what a failed one
becomes. It signs nothing and knows no driver; :mod:`.connection` does.
"""

from __future__ import annotations

from typing import Any
from functools import cache
from urllib.parse import unquote, urlsplit
from collections.abc import Iterator

import urllib3
import requests
from libcloud.http import LibcloudConnection, HttpLibResponseProxy
from requests.adapters import HTTPAdapter
from libcloud.storage.drivers.s3 import S3Response, S3RawResponse

from .answer import WholeHeadResponse
from ..protocol import messages
from ..protocol.errors import TransportError, InvalidRequestError
from ..protocol.messages import MAX_XML_BYTES, MAX_ERROR_BYTES

#: Connections that a session's pool keeps alive for one host: enough for three full windows.
POOL_SIZE = 64
_TIMEOUTS = (TimeoutError, requests.exceptions.Timeout, urllib3.exceptions.TimeoutError)
#: Bytes of an answer that are read at once.
READ_SIZE = 64 * 1024


class _NoAnswer:
    """What handlers of requests' exceptions read: there was no answer, and no request to show."""

    response: Any = None
    request: Any = None


class ConnectionFailedError(_NoAnswer, TransportError, requests.exceptions.ConnectionError):
    """No whole answer came: refused, reset, cut. Apps catch it as requests' ConnectionError."""


class ConnectionTimeoutError(_NoAnswer, TransportError, requests.exceptions.Timeout):
    """Nothing moved for the connection's time-out."""


class CertificateError(_NoAnswer, TransportError, requests.exceptions.SSLError):
    """The service's certificate was refused; no request was sent."""

    retryable = False


def transport_error(request: messages.S3Request, error: BaseException) -> TransportError:
    """Make the error for an attempt that ended without a whole answer."""
    text = _reason(error)
    cls: type[TransportError] = ConnectionFailedError
    if _is_certificate_error(error):
        cls = CertificateError
    elif isinstance(error, urllib3.exceptions.NewConnectionError):
        pass  # Refused, or the name is unknown; urllib3 derives it from its connect time-out.
    elif isinstance(error, _TIMEOUTS) or getattr(error, "is_timeout", False):
        cls = ConnectionTimeoutError
    made = cls(f"{messages.described(request)}: {text}", **messages.context_of(request))
    made.was_sent = not (_is_unconnected(error) or _is_certificate_error(error))
    return made


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what it was made of, the innermost last."""
    seen: BaseException | None = error
    for _ in range(9):
        if seen is None:
            return
        yield seen
        inner = getattr(seen, "reason", None)
        if not isinstance(inner, BaseException):
            inner = next((a for a in seen.args if isinstance(a, BaseException)), None)
        seen = inner if inner is not None else seen.__cause__


def _is_unconnected(error: BaseException) -> bool:
    """Tell whether it failed before there was a connection: nothing was sent then."""
    # urllib3 derives "refused" and "name unknown" from its connect time-out.
    kinds = (urllib3.exceptions.ConnectTimeoutError, urllib3.exceptions.NewConnectionError)
    return any(isinstance(each, kinds) for each in _causes(error))


def _reason(error: BaseException) -> str:
    """Give the innermost cause in words, without the URL that requests quotes."""
    seen = list(_causes(error))[-1]
    text = str(seen).split("): ", 1)[-1] if "object at 0x" in str(seen) else str(seen)
    return f"{type(seen).__name__}: {messages.redacted(text)}" if text else type(seen).__name__


def _is_certificate_error(error: BaseException) -> bool:
    while error is not None:
        # The second is urllib3's below 2, for the name of another host.
        if type(error).__name__ in ("SSLCertVerificationError", "CertificateError"):
            return True
        inner = next((a for a in error.args if isinstance(a, BaseException)), None)
        reason = getattr(error, "reason", None)
        following = inner or (reason if isinstance(reason, BaseException) else error.__cause__)
        if following is None or following is error:
            return False
        error = following
    return False


@cache
def _whole_heads(pool: type) -> type:
    """Make the kind of pool whose connections take no head that was cut for a whole one."""
    known: Any = pool
    if known.ConnectionCls.response_class is WholeHeadResponse:
        return pool
    body = {"response_class": WholeHeadResponse}
    connection = type(known.ConnectionCls.__name__, (known.ConnectionCls,), body)
    return type(pool.__name__, (pool,), {"ConnectionCls": connection})


def _read_whole_heads(manager: Any) -> None:
    kinds = manager.pool_classes_by_scheme
    manager.pool_classes_by_scheme = {name: _whole_heads(kind) for name, kind in kinds.items()}


class ExactAdapter(HTTPAdapter):
    """requests' adapter, sending the path it was given (older ones strip a doubled slash)."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(pool_maxsize=POOL_SIZE, **kwargs)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        _read_whole_heads(self.poolmanager)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        _read_whole_heads(manager)
        return manager

    def request_url(self, request: Any, proxies: Any) -> str:
        url: str = super().request_url(request, proxies)
        if url.startswith(("http://", "https://")):
            # A plain-http proxy wants the whole URL, and urllib3 takes the dots out of one.
            if not {".", ".."}.isdisjoint(url.partition("?")[0].split("/")):
                raise InvalidRequestError(
                    "an http proxy rewrites paths with '.' or '..' segments, so the key would be "
                    "another one; use https, which goes through a proxy as it stands"
                )
            return url
        parts = urlsplit(request.url)
        return f"{parts.path}?{parts.query}" if parts.query else parts.path


def leave_connections(session: Any) -> None:
    """Have a session keep none of its connections: in a fork's child they are the parent's."""
    adapter: Any
    for adapter in getattr(session, "adapters", {}).values():
        if hasattr(adapter, "poolmanager"):
            adapter.__setstate__(adapter.__getstate__())  # As requests pickles it: without pools.


def _read_now(answer: Any) -> None:
    """Read a whole answer, as requests does without ``stream``, but not without end."""
    body, is_whole = read_limited(answer, MAX_XML_BYTES)
    if not is_whole:
        raise requests.exceptions.ContentDecodingError(
            f"the answer is longer than {MAX_XML_BYTES} bytes", response=answer
        )
    answer._content = body


def no_auth(request: Any) -> Any:
    """Stand where requests would put the credentials of ``.netrc`` over our signature."""
    return request


class ExactLibcloudConnection(LibcloudConnection):  # type: ignore[misc]
    """libcloud's HTTP connection, which sends the URL as it stands and reads bodies when asked."""

    def __init__(self, host: str, port: int, secure: Any = None, **kwargs: Any) -> None:
        super().__init__(host, port, secure, **kwargs)
        # libcloud takes port 443 for https and leaves 80 out whatever the scheme.
        scheme = "https" if secure else "http"
        default = 443 if secure else 80
        self.host = f"{scheme}://{host}" + ("" if port == default else f":{port}")
        for prefix in ("https://", "http://"):
            if type(self.session.adapters[prefix]) is HTTPAdapter:
                self.session.mount(prefix, ExactAdapter())

    def request(
        self,
        method: str,
        url: str,
        body: Any = None,
        headers: Any = None,
        raw: bool = False,
        stream: bool = False,
        hooks: Any = None,
    ) -> None:
        """Send; ``raw`` answers are never read here, whatever ``stream`` says (upstream does)."""
        session = self.session
        full = f"{self.host}{url}"
        prepared = session.prepare_request(
            requests.Request(
                method,
                self.host,
                data=body,
                headers=self._normalize_headers(headers=headers),
                auth=no_auth,
                hooks=hooks,
            )
        )
        prepared.url = full
        settings = session.merge_environment_settings(full, {}, True, self.verification, None)
        self.response = session.send(
            prepared, timeout=session.timeout, allow_redirects=False, **settings
        )
        if self.response.encoding is None:
            self.response.encoding = "utf-8"  # S3's XML; requests would guess from the bytes.
        if not (stream or raw):
            _read_now(self.response)

    def prepared_request(
        self,
        method: str,
        url: str,
        body: Any = None,
        headers: Any = None,
        raw: bool = False,
        stream: bool = False,
    ) -> None:
        self.request(method, url, body=body, headers=headers, raw=True, stream=stream)


class S3MultipartResponse(S3Response):  # type: ignore[misc]
    """Upstream's answer, with errors that name the S3 code, the message and the HTTP status."""

    def success(self) -> Any:
        # Upstream takes any 404 for an answer and says "Unexpected status code" to a listing.
        if self.status == 404 and "<Code>NoSuchBucket</Code>" in (self.body or ""):
            return self.connection.method != "GET"
        return super().success()

    def parse_error(self) -> Any:
        # No body is a local of a frame that raises: AWS repeats there what was signed, token too.
        raise _error_of(self, _encoded(self.body))


class S3MultipartRawResponse(S3RawResponse):  # type: ignore[misc]
    """The same for raw requests; keeps its own answer, so that clones may be used again at once."""

    def __init__(self, connection: Any, response: Any = None) -> None:
        self.answer = response
        self._response: Any = None
        raw = getattr(response, "raw", None)
        if raw is not None and getattr(raw, "headers", None) is not None:
            # An object's Content-Encoding is its own: what was stored is what is read.
            raw.headers.pop("content-encoding", None)
            if getattr(raw, "length_remaining", None):
                # urllib3 below 2 hands out a body that was cut as if it were whole.
                raw.enforce_content_length = True
        super().__init__(connection=connection, response=response)

    @property
    def response(self) -> Any:
        if not self._response:
            self._response = HttpLibResponseProxy(self.answer)
        return self._response

    def parse_error(self) -> Any:
        raise _error_of(self, read_limited(self.answer, MAX_ERROR_BYTES)[0])


class UnjudgedResponse(S3MultipartRawResponse):
    """What the engine gets: every status is an answer."""

    def success(self) -> bool:
        return True


def _error_of(response: Any, body: bytes) -> Exception:
    connection = response.connection
    request = messages.S3Request(
        operation=f"{connection.method} request",
        method=connection.method,
        bucket=unquote(connection.action.split("?")[0].lstrip("/")),
    )
    answer = messages.S3Response(status=int(response.status), headers=response.headers, body=body)
    error = messages.service_error(request, answer)
    error.driver = connection.driver
    return error


def _encoded(body: Any) -> bytes:
    return body.encode("utf-8", "replace") if isinstance(body, str) else b""


def read_limited(answer: Any, limit: int) -> tuple[bytes, bool]:
    """Read at most ``limit`` bytes of a requests answer; tell whether that was all of it."""
    pieces = []
    size = 0
    for piece in answer.iter_content(READ_SIZE):
        pieces.append(piece if isinstance(piece, bytes) else piece.encode("utf-8"))
        size += len(pieces[-1])
        if size > limit:
            answer.close()
            return b"".join(pieces)[:limit], False
    return b"".join(pieces), True


class PlainBody:
    """A body for requests: its length is known, and iterating begins anew each time."""

    __slots__ = ("_body", "payload_sha256")

    def __init__(self, body: messages.Body, payload_sha256: str | None) -> None:
        self._body = body
        self.payload_sha256 = payload_sha256

    def __len__(self) -> int:
        return self._body.size

    def __iter__(self) -> Any:
        return iter(self._body.buffers())
