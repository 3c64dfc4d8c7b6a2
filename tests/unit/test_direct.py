# SPDX-License-Identifier: Apache-2.0
"""Direct uploads on the fake: who may send what, what is completed, and what is left behind."""

from __future__ import annotations

import json
import time
import hashlib
import urllib.error
import urllib.request
from typing import Any
from datetime import datetime, timezone, timedelta
from dataclasses import replace
from urllib.parse import quote
from collections.abc import Iterator

import pytest
from libcloud.storage.base import Container

from tests.fake_s3 import faults
from tests.unit.small import Service, service
from libcloud_s3mpu.direct_uploads import SavedDirectUploads
from libcloud_s3mpu.protocol.direct import (
    DirectPlan,
    PartsMismatchError,
    DirectUploadExpiredError,
    part_of,
    planned_part_size,
)
from libcloud_s3mpu.protocol.errors import UploadMissingError, InvalidRequestError
from libcloud_s3mpu.protocol.limits import S3_LIMITS, SCALEWAY_LIMITS
from libcloud_s3mpu.protocol.session import SessionFormatError

MIB = 1024 * 1024
DATA = b"abcdefghijklm"


@pytest.fixture
def s3() -> Iterator[Service]:
    with service() as it:
        yield it


def send(url: str, body: bytes = b"", method: str = "PUT", **headers: str) -> tuple[int, str]:
    """Send as a client without keys does; give status and ETag."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    given.setdefault("content-type", "")
    if not given["content-type"]:
        given["content-type"] = "application/octet-stream"
    request = urllib.request.Request(url, data=body, method=method, headers=given)
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return int(answer.status), answer.headers.get("ETag") or ""
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def begin(s3: Service, size: int = len(DATA), **options: Any) -> Any:
    options.setdefault("part_size_bytes", 5)
    return s3.driver.ex_create_direct_upload(s3.container, "key", size, **options)


def send_all(direct: Any, data: bytes = DATA) -> list[dict[str, Any]]:
    """Send each part by its URL; give them as a browser would."""
    found = []
    for each in direct.as_dict()["parts"]:
        body = data[each["offset"] : each["offset"] + each["size_bytes"]]
        status, etag = send(each["url"], body)
        assert status == 200
        found.append({"PartNumber": each["part_number"], "ETag": etag})
    return found


def test_parts_that_a_client_sends_become_the_object(s3: Service) -> None:
    direct = begin(s3)
    assert direct.plan.number_of_parts == 3
    parts = send_all(direct)
    made = direct.complete(reversed(parts))
    assert s3.stored() == DATA
    assert made.name == "key" and made.size == len(DATA)
    assert made.extra["upload_id"] == direct.upload_id and made.extra["parts"] == 3
    assert not s3.fake.uploads


def test_it_is_completed_by_what_the_service_lists_too(s3: Service) -> None:
    direct = begin(s3)
    send_all(direct)
    direct.complete()
    assert s3.stored() == DATA


def test_completing_again_is_no_error_where_the_parts_prove_it(s3: Service) -> None:
    direct = begin(s3)
    parts = send_all(direct)
    first = direct.complete(parts)
    assert direct.complete(parts).hash == first.hash
    with pytest.raises(UploadMissingError):
        direct.complete()
    with pytest.raises(UploadMissingError):
        direct.complete([*parts[:2], {"PartNumber": 3, "ETag": '"0"'}])


def test_what_a_client_needs_is_json_and_holds_no_key(s3: Service) -> None:
    direct = begin(s3, content_type="text/plain")
    text = json.dumps(direct.as_dict())
    assert s3.driver.secret and s3.driver.secret not in text
    found = json.loads(text)
    assert found["method"] == "multipart" and found["number_of_parts"] == 3
    assert [part["size_bytes"] for part in found["parts"]] == [5, 5, 3]
    assert found["headers"] == {}
    few = direct.as_dict([2])["parts"]
    assert [(part["part_number"], part["offset"]) for part in few] == [(2, 5)]
    direct.abort()


def test_the_clients_verbs_by_url(s3: Service) -> None:
    direct = begin(s3)
    send_all(direct)
    urls = direct.as_dict([])
    assert send(urls["list_parts_urls"][0], method="GET")[0] == 200
    assert send(urls["abort_url"], method="DELETE")[0] == 204
    assert not s3.fake.uploads


@pytest.mark.parametrize("size", [0, 4, 6])
def test_no_part_is_larger_or_smaller_than_declared(s3: Service, size: int) -> None:
    direct = begin(s3)
    url = direct.part_urls([1])[1]
    assert send(url, b"x" * size)[0] == 403
    assert s3.fake.uploads[direct.upload_id].parts == {}
    direct.abort()


def test_a_url_is_good_for_its_part_and_nothing_else(s3: Service) -> None:
    direct, other = begin(s3), begin(s3)
    url = direct.part_urls([1])[1]
    for tampered in (
        url.replace("partNumber=1", "partNumber=2"),
        url.replace("/key?", "/other?"),
        url.replace("/bucket/", "/bucket2/"),
        url.replace(quote(direct.upload_id, safe="~"), quote(other.upload_id, safe="~")),
        url.replace("X-Amz-Expires=3600", "X-Amz-Expires=604800"),
        url.replace("content-length%3B", ""),
        url.partition("&partNumber")[0] + "&X-Amz-Signature=" + url.rpartition("=")[2],
    ):
        assert tampered != url
        assert send(tampered, b"abcde")[0] == 403
    assert send(url, b"abcde", "DELETE")[0] == 403
    assert send(url, b"abcde", x_amz_acl="public-read")[0] == 403
    assert s3.keys == [] and all(not upload.parts for upload in s3.fake.uploads.values())
    direct.abort()
    other.abort()


def test_a_url_may_be_good_for_one_body_alone(s3: Service) -> None:
    direct = begin(s3)
    body = DATA[:5]
    sha256 = hashlib.sha256(body).hexdigest()
    url = direct.signed_part_url(1, sha256)
    for wrong in (b"fghij", b"abcdef", b""):
        digest = hashlib.sha256(wrong).hexdigest()
        assert send(url, wrong, x_amz_content_sha256=digest)[0] == 403
    assert send(url, body)[0] == 403
    assert send(url, b"fghij", x_amz_content_sha256=sha256)[0] == 400
    assert send(url, body, x_amz_content_sha256=sha256)[0] == 200
    for number, digest in ((0, sha256), (1, "x"), (1, sha256.upper()), (1, None)):
        with pytest.raises(InvalidRequestError):
            direct.signed_part_url(number, digest)  # type: ignore[arg-type]


def test_parts_that_are_not_the_declared_ones_complete_nothing(s3: Service) -> None:
    direct = begin(s3)
    urls = direct.part_urls()
    etags = {n: send(urls[n], DATA[5 * n - 5 : 5 * n])[1] for n in (1, 3)}
    with pytest.raises(PartsMismatchError, match="part 2 is missing") as caught:
        direct.complete()
    assert caught.value.part_numbers == (2,)
    etags[2] = send(urls[2], DATA[5:10])[1]
    for named, text in (
        ({1: etags[1], 2: etags[2]}, "part 3 is not in the client's list"),
        ({**etags, 2: '"other"'}, "part 2 is not the one"),
        ({**etags, 4: '"other"'}, "part 4 was not asked for"),
    ):
        with pytest.raises(PartsMismatchError, match=text):
            direct.complete(named.items())
    with pytest.raises(PartsMismatchError, match="named twice"):
        direct.complete([*etags.items(), (1, "other")])
    assert s3.fake.requests_of("CompleteMultipartUpload") == []
    direct.complete(etags.items())
    assert s3.stored() == DATA


def test_parts_of_other_sizes_complete_nothing(s3: Service) -> None:
    direct = begin(s3)
    for number, body in ((1, b"abcdefg"), (2, b"abcde"), (3, b"abc"), (4, b"abcde")):
        s3.driver.ex_upload_part(s3.container, "key", direct.upload_id, number, body)
    with pytest.raises(PartsMismatchError, match="part 1 has 7 bytes, not 5; part 4 was not asked"):
        direct.complete()
    direct.abort()


@pytest.mark.parametrize(
    "item", [None, 1, "1", {}, {"PartNumber": "1", "ETag": "a"}, (1,), (1, ""), (True, "a"), (1, 2)]
)
def test_what_is_no_part_is_refused(item: Any) -> None:
    with pytest.raises(InvalidRequestError):
        part_of(item)


def test_a_small_object_is_one_put(s3: Service) -> None:
    direct = begin(s3, 5, content_type="text/plain", extra={"meta_data": {"a": "ü"}})
    found = direct.as_dict()
    assert found["method"] == "put" and found["upload_id"] is None and not s3.operations()
    assert found["complete_url"] is None
    (part,) = found["parts"]
    with pytest.raises(PartsMismatchError, match="is missing"):
        direct.complete()
    assert send(part["url"], b"abcde")[0] == 403  # Without the headers that were signed.
    headers = {name.replace("-", "_"): value for name, value in found["headers"].items()}
    assert send(part["url"], b"abcdef", **headers)[0] == 403
    status, etag = send(part["url"], b"abcde", **headers)
    assert status == 200, etag
    again = s3.driver.ex_get_direct_upload(direct.saved)
    assert again.plan == direct.plan
    made = again.complete([(1, etag)])
    assert made.extra["upload_id"] is None and made.size == 5
    stored = s3.driver.get_object("bucket", "key")
    assert stored.meta_data == {"a": "ü"} and stored.extra["content_type"] == "text/plain"
    with pytest.raises(PartsMismatchError, match="ETag differs"):
        direct.complete([(1, "other")])
    direct.abort()
    assert s3.keys == ["key"]


def test_an_object_of_another_size_is_not_the_one(s3: Service) -> None:
    direct = begin(s3, 5)
    s3.upload([b"abc"])
    with pytest.raises(PartsMismatchError, match="has 3 bytes, not 5"):
        direct.complete()


def test_an_empty_object_is_one_put(s3: Service) -> None:
    direct = begin(s3, 0)
    found = direct.as_dict()
    headers = {name.replace("-", "_"): value for name, value in found["headers"].items()}
    assert send(found["parts"][0]["url"], b"", **headers)[0] == 200
    assert direct.complete().size == 0


def test_abort_leaves_nothing_and_may_come_twice(s3: Service) -> None:
    direct = begin(s3)
    send_all(direct)
    direct.abort()
    direct.abort()
    assert not s3.fake.uploads and s3.keys == []
    with pytest.raises(UploadMissingError):
        direct.list_parts()


def test_another_process_goes_on_with_the_saved_form(s3: Service) -> None:
    direct = begin(s3)
    send(direct.part_urls([1])[1], DATA[:5])
    saved = direct.saved
    assert "X-Amz" not in saved and s3.driver.secret not in saved
    again = s3.driver.ex_get_direct_upload(saved, s3.container, "key")
    assert again.plan == direct.plan
    assert [part.part_number for part in again.list_parts()] == [1]
    send_all(again)
    again.complete()
    assert s3.stored() == DATA


def test_a_saved_form_is_for_its_own_object_and_service(s3: Service) -> None:
    direct = begin(s3)
    with pytest.raises(InvalidRequestError, match="container"):
        s3.driver.ex_get_direct_upload(direct.saved, Container("other", {}, s3.driver))
    with pytest.raises(InvalidRequestError, match="object"):
        s3.driver.ex_get_direct_upload(direct.saved, s3.container, "other")
    moved = replace(direct.plan, endpoint="https://elsewhere:443")
    with pytest.raises(InvalidRequestError, match="service"):
        s3.driver.ex_get_direct_upload(moved)
    direct.abort()


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"size_bytes": -1},
        {"size_bytes": True},
        {"upload_id": "a\nb"},
        {"container": ""},
        {"part_size_bytes": 0},
        {"url_seconds": 0},
        {"headers": {"host": "x"}},
        {"headers": {"x-amz-server-side-encryption-customer-key": "x"}},
        {"headers": None},
        {"expires_epoch": "soon"},
        {"more": 1},
        {"size_bytes": 1000},
        {"container": "a/b"},
        {"object_name": "a\x00"},
    ],
)
def test_a_saved_form_that_is_none_is_refused(s3: Service, change: dict[str, Any]) -> None:
    direct = begin(s3)
    fields = {**json.loads(direct.saved), **change}
    with pytest.raises((SessionFormatError, InvalidRequestError)):
        s3.driver.ex_get_direct_upload(json.dumps(fields))
    for text in ("", "[]", "{", direct.saved[:-9], b"\xff"):
        with pytest.raises(SessionFormatError):
            s3.driver.ex_get_direct_upload(text)
    direct.abort()


def over(direct: Any) -> DirectPlan:
    return replace(direct.plan, expires_epoch=time.time() - 1)


def test_what_is_over_is_signed_for_no_more_and_aborted(s3: Service) -> None:
    kept, direct, small = begin(s3), begin(s3), begin(s3, 3)
    send(direct.part_urls([1])[1], DATA[:5])
    gone = s3.driver.ex_get_direct_upload(over(direct))
    assert gone.is_expired and not kept.is_expired and not kept.cleanup_expired()
    for ask in (gone.part_urls, gone.as_dict):
        with pytest.raises(DirectUploadExpiredError):
            ask()
    saved = [over(direct), kept.saved, over(small)]
    found = s3.driver.ex_cleanup_direct_uploads(saved)
    assert [json.loads(text)["upload_id"] for text in found] == [direct.upload_id, None]
    assert list(s3.fake.uploads) == [kept.upload_id]
    again = over(direct)
    assert s3.driver.ex_cleanup_direct_uploads([again]) == [again.to_json()]
    kept.abort()


def test_one_that_cannot_be_cleaned_up_keeps_no_other(s3: Service) -> None:
    first, second = begin(s3), begin(s3)
    s3.fake.script("AbortMultipartUpload", faults.error("AccessDenied"))
    with pytest.raises(Exception, match="AccessDenied"):
        s3.driver.ex_cleanup_direct_uploads([over(first), over(second)])
    assert list(s3.fake.uploads) == [first.upload_id]
    first.abort()


def test_no_url_outlives_the_upload(s3: Service) -> None:
    direct = begin(s3, expires_seconds=3600, upload_expires_seconds=60)
    assert "X-Amz-Expires=3600" not in direct.part_urls([1])[1]
    expires = int(direct.part_urls([1])[1].partition("X-Amz-Expires=")[2].partition("&")[0])
    assert 50 <= expires <= 60
    direct.abort()


@pytest.mark.parametrize(
    "options",
    [
        {"size": -1},
        {"size": True},
        {"size": "5"},
        {"size": 101},
        {"part_size_bytes": 4},
        {"part_size_bytes": 51},
        {"threshold_bytes": -1},
        {"expires_seconds": 604_801},
        {"upload_expires_seconds": 0},
        {"headers": {"x-amz-server-side-encryption-customer-algorithm": "AES256"}},
        {"headers": {"a": "b\r\n"}},
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_sent(s3: Service, options: Any) -> None:
    with pytest.raises(InvalidRequestError):
        begin(s3, **options)
    assert s3.operations() == []


@pytest.mark.parametrize("name", ["", "../key", "a/./b", "a/.."])
def test_names_that_browsers_would_change_are_refused(s3: Service, name: str) -> None:
    with pytest.raises(InvalidRequestError):
        s3.driver.ex_create_direct_upload(s3.container, name, 10)
    assert s3.operations() == []


@pytest.mark.parametrize("number", [0, 4, 1.0, "1", True])
def test_only_parts_of_the_upload_are_signed_for(s3: Service, number: Any) -> None:
    direct = begin(s3)
    with pytest.raises(InvalidRequestError, match="1 to 3"):
        direct.part_urls([number])
    direct.abort()


def test_the_headers_go_where_they_belong(s3: Service) -> None:
    direct = begin(s3, content_type="text/plain", headers={"x-amz-expected-bucket-owner": "me"})
    assert direct.as_dict()["headers"] == {"x-amz-expected-bucket-owner": "me"}
    (begun,) = s3.fake.requests_of("InitiateMultipartUpload")
    assert begun.headers["content-type"] == "text/plain"
    direct.abort()


def test_an_upload_that_is_interrupted_as_it_begins_is_aborted(
    s3: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    sender = s3.driver._transport
    resume = sender.resume

    def interrupted(request: Any, exchange: Any) -> Any:
        if request.operation == "CreateMultipartUpload":
            raise KeyboardInterrupt
        return resume(request, exchange)

    monkeypatch.setattr(sender, "resume", interrupted)
    with pytest.raises(KeyboardInterrupt):
        begin(s3)
    assert not s3.fake.uploads


@pytest.mark.parametrize(
    "fault", [faults.reset(applied=True), faults.error("InternalError", applied=True)]
)
def test_a_lost_answer_to_initiate_leaves_no_unknown_upload(s3: Service, fault: Any) -> None:
    s3.fake.script("InitiateMultipartUpload", fault)
    direct = begin(s3)
    assert set(s3.fake.uploads) == {direct.upload_id, *direct.orphan_suspects}
    assert len(direct.orphan_suspects) == 1


def test_what_others_send_parts_for_is_initiated_by_the_same_rule(s3: Service) -> None:
    s3.fake.script("InitiateMultipartUpload", faults.reset(applied=True))
    extra = {"content_type": "text/plain", "meta_data": {"a": "b"}}
    found = s3.driver.ex_initiate_upload(s3.container, "key", extra=extra)
    assert set(s3.fake.uploads) == {found.upload_id, *found.orphan_suspects}
    headers = s3.fake.requests_of("InitiateMultipartUpload")[-1].headers
    assert headers["content-type"] == "text/plain" and headers["x-amz-meta-a"] == "b"


def later(s3: Service, seconds: float) -> None:
    """Let the service's clock be so much ahead."""
    s3.fake.clock = lambda: datetime.now(timezone.utc) + timedelta(seconds=seconds)


def test_a_clean_up_leaves_saved_uploads_alone_until_they_are_over(s3: Service) -> None:
    alive = begin(s3, upload_expires_seconds=604_800)
    forgotten = begin(s3)
    small = s3.driver.ex_create_direct_upload(s3.container, "small", 3)
    later(s3, 200_000)
    # The clock of requests is the service's, since it tells its time at the first refusal.
    cleanup = s3.driver.ex_cleanup_multipart_uploads
    saved = [alive.saved, small.saved]
    report = cleanup(s3.container, dry_run=False, journal=SavedDirectUploads(saved))
    assert [each.upload_id for each in report.aborted] == [forgotten.upload_id]
    assert set(s3.fake.uploads) == {alive.upload_id}
    gone = SavedDirectUploads([over(alive)])
    report = cleanup(s3.container, dry_run=False, journal=gone)
    assert [each.upload_id for each in report.aborted] == [alive.upload_id]


def test_a_saved_upload_that_cannot_be_read_stops_the_clean_up(s3: Service) -> None:
    begin(s3)
    later(s3, 200_000)
    journal = SavedDirectUploads(["{cut"])
    report = s3.driver.ex_cleanup_multipart_uploads(s3.container, dry_run=False, journal=journal)
    assert not report.aborted and "a saved direct upload" in report.skipped[0].reason
    assert s3.fake.uploads


def test_sizes_of_parts_are_equal_and_fit_the_service() -> None:
    def planned(size: int, limits: Any = S3_LIMITS, **options: Any) -> int | None:
        options = {"part_size_bytes": None, "threshold_bytes": None, **options}
        return planned_part_size(limits, size_bytes=size, **options)

    assert planned(20 * MIB) is None
    assert planned(20 * MIB + 1) == 20 * MIB
    assert planned(20 * MIB + 1, threshold_bytes=64 * MIB) is None
    assert planned(20 * MIB, part_size_bytes=5 * MIB) == 5 * MIB
    assert planned(20 * MIB, threshold_bytes=0) == 20 * MIB
    assert planned(0, threshold_bytes=0) is None
    for limits in (S3_LIMITS, SCALEWAY_LIMITS):
        for size in (300 * 1024 * MIB, 5_000_000 * MIB, limits.max_object_size):
            found = planned(size, limits)
            assert found is not None and -(-size // found) <= limits.max_parts
            assert found <= limits.max_part_size
    # One PUT is never more than the service takes.
    assert planned(6 * 1024 * MIB, threshold_bytes=10 * 1024 * MIB) == 20 * MIB


def test_urls_carry_the_token_and_hold_with_no_other() -> None:
    keys = {"AKIDTEMP": ("temp/secret", "tok/en+1="), "AKIDFAKE": "fake/secret+key"}
    with service(
        credentials=keys, driver={"key": "AKIDTEMP", "secret": "temp/secret", "token": "tok/en+1="}
    ) as s3:
        direct = begin(s3)
        url = direct.part_urls([1])[1]
        token = "&X-Amz-Security-Token=tok%2Fen%2B1%3D"
        assert token in url
        for changed in (url.replace(token, ""), url.replace("en%2B1", "en%2B2")):
            assert send(changed, b"abcde")[0] == 403
        assert send(url, b"abcde")[0] == 200
        s3.fake.keyring.expired_tokens.add("tok/en+1=")
        assert send(url, b"abcde")[0] == 400
        s3.fake.keyring.expired_tokens.clear()
        direct.abort()


def test_a_url_of_one_bucket_in_the_host_name_is_for_no_other() -> None:
    with service(vhost_domain="localhost") as s3:
        driver = s3.driver.__class__(
            "AKIDFAKE",
            "fake/secret+key",
            host="localhost",
            port=s3.server.port,
            secure=False,
            region="us-east-1",
            ex_addressing="virtual",
        )
        url = driver.ex_get_object_upload_url(s3.container, "a b", size_bytes=5)
        host = f"bucket.localhost:{s3.server.port}"
        assert url.startswith(f"http://{host}/a%20b?")
        near = url.replace("bucket.localhost", "127.0.0.1")
        assert send(near, b"abcde", host=host.replace("bucket", "bucket2"))[0] == 403
        assert send(near, b"abcde", host=host)[0] == 200
        assert s3.stored("a b") == b"abcde"
