# SPDX-License-Identifier: Apache-2.0
"""ls, rm and mb."""

from __future__ import annotations

import json

import pytest

from tests.fake_s3 import FakeS3, FakeServer
from tests.cli.conftest import Cli, ended

KEYS = ["../up", "/lead", "a", "a/../b", "a//b", "dir/hello", "ü+ %25"]


@pytest.fixture
def stored(cli: Cli) -> Cli:
    for key in KEYS:
        assert cli("put", "-", f"s3://bucket/{key}", stdin=b"hello").code == 0
    return cli


def test_ls_lists_the_buckets(cli: Cli) -> None:
    assert cli("ls").out == "bucket\n"
    assert cli("ls", "--long").out.endswith("Z  bucket\n")
    assert cli("ls", "--json").json["bucket"] == "bucket"


def test_ls_lists_names_exactly(stored: Cli) -> None:
    assert stored("ls", "s3://bucket").out.splitlines() == KEYS
    assert stored("ls", "s3://bucket/a").out.splitlines() == ["a", "a/../b", "a//b"]
    assert stored("ls", "s3://bucket//").out.splitlines() == ["/lead"]


def test_ls_tells_size_time_and_etag(stored: Cli) -> None:
    line = stored("ls", "s3://bucket/dir/", "--long").out.split()
    assert (
        line[0] == "5"
        and line[1].endswith("Z")
        and line[2:]
        == [
            "5d41402abc4b2a76b9719d911017c592",
            "dir/hello",
        ]
    )
    rows = [json.loads(line) for line in stored("ls", "s3://bucket", "--json").out.splitlines()]
    assert [row["key"] for row in rows] == KEYS
    assert {row["size"] for row in rows} == {5}


def test_ls_escapes_what_moves_the_cursor(cli: Cli) -> None:
    assert cli("put", "-", "s3://bucket/a\nb", stdin=b"").code == 0
    assert cli("ls", "s3://bucket").out == "a\\nb\n"
    assert cli("ls", "s3://bucket", "--json").json["key"] == "a\nb"


def test_ls_of_nothing(cli: Cli) -> None:
    assert (cli("ls", "s3://bucket").code, cli("ls", "s3://bucket").out) == (0, "")
    result = cli("ls", "s3://bucket/none")
    assert (result.code, result.out) == (1, "")
    assert "no object's name begins with s3://bucket/none" in result.stderr
    result = cli("ls", "s3://nowhere")
    assert result.code == 1
    assert "nowhere" in result.stderr and "0x" not in result.stderr


def test_ls_into_a_pipe_that_closes_ends_quietly(cli: Cli) -> None:
    child = cli.start("ls")
    assert child.stdout is not None
    child.stdout.close()
    child.stdout = None
    result = ended(child)
    assert (result.code, result.stderr) == (141, "")


def test_rm_deletes_exactly_what_is_named(stored: Cli) -> None:
    assert stored("rm", "s3://bucket//lead", "s3://bucket/../up", "s3://bucket/a//b").code == 0
    assert sorted(stored.objects) == sorted(set(KEYS) - {"/lead", "../up", "a//b"})


def test_rm_of_a_missing_object_is_an_error_and_the_others_go(stored: Cli) -> None:
    result = stored("rm", "s3://bucket/none", "s3://bucket/a")
    assert result.code == 1
    assert result.stderr.count("\n") == 1
    assert result.stderr == "s3mpu: s3://bucket/none was not deleted: there is no such object\n"
    assert "a" not in stored.objects


def test_rm_wants_an_object(cli: Cli) -> None:
    assert cli("rm").code == 2
    assert "names no object" in cli("rm", "s3://bucket").stderr


def test_mb_makes_a_bucket(cli: Cli) -> None:
    result = cli("mb", "s3://another")
    assert (result.code, result.stdout, result.stderr) == (0, b"", "")
    assert "another" in cli.fake.objects


def test_mb_errors_are_one_line(cli: Cli) -> None:
    result = cli("mb", "s3://X_")
    assert (result.code, result.stderr.count("\n")) == (1, 1)
    assert "InvalidBucketName" in result.stderr and "<" not in result.stderr
    assert cli("mb", "s3://bucket/key").code == 2


def test_mb_says_that_a_bucket_exists() -> None:
    from libcloud.storage.types import ContainerAlreadyExistsError

    from libcloud_s3mpu.cli.errors import words_of

    error = ContainerAlreadyExistsError(value="long", driver=None, container_name="b")
    assert words_of(error) == "container b exists already"


def test_another_region_signs_for_it(cli: Cli) -> None:
    fake = FakeS3(region="eu-west-3", buckets=("bucket",))
    with FakeServer(fake) as server:
        args = ("--endpoint-url", server.endpoint, "--region", "eu-west-3")
        assert cli(*args, "ls").out == "bucket\n"
        assert cli("ls", *args).out == "bucket\n"
        assert cli("--region", "us-west-1", "ls", *args).code == 0
        fake.requests.clear()
        assert cli("ls", *args).code == 0
        assert len(fake.requests) == 1
        # A service that names its region in its refusal is followed there.
        assert cli("ls", *args[:2]).out == "bucket\n"
        assert len(fake.requests) == 3
