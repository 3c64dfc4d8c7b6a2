# SPDX-License-Identifier: Apache-2.0
"""Catalogue H, 75 to 79: hostile answers. Bounded memory, bounded time, a clear error."""

from __future__ import annotations

import gzip
import time
import socket
import tracemalloc
from typing import Any
from pathlib import Path
from contextlib import contextmanager
from collections.abc import Callable, Iterator

import pytest
from libcloud.storage.base import Container

from tests.fake_s3 import faults
from tests.unit.small import (
    RawServer,
    chunks,
    make_plain,
    make_driver,
    close_driver,
    read_request,
)
from tests.faults.outcomes import PART, PARTS, COMPLETE, INITIATE, Tried, MakeTried, forever
from libcloud_s3mpu.protocol import wire
from libcloud_s3mpu.protocol.retry import NO_RETRIES
from libcloud_s3mpu.protocol.errors import S3MultipartError, MalformedAnswerError
from libcloud_s3mpu.protocol.limits import S3_LIMITS
from libcloud_s3mpu.protocol.options import UploadOptions
from libcloud_s3mpu.protocol.session import UploadedPart
from libcloud_s3mpu.protocol.integrity import body_check

MIB = 1024 * 1024
GIB = 1024 * MIB


@contextmanager
def bounded(growth_bytes: int = 15 * MIB, seconds: float = 10.0) -> Iterator[None]:
    """Hold what is done inside to so much memory of Python's (server and all) and so much time.

    The figure is 16 MiB; what passes is at 9 at most, what fails above that at 16 and more.
    """
    tracemalloc.start(1)
    before = tracemalloc.get_traced_memory()[0]
    began = time.monotonic()
    try:
        yield
        assert time.monotonic() - began < seconds
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak - before < growth_bytes, f"{(peak - before) / MIB:.1f} MiB"


LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10 if n else "ha" * 100}">' for n in range(12))
BOMBS = {
    "billion laughs": f"<!DOCTYPE a [{LAUGHS}]><a><UploadId>&l11;</UploadId></a>",
    "quadratic blow-up": f'<!DOCTYPE a [<!ENTITY x "{"x" * 50_000}">]>'
    f"<a><UploadId>{'&x;' * 20_000}</UploadId></a>",
    "deep": "<a>" * 100_000 + "</a>" * 100_000,
    "many attributes": "<a " + " ".join(f"b{n}='1'" for n in range(100_000)) + "/>",
}


@pytest.mark.parametrize("where", ["200", "400", "complete"])
@pytest.mark.parametrize("bomb", BOMBS)
def test_f75_bombs_of_entities_and_depth_do_not_go_off(bomb: str, where: str, s3: Tried) -> None:
    body = BOMBS[bomb].encode()
    fault = faults.answer(400 if where == "400" else 200, body=body)
    forever(s3.fake, COMPLETE if where == "complete" else INITIATE, fault)
    with bounded():
        error = s3.fails(S3MultipartError, retry=NO_RETRIES)
    assert len(str(error)) < 4096
    assert s3.count(PART) == (PARTS if where == "complete" else 0)


@pytest.mark.parametrize("at", [INITIATE, COMPLETE])
def test_f76_nothing_outside_the_answer_is_read(at: str, s3: Tried, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("a-secret-of-this-machine")
    with RawServer(lambda sock, number: None) as stranger:
        outside = f"http://127.0.0.1:{stranger.port}/x"
        bodies = [
            f'<!DOCTYPE a SYSTEM "{outside}"><a/>',
            f'<!DOCTYPE a [<!ENTITY e SYSTEM "{outside}">]><a>&e;</a>',
            f'<!DOCTYPE a [<!ENTITY % e SYSTEM "{outside}"> %e;]><a/>',
            f'<!DOCTYPE Error [<!ENTITY e SYSTEM "file://{secret}">]>'
            "<Error><Code>&e;</Code></Error>",
            f'<!DOCTYPE InitiateMultipartUploadResult [<!ENTITY e SYSTEM "file://{secret}">]>'
            "<InitiateMultipartUploadResult><UploadId>&e;</UploadId>"
            "</InitiateMultipartUploadResult>",
        ]
        for number, body in enumerate(bodies):
            for status_code in (200, 400):
                s3.fake.clear_scripts()
                s3.fake.script(at, faults.answer(status_code, body=body.encode()))
                error = s3.fails(S3MultipartError, key=f"{number}", retry=NO_RETRIES)
                assert "a-secret-of" not in str(error)
        assert stranger.connections == 0


@pytest.mark.parametrize("code", [200, 404, 500])
@pytest.mark.parametrize("verb", [INITIATE, PART, COMPLETE])
def test_f77_an_answer_of_a_gib_is_not_read(verb: str, code: int, s3: Tried) -> None:
    forever(s3.fake, verb, faults.flood(GIB, status=code))
    if verb == PART and code == 200:
        forever(s3.fake, PART, faults.flood(GIB, status=503))
    with bounded():
        s3.fails(S3MultipartError, retry=NO_RETRIES)


def test_f77_of_the_answers_that_an_upload_needs_a_mib_is_read_at_most() -> None:
    target = wire.Target(bucket="b", key="k", headers={})
    check = body_check(UploadOptions(), S3_LIMITS, is_secure=False)
    part = UploadedPart(part_number=1, size=5, etag="e")
    for request in (
        wire.initiate_request(target, check),
        wire.complete_request(target, upload_id="u", parts=[part], check=check),
        wire.abort_request(target, upload_id="u"),
    ):
        # A tree of XML is thirty times its text.
        assert request.answer_limit <= MIB, request.operation


def test_f77_a_gib_in_gzip_is_not_unpacked(s3: Tried) -> None:
    packed = gzip.compress(b" " * (64 * MIB), 9)
    fault = faults.answer(200, headers={"Content-Encoding": "gzip"}, body=packed)
    forever(s3.fake, INITIATE, fault)
    with bounded():
        s3.fails(S3MultipartError, retry=NO_RETRIES)
    assert all(r.headers["accept-encoding"] == "identity" for r in s3.fake.requests)


ENDLESS: dict[str, Callable[[int], bytes]] = {
    "head of many lines": lambda n: b"HTTP/1.1 200 OK\r\n" if not n else b"X-%d: y\r\n" % n * 99,
    "head of one line": lambda n: b"HTTP/1.1 200 OK\r\nX: " if not n else b"y" * 65536,
    "status line": lambda n: b"HTTP/1.1 200 " if not n else b"y" * 65536,
    "body until the end": lambda n: b"HTTP/1.1 200 OK\r\n\r\n" if not n else b" " * 65536,
    "chunked body": lambda n: (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        if not n
        else b"10000\r\n" + b" " * 65536 + b"\r\n"
    ),
    "error": lambda n: b"HTTP/1.1 400 Bad\r\n\r\n" if not n else b"y" * 65536,
}


@pytest.mark.parametrize("what", ENDLESS)
def test_f77_an_endless_answer_is_cut(what: str, road: str) -> None:
    def pour(sock: socket.socket, number: int) -> None:
        read_request(sock)
        count = 0
        while True:  # Until the client has had enough.
            sock.sendall(ENDLESS[what](count))
            count += 1

    with RawServer(pour) as server:
        driver = make_driver(server, ex_options=UploadOptions(part_size_bytes=5, retry=NO_RETRIES))
        if road == "plain":
            make_plain(driver)
        container = Container("bucket", {}, driver)
        with bounded(), pytest.raises(S3MultipartError):
            driver.upload_object_via_stream(chunks(4), container, "key")
        close_driver(driver)


NONSENSE = {
    "not closed": b"<InitiateMultipartUploadResult><UploadId>u",
    "NUL": b"<InitiateMultipartUploadResult>\x00<UploadId>u</UploadId>",
    "HTML": b"<!DOCTYPE html><html><body>Welcome</body></html>",
    "JSON": b'{"UploadId": "u"}',
    "empty": b"",
    "binary": bytes(range(256)),
    "another root": b"<ListBucketResult><UploadId>u</UploadId></ListBucketResult>",
    "wrong encoding": b"<?xml version='1.0' encoding='UTF-16'?><a/>",
    "line breaks": b"<a>\n<b\n\r\nINFO forged\n></c>",
}


@pytest.mark.parametrize("what", NONSENSE)
def test_f78_an_answer_that_makes_no_sense_is_a_clean_error(what: str, s3: Tried) -> None:
    s3.fake.script(INITIATE, faults.answer(200, body=NONSENSE[what]))
    s3.succeeds()
    parts = s3.count(PART)
    forever(s3.fake, INITIATE, faults.answer(200, body=NONSENSE[what]))
    error = s3.fails(MalformedAnswerError, key="other")
    assert s3.count(PART) == parts and "\x00" not in str(error)
    assert "\n" not in str(error) and "\r" not in str(error)


@pytest.mark.parametrize("upload_id", ["", "a\r\nX-Evil: 1", "a\nb", "a\tb", "\x7f"])
def test_f79_an_upload_id_that_cannot_be_is_refused(upload_id: str, s3: Tried) -> None:
    text = upload_id.replace("\r", "&#13;").replace("\n", "&#10;")
    body = f"<InitiateMultipartUploadResult><UploadId>{text}</UploadId>"
    body += "</InitiateMultipartUploadResult>"
    forever(s3.fake, INITIATE, faults.answer(200, body=body.encode()))
    s3.fails(MalformedAnswerError)
    assert s3.count(PART) == 0
    s3.fake.clear_scripts()
    missing = b"<InitiateMultipartUploadResult></InitiateMultipartUploadResult>"
    forever(s3.fake, INITIATE, faults.answer(200, body=missing))
    s3.fails(MalformedAnswerError)


IDS: list[Any] = ["+/=&%", "a b", "%41%2F", "../x?y#z", "ü🦊", "'\"<>;:@!$()*,~"]


@pytest.mark.parametrize("upload_id", IDS)
def test_f79_any_other_upload_id_goes_back_exactly(
    upload_id: str, road: str, make_s3: MakeTried
) -> None:
    s3 = make_s3(road, name_upload=lambda number: f"{upload_id}{number}")
    s3.succeeds()
    assert {r.upload_id for r in s3.fake.requests_of(PART)} == {f"{upload_id}1"}
    s3.fake.script(PART, faults.error("AccessDenied"), part_number=2)
    s3.fails(S3MultipartError, key="other")
