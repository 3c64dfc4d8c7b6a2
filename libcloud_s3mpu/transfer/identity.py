# SPDX-License-Identifier: Apache-2.0
"""Whose keys sign a request, and by whose clock: the signing half of libcloud's connection.

A mixin of :class:`~.connection.S3MultipartConnection`. The keys are the driver's own, from
:mod:`.credentials` where these are asked for; S3 Express gives others for each bucket, which
:mod:`.express` keeps. How a signature is made is :mod:`..protocol.signing`'s.
"""

from __future__ import annotations

import time
from typing import Any
from email.utils import parsedate_to_datetime

from .credentials import CredentialsError, CredentialsSource
from ..protocol.errors import S3MultipartError
from ..protocol.signing import Signer, Credentials
from ..protocol.endpoint import EXPRESS, Endpoint


class Identity:
    """Keys, region and clock of one endpoint's connection; any thread, any number at once."""

    driver: Any
    endpoint: Endpoint
    service_name: str
    user_id: str
    key: str
    token: str | None
    #: Seconds that the service's clock is ahead of this machine's, where it complained.
    clock_offset = 0.0
    #: Asked for keys at each request; None where they are the attributes that libcloud knows.
    credentials_source: CredentialsSource | None = None
    #: The driver's transport, by which sessions are opened where the service has such.
    sender: Any = None
    _signer_for: tuple[Any, Signer | None] = (None, None)

    def signed_headers(
        self,
        method: str,
        path: str,
        query: str,
        headers: dict[str, str],
        digest: str,
        *,
        bucket: str,
    ) -> dict[str, str]:
        """Give ``headers`` (lower-case names, ``host`` among them) with date and signature.

        :param digest: the body's SHA-256 in hexadecimal digits, or ``UNSIGNED-PAYLOAD``.
        :param bucket: the one that the request is for, if any.
        """
        # First: it may have to wait for keys.
        signer = self._signer_of(method, path, query, headers, bucket)
        headers.update(getattr(self.driver, "ex_headers", {}))
        amz_date = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(time.time() + self.clock_offset))
        headers["x-amz-date"] = amz_date
        headers["x-amz-content-sha256"] = digest
        if signer.credentials.token:
            headers[signer.token_header] = signer.credentials.token
        headers["authorization"] = signer.authorization(
            method=method, path=path, query=query, headers=headers, amz_date=amz_date
        )
        return headers

    def set_clock(self, server_date: str | None) -> bool:
        """Sign by the service's clock from now on; False if its ``Date`` is none.

        True also if another thread has set it meanwhile: the request was signed before that.
        """
        try:
            self.clock_offset = parsedate_to_datetime(server_date or "").timestamp() - time.time()
        except (TypeError, ValueError):
            return False
        return True

    def exact_signer(self) -> Signer:
        """Give the signer for the driver's keys and region, as they are now.

        :raises CredentialsError: if there are no keys, or who gives them failed.
        """
        # No secret is a local here: what a debugger shows of a frame is a masked value.
        wanted = (self.own_credentials(), self.driver.region_name)
        known, signer = self._signer_for
        if signer is None or known != wanted:
            signer = Signer(wanted[0], region=wanted[1] or "", service=self.service_name)
            self._signer_for = (wanted, signer)
        return signer

    def presigning(self, bucket: str) -> tuple[Signer, float | None]:
        """Give the signer of URLs for a bucket, and when its keys run out (epoch), if ever.

        :raises CredentialsError: if there are no keys, or who gives them failed.
        """
        if self.has_sessions:
            return self.sessions.signer(bucket), self.sessions.expires_epoch(bucket)
        signer = self.exact_signer()
        source = self.credentials_source
        return signer, source.expires_epoch if source is not None else None

    def refresh_credentials(self, used: Credentials | None = None) -> bool:
        """Replace keys that the service refused; True if a request has others now.

        Asks ``ex_credentials`` once for all threads, and not at all if the keys are others already.

        :param used: the keys that were refused; None for those of now.
        """
        if self.credentials_source is not None:
            return self.credentials_source.refresh(used)
        return used is not None and self.own_credentials() != used

    def refresh_refused(self, error: S3MultipartError) -> bool:
        """Replace the keys that a request of this error was signed with, whosever they were."""
        if self.has_sessions:
            from ..protocol.express import OWN_KEYS

            if error.operation not in OWN_KEYS:
                return bool(self.sessions.refresh(error.container or ""))
        return self.refresh_credentials()

    def own_credentials(self) -> Credentials:
        """Give the driver's keys, as they are now.

        :raises CredentialsError: if there are none, or who gives them failed.
        """
        if self.credentials_source is not None:
            return self.credentials_source.current()
        if not self.user_id or not self.key:
            raise CredentialsError(
                "the driver has no keys: a driver is pickled without them unless it was made with "
                "ex_pickles_credentials=True; give it others with ex_set_credentials()"
            )
        return Credentials(self.user_id, self.key, self.token)

    # -- sessions --------------------------------------------------------------------------------

    @property
    def has_sessions(self) -> bool:
        """Whether this service opens sessions for its buckets (S3 Express)."""
        return self.service_name == EXPRESS and self.sender is not None

    @property
    def sessions(self) -> Any:
        """The buckets' sessions (:class:`~.express.BucketSessions`), shared by all clones."""
        return self.sender.sessions

    def _signer_of(
        self, method: str, path: str, query: str, headers: dict[str, str], bucket: str
    ) -> Signer:
        if not self.has_sessions or not bucket:
            return self.exact_signer()
        from ..protocol.express import Asked, takes_own_keys

        has_key = path.removesuffix("/") != self.endpoint.path(bucket).removesuffix("/")
        if takes_own_keys(Asked(method, has_key, query, headers)):
            return self.exact_signer()
        signer: Signer = self.sessions.signer(bucket)
        return signer
