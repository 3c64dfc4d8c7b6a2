# SPDX-License-Identifier: Apache-2.0
"""Parallel, bounded multipart uploads to S3 for apache-libcloud.

Importing this package has one side effect, :func:`register`: libcloud then knows the driver
``s3_multipart``. Nothing else lives here; begin reading at :mod:`.driver`.
"""

from .direct import DirectUpload
from .driver import AmazonS3MultipartDriver
from .handle import SessionHandle
from ._version import __version__
from .services import (
    OvhMultipartDriver,
    MinIOMultipartDriver,
    SwiftMultipartDriver,
    GarageMultipartDriver,
    LinodeMultipartDriver,
    OracleMultipartDriver,
    WasabiMultipartDriver,
    CephRGWMultipartDriver,
    HetznerMultipartDriver,
    IBMCloudMultipartDriver,
    OutscaleMultipartDriver,
    ScalewayMultipartDriver,
    SeaweedFSMultipartDriver,
    AlibabaOSSMultipartDriver,
    BackblazeB2MultipartDriver,
    CloudflareR2MultipartDriver,
    AuroraObjectsMultipartDriver,
    GoogleStorageMultipartDriver,
    DigitalOceanSpacesMultipartDriver,
)
from .delegated import Delegation, delegated
from .providers import PROVIDERS, S3_MULTIPART, register, unregister
from .compatible import S3CompatibleMultipartDriver
from .extensions import InitiatedUpload
from .direct_client import DirectUploadClient
from .direct_uploads import SavedDirectUploads
from .protocol.retry import NO_RETRIES, RetryPolicy
from .transfer.chain import botocore_credentials
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
    ObjectChangedError,
    ObjectMissingError,
    SourceChangedError,
    UploadMissingError,
    InvalidRequestError,
    MalformedAnswerError,
    ChecksumMismatchError,
    ContainerMissingError,
    DeadlineExceededError,
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
    OrphanSuspected,
    UploadCompleted,
)
from .protocol.limits import (
    R2_LIMITS,
    S3_LIMITS,
    GCS_LIMITS,
    CEPH_LIMITS,
    MINIO_LIMITS,
    SCALEWAY_LIMITS,
    COMPATIBLE_LIMITS,
    Limits,
)
from .protocol.copying import CopyUnsupportedError
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
from .transfer.orphans import CleanupError, CleanupReport
from .protocol.findings import Answer, Finding, ProbeReport
from .resumable.uploads import ResumableUploads
from .protocol.presigning import Presigner, UploadForm
from .transfer.credentials import CredentialsError, ExpiringCredentials

__all__ = [
    "CEPH_LIMITS",
    "COMPATIBLE_LIMITS",
    "GCS_LIMITS",
    "MINIO_LIMITS",
    "NO_RETRIES",
    "PROVIDERS",
    "R2_LIMITS",
    "S3_LIMITS",
    "S3_MULTIPART",
    "SCALEWAY_LIMITS",
    "AccessDeniedError",
    "AlibabaOSSMultipartDriver",
    "AmazonS3MultipartDriver",
    "AuroraObjectsMultipartDriver",
    "BackblazeB2MultipartDriver",
    "CephRGWMultipartDriver",
    "CloudflareR2MultipartDriver",
    "DigitalOceanSpacesMultipartDriver",
    "GarageMultipartDriver",
    "GoogleStorageMultipartDriver",
    "HetznerMultipartDriver",
    "IBMCloudMultipartDriver",
    "LinodeMultipartDriver",
    "MinIOMultipartDriver",
    "OracleMultipartDriver",
    "OutscaleMultipartDriver",
    "OvhMultipartDriver",
    "S3CompatibleMultipartDriver",
    "SavedDirectUploads",
    "ScalewayMultipartDriver",
    "SeaweedFSMultipartDriver",
    "SwiftMultipartDriver",
    "WasabiMultipartDriver",
    "ChecksumMismatchError",
    "ClockSkewError",
    "CompletionUnknownError",
    "ConditionalConflictError",
    "ContainerMissingError",
    "CopyUnsupportedError",
    "ExpiredCredentialsError",
    "InitiatedUpload",
    "InvalidRequestError",
    "Limits",
    "MalformedAnswerError",
    "ObjectChangedError",
    "ObjectMissingError",
    "OrphanSuspected",
    "PartRetried",
    "PartStarted",
    "PartUploaded",
    "PreconditionFailedError",
    "RetriesExhaustedError",
    "ResumableUploads",
    "RetryPolicy",
    "S3MultipartError",
    "Answer",
    "Finding",
    "ProbeReport",
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
    "CleanupError",
    "CleanupReport",
    "Delegation",
    "DirectUpload",
    "DirectUploadClient",
    "DirectUploadExpiredError",
    "PartsMismatchError",
    "Presigner",
    "UploadForm",
    "FileJournal",
    "SessionHandle",
    "MemoryJournal",
    "CredentialsError",
    "DeadlineExceededError",
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
