# SPDX-License-Identifier: Apache-2.0
"""What the owner of a store of uploads chose, checked when it is chosen; and where its objects are.

The names are tusd's where it has the option (``s3store.S3Store``), in Python's spelling.
"""

from __future__ import annotations

from dataclasses import field, dataclass
from collections.abc import Mapping

from ..protocol.limits import MIB, Limits

#: What an upload of unknown size may grow to unless ``max_object_size`` says otherwise: tusd's
#: MaxObjectSize; Amazon S3 takes more ("multipart upload limits", read 2026-11: 48.8 TiB).
MAX_OBJECT_SIZE = 5 * 1024 * 1024 * MIB
#: Memory beside the parts that a write may take, in bytes.
MEMORY_SLACK = 16 * MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreOptions:
    """How uploads are stored; sizes in bytes. :class:`~.uploads.ResumableUploads` explains them."""

    object_prefix: str
    metadata_object_prefix: str
    min_part_size: int
    preferred_part_size: int
    max_part_size: int
    max_multipart_parts: int
    max_object_size: int
    workers: int
    max_buffered_parts: int
    equal_parts: bool = False
    temporary_directory: str | None = None
    disable_content_hashes: bool = False
    use_tags: bool = False
    expires_seconds: float | None = None
    commit_parts: int = 8
    headers: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("min_part_size", "max_multipart_parts", "workers", "max_buffered_parts"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if not self.min_part_size <= self.preferred_part_size <= self.max_part_size:
            raise ValueError(
                f"preferred_part_size ({self.preferred_part_size} bytes) must be from "
                f"min_part_size ({self.min_part_size}) to max_part_size ({self.max_part_size})"
            )
        if self.expires_seconds is not None and not self.expires_seconds > 0:
            raise ValueError(f"expires must be positive, not {self.expires_seconds!r}")
        if self.max_object_size < 0:
            raise ValueError("max_object_size must not be negative")

    @property
    def budget_bytes(self) -> int:
        """Bound on the bytes of parts in memory: ``workers`` parts, of large ones no more than two.

        Small parts fill it with more than two.
        """
        part = self.preferred_part_size
        most = max(1, min(self.workers, self.max_buffered_parts))
        return min(most * part, 2 * part + MEMORY_SLACK)


def with_slash(prefix: str) -> str:
    """Give a prefix as tusd has it: with a slash at its end unless it is empty."""
    return prefix if not prefix or prefix.endswith("/") else f"{prefix}/"


def limited(limits: Limits, value: int | None, *, name: str) -> int:
    """Give the driver's own limit, or a narrower one that was chosen.

    :raises ValueError: if it is wider.
    """
    own = int(getattr(limits, name))
    if value is None:
        return own
    is_wider = value < own if name == "min_part_size" else value > own
    if is_wider:
        raise ValueError(f"{name}={value} is beyond the service's own limit ({own})")
    return value
