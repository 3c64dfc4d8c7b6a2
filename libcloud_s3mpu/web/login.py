# SPDX-License-Identifier: Apache-2.0
"""One name and one password before a handler, by HTTP's own Basic scheme (RFC 7617).

For servers without an app, such as ``s3mpu serve``: browsers ask for it by themselves, and every
client can send it. Apps have logins of their own. Over plain http whoever sees the line reads it.
"""

from __future__ import annotations

import hmac
import binascii
from base64 import b64decode
from typing import Any

from .messages import Request, Response, text_response

__all__ = ["Login"]


class Login:
    """Lets a handler answer who knows the name and the password, and nobody else.

    A preflight passes: browsers send none of it there, and it says nothing of any upload.
    """

    def __init__(self, handler: Any, name: str, password: str) -> None:
        if not name or ":" in name or not password:
            raise ValueError("a login is a name, without a colon, and a password")
        self._handler = handler
        self._wanted = f"{name}:{password}".encode()

    def __repr__(self) -> str:
        return f"<Login before {self._handler!r}>"

    def handle(self, request: Request) -> Response:
        """Answer one request; it never raises."""
        is_preflight = (
            request.method == "OPTIONS"
            and request.header("access-control-request-method") is not None
        )
        if is_preflight or hmac.compare_digest(_given(request), self._wanted):
            answer: Response = self._handler.handle(request)
            return answer
        asked = {"WWW-Authenticate": 'Basic realm="s3mpu", charset="UTF-8"'}
        return text_response(401, "who are you?\n", asked)


def _given(request: Request) -> bytes:
    scheme, _, text = (request.header("authorization") or "").partition(" ")
    if scheme.lower() != "basic":
        return b""
    try:
        return b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        return b""
