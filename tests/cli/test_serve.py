# SPDX-License-Identifier: Apache-2.0
"""``s3mpu serve``: the page's server, an upload by tus that is broken and resumed, and Ctrl-C."""

from __future__ import annotations

import signal
import socket
import http.client
from base64 import b64encode
from contextlib import closing
from urllib.parse import urlsplit

import pytest

from tests.fake_s3 import FakeS3
from tests.web.real import free_port
from tests.web.doors import Sent, SocketDoor, head_of
from tests.cli.conftest import BUCKET, Cli, ended
from tests.unit.test_cors import Bucket
from tests.fake_s3.messages import Response
from tests.web.test_tus_core import until


@pytest.fixture
def fake() -> FakeS3:
    return Bucket(buckets=(BUCKET,))


TUS = {"Tus-Resumable": "1.0.0"}
TYPE = {**TUS, "Content-Type": "application/offset+octet-stream"}


def test_serve_takes_an_upload_that_breaks(cli: Cli, fake: FakeS3) -> None:
    child = cli.start("serve", "s3://bucket/in", "--tus", "--port", "0", "--max-size", "1KiB")
    assert child.stdout is not None
    line = child.stdout.readline().decode()
    assert line.startswith("tus 1.0.0 at http://127.0.0.1:"), line
    door = SocketDoor("serve", urlsplit(line.split()[-1]).port or 0, gives_trailers=False)
    assert door.send("POST", "/files", {**TUS, "Upload-Length": "1025"}).status == 413
    url = door.send("POST", "/files", {**TUS, "Upload-Length": "10"})["Location"]
    with door.connect() as broken:
        sent = Sent(b"abc", length=10)
        broken.socket.sendall(head_of("PATCH", url, {**TYPE, "Upload-Offset": "0"}, sent) + b"abc")
    until(lambda: door.send("HEAD", url, TUS)["Upload-Offset"] == "3")
    until(
        lambda: (
            door.send("PATCH", url, {**TYPE, "Upload-Offset": "3"}, Sent(b"defghij")).status == 204
        )
    )
    child.send_signal(signal.SIGINT)
    assert ended(child).code == 130
    bodies = [o.body for k, o in fake.objects[BUCKET].items() if "." not in k]
    assert bodies == [b"abcdefghij"]
    assert all(key.startswith("in/") for key in fake.objects[BUCKET])


def test_serve_shows_a_page_to_this_machine_alone(cli: Cli, fake: FakeS3) -> None:
    child = cli.start("serve", "s3://bucket/in", "--port", "0", "--set-cors")
    assert child.stdout is not None
    line = child.stdout.readline().decode()
    assert line.startswith("a page to drop files on at http://127.0.0.1:"), line
    port = urlsplit(line.split()[-1]).port or 0
    door = SocketDoor("serve", port, gives_trailers=False)
    page = door.send("GET", "/", {"Host": f"localhost:{port}"})
    assert page.status == 200
    assert "sha256-" in page["Content-Security-Policy"]
    assert door.send("GET", "/", {"Host": f"evil.example:{port}"}).status == 421
    assert door.send("POST", "/direct/s3/multipart", {"Host": f"localhost:{port}"}).status == 403
    assert isinstance(fake, Bucket)
    for name in ("127.0.0.1", "localhost"):
        assert f"<AllowedOrigin>http://{name}:{port}<".encode() in (fake.cors or b"")
    child.send_signal(signal.SIGINT)
    found = ended(child)
    assert found.code == 130
    assert "warning" not in found.stderr


def basic(password: str) -> dict[str, str]:
    return {"Authorization": f"Basic {b64encode(f's3mpu:{password}'.encode()).decode()}"}


@pytest.mark.parametrize("is_made_up", [True, False])
def test_serve_asks_for_a_password_where_others_reach_it(cli: Cli, is_made_up: bool) -> None:
    if not is_made_up:
        cli.environ["S3MPU_SERVE_PASSWORD"] = "a pass"
    child = cli.start("serve", "s3://bucket/in", "--tus", "--port", "0", "--host", "0.0.0.0")
    assert child.stdout is not None and child.stderr is not None
    line = child.stdout.readline().decode()
    password = child.stderr.readline().decode().split()[7] if is_made_up else "a pass"
    door = SocketDoor("serve", urlsplit(line.split()[-1]).port or 0, gives_trailers=False)
    given = {**TUS, "Upload-Length": "5"}
    assert door.send("POST", "/files", given).status == 401
    assert door.send("POST", "/files", {**given, **basic("wrong")}).status == 401
    assert door.send("POST", "/files", {**given, **basic(password)}).status == 201
    child.send_signal(signal.SIGINT)
    assert "a pass" not in ended(child).stderr


def test_serve_asks_for_a_password_or_not_as_it_is_told(cli: Cli) -> None:
    for arguments, status in (
        (("--login",), 401),
        (("--public-url", "https://files.example.org"), 401),
        (("--public-url", "https://files.example.org", "--no-login"), 200),
        (("--host", "0.0.0.0", "--no-login"), 200),
    ):
        port = free_port()
        child = cli.start("serve", "s3://bucket/in", "--port", str(port), *arguments)
        assert child.stdout is not None
        line = child.stdout.readline().decode()
        is_public = "--public-url" in arguments
        assert ("at https://files.example.org/" in line) == is_public, line
        host = "files.example.org" if is_public else f"localhost:{port}"
        door = SocketDoor("serve", port, gives_trailers=False)
        assert door.send("GET", "/", {"Host": host}).status == status, arguments
        child.send_signal(signal.SIGINT)
        ended(child)


def test_serve_by_ipv6(cli: Cli) -> None:
    child = cli.start("serve", "s3://bucket/in", "--tus", "--port", "0", "--host", "::1")
    assert child.stdout is not None and child.stderr is not None
    line = child.stdout.readline().decode()
    if not line and b"cannot listen" in child.stderr.read():
        pytest.skip("this machine has no IPv6")
    where = urlsplit(line.split()[-1])
    assert where.hostname == "::1"
    with socket.create_connection(("::1", where.port or 0), 10) as client:
        client.sendall(b"OPTIONS /files HTTP/1.0\r\nHost: [::1]\r\n\r\n")
        assert b" 204 " in client.recv(4096)
    child.send_signal(signal.SIGINT)
    assert ended(child).code == 130


def test_serve_says_what_keeps_pages_from_uploading(cli: Cli) -> None:
    child = cli.start("serve", "s3://bucket/in", "--port", "0")
    assert child.stdout is not None
    child.stdout.readline()
    child.send_signal(signal.SIGINT)
    assert "no CORS rule allows the origin http://127.0.0.1:" in ended(child).stderr


def test_serve_with_options_of_the_other_kind(cli: Cli) -> None:
    assert cli("serve", "s3://bucket", "--expires", "5").code == 2
    assert cli("serve", "s3://bucket", "--base-path", "/x").code == 2
    assert cli("serve", "s3://bucket", "--tus", "--set-cors").code == 2
    assert cli("serve", "s3://bucket", "--public-url", "files.example.org").code == 2
    assert cli("serve", "s3://bucket", "--tus", "--public-url", "https://h").code == 2
    assert cli("serve", "s3://bucket", "--tus", "--base-path", "files").code == 2


def test_serve_says_at_once_what_cannot_work(cli: Cli) -> None:
    for arguments, said in (
        (("s3://nowhere", "--tus", "--port", "0"), "NoSuchBucket"),
        (("s3://bucket", "--tus", "--port", "0", "--part-size", "1KiB"), "min_part_size"),
        (("s3://bucket", "--tus", "--host", "203.0.113.7"), "cannot listen on 203.0.113.7:1080"),
    ):
        result = cli("serve", *arguments)
        assert result.code not in (0, None), arguments
        assert said in result.stderr, result.stderr
        assert "Traceback" not in result.stderr


def test_serve_listens_on_an_address_of_ip_6(cli: Cli) -> None:
    if not socket.has_ipv6:
        pytest.skip("there is no IPv6 here")
    child = cli.start("serve", "s3://bucket/in", "--tus", "--port", "0", "--host", "::1")
    assert child.stdout is not None
    line = child.stdout.readline().decode()
    if not line and "Cannot assign" in (said := ended(child).stderr):
        pytest.skip(said)
    assert line.startswith("tus 1.0.0 at http://[::1]:"), line
    port = urlsplit(line.split()[-1]).port or 0
    with closing(http.client.HTTPConnection("::1", port, timeout=10)) as connection:
        connection.request("OPTIONS", "/files")
        assert connection.getresponse().status == 204
    child.send_signal(signal.SIGINT)
    assert ended(child).code == 130


@pytest.mark.parametrize("more", [(), ("--tus",)])
def test_serve_with_keys_that_are_none_says_so_before_it_listens(
    cli: Cli, more: tuple[str, ...]
) -> None:
    body = b"<Error><Code>SignatureDoesNotMatch</Code></Error>"
    refused = Response(status=403, headers=(("content-length", str(len(body))),), body=body)
    cli.monkeypatch.setattr(Bucket, "handle", lambda *_, **also: refused)
    result = ended(cli.start("serve", "s3://bucket/in", "--port", "0", *more))
    assert (result.code, result.stdout, result.stderr.count("\n")) == (1, b"", 1)
    assert "SignatureDoesNotMatch" in result.stderr


def test_serve_of_a_service_without_cors(cli: Cli) -> None:
    child = cli.start("serve", "s3://other/in", "--port", "0")
    assert child.stdout is not None
    assert child.stdout.readline().startswith(b"a page")
    child.send_signal(signal.SIGINT)
    assert "cannot see whether the bucket lets pages upload" in ended(child).stderr
