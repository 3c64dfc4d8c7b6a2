# SPDX-License-Identifier: Apache-2.0
"""A process that writes to an upload until it is finished, and says what it was acknowledged.

``python -m tests.resumable.child PORT ID LOCKER FOLDER LETTER``; one line of JSON for each write:
[offset before, offset after].
"""

from __future__ import annotations

import sys
import json
import random
from typing import Any

from libcloud.storage.base import Container

from tests.fake_s3 import REGION, ACCESS_KEY, SECRET_KEY
from tests.unit.small import AT_ONCE
from tests.resumable.store import PartDriver
from libcloud_s3mpu.resumable import (
    S3Locker,
    FileLocker,
    MemoryLocker,
    UploadGoneError,
    ResumableUploads,
    UploadLockedError,
    OffsetMismatchError,
)
from libcloud_s3mpu.protocol.options import UploadOptions

LENGTH = 120


def main(port: str, id: str, locker: str, folder: str, letter: str) -> None:
    driver = PartDriver(
        ACCESS_KEY,
        SECRET_KEY,
        host="127.0.0.1",
        port=int(port),
        secure=False,
        region=REGION,
        ex_options=UploadOptions(part_size_bytes=5, retry=AT_ONCE),
    )
    container = Container("bucket", {}, driver)
    made: Any = {
        "file": lambda: FileLocker(folder, poll_seconds=0.001),
        "s3": lambda: S3Locker(driver, container, poll_seconds=0.001),
        "memory": MemoryLocker,  # Of one process: only the record keeps the two apart.
    }[locker]()
    store = ResumableUploads(driver, container, part=8, locker=made)
    rng = random.Random(letter)
    offset = 0
    while True:
        # Never more than is missing: whole parts of such a write stay, acknowledged to nobody.
        size = min(rng.randint(1, 12), LENGTH - offset)
        try:
            info = store.write(id, offset, letter.encode() * size)
            print(json.dumps([offset, info.offset]), flush=True)
            offset = info.offset
        except OffsetMismatchError as error:
            offset = error.offset
            continue
            if info.complete:
                return
        except UploadLockedError:
            offset = told(store, id)
        except UploadGoneError:
            return
        if offset == LENGTH:
            return


def told(store: ResumableUploads, id: str) -> int:
    """Ask where the upload is; another writer may be at it just then."""
    while True:
        try:
            return store.get(id).offset
        except UploadLockedError:
            continue


if __name__ == "__main__":
    main(*sys.argv[1:])
