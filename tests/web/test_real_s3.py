# SPDX-License-Identifier: Apache-2.0
"""Both handlers on S3 servers that are not our fake: MiniStack, and Ceph RGW where it is."""

from __future__ import annotations

import json
import uuid
from typing import Any
from urllib.parse import quote, urlencode
from collections.abc import Iterator

import pytest
import requests
from libcloud.storage.base import Container

from tests.web.doors import Sent, ValueDoor
from tests.unit.small import close_driver
from tests.servers.ceph import Ceph
from libcloud_s3mpu.driver import AmazonS3MultipartDriver
from libcloud_s3mpu.web.tus import TusHandler
from tests.servers.ministack import MiniStack
from libcloud_s3mpu.resumable import ResumableUploads
from libcloud_s3mpu.web.direct import DirectHandler

MIB = 1024 * 1024
TUS = {"Tus-Resumable": "1.0.0"}
TYPE = {**TUS, "Content-Type": "application/offset+octet-stream"}
pytestmark = [pytest.mark.contract, pytest.mark.timeout(120)]


@pytest.fixture(scope="module", params=[MiniStack, Ceph], ids=["ministack", "ceph"])
def place(request: pytest.FixtureRequest) -> Iterator[tuple[Any, Container]]:
    server = request.param()
    missing = server.available()
    if missing:
        pytest.skip(missing)
    with server as endpoint:
        driver = AmazonS3MultipartDriver(
            endpoint.access_key,
            endpoint.secret_key,
            region=endpoint.region,
            ex_endpoint_url=endpoint.url,
        )
        try:
            yield driver, driver.create_container(f"web-{uuid.uuid4().hex[:8]}")
        finally:
            close_driver(driver)


def body_of(driver: Any, container: Container, key: str) -> bytes:
    return b"".join(driver.get_object(container.name, key).as_stream())


def test_tus(place: tuple[Any, Container]) -> None:
    driver, container = place
    uploads = ResumableUploads(driver, container, part=5 * MIB)
    door = ValueDoor(TusHandler(uploads, "/files"))
    data = uuid.uuid4().bytes * (11 * MIB // 16) + b"end"

    def upload(piece: bytes, **headers: str) -> str:
        given = {n.replace("_", "-"): v for n, v in headers.items()}
        length = {"Upload-Length": str(len(piece))}
        answer = door.send("POST", "/files", {**TUS, **length, **given})
        assert answer is not None
        url = answer["Location"]
        door.send(
            "PATCH",
            url,
            {**TYPE, "Upload-Offset": "0"},
            Sent(piece[: 7 * MIB], cut="fin", length=len(piece)),
        )
        found = door.send("HEAD", url, TUS)
        assert found is not None
        offset = int(found["Upload-Offset"])
        assert offset == min(7 * MIB, len(piece))
        done = door.send("PATCH", url, {**TYPE, "Upload-Offset": str(offset)}, Sent(piece[offset:]))
        assert done is not None
        assert done.status == 204
        return url

    whole = upload(data)
    assert body_of(driver, container, uploads.get(whole.rpartition("/")[2]).key) == data
    one, two = upload(data, Upload_Concat="partial"), upload(b"small", Upload_Concat="partial")
    joined = door.send("POST", "/files", {**TUS, "Upload-Concat": f"final;{two} {one} {two}"})
    assert joined is not None
    key = uploads.get(joined["Location"].rpartition("/")[2]).key
    assert body_of(driver, container, key) == b"small" + data + b"small"


def test_direct(place: tuple[Any, Container]) -> None:
    driver, container = place
    door = ValueDoor(
        DirectHandler(driver, container, "in/", authorize=lambda *_: True, max_size_bytes=20 * MIB)
    )

    def ask(method: str, target: str, value: Any = None) -> Any:
        sent = Sent(json.dumps(value).encode()) if value is not None else None
        answer = door.send(method, target, {}, sent)
        assert answer is not None
        assert answer.status == 200, answer
        return json.loads(answer.body)

    made = ask("POST", "/s3/multipart", {"filename": "ä b.txt", "type": "text/plain"})
    key = made["key"]
    base, query = f"/s3/multipart/{quote(made['uploadId'], safe='')}", urlencode({"key": key})
    urls = ask("GET", f"{base}/batch?{query}&partNumbers=1,2")["presignedUrls"]
    parts = []
    for number, data in ((1, b"a" * 5 * MIB), (2, b"end")):
        answer = requests.put(urls[str(number)], data=data, timeout=20)
        assert answer.status_code == 200, answer.text
        parts.append({"PartNumber": number, "ETag": answer.headers["ETag"]})
    ask("POST", f"{base}/complete?{query}", {"parts": parts})
    assert body_of(driver, container, key) == b"a" * 5 * MIB + b"end"
    form = ask("GET", f"/s3/params?{urlencode({'filename': 'x.txt', 'type': 'text/plain'})}")
    answer = requests.post(
        form["url"], data=form["fields"], files={"file": b"small file"}, timeout=20
    )
    assert answer.status_code in (200, 201, 204), answer.text
    assert body_of(driver, container, form["fields"]["key"]) == b"small file"
