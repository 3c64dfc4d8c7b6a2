# SPDX-License-Identifier: Apache-2.0
"""Which uploads this process is at: asked by a clean-up, told by whoever runs an upload.

A register of the process, not of a driver: a clean-up must know the uploads of all of them. It has
no lock: each entry is one key of a dict, put and taken by its owner alone, and a reader copies the
values in one step. A fork's child has none of its parent's entries. What is done with the answer is
:mod:`.orphans`' business.
"""

from __future__ import annotations

import os
from typing import Protocol
from weakref import ReferenceType, ref
from contextlib import contextmanager
from dataclasses import dataclass
from collections.abc import Iterator

from ..protocol.session import State, UploadSession


class HasSession(Protocol):
    """A handle: an upload that its holder may run again."""

    session: UploadSession


_running: dict[object, tuple[int, UploadSession]] = {}
_handles: dict[object, tuple[int, ReferenceType[HasSession]]] = {}
#: States of a handle's upload in which there is something on the service.
_UNDER_WAY = (State.OPEN, State.COMPLETING, State.KEPT)


@dataclass(frozen=True, slots=True)
class OpenHere:
    """What this process is at: upload ids, and (container, object) of uploads being begun."""

    upload_ids: frozenset[str]
    objects: frozenset[tuple[str, str]]

    def has(self, container: str, object_name: str, upload_id: str) -> bool:
        return upload_id in self.upload_ids or (container, object_name) in self.objects


@contextmanager
def running(session: UploadSession) -> Iterator[None]:
    """Have an upload known to run here while the block runs; enter before initiate is sent.

    The session is looked at when somebody asks: until it has an upload id, every upload of its
    object counts as open here.
    """
    mine = object()
    _running[mine] = (os.getpid(), session)
    try:
        yield
    finally:
        _running.pop(mine, None)


def remember(handle: HasSession) -> None:
    """Have the upload of a handle count as open here as long as the handle lives."""
    mine = object()
    _handles[mine] = (os.getpid(), ref(handle, lambda _: _handles.pop(mine, None)))


def open_here() -> OpenHere:
    """Tell what this process is at now; ask after the service's list came, never before."""
    pid = os.getpid()
    at_it = [session for owner, session in list(_running.values()) if owner == pid]
    handles = [found() for owner, found in list(_handles.values()) if owner == pid]
    kept = [it.session for it in handles if it is not None and it.session.state in _UNDER_WAY]
    # The id is read once: it may be filled in meanwhile, by the thread that runs the upload.
    named = [(session, session.upload_id) for session in (*at_it, *kept)]
    return OpenHere(
        frozenset(upload_id for _, upload_id in named if upload_id is not None),
        frozenset((s.container, s.object_name) for s, upload_id in named if upload_id is None),
    )
