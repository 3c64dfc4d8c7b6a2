# SPDX-License-Identifier: Apache-2.0
"""The examples of docs/direct-web.md run as they stand: the handler, and the calls by curl."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import Any
from pathlib import Path

import pytest

from tests.unit.small import service
from tests.web.servers import wsgi_server

PAGE = Path(__file__).parents[2] / "docs" / "direct-web.md"
NEEDED = ("bash", "curl", "python3", "sed")


def examples(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.S | re.M)


@pytest.mark.skipif(not all(map(shutil.which, NEEDED)), reason=f"needs {', '.join(NEEDED)}")
@pytest.mark.timeout(60)
def test_the_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, client = examples("python")
    script = "\n".join(["set -euo pipefail", *examples("sh")])
    assert script.count("$APP/") >= 6
    with service() as s3:
        names: dict[str, Any] = {"driver": s3.driver, "container": s3.container}
        exec(compile(made, str(PAGE), "exec"), names)
        with wsgi_server(names["app"]) as port:
            (tmp_path / "photo.jpg").write_bytes(b"jpg")
            monkeypatch.chdir(tmp_path)
            exec(client.replace("https://app.example", f"http://127.0.0.1:{port}"), names)
            assert s3.stored(names["done"]["key"]) == b"jpg"
            script = script.replace("127.0.0.1:8000", f"127.0.0.1:{port}")
            ran = subprocess.run(
                ["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=40
            )
            assert ran.returncode == 0, ran.stderr + ran.stdout
        assert "CompleteMultipartUploadResult" in ran.stdout
        assert len(s3.keys) == 4 and "people/ann/ann/data.csv" not in s3.keys
        assert {s3.stored(key) for key in s3.keys} == {b"a,b\n", b"jpg"}
        assert all(key.startswith("people/ann/") for key in s3.keys)
        assert not s3.fake.uploads
