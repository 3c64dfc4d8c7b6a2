# SPDX-License-Identifier: Apache-2.0
"""Nuxeo Drive's way: the server lends keys for one prefix, the client uploads, pauses, resumes.

``server`` is the app's own client of Nuxeo: ``new_batch()`` gives ``{"batchId", "extraInfo"}`` of
the batch handler ``s3``, ``refresh_token(batch_id)`` new keys in the same form, and ``complete``
tells it what was stored. ``store`` is any mapping that outlives the process (a table, a shelf).
"""

from __future__ import annotations

import os
import json
from typing import Any, Protocol
from collections.abc import MutableMapping

from libcloud_s3mpu import Delegation, UploadOptions, delegated


class Server(Protocol):
    def new_batch(self) -> dict[str, Any]: ...

    def refresh_token(self, batch_id: str) -> dict[str, Any]: ...

    def complete(self, batch_id: str, **stored: Any) -> Any: ...


class Upload:
    """One file of one batch; :meth:`run` again goes on, also in another process."""

    def __init__(
        self, server: Server, path: str, store: MutableMapping[str, str], **options: Any
    ) -> None:
        self._server = server
        self._path = path
        self._store = store
        #: Nuxeo's own sizes: one PUT up to 20 MiB, parts of 20 MiB above.
        self._options = {"ex_options": UploadOptions(part_size_bytes=20 * 2**20), **options}
        self._handle: Any = None

    def pause(self) -> None:
        """Stop after the parts in flight; from any thread. ``run`` raises UploadPausedError."""
        if self._handle is not None:
            self._handle.pause()

    def run(self) -> Any:
        """Upload, or go on with what the store knows; gives what the server answers."""
        kept = json.loads(self._store.get(self._path, "{}"))
        batch_id, session = kept.get("batchId"), kept.get("session")
        if batch_id is None:
            batch = self._server.new_batch()
            batch_id, info = batch["batchId"], batch["extraInfo"]
        else:
            info = self._server.refresh_token(batch_id)
        lent = delegated(info, lambda: self._server.refresh_token(batch_id), **self._options)
        with open(self._path, "rb") as file:
            made = self._send(lent, file, batch_id, session)
        answer = self._server.complete(
            batch_id,
            name=os.path.basename(self._path),
            fileSize=made.size,
            key=made.name,
            bucket=lent.container.name,
            etag=made.hash,
        )
        self._store.pop(self._path, None)
        return answer

    def _send(self, lent: Delegation, file: Any, batch_id: str, session: str | None) -> Any:
        if session is not None:
            return lent.resume(session, file)
        self._handle = lent.start()
        try:
            return self._handle.run(file)
        finally:
            # Paused, refused or cut off: the parts stand, and the next run needs only this.
            if self._handle.upload_id is not None:
                kept = {"batchId": batch_id, "session": self._handle.saved}
                self._store[self._path] = json.dumps(kept)
