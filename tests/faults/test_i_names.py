# SPDX-License-Identifier: Apache-2.0
"""Catalogue I, 80 to 85: names and headers, exactly or not at all."""

from __future__ import annotations

from typing import Any

import pytest
from libcloud.storage.base import Container

from tests.fake_s3 import FakeLimits
from tests.unit.small import chunks
from tests.faults.outcomes import DATA, Tried, MakeTried
from libcloud_s3mpu.protocol.errors import InvalidRequestError

KEYS = ["a b", "a+b", "a%41b", "a%", "/lead", "//", "trail/", "a//b", "ü/é", "e\u0301", "🦊",
        "?&=#;:@", "a'b\"c", "\\", "~", "*()!$,", "<&>", "tab\tkey", " ", "+", "%2e%2e/x",
        "x?uploads", "x?partNumber=1&uploadId=2"]  # fmt: skip


def arrives(s3: Tried, key: str) -> None:
    """Upload by one PUT and in parts; the object has exactly this key, and is read under it."""
    for source, data in ((b"abc", b"abc"), (chunks(4), DATA)):
        s3.succeeds(source, data, key=key)
        assert s3.keys == [key]
    found = s3.driver.get_object("bucket", key)
    assert b"".join(found.as_stream()) == DATA


@pytest.mark.parametrize("key", KEYS)
def test_f80_any_key_arrives_under_exactly_that_key(key: str, s3: Tried) -> None:
    arrives(s3, key)


@pytest.mark.parametrize("character", [*map(chr, range(0x20)), "\x7f", "\u0085", "\ufffe"])
def test_f80_a_control_character_arrives_or_is_refused(character: str, lean: Tried) -> None:
    key = f"a{character}b"
    try:
        lean.upload(chunks(4), key=key)
    except ValueError:
        assert lean.fake.requests == []
    else:
        assert lean.keys == [key]


DOTS = ["a/./b", "a/../b", "../other/stolen", "..", ".", "./x", "a/..", "../../other/stolen",
        "/../other/x", "..%2fother/x"]  # fmt: skip


@pytest.mark.parametrize("key", DOTS)
def test_f81_dots_are_part_of_the_key_and_reach_no_other_bucket(
    key: str, road: str, make_s3: MakeTried
) -> None:
    s3 = make_s3(road)
    s3.fake.store.buckets["other"] = type(s3.fake.store.buckets["bucket"])(
        name="other", created=s3.fake.store.now()
    )
    arrives(s3, key)
    assert s3.fake.objects["other"] == {}


@pytest.mark.parametrize("key", ["k" * 1024, "ü" * 512, "/" * 1024, "%" * 1024])
def test_f82_a_key_of_1024_bytes_is_legal(key: str, s3: Tried) -> None:
    arrives(s3, key)


@pytest.mark.parametrize("key", ["", "k" * 1025, "ü" * 513])
def test_f82_a_longer_or_empty_key_is_refused_before_any_request(key: str, s3: Tried) -> None:
    with pytest.raises(ValueError) as caught:
        s3.upload(chunks(4), key=key)
    assert s3.fake.requests == [] and isinstance(caught.value, InvalidRequestError)
    assert "KeyTooLong" in str(caught.value) or not key


BUCKETS = ["", ".", "..", "a/b", "a?b", "a b", " ", "a\r\nb", "a#b", "a%2fb", "../x", "ü", "b\x00"]


@pytest.mark.parametrize("name", BUCKETS)
@pytest.mark.parametrize("source", [b"abc", None])
def test_f83_what_is_no_bucket_name_is_refused_before_any_request(
    source: Any, name: str, s3: Tried
) -> None:
    container = Container(name, {}, s3.driver)
    with pytest.raises(ValueError):
        s3.driver.upload_object_via_stream(source or chunks(4), container, "key")
    assert s3.fake.requests == []


EVIL = ["a\r\nX-Evil: 1", "a\nX-Evil: 1", "a\rb", "a\x00b"]


@pytest.mark.parametrize("evil", EVIL)
@pytest.mark.parametrize(
    "make",
    [
        lambda evil: {"extra": {"meta_data": {"name": evil}}},
        lambda evil: {"extra": {"meta_data": {evil: "value"}}},
        lambda evil: {"extra": {"content_type": evil}},
        lambda evil: {"headers": {"Content-Type": evil}},
        lambda evil: {"headers": {evil: "value"}},
        lambda evil: {"extra": {"acl": evil}},
        lambda evil: {"ex_storage_class": evil},
    ],
    ids=["value", "name", "content type", "header", "header name", "acl", "storage class"],
)
def test_f84_nothing_can_be_injected(make: Any, evil: str, s3: Tried) -> None:
    with pytest.raises(ValueError):
        s3.driver.upload_object_via_stream(chunks(4), s3.container, "key", **make(evil))
    assert s3.fake.requests == []


@pytest.mark.parametrize("evil", ["a\r\nX-Evil: 1", "a b HTTP/1.1\r\nHost: x"])
def test_f84_in_a_key_it_is_encoded_or_refused(evil: str, s3: Tried) -> None:
    try:
        s3.upload(chunks(4), key=evil)
    except ValueError:
        assert s3.fake.requests == []
    else:
        assert s3.keys == [evil]
    assert not any("x-evil" in record.headers for record in s3.fake.requests)


METADATA = {
    "plain": "value",
    "umlaut": "Größe ½",
    "fox": "🦊" * 40,
    "blanks": "  both ends  ",
    "inner": "a   b",
    "looks": "=?UTF-8?B?YQ==?=",
    "empty": "",
}


@pytest.mark.parametrize("source", [b"abc", None])
def test_f85_metadata_comes_back_as_it_was(source: Any, s3: Tried) -> None:
    s3.driver.upload_object_via_stream(
        source or chunks(4), s3.container, "key", extra={"meta_data": METADATA}
    )
    found = s3.driver.get_object("bucket", "key")
    assert found.meta_data == METADATA
    assert FakeLimits().max_metadata_bytes == 2048
