# SPDX-License-Identifier: Apache-2.0
"""examples/nuxeo_upload.py before a fake whose session tokens end by its clock."""

from __future__ import annotations

import io
import json
import shelve
import shutil
import dbm.dumb
from typing import Any
from pathlib import Path
from datetime import datetime, timezone, timedelta
from contextlib import closing
from collections.abc import Iterator

import pytest

from tests.fake_s3 import faults
from tests.unit.small import AT_ONCE, Service, SmallDriver, whole, service
from examples.nuxeo_upload import Upload
from libcloud_s3mpu.protocol.errors import S3MultipartError
from libcloud_s3mpu.protocol.options import UploadOptions
from libcloud_s3mpu.protocol.session import UploadPausedError

DATA = whole(9) + b"end"
LIVES = timedelta(minutes=10)

pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")


class Nuxeo:
    """The server: lends keys that end after ten minutes, and notes what was stored."""

    def __init__(self, s3: Service) -> None:
        self.s3 = s3
        self.ahead = timedelta()
        self.lent = 0
        self.completed: list[dict[str, Any]] = []
        s3.fake.clock = self.now

    def now(self) -> datetime:
        return datetime.now(timezone.utc) + self.ahead

    def new_batch(self) -> dict[str, Any]:
        return {"batchId": "batch-1", "extraInfo": self.lend()}

    def refresh_token(self, batch_id: str) -> dict[str, Any]:
        assert batch_id == "batch-1"
        return self.lend()

    def lend(self) -> dict[str, Any]:
        self.lent += 1
        key, secret, token = (f"{name}{self.lent}" for name in ("AKIDLENT", "secret/", "token/"))
        ends = self.now() + LIVES
        self.s3.fake.keyring.credentials[key] = (secret, token)
        self.s3.fake.keyring.token_ends[token] = ends
        return {
            "awsSecretKeyId": key,
            "awsSecretAccessKey": secret,
            "awsSessionToken": token,
            "expiration": int(ends.timestamp() * 1000),
            "bucket": "bucket",
            "baseKey": "transient/",
            "region": "us-east-1",
            "endpoint": f"http://127.0.0.1:{self.s3.server.port}",
            "usePathStyleAccess": True,
        }

    def complete(self, batch_id: str, **stored: Any) -> dict[str, Any]:
        self.completed.append({"batch": batch_id, **stored})
        return {"uid": "document"}

    @property
    def tokens(self) -> list[str]:
        """The tokens that requests came with, each once, in their order."""
        found = [r.headers.get("x-amz-security-token", "") for r in self.s3.fake.requests]
        return list(dict.fromkeys(found))


@pytest.fixture
def nuxeo() -> Iterator[Nuxeo]:
    with service() as s3:
        yield Nuxeo(s3)


@pytest.fixture
def path(tmp_path: Path) -> str:
    (tmp_path / "film.mkv").write_bytes(DATA)
    return str(tmp_path / "film.mkv")


def upload(nuxeo: Nuxeo, path: str, store: dict[str, str], on_event: Any = None) -> Upload:
    options = UploadOptions(
        part_size_bytes=5, concurrency=1, retry=AT_ONCE, on_failure="keep", on_event=on_event
    )
    return Upload(nuxeo, path, store, driver_class=SmallDriver, ex_options=options)


def after(number: int, action: Any) -> Any:
    """Have something done once, when so many parts have arrived."""
    done: list[int] = []

    def tell(event: Any) -> None:
        if type(event).__name__ == "PartUploaded":
            done.append(event.part_number)
            if len(done) == number:
                action()

    return tell


def test_a_batch_is_begun_paused_resumed_and_completed(nuxeo: Nuxeo, path: str) -> None:
    store: dict[str, str] = {}
    first: Any = upload(nuxeo, path, store, after(3, lambda: first.pause()))
    with pytest.raises(UploadPausedError):
        first.run()
    (sent,) = nuxeo.s3.fake.uploads.values()
    assert len(sent.parts) == 3 and not nuxeo.completed
    kept = json.dumps(store)
    assert "secret/" not in kept and "token/" not in kept and "AKIDLENT" not in kept
    nuxeo.ahead = timedelta(hours=2)  # A night later no key of the first run is good.
    assert upload(nuxeo, path, store).run() == {"uid": "document"}
    (done,) = nuxeo.completed
    assert done["key"].startswith("transient/") and nuxeo.s3.stored(done["key"]) == DATA
    assert (done["name"], done["fileSize"], done["bucket"]) == ("film.mkv", len(DATA), "bucket")
    assert done["etag"] == nuxeo.s3.fake.objects["bucket"][done["key"]].etag.strip('"')
    assert not nuxeo.s3.fake.uploads and store == {}
    numbers = nuxeo.s3.sent_parts()
    assert sorted(set(numbers)) == list(range(1, 11))
    assert len([r for r in nuxeo.s3.fake.requests_of("UploadPart") if r.status == 200]) == 10


def test_keys_that_end_in_mid_upload_are_renewed_by_asking(nuxeo: Nuxeo, path: str) -> None:
    def ends() -> None:
        nuxeo.ahead += LIVES

    upload(nuxeo, path, {}, after(4, ends)).run()
    assert nuxeo.s3.stored(nuxeo.completed[0]["key"]) == DATA
    # The service refused the first token; the second was asked for once.
    assert nuxeo.tokens == ["token/1", "token/2"] and nuxeo.lent == 2
    refused = [r for r in nuxeo.s3.fake.requests if r.status == 400]
    assert refused and all(r.headers["x-amz-security-token"] == "token/1" for r in refused)


def test_a_run_that_failed_goes_on_as_a_paused_one(nuxeo: Nuxeo, path: str) -> None:
    store: dict[str, str] = {}
    nuxeo.s3.fake.script("UploadPart", faults.error("AccessDenied"), part_number=6)
    with pytest.raises(S3MultipartError):
        upload(nuxeo, path, store).run()
    assert nuxeo.s3.fake.uploads and store
    upload(nuxeo, path, store).run()
    assert nuxeo.s3.stored(nuxeo.completed[0]["key"]) == DATA and not nuxeo.s3.fake.uploads


def test_a_killed_process_goes_on(nuxeo: Nuxeo, path: str) -> None:
    """What the store knew when the third part was there is all that the next process has."""
    store: dict[str, str] = {}
    kept: list[dict[str, str]] = []
    second = upload(nuxeo, path, store, after(3, lambda: kept.append(dict(store))))
    nuxeo.s3.fake.script("UploadPart", faults.error("AccessDenied"), part_number=5)
    with pytest.raises(S3MultipartError):
        second.run()
    assert upload(nuxeo, path, kept[0]).run() == {"uid": "document"}
    assert nuxeo.s3.stored(nuxeo.completed[0]["key"]) == DATA
    assert len(nuxeo.s3.fake.requests_of("InitiateMultipartUpload")) == 1
    assert kept[0] == {} and not nuxeo.s3.fake.uploads


def test_a_shelf_is_written_at_each_step(nuxeo: Nuxeo, path: str, tmp_path: Path) -> None:
    """What is in its files while it is open is what a killed process leaves."""
    seen: list[bytes] = []

    def look() -> None:
        for file in tmp_path.glob("kept*"):
            shutil.copy(file, tmp_path / f"then-{file.name}")
        with closing(dbm.dumb.open(str(tmp_path / "then-kept"), "r")) as left:
            seen.append(left[path])

    database: Any = dbm.dumb
    with shelve.Shelf(database.open(str(tmp_path / "kept"), "c")) as opened:
        shelf: Any = opened
        upload(nuxeo, path, shelf, after(3, look)).run()
    (text,) = seen
    assert b"batch-1" in text and b"upload_id" in text


def test_a_process_that_is_killed_before_it_tells_the_server(nuxeo: Nuxeo, path: str) -> None:
    store: dict[str, str] = {}
    tell, nuxeo.complete = nuxeo.complete, _killed  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        upload(nuxeo, path, store).run()
    nuxeo.complete = tell  # type: ignore[method-assign]
    before = len(nuxeo.s3.fake.requests)
    upload(nuxeo, path, store).run()
    (done,) = nuxeo.completed
    assert nuxeo.s3.stored(done["key"]) == DATA and len(nuxeo.s3.fake.requests) == before


def _killed(batch_id: str, **stored: Any) -> dict[str, Any]:
    raise KeyboardInterrupt


def test_an_upload_that_was_aborted_meanwhile_begins_anew(nuxeo: Nuxeo, path: str) -> None:
    store: dict[str, str] = {}
    nuxeo.s3.fake.script("UploadPart", faults.error("AccessDenied"), part_number=6)
    with pytest.raises(S3MultipartError):
        upload(nuxeo, path, store).run()
    nuxeo.s3.fake.uploads.clear()
    upload(nuxeo, path, store).run()
    (done,) = nuxeo.completed
    assert done["batch"] == "batch-1" and nuxeo.s3.stored(done["key"]) == DATA


def test_a_resumed_upload_may_be_paused_again(nuxeo: Nuxeo, path: str) -> None:
    store: dict[str, str] = {}
    runs: list[Upload] = []
    for parts in (2, 2):
        runs.append(upload(nuxeo, path, store, after(parts, lambda: runs[-1].pause())))
        with pytest.raises(UploadPausedError):
            runs[-1].run()
    upload(nuxeo, path, store).run()
    assert nuxeo.s3.stored(nuxeo.completed[0]["key"]) == DATA and store == {}


def test_a_small_file_is_one_put(nuxeo: Nuxeo, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"abc")
    upload(nuxeo, str(tmp_path / "a.txt"), {}).run()
    assert nuxeo.s3.operations() == ["PutObject"] and nuxeo.completed[0]["fileSize"] == 3


def test_the_fake_refuses_a_token_once_it_has_ended(nuxeo: Nuxeo) -> None:
    from libcloud_s3mpu.delegation import delegated

    lent = delegated(nuxeo.lend(), driver_class=SmallDriver)
    nuxeo.ahead = LIVES
    with pytest.raises(S3MultipartError):
        lent.start().run(io.BytesIO(b"abc"))
    assert not nuxeo.s3.keys
