# SPDX-License-Identifier: Apache-2.0
"""What a probe says of each server is what is known of it, and it leaves nothing there."""

from __future__ import annotations

import os
import uuid
from typing import Any

import pytest
from libcloud.storage.base import Container

from tests.servers.base import Endpoint
from tests.servers.s3rver import S3rver
from tests.contract.record import note_probe
from tests.contract.conftest import MIB, read, chunks, connect, pattern
from libcloud_s3mpu.protocol.findings import QUESTIONS, Answer

pytestmark = pytest.mark.contract

#: A question -> the quirks of servers (tests/servers/base.py) with which it is not answered yes.
KNOWN = {
    "complete-if-none-match": {"complete-ignores-conditions"},
    "complete-once": {"complete-is-repeatable"},
    "complete-etag": {"empty-complete-etag"},
    "signed-body": {"ignores-body-hash"},
    "crc32": {"ignores-checksums"},
    "content-md5": {"ignores-content-md5"},
    "put-if-match": {"no-conditional-writes", "if-match-without-quotes"},
    "min-part-size": {"no-min-part-size"},
}


def test_a_probe_sees_what_is_known(endpoint: Endpoint, container: Any, driver: Any) -> None:
    report = driver.ex_probe(container)
    note_probe(endpoint, report)
    assert report.left_behind == ()
    assert driver.list_container_objects(container) == []
    assert [found.name for found in report.findings] == list(QUESTIONS)
    for name, quirks in KNOWN.items():
        found = report.answer(name)
        if found is not Answer.UNKNOWN:  # moto fails with a 500 where it has no answer.
            assert (found is not Answer.YES) == bool(quirks & endpoint.quirks), name
    assert report.answer("list-v2") is report.answer("unsigned-payload") is Answer.YES


def test_the_limits_that_a_probe_gives_serve_an_upload(container: Any, driver: Any) -> None:
    driver.ex_limits = driver.ex_probe(container).applied_to(driver.ex_limits)
    data = pattern(11 * MIB)
    driver.upload_object_via_stream(chunks(data), container, "object")
    assert read(driver, container, "object") == data


def test_a_server_without_abort_and_listings_of_uploads() -> None:
    """s3rver has no more than the four verbs of an upload: uploads need no more than those."""
    server = S3rver()
    if missing := server.available():
        required = os.environ.get("S3MPU_REQUIRE_SERVERS", "").split(",")
        (pytest.fail if server.name in required else pytest.skip)(missing)
    with server as endpoint:
        driver = connect(endpoint)
        container: Container = driver.create_container(f"contract-{uuid.uuid4().hex[:12]}")
        for size in (0, 10, 5 * MIB + 1, 12 * MIB):
            data = pattern(size)
            driver.upload_object_via_stream(chunks(data), container, f"object-{size}")
            assert read(driver, container, f"object-{size}") == data
        report = driver.ex_probe(container)
        note_probe(endpoint, report)
        assert all("MethodNotAllowed" in each for each in report.left_behind)
        assert report.answer("part-copy") is Answer.NO
