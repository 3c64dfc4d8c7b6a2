# SPDX-License-Identifier: Apache-2.0
"""The child of ``test_interrupts.py``: uploads that never end by themselves, each ended by SIGINT.

A process of its own, since what is looked for is a hang. Prints one line for each upload.
"""

from __future__ import annotations

import os
import sys
import json
import signal
import threading
from collections.abc import Iterator

from libcloud.storage.base import Container

import libcloud_s3mpu as ours

CHUNK = b"x" * 300_000
#: Bytes after which the upload has certainly been initiated: the first part, and one chunk more.
INITIATED = 6 * 1024 * 1024


def endless(delay_seconds: float) -> Iterator[bytes]:
    """Yield for ever; the signal comes ``delay_seconds`` after the upload was initiated."""
    pulled, timer = 0, threading.Timer(delay_seconds, os.kill, (os.getpid(), signal.SIGINT))
    try:
        while True:
            yield CHUNK
            pulled += len(CHUNK)
            if pulled > INITIATED and timer.ident is None:
                timer.start()
    finally:
        if timer.ident is not None:
            timer.join()


def main() -> None:
    """Read what to do as JSON from standard input, and do it."""
    job = json.load(sys.stdin)
    driver = ours.AmazonS3MultipartDriver(**job["driver"])
    container = Container(name=job["container"], extra={}, driver=driver)
    options = ours.UploadOptions(concurrency=job["concurrency"])
    for number, delay_seconds in enumerate(job["delays_seconds"]):
        try:
            driver.upload_object_via_stream(
                endless(delay_seconds), container, f"object-{number}", ex_options=options
            )
        except KeyboardInterrupt as error:
            print("interrupted", getattr(error, "cleanup_error", None), flush=True)


if __name__ == "__main__":
    main()
