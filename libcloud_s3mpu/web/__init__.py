# SPDX-License-Identifier: Apache-2.0
"""Uploads over HTTP, without a framework: a handler takes a request and gives a response.

The values of both are in :mod:`.messages`, the handlers in :mod:`.tus` and :mod:`.direct`, and what
ties them to a server in :mod:`.wsgi` and :mod:`.asgi`. No package is needed beyond the driver's.
"""

from .tus import TusHandler
from .asgi import tus_asgi, direct_asgi
from .cors import Cors
from .page import UploadPage
from .wsgi import tus_wsgi, direct_wsgi
from .hooks import Hooks, NewUpload
from .login import Login
from .direct import DirectHandler
from .messages import Refuse, Request, Response

__all__ = [
    "Cors",
    "DirectHandler",
    "Hooks",
    "Login",
    "NewUpload",
    "Refuse",
    "Request",
    "Response",
    "TusHandler",
    "UploadPage",
    "direct_asgi",
    "direct_wsgi",
    "tus_asgi",
    "tus_wsgi",
]
