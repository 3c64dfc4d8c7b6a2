# SPDX-License-Identifier: Apache-2.0
"""S3 Express: CreateSession as a pair, and which requests are signed with a session's keys.

A zone's endpoint takes most requests only with keys that it gave for one directory bucket and five
minutes; who asks for them and keeps them is :mod:`libcloud_s3mpu.transfer.express`. ("Authorizing
Zonal endpoint API operations with CreateSession", Amazon S3 User Guide, and the API reference's
pages of the operations named here, read 2026-11.)
"""

from __future__ import annotations

from typing import NamedTuple
from dataclasses import field, replace, dataclass
from collections.abc import Mapping

from . import xml
from .wire import SMALL_ANSWER
from .errors import MalformedAnswerError
from .signing import Credentials
from .messages import S3Request, S3Response, malformed, parse_body, raise_for_status

#: "You must use IAM credentials ... instead of using the temporary security credentials".
OWN_KEYS = frozenset({"CreateSession", "HeadBucket", "CopyObject", "UploadPartCopy"})


@dataclass(frozen=True, slots=True)
class SessionKeys:
    """What CreateSession gave; ``expires_at`` as the service writes it."""

    credentials: Credentials
    expires_at: str | None = field(default=None)


class Asked(NamedTuple):
    """As much of a request as tells whose keys it takes."""

    method: str
    has_key: bool
    query: str
    headers: Mapping[str, str]


def takes_own_keys(asked: Asked) -> bool:
    """Tell whether a request on its way is one of :data:`OWN_KEYS`."""
    if "x-amz-copy-source" in asked.headers:
        return True
    return not asked.has_key and (asked.method == "HEAD" or asked.query == "session=")


def create_session_request(bucket: str) -> S3Request:
    """Make the ``GET ?session``: without a mode the service gives as many rights as it may."""
    return S3Request(
        operation="CreateSession",
        method="GET",
        bucket=bucket,
        query=(("session", ""),),
        answer_limit=SMALL_ANSWER,
    )


def create_session_result(request: S3Request, response: S3Response) -> SessionKeys:
    """Read the keys of a session; no error quotes an answer that may hold them.

    :raises MalformedAnswerError: if a part of them is missing.
    """
    raise_for_status(request, response, 200)
    silent = replace(response, body=b"")
    try:
        root = parse_body(request, response, root="CreateSessionResult", also="CreateSessionOutput")
    except MalformedAnswerError:
        raise malformed(request, silent, "its answer is none") from None
    for given in xml.children(root, "Credentials"):
        access, secret, token, until = (
            xml.text_of(given, name)
            for name in ("AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration")
        )
        keys = (access, secret, token)
        if access and secret and token and all(map(_is_header_text, keys)):
            return SessionKeys(Credentials(access, secret, token), until or None)
    raise malformed(request, silent, "it has no keys of a session")


def _is_header_text(text: str | None) -> bool:
    return bool(text) and str(text).isascii() and str(text).isprintable()
