# SPDX-License-Identifier: Apache-2.0
"""Presigned URLs and forms: what they say, whom they let in, and how long."""

from __future__ import annotations

import json
import time
import base64
import pickle
import logging
from typing import Any
from datetime import datetime, timezone, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from libcloud.storage.base import Object, Container

from tests.unit.small import LIMITS, SmallDriver, service
from libcloud_s3mpu.protocol.errors import InvalidRequestError
from libcloud_s3mpu.protocol.signing import Signer, Credentials
from libcloud_s3mpu.protocol.endpoint import Endpoint
from libcloud_s3mpu.protocol.presigning import Presigner, signed_headers
from libcloud_s3mpu.transfer.credentials import CredentialsError

KEYS = ("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")


def driver_of(**kwargs: Any) -> SmallDriver:
    kwargs.setdefault("region", "eu-west-3")
    if "ex_credentials" not in kwargs:
        kwargs = {"key": KEYS[0], "secret": KEYS[1], **kwargs}
    return SmallDriver(**kwargs)


def query_of(url: str) -> dict[str, str]:
    found = parse_qs(urlsplit(url).query, keep_blank_values=True, strict_parsing=True)
    return {name: value for name, (value,) in found.items()}


def bucket_of(driver: Any, name: str = "bucket") -> Container:
    return Container(name, {}, driver)


def test_the_example_of_the_s3_manual_comes_out_as_there() -> None:
    # "Authenticating Requests: Using Query Parameters", Amazon S3 API Reference (read 2026-11).
    endpoint = Endpoint("https", "s3.amazonaws.com", 443, "", "virtual")
    signer = Signer(Credentials(*KEYS), region="us-east-1")
    made = Presigner(signer, endpoint, amz_date="20130524T000000Z", expires_seconds=86400)
    url = made.url("GET", "examplebucket", "test.txt")
    assert url.startswith("https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=")
    expected = "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    assert query_of(url)["X-Amz-Signature"] == expected
    assert made.expires_at == datetime(2013, 5, 25, tzinfo=timezone.utc)


def test_part_urls_are_those_of_the_general_way() -> None:
    made = driver_of(token="a/to+ken=").ex_presigner()
    upload_id, sizes = "2~up/lo+ad=", {1: 5, 2: 5, 7: 3}
    many = made.part_urls(
        "bucket",
        "kä y/~",
        upload_id=upload_id,
        numbers=sizes,
        size_of=sizes,
        headers={"x-amz-expected-bucket-owner": "me"},
    )
    for number, size in sizes.items():
        headers = {"content-length": str(size), "x-amz-expected-bucket-owner": "me"}
        query = [("partNumber", str(number)), ("uploadId", upload_id)]
        assert many[number] == made.url("PUT", "bucket", "kä y/~", query=query, headers=headers)
    plain = made.part_urls("bucket", "k", upload_id="u", numbers=[3])
    query = [("uploadId", "u"), ("partNumber", "3")]
    assert plain == {3: made.url("PUT", "bucket", "k", query=query)}


@pytest.mark.parametrize(
    ("options", "begin"),
    [
        ({}, "https://s3-eu-west-3.amazonaws.com/bucket/a%20b?"),
        ({"host": "h", "port": 8080, "secure": False}, "http://h:8080/bucket/a%20b?"),
        ({"host": "h", "port": 80, "secure": False}, "http://h/bucket/a%20b?"),
        ({"ex_endpoint_url": "https://h:9000/base"}, "https://h:9000/base/bucket/a%20b?"),
        ({"ex_endpoint_url": "http://[::1]:9000"}, "http://[::1]:9000/bucket/a%20b?"),
        ({"host": "h", "port": 9443, "ex_addressing": "virtual"}, "https://bucket.h:9443/a%20b?"),
    ],
)
def test_a_url_is_what_the_drivers_endpoint_makes(options: Any, begin: str) -> None:
    driver = driver_of(**options)
    place = bucket_of(driver)
    found = Object("a b", 1, "", {}, {}, place, driver)
    for url in (
        driver.get_object_cdn_url(found),
        driver.ex_get_object_upload_url(place, "a b"),
        driver.ex_get_part_upload_url(place, "a b", "u", 1),
        driver.ex_get_upload_verb_url(place, "a b", "initiate"),
    ):
        assert url.startswith(begin)
        assert query_of(url)["X-Amz-SignedHeaders"] == "host"


def test_the_cdn_url_keeps_upstreams_arguments() -> None:
    driver = driver_of(token="token")
    found = Object("k", 1, "", {}, {}, bucket_of(driver), driver)
    assert query_of(driver.get_object_cdn_url(found))["X-Amz-Expires"] == "86400"
    query = query_of(driver.get_object_cdn_url(found, ex_expiry=0.5, ex_method="DELETE"))
    assert query["X-Amz-Expires"] == "1800" and query["X-Amz-Security-Token"] == "token"
    with pytest.raises(InvalidRequestError, match="604800"):
        driver.get_object_cdn_url(found, ex_expiry=169)
    with pytest.raises(InvalidRequestError, match="ex_method"):
        driver.get_object_cdn_url(found, ex_method="POST")


@pytest.mark.parametrize("seconds", [0, -1, 604_801, True, 10.5, "60"])
def test_no_url_lives_shorter_than_a_second_or_longer_than_a_week(seconds: Any) -> None:
    driver = driver_of()
    with pytest.raises(InvalidRequestError, match="expires_seconds"):
        driver.ex_get_object_upload_url(bucket_of(driver), "k", expires_seconds=seconds)


def test_a_week_is_taken() -> None:
    driver = driver_of()
    url = driver.ex_get_object_upload_url(bucket_of(driver), "k", expires_seconds=604_800)
    assert query_of(url)["X-Amz-Expires"] == "604800"


def test_no_url_outlives_its_keys(caplog: pytest.LogCaptureFixture) -> None:
    driver = driver_of(ex_credentials=lambda: (*KEYS, "token", time.time() + 900))
    with caplog.at_level(logging.WARNING, "libcloud_s3mpu.presign"):
        made = driver.ex_presigner(3600)
    assert 890 <= made.expires_seconds <= 900
    assert made.expires_at <= datetime.now(timezone.utc) + timedelta(seconds=900)
    (record,) = caplog.records
    assert "not 3600" in record.getMessage()
    caplog.clear()
    driver.ex_presigner(600)
    assert caplog.records == []


def test_keys_that_have_run_out_presign_nothing() -> None:
    driver = driver_of(ex_credentials=lambda: (*KEYS, "token", time.time() - 5))
    with pytest.raises(CredentialsError, match="run out"):
        driver.ex_presigner()


def test_keys_that_change_are_those_that_sign() -> None:
    driver = driver_of()
    driver.ex_set_credentials("AKIDOTHER", "other")
    url = driver.ex_get_object_upload_url(bucket_of(driver), "k")
    assert query_of(url)["X-Amz-Credential"].startswith("AKIDOTHER/")


def test_urls_are_dated_by_the_services_clock() -> None:
    driver = driver_of()
    driver.connection.clock_offset = -86_400.0
    yesterday = datetime.now(timezone.utc) - timedelta(days=1)
    url = driver.ex_get_object_upload_url(bucket_of(driver), "k")
    assert abs(driver.ex_presigner(1).expires_at - yesterday) < timedelta(seconds=60)
    assert query_of(url)["X-Amz-Date"][:8] in url


def test_headers_that_are_given_are_signed() -> None:
    driver = driver_of()
    url = driver.ex_get_object_upload_url(
        bucket_of(driver),
        "k",
        content_type="text/plain",
        size_bytes=12,
        headers={"X-Amz-Checksum-Sha256": "abc="},
    )
    signed = query_of(url)["X-Amz-SignedHeaders"]
    assert signed == "content-length;content-type;host;x-amz-checksum-sha256"


@pytest.mark.parametrize(
    "headers", [{"Host": "other"}, {"x-amz-date": "1"}, {"a b": "c"}, {"a": "b\r\nc: d"}]
)
def test_headers_that_cannot_be_signed_are_refused(headers: dict[str, str]) -> None:
    with pytest.raises(InvalidRequestError):
        signed_headers(headers)


@pytest.mark.parametrize("number", [0, -1, 21, 1.0, "1", True, None])
def test_what_is_no_part_number_is_not_signed(number: Any) -> None:
    driver = driver_of()
    with pytest.raises(InvalidRequestError, match="part_number"):
        driver.ex_get_part_upload_url(bucket_of(driver), "k", "u", number)


def test_sizes_beyond_the_services_are_not_signed() -> None:
    driver = driver_of()
    place = bucket_of(driver)
    with pytest.raises(InvalidRequestError, match="one part takes"):
        driver.ex_get_part_upload_url(place, "k", "u", 1, size_bytes=LIMITS.max_part_size + 1)
    with pytest.raises(InvalidRequestError, match="one PUT takes"):
        driver.ex_get_object_upload_url(place, "k", size_bytes=LIMITS.max_single_put + 1)
    with pytest.raises(InvalidRequestError, match="one POST takes"):
        driver.ex_get_upload_form(place, LIMITS.max_single_put + 1, object_name="k")
    with pytest.raises(InvalidRequestError, match="part 2"):
        driver.ex_get_part_upload_urls(place, "k", "u", [1, 2], sizes_bytes={1: 5})
    for size in (-1, True, "5"):
        with pytest.raises(InvalidRequestError, match="size_bytes"):
            driver.ex_get_part_upload_url(place, "k", "u", 1, size_bytes=size)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["", "a" * 1025, "a\x00b"])
def test_names_that_cannot_be_are_not_signed(name: str) -> None:
    driver = driver_of()
    with pytest.raises(InvalidRequestError):
        driver.ex_get_object_upload_url(bucket_of(driver), name)
    with pytest.raises(InvalidRequestError):
        driver.ex_get_object_upload_url(bucket_of(driver, "a/b"), "k")
    with pytest.raises(InvalidRequestError):
        driver.ex_presigner().url("GET", "bucket\nhost:evil", "k")


def test_a_verb_is_asked_for_by_name() -> None:
    driver = driver_of()
    place = bucket_of(driver)
    assert "uploads" in query_of(driver.ex_get_upload_verb_url(place, "k", "initiate"))
    assert query_of(driver.ex_get_upload_verb_url(place, "k", "abort", "u"))["uploadId"] == "u"
    for verb, upload_id in (("initiate", "u"), ("abort", None), ("delete", "u"), ("abort", "\n")):
        with pytest.raises(InvalidRequestError):
            driver.ex_get_upload_verb_url(place, "k", verb, upload_id)


def test_answers_can_be_overridden_and_only_those_that_s3_knows() -> None:
    driver = driver_of()
    place = bucket_of(driver)
    given = {"Content-Disposition": 'attachment; filename="ä.pdf"'}
    url = driver.ex_get_object_download_url(place, "k", overrides=given, version_id="v")
    assert query_of(url)["response-content-disposition"] == given["Content-Disposition"]
    assert query_of(url)["versionId"] == "v"
    with pytest.raises(InvalidRequestError, match="overrides"):
        driver.ex_get_object_download_url(place, "k", overrides={"x-amz-acl": "public-read"})
    with pytest.raises(InvalidRequestError, match="method"):
        driver.ex_get_object_download_url(place, "k", method="DELETE")


def test_a_form_says_all_its_conditions() -> None:
    driver = driver_of(token="token")
    form = driver.ex_get_upload_form(
        bucket_of(driver),
        100,
        prefix="in/",
        min_size_bytes=1,
        content_type_prefix="image/",
        fields={"success_action_status": "201"},
        expires_seconds=60,
    )
    assert form.url == "https://s3-eu-west-3.amazonaws.com/bucket"
    assert form.fields["key"] == "in/${filename}"
    policy = json.loads(base64.b64decode(form.fields["policy"]))
    assert policy["expiration"] == form.expires_at.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    for wanted in (
        {"bucket": "bucket"},
        ["starts-with", "$key", "in/"],
        ["starts-with", "$Content-Type", "image/"],
        ["content-length-range", 1, 100],
        {"success_action_status": "201"},
        {"x-amz-security-token": "token"},
        {"x-amz-date": form.fields["x-amz-date"]},
    ):
        assert wanted in policy["conditions"]
    assert "policy" not in repr(form) and "token" not in repr(form)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"object_name": "k", "prefix": "p/"},
        {"object_name": "k", "min_size_bytes": 101},
        {"object_name": "k", "min_size_bytes": -1},
        {"object_name": "k", "content_type": "a/b", "content_type_prefix": "a/"},
        {"object_name": "k/${filename}"},
    ],
)
def test_a_form_that_makes_no_sense_is_refused(options: dict[str, Any]) -> None:
    driver = driver_of()
    with pytest.raises(InvalidRequestError):
        driver.ex_get_upload_form(bucket_of(driver), 100, **options)


def test_what_signs_shows_and_pickles_no_secret() -> None:
    made = driver_of(token="token").ex_presigner()
    assert KEYS[1] not in repr(made) and "token" not in repr(made)
    with pytest.raises(TypeError):
        pickle.dumps(made)


def test_presigning_sends_nothing() -> None:
    with service() as it:
        it.driver.ex_get_object_upload_url(it.container, "k")
        it.driver.ex_get_part_upload_urls(it.container, "k", "u", range(1, 5))
        it.driver.ex_get_upload_form(it.container, 10, object_name="k")
        assert it.operations() == [] and it.server.connections == 0


def test_ten_thousand_part_urls_cost_less_than_a_quarter_of_a_second() -> None:
    from libcloud_s3mpu.driver import AmazonS3MultipartDriver

    driver = AmazonS3MultipartDriver(*KEYS, region="eu-west-3", token="t" * 400)
    numbers = range(1, 10_001)
    costs = []
    for _ in range(3):
        began = time.thread_time()
        urls = driver.ex_get_part_upload_urls(
            bucket_of(driver), "key", "u" * 128, numbers, sizes_bytes=dict.fromkeys(numbers, 5)
        )
        costs.append(time.thread_time() - began)
    assert len(set(urls.values())) == 10_000
    assert min(costs) <= 0.25
