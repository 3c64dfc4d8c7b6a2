# SPDX-License-Identifier: Apache-2.0
"""Starlette: uploads at /files (tus) and /direct (signed for the browser).

The handlers have ``base_path="/files"`` and ``base_path="/direct"``.
"""

from typing import Any

from starlette.routing import Mount, Route
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.applications import Starlette

from libcloud_s3mpu.web.asgi import tus_asgi, direct_asgi


async def index(request: Request) -> PlainTextResponse:
    return PlainTextResponse("an app of its own")


def make_app(tus: Any, direct: Any) -> Starlette:
    files, signed = tus_asgi(tus), direct_asgi(direct)
    return Starlette(
        routes=[
            Route("/", index),
            Route("/files", files),  # Without it, Starlette redirects a POST to /files/.
            Mount("/files", app=files),
            Mount("/direct", app=signed),
        ]
    )
