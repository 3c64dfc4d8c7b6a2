# SPDX-License-Identifier: Apache-2.0
"""This checkout, found through PYTHONPATH; every option is a field of `UploadOptions`.

`ours:off` is an unsigned payload without a checksum: what the other figures compare best with.
`ours:bare` is without retries and without a watch over stalls: what these cost is its difference.
"""

from __future__ import annotations

from typing import Any
from collections.abc import Iterator

from benchmarks.client.job import BUCKET, REGION, ACCESS_KEY, READ_CHUNK, SECRET_KEY, Job
from benchmarks.client.sources import Source

WORDS: dict[str, Any] = {"none": None, "true": True, "false": False}


#: What watches an upload, where this version has it -> the value that does not.
WATCH: dict[str, Any] = {
    "min_throughput_bytes_per_second": None,
    "deadline_seconds": None,
}


def bare() -> dict[str, Any]:
    """Give the options that switch retries and watch off."""
    from dataclasses import fields

    from libcloud_s3mpu import NO_RETRIES, UploadOptions

    known = {each.name for each in fields(UploadOptions)}
    return {"retry": NO_RETRIES, **{k: v for k, v in WATCH.items() if k in known}}


def value(text: str) -> Any:
    """Read an option: a number, none, true, false, or a word."""
    if text in WORDS:
        return WORDS[text]
    return int(text) if text.isdigit() else text


def make(job: Job) -> Any:
    if job.ca_path:
        import libcloud.security

        libcloud.security.CA_CERTS_PATH = job.ca_path
    import libcloud_s3mpu

    words = ("off", "bare")
    fields: dict[str, Any] = {k: value(v) for k, v in job.options.items() if k not in words}
    if "off" in job.options:
        fields = {"sign_payload": False, "checksum": None, **fields}
    if "bare" in job.options:
        fields = {**bare(), **fields}
    given = {"ex_options": libcloud_s3mpu.UploadOptions(**fields)} if fields else {}
    driver = libcloud_s3mpu.AmazonS3MultipartDriver(
        ACCESS_KEY,
        SECRET_KEY,
        secure=job.secure,
        host=job.host,
        port=job.port,
        region=REGION,
        **given,
    )
    return driver, driver.get_container(BUCKET)


def upload(client: Any, job: Job, source: Source, key: str) -> None:
    driver, container = client
    driver.upload_object_via_stream(source.iterator(), container, key)


def download(client: Any, job: Job, key: str, path: str) -> None:
    driver, _ = client
    driver.download_object(driver.get_object(BUCKET, key), path)


def read(client: Any, job: Job, key: str) -> Iterator[bytes]:
    driver, _ = client
    stream: Iterator[bytes] = driver.download_object_as_stream(
        driver.get_object(BUCKET, key), READ_CHUNK
    )
    return stream


def names(client: Any, job: Job) -> Iterator[str]:
    driver, container = client
    return (found.name for found in driver.iterate_container_objects(container))
