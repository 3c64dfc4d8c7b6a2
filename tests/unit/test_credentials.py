# SPDX-License-Identifier: Apache-2.0
"""Keys that run out: when they are asked for, by whom, and what an upload makes of it."""

from __future__ import annotations

import copy
import time
import pickle
import threading
from typing import Any
from datetime import datetime, timezone
from collections.abc import Callable, Iterator

import pytest
from libcloud.common.types import InvalidCredsError

from tests.fake_s3 import ACCESS_KEY, SECRET_KEY, faults
from tests.unit.small import Apart, Service, whole, chunks, service, make_plain, close_driver
from libcloud_s3mpu.driver import AmazonS3MultipartDriver
from libcloud_s3mpu.transfer import credentials as subject
from libcloud_s3mpu.protocol.signing import Credentials
from libcloud_s3mpu.transfer.credentials import (
    CredentialsError,
    CredentialsSource,
    ExpiringCredentials,
    as_credentials,
)

FIRST = Credentials("AKID1", "secret-1", "token-1")
SECOND = Credentials("AKID2", "secret-2", "token-2")


class Issuer:
    """A callable that gives keys in turn, the last for ever, and counts."""

    def __init__(self, *given: Any) -> None:
        self.given = list(given)
        self.calls = 0

    def __call__(self) -> Any:
        self.calls += 1
        found = self.given.pop(0) if len(self.given) > 1 else self.given[0]
        if isinstance(found, BaseException):
            raise found
        return found


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def source(call: Any, clock: Clock, **kwargs: Any) -> CredentialsSource:
    return CredentialsSource(call, clock=clock, **kwargs)


# -- what the callable may give --------------------------------------------------------------------


class Frozen:
    access_key, secret_key, token = "AKID1", "secret-1", "token-1"


class Botocore:
    _expiry_time = datetime(2026, 12, 1, tzinfo=timezone.utc)

    def get_frozen_credentials(self) -> Frozen:
        return Frozen()


EPOCH = datetime(2026, 12, 1, tzinfo=timezone.utc).timestamp()
STS = {
    "AccessKeyId": "AKID1",
    "SecretAccessKey": "secret-1",
    "SessionToken": "token-1",
    "Expiration": datetime(2026, 12, 1, tzinfo=timezone.utc),
}
IMDS = {
    "Code": "Success",
    "AccessKeyId": "AKID1",
    "SecretAccessKey": "secret-1",
    "Token": "token-1",
    "Expiration": "2026-12-01T00:00:00Z",
}
NUXEO = {
    "awsSecretKeyId": "AKID1",
    "awsSecretAccessKey": "secret-1",
    "awsSessionToken": "token-1",
    "expiration": EPOCH * 1000,
    "bucket": "b",
}


@pytest.mark.parametrize(
    "given",
    [
        ExpiringCredentials(FIRST, EPOCH),
        ExpiringCredentials(FIRST, str(int(EPOCH))),
        STS,
        {"Credentials": STS, "AssumedRoleUser": {}},
        IMDS,
        NUXEO,
        {"access_key": "AKID1", "secret_key": "secret-1", "token": "token-1", "expires_at": EPOCH},
        ("AKID1", "secret-1", "token-1", EPOCH),
        Botocore(),
    ],
    ids=["ours", "text", "sts", "sts-nested", "imds", "nuxeo", "snake", "tuple", "botocore"],
)
def test_all_usual_forms_are_read(given: Any) -> None:
    found = as_credentials(given)
    assert (found.credentials, found.expires_epoch) == (FIRST, EPOCH)


@pytest.mark.parametrize("given", [FIRST, ("AKID1", "secret-1", "token-1"), Frozen()])
def test_keys_without_an_expiry_do_not_expire(given: Any) -> None:
    found = as_credentials(given)
    assert (found.credentials, found.expires_epoch) == (FIRST, None)


@pytest.mark.parametrize(
    "given",
    [
        None,
        "secret-1",
        {},
        {"AccessKeyId": "AKID1"},
        ("AKID1",),
        ("AKID1", ""),
        ("AKID1", "secret-1", 7),
        ("AKID\r\n1", "secret-1"),
        ("AKID1", "secret-1", "to\nken"),
        ("AKID1", "secret-1", None, "tomorrow"),
        ("AKID1", "secret-1", None, datetime(2026, 12, 1)),
    ],
)
def test_what_is_no_keys_is_refused_without_being_quoted(given: Any, clock: Clock) -> None:
    with pytest.raises(CredentialsError) as caught:
        source(lambda: given, clock).current()
    assert "secret-1" not in str(caught.value) and "test_what_is_no_keys" in str(caught.value)
    assert isinstance(caught.value.__cause__, ValueError)


def test_nothing_shows_the_secret() -> None:
    value = ExpiringCredentials(FIRST, EPOCH)
    assert repr(value) == "<ExpiringCredentials <Credentials AKID...> until 2026-12-01T00:00:00Z>"
    kept = CredentialsSource(Issuer(value))
    kept.current()
    assert repr(kept) == f"<CredentialsSource {__name__}.Issuer>"
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(kept)


# -- when it is asked ------------------------------------------------------------------------------


def test_it_is_asked_once_until_shortly_before_the_expiry(clock: Clock) -> None:
    issuer = Issuer((*_of(FIRST), clock.now + 3600), (*_of(SECOND), clock.now + 7200))
    keys = source(issuer, clock)
    assert [keys.current() for _ in range(5)] == [FIRST] * 5
    clock.now += 3600 - 301
    assert (keys.current(), issuer.calls) == (FIRST, 1)
    clock.now += 2
    assert (keys.current(), issuer.calls) == (SECOND, 2)


def test_keys_that_live_shortly_are_used_for_half_of_their_life(clock: Clock) -> None:
    issuer = Issuer((*_of(FIRST), clock.now + 100), (*_of(SECOND), clock.now + 3600))
    keys = source(issuer, clock)
    keys.current()
    clock.now += 49
    assert keys.current() == FIRST
    clock.now += 2
    assert keys.current() == SECOND


def test_a_callable_that_gives_expired_keys_is_not_stormed(clock: Clock) -> None:
    issuer = Issuer((*_of(FIRST), clock.now - 100))
    keys = source(issuer, clock)
    for _ in range(50):
        assert keys.current() == FIRST
    assert issuer.calls == 1
    clock.now += 11
    keys.current()
    assert issuer.calls == 2


def test_a_failure_does_not_matter_while_the_old_keys_are_valid(clock: Clock) -> None:
    issuer = Issuer((*_of(FIRST), clock.now + 3600), OSError("no route"))
    keys = source(issuer, clock)
    keys.current()
    clock.now += 3400
    for _ in range(20):
        assert keys.current() == FIRST
    assert issuer.calls == 2
    clock.now += 201
    with pytest.raises(CredentialsError, match=r"Issuer\) failed: OSError: no route") as caught:
        keys.current()
    assert caught.value.retryable and isinstance(caught.value.__cause__, OSError)
    assert isinstance(caught.value, InvalidCredsError)


def test_a_mistake_of_the_callable_is_not_tried_again(clock: Clock) -> None:
    with pytest.raises(CredentialsError, match="KeyError") as caught:
        source(Issuer(KeyError("Credentials")), clock).current()
    assert not caught.value.retryable


def test_an_interrupt_of_the_callable_comes_out_and_leaves_nothing_locked(clock: Clock) -> None:
    keys = source(Issuer(KeyboardInterrupt(), FIRST), clock)
    with pytest.raises(KeyboardInterrupt):
        keys.current()
    assert keys.current() == FIRST


def test_a_turn_that_was_lost_is_made_anew(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "PATIENCE_SECONDS", 0.05)
    keys = source(Issuer(FIRST), clock)
    keys._turn.clear()  # As if a Ctrl-C had landed behind the pop.
    assert Apart(keys.current).result() == FIRST


def test_a_forked_child_does_not_wait_for_a_thread_of_its_parent(clock: Clock) -> None:
    keys = source(Issuer(FIRST), clock)
    keys._turn.clear()
    keys._pid = -1
    assert Apart(keys.current).result(2) == FIRST


# -- many threads ----------------------------------------------------------------------------------


class Slow:
    """An issuer that holds its caller until it is told to go on."""

    def __init__(self, *given: Any) -> None:
        self.issuer = Issuer(*given)
        self.entered = threading.Event()
        self.go_on = threading.Event()

    def __call__(self) -> Any:
        self.entered.set()
        assert self.go_on.wait(10)
        return self.issuer()


def test_threads_that_have_no_keys_wait_for_one_call(clock: Clock) -> None:
    slow = Slow((*_of(FIRST), clock.now + 3600))
    keys = source(slow, clock)
    calls = [Apart(keys.current) for _ in range(16)]
    assert slow.entered.wait(10)
    slow.go_on.set()
    assert [call.result() for call in calls] == [FIRST] * 16
    assert slow.issuer.calls == 1


def test_threads_go_on_with_valid_keys_while_one_asks(clock: Clock) -> None:
    slow = Slow((*_of(FIRST), clock.now + 3600), (*_of(SECOND), clock.now + 7200))
    keys = source(slow, clock)
    slow.go_on.set()
    keys.current()
    slow.go_on.clear()
    slow.entered.clear()
    clock.now += 3500
    asking = Apart(keys.current)
    assert slow.entered.wait(10)
    assert [keys.current() for _ in range(5)] == [FIRST] * 5
    slow.go_on.set()
    assert (asking.result(), keys.current(), slow.issuer.calls) == (SECOND, SECOND, 2)


def test_sixteen_refusals_are_one_call(clock: Clock) -> None:
    slow = Slow(FIRST, SECOND)
    keys = source(slow, clock)
    slow.go_on.set()
    keys.current()
    slow.go_on.clear()
    calls = [Apart(lambda: keys.refresh(FIRST)) for _ in range(16)]
    slow.go_on.set()
    assert [call.result() for call in calls] == [True] * 16
    assert slow.issuer.calls == 2
    assert keys.refresh(FIRST) and slow.issuer.calls == 2


def test_threads_share_the_failure_of_the_call_they_waited_for(clock: Clock) -> None:
    slow = Slow(OSError("no route"))
    keys = source(slow, clock)
    calls = [Apart(keys.current) for _ in range(8)]
    assert slow.entered.wait(10)
    time.sleep(0.1)  # All of them are waiting by now, or ask once more: both are right.
    slow.go_on.set()
    assert all(isinstance(call.end(), CredentialsError) for call in calls)
    assert slow.issuer.calls < 8


# -- refused keys ----------------------------------------------------------------------------------


def test_the_same_keys_again_are_no_reason_to_try_again(clock: Clock) -> None:
    issuer = Issuer(FIRST)
    keys = source(issuer, clock)
    keys.current()
    assert not keys.refresh(FIRST)
    assert issuer.calls == 2


def test_keys_that_have_just_changed_are_not_asked_for_again(clock: Clock) -> None:
    issuer = Issuer(FIRST, SECOND)
    keys = source(issuer, clock)
    keys.current()
    assert keys.refresh() and keys.refresh()
    assert issuer.calls == 2
    clock.now += 60
    assert not keys.refresh() and not keys.refresh()
    assert issuer.calls == 3


def test_a_callable_that_fails_after_a_refusal_is_what_the_next_request_reports(
    clock: Clock,
) -> None:
    keys = source(Issuer(FIRST, ValueError("gone")), clock)
    keys.current()
    assert keys.refresh(FIRST)
    with pytest.raises(CredentialsError, match="ValueError: gone"):
        keys.current()


# -- the driver ------------------------------------------------------------------------------------


def _of(keys: Credentials) -> tuple[str, str, str | None]:
    return keys.access_key, keys.secret_key, keys.token


@pytest.fixture(params=["lean", "plain"])
def issued(request: pytest.FixtureRequest) -> Iterator[tuple[Service, Issuer]]:
    """A service that knows both pairs of keys, and a driver that begins with the first."""
    issuer = Issuer(FIRST, SECOND)
    keys = {"key": "", "secret": None, "ex_credentials": issuer}
    known = {k.access_key: (k.secret_key, k.token or "") for k in (FIRST, SECOND)}
    with service(driver=keys, credentials=known) as made:
        if request.param == "plain":
            make_plain(made.driver)
        yield made, issuer


def test_every_request_is_signed_with_what_it_gives(issued: tuple[Service, Issuer]) -> None:
    made, issuer = issued
    made.upload(chunks(3))
    made.driver.list_container_objects(made.container)
    made.driver.get_object("bucket", "key")
    tokens = {record.headers["x-amz-security-token"] for record in made.fake.requests}
    assert (tokens, issuer.calls) == ({"token-1"}, 1)
    assert (made.driver.key, made.driver.connection.token) == ("AKID1", "token-1")


def test_keys_that_run_out_in_mid_upload_are_replaced_once(
    issued: tuple[Service, Issuer],
) -> None:
    made, issuer = issued

    def source() -> Iterator[bytes]:
        for number, chunk in enumerate(chunks(12)):
            if number == 6:
                made.fake.keyring.expired_tokens.add("token-1")
            yield chunk

    made.upload(source(), concurrency=4)
    assert made.stored() == whole(12)
    assert issuer.calls == 2
    assert made.fake.uploads == {}


def test_keys_that_run_out_without_others_end_the_upload_with_their_name(
    issued: tuple[Service, Issuer],
) -> None:
    made, issuer = issued
    issuer.given = [FIRST]
    made.fake.script("UploadPart", faults.error("ExpiredToken"), forever=True)
    with pytest.raises(InvalidCredsError, match="ExpiredToken"):
        made.upload(chunks(4))


def test_a_presigned_url_is_signed_with_what_it_gives(issued: tuple[Service, Issuer]) -> None:
    made, _ = issued
    made.upload(b"x")
    made.driver.connection.credentials_source = None
    made.driver.ex_set_credentials(ACCESS_KEY, SECRET_KEY)
    made.fake.keyring.credentials[ACCESS_KEY] = SECRET_KEY
    url = made.driver.get_object_cdn_url(made.driver.get_object("bucket", "key"))
    assert f"Credential={ACCESS_KEY}" in url


def test_a_presigned_url_before_any_request_has_keys() -> None:
    driver = AmazonS3MultipartDriver(ex_credentials=lambda: FIRST)
    container = type("C", (), {"name": "b"})()
    url = driver.get_object_cdn_url(type("O", (), {"name": "k", "container": container})())
    assert "Credential=AKID1" in url
    close_driver(driver)


def test_keys_or_a_callable_are_needed() -> None:
    with pytest.raises(TypeError, match="ex_credentials"):
        AmazonS3MultipartDriver()
    with pytest.raises(TypeError, match="callable"):
        AmazonS3MultipartDriver(ex_credentials=FIRST)  # type: ignore[arg-type]


def test_static_keys_changed_by_another_thread_are_others() -> None:
    with service() as made:
        used = Credentials(ACCESS_KEY, SECRET_KEY)
        connection = made.driver.connection
        assert not connection.refresh_credentials(used)
        assert not connection.refresh_credentials()
        connection.token = "another"
        assert connection.refresh_credentials(used)


# -- pickles and copies ----------------------------------------------------------------------------


def issue() -> Credentials:
    return Credentials(ACCESS_KEY, SECRET_KEY)


def unpickled(driver: Any) -> Any:
    data = pickle.dumps(driver)
    assert SECRET_KEY.encode() not in data or driver._ex_pickles
    return pickle.loads(data)


def test_an_unpickled_driver_has_no_keys_until_they_are_set() -> None:
    with service() as made:
        other = unpickled(made.driver)
        try:
            with pytest.raises(CredentialsError, match="ex_set_credentials"):
                other.upload_object_via_stream(iter(chunks(3)), made.container, "other")
            assert other.ex_options == made.driver.ex_options
            other.ex_set_credentials(ACCESS_KEY, SECRET_KEY)
            other.upload_object_via_stream(iter(chunks(3)), made.container, "other")
            assert made.stored("other") == whole(3)
        finally:
            close_driver(other)


@pytest.mark.parametrize(
    "kwargs",
    [
        {"ex_pickles_credentials": True},
        {"ex_credentials": issue, "key": "", "secret": None},
    ],
)
def test_an_unpickled_driver_works_if_asked_or_if_a_function_gives_its_keys(
    kwargs: dict[str, Any],
) -> None:
    with service(driver=kwargs) as made:
        made.driver.list_containers()
        other = unpickled(made.driver)
        try:
            other.upload_object_via_stream(iter(chunks(3)), made.container, "other")
            assert made.stored("other") == whole(3)
            assert other.connection is not made.driver.connection
        finally:
            close_driver(other)


def test_a_callable_that_may_hold_secrets_stays_behind() -> None:
    class_made = Issuer(Credentials(ACCESS_KEY, SECRET_KEY))
    with service(driver={"ex_credentials": class_made, "key": "", "secret": None}) as made:
        made.driver.list_containers()
        other = unpickled(made.driver)
        with pytest.raises(CredentialsError):
            other.list_containers()
        close_driver(other)


def test_a_proxys_password_stays_behind() -> None:
    with service() as made:
        made.driver.connection.proxy_url = "http://user:s3cret@proxy:3128"
        data = pickle.dumps(made.driver)
        assert b"s3cret" not in data
        close_driver(pickle.loads(data))


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_a_copy_in_this_process_keeps_its_keys(copied: Callable[[Any], Any]) -> None:
    with service() as made:
        other = copied(made.driver)
        try:
            other.upload_object_via_stream(iter(chunks(3)), made.container, "other")
            assert made.stored("other") == whole(3)
        finally:
            close_driver(other)


def test_a_container_and_an_object_are_pickled_without_keys() -> None:
    with service() as made:
        found = made.upload(chunks(3))
        other = unpickled_object(found)
        assert (other.name, other.size, other.container.name) == ("key", 15, "bucket")
        close_driver(other.driver)


def unpickled_object(found: Any) -> Any:
    data = pickle.dumps(found)
    assert SECRET_KEY.encode() not in data
    return pickle.loads(data)
