# SPDX-License-Identifier: Apache-2.0
"""An upload in a process of its own, for tests of what ends processes; see ``test_f_ends.py``.

Reads what to do as JSON from standard input; says ``ready``, and what came of it, one line each.
"""

from __future__ import annotations

import sys
import json
import time
import signal
import resource
from collections.abc import Iterator

from libcloud.storage.base import Container

from tests.fake_s3 import ACCESS_KEY, SECRET_KEY
from tests.unit.small import AT_ONCE, SmallDriver, chunks
from libcloud_s3mpu.protocol.options import UploadOptions


def source(count: int, tells_at: int | None) -> Iterator[bytes]:
    for number, chunk in enumerate(chunks(count)):
        if number == tells_at:
            print("ready", flush=True)
        yield chunk


def main() -> None:
    """Do one upload as asked."""
    job = json.load(sys.stdin)
    if job.get("on_term"):
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    driver = SmallDriver(ACCESS_KEY, SECRET_KEY, host="127.0.0.1", port=job["port"], secure=False)
    driver.connection.connection.session.timeout = job.get("timeout_seconds", 30)
    options = {"part_size_bytes": 5, "retry": AT_ONCE, "concurrency": job.get("concurrency", 4)}
    if job.get("journal"):
        from libcloud_s3mpu.transfer.journal import FileJournal

        options["journal"] = FileJournal(job["journal"])
    if job.get("files"):
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (job["files"], hard))
    container = Container("bucket", {}, driver)
    began = time.monotonic()
    try:
        driver.upload_object_via_stream(
            source(job["count"], job.get("tells_at")),
            container,
            "key",
            ex_options=UploadOptions(**options),
        )
        print("uploaded", flush=True)
    except BaseException as error:
        seconds = time.monotonic() - began
        print(type(error).__name__, f"{seconds:.1f}", str(error)[:200], flush=True)
        raise


if __name__ == "__main__":
    main()
