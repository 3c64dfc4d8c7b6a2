# SPDX-License-Identifier: Apache-2.0
"""Secrets: in no log, repr, error, traceback, pickle or journal, whatever an upload meets.

Each run has keys of its own, so that a text is searched for exactly these; besides, for what a
signed request carries (its signature, a presigned query).
"""

from __future__ import annotations

import io
import re
import pickle
import logging
import traceback
from typing import Any
from pathlib import Path
from dataclasses import field, replace, dataclass
from collections.abc import Callable, Iterator

import pytest

import libcloud_s3mpu
from tests.fake_s3 import faults
from tests.unit.small import Service, chunks, service, make_plain, close_driver
from libcloud_s3mpu.transfer import journal as journals
from libcloud_s3mpu.protocol.signing import Signer, Credentials

PACKAGE = str(Path(libcloud_s3mpu.__file__).resolve().parent)
ACCESS = "AKIDSECRETTEST"
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYzEXAMPLEKEY"
TOKEN = "FwoGZXIvYXdzEBYaDGVzc2lvbi10b2tlbi1vZi1hLXRlc3Q="
#: What is never shown: the secrets, and what a signature looks like.
FORBIDDEN = (
    re.compile(re.escape(SECRET)),
    re.compile(re.escape(TOKEN)),
    re.compile(r"(?i)X-Amz-(Signature|Credential|Security-Token)=[^\s.]"),
    re.compile(r"(?i)\bsignature['\"]?\s*[:=]\s*['\"]?[0-9a-f]{64}"),
)


def leaks(text: str) -> list[str]:
    """Give what of ``text`` should not be there, with some characters around it."""
    found = [match for pattern in FORBIDDEN for match in pattern.finditer(text)]
    return [text[max(0, m.start() - 80) : m.end() + 20] for m in found]


def own_frames(error: BaseException) -> str:
    """Give the tracebacks of an error and its causes: our frames with their locals, all texts."""
    lines: list[str] = []
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        each = waiting.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        waiting += [each.__cause__, each.__context__, getattr(each, "cleanup_error", None)]
        waiting += list(getattr(each, "attempts", ()))
        lines += [str(each), repr(each), *getattr(each, "__notes__", ())]
        for frame in traceback.StackSummary.extract(
            traceback.walk_tb(each.__traceback__), capture_locals=True
        ):
            if frame.filename.startswith(PACKAGE):
                values = (frame.locals or {}).items()
                lines += [f"{frame.name} {name} = {value}" for name, value in values]
    return "\n".join(lines)


@dataclass
class Watched:
    """A service, a driver with the keys above, and all that was logged."""

    made: Service
    log: io.StringIO
    errors: list[BaseException] = field(default_factory=list)

    def run(self, call: Callable[[], Any]) -> None:
        try:
            call()
        except Exception as error:
            self.errors.append(error)

    def upload(self, source: Any = None, **options: Any) -> None:
        self.run(lambda: self.made.upload(chunks(6) if source is None else source, **options))

    def check(self) -> None:
        for error in self.errors:
            assert leaks(own_frames(error)) == []
            try:
                pickled = pickle.dumps(error)
            except (AttributeError, TypeError, pickle.PicklingError):
                continue  # requests' own, with a hook of ours that no pickle can hold.
            assert leaks(pickled.decode("latin-1")) == []
        assert leaks(self.log.getvalue()) == []


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """All loggers at DEBUG: ours, urllib3's, requests', libcloud's."""
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    handler.setFormatter(logging.Formatter("%(name)s %(message)s %(args)s"))
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield text
    root.removeHandler(handler)
    root.setLevel(before)


@pytest.fixture(params=["lean", "plain"])
def watched(request: pytest.FixtureRequest, log: io.StringIO) -> Iterator[Watched]:
    keys = {"key": ACCESS, "secret": SECRET, "token": TOKEN}
    with service(driver=keys, credentials={ACCESS: (SECRET, TOKEN)}) as made:
        if request.param == "plain":
            make_plain(made.driver)
        yield Watched(made, log)


FAULTS = {
    "refused": ("UploadPart", faults.error("AccessDenied")),
    "wrong-signature": ("UploadPart", faults.error("SignatureDoesNotMatch")),
    "expired": ("UploadPart", faults.error("ExpiredToken")),
    "500": ("UploadPart", faults.error("InternalError")),
    "throttled": ("UploadPart", faults.error("SlowDown", retry_after="0")),
    "reset": ("UploadPart", faults.reset("body")),
    "reset-answer": ("UploadPart", faults.reset("answer")),
    "closed": ("CompleteMultipartUpload", faults.close("answer")),
    "html": ("InitiateMultipartUpload", faults.html(200)),
    "wrong-etag": ("UploadPart", faults.wrong_etag()),
    "garbage": ("UploadPart", faults.raw(b"garbage\r\n\r\n")),
    "redirect": ("InitiateMultipartUpload", faults.redirect(307, "http://127.0.0.1:1/?X-Amz-Signature=ab")),
    "echo": (
        "UploadPart",
        faults.answer(
            403,
            body=(
                "<Error><Code>SignatureDoesNotMatch</Code><Message>no: "
                f"x-amz-security-token:{TOKEN} Signature={'ab' * 32} "
                "https://h/k?X-Amz-Signature=cd</Message></Error>"
            ).encode(),
        ),
    ),
    "echo-in-no-xml": (
        "InitiateMultipartUpload",
        faults.answer(
            200, body=f"<a>x-amz-security-token:{TOKEN} Signature={'ab' * 32}</b>".encode()
        ),
    ),
    "abort": ("AbortMultipartUpload", faults.error("AccessDenied")),
}  # fmt: skip


NAMES = list(FAULTS)


def test_the_search_finds_what_it_should() -> None:
    signature = "ab" * 32
    for text in (SECRET, TOKEN, f"Signature={signature}", "?X-Amz-Signature=abc"):
        assert leaks(f"before {text} after")
    assert not leaks("libcloud_s3mpu?... signature ... SignatureDoesNotMatch: no")


def test_the_search_looks_into_our_frames(watched: Watched) -> None:
    code = compile("def f(secret): raise ValueError", f"{PACKAGE}/fabricated.py", "exec")
    space: dict[str, Any] = {}
    exec(code, space)
    with pytest.raises(ValueError) as caught:
        space["f"](SECRET)
    assert leaks(own_frames(caught.value))


def test_uploads_that_succeed_tell_nothing(watched: Watched) -> None:
    watched.upload()
    watched.upload(b"small")
    watched.run(lambda: watched.made.driver.list_container_objects(watched.made.container))
    watched.run(lambda: watched.made.driver.get_object("bucket", "none"))
    assert watched.log.getvalue() != ""
    watched.check()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("concurrency", [1, 4])
def test_uploads_that_fail_tell_nothing(watched: Watched, name: str, concurrency: int) -> None:
    operation, fault = FAULTS[name]
    watched.made.fake.script(operation, fault, forever=True)
    if operation == "AbortMultipartUpload":
        watched.made.fake.script("UploadPart", faults.error("AccessDenied"), forever=True)
    watched.upload(concurrency=concurrency)
    watched.upload(concurrency=concurrency, on_failure="keep")
    assert watched.errors
    watched.check()


def test_a_source_or_a_callback_that_raises_tells_nothing(watched: Watched) -> None:
    def source() -> Iterator[bytes]:
        yield from chunks(3)
        raise RuntimeError("of the source")

    def on_event(_: object) -> None:
        raise RuntimeError("of the callback")

    watched.upload(source())
    watched.upload(on_event=on_event)
    assert len(watched.errors) == 2
    watched.check()


def test_a_service_that_is_not_there_tells_nothing(watched: Watched) -> None:
    endpoint = watched.made.driver.connection.endpoint
    watched.made.driver.connection.endpoint = replace(endpoint, port=1)
    watched.upload()
    watched.run(watched.made.driver.list_containers)
    assert watched.errors
    watched.check()


def test_requests_errors_have_no_signature_in_their_request(watched: Watched) -> None:
    driver = watched.made.driver
    driver.connection.endpoint = replace(driver.connection.endpoint, port=1)
    with pytest.raises(Exception, match="refused") as caught:
        driver.connection.request("/")  # As apps do that know upstream's connection.
    sent = caught.value.request.headers  # type: ignore[attr-defined]
    assert not {"authorization", "x-amz-security-token"} & {name.lower() for name in sent}


def test_inherited_methods_that_fail_tell_nothing(watched: Watched) -> None:
    watched.made.driver.connection.key = "wrong-" + SECRET
    watched.run(watched.made.driver.list_containers)
    watched.run(lambda: watched.made.driver.get_object("bucket", "key"))
    watched.run(lambda: watched.made.driver.ex_cleanup_multipart_uploads(watched.made.container))
    assert len(watched.errors) == 3
    watched.check()


def test_a_callable_that_fails_tells_nothing(watched: Watched) -> None:
    def broken() -> Any:
        raise ValueError(f"https://sts/?X-Amz-Signature=abc X-Amz-Security-Token={TOKEN}")

    driver = watched.made.driver
    driver.connection.credentials_source = libcloud_s3mpu.transfer.credentials.CredentialsSource(
        broken
    )
    with pytest.raises(libcloud_s3mpu.transfer.credentials.CredentialsError) as caught:
        driver.list_containers()
    assert leaks(str(caught.value)) == []
    assert leaks(watched.log.getvalue()) == []


def test_no_repr_shows_a_secret(watched: Watched) -> None:
    driver = watched.made.driver
    watched.upload()
    connection = driver.connection
    things = [driver, connection, driver._transport, connection.exact_signer(), driver.ex_options,
              Credentials(ACCESS, SECRET, TOKEN), connection.connection, watched.made.container,
              watched.made.container.get_object("key")]  # fmt: skip
    for thing in things:
        assert leaks(f"{thing!r} {thing!s}") == [], type(thing)
    assert leaks(repr(connection.exact_signer().credentials)) == []


def test_no_pickle_holds_a_secret(watched: Watched) -> None:
    driver = watched.made.driver
    watched.upload()
    driver.cached = SECRET  # As a subclass might.
    things = [driver, watched.made.container, watched.made.container.get_object("key")]
    for thing in things:
        data = pickle.dumps(thing)
        assert leaks(data.decode("latin-1")) == []
    close_driver(pickle.loads(pickle.dumps(driver)))
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(Signer(Credentials(ACCESS, SECRET, TOKEN), region="us-east-1"))


def test_no_journal_holds_a_secret(watched: Watched, tmp_path: Path) -> None:
    pytest.importorskip("filelock")
    key = "ssec-secret-key-that-must-not-be-kept="
    journal = journals.FileJournal(tmp_path / "journal")
    watched.made.fake.script("UploadPart", faults.error("AccessDenied"), part_number=4)
    options = replace(watched.made.driver.ex_options, journal=journal, on_failure="keep")
    headers = {"x-amz-server-side-encryption-customer-key": key, "authorization-of-app": SECRET}
    watched.run(
        lambda: watched.made.driver.upload_object_via_stream(
            chunks(6), watched.made.container, "key", ex_options=options
        )
    )
    watched.run(
        lambda: watched.made.driver.upload_object_via_stream(
            chunks(6), watched.made.container, "key2", headers=headers, ex_options=options
        )
    )
    files = [path for path in (tmp_path / "journal").rglob("*") if path.is_file()]
    assert any(path.suffix == ".json" for path in files)
    for path in files:
        text = path.read_text()
        assert leaks(text) == [] and key not in text
    assert leaks(repr(journal)) == []


def test_libclouds_own_debug_log_is_the_apps_to_ask_for(watched: Watched) -> None:
    """LIBCLOUD_DEBUG writes whole requests, by libcloud's own class; it is not our road's doing.

    What is ours: that our loggers add nothing, and that no error of ours quotes it.
    """
    pytest.importorskip("libcloud.utils.loggingconnection")
    from libcloud.utils.loggingconnection import LoggingConnection

    driver = watched.made.driver
    stream = io.StringIO()
    LoggingConnection.log = stream
    try:
        close_driver(driver)  # The sockets of the connection that is replaced.
        driver.connection.conn_class = LoggingConnection
        driver.connection.connect()
        assert driver.ex_transport == "plain"
        watched.made.fake.script("UploadPart", faults.error("AccessDenied"), forever=True)
        watched.upload()
    finally:
        LoggingConnection.log = None
    assert stream.getvalue() != "" and watched.errors
    assert SECRET not in stream.getvalue()  # The secret key is in no request; its signature is.
    assert leaks(watched.log.getvalue()) == []
    assert [leak for error in watched.errors for leak in leaks(str(error) + repr(error))] == []
