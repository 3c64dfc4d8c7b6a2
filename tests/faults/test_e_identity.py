# SPDX-License-Identifier: Apache-2.0
"""Catalogue E, 42 to 51: identity, clock and region."""

from __future__ import annotations

import socket
from typing import Any
from pathlib import Path
from datetime import datetime, timezone, timedelta
from concurrent.futures import ThreadPoolExecutor

import pytest
from libcloud.common.types import InvalidCredsError
from libcloud.storage.types import ContainerDoesNotExistError

from tests.fake_s3 import ACCESS_KEY, SECRET_KEY, faults
from tests.unit.small import RawServer, chunks, read_request
from tests.faults.outcomes import (
    DATA,
    PART,
    ABORT,
    PARTS,
    VERBS,
    COMPLETE,
    INITIATE,
    Tried,
    MakeTried,
)
from libcloud_s3mpu.protocol.errors import (
    S3MultipartError,
    WrongRegionError,
    AccessDeniedError,
    ContainerMissingError,
    ExpiredCredentialsError,
)

HOUR = timedelta(hours=1)
ELSEWHERE = "eu-west-3"


def test_f42_a_request_time_out_at_a_part_is_tried_again(s3: Tried) -> None:
    early = faults.answer_early(faults.error("RequestTimeout"))
    s3.fake.script(PART, faults.error("RequestTimeout"), early, part_number=2)
    s3.succeeds()


@pytest.mark.parametrize("offset", [HOUR, -HOUR])
def test_f43_the_clock_is_taken_from_the_service_once(offset: timedelta, s3: Tried) -> None:
    s3.fake.clock = lambda: datetime.now(timezone.utc) + offset
    s3.succeeds()
    refused = [record for record in s3.fake.requests if record.code == "RequestTimeTooSkewed"]
    assert len(refused) == 1
    s3.succeeds(key="other")
    assert [record.status for record in s3.fake.requests].count(403) == 1


def test_f43_a_clock_that_jumps_in_the_middle_is_followed(s3: Tried) -> None:
    def source() -> Any:
        yield from chunks(3)
        s3.fake.clock = lambda: datetime.now(timezone.utc) + HOUR
        yield from list(chunks(PARTS))[3:]

    s3.succeeds(source(), concurrency=1)


def all_at_once(s3: Tried) -> None:
    """Eight uploads on one driver, whose first requests are all signed before any is answered."""
    gate = s3.server.hold_parts(until=8, operation=INITIATE)

    def one(number: int) -> None:
        s3.upload(chunks(PARTS), key=f"key-{number}")
        assert s3.stored(f"key-{number}") == DATA

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, range(8)))
    assert not gate.timed_out and s3.fake.uploads == {}


def test_f43_requests_that_were_under_way_when_the_clock_was_set_are_sent_again(s3: Tried) -> None:
    s3.fake.clock = lambda: datetime.now(timezone.utc) + HOUR
    all_at_once(s3)


@pytest.mark.parametrize("code", ["ExpiredToken", "InvalidToken"])
def test_f44_new_keys_are_asked_for_in_mid_upload(code: str, road: str, make_s3: MakeTried) -> None:
    given: list[str] = []

    def keys() -> tuple[str, str, str]:
        given.append(f"token-{len(given) + 1}")
        return ACCESS_KEY, SECRET_KEY, given[-1]

    s3 = make_s3(
        road,
        credentials={ACCESS_KEY: (SECRET_KEY, "token-1")},
        driver={"key": "", "secret": None, "ex_credentials": keys},
    )

    def source() -> Any:
        yield from chunks(3)
        s3.fake.keyring = type(s3.fake.keyring)(
            credentials={ACCESS_KEY: (SECRET_KEY, "token-2")}, region=s3.fake.region
        )
        s3.fake.script(PART, faults.error(code))
        yield from list(chunks(PARTS))[3:]

    # One part at a time: another one, refused for its old token, would leave the scripted answer to
    # a request that has the new one.
    s3.succeeds(source(), concurrency=1)
    assert given == ["token-1", "token-2"]


@pytest.mark.parametrize("code", ["ExpiredToken", "InvalidToken"])
def test_f44_without_new_keys_the_error_keeps_the_upload_id(code: str, s3: Tried) -> None:
    s3.fake.script(PART, faults.error(code), part_number=2, forever=True)
    s3.fake.script(ABORT, faults.error(code), forever=True)
    with pytest.raises(ExpiredCredentialsError) as caught:
        s3.timed(lambda: s3.upload(chunks(PARTS)))
    assert isinstance(caught.value, InvalidCredsError) and code in str(caught.value)
    assert list(s3.fake.uploads) == [caught.value.upload_id]
    assert s3.count(PART, 2) == 1 and caught.value.cleanup_error is not None


@pytest.mark.parametrize("verb", VERBS)
def test_f45_what_is_denied_is_not_asked_twice(verb: str, s3: Tried) -> None:
    number = 2 if verb == PART else None
    s3.fake.script(verb, faults.error("AccessDenied"), part_number=number, forever=True)
    error = s3.fails(AccessDeniedError)
    assert s3.count(verb, number) == 1 and s3.count(ABORT) == (0 if verb == INITIATE else 1)
    assert error.s3_code == "AccessDenied" and (error.operation or "") in str(error)


def test_f45_a_wrong_secret_is_one_request(road: str, make_s3: MakeTried) -> None:
    s3 = make_s3(road, driver={"secret": "wrong"})
    assert s3.fails(AccessDeniedError).s3_code == "SignatureDoesNotMatch"
    assert len(s3.fake.requests) == 1


def test_f46_the_region_that_the_service_names_is_signed_for(road: str, make_s3: MakeTried) -> None:
    s3 = make_s3(road, region=ELSEWHERE)
    s3.succeeds()
    assert [record.status for record in s3.fake.requests].count(400) == 1
    s3.succeeds(key="other")
    assert [record.status for record in s3.fake.requests].count(400) == 1


def test_f46_requests_that_were_under_way_when_the_region_was_learned_are_sent_again(
    road: str, make_s3: MakeTried
) -> None:
    all_at_once(make_s3(road, region=ELSEWHERE))


def test_f46_a_301_with_the_buckets_region_is_followed_once(s3: Tried) -> None:
    moved = faults.redirect(301, region=ELSEWHERE)
    s3.fake.script(INITIATE, moved, forever=True)
    error = s3.fails(WrongRegionError)
    assert ELSEWHERE in str(error) and s3.count(INITIATE) <= 3


TRAPS = ["127.0.0.1:{port}/#", "x.invalid:{port}/#", "eu west 3", "EU-WEST-3", "a" * 65, "../x"]


@pytest.mark.parametrize("trap", TRAPS)
@pytest.mark.parametrize("how", ["header", "body"])
def test_f47_a_region_that_is_none_is_not_believed(how: str, trap: str, s3: Tried) -> None:
    with RawServer(lambda sock, number: None) as stranger:
        region = trap.format(port=stranger.port)
        if how == "header":
            fault = faults.redirect(301, region=region)
        else:
            fault = faults.answer(400, "AuthorizationHeaderMalformed", details={"Region": region})
        s3.fake.script(INITIATE, fault, forever=True)
        where = s3.driver.connection.endpoint
        s3.fails(S3MultipartError)
        assert stranger.connections == 0
    assert s3.driver.connection.endpoint == where and s3.driver.region == "us-east-1"
    assert s3.count(INITIATE) == 1


def test_f48_a_redirect_to_the_same_server_is_followed_with_the_body(s3: Tried) -> None:
    here = f"http://127.0.0.1:{s3.server.port}/bucket/key"
    s3.fake.script(PART, faults.redirect(307, here), part_number=2)
    s3.succeeds()


def test_f48_redirects_for_ever_are_an_error(s3: Tried) -> None:
    here = f"http://127.0.0.1:{s3.server.port}/bucket/key"
    s3.fake.script(PART, faults.redirect(307, here), part_number=2, forever=True)
    s3.fails(S3MultipartError)
    assert s3.count(PART, 2) <= 6


@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize("verb", VERBS)
def test_f49_a_redirect_to_a_stranger_is_never_followed(verb: str, status: int, s3: Tried) -> None:
    heads: list[bytes] = []

    def listen(sock: socket.socket, number: int) -> None:
        heads.append(read_request(sock))

    with RawServer(listen) as stranger:
        away = faults.redirect(status, f"http://127.0.0.1:{stranger.port}/bucket/key")
        s3.fake.script(verb, away, forever=True)
        s3.fails(S3MultipartError)
        assert (stranger.connections, heads) == (0, [])
    assert s3.count(COMPLETE) <= 6


def test_f50_netrc_and_environment_do_not_replace_the_signature(
    s3: Tried, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "another")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "another")
    s3.succeeds()
    assert s3.driver.get_object("bucket", "key").size == 20
    signed = [record.headers["authorization"] for record in s3.fake.requests]
    assert all(value.startswith("AWS4-HMAC-SHA256 ") for value in signed)
    assert not any("x-amz-security-token" in record.headers for record in s3.fake.requests)


@pytest.mark.parametrize("source", [b"abc", None])
def test_f51_a_missing_bucket_is_libclouds_error_at_once(source: Any, s3: Tried) -> None:
    s3.fake.store.buckets.clear()
    with pytest.raises(ContainerDoesNotExistError) as caught:
        s3.timed(lambda: s3.upload(source or chunks(PARTS)))
    assert isinstance(caught.value, ContainerMissingError)
    assert caught.value.container_name == "bucket" and len(s3.fake.requests) == 1
