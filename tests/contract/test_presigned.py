# SPDX-License-Identifier: Apache-2.0
"""Presigned URLs and forms before servers that verify them: each used once, each field tampered.

The fake, MiniStack 1.5.33, Ceph 16.2 and Swift 2.38 refuse every tampering here (seen 2026-11).
The clients here are urllib's and the package's own client without keys: nothing but a URL.
"""

from __future__ import annotations

import re
import html
import time
import uuid
import hashlib
import urllib.error
import urllib.request
from base64 import b64encode
from typing import Any
from dataclasses import replace
from urllib.parse import quote, urlsplit
from collections.abc import Iterator

import pytest

from tests.contract.conftest import MIB, read, connect, pattern
from libcloud_s3mpu.delegation import delegated
from libcloud_s3mpu.direct_client import DirectUploadClient
from libcloud_s3mpu.protocol.direct import PartsMismatchError
from libcloud_s3mpu.protocol.errors import S3MultipartError
from libcloud_s3mpu.protocol.options import UploadOptions
from libcloud_s3mpu.protocol.session import UploadPausedError
from libcloud_s3mpu.protocol.signing import Signer, Credentials
from libcloud_s3mpu.protocol.presigning import Presigner

pytestmark = pytest.mark.timeout(120)

KEY = "a b/ü+&=%41~.txt"


def send(
    url: str, method: str = "PUT", body: bytes | None = None, **headers: str
) -> tuple[int, Any, bytes]:
    """Give status, headers and body."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    if body is not None:
        # urllib would add a type of its own, and who signs one must be able to leave it out.
        given.setdefault("content-type", "application/octet-stream")
    request = urllib.request.Request(url, data=body, method=method, headers=given)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


@pytest.fixture
def signed(endpoint: Any) -> None:
    if "no-signatures" in endpoint.quirks:
        pytest.skip(f"{endpoint.name} {endpoint.version} checks no signature")


def begun(driver: Any, container: Any, name: str = KEY) -> str:
    """Initiate by URL; give the upload id."""
    url = driver.ex_get_upload_verb_url(container, name, "initiate")
    status, _, body = send(url, "POST", b"")
    assert status == 200, body
    match = re.search(rb"<UploadId>([^<]+)</UploadId>", body)
    assert match is not None
    return html.unescape(match[1].decode())


def test_every_verb_by_url(driver: Any, container: Any) -> None:
    upload_id = begun(driver, container)
    data = pattern(5 * MIB + 7)
    etags = []
    for number, part in ((1, data[: 5 * MIB]), (2, data[5 * MIB :])):
        size = len(part)
        url = driver.ex_get_part_upload_url(container, KEY, upload_id, number, size_bytes=size)
        status, headers, text = send(url, "PUT", part)
        assert status == 200, text
        etags.append(headers["ETag"])
    status, _, text = send(
        driver.ex_get_upload_verb_url(container, KEY, "list_parts", upload_id), "GET"
    )
    assert status == 200 and text.count(b"<Part>") == 2
    items = "".join(
        f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"
        for number, etag in enumerate(etags, 1)
    )
    xml = f"<CompleteMultipartUpload>{items}</CompleteMultipartUpload>".encode()
    url = driver.ex_get_upload_verb_url(container, KEY, "complete", upload_id)
    status, _, text = send(url, "POST", xml, content_type="application/xml")
    assert status == 200 and b"<Error" not in text, text
    url = driver.ex_get_object_download_url(container, KEY)
    assert send(url, "GET")[2] == data
    status, headers, _ = send(
        driver.ex_get_object_download_url(container, KEY, method="HEAD"), "HEAD"
    )
    assert status == 200 and int(headers["Content-Length"]) == len(data)
    cdn = driver.get_object_cdn_url(driver.get_object(container.name, KEY))
    assert send(cdn, "GET")[2] == data


def test_abort_by_url(driver: Any, container: Any) -> None:
    upload_id = begun(driver, container)
    url = driver.ex_get_upload_verb_url(container, KEY, "abort", upload_id)
    assert send(url, "DELETE")[0] == 204
    assert list(driver.ex_iterate_multipart_uploads(container)) == []


@pytest.mark.usefixtures("signed")
def test_put_with_signed_headers(driver: Any, container: Any) -> None:
    body = b"hello"
    md5 = b64encode(hashlib.md5(body).digest()).decode()
    url = driver.ex_get_object_upload_url(
        container, KEY, content_type="text/plain", size_bytes=5, headers={"Content-MD5": md5}
    )
    assert send(url, "PUT", body, content_type="text/html", content_md5=md5)[0] == 403
    status, _, text = send(url, "PUT", body, content_type="text/plain", content_md5=md5)
    assert status == 200, text
    found = driver.get_object(container.name, KEY)
    assert found.extra["content_type"] == "text/plain" and found.size == 5


def test_answers_are_overridden(driver: Any, container: Any) -> None:
    driver.upload_object_via_stream([b"hello"], container, KEY)
    wanted = 'attachment; filename="a b.txt"'
    url = driver.ex_get_object_download_url(
        container, KEY, overrides={"content-disposition": wanted, "content-type": "text/x"}
    )
    status, headers, body = send(url, "GET")
    assert (status, body) == (200, b"hello")
    assert headers["Content-Disposition"] == wanted and headers["Content-Type"] == "text/x"


def tampered(driver: Any, container: Any, url: str, other: str, kind: str) -> tuple[str, str]:
    """Give method and URL with one field changed."""
    method = "PUT"
    if kind == "method":
        method = "DELETE"
    before = url
    quoted = quote(other, safe="-._~")
    url = {
        "key": lambda: url.replace(".txt?", ".txz?"),
        "part number": lambda: url.replace("partNumber=1&", "partNumber=2&"),
        "upload id": lambda: re.sub("uploadId=[^&]+", lambda _: f"uploadId={quoted}", url),
        "expiry": lambda: url.replace("X-Amz-Expires=3600", "X-Amz-Expires=36000"),
        "date": lambda: re.sub(r"(X-Amz-Date=\d+T\d\d)(\d)", _next_digit, url),
        "region": lambda: re.sub("%2F[a-z]+-[a-z]+-[0-9]%2Fs3", "%2Feu-west-9%2Fs3", url),
        "signed headers": lambda: url.replace("content-length%3Bhost", "host"),
        "access key": lambda: url.replace("X-Amz-Credential=", "X-Amz-Credential=x"),
        "token": lambda: url.replace("&X-Amz-Signed", "&X-Amz-Security-Token=t&X-Amz-Signed"),
        "extra query": lambda: url.replace("&uploadId", "&response-expires=1&uploadId"),
        "signature": lambda: url[:-1] + ("0" if url[-1] != "0" else "1"),
        "method": lambda: url,
    }[kind]()
    assert kind == "method" or url != before
    return method, url


def _next_digit(match: re.Match[str]) -> str:
    return match[1] + str((int(match[2]) + 1) % 6)


KINDS = ["method", "key", "part number", "upload id", "expiry", "date", "region", "signed headers",
         "access key", "token", "extra query", "signature"]  # fmt: skip


@pytest.mark.usefixtures("signed")
@pytest.mark.parametrize("kind", KINDS)
def test_no_field_can_be_tampered_with(
    kind: str, endpoint: Any, driver: Any, container: Any
) -> None:
    upload_id, other = begun(driver, container), begun(driver, container)
    try:
        url = driver.ex_get_part_upload_url(container, KEY, upload_id, 1, size_bytes=5)
        method, changed = tampered(driver, container, url, other, kind)
        status, _, text = send(changed, method, b"hello")
        assert 400 <= status < 500, text
        assert driver.ex_list_parts(container, KEY, upload_id) == []
        assert send(url, "PUT", b"hello")[0] == 200, "the URL itself holds"
    finally:
        for each in (upload_id, other):
            driver.ex_abort_upload(container, KEY, each)


@pytest.mark.usefixtures("signed")
@pytest.mark.parametrize("size", [4, 6])
def test_no_other_length_is_taken(size: int, driver: Any, container: Any) -> None:
    upload_id = begun(driver, container)
    url = driver.ex_get_part_upload_url(container, KEY, upload_id, 1, size_bytes=5)
    status, _, text = send(url, "PUT", b"x" * size)
    parts = driver.ex_list_parts(container, KEY, upload_id)
    driver.ex_abort_upload(container, KEY, upload_id)
    assert status == 403 and parts == [], text


def test_a_bucket_in_the_host_name(endpoint: Any, container: Any) -> None:
    if endpoint.name in ("swift", "ministack"):
        pytest.skip(f"{endpoint.name} {endpoint.version} was not told of its domain name")
    base = "s3.localhost" if "wants-s3-in-host-names" in endpoint.quirks else "localhost"
    driver = connect(endpoint, host=base, ex_addressing="virtual")
    url = driver.ex_get_object_upload_url(container, KEY, size_bytes=5)
    host = urlsplit(url).netloc
    assert host.startswith(f"{container.name}.{base}:")
    near = url.replace(host, f"{endpoint.host}:{endpoint.port}")
    assert send(near, "PUT", b"hello", host=host.replace("contract-", "contract-x"))[0] >= 400
    status, _, text = send(near, "PUT", b"hello", host=host)
    assert status == 200, text
    assert read(connect(endpoint), container, KEY) == b"hello"


def expired(driver: Any, seconds_ago: int) -> Presigner:
    """Give a signer whose URLs have run out."""
    made = driver.ex_presigner(60)
    date = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(time.time() - seconds_ago))
    signer = Signer(Credentials(driver.key, driver.secret), region=driver.region_name)
    return Presigner(signer, made.endpoint, amz_date=date, expires_seconds=60)


@pytest.mark.usefixtures("signed")
def test_an_expired_url_is_refused(endpoint: Any, driver: Any, container: Any) -> None:
    driver.upload_object_via_stream([b"hello"], container, "key")
    fresh = expired(driver, 10).url("GET", container.name, "key")
    assert send(fresh, "GET")[0] == 200
    for seconds_ago in (61, 3600):
        url = expired(driver, seconds_ago).url("GET", container.name, "key")
        assert send(url, "GET")[0] in (400, 403)


@pytest.mark.usefixtures("signed")
def test_keys_that_nobody_has_sign_nothing(endpoint: Any, container: Any) -> None:
    thief = connect(endpoint, region="us-east-1")
    thief.ex_set_credentials(endpoint.access_key, "another secret")
    assert send(thief.ex_get_object_upload_url(container, "key"), "PUT", b"x")[0] == 403


# -- forms -----------------------------------------------------------------------------------------


def post(form: Any, body: bytes, file_name: str = "f.txt", **fields: str) -> tuple[int, bytes]:
    """Send a form as a browser does."""
    boundary = uuid.uuid4().hex
    lines = []
    for name, value in {**form.fields, **fields}.items():
        lines.append(
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}'
        )
    lines.append(
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{file_name}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    data = "\r\n".join(lines).encode() + body + f"\r\n--{boundary}--\r\n".encode()
    kind = f"multipart/form-data; boundary={boundary}"
    status, _, text = send(form.url, "POST", data, content_type=kind)
    return status, text


#: Servers without POST policies; seen on the wire, 2026-11.
NO_FORMS = {"swift": "no POST to a bucket (412, Bad URL)"}


@pytest.fixture
def forms(endpoint: Any) -> None:
    if endpoint.name in NO_FORMS:
        pytest.skip(f"{endpoint.name} {endpoint.version}: {NO_FORMS[endpoint.name]}")


@pytest.mark.usefixtures("forms")
def test_a_form_uploads_one_object(driver: Any, container: Any) -> None:
    form = driver.ex_get_upload_form(
        container, 100, object_name="form/a.txt", content_type="text/plain", min_size_bytes=1
    )
    status, text = post(form, b"hello")
    assert status in (200, 201, 204), text
    assert read(driver, container, "form/a.txt") == b"hello"
    assert driver.get_object(container.name, "form/a.txt").extra["content_type"] == "text/plain"


@pytest.mark.usefixtures("forms")
def test_a_form_may_leave_the_name_to_the_page(driver: Any, container: Any) -> None:
    form = driver.ex_get_upload_form(container, 100, prefix="in/")
    status, text = post(form, b"hello", "b.txt")
    assert status in (200, 201, 204), text
    assert read(driver, container, "in/b.txt") == b"hello"


@pytest.mark.usefixtures("forms", "signed")
@pytest.mark.parametrize(
    "kind",
    ["too large", "too small", "key", "prefix", "content type", "policy", "signature", "field",
     "expired"],
)  # fmt: skip
def test_a_form_is_held_to_its_policy(
    kind: str, endpoint: Any, driver: Any, container: Any
) -> None:
    options: dict[str, Any] = {"object_name": "form/a.txt", "content_type": "text/plain"}
    if kind == "prefix":
        options = {"prefix": "in/", "content_type": "text/plain"}
    form = driver.ex_get_upload_form(container, 10, min_size_bytes=3, **options)
    body, fields = b"hello", {}
    if kind == "expired":
        form = expired(driver, 120).form(container.name, key="form/a.txt", max_size_bytes=10)
    elif kind.startswith("too"):
        body = b"x" * 11 if kind == "too large" else b"x"
    elif kind in ("key", "prefix"):
        fields = {"key": "elsewhere/a.txt"}
    elif kind == "content type":
        fields = {"Content-Type": "text/html"}
    elif kind == "policy":
        wide = driver.ex_get_upload_form(container, 1000, **options)
        fields = {"policy": wide.fields["policy"]}
        body = b"x" * 100
    elif kind == "signature":
        fields = {"x-amz-signature": "0" * 64}
    else:
        fields = {"acl": "public-read"}
    status, text = post(form, body, **fields)
    assert 400 <= status < 500, text
    assert list(driver.iterate_container_objects(container)) == []


# -- direct uploads --------------------------------------------------------------------------------


def test_a_direct_upload_from_begin_to_end(endpoint: Any, driver: Any, container: Any) -> None:
    data = pattern(12 * MIB + 3)
    direct = driver.ex_create_direct_upload(
        container, KEY, len(data), part_size_bytes=5 * MIB, content_type="text/plain"
    )
    urls = direct.part_urls()
    assert send(urls[2], "PUT", data[5 * MIB : 10 * MIB])[0] == 200
    with pytest.raises(PartsMismatchError, match="part 1 is missing; part 3 is missing"):
        direct.complete()
    again = connect(endpoint).ex_get_direct_upload(direct.saved)
    with DirectUploadClient() as client:
        made = client.upload(data, direct.as_dict(), again, is_resumed=True)
    assert made.size == len(data) and read(driver, container, KEY) == data
    assert driver.get_object(container.name, KEY).extra["content_type"] == "text/plain"


@pytest.mark.usefixtures("signed")
def test_a_url_for_one_body_takes_no_other(driver: Any, container: Any) -> None:
    # MiniStack 1.5.33 takes none at all (seen 2026-11); the client goes on with MD5 then.
    data = pattern(6 * MIB)
    small = driver.ex_create_direct_upload(container, KEY, 1000)
    body, other = data[:1000], data[1:1001]
    url = small.signed_part_url(1, hashlib.sha256(body).hexdigest())
    right, wrong = (
        {"x-amz-content-sha256": hashlib.sha256(each).hexdigest()} for each in (body, other)
    )
    for each, headers in ((other, right), (other, wrong), (body, {})):
        assert send(url, "PUT", each, **headers)[0] in (400, 403)
    assert list(driver.iterate_container_objects(container)) == []
    assert send(url, "PUT", body, **right)[0] in (200, 403)
    direct = driver.ex_create_direct_upload(container, KEY, len(data), part_size_bytes=5 * MIB)
    with DirectUploadClient() as client:
        client.upload(data, direct.as_dict(), direct)
    assert read(driver, container, KEY) == data


def test_a_direct_upload_by_urls_alone(driver: Any, container: Any) -> None:
    data = pattern(6 * MIB)
    for size in (0, 1000, len(data)):
        direct = driver.ex_create_direct_upload(container, KEY, size, part_size_bytes=5 * MIB)
        with DirectUploadClient() as client:
            client.upload(data[:size], direct.as_dict(), is_resumed=True)
        assert read(driver, container, KEY) == data[:size]


def test_completing_twice_and_aborting_twice(driver: Any, container: Any) -> None:
    data = pattern(6 * MIB)
    direct = driver.ex_create_direct_upload(container, KEY, len(data), part_size_bytes=5 * MIB)
    named = []
    for number, url in direct.part_urls().items():
        offset = direct.plan.offset_of(number)
        _, headers, _ = send(url, "PUT", data[offset : offset + direct.plan.size_of(number)])
        named.append({"PartNumber": number, "ETag": headers["ETag"]})
    first = direct.complete(named)
    assert direct.complete(named).hash == first.hash
    assert read(driver, container, KEY) == data
    other = driver.ex_create_direct_upload(container, KEY, len(data), part_size_bytes=5 * MIB)
    other.abort()
    other.abort()


def test_what_is_over_is_aborted(driver: Any, container: Any) -> None:
    direct = driver.ex_create_direct_upload(container, KEY, 6 * MIB, part_size_bytes=5 * MIB)
    send(direct.part_urls([2])[2], "PUT", pattern(MIB))
    over = replace(direct.plan, expires_epoch=time.time() - 1)
    assert len(driver.ex_cleanup_direct_uploads([over])) == 1
    assert list(driver.ex_iterate_multipart_uploads(container)) == []


def test_lent_keys_upload_pause_and_resume(endpoint: Any, container: Any) -> None:
    data = pattern(16 * MIB)
    info = {
        "awsSecretKeyId": endpoint.access_key,
        "awsSecretAccessKey": endpoint.secret_key,
        "bucket": container.name,
        "baseKey": "batch/",
        "region": endpoint.region,
        "endpoint": endpoint.url,
        "usePathStyleAccess": True,
    }
    options = UploadOptions(part_size_bytes=5 * MIB, on_failure="keep")
    handle = delegated(info, ex_options=options).start("batch/a b")

    def source() -> Iterator[bytes]:
        for at in range(0, len(data), MIB):
            if at == 11 * MIB:
                handle.pause()
            yield data[at : at + MIB]

    with pytest.raises(UploadPausedError):
        handle.run(source())
    lent = delegated(info, ex_options=options)
    lent.resume(handle.saved, [data])
    assert read(connect(endpoint), container, "batch/a b") == data


# -- CORS ------------------------------------------------------------------------------------------


def test_cors_is_set_beside_other_rules(endpoint: Any, driver: Any, container: Any) -> None:
    origin = "https://app.example.org:8443"
    if endpoint.name == "fake":
        pytest.skip("the fake has no CORS")
    try:
        assert driver.ex_check_cors(container, origin) != []
        assert driver.ex_set_cors(container, [origin]) is True
    except S3MultipartError as error:
        if error.http_status not in (400, 405, 501):
            raise
        pytest.skip(f"{endpoint.name} {endpoint.version} has no CORS: {error.s3_code}")
    assert driver.ex_set_cors(container, [origin]) is False
    assert driver.ex_check_cors(container, origin) == []
    assert driver.ex_check_cors(container, "https://other.example.org") != []
    url = driver.ex_get_object_upload_url(container, "key")
    asked = {"Origin": origin, "Access-Control-Request-Method": "PUT",
             "Access-Control-Request-Headers": "content-type"}  # fmt: skip
    request = urllib.request.Request(url, method="OPTIONS", headers=asked)
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert answer.headers["Access-Control-Allow-Origin"] in (origin, "*")
    assert urlsplit(url).query
    status, headers, _ = send(url, "PUT", b"hello", Origin=origin)
    assert status == 200
    assert "etag" in (headers["Access-Control-Expose-Headers"] or "").lower()
