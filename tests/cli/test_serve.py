# SPDX-License-Identifier: Apache-2.0
"""``s3mpu serve --tus``: an upload that is broken and resumed, and Ctrl-C."""

from __future__ import annotations

import signal
from urllib.parse import urlsplit

from tests.fake_s3 import FakeS3
from tests.web.doors import Sent, SocketDoor, head_of
from tests.cli.conftest import BUCKET, Cli, ended
from tests.web.test_tus_core import until

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


def test_serve_wants_a_protocol(cli: Cli) -> None:
    result = cli("serve", "s3://bucket")
    assert result.code == 2
    assert "--tus" in result.stderr
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
