# SPDX-License-Identifier: Apache-2.0
"""tus 1.0.0, the extensions: each number of the checklist is one test, by three doors."""

from __future__ import annotations

import time
from typing import Any
from email.utils import parsedate_to_datetime

import pytest

from tests.web.doors import Sent, head_of
from tests.web.conftest import TYPE, VERSION, MAX_SIZE, Tus, b64, checksum
from tests.web.test_tus_core import DATA, until


class TestCreationWithUpload:
    def test_w1_w2_a_body_in_the_post_is_stored(self, tus: Tus) -> None:
        answer = tus.post(len(DATA), DATA[:12])
        assert (answer.status, answer["Upload-Offset"]) == (201, "12")
        url = answer["Location"]
        assert tus.offset(url) == 12
        tus.patch(url, 12, DATA[12:])
        assert tus.stored(url) == DATA

    def test_w2_all_of_it_at_once(self, tus: Tus) -> None:
        answer = tus.post(len(DATA), Sent(DATA, chunks=(7,)))
        assert answer["Upload-Offset"] == "23"
        assert tus.stored(answer["Location"]) == DATA

    @pytest.mark.parametrize("chunks", [None, (4,), (100,)])
    def test_w3_more_than_the_length_is_refused_and_nothing_left(
        self, tus: Tus, chunks: Any
    ) -> None:
        assert tus.post(5, Sent(DATA, chunks=chunks)).status == 413
        assert list(tus.uploads.list()) == []
        assert tus.made.fake.uploads == {}

    def test_w4_bytes_of_another_type_are_refused(self, tus: Tus) -> None:
        assert tus.post(5, b"abcde", Content_Type="text/plain").status == 415
        assert list(tus.uploads.list()) == []

    def test_w5_100_continue_comes_before_the_body_or_not_at_all(self, tus: Tus) -> None:
        if not tus.is_raw:
            pytest.skip("needs a connection")
        headers = {**VERSION, "Content-Type": TYPE, "Expect": "100-continue"}
        sent = Sent(b"abcde")
        with tus.door.connect() as refused:
            refused.socket.sendall(
                head_of("POST", tus.base, {**headers, "Upload-Length": "3"}, sent)
            )
            assert refused.answer().status == 413
        with tus.door.connect() as taken:
            taken.socket.sendall(head_of("POST", tus.base, {**headers, "Upload-Length": "5"}, sent))
            assert taken.answer().status == 100
            taken.send_body(sent)
            answer = taken.answer()
        assert (answer.status, answer["Upload-Offset"]) == (201, "5")
        assert tus.stored(answer["Location"]) == b"abcde"

    def test_w6_of_a_broken_post_what_arrived_is_kept(self, tus: Tus) -> None:
        tus.post(len(DATA), Sent(DATA[:12], cut="fin", length=len(DATA)))
        until(lambda: [info.offset for info in tus.uploads.list()] == [12])


class TestDeferredLength:
    def test_l1_head_repeats_it(self, tus: Tus) -> None:
        answer = tus.head(tus.create())
        assert answer["Upload-Defer-Length"] == "1"
        assert "Upload-Length" not in answer

    @pytest.mark.parametrize("text", ["0", "2", "true", "", "11"])
    def test_l2_other_values_are_refused(self, tus: Tus, text: str) -> None:
        assert tus.post(Upload_Defer_Length=text).status == 400

    @pytest.mark.parametrize("last", [b"", DATA[12:]])
    def test_l3_l4_the_length_comes_with_a_later_patch(self, tus: Tus, last: bytes) -> None:
        url = tus.create()
        assert tus.patch(url, 0, DATA[: len(DATA) - len(last)]).status == 204
        answer = tus.patch(url, len(DATA) - len(last), last, Upload_Length=len(DATA))
        assert answer.status == 204
        assert tus.head(url)["Upload-Length"] == "23"
        assert "Upload-Defer-Length" not in tus.head(url)
        assert tus.stored(url) == DATA

    def test_l5_once_set_it_is_fixed(self, tus: Tus) -> None:
        url = tus.create()
        tus.patch(url, 0, b"abc", Upload_Length=10)
        assert tus.patch(url, 3, b"d", Upload_Length=11).status == 400
        assert tus.patch(url, 3, b"d", Upload_Length=10).status == 204  # A repeated request.
        assert tus.head(url)["Upload-Length"] == "10"

    def test_l6_not_below_what_was_received(self, tus: Tus) -> None:
        url = tus.create()
        tus.patch(url, 0, DATA[:12])
        assert tus.patch(url, 12, Upload_Length=11).status == 400
        assert tus.head(url)["Upload-Defer-Length"] == "1"

    def test_l7_not_above_the_most(self, tus: Tus) -> None:
        url = tus.create()
        assert tus.patch(url, 0, Upload_Length=MAX_SIZE + 1).status == 413

    @pytest.mark.parametrize("chunks", [None, (100,)])
    def test_l8_it_does_not_grow_beyond_the_most(self, tus: Tus, chunks: Any) -> None:
        url = tus.create()
        assert tus.patch(url, 0, Sent(b"x" * (MAX_SIZE + 1), chunks=chunks)).status == 413
        assert tus.offset(url) <= MAX_SIZE

    def test_l9_an_empty_one(self, tus: Tus) -> None:
        url = tus.create()
        assert tus.patch(url, 0, Upload_Length=0).status == 204
        assert tus.stored(url) == b""


class TestExpiration:
    def test_e1_e2_the_time_is_told_while_it_is_unfinished(self, open_tus: Any) -> None:
        tus = open_tus({"expires": 3600})
        assert "expiration" in tus.send("OPTIONS", tus.base)["Tus-Extension"].split(",")
        created = tus.post(10)
        url = created["Location"]
        for answer in (created, tus.patch(url, 0, b"abc"), tus.head(url)):
            when = parsedate_to_datetime(answer["Upload-Expires"]).timestamp()
            assert 3500 < when - time.time() < 3700
            assert answer["Upload-Expires"].endswith(" GMT")

    def test_e3_then_it_is_gone(self, open_tus: Any) -> None:
        tus = open_tus({"expires": 0.05})
        url = tus.create(10)
        until(lambda: tus.head(url).status in (404, 410))
        assert tus.patch(url, 0, b"abc").status in (404, 410)

    def test_e4_a_finished_one_stays(self, open_tus: Any) -> None:
        tus = open_tus({"expires": 0.3})
        url = tus.create(3)
        answer = tus.patch(url, 0, b"abc")
        assert answer.status == 204
        assert "Upload-Expires" not in answer
        time.sleep(0.35)
        assert tus.head(url).status == 200


class TestChecksum:
    @pytest.mark.parametrize("algorithm", ["sha1", "sha256", "md5", "crc32"])
    def test_k1_k6_each_announced_one_is_checked(self, tus: Tus, algorithm: str) -> None:
        url = tus.create(len(DATA))
        wrong = tus.patch(url, 0, DATA[:12], Upload_Checksum=checksum(DATA[:11], algorithm))
        assert wrong.status == 460
        for at, piece in ((0, DATA[:12]), (12, DATA[12:])):
            answer = tus.patch(url, at, piece, Upload_Checksum=checksum(piece, algorithm))
            assert answer.status == 204
        assert tus.stored(url) == DATA

    @pytest.mark.parametrize("size", [3, 12, 23])
    def test_k2_k3_a_wrong_chunk_is_thrown_away_whole(self, tus: Tus, size: int) -> None:
        url = tus.create(len(DATA))
        answer = tus.patch(url, 0, b"?" * size, Upload_Checksum=checksum(b"!" * size))
        assert answer.status == 460
        assert tus.offset(url) == 0
        tus.patch(url, 0, DATA)
        assert tus.stored(url) == DATA

    @pytest.mark.parametrize("text", [f"sha3 {b64('x')}", f"SHA1 {b64(b'x' * 20)}", "crc99 AAAA"])
    def test_k4_an_unknown_algorithm_is_refused(self, tus: Tus, text: str) -> None:
        url = tus.create(10)
        assert tus.patch(url, 0, b"abc", Upload_Checksum=text).status == 400
        assert tus.offset(url) == 0

    @pytest.mark.parametrize("text", ["", "sha1", "sha1 !!!", f"sha1 {b64('short')}", "sha1 ä"])
    def test_k5_a_malformed_one_is_refused(self, tus: Tus, text: str) -> None:
        url = tus.create(10)
        assert tus.patch(url, 0, b"abc", Upload_Checksum=text).status == 400
        assert tus.offset(url) == 0

    def test_k7_on_a_post(self, tus: Tus) -> None:
        answer = tus.post(5, b"abcde", Upload_Checksum=checksum(b"abcde"))
        assert tus.stored(answer["Location"]) == b"abcde"
        assert tus.post(5, b"abcde", Upload_Checksum=checksum(b"abcdx")).status == 460
        assert len(list(tus.uploads.list())) == 1

    @pytest.mark.parametrize("is_right", [True, False])
    def test_k8_in_a_trailer(self, tus: Tus, is_right: bool) -> None:
        url = tus.create(len(DATA))
        trailers = {"Upload-Checksum": checksum(DATA if is_right else DATA[1:])}
        sent = Sent(DATA, chunks=(7,), trailers=trailers)
        answer = tus.patch(url, 0, sent, Trailer="Upload-Checksum")
        if not tus.door.gives_trailers:  # Not announced, and not passed over in silence.
            assert answer.status == 400
        elif is_right:
            assert answer.status == 204
            assert tus.stored(url) == DATA
        else:
            assert answer.status == 460
            assert tus.offset(url) == 0

    def test_k8_an_announced_trailer_must_come(self, tus: Tus) -> None:
        url = tus.create(len(DATA))
        assert tus.patch(url, 0, Sent(DATA, chunks=(7,)), Trailer="Upload-Checksum").status == 400
        assert tus.offset(url) == 0

    def test_a_broken_checked_chunk_is_not_stored(self, tus: Tus) -> None:
        url = tus.create(len(DATA))
        sent = Sent(DATA[:12], cut="fin", length=len(DATA))
        tus.patch(url, 0, sent, Upload_Checksum=checksum(DATA))
        time.sleep(0.05)
        assert tus.offset(url) == 0


class TestTermination:
    @pytest.mark.parametrize("sent", [0, 3, 12, 23])
    def test_t1_t2_then_it_is_gone(self, tus: Tus, sent: int) -> None:
        url = tus.create(len(DATA))
        tus.patch(url, 0, DATA[:sent])
        assert tus.send("DELETE", url).status == 204
        assert tus.head(url).status in (404, 410)
        assert tus.patch(url, sent, DATA[sent:]).status in (404, 410)
        assert tus.made.fake.uploads == {}

    def test_t3_unknown_is_not_found(self, tus: Tus) -> None:
        assert tus.send("DELETE", f"{tus.base}/{'0' * 32}").status in (404, 410)
        url = tus.create(5)
        tus.send("DELETE", url)
        assert tus.send("DELETE", url).status in (404, 410)

    def test_t4_during_a_patch(self, tus: Tus) -> None:
        if not tus.is_raw:
            pytest.skip("needs a connection that stalls")
        url = tus.create(len(DATA))
        headers = {**VERSION, "Content-Type": TYPE, "Upload-Offset": "0"}
        with tus.door.connect() as writing:
            sent = Sent(DATA[:12], length=len(DATA))
            writing.socket.sendall(head_of("PATCH", url, headers, sent) + sent.data)
            until(lambda: tus.made.fake.requests_of("UploadPart"))
            assert tus.send("DELETE", url).status == 204
            writing.socket.sendall(DATA[12:])
            assert 400 <= writing.answer().status < 500
        assert tus.head(url).status in (404, 410)
        until(lambda: tus.made.fake.uploads == {})


class TestConcatenation:
    def test_n1_a_partial_one_says_so(self, tus: Tus) -> None:
        assert tus.head(tus.partial(b"abc"))["Upload-Concat"] == "partial"

    @pytest.mark.parametrize("sizes", [(3, 3), (1, 23), (23, 1), (5, 5, 5), (12, 2, 7, 1), (9,)])
    def test_n2_to_n5_order_and_sizes(self, tus: Tus, sizes: tuple[int, ...]) -> None:
        pieces = [bytes([65 + n]) * size for n, size in enumerate(sizes)]
        answer = tus.final(*(tus.partial(piece) for piece in pieces))
        assert answer.status == 201
        url = answer["Location"]
        assert tus.stored(url) == b"".join(pieces)
        head = tus.head(url)
        assert head["Upload-Length"] == head["Upload-Offset"] == str(sum(sizes))
        assert head["Upload-Concat"].startswith("final;")

    def test_n5_the_order_is_the_one_named(self, tus: Tus) -> None:
        one, two = tus.partial(b"one"), tus.partial(b"two")
        assert tus.stored(tus.final(two, one)["Location"]) == b"twoone"

    def test_n6_a_final_one_takes_no_bytes(self, tus: Tus) -> None:
        url = tus.final(tus.partial(b"abc"))["Location"]
        for offset in (0, 3):
            assert tus.patch(url, offset, b"d").status == 403

    def test_n7_an_unfinished_part_is_refused(self, tus: Tus) -> None:
        url = tus.create(10, Upload_Concat="partial")
        tus.patch(url, 0, b"abc")
        assert tus.final(tus.partial(b"abc"), url).status == 400

    @pytest.mark.parametrize(
        "url",
        ["https://evil.example/files/{id}", "//evil.example/files/{id}", "/other/{id}",
         "http://[bad/files/{id}", "{base}/../x", "ftp://files.example:8080{base}x", "{base}/"],
    )  # fmt: skip
    def test_n8_a_foreign_url_is_refused(self, tus: Tus, url: str) -> None:
        part = tus.id_of(tus.partial(b"abc"))
        answer = tus.final(url.format(id=part, base=tus.base))
        assert 400 <= answer.status < 500

    def test_n8_an_unknown_part_is_refused(self, tus: Tus) -> None:
        assert 400 <= tus.final(f"{tus.base}/{'0' * 32}").status < 500

    def test_n8_one_that_is_not_partial_is_refused(self, tus: Tus) -> None:
        url = tus.create(3)
        tus.patch(url, 0, b"abc")
        assert tus.final(url).status == 400

    def test_n9_relative_and_whole_urls(self, tus: Tus) -> None:
        part = tus.partial(b"abc")
        for url in (part, f"http://files.example:8080{part}", tus.id_of(part).replace("+", "%2B")):
            assert tus.stored(tus.final(url)["Location"]) == b"abc"

    def test_n10_metadata_is_the_finals_own(self, tus: Tus) -> None:
        part = tus.create(3, Upload_Concat="partial", Upload_Metadata=f"a {b64('part')}")
        tus.patch(part, 0, b"abc")
        mine = f"b {b64('final')}"
        assert (
            tus.head(tus.final(part, Upload_Metadata=mine)["Location"])["Upload-Metadata"] == mine
        )
        assert "Upload-Metadata" not in tus.head(tus.final(part)["Location"])

    def test_n11_the_same_one_twice(self, tus: Tus) -> None:
        part = tus.partial(b"abcdef")
        assert tus.stored(tus.final(part, part)["Location"]) == b"abcdefabcdef"

    def test_n12_a_part_may_be_used_again(self, tus: Tus) -> None:
        one, two = tus.partial(b"one"), tus.partial(b"two")
        assert tus.stored(tus.final(one)["Location"]) == b"one"
        assert tus.stored(tus.final(one, two)["Location"]) == b"onetwo"

    @pytest.mark.parametrize(
        "text", ["", "final", "final;", "finals;/a", "partial;", "Partial", "x"]
    )
    def test_n13_malformed(self, tus: Tus, text: str) -> None:
        assert tus.send("POST", tus.base, Upload_Concat=text, Upload_Length=3).status == 400

    def test_n14_an_empty_part(self, tus: Tus) -> None:
        empty, part = tus.partial(b""), tus.partial(b"abc")
        assert tus.stored(tus.final(empty, part, empty)["Location"]) == b"abc"
        assert tus.stored(tus.final(empty)["Location"]) == b""

    def test_n15_above_the_most(self, tus: Tus) -> None:
        part = tus.partial(b"x" * 200)
        assert tus.final(part, part, part).status == 413

    @pytest.mark.parametrize("header", ["Upload_Length", "Upload_Defer_Length"])
    def test_n16_a_length_of_its_own_is_refused(self, tus: Tus, header: str) -> None:
        assert tus.final(tus.partial(b"abc"), **{header: "1"}).status == 400
