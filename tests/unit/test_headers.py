# SPDX-License-Identifier: Apache-2.0
"""The caller's headers: checked, encoded, and on the requests they belong to."""

from __future__ import annotations

from typing import Any

import pytest

from libcloud_s3mpu.protocol import headers
from libcloud_s3mpu.protocol.errors import InvalidRequestError

SSE_C = {
    "x-amz-server-side-encryption-customer-algorithm": "AES256",
    "x-amz-server-side-encryption-customer-key": "a2V5",
    "x-amz-server-side-encryption-customer-key-md5": "bWQ1",
}
PAYER = {"x-amz-request-payer": "requester", "x-amz-expected-bucket-owner": "1"}
CONDITIONS = {"if-none-match": "*", "if-match": '"e"'}
OBJECT = {
    "content-type": "text/plain",
    "cache-control": "no-store",
    "x-amz-meta-a": "1",
    "x-amz-storage-class": "STANDARD_IA",
    "x-amz-acl": "private",
    "x-amz-tagging": "a=b",
    "x-amz-server-side-encryption": "aws:kms",
}
WHOLE = {"content-md5": "x", "x-amz-checksum-crc32": "x", "x-amz-checksum-sha256": "x"}
DECLARED = {"x-amz-checksum-algorithm": "CRC32", "x-amz-checksum-type": "COMPOSITE"}
ALL = {**SSE_C, **PAYER, **CONDITIONS, **OBJECT, **WHOLE, **DECLARED}


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        ("put", ALL),
        ("initiate", {**SSE_C, **PAYER, **OBJECT, **DECLARED}),
        ("part", {**SSE_C, **PAYER}),
        ("complete", {**SSE_C, **PAYER, **CONDITIONS}),
        ("other", PAYER),
    ],
)
def test_each_request_carries_the_headers_that_belong_on_it(
    operation: str, expected: dict[str, str]
) -> None:
    assert headers.for_request(ALL, operation) == expected


def test_the_table_changes_nothing_of_what_it_is_given() -> None:
    given = dict(ALL)
    for operation in ("put", "initiate", "part", "complete", "other"):
        headers.for_request(given, operation)["x"] = "y"
    assert given == ALL


def test_names_become_lower_case_and_numbers_text() -> None:
    given = {"Cache-Control": "no-store", "X-Amz-Meta-N": 5, "X-Number": 1.5}
    assert headers.checked_headers(given) == {
        "cache-control": "no-store",
        "x-amz-meta-n": "5",
        "x-number": "1.5",
    }
    assert given == {"Cache-Control": "no-store", "X-Amz-Meta-N": 5, "X-Number": 1.5}


def test_no_headers_are_no_headers() -> None:
    assert headers.checked_headers(None) == headers.checked_headers({}) == {}
    assert headers.metadata_headers(None, prefix="x-amz") == {}


def test_a_length_is_left_out_and_none_means_absent() -> None:
    assert headers.checked_headers({"Content-Length": "5", "X-A": None}) == {}


@pytest.mark.parametrize("name", sorted(headers.OURS - {"content-length"}))
def test_what_the_driver_says_itself_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequestError, match="set by the driver"):
        headers.checked_headers({name.title(): "x"})


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a\r\nb", "a\n", "ü", "a\x00", 5, None, b"a"])
def test_what_is_no_header_name_is_refused(name: Any) -> None:
    with pytest.raises(InvalidRequestError):
        headers.checked_headers({name: "x"})
    with pytest.raises(InvalidRequestError):
        headers.metadata_headers({name: "x"}, prefix="x-amz")


@pytest.mark.parametrize(
    "value", ["a\r\nX-Evil: 1", "a\nb", "a\rb", "\x00", "\x7f", "\x1b[0m", "é", b"\r\n", b"\xe9"]
)
def test_a_value_with_a_control_or_foreign_character_is_refused(value: Any) -> None:
    with pytest.raises(InvalidRequestError):
        headers.checked_value("x", value)
    with pytest.raises(InvalidRequestError):
        headers.checked_headers({"Cache-Control": value})


@pytest.mark.parametrize("value", [None, [], {}, object(), True])
def test_a_value_is_text_or_a_number(value: Any) -> None:
    with pytest.raises(TypeError, match="must be a str or a number"):
        headers.checked_value("x", value)


def test_a_tab_and_bytes_are_legal_in_a_value() -> None:
    assert headers.checked_value("x", "a\tb") == "a\tb"
    assert headers.checked_value("x", b"abc") == "abc"


@pytest.mark.parametrize("value", ["a\r\nb", "é\n", "\x00", "a\x01b"])
def test_metadata_with_a_line_end_is_refused_even_where_it_would_be_encoded(value: str) -> None:
    with pytest.raises(InvalidRequestError, match="control character"):
        headers.metadata_headers({"name": value}, prefix="x-amz")


@pytest.mark.parametrize("value", ["", "plain", "a  b", "1", "a=b; c"])
def test_plain_metadata_is_sent_as_it_is(value: str) -> None:
    assert headers.metadata_headers({"A": value}, prefix="x-amz") == {"x-amz-meta-a": value}


@pytest.mark.parametrize(
    "value",
    ["é", " lead", "trail ", "=?UTF-8?B?w6k=?=", "日本語" * 40, "🦊" * 30, "\u2028x", "a\udcff"],
)
def test_other_metadata_is_sent_as_rfc_2047_says_and_comes_back(value: str) -> None:
    sent = headers.encode_metadata_value("x-amz-meta-a", value)
    assert sent.isascii()
    assert sent == sent.strip()
    assert all(len(word) <= 75 for word in sent.split(" "))
    assert headers.decode_metadata_value(sent) == value


def test_metadata_in_headers_is_encoded_too() -> None:
    assert headers.checked_headers({"X-Amz-Meta-A": "é"}) == {"x-amz-meta-a": "=?UTF-8?B?w6k=?="}


def test_values_that_are_no_text_become_text() -> None:
    given = {"t": True, "n": None, "i": 5, "f": 0.5}
    sent = headers.metadata_headers(given, prefix="x-amz")
    assert list(sent.values()) == ["True", "None", "5", "0.5"]


@pytest.mark.parametrize(
    "value", ["=?x-no-such-charset?B?w6k=?=", "=?UTF-8?B?/w==?=", "=?", "a =?= b", "\xff"]
)
def test_what_cannot_be_decoded_stays(value: str) -> None:
    assert headers.decode_metadata_value(value) == value


def test_raw_utf8_of_a_service_is_read() -> None:
    assert headers.decode_metadata_value("é".encode().decode("latin-1")) == "é"


@pytest.mark.parametrize(
    ("given", "is_opaque"),
    [
        ({}, False),
        ({"x-amz-server-side-encryption": "AES256"}, False),
        ({"x-amz-server-side-encryption": "aws:kms"}, True),
        ({"x-amz-server-side-encryption": "aws:kms:dsse"}, True),
        ({"x-amz-server-side-encryption-customer-algorithm": "AES256"}, True),
    ],
)
def test_etags_are_opaque_under_kms_and_customer_keys(
    given: dict[str, str], is_opaque: bool
) -> None:
    assert headers.is_opaque_etag(given) is is_opaque
