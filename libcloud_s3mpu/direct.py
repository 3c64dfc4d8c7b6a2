# SPDX-License-Identifier: Apache-2.0
"""Direct uploads: an app's server begins and completes them, its clients send the bytes to S3.

:class:`DirectUpload` is the server's half. It gives out presigned URLs, each good for one part of
one size, and completes only what the service itself lists: the declared number of parts, sizes and
ETags. The driver's methods are :mod:`.direct_uploads`, a client in Python is
:mod:`.direct_client`; any other takes :meth:`DirectUpload.as_dict`.
What is declared and compared is :mod:`.protocol.direct`'s.
"""

from __future__ import annotations

import time
from typing import Any
from datetime import datetime, timezone
from collections.abc import Iterable

from libcloud.storage.base import Object, Container

from .protocol import wire, checksums
from .transfer import single
from .arguments import naming, object_of
from .protocol.direct import (
    DirectPlan,
    DirectUploadExpiredError,
    part_of,
)
from .protocol.errors import UploadMissingError
from .transfer.upload import UploadResult
from .protocol.listing import PAGE
from .protocol.session import State, UploadedPart, UploadSession
from .transfer.cleanup import abort_upload
from .transfer.complete import complete_upload
from .protocol.integrity import unchecked
from .protocol.presigning import Presigner, signed_headers


class DirectUpload:
    """The server's half of one direct upload; any thread, and with :attr:`saved` any process.

    :ivar plan: what was declared (:class:`~libcloud_s3mpu.protocol.direct.DirectPlan`).
    :ivar orphan_suspects: ids of uploads that a lost answer may have left when this one was begun,
        or that are another writer's: they are named, not touched.
    """

    def __init__(
        self, driver: Any, plan: DirectPlan, *, orphan_suspects: tuple[str, ...] = ()
    ) -> None:
        self._driver = driver
        self.plan = plan
        self.orphan_suspects = orphan_suspects

    def __repr__(self) -> str:
        plan = self.plan
        kind = f"{plan.number_of_parts} parts" if plan.is_multipart else "one PUT"
        return f"<DirectUpload {plan.container}/{plan.object_name} {plan.size_bytes} bytes, {kind}>"

    @property
    def upload_id(self) -> str | None:
        """The service's name of the upload; None where the object is one ``PUT``."""
        return self.plan.upload_id

    @property
    def saved(self) -> str:
        """The saved form for ``driver.ex_get_direct_upload``: JSON, no URL.

        It names the object that is signed for, so it belongs into the app's own store.
        """
        return self.plan.to_json()

    @property
    def expires_at(self) -> datetime:
        """When the upload is over; aware, in UTC."""
        return datetime.fromtimestamp(self.plan.expires_epoch, timezone.utc)

    @property
    def is_expired(self) -> bool:
        """Whether its time is over."""
        return time.time() >= self.plan.expires_epoch

    # -- URLs ------------------------------------------------------------------------------------

    def part_urls(self, numbers: Iterable[int] | None = None) -> dict[int, str]:
        """Give fresh URLs for parts, by part number; of all parts if None.

        Each takes a body of exactly its part's size. An object by one ``PUT`` is part 1, and
        needs the headers of :meth:`as_dict`.

        :raises InvalidRequestError: for a number that is none of this upload's.
        :raises DirectUploadExpiredError: if its time is over.
        """
        return self._part_urls(self._presigner(), numbers)

    def signed_part_url(self, number: int, sha256: str) -> str:
        """Give a URL for one part and for one body: the one with this SHA-256, in hexadecimals.

        The client sends it as ``x-amz-content-sha256``, and the service refuses any other body. So
        :class:`~libcloud_s3mpu.DirectUploadClient` has parts checked on plain http, at the price
        of the driver's own signature.

        :raises InvalidRequestError: for a number that is none of this upload's, or no SHA-256.
        :raises DirectUploadExpiredError: if its time is over.
        """
        plan = self.plan
        return self._presigner().body_url(
            plan.container,
            plan.object_name,
            upload_id=plan.upload_id,
            part_number=number,
            sha256=sha256,
            headers=signed_headers(self._client_headers, size_bytes=plan.size_of(number)),
        )

    def as_dict(self, numbers: Iterable[int] | None = None) -> dict[str, Any]:
        """Give what a client needs, as values that JSON has.

        ``complete_url`` (``POST``, S3's XML), ``abort_url`` (``DELETE``) and ``list_parts_urls``
        (``GET``, one for each thousand parts) are for clients without an app to call;
        :meth:`complete` checks more. There are none for one ``PUT``.

        :param numbers: of which parts it has the URLs; all if None, and any time more from
            :meth:`part_urls`.
        """
        plan, presigner = self.plan, self._presigner()
        urls = self._part_urls(presigner, numbers)
        verbs = self._verb_urls(presigner)
        return {
            "method": "multipart" if plan.is_multipart else "put",
            "container": plan.container,
            "object_name": plan.object_name,
            "upload_id": plan.upload_id,
            "size_bytes": plan.size_bytes,
            "part_size_bytes": plan.part_size_bytes,
            "number_of_parts": plan.number_of_parts,
            "headers": self._client_headers,
            "parts": [
                {
                    "part_number": number,
                    "offset": plan.offset_of(number),
                    "size_bytes": plan.size_of(number),
                    "url": url,
                }
                for number, url in urls.items()
            ],
            **verbs,
            "has_md5_etags": self._driver.ex_limits.has_md5_etags,
            "urls_expire_at": presigner.expires_at.isoformat(),
            "expires_at": self.expires_at.isoformat(),
        }

    # -- the service -----------------------------------------------------------------------------

    def list_parts(self) -> list[UploadedPart]:
        """Give the parts that the service holds; none for one ``PUT``.

        :raises UploadMissingError: if it was completed, aborted, or never begun.
        """
        if self.plan.upload_id is None:
            return []
        driver = self._driver
        with naming(driver):
            return list(
                single.iterate_parts(
                    driver._transport,
                    self._target,
                    self.plan.upload_id,
                    policy=driver.ex_options.retry,
                )
            )

    def complete(self, parts: Iterable[Any] | None = None) -> Object:
        """Join the parts, after comparing them with what was declared; again is no error.

        :param parts: as the client has them (``[{"PartNumber": 1, "ETag": "..."}, ...]``): the
            service must hold just these. Without it what the service lists counts. The second call
            of an upload that was completed needs it to prove that.
        :raises PartsMismatchError: if they are not those; it names them, nothing was completed.
        :raises UploadMissingError: if the upload is gone, and nothing proves that it was completed.
        :raises CompletionUnknownError: if nobody can tell whether it took effect.
        """
        given = None if parts is None else list(parts)
        with naming(self._driver):
            if self.plan.upload_id is None:
                return self._put_confirmed(given)
            try:
                proved = self.plan.proved_parts(self.list_parts(), given)
            except UploadMissingError:
                found = self._completed_before(given)
                if found is None:
                    raise
                return found
            return self._complete(self.plan.upload_id, proved)

    def abort(self) -> None:
        """Free the parts and forget the upload; one that is gone already is no error.

        For one ``PUT`` there is nothing to free: an object that has arrived stays.
        """
        if self.plan.upload_id is None:
            return
        with naming(self._driver):
            abort_upload(
                sender=self._driver._transport,
                target=self._target,
                upload_id=self.plan.upload_id,
                policy=self._driver.ex_options.retry,
                verifies=True,
            )

    def cleanup_expired(self) -> bool:
        """Abort it if its time is over; tells whether it was."""
        if not self.is_expired:
            return False
        self.abort()
        return True

    # -- private ---------------------------------------------------------------------------------

    @property
    def _target(self) -> wire.Target:
        plan = self.plan
        return wire.Target(bucket=plan.container, key=plan.object_name, headers=plan.headers)

    @property
    def _client_headers(self) -> dict[str, str]:
        """What the client sends with each body, besides its length."""
        return self._target.headers_for("part" if self.plan.is_multipart else "put")

    def _presigner(self) -> Presigner:
        left = int(self.plan.expires_epoch - time.time())
        if left < 1:
            raise DirectUploadExpiredError(
                f"the direct upload of {self.plan.container}/{self.plan.object_name} is over since "
                f"{self.expires_at:%Y-%m-%dT%H:%M:%SZ}",
                container=self.plan.container,
                object_name=self.plan.object_name,
                upload_id=self.plan.upload_id,
            )
        container = Container(self.plan.container, {}, self._driver)
        made: Presigner = self._driver.ex_presigner(min(self.plan.url_seconds, left), container)
        return made

    def _part_urls(self, presigner: Presigner, numbers: Iterable[int] | None) -> dict[int, str]:
        plan = self.plan
        wanted = list(range(1, plan.number_of_parts + 1) if numbers is None else numbers)
        plan.check_numbers(wanted)
        place = plan.container, plan.object_name
        if plan.upload_id is None:
            headers = signed_headers(self._client_headers, size_bytes=plan.size_bytes)
            return {number: presigner.url("PUT", *place, headers=headers) for number in wanted}
        return presigner.part_urls(
            *place,
            upload_id=plan.upload_id,
            numbers=wanted,
            size_of={number: plan.size_of(number) for number in wanted},
            headers=self._client_headers,
        )

    def _verb_urls(self, presigner: Presigner) -> dict[str, Any]:
        plan = self.plan
        if plan.upload_id is None:
            return {"complete_url": None, "abort_url": None, "list_parts_urls": []}
        query = [("uploadId", plan.upload_id)]
        headers = self._target.headers_for("other")

        def url(method: str, *more: tuple[str, str]) -> str:
            place = plan.container, plan.object_name
            return presigner.url(method, *place, query=[*query, *more], headers=headers)

        # A page's marker is signed too, so there is a URL for each page that there can be.
        pages = range(0, plan.number_of_parts, PAGE)
        return {
            "complete_url": url("POST"),
            "abort_url": url("DELETE"),
            "list_parts_urls": [url("GET", ("part-number-marker", str(at))) for at in pages],
        }

    def _complete(self, upload_id: str, parts: list[UploadedPart]) -> Object:
        driver, plan = self._driver, self.plan
        session = UploadSession(
            container=plan.container,
            object_name=plan.object_name,
            upload_id=upload_id,
            state=State.OPEN,
            endpoint=plan.endpoint,
            has_opaque_etags=not driver.ex_limits.has_md5_etags,
        )
        stored = complete_upload(
            session=session,
            sender=driver._transport,
            target=self._target,
            parts=parts,
            check=unchecked(driver.ex_limits),
            policy=driver.ex_options.retry,
        )
        etag = stored.etag or checksums.composite_etag(part.etag for part in parts) or ""
        return self._object(etag, version_id=stored.version_id)

    def _completed_before(self, given: list[Any] | None) -> Object | None:
        """Give the object if the client's ETags prove that it is the one of this upload."""
        if given is None:
            return None
        named = dict(part_of(item) for item in given)
        if sorted(named) != list(range(1, self.plan.number_of_parts + 1)):
            return None
        expected = checksums.composite_etag(named[number] for number in sorted(named))
        found = self._head()
        if found is None or expected is None:
            return None
        size, stored = found
        if size != self.plan.size_bytes or stored.is_opaque or stored.etag != expected:
            return None
        return self._object(expected, version_id=stored.version_id)

    def _put_confirmed(self, given: list[Any] | None) -> Object:
        """Look whether the one ``PUT`` has arrived as declared."""
        plan, found = self.plan, self._head()
        problem = None
        if found is None:
            problem = "is missing"
        elif found[0] != plan.size_bytes:
            problem = f"has {found[0]} bytes, not {plan.size_bytes}"
        elif given is not None and [part_of(item) for item in given] != [(1, found[1].etag)]:
            problem = "is not the one that was sent: its ETag differs"
        if found is None or problem:
            raise plan._mismatch({1: problem or ""})
        return self._object(found[1].etag or "", version_id=found[1].version_id)

    def _head(self) -> tuple[int, wire.StoredObject] | None:
        policy = self._driver.ex_options.retry
        return single.find_object(self._driver._transport, self._target, policy=policy)

    def _object(self, etag: str, *, version_id: str | None) -> Object:
        plan = self.plan
        result = UploadResult(
            size=plan.size_bytes,
            etag=etag,
            upload_id=plan.upload_id,
            parts=plan.number_of_parts,
            part_size_bytes=plan.part_size_bytes,
            checksum=None,
            version_id=version_id,
            seconds=0.0,
        )
        container = Container(plan.container, {}, self._driver)
        return object_of(self._driver, result, container, plan.object_name, None)
