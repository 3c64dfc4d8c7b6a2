# SPDX-License-Identifier: Apache-2.0
"""Exit codes, secrets, signals, and an installation without click or rich."""

from __future__ import annotations

import os
import sys
import time
import signal
import itertools
import subprocess
from typing import Any
from pathlib import Path

import pytest

from tests.fake_s3 import SECRET_KEY, FakeS3, FakeServer, faults
from tests.cli.conftest import PART, ROOT, Cli, ended

SIGNALS = [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)]


# -- secrets -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "args",
    [
        ("put", "-", "s3://bucket/a"),
        ("ls", "s3://bucket"),
        ("get", "s3://bucket/none", "-"),
        ("rm", "s3://bucket/none"),
        ("mb", "s3://another"),
        ("ls", "s3://nowhere"),
    ],
)
def test_secrets_are_in_no_output(cli: Cli, args: tuple[str, ...]) -> None:
    cli.environ["AWS_SESSION_TOKEN"] = "a-session-token"
    cli.fake.keyring.credentials["AKIDFAKE"] = (SECRET_KEY, "a-session-token")
    for more in ((), ("--debug",)):
        result = cli(*args, *more, stdin=b"x" * (PART + 1))
        text = result.out + result.stderr
        for secret in (SECRET_KEY, "a-session-token", "Signature=", "AWS4-HMAC"):
            assert secret not in text
    assert "libcloud_s3mpu" in result.stderr


def test_a_secret_that_an_error_repeats_is_taken_out(cli: Cli) -> None:
    body = f"<Error><Code>Odd</Code><Message>you said {SECRET_KEY}</Message></Error>".encode()
    cli.fake.script("PutObject", faults.answer(400, body=body))
    result = cli("put", "-", "s3://bucket/a", "--debug", stdin=b"x")
    assert result.code == 1
    assert "you said [secret]" in result.stderr
    assert SECRET_KEY not in result.stderr


def test_a_secret_that_is_a_word_does_not_rename_what_is_listed(cli: Cli) -> None:
    cli.environ["AWS_SECRET_ACCESS_KEY"] = "bucket"
    cli.fake.keyring.credentials["AKIDFAKE"] = ("bucket", None)
    assert cli("ls").out == "bucket\n"
    assert "bucketeer" in cli("ls", "s3://bucketeer").stderr


def test_wrong_keys_are_one_line(cli: Cli) -> None:
    cli.environ["AWS_SECRET_ACCESS_KEY"] = "wrong-secret"
    for args in (("ls",), ("put", "-", "s3://bucket/a"), ("get", "s3://bucket/a", "-")):
        result = cli(*args, stdin=b"x")
        assert (result.code, result.stderr.count("\n")) == (1, 1), result.stderr
        assert "403" in result.stderr and " for :" not in result.stderr
        assert "wrong-secret" not in result.stderr


def test_a_refused_head_says_what_that_may_mean(cli: Cli) -> None:
    cli.environ["AWS_SECRET_ACCESS_KEY"] = "wrong-secret"
    for args in (("get", "s3://bucket/a", "-"), ("cp", "s3://bucket/a", "s3://bucket/b")):
        result = cli(*args)
        assert (result.code, result.stderr.count("\n")) == (1, 1)
        assert "HTTP 403 (wrong keys, or keys that may not see it" in result.stderr


@pytest.mark.parametrize(
    "name", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION"]
)
def test_a_line_feed_in_what_is_signed_with_is_refused(cli: Cli, name: str) -> None:
    cli.environ[name] = "copied\n"
    result = cli("put", "-", "s3://bucket/a", stdin=b"x")
    assert (result.code, result.stderr.count("\n")) == (1, 1)
    assert "holds a control character" in result.stderr and "copied\\n" not in result.stderr
    assert cli.fake.requests == []


def test_a_group_without_its_command_is_one_line(cli: Cli) -> None:
    for args in ((), ("uploads",)):
        result = cli(*args)
        assert (result.code, result.stderr.count("\n")) == (2, 1)
        assert "missing command" in result.stderr.lower()


def test_no_service_is_one_line(cli: Cli) -> None:
    cli.monkeypatch.setattr("libcloud_s3mpu.protocol.retry.RetryPolicy.delay_before", _no_delay)
    for args in (("ls",), ("put", "-", "s3://bucket/a"), ("rm", "s3://bucket/a")):
        result = cli(*args, "--endpoint-url", "http://127.0.0.1:1", stdin=b"x")
        assert (result.code, result.stderr.count("\n")) == (1, 1), result.stderr
        assert "refused" in result.stderr and "0x" not in result.stderr


def _no_delay(*unused: object, **also: object) -> float:
    return 0.0


def test_plain_http_behind_https_is_guessed() -> None:
    from libcloud_s3mpu.cli.errors import words_of
    from libcloud_s3mpu.protocol.errors import TransportError

    error = TransportError("ListBuckets failed: SSLError: [SSL: WRONG_VERSION_NUMBER] wrong")
    assert words_of(error).endswith(" wrong (the endpoint may speak plain http://)")


@pytest.mark.parametrize(("is_terminal", "notes"), [(True, 1), (False, 0)])
def test_a_terminal_is_told_what_is_waited_for(cli: Cli, is_terminal: bool, notes: int) -> None:
    cli.monkeypatch.setattr("libcloud_s3mpu.protocol.retry.RetryPolicy.delay_before", _no_delay)
    cli.monkeypatch.setattr("libcloud_s3mpu.cli.service.is_terminal", lambda _: is_terminal)
    now = itertools.count(0, 4.0)
    cli.monkeypatch.setattr(time, "monotonic", lambda: next(now))
    cli.fake.script("ListBuckets", *[faults.error("InternalError")] * 3)
    result = cli("ls")
    assert result.out == "bucket\n"
    assert result.stderr.count("failed, next in") >= notes
    assert bool(result.stderr) is bool(notes)


@pytest.mark.parametrize("closing", [">&-", "<&-", "2>&-", "<&- >&- 2>&-", "2>/dev/full"])
def test_streams_that_are_closed_or_full_change_no_outcome(
    cli: Cli, tmp_path: Path, closing: str
) -> None:
    if "full" in closing and not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    (tmp_path / "file").write_bytes(b"x" * (PART + 1))
    command = f"{sys.executable} -W ignore -m libcloud_s3mpu put file s3://bucket/a {closing}"
    done = subprocess.run(
        ["bash", "-c", command],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **cli.environ},
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert len(cli.objects["a"].body) == PART + 1


@pytest.mark.parametrize("url", ["nonsense", "ftp://x", "http://x?y", "http://u:p@x"])
def test_a_wrong_endpoint_is_one_line(cli: Cli, url: str) -> None:
    result = cli("ls", "--endpoint-url", url)
    assert (result.code, result.stderr.count("\n")) == (1, 1)
    assert "an endpoint URL" in result.stderr


# -- TLS ---------------------------------------------------------------------------------------


def test_tls_trusts_whom_it_is_told_to(cli: Cli) -> None:
    import libcloud.security

    before = libcloud.security.VERIFY_SSL_CERT, libcloud.security.CA_CERTS_PATH
    with FakeServer(FakeS3(buckets=("tls",)), tls=True) as server:
        cli.environ["AWS_ENDPOINT_URL"] = server.endpoint
        refused = cli("ls")
        assert (refused.code, refused.stderr.count("\n")) == (1, 1)
        assert "certificate" in refused.stderr.lower()
        no_bundle = Path(cli.environ["HOME"], "none.pem")
        no_bundle.write_text("nothing")
        refused = cli("ls", "--ca-bundle", str(no_bundle))
        assert (refused.code, refused.stderr) == (
            1,
            f"s3mpu: CA bundle {no_bundle} holds no certificate (PEM)\n",
        )
        assert cli("ls", "--ca-bundle", str(server.ca_file)).out == "tls\n"
        assert cli("ls", "--no-verify-ssl").out == "tls\n"
        cli.environ["AWS_CA_BUNDLE"] = str(server.ca_file)
        assert cli("ls").out == "tls\n"
        put = cli("put", "-", "s3://tls/a", "--quiet", stdin=b"x" * (PART + 1))
        assert (put.code, put.stderr) == (0, "")
    assert before == (libcloud.security.VERIFY_SSL_CERT, libcloud.security.CA_CERTS_PATH)


# -- help and version --------------------------------------------------------------------------


def test_help_documents_the_exit_codes(cli: Cli) -> None:
    result = cli("--help")
    assert result.code == 0
    for code in ("0 ", "1 ", "2 ", "129, 130, 143", "141"):
        assert f"    {code}" in result.out
    assert cli("--version").out.startswith("s3mpu, version ")
    for command in ("put", "get", "ls", "rm", "mb", "demo"):
        assert cli(command, "--help").code == 0


def test_the_list_of_commands_says_what_each_command_says_of_itself() -> None:
    from libcloud_s3mpu.cli.commands import COMMANDS, commands

    context = commands.make_context("s3mpu", ["ls"])
    for name, (_, line) in COMMANDS.items():
        command = commands.get_command(context, name)
        assert command is not None and command.name == name
        assert command.get_short_help_str(limit=200) == line
    assert commands.list_commands(context) == sorted(COMMANDS)


@pytest.mark.parametrize(
    ("args", "absent"),
    [
        (["--help"], ["rich", "libcloud_s3mpu.web", "libcloud_s3mpu.resumable", "wsgiref"]),
        (["mb", "--help"], ["rich", "libcloud_s3mpu.web", "libcloud_s3mpu.resumable", "wsgiref"]),
        (["put", "--help"], ["libcloud_s3mpu.web", "libcloud_s3mpu.resumable", "wsgiref"]),
    ],
)
def test_a_command_waits_for_no_other(args: list[str], absent: list[str]) -> None:
    code = (
        "import sys; from libcloud_s3mpu.cli import run; "
        f"code = run({args!r}, {{}}); "
        f"sys.exit(code or str([name for name in {absent!r} if name in sys.modules]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.stderr == "[]\n"


@pytest.mark.parametrize("module", ["libcloud_s3mpu", "libcloud_s3mpu.cli"])
def test_it_runs_as_a_module(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", module, "--version"], cwd=ROOT, capture_output=True, timeout=60
    )
    assert done.stdout.startswith(b"s3mpu, version ")


def test_help_that_nobody_reads_ends_quietly(cli: Cli) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    child = cli.start("--help", stdout=writer)
    os.close(writer)
    result = ended(child)
    assert (result.code, result.stderr) == (141, "")


def test_no_command_is_wrong_usage(cli: Cli) -> None:
    assert cli().code == 2
    assert "no such command 'nope'" in cli("nope").stderr.lower()


@pytest.mark.parametrize("missing", ["click", "rich"])
def test_a_missing_extra_is_one_line(missing: str) -> None:
    code = (
        f"import sys; sys.modules[{missing!r}] = None; from libcloud_s3mpu.cli import main; "
        "sys.exit(main())"
    )
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code, "get", "--help"], env=environ, capture_output=True, timeout=60
    )
    assert done.returncode == 2
    assert done.stderr.decode() == (
        f's3mpu: the command line needs {missing}: pip install "libcloud_s3mpu[cli]"\n'
    )


# -- signals -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "code"), SIGNALS)
def test_a_signal_in_the_middle_of_a_put_leaves_nothing(cli: Cli, name: str, code: int) -> None:
    with cli.server.hold_parts(timeout_seconds=30) as gate:
        child = cli.start("put", "-", "s3://bucket/a")
        assert child.stdin is not None
        child.stdin.write(b"x" * (PART + PART // 2))
        child.stdin.flush()
        assert gate.wait_held(1, 20)
        assert len(cli.fake.uploads) == 1
        child.send_signal(getattr(signal, name))
        # What is sent has to be cut: the service does not answer.
        assert child.stderr is not None
        line = child.stderr.readline().decode()
    result = ended(child)
    assert result.code == code
    assert f"interrupted by {name}" in line
    assert "was aborted, nothing is left on the service" in line
    assert (result.stdout, result.stderr) == (b"", "")
    assert cli.fake.uploads == {} and cli.objects == {}


def test_a_signal_before_the_first_part_is_full_leaves_nothing(cli: Cli) -> None:
    reader, writer = os.pipe()
    child = cli.start("put", "-", "s3://bucket/a", stdin=reader)
    os.close(reader)
    os.write(writer, b"x" * 1_000_000)  # returns once most of it was read
    child.send_signal(signal.SIGTERM)
    result = ended(child)
    os.close(writer)
    assert result.code == 143
    assert "no part had been sent" in result.stderr.splitlines()[-1]
    assert cli.objects == {}


@pytest.mark.parametrize(("name", "code"), SIGNALS)
def test_a_signal_in_the_middle_of_a_get_removes_the_file(
    cli: Cli, tmp_path: Path, name: str, code: int
) -> None:
    assert cli("put", "-", "s3://bucket/a", stdin=b"x" * 1_000_000).code == 0
    fault = faults.stall(after_bytes=500_000)
    assert fault.wire is not None
    cli.fake.script("GetObject", fault)
    folder = tmp_path / "folder"
    folder.mkdir()
    child = cli.start("get", "s3://bucket/a", str(folder / "a"))
    assert fault.wire.reached.wait(20)
    assert [each.suffix for each in folder.iterdir()] == [".s3mpu"]
    child.send_signal(getattr(signal, name))
    result = ended(child)
    assert (result.code, list(folder.iterdir())) == (code, [])
    assert result.stderr == f"s3mpu: interrupted by {name}\n"


def test_the_same_ctrl_c_twice_does_not_cut_the_cleanup(cli: Cli) -> None:
    with cli.server.hold_parts(timeout_seconds=30) as gate:
        child = cli.start("put", "-", "s3://bucket/a")
        assert child.stdin is not None
        child.stdin.write(b"x" * (PART + PART // 2))
        child.stdin.flush()
        assert gate.wait_held(1, 20)
        child.send_signal(signal.SIGINT)
        child.send_signal(signal.SIGTERM)
        assert child.stderr is not None
        lines = [child.stderr.readline().decode() for _ in range(2)]
    assert lines[0] == "s3mpu: cleaning up; a further signal ends that too\n"
    assert "was aborted, nothing is left" in lines[1]
    assert ended(child).code in (130, 143)
    assert cli.fake.uploads == {}


def test_a_signal_that_is_ignored_stays_ignored(cli: Cli) -> None:
    reader, writer = os.pipe()
    child = cli.start(
        *("--debug", "put", "-", "s3://bucket/a"),
        stdin=reader,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )
    os.close(reader)
    assert child.stderr is not None
    assert b"keys from" in child.stderr.readline()
    child.send_signal(signal.SIGHUP)
    os.write(writer, b"whole")
    os.close(writer)
    assert ended(child).code == 0
    assert cli.objects["a"].body == b"whole"


def test_ctrl_c_of_a_source_in_this_process_is_130(cli: Cli) -> None:
    class Broken:
        def read(self, size: int) -> bytes:
            raise KeyboardInterrupt

        buffer: Any = property(lambda self: self)
        closed = False

        def isatty(self) -> bool:
            return False

    cli.monkeypatch.setattr(sys, "stdin", Broken())
    result = cli("put", "-", "s3://bucket/a")
    assert result.code == 130
    assert result.stderr.splitlines()[-1].startswith("s3mpu: interrupted")
