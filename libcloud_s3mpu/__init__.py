# SPDX-License-Identifier: Apache-2.0
"""Parallel, bounded multipart uploads to S3 for apache-libcloud.

Importing this package has one side effect, :func:`register`: libcloud then knows the driver
``s3_multipart`` and its family. Nothing else lives here; begin reading at :mod:`.driver`. The
public names are imported when they are first used: an app that only uploads does not wait for
rooms that it never enters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from importlib import import_module

from ._version import __version__
from .providers import S3_MULTIPART, register, unregister

if TYPE_CHECKING:
    from .direct import DirectUpload
    from .driver import AmazonS3MultipartDriver
    from .handle import SessionHandle
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
    from .providers import PROVIDERS
    from .compatible import S3CompatibleMultipartDriver
    from .delegation import Delegation, delegated
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

#: Module -> the public names that live there.
_HOMES = {
    ".compatible": "S3CompatibleMultipartDriver",
    ".delegation": "Delegation delegated",
    ".direct": "DirectUpload",
    ".direct_client": "DirectUploadClient",
    ".direct_uploads": "SavedDirectUploads",
    ".driver": "AmazonS3MultipartDriver",
    ".extensions": "InitiatedUpload",
    ".handle": "SessionHandle",
    ".protocol.copying": "CopyUnsupportedError",
    ".protocol.direct": "DirectUploadExpiredError PartsMismatchError",
    ".protocol.errors": (
        "AccessDeniedError ChecksumMismatchError ClockSkewError CompletionUnknownError "
        "ConditionalConflictError ContainerMissingError DeadlineExceededError "
        "ExpiredCredentialsError InvalidRequestError MalformedAnswerError ObjectChangedError "
        "ObjectMissingError PreconditionFailedError RetriesExhaustedError S3MultipartError "
        "ServiceError SessionStateError SourceChangedError SourceError SourceSizeError "
        "ThrottledError TransientServiceError TransportError UnsupportedSourceError "
        "UploadMissingError WrongRegionError"
    ),
    ".protocol.events": (
        "OrphanSuspected PartRetried PartStarted PartUploaded UploadAborted UploadCompleted "
        "UploadEvent"
    ),
    ".protocol.findings": "Answer Finding ProbeReport",
    ".protocol.limits": (
        "CEPH_LIMITS COMPATIBLE_LIMITS GCS_LIMITS Limits MINIO_LIMITS R2_LIMITS S3_LIMITS "
        "SCALEWAY_LIMITS"
    ),
    ".protocol.options": "UploadOptions",
    ".protocol.presigning": "Presigner UploadForm",
    ".protocol.retry": "NO_RETRIES RetryPolicy",
    ".protocol.session": (
        "SessionBusyError SessionFormatError UploadPausedError UploadSession UploadedPart"
    ),
    ".protocol.signing": "Credentials",
    ".providers": "PROVIDERS",
    ".resumable.uploads": "ResumableUploads",
    ".services": (
        "AlibabaOSSMultipartDriver AuroraObjectsMultipartDriver BackblazeB2MultipartDriver "
        "CephRGWMultipartDriver CloudflareR2MultipartDriver DigitalOceanSpacesMultipartDriver "
        "GarageMultipartDriver GoogleStorageMultipartDriver HetznerMultipartDriver "
        "IBMCloudMultipartDriver LinodeMultipartDriver MinIOMultipartDriver OracleMultipartDriver "
        "OutscaleMultipartDriver OvhMultipartDriver ScalewayMultipartDriver "
        "SeaweedFSMultipartDriver SwiftMultipartDriver WasabiMultipartDriver"
    ),
    ".transfer.chain": "botocore_credentials",
    ".transfer.credentials": "CredentialsError ExpiringCredentials",
    ".transfer.journal": "FileJournal MemoryJournal",
    ".transfer.orphans": "CleanupError CleanupReport",
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names.split()}

__all__ = [
    "AccessDeniedError",
    "AlibabaOSSMultipartDriver",
    "AmazonS3MultipartDriver",
    "Answer",
    "AuroraObjectsMultipartDriver",
    "BackblazeB2MultipartDriver",
    "CEPH_LIMITS",
    "COMPATIBLE_LIMITS",
    "CephRGWMultipartDriver",
    "ChecksumMismatchError",
    "CleanupError",
    "CleanupReport",
    "ClockSkewError",
    "CloudflareR2MultipartDriver",
    "CompletionUnknownError",
    "ConditionalConflictError",
    "ContainerMissingError",
    "CopyUnsupportedError",
    "Credentials",
    "CredentialsError",
    "DeadlineExceededError",
    "Delegation",
    "DigitalOceanSpacesMultipartDriver",
    "DirectUpload",
    "DirectUploadClient",
    "DirectUploadExpiredError",
    "ExpiredCredentialsError",
    "ExpiringCredentials",
    "FileJournal",
    "Finding",
    "GCS_LIMITS",
    "GarageMultipartDriver",
    "GoogleStorageMultipartDriver",
    "HetznerMultipartDriver",
    "IBMCloudMultipartDriver",
    "InitiatedUpload",
    "InvalidRequestError",
    "Limits",
    "LinodeMultipartDriver",
    "MINIO_LIMITS",
    "MalformedAnswerError",
    "MemoryJournal",
    "MinIOMultipartDriver",
    "NO_RETRIES",
    "ObjectChangedError",
    "ObjectMissingError",
    "OracleMultipartDriver",
    "OrphanSuspected",
    "OutscaleMultipartDriver",
    "OvhMultipartDriver",
    "PROVIDERS",
    "PartRetried",
    "PartStarted",
    "PartUploaded",
    "PartsMismatchError",
    "PreconditionFailedError",
    "Presigner",
    "ProbeReport",
    "R2_LIMITS",
    "ResumableUploads",
    "RetriesExhaustedError",
    "RetryPolicy",
    "S3CompatibleMultipartDriver",
    "S3MultipartError",
    "S3_LIMITS",
    "S3_MULTIPART",
    "SCALEWAY_LIMITS",
    "SavedDirectUploads",
    "ScalewayMultipartDriver",
    "SeaweedFSMultipartDriver",
    "ServiceError",
    "SessionBusyError",
    "SessionFormatError",
    "SessionHandle",
    "SessionStateError",
    "SourceChangedError",
    "SourceError",
    "SourceSizeError",
    "SwiftMultipartDriver",
    "ThrottledError",
    "TransientServiceError",
    "TransportError",
    "UnsupportedSourceError",
    "UploadAborted",
    "UploadCompleted",
    "UploadEvent",
    "UploadForm",
    "UploadMissingError",
    "UploadOptions",
    "UploadPausedError",
    "UploadSession",
    "UploadedPart",
    "WasabiMultipartDriver",
    "WrongRegionError",
    "__version__",
    "botocore_credentials",
    "delegated",
    "register",
    "unregister",
]


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(home, __name__), name)
    globals()[name] = value  # Asked for once.
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


register()
