# SPDX-License-Identifier: Apache-2.0
"""The sessions of S3 Express: keys for one directory bucket each, asked for before they run out.

:class:`BucketSessions` asks by CreateSession, with the driver's own keys and its retries, once for
all threads (:class:`~.credentials.CredentialsSource`). :mod:`.connection` takes its signers from
here where the endpoint is a zone's; which requests those sign is :mod:`..protocol.express`'s.
"""

from __future__ import annotations

import time
import random
from typing import Any, Protocol
from functools import partial

from ..protocol import express
from .credentials import CredentialsError, CredentialsSource, ExpiringCredentials
from ..protocol.retry import RetryPolicy, attempt
from ..protocol.errors import S3MultipartError
from ..protocol.signing import SESSION_TOKEN_HEADER, Signer, Credentials
from ..protocol.messages import S3Request, S3Response

#: A session lives for five minutes; it is renewed when a fifth of that is left.
REFRESH_BEFORE_SECONDS = 60.0


class Sender(Protocol):
    """What CreateSession goes by (:class:`.transport.Transport`)."""

    def call(self, request: S3Request) -> S3Response: ...
    def adapt(self, error: S3MultipartError) -> bool: ...


class Signing(Protocol):
    """What is asked of the connection whose own keys open sessions."""

    service_name: str
    driver: Any

    def own_credentials(self) -> Credentials: ...


class BucketSessions:
    """Signers with session keys, by bucket; any thread, any number at once.

    :param policy: of CreateSession's attempts.
    """

    def __init__(self, sender: Sender, connection: Signing, *, policy: RetryPolicy) -> None:
        self._sender = sender
        self._connection = connection
        self._policy = policy
        #: Whose sessions these are: others' keys open others.
        self._owner: str | None = None
        self._sources: dict[str, CredentialsSource] = {}
        self._signers: dict[str, tuple[Any, Signer]] = {}

    def signer(self, bucket: str) -> Signer:
        """Give a signer with keys that hold for ``bucket`` now.

        :raises S3MultipartError: what CreateSession failed with, if there are none.
        """
        try:
            keys = self._source(bucket).current()
        except CredentialsError as error:
            if isinstance(error.__cause__, S3MultipartError):
                raise error.__cause__ from None  # It says more: which request, which bucket.
            raise
        wanted = (keys, self._connection.driver.region_name)
        known = self._signers.get(bucket)
        if known is None or known[0] != wanted:
            signer = Signer(
                keys,
                region=wanted[1] or "",
                service=self._connection.service_name,
                token_header=SESSION_TOKEN_HEADER,
            )
            known = self._signers[bucket] = (wanted, signer)
        return known[1]

    def expires_epoch(self, bucket: str) -> float | None:
        """When the keys for ``bucket`` run out, in seconds since the epoch."""
        return self._source(bucket).expires_epoch

    def refresh(self, bucket: str) -> bool:
        """Replace keys that the service refused; True if there are others now."""
        return self._source(bucket).refresh()

    def _source(self, bucket: str) -> CredentialsSource:
        owner = self._connection.own_credentials().access_key
        if owner != self._owner:
            self._sources, self._signers, self._owner = {}, {}, owner
        source = self._sources.get(bucket)
        if source is None:
            made = CredentialsSource(
                partial(self._create, bucket), refresh_before_seconds=REFRESH_BEFORE_SECONDS
            )
            source = self._sources.setdefault(bucket, made)  # Another thread's, if it was first.
        return source

    def _create(self, bucket: str) -> ExpiringCredentials:
        request = express.create_session_request(bucket)
        given = attempt(
            lambda _: express.create_session_result(request, self._sender.call(request)),
            policy=self._policy,
            sleep=time.sleep,
            clock=time.monotonic,
            random=random.random,
            adapt=self._sender.adapt,
        )
        return ExpiringCredentials(given.credentials, given.expires_at)
