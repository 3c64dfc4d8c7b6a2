# SPDX-License-Identifier: Apache-2.0
"""What happened to an upload, as values: one vocabulary for callbacks and logs.

Given to ``UploadOptions.on_event`` in the calling thread, in the order in which that thread learns
of them. Nothing here does anything.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadEvent:
    """Base of all events; ``upload_id`` is None for a single ``PUT``."""

    container: str
    object_name: str
    upload_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PartStarted(UploadEvent):
    """A part was handed on to be sent; ``in_flight`` counts it too."""

    part_number: int
    size: int
    in_flight: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PartRetried(UploadEvent):
    """An attempt failed and another one follows after ``delay_seconds``."""

    part_number: int
    attempt: int
    delay_seconds: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PartUploaded(UploadEvent):
    """The service acknowledged a part; ``uploaded_bytes`` is the sum so far."""

    part_number: int
    size: int
    uploaded_bytes: int
    in_flight: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OrphanSuspected(UploadEvent):
    """An answer to initiate was lost, and may have left an upload that nobody will end.

    ``upload_ids`` names those that may be it, or another writer's, and were left alone; it is empty
    where the service would not say, as ``reason`` tells.
    """

    upload_ids: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadCompleted(UploadEvent):
    """The service confirmed the whole object."""

    size: int
    etag: str
    parts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadAborted(UploadEvent):
    """The upload failed; ``kept`` says whether its parts were left on the service."""

    kept: bool
    reason: str
