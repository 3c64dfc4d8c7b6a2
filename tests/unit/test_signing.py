# SPDX-License-Identifier: Apache-2.0
"""SigV4 against the examples of AWS.

"Signature Calculations for the Authorization Header: Transferring Payload in a Single Chunk",
Amazon S3 API Reference (read 2026-11). Its PUT example signs ``date`` as well, which this signer
leaves out on purpose; the key derivation and the whole chain are held by the other three, and that
one by the fake's own signer, which passes the page's value.
"""

from __future__ import annotations

import copy
import pickle
import hashlib
from datetime import datetime, timezone

import pytest

from tests.fake_s3 import sigv4
from tests.fake_s3.messages import Request
from libcloud_s3mpu.protocol.errors import InvalidRequestError
from libcloud_s3mpu.protocol.signing import Signer, Credentials, signing_key, canonical_headers

ACCESS_KEY = "AKIAIOSFODNN7EXAMPLE"
SECRET_KEY = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
HOST = "examplebucket.s3.amazonaws.com"
EMPTY = hashlib.sha256(b"").hexdigest()
AMZ_DATE = "20130524T000000Z"


def signer(token: str | None = None) -> Signer:
    return Signer(Credentials(ACCESS_KEY, SECRET_KEY, token), region="us-east-1")


def headers(**more: str) -> dict[str, str]:
    named = {name.replace("_", "-"): value for name, value in more.items()}
    return {"host": HOST, "x-amz-content-sha256": EMPTY, "x-amz-date": AMZ_DATE, **named}


@pytest.mark.parametrize(
    ("path", "query", "more", "names", "signature"),
    [
        (
            "/test.txt", "", {"range": "bytes=0-9"},
            "host;range;x-amz-content-sha256;x-amz-date",
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
        (
            "/", "lifecycle=", {}, "host;x-amz-content-sha256;x-amz-date",
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
        ),
        (
            "/", "max-keys=2&prefix=J", {}, "host;x-amz-content-sha256;x-amz-date",
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        ),
    ],
)  # fmt: skip
def test_the_examples_of_the_s3_reference(
    path: str, query: str, more: dict[str, str], names: str, signature: str
) -> None:
    assert signer().authorization(
        method="GET", path=path, query=query, headers=headers(**more), amz_date=AMZ_DATE
    ) == (
        f"AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/20130524/us-east-1/s3/aws4_request, "
        f"SignedHeaders={names}, Signature={signature}"
    )


def test_a_put_agrees_with_a_second_implementation() -> None:
    body = b"Welcome to Amazon S3."
    given = {
        "host": HOST,
        "x-amz-date": AMZ_DATE,
        "x-amz-content-sha256": hashlib.sha256(body).hexdigest(),
        "x-amz-storage-class": "REDUCED_REDUNDANCY",
        "content-type": "text/plain; charset=utf-8",
        "content-length": str(len(body)),
    }
    authorization = signer().authorization(
        method="PUT", path="/test%24file.text", query="", headers=given, amz_date=AMZ_DATE
    )
    request = Request.of(
        "PUT", "/test%24file.text", {**given, "authorization": authorization}, body
    )
    ring = sigv4.Keyring(credentials={ACCESS_KEY: SECRET_KEY}, region="us-east-1")
    when = datetime(2013, 5, 24, tzinfo=timezone.utc)
    assert sigv4.verify(request, ring, when) == ACCESS_KEY


def test_the_key_derivation_is_the_one_of_the_reference() -> None:
    # "Deriving the signing key", AWS General Reference: the examples' key in hexadecimal digits.
    key = signing_key("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "20150830", "us-east-1", "iam")
    assert key.hex() == "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9"


def test_only_what_no_proxy_rewrites_is_signed() -> None:
    _, names = canonical_headers(
        {"user-agent": "x", "accept": "*/*", "x-amz-b": "2", "host": "h", "content-type": "t",
         "connection": "close", "x-amz-a": "1", "content-length": "5", "content-md5": "m"}
    )  # fmt: skip
    assert names == "content-md5;content-type;host;x-amz-a;x-amz-b"


def test_values_are_trimmed_and_their_blanks_folded() -> None:
    block, _ = canonical_headers({"host": " h ", "x-amz-meta-a": "  a   b  c "})
    assert block == "host:h\nx-amz-meta-a:a b c\n"


def test_a_new_day_derives_a_new_key() -> None:
    one, other = signer(), signer()

    def sign(it: Signer, day: str) -> str:
        return it.authorization(
            method="GET", path="/", query="", headers=headers(), amz_date=f"{day}T000000Z"
        )

    first = sign(one, "20130524")
    sign(one, "20130525")
    assert sign(one, "20130524") == first
    assert sign(one, "20130525") == sign(other, "20130525") != first


def test_headers_are_not_changed_by_signing() -> None:
    given = headers()
    before = dict(given)
    signer().authorization(method="GET", path="/", query="", headers=given, amz_date=AMZ_DATE)
    assert given == before


def test_no_secret_is_ever_shown() -> None:
    it = signer("the-token")
    for text in (repr(it), str(it), repr(it.credentials), str(it.credentials), f"{it.credentials}"):
        assert SECRET_KEY not in text
        assert "the-token" not in text
        assert ACCESS_KEY not in text


def test_a_signer_cannot_be_pickled() -> None:
    with pytest.raises(TypeError, match="secret key"):
        pickle.dumps(signer())
    with pytest.raises(TypeError):
        copy.deepcopy(signer())


@pytest.mark.parametrize(
    ("what", "credentials", "region"),
    [
        ("access key", Credentials("AK\nx: y", "secret"), "us-east-1"),
        ("secret key", Credentials("AK", "hidden\r"), "us-east-1"),
        ("session token", Credentials("AK", "secret", "hidden\n"), "us-east-1"),
        ("region", Credentials("AK", "secret"), "us-east-1\0"),
    ],
)
def test_what_would_break_a_header_is_refused_and_not_shown(
    what: str, credentials: Credentials, region: str
) -> None:
    with pytest.raises(InvalidRequestError, match=f"the {what} holds a control") as caught:
        Signer(credentials, region=region)
    frames = [repr(entry.frame.f_locals) for entry in caught.traceback[1:]]
    assert frames and not any("hidden" in text for text in (str(caught.value), *frames))
