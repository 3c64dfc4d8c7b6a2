# SPDX-License-Identifier: Apache-2.0
"""Names under which libcloud finds these drivers, and the switch that replaces its own.

:func:`register` writes to libcloud's table of drivers and to its ``Provider`` constants, which is
how third-party drivers are made known (libcloud has no entry points). Drivers themselves are in
:mod:`.driver` and :mod:`.services`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from importlib import import_module

from libcloud.storage.types import Provider
from libcloud.storage.drivers import s3 as upstream
from libcloud.storage.providers import DRIVERS

if TYPE_CHECKING:
    from .driver import AmazonS3MultipartDriver

    #: Every name and its class; imported when asked for.
    PROVIDERS: dict[str, type[AmazonS3MultipartDriver]]

__all__ = [
    "PROVIDERS",
    "REPLACED",
    "S3_MULTIPART",
    "family_drivers",
    "register",
    "unregister",
]

#: The name of the driver: ``get_driver("s3_multipart")``.
S3_MULTIPART = "s3_multipart"
#: Every name that :func:`register` makes known, and its class; ``Provider`` has it in capitals.
CLASS_NAMES = {
    S3_MULTIPART: "AmazonS3MultipartDriver",
    "s3_compatible_multipart": "S3CompatibleMultipartDriver",
    "alibaba_oss_multipart": "AlibabaOSSMultipartDriver",
    "auroraobjects_multipart": "AuroraObjectsMultipartDriver",
    "backblaze_b2_multipart": "BackblazeB2MultipartDriver",
    "ceph_rgw_multipart": "CephRGWMultipartDriver",
    "cloudflare_r2_multipart": "CloudflareR2MultipartDriver",
    "digitalocean_spaces_multipart": "DigitalOceanSpacesMultipartDriver",
    "garage_multipart": "GarageMultipartDriver",
    "google_storage_multipart": "GoogleStorageMultipartDriver",
    "hetzner_multipart": "HetznerMultipartDriver",
    "ibm_cos_multipart": "IBMCloudMultipartDriver",
    "linode_multipart": "LinodeMultipartDriver",
    "minio_multipart": "MinIOMultipartDriver",
    "oracle_multipart": "OracleMultipartDriver",
    "outscale_multipart": "OutscaleMultipartDriver",
    "ovh_multipart": "OvhMultipartDriver",
    "scaleway_multipart": "ScalewayMultipartDriver",
    "seaweedfs_multipart": "SeaweedFSMultipartDriver",
    "swift_multipart": "SwiftMultipartDriver",
    "wasabi_multipart": "WasabiMultipartDriver",
}
#: Upstream's names beside its S3 family that ``register(replace=True)`` takes, and for what.
#: Not: ``google_storage`` (OAuth2 and service accounts), ``backblaze_b2`` and ``aliyun_oss`` (other
#: protocols), ``auroraobjects`` (SigV2 only), whose users would lose what they have.
REPLACED = {
    "digitalocean_spaces": "digitalocean_spaces_multipart",
    "minio": "minio_multipart",
    "ovh": "ovh_multipart",
    "s3_rgw": "ceph_rgw_multipart",
    "s3_rgw_outscale": "outscale_multipart",
    "scaleway": "scaleway_multipart",
}
#: Constants that libcloud 3.9.1 has without a driver: name -> (our class, its region).
_MISSING = {"s3_eu_west_3": ("S3EUWest3StorageDriver", "eu-west-3")}
#: Where libcloud looks the classes up: this module, which holds the family's classes too.
_MODULE = __name__
_CLASSES = frozenset(CLASS_NAMES.values())
#: What ``register(replace=True)`` replaced: libcloud's name -> its entry. Kept on libcloud's own
#: table's module so that a reload of this package still knows how to undo it.
_REPLACED_ATTRIBUTE = "_s3mpu_replaced"


def _replaced() -> dict[str, tuple[str, str]]:
    from libcloud.storage import providers as table

    if not hasattr(table, _REPLACED_ATTRIBUTE):
        setattr(table, _REPLACED_ATTRIBUTE, {})
    found: dict[str, tuple[str, str]] = getattr(table, _REPLACED_ATTRIBUTE)
    return found


def family_drivers() -> dict[str, str]:
    """Give upstream's S3 names and the name of the class here that replaces each.

    A name for one region (``s3_eu_west``) gets a subclass with that region, named as upstream's
    is, since apps find a provider by the name of a driver's class (Flask-Cloudy).
    """
    found = {provider: class_name for provider, (class_name, _) in _MISSING.items()}
    for provider, (module, class_name) in {**DRIVERS, **_replaced()}.items():
        if module == upstream.__name__ and isinstance(provider, str):
            cls = getattr(upstream, class_name, None)
            if isinstance(cls, type) and issubclass(cls, upstream.S3StorageDriver):
                found[provider] = class_name
    return found


def _multipart_class(class_name: str) -> type[AmazonS3MultipartDriver]:
    """Make the subclass that stands for one of upstream's classes: its attributes, our driver."""
    from .driver import AmazonS3MultipartDriver

    if class_name == "S3StorageDriver":
        return AmazonS3MultipartDriver
    cls = getattr(upstream, class_name, None)
    region = dict(_MISSING.values())[class_name] if cls is None else cls.region_name
    attributes: dict[str, Any] = {
        "__doc__": f"Stands for libcloud's ``{class_name}``; see :class:`AmazonS3MultipartDriver`.",
        "__module__": _MODULE,
        "name": f"Amazon S3 ({region})" if cls is None else cls.name,
        "region_name": region,
        "ex_location_name": region if cls is None else cls.ex_location_name,
    }
    return type(class_name, (AmazonS3MultipartDriver,), attributes)


def __getattr__(name: str) -> Any:
    """Give a provider's class, or make the one for a region, when libcloud asks for it by name."""
    if name == "PROVIDERS":
        found = {each: getattr(import_module(__name__), cls) for each, cls in CLASS_NAMES.items()}
        globals()[name] = found
        return found
    if name in _CLASSES:
        home = {CLASS_NAMES[S3_MULTIPART]: ".driver"}.get(name, ".services")
        globals()[name] = getattr(import_module(home, __package__), name)
        return globals()[name]
    if name.startswith("S3") and name in family_drivers().values():
        cls = _multipart_class(name)
        globals()[name] = cls
        return cls
    raise AttributeError(f"module {_MODULE!r} has no attribute {name!r}")


def register(*, replace: bool = False) -> None:
    """Make the drivers known to libcloud; may be called any number of times.

    :param replace: also return these drivers for ``Provider.S3``, every ``S3_<region>`` name and
        the names of :data:`REPLACED`, so that an app changes nothing but this call.
        :func:`unregister` undoes it.
    """
    for name, class_name in CLASS_NAMES.items():
        DRIVERS[name] = (_MODULE, class_name)
        setattr(Provider, name.upper(), name)
    if not replace:
        return
    ours = {provider: CLASS_NAMES[name] for provider, name in REPLACED.items()}
    for provider, class_name in family_drivers().items():
        is_plain = class_name == "S3StorageDriver"
        ours[provider] = CLASS_NAMES[S3_MULTIPART] if is_plain else class_name
    replaced = _replaced()
    for provider, class_name in ours.items():
        if provider in DRIVERS and DRIVERS[provider][0] != _MODULE:
            replaced[provider] = DRIVERS[provider]
        DRIVERS[provider] = (_MODULE, class_name)


def unregister() -> None:
    """Give libcloud's own drivers back their names; ours (``PROVIDERS``) stay registered."""
    replaced = _replaced()
    DRIVERS.update(replaced)
    for provider in [*_MISSING, *REPLACED]:
        if provider not in replaced and DRIVERS.get(provider, ("",))[0] == _MODULE:
            del DRIVERS[provider]
    replaced.clear()
