# SPDX-License-Identifier: Apache-2.0
"""Invenio-Files-REST itself, its database and REST views, with our storage on the fake.

Without the package (the extra ``invenio``) all of it is skipped; what can be said without it is
``tests/unit/test_contrib_invenio.py``.
"""

from __future__ import annotations

import io
import json
import hashlib
import warnings
import urllib.error
import urllib.request
from typing import Any
from pathlib import Path
from datetime import datetime, timezone, timedelta
from dataclasses import replace
from collections.abc import Iterator

import pytest

from tests.unit.small import AT_ONCE, Service, whole, service
from libcloud_s3mpu.direct_client import DirectUploadClient
from libcloud_s3mpu.protocol.direct import DirectPlan, PartsMismatchError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    pytest.importorskip("invenio_files_rest", reason="the extra invenio is not installed")
    from invenio_db import db
    from invenio_files_rest.tasks import remove_file_data
    from invenio_files_rest.errors import StorageError, FileSizeError, UnexpectedFileSizeError
    from invenio_files_rest.models import (
        Part,
        Bucket,
        FileInstance,
        ObjectVersion,
        MultipartObject,
        ObjectVersionTag,
    )

    from tests.invenio import apps
    from libcloud_s3mpu.contrib import invenio
    from libcloud_s3mpu.contrib.invenio import uploads
    from libcloud_s3mpu.contrib.invenio.tasks import cleanup_expired_multipart_uploads
    from libcloud_s3mpu.contrib.invenio.storage import disposition

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(60)]
DATA = whole(8) + b"xyz"


@pytest.fixture
def s3() -> Iterator[Service]:
    with service() as it:
        yield it


@pytest.fixture
def app(s3: Service) -> Iterator[Any]:
    with apps.repository(S3MPU_DRIVER=s3.driver) as made:
        made.register_blueprint(invenio.create_blueprint())
        yield made


@pytest.fixture
def bucket(app: Any) -> Any:
    made = Bucket.create()
    db.session.commit()
    return made


def md5(data: bytes) -> str:
    return f"md5:{hashlib.md5(data).hexdigest()}"


def test_a_record_file_is_an_object(s3: Service, bucket: Any) -> None:
    made = ObjectVersion.create(bucket, "a.txt", stream=io.BytesIO(DATA))
    db.session.commit()
    file = made.file
    assert (file.size, file.checksum, bucket.size) == (len(DATA), md5(DATA), len(DATA))
    (key,) = s3.keys
    assert s3.stored(key) == DATA and file.uri == f"s3://bucket/{key}"
    assert str(file.id).replace("-", "")[:2] == key[:2]
    with file.storage().open() as opened:
        assert opened.read() == DATA
    assert file.verify_checksum() is True
    assert len(s3.sent_parts()) > 1


def test_a_damaged_file_is_found(s3: Service, bucket: Any) -> None:
    made = ObjectVersion.create(bucket, "a.txt", stream=io.BytesIO(DATA))
    s3.upload([b"damaged"], key=s3.keys[0])
    assert made.file.verify_checksum() is False


def test_what_is_larger_than_allowed_leaves_nothing(s3: Service, bucket: Any) -> None:
    bucket.max_file_size = 20
    with pytest.raises(FileSizeError):
        ObjectVersion.create(bucket, "a", stream=io.BytesIO(DATA))
    for size, error in ((10, UnexpectedFileSizeError), (99, UnexpectedFileSizeError)):
        bucket.max_file_size = None
        version = ObjectVersion.create(bucket, "b")
        with pytest.raises(error):
            version.set_contents(io.BytesIO(DATA), size=size)
    assert not s3.keys and not s3.fake.uploads


def test_a_service_that_fails_is_a_storage_error(s3: Service, bucket: Any) -> None:
    made = ObjectVersion.create(bucket, "a", stream=io.BytesIO(DATA))
    s3.fake.objects["bucket"].clear()
    with pytest.raises(StorageError):
        made.file.update_checksum()


def test_files_rests_own_multipart_ends_with_the_same_bytes(s3: Service, bucket: Any) -> None:
    upload = MultipartObject.create(bucket, "big", 12, 5)
    for number in (2, 0, 1):
        Part.create(upload, number, stream=io.BytesIO(DATA[number * 5 : min(number * 5 + 5, 12)]))
    upload.complete()
    made = upload.merge_parts()
    db.session.commit()
    assert s3.stored(s3.keys[0]) == DATA[:12] and made.file.checksum == md5(DATA[:12])


def test_a_file_is_copied_by_the_service(s3: Service, bucket: Any) -> None:
    made = ObjectVersion.create(bucket, "a", stream=io.BytesIO(DATA))
    read = len(s3.fake.requests_of("GetObject"))
    copy = FileInstance.create()
    copy.copy_contents(made.file, default_location="s3://bucket/elsewhere")
    assert copy.checksum == md5(DATA) and copy.size == len(DATA)
    assert s3.stored(copy.uri.removeprefix("s3://bucket/")) == DATA
    assert len(s3.fake.requests_of("GetObject")) == read


def test_removed_files_leave_no_object(s3: Service, bucket: Any) -> None:
    made = ObjectVersion.create(bucket, "a", stream=io.BytesIO(DATA))
    file_id = str(made.file_id)
    made.remove()
    db.session.commit()
    remove_file_data(file_id, force=True)
    assert not s3.keys and FileInstance.get(file_id) is None


# -- downloads -------------------------------------------------------------------------------------


def fetch(url: str, method: str = "GET") -> tuple[int, Any, bytes]:
    with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=5) as answer:
        return answer.status, answer.headers, answer.read()


def test_a_download_is_a_redirect_and_no_byte_passes_the_app(
    s3: Service, app: Any, bucket: Any
) -> None:
    made = ObjectVersion.create(bucket, "page.html", stream=io.BytesIO(DATA))
    db.session.commit()
    read = len(s3.fake.requests)
    answer = app.test_client().get(f"/files/{bucket.id}/{made.key}")
    assert answer.status_code == 302 and len(s3.fake.requests) == read
    assert answer.headers["Cache-Control"] == "no-store" and DATA not in answer.data
    status, headers, body = fetch(answer.headers["Location"])
    assert (status, body) == (200, DATA)
    # Scripts are sent as text, as Invenio's own views do.
    assert headers["Content-Type"].startswith("text/plain")
    assert headers["Content-Disposition"] == 'inline; filename="page.html"'


def test_a_head_is_signed_as_such(s3: Service, app: Any, bucket: Any) -> None:
    ObjectVersion.create(bucket, "a.bin", stream=io.BytesIO(DATA))
    db.session.commit()
    answer = app.test_client().head(f"/files/{bucket.id}/a.bin")
    status, headers, _ = fetch(answer.headers["Location"], "HEAD")
    assert status == 200 and headers["Content-Length"] == str(len(DATA))
    assert headers["Content-Disposition"].startswith("attachment")


def test_a_url_ends_after_its_time(s3: Service, app: Any, bucket: Any) -> None:
    app.config["S3_URL_EXPIRATION"] = 5
    ObjectVersion.create(bucket, "a", stream=io.BytesIO(DATA))
    db.session.commit()
    url = app.test_client().get(f"/files/{bucket.id}/a").headers["Location"]
    s3.fake.clock = lambda: datetime.now(timezone.utc) + timedelta(seconds=10)
    with pytest.raises(urllib.error.HTTPError) as caught:
        fetch(url)
    caught.value.close()
    assert caught.value.code == 403


def test_who_may_not_read_gets_no_url(s3: Service, app: Any, bucket: Any) -> None:
    ObjectVersion.create(bucket, "a", stream=io.BytesIO(DATA))
    db.session.commit()
    app.config["MAY"] = False
    answer = app.test_client().get(f"/files/{bucket.id}/a")
    assert answer.status_code in (401, 403, 404) and "Location" not in answer.headers


def test_downloads_may_pass_through_the_app(s3: Service, app: Any, bucket: Any) -> None:
    app.config["S3MPU_REDIRECTS"] = False
    ObjectVersion.create(bucket, "a.txt", stream=io.BytesIO(DATA))
    db.session.commit()
    answer = app.test_client().get(f"/files/{bucket.id}/a.txt")
    assert answer.status_code == 200 and answer.data == DATA
    answer.close()


def test_names_beyond_ascii_are_given_in_both_forms() -> None:
    assert disposition(None, is_attachment=True) == "attachment"
    assert disposition('ä"b.txt', is_attachment=False) == (
        "inline; filename=\"__b.txt\"; filename*=UTF-8''%C3%A4%22b.txt"
    )


# -- direct uploads --------------------------------------------------------------------------------


def assign(bucket: Any, size: int = len(DATA), **options: Any) -> tuple[Any, Any]:
    made = invenio.MultipartUpload("big", "s3://bucket", size=size, part_size=5, **options)
    version = ObjectVersion.create(bucket, "big", stream=made)
    db.session.commit()
    return version, made


def send(made: Any, data: bytes = DATA) -> list[dict[str, Any]]:
    """Send each part by its URL, as a browser does; give them as it would."""
    session, parts = made.session, []
    for number, url in session["parts_url"].items():
        at = (int(number) - 1) * session["chunk_size"]
        body = data[at : at + session["chunk_size"]]
        request = urllib.request.Request(url, data=body, method="PUT", headers=session["headers"])
        request.add_header("Content-Type", session["headers"].get("content-type", ""))
        with urllib.request.urlopen(request, timeout=5) as answer:
            parts.append({"PartNumber": int(number), "ETag": answer.headers["ETag"]})
    return parts


def test_an_upload_assigned_to_a_file_goes_straight_to_the_bucket(
    s3: Service, app: Any, bucket: Any
) -> None:
    version, made = assign(bucket)
    assert version.file.size == len(DATA) and version.file.checksum is None
    assert app.test_client().get(f"/files/{bucket.id}/big").status_code == 404
    # Another process goes on, by the database alone.
    assert uploads.pending_upload(version).upload_id == made.direct.upload_id
    uploads.complete_upload(version, send(made))
    db.session.commit()
    assert s3.stored(s3.keys[0]) == DATA and not s3.fake.uploads
    assert version.file.checksum.startswith("multipart:") and version.file.verify_checksum()
    assert ObjectVersionTag.query.count() == 0 and uploads.pending_upload(version) is None
    version.file.update_checksum(checksum_kwargs={"algorithm": "md5"})
    assert version.file.checksum == md5(DATA) and version.file.verify_checksum()
    answer = app.test_client().get(f"/files/{bucket.id}/big")
    assert fetch(answer.headers["Location"])[2] == DATA


def test_a_small_file_is_one_put(s3: Service, bucket: Any) -> None:
    version, made = assign(bucket, 3)
    assert made.session["method"] == "put" and not s3.fake.uploads
    uploads.complete_upload(version, send(made, b"abc"))
    assert version.file.checksum == md5(b"abc") and version.file.verify_checksum()


def test_a_quota_is_kept_before_anything_is_signed(s3: Service, bucket: Any) -> None:
    bucket.quota_size = 20
    with pytest.raises(FileSizeError):
        assign(bucket)
    assert not s3.fake.uploads and not s3.operations()


def test_what_differs_from_the_declared_completes_nothing(s3: Service, bucket: Any) -> None:
    version, made = assign(bucket)
    parts = send(made)
    parts[1]["ETag"] = parts[0]["ETag"]
    with pytest.raises(PartsMismatchError):
        uploads.complete_upload(version, parts)
    assert not s3.keys and uploads.pending_upload(version) is not None


def test_completing_again_after_the_app_died_is_no_error(s3: Service, bucket: Any) -> None:
    version, made = assign(bucket)
    parts = send(made)
    uploads.complete_upload(version, parts)
    db.session.rollback()
    assert uploads.complete_upload(version, parts) is version
    db.session.commit()
    assert version.file.verify_checksum()
    with pytest.raises(LookupError):
        other = ObjectVersion.create(bucket, "none")
        uploads.complete_upload(other)


def test_an_abort_brings_the_version_before_back(s3: Service, app: Any, bucket: Any) -> None:
    before = ObjectVersion.create(bucket, "big", stream=io.BytesIO(b"old"))
    db.session.commit()
    version, made = assign(bucket)
    send(made)
    uploads.abort_upload(version)
    db.session.commit()
    assert not s3.fake.uploads and len(s3.keys) == 1
    assert ObjectVersion.get(bucket, "big").version_id == before.version_id
    assert bucket.size == 3 and FileInstance.query.count() == 1


def test_a_snapshot_of_a_bucket_with_an_upload_under_way_is_settled_with_it(
    s3: Service, bucket: Any
) -> None:
    version, made = assign(bucket)
    copy = bucket.snapshot()
    db.session.commit()
    uploads.complete_upload(version, send(made))
    assert ObjectVersionTag.query.count() == 0
    assert ObjectVersion.get(copy, "big").file.checksum.startswith("multipart:")


def test_a_failure_to_remember_leaves_no_upload(
    s3: Service, bucket: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: Any) -> None:
        raise RuntimeError("no database")

    monkeypatch.setattr(ObjectVersionTag, "create", broken)
    with pytest.raises(RuntimeError):
        assign(bucket)
    assert not s3.fake.uploads


def let_pass(version: Any) -> None:
    """Have the time of an upload be over."""
    saved = uploads.pending_upload(version).plan
    text = replace(saved, expires_epoch=1.0).to_json()
    ObjectVersionTag.query.filter_by(version_id=version.version_id).delete()
    pieces = range(0, len(text), uploads.MOST_IN_TAG)
    for number, at in enumerate(pieces):
        piece = text[at : at + uploads.MOST_IN_TAG]
        ObjectVersionTag.create(version, f"{uploads.TAG}{number:03d}", piece)
    db.session.commit()
    assert DirectPlan.from_json(text).expires_epoch == 1.0


def test_the_clean_up_aborts_what_is_over_and_nothing_else(s3: Service, bucket: Any) -> None:
    alive, _ = assign(bucket)
    over, made = assign(bucket)
    send(made)
    let_pass(over)
    gone = str(over.version_id)
    assert cleanup_expired_multipart_uploads() == [gone]
    assert set(s3.fake.uploads) == {uploads.pending_upload(alive).upload_id}
    assert ObjectVersion.get(bucket, "big").version_id == alive.version_id
    assert cleanup_expired_multipart_uploads() == []


def test_the_task_has_the_name_that_schedules_and_the_entry_point_give() -> None:
    name = "libcloud_s3mpu.contrib.invenio.tasks"
    assert cleanup_expired_multipart_uploads.name == f"{name}.cleanup_expired_multipart_uploads"
    project = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    assert f'[project.entry-points."invenio_celery.tasks"]\nlibcloud_s3mpu = "{name}"' in project


def test_the_clean_up_keeps_what_was_completed_by_an_app_that_died(
    s3: Service, bucket: Any
) -> None:
    version, made = assign(bucket)
    uploads.complete_upload(version, send(made))
    db.session.rollback()
    let_pass(version)
    assert cleanup_expired_multipart_uploads() == []
    assert version.file.checksum.startswith("multipart:") and s3.keys
    assert uploads.pending_upload(version) is None


def test_one_that_cannot_be_settled_keeps_no_other(s3: Service, bucket: Any) -> None:
    from tests.fake_s3 import faults

    first, _ = assign(bucket)
    second, _ = assign(bucket)
    for each in (first, second):
        let_pass(each)
    s3.fake.script("AbortMultipartUpload", faults.error("AccessDenied"))
    assert len(cleanup_expired_multipart_uploads()) == 1
    assert len(cleanup_expired_multipart_uploads()) == 1
    assert not s3.fake.uploads


# -- over HTTP -------------------------------------------------------------------------------------


class Repository:
    """The app as a client sees it: what crosses the network is JSON."""

    def __init__(self, app: Any, bucket: Any, size: int) -> None:
        self.http = app.test_client()
        self.place = f"/direct-files/{bucket.id}/a%20b.txt"
        answer = self.http.post(
            f"{self.place}?multipart=True", json={"size": size, "ctype": "text/plain"}
        )
        assert answer.status_code == 201, answer.data
        self.session = answer.json
        self.upload = f"{self.place}/{self.session['uploadId']}"
        self.requests = 1

    def ask(self, method: str, path: str, value: Any = None) -> Any:
        self.requests += 1
        answer = self.http.open(path, method=method, json=value)
        assert answer.status_code == 200, answer.data
        return answer.json

    def part_urls(self, numbers: list[int]) -> Any:
        joined = ",".join(map(str, numbers))
        return self.ask("GET", f"{self.upload}/{joined}/presigned")["presignedUrls"]

    def list_parts(self) -> Any:
        return self.ask("GET", f"{self.upload}/parts")

    def complete(self, parts: Any) -> Any:
        return self.ask("POST", self.session["complete_url"], {"parts": parts})

    def abort(self) -> None:
        self.ask("DELETE", self.session["abort_url"])

    @property
    def ticket(self) -> dict[str, Any]:
        """oarepo's session as the client in Python reads it."""
        session = self.session
        return {
            "container": session["bucket"],
            "object_name": session["key"],
            "part_size_bytes": session["chunk_size"],
            "number_of_parts": session["num_chunks"],
            "parts": [
                {"part_number": int(number), "url": url}
                for number, url in session["parts_url"].items()
            ],
            **{name: session[name] for name in ("upload_id", "size_bytes", "headers")},
        }


@pytest.fixture
def repository(s3: Service, app: Any, bucket: Any, monkeypatch: pytest.MonkeyPatch) -> Repository:
    begin = s3.driver.ex_create_direct_upload

    def small(*args: Any, **kwargs: Any) -> Any:
        return begin(*args, **{**kwargs, "part_size_bytes": 5})

    monkeypatch.setattr(s3.driver, "ex_create_direct_upload", small, raising=False)
    return Repository(app, bucket, len(DATA))


def test_a_client_uploads_by_the_blueprint(s3: Service, app: Any, repository: Repository) -> None:
    with DirectUploadClient(retry=AT_ONCE) as client:
        done = client.upload(io.BytesIO(DATA), repository.ticket, repository)
    assert done["checksum"].startswith("multipart:") and s3.stored(s3.keys[0]) == DATA
    assert repository.requests == 2
    answer = app.test_client().get(done["location"])
    _, headers, body = fetch(answer.headers["Location"])
    assert body == DATA and headers["Content-Type"].startswith("text/plain")


def test_a_slash_may_follow_the_key_as_in_oarepos_paths(
    s3: Service, repository: Repository
) -> None:
    repository.abort()
    answer = repository.http.post(f"{repository.place}/?multipart=True", json={"size": 3})
    assert answer.status_code == 201, answer.data
    assert f"{repository.place}/{answer.json['uploadId']}" in answer.json["complete_url"]
    assert ObjectVersion.query.one().key == "a b.txt"
    repository.http.delete(answer.json["abort_url"])


def test_an_answer_to_complete_that_was_lost_is_given_again(
    s3: Service, repository: Repository
) -> None:
    sent: list[Any] = []
    complete = repository.complete

    def twice(parts: Any) -> Any:
        sent.append(complete(parts))
        return complete(parts)

    repository.complete = twice  # type: ignore[method-assign]
    with DirectUploadClient(retry=AT_ONCE) as client:
        assert client.upload(io.BytesIO(DATA), repository.ticket, repository) == sent[0]
    answer = repository.http.post(
        repository.session["complete_url"], json={"parts": [{"PartNumber": 1, "ETag": "other"}]}
    )
    assert answer.status_code == 404


def test_parts_are_listed_and_signed_again(s3: Service, repository: Repository) -> None:
    urls = repository.part_urls([2, 3])
    assert sorted(urls) == ["2", "3"] and repository.list_parts() == []
    repository.abort()
    assert not s3.fake.uploads and ObjectVersion.query.count() == 0


@pytest.mark.parametrize(
    ("method", "path", "value", "status"),
    [
        ("POST", "{place}", {"size": 5}, 400),
        ("POST", "{place}?multipart=True", {"size": "5"}, 400),
        ("POST", "{place}?multipart=True", {"size": -1}, 400),
        ("POST", "{place}?multipart=True", [], 400),
        ("POST", "{place}?multipart=True", {"size": 10**15}, 400),
        ("POST", "/direct-files/00000000-0000-0000-0000-000000000000/a?multipart=True", {}, 404),
        ("GET", "{upload}/0/presigned", None, 400),
        ("GET", "{upload}/10/presigned", None, 400),
        ("GET", "{upload}/x/presigned", None, 400),
        ("GET", "{place}/other/1/presigned", None, 404),
        ("GET", "{place}2/{upload_id}/parts", None, 404),
        ("POST", "{upload}/complete", {"parts": []}, 400),
        ("POST", "{upload}/complete", {"parts": [{"PartNumber": 1, "ETag": "x"}]}, 400),
        ("POST", "{upload}/complete", {"parts": 1}, 400),
        ("POST", "{upload}/complete", {"parts": [1]}, 400),
        ("DELETE", "{place}/put/abort", None, 404),
    ],
)
def test_nonsense_is_refused_and_changes_nothing(
    method: str, path: str, value: Any, status: int, s3: Service, repository: Repository
) -> None:
    uploads_before = set(s3.fake.uploads)
    path = path.format(
        place=repository.place, upload=repository.upload, upload_id=repository.session["uploadId"]
    )
    answer = repository.http.open(path, method=method, json=value)
    assert answer.status_code == status, answer.data
    assert set(s3.fake.uploads) == uploads_before and not s3.keys


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "{place}?multipart=True"),
        ("GET", "{upload}/1/presigned"),
        ("GET", "{upload}/parts"),
        ("POST", "{upload}/complete"),
        ("DELETE", "{upload}/abort"),
    ],
)
def test_who_may_not_write_to_the_bucket_gets_nothing(
    method: str, path: str, app: Any, s3: Service, repository: Repository
) -> None:
    app.config["MAY"] = False
    sent = len(s3.fake.requests)
    path = path.format(place=repository.place, upload=repository.upload)
    answer = repository.http.open(path, method=method, json={"size": 5, "parts": []})
    assert answer.status_code in (401, 403, 404)
    assert len(s3.fake.requests) == sent and "X-Amz" not in json.dumps(answer.json or "")
