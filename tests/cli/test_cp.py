# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

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
        ["file", "another"],
        ["--join", "file", SOURCE, "s3://bucket/b"],
        ["file", SOURCE, "s3://bucket/b"],
        [SOURCE, "file", "--storage-class", "STANDARD_IA"],
        [SOURCE, "file", "--json"],
        ["file", "s3://"],
        ["-", "s3://bucket"],
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
    assert "exists already; nothing was sent" in result.stderr
    stored.fake.script("HeadObject", faults.answer(404))
    result = stored("cp", SOURCE, SOURCE, "--if-none-match")
    assert result.code == 1
    assert "exists already: it was made meanwhile, and " in result.stderr
    assert stored.objects["dir/a +é.bin"] is before
    assert stored.fake.uploads == {}


def test_a_failure_is_one_line(stored: Cli) -> None:
    stored.fake.script("CopyObject", faults.error("AccessDenied"))
    result = stored("cp", SOURCE, "s3://bucket/b", "--quiet")
    assert (result.code, result.stderr.count("\n")) == (1, 1)
    assert "AccessDenied" in result.stderr


# -- files, as users of "aws s3 cp" expect -----------------------------------------------------


def test_a_file_is_uploaded(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "disk.img"
    file.write_bytes(BODY)
    result = cli("cp", str(file), "s3://bucket/images/", "--metadata", "a=1", "--json")
    assert result.code == 0, result.stderr
    stored = cli.objects["images/disk.img"]
    assert (stored.body, dict(stored.metadata)) == (BODY, {"a": "1"})
    assert result.json["url"] == "s3://bucket/images/disk.img"
    assert "s3://bucket/images/disk.img: 2.0 MiB" in result.stderr
    assert cli("cp", "-", "s3://bucket/in", "--quiet", stdin=b"piped").stderr == ""
    assert cli.objects["in"].body == b"piped"


def test_an_object_is_downloaded(stored: Cli, tmp_path: Path) -> None:
    assert stored("cp", SOURCE, f"{tmp_path}/", "--quiet").code == 0
    assert (tmp_path / "a +é.bin").read_bytes() == BODY
    assert stored("cp", SOURCE, "-").stdout == BODY


def test_a_name_without_its_scheme_is_told_how_it_is_written(cli: Cli) -> None:
    result = cli("cp", "bucket/dir/a", "s3://bucket/b")
    assert (result.code, result.stderr.count("\n")) == (1, 1)
    assert "No such file" in result.stderr and "s3://bucket/key" in result.stderr
    result = cli("cp", "bucket/a", "bucket/b")
    assert result.code == 2 and "s3://bucket/key" in result.stderr
    assert cli.fake.requests == []


def test_a_source_that_is_not_there_is_named_by_its_url(cli: Cli) -> None:
    result = cli("cp", "s3://bucket/none", "s3://bucket/b")
    assert (result.code, result.stderr.count("\n")) == (1, 1)
    assert "no such object: s3://bucket/none" in result.stderr


@pytest.mark.parametrize(
    ("args", "hint"),
    [
        (("put", SOURCE, "s3://bucket/b"), "s3mpu cp"),
        (("put", SOURCE, "file"), "s3mpu get"),
        (("get", SOURCE, "s3://bucket/b"), "s3mpu cp"),
        (("get", "file", "s3://bucket/b"), "s3mpu put"),
    ],
)
def test_the_wrong_command_names_the_right_one(cli: Cli, args: tuple[str, ...], hint: str) -> None:
    result = cli(*args)
    assert (result.code, result.stderr.count("\n")) == (2, 1)
    assert hint in result.stderr
    assert cli.fake.requests == []
