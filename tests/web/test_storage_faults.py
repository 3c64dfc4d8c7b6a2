# SPDX-License-Identifier: Apache-2.0
"""What goes wrong between the server and S3, as a client sees it: a true offset, or an error.

The law of all of them: after a fault the client asks where it is, and sends *other* bytes from
there on. What results is its first bytes up to that offset and its later ones behind it; what was
acknowledged (204) is never asked for again. Nothing is left over but what the upload needs.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.fake_s3 import faults
from tests.web.conftest import Tus, make_uploads
from tests.web.test_tus_core import DATA, until

OTHER = bytes(byte + 100 for byte in DATA)
PASSING = ("InternalError", "SlowDown", "ServiceUnavailable")


def goes_on(tus: Tus, url: str, *, sent: bytes, acknowledged: int = 0) -> int:
    """Ask where the upload is, send other bytes from there on, and compare; gives the offset."""
    tus.made.fake.clear_scripts()
    offset = tus.offset(url)
    assert acknowledged <= offset <= len(sent)
    if offset < len(DATA):
        answer = tus.patch(url, offset, OTHER[offset:])
        assert (answer.status, answer["Upload-Offset"]) == (204, str(len(DATA)))
    assert tus.stored(url) == sent[:offset] + OTHER[offset:]
    assert tus.made.fake.uploads == {}
    kinds = {key.rpartition(".")[2] for key in tus.made.keys if "." in key.rpartition("/")[2]}
    assert kinds <= {"info"}  # Tails and locks are gone.
    return offset


class TestParts:
    @pytest.mark.parametrize("number", [1, 2, 3, 4])
    @pytest.mark.parametrize("code", ["AccessDenied", "InternalError", "SlowDown"])
    def test_a_part_that_fails_for_good(self, tus: Tus, number: int, code: str) -> None:
        url = tus.create(len(DATA))
        tus.made.fake.script("UploadPart", faults.error(code), part_number=number, forever=True)
        answer = tus.patch(url, 0, DATA)
        assert answer.status == (503 if code in PASSING else 500)
        assert ("Retry-After" in answer) == (code in PASSING)
        # Never more than what is before the gap, whichever parts behind it arrived.
        assert goes_on(tus, url, sent=DATA) <= 5 * (number - 1)

    @pytest.mark.parametrize("code", PASSING)
    def test_a_part_that_fails_for_a_while_is_no_news(self, tus: Tus, code: str) -> None:
        url = tus.create(len(DATA))
        tus.made.fake.script("UploadPart", *[faults.error(code)] * 3, part_number=2)
        answer = tus.patch(url, 0, DATA)
        assert (answer.status, answer["Upload-Offset"]) == (204, str(len(DATA)))
        assert tus.stored(url) == DATA

    @pytest.mark.parametrize("fault", [faults.reset(applied=True), faults.close(applied=True)])
    def test_a_lost_answer_to_a_part(self, tus: Tus, fault: Any) -> None:
        url = tus.create(len(DATA))
        tus.made.fake.script("UploadPart", fault, part_number=2)
        assert tus.patch(url, 0, DATA).status == 204
        assert tus.stored(url) == DATA


class TestAborted:
    def test_before_a_patch_it_is_gone(self, tus: Tus) -> None:
        url = tus.create(len(DATA))
        assert tus.patch(url, 0, DATA[:12]).status == 204
        tus.made.fake.uploads.clear()  # A lifecycle rule, or somebody's clean-up.
        assert tus.patch(url, 12, DATA[12:]).status == 410
        answer = tus.head(url)
        assert answer.status == 410 and "Upload-Offset" not in answer
        assert tus.send("DELETE", url).status == 410
        make_uploads(tus.made).expire(older_than=-1.0)
        assert tus.made.keys == []

    def test_within_a_patch_nothing_more_is_acknowledged(self, tus: Tus) -> None:
        url = tus.create(len(DATA))
        assert tus.patch(url, 0, DATA[:7]).status == 204
        gone = faults.error("NoSuchUpload")
        tus.made.fake.script("UploadPart", faults.pass_through(), gone, forever=True)
        answer = tus.patch(url, 7, DATA[7:])
        assert answer.status in (404, 410, 500, 503)
        assert "Upload-Offset" not in answer
        goes_on(tus, url, sent=DATA, acknowledged=7)  # It was not gone after all.


class TestComplete:
    @pytest.mark.parametrize(
        "fault",
        [
            faults.reset(applied=True),
            faults.close(applied=True),
            faults.error("InternalError", applied=True),
            faults.error_in_200(applied=True),
            faults.empty_body(applied=True),
            faults.truncated_xml(applied=True),
        ],
        ids=lambda fault: fault.name,
    )
    def test_a_lost_answer_is_found_out(self, tus: Tus, fault: Any) -> None:
        url = tus.create(len(DATA))
        tus.made.fake.script("CompleteMultipartUpload", fault)
        answer = tus.patch(url, 0, DATA)
        assert (answer.status, answer["Upload-Offset"]) == (204, str(len(DATA)))
        assert goes_on(tus, url, sent=DATA, acknowledged=len(DATA)) == len(DATA)

    def test_an_outcome_that_nobody_tells_is_no_success_yet(self, tus: Tus) -> None:
        url = tus.create(len(DATA))
        tus.made.fake.script("CompleteMultipartUpload", faults.reset(applied=True))
        tus.made.fake.script("CompleteMultipartUpload", faults.error("InternalError"), forever=True)
        tus.made.fake.script("HeadObject", faults.error("InternalError"), forever=True)
        answer = tus.patch(url, 0, DATA)
        assert answer.status == 503 and "Upload-Offset" not in answer
        assert tus.head(url).status == 503
        assert goes_on(tus, url, sent=DATA) == len(DATA)

    @pytest.mark.parametrize("code", ["AccessDenied", "InternalError", "SlowDown"])
    def test_a_refusal_keeps_all_bytes(self, tus: Tus, code: str) -> None:
        url = tus.create(len(DATA))
        tus.made.fake.script("CompleteMultipartUpload", faults.error(code), forever=True)
        assert tus.patch(url, 0, DATA).status == (503 if code in PASSING else 500)
        assert "Upload-Offset" not in tus.head(url)
        assert goes_on(tus, url, sent=DATA) == len(DATA)


class TestBetween:
    """What dies or fails between the tail, the parts and the record."""

    @pytest.mark.parametrize("code", ["AccessDenied", "InternalError"])
    def test_parts_that_were_never_recorded_do_not_count(self, tus: Tus, code: str) -> None:
        url = tus.create(len(DATA))
        assert tus.patch(url, 0, DATA[:3]).status == 204
        key = f"uploads/{tus.id_of(url).partition('+')[0]}.info"
        tus.made.fake.script("PutObject", faults.error(code), key=key, forever=True)
        answer = tus.patch(url, 3, DATA[3:])
        assert answer.status in (500, 503) and "Upload-Offset" not in answer
        assert goes_on(tus, url, sent=DATA, acknowledged=3) == 3

    def test_a_tail_that_could_not_be_kept(self, tus: Tus) -> None:
        url = tus.create(len(DATA))
        tus.made.fake.script("PutObject", faults.pass_through())
        assert tus.patch(url, 0, DATA[:3]).status == 204
        tus.made.fake.clear_scripts()
        before = {key for key in tus.made.keys if key.endswith(".part")}
        assert len(before) == 1
        # The next piece takes the old tail into a part and leaves a new one, which fails.
        tus.made.fake.script("PutObject", faults.error("AccessDenied"), forever=True)
        answer = tus.patch(url, 3, DATA[3:9])
        assert answer.status == 500
        assert goes_on(tus, url, sent=DATA[:9], acknowledged=3) in (3, 5)

    def test_a_part_that_fails_behind_a_tail_leaves_the_tail(self, tus: Tus) -> None:
        url = tus.create(len(DATA))
        assert tus.patch(url, 0, DATA[:3]).status == 204
        tus.made.fake.script("UploadPart", faults.error("AccessDenied"), forever=True)
        assert tus.patch(url, 3, DATA[3:12]).status == 500
        assert goes_on(tus, url, sent=DATA, acknowledged=3) == 3

    def test_a_record_that_cannot_be_read_is_no_missing_upload(self, tus: Tus) -> None:
        url = tus.create(len(DATA))
        tus.made.fake.script("GetObject", faults.error("SlowDown", retry_after="3"), forever=True)
        for answer in (tus.head(url), tus.patch(url, 0, DATA)):
            assert (answer.status, answer["Retry-After"]) == (503, "3")
        assert goes_on(tus, url, sent=b"") == 0

    def test_a_record_that_is_refused_is_no_missing_upload(self, tus: Tus) -> None:
        """Clients drop an upload for a 404, and begin anew."""
        url = tus.create(len(DATA))
        assert tus.patch(url, 0, DATA[:12]).status == 204
        tus.made.fake.script("GetObject", faults.error("AccessDenied"), forever=True)
        assert tus.head(url).status == tus.patch(url, 12, DATA[12:]).status == 500
        assert tus.send("DELETE", url).status == 500
        assert goes_on(tus, url, sent=DATA[:12], acknowledged=12) == 12

    def test_a_part_that_was_replaced_is_sent_again(self, tus: Tus) -> None:
        url = tus.create(len(DATA))
        assert tus.patch(url, 0, DATA[:17]).status == 204
        (upload,) = tus.made.fake.uploads.values()
        driver, container = tus.made.driver, tus.made.container
        driver.ex_upload_part(container, upload.key, upload.upload_id, 2, b"late!")
        assert tus.patch(url, 17, DATA[17:]).status == 409
        assert goes_on(tus, url, sent=DATA) == 5

    def test_a_listing_that_fails_is_no_offset(self, tus: Tus) -> None:
        url = tus.create(len(DATA))
        assert tus.patch(url, 0, DATA[:12]).status == 204
        tus.made.fake.script("ListParts", faults.error("InternalError"), forever=True)
        answer = tus.head(url)
        assert answer.status == 503 and "Upload-Offset" not in answer
        assert goes_on(tus, url, sent=DATA, acknowledged=12) == 12


FAULTS = [
    faults.error("AccessDenied"),
    faults.error("InternalError"),
    faults.error("InternalError", applied=True),
    faults.reset(applied=True),
    faults.close(),
]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("times", [1, 7], ids=["once", "for a while"])
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_any_fault_at_any_request_leaves_the_truth(open_tus: Any, fault: Any, times: int) -> None:
    """The sweep: request by request of one upload in three pieces."""
    tus = open_tus()
    if tus.door.name != "values":
        pytest.skip("the same handler, behind its skin: the tests above go through it")
    at = 0
    while True:
        url = tus.create(len(DATA))
        script = [faults.pass_through()] * at + [fault] * times
        before = len(tus.made.fake.requests)
        tus.made.fake.script("*", *script)
        acknowledged, sent = 0, b""
        for end in (3, 13, len(DATA)):
            sent = DATA[:end]
            answer = tus.patch(url, acknowledged, DATA[acknowledged:end])
            if answer.status != 204:
                assert answer.status in (404, 409, 410, 423, 500, 503), answer
                break
            acknowledged = int(answer["Upload-Offset"])
        asked = len(tus.made.fake.requests) - before
        _settles(tus, url, sent, acknowledged)
        if asked <= at:
            break  # The fault came after the last request.
        at += 1
    assert at > 12


def _settles(tus: Tus, url: str, sent: bytes, acknowledged: int) -> None:
    tus.made.fake.clear_scripts()
    until(lambda: tus.head(url).status == 200)
    offset = tus.offset(url)
    assert acknowledged <= offset <= len(sent)
    if offset < len(DATA):
        answer = tus.patch(url, offset, OTHER[offset:])
        assert (answer.status, answer["Upload-Offset"]) == (204, str(len(DATA)))
    assert tus.stored(url) == sent[:offset] + OTHER[offset:]
    assert tus.made.fake.uploads == {}
    assert tus.send("DELETE", url).status == 204
    make_uploads(tus.made).expire(older_than=-1.0)  # A tail that nobody names may be left.
    name = tus.id_of(url).partition("+")[0]
    assert [key for key in tus.made.keys if name in key] == []
