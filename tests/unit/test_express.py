# SPDX-License-Identifier: Apache-2.0
"""S3 Express: sessions for one bucket each, before a fake zone that refuses all else."""

from __future__ import annotations

import socket
from typing import Any
from datetime import datetime, timezone, timedelta
from contextlib import contextmanager
from dataclasses import dataclass
from collections.abc import Iterator

import pytest
import requests
from libcloud.storage.base import Container

from tests.fake_s3 import REGION, ACCESS_KEY, SECRET_KEY, FakeS3, Quirks, FakeServer, faults
from tests.unit.small import AT_ONCE, FAKE_LIMITS, make_plain, close_driver
from libcloud_s3mpu.driver import AmazonS3MultipartDriver
from libcloud_s3mpu.protocol import express, messages
from libcloud_s3mpu.protocol.errors import (
    AccessDeniedError,
    InvalidRequestError,
    MalformedAnswerError,
    ContainerMissingError,
)
from libcloud_s3mpu.protocol.limits import EXPRESS_LIMITS, Limits
from libcloud_s3mpu.protocol.options import UploadOptions

ZONE = "s3express-use1-az4.localhost"
BUCKET = "base--use1-az4--x-s3"


class SmallZone(AmazonS3MultipartDriver):
    """The driver with parts of five bytes; what else it knows of zones is as it is."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        known = self.ex_limits
        assert known is EXPRESS_LIMITS
        self.ex_limits = Limits(
            5,
            50,
            20,
            100,
            max_single_put=1000,
            has_md5_etags=known.has_md5_etags,
            has_standard_class=known.has_standard_class,
            takes_content_md5=known.takes_content_md5,
            lists_any_prefix=known.lists_any_prefix,
            max_single_copy=20,
        )


@dataclass(frozen=True, slots=True)
class Running:
    fake: FakeS3
    driver: SmallZone
    container: Container

    def operations(self) -> list[str]:
        return [record.operation for record in self.fake.requests]


@contextmanager
def zone(monkeypatch: pytest.MonkeyPatch, **driver: Any) -> Iterator[Running]:
    real = socket.getaddrinfo  # Not every system resolves names below localhost.
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, *more, **named: real("127.0.0.1", *more, **named)
    )
    fake = FakeS3(
        FAKE_LIMITS,
        quirks=Quirks(random_etags=True),
        buckets=(BUCKET, "other--use1-az4--x-s3"),
        vhost_domain=ZONE,
        is_express=True,
        credentials=driver.pop("credentials", None),
    )
    with FakeServer(fake) as server:
        made = SmallZone(
            driver.pop("key", ACCESS_KEY),
            SECRET_KEY,
            ex_endpoint_url=f"http://{ZONE}:{server.port}",
            region=REGION,
            ex_options=UploadOptions(part_size_bytes=5, retry=AT_ONCE),
            **driver,
        )
        try:
            yield Running(fake, made, Container(BUCKET, {}, made))
        finally:
            close_driver(made)


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    with zone(monkeypatch) as it:
        yield it


@pytest.mark.parametrize("road", ["lean", "plain"])
def test_everything_goes_by_one_session(running: Running, road: str, tmp_path: Any) -> None:
    if road == "plain":
        make_plain(running.driver)
    driver, container = running.driver, running.container
    driver.upload_object_via_stream(b"0123456789abc", container, "dir/large")
    (tmp_path / "file").write_bytes(b"abc")
    driver.upload_object(str(tmp_path / "file"), container, "dir/small")
    driver.upload_object(str(tmp_path / "file"), container, "top")
    found = driver.get_object(BUCKET, "dir/large")
    assert b"".join(driver.download_object_as_stream(found)) == b"0123456789abc"
    assert driver.download_object(found, str(tmp_path / "down"))
    copied = driver.ex_copy_object(found, container, "copied")
    assert copied.size == 13
    driver.ex_append(copied, b"more of it")
    assert running.fake.objects[BUCKET]["copied"].body == b"0123456789abcmore of it"
    assert driver.get_container(BUCKET).name == BUCKET
    names = [each.name for each in driver.iterate_container_objects(container, prefix="dir/l")]
    assert names == ["dir/large"]
    assert driver.delete_object(found)
    assert running.operations().count("CreateSession") == running.fake.zone.opened == 1


def test_a_large_copy_goes_by_the_accounts_keys(running: Running) -> None:
    driver, container = running.driver, running.container
    large = driver.upload_object_via_stream(b"x" * 33, container, "large")
    driver.ex_copy_object(large, container, "copy")
    assert running.fake.objects[BUCKET]["copy"].body == b"x" * 33
    assert "UploadPartCopy" in running.operations()


def test_each_bucket_has_its_own_session(running: Running) -> None:
    for name in (BUCKET, "other--use1-az4--x-s3", BUCKET):
        running.driver.upload_object_via_stream(b"abc", Container(name, {}, running.driver), "key")
    assert [it.bucket for it in running.fake.zone.sessions.values()] == [
        BUCKET,
        "other--use1-az4--x-s3",
    ]


def test_a_session_is_renewed_before_it_ends(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    running.driver.upload_object_via_stream(b"abc", running.container, "key")
    source = running.driver.connection.sessions._source(BUCKET)
    now = source._clock()
    monkeypatch.setattr(source, "_clock", lambda: now + 200)
    running.driver.get_object(BUCKET, "key")
    assert running.fake.zone.opened == 1
    monkeypatch.setattr(source, "_clock", lambda: now + 245)
    running.driver.get_object(BUCKET, "key")
    assert running.fake.zone.opened == 2


@pytest.mark.parametrize("road", ["lean", "plain"])
def test_a_session_that_ended_early_is_replaced(running: Running, road: str) -> None:
    if road == "plain":
        make_plain(running.driver)
    running.driver.upload_object_via_stream(b"abc", running.container, "key")
    long_ago = datetime(2020, 1, 1, tzinfo=timezone.utc)
    for key, session in list(running.fake.zone.sessions.items()):
        changed = type(session)(
            bucket=session.bucket, secret=session.secret, token=session.token, ends=long_ago
        )
        running.fake.zone.sessions[key] = changed
    running.driver.upload_object_via_stream(b"0123456789", running.container, "key")
    assert running.fake.objects[BUCKET]["key"].body == b"0123456789"
    assert running.fake.zone.opened == 2


def test_other_keys_open_other_sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    both: Any = {ACCESS_KEY: SECRET_KEY, "AKIDOTHER": "other"}
    with zone(monkeypatch, credentials=both) as it:
        it.driver.upload_object_via_stream(b"abc", it.container, "key")
        it.driver.ex_set_credentials("AKIDOTHER", "other")
        it.driver.upload_object_via_stream(b"abc", it.container, "key")
        assert it.fake.zone.opened == 2


def test_temporary_keys_of_the_account_open_sessions_too(monkeypatch: pytest.MonkeyPatch) -> None:
    keys: Any = {ACCESS_KEY: (SECRET_KEY, "sts/token=")}
    with zone(monkeypatch, credentials=keys, token="sts/token=") as it:
        made = it.driver.upload_object_via_stream(b"0123456789", it.container, "key")
        it.driver.ex_copy_object(made, it.container, "copy")
        assert sorted(it.fake.objects[BUCKET]) == ["copy", "key"]


def test_what_create_session_says_is_what_the_caller_gets(running: Running) -> None:
    with pytest.raises(ContainerMissingError, match="CreateSession failed for missing"):
        running.driver.upload_object_via_stream(
            b"abc", Container("missing", {}, running.driver), "key"
        )
    running.fake.script("CreateSession", faults.error("AccessDenied"), forever=True)
    with pytest.raises(AccessDeniedError, match="CreateSession failed") as caught:
        running.driver.upload_object_via_stream(
            b"abc", Container("other--use1-az4--x-s3", {}, running.driver), "key"
        )
    assert caught.value.http_status == 403


def test_create_session_is_tried_again(running: Running) -> None:
    running.fake.script("CreateSession", faults.error("InternalError"), faults.error("SlowDown"))
    running.driver.upload_object_via_stream(b"abc", running.container, "key")
    assert running.fake.objects[BUCKET]["key"].body == b"abc"


def test_urls_are_presigned_by_the_session_and_end_with_it(running: Running) -> None:
    driver, container = running.driver, running.container
    url = driver.ex_get_object_upload_url(container, "dir/a b")
    assert requests.put(url, data=b"by url").status_code == 200
    stored = driver.get_object(BUCKET, "dir/a b")
    assert requests.get(driver.get_object_cdn_url(stored)).content == b"by url"
    presigner = driver.ex_presigner(3600, container)
    left = presigner.expires_at - datetime.now(timezone.utc)
    assert timedelta(minutes=4) < left <= timedelta(minutes=5)
    with pytest.raises(InvalidRequestError, match="one container"):
        driver.ex_presigner()


def test_no_part_of_a_session_is_in_an_error(running: Running) -> None:
    request = express.create_session_request("bucket")
    secret = b"<CreateSessionResult><Credentials><SecretAccessKey>sesame</SecretAccessKey>"
    for body in (secret, secret + b"</Credentials></CreateSessionResult>", b"sesame"):
        with pytest.raises(MalformedAnswerError) as caught:
            express.create_session_result(request, messages.S3Response(
                status=200, headers={}, body=body
            ))  # fmt: skip
        assert "sesame" not in str(caught.value) + repr(caught.value.__cause__)


def test_md5_is_refused_in_words_where_a_zone_has_none(running: Running) -> None:
    with pytest.raises(InvalidRequestError, match="md5"):
        running.driver.upload_object_via_stream(
            b"abc", running.container, "key", ex_options=UploadOptions(checksum="md5")
        )
