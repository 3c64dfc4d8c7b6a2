# SPDX-License-Identifier: Apache-2.0
"""The demo, on the real embedded server where MiniStack or moto is installed."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
from typing import Any, cast
from contextlib import contextmanager
from collections.abc import Iterator

import pytest

from tests.cli.conftest import ROOT, Cli, ended
from tests.servers.base import INSTALL
from libcloud_s3mpu.testing import ADVICE, EmbeddedServer, EmbeddedServerError
from libcloud_s3mpu.cli.demo import generated
from tests.servers.ministack import MiniStack, is_installed


@pytest.fixture
def with_server(cli: Cli) -> Cli:
    """A command line that finds a server: this interpreter's, or MiniStack's in the cache.

    The latter as ``pip install ".[demo]"`` would have it: beside the package.
    """
    if not any(is_installed(kind) for kind in ("ministack", "moto")):
        venv = MiniStack.venv
        if not venv.is_ready():
            pytest.skip(
                f"neither ministack nor moto[server] is here or in {venv.folder}: {INSTALL}"
            )
        (packages,) = (venv.folder / "lib").glob("python*/site-packages")
        cli.environ["PYTHONPATH"] = f"{ROOT}{os.pathsep}{packages}"
    return cli


@pytest.mark.parametrize(
    ("size", "parts"), [("0", "none"), ("1MiB", "none"), ("12MiB", "3: 1 of 2.0 MiB, 2 of 5.0 MiB")]
)
def test_the_demo_uploads_reads_back_and_compares(with_server: Cli, size: str, parts: str) -> None:
    result = ended(with_server.start("demo", "--size", size))
    assert result.code == 0, result.stderr
    assert re.search(rf"^parts +{parts}", result.out, re.MULTILINE)
    hashes = re.findall(r"^(?:SHA-256 sent|received) +([0-9a-f]{64})$", result.out, re.MULTILINE)
    assert len(hashes) == 2 and hashes[0] == hashes[1]
    assert "compared      the same" in result.out
    assert "left running  nothing" in result.out
    assert "\x1b" not in result.out and "\r" not in result.out
    assert result.stderr == ""


def test_ctrl_c_stops_the_demo_and_its_server(with_server: Cli) -> None:
    child = with_server.start("demo", "--size", "300MiB")
    assert child.stdout is not None
    endpoint = None
    for line in child.stdout:
        endpoint = endpoint or re.search(rb"127\.0\.0\.1:(\d+)", line)
        if b"in flight" in line:
            break
    child.send_signal(signal.SIGINT)
    result = ended(child)
    assert result.code == 130
    assert "was aborted, nothing is left on the service; the server was stopped" in result.stderr
    assert result.stderr.count("\n") == 1
    assert endpoint is not None
    assert not _listens(int(endpoint[1]))


# -- the server alone --------------------------------------------------------------------------


def started(cli: Cli) -> tuple[Any, dict[str, str]]:
    """Start the server; give its process, and the environment that a shell would have then."""
    child = cli.start("demo", "--server")
    assert child.stdout is not None
    found: dict[str, str] = {}
    for line in child.stdout:
        word, _, rest = line.decode().strip().partition(" ")
        if word == "unset":
            assert "AWS_PROFILE" in rest.split() and "AWS_SESSION_TOKEN" in rest.split()
            continue
        assert word == "export"
        name, _, value = rest.partition("=")
        (found[name],) = shlex.split(value)
        if name == "AWS_DEFAULT_REGION":
            return child, found
    raise AssertionError(ended(child))


def test_the_server_alone_serves_other_commands_until_ctrl_c(with_server: Cli) -> None:
    child, environ = started(with_server)
    port = int(environ["AWS_ENDPOINT_URL"].rpartition(":")[2])
    with_server.environ.update(environ)
    assert with_server("put", "-", "s3://demo/a", "--quiet", stdin=b"tried").stderr == ""
    assert with_server("get", "s3://demo/a", "-").stdout == b"tried"
    child.send_signal(signal.SIGINT)
    result = ended(child)
    assert (result.code, result.stdout) == (130, b"")
    said, last = result.stderr.splitlines()
    assert environ["AWS_ENDPOINT_URL"] in said and "'demo'" in said
    assert last == ("s3mpu: interrupted by SIGINT; the server was stopped, nothing is left running")
    assert not _listens(port)


def test_a_server_that_ends_by_itself_is_an_error(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def server() -> Iterator[EmbeddedServer]:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            yield cast(EmbeddedServer, Ending(listener))

    class Ending:
        kind, version, endpoint_url, access_key, secret_key, region = "abcdef"
        host = "127.0.0.1"

        def __init__(self, listener: socket.socket) -> None:
            self.port = listener.getsockname()[1]
            self.create_bucket = lambda name: listener.close()

    monkeypatch.setattr("libcloud_s3mpu.cli.demo.embedded_server", server)
    result = cli("demo", "--server")
    assert result.code == 1
    assert result.stderr.endswith(
        "s3mpu: the server ended by itself; the server was stopped, nothing is left running\n"
    )


@pytest.mark.parametrize("args", [("demo",), ("demo", "--server")])
def test_where_no_server_is_installed_the_advice_is_in_words_of_the_command_line(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...]
) -> None:
    def server() -> Any:
        raise EmbeddedServerError(f"no S3 server is installed for /some/python: {ADVICE}")

    monkeypatch.setattr("libcloud_s3mpu.cli.demo.embedded_server", server)
    result = cli(*args)
    assert (result.code, result.stderr.count("\n")) == (1, 1)
    assert "for /some/python: install one beside s3mpu: pip install" in result.stderr
    assert "python=" not in result.stderr


@pytest.mark.parametrize("option", ["--size", "--part-size", "--memory-budget", "--concurrency"])
def test_the_server_alone_takes_no_option_of_the_upload(cli: Cli, option: str) -> None:
    result = cli("demo", "--server", option, "5")
    assert (result.code, result.stderr.count("\n")) == (2, 1)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_size_that_does_not_fit_is_refused_before_anything_starts(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("libcloud_s3mpu.cli.demo.available_bytes", lambda: 1024**3)
    result = cli("demo", "--size", "1GiB")
    assert result.code == 1
    assert "1.0 GiB are available: give a smaller --size" in result.stderr


def test_the_generated_source_has_the_size_asked_and_no_period() -> None:
    seen: list[bytes] = []
    chunks = list(generated(300_000, seen.append))
    assert seen == chunks
    assert sum(map(len, chunks)) == 300_000
    assert len(set(chunks)) == len(chunks)
    assert list(generated(0, seen.append)) == []
