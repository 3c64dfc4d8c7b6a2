# SPDX-License-Identifier: Apache-2.0
"""Catalogue D, 36 to 41: what arrives is what was sent, or it is found out."""

from __future__ import annotations

import re
import random
from typing import Any

import pytest

from tests.fake_s3 import faults
from tests.unit.small import Apart, whole, chunks
from tests.faults.outcomes import (
    DATA,
    PART,
    ABORT,
    PARTS,
    COMPLETE,
    Tried,
    Counted,
    MakeTried,
    forever,
)
from libcloud_s3mpu.protocol.errors import (
    S3MultipartError,
    SessionStateError,
    MalformedAnswerError,
    ChecksumMismatchError,
    RetriesExhaustedError,
)
from libcloud_s3mpu.protocol.session import Event, UploadedPart, UploadSession

#: The signed payload, a digest and a CRC: each finds a flipped bit.
CHECKS = ["auto", "md5", "crc32c", "sha256"]


@pytest.mark.parametrize("checksum", CHECKS)
def test_f36_a_bit_that_flips_on_the_way_is_sent_again(checksum: str, s3: Tried) -> None:
    for number in range(1, PARTS + 1):
        s3.fake.script(PART, faults.corrupt_received(), part_number=number)
    s3.succeeds(checksum=checksum)
    assert s3.count(PART) == 2 * PARTS


@pytest.mark.parametrize("checksum", CHECKS)
def test_f36_bits_that_always_flip_are_an_error(checksum: str, s3: Tried) -> None:
    forever(s3.fake, PART, faults.corrupt_received(), part_number=2)
    s3.fails(RetriesExhaustedError, checksum=checksum)
    assert 3 <= s3.count(PART, 2) <= 6


def test_f36_over_tls_a_part_carries_a_check_too(make_s3: MakeTried) -> None:
    s3 = make_s3(tls=True)
    s3.fake.script(PART, faults.corrupt_received(), part_number=2)
    s3.succeeds()
    assert s3.count(PART, 2) == 2


def test_f37_a_complete_that_was_damaged_is_sent_again(s3: Tried) -> None:
    s3.fake.script(COMPLETE, faults.corrupt_received())
    s3.succeeds()
    assert s3.count(COMPLETE) == 2


def test_f37_a_complete_that_is_always_damaged_is_an_error(s3: Tried) -> None:
    forever(s3.fake, COMPLETE, faults.corrupt_received())
    s3.fails(S3MultipartError)
    assert s3.count(COMPLETE) <= 6 and s3.count(ABORT) == 1


@pytest.mark.parametrize("checksum", ["md5", "crc32c", "sha256"])
def test_f38_a_store_that_keeps_wrong_bytes_is_found_out(checksum: str, s3: Tried) -> None:
    s3.fake.script(PART, faults.corrupt_stored(), part_number=2)
    s3.succeeds(checksum=checksum)
    forever(s3.fake, PART, faults.corrupt_stored(), part_number=3)
    error = s3.fails(RetriesExhaustedError, key="other", checksum=checksum)
    assert isinstance(error, ChecksumMismatchError) and error.part_number == 3


@pytest.mark.parametrize(
    "fault",
    [faults.missing_etag(), faults.etag('"abc'), faults.etag('abc"'), faults.etag('""')],
    ids=["missing", "cut at its end", "cut at its begin", "empty"],
)
def test_f39_an_etag_that_is_missing_or_odd_is_no_answer(fault: Any, s3: Tried) -> None:
    s3.fake.script(PART, fault, part_number=2)
    s3.succeeds()
    forever(s3.fake, PART, fault, part_number=3)
    assert isinstance(s3.fails(RetriesExhaustedError, key="other"), MalformedAnswerError)
    assert s3.count(COMPLETE) == 1  # The first upload's.


def test_f39_an_opaque_etag_is_fine_with_kms(s3: Tried) -> None:
    headers = {"x-amz-server-side-encryption": "aws:kms"}
    s3.timed(
        lambda: s3.driver.upload_object_via_stream(
            chunks(PARTS), s3.container, "key", headers=headers
        )
    )
    s3.is_whole()


@pytest.mark.parametrize("checksum", ["crc32", "crc32c", "sha1", "sha256"])
def test_f40_a_wrong_checksum_that_is_echoed_is_a_mismatch(checksum: str, s3: Tried) -> None:
    s3.fake.script(PART, faults.wrong_checksum(), part_number=2)
    s3.succeeds(checksum=checksum)
    assert s3.count(PART, 2) == 2
    forever(s3.fake, PART, faults.wrong_checksum(), part_number=2)
    error = s3.fails(RetriesExhaustedError, key="other", checksum=checksum)
    assert isinstance(error, ChecksumMismatchError)


@pytest.mark.parametrize("seed", range(3))
def test_f41_parts_that_arrive_in_any_order_are_joined_in_that_of_the_source(
    seed: int, s3: Tried
) -> None:
    numbers = list(range(1, 21))
    random.Random(seed).shuffle(numbers)
    stalls = {number: faults.stall("answer") for number in numbers[:8]}
    for number, stall in stalls.items():
        s3.fake.script(PART, stall, part_number=number)
    upload = Apart(lambda: s3.upload(Counted(20), concurrency=12))
    while not upload.wait(0.01):
        for number in numbers:  # Released in an order that is not theirs.
            stall = stalls.get(number)
            if stall is not None and stall.wire is not None and stall.wire.reached.is_set():
                stall.wire.release.set()
    upload.result()
    s3.is_whole(whole(20))
    (stored,) = s3.fake.objects["bucket"].values()
    assert stored.part_sizes == (5,) * 20


def test_f41_a_part_that_is_missing_is_seen_before_complete() -> None:
    session = UploadSession(container="c", object_name="o")
    session.initiated("u")
    for number in (1, 3):
        session.record(UploadedPart(part_number=number, size=5, etag="e"))
    with pytest.raises(SessionStateError):
        session.contiguous_parts(expected=3)
    with pytest.raises(SessionStateError):
        session.contiguous_parts(expected=2)
    session.move(Event.COMPLETE_SENT)


def test_f41_complete_says_how_long_the_object_is(s3: Tried) -> None:
    s3.succeeds()
    (record,) = s3.fake.requests_of(COMPLETE)
    assert re.fullmatch(r"\d+", record.headers.get("x-amz-mp-object-size", "none"))
    assert int(record.headers["x-amz-mp-object-size"]) == len(DATA)
