# SPDX-License-Identifier: Apache-2.0
"""What the caller chose, checked the moment it is chosen.

Frozen, keyword-only, units in the names. Nothing here knows a service (that is :mod:`.limits`), and
nothing reads the environment. A driver carries one :class:`UploadOptions` as its default and a call
may pass another one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal
from dataclasses import field, fields, dataclass
from collections.abc import Callable

from .retry import RetryPolicy
from .limits import MIB
from .checksums import ALGORITHMS

if TYPE_CHECKING:
    from .session import Journal

#: Default bound on the bytes of an upload that are held in memory.
DEFAULT_MEMORY_BUDGET = 128 * MIB
#: No more workers than this unless asked: 20 connections x 5 MiB at 90 MB/s each is 1.1 GiB/s on a
#: service with S3's latencies, with 100 MiB in flight (docs/benchmarks.md).
DEFAULT_MAX_CONCURRENCY = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadOptions:
    """How an upload is done. Safe to share between threads and calls: it cannot change.

    :param part_size_bytes: size of the first parts; None chooses (5 MiB, growing by the schedule of
        :mod:`~libcloud_s3mpu.protocol.partsize`).
    :param memory_budget_bytes: bound on the bytes of parts held in memory; a part larger than half
        of it waits in a temporary file instead. So a budget below one part is no error: all parts
        wait in files then, two at a time.
    :param concurrency: how many parts may be in flight. 1 sends everything from the calling
        thread; None starts workers as the network asks for them, 20 at most.
    :param checksum: the check that each part carries: ``"auto"``, None, or one of ``crc32``,
        ``crc32c``, ``crc64nvme``, ``sha1``, ``sha256``, ``md5``. ``"auto"`` is a CRC where the
        payload is not signed, and nothing more where it is (signing is a check already).
    :param sign_payload: True signs the SHA-256 of every body, False never does, None signs on plain
        http and relies on TLS and the checksum on https.
    :param on_failure: ``"abort"`` frees the parts; ``"keep"`` leaves them on the service, and the
        error names the upload id.
    :param size_bytes: exact length of the source where the caller knows it: parts are cut to fit,
        and a source that turns out shorter or longer is refused.
    :param size_hint_bytes: a length the source is expected to stay within; only cuts are chosen
        by it. Services that want equal parts need it for sources above 156 GiB.
    :param if_none_match: ``"*"`` creates the object only where none has that name.
    :param if_match: an ETag; replaces the object only while it has that one.
    :param is_only_writer: nobody else uploads to this key meanwhile: what a lost answer to initiate
        left there is aborted then. Without this promise it cannot be known to be nobody's, and is
        only named (in the log, to ``on_event``, in the result's ``orphan_suspects``).
    :param retry: the :class:`~libcloud_s3mpu.protocol.retry.RetryPolicy` of every request.
    :param deadline_seconds: the whole upload must be done within this, from the call on; then it
        ends with :class:`~libcloud_s3mpu.protocol.errors.DeadlineExceededError` as any failed one
        does. A source that blocks is not interrupted: it is looked at when it yields.
    :param min_throughput_bytes_per_second: an attempt (of a part, or of the single ``PUT``) that
        moves less for ``stall_seconds`` is cut and tried again on a fresh connection. None leaves
        it to the connection's time-out, which is without any progress. libcloud's plain way cannot
        be cut; there its own time-out holds.
    :param stall_seconds: see above.
    :param spool_directory: where parts too large for memory wait; None is the system's temporary
        folder.
    :param journal: where the session is kept, so that a later run can go on
        (:class:`~libcloud_s3mpu.transfer.journal.FileJournal`, ``MemoryJournal``); with one, any
        failure keeps the parts.
    :param on_event: called in the calling thread with each event of
        :mod:`~libcloud_s3mpu.protocol.events`; what it raises ends the upload.
    """

    part_size_bytes: int | None = None
    memory_budget_bytes: int = DEFAULT_MEMORY_BUDGET
    concurrency: int | None = None
    checksum: str | None = "auto"
    sign_payload: bool | None = None
    on_failure: Literal["abort", "keep"] = "abort"
    size_bytes: int | None = None
    size_hint_bytes: int | None = None
    if_none_match: str | None = None
    if_match: str | None = None
    is_only_writer: bool = False
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    deadline_seconds: float | None = None
    min_throughput_bytes_per_second: float | None = None
    stall_seconds: float = 30.0
    spool_directory: str | None = None
    journal: Journal | None = None
    on_event: Callable[[Any], None] | None = None

    def __post_init__(self) -> None:
        for name in ("part_size_bytes", "memory_budget_bytes", "concurrency"):
            _check_integer(name, getattr(self, name), at_least=1)
        for name in ("size_bytes", "size_hint_bytes"):
            _check_integer(name, getattr(self, name), at_least=0)
        for name in ("deadline_seconds", "min_throughput_bytes_per_second", "stall_seconds"):
            _check_positive(name, getattr(self, name))
        if self.memory_budget_bytes is None:
            raise ValueError("memory_budget_bytes must be a number of bytes, not None")
        if self.checksum not in (None, "auto", *ALGORITHMS):
            names = ", ".join(ALGORITHMS)
            raise ValueError(f'checksum must be "auto", None or one of {names}: {self.checksum!r}')
        if self.sign_payload not in (None, True, False):
            raise ValueError(f"sign_payload must be None, True or False, not {self.sign_payload!r}")
        if self.on_failure not in ("abort", "keep"):
            raise ValueError(f'on_failure must be "abort" or "keep", not {self.on_failure!r}')
        if self.if_none_match not in (None, "*"):
            raise ValueError(f'if_none_match must be None or "*", not {self.if_none_match!r}')
        if self.if_match is not None and not isinstance(self.if_match, str):
            raise TypeError(f"if_match must be an ETag, not {type(self.if_match).__name__}")
        if not isinstance(self.is_only_writer, bool):
            raise TypeError(f"is_only_writer must be True or False, not {self.is_only_writer!r}")
        if self.on_event is not None and not callable(self.on_event):
            raise TypeError(f"on_event must be callable, not {type(self.on_event).__name__}")
        verbs = ("save", "load", "forget", "list", "hold")
        has_verbs = all(hasattr(self.journal, verb) for verb in verbs)
        if self.journal is not None and (not has_verbs or isinstance(self.journal, type)):
            raise TypeError(f"journal must be a Journal, not {type(self.journal).__name__}")
        if not isinstance(self.retry, RetryPolicy):
            raise TypeError(f"retry must be a RetryPolicy, not {type(self.retry).__name__}")

    @classmethod
    def checked(cls, value: Any) -> UploadOptions:
        """Give ``value`` back; a clear error if it is no :class:`UploadOptions`."""
        if isinstance(value, cls):
            return value
        names = ", ".join(f.name for f in fields(cls))
        raise TypeError(f"ex_options must be UploadOptions({names}), not {type(value).__name__}")


def _check_integer(name: str, value: Any, *, at_least: int) -> None:
    if value is None:
        return
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be an integer, not {type(value).__name__}")
    if value < at_least:
        raise ValueError(f"{name} must be at least {at_least}, not {value}")


def _check_positive(name: str, value: Any) -> None:
    if value is None and name != "stall_seconds":
        return
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise TypeError(f"{name} must be a number, not {type(value).__name__}")
    if not 0 < value < float("inf"):
        raise ValueError(f"{name} must be above 0 and finite, not {value}")
