# SPDX-License-Identifier: Apache-2.0
"""Browser uploads by POST: the form read, its policy's signature and every condition held to.

Written from "Browser-Based Uploads Using POST" (S3 API reference, read 2026-11) and from nothing of
the package. What a form may put becomes a plain PutObject; the reader goes back to ``state.py``.
"""

from __future__ import annotations

import hmac
import json
import base64
import binascii
from email import message_from_bytes
from typing import Any
from datetime import datetime, timezone
from dataclasses import replace
from collections.abc import Mapping

from tests.fake_s3.sigv4 import ALGORITHM, Keyring, _scope, _signature
from tests.fake_s3.routing import Call
from tests.fake_s3.messages import S3Error

#: Fields that no condition has to name.
_FREE = {"policy", "x-amz-signature", "file"}


def _read(call: Call) -> tuple[dict[str, str], str, bytes]:
    """Give the fields before the file by lower-case name, the file's name, and its bytes."""
    head = f"Content-Type: {call.header('content-type')}\r\n\r\n".encode("latin-1")
    message = message_from_bytes(head + call.body)
    if not message.is_multipart():
        raise S3Error("InvalidRequest", "The body of your POST request is not well-formed")
    fields: dict[str, str] = {}
    for part in message.get_payload():  # type: ignore[union-attr]
        name = str(part.get_param("name", header="content-disposition")).lower()  # type: ignore[union-attr]
        content = part.get_payload(decode=True)  # type: ignore[union-attr]
        assert isinstance(content, bytes)
        if name == "file":
            return fields, str(part.get_filename() or ""), content  # type: ignore[union-attr]
        fields[name] = content.decode()
    raise S3Error("InvalidArgument", "POST requires exactly one file upload per request.")


def allowed(call: Call, keyring: Keyring, now: datetime) -> Call:
    """
    Give the PutObject that the form asks for.

    :raises S3Error: AccessDenied, SignatureDoesNotMatch, EntityTooLarge, EntityTooSmall and the
        malformed kinds, as AWS does.
    """
    fields, file_name, body = _read(call)
    if "policy" not in fields:
        raise S3Error("AccessDenied")
    if fields.get("x-amz-algorithm") != ALGORITHM:
        raise S3Error("InvalidArgument", "x-amz-algorithm")
    access_key, scope = _scope(fields.get("x-amz-credential", ""), "InvalidArgument")
    secret = keyring.secret(access_key)
    expected = _signature(secret, scope, fields["policy"])
    if scope[1] != keyring.region or scope[0] != fields.get("x-amz-date", "")[:8]:
        raise S3Error("AccessDenied", "the scope is another one")
    if not hmac.compare_digest(expected, fields.get("x-amz-signature", "")):
        raise S3Error("SignatureDoesNotMatch")
    keyring.check_token(access_key, fields.get("x-amz-security-token"), now)
    try:
        policy = json.loads(base64.b64decode(fields["policy"], validate=True))
        until = datetime.strptime(policy["expiration"], "%Y-%m-%dT%H:%M:%S.%fZ")
    except (ValueError, KeyError, binascii.Error) as error:
        raise S3Error("InvalidRequest", "Invalid Policy") from error
    if now > until.replace(tzinfo=timezone.utc):
        raise S3Error("AccessDenied", "Invalid according to Policy: Policy expired.")
    key = fields.get("key", "").replace("${filename}", file_name)
    _check(policy["conditions"], {**fields, "key": key, "bucket": call.bucket}, len(body))
    names = {"content-type", "acl"}
    given = {n: v for n, v in fields.items() if n in names or n.startswith("x-amz-meta-")}
    headers = tuple((n, v) for n, v in given.items() if n != "acl")
    request = replace(
        call.request, headers=(*headers, ("content-length", str(len(body)))), body=body
    )
    return replace(call, operation="PutObject", key=key, request=request)


def _check(conditions: list[Any], fields: Mapping[str, str], size: int) -> None:
    named: set[str] = set()
    for condition in conditions:
        if isinstance(condition, dict):
            ((name, value),) = condition.items()
            kind = "eq"
        else:
            kind, name, value = condition[0], str(condition[1]).removeprefix("$"), condition[2]
        if kind == "content-length-range":
            if size > condition[2]:
                raise S3Error("EntityTooLarge")
            if size < condition[1]:
                raise S3Error("EntityTooSmall")
            continue
        lower = name.lower()
        named.add(lower)
        found = fields.get(lower, "")
        is_good = found.startswith(value) if kind == "starts-with" else found == value
        if not is_good:
            raise S3Error("AccessDenied", f"Invalid according to Policy: {name}")
    extra = fields.keys() - named - _FREE - {"bucket"}
    if extra := {name for name in extra if not name.startswith("x-ignore-")}:
        raise S3Error("AccessDenied", f"Extra input fields: {sorted(extra)[0]}")
