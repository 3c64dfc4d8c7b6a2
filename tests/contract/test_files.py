# SPDX-License-Identifier: Apache-2.0
"""Files of a repository (contrib.invenio) on each server: written, changed, summed, sent directly.

Not through Invenio, which is ``tests/invenio``; what it asks the service for is all here.
"""

from __future__ import annotations

import io
import hashlib
import urllib.request
from typing import Any

import pytest

from tests.contract.conftest import MIB, read, pattern
from libcloud_s3mpu.direct_client import DirectUploadClient
from libcloud_s3mpu.contrib.invenio import MultipartUpload
from libcloud_s3mpu.protocol.errors import InvalidRequestError
from libcloud_s3mpu.contrib.invenio.files import ObjectFile, checksum_of

pytestmark = pytest.mark.timeout(120)

KEY = "ab/cd/ef-1/data"


def md5(data: bytes) -> str:
    return f"md5:{hashlib.md5(data).hexdigest()}"


def taken(done: int, is_end: bool) -> None:
    pass


def test_a_file_is_written_changed_copied_and_deleted(driver: Any, container: Any) -> None:
    file = ObjectFile(driver, container, KEY)
    data = pattern(6 * MIB + 5)
    assert file.write(io.BytesIO(data), judge=taken) == (len(data), md5(data))
    assert file.checksum() == md5(data)
    with file.open() as opened:
        opened.seek(-7, io.SEEK_END)
        assert opened.read() == data[-7:]
    file.update(io.BytesIO(b"changed"), seek=MIB, judge=taken)
    changed = data[:MIB] + b"changed" + data[MIB + 7 :]
    assert read(driver, container, KEY) == changed
    copy = ObjectFile(driver, container, f"{KEY}-copy")
    assert copy.copy_from(file) == len(data) and copy.checksum() == md5(changed)
    driver.ex_initiate_upload(container, KEY)
    file.delete()
    copy.delete()
    file.delete()
    assert list(driver.iterate_container_objects(container)) == []


def test_a_download_url_says_how_it_is_to_be_kept(driver: Any, container: Any) -> None:
    file = ObjectFile(driver, container, KEY)
    file.write(io.BytesIO(b"abc"), judge=taken)
    overrides = {
        "content-type": "text/plain",
        "content-disposition": "attachment; filename=\"_.txt\"; filename*=UTF-8''%C3%A4.txt",
        "cache-control": "no-cache",
    }
    url = file.url(method="GET", expires_seconds=60, overrides=overrides)
    with urllib.request.urlopen(url, timeout=20) as answer:
        assert answer.read() == b"abc"
        for name, value in overrides.items():
            assert answer.headers[name] == value


def test_a_multipart_upload_is_sent_directly_and_its_checksum_holds(
    driver: Any, container: Any
) -> None:
    file = ObjectFile(driver, container, KEY)
    data = pattern(11 * MIB)
    made = MultipartUpload("a", size=len(data), part_size=5 * MIB, content_type="a/b")
    direct = made.begin(file, fileurl=f"s3://{container.name}/{KEY}", expires_seconds=3600)
    with DirectUploadClient() as client:  # Content-MD5 on plain http
        stored = client.upload(io.BytesIO(data), made.ticket, direct)
    recorded = checksum_of(stored.extra["etag"], number_of_parts=3, part_size_bytes=5 * MIB)
    assert recorded is not None and file.checksum(recorded) == recorded
    assert read(driver, container, KEY) == data


def test_what_cannot_be_is_refused_before_it_begins(driver: Any, container: Any) -> None:
    made = MultipartUpload("a", size=10**18)
    with pytest.raises(InvalidRequestError):
        made.begin(ObjectFile(driver, container, KEY), fileurl="s3://b/k", expires_seconds=60)
