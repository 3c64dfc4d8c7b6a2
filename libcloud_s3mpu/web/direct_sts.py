# SPDX-License-Identifier: Apache-2.0
"""Temporary credentials for browsers, narrowed to the handler's prefix.

Whoever has them signs what they like below the prefix until they run out; no size, type or single
key can be held to. Where that matters, sign requests one by one instead.
"""

from __future__ import annotations

import json
import time
from typing import Any
from datetime import datetime, timezone
from collections.abc import Mapping, Callable

from .messages import Refuse, Request, Response, json_response
from .direct_rules import DirectRules

#: Called with (request, policy, seconds); gives AccessKeyId, SecretAccessKey, SessionToken and
#: Expiration (an aware datetime or ISO text), such as ``sts.get_federation_token(Name=...,
#: Policy=policy, DurationSeconds=seconds)["Credentials"]`` of an STS client.
StsSource = Callable[[Request, str, int], Mapping[str, Any]]
#: What AWS's records show of whoever uses the credentials that an STS client gave.
_NAME = "s3mpu-direct"

#: The least that AWS gives (GetFederationToken, DurationSeconds, read 2026-11).
_LEAST_SECONDS = 900
#: Before they run out, browsers ask for new ones.
_MARGIN_SECONDS = 300


def source_of(sts: Any) -> StsSource:
    """Give the function of what the app gave: that, or an STS client as boto3 makes one.

    A client is asked for federated credentials, which its own keys must allow (a user's, no
    role's: "GetFederationToken", AWS STS API Reference, read 2026-11).

    :raises TypeError: if it is neither.
    """
    if callable(sts):
        given: StsSource = sts
        return given
    if not hasattr(sts, "get_federation_token"):
        raise TypeError("sts must be an STS client or a function of (request, policy, seconds)")

    def federated(request: Request, policy: str, seconds: int) -> Mapping[str, Any]:
        answer = sts.get_federation_token(Name=_NAME, Policy=policy, DurationSeconds=seconds)
        found: Mapping[str, Any] = answer["Credentials"]
        return found

    return federated


def policy_of(bucket: str, prefix: str) -> str:
    """Give the policy of what an upload needs below a prefix, and nothing else."""
    # "*" and "?" in it would be wild cards; "${" begins a variable.
    if any(mark in prefix for mark in ("*", "?", "${")):
        raise Refuse(500, "the prefix cannot be written into a policy")
    statement = {
        "Effect": "Allow",
        "Action": ["s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"],
        "Resource": f"arn:aws:s3:::{bucket}/{prefix}*",
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def credentials_answer(source: StsSource, request: Request, rules: DirectRules) -> Response:
    """Ask for credentials and give them as Companion does."""
    store = rules.store
    policy = policy_of(store.container.name, rules.prefix)
    found = source(request, policy, max(_LEAST_SECONDS, store.expires_seconds))
    until = found["Expiration"]
    if isinstance(until, str):
        until = datetime.fromisoformat(until.replace("Z", "+00:00"))
    seconds = max(0, int(until.timestamp() - time.time()) - _MARGIN_SECONDS)
    names = ("AccessKeyId", "SecretAccessKey", "SessionToken")
    credentials = {name: found[name] for name in names}
    credentials["Expiration"] = until.astimezone(timezone.utc).isoformat().replace("+00:00", "Z")
    return json_response(
        200,
        {
            "credentials": credentials,
            "bucket": store.container.name,
            "region": store.driver.region,
        },
        {"Cache-Control": f"private, max-age={seconds}"},
    )
