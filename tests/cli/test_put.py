# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from tests.fake_s3 import faults
from tests.cli.conftest import PART, Cli, ended


def test_standard_input_becomes_an_object(cli: Cli) -> None:
    result = cli("put", "-", "s3://bucket/dump", stdin=b"x" * (2 * PART + 7))
    assert result.code == 0, result.stderr
    assert cli.objects["dump"].part_sizes == (PART, PART, 7)
    assert result.stdout == b""
    assert result.stderr.startswith("s3://bucket/dump: 10.0 MiB in 3 parts")
    assert "\x1b" not in result.stderr


def test_a_pipe_of_unknown_length_becomes_an_object(cli: Cli) -> None:
    child = cli.start("put", "-", "s3://bucket/dump", "--quiet")
    assert child.stdin is not None
    for _ in range(7):
        child.stdin.write(b"y" * 1_000_000)
    result = ended(child)
    assert (result.code, result.stdout, result.stderr) == (0, b"", "")
    assert cli.objects["dump"].size == 7_000_000


def test_a_small_source_is_one_put(cli: Cli) -> None:
    assert cli("put", "-", "s3://bucket/a", stdin=b"").code == 0
    assert cli.objects["a"].size == 0
    assert [each.operation for each in cli.fake.requests] == ["PutObject"]


@pytest.mark.parametrize(
    ("dest", "key"),
    [
        ("s3://bucket", "file.txt"),
        ("s3://bucket/", "file.txt"),
        ("s3://bucket/dir/", "dir/file.txt"),
        ("s3://bucket/name", "name"),
        ("s3://bucket//lead", "/lead"),
        ("s3://bucket/a//../b", "a//../b"),
        ("s3://bucket/50%25+ü", "50%25+ü"),
    ],
)
def test_a_file_goes_where_the_destination_says(
    cli: Cli, tmp_path: Path, dest: str, key: str
) -> None:
    file = tmp_path / "file.txt"
    file.write_bytes(b"hello")
    result = cli("put", str(file), dest)
    assert result.code == 0, result.stderr
    assert {key: each.body for key, each in cli.objects.items()} == {key: b"hello"}
    # By the file's own name, whatever the object's is.
    assert cli.objects[key].attributes.headers["content-type"] == "text/plain"


def test_a_fifo_is_read_as_a_stream(cli: Cli, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    writer = threading.Thread(target=lambda: fifo.write_bytes(b"through a fifo"))
    writer.start()
    assert cli("put", str(fifo), "s3://bucket/a").code == 0
    writer.join()
    assert cli.objects["a"].body == b"through a fifo"


def test_what_is_given_is_sent(cli: Cli) -> None:
    result = cli(
        *("put", "-", "s3://bucket/a", "--content-type", "text/x", "--metadata", "k=v=w"),
        *("--metadata", "l=", "--storage-class", "STANDARD_IA", "--acl", "public-read"),
        *("--header", "Cache-Control: max-age=1, public", "--checksum", "sha256"),
        *("--no-sign-payload", "--memory-budget", "20MiB", "--concurrency", "2"),
        stdin=b"hello",
    )
    assert result.code == 0, result.stderr
    found = cli.objects["a"]
    assert found.attributes.headers["content-type"] == "text/x"
    assert found.attributes.headers["cache-control"] == "max-age=1, public"
    assert found.metadata == {"k": "v=w", "l": ""}
    assert (found.attributes.storage_class, found.attributes.acl) == ("STANDARD_IA", "public-read")
    headers = cli.fake.requests[-1].headers
    assert headers["x-amz-content-sha256"] == "UNSIGNED-PAYLOAD"
    assert "x-amz-checksum-sha256" in headers


def test_json_is_one_object_on_standard_output(cli: Cli) -> None:
    result = cli(
        "put", "-", "s3://bucket/a", "--json", "--part-size", "6MiB", stdin=b"z" * (6 * 1024**2 + 1)
    )
    assert result.json["key"] == "a"
    assert result.json["url"] == "s3://bucket/a"
    assert (result.json["size"], result.json["parts"]) == (6 * 1024**2 + 1, 2)
    assert result.json["part_size_bytes"] == 6 * 1024**2
    assert result.json["etag"] == cli.objects["a"].etag


def test_if_none_match_refuses_what_exists(cli: Cli) -> None:
    assert cli("put", "-", "s3://bucket/a", "--if-none-match", stdin=b"1").code == 0
    cli.fake.requests.clear()
    result = cli("put", "-", "s3://bucket/a", "--if-none-match", stdin=b"2")
    assert (result.code, result.stderr) == (
        1,
        "s3mpu: s3://bucket/a exists already; nothing was sent\n",
    )
    assert [record.operation for record in cli.fake.requests] == ["HeadObject"]
    assert cli.objects["a"].body == b"1"


@pytest.mark.parametrize("size", [1, 11 * 1024**2], ids=["PutObject", "complete"])
@pytest.mark.parametrize("status", [403, 404])
def test_if_none_match_is_the_services_to_decide(cli: Cli, status: int, size: int) -> None:
    assert cli("put", "-", "s3://bucket/a", stdin=b"1").code == 0
    unseen = faults.answer(status)  # Not to be seen, or there since then.
    cli.fake.script("HeadObject", unseen, unseen)
    result = cli("put", "-", "s3://bucket/a", "--if-none-match", stdin=bytes(size))
    assert (result.code, result.stderr.count("\n")) == (1, 1)
    assert "s3mpu: s3://bucket/a exists already: it was made meanwhile, and it stays; " in (
        result.stderr
    )
    assert "nothing is left on the service" in result.stderr and cli.fake.uploads == {}
    assert cli.objects["a"].body == b"1"


def test_what_is_made_while_the_source_is_read_is_seen_before_its_parts_are_sent(cli: Cli) -> None:
    assert cli("put", "-", "s3://bucket/a", stdin=b"1").code == 0
    cli.fake.script("HeadObject", faults.answer(404))
    result = cli("put", "-", "s3://bucket/a", "--if-none-match", stdin=bytes(11 * 1024**2))
    assert result.code == 1
    assert "s3://bucket/a exists already: it was made meanwhile, and nothing was sent" in (
        result.stderr
    )
    assert cli.objects["a"].body == b"1" and cli.fake.uploads == {}


@pytest.mark.parametrize("size", ["4", "6"])
def test_a_source_of_another_size_than_announced_stores_nothing(cli: Cli, size: str) -> None:
    result = cli("put", "-", "s3://bucket/a", "--size", size, stdin=b"hello")
    assert result.code == 1
    assert result.stderr.startswith("s3mpu: ") and result.stderr.count("\n") == 1
    assert result.stderr.endswith("; nothing is left on the service\n")
    assert cli.objects == {}


def test_a_failed_upload_says_that_nothing_is_left(cli: Cli) -> None:
    cli.fake.script("UploadPart", faults.answer(403, "AccessDenied"), part_number=2)
    result = cli("put", "-", "s3://bucket/a", stdin=b"x" * (2 * PART + 1))
    assert result.code == 1
    assert "AccessDenied" in result.stderr
    assert "was aborted, nothing is left on the service" in result.stderr
    assert cli.fake.uploads == {} and cli.objects == {}


def test_an_upload_that_could_not_be_aborted_is_named(cli: Cli) -> None:
    cli.fake.script("UploadPart", faults.answer(403, "AccessDenied"), part_number=2)
    cli.fake.script("AbortMultipartUpload", faults.answer(403, "AccessDenied"), forever=True)
    result = cli("put", "-", "s3://bucket/a", stdin=b"x" * (2 * PART + 1))
    assert result.code == 1
    assert "could not be aborted, its parts may still be there" in result.stderr
    assert next(iter(cli.fake.uploads)) in result.stderr


def test_a_put_whose_answer_is_lost_does_not_claim_that_nothing_is_left(cli: Cli) -> None:
    cli.fake.script("PutObject", faults.close(applied=True), forever=True)
    cli.monkeypatch.setattr("libcloud_s3mpu.protocol.retry.RetryPolicy.delay_before", _no_delay)
    result = cli("put", "-", "s3://bucket/a", stdin=b"hello")
    assert result.code == 1
    assert "nothing is left" not in result.stderr
    assert "no object was confirmed" in result.stderr


def _no_delay(*unused: object, **also: object) -> float:
    return 0.0


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (("put", "-", "s3://bucket"), "has no name to take"),
        (("put", "-", "s3://bucket/dir/"), "has no name to take"),
        (("put", "-", "bucket/key"), "is no S3 URL"),
        (("put", "-", "s3://bucket/a", "--part-size", "5MB"), "write 5MiB"),
        (("put", "-", "s3://bucket/a", "--part-size", "0"), "at least 1 byte"),
        (("put", "-", "s3://bucket/a", "--metadata", "novalue"), "has no name and '='"),
        (("put", "-", "s3://bucket/a", "--header", "novalue"), "has no name and ':'"),
        (("put", "-", "s3://bucket/a", "--checksum", "md6"), "is not one of"),
        (("put", "-", "s3://bucket/a", "--secret-key", "x"), "No such option"),
        (("put", "-"), "Missing argument"),
    ],
)
def test_wrong_usage_is_one_line_and_code_2(cli: Cli, args: tuple[str, ...], text: str) -> None:
    result = cli(*args, stdin=b"hello")
    assert result.code == 2
    assert text in result.stderr
    assert result.stderr.startswith("s3mpu: ") and result.stderr.count("\n") == 1
    assert cli.fake.requests == []


def test_a_terminal_is_no_source(cli: Cli) -> None:
    leader, terminal = os.openpty()
    try:
        child = cli.start("put", "-", "s3://bucket/a", stdin=terminal)
        result = ended(child)
    finally:
        os.close(leader)
        os.close(terminal)
    assert result.code == 2
    assert "standard input is a terminal" in result.stderr


def test_a_file_that_cannot_be_read_is_one_line(cli: Cli, tmp_path: Path) -> None:
    result = cli("put", str(tmp_path / "none"), "s3://bucket/a")
    assert result.code == 1
    assert "none: No such file or directory; nothing is left" in result.stderr
    assert cli("put", str(tmp_path), "s3://bucket/a").stderr.count("Is a directory") == 1
    assert cli.fake.requests == []


def test_a_bucket_that_is_not_there_is_one_line(cli: Cli) -> None:
    result = cli("put", "-", "s3://none/a", stdin=b"hello")
    assert result.code == 1
    assert "NoSuchBucket" in result.stderr
    assert result.stderr.count("\n") == 1
