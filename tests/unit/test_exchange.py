# SPDX-License-Identifier: Apache-2.0
"""One attempt on a socket: early, broken, long and missing answers, hand-over, cut."""

from __future__ import annotations

import os
import re
import ssl
import sys
import time
import errno
import signal
import socket
import threading
from typing import Any
from pathlib import Path
from contextlib import contextmanager
from collections.abc import Callable, Iterator

import pytest
from urllib3.connection import HTTPConnection

from tests.fake_s3 import FakeS3, FakeLimits, FakeServer, faults
from tests.unit.small import (
    PATIENCE_SECONDS,
    Apart,
    Service,
    RawServer,
    reset,
    chunks,
    service,
    make_plain,
    make_driver,
    close_driver,
    read_request,
)
from libcloud_s3mpu.transfer import answer, exchange
from libcloud_s3mpu.transfer.spool import FileBody
from libcloud_s3mpu.protocol.errors import TransportError, SourceChangedError
from libcloud_s3mpu.transfer.answer import AnswerSide, ExchangeFailed
from libcloud_s3mpu.transfer.attempt import call_settled
from libcloud_s3mpu.protocol.messages import Bytes, S3Request
from libcloud_s3mpu.transfer.connection import transport_error

ROADS = ["lean", "plain"]
LARGE = Bytes(bytes(range(256)) * 65_536)  # 16 MiB: more than the sockets' buffers take


def get(key: str = "key", **more: Any) -> S3Request:
    return S3Request(operation="GetObject", method="GET", bucket="bucket", key=key, **more)


def put(body: Bytes = LARGE, key: str = "key") -> S3Request:
    return S3Request(operation="PutObject", method="PUT", bucket="bucket", key=key, body=body)


@pytest.fixture
def running() -> Iterator[Service]:
    with service(limits=FakeLimits()) as it:
        yield it


@contextmanager
def raw(behaviour: Callable[[socket.socket, int], None], road: str = "lean") -> Iterator[Any]:
    """Give (server, transport) before a raw server."""
    with RawServer(behaviour) as server:
        driver = make_driver(server)
        if road == "plain":
            make_plain(driver)
        try:
            yield server, driver._transport
        finally:
            close_driver(driver)


def answering(*answers: bytes) -> Callable[[socket.socket, int], None]:
    """Each connection gets these answers, one for each request, and then its end."""

    def behaviour(sock: socket.socket, number: int) -> None:
        for data in answers:
            if not read_request(sock):
                return
            sock.sendall(data)

    return behaviour


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


# -- answers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("road", ROADS)
@pytest.mark.parametrize(
    ("data", "status", "body"),
    [
        (OK, 200, b"ok"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n",
         200, b"ok"),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", 200, b"ok"),
        (b"HTTP/1.1 200 OK\r\n\r\nok", 200, b"ok"),
        (b"HTTP/1.0 200 OK\r\n\r\nok", 200, b"ok"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, 200, b"ok"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno", 404, b"no"),
        (b"HTTP/1.1 599 Odd\r\nContent-Length: 0\r\n\r\n", 599, b""),
    ],
)  # fmt: skip
def test_answers_of_every_form_are_read(road: str, data: bytes, status: int, body: bytes) -> None:
    with raw(answering(data), road) as (_, transport):
        answer = transport.call(get())
    assert (answer.status, answer.body) == (status, body)


@pytest.mark.parametrize("road", ROADS)
def test_header_names_come_in_lower_case(road: str) -> None:
    data = b'HTTP/1.1 200 OK\r\nETag: "e"\r\nX-Amz-Request-Id: R\r\nContent-Length: 0\r\n\r\n'
    with raw(answering(data), road) as (_, transport):
        headers = transport.call(get()).headers
    assert (headers["etag"], headers["x-amz-request-id"]) == ('"e"', "R")


@pytest.mark.parametrize("road", ROADS)
def test_the_answer_to_head_has_no_body_whatever_it_announces(road: str) -> None:
    data = b"HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n"
    request = S3Request(operation="HeadObject", method="HEAD", bucket="bucket", key="key")
    with raw(answering(data, data), road) as (server, transport):
        for _ in range(2):
            answer = transport.call(request)
            assert (answer.headers["content-length"], answer.body) == ("12345", b"")
        assert server.connections == 1


@pytest.mark.parametrize("road", ROADS)
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"garbage\r\n\r\n",
        b"HTTP/1.1 twohundred OK\r\n\r\n",
    ],
)
def test_an_answer_that_is_not_whole_is_a_transport_error(road: str, data: bytes) -> None:
    with raw(answering(data), road) as (_, transport), pytest.raises(TransportError) as caught:
        transport.call(get())
    assert "GetObject failed for bucket/key" in str(caught.value)
    assert caught.value.retryable


@pytest.mark.parametrize("road", ROADS)
def test_an_answer_longer_than_its_limit_is_refused_and_not_read_to_its_end(road: str) -> None:
    sent = 0

    def endless(sock: socket.socket, number: int) -> None:
        nonlocal sent
        read_request(sock)
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        while sent < 500_000_000:
            sent += sock.send(b" " * 65_536)

    with (
        raw(endless, road) as (_, transport),
        pytest.raises(TransportError, match="longer than 1000 bytes"),
    ):
        transport.call(get(answer_limit=1000))
    assert sent < 100_000_000


def test_an_answer_of_exactly_its_limit_is_taken() -> None:
    with raw(answering(OK, OK)) as (server, transport):
        for _ in range(2):
            assert transport.call(get(answer_limit=2)).body == b"ok"
        assert server.connections == 1


@pytest.mark.parametrize("road", ROADS)
def test_a_long_error_is_cut_and_still_an_answer(road: str) -> None:
    body = b"x" * 300_000
    head = b"HTTP/1.1 500 Oops\r\nContent-Length: %d\r\n\r\n" % len(body)
    with raw(answering(head + body), road) as (_, transport):
        answer = transport.call(get())
    assert answer.status == 500
    assert len(answer.body) <= 65_536


@pytest.mark.parametrize("road", ROADS)
def test_silence_ends_at_the_time_out(road: str, running: Service) -> None:
    if road == "plain":
        make_plain(running.driver)
    running.driver.connection.connection.session.timeout = 0.1
    stalled = faults.stall("answer")
    running.fake.script("GetObject", stalled)
    with pytest.raises(TransportError) as caught:
        running.driver._transport.call(get())
    assert "Timeout" in type(caught.value).__name__
    assert stalled.wire is not None
    stalled.wire.release.set()


def test_a_verb_may_have_more_patience_than_the_connection(running: Service) -> None:
    running.driver.connection.connection.session.timeout = 0.05
    stalled = faults.stall("answer")
    running.fake.script("GetObject", stalled)
    call = Apart(lambda: running.driver._transport.call(get(patience_seconds=60)))
    assert stalled.wire is not None
    assert stalled.wire.reached.wait(30)
    time.sleep(0.12)  # Longer than the connection's time-out: nothing is to happen meanwhile.
    assert not call.is_over
    stalled.wire.release.set()
    assert call.result().status == 404


# -- sending ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("road", ROADS)
def test_a_body_arrives_whole(road: str, running: Service) -> None:
    if road == "plain":
        make_plain(running.driver)
    assert running.driver._transport.call(put()).status == 200
    assert running.stored() == b"".join(LARGE.buffers())


def test_a_body_of_thousands_of_buffers_arrives_whole(running: Service) -> None:
    class Many(Bytes):
        def buffers(self) -> Any:
            data = b"".join(super().buffers())
            return [memoryview(data)[i : i + 999] for i in range(0, len(data), 999)]

    assert running.driver._transport.call(put(Many(b"".join(LARGE.buffers())))).status == 200
    assert running.stored() == b"".join(LARGE.buffers())


def test_a_lazy_body_may_reuse_its_memory(running: Service) -> None:
    data = b"".join(LARGE.buffers())

    class Lazy(Bytes):
        is_lazy = True

        def buffers(self) -> Any:
            block = bytearray(100_000)
            for start in range(0, len(data), len(block)):
                piece = data[start : start + len(block)]
                block[: len(piece)] = piece
                yield memoryview(block)[: len(piece)]

    assert running.driver._transport.call(put(Lazy(data))).status == 200
    assert running.stored() == data


@contextmanager
def file_body(tmp_path: Path, size: int, offset: int = 7) -> Iterator[tuple[FileBody, bytes]]:
    path = tmp_path / "file"
    data = os.urandom(offset + size)
    path.write_bytes(data)
    with open(path, "rb") as file:
        yield FileBody(file.fileno(), offset, size), data[offset:]


@pytest.mark.skipif(not exchange._HAS_SENDFILE, reason="files are read and sent on this system")
def test_the_kernel_takes_a_range_of_a_file_by_itself(
    running: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FileBody, "buffers", lambda self: pytest.fail("it was read"))
    with file_body(tmp_path, 3_000_000) as (body, data):
        assert running.driver._transport.call(put(body)).status == 200
    assert running.stored("key") == data


@pytest.mark.skipif(not exchange._HAS_SENDFILE, reason="files are read and sent on this system")
def test_a_file_system_that_cannot_lend_its_pages_is_read(
    running: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> int:
        raise OSError(errno.EINVAL, "not on this file system")

    monkeypatch.setattr(os, "sendfile", refuse)
    with file_body(tmp_path, 300_000) as (body, data):
        assert running.driver._transport.call(put(body)).status == 200
    assert running.stored("key") == data


def test_a_file_that_became_shorter_is_said_and_its_connection_dropped(
    running: Service, tmp_path: Path
) -> None:
    with file_body(tmp_path, 300_000) as (body, _):
        os.truncate(tmp_path / "file", 1_000)
        with pytest.raises(SourceChangedError, match=r"ended at offset 1000.*at least 300007"):
            running.driver._transport.call(put(body))
    assert not running.driver._transport.has_idle("bucket")
    assert running.keys == []


def test_an_early_answer_ends_the_sending() -> None:
    over = threading.Event()

    def refuses(sock: socket.socket, number: int) -> None:
        sock.recv(1000)  # Not even the whole head; nothing more is read until the test is over.
        sock.sendall(b"HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno")
        over.wait(PATIENCE_SECONDS)

    with raw(refuses) as (_, transport):
        exchange = transport.begin(put())
        answer = Apart(exchange.advance).result(5.0)
        over.set()
    assert (answer.status, answer.body) == (403, b"no")
    assert exchange.sent_bytes < LARGE.size


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a reset takes what came before it")
@pytest.mark.parametrize("tls", [False, True])
def test_an_early_answer_is_found_behind_a_connection_that_broke(tls: bool) -> None:
    refusal = faults.answer_early(faults.error("AccessDenied"), after_bytes=1000, resets=True)
    with service(tls=tls, limits=FakeLimits()) as it:
        it.fake.script("PutObject", refusal)
        assert it.driver._transport.call(put()).status == 403
        assert len(it.fake.requests) == 1


CONTINUE = b"HTTP/1.1 100 Continue\r\nX: y\r\n\r\n"
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"


@pytest.mark.parametrize(
    "pieces",
    [[CONTINUE], [CONTINUE[:5], CONTINUE[5:]], [CONTINUE[:30], CONTINUE[30:]], [HINTS] * 20],
)
def test_an_interim_answer_does_not_end_the_sending(pieces: list[bytes]) -> None:
    """Some servers send 100 Continue though nobody asked for it."""

    def continues(sock: socket.socket, number: int) -> None:
        for _ in range(2):
            sock.recv(100, socket.MSG_PEEK)  # The body fills the sockets: its sender waits here.
            for piece in pieces:
                sock.sendall(piece)
            read_request(sock)
            sock.sendall(OK)

    with raw(continues) as (server, transport):
        answers = [Apart(lambda: transport.call(put())).result() for _ in range(2)]
    assert [(answer.status, answer.body) for answer in answers] == [(200, b"ok")] * 2
    assert server.connections == 1


@pytest.mark.parametrize("streams", [False, True])
def test_interim_answers_before_the_answer_are_read_over(streams: bool) -> None:
    with raw(answering(HINTS + CONTINUE + HINTS + OK, OK)) as (server, transport):
        answer = transport.call(get(streams=streams))
        assert answer.status == 200
        assert (answer.stream.read(5) if streams else answer.body) == b"ok"
        if streams:
            answer.stream.close()
        assert transport.call(get()).body == b"ok"
        assert server.connections == 1


def test_interim_answers_without_end_are_no_answer() -> None:
    with raw(answering(HINTS * 1000)) as (_, transport), pytest.raises(TransportError):
        Apart(lambda: transport.call(get())).result()


def test_a_connection_with_half_a_body_on_it_is_not_used_again(running: Service) -> None:
    refusal = faults.answer_early(faults.error("AccessDenied"), after_bytes=1000)
    running.fake.script("PutObject", refusal)
    assert running.driver._transport.call(put()).status == 403
    assert running.driver._transport.call(get()).status == 404
    assert running.server.connections == 2


@pytest.mark.parametrize("road", ROADS)
def test_a_reset_in_the_body_is_a_transport_error(road: str, running: Service) -> None:
    if road == "plain":
        make_plain(running.driver)
    running.fake.script("PutObject", faults.reset("body", after_bytes=1000))
    with pytest.raises(TransportError):
        running.driver._transport.call(put())
    assert running.keys == []


# -- packets of TLS --------------------------------------------------------------------------------


class Watched:
    """Stands for a channel's socket: notes what was handed over, and whether packets were held."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self.sent: list[tuple[int, int]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def send(self, data: Any) -> int:
        held = self._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_CORK)
        count: int = self._sock.send(data)
        self.sent.append((held, count))
        return count


@contextmanager
def watched_tls(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Service, list[Watched]]]:
    seen: list[Watched] = []

    class Noted(exchange.Exchange):
        __slots__ = ()

        def __init__(self, channel: Any, **more: Any) -> None:
            if not isinstance(channel.socket, Watched):
                channel.socket = Watched(channel.socket)
            seen.append(channel.socket)
            super().__init__(channel, **more)

    monkeypatch.setattr("libcloud_s3mpu.transfer.transport.Exchange", Noted)
    with service(tls=True, limits=FakeLimits()) as it:
        yield it, seen


@pytest.mark.skipif(not hasattr(socket, "TCP_CORK"), reason="this system cannot hold packets")
def test_packets_of_a_long_body_are_held_until_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    with watched_tls(monkeypatch) as (it, seen):
        assert it.driver._transport.call(put()).status == 200
        assert it.stored() == LARGE.buffers()[0]
        assert {held for held, _ in seen[0].sent} == {1}
        assert seen[0].getsockopt(socket.IPPROTO_TCP, socket.TCP_CORK) == 0


def test_a_short_body_goes_in_one_record_with_its_head(monkeypatch: pytest.MonkeyPatch) -> None:
    with watched_tls(monkeypatch) as (it, seen):
        assert it.driver._transport.call(put(Bytes(b"short"))).status == 200
        assert it.stored() == b"short"
        assert len(seen[0].sent) == 1


# -- kept-alive connections ------------------------------------------------------------------------


def test_one_connection_serves_many_requests(running: Service) -> None:
    for _ in range(10):
        running.driver._transport.call(get())
    assert running.server.connections == 1


@pytest.mark.parametrize("announced", [True, False])
def test_a_connection_that_the_service_closed_is_not_used_again(
    announced: bool, running: Service
) -> None:
    running.fake.script("GetObject", faults.hang_up(announced=announced))
    for _ in range(3):
        assert running.driver._transport.call(get()).status == 404
    assert running.server.connections == 2


def test_a_connection_that_was_announced_to_close_is_not_used_again_though_it_is_open() -> None:
    over = threading.Event()

    def closes(sock: socket.socket, number: int) -> None:
        read_request(sock)
        sock.sendall(OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        over.wait(PATIENCE_SECONDS)

    with raw(closes) as (server, transport):
        assert [transport.call(get()).body for _ in range(2)] == [b"ok"] * 2
        assert server.connections == 2
        over.set()


@pytest.mark.parametrize("end", ["close", "reset"])
def test_a_kept_alive_connection_that_turns_out_dead_is_no_attempt(end: str) -> None:
    def dies(sock: socket.socket, number: int) -> None:
        read_request(sock)
        sock.sendall(OK)
        if number > 1:
            read_request(sock)
            sock.sendall(OK)
            return
        read_request(sock)
        if end == "reset":
            reset(sock)

    with raw(dies) as (server, transport):
        assert [transport.call(get()).body for _ in range(3)] == [b"ok"] * 3
        assert server.connections == 2


def test_a_cut_reaches_the_connection_that_took_a_dead_ones_place() -> None:
    is_there, is_over = threading.Event(), threading.Event()

    def dies(sock: socket.socket, number: int) -> None:
        read_request(sock)
        if number == 1:
            sock.sendall(OK)
            read_request(sock)
            return
        is_there.set()
        is_over.wait(PATIENCE_SECONDS)

    with raw(dies) as (_, transport):
        transport.call(get())
        exchange = transport.begin(get())
        call = Apart(lambda: transport.resume(get(), exchange))
        assert is_there.wait(PATIENCE_SECONDS)
        exchange.cut()
        error = call.end(3.0)
        is_over.set()
    assert isinstance(error, TransportError)


def test_what_was_given_back_is_not_closed_by_its_last_user(running: Service) -> None:
    transport = running.driver._transport
    exchange = transport.begin(get())
    transport.resume(get(), exchange)
    exchange.close()
    transport.call(get())
    assert running.server.connections == 1


@pytest.mark.parametrize("kind", [type("SoftTimeLimit", (Exception,), {}), KeyboardInterrupt])
def test_an_interrupt_while_connecting_is_no_attempt(
    kind: Any, running: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[int] = []

    def connect(self: Any) -> None:
        tried.append(1)
        raise kind

    monkeypatch.setattr(HTTPConnection, "connect", connect)
    with pytest.raises(kind):
        running.upload(b"abc")
    assert tried == [1]


def test_a_fresh_connection_that_dies_is_an_attempt() -> None:
    with raw(lambda sock, number: bool(read_request(sock)) and None) as (server, transport):
        with pytest.raises(TransportError):
            transport.call(get())
        assert server.connections == 1


def test_a_connection_that_dies_within_its_answer_was_not_stale() -> None:
    def half(sock: socket.socket, number: int) -> None:
        read_request(sock)
        sock.sendall(OK)
        if number > 1:
            return
        read_request(sock)
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        has_begun.wait(PATIENCE_SECONDS)  # A reset may take unread bytes along.
        reset(sock)

    has_begun = threading.Event()
    with raw(half) as (server, transport):
        transport.call(get())
        exchange = transport.begin(get())
        call = Apart(lambda: transport.resume(get(), exchange))
        assert not call.wait(0.1)
        has_begun.set()
        assert isinstance(call.end(), TransportError)
        assert server.connections == 1


# -- hand-over and cut -----------------------------------------------------------------------------


def test_an_exchange_may_begin_in_one_thread_and_end_in_another() -> None:
    fake = FakeS3(buckets=("bucket",))
    with FakeServer(fake, receive_buffer_bytes=4096) as server:
        driver = make_driver(server)
        stalled = faults.stall("body", after_bytes=10)
        fake.script("PutObject", stalled)
        request = put()
        exchange = driver._transport.begin(request)
        assert exchange.advance(0.01) is None
        assert 0 < exchange.sent_bytes < LARGE.size
        assert exchange.waited >= 0.01
        rest = Apart(lambda: driver._transport.resume(request, exchange))
        assert stalled.wire is not None
        stalled.wire.release.set()
        assert rest.result().status == 200
        assert fake.objects["bucket"]["key"].body == b"".join(LARGE.buffers())
        close_driver(driver)


def test_an_exchange_may_be_handed_over_while_its_answer_is_awaited(running: Service) -> None:
    stalled = faults.stall("answer")
    running.fake.script("PutObject", stalled)
    request = put(Bytes(b"abc"))
    exchange = running.driver._transport.begin(request)
    assert exchange.advance(0.0) is None
    rest = Apart(lambda: running.driver._transport.resume(request, exchange))
    assert stalled.wire is not None
    stalled.wire.release.set()
    assert rest.result().status == 200
    assert len(running.fake.requests_of("PutObject")) == 1


@pytest.mark.parametrize("is_warm", [False, True])
@pytest.mark.parametrize("where", ["body", "answer"])
def test_a_cut_ends_an_exchange_at_once_from_any_thread(
    where: Any, is_warm: bool, running: Service
) -> None:
    transport = running.driver._transport
    if is_warm:
        transport.call(get())
    stalled = faults.stall(where, after_bytes=10 if where == "body" else 0)
    again = faults.stall("answer")
    running.fake.script("PutObject", stalled, again)
    request = put()
    exchange = transport.begin(request)
    call = Apart(lambda: transport.resume(request, exchange))
    assert stalled.wire is not None
    assert stalled.wire.reached.wait(30)
    exchange.cut()
    error = call.end(3.0)
    assert isinstance(error, TransportError)
    # A cut is the caller's will, not a dead connection: nothing is sent once more.
    assert again.wire is not None and not again.wire.reached.is_set()


def test_closing_an_exchange_drops_its_connection(running: Service) -> None:
    exchange = running.driver._transport.begin(get())
    exchange.close()
    exchange.cut()
    assert running.driver._transport.call(get()).status == 404
    assert running.server.connections == 2


def test_a_failure_says_why_and_becomes_the_error_that_apps_know() -> None:
    stale = ExchangeFailed("reset", is_stale=True)
    assert (str(stale), stale.is_stale, stale.is_timeout) == ("reset", True, False)
    error = transport_error(get(), ExchangeFailed("nothing for 60 s", is_timeout=True))
    assert "Timeout" in type(error).__name__
    assert "nothing for 60 s" in str(error)


# -- interrupts ------------------------------------------------------------------------------------


class Interrupted(BaseException):
    """Ctrl-C, or gevent's Timeout."""


class TimeLimit(Exception):
    """Celery's soft time limit: raised by a signal's handler, wherever the main thread is."""


@pytest.mark.parametrize("kind", [Interrupted, TimeLimit])
@pytest.mark.parametrize("at", [1, 2, 20, 200, 400])
@pytest.mark.parametrize("verb", ["InitiateMultipartUpload", "CompleteMultipartUpload"])
def test_an_interrupt_within_an_answer_that_takes_effect_once_loses_nothing_of_it(
    kind: type[BaseException],
    verb: str,
    at: int,
    running: Service,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real, calls = answer.AnswerSide.readinto, iter(range(1, 1000))

    def readinto(side: Any, buffer: Any) -> int:
        if running.operations()[-1:] == [verb] and next(calls) == at:
            raise kind
        return real(side, buffer[:1])

    monkeypatch.setattr(answer.AnswerSide, "readinto", readinto)
    with pytest.raises(kind) as caught:
        running.upload(chunks(4), concurrency=1)
    assert running.fake.uploads == {}
    assert not hasattr(caught.value, "__notes__")
    assert running.keys == (["key"] if verb == "CompleteMultipartUpload" else [])


def test_an_interrupt_says_what_may_be_left_where_the_answer_does_not_come(
    running: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    make_plain(running.driver)

    def interrupted(*args: Any, **kwargs: Any) -> Any:
        raise Interrupted

    monkeypatch.setattr(type(running.driver.connection), "unjudged", interrupted)
    with pytest.raises(Interrupted) as caught:
        running.upload(chunks(4), concurrency=1)
    said = "CreateMultipartUpload of bucket/key was interrupted: .*ex_cleanup_multipart_uploads"
    assert re.search(said, caplog.text)
    if sys.version_info >= (3, 11):
        assert any(re.search(said, note) for note in caught.value.__notes__)


# -- the side an answer is read from ---------------------------------------------------------------


@pytest.mark.parametrize(("tls", "until"), [(True, None), (True, 60.0), (False, None)])
def test_only_tls_without_a_time_of_its_own_is_read_past_the_clock(
    tls: bool, until: float | None
) -> None:
    near, far = socket.socketpair()
    with near, far:
        sock = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).wrap_socket(
            near, do_handshake_on_connect=False, server_hostname="localhost"
        ) if tls else near  # fmt: skip
        side = AnswerSide(sock, 5.0, None if until is None else time.monotonic() + until)
        side.hand_over()
        assert (side.readinto == sock.recv_into) is (tls and until is None)
        sock.close()


def test_a_plain_body_is_read_within_its_time_after_the_head() -> None:
    near, far = socket.socketpair()
    with near, far:
        far.sendall(b"body")
        side = AnswerSide(near, 0.05, None)
        side.hand_over()
        reader = side.makefile("rb")
        assert reader.read(4) == b"body"
        with pytest.raises(TimeoutError):
            reader.read(1)


# -- an interrupt in the middle of an answer -------------------------------------------------------

WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n<whole/>"
COMPLETE = S3Request(
    operation="CompleteMultipartUpload",
    method="POST",
    bucket="bucket",
    key="key",
    patience_seconds=PATIENCE_SECONDS,
    is_repeatable=False,
)


@contextmanager
def interrupted_answer(
    cut: int, *, is_sent_on: bool, monkeypatch: Any, lost: bool = False
) -> Iterator[Any]:
    """Give a transport whose answer comes in two pieces, with a Ctrl-C between them."""
    may_go_on, is_over = threading.Event(), threading.Event()

    def behaviour(sock: socket.socket, number: int) -> None:
        if read_request(sock):
            sock.sendall(WHOLE[:cut])
            (may_go_on if is_sent_on else is_over).wait(PATIENCE_SECONDS)
            sock.sendall(WHOLE[cut:])

    reads: list[int] = []

    def count(side: Any) -> None:
        reads.append(1)
        if len(reads) == (1 if lost else 2):
            may_go_on.set()
            raise KeyboardInterrupt

    if lost:  # The interrupt comes right behind a read: what that gave is handed to nobody.
        read = AnswerSide.readinto

        def lost_read(side: AnswerSide, buffer: Any) -> int:
            size = read(side, buffer)
            if not reads:
                count(side)
            return size

        monkeypatch.setattr(AnswerSide, "readinto", lost_read)
    else:
        set_time = AnswerSide._set_time
        monkeypatch.setattr(AnswerSide, "_set_time", lambda side: (count(side), set_time(side)))
    with raw(behaviour) as (_, transport):
        yield transport
        is_over.set()


@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.parametrize("cut", [3, 20, len(WHOLE) - 8, len(WHOLE) - 1])
def test_an_answer_that_a_ctrl_c_interrupts_is_read_on(
    cut: int, lost: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    settled: list[Any] = []
    with (
        interrupted_answer(cut, is_sent_on=True, monkeypatch=monkeypatch, lost=lost) as transport,
        pytest.raises(KeyboardInterrupt),
    ):
        call_settled(transport, COMPLETE, settled.append)
    assert [(answer.status, answer.body) for answer in settled] == [(200, b"<whole/>")]


def test_the_rest_of_an_interrupted_answer_is_awaited_for_a_moment_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("libcloud_s3mpu.transfer.attempt.SETTLE_SECONDS", 0.05)
    settled: list[Any] = []
    with interrupted_answer(30, is_sent_on=False, monkeypatch=monkeypatch) as transport:
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            call_settled(transport, COMPLETE, settled.append)
        assert time.monotonic() - began < PATIENCE_SECONDS / 2
    assert settled == []


class InterruptedSocket:
    """Sends, and is interrupted before it can say so; once."""

    def __init__(self, real: socket.socket) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def send(self, data: Any) -> int:
        sent = self._real.send(data)
        if b"?uploads" in bytes(data[:200]):
            raise Interrupted
        return sent


def test_an_initiate_that_may_have_been_sent_is_not_sent_again_by_an_interrupt(
    running: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = HTTPConnection.connect

    def connect(self: Any) -> None:
        real(self)
        self.sock = InterruptedSocket(self.sock)

    monkeypatch.setattr(HTTPConnection, "connect", connect)
    with pytest.raises(Interrupted):
        running.upload(chunks(4), concurrency=1)
    assert running.operations() == ["InitiateMultipartUpload", "AbortMultipartUpload"]
    assert running.fake.uploads == {}


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="needs signals to a thread")
@pytest.mark.parametrize("verb", ["InitiateMultipartUpload", "UploadPart", "PutObject"])
@pytest.mark.parametrize("concurrency", [1, 4])
def test_an_alarm_of_the_apps_own_is_not_taken_for_the_sockets_and_tried_again(
    verb: str, concurrency: int, running: Service
) -> None:
    mine = TimeoutError("mine")

    def ring(number: int, frame: Any) -> None:
        raise mine

    stalled = faults.stall("answer", applied=True)
    running.fake.script(verb, stalled)

    def when_it_hangs() -> None:
        assert stalled.wire is not None and stalled.wire.reached.wait(PATIENCE_SECONDS)
        signal.pthread_kill(main, signal.SIGUSR1)
        over.wait(PATIENCE_SECONDS if verb == "UploadPart" else 0.5)
        stalled.wire.release.set()

    main, over = threading.main_thread().ident or 0, threading.Event()
    before = signal.signal(signal.SIGUSR1, ring)
    other = Apart(when_it_hangs)
    try:
        with pytest.raises(TimeoutError) as caught:
            running.upload(chunks(4 if verb != "PutObject" else 1), concurrency=concurrency)
    finally:
        over.set()
        other.result()
        signal.signal(signal.SIGUSR1, before)
    assert caught.value is mine
    assert running.fake.uploads == {}
    assert len([o for o in running.operations() if o == verb]) == 1 or verb == "UploadPart"
