# SPDX-License-Identifier: Apache-2.0
"""The driver's extensions against orphans: uploads that failed clients left behind.

A mixin of :class:`~libcloud_s3mpu.driver.AmazonS3MultipartDriver`. The clean-up itself is
:mod:`.transfer.orphans`. The safety net below it is the lifecycle rule
(:mod:`.protocol.lifecycle`): it works when no client does, and on services that list less than they
hold (MinIO lists the uploads of one exact key only).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol
from dataclasses import asdict
from collections.abc import Iterable

from libcloud.storage.base import Container

from .arguments import naming
from .protocol.errors import InvalidRequestError
from .protocol.options import UploadOptions
from .protocol.endpoint import check_bucket
from .transfer.transport import Transport

if TYPE_CHECKING:
    from .transfer.journal import Owned
    from .transfer.orphans import CleanupReport

#: A day: longer than most uploads take, shorter than anybody wants to pay for the others.
OLDER_THAN_SECONDS = 86_400.0
#: A week, as in S3's own examples: long enough for what is still wanted.
ABORT_AFTER_DAYS = 7


class OwnsUploads(Protocol):
    """What is asked of a journal: the saved sessions, whose uploads are not to be touched.

    One that can have what it cannot read (a cut file, one of a newer version) has ``owned`` as
    well, which is asked in place of ``list`` then (:class:`Owned`).
    """

    def list(self) -> Iterable[Any]:
        """Give values with ``upload_id``."""
        ...


def _owned_by(owner: OwnsUploads) -> Owned:
    from .transfer.journal import Owned

    ask = getattr(owner, "owned", None)
    if ask is None:
        return Owned(upload_ids=frozenset(it.upload_id for it in owner.list()))
    owned: Owned = ask()
    return owned


def as_json(report: CleanupReport) -> dict[str, Any]:
    """Give a report as values that JSON has, for task queues and command lines."""
    return {
        "container": report.container,
        "dry_run": report.dry_run,
        "seen": report.seen,
        "bytes_freed": report.bytes_freed,
        "aborted": [
            {**asdict(upload), "initiated": upload.initiated.isoformat()}
            for upload in report.aborted
        ],
        "skipped": [asdict(upload) for upload in report.skipped],
        "failures": [
            {"object_name": name, "upload_id": upload_id, "error": error.value}
            for name, upload_id, error in report.failures
        ],
    }


class MaintenanceExtensions:
    """``ex_`` methods on what failed uploads left behind; any thread may call them."""

    ex_options: UploadOptions
    _transport: Transport

    def ex_cleanup_multipart_uploads(
        self,
        container: Container,
        older_than_seconds: float = OLDER_THAN_SECONDS,
        prefix: str | None = None,
        dry_run: bool = True,
        journal: OwnsUploads | None = None,
    ) -> CleanupReport:
        """
        Abort the uploads of a container that were begun long ago and that nobody is at.

        An upload is left alone if it was initiated, or got a part, less than
        ``older_than_seconds`` ago by the service's clock; if ``journal`` (or the journal of the
        driver's options) owns it; or if this process has it open. Nothing at all is aborted while a
        journal has a file that does not say whose it is. One that is gone in the meantime is no
        error. Each failure is noted and the rest goes on.

        :param older_than_seconds: the age below which an upload is left alone.
        :type older_than_seconds: ``float``

        :param prefix: only uploads of objects whose names begin with this.
        :type prefix: ``str``

        :param dry_run: only tell what would be aborted. It is the default because what is aborted
            cannot be had back.
        :type dry_run: ``bool``

        :param journal: whose uploads are not touched, whatever their age.

        :return: what was found and done.
        :rtype: :class:`CleanupReport`

        :raises CleanupError: at the end, if an upload could not be aborted; it has the report.
        :raises OSError: before anything is sent, if a journal's folder cannot be read.
        """
        from .transfer.orphans import Cleanup

        if not older_than_seconds >= 0:
            raise InvalidRequestError(
                f"older_than_seconds must not be negative, not {older_than_seconds!r}"
            )
        check_bucket(container.name)
        owners = [owner for owner in (journal, self.ex_options.journal) if owner is not None]
        owned = [_owned_by(owner) for owner in owners]
        with naming(self):
            cleanup = Cleanup(
                self._transport,
                container.name,
                policy=self.ex_options.retry,
                older_than_seconds=older_than_seconds,
                owned=frozenset().union(*(it.upload_ids for it in owned)),
                unreadable=tuple(name for it in owned for name in it.unreadable),
                dry_run=dry_run,
            )
            return cleanup.run(prefix)

    def ex_ensure_lifecycle(
        self, container: Container, abort_after_days: int = ABORT_AFTER_DAYS
    ) -> bool:
        """
        Have the service itself abort uploads, some days after they were initiated.

        Adds one rule to the container's lifecycle configuration, or changes it if it is there from
        before; other rules stay as they are. Nothing is written where a rule does as much already.
        The service has no condition for this write: what another client writes between our reading
        and our writing is lost.

        :param abort_after_days: at least 1.
        :type abort_after_days: ``int``

        :return: whether the configuration was changed.
        :rtype: ``bool``
        """
        from .protocol import lifecycle
        from .transfer.attempt import retried

        days = abort_after_days
        if isinstance(days, bool) or not isinstance(days, int) or days < 1:
            raise InvalidRequestError(f"abort_after_days must be an int from 1, not {days!r}")
        check_bucket(container.name)
        sender, policy = self._transport, self.ex_options.retry
        with naming(self):
            get = lifecycle.get_request(container.name)
            root, kept = retried(
                lambda _: lifecycle.get_result(get, sender.call(get)), policy=policy, sender=sender
            )
            if not lifecycle.with_abort_rule(root, days):
                return False
            put = lifecycle.put_request(container.name, root, kept)
            retried(
                lambda _: lifecycle.put_result(put, sender.call(put)), policy=policy, sender=sender
            )
            return True
