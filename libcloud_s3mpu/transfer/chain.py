# SPDX-License-Identifier: Apache-2.0
"""Keys as AWS's own tools find them: botocore's provider chain, for ``ex_credentials`` (extra aws).

botocore is imported at the first request and nowhere else. When its answer is asked for is decided
in :mod:`.credentials`.
"""

from __future__ import annotations

from typing import Any
from importlib import import_module

from .credentials import ExpiringCredentials, as_credentials


class BotocoreCredentials:
    """Keys from botocore's provider chain; made by :func:`botocore_credentials`."""

    #: Its pickle has the profile's name and nothing else.
    holds_no_secrets = True

    def __init__(self, profile: str | None) -> None:
        self._profile = profile
        self._found: Any = None

    def __reduce__(self) -> tuple[Any, ...]:
        return botocore_credentials, (self._profile,)

    def __repr__(self) -> str:
        return f"<botocore_credentials {self._profile or 'default'}>"

    def __call__(self) -> ExpiringCredentials:
        if self._found is None:
            try:
                session = import_module("botocore.session").Session(profile=self._profile)
            except ModuleNotFoundError as error:
                raise RuntimeError('pip install "libcloud_s3mpu[aws]"') from error
            self._found = session.get_credentials()
        if self._found is None:
            raise RuntimeError("botocore found no keys anywhere")
        return as_credentials(self._found)

    def forget(self) -> None:
        """Walk the whole chain anew next time: what it found was refused, and botocore would go on
        with it until shortly before it expires."""
        self._found = None


def botocore_credentials(profile: str | None = None) -> BotocoreCredentials:
    """Give a callable for ``ex_credentials`` over botocore's provider chain (extra ``aws``).

    Environment, profiles, SSO, IMDS, ECS, web identity: whatever botocore finds first. It is asked
    at the first request, renews what runs out, and walks the chain anew when the service refuses
    what it gave.

    :param profile: of the AWS CLI's files; the environment's or ``default`` if None.
    """
    return BotocoreCredentials(profile)
