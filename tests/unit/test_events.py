# SPDX-License-Identifier: Apache-2.0
"""Events are values: frozen, keyword-only, told apart by their class."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from libcloud_s3mpu.protocol import events


def test_an_event_names_its_object_and_cannot_be_changed() -> None:
    event = events.PartUploaded(
        container="b",
        object_name="k",
        upload_id="u",
        part_number=1,
        size=5,
        uploaded_bytes=5,
        in_flight=0,
    )
    assert isinstance(event, events.UploadEvent)
    with pytest.raises(FrozenInstanceError):
        event.size = 6  # type: ignore[misc]


def test_a_single_put_has_no_upload_id() -> None:
    event = events.UploadCompleted(container="b", object_name="k", size=1, etag="e", parts=1)
    assert event.upload_id is None
