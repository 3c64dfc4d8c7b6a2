# SPDX-License-Identifier: Apache-2.0
"""The driver's door to uploads that are paused, kept and taken up again.

A mixin, as :mod:`.extensions` is; the handle that it gives is in :mod:`.handle`. What an upload
remembers is :mod:`.protocol.session`'s, where that is kept :mod:`.transfer.journal`'s, and which of
its parts still count :mod:`.transfer.resume`'s business.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from collections.abc import Callable

from libcloud.storage.base import Object, Container

from .arguments import naming, object_of, target_of
from .protocol.errors import InvalidRequestError
from .protocol.limits import Limits
from .transfer.upload import Upload, UploadResult
from .protocol.headers import is_opaque_etag
from .protocol.options import UploadOptions
from .transfer.running import running, remember
from .protocol.endpoint import Endpoint
from .transfer.transport import Transport

if TYPE_CHECKING:
    from .handle import SessionHandle
    from .protocol import wire
    from .transfer.resume import Standing
    from .protocol.session import Journal, UploadSession


def endpoint_of(endpoint: Endpoint) -> str:
    """Give a service's address as sessions are bound to it."""
    return f"{endpoint.scheme}://{endpoint.host}:{endpoint.port}{endpoint.base_path}"


class SessionExtensions:
    """``ex_start_upload`` and ``ex_resume_upload``; any thread may call them."""

    connection: Any
    ex_limits: Limits
    ex_options: UploadOptions
    _transport: Transport
    _is_secure: Any

    def ex_start_upload(
        self,
        container: Container,
        object_name: str,
        extra: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
        ex_storage_class: str | None = None,
        ex_options: UploadOptions | None = None,
    ) -> SessionHandle:
        """
        Prepare an upload that can be paused; its :meth:`~SessionHandle.run` begins it.

        Nothing is sent here, and the arguments are checked. A failure keeps the parts where the
        options have a ``journal`` or ``on_failure="keep"``. A file that changes while it is
        uploaded is refused.

        :rtype: :class:`SessionHandle`
        """

        handle = self._ex_prepared(
            container, object_name, extra, headers, ex_storage_class, ex_options
        )
        remember(handle)
        return handle

    def ex_resume_upload(
        self,
        session: SessionHandle | UploadSession | str | bytes,
        source: Any,
        container: Container | None = None,
        object_name: str | None = None,
        extra: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
        ex_options: UploadOptions | None = None,
    ) -> Object:
        """
        Go on with an upload that was paused, failed, or whose process ended.

        Parts that the service has and that hold the source's bytes are not sent again.

        :param session: the handle, its ``session`` or ``saved``, or the upload's id. By its id it
            is looked for in the journal of the options; without one the container and the object's
            name must be given, and the options must be those that it was begun with.
        :type session: :class:`SessionHandle`, :class:`UploadSession` or ``str``

        :param source: the same source from its beginning. A plain file that is the very one is not
            read again; any other source is compared with what was sent.

        :param headers: SSE-C headers must be given again: they are never saved.
        :type headers: ``dict``

        :raises SourceChangedError: if the source is another one; nothing was overwritten.
        :raises SourceSizeError: if it is shorter or longer.
        :raises SessionBusyError: if another process or thread is at it.
        :raises UploadMissingError: if the upload is not there any more, and no object proves that
            it was completed, here or elsewhere, from this source: it must begin anew.

        :rtype: :class:`Object`
        """
        from .protocol import wire

        options = UploadOptions.checked(ex_options or self.ex_options)
        given = _session_of(session)
        upload_id = given if isinstance(given, str) else given.upload_id
        wire.check_upload_id(upload_id or "")
        assert upload_id is not None
        name = container.name if container is not None else None
        with naming(self), _held(options.journal, upload_id, self._ex_endpoint):
            if isinstance(given, str):
                given = self._ex_loaded(given, name, object_name, options)
            given.check_place(endpoint=self._ex_endpoint, container=name, object_name=object_name)
            place = container or Container(given.container, {}, self)
            target = target_of(
                self,
                place,
                given.object_name,
                extra=extra,
                headers=headers,
                storage_class=None,
                options=options,
            )
            result = self._ex_go_on(target, source, options, given, is_held=True)
        return object_of(self, result, place, given.object_name, extra)

    # -- private ---------------------------------------------------------------------------------

    def _ex_prepared(
        self,
        container: Container,
        object_name: str,
        extra: dict[str, Any] | None,
        headers: dict[str, str] | None,
        storage_class: str | None,
        options: UploadOptions | None,
        *,
        must_not_change: bool = True,
    ) -> SessionHandle:
        """Give an upload whose arguments were all looked at, and of which nothing was sent."""
        from .handle import SessionHandle

        options = UploadOptions.checked(options or self.ex_options)
        target = target_of(
            self,
            container,
            object_name,
            extra=extra,
            headers=headers,
            storage_class=storage_class,
            options=options,
        )
        return SessionHandle(
            self, container, target, options, extra, must_not_change=must_not_change
        )

    @property
    def _ex_endpoint(self) -> str:
        return endpoint_of(self.connection.endpoint)

    def _ex_loaded(
        self, upload_id: str, container: str | None, object_name: str | None, options: UploadOptions
    ) -> UploadSession:
        """Find the session of an upload id; without one, what the service lists must do."""
        from .protocol.session import State, UploadSession
        from .protocol.integrity import body_check

        journal, endpoint = options.journal, self._ex_endpoint
        found = journal.load(upload_id, endpoint=endpoint) if journal is not None else None
        if found is not None:
            return found
        if container is None or object_name is None:
            where = "no journal was given" if journal is None else "the journal does not have it"
            raise InvalidRequestError(
                f"upload {upload_id} cannot be found ({where}): give its container and object name",
                upload_id=upload_id,
            )
        check = body_check(options, self.ex_limits, is_secure=self._is_secure)
        return UploadSession(
            container=container,
            object_name=object_name,
            upload_id=upload_id,
            algorithm=check.algorithm,
            state=State.OPEN,
            endpoint=endpoint,
        )

    def _ex_run(
        self,
        target: wire.Target,
        source: Any,
        options: UploadOptions,
        session: UploadSession,
        *,
        standing: Standing | None = None,
        is_paused: Callable[[], bool] = lambda: False,
        must_not_change: bool = True,
    ) -> UploadResult:
        with naming(self), running(session):
            return Upload(
                transport=self._transport,
                limits=self.ex_limits,
                options=options,
                target=target,
                is_secure=self._is_secure,
                must_not_change=must_not_change,
                endpoint=self._ex_endpoint,
                session=session,
                standing=standing,
                is_paused=is_paused,
            ).run(source)

    def _ex_go_on(
        self,
        target: wire.Target,
        source: Any,
        options: UploadOptions,
        session: UploadSession,
        *,
        is_held: bool = False,
        is_paused: Callable[[], bool] = lambda: False,
    ) -> UploadResult:
        """Ask the service what stands, then walk the road with that."""
        from .transfer.resume import Standing, found_result, find_standing
        from .protocol.session import State

        assert session.upload_id is not None
        missing = [name for name in session.needs_headers if name not in target.headers]
        if missing:
            raise InvalidRequestError(
                f"upload {session.upload_id} was begun with SSE-C, whose key is never saved: give "
                f"the same headers again ({', '.join(missing)})",
                container=session.container,
                object_name=session.object_name,
                upload_id=session.upload_id,
            )
        target = replace(target, headers={**session.headers, **target.headers})
        session.has_opaque_etags = session.has_opaque_etags or is_opaque_etag(target.headers)
        if options.size_bytes is None and session.source_bytes is not None:
            options = replace(options, size_bytes=session.source_bytes)
        journal, endpoint = options.journal, self._ex_endpoint
        holding = _held(None if is_held else journal, session.upload_id, endpoint)
        with naming(self), running(session), holding:
            try:
                how: Any = {
                    "sender": self._transport,
                    "target": target,
                    "policy": options.retry,
                }
                found = find_standing(
                    session,
                    retrace=lambda: self._ex_retraced(session, source, options, is_paused, how),
                    **how,
                )
            finally:
                if journal is not None and session.state in (State.COMPLETED, State.ABORTED):
                    journal.forget(session.upload_id, endpoint=endpoint)
            if isinstance(found, Standing):
                return self._ex_run(
                    target, source, options, session, standing=found, is_paused=is_paused
                )
        return found_result(session, found)

    def _ex_retraced(
        self,
        session: UploadSession,
        source: Any,
        options: UploadOptions,
        is_paused: Callable[[], bool],
        how: Any,
    ) -> Any:
        """Ask the source whether it is the object that is there, after the upload has gone."""
        from .transfer.intake import Intake
        from .transfer.resume import paused
        from .transfer.retrace import retrace

        def opened() -> Intake:
            return Intake(
                source,
                options=options,
                limits=self.ex_limits,
                where=f"{session.container}/{session.object_name}",
                schedule=session.schedule,
            )

        def check_stop() -> None:
            if is_paused():
                raise paused(session)

        return retrace(session, opened, check_stop=check_stop, **how)

    def _ex_abort_session(
        self, target: wire.Target, options: UploadOptions, session: UploadSession
    ) -> None:
        from .protocol.session import Event, State
        from .transfer.cleanup import abort_upload

        assert session.upload_id is not None
        if session.state is not State.ABORTING:
            session.move(Event.ABORT_SENT)
        with naming(self):
            abort_upload(
                sender=self._transport,
                target=target,
                upload_id=session.upload_id,
                policy=options.retry,
                verifies=True,
            )
        session.move(Event.ABORT_CONFIRMED)
        if options.journal is not None:
            options.journal.forget(session.upload_id, endpoint=session.endpoint)


def _held(journal: Journal | None, upload_id: str, endpoint: str) -> AbstractContextManager[object]:
    if journal is None:
        return nullcontext()
    return journal.hold(upload_id, endpoint=endpoint)


def _session_of(given: Any) -> UploadSession | str:
    """Give the session, or the upload id, that a caller named in one of several ways."""
    from .handle import SessionHandle
    from .protocol.session import UploadSession

    if isinstance(given, SessionHandle):
        return given.session
    if isinstance(given, UploadSession):
        return given
    if isinstance(given, (bytes, str)):
        text = given.decode("utf-8", "replace") if isinstance(given, bytes) else given
        return UploadSession.from_json(text) if text.lstrip().startswith("{") else text
    raise TypeError(
        "an upload is named by its SessionHandle, its UploadSession, its saved form or its upload "
        f"id, not by {type(given).__name__}"
    )
