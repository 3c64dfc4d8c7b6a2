# SPDX-License-Identifier: Apache-2.0
"""The child of ``test_resuming.py``: ``python -m tests.contract.crashing '{}'`` puts or resumes.

Its parent kills it. What came of it is one line of JSON on standard output.
"""

from __future__ import annotations

import sys
import json
import random
from typing import Any
from pathlib import Path
from collections.abc import Iterator

from libcloud.storage.base import Container

import libcloud_s3mpu as ours

PART = 5 * 1024 * 1024
#: Seven parts, the last one short.
SIZE_BYTES = 6 * PART + 54_321
KEY = "backups/db.dump"


def generated(seed: int) -> bytes:
    """Give the bytes of the source, the same in every process."""
    return random.Random(seed).randbytes(SIZE_BYTES)


def source_of(kind: str, seed: int, folder: Path) -> Any:
    data = generated(seed)
    if kind == "file":
        path = folder / f"source-{seed}"
        if not path.exists():
            path.write_bytes(data)
        return open(path, "rb")

    def chunks() -> Iterator[bytes]:
        sizes = random.Random(seed + 1)
        offset = 0
        while offset < len(data):
            size = sizes.choice([1, 30_000, 300_000, 3_000_000])
            yield data[offset : offset + size]
            offset += size

    return chunks()


def main() -> None:
    job = json.loads(sys.argv[1])
    folder = Path(job["folder"])
    journal = ours.FileJournal(folder / "journal")
    options = ours.UploadOptions(
        part_size_bytes=PART,
        concurrency=job["concurrency"],
        checksum=job["checksum"],
        journal=journal,
    )
    driver = ours.AmazonS3MultipartDriver(**job["driver"], ex_options=options)
    container = Container(job["container"], {}, driver)
    source = source_of(job["kind"], job["seed"], folder)
    saved = journal.list()
    if saved:
        done = driver.ex_resume_upload(saved[0], source, container, KEY)
    else:
        done = driver.ex_start_upload(container, KEY).run(source)
    print(json.dumps({"size": done.size, "resumed": bool(saved)}))


if __name__ == "__main__":
    main()
