# SPDX-License-Identifier: Apache-2.0
"""The command line on the fake: in this process for words and codes, in its own for signals."""

from __future__ import annotations

import io
import os
import sys
import json
import subprocess
from typing import Any
from pathlib import Path
from dataclasses import field, dataclass
from collections.abc import Iterator

import pytest

from tests.fake_s3 import ACCESS_KEY, SECRET_KEY, FakeS3, FakeServer

pytest.importorskip("click", reason="the command line needs click")
pytest.importorskip("rich", reason="the command line needs rich")

ROOT = Path(__file__).resolve().parents[2]
BUCKET = "bucket"
PART = 5 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    code: int
    stdout: bytes
    stderr: str

    @property
    def out(self) -> str:
        return self.stdout.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)


@dataclass(kw_only=True)
class Cli:
    """Runs ``s3mpu`` against one fake; ``environ`` is all that it sees of an environment."""

    fake: FakeS3
    server: FakeServer
    environ: dict[str, str]
    monkeypatch: pytest.MonkeyPatch
    capture: pytest.CaptureFixture[bytes]
    children: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __call__(self, *args: str, stdin: bytes | None = None) -> Ended:
        from libcloud_s3mpu.cli import run

        if stdin is not None:
            self.monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        self.capture.readouterr()
        code = run(args, self.environ)
        stdout, stderr = self.capture.readouterr()
        return Ended(code=code, stdout=stdout, stderr=stderr.decode())

    def start(self, *args: str, **kwargs: Any) -> subprocess.Popen[bytes]:
        """Start a process of its own, with pipes for all three streams."""
        kept = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT") if name in os.environ}
        environ = {**kept, "PYTHONPATH": str(ROOT), **self.environ}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        command = [sys.executable, "-W", "ignore", "-m", "libcloud_s3mpu", *args]
        child = subprocess.Popen(command, env=environ, **{**pipes, **kwargs})
        self.children.append(child)
        return child

    @property
    def objects(self) -> dict[str, Any]:
        return self.fake.objects[BUCKET]


def ended(child: subprocess.Popen[bytes]) -> Ended:
    """Wait for a process that is about to end."""
    stdout, stderr = child.communicate(timeout=30)
    return Ended(code=child.returncode, stdout=stdout or b"", stderr=(stderr or b"").decode())


@pytest.fixture
def fake() -> FakeS3:
    return FakeS3(buckets=(BUCKET,))


@pytest.fixture
def cli(
    fake: FakeS3,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsysbinary: pytest.CaptureFixture[bytes],
) -> Iterator[Cli]:
    home = tmp_path / "home"
    home.mkdir()
    with FakeServer(fake) as server:
        found = Cli(
            fake=fake,
            server=server,
            environ={
                "HOME": str(home),
                "S3MPU_JOURNAL": str(tmp_path / "journal"),
                "AWS_ACCESS_KEY_ID": ACCESS_KEY,
                "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
                "AWS_ENDPOINT_URL": server.endpoint,
            },
            monkeypatch=monkeypatch,
            capture=capsysbinary,
        )
        yield found
        for child in found.children:
            child.kill()
            child.communicate()
