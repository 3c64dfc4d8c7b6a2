# SPDX-License-Identifier: Apache-2.0
"""Catalogue J, 86 to 89: secrets stay where they are."""

from __future__ import annotations

import stat
import pickle
import logging
import traceback
import subprocess
import urllib.error
import urllib.request
from typing import Any
from pathlib import Path
from dataclasses import replace

import pytest
from libcloud.storage.base import Container

from tests.fake_s3 import REGION, ACCESS_KEY, faults
from tests.unit.small import chunks, make_driver, close_driver
from tests.fake_s3.tls import Certificate, make_certificate
from tests.fake_s3.state import FakeS3
from tests.fake_s3.server import FakeServer
from tests.faults.outcomes import PART, ABORT, PARTS, COMPLETE, INITIATE, Tried, Counted, MakeTried
from libcloud_s3mpu.protocol.retry import NO_RETRIES
from libcloud_s3mpu.protocol.errors import TransportError, S3MultipartError

SECRET = "s3cr3t-key-of-the-test"
TOKEN = "t0k3n-of-the-test"
#: What must be nowhere: keys, and the parts of a signature.
FORBIDDEN = (SECRET, TOKEN, "AWS4-HMAC", "Signature=", "X-Amz-Signature", "Credential=")

FAULTS = {
    "403": (PART, faults.error("SignatureDoesNotMatch")),
    "reset": (PART, faults.reset("head")),
    "html": (INITIATE, faults.html(502)),
    "complete": (COMPLETE, faults.error("InvalidPart")),
    "abort": (ABORT, faults.error("AccessDenied")),
    "echo": (
        PART,
        faults.answer(
            403,
            "SignatureDoesNotMatch",
            details={"StringToSign": "AWS4-HMAC-SHA256 Signature=abc", "Token": TOKEN},
        ),
    ),
}


def clean(text: str) -> None:
    for secret in FORBIDDEN:
        assert secret not in text


def secretive(make_s3: MakeTried, road: str) -> Tried:
    return make_s3(
        road,
        credentials={ACCESS_KEY: (SECRET, TOKEN)},
        driver={"secret": SECRET, "token": TOKEN},
    )


def with_locals(error: BaseException | None) -> str:
    """Give a traceback with the locals of our own frames, of every error in the chain."""
    said: list[str] = []
    while error is not None:
        capture = traceback.TracebackException.from_exception(error, capture_locals=True)
        for frame in capture.stack:
            if "libcloud_s3mpu" in frame.filename:
                said += [f"{name}={value}" for name, value in (frame.locals or {}).items()]
        said += list(capture.format_exception_only())
        error = error.__cause__ or error.__context__
    return "\n".join(said)


@pytest.mark.parametrize("fault", FAULTS)
def test_f86_no_log_error_or_traceback_holds_a_secret(
    fault: str, road: str, make_s3: MakeTried, caplog: pytest.LogCaptureFixture
) -> None:
    s3 = secretive(make_s3, road)
    operation, value = FAULTS[fault]
    s3.fake.script(operation, value, forever=True)
    source = Counted(PARTS, OSError("mine") if operation == ABORT else None)
    with caplog.at_level(logging.DEBUG), pytest.raises(Exception) as caught:
        s3.timed(lambda: s3.upload(source))
    clean(caplog.text)
    clean(str(caught.value) + repr(caught.value))
    clean("".join(traceback.format_exception(caught.value)))
    clean(repr(getattr(caught.value, "cleanup_error", None)))
    if isinstance(caught.value, S3MultipartError):
        clean(repr(pickle.loads(pickle.dumps(caught.value)).__dict__))


def test_f86_the_locals_of_our_frames_hold_no_secret(road: str, make_s3: MakeTried) -> None:
    s3 = secretive(make_s3, road)
    s3.fake.script(PART, faults.error("AccessDenied"), forever=True)
    with pytest.raises(S3MultipartError) as caught:
        s3.timed(lambda: s3.upload(chunks(PARTS)))
    text = with_locals(caught.value)
    assert SECRET not in text and TOKEN not in text


def test_f86_no_repr_or_pickle_of_a_driver_holds_a_secret(lean: Tried, make_s3: MakeTried) -> None:
    s3 = secretive(make_s3, "lean")
    driver = s3.driver
    s3.upload(chunks(PARTS))
    for thing in (driver, driver.connection, driver.ex_options, driver._transport, s3.container):
        clean(repr(thing) + str(thing))
    clean(repr(driver.connection.exact_signer()))
    try:
        pickled = pickle.dumps(driver)
    except (TypeError, pickle.PicklingError):
        return
    assert SECRET.encode() not in pickled and TOKEN.encode() not in pickled


def untrusted(tmp_path: Path, what: str) -> tuple[Certificate, Certificate | None]:
    """Give the certificate that the server shows, and another that the client trusts."""
    shown, trusted = tmp_path / "shown", tmp_path / "trusted"
    for folder in (shown, trusted):
        folder.mkdir()
    if what == "another name":
        return make_certificate(shown, ("localhost", "example.org")), None
    found = make_certificate(shown)
    if what == "expired":
        expire(found, shown)
        return found, None
    return found, make_certificate(trusted)


def expire(found: Certificate, folder: Path) -> None:
    """Issue the certificate again with a validity that is past."""
    config = folder / "ca.cnf"
    (folder / "index").touch()
    (folder / "serial").write_text("01\n")
    config.write_text(
        f"[ca]\ndefault_ca=d\n[d]\ndatabase={folder}/index\nserial={folder}/serial\n"
        f"new_certs_dir={folder}\ndefault_md=sha256\npolicy=p\nx509_extensions=x\n"
        "[p]\ncommonName=supplied\n[x]\nsubjectAltName=IP:127.0.0.1\n"
    )
    request = folder / "request.pem"
    run = {"check": True, "capture_output": True}
    subprocess.run(
        ["openssl", "req", "-new", "-key", str(found.key_file), "-subj", "/CN=127.0.0.1",
         "-out", str(request)], **run
    )  # fmt: skip
    subprocess.run(
        ["openssl", "ca", "-batch", "-selfsign", "-config", str(config), "-in", str(request),
         "-keyfile", str(found.key_file), "-out", str(found.cert_file), "-notext",
         "-startdate", "20200101000000Z", "-enddate", "20200201000000Z"], **run
    )  # fmt: skip
    found.ca_file.write_bytes(found.cert_file.read_bytes())


@pytest.mark.parametrize("what", ["unknown issuer", "another name", "expired"])
def test_f87_a_certificate_that_is_not_right_is_refused_before_any_request(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONHTTPSVERIFY", "0")
    monkeypatch.setenv("LIBCLOUD_SSL_VERIFY", "0")
    shown, trusted = untrusted(tmp_path, what)
    fake = FakeS3(buckets=("bucket",))
    with FakeServer(fake, certificate=shown) as server:
        driver = make_driver(server)
        if trusted is not None:
            driver.connection.connection.ca_cert = str(trusted.ca_file)
        with pytest.raises(TransportError) as caught:
            driver.upload_object_via_stream(chunks(4), Container("bucket", {}, driver), "key")
        close_driver(driver)
        assert fake.requests == [] and server.connections == 1
    assert not caught.value.retryable and "ertificate" in str(caught.value)


def test_f87_the_right_certificate_is_taken(make_s3: MakeTried) -> None:
    make_s3(tls=True).succeeds()


def fetch(url: str, method: str, body: bytes = b"") -> int:
    request = urllib.request.Request(url, data=body, method=method)
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_f88_a_presigned_url_is_good_for_one_part_and_nothing_else(
    make_s3: MakeTried, caplog: pytest.LogCaptureFixture
) -> None:
    s3 = secretive(make_s3, "lean")
    with pytest.raises(OSError):
        s3.upload(Counted(2, OSError()), on_failure="keep")
    (upload_id,) = s3.fake.uploads
    with caplog.at_level(logging.DEBUG):
        url = s3.driver.ex_get_part_upload_url(s3.container, "key", upload_id, 3)
    assert SECRET not in url and "X-Amz-Signature" not in caplog.text
    assert fetch(url, "PUT", b"abcde") == 200
    assert fetch(url, "GET") == 403
    assert fetch(url.replace("partNumber=3", "partNumber=4"), "PUT", b"abcde") == 403
    assert fetch(url.replace("/key?", "/other?"), "PUT", b"abcde") == 403
    assert set(s3.fake.uploads[upload_id].parts) == {1, 2, 3}


def journalled(s3: Tried, folder: Path) -> tuple[Any, str]:
    """Stop an upload that has a journal; give the journal and the upload's id."""
    pytest.importorskip("filelock", reason="a FileJournal needs filelock")
    from libcloud_s3mpu.transfer.journal import FileJournal

    journal = FileJournal(folder / "journal")
    with pytest.raises(OSError):
        s3.upload(Counted(6, OSError()), journal=journal)
    (upload_id,) = s3.fake.uploads
    return journal, upload_id


def test_f89_a_journal_is_its_owners_and_holds_no_secret(
    make_s3: MakeTried, tmp_path: Path
) -> None:
    s3 = secretive(make_s3, "lean")
    journalled(s3, tmp_path)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    for path in files:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0
        clean(path.read_text())
        assert not path.name.endswith(".tmp")


@pytest.mark.parametrize("what", ["127.0.0.1", "bucket", "key"])
def test_f89_a_forged_journal_sends_nothing_anywhere(
    what: str, make_s3: MakeTried, tmp_path: Path
) -> None:
    s3 = make_s3()
    journal, upload_id = journalled(s3, tmp_path)
    forged = {"127.0.0.1": "127.0.0.2", "bucket": "stolen", "key": "other"}[what]
    for path in [path for path in tmp_path.rglob("*") if path.is_file()]:
        path.write_text(path.read_text().replace(f'"{what}"', f'"{forged}"').replace(
            f"//{what}", f"//{forged}"
        ))  # fmt: skip
    before = len(s3.fake.requests)
    options = replace(s3.driver.ex_options, journal=journal, retry=NO_RETRIES)
    with pytest.raises(S3MultipartError):
        s3.driver.ex_resume_upload(upload_id, chunks(8), s3.container, "key", ex_options=options)
    sent = s3.fake.requests[before:]
    assert not [record for record in sent if record.method in ("PUT", "POST")]
    assert s3.driver.region == REGION
