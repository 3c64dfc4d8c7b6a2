# SPDX-License-Identifier: Apache-2.0
"""What services accept, as values."""

from __future__ import annotations

from typing import Any
from dataclasses import FrozenInstanceError

import pytest

from libcloud_s3mpu.protocol import limits as presets
from libcloud_s3mpu.protocol.limits import (
    GIB,
    MIB,
    TIB,
    QUIRKS,
    R2_LIMITS,
    S3_LIMITS,
    SCALEWAY_LIMITS,
    COMPATIBLE_LIMITS,
    Limits,
)


def test_the_limits_of_amazon_are_those_of_its_guide() -> None:
    assert Limits() == S3_LIMITS
    assert (S3_LIMITS.min_part_size, S3_LIMITS.max_part_size) == (5 * MIB, 5 * GIB)
    assert (S3_LIMITS.max_parts, S3_LIMITS.max_single_put) == (10_000, 5 * GIB)
    assert round(S3_LIMITS.max_object_size / TIB, 1) == 48.8
    assert S3_LIMITS.max_key_bytes == 1024
    assert not S3_LIMITS.uniform_parts


def test_r2_wants_equal_parts_and_scaleway_few() -> None:
    assert R2_LIMITS.uniform_parts
    assert R2_LIMITS.max_object_size < 5 * TIB
    assert SCALEWAY_LIMITS.max_parts == 1000


PRESETS = [value for value in vars(presets).values() if isinstance(value, Limits)]


def test_what_is_not_known_of_a_service_is_not_assumed() -> None:
    assert len(PRESETS) >= 12
    assert COMPATIBLE_LIMITS.checksums == COMPATIBLE_LIMITS.conditions == frozenset()
    assert not COMPATIBLE_LIMITS.checks_object_size


def test_every_quirk_says_what_becomes_of_it() -> None:
    assert all(";" in text for text in QUIRKS.values())
    assert QUIRKS.keys() == {name for limits in PRESETS for name in limits.quirks} | {
        "no-namespace"
    }


@pytest.mark.parametrize("limits", PRESETS)
def test_every_preset_says_where_and_when_it_was_read(limits: Limits) -> None:
    assert "read 20" in limits.source or "seen 20" in limits.source


@pytest.mark.parametrize(
    "values",
    [
        {"min_part_size": 0},
        {"min_part_size": 6, "max_part_size": 5},
        {"max_parts": 0},
        {"max_object_size": -1},
        {"max_single_put": 0},
        {"checksums": {"CRC31"}},
        {"conditions": {"if-modified-since"}},
        {"quirks": {"nothing-known"}},
    ],
)
def test_limits_that_contradict_themselves_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"must be|unknown"):
        Limits(**values)


def test_limits_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        S3_LIMITS.max_parts = 1  # type: ignore[misc]
