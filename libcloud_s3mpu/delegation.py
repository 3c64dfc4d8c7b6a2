# SPDX-License-Identifier: Apache-2.0
"""Uploads with keys that somebody lent: a driver built from what a server handed out.

The other way of direct uploads (Nuxeo's batch handler ``s3``, STS, Companion's ``/s3/sts``): the
client gets temporary keys for one prefix instead of URLs, signs by itself, and
asks for new keys before they run out. Uploads are the driver's own; who refreshes keys is
:mod:`.transfer.credentials`.
"""

from __future__ import annotations

import uuid
from typing import Any
from dataclasses import field, dataclass
from urllib.parse import urlsplit
from collections.abc import Mapping, Callable

from libcloud.storage.base import Container

from .driver import AmazonS3MultipartDriver
from .sessions import endpoint_of
from .protocol.errors import InvalidRequestError
from .protocol.session import UploadSession
from .protocol.endpoint import Addressing
from .transfer.credentials import as_credentials

#: Accelerated buckets have a name of their own ("Using Transfer Acceleration", read 2026-11).
_ACCELERATED = "https://s3-accelerate.amazonaws.com"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delegation:
    """Where a lent key may write: a driver, a container, and what object names begin with."""

    driver: AmazonS3MultipartDriver = field(repr=False)
    container: Container
    prefix: str

    def object_name(self, name: str | None = None) -> str:
        """Give a name below the prefix: ``name``, or one that nobody else has (a UUID)."""
        return self.prefix + (name if name is not None else str(uuid.uuid4()))

    def start(self, object_name: str | None = None, **options: Any) -> Any:
        """Prepare an upload that can be paused (``driver.ex_start_upload``, with its options).

        :param object_name: as :meth:`object_name` gives it; a new one if None.
        :raises InvalidRequestError: if it is not below the prefix: the keys are not for it.
        """
        name = object_name if object_name is not None else self.object_name()
        self._check(name)
        return self.driver.ex_start_upload(self.container, name, **options)

    def reopen(self, saved: str | bytes, **options: Any) -> Any:
        """Give the handle of an upload of another process: its ``run`` goes on, ``pause`` stops it.

        :param saved: the handle's ``saved``, or what a journal kept.
        :raises SessionFormatError: (a ValueError) if it is no saved form.
        :raises InvalidRequestError: if it is for another service, container or prefix.
        """
        session = UploadSession.from_json(saved)
        endpoint = endpoint_of(self.driver.connection.endpoint)
        session.check_place(endpoint=endpoint, container=self.container.name)
        handle = self.start(session.object_name, **options)
        handle.session = session
        return handle

    def resume(self, session: Any, source: Any, **options: Any) -> Any:
        """Go on with an upload, also one of another process (``driver.ex_resume_upload``)."""
        return self.driver.ex_resume_upload(session, source, self.container, **options)

    def _check(self, name: str) -> None:
        if not name.startswith(self.prefix):
            raise InvalidRequestError(
                f"object name {name!r} is not below {self.prefix!r}, which the keys are for",
                container=self.container.name,
                object_name=name,
            )


class _Lent:
    """The keys at hand first, then those that ``refresh`` gives; what ``ex_credentials`` is."""

    def __init__(
        self, info: Mapping[str, Any], refresh: Callable[[], Mapping[str, Any]] | None
    ) -> None:
        self._first: Mapping[str, Any] | None = info
        self._refresh = refresh

    def __repr__(self) -> str:
        return "<lent keys>"

    def __call__(self) -> Any:
        first, self._first = self._first, None
        if first is not None:
            return first
        if self._refresh is None:
            raise RuntimeError("the lent keys have run out, and there is no refresh")
        given = self._refresh()
        nested = given.get("extraInfo")
        return nested if isinstance(nested, Mapping) else given


def delegated(
    info: Mapping[str, Any],
    refresh: Callable[[], Mapping[str, Any]] | None = None,
    *,
    driver_class: type[AmazonS3MultipartDriver] = AmazonS3MultipartDriver,
    **options: Any,
) -> Delegation:
    """Give a driver for lent keys, and the place that they are for.

    :param info: Nuxeo's ``batch.extraInfo`` (``awsSecretKeyId``, ``awsSecretAccessKey``,
        ``awsSessionToken``, ``expiration``, ``bucket``, ``baseKey``, ``region``, ``endpoint``,
        ``usePathStyleAccess``, ``useS3Accelerate``), or the same with the names of STS, plus
        ``bucket``, ``prefix`` and ``region``.
    :param refresh: gives such a mapping with new keys; called before the old ones expire and when
        the service refuses them, in any thread, one at a time.
    :param options: of the driver (``ex_options``, ``timeout``).
    :raises InvalidRequestError: (a ValueError) if there is no bucket or there are no keys; the text
        quotes no value.
    """
    bucket = info.get("bucket")
    prefix = info.get("baseKey") or info.get("prefix") or ""
    if not isinstance(bucket, str) or not bucket or not isinstance(prefix, str):
        raise InvalidRequestError("what was handed out names no bucket, or no text for its prefix")
    try:
        as_credentials(info)
    except ValueError as error:
        raise InvalidRequestError(f"what was handed out has no keys: {error}") from error
    where = _place(info)
    driver = driver_class(ex_credentials=_Lent(info, refresh), **{**where, **options})
    return Delegation(driver=driver, container=Container(bucket, {}, driver), prefix=prefix)


def _place(info: Mapping[str, Any]) -> dict[str, Any]:
    """Give the driver's arguments that say where the service is."""
    where: dict[str, Any] = {}
    if info.get("region"):
        where["region"] = info["region"]
    endpoint = info.get("endpoint")
    if _is_true(info.get("useS3Accelerate")) and not endpoint:
        where["ex_endpoint_url"] = _ACCELERATED
    elif endpoint:
        has_scheme = urlsplit(endpoint).scheme in ("http", "https")
        where["ex_endpoint_url"] = endpoint if has_scheme else f"https://{endpoint}"
        style = info.get("usePathStyleAccess")
        addressing: Addressing = "auto"
        if style is not None:
            addressing = "path" if _is_true(style) else "virtual"
        where["ex_addressing"] = addressing
    return where


def _is_true(value: Any) -> bool:
    """Java's servers send booleans as text, too."""
    return value is True or (isinstance(value, str) and value.lower() == "true")
