# SPDX-License-Identifier: Apache-2.0
"""What each app does with libcloud storage, run in the apps' own environment.

``python -m tests.apps.scenarios NAME ours|upstream HOST PORT KEY SECRET MIB`` prints one JSON
object: seconds of its main upload, and what went right or wrong. The one line that an app needs is
:func:`use`'s call of ``register``; the rest of that function is for a server on this machine.
"""

from __future__ import annotations

import io
import sys
import json
import time
import uuid
import tempfile
import threading
from typing import Any
from pathlib import Path
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

THREADS, EACH = 8, 5
LINE = b"2026-11-21,0123456789,some,comma,separated\n"


def use(is_ours: bool, where: dict[str, Any]) -> None:
    """Let libcloud's ``Provider.S3`` be ours or upstream's, at a server on this machine."""
    from libcloud.storage.providers import DRIVERS, get_driver

    if is_ours:
        import libcloud_s3mpu

        libcloud_s3mpu.register(replace=True)  # The one line.
    base = get_driver("s3")

    class Local(base):  # type: ignore[misc,valid-type]
        """django-storages has no setting for a host."""

        def __init__(self, key: str, secret: str, **kwargs: Any) -> None:
            super().__init__(key, secret, **{**where, **kwargs})

    Local.__name__ = base.__name__
    globals()[base.__name__] = Local
    DRIVERS["s3"] = (__name__, base.__name__)


def outcome(call: Callable[[], Any]) -> str:
    """Give "right", "wrong", or the name of what was raised."""
    try:
        return "right" if call() else "wrong"
    except Exception as error:
        return type(error).__name__


def in_threads(call: Callable[[int], bool]) -> str:
    """Call from the threads of an app, all at once; give how many of the calls went right."""
    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(lambda n: outcome(lambda: call(n)), range(THREADS * EACH)))
    return f"{found.count('right')} of {len(found)}"


def lines(mib: float) -> bytes:
    return LINE * int(mib * 1024 * 1024 / len(LINE))


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    result = call()
    return round(time.perf_counter() - began, 3), result


# -- django-storages -------------------------------------------------------------------------------


def django_storages(keys: tuple[str, str], bucket: str, mib: float) -> dict[str, Any]:
    """``storages.backends.apache_libcloud``: one storage for all request threads."""
    from django.conf import settings
    from django.core.files.base import ContentFile

    provider = {
        "type": "libcloud.storage.types.Provider.S3",
        "user": keys[0],
        "key": keys[1],
        "bucket": bucket,
    }
    settings.configure(LIBCLOUD_PROVIDERS={"default": provider})
    from storages.backends.apache_libcloud import LibCloudStorage

    storage = LibCloudStorage()
    data = lines(mib)
    seconds, _ = timed(lambda: storage.save("report.csv", ContentFile(data)))
    stored = b"".join(storage.driver.download_object_as_stream(storage._get_object("report.csv")))

    def request(number: int) -> bool:
        body = b"%d" % number * 2000
        name = storage.save(f"dir/ü {number}.txt", ContentFile(body))
        return bool(storage.open(name).read() == body)

    big = b"x" * (6 * 1024 * 1024)
    storage.driver.upload_object_via_stream(iter([big]), storage._get_bucket(), "big")
    return {
        "seconds": seconds,
        "stored whole": outcome(lambda: stored == data),
        "a file above 5 MiB read": outcome(lambda: storage.open("big").read() == big),
        "an empty file saved": outcome(lambda: storage.save("empty", ContentFile(b"")) == "empty"),
        "an empty file read": outcome(lambda: storage.open("empty").read() == b""),
        "request threads": in_threads(request),
    }


# -- sqlalchemy-file -------------------------------------------------------------------------------


def sqlalchemy_file(keys: tuple[str, str], bucket: str, mib: float) -> dict[str, Any]:
    """One container for all threads of a FastAPI pool, as its own example has it."""
    from fastapi import FastAPI, UploadFile
    from fastapi.testclient import TestClient
    from sqlalchemy_file.storage import StorageManager
    from libcloud.storage.providers import get_driver

    container = get_driver("s3")(*keys).get_container(bucket)
    StorageManager.add_storage("default", container)
    app = FastAPI()

    def upload(file: Any) -> dict[str, Any]:
        name = uuid.uuid4().hex
        extra = {"meta_data": {"filename": file.filename}, "content_type": file.content_type}
        StorageManager.save_file(name=name, content=file.file, extra=extra)
        return {"name": name}

    upload.__annotations__["file"] = UploadFile  # FastAPI looks for names in the module only.
    app.post("/files")(upload)
    data = lines(mib)

    def save(filename: str, body: bytes) -> bool:
        with TestClient(app) as client:
            answer = client.post("/files", files={"file": (filename, io.BytesIO(body))})
        stored = StorageManager.get_file(f"default/{answer.json()['name']}")
        return bool(stored.read() == body)

    def named(filename: str) -> bool:
        extra = {"meta_data": {"filename": filename}, "content_type": "text/plain"}
        StorageManager.save_file(name="named", content=io.BytesIO(b"x"), extra=extra)
        return bool(container.get_object("named").meta_data["filename"] == filename)

    seconds, stored = timed(lambda: outcome(lambda: save("report.csv", data)))
    return {
        "seconds": seconds,
        "stored whole": stored,
        "a name that is not ASCII": outcome(lambda: named("Übersicht 文件.csv")),
        "threads of FastAPI": in_threads(lambda n: save(f"{n}.txt", b"%d" % n * 2000)),
    }


# -- file-keeper (CKAN) ----------------------------------------------------------------------------


def file_keeper(keys: tuple[str, str], bucket: str, mib: float) -> dict[str, Any]:
    """The libcloud adapter that ckanext-files uses; uploads go by ``iter(stream)``: lines."""
    import file_keeper as fk

    storage = fk.make_storage(
        "default",
        {
            "type": "file_keeper:libcloud",
            "provider": "S3",
            "key": keys[0],
            "secret": keys[1],
            "container_name": bucket,
        },
    )
    data = lines(mib)
    upload = fk.make_upload(io.BytesIO(data))
    seconds, saved = timed(lambda: storage.upload(fk.types.Location("report.csv"), upload))
    small = storage.upload(fk.types.Location("small"), fk.make_upload(b"small"))
    return {
        "seconds": seconds,
        "stored whole": outcome(lambda: storage.content(saved) == data),
        "the hash is that of later": outcome(lambda: storage.analyze("small").hash == small.hash),
    }


# -- MosaicML's LibcloudObjectStore ----------------------------------------------------------------


def mosaicml(keys: tuple[str, str], bucket: str, mib: float) -> dict[str, Any]:
    """Its calls, not the package, which needs PyTorch: 1 MiB chunks, error texts read for status.

    After ``composer/utils/object_store/libcloud_object_store.py`` of mosaicml 0.32.
    """
    from libcloud.common.types import LibcloudError
    from libcloud.storage.providers import get_driver

    container = get_driver("s3")(key=keys[0], secret=keys[1]).get_container(container_name=bucket)
    data = lines(mib)
    seen = [0]

    def chunks(file: Any) -> Iterator[bytes]:
        while chunk := file.read(1024 * 1024):
            seen[0] += len(chunk)  # Its progress bar.
            yield chunk

    seconds, _ = timed(
        lambda: container.upload_object_via_stream(chunks(io.BytesIO(data)), object_name="ep0")
    )

    def transient() -> bool:
        broken = get_driver("s3")(key=keys[0], secret="wrong")
        try:
            broken.get_container(bucket).upload_object_via_stream(iter([b"x"]), "y")
        except LibcloudError as error:
            return "403" in str(error)  # How it tells what may be tried again.
        return False

    def down() -> bool:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "back")
            container.get_object("ep0").download(str(path), overwrite_existing=True)
            return path.read_bytes() == data

    return {
        "seconds": seconds,
        "stored whole": outcome(down),
        "progress of every byte": outcome(lambda: seen[0] == len(data)),
        "the status is in an error's text": outcome(transient),
    }


# -- cassandra-medusa ------------------------------------------------------------------------------


def medusa(keys: tuple[str, str], bucket: str, mib: float) -> dict[str, Any]:
    """A backup of its kind: SSTables by a pool of workers with a driver each, hashes compared."""
    from libcloud.storage.providers import get_driver

    local = threading.local()
    with tempfile.TemporaryDirectory() as folder:
        tables = [Path(folder, f"nb-{number}-big-Data.db") for number in range(6)]
        for path in tables:
            path.write_bytes(lines(mib))

        def backup(path: Path) -> bool:
            if not hasattr(local, "container"):
                local.container = get_driver("s3")(*keys).get_container(bucket)
            with open(path, "rb") as file:
                made = local.container.upload_object_via_stream(file, path.name)
            manifest = made.hash.replace('"', "")
            later = local.container.get_object(path.name)
            return bool(later.hash.replace('"', "") == manifest and later.size == made.size)

        def all_of_it() -> list[str]:
            with ThreadPoolExecutor(4) as pool:
                return list(pool.map(lambda path: outcome(lambda: backup(path)), tables))

        seconds, found = timed(all_of_it)
    return {"seconds": seconds, "tables": f"{found.count('right')} of {len(found)}"}


SCENARIOS = {
    each.__name__: each
    for each in (django_storages, sqlalchemy_file, file_keeper, mosaicml, medusa)
}


def main(name: str, whose: str, host: str, port: str, key: str, secret: str, mib: str) -> None:
    where = {"host": host, "port": int(port), "secure": False, "region": "us-east-1"}
    use(whose == "ours", where)
    from libcloud.storage.providers import get_driver

    bucket = f"app-{uuid.uuid4().hex[:12]}"
    get_driver("s3")(key, secret).create_container(bucket)
    print(json.dumps(SCENARIOS[name]((key, secret), bucket, float(mib))))


if __name__ == "__main__":
    sys.modules["tests.apps.scenarios"] = sys.modules["__main__"]
    __name__ = "tests.apps.scenarios"
    main(*sys.argv[1:])
