# SPDX-License-Identifier: Apache-2.0
"""What parts are checked by: said when an upload begins, kept in its record, named by complete."""

from __future__ import annotations

import json
from typing import Any
from dataclasses import replace

import pytest

from tests.fake_s3 import faults
from tests.resumable.store import Bench, data, bench
from libcloud_s3mpu.protocol import checksums
from tests.resumable.test_crash import first, _dies_at

BODY = data(43)


def store_with(found: Bench, **how: Any) -> Any:
    """A store of a process whose driver was told this of checks."""
    driver = found.service.driver
    before = driver.ex_options
    driver.ex_options = replace(before, **how)
    try:
        return found.store()
    finally:
        driver.ex_options = before


def in_pieces(stores: list[Any], upload: Any) -> Any:
    """Write in pieces that leave and take up tails, each by another process."""
    at, info = 0, upload
    for number, size in enumerate((3, 9, 17, 1, 13)):
        info = stores[number % len(stores)].write(upload.id, at, BODY[at : at + size])
        at += size
    return info


def part_headers(found: Bench) -> list[dict[str, str]]:
    return [dict(record.headers) for record in found.fake.requests_of("UploadPart")]


def test_over_https_parts_carry_a_crc_and_are_not_hashed() -> None:
    with bench(tls=True) as found:
        store = found.store()
        info = in_pieces([store, found.store()], store.create(length=len(BODY)))
        assert info.complete and found.body(info) == BODY
        for headers in part_headers(found):
            assert "x-amz-checksum-crc32c" in headers
            assert headers["x-amz-content-sha256"] == "UNSIGNED-PAYLOAD"
        record = json.loads(found.objects[f"{info.key}.info"].body)["S3MPU"]
        assert record["Check"] == "crc32c"
        assert len(record["Checks"]) <= 6 * record["Parts"]


@pytest.mark.parametrize("algorithm", ["crc32", "crc32c", "sha1", "sha256", "md5", None])
def test_every_check_of_the_driver_completes(algorithm: str | None) -> None:
    with bench() as found:
        store = store_with(found, checksum=algorithm)
        info = in_pieces([store], store.create(length=len(BODY)))
        assert info.complete and found.body(info) == BODY
        assert store.create(length=0).complete
        joined = store.concat([info.id, info.id])
        assert found.body(joined) == BODY * 2


@pytest.mark.parametrize("begun", ["crc32", "sha256", "auto"])
def test_processes_of_other_options_keep_to_what_an_upload_began_with(begun: str) -> None:
    with bench() as found:
        stores = [
            store_with(found, checksum=begun),
            store_with(found, checksum="crc32c"),
            store_with(found, checksum="auto", sign_payload=True),
            store_with(found, checksum=None, sign_payload=False),
        ]
        info = in_pieces(stores, stores[0].create(length=len(BODY)))
        assert info.complete and found.body(info) == BODY


def test_a_part_that_is_damaged_on_its_way_is_sent_again() -> None:
    with bench(tls=True) as found:
        store = found.store()
        upload = store.create(length=len(BODY))
        found.fake.script("UploadPart", faults.corrupt_received())
        info = store.write(upload.id, 0, BODY)
        assert info.complete and found.body(info) == BODY


def test_parts_behind_a_gap_leave_no_checksum_behind() -> None:
    with bench() as found:
        store = store_with(found, checksum="crc32")
        upload = store.create(length=40)
        found.fake.script("UploadPart", faults.error("AccessDenied"), part_number=2)
        with pytest.raises(Exception, match="AccessDenied"):
            store.write(upload.id, 0, data(40))
        offset = store.get(upload.id).offset
        info = store.write(upload.id, offset, data(40)[offset:])
        assert info.complete and found.body(info) == data(40)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("applied", [False, True], ids=["lost", "answer lost"])
def test_a_death_at_any_request_loses_no_checksum(applied: bool) -> None:
    with bench() as found:
        driver = found.service.driver
        driver.ex_options = replace(driver.ex_options, checksum="crc32")
        at = 1
        while _dies_at(found, first, at, applied=applied, workers=4):
            at += 1
        assert at > 20


def test_a_process_that_cannot_compute_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with bench() as found:
        store = store_with(found, checksum="crc32c")
        upload = store.create(length=len(BODY))
        store.write(upload.id, 0, BODY[:20])
        with monkeypatch.context() as patch:
            patch.setattr(checksums, "_crc_step", lambda name: None)
            with pytest.raises(ImportError, match=r"libcloud_s3mpu\[fast\]"):
                found.store().write(upload.id, 20, BODY[20:])
        assert found.store().get(upload.id).offset == 20
        assert found.body(store.write(upload.id, 20, BODY[20:])) == BODY


def test_hashes_that_are_disabled_are_neither_computed_nor_said() -> None:
    with bench(tls=True) as found:
        store = found.store(disable_content_hashes=True)
        info = in_pieces([store], store.create(length=len(BODY)))
        assert info.complete and found.body(info) == BODY
        for headers in part_headers(found):
            assert headers["x-amz-content-sha256"] == "UNSIGNED-PAYLOAD"
            assert not any(name.startswith("x-amz-checksum") for name in headers)
