# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import stat
import signal
import threading
from pathlib import Path

import pytest

from tests.fake_s3 import faults
from tests.cli.conftest import Cli, ended
from libcloud_s3mpu.cli.words import Interrupted

BODY = bytes(range(256)) * 8192


@pytest.fixture
def stored(cli: Cli) -> Cli:
    assert cli("put", "-", "s3://bucket/dir/a.bin", stdin=BODY).code == 0
    return cli


def test_an_object_goes_to_standard_output(stored: Cli) -> None:
    result = stored("get", "s3://bucket/dir/a.bin", "-")
    assert (result.code, result.stdout, result.stderr) == (0, BODY, "")


def test_an_empty_object_is_no_error(cli: Cli, tmp_path: Path) -> None:
    assert cli("put", "-", "s3://bucket/a", stdin=b"").code == 0
    assert cli("get", "s3://bucket/a", str(tmp_path / "a")).code == 0
    assert (tmp_path / "a").read_bytes() == b""


def test_an_object_goes_to_a_file(stored: Cli, tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.write_bytes(b"before")
    target.chmod(0o640)
    result = stored("get", "s3://bucket/dir/a.bin", str(target))
    assert result.code == 0, result.stderr
    assert target.read_bytes() == BODY
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert sorted(os.listdir(tmp_path)) == ["home", "out"]


@pytest.mark.parametrize("has_links", [True, False])
def test_a_file_is_left_alone_if_asked(
    stored: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_links: bool
) -> None:
    def no_link(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    if not has_links:
        monkeypatch.setattr(os, "link", no_link)
    args = ("get", "s3://bucket/dir/a.bin", str(tmp_path), "--no-overwrite")
    assert stored(*args).code == 0
    assert (tmp_path / "a.bin").read_bytes() == BODY
    (tmp_path / "a.bin").write_bytes(b"mine")
    stored.fake.requests.clear()
    result = stored(*args)
    assert (result.code, stored.fake.requests) == (1, [])
    assert result.stderr == (
        f"s3mpu: {tmp_path / 'a.bin'} exists already, and --no-overwrite was given\n"
    )
    assert (tmp_path / "a.bin").read_bytes() == b"mine"
    assert sorted(os.listdir(tmp_path)) == ["a.bin", "home"]


@pytest.mark.parametrize("has_links", [True, False])
def test_a_file_that_is_made_meanwhile_is_left_alone_if_asked(
    stored: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_links: bool
) -> None:
    target = tmp_path / "out"
    link = os.link

    def late(source: str, dest: str) -> None:
        target.write_bytes(b"mine")
        if not has_links:
            raise PermissionError(1, "Operation not permitted")
        link(source, dest)

    monkeypatch.setattr(os, "link", late)
    result = stored("get", "s3://bucket/dir/a.bin", str(target), "--no-overwrite")
    assert (result.code, result.stderr.count("\n")) == (1, 1)
    assert "exists already" in result.stderr and target.read_bytes() == b"mine"
    assert sorted(os.listdir(tmp_path)) == ["home", "out"]


def test_a_new_file_has_the_mode_that_open_gives(stored: Cli, tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    assert stored("get", "s3://bucket/dir/a.bin", str(tmp_path / "out")).code == 0
    assert (tmp_path / "out").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_a_directory_takes_the_last_part_of_the_name(stored: Cli, tmp_path: Path) -> None:
    assert stored("get", "s3://bucket/dir/a.bin", str(tmp_path)).code == 0
    assert (tmp_path / "a.bin").read_bytes() == BODY


@pytest.mark.parametrize("key", ["..", "a/..", "dir/", "."])
def test_a_name_that_is_no_file_name_is_refused_for_a_directory(
    cli: Cli, tmp_path: Path, key: str
) -> None:
    result = cli("get", f"s3://bucket/{key}", str(tmp_path))
    assert result.code == 2
    assert "name the file" in result.stderr


def test_a_link_is_followed(stored: Cli, tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"before")
    (tmp_path / "link").symlink_to("real")
    assert stored("get", "s3://bucket/dir/a.bin", str(tmp_path / "link")).code == 0
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == BODY


def test_a_fifo_is_written_to_as_it_is(stored: Cli, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(fifo.read_bytes()))
    reader.start()
    assert stored("get", "s3://bucket/dir/a.bin", str(fifo)).code == 0
    reader.join()
    assert got == [BODY]
    assert stat.S_ISFIFO(fifo.stat().st_mode)


def test_an_answer_that_breaks_off_leaves_the_old_file_alone(stored: Cli, tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.write_bytes(b"before")
    stored.fake.script("GetObject", faults.close(after_bytes=-1000, applied=True), forever=True)
    result = stored("get", "s3://bucket/dir/a.bin", str(target))
    assert result.code == 1
    assert result.stderr.startswith("s3mpu: ") and result.stderr.count("\n") == 1
    assert target.read_bytes() == b"before"
    assert sorted(os.listdir(tmp_path)) == ["home", "out"]


def test_what_is_not_there_is_one_line(cli: Cli, tmp_path: Path) -> None:
    result = cli("get", "s3://bucket/none", str(tmp_path / "out"))
    assert (result.code, result.stderr.count("\n")) == (1, 1)
    assert result.stderr == "s3mpu: no such object: s3://bucket/none\n"
    result = cli("get", "s3://nowhere/none", str(tmp_path / "out"))
    assert (result.code, result.stderr.count("\n")) == (1, 1)
    assert result.stderr == "s3mpu: no such container: nowhere\n"
    assert os.listdir(tmp_path) == ["home"]


def test_a_reader_that_goes_away_ends_it_quietly(stored: Cli) -> None:
    child = stored.start("get", "s3://bucket/dir/a.bin", "-")
    assert child.stdout is not None
    assert child.stdout.read(10) == BODY[:10]
    child.stdout.close()
    child.stdout = None
    result = ended(child)
    assert (result.code, result.stderr) == (141, "")


def test_a_folder_that_is_not_there_is_one_line(stored: Cli, tmp_path: Path) -> None:
    result = stored("get", "s3://bucket/dir/a.bin", str(tmp_path / "none" / "out"))
    assert result.code == 1
    assert "No such file or directory" in result.stderr


def test_a_device_that_takes_no_more_is_named(stored: Cli, tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    result = stored("get", "s3://bucket/dir/a.bin", "/dev/full")
    assert (result.code, result.stderr) == (1, "s3mpu: /dev/full: No space left on device\n")
    with open("/dev/full", "wb") as full:
        child = stored.start("get", "s3://bucket/dir/a.bin", "-", stdout=full)
        result = ended(child)
    assert (result.code, result.stderr) == (1, "s3mpu: standard output: No space left on device\n")


def test_a_long_name_in_an_alphabet_of_three_bytes_is_a_file_name(cli: Cli, tmp_path: Path) -> None:
    name = "日" * 80
    assert cli("put", "-", f"s3://bucket/{name}", stdin=b"x").code == 0
    assert cli("get", f"s3://bucket/{name}", str(tmp_path)).code == 0
    assert (tmp_path / name).read_bytes() == b"x"
    assert cli("get", f"s3://bucket/{name}", "").code == 2


def test_a_signal_as_the_file_gets_its_name_is_the_one_that_is_seen(
    stored: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = os.replace

    def interrupted(*paths: str) -> None:
        replace(*paths)
        raise Interrupted(signal.SIGINT)

    monkeypatch.setattr(os, "replace", interrupted)
    result = stored("get", "s3://bucket/dir/a.bin", str(tmp_path / "out"))
    assert (result.code, result.stderr) == (130, "s3mpu: interrupted by SIGINT\n")
    assert (tmp_path / "out").read_bytes() == BODY
