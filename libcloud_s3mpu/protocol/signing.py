# SPDX-License-Identifier: Apache-2.0
"""SigV4 for S3: headers in, the ``Authorization`` header out.

Few headers are signed (``host``, ``content-type``, ``content-md5``, ``range``, ``x-amz-*``), so a
proxy that rewrites others breaks nothing. Bodies are never read here: their SHA-256, or
``UNSIGNED-PAYLOAD``, comes in.
"Authenticating Requests (AWS Signature Version 4)", Amazon S3 API Reference (read 2026-11).
"""

from __future__ import annotations

import re
import hmac
import hashlib
from dataclasses import field, dataclass
from collections.abc import Mapping

from .errors import InvalidRequestError

UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"
#: Where the token of temporary keys goes; S3 Express has one of its own for its sessions'.
TOKEN_HEADER = "x-amz-security-token"
SESSION_TOKEN_HEADER = "x-amz-s3session-token"
_ALGORITHM = "AWS4-HMAC-SHA256"
_SIGNED = frozenset({"host", "content-type", "content-md5", "range"})
_SPACES = re.compile(r" {2,}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Credentials:
    """Keys that requests are signed with; never shown."""

    access_key: str
    secret_key: str = field(repr=False)
    token: str | None = field(default=None, repr=False)

    def __repr__(self) -> str:
        return f"<Credentials {self.access_key[:4]}...>"


def _hmac(key: bytes, message: str) -> bytes:
    return hmac.digest(key, message.encode("utf-8"), "sha256")


def signing_key(secret_key: str, date: str, region: str, service: str) -> bytes:
    """Derive the key of one day (``date`` is YYYYMMDD), region and service."""
    key = _hmac(b"AWS4" + secret_key.encode("utf-8"), date)
    for step in (region, service, "aws4_request"):
        key = _hmac(key, step)
    return key


def canonical_value(value: str) -> str:
    """Give a header's value as it is signed: without blanks around it, or two in a row."""
    value = value.strip()
    return _SPACES.sub(" ", value) if "  " in value else value


def canonical_headers(headers: Mapping[str, str]) -> tuple[str, str]:
    """Give the canonical header block and the list of signed names. Names must be lower case."""
    names = sorted(n for n in headers if n in _SIGNED or n.startswith("x-amz-"))
    block = "".join(f"{name}:{canonical_value(headers[name])}\n" for name in names)
    return block, ";".join(names)


def _broken(credentials: Credentials, region: str) -> str | None:
    """Name what would begin a line of its own in a request's head.

    It raises nothing: no traceback is to have a secret among its locals.
    """
    values = {
        "access key": credentials.access_key,
        "secret key": credentials.secret_key,
        "session token": credentials.token or "",
        "region": region,
    }
    return next((name for name, value in values.items() if _CONTROL.search(value)), None)


class Signer:
    """Signs requests of one key pair for one region; the day's key is derived once.

    Any number of threads may use one signer: all they share is one tuple that is replaced whole.

    :param token_header: the header that the keys' token goes by, if they have one.
    :raises InvalidRequestError: (a ValueError) for keys or a region that would break a header.
    """

    __slots__ = ("credentials", "region", "service", "token_header", "_day")

    def __init__(
        self,
        credentials: Credentials,
        *,
        region: str,
        service: str = "s3",
        token_header: str = TOKEN_HEADER,
    ) -> None:
        self.credentials = credentials
        self.region = region
        self.service = service
        self.token_header = token_header
        self._day: tuple[str, bytes] = ("", b"")
        if broken := _broken(credentials, region):
            raise InvalidRequestError(
                f"the {broken} holds a control character, maybe a line feed that was copied with it"
            )

    def __repr__(self) -> str:
        return f"<Signer {self.credentials!r} {self.region}/{self.service}>"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a Signer holds a secret key and cannot be pickled")

    def _key_of(self, date: str) -> bytes:
        day, key = self._day
        if day != date:
            key = signing_key(self.credentials.secret_key, date, self.region, self.service)
            self._day = (date, key)
        return key

    def signature(self, text: str, *, date: str) -> str:
        """Give the signature of a string to sign; ``date`` (YYYYMMDD) is the one of its scope."""
        return _hmac(self._key_of(date), text).hex()

    def authorization(
        self, *, method: str, path: str, query: str, headers: Mapping[str, str], amz_date: str
    ) -> str:
        """Give the ``Authorization`` header.

        :param path: the encoded path exactly as it is sent.
        :param query: the canonical query string exactly as it is sent, without ``?``.
        :param headers: all headers by lower-case name; must hold ``host`` and
            ``x-amz-content-sha256``.
        :param amz_date: ``YYYYMMDDTHHMMSSZ``, the same as in ``x-amz-date``.
        """
        block, signed = canonical_headers(headers)
        request = f"{method}\n{path}\n{query}\n{block}\n{signed}\n{headers['x-amz-content-sha256']}"
        date = amz_date[:8]
        scope = f"{date}/{self.region}/{self.service}/aws4_request"
        hashed = hashlib.sha256(request.encode("utf-8")).hexdigest()
        text = f"{_ALGORITHM}\n{amz_date}\n{scope}\n{hashed}"
        signature = self.signature(text, date=date)
        return (
            f"{_ALGORITHM} Credential={self.credentials.access_key}/{scope}, "
            f"SignedHeaders={signed}, Signature={signature}"
        )
