# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from libcloud_s3mpu.cli.words import S3Url, one_line, printable, size_text, parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("1048576", 1048576),
        ("512MiB", 512 * 1024**2),
        ("5GiB", 5 * 1024**3),
        ("5 gib", 5 * 1024**3),
        ("1KiB", 1024),
        ("2TiB", 2 * 1024**4),
    ],
)
def test_sizes_are_bytes_or_binary_units(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["5MB", "5M", "5Mi", "5 gb", "5K"])
def test_a_decimal_or_short_unit_is_refused_with_the_right_one(text: str) -> None:
    with pytest.raises(ValueError, match=r"write 5[MGK]iB \(units of 1024"):
        parse_size(text)


@pytest.mark.parametrize("text", ["", "-1", "1.5GiB", "MiB", "5XB", "0x10", "٣", "1e6"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no size"):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "bucket", "key"),
    [
        ("s3://b", "b", ""),
        ("s3://b/", "b", ""),
        ("s3://b/k", "b", "k"),
        ("s3://b//lead", "b", "/lead"),
        ("s3://b/a//b", "b", "a//b"),
        ("s3://b/../up", "b", "../up"),
        ("s3://b/a?b#c%20d+e", "b", "a?b#c%20d+e"),
        ("s3://b/dir/", "b", "dir/"),
    ],
)
def test_a_key_is_exactly_what_stands_after_the_bucket(text: str, bucket: str, key: str) -> None:
    assert S3Url.parse(text) == S3Url(bucket, key)


@pytest.mark.parametrize("text", ["", "b/k", "http://b/k", "s3:/b/k", "s3://", "s3:///k", "S3://b"])
def test_what_is_no_s3_url_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="s3://bucket/key"):
        S3Url.parse(text)


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (1024, "1.0 KiB"), (5 * 1024**4, "5.0 TiB")],
)
def test_sizes_are_told_in_binary_units(size: int, text: str) -> None:
    assert size_text(size) == text


def test_nothing_printed_moves_the_cursor() -> None:
    assert printable("é\x1b[31m\n\u202e") == "é\\x1b[31m\\n\\u202e"
    assert one_line("first\n  second\n\n") == "first; second"
    assert one_line("first:\nsecond.\nthird") == "first: second. third"
    assert one_line("first\nSecond") == "first. Second"
    assert one_line("") == ""
