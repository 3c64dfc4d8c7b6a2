# SPDX-License-Identifier: Apache-2.0
"""One upload's moves are a table; what is not in it is an error."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from libcloud_s3mpu.protocol import session as session_module
from libcloud_s3mpu.protocol.errors import SessionStateError, InvalidRequestError
from libcloud_s3mpu.protocol.limits import S3_LIMITS
from libcloud_s3mpu.protocol.session import (
    MOVES,
    Event,
    State,
    UploadedPart,
    UploadSession,
    SessionFormatError,
)
from libcloud_s3mpu.protocol.partsize import part_schedule

LEGAL = {
    ("NEW", "INITIATED"): "OPEN",
    ("OPEN", "COMPLETE_SENT"): "COMPLETING",
    ("COMPLETING", "COMPLETE_CONFIRMED"): "COMPLETED",
    ("COMPLETING", "COMPLETE_REFUSED"): "OPEN",
    ("OPEN", "ABORT_SENT"): "ABORTING",
    ("COMPLETING", "ABORT_SENT"): "ABORTING",
    ("ABORTING", "ABORT_CONFIRMED"): "ABORTED",
    ("OPEN", "KEPT"): "KEPT",
    ("COMPLETING", "KEPT"): "KEPT",
    ("ABORTING", "KEPT"): "KEPT",
    ("KEPT", "ABORT_SENT"): "ABORTING",
    **{(state, "RESUMED"): "OPEN" for state in ("OPEN", "COMPLETING", "KEPT")},
    **{(state, "COMPLETE_FOUND"): "COMPLETED" for state in ("OPEN", "COMPLETING", "KEPT")},
    **{(state, "GONE_FOUND"): "ABORTED" for state in ("OPEN", "COMPLETING", "KEPT")},
}


def session(state: State = State.OPEN) -> UploadSession:
    return UploadSession(container="backups", object_name="db.dump", upload_id="u", state=state)


def part(number: int, size: int = 5, etag: str = "e") -> UploadedPart:
    return UploadedPart(part_number=number, size=size, etag=etag)


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("event", list(Event))
def test_only_the_moves_of_the_table_are_legal(state: State, event: Event) -> None:
    it = session(state)
    target = LEGAL.get((state.name, event.name))
    if target is None:
        with pytest.raises(SessionStateError, match=rf"{event.value}.*{state.value}") as caught:
            it.move(event)
        assert it.state is state
        assert (caught.value.container, caught.value.upload_id) == ("backups", "u")
    else:
        it.move(event)
        assert it.state.name == target


def test_the_end_states_have_no_way_out() -> None:
    ends = {State.COMPLETED, State.ABORTED}
    assert not {state for state, _ in MOVES} & ends


def test_the_upload_id_is_noted_with_the_move() -> None:
    it = UploadSession(container="b", object_name="k")
    it.initiated("up1")
    assert (it.upload_id, it.state) == ("up1", State.OPEN)
    with pytest.raises(SessionStateError):
        it.initiated("up2")
    assert it.upload_id == "up1"


@pytest.mark.parametrize("state", [state for state in State if state is not State.OPEN])
def test_parts_are_recorded_only_while_the_upload_is_open(state: State) -> None:
    it = session(state)
    with pytest.raises(SessionStateError) as caught:
        it.record(part(1))
    assert caught.value.part_number == 1
    assert it.parts == {}


def test_the_same_part_again_replaces_it() -> None:
    it = session()
    it.record(part(1, 5, "old"))
    it.record(part(1, 7, "new"))
    assert (it.size, it.parts[1].etag) == (7, "new")


def test_contiguous_parts_come_in_the_order_of_their_numbers() -> None:
    it = session()
    for number in (3, 1, 2):
        it.record(part(number))
    assert [p.part_number for p in it.contiguous_parts(expected=3)] == [1, 2, 3]


@pytest.mark.parametrize(
    ("numbers", "expected"), [([1, 3], 3), ([1, 2], 3), ([2, 3], 2), ([1, 2, 3], 2), ([], 1)]
)
def test_a_missing_or_surplus_part_is_never_completed(numbers: list[int], expected: int) -> None:
    it = session()
    for number in numbers:
        it.record(part(number))
    with pytest.raises(SessionStateError, match=f"{expected} parts were cut"):
        it.contiguous_parts(expected=expected)


def test_the_repr_says_where_the_upload_stands() -> None:
    it = session()
    for number in (1, 2, 4):
        it.record(part(number, 4 << 20))
    assert repr(it) == "<UploadSession OPEN backups/db.dump 3 parts, 12.0 MiB, next 3>"
    assert (
        repr(session(State.NEW)) == "<UploadSession NEW backups/db.dump 0 parts, 0.0 MiB, next 1>"
    )


# -- the saved form --------------------------------------------------------------------------------

SSE_C = {f"x-amz-server-side-encryption-customer-{name}": "c2VjcmV0" for name in
         ("algorithm", "key", "key-md5")}  # fmt: skip


def full_session() -> UploadSession:
    it = UploadSession(
        container="backups",
        object_name="a b/\u00fc\n\u3000.dump",
        upload_id="2~Abc.-_/+=",
        algorithm="crc32c",
        state=State.KEPT,
        endpoint="https://s3.example:443/base",
        schedule=part_schedule(S3_LIMITS),
        source_bytes=7 * 2**40,
        source_stamp="1:2:3:4:5:0",
        has_opaque_etags=True,
        token="00ff",
        began_at=1.5,
    )
    it.take_headers({"if-none-match": "*", "x-amz-request-payer": "requester", **SSE_C})
    it.parts = {
        1: UploadedPart(part_number=1, size=5, etag="e1", checksum="AAAA=="),
        7: UploadedPart(part_number=7, size=6, etag="e7", digest="sha256:00ff"),
    }
    return it


def test_what_is_saved_comes_back_as_it_was() -> None:
    it = full_session()
    text = it.to_json(saved_at=2.5)
    back = UploadSession.from_json(text)
    it.saved_at = 2.5
    assert back == it
    assert UploadSession.from_json(text.encode()) == it


def test_the_saved_form_names_its_version_and_every_field() -> None:
    saved = json.loads(full_session().to_json())
    assert saved["version"] == 2
    assert set(saved) == {
        "version", "saved_at", "began_at", "state", "endpoint", "container", "object_name",
        "upload_id", "algorithm", "schedule", "source_bytes", "source_stamp", "has_opaque_etags",
        "token", "headers", "needs_headers", "parts",
    }  # fmt: skip


def test_no_secret_and_no_header_that_may_hold_one_is_saved() -> None:
    it = full_session()
    given = {
        **SSE_C,
        "authorization": "AWS4 secret",
        "x-amz-security-token": "secret",
        "x-amz-meta-password": "secret",
        "x-amz-server-side-encryption-context": "secret",
        "x-anything": "secret",
        "if-match": '"e"',
    }
    it.take_headers(given)
    text = it.to_json()
    assert "secret" not in text and "c2VjcmV0" not in text
    assert it.headers == {"if-match": '"e"'}
    assert it.needs_headers == tuple(sorted(SSE_C))
    it.headers["x-amz-security-token"] = "secret"
    assert "secret" not in it.to_json()


def test_what_was_forged_into_the_headers_is_not_taken_back() -> None:
    saved = json.loads(full_session().to_json())
    saved["headers"]["x-amz-acl"] = "public-read"
    assert "x-amz-acl" not in UploadSession.from_json(json.dumps(saved)).headers


def test_a_newer_version_is_refused_by_its_number() -> None:
    saved = json.loads(full_session().to_json())
    saved["version"] = 3
    with pytest.raises(SessionFormatError, match=r"newer libcloud_s3mpu \(version 3.*up to 2"):
        UploadSession.from_json(json.dumps(saved))


def test_an_older_version_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    text = full_session().to_json()
    monkeypatch.setattr(session_module, "VERSION", 4)
    monkeypatch.setitem(session_module.UPGRADES, 2, lambda old: {**old, "second": True})
    monkeypatch.setitem(
        session_module.UPGRADES, 3, lambda old: {**old, "container": f"{old['second']}"}
    )
    assert UploadSession.from_json(text).container == "True"


def test_the_first_version_which_knew_no_token_is_read() -> None:
    it = full_session()
    saved = json.loads(it.to_json())
    assert saved.pop("token") == "00ff"
    saved["version"] = 1
    assert UploadSession.from_json(json.dumps(saved)) == replace(it, token=None)


def test_every_cut_of_a_saved_session_is_a_clear_error() -> None:
    text = full_session().to_json()
    for end in range(len(text)):
        with pytest.raises(SessionFormatError, match="no saved session"):
            UploadSession.from_json(text[:end])


@pytest.mark.parametrize(
    "text",
    ["", "null", "[]", "{}", "7", '"x"', '{"version": true}', '{"version": "1"}', "\x00",
     "[" * 99999, '{"version": 0}', '{"version": -1}', '{"version": 1}', b"\xff\xfe{"],
)  # fmt: skip
def test_garbage_is_a_clear_error(text: str | bytes) -> None:
    with pytest.raises(SessionFormatError):
        UploadSession.from_json(text)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("state", "DONE"), ("container", ""), ("container", 5), ("object_name", ""),
        ("object_name", None), ("upload_id", None), ("upload_id", "a\r\nb"), ("endpoint", None),
        ("schedule", {}), ("schedule", {"base": 5}), ("source_bytes", -1), ("source_bytes", "5"),
        ("schedule", {"base": 0, "max_part_size": 5, "max_parts": 5}),
        ("schedule", {"base": 5, "max_part_size": 5, "max_parts": 5, "rung": 1}),
        ("headers", []), ("needs_headers", [1]), ("parts", []),
        ("parts", {"0": [1, "e", None, None]}),
        ("parts", {"x": [1, "e", None, None]}), ("parts", {"1": [1, "e"]}),
        ("parts", {"1": [True, "e", None, None]}), ("parts", {"1": [1, "", None, None]}),
        ("began_at", "soon"), ("saved_at", [1]), ("began_at", 10**400),
    ],
)  # fmt: skip
def test_a_field_that_cannot_be_is_a_clear_error(name: str, value: object) -> None:
    saved = json.loads(full_session().to_json())
    saved[name] = value
    with pytest.raises(SessionFormatError):
        UploadSession.from_json(json.dumps(saved))


def test_a_field_that_is_missing_is_a_clear_error() -> None:
    saved = json.loads(full_session().to_json())
    for name in saved:
        with pytest.raises(SessionFormatError):
            UploadSession.from_json(json.dumps({k: v for k, v in saved.items() if k != name}))


def test_a_session_goes_on_at_its_own_place_only() -> None:
    it = full_session()
    own = {"endpoint": it.endpoint, "container": it.container, "object_name": it.object_name}
    it.check_place(**own)
    it.check_place(endpoint=it.endpoint)
    for name in own:
        with pytest.raises(InvalidRequestError, match="nothing was sent"):
            it.check_place(**{**own, name: "other"})
