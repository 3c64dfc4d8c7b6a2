# SPDX-License-Identifier: Apache-2.0
"""Django: uploads at /files (tus) and /direct (signed for the browser), as two plain views.

A view gets Django's request, user and session included (``request.native`` of a hook is its
environ). The body is read from the server while it arrives: Django's own reading of it, which
DATA_UPLOAD_MAX_MEMORY_SIZE and upload handlers are for, never begins.
"""

from typing import Any
from collections.abc import Callable

import django
from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.urls import re_path
from django.core.wsgi import get_wsgi_application
from django.views.decorators.csrf import csrf_exempt

from libcloud_s3mpu.web.wsgi import request_of_environ

urlpatterns: list[Any] = []


def view_of(handler: Any) -> Callable[..., HttpResponseBase]:
    """Make a view of a handler whose ``base_path`` is where the view is mounted.

    The tus protocol's own headers cannot be sent across sites without a preflight, so no token
    is needed for it; protect the direct uploads as the app's other JSON views.
    """

    @csrf_exempt
    def view(request: HttpRequest) -> HttpResponseBase:
        made = request_of_environ(request.environ)  # type: ignore[attr-defined]
        if made is None:
            return HttpResponse(status=400)
        response = handler.handle(made)
        answer = StreamingHttpResponse(response.body, status=response.status)
        if isinstance(response.body, tuple):
            answer = HttpResponse(b"".join(response.body), status=response.status)
        del answer["Content-Type"]
        for name, value in response.headers:
            answer[name] = value
        return answer

    return view


def make_app(tus: Any, direct: Any) -> Any:
    """Make a whole Django project; an app of its own only needs the two lines of urlpatterns."""
    if not settings.configured:
        settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="-" * 50)
        django.setup()
    urlpatterns[:] = [
        re_path(r"^files(?:/|$)", view_of(tus)),
        re_path(r"^direct(?:/|$)", view_of(direct)),
        re_path(r"^$", lambda request: HttpResponse("an app of its own")),
    ]
    return get_wsgi_application()
