# SPDX-License-Identifier: Apache-2.0
"""The WSGI and ASGI skins by themselves: bounds, ends, and what they make of odd requests."""

from __future__ import annotations

import io
import socket
import asyncio
from typing import Any

import pytest

from libcloud_s3mpu.web.asgi import _BUFFER_BYTES, AsgiApp
from libcloud_s3mpu.web.wsgi import wsgi_app, request_of_environ
from libcloud_s3mpu.web.messages import Refuse, Request, Response, InputBody, text_response

SCOPE: dict[str, Any] = {
    "type": "http", "method": "PATCH", "path": "/x", "headers": [], "query_string": b"",
}  # fmt: skip
PIECE = 64 * 1024


class Reads:
    """A handler that reads all, after ``ready`` was called for each piece."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.requests: list[Request] = []

    def handle(self, request: Request) -> Response:
        self.requests.append(request)
        while data := request.body.read(1024 * 1024):
            self.pieces.append(data)
        return text_response(200, str(request.body.is_cut))


def run(app: AsgiApp, receive: Any, scope: dict[str, Any] | None = None) -> list[Any]:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def main() -> None:
        await asyncio.wait_for(app({**SCOPE, **(scope or {})}, receive, send), 10)

    try:
        asyncio.run(main())
    finally:
        app.close()
    return sent


def feeder(*messages: dict[str, Any]) -> Any:
    left = list(messages)

    async def receive() -> dict[str, Any]:
        if left:
            return left.pop(0)
        await asyncio.Event().wait()
        raise AssertionError

    return receive


def piece(data: bytes, *, more: bool = True) -> dict[str, Any]:
    return {"type": "http.request", "body": data, "more_body": more}


def test_a_fast_client_waits_for_a_slow_store() -> None:
    given = 0
    most_ahead = 0

    class Slow:
        def handle(self, request: Request) -> Response:
            nonlocal most_ahead
            taken = 0
            while data := request.body.read(PIECE):
                taken += len(data)
                asyncio.run(asyncio.sleep(0.002))  # Time for the loop to run ahead, if it would.
                most_ahead = max(most_ahead, given - taken)
            return text_response(200, str(taken))

    async def receive() -> dict[str, Any]:
        nonlocal given
        given += PIECE
        return piece(b"x" * PIECE, more=given < 100 * PIECE)

    sent = run(AsgiApp(Slow()), receive)
    assert sent[1]["body"] == str(100 * PIECE).encode()
    assert most_ahead <= _BUFFER_BYTES + 2 * PIECE


@pytest.mark.parametrize("length", [None, b"100"])
def test_a_client_that_goes_away_is_the_end_of_the_body(length: bytes | None) -> None:
    handler = Reads()
    scope = {"headers": [(b"content-length", length)] if length else []}
    run(AsgiApp(handler), feeder(piece(b"abc"), {"type": "http.disconnect"}), scope)
    assert b"".join(handler.pieces) == b"abc"
    assert handler.requests[0].body.is_cut
    assert handler.requests[0].cancelled()


def test_a_client_that_stalls_is_taken_for_gone() -> None:
    handler = Reads()
    sent = run(AsgiApp(handler, idle_seconds=0.05), feeder(piece(b"abc")))
    assert b"".join(handler.pieces) == b"abc"
    assert sent[1]["body"] == b"True"


def test_lifespan_is_answered_and_websockets_are_not() -> None:
    events = feeder({"type": "lifespan.startup"}, {"type": "lifespan.shutdown"})
    sent = run(AsgiApp(Reads()), events, {"type": "lifespan"})
    assert [each["type"] for each in sent] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]
    with pytest.raises(ValueError, match="websocket"):
        run(AsgiApp(Reads()), feeder(), {"type": "websocket"})


@pytest.mark.parametrize("length", [b"-1", b"abc", b"1_0"])
def test_a_length_that_makes_no_sense_is_refused(length: bytes) -> None:
    sent = run(AsgiApp(Reads()), feeder(), {"headers": [(b"content-length", length)]})
    assert sent[0]["status"] == 400


@pytest.mark.parametrize(
    ("root", "path", "mount", "below"),
    [("", "/a/b", "", "/a/b"), ("/a", "/a/b", "/a", "/b"), ("/a", "/b", "/a", "/b"),
     ("/a", "/ab", "/a", "/ab")],
)  # fmt: skip
def test_mounts_of_old_and_new_asgi(root: str, path: str, mount: str, below: str) -> None:
    handler = Reads()
    scope = {"root_path": root, "path": path}
    run(AsgiApp(handler), feeder(piece(b"", more=False)), scope)
    assert (handler.requests[0].mount, handler.requests[0].path) == (mount, below)


def environ(**changes: Any) -> dict[str, Any]:
    return {
        "REQUEST_METHOD": "PATCH",
        "PATH_INFO": "/x",
        "wsgi.input": io.BytesIO(b"abcdef"),
        **changes,
    }


def test_no_more_is_read_than_the_length() -> None:
    request = request_of_environ(environ(CONTENT_LENGTH="3"))
    assert request is not None
    assert request.body.read(100) == b"abc"
    assert request.body.read(100) == b""
    assert not request.body.is_cut


def test_a_view_is_given_no_request_whose_body_it_could_not_read() -> None:
    assert request_of_environ(environ(HTTP_TRANSFER_ENCODING="chunked", CONTENT_LENGTH="")) is None


def test_without_a_length_nothing_is_read_unless_the_server_ends_the_input() -> None:
    for changes, expected in (({}, b""), ({"wsgi.input_terminated": True}, b"abcdef")):
        request = request_of_environ(environ(**changes))
        assert request is not None
        assert request.body.read(100) == expected


class Decoding(io.BytesIO):
    """A middleware's input: it decodes in ``read``, and has inherited a ``read1`` that does not."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(size).swapcase()


def test_a_wrapped_input_is_read_by_its_own_read() -> None:
    request = request_of_environ(environ(**{"wsgi.input": Decoding(b"abcdef")}, CONTENT_LENGTH="6"))
    assert request is not None
    assert request.body.read(100) == b"ABCDEF"


def test_what_a_stalled_client_sent_is_given_where_the_input_can() -> None:
    got, sent = socket.socketpair()
    with got, sent, got.makefile("rb") as file:
        sent.sendall(b"abc")
        request = request_of_environ(environ(**{"wsgi.input": file}, CONTENT_LENGTH="6"))
        assert request is not None
        assert request.body.read(100) == b"abc"


def test_a_path_that_is_not_utf8_is_refused() -> None:
    started: list[Any] = []
    app = wsgi_app(Reads())
    app(environ(PATH_INFO="/\xe4"), lambda *answer: started.append(answer))
    assert started[0][0] == "400 Bad Request"


@pytest.mark.parametrize("length", ["-1", "abc", "1_0", "1.5", "٣"])
def test_a_length_that_is_none_is_refused_by_wsgi_too(length: str) -> None:
    started: list[Any] = []
    wsgi_app(Reads())(environ(CONTENT_LENGTH=length), lambda *answer: started.append(answer))
    assert started[0][0] == "400 Bad Request"


def test_a_short_body_is_a_cut_one() -> None:
    body = InputBody(io.BytesIO(b"ab").read, 5)
    assert [body.read(4), body.read(4)] == [b"ab", b""]
    assert body.is_cut


def test_headers_hold_no_line_end() -> None:
    with pytest.raises(ValueError, match="control"):
        text_response(200, "", {"X-A": "b\r\nX-C: d"})
    with pytest.raises(ValueError, match="status"):
        Refuse(200)


def test_a_chunked_body_that_the_server_does_not_decode_is_refused_not_lost() -> None:
    """PEP 3333 knows no chunked bodies: read as none, it would be acknowledged as no bytes."""
    handler = Reads()
    environ = {
        "REQUEST_METHOD": "PATCH",
        "PATH_INFO": "/x",
        "HTTP_TRANSFER_ENCODING": "chunked",
        "wsgi.input": io.BytesIO(b"3\r\nabc\r\n0\r\n\r\n"),
    }
    started: list[Any] = []
    b"".join(wsgi_app(handler)(environ, lambda *given: started.append(given)))
    assert started[0][0].startswith("411 ") and handler.requests == []


@pytest.mark.timeout(30)
def test_questions_are_answered_while_all_threads_wait_for_slow_bodies() -> None:
    answered: list[str] = []

    class Handler:
        def handle(self, request: Request) -> Response:
            while request.body.read(PIECE):
                pass
            answered.append(request.method)
            return text_response(200, "done")

    async def main() -> None:
        app = AsgiApp(Handler(), max_threads=1)
        let_go = asyncio.Event()

        async def stalls() -> dict[str, Any]:
            await let_go.wait()
            return piece(b"", more=False)

        async def send(message: Any) -> None:
            pass

        slow = [asyncio.ensure_future(app(dict(SCOPE), stalls, send)) for _ in range(2)]
        await asyncio.sleep(0)
        for method in ("HEAD", "DELETE", "OPTIONS"):
            await app({**SCOPE, "method": method}, feeder(piece(b"", more=False)), send)
        assert answered == ["HEAD", "DELETE", "OPTIONS"]
        let_go.set()
        await asyncio.gather(*slow)
        app.close()

    asyncio.run(main())
    assert answered[3:] == ["PATCH", "PATCH"]


@pytest.mark.parametrize(
    ("wire", "body", "is_cut"),
    [
        (b"3\r\nabc\r\n00A;x=y\r\n0123456789\r\n0\r\nUpload: no\r\n\r\n", b"abc0123456789", False),
        (b"0\r\n\r\n", b"", False),
        (b"3\r\nabc\r\n5\r\nde", b"abcde", True),
        (b"3\r\nabc\r\n", b"abc", True),
        (b"-3\r\nabc\r\n0\r\n\r\n", b"", True),
        (b"", b"", True),
    ],
)
def test_chunks_are_decoded_where_pythons_own_server_leaves_them(
    wire: bytes, body: bytes, is_cut: bool
) -> None:
    handler = Reads()
    environ = {
        "REQUEST_METHOD": "PATCH",
        "PATH_INFO": "/x",
        "SERVER_SOFTWARE": "WSGIServer/0.2",
        "HTTP_TRANSFER_ENCODING": "chunked",
        "wsgi.input": io.BufferedReader(io.BytesIO(wire)),  # type: ignore[type-var]
    }
    b"".join(wsgi_app(handler)(environ, lambda *given: None))
    assert b"".join(handler.pieces) == body
    assert handler.requests[0].body.is_cut is is_cut
