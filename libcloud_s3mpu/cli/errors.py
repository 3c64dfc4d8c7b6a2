# SPDX-License-Identifier: Apache-2.0
"""An error's text for a terminal: one line, no repr, no XML, no URL.

This package's errors speak for themselves; those of libcloud's inherited methods and of requests
do not. Exit codes are in :mod:`libcloud_s3mpu.cli`.
"""

from __future__ import annotations

import re
from typing import Any
from contextlib import contextmanager
from collections.abc import Iterator

from libcloud.common.types import LibcloudError
from libcloud.storage.types import (
    ObjectDoesNotExistError,
    ContainerDoesNotExistError,
    ContainerAlreadyExistsError,
)

from .words import S3Url, Failed, Interrupted, one_line
from ..protocol.errors import (
    S3MultipartError,
    AccessDeniedError,
    ObjectMissingError,
    ContainerMissingError,
)
from ..transfer.credentials import CredentialsError

#: How the line begins that tells a program how to go on (:mod:`libcloud_s3mpu.transfer.cleanup`).
KEPT = "The upload was kept: "


#: What an answer to a HEAD cannot say, as it has no body.
_NO_REASON = "wrong keys, or keys that may not see it; s3mpu ls may be told more"
#: What OpenSSL's word for an answer that is no TLS means, nearly always.
_NO_TLS = "the endpoint may speak plain http://"
_KEYS = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or see aws configure"
#: What asks for the object that its error names; a copy's error names the one to be made.
_ASKING = ("HeadObject", "GetObject", "DeleteObject")


@contextmanager
def about(url: S3Url) -> Iterator[None]:
    """Name the whole URL of an object that is not there: libcloud's own error has no bucket."""
    try:
        yield
    except ObjectDoesNotExistError as error:
        raise Failed(f"no such object: {url}") from error


def words_of(error: BaseException) -> str:
    """Give an error's text. The inherited methods raise libcloud's own, whose str() is a repr."""
    if isinstance(error, ContainerMissingError) and error.operation == "HeadBucket":
        return f"no such container: {error.container_name}"
    if isinstance(error, AccessDeniedError) and str(error.operation).startswith("Head"):
        return f"{error.value} ({_NO_REASON})"
    if isinstance(error, CredentialsError) and error.__cause__ is not None:
        return f"no credentials: {one_line(str(error.__cause__))}; {_KEYS}"
    if isinstance(error, ObjectMissingError) and error.operation in _ASKING:
        return f"no such object: {S3Url(str(error.container), str(error.object_name))}"
    if isinstance(error, S3MultipartError):
        text = str(error).partition(f"\n{KEPT}")[0]  # A terminal is told the command instead.
        return f"{text} ({_NO_TLS})" if "WRONG_VERSION_NUMBER" in text else text
    if isinstance(error, (Failed, Interrupted)):
        return str(error)
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, ObjectDoesNotExistError):
        return f"no such object: {error.object_name}"
    if isinstance(error, ContainerDoesNotExistError):
        return f"no such container: {error.container_name}"
    if isinstance(error, ContainerAlreadyExistsError):
        return f"container {error.container_name} exists already"
    if isinstance(error, LibcloudError):
        return _libcloud_words(str(error.value))
    if type(error).__module__.partition(".")[0] in ("requests", "urllib3"):
        return f"no whole answer came from the service: {_innermost(error)}"
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}"
    if isinstance(error, (ValueError, ImportError)):
        return str(error)
    return f"{type(error).__name__}: {error} (--debug shows where)"


def _libcloud_words(value: str) -> str:
    """Take S3's code and message out of the XML that upstream puts into some of its errors."""
    code = re.search(r"<Code>([^<]+)</Code>", value)
    message = re.search(r"<Message>([^<]+)</Message>", value)
    if code is None:
        return value
    return value.partition(": <")[0] + f": {code[1]}" + (f": {message[1]}" if message else "")


def _innermost(error: BaseException) -> str:
    """Give the cause in words; what requests says around it quotes the URL and object addresses."""
    seen: Any = error
    for _ in range(8):
        inner = getattr(seen, "reason", None)
        if not isinstance(inner, BaseException):
            inner = next((a for a in seen.args if isinstance(a, BaseException)), seen.__cause__)
        if inner is None:
            break
        seen = inner
    return f"{type(seen).__name__}: {seen}"
