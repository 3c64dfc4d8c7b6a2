# SPDX-License-Identifier: Apache-2.0
"""The CRT transfer manager that boto3 uses when awscrt is installed.

boto3 ignores `endpoint_url` when it takes that road (seen with boto3 1.44), so the objects it
would build are built here with the endpoint given; the CRT takes no port, see `peers.py`.
"""

from __future__ import annotations

from typing import Any

from benchmarks.client.job import BUCKET, REGION, ACCESS_KEY, SECRET_KEY, Job
from benchmarks.client.sources import Source


def make(job: Job) -> Any:
    from s3transfer import crt
    from botocore.config import Config
    from botocore.session import Session

    session = Session()
    session.set_credentials(ACCESS_KEY, SECRET_KEY)
    serializer = crt.BotocoreCRTRequestSerializer(
        session,
        {
            "region_name": REGION,
            "endpoint_url": f"{job.scheme}://{job.host}",
            "use_ssl": job.secure,
            "config": Config(s3={"addressing_style": "path"}),
        },
    )
    keys = crt.BotocoreCRTCredentialsWrapper(session.get_credentials())
    trust = {"verify": job.ca_path} if job.secure else {}
    client = crt.create_s3_crt_client(
        REGION,
        crt_credentials_provider=keys.to_crt_credentials_provider(),
        use_ssl=job.secure,
        **trust,
    )
    return crt.CRTTransferManager(client, serializer)


def upload(client: Any, job: Job, source: Source, key: str) -> None:
    client.upload(source.file(), BUCKET, key).result()
