# SPDX-License-Identifier: Apache-2.0
"""The error tree, and the table from an S3 code to its error.

::

    LibcloudError                            (libcloud)
     └ S3MultipartError                      every error of this package
        ├ SourceError                        the source is not what it must be
        │  ├ UnsupportedSourceError          not a source at all                    (TypeError)
        │  ├ SourceSizeError                 shorter or longer than announced, or too large
        │  └ SourceChangedError              a file or a copied object changed
        ├ InvalidRequestError                refused before it was sent             (ValueError)
        │  └ PartsMismatchError              not the parts that the service holds  (.direct)
        ├ SessionStateError                  a move that the session's table does not have
        │  └ SessionBusyError                another process holds the session    (.session)
        ├ SessionFormatError                 a saved session that cannot be read  (.session)
        ├ UploadPausedError                  the upload was paused                (.session)
        ├ DirectUploadExpiredError           a direct upload's time is over        (.direct)
        ├ CredentialsError                   there are no keys       (transfer/credentials)
        ├ CleanupError                       not all could be aborted    (transfer/orphans)
        ├ ResumableError                     and its own tree             (resumable/errors)
        ├ ObjectChangedError                 an object changed while it was read
        ├ TransportError                     no whole answer came
        │  ├ ConnectionFailedError, ConnectionTimeoutError, CertificateError  (transfer/http)
        │  └ DeadlineExceededError           the upload's deadline has passed       (TimeoutError)
        ├ MalformedAnswerError               an answer came that makes no sense
        ├ RetriesExhaustedError              the last of several attempts failed too
        ├ CompletionUnknownError             nobody can tell whether complete took effect
        └ ServiceError                       S3 answered with an error
           ├ AccessDeniedError               401, 403                      (InvalidCredsError)
           │  └ ClockSkewError               RequestTimeTooSkewed
           ├ ExpiredCredentialsError         ExpiredToken, InvalidToken    (InvalidCredsError)
           ├ ContainerMissingError           NoSuchBucket         (ContainerDoesNotExistError)
           ├ ObjectMissingError              NoSuchKey               (ObjectDoesNotExistError)
           ├ UploadMissingError              NoSuchUpload
           ├ PreconditionFailedError         412
           ├ ConditionalConflictError        409 ConditionalRequestConflict
           ├ WrongRegionError                301, 307, AuthorizationHeaderMalformed
           ├ CopyUnsupportedError            501: the service does not copy       (.copying)
           ├ ThrottledError                  503 SlowDown, 429
           └ TransientServiceError           500, 502, 504, 408, RequestTimeout, ...
        ChecksumMismatchError                the bytes arrived as others (ObjectHashMismatchError)

Every error says what was being done (``operation``, ``container``, ``object_name``,
``upload_id``, ``part_number``), what S3 said (``http_status``, ``s3_code``, ``request_id``) and
what may be done (``retryable``, ``throttled``, ``resumable``). Texts carry the status and the code,
never a URL with a query, a signature or a token. All are picklable. Who decides to try again is
:mod:`.retry`.
"""

from __future__ import annotations

from typing import Any
from functools import cache
from collections.abc import Sequence

from libcloud.common.types import LibcloudError, InvalidCredsError
from libcloud.storage.types import (
    ObjectDoesNotExistError,
    ObjectHashMismatchError,
    ContainerDoesNotExistError,
)


class S3MultipartError(LibcloudError):  # type: ignore[misc]
    """Every error of this package; see the module for the tree."""

    #: May the same request succeed when it is sent again?
    retryable = False
    #: Did the service ask for fewer requests?
    throttled = False
    #: Was the upload left on the service, to be resumed?
    resumable = False
    #: How often one request may be sent again because what this names was mended (another region,
    #: the clock, keys): a service that asks for the same again is not to be pleased.
    mends = 1

    def __init__(
        self,
        value: str,
        *,
        operation: str | None = None,
        container: str | None = None,
        object_name: str | None = None,
        upload_id: str | None = None,
        part_number: int | None = None,
        http_status: int | None = None,
        s3_code: str | None = None,
        request_id: str | None = None,
        retry_after_seconds: float | None = None,
        driver: Any = None,
    ) -> None:
        Exception.__init__(self, value)
        self.value = value
        self.driver = driver
        self.operation = operation
        self.container = container
        self.container_name = container
        self.object_name = object_name
        self.upload_id = upload_id
        self.part_number = part_number
        self.http_status = http_status
        self.http_code = http_status
        self.s3_code = s3_code
        self.request_id = request_id
        self.retry_after_seconds = retry_after_seconds
        #: What failed while cleaning up after this error, if anything did.
        self.cleanup_error: BaseException | None = None

    def __str__(self) -> str:
        return self.value

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.value!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        # The driver holds sockets and keys; an error that crosses a process leaves it behind.
        state = {k: v for k, v in self.__dict__.items() if k not in ("driver", "cleanup_error")}
        return _rebuilt, (type(self), state)


def _rebuilt(cls: type[S3MultipartError], state: dict[str, Any]) -> S3MultipartError:
    error = cls.__new__(cls)
    Exception.__init__(error, state.get("value"))
    error.driver = None
    error.cleanup_error = None
    error.__dict__.update(state)
    return error


class SourceError(S3MultipartError):
    """The source is not what it must be."""


class UnsupportedSourceError(SourceError, TypeError):
    """A source or a chunk of a kind that cannot be sent."""


class SourceSizeError(SourceError, ValueError):
    """The source is shorter or longer than announced, or larger than the service takes."""


class SourceChangedError(SourceError):
    """A file, or the object that is copied, changed meanwhile; the result would be a mixture."""


class InvalidRequestError(S3MultipartError, ValueError):
    """A key, header or option that was refused before any byte was sent."""


class SessionStateError(S3MultipartError):
    """A move that is not in the session's table of legal moves."""


class ObjectChangedError(S3MultipartError):
    """An object was replaced while it was read; what was read would be a mixture."""


class TransportError(S3MultipartError):
    """No whole answer came: refused, reset, timed out, cut."""

    retryable = True
    #: Whether any of the request may have reached the service: not so if nobody was there.
    was_sent = True
    #: A kept-alive connection turned out dead before any of the answer: that was no attempt.
    is_stale = False


class DeadlineExceededError(TransportError, TimeoutError):
    """The upload was not done within its ``deadline_seconds``.

    ``attempts`` keeps the failures of the request that it ended, oldest first.
    """

    retryable = False
    attempts: Sequence[S3MultipartError] = ()


class MalformedAnswerError(S3MultipartError):
    """An answer came that is not what this request is answered with."""

    retryable = True


class CompletionUnknownError(S3MultipartError):
    """Complete was sent, no believable answer came, and nothing proves either outcome.

    Check whether the object is there with the size and ETag named in the text before anything is
    sent again; the parts were not aborted.
    """

    resumable = True


class RetriesExhaustedError(S3MultipartError):
    """The last of several attempts failed too; ``attempts`` keeps every failure, oldest first.

    What is raised is also an instance of the last failure's class, so that a handler written for
    that one (``requests.exceptions.ConnectionError``, ``ObjectHashMismatchError``) still sees it.
    """

    attempts: Sequence[S3MultipartError] = ()

    @classmethod
    def after(cls, failures: Sequence[S3MultipartError]) -> RetriesExhaustedError:
        """Make the error that follows ``failures``; it speaks with the last one's details."""
        last = failures[-1]
        error = _exhausted(type(last))(  # type: ignore[arg-type]
            f"{last.value} (gave up after {len(failures)} attempts)",
            operation=last.operation,
            container=last.container,
            object_name=last.object_name,
            upload_id=last.upload_id,
            part_number=last.part_number,
            http_status=last.http_status,
            s3_code=last.s3_code,
            request_id=last.request_id,
            driver=last.driver,
        )
        error.attempts = tuple(failures)
        return error

    def __reduce__(self) -> tuple[Any, ...]:
        if type(self) is RetriesExhaustedError:
            return super().__reduce__()
        _, (_, state) = super().__reduce__()
        kind = next(c for c in type(self).__mro__[1:] if c is not RetriesExhaustedError)
        return _rebuilt_exhausted, (kind, state)


@cache
def _exhausted(kind: type[S3MultipartError]) -> type[RetriesExhaustedError]:
    """Make the class that is both; one for each kind of failure."""
    body = {"retryable": False, "__module__": __name__, "__doc__": RetriesExhaustedError.__doc__}
    return type("RetriesExhaustedError", (RetriesExhaustedError, kind), body)


def _rebuilt_exhausted(kind: type[S3MultipartError], state: dict[str, Any]) -> S3MultipartError:
    return _rebuilt(_exhausted(kind), state)  # type: ignore[arg-type]


class ServiceError(S3MultipartError):
    """S3 answered with an error that trying again cannot mend."""


class AccessDeniedError(ServiceError, InvalidCredsError):  # type: ignore[misc]
    """401 or 403: the keys, the signature or the rights are wrong."""


class ClockSkewError(AccessDeniedError):
    """RequestTimeTooSkewed: this machine's clock is too far from the service's.

    ``server_date`` is the answer's ``Date``, by which the driver corrects its signatures.
    """

    server_date: str | None = None


class ExpiredCredentialsError(ServiceError, InvalidCredsError):  # type: ignore[misc]
    """The session token ran out or is not known."""


class ContainerMissingError(ServiceError, ContainerDoesNotExistError):  # type: ignore[misc]
    """NoSuchBucket."""


class ObjectMissingError(ServiceError, ObjectDoesNotExistError):  # type: ignore[misc]
    """NoSuchKey."""


class UploadMissingError(ServiceError):
    """NoSuchUpload: completed, aborted, or never begun."""


class PreconditionFailedError(ServiceError):
    """412: ``if_none_match`` or ``if_match`` did not hold; nothing was written."""


class ConditionalConflictError(ServiceError):
    """409: another conditional write of the same object was under way."""

    retryable = True


class WrongRegionError(ServiceError):
    """The container is in another region than the one that was signed for, or at another place.

    ``region`` is the one that the service named, if it has the shape of one; ``location`` where a
    redirect leads, without its query (which may be signed). Whether it is followed is the sender's
    to say: never to a stranger.
    """

    region: str | None = None
    location: str | None = None


class ThrottledError(ServiceError):
    """503 SlowDown, 429: too many requests."""

    retryable = True
    throttled = True


class TransientServiceError(ServiceError):
    """5xx, 408 and those 4xx that mean "once more"."""

    retryable = True


class ChecksumMismatchError(S3MultipartError, ObjectHashMismatchError):  # type: ignore[misc]
    """What arrived is not what was sent; both values are in the text."""

    retryable = True


#: S3 code -> error class. Codes not named here go by the HTTP status. From "Error responses",
#: Amazon S3 API Reference (read 2026-11), and from the servers named beside an entry.
CODE_TABLE: dict[str, type[S3MultipartError]] = {
    "NoSuchBucket": ContainerMissingError,
    "NoSuchKey": ObjectMissingError,
    "NoSuchUpload": UploadMissingError,
    "AccessDenied": AccessDeniedError,
    "InvalidAccessKeyId": AccessDeniedError,
    "SignatureDoesNotMatch": AccessDeniedError,
    "RequestTimeTooSkewed": ClockSkewError,
    "ExpiredToken": ExpiredCredentialsError,
    "ExpiredTokenException": ExpiredCredentialsError,
    "InvalidToken": ExpiredCredentialsError,
    "PreconditionFailed": PreconditionFailedError,
    "ConditionalRequestConflict": ConditionalConflictError,
    "OperationAborted": ConditionalConflictError,
    "PermanentRedirect": WrongRegionError,
    "TemporaryRedirect": WrongRegionError,
    "AuthorizationHeaderMalformed": WrongRegionError,
    "IllegalLocationConstraintException": WrongRegionError,
    "SlowDown": ThrottledError,
    "TooManyRequests": ThrottledError,
    "TooManyRequestsException": ThrottledError,
    "RequestLimitExceeded": ThrottledError,
    "Throttling": ThrottledError,
    "ThrottlingException": ThrottledError,
    # A verb or header that the service does not know: it will not know it the next time either.
    "NotImplemented": ServiceError,
    "InternalError": TransientServiceError,
    "ServiceUnavailable": TransientServiceError,
    "RequestTimeout": TransientServiceError,
    "RequestTimeoutException": TransientServiceError,
    "IncompleteBody": TransientServiceError,
    # The bytes were damaged on the way; sent again they may arrive whole.
    "BadDigest": ChecksumMismatchError,
    "XAmzContentSHA256Mismatch": ChecksumMismatchError,
    "XAmzContentChecksumMismatch": ChecksumMismatchError,
}

#: HTTP status -> error class, for answers without a known code (gateways, HEAD).
STATUS_TABLE: dict[int, type[S3MultipartError]] = {
    301: WrongRegionError,
    302: WrongRegionError,
    307: WrongRegionError,
    308: WrongRegionError,
    401: AccessDeniedError,
    403: AccessDeniedError,
    404: ObjectMissingError,
    408: TransientServiceError,
    412: PreconditionFailedError,
    425: TransientServiceError,
    429: ThrottledError,
    500: TransientServiceError,
    501: ServiceError,  # The one 5xx that says "never".
    502: TransientServiceError,
    503: ThrottledError,
    504: TransientServiceError,
}


def error_class(*, http_status: int, s3_code: str | None) -> type[S3MultipartError]:
    """Give the class for an answer: by its code where that is known, else by its status."""
    if s3_code is not None and s3_code in CODE_TABLE:
        return CODE_TABLE[s3_code]
    return STATUS_TABLE.get(
        http_status, TransientServiceError if http_status >= 500 else ServiceError
    )


def leaves_doubt(error: S3MultipartError) -> bool:
    """Tell whether a request may have taken effect although this is what came back."""
    if isinstance(error, TransportError):
        return error.was_sent
    return isinstance(error, MalformedAnswerError) or (
        (error.http_status or 0) >= 500 and not error.throttled
    )


def is_final(error: S3MultipartError) -> bool:
    """Tell whether sending it again, also for another region, clock or key, changes nothing."""
    mended = isinstance(error, (ExpiredCredentialsError, WrongRegionError, ClockSkewError))
    return not (error.retryable or mended)
