# SPDX-License-Identifier: Apache-2.0
"""The handle of one upload: run it, pause it, run it again, or give it up.

``ex_start_upload`` gives one, and every upload of the driver is run by one. How it is run is the
driver's business (:mod:`.sessions`), what is known of it :mod:`.protocol.session`'s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol
from collections.abc import Callable

from libcloud.storage.base import Object, Container

from .arguments import object_of
from .protocol.errors import SessionStateError
from .protocol.options import UploadOptions
from .protocol.session import State, UploadSession

if TYPE_CHECKING:
    from .protocol import wire
    from .transfer.upload import UploadResult

#: States in which there is something on the service that can be taken up or given up.
_UNDER_WAY = (State.OPEN, State.COMPLETING, State.KEPT)


class RunsUploads(Protocol):
    """What a handle asks of its driver."""

    def _ex_run(
        self,
        target: wire.Target,
        source: Any,
        options: UploadOptions,
        session: UploadSession,
        *,
        is_paused: Callable[[], bool],
        must_not_change: bool,
    ) -> UploadResult: ...

    def _ex_go_on(
        self,
        target: wire.Target,
        source: Any,
        options: UploadOptions,
        session: UploadSession,
        *,
        is_paused: Callable[[], bool],
    ) -> UploadResult: ...

    def _ex_abort_session(
        self, target: wire.Target, options: UploadOptions, session: UploadSession
    ) -> None: ...


class SessionHandle:
    """One upload that may be paused and go on.

    :meth:`run` and :meth:`abort` are for one thread at a time, :meth:`pause` for any.

    :ivar target: where it goes, and with which headers.
    :ivar session: what is known of the upload (:class:`UploadSession`).
    """

    def __init__(
        self,
        driver: RunsUploads,
        container: Container,
        target: wire.Target,
        options: UploadOptions,
        extra: dict[str, Any] | None,
        *,
        must_not_change: bool = True,
    ) -> None:
        self._driver = driver
        self._container = container
        self.target = target
        self._options = options
        self._extra = extra
        self._must_not_change = must_not_change
        self._is_running = False
        self._is_paused = False
        self._is_over = False
        self.session = UploadSession(container=target.bucket, object_name=target.key)

    @property
    def upload_id(self) -> str | None:
        """The service's name of the upload; None before the first request and for a single PUT."""
        return self.session.upload_id

    @property
    def saved(self) -> str:
        """The saved form, JSON without secrets, which :meth:`ex_resume_upload` takes as well.

        :raises SessionStateError: while nothing is under way that could go on.
        """
        if self.session.upload_id is None:
            raise self._refused("has not begun")
        return self.session.to_json(saved_at=self.session.saved_at)

    def run(self, source: Any) -> Object:
        """Upload ``source``, or go on with it (from its beginning) after a pause or a failure.

        :raises UploadPausedError: after :meth:`pause`; the parts in flight had time to end, and
            nothing was aborted.
        :raises SessionStateError: while it is running, and after it is over.
        """
        state = self.session.state
        if self._is_running:
            raise self._refused("is being run")
        if self._is_over or state not in (State.NEW, *_UNDER_WAY):
            raise self._refused("is over")
        self._is_running = True
        try:
            if state is State.NEW:
                result = self._driver._ex_run(
                    self.target,
                    source,
                    self._options,
                    self.session,
                    is_paused=self._is_pausing,
                    must_not_change=self._must_not_change,
                )
            else:
                result = self._driver._ex_go_on(
                    self.target, source, self._options, self.session, is_paused=self._is_pausing
                )
            self._is_over = True
        finally:
            self._is_running = False
            self._is_paused = False
        target = self.target
        return object_of(self._driver, result, self._container, target.key, self._extra)

    def pause(self) -> None:
        """Have :meth:`run` stop as soon as its thread is not waiting for the source. Any thread.

        Before a run it stops the next one. Once complete was sent it comes too late: the run ends
        as if nothing had been said.
        """
        self._is_paused = True

    def abort(self) -> None:
        """Free the parts on the service and forget the upload; nothing to do is no error.

        :raises SessionStateError: while it is running: pause it first.
        """
        if self._is_running:
            raise self._refused("is being run: pause it first")
        session = self.session
        if session.upload_id is None or session.state not in (*_UNDER_WAY, State.ABORTING):
            return
        self._driver._ex_abort_session(self.target, self._options, session)

    def _is_pausing(self) -> bool:
        return self._is_paused

    def _refused(self, how: str) -> SessionStateError:
        session = self.session
        return SessionStateError(
            f"the upload of {session.container}/{session.object_name} {how}",
            container=session.container,
            object_name=session.object_name,
            upload_id=session.upload_id,
        )

    def __repr__(self) -> str:
        return repr(self.session)
