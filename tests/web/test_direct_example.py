# SPDX-License-Identifier: Apache-2.0
"""examples/direct_client.py: a client without keys, over HTTP, before the handler on the fake."""

from __future__ import annotations

from typing import Any
from pathlib import Path
from collections.abc import Iterator

import pytest

from tests.fake_s3 import FakeLimits, faults
from tests.unit.small import AT_ONCE, Service, service
from tests.web.servers import wsgi_server
from examples.direct_client import MIB, App, upload
from libcloud_s3mpu.web.wsgi import direct_wsgi
from libcloud_s3mpu.web.direct import DirectHandler
from libcloud_s3mpu.protocol.errors import AccessDeniedError
from libcloud_s3mpu.protocol.limits import S3_LIMITS

ME = {"X-User": "me"}


@pytest.fixture
def s3() -> Iterator[Service]:
    with service(limits=FakeLimits()) as made:
        made.driver.ex_limits = S3_LIMITS
        yield made


@pytest.fixture
def url(s3: Service) -> Iterator[str]:
    handler = DirectHandler(
        s3.driver,
        s3.container,
        "in/",
        authorize=lambda request, action, key: request.headers.get("x-user") == "me",
        base_path="/direct",
    )
    with wsgi_server(direct_wsgi(handler)) as port:
        yield f"http://127.0.0.1:{port}/direct"


@pytest.mark.parametrize("size", [0, 5, 41 * MIB])
def test_a_file_goes_up(s3: Service, url: str, tmp_path: Path, size: int) -> None:
    path = tmp_path / "ä b.bin"
    path.write_bytes(b"%d" % size + bytes(max(0, size - 8)) if size else b"")
    done = upload(str(path), url, ME, retry=AT_ONCE)
    assert s3.stored(done["key"]) == path.read_bytes() and not s3.fake.uploads
    parts = s3.fake.requests_of("UploadPart")
    assert all("x-amz-content-sha256" in each.headers for each in parts)


def test_the_type_is_what_the_name_promises(s3: Service, url: str, tmp_path: Path) -> None:
    promised = {"a.jpg": "image/jpeg", "a.csv": "text/csv", "a.csv.gz": None, "a": None}
    for name, kind in promised.items():
        (tmp_path / name).write_bytes(b"1")
        done = upload(str(tmp_path / name), url, ME)
        found = s3.driver.get_object(s3.container.name, done["key"])
        assert found.extra["content_type"] == (kind or "application/octet-stream")
    done = upload(str(tmp_path / "a"), url, ME, content_type="image/png")
    found = s3.driver.get_object(s3.container.name, done["key"])
    assert found.extra["content_type"] == "image/png"


def test_another_run_goes_on(s3: Service, url: str, tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(bytes(41 * MIB))
    app = App(url, ME)
    ticket = app.begin("a.bin", 41 * MIB, "a/b")
    app.close()
    s3.fake.script("UploadPart", faults.error("AccessDenied"), part_number=2, forever=True)
    options: dict[str, Any] = {"retry": AT_ONCE, "concurrency": 1}
    with pytest.raises(AccessDeniedError):
        upload(str(path), url, ME, ticket, **options)
    s3.fake._scripts.clear()
    before = len(s3.fake.requests_of("UploadPart"))
    done = upload(str(path), url, ME, ticket, **options)
    sent = [each.part_number for each in s3.fake.requests_of("UploadPart")[before:]]
    assert sent == [2, 3] and s3.stored(done["key"]) == path.read_bytes()
