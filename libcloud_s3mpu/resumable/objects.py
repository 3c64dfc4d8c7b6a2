# SPDX-License-Identifier: Apache-2.0
"""Sends the small requests of this room, with retries, and knows what conditions the store has.

A conditional put that is answered with 412 may be our own, whose answer was lost: what is there is
compared with what was sent before anybody is told that the condition did not hold.
"""

from __future__ import annotations

import uuid
import logging
from typing import TypeVar
from collections.abc import Mapping, Callable, Iterator

from . import verbs
from .verbs import Got, Listed
from ..protocol import wire
from ..protocol.retry import RetryPolicy
from ..protocol.errors import (
    S3MultipartError,
    AccessDeniedError,
    ObjectMissingError,
    PreconditionFailedError,
)
from ..protocol.session import UploadedPart
from ..transfer.attempt import Sender, retried
from ..protocol.messages import S3Request, S3Response

log = logging.getLogger("libcloud_s3mpu.resumable")

T = TypeVar("T")

#: The most bytes of an ``.info`` or lock object that are read: metadata may be large.
MOST_INFO_BYTES = 4 * 1024 * 1024


def is_unsupported(error: S3MultipartError) -> bool:
    """Tell whether a refusal means that the store has no conditional writes."""
    return error.http_status == 501 or error.s3_code in ("NotImplemented", "NotSupported")


class Objects:
    """The objects of one bucket; any thread.

    :ivar has_conditions: False once the store has said that it knows no conditional writes.
    """

    def __init__(self, sender: Sender, bucket: str, *, policy: RetryPolicy) -> None:
        self.sender = sender
        self.bucket = bucket
        self.policy = policy
        self.has_conditions = True
        #: False: the store compares ETags without their quotes (Ceph 16, seen 2026-11).
        self.quotes_etags = True

    def _sent(self, request: S3Request, result: Callable[[S3Request, S3Response], T]) -> T:
        return retried(
            lambda _: result(request, self.sender.call(request)),
            policy=self.policy,
            sender=self.sender,
        )

    def put(self, key: str, body: bytes, *, headers: Mapping[str, str] | None = None) -> str | None:
        """Store a small object, whatever was there; gives its ETag."""
        request = verbs.put_request(self.bucket, key, body, headers=headers or {})
        return self._sent(request, verbs.put_result)

    def put_if(
        self,
        key: str,
        body: bytes,
        *,
        etag: str | None,
        headers: Mapping[str, str] | None = None,
        must_be_conditional: bool = False,
    ) -> str | None:
        """Store a small object if ``etag`` is there now (None: nothing is); gives its ETag.

        Where the store has no conditional writes, what is there is looked at first, which leaves
        a gap that only a lock closes.

        :param must_be_conditional: raise what the store said instead.
        :raises PreconditionFailedError: if something else is there.
        """
        headers = headers or {}
        if self.has_conditions or must_be_conditional:
            request = verbs.put_request(
                self.bucket,
                key,
                body,
                headers=headers,
                if_match=etag,
                if_none_match=etag is None,
                is_quoted=self.quotes_etags,
            )
            try:
                return self._sent(request, verbs.put_result)
            except (PreconditionFailedError, ObjectMissingError):
                found = self.get(key)
                if found is not None and found.body == body:
                    return found.etag  # Ours: the answer to an earlier attempt was lost.
                if etag is None or found is None or found.etag != etag or not self.quotes_etags:
                    raise
                self.quotes_etags = False  # It is as it should be, and was refused all the same.
                return self.put_if(
                    key, body, etag=etag, headers=headers, must_be_conditional=must_be_conditional
                )
            except S3MultipartError as error:
                if must_be_conditional or not is_unsupported(error):
                    raise
                self._say_unsupported(error)
        found = self.get(key)
        if (found.etag if found is not None else None) != etag:
            raise PreconditionFailedError(
                f"PutObject of {self.bucket}/{key}: another object is there by now",
                container=self.bucket,
                object_name=key,
            )
        return self.put(key, body, headers=headers)

    def _say_unsupported(self, error: S3MultipartError) -> None:
        self.has_conditions = False
        log.warning(
            "bucket %s has no conditional writes (%s): only the locks keep two writers of one "
            "upload apart, so all processes must use one locker",
            self.bucket,
            error.s3_code or error.http_status,
        )

    def get(
        self, key: str, *, limit: int = MOST_INFO_BYTES, denied_is_none: bool = True
    ) -> Got | None:
        """Give a small object; None if there is none.

        :param denied_is_none: take 403 for that, too, where it means that (:meth:`_hides`).
        """
        try:
            return self._sent(verbs.get_request(self.bucket, key, limit=limit), verbs.get_result)
        except ObjectMissingError:
            return None
        except AccessDeniedError as error:
            if not (denied_is_none and self._hides(key, error)):
                raise
            return None

    def head(self, key: str, *, denied_is_none: bool = False) -> Got | None:
        """Give an object's head; None if there is none.

        :param denied_is_none: as :meth:`get` has it.
        """
        try:
            return self._sent(verbs.head_request(self.bucket, key), verbs.head_result)
        except ObjectMissingError:
            return None
        except AccessDeniedError as error:
            if not (denied_is_none and self._hides(key, error)):
                raise
            return None

    def _hides(self, key: str, error: AccessDeniedError) -> bool:
        """Tell whether the store says 403 for what is not there, as S3 does to who may not list.

        tusd takes it for that always, and so takes uploads for lost when a right was. Here a name
        that was never used must be answered in the same way, and what is put under it must be
        readable: then reading is allowed, and what was refused is not there. Up to four requests,
        only after a 403.
        """
        if error.s3_code not in (None, "AccessDenied"):
            return False
        # The end is a lock's: one that is left over beside records goes with the next clean-up.
        probe = f"{key.rpartition('/')[0]}/.s3mpu-probe-{uuid.uuid4().hex}.lock".lstrip("/")
        if self._can_read(probe) is not False:
            return False  # It says 404.
        self.put(probe, b"")
        try:
            return self._can_read(probe) is True
        finally:
            try:
                self.delete(probe)
            except S3MultipartError as second:
                log.info("%s was left over: %s", probe, second)

    def _can_read(self, key: str) -> bool | None:
        """Tell whether an object is given; None if there is none."""
        request = verbs.get_request(self.bucket, key, limit=MOST_INFO_BYTES)
        try:
            self._sent(request, verbs.get_result)
        except ObjectMissingError:
            return None
        except AccessDeniedError:
            return False
        return True

    def delete(self, key: str) -> None:
        """Delete an object; one that is not there is what was wanted."""
        self._sent(verbs.delete_request(self.bucket, key), verbs.delete_result)

    def list(self, prefix: str) -> Iterator[Listed]:
        """Yield all objects whose names begin with ``prefix``."""
        token: str | None = None
        seen: set[str] = set()
        while True:
            request = verbs.list_request(self.bucket, prefix=prefix, token=token)
            found, token = self._sent(request, verbs.list_result)
            yield from found
            if token is None or token in seen:
                return
            seen.add(token)

    def part_page(
        self, target: wire.Target, upload_id: str, *, after: int, count: int
    ) -> tuple[UploadedPart, ...]:
        """Give the parts of an upload with numbers above ``after``, at most ``count`` (one page).

        :raises UploadMissingError: if there is no such upload.
        """
        request = wire.list_parts_request(
            target,
            upload_id=upload_id,
            marker=str(after) if after else None,
            max_parts=count,
        )
        page = self._sent(request, wire.list_parts_result)
        return tuple(part for part in page.parts if part.part_number > after)
