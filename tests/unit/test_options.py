# SPDX-License-Identifier: Apache-2.0
"""What the caller chose is checked the moment it is chosen."""

from __future__ import annotations

from typing import Any
from dataclasses import FrozenInstanceError

import pytest

from libcloud_s3mpu.protocol.limits import MIB
from libcloud_s3mpu.protocol.options import UploadOptions
from libcloud_s3mpu.transfer.journal import MemoryJournal


def test_the_defaults_are_safe_and_bounded() -> None:
    options = UploadOptions()
    assert options.memory_budget_bytes == 128 * MIB
    assert (options.on_failure, options.checksum, options.sign_payload) == ("abort", "auto", None)
    assert options.retry.max_attempts > 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("part_size_bytes", 0),
        ("part_size_bytes", -5),
        ("memory_budget_bytes", 0),
        ("memory_budget_bytes", None),
        ("concurrency", 0),
        ("size_bytes", -1),
        ("size_hint_bytes", -1),
        ("checksum", "crc16"),
        ("checksum", ""),
        ("sign_payload", "yes"),
        ("on_failure", "ignore"),
        ("if_none_match", "etag"),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=name):
        UploadOptions(**{name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("part_size_bytes", 5.0),
        ("part_size_bytes", True),
        ("memory_budget_bytes", "1"),
        ("concurrency", 1.5),
        ("size_bytes", "5"),
        ("retry", 3),
        ("retry", None),
        ("if_match", 5),
        ("is_only_writer", "no"),
        ("on_event", "print"),
        ("journal", MemoryJournal),
    ],
)
def test_a_value_of_another_kind_is_a_type_error_by_name(name: str, value: Any) -> None:
    with pytest.raises(TypeError, match=name):
        UploadOptions(**{name: value})


def test_zero_is_a_length() -> None:
    assert UploadOptions(size_bytes=0, size_hint_bytes=0).size_bytes == 0


def test_options_are_keyword_only_and_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        UploadOptions(5)  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        UploadOptions().concurrency = 2  # type: ignore[misc]


def test_checked_gives_options_back_and_names_the_fields_otherwise() -> None:
    options = UploadOptions()
    assert UploadOptions.checked(options) is options
    for wrong in ({"concurrency": 1}, 5, "x"):
        with pytest.raises(TypeError, match="part_size_bytes, memory_budget_bytes"):
            UploadOptions.checked(wrong)
