# SPDX-License-Identifier: Apache-2.0
"""How requests travel: which road is taken, what is signed, and what is never followed."""

from __future__ import annotations

import gc
import os
import ssl
import sys
import time
import pickle
import select
import socket
import logging
import threading
from typing import Any
from pathlib import Path
from collections.abc import Iterator

import pytest
import urllib3
import requests
import libcloud.common.base
from libcloud.http import LibcloudConnection
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPSConnection
from libcloud.storage.base import Container

from tests.fake_s3 import SECRET_KEY, FakeS3, FakeLimits, FakeServer, faults
from libcloud_s3mpu import AmazonS3MultipartDriver
from tests.unit.small import (
    AT_ONCE,
    Apart,
    Service,
    whole,
    chunks,
    service,
    make_plain,
    make_driver,
    close_driver,
)
from tests.fake_s3.tls import make_certificate
from libcloud_s3mpu.transfer.http import transport_error
from libcloud_s3mpu.protocol.errors import TransportError, WrongRegionError, InvalidRequestError
from libcloud_s3mpu.protocol.limits import S3_LIMITS
from libcloud_s3mpu.protocol.messages import S3Request
from libcloud_s3mpu.transfer.connection import S3MultipartConnection

ROADS = ["lean", "plain"]
ODD_KEYS = ["a b", "a+b", "a%41b", "/lead", "a//b", "a/./b", "a/../b", "../other/stolen", "..",
            "trail/", "ü/é", "e\u0301", "🦊", "?&=#;:@", "a'b\"c", "\\", "~",
            "tab\tkey"]  # fmt: skip


@pytest.fixture
def running() -> Iterator[Service]:
    with service() as it:
        yield it


def on_road(it: Service, road: str) -> Service:
    if road == "plain":
        make_plain(it.driver)
    assert it.driver.ex_transport == road
    return it


class OtherConnection(LibcloudConnection):
    """An app's own connection class."""


# -- which road ------------------------------------------------------------------------------------


def test_the_lean_road_is_taken_where_nothing_forbids_it(running: Service) -> None:
    assert running.driver.ex_transport == "lean"


def set_proxy(driver: Any) -> None:
    driver.connection.connection.set_http_proxy("http://127.0.0.1:9")


def set_hook(driver: Any) -> None:
    driver.connection.connection.session.hooks["response"].append(lambda answer, **_: answer)


def set_header(driver: Any) -> None:
    driver.connection.connection.session.headers["X-App"] = "1"


def set_params(driver: Any) -> None:
    driver.connection.connection.session.params = {"a": "b"}


def set_auth(driver: Any) -> None:
    driver.connection.connection.session.auth = lambda request: request


def set_adapter(driver: Any) -> None:
    class Logging(HTTPAdapter):
        pass

    driver.connection.connection.session.mount("http://", Logging())


def set_class(driver: Any) -> None:
    driver.connection.conn_class = OtherConnection
    driver.connection.connect()


CHANGES = [set_proxy, set_hook, set_header, set_params, set_auth, set_adapter, set_class]


@pytest.mark.parametrize("is_used_before", [False, True])
@pytest.mark.parametrize("change", CHANGES)
def test_whatever_only_libcloud_honours_makes_the_road_plain(
    change: Any, is_used_before: bool, running: Service
) -> None:
    if is_used_before:
        running.upload(b"abc")
        assert running.driver.ex_transport == "lean"
    change(running.driver)
    assert running.driver.ex_transport == "plain"


def test_where_poll_was_taken_away_the_road_is_plain(
    running: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As eventlet does, whenever it is told to patch."""
    running.upload(b"abc")
    monkeypatch.delattr(select, "poll")
    assert running.driver.ex_transport == "plain"


def test_where_tls_is_not_pythons_own_the_road_is_plain(
    running: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As urllib3.contrib.pyopenssl does, whenever it is told to."""
    running.upload(b"abc")
    monkeypatch.setattr(urllib3.util.ssl_, "IS_PYOPENSSL", True)
    assert running.driver.ex_transport == "plain"


class OtherSocket:
    """TLS by another class than Python's, as gevent has it."""

    def __init__(self, real: ssl.SSLSocket) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


def test_a_socket_is_tls_by_its_address_and_not_by_its_class(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Else a file's bytes would go past TLS, by sendfile."""
    real = HTTPSConnection.connect

    def connect(self: Any) -> None:
        real(self)
        self.sock = OtherSocket(self.sock)

    monkeypatch.setattr(HTTPSConnection, "connect", connect)
    path = tmp_path / "file"
    path.write_bytes(whole(8))
    with service(tls=True) as it, open(path, "rb") as file:
        assert it.driver.ex_transport == "lean"
        it.upload(file)
        assert it.stored() == whole(8)


def test_libclouds_retry_flag_makes_the_road_plain(
    running: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(libcloud.common.base, "RETRY_FAILED_HTTP_REQUESTS", True)
    assert running.driver.ex_transport == "plain"
    monkeypatch.setattr(libcloud.common.base, "RETRY_FAILED_HTTP_REQUESTS", False)
    assert running.driver.ex_transport == "lean"


def test_a_proxy_of_the_environment_makes_the_road_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with FakeServer(FakeS3()) as server:
        driver = make_driver(server)
        driver.connection.endpoint = type(driver.connection.endpoint)("http", "s3.invalid", 80)
        assert driver.ex_transport == "plain"
        close_driver(driver)


@pytest.mark.parametrize("key", ["a/./b", "a/../b", "..", "../other/key"])
@pytest.mark.parametrize("source", [b"abc", whole(4)])
def test_a_key_that_an_http_proxy_would_rewrite_is_refused(
    source: bytes, key: str, running: Service
) -> None:
    set_proxy(running.driver)  # Nothing listens there: whatever is sent is another error.
    with pytest.raises(InvalidRequestError, match="proxy rewrites"):
        running.upload(source, key=key)


def test_hooks_headers_and_adapters_see_every_request_of_an_upload(running: Service) -> None:
    seen = []
    session = running.driver.connection.connection.session
    session.hooks["response"].append(lambda answer, **_: seen.append(answer.request.method))
    session.headers["X-App"] = "1"
    running.upload(chunks(3))
    assert running.stored() == whole(3)
    assert sorted(seen) == ["POST", "POST", "PUT", "PUT", "PUT"]
    assert {record.headers.get("x-app") for record in running.fake.requests} == {"1"}


def test_an_unknown_connection_class_gets_no_threads(running: Service) -> None:
    threads = set()

    class Watching(OtherConnection):
        def request(self, *args: Any, **kwargs: Any) -> None:
            threads.add(threading.current_thread())
            super().request(*args, **kwargs)

        def prepared_request(self, *args: Any, **kwargs: Any) -> None:
            threads.add(threading.current_thread())
            super().prepared_request(*args, **kwargs)

    running.driver.connection.conn_class = Watching
    running.driver.connection.connect()
    running.upload(chunks(8))
    assert running.stored() == whole(8)
    assert threads == {threading.current_thread()}


def test_a_connection_class_that_rewrites_paths_gets_no_such_path(running: Service) -> None:
    running.driver.connection.conn_class = OtherConnection
    running.driver.connection.connect()
    for key in ("a/../b", "../other/stolen", "./a", "a//b", "/a"):
        with pytest.raises(InvalidRequestError, match="rewrites paths"):
            running.upload(b"abc", key=key)
    assert running.keys == []


def test_no_class_of_libcloud_is_written_to(running: Service) -> None:
    running.upload(chunks(3))
    fresh = LibcloudConnection("127.0.0.1", 1)
    assert type(fresh.session.adapters["http://"]) is HTTPAdapter
    fresh.session.close()


# -- what is sent ----------------------------------------------------------------------------------


@pytest.mark.parametrize("road", ROADS)
@pytest.mark.parametrize("key", ODD_KEYS)
def test_an_object_arrives_under_exactly_its_key(key: str, road: str, running: Service) -> None:
    on_road(running, road)
    running.upload(b"abc", key=key)
    running.upload(chunks(3), key=key)
    assert running.keys == [key]
    assert running.stored(key) == whole(3)
    found = running.driver.get_object("bucket", key)
    assert (found.name, found.size) == (key, 15)
    assert b"".join(found.as_stream()) == whole(3)
    assert [item.name for item in running.container.list_objects()] == [key]
    assert running.driver.delete_object(found)
    assert running.keys == []


@pytest.mark.parametrize("road", ROADS)
def test_each_attempt_is_signed_anew(
    road: str, running: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_road(running, road)
    ticks = iter(range(1000))

    class Ticking:
        """The clock of the signing module, one second later at each look."""

        gmtime = staticmethod(time.gmtime)
        strftime = staticmethod(time.strftime)
        time = staticmethod(lambda: time.time() + next(ticks))

    signing = sys.modules[S3MultipartConnection.signed_headers.__module__]
    running.fake.script("UploadPart", faults.error("InternalError"), part_number=2)
    monkeypatch.setattr(signing, "time", Ticking)
    running.upload(chunks(3))
    sent = [r.headers for r in running.fake.requests_of("UploadPart") if r.part_number == 2]
    assert len(sent) == 2
    assert sent[0]["x-amz-date"] != sent[1]["x-amz-date"]
    assert sent[0]["authorization"] != sent[1]["authorization"]


@pytest.mark.parametrize("road", ROADS)
def test_changed_keys_and_token_sign_the_next_request(road: str) -> None:
    credentials = {"OLD": "old", "NEW": ("new", "the-token")}
    with service(credentials=credentials, driver={"key": "OLD", "secret": "old"}) as it:
        on_road(it, road)
        with it.server.hold_parts(until=4):  # Four connections are kept from this one.
            it.upload(chunks(8), key="first", concurrency=4)
        connection = it.driver.connection
        connection.user_id, connection.key, connection.token = "NEW", "new", "the-token"
        number = len(it.fake.requests)
        with it.server.hold_parts(until=4):
            it.upload(chunks(8), key="second", concurrency=4)
        sent = [record.headers for record in it.fake.requests[number:]]
        assert {headers.get("x-amz-security-token") for headers in sent} == {"the-token"}
        assert it.keys == ["first", "second"]


@pytest.mark.parametrize("road", ROADS)
@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirects_are_never_followed(status: int, road: str, running: Service) -> None:
    on_road(running, road)
    stranger = FakeS3(anonymous=True, buckets=("bucket",))
    with FakeServer(stranger) as other:
        for operation in ("PutObject", "InitiateMultipartUpload", "HeadObject", "ListObjectsV2"):
            fault = faults.redirect(status, f"{other.endpoint}/bucket/key", region="eu-west-1")
            running.fake.script(operation, fault, forever=True)
        with pytest.raises(WrongRegionError, match="eu-west-1"):
            running.upload(b"abc")
        with pytest.raises(WrongRegionError):
            running.upload(chunks(3))
        for call in (
            lambda: running.driver.get_object("bucket", "key"),
            lambda: running.container.list_objects(),
        ):
            with pytest.raises(Exception, match=str(status)):
                call()
        assert stranger.requests == []
        assert other.connections == 0


GLOBAL = "s3.amazonaws.com"


@pytest.mark.parametrize(
    ("before", "location", "after", "region"),
    [
        (
            GLOBAL,
            "https://b.s3.eu-west-3.amazonaws.com/k",
            "s3.eu-west-3.amazonaws.com",
            "eu-west-3",
        ),
        (
            GLOBAL,
            "https://b.s3-us-east-1.amazonaws.com/k",
            "s3.us-east-1.amazonaws.com",
            "us-east-1",
        ),
        (GLOBAL, "http://b.s3.eu-west-3.amazonaws.com/k", None, "us-east-1"),
        (GLOBAL, "https://s3.eu-west-3.evil.example/b/k", None, "us-east-1"),
        (GLOBAL, "https://169.254.169.254/b/k", None, "us-east-1"),
        ("minio.example", "https://b.s3.eu-west-3.amazonaws.com/k", None, "us-east-1"),
    ],
)
def test_a_new_buckets_redirect_is_followed_among_awss_own_hosts(
    before: str, location: str, after: str | None, region: str
) -> None:
    driver = AmazonS3MultipartDriver("key", "secret", host=before, region="us-east-1")
    error = WrongRegionError("moved", container="b", object_name="k")
    error.location = location
    assert driver._transport.adapt(error) == (after is not None)
    assert driver.connection.endpoint.host == (after or before)
    assert driver.region_name == region
    close_driver(driver)


@pytest.mark.parametrize("road", ROADS)
@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_back_here_keeps_method_and_body(
    status: int, road: str, running: Service
) -> None:
    on_road(running, road)
    here = f"http://127.0.0.1:{running.server.port}/bucket/key"
    back = faults.redirect(status, f"{here}?X-Amz-Signature=ab")
    for operation in ("PutObject", "InitiateMultipartUpload", "CompleteMultipartUpload"):
        running.fake.script(operation, back, back, back)
    if status == 302:  # A 302 may turn a POST into a GET: none of S3's.
        with pytest.raises(WrongRegionError) as caught:
            running.upload(b"abc")
        assert caught.value.location is None
        return
    running.upload(b"abc")
    assert running.stored() == b"abc"
    running.upload(chunks(3))
    assert running.stored() == whole(3)
    running.fake.script("PutObject", back, forever=True)
    with pytest.raises(WrongRegionError, match=str(status)) as caught:
        running.upload(b"abc")
    assert caught.value.location == here
    assert pickle.loads(pickle.dumps(caught.value)).location == here


@pytest.mark.parametrize("road", ROADS)
def test_netrc_never_replaces_the_signature(
    road: str, running: Service, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / ".netrc"
    netrc.write_text(
        "machine 127.0.0.1 login intruder password secret\ndefault login x password y\n"
    )
    netrc.chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(netrc))
    assert requests.utils.get_netrc_auth(running.server.endpoint) == ("intruder", "secret")
    on_road(running, road)
    running.upload(chunks(3))
    assert running.driver.get_object("bucket", "key").size == 15
    assert len(running.container.list_objects()) == 1
    for record in running.fake.requests:
        assert record.headers["authorization"].startswith("AWS4-HMAC-SHA256")


@pytest.mark.parametrize("road", ROADS)
def test_no_secret_is_in_logs_errors_or_reprs(road: str, caplog: pytest.LogCaptureFixture) -> None:
    with service(
        credentials={"KEY": (SECRET_KEY, "the-token")}, driver={"key": "KEY", "token": "the-token"}
    ) as it:
        on_road(it, road)
        it.fake.script("UploadPart", faults.reset("head"), faults.error("SlowDown"), part_number=2)
        it.fake.script("AbortMultipartUpload", faults.error("AccessDenied"), forever=True)
        it.fake.script("CompleteMultipartUpload", faults.error("InvalidPart"))
        with caplog.at_level(logging.DEBUG), pytest.raises(Exception) as caught:
            it.upload(chunks(3))
        signatures = [r.headers["authorization"].rpartition("=")[2] for r in it.fake.requests]
        text = caplog.text + repr(caught.value) + str(caught.value) + repr(it.driver)
        text += "".join(getattr(caught.value, "__notes__", []))
        for secret in (SECRET_KEY, "the-token", "X-Amz-Signature", *signatures):
            assert secret not in text


# -- TLS -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("road", ROADS)
def test_an_upload_over_tls_carries_a_checksum_that_the_service_verifies(road: str) -> None:
    with service(tls=True) as it:
        on_road(it, road)
        it.upload(chunks(8))
        it.upload(b"abc", key="single")
        assert (it.stored(), it.stored("single")) == (whole(8), b"abc")
        for record in it.fake.requests_of("UploadPart") + it.fake.requests_of("PutObject"):
            assert record.headers["x-amz-content-sha256"] == "UNSIGNED-PAYLOAD"
            assert any(name.startswith("x-amz-checksum-crc32") for name in record.headers)


@pytest.mark.parametrize("road", ROADS)
def test_an_unknown_issuer_is_refused_and_not_tried_again(road: str) -> None:
    with service(tls=True) as it:
        on_road(it, road)
        it.driver.connection.connection.ca_cert = None
        with pytest.raises(TransportError) as caught:
            it.upload(b"abc")
        assert isinstance(caught.value, requests.exceptions.SSLError)
        assert not caught.value.retryable
        assert it.fake.requests == []
        assert it.server.connections == 1


def test_another_hosts_certificate_is_refused(tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path, ("other.example",))
    with FakeServer(FakeS3(buckets=("bucket",)), certificate=certificate) as server:
        driver = make_driver(server)
        with pytest.raises(requests.exceptions.SSLError):
            driver.upload_object_via_stream(b"abc", Container("bucket", {}, driver), "key")
        assert server.fake.requests == []
        close_driver(driver)


def test_the_name_of_another_host_is_not_tried_again_with_any_urllib3() -> None:
    """Below version 2 it has an error of its own for that, within requests' and its own."""
    theirs = type("CertificateError", (ValueError,), {})("hostname 'x' doesn't match 'y'")
    error = requests.exceptions.SSLError(urllib3.exceptions.SSLError(theirs))
    request = S3Request(operation="PutObject", method="PUT", bucket="bucket", key="key")
    made = transport_error(request, error)
    assert isinstance(made, requests.exceptions.SSLError)
    assert not made.retryable and not made.was_sent


@pytest.mark.parametrize("first", [b"", b"x", ""])
def test_an_empty_chunk_is_no_obstacle_on_tls(first: Any) -> None:
    data = b"y" * 40_000
    with service(tls=True, limits=FakeLimits()) as it:
        it.driver.ex_limits = S3_LIMITS
        it.upload(iter([first, data, b"", data, b""]), part_size_bytes=None)
        assert it.stored() == (first or b"") + data * 2


# -- connections -----------------------------------------------------------------------------------


def test_connections_are_kept_between_uploads(running: Service) -> None:
    for number in range(5):
        running.upload(chunks(3), key=str(number), concurrency=1)
    assert running.server.connections == 1


def test_a_refused_connection_is_a_transport_error_of_the_retried_kind() -> None:
    with service() as it:
        pass
    with pytest.raises(requests.exceptions.ConnectionError) as caught:
        it.upload(b"abc", retry=type(AT_ONCE)(max_attempts=1))
    assert isinstance(caught.value, TransportError) and caught.value.retryable
    assert "refused" in str(caught.value)


@pytest.mark.parametrize("road", ROADS)
def test_a_forked_child_does_not_use_its_parents_sockets(
    road: str, running: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_road(running, road)
    running.upload(b"abc")
    running.driver.connection.request("/bucket")  # Which is libcloud's own way on either road.
    before = running.server.connections
    parent = os.getpid()
    idle = dict(running.driver._transport._idle)
    monkeypatch.setattr(os, "getpid", lambda: parent + 1)
    for _ in range(2):
        running.upload(b"abc", key="child")
        running.driver.connection.request("/bucket")
    assert running.server.connections == before + (1 if road == "plain" else 2)
    for channels in idle.values():
        for channel in channels:
            channel.close()


def test_a_driver_that_is_let_go_closes_its_sockets(recwarn: pytest.WarningsRecorder) -> None:
    with FakeServer(FakeS3(buckets=("bucket",))) as server:
        driver: Any = make_driver(server)
        driver.upload_object_via_stream(chunks(3), Container("bucket", {}, driver), "key")
        del driver
        gc.collect()
    assert [str(w.message) for w in recwarn if issubclass(w.category, ResourceWarning)] == []


@pytest.mark.parametrize("road", ROADS)
def test_an_upload_lets_go_of_the_callers_buffers(road: str, running: Service) -> None:
    on_road(running, road)
    buffer = bytearray(whole(8))
    running.upload(buffer)
    buffer.append(1)  # BufferError while anything holds a view of it.
    assert running.stored() == whole(8)


def test_two_threads_never_share_a_connection_after_a_lazy_connect(running: Service) -> None:
    connection = running.driver.connection
    connection.connection.session.close()
    connection.connection = None
    running.container.list_objects()
    stalled = faults.stall("answer")
    running.fake.script("ListObjectsV2", stalled)
    one = Apart(lambda: running.container.list_objects())
    assert stalled.wire is not None and stalled.wire.reached.wait(30)
    assert len({id(clone) for clone in connection._idle}) == len(connection._idle)
    assert running.driver.get_container("bucket").name == "bucket"
    stalled.wire.release.set()
    assert one.result() == []


@pytest.mark.parametrize("style", ["path", "virtual"])
@pytest.mark.parametrize("road", ROADS)
def test_both_addressing_styles_reach_the_bucket(
    style: str, road: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = socket.getaddrinfo  # Not every system resolves names below localhost.
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, *more, **named: real("127.0.0.1", *more, **named)
    )
    fake = FakeS3(buckets=("bucket",), vhost_domain="localhost")
    with FakeServer(fake) as server:
        driver = AmazonS3MultipartDriver(
            "AKIDFAKE",
            SECRET_KEY,
            ex_endpoint_url=f"http://localhost:{server.port}",
            ex_addressing=style,  # type: ignore[arg-type]
        )
        if road == "plain":
            make_plain(driver)
        try:
            driver.upload_object_via_stream(b"abc", Container("bucket", {}, driver), "a/../b c")
        finally:
            close_driver(driver)
    assert list(fake.objects["bucket"]) == ["a/../b c"]
    host = fake.requests[-1].headers["host"].partition(":")[0]
    assert host == ("bucket.localhost" if style == "virtual" else "localhost")
