# SPDX-License-Identifier: Apache-2.0
"""Parallel, bounded, resumable multipart uploads to S3 for apache-libcloud.

Importing this package has one side effect, :func:`register`: libcloud then knows the driver
``s3_multipart``. Nothing else lives here; begin reading at :mod:`.driver`.
"""

from .driver import AmazonS3MultipartDriver
from ._version import __version__
from .providers import S3_MULTIPART, register, unregister
from .protocol.retry import NO_RETRIES, RetryPolicy
from .protocol.errors import (
    SourceError,
    ServiceError,
    ThrottledError,
    TransportError,
    SourceSizeError,
    S3MultipartError,
    AccessDeniedError,
    SessionStateError,
    ObjectMissingError,
    SourceChangedError,
    UploadMissingError,
    InvalidRequestError,
    ChecksumMismatchError,
    ContainerMissingError,
    RetriesExhaustedError,
    TransientServiceError,
    CompletionUnknownError,
    UnsupportedSourceError,
    PreconditionFailedError,
    ConditionalConflictError,
)
from .protocol.limits import R2_LIMITS, S3_LIMITS, SCALEWAY_LIMITS, Limits
from .protocol.options import UploadOptions
from .protocol.session import UploadedPart

__all__ = [
    "NO_RETRIES",
    "R2_LIMITS",
    "S3_LIMITS",
    "S3_MULTIPART",
    "SCALEWAY_LIMITS",
    "AccessDeniedError",
    "AmazonS3MultipartDriver",
    "ChecksumMismatchError",
    "CompletionUnknownError",
    "ConditionalConflictError",
    "ContainerMissingError",
    "InvalidRequestError",
    "Limits",
    "ObjectMissingError",
    "PreconditionFailedError",
    "RetriesExhaustedError",
    "RetryPolicy",
    "S3MultipartError",
    "ServiceError",
    "SessionStateError",
    "SourceChangedError",
    "SourceError",
    "SourceSizeError",
    "ThrottledError",
    "TransientServiceError",
    "TransportError",
    "UnsupportedSourceError",
    "UploadMissingError",
    "UploadOptions",
    "UploadedPart",
    "__version__",
    "register",
    "unregister",
]

register()
