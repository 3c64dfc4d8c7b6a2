# SPDX-License-Identifier: Apache-2.0
"""Files of a repository on the fake, without Invenio: what its storage interface asks for.

The same through Invenio-Files-REST itself is ``tests/invenio``, where that is installed.
"""

from __future__ import annotations

import io
import os
import sys
import json
import hashlib
import subprocess
from typing import Any
from pathlib import Path
from dataclasses import replace
from collections.abc import Iterator

import pytest

from tests.fake_s3 import faults
from tests.unit.small import Service, whole, service
from libcloud_s3mpu.contrib.invenio import MultipartUpload, config, reader
from libcloud_s3mpu.protocol.errors import (
    SourceSizeError,
    InvalidRequestError,
    PreconditionFailedError,
)
from libcloud_s3mpu.contrib.invenio.files import ObjectFile, checksum_of, place_of_uri

URI = "s3://bucket/ab/cd/ef/data"
KEY = "ab/cd/ef/data"


@pytest.fixture
def s3() -> Iterator[Service]:
    with service() as it:
        yield it


@pytest.fixture
def file(s3: Service) -> ObjectFile:
    return ObjectFile(s3.driver, s3.container, KEY)


def md5(data: bytes) -> str:
    return f"md5:{hashlib.md5(data).hexdigest()}"


class Judged:
    """Notes what it is asked; refuses above a size."""

    def __init__(self, most: int = 1000) -> None:
        self.most = most
        self.seen: list[tuple[int, bool]] = []

    def __call__(self, done: int, is_end: bool) -> None:
        self.seen.append((done, is_end))
        if done > self.most:
            raise SourceSizeError("too large")


@pytest.mark.parametrize("size", [0, 1, 5, 43])
def test_what_is_written_is_stored_summed_and_read(
    s3: Service, file: ObjectFile, size: int
) -> None:
    data = whole(20)[:size]
    judged = Judged()
    assert file.write(io.BytesIO(data), judge=judged, chunk_size=7) == (size, md5(data))
    assert s3.stored(KEY) == data and judged.seen[-1] == (size, True)
    with file.open() as opened:
        assert opened.read() == data
    assert file.checksum() == md5(data)


def test_what_is_too_large_leaves_nothing(s3: Service, file: ObjectFile) -> None:
    with pytest.raises(SourceSizeError):
        file.write(io.BytesIO(whole(10)), judge=Judged(30), chunk_size=5)
    assert not s3.keys and not s3.fake.uploads


def test_what_was_there_stands_until_the_new_bytes_are_whole(s3: Service, file: ObjectFile) -> None:
    file.write(io.BytesIO(b"old"), judge=Judged())
    with pytest.raises(SourceSizeError):
        file.write(io.BytesIO(whole(10)), judge=Judged(30), chunk_size=5)
    assert s3.stored(KEY) == b"old"


def test_a_lost_answer_to_initiate_leaves_nothing(s3: Service, file: ObjectFile) -> None:
    # The key has the file's own id: what is found there is ours.
    s3.fake.script("InitiateMultipartUpload", faults.reset(applied=True))
    file.write(io.BytesIO(whole(4)), judge=Judged())
    assert s3.stored(KEY) == whole(4) and not s3.fake.uploads


@pytest.mark.parametrize("seek", [0, 1, 12, 30, 31, 40])
def test_an_update_changes_its_bytes_and_no_others(
    s3: Service, file: ObjectFile, seek: int
) -> None:
    file.fill(30)
    assert s3.stored(KEY) == bytes(30)
    given = b"some bytes!"
    assert file.update(io.BytesIO(given), seek=seek, judge=Judged()) == (11, md5(given))
    expected = bytearray(max(30, seek + 11))
    expected[seek : seek + 11] = given
    assert s3.stored(KEY) == bytes(expected) and not s3.fake.uploads


def test_two_updates_at_once_lose_nothing(
    s3: Service, file: ObjectFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3.driver.ex_limits = replace(s3.driver.ex_limits, conditions=frozenset({"if-match"}))
    file.fill(30)
    upload, meddled = ObjectFile._upload, []

    def meddling(self: ObjectFile, *args: Any, **kwargs: Any) -> None:
        if not meddled:
            meddled.append(1)
            file.update(io.BytesIO(b"other"), seek=20, judge=Judged())
        upload(self, *args, **kwargs)

    monkeypatch.setattr(ObjectFile, "_upload", meddling)
    file.update(io.BytesIO(b"mine"), seek=0, judge=Judged())
    assert s3.stored(KEY) == b"mine" + bytes(16) + b"other" + bytes(5)


def test_an_update_that_others_always_overtake_says_so(s3: Service, file: ObjectFile) -> None:
    s3.driver.ex_limits = replace(s3.driver.ex_limits, conditions=frozenset({"if-match"}))
    file.fill(5)
    for operation in ("PutObject", "CompleteMultipartUpload"):
        s3.fake.script(operation, faults.error("PreconditionFailed"), forever=True)
    with pytest.raises(PreconditionFailedError):
        file.update(io.BytesIO(b"mine"), seek=0, judge=Judged())
    assert s3.stored(KEY) == bytes(5) and not s3.fake.uploads


def test_a_service_without_conditions_is_updated_without(s3: Service, file: ObjectFile) -> None:
    s3.driver.ex_limits = replace(s3.driver.ex_limits, conditions=frozenset({"if-match"}))
    file.fill(5)
    s3.fake.script("PutObject", faults.error("NotImplemented"))
    s3.fake.script("CompleteMultipartUpload", faults.error("NotImplemented"))
    file.update(io.BytesIO(b"mine"), seek=0, judge=Judged())
    assert s3.stored(KEY) == b"mine\0" and not s3.fake.uploads


def test_any_place_is_read_in_ranges_that_grow(
    s3: Service, file: ObjectFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "FIRST_RANGE", 4)
    monkeypatch.setattr(reader, "CHUNK", 2)
    data = os.urandom(90)
    file.write(io.BytesIO(data), judge=Judged())
    before = len(s3.fake.requests_of("GetObject"))
    with file.open() as opened:
        raw = opened.raw
        assert raw.read(90) and raw.seek(0) == 0
        assert raw.readall() == data  # type: ignore[attr-defined]
        ranges = [r.headers["range"] for r in s3.fake.requests_of("GetObject")[before + 1 :]]
        assert ranges[:4] == ["bytes=0-3", "bytes=4-11", "bytes=12-27", "bytes=28-59"]
        assert opened.seek(-3, io.SEEK_END) == 87 and opened.read() == data[87:]
        assert opened.seek(10) == 10 and opened.read(5) == data[10:15]
        assert opened.seek(1000) == 1000 and opened.read() == b""
        with pytest.raises(ValueError):
            raw.seek(-1)
        with pytest.raises(ValueError):
            raw.seek(0, 5)


def test_what_is_not_there_is_no_file(file: ObjectFile) -> None:
    with pytest.raises(FileNotFoundError):
        file.open()
    with pytest.raises(FileNotFoundError):
        file.checksum()


def test_a_copy_is_the_services_work(s3: Service, file: ObjectFile) -> None:
    file.write(io.BytesIO(whole(3)), judge=Judged())
    before = len(s3.fake.requests_of("GetObject"))
    copy = ObjectFile(s3.driver, s3.container, "ab/copy/data")
    assert copy.copy_from(file) == 15 and s3.stored("ab/copy/data") == whole(3)
    assert len(s3.fake.requests_of("GetObject")) == before


def test_deleting_frees_what_was_begun_and_touches_no_neighbour(
    s3: Service, file: ObjectFile
) -> None:
    file.write(io.BytesIO(b"a"), judge=Judged())
    ObjectFile(s3.driver, s3.container, f"{KEY}2").write(io.BytesIO(b"b"), judge=Judged())
    begun = s3.driver.ex_initiate_upload(s3.container, KEY)
    other = s3.driver.ex_initiate_upload(s3.container, f"{KEY}2")
    file.delete()
    file.delete()
    assert s3.keys == [f"{KEY}2"]
    assert begun.upload_id not in s3.fake.uploads and other.upload_id in s3.fake.uploads


def test_a_service_that_lists_no_uploads_deletes_all_the_same(
    s3: Service, file: ObjectFile, caplog: pytest.LogCaptureFixture
) -> None:
    file.write(io.BytesIO(b"a"), judge=Judged())
    s3.fake.script("ListMultipartUploads", faults.error("AccessDenied"))
    file.delete()
    assert not s3.keys and "stay" in caplog.text


def begin(file: ObjectFile, size: int, **options: Any) -> MultipartUpload:
    made = MultipartUpload("a.txt", "s3://bucket/", size=size, part_size=5, **options)
    made.begin(file, fileurl=URI, expires_seconds=60)
    return made


@pytest.mark.parametrize("size", [3, 5, 13, 15])
def test_the_checksum_of_parts_can_be_computed_anew(
    s3: Service, file: ObjectFile, size: int
) -> None:
    data = whole(3)[:size]
    direct = begin(file, size).direct
    assert direct is not None
    for each in direct.as_dict()["parts"]:
        body = data[each["offset"] : each["offset"] + each["size_bytes"]]
        if direct.upload_id is None:
            s3.driver.upload_object_via_stream([body], s3.container, KEY)
        else:
            s3.driver.ex_upload_part(s3.container, KEY, direct.upload_id, each["part_number"], body)
    plan, etag = direct.plan, direct.complete().extra["etag"]
    recorded = checksum_of(
        etag, number_of_parts=plan.number_of_parts, part_size_bytes=plan.part_size_bytes
    )
    assert recorded is not None and file.checksum(recorded) == recorded
    assert recorded.startswith("md5:" if size <= 5 else "multipart:")
    assert file.checksum() == md5(data)
    s3.driver.upload_object_via_stream([b"damaged"], s3.container, KEY)
    assert file.checksum(recorded) != recorded


@pytest.mark.parametrize("etag", [None, "", "opaque", "0" * 32 + "-9"])
def test_an_etag_that_says_nothing_is_no_checksum(etag: str | None) -> None:
    assert checksum_of(etag, number_of_parts=3, part_size_bytes=5) is None


def test_a_session_is_json_with_oarepos_names_and_no_key(file: ObjectFile) -> None:
    made = begin(file, 13, complete_url="/complete", abort_url="/abort", content_type="text/plain")
    session = json.loads(json.dumps(made.session))
    assert (session["num_chunks"], session["chunk_size"]) == (3, 5)
    assert sorted(session["parts_url"]) == ["1", "2", "3"]
    assert (session["complete_url"], session["abort_url"]) == ("/complete", "/abort")
    assert (session["bucket"], session["key"], session["size_bytes"]) == ("bucket", KEY, 13)
    assert "fake/secret" not in json.dumps([session, made.ticket, made.saved])
    # The service's own URLs to complete would pass the app by.
    assert made.ticket["complete_url"] is None and made.ticket["abort_url"] is None
    headers = made.direct.plan.headers if made.direct else {}
    assert headers["content-type"] == "text/plain"


def test_an_upload_begins_once_and_at_its_location(s3: Service, file: ObjectFile) -> None:
    made = MultipartUpload("a", "s3://other", size=13)
    with pytest.raises(InvalidRequestError, match="location"):
        made.begin(file, fileurl=URI, expires_seconds=60)
    with pytest.raises(InvalidRequestError, match="not begun"):
        _ = made.session
    begun = begin(file, 13)
    with pytest.raises(InvalidRequestError, match="already"):
        begun.begin(file, fileurl=URI, expires_seconds=60)
    assert len(s3.fake.uploads) == 1


@pytest.mark.parametrize(
    ("uri", "tenant", "place"),
    [
        ("s3://bucket/a/b", None, ("bucket", "a/b")),
        ("s3://bucket/a%20b", None, ("bucket", "a%20b")),
        ("s3://bucket/a", "t", ("t:bucket", "a")),
        ("s3://t%3Abucket/a", "t", ("t:bucket", "a")),
    ],
)
def test_a_uri_is_a_place(uri: str, tenant: str | None, place: tuple[str, str]) -> None:
    assert place_of_uri(uri, tenant) == place


@pytest.mark.parametrize("uri", ["file:///a", "s3:///a", "a/b", "s3://b/a?c", "s3://b/a#c"])
def test_what_is_no_uri_of_ours_is_refused(uri: str) -> None:
    with pytest.raises(InvalidRequestError):
        place_of_uri(uri)


class App:
    """What is asked of a Flask app here."""

    def __init__(self, **config: Any) -> None:
        self.config = config
        self.extensions: dict[str, Any] = {}


def test_the_driver_is_made_of_the_configuration_once() -> None:
    app = App(
        S3_ACCESS_KEY_ID="key",
        S3_SECRET_ACCESS_KEY="secret",
        S3_ENDPOINT_URL="https://s3.example.org:9000",
        S3_REGION_NAME="here",
    )
    driver = config.driver_of(app)
    assert config.driver_of(app) is driver
    assert (driver.connection.endpoint.host, driver.region) == ("s3.example.org", "here")
    assert config.driver_of(App(S3MPU_DRIVER=driver)) is driver
    assert config.driver_of(App(S3MPU_DRIVER=lambda: driver)) is driver
    assert config.driver_of(App(S3MPU_DRIVER=f"{__name__}.a_driver")) == "a driver"


def a_driver() -> str:
    return "a driver"


def test_without_keys_the_configuration_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="S3MPU_DRIVER"):
        config.driver_of(App(S3_ACCESS_KEY_ID="key"))


def test_without_invenio_the_extra_is_named() -> None:
    code = (
        "import sys\n"
        "sys.modules['invenio_files_rest'] = sys.modules['invenio_db'] = None\n"
        "import libcloud_s3mpu.contrib.invenio as it\n"
        "assert it.MultipartUpload and 'flask' not in sys.modules\n"
        "for name in ('storage_factory', 'complete_upload', 'create_blueprint'):\n"
        "    try: getattr(it, name)\n"
        "    except ImportError as error: assert 'libcloud_s3mpu[invenio]' in str(error), error\n"
        "    else: raise SystemExit('imported')\n"
    )
    root = Path(__file__).resolve().parents[2]
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, cwd=root)
