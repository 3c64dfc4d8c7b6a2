# SPDX-License-Identifier: Apache-2.0
"""``FileStorage`` of Invenio-Files-REST on the driver, and the factory that the app names.

Sizes are judged by Invenio's own functions and errors come out as its own, so that its REST views
answer as ever. What is done to the object is :mod:`.files`; uploads that clients send to the bucket
themselves are :mod:`.uploads`.
"""

from __future__ import annotations

import mimetypes
from typing import Any
from functools import partial
from contextlib import contextmanager
from urllib.parse import quote
from collections.abc import Iterator

from libcloud.storage.base import Container

from .files import ObjectFile, place_of_uri
from .config import missing, driver_of, url_seconds, upload_seconds
from .multipart import MultipartUpload
from ...protocol.errors import S3MultipartError, InvalidRequestError

try:
    from flask import request, redirect, current_app
    from werkzeug.exceptions import NotFound
    from invenio_files_rest.errors import StorageError
    from invenio_files_rest.helpers import make_path, sanitize_mimetype
    from invenio_files_rest.storage import FileStorage
    from invenio_files_rest.storage.base import check_size, check_sizelimit
except ImportError as error:
    raise missing(__name__, error) from error


@contextmanager
def _said(what: str) -> Iterator[None]:
    """Let failures of the service come out as Invenio's, which its views know to answer."""
    try:
        yield
    except InvalidRequestError:
        raise  # It says what the caller did wrong, and nothing of it was done.
    except (S3MultipartError, FileNotFoundError) as error:
        text = error.value if isinstance(error, S3MultipartError) else str(error)
        raise StorageError(description=f"{what}: {text}") from error


class S3FileStorage(FileStorage):  # type: ignore[misc]
    """One file on an S3 service.

    :param fileurl: ``s3://bucket/key``.
    :param instance: the ``FileInstance`` that it belongs to, if any: its recorded checksum tells
        the form that a new one is computed in.
    """

    def __init__(
        self, fileurl: str, size: int | None = None, modified: Any = None, instance: Any = None
    ) -> None:
        super().__init__(size=size, modified=modified)
        self.fileurl = fileurl
        self.instance = instance
        driver = driver_of(current_app)
        bucket, key = place_of_uri(fileurl, current_app.config.get("S3_TENANT"))
        self.file = ObjectFile(driver, Container(bucket, {}, driver), key)

    def open(self, mode: str | None = "rb") -> Any:
        """Open for reading; the caller closes it.

        :raises ValueError: for another mode: :meth:`save` and :meth:`update` write.
        """
        if mode not in (None, "r", "rb"):
            raise ValueError(f"an object is opened to be read ('rb'), not {mode!r}: save() writes")
        return self.file.open()

    def delete(self) -> bool:
        """Delete the object, and what was begun to be uploaded under its name."""
        with _said("Could not delete file"):
            self.file.delete()
        return True

    def initialize(self, size: int = 0) -> tuple[str, int, None]:
        """Store ``size`` zeros."""
        with _said("Could not initialize file"):
            self.file.fill(size)
        self._size = size
        return self.fileurl, size, None

    def save(
        self,
        incoming_stream: Any,
        size_limit: Any = None,
        size: int | None = None,
        chunk_size: int | None = None,
        progress_callback: Any = None,
    ) -> tuple[str, int, str | None]:
        """Store a stream, in parallel parts; or begin a :class:`MultipartUpload`."""
        if isinstance(incoming_stream, MultipartUpload):
            return self._begin(incoming_stream, size_limit, size)

        def judge(done: int, is_end: bool) -> None:
            _judge(size_limit, size, done, is_end)
            if progress_callback is not None and done:
                progress_callback(done if is_end else None, done)

        with _said("Could not save file"):
            written, checksum = self.file.write(
                incoming_stream, judge=judge, chunk_size=chunk_size, size=size
            )
        self._size = written
        return self.fileurl, written, checksum

    def update(
        self,
        incoming_stream: Any,
        seek: int = 0,
        size: int | None = None,
        chunk_size: int | None = None,
        progress_callback: Any = None,
    ) -> tuple[int, str]:
        """Write a stream over the bytes from ``seek`` on; the object is written anew for it."""

        def judge(done: int, is_end: bool) -> None:
            _judge(None, size, done, is_end)
            if progress_callback is not None and done:
                progress_callback(done if is_end else None, done)

        with _said("Could not update file"):
            return self.file.update(incoming_stream, seek=seek, judge=judge, chunk_size=chunk_size)

    def copy(
        self, src: Any, chunk_size: int | None = None, progress_callback: Any = None
    ) -> tuple[str, int, str | None]:
        """Copy another file here; by the service itself where it has both."""
        if not isinstance(src, S3FileStorage) or src.file.driver is not self.file.driver:
            copied: tuple[str, int, str | None] = super().copy(
                src, chunk_size=chunk_size, progress_callback=progress_callback
            )
            return copied
        with _said("Could not copy file"):
            self._size = self.file.copy_from(src.file)
            # The recorded one speaks for the copy too; it is what a check compares with.
            checksum = getattr(src.instance, "checksum", None) or self.file.checksum()
        if progress_callback is not None:
            progress_callback(self._size, self._size)
        return self.fileurl, self._size, checksum

    def checksum(
        self, chunk_size: int | None = None, progress_callback: Any = None, **kwargs: Any
    ) -> str:
        """Read the object and give its checksum, in the form of the recorded one.

        :param kwargs: ``algorithm="md5"`` (by ``checksum_kwargs``) asks for the plain MD5, whatever
            is recorded.
        """
        recorded = getattr(self.instance, "checksum", None)
        if kwargs.get("algorithm") == "md5":
            recorded = None
        tell = progress_callback
        if tell is not None and self._size:
            tell = partial(tell, self._size)
        elif tell is not None:
            tell = None
        with _said("Could not compute checksum of file"):
            return self.file.checksum(recorded, progress=tell)

    def send_file(
        self,
        filename: str,
        mimetype: str | None = None,
        restricted: bool = True,
        checksum: str | None = None,
        trusted: bool = False,
        chunk_size: int | None = None,
        as_attachment: bool = False,
    ) -> Any:
        """Redirect the client to a presigned URL: the app serves no byte of the file.

        The service answers with the type and disposition that Invenio would have sent. Its answer
        has not Invenio's other headers against scripts (``Content-Security-Policy``), which is why
        types that could hold any are sent as text or as attachments unless ``trusted``.
        """
        if checksum is None and self._is_pending():
            raise NotFound("The upload of this file is not complete.")
        if not current_app.config.get("S3MPU_REDIRECTS", True):
            return super().send_file(
                filename,
                mimetype=mimetype,
                restricted=restricted,
                checksum=checksum,
                trusted=trusted,
                chunk_size=chunk_size,
                as_attachment=as_attachment,
            )
        kind = mimetype or mimetypes.guess_type(filename or "")[0] or "application/octet-stream"
        if not trusted:
            kind = sanitize_mimetype(kind, filename=filename)
        attached = as_attachment or kind == "application/octet-stream"
        overrides = {
            "content-type": kind,
            "content-disposition": disposition(filename, is_attachment=attached),
            "cache-control": "no-cache" if restricted else "public",
        }
        seconds = url_seconds(current_app.config)
        method = "HEAD" if request.method == "HEAD" else "GET"
        with _said("Could not send file"):
            url = self.file.url(method=method, expires_seconds=seconds, overrides=overrides)
        answer = redirect(url)
        # The URL ends soon, and is as good as a key until then.
        answer.headers["Cache-Control"] = "no-store"
        answer.headers["Referrer-Policy"] = "no-referrer"
        return answer

    # -- private ---------------------------------------------------------------------------------

    def _begin(
        self, upload: MultipartUpload, size_limit: Any, size: int | None
    ) -> tuple[str, int, None]:
        _judge(size_limit, size, upload.size, True)
        with _said("Could not begin the upload"):
            upload.begin(
                self.file,
                fileurl=self.fileurl,
                expires_seconds=upload_seconds(current_app.config),
            )
        if self.instance is not None:
            from .uploads import remember  # It needs the models, which import storages.

            remember(self.instance, upload)
        self._size = upload.size
        return self.fileurl, upload.size, None

    def _is_pending(self) -> bool:
        from .uploads import is_pending

        return self.instance is not None and is_pending(self.instance)


def _judge(size_limit: Any, size: int | None, done: int, is_end: bool) -> None:
    check_sizelimit(size_limit, done, size)
    if is_end:
        check_size(done, size)


def disposition(filename: str | None, *, is_attachment: bool) -> str:
    """Give a Content-Disposition that any browser reads (RFC 6266), also for names beyond ASCII."""
    kind = "attachment" if is_attachment else "inline"
    if not filename:
        return kind
    plain = "".join(c if " " <= c <= "~" and c not in '"\\%' else "_" for c in filename)
    if plain == filename:
        return f'{kind}; filename="{plain}"'
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{quote(filename, safe='')}"


def storage_factory(
    fileinstance: Any = None,
    default_location: str | None = None,
    default_storage_class: str | None = None,
    fileurl: str | None = None,
    size: int | None = None,
    modified: Any = None,
    **unused: Any,
) -> S3FileStorage:
    """Give the storage of a file: what ``FILES_REST_STORAGE_FACTORY`` names.

    A new file is put below its location, by its id, as Invenio's own factory does.
    """
    if fileinstance is None:
        if not fileurl:
            raise ValueError("a storage is for a fileinstance, or for a fileurl")
        return S3FileStorage(fileurl, size=size, modified=modified)
    uri = fileinstance.uri
    if not uri:
        if not default_location:
            raise ValueError("a new file needs a default_location")
        config = current_app.config
        uri = make_path(
            default_location,
            str(fileinstance.id),
            "data",
            config["FILES_REST_STORAGE_PATH_DIMENSIONS"],
            config["FILES_REST_STORAGE_PATH_SPLIT_LENGTH"],
        )
    return S3FileStorage(
        uri, size=fileinstance.size, modified=fileinstance.updated, instance=fileinstance
    )
