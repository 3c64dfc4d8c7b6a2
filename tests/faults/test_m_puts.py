# SPDX-License-Identifier: Apache-2.0
"""A single PUT under a condition whose answer was lost: what it wrote is no reason to fail."""

from __future__ import annotations

from typing import Any
from pathlib import Path
from dataclasses import replace

import pytest

from tests.fake_s3 import faults
from tests.unit.small import LIMITS
from tests.faults.outcomes import HEAD, Tried
from libcloud_s3mpu.protocol.errors import AccessDeniedError, PreconditionFailedError

PUT = "PutObject"
SMALL = b"four"

#: The object is written, and nobody hears of it.
LOST = {
    "closed": faults.close("answer", applied=True),
    "reset": faults.reset("answer", applied=True),
    "500": faults.error("InternalError", applied=True),
    "504": faults.html(504, applied=True),
}

pytestmark = pytest.mark.usefixtures("no_waits")


@pytest.fixture(params=list(LOST))
def lost(request: pytest.FixtureRequest) -> faults.Fault:
    return LOST[request.param]


@pytest.mark.parametrize("data", [b"", SMALL])
def test_a_created_object_whose_answer_was_lost_is_a_success(
    s3: Tried, lost: faults.Fault, data: bytes
) -> None:
    s3.fake.script(PUT, lost)
    made = s3.succeeds([data], data, if_none_match="*")
    assert made.hash == s3.fake.objects["bucket"]["key"].etag.strip('"')
    assert (s3.count(PUT), s3.count(HEAD)) == (2, 1)


def test_a_replaced_object_whose_answer_was_lost_is_a_success(s3: Tried) -> None:
    before = s3.upload([b"old"])
    s3.fake.script(PUT, LOST["closed"])
    s3.succeeds([SMALL], SMALL, if_match=before.hash)


def test_a_file_whose_answer_was_lost_is_a_success(s3: Tried, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(SMALL)
    s3.driver.ex_options = replace(s3.driver.ex_options, if_none_match="*")
    s3.fake.script(PUT, LOST["closed"])
    made = s3.timed(lambda: s3.driver.upload_object(str(path), s3.container, "key"))
    assert (made.size, s3.stored()) == (4, SMALL)


@pytest.mark.parametrize("others", [b"ours", b"longer than ours"])
def test_anothers_object_is_no_success(s3: Tried, others: bytes) -> None:
    s3.upload([others])
    s3.fake.script(PUT, faults.error("InternalError"))
    s3.fails(PreconditionFailedError, [SMALL], if_none_match="*")
    assert s3.stored() == others


def test_an_object_is_not_asked_for_where_every_answer_came(s3: Tried) -> None:
    s3.upload([SMALL])
    s3.fake.script(PUT, faults.error("SlowDown"))
    s3.fails(PreconditionFailedError, [SMALL], if_none_match="*")
    assert s3.count(HEAD) == 0


@pytest.mark.parametrize("checksum", ["crc32", None])
def test_where_etags_are_no_md5_the_checksum_tells(lean: Tried, checksum: Any) -> None:
    lean.driver.ex_limits = replace(LIMITS, has_md5_etags=False)
    lean.fake.script(PUT, LOST["closed"])
    if checksum is not None:
        lean.succeeds([SMALL], SMALL, if_none_match="*", checksum=checksum)
        return
    with pytest.raises(PreconditionFailedError, match="may have written"):
        lean.upload([SMALL], if_none_match="*", checksum=None)
    assert lean.stored() == SMALL


def test_an_object_that_nobody_may_ask_for_leaves_the_412(lean: Tried) -> None:
    lean.fake.script(PUT, LOST["closed"])
    lean.fake.script(HEAD, faults.error("AccessDenied"))
    with pytest.raises(
        PreconditionFailedError, match=r"412(.|\n)*may have written.*HeadObject"
    ) as e:
        lean.upload([SMALL], if_none_match="*")
    assert not isinstance(e.value, AccessDeniedError)
