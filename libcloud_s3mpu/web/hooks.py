# SPDX-License-Identifier: Apache-2.0
"""What an app tells a tus handler: who may do what, where a file goes, what follows.

Plain functions in a value. Any of them may raise :class:`~.messages.Refuse`; the client gets its
status, headers and text. They are called in the thread of the request, outside every lock.
"""

from __future__ import annotations

import inspect
from typing import Any
from dataclasses import field, dataclass
from collections.abc import Mapping, Callable, Sequence

from .messages import Request, Response

__all__ = ["Hooks", "NewUpload", "allows", "check_plain"]

_FUNCTIONS = ("authorize", "on_create", "on_progress", "on_finish", "on_terminate")


def check_plain(name: str, given: object) -> None:
    """Hold what an app gives to be called to a plain function.

    A coroutine's function gives something to await, which is true whatever comes of it.

    :raises TypeError: if it is one, or nothing that can be called.
    """
    if not callable(given) or any(
        is_kind(each)
        for each in (given, getattr(given, "__call__", None))  # noqa: B004 - an object's own
        for is_kind in (inspect.iscoroutinefunction, inspect.isasyncgenfunction)
    ):
        raise TypeError(f"{name} must be a plain function: handlers run in threads")


def allows(answer: object) -> bool:
    """Tell whether what ``authorize`` answered allows; only what is true does.

    A function that forgets to answer in one of its branches must not open the bucket.

    :raises TypeError: if it is something to await.
    """
    if inspect.isawaitable(answer):
        close = getattr(answer, "close", None)
        if close is not None:
            close()
        raise TypeError("authorize gave something to await; it must be a plain function")
    return bool(answer)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewUpload:
    """An upload that is about to be created; ``on_create`` may give another one (``replace``).

    :ivar length: in bytes; None if it is declared later.
    :ivar metadata: what the client says of the file, bytes as they came.
    :ivar key: of the finished object; None leaves it to the store.
    :ivar extra: for the object, as the driver's upload methods take it (content type, ACL, ...).
    :ivar is_partial: it is a part of an upload that is to be concatenated.
    :ivar parts: ids of what a final upload is made of.
    """

    length: int | None
    metadata: Mapping[str, bytes] = field(default_factory=dict)
    key: str | None = None
    extra: Mapping[str, Any] | None = None
    is_partial: bool = False
    parts: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """The functions, plain ones; each may be left out.

    :raises TypeError: when it is made, for a coroutine's function or what cannot be called.

    :ivar authorize: called with (request, action, info) before anything is done. The action is
        ``create``, ``status``, ``append``, ``terminate``, ``read`` or, for each part that is to be
        concatenated, ``join``; ``info`` is None for ``create``. Only what is true allows: False,
        None and the like refuse with 403.
    :ivar on_create: called with (request, :class:`NewUpload`); gives another one, or None.
    :ivar on_progress: called with (request, info, offset) at most once in ``progress_seconds``
        while bytes come in; ``offset`` counts what was received. Refusing ends the request there;
        what was received is stored.
    :ivar on_finish: called with (request, info) once the object exists. It may give a
        :class:`~.messages.Response`, to which the headers of the protocol are added. Of all
        requests to all processes one calls it: the one that completed the upload, also a HEAD that
        made good a completion which had failed (of what it gives only headers are sent then; none
        with a GET, a DELETE or a final upload's POST). A process that dies
        between the two never calls it: sweep ``uploads.list()`` where that matters. Where the
        service has no conditional writes, or its answer to one was lost, two may call it.
    :ivar on_terminate: called with (request, info) before anything is removed.
    """

    authorize: Callable[[Request, str, Any], object] | None = None
    on_create: Callable[[Request, NewUpload], NewUpload | None] | None = None
    on_progress: Callable[[Request, Any, int], object] | None = None
    on_finish: Callable[[Request, Any], Response | None] | None = None
    on_terminate: Callable[[Request, Any], object] | None = None
    progress_seconds: float = 1.0

    def __post_init__(self) -> None:
        for name in _FUNCTIONS:
            given = getattr(self, name)
            if given is not None:
                check_plain(name, given)
