# SPDX-License-Identifier: Apache-2.0
"""How the engine's requests travel: by the lean road where nothing forbids it, else by libcloud's.

Lean: a socket that urllib3 opened for libcloud's own session (its TLS settings, CA, time-out), and
:class:`~.exchange.Exchange` on it. Plain: libcloud's ``Connection.request``, used as soon as
anything is set that only it honours: a proxy, a replaced ``conn_class`` (debug, MockHttp),
libcloud's retries, hooks or headers of the session, another adapter. One transport serves a driver
and all its threads; it keeps connections alive between uploads.
"""

from __future__ import annotations

import os
import time
import select
import socket
import logging
import weakref
from typing import Any
from collections import deque
from dataclasses import replace
from http.client import HTTPException
from urllib.parse import urlsplit

import urllib3
import requests
import libcloud.common.base
from requests.utils import select_proxy, default_headers
from requests.adapters import HTTPAdapter
from libcloud.utils.retry import Retry

from .http import ExactAdapter, transport_error
from .trust import Trust
from .answer import ExchangeFailed
from .sockets import Channel
from .exchange import Exchange
from .connection import S3MultipartConnection
from ..protocol.watch import Watch
from ..protocol.errors import (
    ClockSkewError,
    TransportError,
    S3MultipartError,
    WrongRegionError,
    ExpiredCredentialsError,
)
from ..protocol.signing import UNSIGNED_PAYLOAD
from ..protocol.endpoint import aws_host, is_region, is_aws_host, encode_query, region_of_host
from ..protocol.messages import S3Request, S3Response, context_of
from ..protocol.checksums import EMPTY_SHA256

log = logging.getLogger("libcloud_s3mpu.transport")

#: What a connection that cannot be made ends with; anything else is an interrupt (Celery's time
#: limits are). gevent that was imported too late ends TLS by a RecursionError.
_UNCONNECTED = (
    OSError,
    HTTPException,
    ValueError,
    RecursionError,
    urllib3.exceptions.HTTPError,
)
#: Idle connections kept for one host.
KEPT_IDLE = 64
#: Where the HTTP connections live that are known to be safe with several threads.
_KNOWN_MODULES = ("libcloud.http", "libcloud.utils.loggingconnection", ExactAdapter.__module__)

_CAN_BE_LEAN = (
    hasattr(select, "poll")
    and hasattr(socket.socket, "sendmsg")
    and hasattr(HTTPAdapter, "get_connection_with_tls_context")
)


def _close_all(idle: dict[str, deque[Channel]]) -> None:
    for channels in list(idle.values()):
        while channels:
            try:
                channels.pop().close()
            except IndexError:
                break  # Another thread took the last one.


class Transport:
    """Sends one driver's requests. Safe for any number of threads: what they share are deques."""

    def __init__(self, connection: S3MultipartConnection) -> None:
        self._connection = connection
        self._pools: dict[str, Any] = {}
        self._pools_for: tuple[Any, ...] = ()
        self._idle: dict[str, deque[Channel]] = {}
        self._trust = Trust()
        #: Buckets whose ETags are known to be opaque (:mod:`.begin`); only added to, by any thread.
        self.opaque_buckets: set[str] = set()
        self._sessions: Any = None
        connection.sender = self
        # Sockets are closed when the driver goes, not reported as leaked when they do.
        weakref.finalize(self, _close_all, self._idle)

    # -- which road ------------------------------------------------------------------------------

    @property
    def kind(self) -> str:
        """``lean`` or ``plain``, as things are set now."""
        connection = self._connection
        if connection.connection is None:
            connection.connect()
        # eventlet takes poll away, which may be after this was imported.
        if not _CAN_BE_LEAN or not connection.is_exact or not hasattr(select, "poll"):
            return "plain"
        if libcloud.common.base.RETRY_FAILED_HTTP_REQUESTS or connection.retryCls is not Retry:
            return "plain"
        return "lean" if self._pool(connection.endpoint.host) is not None else "plain"

    @property
    def is_known_class(self) -> bool:
        """Whether the HTTP connection is libcloud's own, known to be safe with several threads."""
        if self._connection.connection is None:
            self._connection.connect()
        return type(self._connection.connection).__module__ in _KNOWN_MODULES

    def _settings(self) -> tuple[Any, ...]:
        """Give what the pools depend on, cheaply comparable: any change makes new ones."""
        http = self._connection.connection
        session = http.session
        return (
            session,
            http.verification,
            session.timeout,
            session.cert,
            tuple(session.proxies.items()),
            tuple(session.adapters.values()),
            tuple(session.headers.lower_items()),
            session.auth,
            bool(session.params),
            bool(session.hooks.get("response")),
            # pyOpenSSL's sockets, where an app has put them into urllib3, are not Python's.
            urllib3.util.ssl_.IS_PYOPENSSL,
            os.getpid(),
        )

    def _pool(self, host: str) -> Any:
        """Give urllib3's pool for ``host``, or None if only libcloud's way honours the settings."""
        settings = self._settings()
        if settings != self._pools_for:
            # A fork's child comes here too: its parent's sockets are not its own. Closing its
            # copies of them does not end the parent's connections.
            _close_all(self._idle)
            self._pools = {}
            self._pools_for = settings
        if host not in self._pools:
            self._pools[host] = self._find_pool(host)
        return self._pools[host]

    def _find_pool(self, host: str) -> Any:
        http = self._connection.connection
        session = http.session
        endpoint = self._connection.endpoint
        url = f"{endpoint.scheme}://{endpoint.netloc(host)}/"
        adapter = session.get_adapter(url)
        plain_session = type(session) is requests.Session and type(adapter) is ExactAdapter
        changed = session.hooks.get("response") or session.params or session.auth
        changed = changed or urllib3.util.ssl_.IS_PYOPENSSL
        if not plain_session or changed or dict(session.headers) != dict(default_headers()):
            return None
        merged = session.merge_environment_settings(url, {}, False, http.verification, None)
        if select_proxy(url, merged["proxies"]):
            return None
        prepared = requests.Request("GET", url).prepare()
        return adapter.get_connection_with_tls_context(
            prepared, merged["verify"], proxies=None, cert=merged["cert"] or session.cert
        )

    # -- sending ---------------------------------------------------------------------------------

    def call(self, request: S3Request) -> S3Response:
        """Send a request and wait for its answer.

        :raises TransportError: if no whole answer came.
        """
        return self.resume(request, self.begin(request))

    def advance(
        self, request: S3Request, exchange: Any, patience: float | None = None
    ) -> S3Response | None:
        """Go on with an exchange, in any thread; None once it waited for ``patience`` seconds.

        :raises TransportError: if no whole answer came; ``is_stale`` if that was no attempt.
        """
        try:
            return exchange.advance(patience)  # type: ignore[no-any-return]
        except ExchangeFailed as failure:
            if failure.is_deadline:
                raise exchange.watch.error(**context_of(request)) from failure
            error = transport_error(request, failure)
            may_repeat = request.is_repeatable and not request.is_conditional_write
            error.is_stale = failure.is_stale and may_repeat
            raise error from failure

    def resume(self, request: S3Request, exchange: Any) -> S3Response:
        """Go on with an exchange until its answer is there.

        A kept-alive connection that turns out dead is no attempt: the request goes out once more,
        on a new connection.

        :raises TransportError: if no whole answer came.
        """
        while True:
            try:
                response = self.advance(request, exchange)
            except TransportError as error:
                if not error.is_stale:
                    raise
                fresh = self.begin(request, is_fresh=True, watch=exchange.watch)
                exchange.hand_on(fresh)
                exchange = fresh
                continue
            assert response is not None  # Without a patience it is the answer or an exception.
            return response

    def begin(
        self, request: S3Request, *, is_fresh: bool = False, watch: Watch | None = None
    ) -> Any:
        """Begin an exchange, connecting if no idle connection is left.

        :param is_fresh: use no kept-alive connection.
        :param watch: what the upload's exchanges are held to; libcloud's own way cannot be.
        :raises TransportError: if no connection could be made.
        """
        if self.kind == "plain":
            from .plain import PlainExchange  # The lean road never needs it.

            return PlainExchange(self._connection, request)
        endpoint = self._connection.endpoint
        host = endpoint.host_for(request.bucket)
        settings = self._pools_for
        channel = None if is_fresh else self._take_idle(host)
        if channel is None:
            try:
                channel = self._connect(host, watch)
            except _UNCONNECTED as error:
                raise transport_error(request, error) from error
        try:
            head = self._head(request, host)
        except BaseException:
            channel.close()
            raise
        return Exchange(
            channel,
            head=head,
            request=request,
            timeout=self._connection.connection.session.timeout,
            give_back=lambda used: self._give_back(host, used, settings),
            watch=watch,
        )

    def has_idle(self, bucket: str) -> bool:
        """Tell whether a kept-alive connection is there, so that beginning does not connect."""
        return bool(self._idle.get(self._connection.endpoint.host_for(bucket)))

    def adapt(self, error: S3MultipartError) -> bool:
        """Mend what an error names, for this and every later request; False if it cannot be.

        Another region is signed for (and, on AWS's own hosts only, sent to), a redirect to the same
        place is followed, the clock is set by
        the service's, keys that ran out are asked for anew. Any thread.
        """
        connection = self._connection
        if isinstance(error, WrongRegionError):
            if error.location is not None and error.region in (None, connection.driver.region_name):
                return self._redirected(error, error.location) or error.region is not None
            return self._follow(error.region)
        if isinstance(error, ClockSkewError):
            return connection.set_clock(error.server_date)
        if isinstance(error, ExpiredCredentialsError):
            return connection.refresh_refused(error)
        return False

    @property
    def sessions(self) -> Any:
        """The sessions of the service's buckets, which few services have; made when asked for."""
        if self._sessions is None:
            from .express import BucketSessions

            policy = self._connection.driver.ex_options.retry
            self._sessions = BucketSessions(self, self._connection, policy=policy)
        return self._sessions

    def _follow(self, region: str | None) -> bool:
        """Sign for another region; a custom endpoint stays where it is, whatever an answer says."""
        connection = self._connection
        if region is None:
            return False
        if region == connection.driver.region_name:
            return True  # Another thread has followed it meanwhile.
        endpoint = connection.endpoint
        if is_aws_host(endpoint.host):
            if not is_region(region) or connection.has_sessions:
                return False  # A zone is where it is.
            connection.endpoint = replace(endpoint, host=aws_host(region))
        connection.driver.region_name = region
        log.info("the service wants region %s", region)
        return True

    def _redirected(self, error: S3MultipartError, location: str) -> bool:
        """Follow a redirect, if it leads back here or from one of AWS's own hosts to another.

        The request is signed and sent anew, with its body; nothing of it goes to a stranger. Of
        AWS's hosts only the region is believed (a new bucket's 307 names the regional one).
        """
        connection = self._connection
        endpoint = connection.endpoint
        if endpoint.is_here(location, error.container or "", error.object_name):
            return True
        place = urlsplit(location)
        region = region_of_host(place.hostname or "")
        is_ours = is_aws_host(endpoint.host) and not connection.has_sessions
        if region is None or place.scheme != endpoint.scheme or not is_ours:
            return False
        if region != connection.driver.region_name:
            return self._follow(region)
        connection.endpoint = replace(endpoint, host=aws_host(region))
        return True

    def close(self) -> None:
        """Drop every idle connection."""
        _close_all(self._idle)

    def _head(self, request: S3Request, host: str) -> bytes:
        """Give request line and headers, signed now."""
        connection = self._connection
        endpoint = connection.endpoint
        path = endpoint.path(request.bucket, request.key)
        query = encode_query(request.query) if request.query else ""
        headers = dict(request.headers)
        headers["host"] = endpoint.netloc(host)
        size = request.body.size if request.body is not None else 0
        if size:
            digest = request.payload_sha256 or UNSIGNED_PAYLOAD
        else:
            digest = request.payload_sha256 or EMPTY_SHA256
        if size or request.method in ("PUT", "POST"):
            headers["content-length"] = str(size)
        headers = connection.signed_headers(
            request.method, path, query, headers, digest, bucket=request.bucket
        )
        headers["user-agent"] = connection._user_agent().strip()
        headers["accept-encoding"] = "identity"
        target = f"{path}?{query}" if query else path
        lines = [f"{request.method} {target} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def _connect(self, host: str, watch: Watch | None) -> Channel:
        pool = self._pool(host)
        connection = pool._new_conn()
        self._trust.lend(connection)
        timeout = self._connection.connection.session.timeout
        if watch is not None and watch.left is not None:
            left = max(0.001, watch.left or 0.0)  # Zero would mean: do not block.
            timeout = left if timeout is None else min(timeout, left)
        connection.timeout = timeout
        try:
            connection.connect()
        except BaseException:
            connection.close()  # An interrupt leaves it half open.
            raise
        return Channel(connection, is_tls=self._connection.endpoint.scheme == "https")

    def _take_idle(self, host: str) -> Channel | None:
        # Changed settings and forks were noticed when the road was chosen, just before.
        channels = self._idle.get(host)
        while channels:
            try:
                channel = channels.pop()
            except IndexError:
                break
            if channel.is_usable():
                return channel
            channel.close()
        return None

    def _give_back(self, host: str, channel: Channel, settings: tuple[Any, ...]) -> None:
        if settings is not self._pools_for:
            channel.close()  # Opened under settings, or in a process, that are past.
            return
        channel.is_reused = True
        channel.idle_since = time.monotonic()
        channels = self._idle.setdefault(host, deque())
        if len(channels) < KEPT_IDLE:
            channels.append(channel)
        else:
            channel.close()
