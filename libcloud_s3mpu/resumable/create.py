# SPDX-License-Identifier: Apache-2.0
"""The beginning of an upload: the multipart upload first, then its record; or neither."""

from __future__ import annotations

from typing import Any
from dataclasses import replace
from collections.abc import Mapping

from libcloud.storage.base import Container

from .state import Kept, Store
from .record import Record, id_of
from .headers import MARK, checked_extra, object_headers
from ..protocol import wire
from ..arguments import target_of
from ..protocol.errors import S3MultipartError, InvalidRequestError
from ..protocol.options import UploadOptions
from ..transfer.attempt import retried, call_settled
from ..transfer.cleanup import abort_upload, note_cleanup_error
from ..protocol.messages import S3Response
from ..protocol.integrity import BodyCheck


def checked_metadata(metadata: Mapping[str, bytes | str]) -> dict[str, bytes]:
    """Give metadata as it is kept: names as they are, values as bytes.

    :raises InvalidRequestError: for a name that is empty or no text.
    """
    found: dict[str, bytes] = {}
    for name, value in metadata.items():
        if not isinstance(name, str) or not name or not _is_text(name):
            raise InvalidRequestError(f"{name!r} cannot be the name of metadata")
        if isinstance(value, str):
            value = value.encode("utf-8", "surrogateescape")
        found[name] = bytes(value)
    return found


def _is_text(name: str) -> bool:
    try:
        return bool(name.encode("utf-8"))
    except UnicodeEncodeError:
        return False


def begin(
    store: Store,
    driver: Any,
    container: Container,
    *,
    name: str,
    length: int | None,
    metadata: Mapping[str, bytes | str],
    key: str | None,
    extra: Mapping[str, Any] | None,
    partial: bool = False,
    parts_of: tuple[str, ...] = (),
) -> Kept:
    """Initiate a multipart upload and keep its record; if that fails, the upload is aborted.

    :param parts_of: the ids of which this one is made.
    :raises InvalidRequestError: for a key or header that cannot be; nothing was sent.
    """
    exact = checked_metadata(metadata)
    target = _target(
        store, driver, container, name=name, metadata=exact, key=key, extra=extra or {}
    )
    # The service copies parts, and says no checksum of what it copied where it was not asked to.
    check = store.unnamed_check if parts_of else store.check
    upload_id = _initiated(store, target, check)
    now = store.clock()
    record = Record(
        id=id_of(name, upload_id),
        name=name,
        key=target.key,
        upload_id=upload_id,
        length=length,
        metadata=exact,
        partial=partial,
        final=bool(parts_of),
        parts_of=parts_of,
        check=check.algorithm if check.s3_algorithm else None,
        created=now,
        expires=store.expiry(),
    )
    try:
        return store.commit(Kept(record=record, info_etag=None), record, None)
    except BaseException as error:
        undo(store, target, upload_id, error)
        raise


def undo(store: Store, target: wire.Target, upload_id: str, error: BaseException) -> None:
    """Abort what was begun; what goes wrong with that is attached to the error."""
    try:
        abort_upload(
            sender=store.objects.sender,
            target=target,
            upload_id=upload_id,
            policy=store.objects.policy,
            verifies=False,
        )
    except BaseException as second:
        note_cleanup_error(error, second, f"upload {upload_id} may be left on the service")


def _target(
    store: Store,
    driver: Any,
    container: Container,
    *,
    name: str,
    metadata: Mapping[str, bytes],
    key: str | None,
    extra: Mapping[str, Any],
) -> wire.Target:
    known, headers, storage_class = checked_extra(extra)
    target = target_of(
        driver,
        container,
        f"{store.options.object_prefix}{name if key is None else key}",
        extra=known,
        headers=headers,
        storage_class=storage_class,
        options=UploadOptions(),
    )
    given = dict(target.headers)
    if "content_type" not in known and "content-type" not in headers:
        given.pop("content-type", None)  # What was guessed from a name that means nothing.
    made = object_headers(metadata, given)
    made.setdefault("content-type", "application/octet-stream")
    return replace(target, headers={**made, MARK: name})


def _initiated(store: Store, target: wire.Target, check: BodyCheck) -> str:
    sender = store.objects.sender
    request = wire.initiate_request(target, check)
    begun: list[str] = []

    def settle(response: S3Response) -> None:
        begun.append(wire.initiate_result(request, response))

    def once(_: int) -> str:
        return wire.initiate_result(request, call_settled(sender, request, settle))

    try:
        return retried(once, policy=store.objects.policy, sender=sender)
    except S3MultipartError:
        raise
    except BaseException as error:
        for upload_id in begun:  # Interrupted, and begun all the same.
            undo(store, target, upload_id, error)
        raise
