# SPDX-License-Identifier: Apache-2.0
"""Which status an error of the store or of S3 is answered with.

What the client did wrong is a 4xx that says so. What went wrong behind us is a 503 where trying
again may help and a 500 where the app must look; both say nothing of S3, whose error goes to the
log.
"""

from __future__ import annotations

import logging

from .messages import Refuse, Response, text_response
from ..protocol.errors import (
    ThrottledError,
    TransportError,
    SourceSizeError,
    S3MultipartError,
    UploadMissingError,
    InvalidRequestError,
    RetriesExhaustedError,
    TransientServiceError,
    CompletionUnknownError,
)
from ..resumable.errors import (
    UploadGoneError,
    UploadFinalError,
    UploadLockedError,
    InvalidLengthError,
    OffsetMismatchError,
    UploadChecksumError,
    UploadNotFoundError,
    UploadTooLargeError,
    UnknownAlgorithmError,
    UploadUnfinishedError,
)

_log = logging.getLogger(__name__)

#: The first that fits; narrower classes stand before wider ones.
_CLIENTS: tuple[tuple[type[S3MultipartError], int, str], ...] = (
    (UploadGoneError, 410, "this upload is gone\n"),
    (UploadNotFoundError, 404, "there is no such upload\n"),
    (UploadMissingError, 404, "there is no such upload\n"),
    (OffsetMismatchError, 409, "the upload ends at another offset\n"),
    (UploadTooLargeError, 413, "more bytes than the upload may have\n"),
    (SourceSizeError, 413, "more bytes than the upload may have\n"),
    (InvalidLengthError, 400, "this length cannot be declared\n"),
    (UploadLockedError, 423, "another request is writing to this upload\n"),
    (UploadUnfinishedError, 409, "this upload is not finished\n"),
    (UploadFinalError, 403, "a concatenated upload takes no more bytes\n"),
    (UnknownAlgorithmError, 400, "no such checksum\n"),
    (UploadChecksumError, 460, "the checksum does not match; nothing was stored\n"),
    (InvalidRequestError, 400, "this cannot be stored under such a name or with such a header\n"),
)

#: What may go better the next time, also where we gave up (a RetriesExhaustedError is one of them).
_PASSING = (ThrottledError, TransientServiceError, TransportError, CompletionUnknownError)
#: Seconds after which a client may try again, unless S3 said otherwise.
_RETRY_AFTER = 2


def refusal_of(error: Exception) -> Response:
    """Give the answer to an error; what the client did not cause is logged."""
    if isinstance(error, Refuse):
        return error.response()
    for kind, status, text in _CLIENTS:
        if isinstance(error, kind):
            return text_response(status, text)
    if isinstance(error, S3MultipartError):
        # Its text has no secret by its own rule; the client is told none of it.
        _log.error("storage.failed %s: %s", type(error).__name__, error)
        if error.retryable or isinstance(error, _PASSING):
            last = error.attempts[-1] if isinstance(error, RetriesExhaustedError) else error
            seconds = max(1, round(last.retry_after_seconds or _RETRY_AFTER))
            return text_response(
                503, "the storage cannot do this now\n", {"Retry-After": str(seconds)}
            )
        return text_response(500, "the storage refused this\n")
    _log.exception("request.failed", exc_info=error)
    return text_response(500, "internal error\n")
