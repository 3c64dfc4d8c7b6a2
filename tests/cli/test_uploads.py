# SPDX-License-Identifier: Apache-2.0
"""``s3mpu uploads``: listing, aborting, cleaning up."""

from __future__ import annotations

import json
import uuid
from datetime import datetime, timezone, timedelta

import pytest

from tests.fake_s3 import FakeS3, faults
from tests.cli.conftest import BUCKET, Cli
from tests.fake_s3.store import Upload, Attributes


def begin(fake: FakeS3, key: str, *, days: float = 0.0) -> str:
    """Have an upload that was initiated some days ago."""
    upload_id = f"id-{uuid.uuid4().hex}"
    fake.store.uploads[upload_id] = Upload(
        upload_id=upload_id,
        bucket=BUCKET,
        key=key,
        initiated=datetime.now(timezone.utc) - timedelta(days=days),
        attributes=Attributes(),
    )
    return upload_id


def test_ls_lists_them(cli: Cli, fake: FakeS3) -> None:
    first, second = begin(fake, "a/1"), begin(fake, "b\n2")
    result = cli("uploads", "ls", "s3://bucket")
    assert result.code == 0
    lines = result.out.splitlines()
    assert [line.split()[1:] for line in lines] == [[first, "a/1"], [second, "b\\n2"]]
    rows = [
        json.loads(line)
        for line in cli("uploads", "ls", "s3://bucket/b", "--json").out.splitlines()
    ]
    assert [(row["key"], row["upload_id"]) for row in rows] == [("b\n2", second)]
    assert rows[0]["initiated"].endswith("Z")


def test_ls_of_none_is_empty(cli: Cli) -> None:
    result = cli("uploads", "ls", "s3://bucket")
    assert (result.code, result.out) == (0, "")


def test_abort_ends_one(cli: Cli, fake: FakeS3) -> None:
    gone, kept = begin(fake, "key"), begin(fake, "key")
    assert cli("uploads", "abort", "s3://bucket/key", gone).code == 0
    assert set(fake.uploads) == {kept}
    again = cli("uploads", "abort", "s3://bucket/key", gone)
    assert again.code == 0 and f"there is no upload {gone}; nothing was aborted" in again.stderr
    assert cli("uploads", "abort", "s3://nowhere/key", kept).code == 1


def test_clean_tells_and_aborts_nothing_without_yes(cli: Cli, fake: FakeS3) -> None:
    begin(fake, "old", days=2)
    begin(fake, "new")
    result = cli("uploads", "clean", "s3://bucket")
    assert result.code == 0
    lines = [line.split() for line in result.out.splitlines()]
    assert [line[:2] for line in lines if "old" in line] == [["would", "abort"]]
    assert [line[:2] for line in lines if "new" in line] == [["left", "alone"]]
    assert "(it was initiated too lately)" in result.out
    assert "2 uploads seen, 1 would abort, 1 left alone, 0 bytes to free" in result.out
    assert "--yes" in result.stderr
    assert len(fake.uploads) == 2


def test_clean_aborts_what_is_old_enough(cli: Cli, fake: FakeS3) -> None:
    begin(fake, "logs/1", days=10)
    begin(fake, "logs/2", days=3)
    begin(fake, "other", days=10)
    args = ("--older-than", "7d", "--prefix", "logs/", "--yes", "--json")
    report = cli("uploads", "clean", "s3://bucket", *args).json
    assert [upload["object_name"] for upload in report["aborted"]] == ["logs/1"]
    assert (report["dry_run"], report["seen"]) == (False, 2)
    assert sorted(u.key for u in fake.uploads.values()) == ["logs/2", "other"]


def test_clean_says_what_failed_and_does_the_rest(cli: Cli, fake: FakeS3) -> None:
    begin(fake, "a", days=2)
    begin(fake, "b", days=2)
    fake.script("AbortMultipartUpload", faults.error("AccessDenied"), key="a", forever=True)
    result = cli("uploads", "clean", "s3://bucket", "--yes")
    assert result.code == 1
    assert "AccessDenied" in result.stderr and "failed for 1" in result.stderr
    assert [upload.key for upload in fake.uploads.values()] == ["a"]


@pytest.mark.parametrize("text", ["7", "d", "7 days", "-1d", "1y", ""])
def test_an_age_has_a_unit(cli: Cli, text: str) -> None:
    result = cli("uploads", "clean", "s3://bucket", f"--older-than={text}")
    assert (result.code, result.stderr.count("\n")) == (2, 1)
    assert "is no age" in result.stderr


@pytest.mark.parametrize(
    "args",
    [("ls",), ("abort", "s3://bucket", "id"), ("abort", "s3://bucket/key"), ("clean", "s3://b/k")],
)
def test_wrong_usage_is_two(cli: Cli, args: tuple[str, ...]) -> None:
    assert cli("uploads", *args).code == 2
