# SPDX-License-Identifier: Apache-2.0
"""libcloud's connection, made exact and thread-safe: it signs once and sends what it signed.

Every request of the driver goes through :class:`S3MultipartConnection`, the inherited methods' too:
the path is never normalised, the query is encoded once, redirects are not followed, ``.netrc`` does
not replace the signature, raw requests have a time-out, and any number of threads may share one
connection, since each request runs on a clone that nobody else uses. It judges nothing for the engine (the answer comes
back as a value) and retries nothing. The leaner road for part bodies is :mod:`.transport`.
"""

from __future__ import annotations

import copy
import time
from typing import Any
from collections import deque
from urllib.parse import quote, unquote, urlsplit

import requests
from libcloud.http import LibcloudConnection
from requests.adapters import HTTPAdapter
from libcloud.storage.drivers.s3 import S3Response, S3RawResponse, S3SignatureV4Connection

from ..protocol import messages
from ..protocol.xml import MAX_ERROR_BYTES
from ..protocol.errors import TransportError, InvalidRequestError
from ..protocol.signing import UNSIGNED_PAYLOAD, Signer, Credentials
from ..protocol.endpoint import Endpoint, check_bucket, encode_query
from ..protocol.checksums import digest_of

#: Connections that a session's pool keeps alive for one host: enough for two full windows.
POOL_SIZE = 64
#: libcloud has no time-out for raw requests; the one it has for others (60 s) serves both.
READ_SIZE = 64 * 1024


class ConnectionFailedError(TransportError, requests.exceptions.ConnectionError):
    """No whole answer came: refused, reset, cut. Apps catch it as requests' ConnectionError."""


class ConnectionTimeoutError(TransportError, requests.exceptions.Timeout):
    """Nothing moved for the connection's time-out."""


class CertificateError(TransportError, requests.exceptions.SSLError):
    """The service's certificate was refused; no request was sent."""

    retryable = False


def transport_error(request: messages.S3Request, error: BaseException) -> TransportError:
    """Make the error for an attempt that ended without a whole answer."""
    text = _reason(error)
    cls: type[TransportError] = ConnectionFailedError
    if _is_certificate_error(error):
        cls = CertificateError
    elif isinstance(error, (TimeoutError, requests.exceptions.Timeout)) or getattr(
        error, "is_timeout", False
    ):
        cls = ConnectionTimeoutError
    return cls(f"{messages.described(request)}: {text}", **messages.context_of(request))


def _reason(error: BaseException) -> str:
    """Give the innermost cause in words, without the URL that requests quotes (it may be signed)."""
    seen: BaseException = error
    for _ in range(8):
        inner = getattr(seen, "reason", None)
        if not isinstance(inner, BaseException):
            inner = next((a for a in seen.args if isinstance(a, BaseException)), None)
        if inner is None:
            inner = seen.__cause__
        if inner is None:
            break
        seen = inner
    text = str(seen).split("): ", 1)[-1] if "object at 0x" in str(seen) else str(seen)
    return f"{type(seen).__name__}: {text}" if text else type(seen).__name__


def _is_certificate_error(error: BaseException) -> bool:
    while error is not None:
        if type(error).__name__ == "SSLCertVerificationError":
            return True
        inner = next((a for a in error.args if isinstance(a, BaseException)), None)
        reason = getattr(error, "reason", None)
        following = inner or (reason if isinstance(reason, BaseException) else error.__cause__)
        if following is None or following is error:
            return False
        error = following
    return False


class ExactAdapter(HTTPAdapter):
    """requests' adapter, sending the path it was given (older ones strip a doubled slash)."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(pool_maxsize=POOL_SIZE, **kwargs)

    def request_url(self, request: Any, proxies: Any) -> str:
        url: str = super().request_url(request, proxies)
        if url.startswith(("http://", "https://")):
            return url  # A plain-http proxy wants the whole URL.
        parts = urlsplit(request.url)
        return f"{parts.path}?{parts.query}" if parts.query else parts.path


def _no_auth(request: Any) -> Any:
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
                auth=_no_auth,
                hooks=hooks,
            )
        )
        prepared.url = full
        settings = session.merge_environment_settings(full, {}, True, self.verification, None)
        settings["stream"] = stream or raw
        self.response = session.send(
            prepared, timeout=session.timeout, allow_redirects=False, **settings
        )

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

    def parse_error(self) -> Any:
        body = self.body if isinstance(self.body, str) else ""
        raise _error_of(self, body.encode("utf-8", "replace"))


class S3MultipartRawResponse(S3RawResponse):  # type: ignore[misc]
    """The same for raw requests; keeps its own answer, so that clones may be used again at once."""

    def __init__(self, connection: Any, response: Any = None) -> None:
        self.answer = response
        super().__init__(connection=connection, response=response)

    @property
    def response(self) -> Any:
        if not self._response:
            from libcloud.http import HttpLibResponseProxy

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


class S3MultipartConnection(S3SignatureV4Connection):  # type: ignore[misc]
    """One endpoint's connection, shared by all threads of a driver."""

    responseCls = S3MultipartResponse
    rawResponseCls = S3MultipartRawResponse

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._endpoint: Endpoint | None = None
        self._signer_for: tuple[Any, Signer | None] = (None, None)
        #: Clones (and this connection itself) that no request runs on. deque's append and pop are
        #: atomic, so taking and giving back needs no lock.
        self._idle: deque[S3MultipartConnection] = deque((self,))

    # -- what libcloud calls ---------------------------------------------------------------------

    def connect(self, *args: Any, **kwargs: Any) -> None:
        """Make the HTTP connection: libcloud's own, made exact, unless the class was replaced."""
        if self.conn_class is LibcloudConnection:
            clone = copy.copy(self)
            clone.conn_class = ExactLibcloudConnection
            super(S3MultipartConnection, clone).connect(*args, **kwargs)
            self.connection = clone.connection
        else:
            super().connect(*args, **kwargs)
            session = getattr(self.connection, "session", None)
            if session is not None:
                session.auth = session.auth or _no_auth
                session.max_redirects = 0
        self._idle = deque((self,))

    @property
    def is_exact(self) -> bool:
        """Whether the HTTP connection is the one that sends URLs as they stand."""
        return isinstance(self.connection, ExactLibcloudConnection)

    @property
    def endpoint(self) -> Endpoint:
        """The address that is signed and sent to, as the driver set it."""
        if self._endpoint is None:
            scheme = "https" if self.secure else "http"
            self._endpoint = Endpoint(scheme, self.host, int(self.port))
        return self._endpoint

    @endpoint.setter
    def endpoint(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    def request(
        self,
        action: str,
        params: Any = None,
        data: Any = None,
        headers: Any = None,
        method: str = "GET",
        raw: bool = False,
        stream: bool = False,
        json: Any = None,
        retry_failed: Any = None,
    ) -> Any:
        """Send one request on a clone of this connection; any thread, any number at once."""
        clone = self._take_clone()
        try:
            return clone._request(
                action, params, data, headers, method, raw, stream, json, retry_failed
            )
        finally:
            clone._let_go()
            self._idle.append(clone)

    def morph_action_hook(self, action: str) -> str:
        return action  # The action is exact already; upstream runs urljoin over it here.

    def add_default_params(self, params: Any) -> Any:
        return params  # Upstream adds Version= to every GET and the token to the signed query.

    def pre_connect_hook(self, params: Any, headers: dict[str, Any]) -> Any:
        """Sign what is about to be sent, exactly."""
        data = self.data
        if isinstance(data, PlainBody):
            digest = data.payload_sha256 or UNSIGNED_PAYLOAD
        elif isinstance(data, str):
            digest = digest_of("sha256", [data.encode("utf-8")]).hex()
        elif isinstance(data, (bytes, bytearray)) or not data:
            digest = digest_of("sha256", [data] if data else []).hex()
        else:
            digest = UNSIGNED_PAYLOAD
        path, _, query = self.action.partition("?")
        lower = {name.lower(): str(value) for name, value in headers.items()}
        lower["host"] = self.context_host
        lower["accept-encoding"] = "identity"
        signed = self.signed_headers(self.method, path, query, lower, digest)
        names = {name.lower(): name for name in headers}
        headers = {names.get(name, name): value for name, value in signed.items()}
        return params, headers

    # -- what the engine calls -------------------------------------------------------------------

    def signed_headers(
        self, method: str, path: str, query: str, headers: dict[str, str], digest: str
    ) -> dict[str, str]:
        """Give ``headers`` (lower-case names, ``host`` among them) with date and signature.

        :param digest: the body's SHA-256 in hexadecimal digits, or ``UNSIGNED-PAYLOAD``.
        """
        amz_date = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        headers["x-amz-date"] = amz_date
        headers["x-amz-content-sha256"] = digest
        if self.token:
            headers["x-amz-security-token"] = self.token
        headers["authorization"] = self.exact_signer().authorization(
            method=method, path=path, query=query, headers=headers, amz_date=amz_date
        )
        return headers

    def exact_signer(self) -> Signer:
        """Give the signer for this connection's keys and its driver's region, as they are now."""
        wanted = (self.user_id, self.key, self.token, self.driver.region_name)
        known, signer = self._signer_for
        if signer is None or known != wanted:
            credentials = Credentials(self.user_id, self.key, self.token)
            signer = Signer(credentials, region=wanted[3] or "", service=self.service_name)
            self._signer_for = (wanted, signer)
        return signer

    def unjudged(self, request: messages.S3Request) -> messages.S3Response:
        """Send one of the engine's requests by libcloud's own way, and give back the answer.

        :raises TransportError: if no whole answer came.
        """
        action = "/" + request.bucket
        if request.key is not None:
            action = f"{action}/{quote(request.key, safe='-._~/')}"
        body = request.body
        data = PlainBody(body, request.payload_sha256) if body is not None and body.size else b""
        clone = self._take_clone()
        clone.rawResponseCls = UnjudgedResponse
        headers = dict(request.headers)
        if not data and request.method in ("PUT", "POST"):
            headers["content-length"] = "0"
        try:
            response = clone._request(
                action, request.query, data, headers, request.method, True, True, None, None
            )
            limit = request.answer_limit if response.status < 300 else MAX_ERROR_BYTES
            text, is_whole = read_limited(response.answer, limit)
        except (requests.exceptions.RequestException, OSError) as error:
            raise transport_error(request, error) from error
        finally:
            clone._let_go()
            clone.__dict__.pop("rawResponseCls", None)
            self._idle.append(clone)
        if not is_whole and response.status < 300:
            raise transport_error(request, ValueError(f"the answer is longer than {limit} bytes"))
        return messages.S3Response(status=response.status, headers=response.headers, body=text)

    # -- clones ----------------------------------------------------------------------------------

    def _take_clone(self) -> S3MultipartConnection:
        """Give a connection that no other thread uses: this one if it is free, else a clone.

        Clones share the session (so a proxy, certificate or adapter set on it holds for all) and
        the list of user agent tokens; the answer and the request under way are their own.
        """
        try:
            return self._idle.pop()
        except IndexError:
            pass
        if self.connection is None:
            self.connect()
        clone = copy.copy(self)
        clone.context = {}
        clone.connection = copy.copy(self.connection)
        return clone

    def _request(
        self,
        action: str,
        params: Any,
        data: Any,
        headers: Any,
        method: str,
        raw: bool,
        stream: bool,
        json: Any,
        retry_failed: Any,
    ) -> Any:
        if self.connection is None:
            self.connect()
        host, exact = self._exact_action(action, params)
        self.context_host = self.endpoint.netloc(host)
        base = f"{self.endpoint.scheme}://{self.context_host}"
        if getattr(self.connection, "host", base) != base:
            self.connection.host = base
        return super().request(exact, None, data, headers, method, raw, stream, json, retry_failed)

    def _exact_action(self, action: str, params: Any) -> tuple[str, str]:
        """Give the host, and the path and query exactly as they are signed and sent.

        :raises InvalidRequestError: if the path would be rewritten below us.
        """
        path, _, given = action.partition("?")
        bucket, slash, key = path.lstrip("/").partition("/") if path != "/" else ("", "", "")
        pairs = [tuple(item.partition("=")[::2]) for item in given.split("&") if item]
        pairs = [(unquote(name), unquote(value)) for name, value in pairs]
        pairs += [
            (str(n), str(v))
            for n, v in (params.items() if hasattr(params, "items") else params or ())
        ]
        if bucket:
            check_bucket(bucket)
        endpoint = self.endpoint
        if bucket and endpoint.is_virtual(bucket):
            exact = f"{endpoint.base_path}/{key}"
        else:
            exact = f"{endpoint.base_path}/{bucket}{slash}{key}"
        if not self.is_exact and _is_rewritten(exact):
            raise InvalidRequestError(
                f"{type(self.connection).__name__} rewrites paths with empty, '.' or '..' segments, "
                f"so {unquote(exact)!r} would reach another object; use libcloud's own connection "
                "class for such names"
            )
        query = encode_query(tuple(pairs))  # type: ignore[arg-type]
        return endpoint.host_for(bucket), f"{exact}?{query}" if query else exact

    def _let_go(self) -> None:
        """Release the body of the last request: an idle connection pins no part."""
        self.data = None
        answer = getattr(self.connection, "response", None)
        sent = getattr(answer, "request", None)
        if sent is not None:
            sent.body = None


def _is_rewritten(path: str) -> bool:
    segments = path.split("/")[1:]
    return any(s in (".", "..") for s in segments) or "" in segments[:-1]
