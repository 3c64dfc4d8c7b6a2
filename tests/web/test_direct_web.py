# SPDX-License-Identifier: Apache-2.0
"""Direct uploads over HTTP: the three layouts, by three doors, and what hostile clients get."""

from __future__ import annotations

import io
import html
import json
import time
import base64
import hashlib
import urllib.error
import urllib.request
from typing import Any
from datetime import datetime, timezone, timedelta
from functools import partial
from contextlib import ExitStack
from dataclasses import replace
from urllib.parse import quote, unquote, urlsplit, urlencode
from collections.abc import Callable, Iterator

import pytest

from tests.web.doors import Sent, Answer, open_door
from tests.unit.small import Service
from tests.web.conftest import LIMITS
from libcloud_s3mpu.protocol import xml
from libcloud_s3mpu.web.cors import Cors
from libcloud_s3mpu.web.direct import DirectHandler
from libcloud_s3mpu.web.messages import Refuse, Request, InputBody

PREFIX = "people/7/"
SECRET = b"sixteen bytes or more"
PARTS = [b"abcde", b"fghij", b"kl"]


def yes(request: Any, action: str, key: str) -> bool:
    return True


class Direct:
    """A client of the handler, which speaks to the bucket by the URLs that it is given."""

    def __init__(self, door: Any, made: Service) -> None:
        self.door = door
        self.made = made

    def send(self, method: str, target: str, value: Any = None, **headers: str) -> Answer:
        sent = None
        if value is not None:
            data = value if isinstance(value, bytes) else json.dumps(value).encode()
            sent = Sent(data)
        answer: Answer = self.door.send(
            method, target, {n.replace("_", "-"): v for n, v in headers.items()}, sent
        )
        return answer

    def json(self, method: str, target: str, value: Any = None) -> Any:
        answer = self.send(method, target, value)
        assert answer.status in (200, 201), answer
        return json.loads(answer.body)

    def begin(self, filename: str = "a b.txt") -> tuple[str, str]:
        made = self.json("POST", "/up/s3/multipart", {"filename": filename, "type": "text/plain"})
        return made["key"], made["uploadId"]

    def path(self, key: str, upload_id: str, rest: str = "", **query: str) -> str:
        more = f"/{rest}" if rest else ""
        parameters = urlencode({"key": key, **query})
        return f"/up/s3/multipart/{quote(upload_id, safe='')}{more}?{parameters}"

    def put_parts(self, key: str, upload_id: str, parts: list[bytes]) -> list[dict[str, Any]]:
        numbers = ",".join(str(n) for n in range(1, len(parts) + 1))
        urls = self.json("GET", self.path(key, upload_id, "batch", partNumbers=numbers))
        sent = []
        for number, data in enumerate(parts, 1):
            status, etag, _ = s3(urls["presignedUrls"][str(number)], data)
            assert status == 200
            sent.append({"PartNumber": number, "ETag": etag})
        return sent


def s3(
    url: str, data: bytes | None = b"", method: str = "PUT", **headers: str
) -> tuple[int, str, bytes]:
    """Send to the bucket as a browser does, without any keys."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, data=data, method=method, headers=given)
    if data is not None and "content-type" not in {n.lower() for n in given}:
        request.add_header("Content-Type", "application/octet-stream")
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.headers.get("ETag") or "", answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, "", error.read()


@pytest.fixture
def open_direct(made: Service, door_kind: str) -> Iterator[Callable[..., Direct]]:
    made.driver.ex_limits = LIMITS
    with ExitStack() as stack:

        def opened(**options: Any) -> Direct:
            options = {"prefix": PREFIX, "authorize": yes, "base_path": "/up", **options}
            handler = DirectHandler(made.driver, made.container, **options)
            found = Direct(stack.enter_context(open_door(door_kind, handler)), made)
            found.handler = handler  # type: ignore[attr-defined]
            return found

        yield opened


@pytest.fixture
def direct(open_direct: Any) -> Direct:
    found: Direct = open_direct()
    return found


class TestCompanion:
    def test_an_upload_in_parts(self, direct: Direct) -> None:
        key, upload_id = direct.begin("bä/../c d.txt")
        assert key.startswith(PREFIX)
        assert key.endswith("-c d.txt")
        sent = direct.put_parts(key, upload_id, PARTS)
        listed = direct.json("GET", direct.path(key, upload_id))
        assert [(p["PartNumber"], p["Size"]) for p in listed] == [(1, 5), (2, 5), (3, 2)]
        assert [p["ETag"] for p in listed] == [p["ETag"] for p in sent]
        done = direct.json("POST", direct.path(key, upload_id, "complete"), {"parts": sent})
        assert (done["key"], done["bucket"]) == (key, "bucket")
        assert unquote(urlsplit(done["location"]).path) == f"/bucket/{key}"
        assert direct.made.stored(key) == b"".join(PARTS)
        attributes = direct.made.fake.objects["bucket"][key].attributes
        assert attributes.headers["content-type"] == "text/plain"

    def test_completing_again_is_no_error(self, direct: Direct) -> None:
        key, upload_id = direct.begin()
        sent = direct.put_parts(key, upload_id, PARTS)
        target = direct.path(key, upload_id, "complete")
        for _ in range(2):
            direct.json("POST", target, {"parts": sent})

    def test_etags_may_come_without_quotes_and_in_any_order(self, direct: Direct) -> None:
        key, upload_id = direct.begin()
        sent = direct.put_parts(key, upload_id, PARTS)
        bare = [{**part, "ETag": part["ETag"].strip('"')} for part in reversed(sent)]
        direct.json("POST", direct.path(key, upload_id, "complete"), {"parts": bare})
        assert direct.made.stored(key) == b"".join(PARTS)

    def test_one_part_is_signed(self, direct: Direct) -> None:
        key, upload_id = direct.begin()
        found = direct.json("GET", direct.path(key, upload_id, "3"))
        assert found["expires"] == 800
        assert s3(found["url"], b"xyz")[0] == 200
        assert [part["PartNumber"] for part in direct.json("GET", direct.path(key, upload_id))] == [
            3
        ]

    def test_one_part_is_signed_for_one_body(self, direct: Direct) -> None:
        key, upload_id = direct.begin()
        sha256 = hashlib.sha256(b"abcde").hexdigest()
        url = direct.json("GET", direct.path(key, upload_id, "1", sha256=sha256))["url"]
        given = {"x-amz-content-sha256": sha256}
        assert s3(url, b"abcde")[0] == 403
        assert s3(url, b"abcdx", **given)[0] == 400
        assert s3(url, b"abcde", **given)[0] == 200
        for wrong in ("", "x", sha256.upper(), f"{sha256}0"):
            target = direct.path(key, upload_id, "1", sha256=wrong)
            assert direct.send("GET", target).status == 400
        assert direct.send("GET", direct.path(key, "nosuch", "1", sha256=sha256)).status == 404

    def test_aborting_leaves_nothing(self, direct: Direct) -> None:
        key, upload_id = direct.begin()
        direct.put_parts(key, upload_id, PARTS)
        assert direct.json("DELETE", direct.path(key, upload_id)) == {}
        assert direct.made.fake.uploads == {}
        assert direct.json("DELETE", direct.path(key, upload_id)) == {}

    def test_a_small_file_gets_a_form_for_one_key_type_and_size(self, open_direct: Any) -> None:
        direct = open_direct(max_size_bytes=77)
        query = urlencode({"filename": "a.txt", "type": "text/plain", "metadata[who]": "me"})
        found = direct.json("GET", f"/up/s3/params?{query}")
        assert (found["method"], found["expires"]) == ("POST", 800)
        assert found["fields"]["key"].startswith(PREFIX)
        policy = json.loads(base64.b64decode(found["fields"]["policy"]))
        conditions = policy["conditions"]
        assert ["content-length-range", 0, 77] in conditions
        assert {"key": found["fields"]["key"]} in conditions or [
            "eq", "$key", found["fields"]["key"],
        ] in conditions  # fmt: skip
        assert "x-amz-meta-who" in {name.lower() for name in found["fields"]}

    def test_a_hundred_parts_take_two_requests(self, direct: Direct) -> None:
        key, upload_id = direct.begin()
        numbers = ",".join(str(n) for n in range(1, 101))
        target = direct.path(key, upload_id, "batch", partNumbers=numbers)
        assert len(direct.json("GET", target)["presignedUrls"]) == 100
        assert direct.handler.metrics()["requests_GET"] <= 2  # type: ignore[attr-defined]

    @pytest.mark.parametrize(
        "filename", [" ", "..", "/", "a/b", "x" * 500, "\x00", "ü\U0001f600", "."]
    )
    def test_any_file_name_makes_a_key_below_the_prefix(
        self, direct: Direct, filename: str
    ) -> None:
        key, _ = direct.begin(filename)
        assert key.startswith(PREFIX)
        assert "/" not in key[len(PREFIX) :]

    def test_the_app_may_choose_the_key(self, open_direct: Any) -> None:
        direct = open_direct(
            key=lambda request, filename, metadata: f"{metadata['set']}/{filename}"
        )
        given = {"filename": "a.txt", "metadata": {"set": "s1"}}
        assert direct.json("POST", "/up/s3/multipart", given)["key"] == f"{PREFIX}s1/a.txt"

    def test_too_much_metadata_is_the_clients_mistake(self, direct: Direct) -> None:
        given = {"filename": "a", "metadata": {"x": "y" * 3000}}
        answer = direct.send("POST", "/up/s3/multipart", given)
        assert answer.status == 400 and b"metadata" in answer.body
        assert direct.made.fake.uploads == {}

    def test_an_unknown_upload_is_not_found(self, direct: Direct) -> None:
        key, _ = direct.begin()
        sent = {"parts": [{"PartNumber": 1, "ETag": "a" * 32}]}
        for method, rest, value in (
            ("GET", "", None),
            ("GET", "1", None),
            ("POST", "complete", sent),
        ):
            answer = direct.send(method, direct.path(key, "nosuch/upload", rest), value)
            assert answer.status == 404
            assert json.loads(answer.body)["error"]

    @pytest.mark.parametrize(
        "wrong",
        [
            lambda p: p[:-1],
            lambda p: [],
            lambda p: [*p, {"PartNumber": 9, "ETag": "a" * 32}],
            lambda p: [*p[:2], {"PartNumber": 3, "ETag": "a" * 32}],
            lambda p: [*p, {**p[0], "ETag": "b" * 32}],
            lambda p: [{"PartNumber": "x", "ETag": 1}],
            lambda p: ["part"],
            lambda p: {"a": 1},
            lambda p: None,
            lambda p: [{"PartNumber": 0, "ETag": "a" * 32}],
            lambda p: [{"PartNumber": 10**30, "ETag": "a" * 32}],
            lambda p: [{"PartNumber": True, "ETag": "<&>\r\n"}],
        ],
    )
    def test_wrong_parts_are_the_clients_mistake(self, direct: Direct, wrong: Any) -> None:
        key, upload_id = direct.begin()
        sent = direct.put_parts(key, upload_id, PARTS)
        target = direct.path(key, upload_id, "complete")
        answer = direct.send("POST", target, {"parts": wrong(sent)})
        assert answer.status == 400, answer
        assert json.loads(answer.body)["error"]
        direct.json("POST", target, {"parts": sent})

    def test_too_small_a_part_is_the_clients_mistake(self, direct: Direct) -> None:
        key, upload_id = direct.begin()
        sent = direct.put_parts(key, upload_id, [b"ab", b"fghij"])
        answer = direct.send("POST", direct.path(key, upload_id, "complete"), {"parts": sent})
        assert answer.status == 400

    @pytest.mark.parametrize("number", ["0", "-1", "201", "10001", "1.5", "99999999999999999999"])
    def test_part_numbers_have_bounds(self, direct: Direct, number: str) -> None:
        key, upload_id = direct.begin()
        assert direct.send("GET", direct.path(key, upload_id, number)).status in (400, 404)
        target = direct.path(key, upload_id, "batch", partNumbers=f"1,{number}")
        assert direct.send("GET", target).status == 400

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"{}",
            b'{"filename":""}',
            b'{"type":"a/b"}',
            b"{",
            b"[]",
            b"null",
            b"\xff",
            b"[" * 100000,
            b'"x"',
        ],
    )
    def test_nonsense_is_the_clients_mistake(self, direct: Direct, body: bytes) -> None:
        assert direct.send("POST", "/up/s3/multipart", body).status == 400

    def test_a_flood_of_json_is_refused(self, direct: Direct) -> None:
        key, upload_id = direct.begin()
        target = direct.path(key, upload_id, "complete")
        assert direct.send("POST", target, b" " * (3 * 1024 * 1024)).status == 413

    def test_a_slash_behind_a_path_changes_nothing(self, direct: Direct) -> None:
        made = direct.json("POST", "/up/s3/multipart/", {"filename": "a.txt", "type": "text/plain"})
        key, upload_id = made["key"], made["uploadId"]
        sent = direct.put_parts(key, upload_id, PARTS)
        assert "url" in direct.json("GET", direct.path(key, upload_id, "1/"))
        target = direct.path(key, upload_id, "batch/", partNumbers="1, 2")
        assert set(direct.json("GET", target)["presignedUrls"]) == {"1", "2"}
        assert "url" in direct.json("GET", "/up/s3/params/?filename=a")
        direct.json("POST", direct.path(key, upload_id, "complete/"), {"parts": sent})
        assert direct.made.stored(key) == b"".join(PARTS)

    def test_head_is_get_without_its_body(self, direct: Direct) -> None:
        key, upload_id = direct.begin()
        for target in ("/up/s3/params?filename=a", direct.path(key, upload_id)):
            answer = direct.send("HEAD", target)
            assert (answer.status, answer.body) == (200, b"")
            assert answer["Content-Type"] == "application/json"
        assert direct.send("HEAD", direct.path(key, "nosuch")).status == 404

    def test_wrong_methods_are_told_the_right_ones(self, direct: Direct) -> None:
        key, upload_id = direct.begin()
        for method, target, right in (
            ("POST", "/up/s3/params", "GET"),
            ("GET", "/up/s3/multipart", "POST"),
            ("PUT", direct.path(key, upload_id, "1"), "DELETE"),
            ("PATCH", direct.path(key, upload_id, "complete"), "DELETE"),
            ("GET", "/up/sign", "POST"),
            ("POST", "/up/sign/parts", "GET"),
            ("GET", f"/up/files/x/{upload_id}/abort", "DELETE"),
        ):
            answer = direct.send(method, target)
            assert answer.status == 405, (method, target, answer)
            assert right in answer["Allow"]
        assert "POST" in direct.send("OPTIONS", "/up/s3/multipart")["Allow"]

    @pytest.mark.parametrize("query", ["key=%FF", "key=%C3%28", "%FF=x"])
    def test_a_query_that_is_not_utf_8(self, direct: Direct, query: str) -> None:
        _, upload_id = direct.begin()
        for target in (f"/up/s3/multipart/{upload_id}?{query}", f"/up/s3/params?{query}"):
            assert direct.send("GET", target).status == 400

    @pytest.mark.parametrize(
        "name", ["a+b c%20d.txt", "50%.txt", "q?a=b&c#d.txt", "ü/é.txt", "a//b.txt", "a/", " a "]
    )
    def test_keys_come_back_as_they_were_made(self, open_direct: Any, name: str) -> None:
        direct = open_direct(key=lambda request, filename, metadata: filename)
        key, upload_id = direct.begin(name)
        assert key == f"{PREFIX}{name}"
        sent = direct.put_parts(key, upload_id, PARTS)
        direct.json("POST", direct.path(key, upload_id, "complete"), {"parts": sent})
        assert direct.made.keys == [key]

    @pytest.mark.parametrize(
        "target", ["/", "/up", "/up/", "/up/s3", "/up/s3/sts", "/up/s3/multipart"]
    )
    def test_elsewhere_is_nothing(self, direct: Direct, target: str) -> None:
        assert direct.send("GET", target).status in (404, 405)


class TestFiles:
    """oarepo's layout."""

    @pytest.mark.parametrize("where", ["?", "{key}?", "{key}/?"])
    def test_an_upload(self, direct: Direct, where: str) -> None:
        given = {"key": "data/ä b.csv", "size": 12, "ctype": "text/csv"}
        where = f"{where.format(key=quote(str(given['key'])))}multipart=True"
        made = direct.json("POST", f"/up/files/{where}", given)
        assert made["key"] == given["key"]
        base = f"/up/files/{quote(made['key'])}/{quote(made['uploadId'], safe='')}"
        urls = direct.json("GET", f"{base}/1,2,3/presigned")["presignedUrls"]
        sent = [
            {"PartNumber": n, "ETag": s3(urls[str(n)], data)[1]} for n, data in enumerate(PARTS, 1)
        ]
        assert len(direct.json("GET", f"{base}/parts")) == 3
        done = direct.json("POST", f"{base}/complete", {"parts": sent})
        assert done["checksum"].startswith("etag:")
        assert direct.made.stored(f"{PREFIX}{made['key']}") == b"".join(PARTS)

    def test_a_key_with_a_slash_at_its_end_is_named_in_the_body(self, direct: Direct) -> None:
        made = direct.json("POST", "/up/files/?multipart=True", {"key": "x/"})
        assert made["key"] == "x/"
        assert [u.key for u in direct.made.fake.uploads.values()] == [f"{PREFIX}x/"]
        assert direct.json("DELETE", f"/up/files/x//{made['uploadId']}/abort/") == {}
        assert direct.made.fake.uploads == {}

    def test_a_post_that_does_not_say_multipart(self, direct: Direct) -> None:
        assert direct.send("POST", "/up/files/x", {}).status == 400
        assert direct.made.fake.uploads == {}

    def test_aborting(self, direct: Direct) -> None:
        made = direct.json("POST", "/up/files/x?multipart=True")
        assert direct.json("DELETE", f"/up/files/x/{made['uploadId']}/abort") == {}
        assert direct.made.fake.uploads == {}

    @pytest.mark.parametrize("numbers", ["x", "0", "1,x", "1,,2", "10001"])
    def test_wrong_numbers(self, direct: Direct, numbers: str) -> None:
        made = direct.json("POST", "/up/files/x?multipart=True")
        answer = direct.send("GET", f"/up/files/x/{made['uploadId']}/{numbers}/presigned")
        assert answer.status == 400


class TestSign:
    """``signRequest`` of version 6."""

    def sign(self, direct: Direct, **given: Any) -> Any:
        return direct.json("POST", "/up/sign", given)

    @pytest.mark.parametrize("limit", [None, 100])
    def test_the_browser_speaks_s3_itself(self, open_direct: Any, limit: int | None) -> None:
        direct = open_direct(max_size_bytes=limit, secret=SECRET)
        begun = self.sign(direct, method="POST", key="a.txt", contentType="text/plain")
        key = begun["key"]
        status, _, body = s3(begun["url"], b"", "POST", **begun["headers"])
        assert status == 200
        upload_id = body.decode().partition("<UploadId>")[2].partition("<")[0]
        upload_id = html.unescape(upload_id)
        etags = []
        for number, data in enumerate(PARTS, 1):
            signed = self.sign(direct, method="PUT", key=key, uploadId=upload_id, partNumber=number)
            etags.append(s3(signed["url"], data)[1])
        listing = self.sign(direct, method="GET", key=key, uploadId=upload_id)
        assert s3(listing["url"], None, "GET")[2].count(b"<Part>") == 3
        named = "".join(
            f"<Part><PartNumber>{n}</PartNumber><ETag>{etag}</ETag></Part>"
            for n, etag in enumerate(etags, 1)
        )
        body = f"<CompleteMultipartUpload>{named}</CompleteMultipartUpload>".encode()
        url = self.sign(direct, method="POST", key=key, uploadId=upload_id)["url"]
        if limit is None:
            status, _, told = s3(url, body, "POST", Content_Type="application/xml")
        else:
            parts = urlsplit(url)
            assert parts.netloc == "files.example:8080"
            answer = direct.send("POST", f"{parts.path}?{parts.query}", body)
            status, told = answer.status, answer.body
        assert status == 200
        assert b"<Location>" in told
        assert b"<Key>" in told
        assert direct.made.stored(key) == b"".join(PARTS)

    def test_aborting(self, direct: Direct) -> None:
        key, upload_id = direct.begin()
        url = self.sign(direct, method="DELETE", key=key, uploadId=upload_id)["url"]
        assert s3(url, None, "DELETE")[0] == 204
        assert direct.made.fake.uploads == {}

    def test_a_small_file_gets_a_form(self, direct: Direct) -> None:
        found = self.sign(direct, method="PUT", key="a.txt", contentType="text/plain")
        assert found["key"] == found["fields"]["key"]
        assert found["key"].startswith(PREFIX)

    def test_a_version_that_knows_no_forms_gets_a_plain_put(self, open_direct: Any) -> None:
        found = self.sign(open_direct(), method="PUT", key="a.txt")
        assert s3(found["url"], b"small", "PUT", Content_Type="text/x-any")[0] == 200
        bounded = open_direct(max_size_bytes=9)
        assert "fields" in self.sign(bounded, method="PUT", key="a.txt")

    def test_a_plain_put_is_held_to_what_describes_the_object(self, open_direct: Any) -> None:
        direct = open_direct(extra={"acl": "private"}, content_types=["text/*"])
        found = self.sign(direct, method="PUT", key="a.txt")
        assert found["headers"] == {"Content-Type": "text/plain", "X-Amz-Acl": "private"}
        assert s3(found["url"], b"small", "PUT", Content_Type="text/plain")[0] == 403
        other = {**found["headers"], "Content-Type": "text/html"}
        assert s3(found["url"], b"small", "PUT", **other)[0] == 403
        assert s3(found["url"], b"small", "PUT", **found["headers"])[0] == 200
        given = {"method": "PUT", "key": "a.html.png"}
        assert direct.send("POST", "/up/sign", given).status == 415

    def test_a_type_that_is_not_told_is_left_to_the_browser(self, open_direct: Any) -> None:
        found = self.sign(open_direct(), method="POST", key="a.txt")
        assert found["headers"] == {}
        assert s3(found["url"], b"", "POST", Content_Type="text/x-any")[0] == 200

    def test_a_type_that_is_not_told_is_guessed_where_some_are_refused(
        self, open_direct: Any
    ) -> None:
        direct = open_direct(content_types=["image/*"])
        found = self.sign(direct, method="POST", key="a.png")
        assert found["headers"] == {"Content-Type": "image/png"}
        assert s3(found["url"], b"", "POST", Content_Type="text/html")[0] == 403
        assert s3(found["url"], b"", "POST", Content_Type="image/png")[0] == 200
        given = {"method": "POST", "key": "a.html"}
        assert direct.send("POST", "/up/sign", given).status == 415

    def test_what_describes_an_object_is_signed_and_told(self, open_direct: Any) -> None:
        direct = open_direct(extra={"acl": "private", "meta_data": {"by": "app"}})
        found = self.sign(direct, method="POST", key="a.txt", contentType="text/plain")
        assert {name.lower() for name in found["headers"]} == {
            "content-type",
            "x-amz-acl",
            "x-amz-meta-by",
        }
        assert s3(found["url"], b"", "POST", Content_Type="text/plain")[0] == 403
        assert s3(found["url"], b"", "POST", **found["headers"])[0] == 200

    @pytest.mark.parametrize(
        "given",
        [
            {"method": "DELETE", "key": f"{PREFIX}x"},
            {"method": "GET", "key": f"{PREFIX}x"},
            {"method": "HEAD", "key": f"{PREFIX}x", "uploadId": "u"},
            {"method": "PUT", "key": f"{PREFIX}x", "uploadId": ""},
            {"method": "PUT", "key": f"{PREFIX}x", "uploadId": "u", "partNumber": "1"},
            {"method": "PUT", "key": f"{PREFIX}x", "uploadId": "u", "partNumber": 10001},
            {"method": "PUT", "key": f"{PREFIX}x", "uploadId": 5, "partNumber": 1},
            {"method": ["PUT"], "key": 7},
            {},
        ],
    )
    def test_what_is_not_signed(self, direct: Direct, given: Any) -> None:
        answer = direct.send("POST", "/up/sign", given)
        assert answer.status in (400, 403), answer

    def test_more_parts_than_a_page_are_listed_by_the_handler(
        self, open_direct: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("libcloud_s3mpu.web.direct_store.PAGE", 2)
        for secret, is_own in ((SECRET, True), (None, False)):
            direct = open_direct(secret=secret)
            key, upload_id = direct.begin("a & b.txt")
            given = {"method": "GET", "key": key, "uploadId": upload_id}
            sent = direct.put_parts(key, upload_id, PARTS[:2])
            assert "/bucket/" in self.sign(direct, **given)["url"]
            sent = direct.put_parts(key, upload_id, PARTS)
            url = urlsplit(self.sign(direct, **given)["url"])
            assert (url.path == "/up/sign/parts") == is_own
            if not is_own:
                continue
            answer = direct.send("GET", f"{url.path}?{url.query}")
            assert (answer.status, answer["Content-Type"]) == (200, "application/xml")
            root = xml.parse(answer.body)
            assert xml.local_name(root) == "ListPartsResult"
            parts = list(xml.children(root, "Part"))
            assert [xml.text_of(part, "ETag") for part in parts] == [p["ETag"] for p in sent]
            assert [xml.text_of(part, "PartNumber") for part in parts] == ["1", "2", "3"]
            assert xml.text_of(root, "IsTruncated") == "false"
            # It lists, and does nothing else.
            wrong = f"/up/sign/complete?{url.query}"
            assert direct.send("POST", wrong, b"<CompleteMultipartUpload/>").status == 403

    def test_the_way_by_the_handler_holds_only_as_it_was_signed(self, open_direct: Any) -> None:
        direct = open_direct(max_size_bytes=100, secret=SECRET)
        key, upload_id = direct.begin()
        other, _ = direct.begin()
        url = urlsplit(self.sign(direct, method="POST", key=key, uploadId=upload_id)["url"])
        good = dict(pair.split("=") for pair in url.query.split("&"))
        for changed in (
            {"key": quote(other, safe="")},
            {"uploadId": "x"},
            {"expires": "99999999999"},
            {"signature": "0" * 64},
            {"signature": "%C3%A4"},
        ):
            query = "&".join(f"{n}={v}" for n, v in {**good, **changed}.items())
            answer = direct.send("POST", f"{url.path}?{query}", b"<CompleteMultipartUpload/>")
            assert answer.status == 403
        for missing in good:
            query = "&".join(f"{n}={v}" for n, v in good.items() if n != missing)
            assert direct.send("POST", f"{url.path}?{query}", b"").status == 400
        for body in (b"", b"<x/>", b"<CompleteMultipartUpload>", b"<!DOCTYPE a []><a/>"):
            assert direct.send("POST", f"{url.path}?{url.query}", body).status == 400


class TestRules:
    def test_authorize_is_asked_with_action_and_key(self, open_direct: Any) -> None:
        seen: list[tuple[str, str]] = []
        refused: set[str] = set()

        def authorize(request: Any, action: str, key: str) -> bool:
            seen.append((action, key))
            return action not in refused

        direct = open_direct(authorize=authorize)
        key, upload_id = direct.begin()
        refused |= {"create", "list", "sign", "complete", "abort"}
        before = direct.made.fake.requests[:]
        path = direct.path
        for method, target, value in (
            ("POST", "/up/s3/multipart", {"filename": "a"}),
            ("GET", "/up/s3/params?filename=a", None),
            ("GET", path(key, upload_id), None),
            ("GET", path(key, upload_id, "1"), None),
            ("GET", path(key, upload_id, "batch", partNumbers="1"), None),
            ("POST", path(key, upload_id, "complete"), {"parts": []}),
            ("DELETE", path(key, upload_id), None),
            ("POST", "/up/sign", {"method": "PUT", "key": "a"}),
            ("POST", "/up/sign", {"method": "GET", "key": key, "uploadId": upload_id}),
            ("POST", "/up/files/a?multipart=True", {}),
        ):
            answer = direct.send(method, target, value)
            assert answer.status == 403, (method, target)
        assert direct.made.fake.requests == before
        assert {action for action, _ in seen} == refused
        assert all(key.startswith(PREFIX) for _, key in seen)

    def test_a_refusal_is_the_apps_own(self, open_direct: Any) -> None:
        def authorize(request: Any, action: str, key: str) -> None:
            raise Refuse(401, "who are you?", {"WWW-Authenticate": "Bearer"})

        answer = open_direct(authorize=authorize).send(
            "POST", "/up/s3/multipart", {"filename": "a"}
        )
        assert (answer.status, answer["WWW-Authenticate"]) == (401, "Bearer")
        told = json.loads(answer.body)
        assert told == {"error": "who are you?", "message": "who are you?"}

    @pytest.mark.parametrize("answer", [None, False, 0, "", []])
    def test_only_what_is_true_allows(self, open_direct: Any, answer: Any) -> None:
        direct = open_direct(authorize=lambda request, action, key: answer)
        assert direct.send("POST", "/up/s3/multipart", {"filename": "a"}).status == 403
        assert direct.made.fake.requests == []

    def test_what_is_to_be_awaited_allows_nothing(self, open_direct: Any) -> None:
        async def later(request: Any, action: str, key: str) -> bool:
            return True

        class Called:
            async def __call__(self, request: Any, action: str, key: str) -> bool:
                return True

        for wrong in (later, Called(), partial(later)):
            for name in ("authorize", "key"):
                with pytest.raises(TypeError, match=name):
                    open_direct(**{name: wrong})
        direct = open_direct(authorize=lambda *given: later(*given))
        assert direct.send("POST", "/up/s3/multipart", {"filename": "a"}).status == 500
        assert direct.made.fake.requests == []

    @pytest.mark.parametrize(
        ("kind", "status"),
        [("image/png", 200), ("IMAGE/PNG", 200), ("text/html", 415), ("", 415), ("x", 400),
         ("image/png\r\nX: 1", 400), (7, 400)],
    )  # fmt: skip
    def test_only_the_types_that_are_taken(self, open_direct: Any, kind: Any, status: int) -> None:
        direct = open_direct(content_types=["image/*"])
        given = {"filename": "a", "type": kind}
        assert direct.send("POST", "/up/s3/multipart", given).status == status

    def test_what_is_too_much_is_aborted_at_the_end(self, open_direct: Any) -> None:
        direct = open_direct(max_size_bytes=11)
        key, upload_id = direct.begin()
        sent = direct.put_parts(key, upload_id, PARTS)
        answer = direct.send("POST", direct.path(key, upload_id, "complete"), {"parts": sent})
        assert answer.status == 413
        assert direct.made.fake.uploads == {}
        assert direct.made.keys == []

    @pytest.mark.parametrize(("size", "status"), [(11, 200), (12, 413), (-1, 400), ("1", 400)])
    def test_a_declared_size_is_checked_at_once(
        self, open_direct: Any, size: Any, status: int
    ) -> None:
        direct = open_direct(max_size_bytes=11)
        given = {"filename": "a", "size": size}
        assert direct.send("POST", "/up/s3/multipart", given).status == status

    def test_pages_of_the_app_may_read_it(self, open_direct: Any) -> None:
        origin = "https://app.example"
        direct = open_direct(cors=Cors(origins=[origin], credentials=True))
        preflight = direct.send(
            "OPTIONS", "/up/s3/multipart", Origin=origin, Access_Control_Request_Method="POST"
        )
        assert preflight.status == 204
        assert "POST" in preflight["Access-Control-Allow-Methods"]
        for value in ({"filename": "a"}, []):
            answer = direct.send("POST", "/up/s3/multipart", value, Origin=origin)
            assert answer["Access-Control-Allow-Origin"] == origin
        other = direct.send("POST", "/up/s3/multipart", {"filename": "a"}, Origin="https://evil")
        assert "Access-Control-Allow-Origin" not in other

    def test_credentials_are_narrowed_to_the_prefix(self, open_direct: Any) -> None:
        seen: list[Any] = []

        def sts(request: Any, policy: str, seconds: int) -> Any:
            seen.append((json.loads(policy), seconds))
            until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 1000))
            return {
                "AccessKeyId": "A",
                "SecretAccessKey": "S",
                "SessionToken": "T",
                "Expiration": until,
            }

        answer = open_direct(sts=sts).send("GET", "/up/s3/sts")
        found = json.loads(answer.body)
        assert found["credentials"]["SessionToken"] == "T"
        assert (found["bucket"], found["region"]) == ("bucket", "us-east-1")
        seconds = int(answer["Cache-Control"].rpartition("=")[2])
        assert 690 <= seconds <= 700
        [(policy, _)] = seen
        assert policy["Statement"][0]["Resource"] == f"arn:aws:s3:::bucket/{PREFIX}*"

    def test_an_sts_client_is_asked_for_federated_credentials(self, open_direct: Any) -> None:
        asked: list[dict[str, Any]] = []

        class Client:  # As boto3.client("sts") is.
            def get_federation_token(self, **given: Any) -> Any:
                asked.append(given)
                until = datetime.now(timezone.utc) + timedelta(seconds=1000)
                keys = {"AccessKeyId": "A", "SecretAccessKey": "S", "SessionToken": "T"}
                return {"Credentials": {**keys, "Expiration": until}}

        answer = open_direct(sts=Client()).send("GET", "/up/s3/sts/")
        assert answer.status == 200
        assert json.loads(answer.body)["credentials"]["AccessKeyId"] == "A"
        [given] = asked
        assert (given["DurationSeconds"], given["Name"]) == (900, "s3mpu-direct")
        assert f"bucket/{PREFIX}*" in given["Policy"]

    def test_settings_that_contradict_each_other(self, made: Service) -> None:
        for options in (
            {"sts": lambda *_: {}, "max_size_bytes": 5},
            {"prefix": "/a"},
            {"prefix": "a/../b"},
            {"secret": b"short"},
            {"max_size_bytes": -1},
            {"secret": "a text of sixteen letters"},
            {"base_path": "direct"},
            {"expires_seconds": 604_801},
        ):
            with pytest.raises(ValueError):
                DirectHandler(made.driver, made.container, **{"authorize": yes, **options})
        for wrong in ({"content_types": "image/*"}, {"sts": object()}, {"authorize": None}):
            with pytest.raises(TypeError):
                DirectHandler(made.driver, made.container, **{"authorize": yes, **wrong})
        with pytest.raises(TypeError):
            DirectHandler(made.driver, made.container)  # type: ignore[call-arg]

    @pytest.mark.parametrize(
        ("base", "mount", "path"),
        [
            ("", "", "/s3/params"),
            ("", "/direct", "/s3/params"),
            ("/direct", "", "/direct/s3/params"),
            ("/direct", "/direct", "/s3/params"),
            ("/direct", "/app/direct", "/s3/params"),
            ("/direct", "/app/direct", "/direct/s3/params"),
            ("/direct/", "/app", "/direct/s3/params"),
            ("/api/direct", "/api", "/direct/s3/params"),
        ],
    )
    def test_wherever_it_is_mounted(self, made: Service, base: str, mount: str, path: str) -> None:
        made.driver.ex_limits = LIMITS
        options: dict[str, Any] = {"authorize": yes, "max_size_bytes": 9, "secret": SECRET}
        handler = DirectHandler(made.driver, made.container, "in/", base_path=base, **options)
        request = Request(
            method="GET", path=path, mount=mount, headers={"host": "h"}, query="filename=a"
        )
        assert handler.handle(request).status == 200
        upload_id = made.driver.ex_initiate_upload(made.container, "in/x").upload_id
        body = json.dumps({"method": "POST", "key": "in/x", "uploadId": upload_id}).encode()
        given = replace(
            request,
            method="POST",
            path=path.replace("s3/params", "sign"),
            body=InputBody(io.BytesIO(body).read, len(body)),
        )
        answer = handler.handle(given)
        url = json.loads(b"".join(answer.body))["url"]
        below = path.replace(base, "", 1) if base and mount.endswith(base) else path
        whole = f"{mount}{below}".replace("s3/params", "sign/complete")
        assert url.startswith(f"http://h{whole}?")
        made.driver.ex_abort_upload(made.container, "in/x", upload_id)


#: Keys that are not below the prefix, or try to get out of it, or are another user's.
FOREIGN_KEYS = [
    "", "x", "people/8/x", "people/7", "people/7/", "people/70/x", "/people/7/x", "people/7/../8/x",
    "people/7/./x", "people/7/..", "PEOPLE/7/x", "people%2F7%2Fx", "people/7%2Fx", " people/7/x",
    "\x00people/7/x", "people\\7\\x", "./people/7/x", "people//7/x", "../people/7/x",
    "people/7/a/../../8/x", "people/7/x/.",
]  # fmt: skip


class TestHostileClients:
    """0 of all these attempts gets a signature, a listing, a completion or an abort."""

    @pytest.mark.parametrize("key", FOREIGN_KEYS)
    def test_no_signature_outside_the_prefix(self, direct: Direct, key: str) -> None:
        mine, upload_id = direct.begin()
        before = len(direct.made.fake.requests)
        got = []
        for method, target, value in (
            ("GET", direct.path(key, upload_id), None),
            ("GET", direct.path(key, upload_id, "1"), None),
            ("GET", direct.path(key, upload_id, "batch", partNumbers="1"), None),
            ("POST", direct.path(key, upload_id, "complete"), {"parts": []}),
            ("DELETE", direct.path(key, upload_id), None),
            ("GET", direct.path(mine, upload_id, "1") + f"&key={quote(key)}", None),
            *(
                (
                    "POST",
                    "/up/sign",
                    {"method": m, "key": key, "uploadId": upload_id, "partNumber": 1},
                )
                for m in ("PUT", "GET", "POST", "DELETE")
            ),
        ):
            answer = direct.send(method, target, value)
            assert 400 <= answer.status < 500, (method, target, answer)
            if b"http" in answer.body or b"ignature" in answer.body:
                got.append(answer)
        assert got == []
        assert len(direct.made.fake.requests) == before
        assert list(direct.made.fake.uploads) == [upload_id]

    @pytest.mark.parametrize("key", FOREIGN_KEYS)
    def test_no_new_object_outside_the_prefix(self, direct: Direct, key: str) -> None:
        for method in ("PUT", "POST"):
            answer = direct.send("POST", "/up/sign", {"method": method, "key": key})
            if answer.status == 200:
                made = json.loads(answer.body)
                assert made["key"].startswith(PREFIX)
                assert "/" not in made["key"][len(PREFIX) :]
                path = unquote(urlsplit(made["url"]).path)
                assert "fields" in made or path == f"/bucket/{made['key']}"
        direct.send("POST", f"/up/files/{quote(key)}?multipart=True", {})
        keys = [upload.key for upload in direct.made.fake.uploads.values()]
        assert all(found.startswith(PREFIX) and ".." not in found.split("/") for found in keys)

    def test_half_a_surrogate_pair_is_no_key(self, open_direct: Any) -> None:
        direct = open_direct(key=lambda request, filename, metadata: filename)
        for given in (
            b'{"filename": "\\ud800"}',
            b'{"filename": "a", "type": "a/\\ud800"}',
        ):
            assert direct.send("POST", "/up/s3/multipart", given).status == 400
        given = b'{"method": "GET", "uploadId": "u", "key": "%s\\ud800"}' % PREFIX.encode()
        assert direct.send("POST", "/up/sign", given).status == 400
        assert direct.made.fake.uploads == {}

    def test_a_form_lets_the_client_name_no_object(self, open_direct: Any) -> None:
        # The service would put the name of the client's file where this stands.
        direct = open_direct(key=lambda request, filename, metadata: filename)
        for name in ("${filename}", "x/${FileName}"):
            assert direct.send("GET", f"/up/s3/params?filename={quote(name)}").status == 400
            given = {"method": "PUT", "key": name, "contentType": "a/b"}
            assert direct.send("POST", "/up/sign", given).status == 400

    def test_no_part_outside_its_upload(self, direct: Direct) -> None:
        mine, my_id = direct.begin()
        theirs, their_id = direct.begin()
        wrong = [(mine, their_id), (theirs, my_id)]
        for key, upload_id in wrong:
            for rest in ("", "1"):
                assert direct.send("GET", direct.path(key, upload_id, rest)).status == 404
            given = {"method": "PUT", "key": key, "uploadId": upload_id, "partNumber": 1}
            assert direct.send("POST", "/up/sign", given).status == 404
            parts = {"parts": [{"PartNumber": 1, "ETag": "a" * 32}]}
            target = direct.path(key, upload_id, "complete")
            assert direct.send("POST", target, parts).status == 404
        # And a URL that was given is good for its own part alone.
        url = direct.json("GET", direct.path(mine, my_id, "1"))["url"]
        for changed in (
            url.replace("partNumber=1", "partNumber=2"),
            url.replace(quote(my_id, safe=""), quote(their_id, safe="")),
            url.replace(quote(mine), quote(theirs)),
            url.replace("/bucket/", "/other/"),
            url.partition("?")[0],
        ):
            assert s3(changed, b"abcde")[0] == 403
        assert s3(url, b"abcde", "DELETE")[0] == 403
        assert s3(url, b"abcde")[0] == 200

    def test_no_larger_object_than_allowed(self, open_direct: Any) -> None:
        for secret in (None, SECRET):
            direct = open_direct(max_size_bytes=11, secret=secret)
            key, upload_id = direct.begin()
            sent = direct.put_parts(key, upload_id, PARTS)
            given = {"method": "POST", "key": key, "uploadId": upload_id}
            answer = direct.send("POST", "/up/sign", given)
            if secret is None:
                assert answer.status == 403
            else:
                url = urlsplit(json.loads(answer.body)["url"])
                assert url.netloc == "files.example:8080"
                named = "".join(
                    f"<Part><PartNumber>{p['PartNumber']}</PartNumber><ETag>{p['ETag']}</ETag></Part>"
                    for p in sent
                )
                body = f"<CompleteMultipartUpload>{named}</CompleteMultipartUpload>".encode()
                assert direct.send("POST", f"{url.path}?{url.query}", body).status == 413
            assert direct.made.keys == []

    def test_no_secret_is_told(self, direct: Direct) -> None:
        from tests.fake_s3 import SECRET_KEY

        key, upload_id = direct.begin()
        answers = [
            direct.send("GET", direct.path(key, upload_id, "1")),
            direct.send("GET", "/up/s3/params?filename=a"),
            direct.send("GET", direct.path(key, "nosuch")),
            direct.send("POST", "/up/s3/multipart", []),
        ]
        for answer in answers:
            assert SECRET_KEY.encode() not in answer.body
            assert answer["Cache-Control"] == "no-store"
