# SPDX-License-Identifier: Apache-2.0
"""The CORS rule: put into any configuration, before other rules, and checked as a browser does."""

from __future__ import annotations

import hashlib
from base64 import b64decode
from typing import Any
from collections.abc import Iterator

import pytest

from tests.fake_s3 import FakeS3, FakeServer
from tests.unit.small import FAKE_LIMITS, Service, make_driver, close_driver
from tests.fake_s3.sigv4 import verify
from tests.fake_s3.messages import Request, Response
from libcloud_s3mpu.protocol import xml, cors
from libcloud_s3mpu.protocol.errors import (
    AccessDeniedError,
    InvalidRequestError,
    MalformedAnswerError,
    ContainerMissingError,
)
from libcloud_s3mpu.protocol.messages import S3Response

REQUEST = cors.get_request("bucket")
ORIGIN = "https://app.example.org"
OTHER = (
    "<CORSRule><ID>theirs &amp; more</ID><AllowedOrigin>https://*.example.org</AllowedOrigin>"
    "<AllowedMethod>GET</AllowedMethod><AllowedMethod>PUT</AllowedMethod></CORSRule>"
)


def answer(*rules: str, namespace: bool = True) -> S3Response:
    space = f' xmlns="{xml.NAMESPACE}"' if namespace else ""
    body = f"<CORSConfiguration{space}>{''.join(rules)}</CORSConfiguration>"
    return S3Response(status=200, headers={}, body=body.encode())


def error(status: int, code: str) -> S3Response:
    return S3Response(
        status=status, headers={}, body=f"<Error><Code>{code}</Code></Error>".encode()
    )


def written(response: S3Response, *origins: str) -> bytes:
    root = cors.get_result(REQUEST, response)
    assert cors.with_rule(root, origins or (ORIGIN,))
    request = cors.put_request("bucket", root)
    assert request.body is not None
    body = b"".join(request.body.buffers())
    assert b64decode(request.headers["content-md5"]) == hashlib.md5(body).digest()
    assert request.payload_sha256 == hashlib.sha256(body).hexdigest()
    return body


def rules_of(body: bytes) -> list[xml.Element]:
    return list(xml.children(xml.parse(body), "CORSRule"))


@pytest.mark.parametrize("namespace", [True, False])
def test_the_rule_comes_first_and_the_others_stay(namespace: bool) -> None:
    body = written(answer(OTHER, namespace=namespace))
    first, second = rules_of(body)
    assert xml.text_of(first, "ID") == cors.RULE_ID
    assert OTHER.partition("</ID>")[2].encode() in body.replace(b'xmlns=""', b"")
    assert xml.text_of(second, "ID") == "theirs & more"


def test_a_bucket_without_a_configuration_gets_one() -> None:
    (rule,) = rules_of(written(error(404, "NoSuchCORSConfiguration")))
    exposed = [element.text for element in xml.children(rule, "ExposeHeader")]
    assert "ETag" in exposed


def test_the_same_again_changes_nothing_and_others_replace_it() -> None:
    body = written(answer(OTHER))
    again = S3Response(status=200, headers={}, body=body)
    root = cors.get_result(REQUEST, again)
    assert not cors.with_rule(root, (ORIGIN,)) and len(root) == 2
    (first, _) = rules_of(written(again, "https://new.example.org"))
    assert xml.text_of(first, "AllowedOrigin") == "https://new.example.org"


def test_a_rule_that_was_moved_back_comes_first_again() -> None:
    ours = (
        "<CORSRule>"
        + written(answer()).decode().partition("<CORSRule>")[2].partition("</CORSConfiguration>")[0]
    )
    first, second = rules_of(written(answer(OTHER, ours)))
    assert xml.text_of(first, "ID") == cors.RULE_ID and xml.text_of(second, "ID") != cors.RULE_ID


def test_a_hundred_rules_are_the_most() -> None:
    root = cors.get_result(REQUEST, answer(*[OTHER] * 100))
    with pytest.raises(InvalidRequestError, match="100"):
        cors.with_rule(root, (ORIGIN,))


def test_what_is_not_understood_is_not_written_over() -> None:
    with pytest.raises(MalformedAnswerError):
        cors.get_result(REQUEST, answer("<Other/>"))
    with pytest.raises(AccessDeniedError):
        cors.get_result(REQUEST, error(403, "AccessDenied"))
    with pytest.raises(ContainerMissingError):
        cors.get_result(REQUEST, error(404, "NoSuchBucket"))


@pytest.mark.parametrize(
    "origins",
    [
        "",
        [],
        "app.example.org",
        "https://a/b",
        "ftp://a",
        "https://*.*.a",
        "null",
        [None],
        "https://a b",
    ],
)
def test_what_is_no_origin_is_refused(origins: Any) -> None:
    with pytest.raises(InvalidRequestError):
        cors.checked_origins(origins)


def test_origins_are_taken_as_browsers_send_them() -> None:
    given = ["*", "http://localhost:8000", "https://*.a.org", "http://[::1]:80", "*"]
    assert cors.checked_origins(given) == tuple(given[:-1])
    assert cors.checked_origins(ORIGIN) == (ORIGIN,)


def said(*rules: str, origin: str = ORIGIN) -> str:
    return "; ".join(cors.problems(cors.get_result(REQUEST, answer(*rules)), origin))


def rule(*, origin: str = ORIGIN, methods: str = "GET HEAD PUT", more: str = "") -> str:
    allowed = "".join(f"<AllowedMethod>{method}</AllowedMethod>" for method in methods.split())
    return f"<CORSRule><AllowedOrigin>{origin}</AllowedOrigin>{allowed}{more}</CORSRule>"


ETAG = "<ExposeHeader>etag</ExposeHeader>"
ANY = "<AllowedHeader>*</AllowedHeader>"


def test_what_keeps_a_page_from_uploading_is_said() -> None:
    assert "no CORS rule allows the origin" in said()
    assert "no CORS rule allows the origin" in said(rule(origin="https://other"))
    assert "does not expose ETag" in said(rule(more=ANY))
    assert "does not allow the header" in said(rule(more=ETAG))
    assert "no CORS rule allows PUT" in said(rule(methods="GET HEAD", more=ETAG + ANY))
    assert said(rule(more=ETAG + ANY)) == ""
    assert said(rule(origin="*", more=ETAG + ANY)) == ""
    assert said(rule(origin="https://*.example.org", more=ETAG + ANY)) == ""
    # The first rule that matches is the one that counts.
    assert "expose ETag" in said(OTHER, rule(more=ETAG + ANY))
    wide = "https://app.example.org*.example.org"
    assert "the origin" in said(rule(origin=wide, more=ETAG + ANY))


class Bucket(FakeS3):
    """The fake, with a CORS configuration."""

    cors: bytes | None = None

    def handle(self, request: Request, **kwargs: Any) -> Response:
        if not request.target.startswith("/bucket?cors"):
            return super().handle(request, **kwargs)
        verify(request, self.keyring, self.clock())
        if request.method == "PUT":
            self.cors = request.body
            return Response(status=200, headers=(("content-length", "0"),))
        status = 200 if self.cors else 404
        body = self.cors or b"<Error><Code>NoSuchCORSConfiguration</Code></Error>"
        return Response(status=status, headers=(("content-length", str(len(body))),), body=body)


@pytest.fixture
def s3() -> Iterator[Service]:
    fake = Bucket(FAKE_LIMITS, buckets=("bucket",))
    with FakeServer(fake) as server:
        driver = make_driver(server)
        from libcloud.storage.base import Container

        yield Service(fake, server, driver, Container("bucket", {}, driver))
        close_driver(driver)


def test_the_driver_sets_and_checks(s3: Service) -> None:
    driver, container = s3.driver, s3.container
    assert driver.ex_check_cors(container, ORIGIN) == [f"no CORS rule allows the origin {ORIGIN}"]
    assert driver.ex_set_cors(container, [ORIGIN, "http://localhost:8000"])
    assert not driver.ex_set_cors(container, [ORIGIN, "http://localhost:8000"])
    assert driver.ex_check_cors(container, [ORIGIN, "http://localhost:8000"]) == []
    assert driver.ex_check_cors(container, "https://other") != []
    with pytest.raises(InvalidRequestError):
        driver.ex_set_cors(container, [])
