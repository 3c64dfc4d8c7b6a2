# SPDX-License-Identifier: Apache-2.0
"""Signature Version 4 judged from the wire, in headers and in presigned URLs, under S3's rules.

Written from "Authenticating Requests (AWS Signature Version 4)" (S3 API reference, read 2026-09)
and from nothing of the package; ``sign`` is only for tests of the fake itself. The reader goes
back to ``state.py``.
"""

from __future__ import annotations

import re
import hmac
import hashlib
from typing import Final
from datetime import datetime, timezone, timedelta
from dataclasses import field, replace, dataclass
from email.utils import parsedate_to_datetime
from urllib.parse import quote, unquote_to_bytes
from collections.abc import Mapping, Sequence

from tests.fake_s3.routing import split_target
from tests.fake_s3.messages import Request, S3Error

ALGORITHM: Final = "AWS4-HMAC-SHA256"
UNSIGNED: Final = "UNSIGNED-PAYLOAD"
MAX_SKEW: Final = timedelta(minutes=15)
MAX_EXPIRES_SECONDS: Final = 604_800

_HEADER = re.compile(
    rf"{ALGORITHM} +Credential=([^,\s]+), *SignedHeaders=([^,\s]+), *Signature=([0-9a-f]{{64}})"
)
_HEX = re.compile("[0-9a-f]{64}")


@dataclass(slots=True, kw_only=True)
class Keyring:
    """Access key to secret, or to (secret, session token); a test may change it at any time."""

    credentials: dict[str, str | tuple[str, str]]
    region: str
    expired_tokens: set[str] = field(default_factory=set)
    #: Session token to its end, by the fake's clock.
    token_ends: dict[str, datetime] = field(default_factory=dict)
    service: str = "s3"
    #: Where a token is read: a session's of S3 Express has names of its own.
    token_header: str = "x-amz-security-token"
    token_parameter: str = "X-Amz-Security-Token"

    def secret(self, access_key: str) -> str:
        found = self.credentials.get(access_key)
        if found is None:
            raise S3Error("InvalidAccessKeyId", AWSAccessKeyId=access_key)
        return found if isinstance(found, str) else found[0]

    def check_token(self, access_key: str, token: str | None, now: datetime) -> None:
        found = self.credentials[access_key]
        wanted = None if isinstance(found, str) else found[1]
        end = self.token_ends.get(token or "")
        if token in self.expired_tokens or (end is not None and now >= end):
            raise S3Error("ExpiredToken")
        if wanted is not None and token is None:
            # AWS knows no temporary key without its token.
            raise S3Error("InvalidAccessKeyId", AWSAccessKeyId=access_key)
        if token != wanted:
            raise S3Error("InvalidToken")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Claim:
    """What a request says of its own signature."""

    access_key: str
    scope: tuple[str, str, str, str]
    signed_headers: tuple[str, ...]
    signature: str
    when: datetime
    token: str | None
    payload: str


def canonical_path(raw_path: str) -> str:
    """Decode once, encode all but unreserved and ``/``; no dots removed, no slashes collapsed."""
    return quote(unquote_to_bytes(raw_path), safe="/~")


def canonical_query(pairs: Sequence[tuple[str, str]]) -> str:
    encoded = sorted((quote(name, safe="~"), quote(value, safe="~")) for name, value in pairs)
    return "&".join(f"{name}={value}" for name, value in encoded)


def canonical_headers(request: Request, names: Sequence[str]) -> str:
    lines = []
    for name in names:
        values = [re.sub(" +", " ", v.strip()) for given, v in request.headers if given == name]
        lines.append(f"{name}:{','.join(values)}\n")
    return "".join(lines)


def _canonical_request(request: Request, names: Sequence[str], payload: str) -> str:
    path, pairs = split_target(request.target)
    signed = [(name, value) for name, value in pairs if name != "X-Amz-Signature"]
    lines = [request.method, canonical_path(path), canonical_query(signed)]
    return "\n".join([*lines, canonical_headers(request, names), ";".join(names), payload])


def _string_to_sign(canonical: str, when: datetime, scope: Sequence[str]) -> str:
    digest = hashlib.sha256(canonical.encode("latin-1")).hexdigest()
    return "\n".join([ALGORITHM, _stamp(when), "/".join(scope), digest])


def _signature(secret: str, scope: Sequence[str], string_to_sign: str) -> str:
    key = b"AWS4" + secret.encode()
    for step in scope:
        key = hmac.new(key, step.encode(), hashlib.sha256).digest()
    return hmac.new(key, string_to_sign.encode(), hashlib.sha256).hexdigest()


def _stamp(when: datetime) -> str:
    return when.astimezone(timezone.utc).strftime("%Y%m%dT%H%M%SZ")


def _parse_stamp(text: str) -> datetime | None:
    if not re.fullmatch(r"\d{8}T\d{6}Z", text):
        return None
    return datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc)


def _scope(credential: str, code: str) -> tuple[str, tuple[str, str, str, str]]:
    pieces = credential.rsplit("/", 4)
    if len(pieces) != 5:
        raise S3Error(code, "Credential must be KEY/DATE/REGION/s3/aws4_request")
    access_key, date, region, service, terminal = pieces
    return access_key, (date, region, service, terminal)


def _from_headers(request: Request, keyring: Keyring) -> _Claim:
    given = request.header("authorization") or ""
    if not given.startswith(ALGORITHM):
        raise S3Error("InvalidRequest", f"Please use {ALGORITHM}.")
    match = _HEADER.fullmatch(given)
    if match is None:
        raise S3Error("AuthorizationHeaderMalformed")
    access_key, scope = _scope(match.group(1), "AuthorizationHeaderMalformed")
    when = _parse_stamp(request.header("x-amz-date") or "")
    if when is None and request.header("x-amz-date") is None and request.header("date"):
        try:
            when = parsedate_to_datetime(request.header("date") or "")
        except ValueError:
            when = None
    if when is None:
        text = "AWS authentication requires a valid Date or x-amz-date header"
        raise S3Error("AccessDenied", text)
    payload = request.header("x-amz-content-sha256")
    if payload is None:
        missing = "Missing required header for this request: x-amz-content-sha256"
        raise S3Error("InvalidRequest", missing)
    return _Claim(
        access_key=access_key,
        scope=scope,
        signed_headers=tuple(match.group(2).split(";")),
        signature=match.group(3),
        when=when,
        token=request.header(keyring.token_header),
        payload=payload,
    )


def _from_query(
    request: Request, query: Mapping[str, str], keyring: Keyring, now: datetime
) -> _Claim:
    code = "AuthorizationQueryParametersError"
    names = ("Algorithm", "Credential", "Date", "Expires", "SignedHeaders", "Signature")
    absent = [name for name in names if not query.get(f"X-Amz-{name}")]
    if absent:
        raise S3Error(code, f"Query-string authentication also requires {absent}")
    when = _parse_stamp(query["X-Amz-Date"])
    expires = query["X-Amz-Expires"]
    if query["X-Amz-Algorithm"] != ALGORITHM or when is None or not expires.isdigit():
        raise S3Error(code)
    if int(expires) > MAX_EXPIRES_SECONDS:
        raise S3Error(code, "X-Amz-Expires must be less than a week (in seconds)")
    if now > when + timedelta(seconds=int(expires)):
        raise S3Error("AccessDenied", "Request has expired", ServerTime=now.isoformat())
    if when > now + MAX_SKEW:
        raise S3Error("AccessDenied", "Request is not valid yet")
    access_key, scope = _scope(query["X-Amz-Credential"], code)
    payload = query.get("X-Amz-Content-Sha256") or request.header("x-amz-content-sha256")
    return _Claim(
        access_key=access_key,
        scope=scope,
        signed_headers=tuple(query["X-Amz-SignedHeaders"].split(";")),
        signature=query["X-Amz-Signature"],
        when=when,
        token=query.get(keyring.token_parameter) or request.header(keyring.token_header),
        payload=payload or UNSIGNED,
    )


def _check_scope(claim: _Claim, keyring: Keyring, code: str) -> None:
    date, region, service, terminal = claim.scope
    if region != keyring.region:
        text = f"the region '{region}' is wrong; expecting '{keyring.region}'"
        raise S3Error(code, text, Region=keyring.region)
    if (service, terminal) != (keyring.service, "aws4_request"):
        raise S3Error(code, f"incorrect service or terminal {service!r}, {terminal!r}")
    if date != _stamp(claim.when)[:8]:
        raise S3Error(code, f"Invalid credential date {date}")


def _check_signed_headers(request: Request, claim: _Claim) -> None:
    names = claim.signed_headers
    if list(names) != sorted(names) or any(name != name.lower() for name in names):
        raise S3Error("SignatureDoesNotMatch", "SignedHeaders must be sorted and lower case")
    if "host" not in names:
        raise S3Error("AccessDenied", "Host must be signed")
    must = {name for name, _ in request.headers if name.startswith("x-amz-")}
    unsigned = sorted(must - set(names))
    if unsigned:
        text = "There were headers present in the request which were not signed"
        raise S3Error("AccessDenied", text, HeadersNotSigned=", ".join(unsigned))


def _check_payload(request: Request, payload: str) -> None:
    if payload == UNSIGNED:
        return
    if payload.startswith("STREAMING-"):
        raise S3Error("NotImplemented", "The fake does not read aws-chunked bodies")
    if not _HEX.fullmatch(payload):
        raise S3Error("InvalidArgument", "x-amz-content-sha256 must be UNSIGNED-PAYLOAD or a hash")
    computed = hashlib.sha256(request.body).hexdigest()
    if payload != computed:
        raise S3Error(
            "XAmzContentSHA256Mismatch",
            ClientComputedContentSHA256=payload,
            S3ComputedContentSHA256=computed,
        )


def verify(request: Request, keyring: Keyring, now: datetime) -> str:
    """
    Give the access key that signed.

    :raises S3Error: AccessDenied, InvalidAccessKeyId, SignatureDoesNotMatch,
        RequestTimeTooSkewed, XAmzContentSHA256Mismatch and the malformed kinds, as AWS does.
    """
    query = dict(split_target(request.target)[1])
    in_header = request.header("authorization") is not None
    in_query = any(name in query for name in ("X-Amz-Signature", "X-Amz-Algorithm"))
    if in_header and in_query:
        raise S3Error("InvalidArgument", "Only one auth mechanism allowed")
    if not in_header and not in_query:
        raise S3Error("AccessDenied")
    claim = (
        _from_headers(request, keyring) if in_header else _from_query(request, query, keyring, now)
    )
    secret = keyring.secret(claim.access_key)
    kind = "AuthorizationHeaderMalformed" if in_header else "AuthorizationQueryParametersError"
    _check_scope(claim, keyring, kind)
    if in_header and abs(now - claim.when) > MAX_SKEW:
        raise S3Error(
            "RequestTimeTooSkewed",
            RequestTime=_stamp(claim.when),
            ServerTime=now.strftime("%Y-%m-%dT%H:%M:%SZ"),
            MaxAllowedSkewMilliseconds=int(MAX_SKEW.total_seconds() * 1000),
        )
    _check_signed_headers(request, claim)
    canonical = _canonical_request(request, claim.signed_headers, claim.payload)
    to_sign = _string_to_sign(canonical, claim.when, claim.scope)
    if not hmac.compare_digest(_signature(secret, claim.scope, to_sign), claim.signature):
        raise S3Error("SignatureDoesNotMatch", StringToSign=to_sign, CanonicalRequest=canonical)
    keyring.check_token(claim.access_key, claim.token, now)
    _check_payload(request, claim.payload)
    return claim.access_key


def sign(
    request: Request,
    *,
    access_key: str,
    secret_key: str,
    region: str,
    now: datetime,
    token: str | None = None,
    payload: str | None = None,
) -> Request:
    """The request with an Authorization header; ``host`` must be there already."""
    hashed = payload or hashlib.sha256(request.body).hexdigest()
    headers = [*request.headers, ("x-amz-date", _stamp(now)), ("x-amz-content-sha256", hashed)]
    if token is not None:
        headers.append(("x-amz-security-token", token))
    dated = replace(request, headers=tuple(headers))
    names = sorted({name for name, _ in headers if name == "host" or name.startswith("x-amz-")})
    scope = (_stamp(now)[:8], region, "s3", "aws4_request")
    to_sign = _string_to_sign(_canonical_request(dated, names, hashed), now, scope)
    authorization = (
        f"{ALGORITHM} Credential={access_key}/{'/'.join(scope)}, "
        f"SignedHeaders={';'.join(names)}, Signature={_signature(secret_key, scope, to_sign)}"
    )
    return replace(dated, headers=(*dated.headers, ("authorization", authorization)))
