# SPDX-License-Identifier: Apache-2.0
"""A handler as a WSGI app (PEP 3333), for any server and framework that speak it.

A thin skin: the environ becomes a :class:`~.messages.Request`, whose body is read from
``wsgi.input`` while it arrives, and the response goes back piece by piece.

::

    app = tus_wsgi(TusHandler(uploads))                        # gunicorn module:app
    flask_app.wsgi_app = DispatcherMiddleware(flask_app.wsgi_app, {"/files": app})
"""

from __future__ import annotations

import io
from http import HTTPStatus
from typing import Any, Protocol
from collections.abc import Mapping, Callable, Iterable, Iterator

from .chunked import Dechunked
from .messages import Request, Response, InputBody, text_response

__all__ = ["direct_wsgi", "request_of_environ", "tus_wsgi", "wsgi_app"]

#: What is read of a refused request's body, so that the client sees the answer and not a reset.
_DRAINED_BYTES = 256 * 1024
_PIECE_BYTES = 64 * 1024

Environ = Mapping[str, Any]


class Handler(Protocol):
    """What is mounted: TusHandler, DirectHandler."""

    def handle(self, request: Request) -> Response: ...


def wsgi_app(
    handler: Handler, *, trailers: Callable[[Environ], Mapping[str, str]] | None = None
) -> Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]:
    """Make a WSGI app of a handler.

    :param trailers: gives the trailers of a chunked body after its end was read, where the server
        has a way to them; WSGI itself has none. A server may also put such a function into the
        environ as ``wsgi.trailers``.
    """

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        given = _decoded(environ)
        if _hides_body(given):
            response = text_response(411, "this server passes on no chunked bodies\n")
            start_response("411 Length Required", list(response.headers))
            return response.body
        request = request_of_environ(given, trailers=trailers)
        if request is None:
            response = text_response(400, "a path that is not UTF-8, or a length that is none\n")
            start_response("400 Bad Request", list(response.headers))
            return response.body
        response = handler.handle(request)
        start_response(_status_line(response.status), list(response.headers))
        return _Answer(response, request, expects=bool(environ.get("HTTP_EXPECT")))

    return app


#: The same for both handlers; the names say at the place of use what is mounted there.
tus_wsgi = wsgi_app
direct_wsgi = wsgi_app


def request_of_environ(
    environ: Environ, *, trailers: Callable[[Environ], Mapping[str, str]] | None = None
) -> Request | None:
    """Make the request of an environ; a Django view has one in ``request.environ``.

    None if the path is not UTF-8, the length no number, or the body in chunks whose end the server
    does not tell: nothing can be read of such a body.
    """
    environ = _decoded(environ)
    if _hides_body(environ):
        return None
    length = environ.get("CONTENT_LENGTH") or "0"
    if not (length.isascii() and length.isdigit()):
        return None
    headers = {
        name[5:].replace("_", "-").lower(): value
        for name, value in environ.items()
        if name.startswith("HTTP_")
    }
    for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if environ.get(name):
            headers[name.replace("_", "-").lower()] = environ[name]
    given = trailers or environ.get("wsgi.trailers")
    try:
        path = environ.get("PATH_INFO", "").encode("latin-1").decode("utf-8")
        mount = environ.get("SCRIPT_NAME", "").encode("latin-1").decode("utf-8")
    except UnicodeError:
        return None
    return Request(
        method=environ["REQUEST_METHOD"],
        path=path,
        mount=mount,
        query=environ.get("QUERY_STRING", ""),
        headers=headers,
        body=_body(environ),
        scheme=environ.get("wsgi.url_scheme", "http"),
        trailers=(lambda: _lower(given(environ))) if given is not None else dict,
        gives_trailers=given is not None,
        is_streamed="waitress.client_disconnected" not in environ,
        cancelled=environ.get("waitress.client_disconnected", lambda: False),
        native=environ,
    )


def _body(environ: Environ) -> InputBody:
    """Read as PEP 3333 allows: by Content-Length, or to the end where the server promises one."""
    source = environ["wsgi.input"]
    # read(n) waits for all n bytes, so a stalled client keeps back what has arrived of them; read1
    # does not. Of exact types only: a middleware's wrapper that counts or decodes in read() may
    # have inherited a read1() that goes past it. Elsewhere the pieces are small.
    knows_read1 = type(source) in (io.BufferedReader, io.BytesIO)
    read = source.read1 if knows_read1 else lambda size: source.read(min(size, _PIECE_BYTES))
    if environ.get("CONTENT_LENGTH"):
        return InputBody(read, int(environ["CONTENT_LENGTH"]))
    # gunicorn, waitress, mod_wsgi and Werkzeug's own server set it; elsewhere reading without a
    # length may block for ever.
    return InputBody(read, None if environ.get("wsgi.input_terminated") else 0)


def _decoded(environ: Environ) -> Environ:
    """Give an environ whose body is what was sent, where it comes as it is on the wire."""
    if not _is_raw(environ):
        return environ
    body = Dechunked(environ["wsgi.input"])
    return {**environ, "wsgi.input": body, "wsgi.input_terminated": True}


def _is_raw(environ: Environ) -> bool:
    """Tell whether a chunked body comes as it is on the wire: Python's own server does that."""
    return (
        bool(environ.get("HTTP_TRANSFER_ENCODING", "").strip().lower() == "chunked")
        and environ.get("SERVER_SOFTWARE", "").startswith("WSGIServer/")
        and not environ.get("wsgi.input_terminated")
        and type(environ.get("wsgi.input")) is io.BufferedReader
    )


def _hides_body(environ: Environ) -> bool:
    """Tell whether a body comes that the app cannot know the end of; read as none it were lost."""
    return (
        bool(environ.get("HTTP_TRANSFER_ENCODING"))
        and not environ.get("CONTENT_LENGTH")
        and not environ.get("wsgi.input_terminated")
    )


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _status_line(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:  # 460 of tus
        return f"{status} Checksum Mismatch" if status == 460 else f"{status} Unknown"


class _Answer:
    """A response's body; closing it reads some of what the client is still sending."""

    def __init__(self, response: Response, request: Request, *, expects: bool) -> None:
        self._response = response
        self._request = request
        self._expects = expects

    def __iter__(self) -> Iterator[bytes]:
        yield from self._response.body

    def close(self) -> None:
        close = getattr(self._response.body, "close", None)
        if close is not None:
            close()
        # A client that waits for 100 Continue sends nothing now; asking would make it send.
        left = 0 if self._expects else _DRAINED_BYTES
        while left > 0:
            data = self._request.body.read(min(left, _PIECE_BYTES))
            if not data:
                return
            left -= len(data)
