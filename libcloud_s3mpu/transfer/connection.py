# SPDX-License-Identifier: Apache-2.0
"""libcloud's connection, made exact and thread-safe: it signs once and sends what it signed.

Every request of the driver goes through :class:`S3MultipartConnection`, the inherited methods' too:
the path is never normalised, the query is encoded once, redirects are not followed, ``.netrc`` does
not replace the signature, raw requests have a time-out, and any number of threads may share one
connection, since each request runs on a clone that nobody else uses. It judges nothing for the
engine (the answer comes back as a value) and retries nothing. The leaner road for part bodies is
:mod:`.transport`.
"""

from __future__ import annotations

import os
import copy
from typing import Any
from collections import deque
from urllib.parse import quote, unquote

import requests
from libcloud.http import LibcloudConnection
from libcloud.storage.drivers.s3 import S3SignatureV4Connection

from .http import (
    PlainBody,
    UnjudgedResponse,
    S3MultipartResponse,
    S3MultipartRawResponse,
    ExactLibcloudConnection,
    no_auth,
    read_limited,
    transport_error,
    leave_connections,
)
from .stream import PlainStream
from .identity import Identity
from ..protocol import messages
from ..protocol.errors import InvalidRequestError
from ..protocol.signing import TOKEN_HEADER, UNSIGNED_PAYLOAD, SESSION_TOKEN_HEADER
from ..protocol.endpoint import Endpoint, check_bucket, encode_query, signing_name
from ..protocol.messages import MAX_ERROR_BYTES
from ..protocol.checksums import EMPTY_SHA256, digest_of


class S3MultipartConnection(Identity, S3SignatureV4Connection):  # type: ignore[misc]
    """One endpoint's connection, shared by all threads of a driver."""

    responseCls = S3MultipartResponse
    rawResponseCls = S3MultipartRawResponse

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._endpoint: Endpoint | None = None
        #: The bucket of the request that is under way.
        self._bucket = ""
        self.connection: Any = None
        self._pid = os.getpid()
        #: This connection itself, while no request runs on it. deque's append and pop are atomic,
        #: so taking and giving back needs no lock.
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
                session.auth = session.auth or no_auth
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
        self.service_name = signing_name(endpoint.host)

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
        except requests.exceptions.RequestException as error:
            _forget_signature(error)
            raise
        finally:
            self._give_back(clone)

    def morph_action_hook(self, action: str) -> str:
        return action  # The action is exact already; upstream runs urljoin over it here.

    def add_default_params(self, params: Any) -> Any:
        return params  # Upstream adds Version= to every GET and the token to the signed query.

    def pre_connect_hook(self, params: Any, headers: dict[str, Any]) -> Any:
        """Sign what is about to be sent, exactly."""
        digest = _payload_digest(self.data)
        path, _, query = self.action.partition("?")
        lower = {name.lower(): str(value) for name, value in headers.items()}
        lower["host"] = self.context_host
        lower["accept-encoding"] = "identity"
        signed = self.signed_headers(self.method, path, query, lower, digest, bucket=self._bucket)
        names = {name.lower(): name for name in headers}
        return params, _SignedHeaders((names.get(n, n), value) for n, value in signed.items())

    # -- what the engine calls -------------------------------------------------------------------

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
            clone.__dict__.pop("rawResponseCls", None)
            self._give_back(clone)
        if messages.is_head_cut(
            request,
            status=response.status,
            version=getattr(response.answer.raw, "version", 0),
            headers=response.headers,
        ):
            raise transport_error(request, ValueError("the head of the answer was cut"))
        if not is_whole and response.status < 300:
            raise transport_error(request, ValueError(f"the answer is longer than {limit} bytes"))
        return messages.S3Response(status=response.status, headers=response.headers, body=text)

    def opened(self, request: messages.S3Request) -> messages.S3Response:
        """Send one of the engine's requests by libcloud's own way, its answer still to be read.

        :raises TransportError: if no answer came.
        """
        action = f"/{request.bucket}/{quote(request.key or '', safe='-._~/')}"
        headers = {name.title(): value for name, value in request.headers.items()}
        clone = self._take_clone()
        clone.rawResponseCls = UnjudgedResponse
        try:
            if "request" in vars(self):
                # Whoever replaced it on this connection (tests do) wants to see what is asked.
                answer = self.request(action, headers=headers, method="GET", raw=True, stream=True)
            else:
                answer = clone._request(
                    action, request.query, b"", headers, "GET", True, True, None, None
                )
            status, found = int(answer.status), dict(answer.headers)
            if status < 300:
                stream = PlainStream(answer, request)
                return messages.S3Response(status=status, headers=found, stream=stream)
            text, _ = read_limited(answer, MAX_ERROR_BYTES)
        except (requests.exceptions.RequestException, OSError) as error:
            raise transport_error(request, error) from error
        finally:
            clone.__dict__.pop("rawResponseCls", None)
            self._give_back(clone)
        return messages.S3Response(status=status, headers=found, body=text)

    # -- clones ----------------------------------------------------------------------------------

    def _take_clone(self) -> S3MultipartConnection:
        """Give a connection that no other thread uses: this one if it is free, else a clone.

        A clone lives for one request, so keys or a token that are changed hold from the next one
        on. It shares the session (a proxy, certificate or adapter set on it holds for all) and the
        list of user agent tokens; the answer and the request under way are its own.
        """
        if self._pid != os.getpid():
            self._pid = os.getpid()
            leave_connections(getattr(self.connection, "session", None))
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

    def _give_back(self, clone: S3MultipartConnection) -> None:
        clone._let_go()
        if clone is self:
            self._idle.append(self)

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
        self._bucket, host, exact = self._exact_action(action, params)
        self.context_host = self.endpoint.netloc(host)
        base = f"{self.endpoint.scheme}://{self.context_host}"
        if getattr(self.connection, "host", base) != base:
            self.connection.host = base
        return super().request(exact, None, data, headers, method, raw, stream, json, retry_failed)

    def _exact_action(self, action: str, params: Any) -> tuple[str, str, str]:
        """Give the bucket, the host, and the path and query exactly as they are signed and sent.

        :raises InvalidRequestError: if the path would be rewritten below us.
        """
        path, _, given = action.partition("?")
        bucket, slash, key = path.lstrip("/").partition("/") if path != "/" else ("", "", "")
        pairs = [tuple(item.partition("=")[::2]) for item in given.split("&") if item]
        pairs = [(unquote(name), unquote(value)) for name, value in pairs]
        more = params.items() if hasattr(params, "items") else params or ()
        pairs += [(str(name), str(value)) for name, value in more]
        if bucket:
            check_bucket(bucket)
        endpoint = self.endpoint
        if bucket and endpoint.is_virtual(bucket):
            exact = f"{endpoint.base_path}/{key}"
        else:
            exact = f"{endpoint.base_path}/{bucket}{slash}{key}"
        if not self.is_exact and _is_rewritten(exact):
            raise InvalidRequestError(
                f"{type(self.connection).__name__} rewrites paths with empty, '.' or '..' "
                f"segments, so {unquote(exact)!r} would reach another object; use libcloud's own "
                "connection class for such names"
            )
        query = encode_query(tuple(pairs))  # type: ignore[arg-type]
        return bucket, endpoint.host_for(bucket), f"{exact}?{query}" if query else exact

    def _let_go(self) -> None:
        """Release the body of the last request: an idle connection pins no part."""
        self.data = None
        answer = getattr(self.connection, "response", None)
        sent = getattr(answer, "request", None)
        if sent is not None:
            sent.body = None


class _SignedHeaders(dict[str, str]):
    """Headers on their way down; what a traceback shows of a frame has no signature or token."""

    def __repr__(self) -> str:
        return f"<headers {', '.join(self)}>"

    __str__ = __repr__


def _forget_signature(error: requests.exceptions.RequestException) -> None:
    """Take the signature from the request that requests' errors carry, also into pickles."""
    sent = error.request
    for name in ("authorization", TOKEN_HEADER, SESSION_TOKEN_HEADER):
        if getattr(sent, "headers", None) is not None:
            sent.headers.pop(name, None)  # type: ignore[union-attr]


def _is_rewritten(path: str) -> bool:
    segments = path.split("/")[1:]
    return any(s in (".", "..") for s in segments) or "" in segments[:-1]


def _payload_digest(data: Any) -> str:
    """Give what is signed of a body: its SHA-256, or UNSIGNED-PAYLOAD for one read but once."""
    if isinstance(data, PlainBody):
        return data.payload_sha256 or UNSIGNED_PAYLOAD
    if not data:
        return EMPTY_SHA256
    if isinstance(data, str):
        data = data.encode("utf-8")
    if isinstance(data, (bytes, bytearray)):
        return digest_of("sha256", [data]).hex()
    return UNSIGNED_PAYLOAD
