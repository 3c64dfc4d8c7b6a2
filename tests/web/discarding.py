# SPDX-License-Identifier: Apache-2.0
"""The fake S3 in a process of its own, which forgets the bytes of parts: for measuring the client.

``python -m tests.web.discarding [tls]`` prints its URL (and the certificate to trust) and serves
until its standard input ends. Sizes, ETags and conditions are as ever, and so is the price of
verifying them, which is this process's.
"""

from __future__ import annotations

import os
import sys
import subprocess
from typing import Any
from pathlib import Path
from contextlib import suppress, contextmanager
from dataclasses import replace
from collections.abc import Iterator

from tests.fake_s3 import FakeS3, FakeLimits, FakeServer, checksums

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
def discarding_s3(*, tls: bool = False) -> Iterator[dict[str, str]]:
    """Run it; give its ``endpoint`` and, with TLS, ``ca``.

    Complete must not be told a size (``checks_object_size=False``).
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.web.discarding", *(["tls"] * tls)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        endpoint, *ca = process.stdout.readline().decode().split()
        yield {"endpoint": endpoint, **({"ca": ca[0]} if ca else {})}
    finally:
        process.stdin.close()
        process.wait(20)
        process.stdout.close()


def main() -> None:
    with suppress(ImportError):
        from crc32c import crc32c

        # The fake's own takes minutes for a GiB.
        checksums.ALGORITHMS["CRC32C"] = lambda data: crc32c(data).to_bytes(4, "big")
    fake = DiscardingS3(FakeLimits(), buckets=("bucket",))
    with FakeServer(fake, tls="tls" in sys.argv) as server:
        print(server.endpoint, server.ca_file or "", flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
