# SPDX-License-Identifier: Apache-2.0
"""What the protocol's text leaves out: CORS, methods, downloads, proxies, processes, hooks."""

from __future__ import annotations

from typing import Any
from functools import partial
from dataclasses import replace
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.fake_s3 import faults
from tests.web.doors import Sent, open_door
from tests.unit.small import Service
from tests.web.conftest import MAX_SIZE, Tus, b64, make_uploads
from libcloud_s3mpu.web.tus import TusHandler
from libcloud_s3mpu.web.cors import Cors
from tests.web.test_tus_core import DATA, until
from libcloud_s3mpu.resumable import S3Locker
from libcloud_s3mpu.web.hooks import Hooks
from libcloud_s3mpu.web.messages import Refuse, json_response

ORIGIN = "https://app.example"


class TestCors:
    def test_x1_a_preflight_is_answered(self, tus: Tus) -> None:
        answer = tus.send(
            "OPTIONS", f"{tus.base}/x", Origin=ORIGIN, Access_Control_Request_Method="PATCH"
        )
        assert answer.status in (200, 204)
        assert answer["Access-Control-Allow-Origin"] == "*"
        for method in ("POST", "HEAD", "PATCH", "DELETE"):
            assert method in answer["Access-Control-Allow-Methods"]
        allowed = answer["Access-Control-Allow-Headers"].lower().split(", ")
        for name in ("tus-resumable", "upload-offset", "upload-metadata", "upload-checksum"):
            assert name in allowed
        assert int(answer["Access-Control-Max-Age"]) > 0

    def test_x2_pages_may_see_the_headers(self, tus: Tus) -> None:
        answer = tus.post(3, Origin=ORIGIN)
        exposed = answer["Access-Control-Expose-Headers"].lower().split(", ")
        assert {"location", "upload-offset", "upload-length", "tus-resumable"} <= set(exposed)

    def test_x3_errors_have_them_too(self, tus: Tus) -> None:
        url = tus.create(3)
        for answer in (
            tus.post(Origin=ORIGIN),
            tus.patch(url, 2, b"x", Origin=ORIGIN),
            tus.send("HEAD", f"{tus.base}/none", Origin=ORIGIN),
            tus.send("HEAD", url, Origin=ORIGIN, Tus_Resumable="0.1"),
            tus.send("PUT", url, Origin=ORIGIN),
        ):
            assert answer.status >= 400
            assert answer["Access-Control-Allow-Origin"] == "*"
            assert "Upload-Offset" in answer["Access-Control-Expose-Headers"]

    @pytest.mark.parametrize("rule", [[ORIGIN], lambda origin: origin == ORIGIN])
    def test_only_the_origins_named(self, open_tus: Any, rule: Any) -> None:
        tus = open_tus(cors=Cors(origins=rule, credentials=True))
        answer = tus.post(3, Origin=ORIGIN)
        assert answer["Access-Control-Allow-Origin"] == ORIGIN
        assert answer["Access-Control-Allow-Credentials"] == "true"
        assert answer["Vary"] == "Origin"
        other = tus.post(3, Origin="https://evil.example")
        assert "Access-Control-Allow-Origin" not in other
        assert other["Vary"] == "Origin"

    def test_it_can_be_off(self, open_tus: Any) -> None:
        answer = open_tus(cors=None).post(3, Origin=ORIGIN)
        assert not [name for name in answer.headers if name.startswith("access-control")]

    def test_credentials_for_every_page_are_refused(self) -> None:
        with pytest.raises(ValueError, match="every page"):
            Cors(credentials=True)


class TestAround:
    @pytest.mark.parametrize("method", ["PUT", "TRACE", "PROPFIND", "CONNECT"])
    def test_r1_other_methods_are_refused(self, tus: Tus, method: str) -> None:
        url = tus.create(3)
        for target in (url, tus.base):
            answer = tus.send(method, target)
            assert 400 <= answer.status < 500
            assert "Allow" in answer

    @pytest.mark.parametrize("kind", ["text/html", "image/svg+xml", "application/pdf", "x\r\ny"])
    def test_r2_active_types_are_attachments(self, tus: Tus, kind: str) -> None:
        name = 'bä"d;\r\n.html'
        text = f"filetype {b64(kind)},filename {b64(name)}"
        url = tus.create(3, Upload_Metadata=text)
        tus.patch(url, 0, b"abc")
        answer = tus.send("GET", url)
        assert (answer.status, answer.body) == (200, b"abc")
        assert answer["Content-Disposition"].startswith("attachment; filename=")
        assert answer["X-Content-Type-Options"] == "nosniff"
        assert "%0D%0A.html" in answer["Content-Disposition"]

    def test_r2_harmless_ones_are_shown(self, tus: Tus) -> None:
        url = tus.create(3, Upload_Metadata=f"filetype {b64('image/png')}")
        tus.patch(url, 0, b"abc")
        assert tus.send("GET", url)["Content-Disposition"] == "inline"
        assert tus.send("GET", url)["Content-Type"] == "image/png"

    def test_r3_an_unfinished_one_is_not_given(self, tus: Tus) -> None:
        url = tus.create(10)
        tus.patch(url, 0, b"abc")
        assert 400 <= tus.send("GET", url).status < 500

    def test_downloads_can_be_off(self, open_tus: Any) -> None:
        tus = open_tus(downloads=False)
        url = tus.create(3)
        tus.patch(url, 0, b"abc")
        assert tus.send("GET", url).status == 405

    @pytest.mark.parametrize(
        ("asked", "status", "begin", "end"),
        [("bytes=0-4", 206, 0, 5), ("bytes=7-", 206, 7, 23), ("bytes=-3", 206, 20, 23),
         ("bytes=20-99", 206, 20, 23), ("bytes=0-0", 206, 0, 1), ("bytes=5-2", 200, 0, 23),
         ("lines=1-2", 200, 0, 23), ("bytes=0-1,3-4", 200, 0, 23), ("bytes=-", 200, 0, 23)],
    )  # fmt: skip
    def test_get_gives_a_range(
        self, tus: Tus, asked: str, status: int, begin: int, end: int
    ) -> None:
        url = tus.create(len(DATA))
        tus.patch(url, 0, DATA)
        answer = tus.send("GET", url, Range=asked)
        assert (answer.status, answer.body) == (status, DATA[begin:end])
        if status == 206:
            assert answer["Content-Range"] == f"bytes {begin}-{end - 1}/23"

    @pytest.mark.parametrize("asked", ["bytes=23-", "bytes=99-100", "bytes=-0"])
    def test_get_refuses_a_range_outside(self, tus: Tus, asked: str) -> None:
        url = tus.create(len(DATA))
        tus.patch(url, 0, DATA)
        answer = tus.send("GET", url, Range=asked)
        assert (answer.status, answer["Content-Range"]) == (416, "bytes */23")

    def test_r4_fifty_creations_at_once(self, tus: Tus) -> None:
        with ThreadPoolExecutor(50) as pool:
            answers = list(pool.map(lambda _: tus.post(5), range(50)))
        assert {answer.status for answer in answers} == {201}
        assert len({answer["Location"] for answer in answers}) == 50

    def test_r5_forged_forwarding_is_ignored(self, open_tus: Any) -> None:
        tus = open_tus(relative_location=False)
        forged = {"X_Forwarded_Host": "evil.example", "X_Forwarded_Proto": "https"}
        answer = tus.post(5, Forwarded="host=evil.example;proto=https", **forged)
        assert answer["Location"].startswith("http://files.example:8080/files/")

    def test_forwarding_is_believed_when_told_to(self, open_tus: Any) -> None:
        tus = open_tus(relative_location=False, trust_forwarded=True)
        one = tus.post(5, X_Forwarded_Host="pub.example", X_Forwarded_Proto="https")
        assert one["Location"].startswith("https://pub.example/files/")
        two = tus.post(5, Forwarded='proto=https;host="pub.example:444", for=x')
        assert two["Location"].startswith("https://pub.example:444/files/")

    def test_a_public_url_is_what_clients_see(self, open_tus: Any) -> None:
        tus = open_tus(public_url="https://pub.example/up")
        part = tus.post(3, b"abc", Upload_Concat="partial")["Location"]
        assert part.startswith("https://pub.example/up/")
        answer = tus.final(part)
        assert answer.status == 201
        url = f"/files/{answer['Location'].rpartition('/')[2]}"
        assert tus.stored(url) == b"abc"

    @pytest.mark.parametrize(
        "name", ["../../etc/passwd", "a\0b", "ä ö", "\U0001f600", "con", "x" * 400, '"; x="', "."]
    )
    def test_r6_any_file_name(self, tus: Tus, name: str) -> None:
        url = tus.create(3, Upload_Metadata=f"filename {b64(name)}")
        assert tus.patch(url, 0, b"abc").status == 204
        assert tus.send("GET", url).status == 200
        assert all(key.startswith("uploads/") for key in tus.made.keys)

    def test_outside_the_base_path_is_not_found(self, tus: Tus) -> None:
        for target in ("/", "/filesx", "/other/files"):
            assert tus.send("POST", target, Upload_Length=3).status == 404

    def test_counters(self, tus: Tus) -> None:
        url = tus.create(3)
        tus.patch(url, 0, b"abc")
        tus.patch(url, 9, b"abc")
        tus.send("DELETE", url)
        found = tus.handler.metrics()  # type: ignore[attr-defined]
        assert found["requests_POST"] == found["uploads_created"] == found["uploads_finished"] == 1
        assert found["requests_PATCH"] == 2
        assert found["bytes_received"] == found["bytes_stored"] == 3
        assert found["errors_409"] == found["uploads_terminated"] == 1


def s3_locker(made: Service) -> S3Locker:
    return S3Locker(
        made.driver, made.container, prefix="uploads/", ttl_seconds=0.5, timeout_seconds=8.0
    )


class TestTwoProcesses:
    """Two handlers over two stores that share nothing but the bucket."""

    @pytest.fixture
    def tus(self, open_tus: Any, made: Service) -> Any:
        return open_tus({"locker": s3_locker(made)})

    @pytest.fixture
    def other(self, tus: Tus, door_kind: str) -> Any:
        uploads = make_uploads(tus.made, locker=s3_locker(tus.made))
        handler = TusHandler(uploads, base_path="/files", max_size_bytes=MAX_SIZE)
        with open_door(door_kind, handler) as door:
            yield Tus(door, tus.made, uploads, "/files")

    def test_z1_an_upload_moves(self, tus: Tus, other: Tus) -> None:
        url = tus.create(len(DATA))
        for at in range(0, len(DATA), 4):
            here = tus if at % 8 else other
            assert here.patch(url, at, DATA[at : at + 4]).status == 204
            assert (other if here is tus else tus).offset(url) == min(at + 4, len(DATA))
        assert tus.stored(url) == DATA

    def test_z2_no_bytes_are_acknowledged_twice(self, tus: Tus, other: Tus) -> None:
        url = tus.create(len(DATA))
        with ThreadPoolExecutor(2) as pool:
            one = pool.submit(tus.patch, url, 0, b"1" * 23)
            two = pool.submit(other.patch, url, 0, b"2" * 23)
            answers = [one.result(), two.result()]
        good = [answer for answer in answers if answer.status == 204]
        full = [answer for answer in good if answer["Upload-Offset"] == "23"]
        assert len(full) <= 1
        offset = tus.offset(url)
        if offset < 23:
            tus.patch(url, offset, b"z" * (23 - offset))
        assert len(set(tus.stored(url)[:offset])) <= 1

    def test_z3_a_stalled_one_is_taken_over(self, tus: Tus, other: Tus) -> None:
        if not tus.is_raw:
            pytest.skip("needs a connection that stalls")
        from tests.web.doors import head_of
        from tests.web.conftest import TYPE, VERSION

        url = tus.create(len(DATA))
        headers = {**VERSION, "Content-Type": TYPE, "Upload-Offset": "0"}
        with tus.door.connect() as stalled:
            sent = Sent(b"x" * 12, length=len(DATA))
            stalled.socket.sendall(head_of("PATCH", url, headers, sent) + sent.data)
            until(lambda: tus.made.fake.requests_of("UploadPart"))
            until(lambda: other.patch(url, other.offset(url)).status == 204, 30.0)
            offset = other.offset(url)
            assert other.patch(url, offset, DATA[offset:]).status == 204
        assert other.stored(url) == b"x" * offset + DATA[offset:]

    def test_z4_a_delete_here_is_seen_there(self, tus: Tus, other: Tus) -> None:
        url = tus.create(10)
        assert other.send("DELETE", url).status == 204
        assert tus.head(url).status in (404, 410)
        assert tus.patch(url, 0, b"abc").status in (404, 410)

    def test_z5_parts_of_both_are_joined(self, tus: Tus, other: Tus) -> None:
        url = tus.final(tus.partial(b"one"), other.partial(b"two-and-more"))["Location"]
        assert other.stored(url) == b"onetwo-and-more"


class TestHooks:
    def test_authorize_refuses_each_action(self, open_tus: Any) -> None:
        seen: list[str] = []
        refused: set[str] = set()

        def authorize(request: Any, action: str, info: Any) -> bool:
            seen.append(action)
            assert (info is None) == (action == "create")
            return action not in refused

        tus = open_tus(hooks=Hooks(authorize=authorize))
        part = tus.partial(b"abc")
        refused |= {"create", "status", "append", "terminate", "read", "join"}
        assert tus.post(3).status == 403
        assert tus.head(part).status == 403
        assert "Upload-Offset" not in tus.head(part)
        assert tus.patch(part, 3).status == 403
        assert tus.send("DELETE", part).status == 403
        assert tus.send("GET", part).status == 403
        refused.discard("create")
        assert tus.final(part).status == 403
        assert set(seen) == {"create", "status", "append", "terminate", "read", "join"}

    @pytest.mark.parametrize("answer", [None, False, 0, "", []])
    def test_only_what_is_true_allows(self, open_tus: Any, answer: Any) -> None:
        tus = open_tus(hooks=Hooks(authorize=lambda request, action, info: answer))
        assert tus.post(3).status == 403
        assert tus.made.fake.requests == []

    def test_what_is_to_be_awaited_allows_nothing(self, open_tus: Any) -> None:
        async def later(*given: Any) -> bool:
            return True

        async def some(*given: Any) -> Any:
            yield True

        class Called:
            async def __call__(self, *given: Any) -> bool:
                return True

        hooks = ("authorize", "on_create", "on_progress", "on_finish", "on_terminate")
        for wrong in (later, some, Called(), partial(later), "a function"):
            for name in hooks:
                with pytest.raises(TypeError, match=name):
                    Hooks(**{name: wrong})
        tus = open_tus(hooks=Hooks(authorize=lambda *given: later(*given)))
        assert tus.post(3).status == 500
        assert tus.made.fake.requests == []

    def test_a_refusal_is_the_apps_own(self, open_tus: Any) -> None:
        def authorize(request: Any, action: str, info: Any) -> None:
            raise Refuse(401, "who are you?", {"WWW-Authenticate": "Basic"})

        answer = open_tus(hooks=Hooks(authorize=authorize)).post(3, Origin=ORIGIN)
        assert (answer.status, answer.body) == (401, b"who are you?")
        assert answer["WWW-Authenticate"] == "Basic"
        assert answer["Access-Control-Allow-Origin"] == "*"

    def test_on_create_chooses_the_key(self, open_tus: Any) -> None:
        def on_create(request: Any, new: Any) -> Any:
            name = new.metadata["filename"].decode()
            return replace(new, key=f"people/7/{name}", extra={"content_type": "text/csv"})

        tus = open_tus(hooks=Hooks(on_create=on_create))
        url = tus.create(3, Upload_Metadata=f"filename {b64('a.csv')}")
        tus.patch(url, 0, b"abc")
        key = tus.uploads.get(tus.id_of(url)).key
        assert key.endswith("people/7/a.csv")
        assert tus.made.fake.objects["bucket"][key].attributes.headers["content-type"] == "text/csv"

    def test_on_create_refuses(self, open_tus: Any) -> None:
        def on_create(request: Any, new: Any) -> None:
            raise Refuse(422, "no")

        tus = open_tus(hooks=Hooks(on_create=on_create))
        assert tus.post(3).status == 422
        assert list(tus.uploads.list()) == []

    def test_on_progress_ends_the_request_and_keeps_what_came(self, open_tus: Any) -> None:
        offsets: list[int] = []

        def on_progress(request: Any, info: Any, offset: int) -> None:
            offsets.append(offset)
            if offset >= 12:
                raise Refuse(403, "over quota")

        tus = open_tus(hooks=Hooks(on_progress=on_progress, progress_seconds=0.0))
        url = tus.create(len(DATA))
        answer = tus.patch(url, 0, Sent(DATA[:20], chunks=(4, 4, 4, 4, 4)))
        assert answer.status == 403
        assert tus.offset(url) == offsets[-1]
        assert 12 <= offsets[-1] <= 20

    @pytest.mark.parametrize("way", ["patch", "post", "final", "empty"])
    def test_on_finish_sees_the_object_once(self, open_tus: Any, way: str) -> None:
        seen: list[tuple[str, int]] = []

        def on_finish(request: Any, info: Any) -> Any:
            assert info.complete
            seen.append((info.key, info.offset))
            return json_response(200, {"key": info.key}, {"X-Key": info.key})

        tus = open_tus(hooks=Hooks(on_finish=on_finish))
        if way == "patch":
            url = tus.create(3)
            answer = tus.patch(url, 0, b"abc")
            assert tus.patch(url, 3).status == 204
        elif way == "final":
            answer = tus.final(tus.partial(b"abc"))
        else:
            answer = tus.post(*((0,) if way == "empty" else (3, b"abc")))
        assert len(seen) == 1
        assert answer.status == 200
        assert answer["X-Key"] == seen[0][0]
        assert ("Location" in answer) == (way != "patch")
        assert answer["Tus-Resumable"] == "1.0.0"
        assert b'"key"' in answer.body

    @pytest.mark.parametrize("way", ["HEAD", "PATCH", "GET", "DELETE", "refused"])
    def test_on_finish_is_told_of_a_completion_made_good_later(
        self, open_tus: Any, way: str
    ) -> None:
        seen: list[str] = []
        refused: set[str] = set()
        hooks = Hooks(
            authorize=lambda request, action, info: action not in refused,
            on_finish=lambda request, info: seen.append(info.key),
        )
        tus, other = open_tus(hooks=hooks), open_tus(hooks=hooks)
        url = tus.create(len(DATA))
        tus.made.fake.script("CompleteMultipartUpload", faults.error("AccessDenied"))
        assert tus.patch(url, 0, DATA).status == 500
        assert seen == []
        if way == "refused":  # Whoever asks, and whether they may: nobody is told again.
            refused.add("status")
            assert other.head(url).status == 403
        elif way == "PATCH":
            assert other.patch(url, len(DATA)).status == 204
        else:
            assert other.send(way, url).status in (200, 204)
        assert len(seen) == 1
        refused.clear()
        assert tus.head(url).status in ((200,) if way != "DELETE" else (404, 410))
        assert len(seen) == 1
        finished = [t.handler.metrics().get("uploads_finished", 0) for t in (tus, other)]
        assert finished == [0, 1]

    @pytest.mark.parametrize("way", ["HEAD", "PATCH"])
    def test_what_on_finish_answers_then_reaches_the_client(self, open_tus: Any, way: str) -> None:
        def on_finish(request: Any, info: Any) -> Any:
            return json_response(201, {"key": info.key}, {"X-Key": info.key})

        tus = open_tus(hooks=Hooks(on_finish=on_finish))
        url = tus.create(len(DATA))
        tus.made.fake.script("CompleteMultipartUpload", faults.error("AccessDenied"))
        assert tus.patch(url, 0, DATA).status == 500
        answer = tus.head(url) if way == "HEAD" else tus.patch(url, len(DATA))
        assert answer["X-Key"] == tus.uploads.get(tus.id_of(url)).key
        assert answer["Upload-Offset"] == str(len(DATA))
        if way == "HEAD":
            assert (answer.status, answer["Cache-Control"]) == (200, "no-store")
            assert "Content-Type" not in answer
        else:
            assert answer.status == 201 and b'"key"' in answer.body

    def test_on_finish_of_many_at_once_is_called_once(self, open_tus: Any) -> None:
        seen: list[str] = []
        tus = open_tus(hooks=Hooks(on_finish=lambda request, info: seen.append(info.key)))
        url = tus.create(len(DATA))
        tus.made.fake.script("CompleteMultipartUpload", faults.error("AccessDenied"))
        assert tus.patch(url, 0, DATA).status == 500
        with ThreadPoolExecutor(6) as pool:
            assert {a.status for a in pool.map(tus.head, [url] * 12)} <= {200, 423}
        assert len(seen) == 1

    def test_on_terminate_refuses(self, open_tus: Any) -> None:
        def on_terminate(request: Any, info: Any) -> None:
            raise Refuse(403, "kept")

        tus = open_tus(hooks=Hooks(on_terminate=on_terminate))
        url = tus.create(3)
        assert tus.send("DELETE", url).status == 403
        assert tus.offset(url) == 0

    def test_finished_ones_may_be_kept(self, open_tus: Any) -> None:
        tus = open_tus(terminates_finished=False)
        url = tus.create(3)
        tus.patch(url, 0, b"abc")
        assert tus.send("DELETE", url).status == 403
        assert tus.send("DELETE", tus.create(3)).status == 204

    def test_a_hook_that_fails_says_nothing_of_it(self, open_tus: Any) -> None:
        def authorize(request: Any, action: str, info: Any) -> None:
            raise RuntimeError("secret")

        answer = open_tus(hooks=Hooks(authorize=authorize)).post(3)
        assert answer.status == 500
        assert b"secret" not in answer.body


class TestStorageFaults:
    def test_a_completion_that_fails_is_not_success(self, tus: Tus) -> None:
        url = tus.create(len(DATA))
        tus.made.fake.script("CompleteMultipartUpload", *[faults.error("InternalError")] * 50)
        assert tus.patch(url, 0, DATA).status in (500, 503)
        assert tus.head(url).status in (500, 503)
        assert "Upload-Offset" not in tus.head(url)

    def test_a_later_head_completes(self, tus: Tus) -> None:
        url = tus.create(len(DATA))
        tus.made.fake.script("CompleteMultipartUpload", *[faults.error("InternalError")] * 6)
        assert tus.patch(url, 0, DATA).status in (204, 500, 503)
        until(lambda: tus.head(url).status == 200)
        assert tus.stored(url) == DATA

    def test_slow_down_is_a_503_with_the_time(self, tus: Tus) -> None:
        tus.made.fake.script(
            "InitiateMultipartUpload", *[faults.error("SlowDown", retry_after="7")] * 50
        )
        answer = tus.post(10)
        assert answer.status == 503
        assert answer["Retry-After"] == "7"
