# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from tests.fake_s3 import faults
from tests.cli.conftest import PART, Cli

BODY = bytes(range(256)) * 8192


@pytest.fixture
def stored(cli: Cli) -> Cli:
    args = ("put", "-", "s3://bucket/dir/a +é.bin", "--metadata", "a=1")
    assert cli(*args, stdin=BODY).code == 0
    cli.fake.requests.clear()
    return cli


SOURCE = "s3://bucket/dir/a +é.bin"


def test_an_object_is_copied(stored: Cli) -> None:
    result = stored("cp", SOURCE, "s3://bucket/b", "--json")
    assert result.code == 0, result.stderr
    assert (stored.objects["b"].body, dict(stored.objects["b"].metadata)) == (BODY, {"a": "1"})
    assert (result.json["key"], result.json["size"]) == ("b", len(BODY))
    assert "s3://bucket/b: 2.0 MiB" in result.stderr


def test_a_dest_that_is_a_folder_takes_the_name(stored: Cli) -> None:
    assert stored("cp", SOURCE, "s3://bucket", "--quiet").code == 0
    assert stored("cp", SOURCE, "s3://bucket/x/", "--metadata", "b=2").code == 0
    assert stored.objects["a +é.bin"].body == BODY
    assert dict(stored.objects["x/a +é.bin"].metadata) == {"b": "2"}


def test_objects_are_joined(stored: Cli) -> None:
    result = stored("cp", "--join", SOURCE, SOURCE, SOURCE, SOURCE, "s3://bucket/all")
    assert result.code == 0, result.stderr
    assert stored.objects["all"].body == BODY * 4
    assert len(BODY) * 4 > PART


@pytest.mark.parametrize(
    "args",
    [
        [SOURCE, SOURCE, "s3://bucket/b"],
        ["--join", SOURCE, SOURCE, "s3://bucket/"],
        ["s3://bucket", "s3://bucket/b"],
        [SOURCE],
        ["s3://bucket/dir/", "s3://bucket"],
    ],
)
def test_wrong_usage_is_told_before_any_request(stored: Cli, args: list[str]) -> None:
    assert stored("cp", *args).code == 2
    assert stored.fake.requests == []


def test_what_exists_is_left_alone_if_asked(stored: Cli) -> None:
    before = stored.objects["dir/a +é.bin"]
    result = stored("cp", SOURCE, SOURCE, "--if-none-match")
    assert result.code == 1
    assert "PreconditionFailed" in result.stderr
    assert stored.objects["dir/a +é.bin"] is before
    assert stored.fake.uploads == {}


def test_a_failure_is_one_line(stored: Cli) -> None:
    stored.fake.script("CopyObject", faults.error("AccessDenied"))
    result = stored("cp", SOURCE, "s3://bucket/b", "--quiet")
    assert (result.code, result.stderr.count("\n")) == (1, 1)
    assert "AccessDenied" in result.stderr
