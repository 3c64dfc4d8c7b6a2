# SPDX-License-Identifier: Apache-2.0
"""obstore's `put` with an iterable or a file, its `get` and its `list`.

Options of an upload: `part` in MiB, `concurrency`, `sign=0` for an unsigned payload instead of its
SHA-256, `api=writer` for `open_writer`.
"""

from __future__ import annotations

from typing import Any
from collections.abc import Iterator

from benchmarks.client.job import MIB, BUCKET, REGION, ACCESS_KEY, READ_CHUNK, SECRET_KEY, Job
from benchmarks.client.sources import Source


def make(job: Job) -> Any:
    from obstore.store import S3Store

    given: dict[str, Any] = {"client_options": {"allow_http": True}}
    if job.secure:  # it takes no CA file
        given = {"client_options": {"allow_invalid_certificates": True}}
    if job.options.get("sign") == "0":
        given["unsigned_payload"] = True
    return S3Store(
        BUCKET,
        endpoint=job.endpoint,
        region=REGION,
        access_key_id=ACCESS_KEY,
        secret_access_key=SECRET_KEY,
        virtual_hosted_style_request=False,
        **given,
    )


def upload(client: Any, job: Job, source: Source, key: str) -> None:
    import obstore

    sizes = {"chunk_size": int(job.number("part") * MIB)} if "part" in job.options else {}
    width = int(job.number("concurrency"))
    if width:
        sizes["max_concurrency"] = width
    if job.options.get("api") == "writer":
        if "chunk_size" in sizes:
            sizes["buffer_size"] = sizes.pop("chunk_size")
        with obstore.open_writer(client, key, **sizes) as writer:
            for chunk in source.blocks():
                writer.write(chunk)
    else:
        given = source.file() if source.kind == "file" else source.blocks()
        obstore.put(client, key, given, **sizes)


def download(client: Any, job: Job, key: str, path: str) -> None:
    import obstore

    with open(path, "wb") as file:
        for chunk in obstore.get(client, key).stream():  # as its own manual does
            file.write(chunk)


def read(client: Any, job: Job, key: str) -> Iterator[Any]:
    import obstore

    stream: Iterator[Any] = iter(obstore.get(client, key).stream(min_chunk_size=READ_CHUNK))
    return stream


def names(client: Any, job: Job) -> Iterator[str]:
    import obstore

    for page in obstore.list(client, chunk_size=1000):
        for found in page:
            yield found["path"]
