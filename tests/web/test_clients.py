# SPDX-License-Identifier: Apache-2.0
"""The real clients, against real servers: tuspy and tus-js-client, broken off, killed, resumed."""

from __future__ import annotations

import io
import os
import sys
import json
import random
import signal
import subprocess
from typing import Any
from pathlib import Path
from urllib.parse import urlsplit
from collections.abc import Iterator

import pytest

from tests.web.real import ROOT, need, real_server, node_modules
from tests.unit.small import Service, service
from tests.web.conftest import make_uploads
from tests.fake_s3.config import FakeLimits
from tests.web.test_tus_core import until
from libcloud_s3mpu.resumable import ResumableUploads

MIB = 1024 * 1024
SIZE = 23 * MIB + 7
pytestmark = pytest.mark.timeout(120)
BYTES = random.Random(7).randbytes(SIZE)


@pytest.fixture(scope="module", params=["gunicorn", "uvicorn"])
def served(request: pytest.FixtureRequest) -> Iterator[tuple[Service, str]]:
    with (
        service(limits=FakeLimits()) as made,
        real_server(request.param, made.server.endpoint, part=5 * MIB) as url,
    ):
        yield made, f"{url}/files"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clients") / "file.bin"
    path.write_bytes(BYTES)
    return path


def stored(made: Service, url: str) -> bytes:
    from urllib.parse import unquote

    from libcloud_s3mpu.protocol.limits import S3_LIMITS

    made.driver.ex_limits = S3_LIMITS  # type: ignore[misc]
    uploads = ResumableUploads(made.driver, made.container)
    info = uploads.get(unquote(urlsplit(url).path.rpartition("/files/")[2]))
    assert info.complete
    return made.stored(info.key)


class TestTuspy:
    @pytest.fixture
    def client(self, served: tuple[Service, str]) -> Any:
        need("tusclient")
        from tusclient.client import TusClient

        return TusClient(served[1])

    def test_in_chunks(self, served: tuple[Service, str], client: Any) -> None:
        uploader = client.uploader(
            file_stream=io.BytesIO(BYTES), chunk_size=3 * MIB, metadata={"filename": "ä"}
        )
        uploader.upload()
        assert stored(served[0], uploader.url) == BYTES

    def test_resumed_by_another_object(self, served: tuple[Service, str], client: Any) -> None:
        first = client.uploader(file_stream=io.BytesIO(BYTES), chunk_size=4 * MIB)
        first.upload(stop_at=9 * MIB)
        second = client.uploader(file_stream=io.BytesIO(BYTES), chunk_size=4 * MIB, url=first.url)
        assert 0 < second.offset < SIZE
        second.upload()
        assert stored(served[0], first.url) == BYTES

    def test_with_checksums(self, served: tuple[Service, str], client: Any) -> None:
        uploader = client.uploader(
            file_stream=io.BytesIO(BYTES), chunk_size=7 * MIB, upload_checksum=True
        )
        uploader.upload()
        assert stored(served[0], uploader.url) == BYTES

    def test_killed_and_resumed(
        self, served: tuple[Service, str], client: Any, file: Path, tmp_path: Path
    ) -> None:
        note = tmp_path / "url"
        code = (
            "import sys; from tusclient.client import TusClient\n"
            "class Slow:\n"
            "    def __init__(self, f): self.f = f\n"
            "    def read(self, n=-1):\n"
            "        import time; time.sleep(0.05); return self.f.read(n)\n"
            "    def __getattr__(self, name): return getattr(self.f, name)\n"
            f"u = TusClient({served[1]!r}).uploader("
            f"file_stream=Slow(open({str(file)!r}, 'rb')), chunk_size={MIB})\n"
            "u.upload_chunk()\n"
            f"open({str(note)!r}, 'w').write(u.url)\n"
            "u.upload()\n"
        )
        process = subprocess.Popen([sys.executable, "-c", code])
        try:
            until(lambda: note.exists() and note.read_text() != "", 30.0)
        finally:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
        again = client.uploader(
            file_stream=io.BytesIO(BYTES), chunk_size=8 * MIB, url=note.read_text(), retries=5
        )
        assert MIB <= again.offset < SIZE
        again.upload()
        assert stored(served[0], note.read_text()) == BYTES


class TestTusJs:
    def run(self, served: tuple[Service, str], what: str, file: Path, *more: str) -> str:
        modules = node_modules()
        if modules is None:
            pytest.skip("needs node and tus-js-client (npm install tus-js-client)")
        done = subprocess.run(
            ["node", str(ROOT / "tests/web/tus_client.mjs"), what, served[1], str(file), *more],
            env={**os.environ, "S3MPU_NODE_MODULES": str(modules)},
            capture_output=True,
            text=True,
            timeout=40,
        )
        assert done.returncode == 0, done.stderr
        return str(json.loads(done.stdout)["url"])

    @pytest.mark.parametrize(
        "what", ["interrupted", "parallel", "deferred", "creation", "override"]
    )
    def test_every_way_gives_the_same_bytes(
        self, served: tuple[Service, str], what: str, file: Path
    ) -> None:
        assert stored(served[0], self.run(served, what, file)) == BYTES

    def test_odd_chunks(self, served: tuple[Service, str], file: Path) -> None:
        assert stored(served[0], self.run(served, "interrupted", file, "1234567")) == BYTES

    def test_terminated(self, served: tuple[Service, str], file: Path) -> None:
        url = self.run(served, "terminated", file)
        uploads = make_uploads(served[0])
        with pytest.raises(Exception, match="upload"):
            uploads.get(url.rpartition("/")[2])
