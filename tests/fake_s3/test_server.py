# SPDX-License-Identifier: Apache-2.0
"""Laws of the loopback server: strict HTTP, faults at the socket, and nothing left at its end.

Raw sockets with time-outs are used, so that a broken law fails instead of hanging.
"""

from __future__ import annotations

import io
import ssl
import socket
import threading
from typing import Any
from contextlib import suppress
from urllib.request import urlopen
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.fake_s3 import (
    REGION,
    ACCESS_KEY,
    SECRET_KEY,
    Fault,
    FakeS3,
    FakeLimits,
    FakeServer,
    faults,
)

TIMEOUT_SECONDS = 5.0
MIB = 1024 * 1024


@pytest.fixture
def server() -> Iterator[FakeServer]:
    before = threading.active_count()
    with FakeServer(FakeS3(anonymous=True, buckets=("b",))) as running:
        yield running
    assert threading.active_count() == before


class Line:
    """One connection that writes what it is told and reads to the end of one answer."""

    def __init__(self, server: FakeServer) -> None:
        address = ("127.0.0.1", server.port)
        self.sock = socket.create_connection(address, timeout=TIMEOUT_SECONDS)

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *unused: object) -> None:
        self.sock.close()

    def send(self, method: str, target: str, body: bytes = b"", *headers: str) -> Line:
        lines = [f"{method} {target} HTTP/1.1", "Host: fake", f"Content-Length: {len(body)}"]
        head = "\r\n".join([*lines, *headers, "", ""]).encode("latin-1")
        self.sock.sendall(head + body)
        return self

    def rest(self) -> bytes:
        """Everything until the server ends the connection."""
        data = b""
        while piece := self.sock.recv(65536):
            data += piece
        return data

    def answer(self) -> bytes:
        data = b""
        while b"\r\n\r\n" not in data:
            piece = self.sock.recv(65536)
            if not piece:
                return data
            data += piece
        head, _, body = data.partition(b"\r\n\r\n")
        names = [line.partition(b":") for line in head.lower().split(b"\r\n")]
        length = next((int(value) for name, _, value in names if name == b"content-length"), 0)
        while len(body) < length:
            piece = self.sock.recv(65536)
            if not piece:
                break
            body += piece
        return head + b"\r\n\r\n" + body


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def test_one_connection_serves_many_requests(server: FakeServer) -> None:
    with Line(server) as line:
        assert status(line.send("PUT", "/b/k", b"abc").answer()) == 200
        assert line.send("GET", "/b/k").answer().endswith(b"\r\n\r\nabc")
        assert status(line.send("DELETE", "/b/k").answer()) == 204
        assert status(line.send("HEAD", "/b/k").answer()) == 404
        assert status(line.send("GET", "/b/k", b"", "Connection: close").answer()) == 404
        assert line.rest() == b""
    assert server.connections == 1


@pytest.mark.parametrize("target", ["/b//x", "/b/../c/x", "/b/./", "/b/%2e%2E", "/b/a%2Fb"])
def test_the_target_is_taken_as_it_is_on_the_wire(server: FakeServer, target: str) -> None:
    with Line(server) as line:
        line.send("PUT", target, b"x").answer()
    record = server.fake.requests[-1]
    assert (record.target, record.bucket) == (target, "b")
    assert list(server.fake.objects["b"]) == [record.key]


def test_virtual_hosts_name_the_bucket() -> None:
    fake = FakeS3(anonymous=True, buckets=("b",), vhost_domain="s3.localhost")
    with FakeServer(fake) as server, Line(server) as line:
        head = (
            f"PUT //k HTTP/1.1\r\nHost: b.s3.localhost:{server.port}\r\nContent-Length: 1\r\n\r\nx"
        )
        line.sock.sendall(head.encode())
        assert status(line.answer()) == 200
    assert list(fake.objects["b"]) == ["/k"]


def test_continue_is_sent_when_it_is_expected(server: FakeServer) -> None:
    with Line(server) as line:
        head = b"PUT /b/k HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"
        line.sock.sendall(head)
        assert status(line.answer()) == 100
        line.sock.sendall(b"abc")
        assert status(line.answer()) == 200
        server.fake.script("PutObject", faults.no_continue())
        line.sock.sendall(head + b"abc")
        assert status(line.answer()) == 200


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"PUT /b/k HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n", 501),
        (b"PUT /b/k HTTP/1.1\r\nHost: x\r\n\r\n", 411),
        (b"PUT /b/k HTTP/1.1\r\nContent-Length: 0\r\n\r\n", 400),
        (b"PUT /b/k k HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 400),
        (b"PUT /b/\xff HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 400),
        (b"PUT /b/%ff HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 400),
        (b"PUT /b/k HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400),
        (b"PUT /b/k HTTP/1.1\r\nHost: x\r\nBad Name : 1\r\nContent-Length: 0\r\n\r\n", 400),
    ],
)
def test_bad_heads_are_refused(server: FakeServer, head: bytes, expected: int) -> None:
    with Line(server) as line:
        line.sock.sendall(head)
        assert status(line.answer()) == expected
    assert server.fake.objects["b"] == {}


@pytest.mark.parametrize("at", ["head", "body", "answer"])
@pytest.mark.parametrize("make", [faults.reset, faults.close])
def test_a_connection_breaks_before_the_answer(server: FakeServer, make: Any, at: Any) -> None:
    server.fake.script("PutObject", make(at, after_bytes=2 if at == "body" else 0))
    with Line(server) as line:
        line.send("PUT", "/b/k", b"abc")
        if make is faults.reset:
            with pytest.raises(ConnectionResetError):
                line.answer()
        else:
            line.sock.shutdown(socket.SHUT_WR)
            assert line.answer() == b""
    assert server.fake.objects["b"] == {}
    assert server.fake.requests[-1].status == 0


@pytest.mark.parametrize("cut", [5, 60, -1])
def test_an_answer_is_cut_although_the_request_was_applied(server: FakeServer, cut: int) -> None:
    server.fake.script("ListBuckets", faults.close("answer", after_bytes=cut, applied=True))
    with Line(server) as line:
        line.send("GET", "/").sock.shutdown(socket.SHUT_WR)
        got = line.rest()
    assert len(got) == cut if cut > 0 else got.endswith(b"</ListAllMyBucketsResult")


@pytest.mark.parametrize("at", ["head", "body", "answer"])
def test_a_stall_lasts_until_it_is_released(server: FakeServer, at: Any) -> None:
    stall = faults.stall(at)
    assert stall.wire is not None
    server.fake.script("PutObject", stall)
    with Line(server) as line:
        line.send("PUT", "/b/k", b"abc")
        assert stall.wire.reached.wait(TIMEOUT_SECONDS)
        assert len(server.fake.objects["b"]) == (1 if at == "answer" else 0)
        stall.wire.release.set()
        assert status(line.answer()) == 200


def test_a_stall_ends_with_the_server_and_is_not_applied_then() -> None:
    fake = FakeS3(anonymous=True, buckets=("b",))
    stall = faults.stall("body", after_bytes=3)
    fake.script("PutObject", stall)
    with FakeServer(fake) as server:
        line = Line(server).send("PUT", "/b/k", b"abc")
        assert stall.wire is not None
        assert stall.wire.reached.wait(TIMEOUT_SECONDS)
    with line, suppress(ConnectionResetError):
        assert line.rest() == b""
    assert fake.objects["b"] == {}
    assert not [thread for thread in threading.enumerate() if "fake-s3" in thread.name]


@pytest.mark.parametrize("resets", [False, True])
def test_an_early_answer_ends_the_connection(server: FakeServer, resets: bool) -> None:
    refusal = faults.answer_early(faults.error("AccessDenied"), after_bytes=1, resets=resets)
    server.fake.script("PutObject", refusal)
    with Line(server) as line:
        line.sock.sendall(b"PUT /b/k HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc")
        if resets:
            with pytest.raises(ConnectionResetError):
                line.rest()
        else:
            assert status(line.answer()) == 403
            line.sock.sendall(b"defghi")
            assert line.rest() == b""
    assert server.fake.requests[-1].code == "AccessDenied"


@pytest.mark.parametrize(
    "fault",
    [
        faults.drip("answer", step_bytes=7, pause_seconds=0),
        faults.drip("body", step_bytes=2, pause_seconds=0),
        faults.white_space(20).plus(faults.drip(pause_seconds=0)),
    ],
)
def test_a_drip_arrives_whole(server: FakeServer, fault: Fault) -> None:
    server.fake.script("PutObject", fault)
    with Line(server) as line:
        assert status(line.send("PUT", "/b/k", b"abcde").answer()) == 200
    assert server.fake.objects["b"]["k"].body == b"abcde"


def test_a_connection_may_be_closed_behind_an_answer(server: FakeServer) -> None:
    hang_ups = (faults.hang_up(), faults.hang_up(announced=True), faults.hang_up(resets=True))
    server.fake.script("PutObject", *hang_ups)
    for fault in hang_ups:
        with Line(server) as line:
            assert fault.wire is not None
            answer = line.send("PUT", "/b/k", b"x").answer()
            assert (b"connection: close" in answer) is (fault.wire.data == b"close")
            with suppress(ConnectionResetError):
                assert line.rest() == b""


def test_floods_and_raw_bytes(server: FakeServer) -> None:
    server.fake.script("ListBuckets", faults.flood(300_000), faults.raw(b"HTTP/1.1 2"))
    with Line(server) as line:
        assert line.send("GET", "/").answer().endswith(b"\r\n\r\n" + b" " * 300_000)
        line.send("GET", "/").sock.shutdown(socket.SHUT_WR)
        assert line.rest() == b"HTTP/1.1 2"


def _send_parts(server: FakeServer, count: int, pool: ThreadPoolExecutor) -> list[Future[int]]:
    with Line(server) as line:
        line.send("POST", "/b/k?uploads").answer()

    def send(number: int) -> int:
        with Line(server) as line:
            target = f"/b/k?partNumber={number}&uploadId=up000001%2B%2F%3D%26%25~"
            return status(line.send("PUT", target, b"x" * 100_000).answer())

    return [pool.submit(send, number) for number in range(1, count + 1)]


def test_a_gate_opens_when_enough_parts_are_in_flight(server: FakeServer) -> None:
    gate = server.hold_parts(until=4)
    with ThreadPoolExecutor(6) as pool:
        sent = _send_parts(server, 6, pool)
        assert [future.result(TIMEOUT_SECONDS) for future in sent] == [200] * 6
    assert not gate.timed_out
    assert 4 <= server.max_parts_in_flight <= 6
    assert server.parts_in_flight == 0


def test_a_gate_holds_until_it_is_released(server: FakeServer) -> None:
    with ThreadPoolExecutor(3) as pool, server.hold_parts() as gate:
        sent = _send_parts(server, 3, pool)
        assert gate.wait_held(3)
        assert not any(future.done() for future in sent)
        assert server.fake.requests_of("UploadPart") == []
        gate.release()
        assert [future.result(TIMEOUT_SECONDS) for future in sent] == [200] * 3


def test_a_gate_that_waits_in_vain_says_so(server: FakeServer) -> None:
    gate = server.hold_parts(until=2, timeout_seconds=0.01)
    with ThreadPoolExecutor(1) as pool:
        assert _send_parts(server, 1, pool)[0].result(TIMEOUT_SECONDS) == 200
    assert gate.timed_out


def test_a_mistake_of_the_fake_is_not_swallowed() -> None:
    def mistake() -> Any:
        raise ZeroDivisionError

    fake = FakeS3(anonymous=True)
    with (
        pytest.raises(RuntimeError, match="fake itself"),
        FakeServer(fake) as server,
        Line(server) as line,
    ):
        fake.clock = mistake
        assert line.send("GET", "/").rest() == b""


def test_tls_speaks_to_who_trusts_it_and_names_its_failures() -> None:
    fake = FakeS3(anonymous=True, buckets=("b",))
    with FakeServer(fake, tls=True) as server:
        trusting = ssl.create_default_context(cafile=str(server.ca_file))
        with urlopen(f"{server.endpoint}/", context=trusting, timeout=TIMEOUT_SECONDS) as answer:
            assert b"<Name>b</Name>" in answer.read()
        with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
            urlopen(f"{server.endpoint}/", timeout=TIMEOUT_SECONDS)
        other = server.endpoint.replace("127.0.0.1", "127.0.0.2")
        with pytest.raises(OSError):
            urlopen(f"{other}/", context=trusting, timeout=TIMEOUT_SECONDS)
        silent = Line(server)
    silent.sock.close()
    assert server.failed_handshakes >= 1


@pytest.mark.parametrize("tls", [False, True])
def test_boto3_takes_the_fake_for_s3(tls: bool) -> None:
    boto3 = pytest.importorskip("boto3")
    transfer = pytest.importorskip("boto3.s3.transfer")
    config = pytest.importorskip("botocore.config")
    fake = FakeS3(FakeLimits(min_part_size=5 * MIB))
    data = bytes(range(256)) * (6 * MIB // 256)
    with FakeServer(fake, tls=tls) as server:
        client = boto3.client(
            "s3",
            endpoint_url=server.endpoint,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            region_name=REGION,
            verify=str(server.ca_file) if tls else None,
            # Over TLS boto3 would send aws-chunked trailers, which the fake does not read.
            config=config.Config(
                signature_version="s3v4",
                request_checksum_calculation="when_required" if tls else "when_supported",
                retries={"max_attempts": 0},
            ),
        )
        try:
            client.create_bucket(Bucket="bkt")
            client.put_object(Bucket="bkt", Key="a//b/../ü +%&?", Body=b"x", Metadata={"m": "1  2"})
            parts = transfer.TransferConfig(
                multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB
            )
            client.upload_fileobj(io.BytesIO(data), "bkt", "big", Config=parts)
            client.copy({"Bucket": "bkt", "Key": "big"}, "bkt", "copy", Config=parts)
            assert fake.objects["bkt"]["copy"].body == data
            got = client.get_object(Bucket="bkt", Key="big", Range="bytes=255-257")["Body"].read()
            assert got == b"\xff\x00\x01"
            listed = client.list_objects_v2(Bucket="bkt")["Contents"]
            assert [item["Key"] for item in listed] == ["a//b/../ü +%&?", "big", "copy"]
            query = {"Bucket": "bkt", "Key": "a//b/../ü +%&?"}
            url = client.generate_presigned_url("get_object", Params=query)
        finally:
            client.close()
        trusting = ssl.create_default_context(cafile=str(server.ca_file)) if tls else None
        with urlopen(url, context=trusting, timeout=TIMEOUT_SECONDS) as answer:
            assert answer.read() == b"x"
    assert fake.uploads == {}
    assert {record.status for record in fake.requests} <= {200, 206}
