# SPDX-License-Identifier: Apache-2.0
"""Uploads with lent keys: where they go, how they go on, and that the keys are renewed."""

from __future__ import annotations

import time
from typing import Any
from collections.abc import Iterator

import pytest

from tests.fake_s3 import faults
from tests.unit.small import AT_ONCE, Service, SmallDriver, whole, chunks, service, close_driver
from libcloud_s3mpu.delegation import Delegation, delegated
from libcloud_s3mpu.protocol.errors import InvalidRequestError
from libcloud_s3mpu.protocol.options import UploadOptions
from libcloud_s3mpu.protocol.session import UploadPausedError
from libcloud_s3mpu.transfer.credentials import CredentialsError

FIRST = ("AKIDLENT", "first/secret", "first-token")
SECOND = ("AKIDNEXT", "second/secret", "second-token")


@pytest.fixture
def s3() -> Iterator[Service]:
    keys = {key: (secret, token) for key, secret, token in (FIRST, SECOND)}
    with service(credentials={**keys, "AKIDFAKE": "fake/secret+key"}) as it:
        yield it


def info(s3: Service, keys: tuple[str, str, str] = FIRST, **more: Any) -> dict[str, Any]:
    """What Nuxeo's batch handler hands out; its expiration is in milliseconds."""
    return {
        "awsSecretKeyId": keys[0],
        "awsSecretAccessKey": keys[1],
        "awsSessionToken": keys[2],
        "expiration": int((time.time() + 3600) * 1000),
        "bucket": "bucket",
        "baseKey": "batch/",
        "region": "us-east-1",
        "endpoint": f"http://127.0.0.1:{s3.server.port}",
        "usePathStyleAccess": "true",
        "useS3Accelerate": False,
        **more,
    }


@pytest.fixture
def lend(s3: Service) -> Iterator[Any]:
    made: list[Delegation] = []

    def lent(refresh: Any = None, **more: Any) -> Delegation:
        options = UploadOptions(part_size_bytes=5, retry=AT_ONCE, on_failure="keep")
        found = delegated(info(s3, **more), refresh, driver_class=SmallDriver, ex_options=options)
        made.append(found)
        return found

    yield lent
    for each in made:
        close_driver(each.driver)


def test_lent_keys_upload_below_their_prefix(s3: Service, lend: Any) -> None:
    lent = lend()
    first = lent.start().run(chunks(4))
    assert first.name.startswith("batch/") and s3.stored(first.name) == whole(4)
    second = lent.start(lent.object_name("a.txt")).run(chunks(1))
    assert second.name == "batch/a.txt" and lent.object_name() != lent.object_name()
    headers = s3.fake.requests[0].headers
    assert headers["x-amz-security-token"] == FIRST[2]
    with pytest.raises(InvalidRequestError, match="not below"):
        lent.start("elsewhere")


def test_keys_that_the_service_refuses_are_renewed_in_mid_upload(s3: Service, lend: Any) -> None:
    asked: list[int] = []

    def refresh() -> dict[str, Any]:
        asked.append(1)
        return {"extraInfo": info(s3, SECOND)}

    lent = lend(refresh)
    s3.fake.script("UploadPart", faults.error("ExpiredToken"), part_number=3)
    made = lent.start().run(chunks(6))
    assert s3.stored(made.name) == whole(6) and asked == [1]
    assert s3.fake.requests[-1].headers["x-amz-security-token"] == SECOND[2]


def test_keys_are_renewed_before_they_run_out(s3: Service, lend: Any) -> None:
    lent = lend(lambda: info(s3, SECOND), expiration=int((time.time() - 5) * 1000))
    lent.start().run(chunks(1))
    s3.fake.script("PutObject", faults.error("ExpiredToken"))
    lent.start().run(chunks(1))
    assert s3.fake.requests[-1].headers["x-amz-security-token"] == SECOND[2]


def test_an_upload_with_lent_keys_is_paused_and_resumed_by_others(s3: Service, lend: Any) -> None:
    handle = lend().start()

    def source() -> Iterator[bytes]:
        for number, chunk in enumerate(chunks(8)):
            if number == 4:
                handle.pause()
            yield chunk

    with pytest.raises(UploadPausedError):
        handle.run(source())
    saved = handle.saved
    assert all(secret not in saved for secret in FIRST)
    assert s3.fake.uploads
    other = lend(awsSecretKeyId=SECOND[0], awsSecretAccessKey=SECOND[1], awsSessionToken=SECOND[2])
    made = other.resume(saved, chunks(8))
    assert s3.stored(made.name) == whole(8) and not s3.fake.uploads


def test_another_process_may_pause_it_again(s3: Service, lend: Any) -> None:
    handle = lend().start()
    for stop in (3, 5):

        def source(handle: Any = handle, stop: int = stop) -> Iterator[bytes]:
            for number, chunk in enumerate(chunks(8)):
                if number == stop:
                    handle.pause()
                yield chunk

        with pytest.raises(UploadPausedError):
            handle.run(source())
        handle = lend().reopen(handle.saved)
    made = handle.run(chunks(8))
    assert s3.stored(made.name) == whole(8) and not s3.fake.uploads
    assert len(s3.fake.requests_of("InitiateMultipartUpload")) == 1


def test_a_saved_upload_of_another_place_is_not_reopened(s3: Service, lend: Any) -> None:
    handle = lend().start()

    def source() -> Iterator[bytes]:
        yield b"abcdefgh"
        handle.pause()
        yield b"ijklmnop"

    with pytest.raises(UploadPausedError):
        handle.run(source())
    for change in ({"bucket": "other"}, {"baseKey": "elsewhere/"}, {"endpoint": "http://h:1"}):
        with pytest.raises(InvalidRequestError):
            lend(**change).reopen(handle.saved)
    with pytest.raises(ValueError):
        lend().reopen("{}")


def test_without_a_refresh_the_end_of_the_keys_is_said(s3: Service, lend: Any) -> None:
    lent = lend()
    s3.fake.script("PutObject", faults.error("ExpiredToken"), forever=True)
    with pytest.raises(CredentialsError, match="no refresh"):
        lent.start().run(chunks(1))


@pytest.mark.parametrize(
    "change",
    [
        {"bucket": None},
        {"bucket": ""},
        {"baseKey": 1},
        {"awsSecretKeyId": None},
        {"awsSecretAccessKey": ""},
        {"expiration": "soon"},
    ],
)
def test_what_names_no_place_or_no_keys_is_refused(s3: Service, change: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        delegated(info(s3, **change))
    assert not any(secret in str(caught.value) for secret in FIRST[1:])


@pytest.mark.parametrize(
    ("change", "host", "addressing"),
    [
        ({"endpoint": None}, "s3-eu-west-3.amazonaws.com", "auto"),
        ({"endpoint": "", "useS3Accelerate": True}, "s3-accelerate.amazonaws.com", "auto"),
        ({"endpoint": "h:9000", "usePathStyleAccess": False}, "h", "virtual"),
        ({"endpoint": "https://h", "usePathStyleAccess": True}, "h", "path"),
        ({"endpoint": "https://h", "usePathStyleAccess": None}, "h", "auto"),
    ],
)
def test_the_place_is_what_was_handed_out(
    s3: Service, change: dict[str, Any], host: str, addressing: str
) -> None:
    found = delegated(info(s3, region="eu-west-3", **change))
    endpoint = found.driver.connection.endpoint
    assert (endpoint.host, endpoint.addressing) == (host, addressing)
    assert FIRST[1] not in repr(found) and found.container.name == "bucket"


def test_the_names_of_sts_do_too(s3: Service) -> None:
    given = {"AccessKeyId": "a", "SecretAccessKey": "b", "SessionToken": "c", "bucket": "bucket"}
    assert delegated(given, region="eu-west-3").prefix == ""
