# SPDX-License-Identifier: Apache-2.0
"""Where a request goes and how a key is written: exactly, or not at all."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

import pytest

from libcloud_s3mpu.protocol.errors import InvalidRequestError
from libcloud_s3mpu.protocol.endpoint import (
    Endpoint,
    aws_host,
    check_key,
    is_region,
    encode_key,
    check_bucket,
    checked_host,
    encode_query,
    signing_name,
    region_of_host,
)

PLAIN = Endpoint("https", "s3.amazonaws.com", 443)


@pytest.mark.parametrize(
    "region",
    ["us-east-1", "eu-west-3", "us-gov-east-1", "us-isob-east-1", "mx-central-1", "ap-southeast-7",
     "cn-north-1", "us-iso-west-1", "ca-west-1", "il-central-1"],
)  # fmt: skip
def test_any_region_of_the_shape_of_aws_is_one(region: str) -> None:
    assert is_region(region)
    assert aws_host(region).startswith(f"s3.{region}.")


@pytest.mark.parametrize(
    "region",
    ["", "us", "us-east", "us-east-1/", "us-east-1 ", "us-east-1\n", "host:1/#", "US-EAST-1",
     "us_east_1", "a" * 80 + "-east-1", "eu-west-1.evil.example", "@evil-x-1"],
)  # fmt: skip
def test_what_has_another_shape_is_no_region(region: str) -> None:
    assert not is_region(region)


@pytest.mark.parametrize(
    ("host", "region"),
    [
        ("s3.amazonaws.com", None),
        ("s3.eu-west-1.amazonaws.com", "eu-west-1"),
        ("S3.EU-WEST-1.amazonaws.com.", "eu-west-1"),
        ("s3-us-west-2.amazonaws.com", "us-west-2"),
        ("s3-fips-us-gov-west-1.amazonaws.com", "us-gov-west-1"),
        ("s3-fips.dualstack.us-east-1.amazonaws.com", "us-east-1"),
        ("s3-accelerate.dualstack.amazonaws.com", None),
        ("s3-accesspoint-fips.dualstack.us-east-2.amazonaws.com", "us-east-2"),
        ("name-123.s3-accesspoint.eu-west-3.amazonaws.com", "eu-west-3"),
        ("s3-object-lambda.us-east-1.amazonaws.com", "us-east-1"),
        ("s3express-use1-az4.us-east-1.amazonaws.com", "us-east-1"),
        ("bucket.vpce-1a2b.s3.us-east-1.vpce.amazonaws.com", "us-east-1"),
        ("s3.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ("s3.us-iso-east-1.c2s.ic.gov", "us-iso-east-1"),
        ("s3.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1"),
        ("s3.fr-par.scw.cloud", None),
        ("s3.us-east-005.backblazeb2.com", None),
        ("s3.eu-west-1.amazonaws.com.evil.example", None),
        ("localhost", None),
        ("", None),
        (None, None),
    ],
)
def test_a_host_of_aws_names_its_region(host: str | None, region: str | None) -> None:
    assert region_of_host(host) == region


def test_only_s3_express_is_signed_under_another_name() -> None:
    assert signing_name("s3express-use1-az4.us-east-1.amazonaws.com") == "s3express"
    assert signing_name("s3.us-east-1.amazonaws.com") == "s3"
    assert signing_name("s3express.example.com") == "s3"


def test_partitions_have_hosts_of_their_own() -> None:
    assert aws_host("eusc-de-east-1") == "s3.eusc-de-east-1.amazonaws.eu"
    assert aws_host("us-isof-south-1") == "s3.us-isof-south-1.csp.hci.ic.gov"
    assert aws_host("eu-isoe-west-1") == "s3.eu-isoe-west-1.cloud.adc-e.uk"
    assert aws_host("cn-north-1") == "s3.cn-north-1.amazonaws.com.cn"
    assert aws_host("us-iso-east-1") == "s3.us-iso-east-1.c2s.ic.gov"
    assert aws_host("us-isob-east-1") == "s3.us-isob-east-1.sc2s.sgov.gov"
    assert aws_host("us-gov-west-1") == "s3.us-gov-west-1.amazonaws.com"


@pytest.mark.parametrize(
    ("key", "encoded"),
    [
        ("a b", "a%20b"),
        ("a+b", "a%2Bb"),
        ("a%41", "a%2541"),
        ("/lead//x/", "/lead//x/"),
        ("../other/./x", "../other/./x"),
        ("ü", "%C3%BC"),
        ("~-._", "~-._"),
        ("?&=#;:@!$'()*,", "%3F%26%3D%23%3B%3A%40%21%24%27%28%29%2A%2C"),
        ("\r\n", "%0D%0A"),
        ("🦊", "%F0%9F%A6%8A"),
    ],
)
def test_every_byte_but_the_unreserved_is_encoded_once(key: str, encoded: str) -> None:
    assert encode_key(key) == encoded
    assert unquote(encoded) == key


def test_the_query_is_canonical() -> None:
    pairs = (("uploads", ""), ("b", "1 +/&="), ("a", "é"), ("B", "2"))
    assert encode_query(pairs) == "B=2&a=%C3%A9&b=1%20%2B%2F%26%3D&uploads="
    assert encode_query(()) == ""


@pytest.mark.parametrize("key", ["k" * 1024, "ü" * 512, "\t", "a\nb", "\r", ".", "..", "/", " "])
def test_legal_keys_pass(key: str) -> None:
    check_key(key, container="b")


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("", "is empty"),
        ("k" * 1025, "1025 bytes of UTF-8; the longest is 1024"),
        ("ü" * 512 + "k", "1025 bytes"),
        ("a\x00b", r"U\+0000"),
        ("\x1f", r"U\+001F"),
        ("\x0b", r"U\+000B"),
        ("\ud800", r"U\+D800"),
        ("\uffff", r"U\+FFFF"),
    ],
)
def test_keys_that_no_service_stores_are_refused_with_the_reason(key: str, text: str) -> None:
    with pytest.raises(InvalidRequestError, match=text) as caught:
        check_key(key, container="b")
    assert isinstance(caught.value, ValueError)
    assert caught.value.object_name == key
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("key", [b"k", None, 5])
def test_a_key_is_a_str(key: Any) -> None:
    with pytest.raises(TypeError, match="object_name must be a str"):
        check_key(key, container="b")


@pytest.mark.parametrize("bucket", ["abc", "my.bucket", "Old_Bucket", "tenant:bucket", "a" * 255])
def test_bucket_names_that_some_service_has_pass(bucket: str) -> None:
    check_bucket(bucket)


@pytest.mark.parametrize(
    "bucket",
    ["", ".", "..", "a/b", "/", "a?b", "a b", "a#b", "a%2fb", "a\r\nb", "abc\n", "ü", "a" * 256,
     None, 5, b"abc"],
)  # fmt: skip
def test_what_is_no_bucket_name_is_refused(bucket: Any) -> None:
    with pytest.raises(InvalidRequestError, match="not a container name"):
        check_bucket(bucket)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://s3.example.com", ("https", "s3.example.com", 443, "")),
        ("http://s3.example.com/", ("http", "s3.example.com", 80, "")),
        ("http://s3.example.com:9000/base/x/", ("http", "s3.example.com", 9000, "/base/x")),
        ("https://[::1]:9000", ("https", "[::1]", 9000, "")),
        ("https://h/a b%2F", ("https", "h", 443, "/a%20b%2F")),
    ],
)
def test_an_endpoint_is_read_from_its_url(url: str, expected: tuple[Any, ...]) -> None:
    endpoint = Endpoint.from_url(url)
    read = (endpoint.scheme, endpoint.host, endpoint.port, endpoint.base_path)
    assert read == expected


@pytest.mark.parametrize(
    "url",
    ["", "s3.example.com", "ftp://h", "https://", "https:///x", "https://h?x=1", "https://h#x",
     "https://user@h", "https://user:pw@h", "https://h:99999", "https://h:x", "https://h:0",
     "http://a b", "http://a\x7fb", "http://{h}"],
)  # fmt: skip
def test_what_is_no_endpoint_is_refused(url: str) -> None:
    with pytest.raises(ValueError):
        Endpoint.from_url(url)


@pytest.mark.parametrize(
    "url", ["https://u:hunter2@h", "ftp://u:hunter2@h", "u:hunter2@h", "https://u:hunter2@h:x"]
)
def test_a_refused_url_does_not_show_its_password(url: str) -> None:
    with pytest.raises(ValueError) as caught:
        Endpoint.from_url(url)
    assert "hunter2" not in str(caught.value)


def test_the_host_header_leaves_out_a_default_port_only() -> None:
    assert PLAIN.netloc("h") == "h"
    assert Endpoint("http", "h", 80).netloc("h") == "h"
    assert Endpoint("http", "h", 443).netloc("h") == "h:443"
    assert Endpoint("https", "h", 80).netloc("h") == "h:80"


def test_path_style_names_the_bucket_in_the_path() -> None:
    assert PLAIN.host_for("bucket") == "s3.amazonaws.com"
    assert PLAIN.path("bucket", "a b/../c") == "/bucket/a%20b/../c"
    assert PLAIN.path("bucket") == "/bucket"
    based = Endpoint("https", "h", 443, "/base")
    assert based.path("bucket", "k") == "/base/bucket/k"


def test_virtual_style_names_it_in_the_host() -> None:
    endpoint = Endpoint("https", "s3.amazonaws.com", 443, "/base", "virtual")
    assert endpoint.host_for("bucket") == "bucket.s3.amazonaws.com"
    assert endpoint.path("bucket", "/k") == "/base//k"
    assert endpoint.path("bucket") == "/base/"
    assert endpoint.host_for("") == "s3.amazonaws.com"


@pytest.mark.parametrize("bucket", ["my.bucket", "Upper", "under_score", "ab", "-abc", "abc-"])
def test_a_bucket_that_is_no_host_name_is_refused_in_virtual_style(bucket: str) -> None:
    endpoint = Endpoint("https", "s3.amazonaws.com", 443, addressing="virtual")
    with pytest.raises(InvalidRequestError, match="ex_addressing"):
        endpoint.host_for(bucket)


@pytest.mark.parametrize(
    "host",
    ["s3-accelerate.amazonaws.com", "s3-accelerate.dualstack.amazonaws.com",
     "s3express-use1-az4.us-east-1.amazonaws.com"],
)  # fmt: skip
def test_auto_is_virtual_only_where_nothing_else_is_taken(host: str) -> None:
    assert Endpoint("https", host, 443).is_virtual("bucket")
    assert not Endpoint("https", host, 443, addressing="path").is_virtual("bucket")
    assert not PLAIN.is_virtual("bucket")


@pytest.mark.parametrize(
    ("host", "region"),
    [
        ("s3.eu-west-3.amazonaws.com", "eu-west-3"),
        ("bucket.s3.eu-west-3.amazonaws.com", "eu-west-3"),
        ("a.dotted.bucket.s3-us-west-2.amazonaws.com", "us-west-2"),
        ("b.s3.dualstack.us-gov-east-1.amazonaws.com", "us-gov-east-1"),
        ("s3.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ("s3.amazonaws.com", None),
        ("bucket.s3-accelerate.amazonaws.com", None),
        ("s3.eu-west-3.amazonaws.com.evil.example", None),
        ("s3.eu-west-3.evil.example", None),
        ("evils3.eu-west-3.amazonaws.com", None),
        ("s3.trap.amazonaws.com", None),
        ("s3.eu-west-3.amazonaws.com\n", None),
        ("", None),
    ],
)
def test_the_region_of_awss_own_hosts_is_read_and_of_no_others(
    host: str, region: str | None
) -> None:
    assert region_of_host(host) == region


HERE = Endpoint("http", "127.0.0.1", 8080)


@pytest.mark.parametrize(
    ("location", "is_here"),
    [
        ("http://127.0.0.1:8080/b/a%20key", True),
        ("/b/a%20key", True),
        ("/b/a key", True),
        ("https://127.0.0.1:8080/b/a%20key", False),
        ("http://127.0.0.1:8081/b/a%20key", False),
        ("http://127.0.0.1/b/a%20key", False),
        ("http://127.0.0.2:8080/b/a%20key", False),
        ("http://127.0.0.1:8080/other/a%20key", False),
        ("//127.0.0.1:8080/b/a%20key", False),
        ("http://127.0.0.1:port/b/a%20key", False),
        ("http://127.0.0.1:8080", False),
    ],
)
def test_a_redirect_leads_back_here_or_elsewhere(location: str, is_here: bool) -> None:
    assert HERE.is_here(location, "b", "a key") == is_here


def test_a_redirect_to_the_buckets_own_host_leads_back_here() -> None:
    endpoint = Endpoint("https", "s3.example.org", 443, addressing="virtual")
    assert endpoint.is_here("https://bucket.s3.example.org/k", "bucket", "k")
    assert not endpoint.is_here("https://other.s3.example.org/k", "bucket", "k")


@pytest.mark.parametrize(
    "host",
    [
        "localhost:9000",
        "http://localhost",
        "ex.com/base",
        "a b",
        "u@h",
        "h?x",
        "a\\b",
        "[h]",
        "::zz",
    ],
)
def test_more_than_a_host_is_refused_in_words(host: str) -> None:
    with pytest.raises(InvalidRequestError, match="ex_endpoint_url="):
        checked_host(host)


@pytest.mark.parametrize("host", ["localhost", "::1", "[::1]", "10.0.0.1", "a_b.Ex-1.com", "é.de"])
def test_a_host_is_taken_as_it_is(host: str) -> None:
    assert checked_host(host, 9000) == checked_host(host, "9000") == host


def test_no_host_is_none() -> None:
    assert checked_host(None) is checked_host("") is None


@pytest.mark.parametrize("port", [0, -1, 65536, "x", "", 1.5, True])
def test_what_is_no_port_is_refused(port: Any) -> None:
    with pytest.raises(InvalidRequestError, match="port must be"):
        checked_host("h", port)
