# SPDX-License-Identifier: Apache-2.0
"""The demo, on the real embedded server where MiniStack or moto is installed."""

from __future__ import annotations

import os
import re
import signal

import pytest

from tests.cli.conftest import ROOT, Cli, ended
from tests.servers.base import INSTALL
from libcloud_s3mpu.cli_demo import generated
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


def _listens(port: int) -> bool:
    import socket

    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_size_that_does_not_fit_is_refused_before_anything_starts(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("libcloud_s3mpu.cli_demo.available_bytes", lambda: 1024**3)
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
