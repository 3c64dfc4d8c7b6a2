# SPDX-License-Identifier: Apache-2.0
"""A repository of the least size: Invenio-Files-REST with a database in memory; no test."""

from __future__ import annotations

from typing import Any
from contextlib import contextmanager
from collections.abc import Iterator

from flask import Flask
from invenio_db import InvenioDB, db
from sqlalchemy import event
from invenio_i18n import InvenioI18N
from invenio_files_rest import InvenioFilesREST
from invenio_files_rest.views import blueprint as files_rest
from invenio_files_rest.models import Location


class Allowed:
    """Says yes, or no."""

    def __init__(self, is_allowed: bool) -> None:
        self.is_allowed = is_allowed

    def can(self) -> bool:
        return self.is_allowed


@contextmanager
def repository(**config: Any) -> Iterator[Any]:
    """Give an app with the location ``s3://bucket``; ``app.config["MAY"]`` is every permission."""
    app = Flask("repository")
    app.config.update(
        SQLALCHEMY_DATABASE_URI="sqlite://",
        SECRET_KEY="of the tests",
        DB_VERSIONING=False,
        TESTING=True,
        FILES_REST_STORAGE_FACTORY="libcloud_s3mpu.contrib.invenio.storage_factory",
        FILES_REST_MULTIPART_CHUNKSIZE_MIN=5,
        FILES_REST_MULTIPART_CHUNKSIZE_MAX=50,
        FILES_REST_PERMISSION_FACTORY=lambda *args: Allowed(app.config["MAY"]),
        MAY=True,
        **config,
    )
    InvenioDB(app, entry_point_group=None)
    InvenioI18N(app)
    InvenioFilesREST(app)
    app.register_blueprint(files_rest)
    with app.app_context():
        # Python's sqlite3 begins no transaction before a savepoint, and so could not roll back.
        event.listen(db.engine, "connect", lambda raw, _: setattr(raw, "isolation_level", None))
        event.listen(db.engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
        db.create_all()
        db.session.add(Location(name="s3", uri="s3://bucket", default=True))
        db.session.commit()
        try:
            yield app
        finally:
            db.session.remove()
            db.engine.dispose()
