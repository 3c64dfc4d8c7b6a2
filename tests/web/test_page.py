# SPDX-License-Identifier: Apache-2.0
"""The upload page as an HTTP client sees it; what it does in a browser is in tests/browser."""

from __future__ import annotations

import re
import html
import json
from base64 import b64encode
from typing import Any
from hashlib import sha256
from collections.abc import Iterator

import pytest

from tests.web.doors import Sent, Answer, ValueDoor
from tests.unit.small import Service, service
from libcloud_s3mpu.web.page import UploadPage

HOST = "localhost:1080"


@pytest.fixture(scope="module")
def made() -> Iterator[Service]:
    with service() as found:
        yield found


def door(made: Service, **options: Any) -> ValueDoor:
    options = {"prefix": "in/", "part_size_bytes": 5, "hosts": [HOST], **options}
    return ValueDoor(UploadPage(made.driver, made.container, **options))


def send(page: ValueDoor, method: str, path: str, body: Any = None, **headers: str) -> Answer:
    given = {"Host": HOST, **{name.replace("_", "-"): value for name, value in headers.items()}}
    sent = None if body is None else Sent(json.dumps(body).encode())
    answer = page.send(method, path, given, sent)
    assert answer is not None
    return answer


def setup_of(answer: Answer) -> dict[str, Any]:
    found = re.search(r'data-setup="([^"]*)"', answer.body.decode())
    assert found is not None
    value: dict[str, Any] = json.loads(html.unescape(found.group(1)))
    return value


def test_the_page_may_run_its_own_script_and_nothing_else(made: Service) -> None:
    answer = send(door(made), "GET", "/")
    assert answer.status == 200
    policy = answer["Content-Security-Policy"]
    text = answer.body.decode()
    for tag in ("script", "style"):
        [inner] = re.findall(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        wanted = b64encode(sha256(inner.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{wanted}'" in policy
    assert "default-src 'none'" in policy
    assert f"connect-src 'self' {made.server.endpoint};" in policy
    assert "unsafe" not in policy
    assert answer["X-Content-Type-Options"] == "nosniff"
    for risky in ("innerHTML", "insertAdjacentHTML", "document.write", "eval(", "https://"):
        assert risky not in text


def test_only_the_page_itself_may_ask(made: Service) -> None:
    page = door(made)
    token = setup_of(send(page, "GET", "/"))["token"]
    body = {"filename": "a.txt"}
    for wrong in ({}, {"X_CSRF_Token": "x"}, {"X_CSRF_Token": "ä"}):
        assert send(page, "POST", "/direct/s3/multipart", body, **wrong).status == 403
    assert made.fake.uploads == {}
    answer = send(page, "POST", "/direct/s3/multipart", body, X_CSRF_Token=token)
    assert answer.status == 200
    assert json.loads(answer.body)["key"].startswith("in/")
    other = setup_of(send(door(made), "GET", "/"))["token"]
    assert send(page, "POST", "/direct/s3/multipart", body, X_CSRF_Token=other).status == 403


def test_another_name_of_this_address_is_refused(made: Service) -> None:
    page = door(made)
    assert send(page, "GET", "/", Host="evil.example:1080").status == 421
    assert send(page, "GET", "/", Host="").status == 421
    assert send(page, "GET", "/", Host=HOST.upper()).status == 200
    assert send(door(made, hosts=None), "GET", "/", Host="any.example").status == 200


def test_other_paths_and_methods(made: Service) -> None:
    page = door(made)
    assert send(page, "GET", "/other").status == 404
    assert send(page, "GET", "/directory").status == 404
    assert send(page, "POST", "/").status == 405
    head = send(page, "HEAD", "/")
    assert (head.status, head.body) == (200, b"")


def test_a_prefix_cannot_leave_its_attribute(made: Service) -> None:
    prefix = """a"><script>x</script>&'/"""
    answer = send(door(made, prefix=prefix), "GET", "/")
    assert setup_of(answer)["where"] == f"s3://bucket/{prefix}"
    assert answer.body.count(b"<script>") == 1


@pytest.mark.parametrize("size", [0, 4, 51])
def test_a_part_size_that_the_service_refuses(made: Service, size: int) -> None:
    with pytest.raises(ValueError, match=f"cannot be {size}"):
        door(made, part_size_bytes=size)
