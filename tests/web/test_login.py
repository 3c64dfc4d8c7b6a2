# SPDX-License-Identifier: Apache-2.0
"""The login before a handler: who knows the password is answered, nobody else."""

from __future__ import annotations

from base64 import b64encode

import pytest

from libcloud_s3mpu.web.login import Login
from libcloud_s3mpu.web.messages import Request, Response, text_response


class Open:
    def handle(self, request: Request) -> Response:
        return text_response(200, "welcome")


LOGIN = Login(Open(), "s3mpu", "pass: wörd")


def basic(text: str) -> str:
    return f"Basic {b64encode(text.encode()).decode()}"


def ask(method: str = "GET", **headers: str) -> Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return LOGIN.handle(Request(method=method, path="/", headers=named))


def test_the_right_name_and_password() -> None:
    assert ask(authorization=basic("s3mpu:pass: wörd")).status == 200
    assert ask(authorization=basic("s3mpu:pass: wörd").replace("Basic", "bASIC")).status == 200


@pytest.mark.parametrize(
    "given",
    [
        "", "Basic", "Basic !", "Bearer x", basic(""), basic(":"), basic("s3mpu"), basic("s3mpu:"),
        basic("s3mpu:pass"), basic("S3mpu:pass: wörd"), basic("s3mpu:pass: wörd "), "Basic ä",
        basic("s3mpu:pass: wörd").replace("Basic", "Digest"),
    ],
)  # fmt: skip
def test_anything_else_is_asked_who_it_is(given: str) -> None:
    for answer in (ask(authorization=given), ask("OPTIONS", authorization=given), ask()):
        assert answer.status == 401
        assert (answer.header("WWW-Authenticate") or "").startswith("Basic realm=")


def test_a_preflight_passes() -> None:
    assert ask("OPTIONS", access_control_request_method="POST").status == 200
    assert ask("POST", access_control_request_method="POST").status == 401


@pytest.mark.parametrize(("name", "password"), [("", "x"), ("a:b", "x"), ("a", "")])
def test_a_login_that_is_none(name: str, password: str) -> None:
    with pytest.raises(ValueError, match="login"):
        Login(Open(), name, password)


def test_no_password_is_shown() -> None:
    assert "wörd" not in repr(LOGIN)
