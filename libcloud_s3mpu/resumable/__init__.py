# SPDX-License-Identifier: Apache-2.0
"""Uploads that arrive in pieces: begun here, continued there, their state in S3 alone.

Knows no HTTP; :mod:`libcloud_s3mpu.web` speaks tus on top of it. Begin reading at :mod:`.uploads`.
"""

from .info import UploadInfo
from .locks import Lock, Locker, FileLocker, RedisLocker, MemoryLocker
from .errors import (
    FencedError,
    ResumableError,
    UploadGoneError,
    UploadFinalError,
    UploadLockedError,
    InvalidLengthError,
    UploadDamagedError,
    UploadExpiredError,
    UploadVersionError,
    OffsetMismatchError,
    UploadChecksumError,
    UploadNotFoundError,
    UploadTooLargeError,
    UnknownAlgorithmError,
    UploadUnfinishedError,
)
from .uploads import ResumableUploads
from .locks_s3 import S3Locker

__all__ = [
    "FencedError",
    "FileLocker",
    "InvalidLengthError",
    "Lock",
    "Locker",
    "MemoryLocker",
    "OffsetMismatchError",
    "RedisLocker",
    "ResumableError",
    "ResumableUploads",
    "S3Locker",
    "UnknownAlgorithmError",
    "UploadChecksumError",
    "UploadDamagedError",
    "UploadExpiredError",
    "UploadFinalError",
    "UploadGoneError",
    "UploadInfo",
    "UploadLockedError",
    "UploadNotFoundError",
    "UploadTooLargeError",
    "UploadUnfinishedError",
    "UploadVersionError",
]
