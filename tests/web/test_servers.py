# SPDX-License-Identifier: Apache-2.0
"""Real WSGI and ASGI servers, bare and with the examples' frameworks: break, resume, join, sign.

What a server prevents is asserted as it is, so that ``docs/tus.md`` stays true.
"""

from __future__ import annotations

import json
import time
from typing import Any
from urllib.parse import quote, urlsplit, urlencode
from collections.abc import Iterator

import pytest

from tests.web.real import GATHERS, SERVERS, NO_CHUNKS, LOSES_A_PIECE, need, real_server
from tests.web.doors import Sent, SocketDoor, head_of
from tests.unit.small import Service, service
from tests.web.conftest import TYPE, VERSION, FAKE_LIMITS, Tus, checksum, make_uploads
from tests.web.test_tus_core import DATA, until
from tests.web.test_direct_web import s3

pytestmark = pytest.mark.timeout(90)


def client(made: Service, url: str, name: str, base: str = "/files") -> Tus:
    door = SocketDoor(name, urlsplit(url).port or 0, gives_trailers=False)
    return Tus(door, made, make_uploads(made), base)


@pytest.fixture(scope="module", params=SERVERS)
def running(request: pytest.FixtureRequest) -> Iterator[tuple[Tus, str]]:
    with (
        service(limits=FAKE_LIMITS) as made,
        real_server(request.param, made.server.endpoint) as url,
    ):
        yield client(made, url, request.param), request.param


def test_an_upload_that_is_broken_and_resumed(running: tuple[Tus, str]) -> None:
    tus, name = running
    url = tus.create(len(DATA))
    with tus.door.connect() as broken:
        sent = Sent(DATA[:12], length=len(DATA))
        headers = {**VERSION, "Content-Type": TYPE, "Upload-Offset": "0"}
        broken.socket.sendall(head_of("PATCH", url, headers, sent) + sent.data)
    if name in GATHERS:
        time.sleep(0.2)
        assert tus.offset(url) == 0
    else:
        until(lambda: tus.offset(url) == (10 if name in LOSES_A_PIECE else 12))
    offset = tus.offset(url)
    until(lambda: tus.patch(url, offset, DATA[offset:]).status == 204)
    assert tus.stored(url) == DATA
    assert tus.send("GET", url).body == DATA


def test_a_chunked_body(running: tuple[Tus, str]) -> None:
    tus, name = running
    url = tus.create()
    if name in NO_CHUNKS:
        assert tus.patch(url, 0, Sent(DATA[:12], chunks=(5,))).status == 411
        assert tus.offset(url) == 0
        return
    assert tus.patch(url, 0, Sent(DATA[:12], chunks=(5,))).status == 204
    assert tus.patch(url, 12, Sent(DATA[12:], chunks=(2,)), Upload_Length=23).status == 204
    assert tus.stored(url) == DATA


def test_what_is_refused_leaves_the_connection_usable(running: tuple[Tus, str]) -> None:
    tus, _ = running
    url = tus.create(200)
    headers = {**VERSION, "Content-Type": TYPE, "Upload-Offset": "7"}
    with tus.door.connect() as connection:
        answer = connection.send("PATCH", url, headers, Sent(b"x" * 150))
        assert answer.status == 409
    assert tus.offset(url) == 0
    assert tus.patch(url, 0, b"abc", Upload_Checksum=checksum(b"abd")).status == 460
    assert tus.send("OPTIONS", "/files")["Tus-Version"] == "1.0.0"
    assert "checksum-trailer" not in tus.send("OPTIONS", "/files")["Tus-Extension"]


def test_parts_are_joined_and_removed(running: tuple[Tus, str]) -> None:
    tus, _ = running
    url = tus.final(tus.partial(b"one"), tus.partial(b"two-and-more"))["Location"]
    assert tus.stored(url) == b"onetwo-and-more"
    assert tus.send("DELETE", url).status == 204
    assert tus.head(url).status in (404, 410)


def test_a_stalled_writer_is_taken_over(running: tuple[Tus, str]) -> None:
    tus, name = running
    if name in GATHERS:
        pytest.skip(f"{name} calls the app when the whole body is there: nothing can stall in it")
    url = tus.create(len(DATA))
    before = len(tus.made.fake.requests_of("UploadPart"))
    headers = {**VERSION, "Content-Type": TYPE, "Upload-Offset": "0"}
    with tus.door.connect() as stalled:
        sent = Sent(b"x" * 12, length=len(DATA))
        stalled.socket.sendall(head_of("PATCH", url, headers, sent) + sent.data)
        if not name.startswith("gunicorn"):  # Its reader gives 64 KiB or the end of the body.
            until(lambda: len(tus.made.fake.requests_of("UploadPart")) > before)
        until(lambda: tus.patch(url, tus.offset(url)).status == 204, 20.0)
        offset = tus.offset(url)
        assert tus.patch(url, offset, DATA[offset:]).status == 204
    assert tus.stored(url) == b"x" * offset + DATA[offset:]


# -- the examples ------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["flask", "django", "fastapi", "starlette"])
def mounted(request: pytest.FixtureRequest) -> Iterator[Tus]:
    need(request.param)
    server = "gunicorn" if request.param in ("flask", "django") else "uvicorn"
    with service(limits=FAKE_LIMITS) as made:
        made.driver.ex_limits = FAKE_LIMITS  # type: ignore[misc, assignment]
        with real_server(server, made.server.endpoint, app=request.param) as url:
            yield client(made, url, request.param)


def test_an_example_serves_tus(mounted: Tus) -> None:
    url = mounted.create(len(DATA), Origin="https://app.example")
    assert url.startswith("/files/")
    with mounted.door.connect() as broken:
        sent = Sent(DATA[:12], length=len(DATA))
        headers = {**VERSION, "Content-Type": TYPE, "Upload-Offset": "0"}
        broken.socket.sendall(head_of("PATCH", url, headers, sent) + sent.data)
    until(lambda: mounted.offset(url) == 12)
    until(lambda: mounted.patch(url, 12, DATA[12:]).status == 204)
    assert mounted.stored(url) == DATA
    assert mounted.send("GET", url).body == DATA
    assert mounted.final(mounted.partial(b"abc"))["Location"].startswith("/files/")
    answer = mounted.send("OPTIONS", "/files", Origin="https://app.example")
    assert answer["Access-Control-Allow-Origin"] == "*"


def test_an_example_signs_for_browsers(mounted: Tus) -> None:
    def ask(method: str, target: str, value: Any = None) -> Any:
        sent = Sent(json.dumps(value).encode()) if value is not None else None
        answer = mounted.door.send(method, target, {"Content-Type": "application/json"}, sent)
        assert answer.status == 200, answer
        return json.loads(answer.body)

    made = ask("POST", "/direct/s3/multipart", {"filename": "a.txt", "type": "text/plain"})
    base = f"/direct/s3/multipart/{quote(made['uploadId'], safe='')}"
    query = urlencode({"key": made["key"]})
    url = ask("GET", f"{base}/1?{query}")["url"]
    status, etag, _ = s3(url, b"abcde")
    assert status == 200
    ask("POST", f"{base}/complete?{query}", {"parts": [{"PartNumber": 1, "ETag": etag}]})
    assert mounted.made.stored(made["key"]) == b"abcde"


def test_the_rest_of_the_app_is_still_there(mounted: Tus) -> None:
    with mounted.door.connect() as connection:
        assert connection.send("GET", "/", {}).status == 200
