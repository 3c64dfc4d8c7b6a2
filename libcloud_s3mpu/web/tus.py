# SPDX-License-Identifier: Apache-2.0
"""A tus 1.0.0 server as one object: a request in, a response out.

Here is the frame of the protocol: version, method, path, what OPTIONS announces, errors, CORS.
What the requests do is :mod:`.tus_actions`, and how bytes are stored
:mod:`libcloud_s3mpu.resumable`. Servers and frameworks are tied to it by :mod:`.wsgi` and
:mod:`.asgi`.
"""

from __future__ import annotations

from typing import Any
from dataclasses import replace
from collections.abc import Mapping, Callable

from .cors import Cors
from .hooks import Hooks
from .metrics import Counters
from .messages import Refuse, Request, Response
from .refusals import refusal_of
from .addresses import Addresses
from .tus_actions import Actions
from .tus_headers import VERSION, ALGORITHMS

__all__ = ["TusHandler"]

_EXTENSIONS = (
    "creation",
    "creation-with-upload",
    "creation-defer-length",
    "checksum",
    "termination",
    "concatenation",
)
_METHODS = ("POST", "HEAD", "PATCH", "DELETE", "OPTIONS")
_SENT = (
    "Authorization",
    "Content-Type",
    "Tus-Resumable",
    "Upload-Length",
    "Upload-Offset",
    "Upload-Metadata",
    "Upload-Defer-Length",
    "Upload-Concat",
    "Upload-Checksum",
    "X-HTTP-Method-Override",
    "X-Requested-With",
    "X-Request-ID",
)
_EXPOSED = (
    "Location",
    "Tus-Resumable",
    "Tus-Version",
    "Tus-Extension",
    "Tus-Max-Size",
    "Tus-Checksum-Algorithm",
    "Upload-Offset",
    "Upload-Length",
    "Upload-Metadata",
    "Upload-Defer-Length",
    "Upload-Concat",
    "Upload-Expires",
    "Retry-After",
)


class TusHandler:
    """Serves a :class:`~libcloud_s3mpu.resumable.ResumableUploads` by tus 1.0.0.

    Any number of threads and processes may serve the same uploads at once; it holds no state of
    them.

    :param uploads: the store.
    :param base_path: the collection's path, ``/files``; ``""`` where the framework's mount is it.
    :param max_size_bytes: of an upload; or a function of the request. None: the store's limit.
    :param hooks: what the app decides (:class:`~.hooks.Hooks`). Without ``authorize`` everybody may
        do everything, and an upload's URL is all that protects it.
    :param cors: which pages may use it; None sends no such headers.
    :param downloads: answer GET of a finished upload with its bytes.
    :param terminates_finished: may DELETE remove a finished upload with its object?
    :param relative_location: give paths instead of URLs; survives any proxy.
    :param public_url: the collection's URL as clients see it, where a proxy changes it.
    :param trust_forwarded: believe Forwarded and X-Forwarded-*; only behind a proxy that sets them.
    """

    def __init__(
        self,
        uploads: Any,
        base_path: str = "",
        *,
        max_size_bytes: int | Callable[[Request], int | None] | None = None,
        hooks: Hooks | None = None,
        cors: Cors | None = Cors(),  # noqa: B008 - frozen
        downloads: bool = True,
        terminates_finished: bool = True,
        relative_location: bool = True,
        public_url: str | None = None,
        trust_forwarded: bool = False,
    ) -> None:
        base = base_path.rstrip("/")
        if base and not base.startswith("/"):
            raise ValueError(f"base_path must begin with a slash: {base_path!r}")
        if public_url is not None and not public_url.startswith(("http://", "https://")):
            raise ValueError(f"public_url must be a whole URL: {public_url!r}")
        self._cors = cors
        self._downloads = downloads
        self._addresses = Addresses(
            base_path=base,
            public_url=public_url,
            is_relative=relative_location,
            trusts_forwarded=trust_forwarded,
        )
        self._max_size = max_size_bytes if callable(max_size_bytes) else lambda _: max_size_bytes
        self._counters = Counters()
        self._expires = uploads.options.expires_seconds is not None
        self._actions = Actions(
            uploads=uploads,
            addresses=self._addresses,
            hooks=hooks or Hooks(),
            counters=self._counters,
            max_size=self._limit,
            terminates_finished=terminates_finished,
        )

    def handle(self, request: Request) -> Response:
        """Answer one request; it never raises."""
        request = replace(request, method=_method_of(request))
        try:
            response = self._answered(request)
        except Exception as error:
            response = refusal_of(error)
        return self._framed(request, response)

    def metrics(self) -> Mapping[str, int]:
        """Give counters of this process: requests by method, errors by status, bytes, uploads."""
        return self._counters.read()

    # -- private ---------------------------------------------------------------------------------

    def _limit(self, request: Request) -> int:
        """Give the most bytes of an upload: the app's limit, and never more than the store's."""
        chosen = self._max_size(request)
        own = int(self._actions.uploads.max_object_size)
        return own if chosen is None else min(chosen, own)

    def _answered(self, request: Request) -> Response:
        upload_id = self._addresses.rest_of(request)
        if upload_id is None:
            raise Refuse(404, "nothing is here\n")
        if request.method == "OPTIONS":
            return self._announced(request)
        _check_version(request)
        actions = self._actions
        if not upload_id:
            if request.method != "POST":
                raise Refuse(405, "only POST\n", {"Allow": "POST, OPTIONS"})
            return actions.create(request)
        if request.method == "GET" and self._downloads:
            return actions.read(request, upload_id)
        known: dict[str, Callable[[Request, str], Response]] = {
            "HEAD": actions.status,
            "PATCH": actions.append,
            "DELETE": actions.terminate,
        }
        if request.method not in known:
            allowed = ["HEAD", "PATCH", "DELETE", "OPTIONS", *(["GET"] * self._downloads)]
            raise Refuse(405, "no such method here\n", {"Allow": ", ".join(allowed)})
        return known[request.method](request, upload_id)

    def _announced(self, request: Request) -> Response:
        extensions = list(_EXTENSIONS)
        if request.gives_trailers:
            extensions.append("checksum-trailer")
        if self._expires:
            extensions.append("expiration")
        headers = [
            ("Tus-Version", VERSION),
            ("Tus-Extension", ",".join(extensions)),
            ("Tus-Checksum-Algorithm", ",".join(ALGORITHMS)),
        ]
        headers.append(("Tus-Max-Size", str(self._limit(request))))
        return Response(status=204, headers=tuple(headers))

    def _framed(self, request: Request, response: Response) -> Response:
        """Add what every answer has, and count it."""
        response = response.plus([("Tus-Resumable", VERSION)])
        if self._cors is not None:
            methods = (*_METHODS, "GET") if self._downloads else _METHODS
            response = self._cors.applied(
                request, response, methods=methods, headers=_SENT, exposed=_EXPOSED
            )
        known = request.method if request.method in (*_METHODS, "GET") else "other"
        self._counters.add(f"requests_{known}")
        if response.status >= 400:
            self._counters.add(f"errors_{response.status}")
        if request.method == "HEAD" and response.status >= 400:
            # Its length would be that of a body which HEAD has not.
            headers = tuple(p for p in response.headers if p[0].lower() != "content-length")
            response = replace(response, headers=headers, body=())
        return response


def _method_of(request: Request) -> str:
    """Give the method that is meant: clients behind old proxies can only POST."""
    override = request.header("x-http-method-override")
    return (override or request.method).upper()


def _check_version(request: Request) -> None:
    """Refuse a foreign version; where something would change, also none at all.

    :raises Refuse: 412.
    """
    version = request.header("tus-resumable")
    if request.method == "GET" or version == VERSION:
        return
    if version is None and request.method not in ("POST", "PATCH", "DELETE"):
        return
    raise Refuse(412, f"Tus-Resumable must be {VERSION}\n", {"Tus-Version": VERSION})
