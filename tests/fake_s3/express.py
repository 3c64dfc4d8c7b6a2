# SPDX-License-Identifier: Apache-2.0
"""A zone of S3 Express: sessions for one bucket each, and what directory buckets refuse.

Written from "Differences for directory buckets", "Authorizing Zonal endpoint API operations with
CreateSession" (Amazon S3 User Guide) and the API reference's pages (read 2026-11), and from nothing
of the package. The reader goes back to ``state.py``.
"""

from __future__ import annotations

from typing import Final
from datetime import datetime, timedelta
from dataclasses import field, dataclass

from tests.fake_s3.sigv4 import Keyring, verify
from tests.fake_s3.store import Store, iso_date
from tests.fake_s3.routing import Call, split_target
from tests.fake_s3.messages import S3Error, Response

#: These take the account's keys, and no session's.
OWN: Final = frozenset({"CreateSession", "HeadBucket", "CopyObject", "UploadPartCopy"})
LIFE: Final = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    bucket: str
    secret: str
    token: str
    ends: datetime


@dataclass(slots=True)
class Zone:
    """``sessions`` by access key; a test may end them."""

    keyring: Keyring
    sessions: dict[str, Session] = field(default_factory=dict)
    opened: int = 0

    def admit(self, call: Call, now: datetime) -> None:
        """:raises S3Error: unless the request is signed for ``s3express`` with the right keys."""
        own = "x-amz-security-token", "x-amz-s3session-token"
        query = dict(split_target(call.request.target)[1])
        if call.operation in OWN:
            if call.header(own[1]) is not None:
                raise S3Error("AccessDenied", f"{call.operation} takes no session")
            ring = Keyring(
                credentials=self.keyring.credentials,
                region=self.keyring.region,
                expired_tokens=self.keyring.expired_tokens,
                service="s3express",
            )
        else:
            if call.header(own[0]) is not None or "X-Amz-Security-Token" in query:
                raise S3Error("AccessDenied", "x-amz-security-token has no place in a session")
            ring = Keyring(
                credentials={key: (it.secret, it.token) for key, it in self.sessions.items()},
                region=self.keyring.region,
                token_ends={it.token: it.ends for it in self.sessions.values()},
                service="s3express",
                token_header=own[1],
                token_parameter="X-Amz-S3session-Token",
            )
        key = verify(call.request, ring, now)
        if call.operation not in OWN and self.sessions[key].bucket != call.bucket:
            raise S3Error("AccessDenied", "the session is another bucket's")
        _check(call)

    def create_session(self, store: Store, call: Call, now: datetime) -> Response:
        store.bucket(call)
        self.opened += 1
        number = self.opened
        made = Session(
            bucket=call.bucket,
            secret=f"session/secret+{number}",
            token=f"session-token-{number}=",
            ends=now + LIFE,
        )
        self.sessions[f"AKIDSESSION{number}"] = made
        return store.xml(
            "CreateSessionResult",
            [
                (
                    "Credentials",
                    [
                        ("SessionToken", made.token),
                        ("SecretAccessKey", made.secret),
                        ("AccessKeyId", f"AKIDSESSION{number}"),
                        ("Expiration", iso_date(made.ends)),
                    ],
                )
            ],
        )


def _check(call: Call) -> None:
    if not (call.header("host") or "").startswith(f"{call.bucket}."):
        raise S3Error("InvalidRequest", "path-style requests are not supported")
    if call.operation == "ListObjects":
        raise S3Error("NotImplemented", "directory buckets have ListObjectsV2 only")
    prefix = call.query.get("prefix", "")
    if prefix and not prefix.endswith("/"):
        raise S3Error("InvalidRequest", "a prefix must end in a delimiter")
    if "upload-id-marker" in call.query:
        raise S3Error("NotImplemented", "upload-id-marker")
    if call.header("x-amz-storage-class") not in (None, "EXPRESS_ONEZONE"):
        raise S3Error("InvalidRequest", "directory buckets only support EXPRESS_ONEZONE")
    refused = ("content-md5", "x-amz-acl", "x-amz-tagging", "x-amz-request-payer")
    for name, _ in call.request.headers:
        if name in refused or "-customer-" in name:
            raise S3Error("NotImplemented", f"{name} is not supported", Header=name)
