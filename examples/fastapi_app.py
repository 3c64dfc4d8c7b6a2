# SPDX-License-Identifier: Apache-2.0
"""FastAPI: uploads at /files (tus) and /direct (signed for the browser).

The handlers have ``base_path="/files"`` and ``base_path="/direct"``. Leave CORSMiddleware off these
paths: the handlers answer preflights themselves.
"""

from typing import Any

from fastapi import FastAPI

from libcloud_s3mpu.web.asgi import tus_asgi, direct_asgi


def make_app(tus: Any, direct: Any) -> FastAPI:
    app = FastAPI()

    @app.get("/")
    async def index() -> str:
        return "an app of its own"

    files = tus_asgi(tus)
    app.add_route("/files", files)  # Without it, a POST is redirected to /files/.
    app.mount("/files", files)
    app.mount("/direct", direct_asgi(direct))
    return app
