# SPDX-License-Identifier: Apache-2.0
"""Direct uploads in Invenio's database: found again, completed, aborted, cleaned up.

What is under way is a tag of its object version, which is gone once it is complete; a clean-up
needs nothing else. The functions leave the commit to their callers. Over HTTP they are
:mod:`.views`, for Celery beat :mod:`.tasks`.
"""

from __future__ import annotations

import logging
from typing import Any
from collections.abc import Iterable

from libcloud.storage.types import ObjectDoesNotExistError

from .files import checksum_of
from .config import missing, driver_of
from ...direct import DirectUpload
from .multipart import MultipartUpload

try:
    from flask import current_app
    from invenio_db import db
    from invenio_files_rest.models import FileInstance, ObjectVersion, ObjectVersionTag
except ImportError as error:
    raise missing(__name__, error) from error

log = logging.getLogger("libcloud_s3mpu.contrib.invenio")

#: The tags that hold the saved form of what is under way begin so; a number follows.
TAG = "s3mpu:multipart:"
#: Characters that a tag may have when a version is copied (an assertion of Invenio's).
MOST_IN_TAG = 250


def remember(instance: Any, upload: MultipartUpload) -> None:
    """Tag the object versions of a file whose upload has begun."""
    try:
        saved = upload.saved
        pieces = [saved[at : at + MOST_IN_TAG] for at in range(0, len(saved), MOST_IN_TAG)]
        for version in instance.objects:
            for number, piece in enumerate(pieces):
                ObjectVersionTag.create(version, f"{TAG}{number:03d}", piece)
    except BaseException:
        # Nobody would learn of it.
        if upload.direct is not None:
            upload.direct.abort()
        raise


def is_pending(instance: Any) -> bool:
    """Tell whether a file's upload is under way."""
    return any(_tags(version.version_id).count() for version in instance.objects)


def pending_upload(version: Any, *, locks: bool = False) -> DirectUpload | None:
    """Give the upload under way of an object version; None if there is none.

    :param locks: nobody else gets it until the transaction ends (where the database has locks).
    """
    return _pending(version.version_id, locks=locks)


def complete_upload(version: Any, parts: Iterable[Any] | None = None) -> Any:
    """Complete what is under way, after comparing it with what was declared; give the version.

    The file gets its checksum: ``md5:...`` of one ``PUT``, ``multipart:<ETag>-<part size>`` of
    parts, which :meth:`~.storage.S3FileStorage.checksum` can compute anew, or None where the
    service encrypts (``FileInstance.update_checksum`` computes one). Again, with the client's
    ``parts``, is no error.

    :raises LookupError: if nothing is under way and the file was not completed.
    :raises PartsMismatchError: if the parts are not those; nothing was completed.
    """
    direct = pending_upload(version, locks=True)
    if direct is None:
        if version.file is not None and version.file.readable:
            return version
        raise LookupError(f"no upload of {version.key} is under way")
    made = direct.complete(parts)
    _settle(version, direct, made.extra["etag"])
    return version


def abort_upload(version: Any) -> None:
    """Abort what is under way, and remove the object version that was for it.

    The version before it is the newest one again. Nothing under way is no error.
    """
    direct = pending_upload(version, locks=True)
    if direct is None:
        return
    direct.abort()
    _remove(version)


def cleanup_expired() -> list[str]:
    """Settle all uploads whose time is over; give the ids of the versions that were removed.

    One whose object is there was completed by an app that then died: it is recorded as complete.
    Every other one is aborted on the service, and its version removed. Commits after each; one that
    fails is logged, left for the next time, and keeps no other.
    """
    removed = []
    tags = ObjectVersionTag.query.filter(ObjectVersionTag.key.startswith(TAG, autoescape=True))
    for version_id in sorted({tag.version_id for tag in tags}, key=str):
        try:
            if _settled(version_id):
                removed.append(str(version_id))
            db.session.commit()
        except Exception:
            db.session.rollback()
            log.exception("the upload of version %s could not be settled", version_id)
    return removed


# -- private ---------------------------------------------------------------------------------------


def _tags(version_id: Any) -> Any:
    return ObjectVersionTag.query.filter(
        ObjectVersionTag.version_id == version_id,
        ObjectVersionTag.key.startswith(TAG, autoescape=True),
    )


def _pending(version_id: Any, *, locks: bool) -> DirectUpload | None:
    query = _tags(version_id).order_by(ObjectVersionTag.key)
    saved = "".join(tag.value for tag in (query.with_for_update() if locks else query))
    if not saved:
        return None
    found: DirectUpload = driver_of(current_app).ex_get_direct_upload(saved)
    return found


def _settled(version_id: Any) -> bool:
    """Settle an upload if its time is over; tells whether its version was removed."""
    direct = _pending(version_id, locks=True)
    if direct is None or not direct.is_expired:
        return False
    version = ObjectVersion.query.filter_by(version_id=version_id).one()
    etag = _etag_there(direct)
    if etag is not None:
        _settle(version, direct, etag)
        return False
    direct.abort()
    _remove(version)
    return True


def _etag_there(direct: DirectUpload) -> str | None:
    """Give the object's ETag if it is there: its key has the file's own id, so it is this one."""
    driver = driver_of(current_app)
    try:
        found = driver.get_object(direct.plan.container, direct.plan.object_name)
    except ObjectDoesNotExistError:
        return None
    return str(found.hash or "") if int(found.size) == direct.plan.size_bytes else None


def _settle(version: Any, direct: DirectUpload, etag: str) -> None:
    plan = direct.plan
    with db.session.begin_nested():
        version.file.checksum = checksum_of(
            etag.strip('"'),
            number_of_parts=plan.number_of_parts,
            part_size_bytes=plan.part_size_bytes,
        )
        for other in version.file.objects:
            _tags(other.version_id).delete(synchronize_session=False)


def _remove(version: Any) -> None:
    """Remove a file whose bytes never came, with all the versions that were copied from it."""
    file = version.file
    versions = list(file.objects)
    with db.session.begin_nested():
        for each in versions:
            _tags(each.version_id).delete(synchronize_session=False)
            was_head, bucket, key = each.is_head, each.bucket, each.key
            each.remove()
            latest = ObjectVersion.get_versions(bucket, key, desc=True).first()
            if was_head and latest is not None:
                latest.is_head = True
    file.storage().delete()
    FileInstance.query.filter_by(id=file.id).delete()
