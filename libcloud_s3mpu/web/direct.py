# SPDX-License-Identifier: Apache-2.0
"""The app's half of uploads from the browser straight to the bucket: it signs, it never sees bytes.

Three layouts of the same operations, below one path: ``/s3/...`` is what Companion offers to
``@uppy/aws-s3`` (versions 3 to 6), ``/sign`` is one endpoint for its ``signRequest`` (version 6),
``/files/...`` is oarepo's for Invenio. Here are the rules that hold for all of them: who may name
which key, how large, of what type. What is done on the service is :mod:`.direct_store`.
"""

from __future__ import annotations

from typing import Any
from dataclasses import replace
from collections.abc import Mapping, Sequence

from libcloud.storage.base import Container

from .cors import Cors
from .hooks import check_plain
from .metrics import Counters
from .messages import Refuse, Request, Response, json_response
from .refusals import refusal_of
from .addresses import Addresses
from .direct_sts import source_of, credentials_answer
from .direct_sign import Signing
from .direct_files import Files
from .direct_rules import MakeKey, Authorize, DirectRules, default_key
from .direct_store import DirectStore
from .direct_companion import Companion
from ..protocol.presigning import check_expires

__all__ = ["DirectHandler"]

#: Companion's own default (``expires``), enough for one part on a slow line.
EXPIRES_SECONDS = 800
_METHODS = ("GET", "HEAD", "POST", "DELETE", "OPTIONS")
#: What pages may send: the app's tokens, and what Companion's clients add (Uppy up to 4).
_HEADERS = (
    *("Authorization", "Content-Type", "X-CSRF-Token", "X-CSRFToken"),
    *("Uppy-Auth-Token", "Uppy-Credentials-Params", "Uppy-Versions"),
)


class DirectHandler:
    """Serves direct uploads into one container, below one prefix.

    :param prefix: begins every key that is ever signed; ``""`` opens the whole container.
    :param authorize: called with (request, action, key) before anything is done or signed; the
        action is ``create``, ``list``, ``sign``, ``complete``, ``abort`` or ``credentials``. Only
        what is true allows: False, None and the like refuse with 403, and it may raise
        :class:`~.messages.Refuse`. A plain function, no coroutine. A client that may act on a key
        may act on every upload of that key.
    :param key: called with (request, filename, metadata), gives a new object's name below the
        prefix; a random one before the file's own if None.
    :param max_size_bytes: of an object. Held by the form of a small file and, since S3 cannot
        bound the sum of parts, when the parts are joined: what is too much is aborted then.
    :param content_types: those that are taken, such as ``image/*``; None for all.
    :param expires_seconds: life time of URLs and forms.
    :param extra: of every object, as the driver's upload methods take it (ACL, metadata).
    :param cors: for the app's own pages. The bucket needs a rule of its own, with ETag exposed.
    :param secret: of the app, 16 bytes or more, the same in all processes: signs the URLs of this
        handler that ``/sign`` gives out. Needed there if ``max_size_bytes`` is to hold, and for
        resuming uploads of more than a thousand parts.
    :param sts: gives temporary credentials: an STS client as boto3 makes one, or a function
        (:mod:`.direct_sts`); None answers ``/s3/sts`` with 404.
    :param base_path: of all of it; ``""`` where the framework's mount is it.
    :param public_url: the handler's URL as browsers see it, where a proxy changes it: ``/sign``
        gives out URLs of this handler too.
    :param trust_forwarded: believe Forwarded, X-Forwarded-Proto and -Host for them; only behind a
        proxy that sets them itself.
    """

    def __init__(
        self,
        driver: Any,
        container: Container,
        prefix: str = "",
        *,
        authorize: Authorize,
        key: MakeKey | None = None,
        max_size_bytes: int | None = None,
        content_types: Sequence[str] | None = None,
        expires_seconds: int = EXPIRES_SECONDS,
        extra: Mapping[str, Any] | None = None,
        cors: Cors | None = None,
        secret: bytes | None = None,
        sts: Any = None,
        base_path: str = "",
        trust_forwarded: bool = False,
        public_url: str | None = None,
    ) -> None:
        for name, given in (("authorize", authorize), ("key", key or default_key)):
            check_plain(name, given)
        if prefix.startswith("/") or {".", ".."} & set(prefix.split("/")):
            raise ValueError(f"prefix must begin a key: {prefix!r}")
        if max_size_bytes is not None and max_size_bytes < 0:
            raise ValueError("max_size_bytes must not be negative")
        if sts is not None and max_size_bytes is not None:
            raise ValueError("credentials cannot be held to max_size_bytes: give one of sts and it")
        if secret is not None and (not isinstance(secret, bytes) or len(secret) < 16):
            raise ValueError("secret must have 16 bytes or more")
        if isinstance(content_types, str):
            raise TypeError("content_types is a list of types")
        check_expires(expires_seconds)
        base = base_path.rstrip("/")
        if base and not base.startswith("/"):
            raise ValueError(f"base_path must begin with a slash: {base_path!r}")
        self._addresses = Addresses(
            base_path=base, trusts_forwarded=trust_forwarded, public_url=public_url
        )
        self._cors = cors
        self._sts = None if sts is None else source_of(sts)
        self._counters = Counters()
        store = DirectStore(
            driver=driver,
            container=container,
            max_size_bytes=max_size_bytes,
            expires_seconds=expires_seconds,
            extra=dict(extra or {}),
        )
        self._rules = DirectRules(
            store=store,
            prefix=prefix,
            authorize=authorize,
            make_key=key or default_key,
            content_types=None if content_types is None else tuple(content_types),
        )
        self._companion = Companion(self._rules)
        self._files = Files(self._rules)
        self._signing = Signing(self._rules, self._addresses, secret)

    def handle(self, request: Request) -> Response:
        """Answer one request; it never raises. Errors are ``{"error": text, "message": text}``."""
        method = request.method.upper()
        # A HEAD is answered as its GET would be, without the body, as Companion's does.
        request = replace(request, method="GET" if method == "HEAD" else method)
        try:
            response = self._answered(request)
        except Exception as error:
            response = _as_json(refusal_of(error), error)
        if method == "HEAD":
            response = replace(response, body=())
        if self._cors is not None:
            response = self._cors.applied(
                request,
                response,
                methods=_METHODS,
                headers=_HEADERS,
                exposed=("Location", "ETag"),
            )
        self._counters.add(f"requests_{method if method in ('GET', 'POST', 'DELETE') else 'other'}")
        if response.status >= 400:
            self._counters.add(f"errors_{response.status}")
        return response

    def metrics(self) -> Mapping[str, int]:
        """Give counters of this process: requests by method, errors by status."""
        return self._counters.read()

    def _answered(self, request: Request) -> Response:
        path = self._addresses.rest_of(request)
        if path is None:
            raise Refuse(404, "nothing is here")
        if request.method == "OPTIONS":
            return Response(status=204, headers=(("Allow", ", ".join(_METHODS)),))
        place, _, rest = path.partition("/")
        if path in ("s3/sts", "s3/sts/") and request.method == "GET" and self._sts is not None:
            rules = self._rules
            rules.ask(request, "credentials", rules.prefix)
            return credentials_answer(self._sts, request, rules)
        if place == "s3":
            return self._companion.answer(request, rest)
        if place == "sign":
            return self._signing.answer(request, rest)
        if place == "files":
            return self._files.answer(request, rest)
        raise Refuse(404, "nothing is here")


def _as_json(response: Response, error: Exception) -> Response:
    """Give an error as clients read it: Companion's S3 says ``error``, Uppy 5 shows ``message``."""
    text = b"".join(response.body).decode("utf-8", "replace").strip()
    if response.status == 400 and not isinstance(error, Refuse):
        text = str(error)  # What is wrong with the client's own words; it never holds a secret.
    kept = {
        name: value
        for name, value in response.headers
        if name.lower() not in ("content-type", "content-length")
    }
    return json_response(response.status, {"error": text, "message": text}, kept)
