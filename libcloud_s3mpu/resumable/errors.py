# SPDX-License-Identifier: Apache-2.0
"""What can be wrong with a resumable upload, besides what can be wrong with S3.

::

    S3MultipartError
     └ ResumableError                     every error of this room
        ├ UploadNotFoundError             no upload has this id
        │  └ UploadGoneError              it was terminated, or aborted behind our back
        │     └ UploadExpiredError        its time is over
        ├ OffsetMismatchError             the write does not begin where the upload ends
        ├ UploadTooLargeError             more bytes than its length, or than are allowed
        ├ InvalidLengthError              a length that cannot be declared            (ValueError)
        ├ UploadLockedError               another writer has it and does not let go
        │  └ FencedError                  another writer took it over from this one
        ├ UploadUnfinishedError           read or joined before it was finished
        ├ UploadFinalError                the result of a concatenation takes no bytes
        ├ UploadDamagedError              S3 lists other parts than were acknowledged
        ├ UploadVersionError              a newer version of this package wrote its record
        ├ UnknownAlgorithmError           no such checksum                            (ValueError)
        └ UploadChecksumError             a chunk is not what its checksum says
                                                               (also a ChecksumMismatchError)
"""

from __future__ import annotations

from typing import Any

from ..protocol.errors import S3MultipartError, ChecksumMismatchError


class ResumableError(S3MultipartError):
    """Every error of this room; ``id`` is the upload's, where there is one."""

    def __init__(self, value: str, *, id: str | None = None, **details: Any) -> None:
        super().__init__(value, **details)
        self.id = id


class UploadNotFoundError(ResumableError):
    """No upload has this id."""


class UploadGoneError(UploadNotFoundError):
    """There was such an upload: it was terminated, or its parts were aborted behind our back."""


class UploadExpiredError(UploadGoneError):
    """The upload was not finished in its time."""


class OffsetMismatchError(ResumableError):
    """The write does not begin where the upload ends; ``offset`` says where that is (bytes)."""

    def __init__(self, value: str, *, offset: int, id: str | None = None, **details: Any) -> None:
        super().__init__(value, id=id, **details)
        self.offset = offset


class UploadTooLargeError(ResumableError):
    """More bytes than the upload's length, or than an upload may have.

    Whole parts that came before that was seen may be stored; the upload was not completed by it.
    """


class InvalidLengthError(ResumableError, ValueError):
    """A length that cannot be declared: known already, or below what is there."""


class UploadLockedError(ResumableError):
    """Another writer has the upload and has not let go in time."""

    retryable = True


class FencedError(UploadLockedError):
    """Another writer took the upload over; what this one sent after that does not count."""


class UploadUnfinishedError(ResumableError):
    """An upload that is not finished is neither read nor joined."""


class UploadFinalError(ResumableError):
    """The result of a concatenation takes no more bytes."""


class UploadDamagedError(ResumableError):
    """S3 does not list parts that were acknowledged: completing would make a wrong object.

    It may be a listing that comes late, so the same call may succeed later. Where a part was
    replaced, the upload goes on from before it instead (:mod:`.mend`).
    """

    retryable = True


class UploadVersionError(ResumableError):
    """A newer version of this package wrote the record: its processes know what it means."""

    retryable = True


class UnknownAlgorithmError(ResumableError, ValueError):
    """No such checksum, or a value that cannot be one of it."""


class UploadChecksumError(ResumableError, ChecksumMismatchError):
    """A chunk is not what its checksum says; all of it was thrown away."""

    retryable = False
