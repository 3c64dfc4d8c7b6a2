# SPDX-License-Identifier: Apache-2.0
"""A driver's keys: given, replaced, and left behind when the driver is pickled.

A mixin of :class:`~libcloud_s3mpu.driver.AmazonS3MultipartDriver`. A pickle of a driver holds no
secret unless the driver was made with ``ex_pickles_credentials=True``: it crosses pipes, caches and
task queues that nobody thinks of as a place for keys. One that was unpickled without them asks
``ex_credentials`` again, if that is a function of a module; or else its requests raise
``CredentialsError`` until ``ex_set_credentials`` was called. Who asks ``ex_credentials`` is
:mod:`.transfer.credentials`.
"""

from __future__ import annotations

import re
from types import FunctionType, BuiltinFunctionType
from typing import Any

from .protocol.options import UploadOptions
from .protocol.signing import Credentials
from .transfer.credentials import CredentialsSource

_USER_IN_URL = re.compile(r"//[^/@]*@")
#: Attributes that the constructor makes; the rest of an instance goes with its pickle as it is.
_MADE = frozenset(
    {"connection", "key", "secret", "secure", "token", "region", "_transport", "_ex_pickles"}
)


class KeyExtensions:
    """Where a driver's keys come from, and what its pickle holds."""

    connection: Any
    key: str
    secret: str | None
    token: str | None
    region: str
    ex_options: UploadOptions
    _ex_pickles: bool

    def ex_set_credentials(self, key: str, secret: str, token: str | None = None) -> None:
        """
        Sign with these keys from the next request on, in place of whatever was there.

        :param token: the session token of temporary keys.
        :type token: ``str``
        """
        self.connection.credentials_source = None
        self._take_keys(Credentials(key, secret, token))

    # -- private ---------------------------------------------------------------------------------

    def _use_source(self, call: Any, *, pickles: bool) -> None:
        """Take the constructor's ``ex_credentials`` and ``ex_pickles_credentials``."""
        self._ex_pickles = pickles
        if call is not None:
            self.connection.credentials_source = CredentialsSource(call, on_change=self._take_keys)

    def _take_keys(self, keys: Credentials) -> None:
        """Put keys where libcloud and apps look for them (upstream's own signer among these)."""
        self.key, self.secret, self.token = keys.access_key, keys.secret_key, keys.token
        http = self.connection
        http.user_id, http.key, http.token = keys.access_key, keys.secret_key, keys.token
        http.signer.access_key, http.signer.access_secret = keys.access_key, keys.secret_key

    def _state(self, *, keeps_keys: bool) -> dict[str, Any]:
        """Give what makes this driver anew: the constructor's arguments, and the rest."""
        http = self.connection
        source = http.credentials_source
        call = source.call if source is not None else None
        if call is not None and not keeps_keys and not _is_free_of_secrets(call):
            call = None
        secrets = {http.key, http.token, self.secret, self.token} - {None, ""}
        has_static = source is None and keeps_keys
        proxy = http.proxy_url
        if proxy is not None and not keeps_keys:
            proxy = _USER_IN_URL.sub("//", proxy)
        rest = {
            name: value
            for name, value in self.__dict__.items()
            if name not in _MADE
            and (keeps_keys or not isinstance(value, str) or value not in secrets)
        }
        return {
            "key": http.user_id if source is None else "",
            "secret": http.key if has_static else None,
            "token": http.token if has_static else None,
            "region": self.region,
            "endpoint": http.endpoint,
            "call": call,
            "pickles": self._ex_pickles,
            "timeout": http.timeout,
            "retry_delay": http.retry_delay,
            "backoff": http.backoff,
            "proxy_url": proxy,
            "verify": getattr(http.connection, "verify", True),
            "ca_cert": getattr(http.connection, "ca_cert", None),
            "rest": rest,
        }

    def __getstate__(self) -> dict[str, Any]:
        return self._state(keeps_keys=self._ex_pickles)

    def __copy__(self) -> Any:
        # A copy stays in this process: it keeps its keys, and gets sockets of its own.
        made = type(self).__new__(type(self))
        made.__setstate__(self._state(keeps_keys=True))  # type: ignore[attr-defined]
        return made

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        made = memo[id(self)] = self.__copy__()
        return made


def _is_free_of_secrets(call: Any) -> bool:
    """Tell whether a callable's pickle is its name, or it says itself that it holds none."""
    by_name = isinstance(call, (FunctionType, BuiltinFunctionType, type))
    return by_name or bool(getattr(call, "holds_no_secrets", False))
