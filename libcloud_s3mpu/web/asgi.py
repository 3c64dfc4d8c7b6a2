# SPDX-License-Identifier: Apache-2.0
"""A handler as an ASGI 3 app, for any server and framework that speak it (on asyncio).

A thin skin again: the handler runs in a worker thread, because storing a part blocks; the event
loop feeds it through a pipe that holds a few pieces at most, so that a fast client waits rather
than fills the memory. A client that goes away is the end of the body: what arrived gets stored.

::

    app = tus_asgi(TusHandler(uploads))                        # uvicorn module:app
    starlette_app.mount("/files", app)
"""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any
from collections import deque
from collections.abc import Callable, Awaitable, MutableMapping
from concurrent.futures import ThreadPoolExecutor

from .wsgi import Handler
from .messages import Request, Response, InputBody, text_response

__all__ = ["AsgiApp", "asgi_app", "direct_asgi", "tus_asgi"]

_log = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

#: Bytes that wait between the event loop and the worker, at most (and one piece of the server's).
_BUFFER_BYTES = 256 * 1024
#: Without a byte for so long, the client is taken for gone. tusd's NetworkTimeout (v2.9) is 60 s.
_IDLE_SECONDS = 60.0
#: Requests worked on at once; others wait. Threads are started when they are needed.
_MAX_THREADS = 64
#: Those that bring no body have threads of their own: slow uploads must not keep back the question
#: how far one is.
_BODILESS = frozenset({"HEAD", "GET", "OPTIONS", "DELETE"})
_MAX_BODILESS_THREADS = 16


class InputTimeoutError(OSError):
    """The client sent nothing for too long; a worker is worth more than its connection."""


class ClientGoneError(OSError):
    """The client went away before the end of its body."""


class _Pipe:
    """Body pieces on their way from the event loop to the worker.

    Its lock protects the pieces and the two ends' flags; the loop never waits for it long.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, idle_seconds: float) -> None:
        self._loop = loop
        self._idle_seconds = idle_seconds
        self._changed = threading.Condition()
        self._pieces: deque[memoryview] = deque()
        self._held = 0
        self._is_whole = False
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._is_asked = asyncio.Event()
        self.is_gone = False

    # -- the loop's end --------------------------------------------------------------------------

    async def feed(self, receive: Receive, *, waits: bool) -> None:
        """Pass on what comes until the client goes away; cancelled when the answer was sent.

        :param waits: not before it is read: servers send 100 Continue when they are asked for the
            body, and a refusal should come instead of it.
        """
        if waits:
            await self._is_asked.wait()
        while True:
            was_whole = self._is_whole
            message = await receive()
            if message["type"] == "http.disconnect":
                with self._changed:
                    self.is_gone = True
                    self._changed.notify_all()
                return
            if was_whole:
                return  # Nothing else may follow the end of a body.
            with self._changed:
                data = message.get("body", b"")
                if data:
                    self._pieces.append(memoryview(data))
                    self._held += len(data)
                    if self._held >= _BUFFER_BYTES:
                        self._has_room.clear()
                self._is_whole = not message.get("more_body", False)
                self._changed.notify_all()
            await self._has_room.wait()

    # -- the worker's end ------------------------------------------------------------------------

    def read(self, size: int) -> bytes:
        """Give what there is, at most ``size`` bytes.

        :raises ClientGoneError: if the client left before the end.
        :raises InputTimeoutError: if nothing came for too long.
        """
        if not self._is_asked.is_set():
            self._loop.call_soon_threadsafe(self._is_asked.set)
        with self._changed:
            if not self._changed.wait_for(self._is_ready, self._idle_seconds):
                raise InputTimeoutError("nothing was received for too long")
            if not self._pieces:
                if self._is_whole:
                    return b""
                raise ClientGoneError("the client went away")
            piece = self._pieces[0]
            if len(piece) <= size:
                self._pieces.popleft()
            else:
                self._pieces[0] = piece[size:]
                piece = piece[:size]
            was_full = self._held >= _BUFFER_BYTES
            self._held -= len(piece)
            if was_full and self._held < _BUFFER_BYTES:
                self._loop.call_soon_threadsafe(self._has_room.set)
            return piece.tobytes()

    def _is_ready(self) -> bool:
        return bool(self._pieces) or self._is_whole or self.is_gone


class AsgiApp:
    """A handler as an ASGI app. It owns its worker threads; :meth:`close` lets them go.

    :param idle_seconds: how long a client may send nothing before it is taken for gone.
    :param max_threads: requests with a body that are worked on at once.
    """

    def __init__(
        self,
        handler: Handler,
        *,
        idle_seconds: float = _IDLE_SECONDS,
        max_threads: int = _MAX_THREADS,
    ) -> None:
        self._handler = handler
        self._idle_seconds = idle_seconds
        self._workers = ThreadPoolExecutor(max_threads, thread_name_prefix="s3mpu-web")
        self._quick = ThreadPoolExecutor(_MAX_BODILESS_THREADS, thread_name_prefix="s3mpu-ask")

    def close(self) -> None:
        """Wait for the requests under way, and end the threads."""
        self._workers.shutdown(wait=True)
        self._quick.shutdown(wait=True)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)
        else:
            raise ValueError(f"{scope['type']!r} requests are not for this app")

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        loop = asyncio.get_running_loop()
        pipe = _Pipe(loop, self._idle_seconds)
        request = _request(scope, pipe)
        if request is None:
            await _send_all(send, text_response(400, "a header that makes no sense\n"))
            return
        waits = request.header("expect") is not None
        feeding = loop.create_task(pipe.feed(receive, waits=waits))
        try:
            workers = self._quick if request.method in _BODILESS else self._workers
            response = await loop.run_in_executor(workers, self._handler.handle, request)
            await self._send(send, response)
        finally:
            pipe.is_gone = True
            feeding.cancel()
            try:
                await feeding
            except (asyncio.CancelledError, OSError):
                pass  # It ends where it was cancelled.

    async def _send(self, send: Send, response: Response) -> None:
        """Send a response; a body that is made on the way is made in a worker."""
        if isinstance(response.body, (tuple, list)):
            await _send_all(send, response)
            return
        loop = asyncio.get_running_loop()
        pieces = iter(response.body)
        try:
            await send(_start(response))
            while True:
                piece = await loop.run_in_executor(self._quick, next, pieces, None)
                if piece is None:
                    break
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            close = getattr(response.body, "close", None)
            if close is not None:
                await loop.run_in_executor(self._quick, close)


def asgi_app(handler: Handler, **options: Any) -> AsgiApp:
    """Make an ASGI app of a handler; ``options`` are :class:`AsgiApp`'s."""
    return AsgiApp(handler, **options)


#: The same for both handlers; the names say at the place of use what is mounted there.
tus_asgi = asgi_app
direct_asgi = asgi_app


def _start(response: Response) -> dict[str, Any]:
    headers = [
        (name.lower().encode("latin-1"), value.encode("latin-1"))
        for name, value in response.headers
    ]
    return {"type": "http.response.start", "status": response.status, "headers": headers}


async def _send_all(send: Send, response: Response) -> None:
    await send(_start(response))
    body = b"".join(response.body)
    await send({"type": "http.response.body", "body": body, "more_body": False})


def _request(scope: Scope, pipe: _Pipe) -> Request | None:
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    length = headers.get("content-length")
    if length is not None and not (length.isascii() and length.isdigit()):
        return None
    mount, path = scope.get("root_path", ""), scope["path"]
    # Starlette before 0.33 and other older frameworks leave the mount out of the path.
    if mount and (path == mount or path.startswith(mount.rstrip("/") + "/")):
        path = path[len(mount.rstrip("/")) :]
    return Request(
        method=scope["method"],
        path=path,
        mount=mount,
        query=scope.get("query_string", b"").decode("latin-1"),
        headers=headers,
        # Chunked or HTTP/2 bodies have no length; a request without any body ends at once.
        body=InputBody(pipe.read, None if length is None else int(length)),
        scheme=scope.get("scheme", "http"),
        cancelled=lambda: pipe.is_gone,
        native=scope,
    )
