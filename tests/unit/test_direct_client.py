# SPDX-License-Identifier: Apache-2.0
"""The client of direct uploads: what it sends by URLs alone, and how it goes on."""

from __future__ import annotations

import json
import logging
from typing import Any
from pathlib import Path
from datetime import datetime, timezone, timedelta
from dataclasses import replace
from collections.abc import Iterator

import pytest

from tests.fake_s3 import faults
from tests.unit.small import AT_ONCE, Service, whole, chunks, service
from libcloud_s3mpu.direct import DirectUpload
from libcloud_s3mpu.direct_client import RENEWALS, DirectUploadClient
from libcloud_s3mpu.transfer.urls import UrlRequest, check_url
from libcloud_s3mpu.protocol.retry import RetryPolicy
from libcloud_s3mpu.protocol.direct import PartsMismatchError
from libcloud_s3mpu.protocol.errors import (
    SourceSizeError,
    AccessDeniedError,
    UploadMissingError,
    InvalidRequestError,
    RetriesExhaustedError,
    CompletionUnknownError,
)
from libcloud_s3mpu.protocol.session import UploadPausedError

DATA = whole(8) + b"xyz"


@pytest.fixture
def s3() -> Iterator[Service]:
    with service() as it:
        yield it


@pytest.fixture
def client() -> Iterator[DirectUploadClient]:
    with DirectUploadClient(retry=AT_ONCE) as made:
        yield made


class App:
    """The app's server as a client sees it: what crosses the network is JSON."""

    def __init__(self, direct: DirectUpload) -> None:
        self.direct = direct
        self.asked: list[list[int]] = []
        self.calls: list[str] = []

    def part_urls(self, numbers: list[int]) -> Any:
        self.asked.append(numbers)
        return json.loads(json.dumps(self.direct.part_urls(numbers)))

    def list_parts(self) -> Any:
        self.calls.append("list")
        return [
            {"PartNumber": part.part_number, "ETag": f'"{part.etag}"', "Size": part.size}
            for part in self.direct.list_parts()
        ]

    def complete(self, parts: Any) -> Any:
        self.calls.append("complete")
        return self.direct.complete(json.loads(json.dumps(parts)))

    def abort(self) -> None:
        self.calls.append("abort")
        self.direct.abort()


def begin(s3: Service, size: int = len(DATA), **options: Any) -> DirectUpload:
    options.setdefault("part_size_bytes", 5)
    return s3.driver.ex_create_direct_upload(s3.container, "key", size, **options)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "source"
    found.write_bytes(DATA)
    return found


@pytest.mark.parametrize("kind", ["path", "text", "file", "generator", "bytes"])
def test_every_source_goes_up_in_parts(
    kind: str, s3: Service, client: DirectUploadClient, path: Path
) -> None:
    direct = begin(s3)
    with open(path, "rb") as file:
        source = {
            "path": path,
            "text": str(path),
            "file": file,
            "generator": (DATA[at : at + 7] for at in range(0, len(DATA), 7)),
            "bytes": DATA,
        }[kind]
        made = client.upload(source, json.dumps(direct.as_dict()), App(direct))
    assert s3.stored() == DATA and made.size == len(DATA)
    assert sorted(map(int, filter(None, s3.sent_parts()))) == list(range(1, 10))


def test_without_an_app_the_tickets_urls_do_all(
    s3: Service, client: DirectUploadClient, path: Path
) -> None:
    client.upload(path, begin(s3).as_dict())
    assert s3.stored() == DATA and not s3.fake.uploads


@pytest.mark.parametrize("size", [0, 5])
@pytest.mark.parametrize("is_app", [True, False])
def test_a_small_object_is_one_put(
    size: int, is_app: bool, s3: Service, client: DirectUploadClient
) -> None:
    direct = begin(s3, size, content_type="text/plain")
    client.upload(DATA[:size], direct.as_dict(), App(direct) if is_app else None)
    assert s3.stored() == DATA[:size]
    assert s3.operations()[0] == "PutObject" and "InitiateMultipartUpload" not in s3.operations()
    assert s3.fake.requests[0].headers["content-type"] == "text/plain"


def test_by_tls_with_a_certificate_of_ones_own(path: Path) -> None:
    with service(tls=True) as s3:
        direct = begin(s3)
        ca_cert = str(s3.server.ca_file)
        with DirectUploadClient(retry=AT_ONCE, ca_cert=ca_cert) as client:
            client.upload(path, direct.as_dict())
        assert s3.stored() == DATA


@pytest.mark.parametrize("concurrency", [1, 3, None])
def test_parts_in_flight_are_bounded(concurrency: int | None, s3: Service, path: Path) -> None:
    direct = begin(s3)
    with DirectUploadClient(concurrency=concurrency, retry=AT_ONCE) as client:
        client.upload(path, direct.as_dict())
    assert s3.stored() == DATA
    assert s3.server.max_parts_in_flight <= (concurrency or 20)


def test_memory_is_bounded_in_bytes(s3: Service) -> None:
    direct = begin(s3, 100)
    with DirectUploadClient(memory_budget_bytes=10, retry=AT_ONCE) as client:
        client.upload(chunks(20), direct.as_dict())
    assert s3.stored() == whole(20) and s3.server.max_parts_in_flight <= 2


def test_libclouds_own_way_does_too(
    s3: Service, client: DirectUploadClient, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("libcloud_s3mpu.transfer.transport._CAN_BE_LEAN", False)
    direct = begin(s3)
    client.upload(path, direct.as_dict())
    assert s3.stored() == DATA and not client.sender.is_lean


def later(s3: Service, seconds: float) -> None:
    """Let time go by for the service, and for who signs; the URLs that were given stay."""
    s3.fake.clock = lambda: datetime.now(timezone.utc) + timedelta(seconds=seconds)
    s3.driver.connection.clock_offset = seconds


@pytest.mark.parametrize("concurrency", [1, None])
def test_urls_that_expired_are_replaced_by_asking(
    concurrency: int | None, s3: Service, path: Path
) -> None:
    direct = begin(s3, expires_seconds=60)
    ticket, app = direct.as_dict(), App(direct)
    later(s3, 120)
    with DirectUploadClient(concurrency=concurrency, retry=AT_ONCE) as client:
        client.upload(path, ticket, app)
    assert s3.stored() == DATA
    assert len(app.asked) <= 2, "URLs are asked for in batches, and once"


def test_urls_of_a_stream_too(s3: Service, client: DirectUploadClient) -> None:
    direct = begin(s3, 100, expires_seconds=60)
    ticket = direct.as_dict()
    later(s3, 120)
    client.upload(chunks(20), ticket, App(direct))
    assert s3.stored() == whole(20)


def test_a_ticket_may_have_few_urls_or_none(
    s3: Service, client: DirectUploadClient, path: Path
) -> None:
    direct = begin(s3)
    app = App(direct)
    client.upload(path, direct.as_dict([2]), app)
    assert s3.stored() == DATA
    assert app.asked == [[1, 3, 4, 5, 6, 7, 8, 9]]
    with pytest.raises(InvalidRequestError, match="no URL for part 1"):
        client.upload(path, begin(s3).as_dict([]), type("No", (App,), {
            "part_urls": lambda self, numbers: {}
        })(direct))  # fmt: skip


def test_without_an_app_an_expired_url_is_an_error(
    s3: Service, client: DirectUploadClient, path: Path
) -> None:
    direct = begin(s3, expires_seconds=60)
    ticket = direct.as_dict()
    later(s3, 120)
    with pytest.raises(AccessDeniedError) as caught:
        client.upload(path, ticket)
    assert "X-Amz-Signature" not in str(caught.value)


def test_a_refusal_that_fresh_urls_do_not_mend_is_believed(
    s3: Service, client: DirectUploadClient, path: Path
) -> None:
    direct = begin(s3)
    s3.fake.script("UploadPart", faults.error("AccessDenied"), part_number=3, forever=True)
    with pytest.raises(AccessDeniedError):
        client.upload(path, direct.as_dict(), App(direct))
    assert s3.sent_parts().count(3) == RENEWALS + 1
    assert s3.fake.uploads  # Kept: another upload() goes on.


@pytest.mark.parametrize(
    "fault", [faults.error("SlowDown"), faults.reset(), faults.error("InternalError")]
)
def test_failures_that_pass_are_tried_again(
    fault: Any, s3: Service, client: DirectUploadClient, path: Path
) -> None:
    s3.fake.script("UploadPart", fault, part_number=2)
    s3.fake.script("UploadPart", fault, part_number=9)
    direct = begin(s3)
    client.upload(path, direct.as_dict(), App(direct))
    assert s3.stored() == DATA


@pytest.mark.parametrize(("tls", "checksum"), [(False, "auto"), (False, "md5"), (True, "md5")])
def test_the_service_checks_each_part(tls: bool, checksum: str, path: Path) -> None:
    with service(tls=tls) as s3:
        s3.fake.script("UploadPart", faults.corrupt_received(), part_number=2)
        direct = begin(s3)
        ca_cert = str(s3.server.ca_file) if tls else None
        with DirectUploadClient(checksum=checksum, retry=AT_ONCE, ca_cert=ca_cert) as client:
            client.upload(path, direct.as_dict())
        assert s3.stored() == DATA and s3.sent_parts().count(2) == 2


@pytest.mark.parametrize(("tls", "checksum"), [(False, None), (True, None), (True, "auto")])
def test_tls_needs_no_other_check_and_one_can_go_without(
    tls: bool, checksum: str | None, path: Path
) -> None:
    with service(tls=tls) as s3:
        direct = begin(s3)
        ca_cert = str(s3.server.ca_file) if tls else None
        with DirectUploadClient(checksum=checksum, retry=AT_ONCE, ca_cert=ca_cert) as client:
            client.upload(path, direct.as_dict())
        parts = s3.fake.requests_of("UploadPart")
        assert s3.stored() == DATA and not any("content-md5" in it.headers for it in parts)


@pytest.mark.parametrize("concurrency", [1, None])
def test_on_plain_http_a_server_that_can_signs_each_part_as_it_is(
    concurrency: int | None, s3: Service, path: Path
) -> None:
    direct = begin(s3)
    s3.fake.script("UploadPart", faults.corrupt_received(), part_number=2)
    with DirectUploadClient(concurrency=concurrency, retry=AT_ONCE) as client:
        client.upload(path, direct.as_dict(), direct)
    parts = s3.fake.requests_of("UploadPart")
    assert s3.stored() == DATA and s3.sent_parts().count(2) == 2
    assert all("x-amz-content-sha256" in it.headers for it in parts)
    assert not any("content-md5" in it.headers for it in parts)


def test_one_put_is_signed_as_it_is_too(s3: Service, client: DirectUploadClient) -> None:
    direct = begin(s3, 5, content_type="text/plain")
    client.upload(b"abcde", direct.as_dict(), direct)
    (put,) = s3.fake.requests_of("PutObject")
    assert s3.stored() == b"abcde" and "x-amz-content-sha256" in put.headers


@pytest.mark.parametrize("concurrency", [1, None])
def test_a_service_that_knows_no_urls_for_one_body_gets_md5(
    concurrency: int | None, s3: Service, path: Path
) -> None:
    s3.fake.script("UploadPart", faults.error("SignatureDoesNotMatch"), part_number=1)
    with DirectUploadClient(concurrency=concurrency, retry=AT_ONCE) as client:
        for _ in range(2):
            direct = begin(s3)
            client.upload(path, direct.as_dict(), direct)
    first, *others = s3.fake.requests_of("UploadPart")
    assert s3.stored() == DATA and "content-md5" not in first.headers
    # One part has told it, for all that follow.
    assert len(others) == 2 * 9 and all("content-md5" in it.headers for it in others)


def test_an_interrupt_does_not_wait_long(
    s3: Service, client: DirectUploadClient, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from libcloud_s3mpu import direct_client

    seen: list[bool] = []
    real = direct_client.drain

    def drain(*args: Any, **options: Any) -> int:
        seen.append(options["is_interrupt"])
        return real(*args, **options)

    monkeypatch.setattr(direct_client, "drain", drain)
    for error in (KeyboardInterrupt(), RuntimeError()):

        def stop(done: int, total: int, error: BaseException = error) -> None:
            raise error

        client.on_progress = stop
        with pytest.raises(type(error)):
            client.upload(path, begin(s3).as_dict())
    assert seen == [True, False]


def test_a_check_that_no_url_allows_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="checksum"):
        DirectUploadClient(checksum="crc32")


def test_what_stands_is_not_sent_again(s3: Service, client: DirectUploadClient, path: Path) -> None:
    direct = begin(s3)
    assert direct.upload_id is not None
    for number, body in ((1, DATA[:5]), (2, b"other"), (4, DATA[15:20]), (9, b"x")):
        s3.driver.ex_upload_part(s3.container, "key", direct.upload_id, number, body)
    before = len(s3.fake.requests)
    told: list[int] = []
    client.on_progress = lambda done, total: told.append(done)
    app = App(direct)
    client.upload(path, direct.as_dict(), app, is_resumed=True)
    assert s3.stored() == DATA
    sent = [r.part_number for r in s3.fake.requests[before:] if r.operation == "UploadPart"]
    assert sorted(filter(None, sent)) == [2, 3, 5, 6, 7, 8, 9]
    assert app.calls == ["list", "complete"]
    assert told == sorted(told) and told[-1] == len(DATA) and len(told) == 9


def test_etags_that_are_no_md5_are_not_compared(s3: Service, path: Path) -> None:
    s3.driver.ex_limits = replace(s3.driver.ex_limits, has_md5_etags=False)  # type: ignore[misc]
    s3.fake.script("UploadPart", faults.etag("0" * 32), part_number=2)
    direct = begin(s3)
    with DirectUploadClient(checksum="md5", retry=AT_ONCE) as client:
        with pytest.raises(PartsMismatchError):  # The fake's own list has another one.
            client.upload(path, direct.as_dict(), App(direct))
        assert s3.sent_parts().count(2) == 1
        before = len(s3.fake.requests_of("UploadPart"))
        client.upload(path, direct.as_dict(), App(direct), is_resumed=True)
    assert len(s3.fake.requests_of("UploadPart")) == before and s3.stored() == DATA


@pytest.mark.parametrize("is_app", [True, False])
def test_a_paused_upload_goes_on(
    is_app: bool, s3: Service, client: DirectUploadClient, path: Path
) -> None:
    direct = begin(s3)
    app = App(direct) if is_app else None

    def pause(done: int, total: int) -> None:
        if done >= 15:
            client.pause()

    client.on_progress = pause
    with pytest.raises(UploadPausedError) as caught:
        client.upload(path, direct.as_dict(), app)
    assert caught.value.resumable
    stood = {part.part_number for part in direct.list_parts()}
    assert stood and len(stood) < 9
    before = len(s3.fake.requests)
    client.on_progress = None
    client.upload(path, direct.as_dict(), app, is_resumed=True)
    sent = {r.part_number for r in s3.fake.requests[before:] if r.operation == "UploadPart"}
    assert s3.stored() == DATA and not sent & stood


@pytest.mark.parametrize("change", [b"", DATA[:-1], DATA + b"1"])
def test_a_source_of_another_size_is_refused(
    change: bytes, s3: Service, client: DirectUploadClient, path: Path
) -> None:
    direct = begin(s3)
    path.write_bytes(change)
    for source in (path, change, iter([change])):
        with pytest.raises(SourceSizeError):
            client.upload(source, direct.as_dict(), App(direct))
    assert not s3.fake.requests_of("CompleteMultipartUpload")


def test_a_failure_may_give_the_upload_up(s3: Service, path: Path) -> None:
    direct = begin(s3)
    app = App(direct)

    def broken() -> Iterator[bytes]:
        yield DATA[:20]
        raise OSError("the source broke")

    with (
        DirectUploadClient(retry=AT_ONCE, on_failure="abort") as client,
        pytest.raises(OSError, match="the source broke"),
    ):
        client.upload(broken(), direct.as_dict(), app)
    assert app.calls == ["abort"] and not s3.fake.uploads


def test_what_progress_raises_ends_the_upload(
    s3: Service, client: DirectUploadClient, path: Path
) -> None:
    direct = begin(s3)

    def full(done: int, total: int) -> None:
        raise RuntimeError("no more")

    client.on_progress = full
    with pytest.raises(RuntimeError, match="no more"):
        client.upload(path, direct.as_dict(), App(direct))
    assert s3.fake.uploads and not s3.keys


def test_an_upload_that_is_gone_is_said_to_be(
    s3: Service, client: DirectUploadClient, path: Path
) -> None:
    direct = begin(s3)
    ticket = direct.as_dict()
    direct.abort()
    with pytest.raises(UploadMissingError):
        client.upload(path, ticket, App(direct))


def test_retries_end(s3: Service, path: Path) -> None:
    s3.fake.script("UploadPart", faults.error("InternalError"), forever=True)
    policy = RetryPolicy(max_attempts=2, base_delay_seconds=0)
    with DirectUploadClient(retry=policy) as client, pytest.raises(RetriesExhaustedError):
        client.upload(path, begin(s3).as_dict())


def test_a_lost_answer_to_complete_by_url_is_told_as_doubt(
    s3: Service, client: DirectUploadClient, path: Path
) -> None:
    s3.fake.script("CompleteMultipartUpload", faults.reset(applied=True))
    with pytest.raises(CompletionUnknownError):
        client.upload(path, begin(s3).as_dict())
    assert s3.stored() == DATA


def test_a_lost_answer_to_complete_is_settled_by_the_server(
    s3: Service, client: DirectUploadClient, path: Path
) -> None:
    s3.fake.script("CompleteMultipartUpload", faults.reset(applied=True))
    direct = begin(s3)
    assert client.upload(path, direct.as_dict(), App(direct)).size == len(DATA)


def test_parts_that_the_server_does_not_take_are_named(
    s3: Service, client: DirectUploadClient, path: Path
) -> None:
    direct = begin(s3)

    class Losing(App):
        def complete(self, parts: Any) -> Any:
            return super().complete(parts[:-1])

    with pytest.raises(PartsMismatchError):
        client.upload(path, direct.as_dict(), Losing(direct))
    direct.abort()


@pytest.mark.parametrize(
    "change",
    [
        {"parts": [{"part_number": 1, "url": "file:///etc/passwd"}]},
        {"parts": [{"part_number": 1, "url": "http://h/ HTTP/1.1\r\nhost: evil"}]},
        {"parts": None},
        {"size_bytes": -1},
        {"size_bytes": "5"},
        {"part_size_bytes": 0},
        {"number_of_parts": 3},
        {"upload_id": None},
        {"headers": {"a": "b\r\nc: d"}},
        {"complete_url": "nonsense"},
    ],
)
def test_a_ticket_that_is_none_is_refused(
    change: dict[str, Any], s3: Service, client: DirectUploadClient
) -> None:
    ticket = {**begin(s3).as_dict(), **change}
    for given in (ticket, json.dumps(ticket), "{", "[]", "null"):
        with pytest.raises(InvalidRequestError):
            client.upload(DATA, given)
    assert s3.sent_parts() == []


@pytest.mark.parametrize("url", [None, "", "ftp://h/", "http://", "http://u@h/", "http://h/#a",
                                 "http://h:x/", "http://h/ä"])  # fmt: skip
def test_what_is_no_url_is_refused_without_being_quoted(url: Any) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        check_url(url)
    assert str(caught.value) == "what should be a presigned URL is none"


def test_no_url_is_logged_or_shown(
    s3: Service, client: DirectUploadClient, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    s3.fake.script("UploadPart", faults.error("InternalError"), part_number=2)
    with caplog.at_level(logging.DEBUG):
        client.upload(path, begin(s3).as_dict())
    assert "Signature" not in caplog.text
    request = UrlRequest(operation="x", method="PUT", bucket="b", url="http://h/?secret")
    assert "secret" not in repr(request)
    assert "secret" not in repr(begin(s3))
