# SPDX-License-Identifier: Apache-2.0
"""Direct uploads over HTTP for the buckets of Invenio-Files-REST, in oarepo's layout.

===================================================== =======================================
``POST <bucket id>/<key>[/]?multipart=True``          ``{"size", "ctype"}`` -> the session
``GET <bucket id>/<key>/<upload id>/<N,N>/presigned`` ``{"presignedUrls": {N: url, ...}}``
``GET <bucket id>/<key>/<upload id>/parts``           ``[{PartNumber, ETag, Size}, ...]``
``POST <bucket id>/<key>/<upload id>/complete``       ``{"parts": [...]}`` -> location, checksum
``DELETE <bucket id>/<key>/<upload id>/abort``        ``{}``
===================================================== =======================================

All ask Invenio's permission factory for ``bucket-update``. An upload by one ``PUT`` has the id
``put``. No byte of a file passes through here. For records, wrap the functions of :mod:`.uploads`.
"""

from __future__ import annotations

from typing import Any, NoReturn
from contextlib import contextmanager
from collections.abc import Iterator

from .files import COMPOSITE
from .config import missing
from ...protocol.direct import DirectUploadExpiredError, part_of
from ...protocol.errors import S3MultipartError, UploadMissingError, InvalidRequestError
from ...web.direct_files import as_segment
from ...protocol.checksums import composite_etag

try:
    from flask import Blueprint, abort, jsonify, request, url_for, current_app
    from invenio_db import db
    from invenio_files_rest.views import check_permission
    from invenio_files_rest.models import Bucket, ObjectVersion
    from invenio_files_rest.proxies import current_permission_factory
    from invenio_files_rest.signals import file_deleted, file_uploaded

    from .uploads import abort_upload, pending_upload, complete_upload
    from .multipart import MultipartUpload
except ImportError as error:
    raise missing(__name__, error) from error

#: What stands for the id of an upload that is one ``PUT``.
PUT = "put"


class _Views:
    """The views of one blueprint."""

    def __init__(self, name: str) -> None:
        self.name = name

    def begin(self, bucket_id: Any, key: str) -> Any:
        if request.args.get("multipart", "").lower() != "true":
            _refuse(400, "This takes uploads with multipart=True only.")
        bucket = _bucket(bucket_id)
        key = key.removesuffix("/")  # As oarepo's own paths have it: files/<key>/?multipart=True.
        if not key:
            _refuse(400, "The key is missing.")
        given = _json()
        with _answered():
            version = ObjectVersion.create(bucket, key, mimetype=given.get("ctype"))
            made = MultipartUpload(
                key,
                size=_size(given.get("size")),
                content_type=str(given.get("ctype") or "application/octet-stream"),
            )
            version.set_contents(made)
            direct = made.direct
            assert direct is not None
            try:
                values = {"bucket_id": bucket_id, "key": key, "upload_id": _segment(direct)}
                made.complete_url = url_for(f"{self.name}.complete", **values)
                made.abort_url = url_for(f"{self.name}.give_up", **values)
                answer = {**made.session, "uploadId": values["upload_id"]}
                db.session.commit()
            except BaseException:
                direct.abort()
                raise
        return jsonify(answer), 201

    def presigned(self, bucket_id: Any, key: str, upload_id: str, numbers: str) -> Any:
        _, direct = _under_way(bucket_id, key, upload_id)
        try:
            wanted = [int(number) for number in numbers.split(",")]
        except ValueError:
            _refuse(400, "Part numbers are numbers, with commas between them.")
        with _answered():
            urls = direct.part_urls(wanted)
        return jsonify({"presignedUrls": {str(number): url for number, url in urls.items()}})

    def parts(self, bucket_id: Any, key: str, upload_id: str) -> Any:
        _, direct = _under_way(bucket_id, key, upload_id)
        with _answered():
            listed = direct.list_parts()
        return jsonify(
            [{"PartNumber": p.part_number, "ETag": f'"{p.etag}"', "Size": p.size} for p in listed]
        )

    def complete(self, bucket_id: Any, key: str, upload_id: str) -> Any:
        bucket = _bucket(bucket_id)
        given = _json().get("parts")
        if not isinstance(given, list):
            _refuse(400, "parts must be a list.")
        with _answered():
            version = _completed_before(bucket, key, given)
        if version is None:
            version, _ = _under_way(bucket_id, key, upload_id)
            with _answered():
                complete_upload(version, given)
                db.session.commit()
            file_uploaded.send(current_app._get_current_object(), obj=version)
        where = url_for("invenio_files_rest.object_api", bucket_id=bucket_id, key=key)
        return jsonify({"location": where, "checksum": version.file.checksum})

    def give_up(self, bucket_id: Any, key: str, upload_id: str) -> Any:
        version, _ = _under_way(bucket_id, key, upload_id)
        with _answered():
            abort_upload(version)
            db.session.commit()
        file_deleted.send(current_app._get_current_object(), obj=version)
        return jsonify({})


def create_blueprint(name: str = "s3mpu_direct", url_prefix: str = "/direct-files") -> Any:
    """Give the blueprint, to be registered with the app that has Invenio's REST API."""
    blueprint, views = Blueprint(name, __name__, url_prefix=url_prefix), _Views(name)
    place = "/<uuid:bucket_id>/<path:key>"
    upload = f"{place}/<upload_id>"
    for rule, method, view in (
        (place, "POST", views.begin),
        (f"{upload}/<numbers>/presigned", "GET", views.presigned),
        (f"{upload}/parts", "GET", views.parts),
        (f"{upload}/complete", "POST", views.complete),
        (f"{upload}/abort", "DELETE", views.give_up),
    ):
        blueprint.add_url_rule(rule, view_func=view, methods=[method])
    return blueprint


def _refuse(status: int, text: str) -> NoReturn:
    abort(status, text)
    raise AssertionError("abort() raises")


@contextmanager
def _answered() -> Iterator[None]:
    """Answer failures of the service with a status of their own; roll the database back."""
    try:
        yield
    except BaseException as error:
        db.session.rollback()
        if not isinstance(error, S3MultipartError):
            raise
        _refuse(_status_of(error), str(error.value).splitlines()[0])


def _status_of(error: S3MultipartError) -> int:
    if isinstance(error, DirectUploadExpiredError):
        return 410
    if isinstance(error, UploadMissingError):
        return 404
    return 400 if isinstance(error, InvalidRequestError) else 503


def _bucket(bucket_id: Any) -> Any:
    """Give a bucket that the user may write to, or end the request as Invenio's views do."""
    bucket = Bucket.get(str(bucket_id))
    if bucket is None:
        _refuse(404, "Bucket does not exist.")
    check_permission(current_permission_factory(bucket, "bucket-update"))
    return bucket


def _under_way(bucket_id: Any, key: str, upload_id: str) -> tuple[Any, Any]:
    """Give the object version and its upload, or end the request.

    Any version of the key counts: another one may have come meanwhile.
    """
    bucket = _bucket(bucket_id)
    for version in ObjectVersion.get_versions(bucket, key):
        direct = pending_upload(version)
        if direct is not None and _segment(direct) == upload_id:
            return version, direct
    _refuse(404, "No such upload is under way.")


def _completed_before(bucket: Any, key: str, given: list[Any]) -> Any:
    """Give the version that just these parts became: the first answer may have been lost.

    :raises InvalidRequestError: if they are no parts.
    """
    named = dict(map(part_of, given))
    etag = composite_etag(named[number] for number in sorted(named)) if named else None
    if etag is None:
        return None
    for version in ObjectVersion.get_versions(bucket, key):
        checksum = str(version.file.checksum or "") if version.file is not None else ""
        is_whole = checksum.startswith(f"{COMPOSITE}:{etag}-")
        if is_whole or (len(named) == 1 and checksum == f"md5:{named.get(1)}"):
            return version
    return None


def _segment(direct: Any) -> str:
    """Give what stands for an upload in paths."""
    return as_segment(direct.upload_id) if direct.upload_id is not None else PUT


def _json() -> dict[str, Any]:
    given = request.get_json(silent=True)
    if not isinstance(given, dict):
        _refuse(400, "The body must be a JSON object.")
    return dict(given)


def _size(given: Any) -> int:
    if isinstance(given, bool) or not isinstance(given, int) or given < 0:
        _refuse(400, "size must be the file's number of bytes.")
    return int(given)
