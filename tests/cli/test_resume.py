# SPDX-License-Identifier: Apache-2.0
"""``s3mpu put --keep`` and ``s3mpu resume``: kept through signals, crashes, errors; then resumed.

What is kept is told apart from what is lost by the service's own request log.
"""

from __future__ import annotations

import os
import json
import errno
import shlex
import random
import signal
from typing import Any
from pathlib import Path

import pytest

from tests.fake_s3 import faults
from tests.cli.conftest import PART, Cli, Ended, ended
from libcloud_s3mpu.cli.words import shell_word

pytest.importorskip("filelock", reason="a journal of files needs filelock")

DATA = random.Random(3).randbytes(3 * PART + 12_345)
PUT = "UploadPart"
DEST = "s3://bucket/a b"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "it's a source"
    path.write_bytes(DATA)
    return path


def stopped(cli: Cli, source: str, how: signal.Signals, *, at: int = 3, **kwargs: Any) -> Ended:
    """Put, and send a signal to it while the service does not answer to one part."""
    stall = faults.stall("answer", applied=False)
    assert stall.wire is not None
    cli.fake.script(PUT, stall, part_number=at)
    child = cli.start("put", source, DEST, "--keep", "--concurrency", "1", **kwargs)
    if source == "-":
        assert child.stdin is not None
        child.stdin.write(DATA)
        child.stdin.flush()
    assert stall.wire.reached.wait(20)
    child.send_signal(how)
    stall.wire.release.set()
    result = ended(child)
    cli.fake.clear_scripts()
    return result


def sent(cli: Cli) -> list[int | None]:
    """Give the part numbers that were sent since the last call."""
    numbers = [record.part_number for record in cli.fake.requests_of(PUT)]
    cli.fake.requests.clear()
    return numbers


def command_of(result: Ended) -> list[str]:
    """Give the command of the last line, as a shell would read it."""
    program, *args = shlex.split(result.stderr.splitlines()[-1])
    assert program == "s3mpu"
    return args


def saved(cli: Cli) -> list[Any]:
    listed = cli("resume", "--list", "--json")
    assert listed.code == 0
    return [json.loads(line) for line in listed.out.splitlines()]


# -- what ends it ------------------------------------------------------------------------------


def test_killed_it_is_in_the_list_and_goes_on(cli: Cli, file: Path) -> None:
    result = stopped(cli, str(file), signal.SIGKILL)
    assert (result.code, result.stderr) == (-signal.SIGKILL, "")
    (upload_id,) = cli.fake.uploads
    (row,) = saved(cli)
    assert (row["upload_id"], row["bucket"], row["key"]) == (upload_id, "bucket", "a b")
    assert set(cli.fake.uploads[upload_id].parts) == {1, 2}
    sent(cli)
    child = cli.start("resume", upload_id, str(file))
    result = ended(child)
    assert result.code == 0, result.stderr
    assert "in 4 parts" in result.stderr
    assert cli.objects["a b"].body == DATA
    assert sent(cli) == [3, 4]
    assert saved(cli) == [] and cli.fake.uploads == {}


@pytest.mark.parametrize(("how", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_a_signal_keeps_it_and_the_last_line_is_the_command_that_goes_on(
    cli: Cli, file: Path, how: str, code: int
) -> None:
    result = stopped(cli, str(file), getattr(signal, how))
    assert result.code == code, result.stderr
    said, command = result.stderr.splitlines()
    (upload_id,) = cli.fake.uploads
    assert f"interrupted by {how}; upload {upload_id} was kept (" in said
    assert command == f"  s3mpu resume {shlex.quote(upload_id)} {shlex.quote(str(file))}"
    there = set(cli.fake.uploads[upload_id].parts)
    assert there >= {1, 2}
    sent(cli)
    again = ended(cli.start(*command_of(result)))
    assert again.code == 0, again.stderr
    assert cli.objects["a b"].body == DATA
    assert not there & set(sent(cli))


def test_an_error_keeps_it_with_a_code_of_its_own(cli: Cli, file: Path) -> None:
    cli.fake.script(PUT, faults.error("AccessDenied"), part_number=2, forever=True)
    result = cli("put", str(file), DEST, "--keep", "--concurrency", "1", "--region", "us-east-1")
    assert result.code == 75
    said, command = result.stderr.splitlines()
    assert "AccessDenied" in said and "driver." not in said
    assert command.endswith(" --region us-east-1")
    cli.fake.clear_scripts()
    again = cli(*command_of(result), "--json", "--quiet")
    assert (again.code, again.stderr) == (0, "")
    assert again.json["upload_id"] and again.json["size"] == len(DATA)
    assert cli.objects["a b"].body == DATA


def test_without_keep_nothing_is_kept(cli: Cli, file: Path) -> None:
    cli.fake.script(PUT, faults.error("AccessDenied"), part_number=2, forever=True)
    result = cli("put", str(file), DEST, "--concurrency", "1")
    assert (result.code, result.stderr.count("\n")) == (1, 1)
    assert "nothing is left on the service" in result.stderr
    assert saved(cli) == [] and cli.fake.uploads == {}


def test_a_small_source_leaves_nothing_to_go_on_with(cli: Cli) -> None:
    cli.fake.script("PutObject", faults.error("AccessDenied"), forever=True)
    result = cli("put", "-", DEST, "--keep", stdin=b"small")
    assert (result.code, result.stderr.count("\n")) == (1, 1)
    assert saved(cli) == []


def test_a_resume_that_fails_is_kept_again(cli: Cli, file: Path) -> None:
    stopped(cli, str(file), signal.SIGKILL)
    (upload_id,) = cli.fake.uploads
    cli.fake.script(PUT, faults.error("AccessDenied"), part_number=4, forever=True)
    result = cli("resume", upload_id, str(file), "--concurrency", "1")
    assert result.code == 75
    assert command_of(result) == ["resume", upload_id, str(file)]
    assert set(cli.fake.uploads[upload_id].parts) == {1, 2, 3}


def test_a_full_disk_under_the_journal_is_a_clean_error_and_leaves_nothing(
    cli: Cli, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    result = cli("put", str(file), DEST, "--keep")
    assert (result.code, result.stderr.count("\n")) == (1, 1)
    assert "No space left on device" in result.stderr and "was aborted" in result.stderr
    assert cli.fake.uploads == {} and saved(cli) == []


# -- standard input ----------------------------------------------------------------------------


def test_standard_input_is_read_again_compared_and_not_sent_again(cli: Cli) -> None:
    result = stopped(cli, "-", signal.SIGINT)
    assert result.code == 130
    assert command_of(result) == ["resume", next(iter(cli.fake.uploads)), "-"]
    there = {n for upload in cli.fake.uploads.values() for n in upload.parts}
    sent(cli)
    child = cli.start(*command_of(result))
    _, stderr = child.communicate(DATA, timeout=30)
    assert child.returncode == 0, stderr
    assert cli.objects["a b"].body == DATA
    assert sorted(sent(cli)) == sorted({1, 2, 3, 4} - there)  # type: ignore[type-var]


def test_a_file_that_was_refused_is_not_the_one_to_go_on_with(cli: Cli, tmp_path: Path) -> None:
    stopped(cli, "-", signal.SIGINT)
    (upload_id,) = cli.fake.uploads
    wrong = tmp_path / "wrong.img"
    wrong.write_bytes(bytes(len(DATA)))
    refused = cli("resume", upload_id, str(wrong))
    assert refused.code == 75 and "THE_SAME_SOURCE" in refused.stderr
    assert f"resume {upload_id} {wrong}" not in refused.stderr


@pytest.mark.parametrize("other", ["another", "shorter", "another in the middle"])
def test_a_source_that_differs_is_refused_and_the_upload_stays(cli: Cli, other: str) -> None:
    result = stopped(cli, "-", signal.SIGINT)
    (upload_id,) = cli.fake.uploads
    before = {n: p.body for n, p in cli.fake.uploads[upload_id].parts.items()}
    wrong = {
        "another": bytes(len(DATA)),
        "shorter": DATA[: PART + 5],
        "another in the middle": DATA[: PART + 5] + b"!" + DATA[PART + 6 :],
    }[other]
    sent(cli)
    refused = cli(*command_of(result), stdin=wrong)
    assert refused.code == 75, refused.stderr
    assert "part 1" in refused.stderr or "part 2" in refused.stderr
    assert sent(cli) == [] and cli.objects == {}
    assert {n: p.body for n, p in cli.fake.uploads[upload_id].parts.items()} == before
    assert cli(*command_of(refused), stdin=DATA).code == 0
    assert cli.objects["a b"].body == DATA


# -- which upload ------------------------------------------------------------------------------


def test_the_list_tells_what_is_there(cli: Cli, file: Path) -> None:
    assert cli("resume", "--list").out == ""
    stopped(cli, str(file), signal.SIGINT)
    (upload_id,) = cli.fake.uploads
    listed = cli("resume", "--list")
    assert upload_id in listed.out and "s3://bucket/a b" in listed.out
    assert " of 15.0 MiB)" in listed.out and cli.server.endpoint in listed.out
    (row,) = saved(cli)
    assert row["source_bytes"] == len(DATA) and row["saved"].endswith("Z")
    assert row["state"] == "KEPT" and row["parts"] >= 2
    assert "at least" not in listed.out


def test_after_a_crash_the_list_knows_only_the_least(cli: Cli, file: Path) -> None:
    stopped(cli, str(file), signal.SIGKILL)
    assert "(at least " in cli("resume", "--list").out


def test_an_upload_that_is_not_known_is_one_line(cli: Cli, file: Path) -> None:
    result = cli("resume", "nope", str(file))
    assert (result.code, result.stderr.count("\n")) == (1, 1)
    assert "--list" in result.stderr and "--to" in result.stderr
    assert cli.fake.requests == []


def test_an_upload_of_another_service_is_refused(cli: Cli, file: Path) -> None:
    stopped(cli, str(file), signal.SIGKILL)
    (upload_id,) = cli.fake.uploads
    sent(cli)
    result = cli("resume", upload_id, str(file), "--endpoint-url", "http://127.0.0.1:1")
    assert (result.code, result.stderr.count("\n")) == (1, 1)
    assert "was begun at" in result.stderr and cli.fake.requests == []


def test_without_the_journal_it_goes_on_by_its_place(cli: Cli, file: Path) -> None:
    stopped(cli, str(file), signal.SIGKILL)
    (upload_id,) = cli.fake.uploads
    cli.environ["S3MPU_JOURNAL"] += "-of-another-machine"
    sent(cli)
    result = cli("resume", upload_id, str(file), "--to", DEST)
    assert result.code == 0, result.stderr
    assert cli.objects["a b"].body == DATA and sent(cli) == [3, 4]


def test_an_upload_that_is_gone_must_begin_anew(cli: Cli, file: Path) -> None:
    stopped(cli, str(file), signal.SIGKILL)
    (upload_id,) = cli.fake.uploads
    cli.fake.uploads.clear()
    result = cli("resume", upload_id, str(file))
    assert (result.code, result.stderr.count("\n")) == (1, 1)
    assert "proves that it was completed. It was aborted (here" in result.stderr
    assert "(here or by a lifecycle rule), or completed by someone else" in result.stderr
    assert "upload the source anew; nothing was sent, and s3mpu resume --list has" in result.stderr
    assert saved(cli) == []


@pytest.mark.parametrize("by", ["file", "standard input"])
def test_an_upload_that_was_completed_elsewhere_gives_its_object(
    cli: Cli, file: Path, by: str
) -> None:
    stopped(cli, str(file), signal.SIGKILL)
    (upload_id,) = cli.fake.uploads
    here = cli.environ["S3MPU_JOURNAL"]
    cli.environ["S3MPU_JOURNAL"] += "-of-another-machine"
    assert cli("resume", upload_id, str(file), "--to", DEST).code == 0
    cli.environ["S3MPU_JOURNAL"] = here
    assert len(saved(cli)) == 1
    sent(cli)
    source = {"stdin": DATA} if by != "file" else {}
    result = cli("resume", upload_id, str(file) if by == "file" else "-", "--json", **source)
    assert result.code == 0, result.stderr
    assert f"{DEST}: 15.0 MiB in 4 parts, completed before, ETag " in result.stderr
    assert (result.json["size"], result.json["parts"]) == (len(DATA), 4)
    assert result.json["etag"] == cli.objects["a b"].etag
    assert sent(cli) == [] and saved(cli) == []


@pytest.mark.parametrize("applied", [True, False])
def test_an_interrupted_complete_says_where_to_look_and_how_to_go_on(
    cli: Cli, file: Path, applied: bool
) -> None:
    stall = faults.stall("answer", applied=applied)
    assert stall.wire is not None
    cli.fake.script("CompleteMultipartUpload", stall)
    child = cli.start("put", str(file), DEST)
    assert stall.wire.reached.wait(20)
    child.send_signal(signal.SIGINT)
    stall.wire.release.set()
    result = ended(child)
    assert (result.code, result.stderr.count("\n")) == (130, 1)
    said, _, command = result.stderr.partition("; where it is not, go on: ")
    assert said.endswith("was being completed: s3mpu ls --long shows whether the object is there")
    program, *args = shlex.split(command)
    assert (program, args[0], args[2:]) == ("s3mpu", "resume", [str(file), "--to", DEST])
    again = cli(*args)
    assert again.code == 0, again.stderr
    assert cli.objects["a b"].body == DATA and cli.fake.uploads == {}


def test_a_second_process_is_kept_off(cli: Cli, file: Path) -> None:
    stall = faults.stall("answer")
    assert stall.wire is not None
    cli.fake.script(PUT, stall, part_number=2)
    child = cli.start("put", str(file), DEST, "--keep", "--concurrency", "1")
    assert stall.wire.reached.wait(20)
    (upload_id,) = cli.fake.uploads
    result = cli("resume", upload_id, str(file))
    assert result.code == 75 and "is being run by another process" in result.stderr
    stall.wire.release.set()
    assert ended(child).code == 0


@pytest.mark.parametrize("args", [(), ("--size", "x"), ("id", "-", "--to", "s3://bucket")])
def test_wrong_usage_is_two(cli: Cli, args: tuple[str, ...]) -> None:
    assert cli("resume", *args).code == 2


# -- its neighbours ----------------------------------------------------------------------------


def test_a_clean_up_leaves_it_alone(cli: Cli, file: Path) -> None:
    stopped(cli, str(file), signal.SIGKILL)
    result = cli("uploads", "clean", "s3://bucket", "--older-than", "0s", "--yes", "--json")
    assert [it["reason"] for it in result.json["skipped"]] == ["a journal owns it"]
    told = cli("uploads", "clean", "s3://bucket", "--older-than", "0s")
    assert "  a b  (a journal owns it)\n" in told.out
    assert len(cli.fake.uploads) == 1


def test_a_clean_up_says_why_it_left_all_alone(cli: Cli, file: Path) -> None:
    stopped(cli, str(file), signal.SIGKILL)
    (path,) = Path(cli.environ["S3MPU_JOURNAL"]).glob("*.json")
    path.write_text("garbage")
    result = cli("uploads", "clean", "s3://bucket", "--older-than", "0s", "--yes")
    assert result.code == 0 and path.name in result.stderr
    assert len(cli.fake.uploads) == 1
    assert path.name in cli("resume", "--list").stderr


def test_aborting_it_forgets_it(cli: Cli, file: Path) -> None:
    stopped(cli, str(file), signal.SIGKILL)
    (upload_id,) = cli.fake.uploads
    assert cli("uploads", "abort", DEST, upload_id).code == 0
    assert cli.fake.uploads == {} and saved(cli) == []


@pytest.mark.parametrize("word", ["plain", "a b", "it's", "ü", "line\nfeed", "tab\t'\\", "\x1b[0m"])
def test_a_command_can_be_copied_into_a_shell(word: str) -> None:
    import subprocess

    quoted = shell_word(word)
    assert quoted.isprintable()
    said = subprocess.run(
        ["bash", "-c", f"printf %s {quoted}"], capture_output=True, check=True, timeout=10
    )
    assert said.stdout.decode() == word
