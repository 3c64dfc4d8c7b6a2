# SPDX-License-Identifier: Apache-2.0
"""The driver for any S3-compatible service, and the class that every provider is a table of.

What differs between services is in class attributes and in their limits
(:mod:`.protocol.limits`); here is the one rule that reads them. The providers themselves are in
:mod:`.services`.
"""

from __future__ import annotations

from typing import Any
from collections.abc import Mapping

from .driver import AmazonS3MultipartDriver
from .protocol.errors import InvalidRequestError
from .protocol.limits import COMPATIBLE_LIMITS, Limits
from .protocol.options import UploadOptions
from .protocol.endpoint import Addressing

__all__ = ["S3CompatibleMultipartDriver"]


class S3CompatibleMultipartDriver(AmazonS3MultipartDriver):
    """Any service that speaks S3 with SigV4: ``S3CompatibleMultipartDriver(endpoint_url=...)``.

    :cvar ex_regions: regions and their hosts; ``{account}`` in a host is ``ex_account``. A service
        that runs wherever its owner runs it has none, and needs ``host`` or ``endpoint_url``.
    :cvar ex_name: the driver's name, with its region.
    :cvar ex_style: how containers are addressed unless the caller says otherwise.
    :cvar ex_constrains_location: new containers are made with the region as their location.
    :cvar ex_headers: go with every request, signed; lower-case names.
    :cvar ex_refusal: why this service cannot be used at all.
    """

    name = "S3-compatible service"
    website = "https://docs.aws.amazon.com/AmazonS3/latest/API/"
    region_name = "us-east-1"
    ex_limits: Limits = COMPATIBLE_LIMITS
    ex_regions: Mapping[str, str] = {}
    ex_name: str = "{name} ({region})"
    ex_style: Addressing = "auto"
    ex_constrains_location: bool = False
    ex_refusal: str = ""
    ex_headers: Mapping[str, str] = {}

    def __init__(
        self,
        key: str = "",
        secret: str | None = None,
        secure: bool = True,
        host: str | None = None,
        port: int | None = None,
        region: str | None = None,
        token: str | None = None,
        ex_options: UploadOptions | None = None,
        ex_endpoint_url: str | None = None,
        ex_addressing: Addressing | None = None,
        endpoint_url: str | None = None,
        ex_account: str | None = None,
        ex_limits: Limits | None = None,
        signature_version: str | int | None = None,
        project: str | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        """
        @inherits: :class:`AmazonS3MultipartDriver.__init__`

        :param host: in place of the host of ``region``; any ``region`` goes with it.
        :type host: ``str``

        :param endpoint_url: ``ex_endpoint_url`` by its short name.
        :type endpoint_url: ``str``

        :param ex_account: what the service's host begins with: the account id of Cloudflare R2,
            the namespace of Oracle.
        :type ex_account: ``str``

        :param ex_limits: what the service accepts, where it is known better than by the class
            (``ex_probe`` finds out).
        :type ex_limits: :class:`Limits`

        :param signature_version: ``4`` or None; upstream's drivers take ``2`` too.
        :type signature_version: ``str``

        :param project: Google's project, for listing and making containers.
        :type project: ``str``

        :raises InvalidRequestError: (a ValueError) if there is no host for these arguments, or the
            service or the signature is one that SigV4 cannot serve.
        """
        kind = type(self)
        _check_signature(kind, signature_version)
        url = ex_endpoint_url or endpoint_url
        region = region or kind.region_name
        if not host and url is None:
            host = kind._host_of(region, ex_account)
        super().__init__(
            key,
            secret=secret,
            secure=secure,
            host=host,
            port=port,
            region=region,
            token=token,
            ex_options=ex_options,
            ex_endpoint_url=url,
            ex_addressing=ex_addressing or kind.ex_style,
            **kwargs,
        )
        self.name = name or kind.ex_name.format(name=kind.name, region=region)
        self.signature_version = "4"
        if ex_limits is not None:
            self.ex_limits = ex_limits
        if kind.ex_constrains_location:
            self.ex_location_name = region
        if project is not None:
            self.project = project
            self.ex_headers = {"x-amz-project-id": project}

    @classmethod
    def list_regions(cls) -> list[str]:
        """
        Give the regions whose hosts are known; others go by ``host`` or ``endpoint_url``.

        :rtype: ``list`` of ``str``
        """
        return list(cls.ex_regions)

    @classmethod
    def _host_of(cls, region: str, account: str | None) -> str:
        if not cls.ex_regions:
            raise InvalidRequestError(
                f"host argument is required: {cls.name} runs wherever its owner runs it; "
                "give host= or endpoint_url="
            )
        pattern = cls.ex_regions.get(region)
        if pattern is None:
            raise InvalidRequestError(
                f"Invalid or unsupported region: {region} is none of {cls.name}'s known regions "
                f"({', '.join(cls.ex_regions)}); give host= or endpoint_url= for another one"
            )
        if "{account}" in pattern and not account:
            raise InvalidRequestError(
                f"{cls.name} needs ex_account=, which its host begins with ({pattern}), "
                "or host= or endpoint_url="
            )
        return pattern.format(account=account)


class UpstreamOrder(S3CompatibleMultipartDriver):
    """For services whose upstream driver has ``api_version`` in front of ``region``."""

    def __init__(
        self,
        key: str = "",
        secret: str | None = None,
        secure: bool = True,
        host: str | None = None,
        port: int | None = None,
        api_version: str | None = None,
        region: str | None = None,
        token: str | None = None,
        **kwargs: Any,
    ) -> None:
        """
        @inherits: :class:`S3CompatibleMultipartDriver.__init__`

        :param api_version: swallowed, as upstream does it.
        :type api_version: ``str``
        """
        super().__init__(key, secret, secure, host, port, region, token, **kwargs)


def _check_signature(kind: type[S3CompatibleMultipartDriver], version: str | int | None) -> None:
    if kind.ex_refusal:
        raise InvalidRequestError(kind.ex_refusal)
    if version is None or str(version) == "4":
        return
    if str(version) == "2":
        raise InvalidRequestError(
            f"signature_version='2' (SigV2) is not spoken by this driver, and {kind.name} takes "
            "SigV4: leave the argument out"
        )
    raise InvalidRequestError(f"Invalid signature_version: {version}")
