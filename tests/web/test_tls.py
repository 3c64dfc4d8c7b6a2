# SPDX-License-Identifier: Apache-2.0
"""A tus server whose S3 is reached over https, where parts carry CRCs instead of signatures."""

from __future__ import annotations

import json
from typing import Any
from collections.abc import Iterator

import pytest

from tests.fake_s3 import faults
from tests.web.doors import Sent, ValueDoor
from tests.unit.small import Service, service
from tests.web.conftest import FAKE_LIMITS, Tus, checksum, make_uploads
from libcloud_s3mpu.web.tus import TusHandler
from tests.web.test_tus_core import DATA

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(scope="module")
def secure() -> Iterator[Service]:
    with service(tls=True, limits=FAKE_LIMITS) as found:
        yield found


@pytest.fixture
def tus(secure: Service) -> Iterator[Tus]:
    uploads = make_uploads(secure)
    yield Tus(ValueDoor(TusHandler(uploads, "/files")), secure, uploads, "/files")
    secure.fake.clear_scripts()
    assert secure.fake.uploads == {}


def record_of(tus: Tus, url: str) -> Any:
    name = tus.id_of(url).partition("+")[0]
    return json.loads(tus.made.fake.objects["bucket"][f"uploads/{name}.info"].body)["S3MPU"]


@pytest.mark.parametrize("is_deferred", [False, True], ids=["known", "deferred"])
def test_an_upload_in_pieces_by_several_stores(tus: Tus, is_deferred: bool) -> None:
    url = tus.create(None if is_deferred else len(DATA))
    at = 0
    for end in (3, 11, 12, 20):
        other = Tus(
            ValueDoor(TusHandler(make_uploads(tus.made), "/files")), tus.made, None, "/files"
        )
        sent = Sent(DATA[at:end], cut="fin", length=99 if is_deferred else len(DATA) - at)
        other.patch(url, at, sent)
        at = end
        assert other.offset(url) == at
    record = record_of(tus, url)
    assert record["Check"] in ("crc32", "crc32c")
    last = {"Upload_Length": len(DATA)} if is_deferred else {}
    assert tus.patch(url, 20, DATA[20:], Upload_Checksum=checksum(DATA[20:]), **last).status == 204
    assert tus.stored(url) == DATA
    parts = tus.made.fake.requests_of("UploadPart")
    assert all(f"x-amz-checksum-{record['Check']}" in each.headers for each in parts)


def test_parts_are_joined(tus: Tus) -> None:
    pieces = [tus.partial(each) for each in (b"one", DATA, b"", DATA[:11])]
    answer = tus.final(*pieces)
    assert answer.status == 201
    assert tus.stored(answer["Location"]) == b"one" + DATA + DATA[:11]


def test_a_part_that_was_replaced_is_sent_again(tus: Tus) -> None:
    from libcloud_s3mpu.protocol import wire
    from libcloud_s3mpu.transfer.single import upload_part

    url = tus.create(len(DATA))
    assert tus.patch(url, 0, DATA[:18]).status == 204
    (upload,) = tus.made.fake.uploads.values()
    store = tus.uploads._store
    upload_part(
        store.objects.sender,
        wire.Target(bucket="bucket", key=upload.key, headers={}),
        upload_id=upload.upload_id,
        part_number=2,
        data=b"late!",
        check=store.check,
        policy=store.objects.policy,
    )
    assert tus.patch(url, 18, DATA[18:]).status == 409
    assert tus.offset(url) == 5
    assert tus.patch(url, 5, DATA[5:]).status == 204
    assert tus.stored(url) == DATA


def test_a_part_that_is_damaged_on_the_way_is_sent_again(tus: Tus) -> None:
    url = tus.create(len(DATA))
    tus.made.fake.script("UploadPart", faults.corrupt_received())
    assert tus.patch(url, 0, DATA).status == 204
    assert tus.stored(url) == DATA


def test_a_lost_answer_to_complete_is_found_out(tus: Tus) -> None:
    url = tus.create(len(DATA))
    tus.made.fake.script("CompleteMultipartUpload", faults.close(applied=True))
    assert tus.patch(url, 0, DATA).status == 204
    assert tus.stored(url) == DATA
