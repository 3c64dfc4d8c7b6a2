# SPDX-License-Identifier: Apache-2.0
"""Nuxeo Drive's way: the server lends keys for one prefix, the client uploads, pauses, resumes.

``server`` is the app's own client of Nuxeo: ``new_batch()`` gives ``{"batchId", "extraInfo"}`` of
the batch handler ``s3``, ``refresh_token(batch_id)`` new keys in the same form, and ``complete``
tells it what was stored. ``store`` is any mapping that outlives the process (a table, a shelf): it
knows of the upload before its first part is sent, so a process may be killed at any time.
"""

from __future__ import annotations

import os
import json
import time
from typing import Any, Protocol
from contextlib import contextmanager
from dataclasses import replace
from collections.abc import Iterator, MutableMapping

from libcloud_s3mpu import (
    Delegation,
    UploadOptions,
    UploadSession,
    UploadMissingError,
    delegated,
)

#: Nuxeo's own sizes: one PUT up to 20 MiB, parts of 20 MiB above.
OPTIONS = UploadOptions(part_size_bytes=20 * 2**20)


class Server(Protocol):
    def new_batch(self) -> dict[str, Any]: ...

    def refresh_token(self, batch_id: str) -> dict[str, Any]: ...

    def complete(self, batch_id: str, **stored: Any) -> Any: ...


class Kept:
    """What the store knows of one file's upload; as a journal, it is told of each step."""

    def __init__(self, store: MutableMapping[str, str], path: str) -> None:
        self._store = store
        self._path = path

    def read(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._store.get(self._path, "{}"))
        return found

    def note(self, **values: Any) -> None:
        self._store[self._path] = json.dumps({**self.read(), **values})
        # A shelf may write its index when it is closed, which a killed process never does.
        if (sync := getattr(self._store, "sync", None)) is not None:
            sync()

    def save(self, session: UploadSession, *, state: Any = None) -> None:
        self.note(session=session.to_json(saved_at=time.time(), state=state))

    def load(self, upload_id: str, *, endpoint: str) -> UploadSession | None:
        return next((s for s in self.list() if s.upload_id == upload_id), None)

    def forget(self, upload_id: str, *, endpoint: str) -> None:
        """Nothing: what was stored takes its place, or the next upload's session."""

    def list(self) -> list[UploadSession]:
        text = self.read().get("session")
        return [UploadSession.from_json(text)] if text else []

    @contextmanager
    def hold(self, upload_id: str, *, endpoint: str) -> Iterator[None]:
        yield  # One process has the store.


class Upload:
    """One file of one batch; :meth:`run` again goes on, also in another process."""

    def __init__(
        self,
        server: Server,
        path: str,
        store: MutableMapping[str, str],
        ex_options: UploadOptions = OPTIONS,
        **driver: Any,
    ) -> None:
        self._server = server
        self._path = path
        self._store = store
        self._kept = Kept(store, path)
        self._options = replace(ex_options, on_failure="keep", journal=self._kept)
        self._driver = driver
        self._handle: Any = None

    def pause(self) -> None:
        """Stop after the parts in flight; from any thread. ``run`` raises UploadPausedError."""
        if self._handle is not None:
            self._handle.pause()

    def run(self) -> Any:
        """Upload, or go on with what the store knows; gives what the server answers."""
        kept = self._kept.read()
        batch_id = kept.get("batchId")
        if batch_id is None:
            batch = self._server.new_batch()
            batch_id, info = batch["batchId"], batch["extraInfo"]
            self._kept.note(batchId=batch_id)
        else:
            info = self._server.refresh_token(batch_id)
        if kept.get("stored") is None:
            lent = delegated(
                info,
                lambda: self._server.refresh_token(batch_id),
                ex_options=self._options,
                **self._driver,
            )
            with open(self._path, "rb") as file:
                made = self._send(lent, file, kept.get("session"))
            stored = {"fileSize": made.size, "key": made.name, "etag": made.hash}
            self._kept.note(stored={**stored, "bucket": lent.container.name})
        stored = self._kept.read()["stored"]
        answer = self._server.complete(batch_id, name=os.path.basename(self._path), **stored)
        self._store.pop(self._path, None)
        return answer

    def _send(self, lent: Delegation, file: Any, session: str | None) -> Any:
        if session is not None:
            self._handle = lent.reopen(session)
            try:
                return self._handle.run(file)
            except UploadMissingError:  # It was aborted meanwhile, by a lifecycle rule perhaps.
                file.seek(0)
        self._handle = lent.start()
        return self._handle.run(file)
