# SPDX-License-Identifier: Apache-2.0
"""Flask: uploads at /files (tus) and /direct (signed for the browser).

The handlers have ``base_path="/files"`` and ``base_path="/direct"``.
"""

from typing import Any

from flask import Flask
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from libcloud_s3mpu.web.wsgi import tus_wsgi, direct_wsgi


def make_app(tus: Any, direct: Any) -> Flask:
    app = Flask(__name__)

    @app.get("/")
    def index() -> str:
        return "an app of its own"

    mounts = {"/files": tus_wsgi(tus), "/direct": direct_wsgi(direct)}
    app.wsgi_app = DispatcherMiddleware(app.wsgi_app, mounts)  # type: ignore[method-assign]
    return app
