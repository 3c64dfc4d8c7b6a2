# SPDX-License-Identifier: Apache-2.0
"""The process that is killed, and the one that goes on: ``python -m tests.crash.child '{...}'``.

It uploads a generated source to a fake that runs in its parent, with a journal of files. Nothing is
asserted here; what came of it is one line of JSON on standard output.
"""

from __future__ import annotations

import sys
import json
import random
from typing import Any
from pathlib import Path
from collections.abc import Iterator

from libcloud.storage.base import Container

from tests.fake_s3.config import REGION, ACCESS_KEY, SECRET_KEY
from libcloud_s3mpu.driver import AmazonS3MultipartDriver
from libcloud_s3mpu.transfer import journal as journal_module
from libcloud_s3mpu.protocol.limits import Limits
from libcloud_s3mpu.protocol.options import UploadOptions
from libcloud_s3mpu.transfer.journal import FileJournal

KIB = 1024
PART_SIZE_BYTES = 64 * KIB
#: Some parts of 64 KiB, then larger ones by the schedule, and a short one at the end.
SIZE_BYTES = 40 * PART_SIZE_BYTES + 12_345
KEY = "backups/db.dump"


class SmallDriver(AmazonS3MultipartDriver):
    """The driver under test, for a service whose parts are at least 64 KiB."""

    ex_limits = Limits(min_part_size=PART_SIZE_BYTES, max_part_size=1024 * KIB, max_parts=400)


def generated(seed: int) -> bytes:
    """Give the bytes of the source, the same in every process."""
    return random.Random(seed).randbytes(SIZE_BYTES)


def source_of(kind: str, seed: int, folder: Path) -> Any:
    if kind == "file":
        path = folder / "source"
        if not path.exists():
            path.write_bytes(generated(seed))
        return open(path, "rb")
    data = generated(seed)
    if kind == "bytes":
        return data

    def chunks() -> Iterator[bytes]:
        sizes = random.Random(seed + 1)
        offset = 0
        while offset < len(data):
            size = sizes.choice([1, 1000, 30_000, 100_000, 200_000])
            yield data[offset : offset + size]
            offset += size

    return chunks()


def main() -> None:
    job = json.loads(sys.argv[1])
    folder = Path(job["folder"])
    if job["saves_at_once"]:
        journal_module.SAVE_SECONDS = journal_module.SAVE_PAUSE = 0.0
    journal = FileJournal(folder / "journal")
    driver = SmallDriver(
        ACCESS_KEY,
        SECRET_KEY,
        host="127.0.0.1",
        port=job["port"],
        secure=False,
        region=REGION,
        ex_options=UploadOptions(
            part_size_bytes=PART_SIZE_BYTES,
            concurrency=job["concurrency"],
            checksum=job["checksum"],
            journal=journal,
        ),
    )
    container = Container("bucket", {}, driver)
    source = source_of(job["kind"], job["seed"], folder)
    saved = journal.list()
    if saved:
        upload_id = saved[0].upload_id
        assert upload_id is not None
        done = driver.ex_resume_upload(upload_id, source, container, KEY)
    else:
        done = driver.ex_start_upload(container, KEY).run(source)
    print(json.dumps({"size": done.size, "etag": done.hash, "resumed": bool(saved)}))


if __name__ == "__main__":
    main()
