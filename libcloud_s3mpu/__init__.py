# SPDX-License-Identifier: Apache-2.0
"""Parallel, bounded multipart uploads to S3 for apache-libcloud.

Importing this package has one side effect, :func:`register`: libcloud then knows the driver
``s3_multipart``. Nothing else lives here; begin reading at :mod:`.driver`.
"""

from .direct import DirectUpload
from .driver import AmazonS3MultipartDriver
from ._version import __version__
from .delegated import Delegation, delegated
from .providers import S3_MULTIPART, register, unregister
from .direct_client import DirectUploadClient
from .protocol.retry import NO_RETRIES, RetryPolicy
from .protocol.direct import PartsMismatchError, DirectUploadExpiredError
from .protocol.errors import (
    SourceError,
    ServiceError,
    ClockSkewError,
    ThrottledError,
    TransportError,
    SourceSizeError,
    S3MultipartError,
    WrongRegionError,
    AccessDeniedError,
    SessionStateError,
    ObjectMissingError,
    SourceChangedError,
    UploadMissingError,
    InvalidRequestError,
    MalformedAnswerError,
    ChecksumMismatchError,
    ContainerMissingError,
    RetriesExhaustedError,
    TransientServiceError,
    CompletionUnknownError,
    UnsupportedSourceError,
    ExpiredCredentialsError,
    PreconditionFailedError,
    ConditionalConflictError,
)
from .protocol.events import (
    PartRetried,
    PartStarted,
    UploadEvent,
    PartUploaded,
    UploadAborted,
    UploadCompleted,
)
from .protocol.limits import R2_LIMITS, S3_LIMITS, SCALEWAY_LIMITS, Limits
from .protocol.options import UploadOptions
from .protocol.session import (
    UploadedPart,
    UploadSession,
    SessionBusyError,
    UploadPausedError,
    SessionFormatError,
)
from .protocol.signing import Credentials
from .transfer.journal import FileJournal, MemoryJournal
from .resumable.uploads import ResumableUploads
from .protocol.presigning import Presigner, UploadForm
from .transfer.credentials import CredentialsError, ExpiringCredentials, botocore_credentials

__all__ = [
    "NO_RETRIES",
    "R2_LIMITS",
    "S3_LIMITS",
    "S3_MULTIPART",
    "SCALEWAY_LIMITS",
    "AccessDeniedError",
    "AmazonS3MultipartDriver",
    "ChecksumMismatchError",
    "ClockSkewError",
    "CompletionUnknownError",
    "ConditionalConflictError",
    "ContainerMissingError",
    "ExpiredCredentialsError",
    "InvalidRequestError",
    "Limits",
    "MalformedAnswerError",
    "ObjectMissingError",
    "PartRetried",
    "PartStarted",
    "PartUploaded",
    "PreconditionFailedError",
    "RetriesExhaustedError",
    "ResumableUploads",
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
    "UploadAborted",
    "UploadCompleted",
    "UploadEvent",
    "UploadMissingError",
    "UploadSession",
    "SessionBusyError",
    "UploadPausedError",
    "SessionFormatError",
    "Credentials",
    "Delegation",
    "DirectUpload",
    "DirectUploadClient",
    "DirectUploadExpiredError",
    "PartsMismatchError",
    "Presigner",
    "UploadForm",
    "FileJournal",
    "MemoryJournal",
    "CredentialsError",
    "ExpiringCredentials",
    "UploadOptions",
    "UploadedPart",
    "WrongRegionError",
    "__version__",
    "botocore_credentials",
    "delegated",
    "register",
    "unregister",
]

register()
