# SPDX-License-Identifier: Apache-2.0
"""One upload's moves are a table; what is not in it is an error."""

from __future__ import annotations

import pytest

from libcloud_s3mpu.protocol.errors import SessionStateError
from libcloud_s3mpu.protocol.session import MOVES, Event, State, UploadedPart, UploadSession

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
    ends = {State.COMPLETED, State.ABORTED, State.KEPT}
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
