# SPDX-License-Identifier: Apache-2.0
"""The fake S3 in a process of its own, which forgets the bytes of parts: for measuring the client.

``python -m tests.web.discarding`` prints its port and serves until its standard input ends. Sizes,
ETags and conditions are as ever, and so is the price of verifying them, which is this process's.
"""

from __future__ import annotations

import os
import sys
import subprocess
from typing import Any
from pathlib import Path
from contextlib import contextmanager
from dataclasses import replace
from collections.abc import Iterator

from tests.fake_s3 import FakeS3, FakeLimits, FakeServer

ROOT = Path(__file__).resolve().parents[2]


class Hole(bytes):
    """Bytes that were thrown away: nothing but their number is left."""

    size: int

    def __len__(self) -> int:
        return self.size


class DiscardingS3(FakeS3):
    """Keeps small objects, and of parts what listing and completing them needs."""

    def handle(self, request: Any, fault: Any = None) -> Any:
        response = super().handle(request, fault=fault)
        self.requests.clear()  # They hold bodies, too.
        if self.operation_of(request) == "UploadPart":
            for upload in self.uploads.values():
                for number, part in upload.parts.items():
                    if not isinstance(part.body, Hole):
                        hole = Hole()
                        hole.size = part.size
                        upload.parts[number] = replace(part, body=hole)
        return response


@contextmanager
def discarding_s3() -> Iterator[str]:
    """Run it; give its URL. Complete must not be told a size (``checks_object_size=False``)."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.web.discarding"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.stdin.close()
        process.wait(20)
        process.stdout.close()


def main() -> None:
    fake = DiscardingS3(FakeLimits(), buckets=("bucket",))
    with FakeServer(fake) as server:
        print(server.port, flush=True)
        sys.stdin.read()
        os._exit(0)


if __name__ == "__main__":
    main()
