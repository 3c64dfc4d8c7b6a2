# SPDX-License-Identifier: Apache-2.0
"""awscrt's own S3 client, one PUT that it splits into parts. Option: `part` in MiB.

The binding takes no port, see `peers.py`.
"""

from __future__ import annotations

from typing import Any, BinaryIO

from benchmarks.client.job import MIB, BUCKET, REGION, ACCESS_KEY, SECRET_KEY, Job
from benchmarks.client.sources import Source


class Body:
    """What the CRT reads from; it must not find out that a file could be rewound."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self, size: int = -1) -> bytes:
        return self._file.read(size)

    def readinto(self, buffer: memoryview) -> int:
        return self._file.readinto(buffer)  # type: ignore[attr-defined,no-any-return]

    def seek(self, *_: int) -> int:
        raise OSError("this body is read once")


def make(job: Job) -> Any:
    from awscrt import io, s3, auth

    group = io.EventLoopGroup()
    bootstrap = io.ClientBootstrap(group, io.DefaultHostResolver(group))
    given: dict[str, Any] = {"tls_mode": s3.S3RequestTlsMode.DISABLED}
    if job.secure:
        tls = io.TlsContextOptions()
        tls.override_default_trust_store_from_path(None, job.ca_path)
        given["tls_mode"] = s3.S3RequestTlsMode.ENABLED
        given["tls_connection_options"] = io.ClientTlsContext(tls).new_connection_options()
    if "part" in job.options:
        given["part_size"] = int(job.number("part") * MIB)
    keys = auth.AwsCredentialsProvider.new_static(ACCESS_KEY, SECRET_KEY)
    return s3.S3Client(bootstrap=bootstrap, region=REGION, credential_provider=keys, **given)


def upload(client: Any, job: Job, source: Source, key: str) -> None:
    from awscrt import s3, http

    headers = http.HttpHeaders([("host", job.host), ("content-type", "application/octet-stream")])
    request = http.HttpRequest("PUT", f"/{BUCKET}/{key}", headers, Body(source.file()))
    sent = client.make_request(type=s3.S3RequestType.PUT_OBJECT, request=request)
    sent.finished_future.result()
