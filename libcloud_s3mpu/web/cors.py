# SPDX-License-Identifier: Apache-2.0
"""Cross-origin requests: which pages of a browser may use a handler, and what they may see.

A handler asks for the headers of every answer, refusals included: a browser shows a page nothing
of an answer without them, not even its status. https://fetch.spec.whatwg.org/#http-cors-protocol
"""

from __future__ import annotations

from dataclasses import field, dataclass
from collections.abc import Callable, Sequence

from .messages import Request, Response

__all__ = ["Cors"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cors:
    """The rule of cross-origin requests.

    :param origins: those that are allowed, as browsers send them (``https://app.example``); ``"*"``
        allows all; or a function of the origin.
    :param credentials: may pages send the user's cookies? Never with ``"*"``: then any page could
        act for any user.
    :param extra_headers: that pages may send, beside what the handler itself needs.
    :param extra_exposed: that pages may read, likewise.
    :param max_age_seconds: how long a browser keeps what a preflight said.
    """

    origins: str | Sequence[str] | Callable[[str], bool] = "*"
    credentials: bool = False
    extra_headers: Sequence[str] = ()
    extra_exposed: Sequence[str] = ()
    max_age_seconds: int = field(default=86400)

    def __post_init__(self) -> None:
        if self.credentials and self.origins == "*":
            raise ValueError("credentials need a list of origins: '*' would let in every page")

    def allows(self, origin: str) -> bool:
        if callable(self.origins):
            return bool(self.origins(origin))
        if isinstance(self.origins, str):
            return self.origins in ("*", origin)
        return origin in self.origins

    def is_preflight(self, request: Request) -> bool:
        return (
            request.method == "OPTIONS"
            and request.header("origin") is not None
            and request.header("access-control-request-method") is not None
        )

    def applied(
        self,
        request: Request,
        response: Response,
        *,
        methods: Sequence[str],
        headers: Sequence[str],
        exposed: Sequence[str],
    ) -> Response:
        """Give the response with what a browser must be told; the same where there is no origin."""
        is_open = self.origins == "*"
        vary = [] if is_open else [("Vary", "Origin")]
        origin = request.header("origin")
        if origin is None or not self.allows(origin):
            return response.plus(vary)
        told = [("Access-Control-Allow-Origin", "*" if is_open else origin), *vary]
        if self.credentials:
            told.append(("Access-Control-Allow-Credentials", "true"))
        if self.is_preflight(request):
            told += [
                ("Access-Control-Allow-Methods", ", ".join(methods)),
                ("Access-Control-Allow-Headers", ", ".join([*headers, *self.extra_headers])),
                ("Access-Control-Max-Age", str(self.max_age_seconds)),
            ]
        else:
            shown = ", ".join([*exposed, *self.extra_exposed])
            told.append(("Access-Control-Expose-Headers", shown))
        return response.plus(told)
