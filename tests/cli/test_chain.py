# SPDX-License-Identifier: Apache-2.0
"""Keys that only botocore's chain finds; in a process of its own, whose environment it reads."""

from __future__ import annotations

import sys
import json
from pathlib import Path

import pytest

from tests.cli.conftest import PART, Cli, ended

SECRET = "a-secret-that-a-program-tells"


@pytest.fixture
def told(cli: Cli, tmp_path: Path) -> Cli:
    """A profile whose keys a program tells, and no other keys."""
    pytest.importorskip("botocore", reason="needs botocore (the extra aws)")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        del cli.environ[name]
    said = {"Version": 1, "AccessKeyId": "AKIDTOLD", "SecretAccessKey": SECRET}
    program = tmp_path / "tell.py"
    program.write_text(f"print({json.dumps(said)!r})")
    folder = Path(cli.environ["HOME"]) / ".aws"
    folder.mkdir()
    (folder / "config").write_text(
        f"[profile told]\ncredential_process = {sys.executable} {program}\n"
    )
    cli.environ["AWS_EC2_METADATA_DISABLED"] = "true"
    cli.fake.keyring.credentials["AKIDTOLD"] = SECRET
    return cli


def test_a_profile_whose_keys_a_program_tells(told: Cli) -> None:
    child = told.start("put", "-", "s3://bucket/a", "--profile", "told", "--debug")
    assert child.stdin is not None
    child.stdin.write(b"x" * (PART + 1))
    result = ended(child)
    assert result.code == 0, result.stderr
    assert told.objects["a"].size == PART + 1
    assert "keys from botocore's chain" in result.stderr and SECRET not in result.stderr


def test_no_keys_anywhere_is_one_line(told: Cli) -> None:
    result = ended(told.start("ls", "s3://bucket"))
    assert (result.code, result.stderr.count("\n")) == (1, 1), result.stderr
    assert result.stderr.startswith("s3mpu: no credentials: botocore found no keys anywhere; set ")


def test_without_botocore_it_says_what_to_install(cli: Cli) -> None:
    """Here the environment is handed in, which botocore would not see."""
    folder = Path(cli.environ["HOME"]) / ".aws"
    folder.mkdir()
    (folder / "config").write_text("[profile told]\ncredential_process = anything\n")
    result = cli("ls", "--profile", "told")
    assert (result.code, result.stderr.count("\n")) == (1, 1)
    assert "credential_process, which takes botocore" in result.stderr
    assert 'pip install "libcloud_s3mpu[aws]"' in result.stderr
