# SPDX-License-Identifier: Apache-2.0
"""Orphans on the fake: what a clean-up aborts, what it leaves alone, and what it says."""

from __future__ import annotations

import re
import uuid
import pickle
from typing import Any
from pathlib import Path
from datetime import datetime, timezone, timedelta
from dataclasses import replace
from urllib.parse import quote
from collections.abc import Iterator

import pytest
from libcloud.storage.base import Container

from tests.fake_s3 import FakeS3, FakeServer, faults
from tests.unit.small import AT_ONCE, FAKE_LIMITS, Service, chunks, make_driver, close_driver
from tests.fake_s3.sigv4 import verify
from tests.fake_s3.messages import Request, Response
from libcloud_s3mpu.maintenance import as_json
from libcloud_s3mpu.protocol.retry import NO_RETRIES
from libcloud_s3mpu.protocol.errors import InvalidRequestError, ContainerMissingError
from libcloud_s3mpu.protocol.options import UploadOptions
from libcloud_s3mpu.transfer.journal import FileJournal
from libcloud_s3mpu.transfer.orphans import CleanupError, CleanupReport, moment_of
from libcloud_s3mpu.protocol.lifecycle import RULE_ID

DAY = timedelta(days=1)


class Clock:
    """The service's clock; this machine's goes on as ever."""

    def __init__(self) -> None:
        self.offset = timedelta(0)

    def __call__(self) -> datetime:
        return datetime.now(timezone.utc) + self.offset


class Bucket(FakeS3):
    """The fake, with a lifecycle configuration."""

    lifecycle: bytes | None = None

    @property
    def lifecycle_calls(self) -> list[str]:
        return self.__dict__.setdefault("calls", [])

    def handle(self, request: Request, **kwargs: Any) -> Response:
        if not request.target.startswith("/bucket?lifecycle"):
            return super().handle(request, **kwargs)
        verify(request, self.keyring, self.clock())
        self.lifecycle_calls.append(request.method)
        if request.method == "PUT":
            self.lifecycle = request.body
            return Response(status=200, headers=(("content-length", "0"),))
        if self.lifecycle is None:
            body = b"<Error><Code>NoSuchLifecycleConfiguration</Code></Error>"
            return _answered(404, body)
        return _answered(200, self.lifecycle)


def _answered(status: int, body: bytes) -> Response:
    headers = (("content-type", "application/xml"), ("content-length", str(len(body))))
    return Response(status=status, headers=headers, body=body)


@pytest.fixture
def made() -> Iterator[Service]:
    # Ids that no other test's sessions have: those that are garbage may still be seen.
    fake = Bucket(
        FAKE_LIMITS,
        buckets=("bucket",),
        clock=Clock(),
        name_upload=lambda number: f"{number}-{uuid.uuid4().hex}+/=&",
    )
    with FakeServer(fake) as server:
        driver = make_driver(server)
        yield Service(fake, server, driver, Container("bucket", {}, driver))
        close_driver(driver)


def begin(made: Service, key: str = "key", parts: int = 2) -> str:
    """Begin an upload as another client would, and leave it; give its id."""
    connection, before = made.driver.connection, set(made.fake.uploads)
    connection.request(f"/bucket/{key}", params={"uploads": ""}, method="POST")
    (upload_id,) = set(made.fake.uploads) - before
    for number in range(1, parts + 1):
        made.driver.ex_upload_part(made.container, key, upload_id, number, b"12345")
    return upload_id


def pass_time(made: Service, days: float) -> None:
    made.fake.clock.offset += days * DAY  # type: ignore[attr-defined]
    # The driver signs by this machine's clock; the fake's runs ahead of it.
    made.fake.anonymous = True


def clean(made: Service, **kwargs: Any) -> CleanupReport:
    kwargs.setdefault("dry_run", False)
    report: CleanupReport = made.driver.ex_cleanup_multipart_uploads(made.container, **kwargs)
    return report


# -- what is aborted -------------------------------------------------------------------------------


def test_old_uploads_are_aborted_and_young_ones_are_not(made: Service) -> None:
    old = begin(made, "old", parts=3)
    pass_time(made, 1.5)
    young = begin(made, "young")
    report = clean(made)
    assert [(u.object_name, u.upload_id, u.parts, u.size) for u in report.aborted] == [
        ("old", old, 3, 15)
    ]
    assert (report.seen, report.bytes_freed, report.dry_run) == (2, 15, False)
    assert [(s.upload_id, s.reason) for s in report.skipped] == [
        (young, "it was initiated too lately")
    ]
    assert set(made.fake.uploads) == {young}


def test_nothing_is_aborted_unless_asked(made: Service) -> None:
    upload_id = begin(made)
    pass_time(made, 2)
    report = made.driver.ex_cleanup_multipart_uploads(made.container)
    assert [u.upload_id for u in report.aborted] == [upload_id]
    assert (report.dry_run, report.bytes_freed) == (True, 10)
    assert set(made.fake.uploads) == {upload_id}
    assert "AbortMultipartUpload" not in made.operations()


@pytest.mark.parametrize(("service_days", "expected"), [(2, 1), (0.5, 0)])
def test_ages_go_by_the_services_clock(made: Service, service_days: float, expected: int) -> None:
    # This machine's clock says in both cases that the upload is some milliseconds old.
    begin(made)
    pass_time(made, service_days)
    assert len(clean(made).aborted) == expected


def test_an_upload_that_got_a_part_lately_is_alive(made: Service) -> None:
    upload_id = begin(made)
    pass_time(made, 30)
    made.driver.ex_upload_part(made.container, "key", upload_id, 3, b"12345")
    report = clean(made)
    assert [s.reason for s in report.skipped] == ["it got a part too lately"]
    pass_time(made, 2)
    assert len(clean(made).aborted) == 1


def test_any_number_of_pages_and_odd_names(made: Service) -> None:
    made.fake.store.limits = replace(FAKE_LIMITS, max_page=7)
    names = [f"k{n:03}" for n in range(40)]
    names += ["a b", "plus+", "100%", "ä/ö/", "dir//twice", "./dot", "<&>\"'", "?q=1#f", "~", "\\"]
    for name in names:
        _initiate(made, name)
    pass_time(made, 2)
    report = clean(made)
    assert sorted(u.object_name for u in report.aborted) == sorted(names)
    assert made.fake.uploads == {}


def _initiate(made: Service, key: str) -> None:
    path = quote(key, safe="-._~/")
    made.driver.connection.request(f"/bucket/{path}", params={"uploads": ""}, method="POST")


def test_only_a_prefix(made: Service) -> None:
    begin(made, "logs/a", parts=0)
    kept = begin(made, "other", parts=0)
    pass_time(made, 2)
    assert [u.object_name for u in clean(made, prefix="logs/").aborted] == ["logs/a"]
    assert set(made.fake.uploads) == {kept}


# -- what is left alone ----------------------------------------------------------------------------


class Owner:
    def __init__(self, *upload_ids: str) -> None:
        self.upload_ids = upload_ids

    def list(self) -> list[Any]:
        kind = type("Saved", (), {"container": "bucket", "object_name": "key"})
        found = []
        for upload_id in self.upload_ids:
            saved = kind()
            saved.upload_id = upload_id
            found.append(saved)
        return found


def test_what_a_journal_owns_is_left_alone(made: Service) -> None:
    owned, orphan = begin(made), begin(made)
    pass_time(made, 30)
    report = clean(made, journal=Owner(owned))
    assert [u.upload_id for u in report.aborted] == [orphan]
    assert [(s.upload_id, s.reason) for s in report.skipped] == [(owned, "a journal owns it")]


def test_a_journal_that_cannot_be_read_stops_everything(made: Service) -> None:
    class Broken:
        def list(self) -> list[Any]:
            raise OSError("disk")

    begin(made)
    pass_time(made, 30)
    with pytest.raises(OSError, match="disk"):
        clean(made, journal=Broken())
    assert len(made.fake.uploads) == 1


@pytest.mark.parametrize("how", ["newer", "garbage"])
def test_a_journals_file_that_cannot_be_read_is_never_an_orphans(
    made: Service, tmp_path: Path, how: str
) -> None:
    pytest.importorskip("filelock")
    journal = FileJournal(tmp_path)

    def source() -> Iterator[bytes]:
        yield from chunks(3)
        raise OSError("mine")

    with pytest.raises(OSError):
        made.upload(source(), journal=journal)
    (owned,) = made.fake.uploads
    orphan = begin(made, "orphan")
    pass_time(made, 30)
    (file,) = tmp_path.glob("*.json")
    text = file.read_text()
    file.write_text(text.replace('"version":1', '"version":99') if how == "newer" else "{")
    report = clean(made, journal=journal)
    reasons = {it.upload_id: it.reason for it in report.skipped}
    if how == "newer":
        assert reasons == {owned: "a journal owns it"} and set(made.fake.uploads) == {owned}
        return
    said = f"a journal cannot be read and may own it ({file.name})"
    assert reasons == {owned: said, orphan: said}
    assert set(made.fake.uploads) == {owned, orphan} and report.aborted == ()
    file.unlink()
    assert len(clean(made, journal=journal).aborted) == 2


def test_a_journals_folder_that_cannot_be_read_stops_everything(
    made: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("filelock")
    begin(made)
    pass_time(made, 30)
    folder = tmp_path / "file"
    folder.write_text("no folder")
    with pytest.raises(NotADirectoryError):
        clean(made, journal=FileJournal(folder))
    assert len(made.fake.uploads) == 1


def test_what_this_process_has_open_is_left_alone_whatever_its_age(made: Service) -> None:
    reports = []

    def source() -> Iterator[bytes]:
        for number, chunk in enumerate(chunks(6)):
            if number == 4:
                pass_time(made, 30)
                # Another driver of the same process, as a scheduled clean-up would have.
                other = make_driver(made.server)
                reports.append(
                    other.ex_cleanup_multipart_uploads(
                        made.container, older_than_seconds=0, dry_run=False
                    )
                )
                close_driver(other)
            yield chunk

    made.upload(source())
    assert [s.reason for s in reports[0].skipped] == ["this process has it open"]
    assert len(made.stored()) == 30


def test_an_unreadable_date_is_never_old(made: Service) -> None:
    begin(made)
    pass_time(made, 30)

    def undated(response: Response) -> Response:
        body = re.sub(
            rb"<Initiated>[^<]*</Initiated>", b"<Initiated>soon</Initiated>", response.body
        )
        return replace(response, body=body)

    made.fake.script("ListMultipartUploads", faults.Fault(name="undated", edit=undated))
    assert ["no readable Initiated" in s.reason for s in clean(made).skipped] == [True]


# -- failures --------------------------------------------------------------------------------------


def test_one_that_another_clean_up_has_aborted_is_no_error(made: Service) -> None:
    begin(made, "a"), begin(made, "b")
    pass_time(made, 2)
    made.fake.script("AbortMultipartUpload", faults.error("NoSuchUpload"), key="a")
    made.fake.script("ListParts", faults.error("NoSuchUpload"), key="b")
    report = clean(made)
    assert [u.object_name for u in report.aborted] == ["a"]
    assert [(s.object_name, s.reason) for s in report.skipped] == [("b", "it is gone already")]


def test_a_500_is_tried_again(made: Service) -> None:
    begin(made)
    pass_time(made, 2)
    made.fake.script(
        "AbortMultipartUpload", faults.error("InternalError"), faults.error("SlowDown")
    )
    made.fake.script("ListMultipartUploads", faults.error("InternalError"))
    assert len(clean(made).aborted) == 1
    assert made.fake.uploads == {} and made.fake.unspent == []


def test_failures_are_reported_together_at_the_end(made: Service) -> None:
    for key in "abcd":
        begin(made, key)
    pass_time(made, 2)
    for key in "bc":
        made.fake.script(
            "AbortMultipartUpload", faults.error("AccessDenied"), key=key, forever=True
        )
    with pytest.raises(CleanupError, match=r"aborted 2 .* failed for 2.*AccessDenied") as e:
        clean(made)
    report = e.value.report
    assert [u.object_name for u in report.aborted] == ["a", "d"]
    assert [f[0] for f in report.failures] == ["b", "c"]
    assert e.value.driver is made.driver and e.value.http_status == 403
    again = pickle.loads(pickle.dumps(e.value))
    assert again.report.failures[0][2].s3_code == "AccessDenied"
    assert as_json(again.report)["failures"][0]["object_name"] == "b"


def test_a_listing_that_fails_at_once_is_that_error(made: Service) -> None:
    with pytest.raises(ContainerMissingError):
        made.driver.ex_cleanup_multipart_uploads(Container("nowhere", {}, made.driver))


def test_a_listing_that_breaks_off_tells_what_was_done(made: Service) -> None:
    made.fake.store.limits = replace(FAKE_LIMITS, max_page=2)
    for key in "abcd":
        begin(made, key)
    pass_time(made, 2)
    made.fake.script("ListMultipartUploads", faults.pass_through(), faults.error("AccessDenied"))
    with pytest.raises(CleanupError, match="AccessDenied") as caught:
        clean(made)
    assert len(caught.value.report.aborted) == 2


@pytest.mark.parametrize("age", [-1, float("nan")])
def test_an_age_that_is_none_is_refused(made: Service, age: float) -> None:
    with pytest.raises(InvalidRequestError, match="older_than_seconds"):
        clean(made, older_than_seconds=age)


def test_a_report_is_plain_values(made: Service) -> None:
    upload_id = begin(made)
    pass_time(made, 2)
    found = as_json(clean(made))
    assert found["aborted"][0]["upload_id"] == upload_id
    assert datetime.fromisoformat(found["aborted"][0]["initiated"]).tzinfo is not None
    assert (found["seen"], found["bytes_freed"], found["failures"]) == (1, 10, [])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-01T00:00:00.000Z", "2026-11-01T00:00:00+00:00"),
        ("2026-11-01T00:00:00Z", "2026-11-01T00:00:00+00:00"),
        ("2026-11-01T00:00:00.123456789Z", "2026-11-01T00:00:00+00:00"),
        ("2026-11-01T02:00:00+02:00", "2026-11-01T00:00:00+00:00"),
        ("2026-11-01T02:00:00+0200", "2026-11-01T00:00:00+00:00"),
        ("2026-11-01T00:00:00", "2026-11-01T00:00:00+00:00"),
        ("2026-13-01T00:00:00Z", None),
        ("yesterday", None),
        ("", None),
        (None, None),
    ],
)
def test_moments_as_services_write_them(text: str | None, expected: str | None) -> None:
    wanted = datetime.fromisoformat(expected).timestamp() if expected else None
    assert moment_of(text) == wanted


# -- the lifecycle rule ----------------------------------------------------------------------------


def test_the_rule_is_added_once(made: Service) -> None:
    fake: Any = made.fake
    assert made.driver.ex_ensure_lifecycle(made.container)
    assert RULE_ID.encode() in fake.lifecycle and b">7<" in fake.lifecycle
    assert not made.driver.ex_ensure_lifecycle(made.container)
    assert made.driver.ex_ensure_lifecycle(made.container, abort_after_days=3)
    assert fake.lifecycle.count(b"<Rule>") == 1 and b">3<" in fake.lifecycle
    assert fake.lifecycle_calls == ["GET", "PUT", "GET", "GET", "PUT"]


@pytest.mark.parametrize("days", [0, -1, 1.5, True, "7"])
def test_days_that_are_none_are_refused(made: Service, days: Any) -> None:
    with pytest.raises(InvalidRequestError, match="abort_after_days"):
        made.driver.ex_ensure_lifecycle(made.container, abort_after_days=days)


def test_options_without_retries_hold_for_a_clean_up() -> None:
    fake = FakeS3(FAKE_LIMITS, buckets=("bucket",))
    with FakeServer(fake) as server:
        driver = make_driver(server, ex_options=UploadOptions(retry=NO_RETRIES))
        fake.script("ListMultipartUploads", faults.error("InternalError"))
        with pytest.raises(Exception, match="InternalError"):
            driver.ex_cleanup_multipart_uploads(Container("bucket", {}, driver))
        assert len(fake.requests) == 1
        assert AT_ONCE.max_attempts > 1
        close_driver(driver)
