# SPDX-License-Identifier: Apache-2.0
"""The app's configuration into a driver: the names that oarepo-s3 and invenio-s3 have, and ours.

===================================  ===============================================================
``S3MPU_DRIVER``                     a driver, what makes one, or the import path of either; without
                                     it one is made of the following
``S3_ENDPOINT_URL``                  ``https://host[:port]``; AWS if missing
``S3_REGION_NAME``                   AWS's region, or what the service calls its own
``S3_ACCESS_KEY_ID``, ``S3_SECRET_ACCESS_KEY``  the keys
``S3_TENANT``                        Ceph's tenant: buckets are ``tenant:bucket``
``S3_URL_EXPIRATION``                seconds that a download's URL lives: 60
``S3_MULTIPART_UPLOAD_EXPIRATION``   seconds that a direct upload may take: a day
``S3MPU_REDIRECTS``                  False: downloads pass through the app
===================================  ===============================================================
"""

from __future__ import annotations

from typing import Any
from importlib import import_module

from ...driver import AmazonS3MultipartDriver
from ...direct_uploads import UPLOAD_SECONDS
from ...protocol.errors import InvalidRequestError

#: Where the app keeps its driver.
EXTENSION = "libcloud-s3mpu"
#: invenio-s3's figure: the browser follows the redirect at once.
URL_SECONDS = 60


def missing(name: str, error: ImportError) -> ImportError:
    """Give the error that names the extra."""
    return ImportError(
        f"{name} needs Invenio-Files-REST: pip install 'libcloud_s3mpu[invenio]' ({error})"
    )


def driver_of(app: Any) -> Any:
    """Give the app's driver; made at the first call, one for each process.

    :raises InvalidRequestError: (a ValueError) if the configuration names none.
    """
    made = app.extensions.get(EXTENSION)
    if made is None:
        # Two threads that come here at once agree on the one that was first.
        made = app.extensions.setdefault(EXTENSION, _make(app.config))
    return made


def url_seconds(config: Any) -> int:
    return int(config.get("S3_URL_EXPIRATION") or URL_SECONDS)


def upload_seconds(config: Any) -> int:
    return int(config.get("S3_MULTIPART_UPLOAD_EXPIRATION") or UPLOAD_SECONDS)


def _make(config: Any) -> Any:
    given = config.get("S3MPU_DRIVER")
    if isinstance(given, str):
        module, _, name = given.replace(":", ".").rpartition(".")
        given = getattr(import_module(module), name)
    if given is not None:
        return given() if callable(given) else given
    key, secret = config.get("S3_ACCESS_KEY_ID"), config.get("S3_SECRET_ACCESS_KEY")
    if not key or not secret:
        raise InvalidRequestError(
            "the app names no S3MPU_DRIVER, and no S3_ACCESS_KEY_ID with S3_SECRET_ACCESS_KEY"
        )
    more: dict[str, Any] = {}
    if config.get("S3_ENDPOINT_URL"):
        more["ex_endpoint_url"] = config["S3_ENDPOINT_URL"]
    if config.get("S3_REGION_NAME"):
        more["region"] = config["S3_REGION_NAME"]
    return AmazonS3MultipartDriver(key, secret, **more)
