# SPDX-License-Identifier: Apache-2.0
"""tus 1.0.0, the core and creation: each number of the checklist is one test, by three doors.

The numbers (D1, P14, ...) are those of the checklist in ``docs/tus.md``.
"""

from __future__ import annotations

import time
from typing import Any
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.web.doors import Sent, head_of
from tests.unit.small import PATIENCE_SECONDS
from tests.web.conftest import TYPE, VERSION, MAX_SIZE, Tus, b64

DATA = bytes(range(65, 65 + 23))  # four parts of five bytes and a tail of three


def until(condition: Any, seconds: float = PATIENCE_SECONDS) -> None:
    """Wait for what another thread brings about."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.005)


class TestDiscovery:
    def test_d1_options_tells_the_version(self, tus: Tus) -> None:
        answer = tus.send("OPTIONS", tus.base)
        assert answer.status in (200, 204)
        assert "1.0.0" in answer["Tus-Version"].split(",")

    @pytest.mark.parametrize("version", [None, "0.0.1", "nonsense"])
    def test_d2_options_ignores_the_version_asked_for(self, tus: Tus, version: str | None) -> None:
        assert tus.send("OPTIONS", tus.base, Tus_Resumable=version).status == 204

    def test_d3_extensions_are_those_that_work(self, tus: Tus) -> None:
        found = set(tus.send("OPTIONS", tus.base)["Tus-Extension"].split(","))
        wanted = {"creation", "creation-with-upload", "creation-defer-length", "checksum"}
        wanted |= {"termination", "concatenation"}
        assert found - {"checksum-trailer"} == wanted
        assert ("checksum-trailer" in found) == tus.door.gives_trailers

    def test_d4_the_most_bytes_are_told(self, tus: Tus) -> None:
        assert tus.send("OPTIONS", tus.base)["Tus-Max-Size"] == str(MAX_SIZE)

    def test_d5_checksum_algorithms_include_sha1(self, tus: Tus) -> None:
        named = tus.send("OPTIONS", tus.base)["Tus-Checksum-Algorithm"].split(",")
        assert named == ["sha1", "sha256", "md5", "crc32"]


class TestVersion:
    @pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE", "HEAD"])
    def test_v1_to_v4_a_foreign_version_is_not_processed(self, tus: Tus, method: str) -> None:
        url = tus.create(10)
        before = tus.s3_requests()
        target = tus.base if method == "POST" else url
        headers = {"Upload_Length": 5, "Upload_Offset": 0, "Content_Type": TYPE}
        sent = b"abcde" if method == "PATCH" else None
        answer = tus.send(method, target, sent, Tus_Resumable="0.2.2", **headers)
        assert answer.status == 412
        assert answer["Tus-Version"] == "1.0.0"
        assert tus.s3_requests() == before
        assert tus.offset(url) == 0

    def test_v5_every_answer_has_the_version(self, tus: Tus) -> None:
        url = tus.create(3)
        answers = [
            tus.send("OPTIONS", tus.base),
            tus.post(3),
            tus.post(),
            tus.head(url),
            tus.head(f"{tus.base}/none"),
            tus.patch(url, 9),
            tus.patch(url, 0, b"abc"),
            tus.send("GET", url),
            tus.send("PUT", url),
            tus.send("DELETE", url),
            tus.send("GET", "/elsewhere"),
        ]
        assert {answer["Tus-Resumable"] for answer in answers} == {"1.0.0"}

    @pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE"])
    def test_v6_no_version_is_no_tus(self, tus: Tus, method: str) -> None:
        url = tus.create(10)
        target = tus.base if method == "POST" else url
        answer = tus.send(
            method, target, Tus_Resumable=None, Upload_Length=5, Upload_Offset=0, Content_Type=TYPE
        )
        assert answer.status == 412
        assert tus.offset(url) == 0


class TestCreation:
    def test_c1_creating_gives_a_location(self, tus: Tus) -> None:
        answer = tus.post(10)
        assert answer.status == 201
        assert answer["Location"].startswith(f"{tus.base}/")
        assert tus.offset(answer["Location"]) == 0

    def test_c2_locations_are_unique(self, tus: Tus) -> None:
        assert len({tus.create(10) for _ in range(5)}) == 5

    def test_c3_no_length_is_refused(self, tus: Tus) -> None:
        assert tus.post().status == 400

    def test_c4_both_lengths_are_refused(self, tus: Tus) -> None:
        assert tus.post(10, Upload_Defer_Length="1").status == 400

    @pytest.mark.parametrize("text", ["", "abc", "-1", "1.5", "0x10", "1e3", "+5", "1 2", "\u0661"])
    def test_c5_a_malformed_length_is_refused(self, tus: Tus, text: str) -> None:
        if not text.isascii() and tus.is_raw:
            text = "\xb9"  # A superscript one, a digit to Python.
        assert tus.send("POST", tus.base, Upload_Length=text).status == 400

    @pytest.mark.parametrize("digits", [18, 19, 30, 400])
    def test_c6_an_absurd_length_is_the_clients_mistake(self, tus: Tus, digits: int) -> None:
        answer = tus.send("POST", tus.base, Upload_Length="9" * digits)
        assert answer.status == 413

    def test_c7_more_than_the_most_is_refused(self, tus: Tus) -> None:
        assert tus.post(MAX_SIZE).status == 201
        assert tus.post(MAX_SIZE + 1).status == 413

    def test_c8_an_empty_upload_is_complete_at_once(self, tus: Tus) -> None:
        url = tus.create(0)
        answer = tus.head(url)
        assert (answer["Upload-Offset"], answer["Upload-Length"]) == ("0", "0")
        assert tus.stored(url) == b""

    def test_c9_another_type_on_an_empty_post_is_fine(self, tus: Tus) -> None:
        assert tus.send("POST", tus.base, Upload_Length=5, Content_Type="text/x").status == 201


class TestMetadata:
    def test_m1_m2_metadata_comes_back_byte_for_byte(self, tus: Tus) -> None:
        text = f"name {b64('ä.txt')},is_confidential,type {b64('text/plain')}"
        url = tus.create(10, Upload_Metadata=text)
        assert tus.head(url)["Upload-Metadata"] == text

    def test_m3_also_when_it_is_finished(self, tus: Tus) -> None:
        text = f"name {b64('a.txt')}"
        url = tus.create(5, Upload_Metadata=text)
        tus.patch(url, 0, b"abcde")
        assert tus.head(url)["Upload-Metadata"] == text

    def test_m4_no_empty_header(self, tus: Tus) -> None:
        assert "Upload-Metadata" not in tus.head(tus.create(10))
        assert "Upload-Metadata" not in tus.head(tus.create(10, Upload_Metadata=""))

    def test_m5_values_are_any_bytes(self, tus: Tus) -> None:
        text = f"raw {b64(bytes(range(256)))}"
        url = tus.create(3, Upload_Metadata=text)
        assert tus.patch(url, 0, b"abc").status == 204
        assert tus.head(url)["Upload-Metadata"] == text

    def test_m6_no_header_is_injected(self, tus: Tus) -> None:
        evil = b64('x"\r\nX-Evil: 1\r\n\r\n')
        text = f"filename {evil},filetype {evil},name {evil}"
        url = tus.create(3, Upload_Metadata=text)
        assert tus.patch(url, 0, b"abc").status == 204
        for answer in (tus.head(url), tus.send("GET", url)):
            assert answer.status == 200
            assert "X-Evil" not in answer

    @pytest.mark.parametrize("text", ["a !!!", " ,a", "a YQ=", "a YQ==,a YQ==", "ä YQ==", "a b c"])
    def test_m7_malformed_metadata_is_refused(self, tus: Tus, text: str) -> None:
        assert tus.post(5, Upload_Metadata=text).status == 400

    @pytest.mark.parametrize("size", [2000, 5000, 40000])
    def test_m8_m9_large_metadata_is_kept(self, tus: Tus, size: int) -> None:
        text = f"note {b64(b'n' * size)},filename {b64('f' * 900)}"
        url = tus.create(3, Upload_Metadata=text)
        assert tus.patch(url, 0, b"abc").status == 204
        assert tus.head(url)["Upload-Metadata"] == text


class TestHead:
    def test_h1_offset_length_and_no_store(self, tus: Tus) -> None:
        answer = tus.head(tus.create(10))
        assert answer.status == 200
        assert answer["Upload-Offset"] == "0"
        assert answer["Upload-Length"] == "10"
        assert answer["Cache-Control"] == "no-store"

    def test_h2_also_when_it_is_finished(self, tus: Tus) -> None:
        url = tus.create(3)
        tus.patch(url, 0, b"abc")
        answer = tus.head(url)
        assert (answer["Upload-Offset"], answer["Upload-Length"]) == ("3", "3")
        assert answer["Cache-Control"] == "no-store"

    def test_h3_unknown_has_no_offset(self, tus: Tus) -> None:
        answer = tus.head(f"{tus.base}/{'0' * 32}")
        assert answer.status in (403, 404, 410)
        assert "Upload-Offset" not in answer

    @pytest.mark.parametrize(
        "odd", ["..", "%2e%2e", "%00", "+", "a+b", "a%2Fb", "a/b", "%E4", "x" * 2000, "a%0d%0aX:1"]
    )
    @pytest.mark.parametrize("method", ["HEAD", "PATCH", "DELETE", "GET"])
    def test_h4_odd_ids_are_not_found(self, tus: Tus, odd: str, method: str) -> None:
        answer = tus.send(method, f"{tus.base}/{odd}", Upload_Offset=0, Content_Type=TYPE)
        assert 400 <= answer.status < 500

    def test_head_asks_s3_twice_at_most(self, tus: Tus) -> None:
        url = tus.create(23)
        tus.patch(url, 0, DATA[:12])
        before = tus.s3_requests()
        assert tus.offset(url) == 12
        assert tus.s3_requests() - before <= 2


class TestPatch:
    def test_p1_the_answer_has_the_new_offset(self, tus: Tus) -> None:
        url = tus.create(10)
        answer = tus.patch(url, 0, b"abc")
        assert (answer.status, answer["Upload-Offset"]) == (204, "3")
        assert tus.offset(url) == 3

    @pytest.mark.parametrize("size", [1, 2, 4, 5, 6, 11, 23])
    def test_p2_p3_any_cut_gives_the_same_bytes(self, tus: Tus, size: int) -> None:
        url = tus.create(len(DATA))
        for at in range(0, len(DATA), size):
            answer = tus.patch(url, at, DATA[at : at + size])
            assert answer["Upload-Offset"] == str(min(at + size, len(DATA)))
        assert tus.stored(url) == DATA

    @pytest.mark.parametrize("offset", [0, 2, 4, 11])
    def test_p4_another_offset_is_a_conflict(self, tus: Tus, offset: int) -> None:
        url = tus.create(10)
        tus.patch(url, 0, b"abc")
        assert tus.patch(url, offset, b"d").status == 409
        assert tus.offset(url) == 3

    @pytest.mark.parametrize("offset", [None, "", "-1", "a", "1.0", "9" * 500])
    def test_p5_a_malformed_offset_is_refused(self, tus: Tus, offset: str | None) -> None:
        url = tus.create(10)
        assert tus.patch(url, offset, b"abc").status in (400, 409)
        assert tus.offset(url) == 0

    @pytest.mark.parametrize("kind", [None, "application/octet-stream", "text/plain", ""])
    def test_p6_p7_another_type_is_refused_and_not_stored(self, tus: Tus, kind: Any) -> None:
        url = tus.create(10)
        assert tus.patch(url, 0, b"abc", Content_Type=kind).status == 415
        assert tus.offset(url) == 0

    def test_p8_an_unknown_upload_is_not_found(self, tus: Tus) -> None:
        assert tus.patch(f"{tus.base}/{'0' * 32}", 0, b"abc").status == 404

    @pytest.mark.parametrize("already", [0, 8])
    @pytest.mark.parametrize("chunks", [None, (4,), (10,), (100,)])
    def test_p9_p10_more_than_the_length_is_refused(
        self, tus: Tus, chunks: Any, already: int
    ) -> None:
        url = tus.create(10)
        tus.patch(url, 0, b"x" * already)
        answer = tus.patch(url, already, Sent(b"y" * 23, chunks=chunks))
        assert answer.status == 413
        assert tus.offset(url) < 10
        rest = tus.offset(url)
        assert tus.patch(url, rest, b"z" * (10 - rest)).status == 204
        assert len(tus.stored(url)) == 10

    @pytest.mark.parametrize("chunks", [(1, 1, 1), (7,), (100,)])
    def test_p11_a_chunked_body_is_taken(self, tus: Tus, chunks: Any) -> None:
        url = tus.create(len(DATA))
        answer = tus.patch(url, 0, Sent(DATA, chunks=chunks))
        assert (answer.status, answer["Upload-Offset"]) == (204, "23")
        assert tus.stored(url) == DATA

    def test_p12_an_empty_patch_is_fine(self, tus: Tus) -> None:
        url = tus.create(10)
        tus.patch(url, 0, b"abc")
        answer = tus.patch(url, 3)
        assert (answer.status, answer["Upload-Offset"]) == (204, "3")

    def test_p13_a_finished_upload_does_not_change(self, tus: Tus) -> None:
        url = tus.create(3)
        tus.patch(url, 0, b"abc")
        assert tus.patch(url, 3, b"d").status == 413
        assert tus.patch(url, 0, b"xyz").status == 409
        assert tus.patch(url, 3).status == 204
        assert tus.stored(url) == b"abc"

    @pytest.mark.parametrize("cut", ["fin", "rst"])
    @pytest.mark.parametrize("arrived", [0, 1, 5, 12, 22])
    def test_p14_p15_p16_what_arrived_before_a_break_is_kept(
        self, tus: Tus, cut: str, arrived: int
    ) -> None:
        url = tus.create(len(DATA))
        tus.patch(url, 0, Sent(DATA[:arrived], cut=cut, length=len(DATA)))
        if cut == "fin":
            until(lambda: tus.offset(url) == arrived)

        def resumed() -> bool:  # What was cut off by RST may still be being stored.
            rest = tus.offset(url)
            return tus.patch(url, rest, DATA[rest:]).status == 204

        until(resumed)
        assert tus.stored(url) == DATA

    def test_p17_a_cut_chunked_body_is_not_the_end(self, tus: Tus) -> None:
        url = tus.create()
        tus.patch(url, 0, Sent(DATA[:12], chunks=(6,), cut="fin"))
        until(lambda: tus.offset(url) == 12)
        assert tus.head(url)["Upload-Defer-Length"] == "1"
        tus.patch(url, 12, DATA[12:], Upload_Length=len(DATA))
        assert tus.stored(url) == DATA

    def test_p18_a_stalled_patch_does_not_block(self, tus: Tus) -> None:
        if not tus.is_raw:
            pytest.skip("needs a connection that stalls")
        url = tus.create(len(DATA))
        headers = {**VERSION, "Content-Type": TYPE, "Upload-Offset": "0"}
        with tus.door.connect() as stalled:
            sent = Sent(b"x" * 12, length=len(DATA))
            stalled.socket.sendall(head_of("PATCH", url, headers, sent) + sent.data)
            until(lambda: tus.made.fake.requests_of("UploadPart"))
            offset = tus.offset(url)
            until(lambda: tus.patch(url, tus.offset(url), b"").status == 204)
            offset = tus.offset(url)
            assert tus.patch(url, offset, DATA[offset:]).status == 204
        until(lambda: tus.offset(url) == len(DATA))
        assert tus.stored(url) == b"x" * offset + DATA[offset:]

    def test_p19_of_two_at_once_one_wins(self, tus: Tus) -> None:
        url = tus.create(len(DATA))
        bodies = [bytes([letter]) * len(DATA) for letter in b"abcd"]
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda body: tus.patch(url, 0, body).status, bodies))
        assert set(answers) <= {204, 409, 423}
        assert 204 in answers or tus.offset(url) < len(DATA)
        offset = tus.offset(url)
        if offset < len(DATA):
            tus.patch(url, offset, b"z" * (len(DATA) - offset))
        stored = tus.stored(url)
        assert len(set(stored[:offset])) == 1

    @pytest.mark.parametrize("method", ["PATCH", "patch"])
    def test_p20_the_method_may_be_in_a_header(self, tus: Tus, method: str) -> None:
        url = tus.create(3)
        answer = tus.send(
            "POST", url, b"abc", X_HTTP_Method_Override=method, Upload_Offset=0, Content_Type=TYPE
        )
        assert answer.status == 204
        assert tus.send("POST", url, X_HTTP_Method_Override="DELETE").status == 204
        assert tus.head(url).status in (404, 410)

    def test_p21_p22_100_continue_comes_before_the_body_or_not_at_all(self, tus: Tus) -> None:
        if not tus.is_raw:
            pytest.skip("needs a connection")
        url = tus.create(5)
        headers = {**VERSION, "Content-Type": TYPE, "Expect": "100-continue"}
        with tus.door.connect() as refused:
            sent = Sent(b"abcde")
            refused.socket.sendall(head_of("PATCH", url, {**headers, "Upload-Offset": "3"}, sent))
            assert refused.answer().status == 409
        with tus.door.connect() as taken:
            taken.socket.sendall(head_of("PATCH", url, {**headers, "Upload-Offset": "0"}, sent))
            assert taken.answer().status == 100
            taken.send_body(sent)
            assert taken.answer().status == 204
        assert tus.stored(url) == b"abcde"

    def test_p23_the_connection_is_in_step_after_a_refusal(self, tus: Tus) -> None:
        if not tus.is_raw:
            pytest.skip("needs a connection")
        url = tus.create(200)
        headers = {**VERSION, "Content-Type": TYPE, "Upload-Offset": "7"}
        inner = head_of("DELETE", url, VERSION, Sent())
        with tus.door.connect() as connection:
            answer = connection.send("PATCH", url, headers, Sent(inner))
            assert answer.status == 409
            if answer.headers.get("connection") != "close":
                assert connection.send("HEAD", url, VERSION).status == 200
        assert tus.offset(url) == 0
