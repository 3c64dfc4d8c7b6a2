# SPDX-License-Identifier: Apache-2.0
"""The providers: for each service a class of attributes, and nothing else.

Hosts, regions and addressing are here, with the page and the day they were read; sizes, counts and
what else a service does are its limits (:mod:`.protocol.limits`). The rule that reads all this is
in :mod:`.compatible`, the names under which libcloud finds the classes are in :mod:`.providers`.
"""

from __future__ import annotations

from .compatible import UpstreamOrder, S3CompatibleMultipartDriver
from .protocol.limits import (
    B2_LIMITS,
    R2_LIMITS,
    GCS_LIMITS,
    OSS_LIMITS,
    OVH_LIMITS,
    CEPH_LIMITS,
    MINIO_LIMITS,
    SWIFT_LIMITS,
    ORACLE_LIMITS,
    SCALEWAY_LIMITS,
    COMPATIBLE_LIMITS,
)


def _hosts(pattern: str, regions: str) -> dict[str, str]:
    """Give the table of regions and hosts; ``{r}`` in the pattern is the region."""
    return {region: pattern.replace("{r}", region) for region in regions.split()}


# -- servers that anybody may run ------------------------------------------------------------------


class MinIOMultipartDriver(S3CompatibleMultipartDriver):
    """MinIO, wherever it runs."""

    name = "MinIO Storage Driver"
    website = "https://min.io/"
    ex_name = "{name}"
    ex_limits = MINIO_LIMITS


class CephRGWMultipartDriver(UpstreamOrder):
    """Ceph's RADOS Gateway, wherever it runs."""

    name = "Ceph RGW"
    website = "https://ceph.com/"
    region_name = "default"
    ex_name = "Ceph RGW S3 ({region})"
    ex_limits = CEPH_LIMITS
    ex_constrains_location = True


class GarageMultipartDriver(S3CompatibleMultipartDriver):
    """Garage; its region is "garage" unless its owner named another.

    "S3 Compatibility status", garagehq.deuxfleurs.fr (read 2026-11): ListObjectsV2 and
    UploadPartCopy are there, "most x-amz- headers" are not.
    """

    name = "Garage"
    website = "https://garagehq.deuxfleurs.fr/"
    region_name = "garage"
    ex_limits = COMPATIBLE_LIMITS


class SeaweedFSMultipartDriver(S3CompatibleMultipartDriver):
    """SeaweedFS's S3 gateway, wherever it runs."""

    name = "SeaweedFS"
    website = "https://github.com/seaweedfs/seaweedfs"
    ex_limits = COMPATIBLE_LIMITS


class SwiftMultipartDriver(S3CompatibleMultipartDriver):
    """OpenStack Swift through its s3api; the region is the proxy's ``location``."""

    name = "OpenStack Swift s3api"
    website = "https://docs.openstack.org/swift/latest/s3_compat.html"
    ex_limits = SWIFT_LIMITS


# -- services --------------------------------------------------------------------------------------


class OutscaleMultipartDriver(UpstreamOrder):
    """Outscale's object storage; hosts as libcloud 3.9.1 has them."""

    name = "RGW Outscale"
    website = "https://en.outscale.com/"
    region_name = "eu-west-2"
    ex_name = "OUTSCALE Ceph RGW S3 ({region})"
    ex_limits = CEPH_LIMITS
    ex_constrains_location = True
    ex_regions = {
        **_hosts("osu.{r}.outscale.com", "eu-west-1 eu-west-2 us-west-1 us-east-2"),
        "cn-southeast-1": "osu.cn-southeast-1.outscale.hk",
    }


class DigitalOceanSpacesMultipartDriver(UpstreamOrder):
    """DigitalOcean Spaces, which is Ceph behind.

    Regions: docs.digitalocean.com/products/spaces, and rclone's table of them (read 2026-11).
    """

    name = "DigitalOcean Spaces"
    website = "https://www.digitalocean.com/products/object-storage/"
    region_name = "nyc3"
    ex_limits = CEPH_LIMITS
    ex_regions = _hosts(
        "{r}.digitaloceanspaces.com",
        "nyc3 ams3 sfo2 sgp1 sfo3 fra1 syd1 lon1 tor1 blr1",
    )


class OvhMultipartDriver(S3CompatibleMultipartDriver):
    """OVHcloud's object storage.

    ``.perf.`` is what libcloud 3.9.1 has and OVHcloud calls legacy; ``.io.`` is where the other
    regions are (OVHcloud docs, "Object Storage", and rclone's table, read 2026-11).
    """

    name = "Ovh Object Storage"
    website = "https://www.ovhcloud.com/en/public-cloud/object-storage/"
    region_name = "sbg"
    ex_limits = OVH_LIMITS
    ex_regions = {
        **_hosts("s3.{r}.perf.cloud.ovh.net", "sbg gra"),
        **_hosts(
            "s3.{r}.io.cloud.ovh.net",
            "rbx eu-west-par de uk waw bhs ca-east-tor sgp ap-southeast-syd ap-south-mum "
            "rbx-archive",
        ),
        **_hosts("s3.{r}.io.cloud.ovh.us", "us-east-va us-west-or"),
    }


class ScalewayMultipartDriver(S3CompatibleMultipartDriver):
    """Scaleway's object storage: 1,000 parts at most (rclone's table of regions, read 2026-11)."""

    name = "Scaleway Object Storage"
    website = "https://www.scaleway.com/en/object-storage/"
    region_name = "fr-par"
    ex_limits = SCALEWAY_LIMITS
    ex_regions = _hosts("s3.{r}.scw.cloud", "fr-par nl-ams pl-waw it-mil")


class GoogleStorageMultipartDriver(S3CompatibleMultipartDriver):
    """Google Cloud Storage by its XML API, with HMAC keys and SigV4.

    libcloud's own driver also takes service accounts; this one takes HMAC keys only
    (cloud.google.com/storage/docs/authentication/hmackeys, read 2026-11).
    """

    name = "Google Cloud Storage"
    website = "https://cloud.google.com/storage"
    region_name = "auto"
    ex_name = "{name} (S3)"
    ex_limits = GCS_LIMITS
    ex_regions = {"auto": "storage.googleapis.com"}


class CloudflareR2MultipartDriver(S3CompatibleMultipartDriver):
    """Cloudflare R2: equal parts; ``ex_account`` is the account id.

    Buckets of a jurisdiction (``ACCOUNT.eu.r2...``) go by ``endpoint_url=``; the region is "auto"
    ("S3 API compatibility", developers.cloudflare.com/r2, read 2026-11).
    """

    name = "Cloudflare R2"
    website = "https://developers.cloudflare.com/r2/"
    region_name = "auto"
    ex_limits = R2_LIMITS
    ex_regions = {"auto": "{account}.r2.cloudflarestorage.com"}


class BackblazeB2MultipartDriver(S3CompatibleMultipartDriver):
    """Backblaze B2 by its S3-compatible API, https only; keys are application keys.

    An account has one region, which its buckets' pages name ("Call the S3-compatible API",
    backblaze.com/docs, read 2026-11).
    """

    name = "Backblaze B2 (S3)"
    website = "https://www.backblaze.com/docs/cloud-storage-s3-compatible-api"
    region_name = "us-west-004"
    ex_limits = B2_LIMITS
    ex_regions = _hosts(
        "s3.{r}.backblazeb2.com",
        "us-west-000 us-west-001 us-west-002 us-west-004 us-east-005 eu-central-003 ca-east-006",
    )


class WasabiMultipartDriver(S3CompatibleMultipartDriver):
    """Wasabi; regions by its "Service URLs" as rclone has them (read 2026-11)."""

    name = "Wasabi"
    website = "https://docs.wasabi.com/"
    region_name = "us-east-1"
    ex_limits = COMPATIBLE_LIMITS
    ex_regions = {
        "us-east-1": "s3.wasabisys.com",
        **_hosts(
            "s3.{r}.wasabisys.com",
            "us-east-2 us-central-1 us-west-1 ca-central-1 eu-central-1 eu-central-2 eu-west-1 "
            "eu-west-2 eu-south-1 ap-northeast-1 ap-northeast-2 ap-southeast-1 ap-southeast-2",
        ),
    }


class IBMCloudMultipartDriver(S3CompatibleMultipartDriver):
    """IBM Cloud Object Storage with HMAC keys; public hosts.

    "Endpoints and storage locations" (page of 2026-02-18, read 2026-11); private and direct hosts
    go by ``host=``.
    """

    name = "IBM Cloud Object Storage"
    website = "https://cloud.ibm.com/docs/cloud-object-storage"
    region_name = "us-south"
    ex_limits = COMPATIBLE_LIMITS
    ex_regions = _hosts(
        "s3.{r}.cloud-object-storage.appdomain.cloud",
        "us-south us-east eu-gb eu-de au-syd jp-tok jp-osa ca-tor br-sao eu-es ca-mon in-che "
        "us eu ap ams03 che01 mon01 par01 sjc04 sng01",
    )


class OracleMultipartDriver(S3CompatibleMultipartDriver):
    """Oracle Cloud's object storage by its S3 compatibility API, with customer secret keys.

    ``ex_account`` is the namespace ("Amazon S3 Compatibility API", docs.oracle.com, read 2026-11).
    Regions that are not here go by ``endpoint_url=``.
    """

    name = "Oracle Object Storage"
    website = "https://docs.oracle.com/en-us/iaas/Content/Object/Tasks/s3compatibleapi.htm"
    region_name = "us-ashburn-1"
    ex_limits = ORACLE_LIMITS
    ex_style = "path"
    ex_regions = _hosts(
        "{account}.compat.objectstorage.{r}.oraclecloud.com",
        "us-ashburn-1 us-phoenix-1 us-sanjose-1 ca-toronto-1 ca-montreal-1 sa-saopaulo-1 "
        "uk-london-1 eu-frankfurt-1 eu-zurich-1 eu-amsterdam-1 me-jeddah-1 ap-tokyo-1 ap-osaka-1 "
        "ap-seoul-1 ap-chuncheon-1 ap-mumbai-1 ap-hyderabad-1 ap-sydney-1 ap-melbourne-1",
    )


class AlibabaOSSMultipartDriver(S3CompatibleMultipartDriver):
    """Alibaba Cloud OSS by its S3-compatible hosts, which take virtual-host style only.

    "Accessing OSS with the AWS SDK", help.aliyun.com, and rclone's table of regions (read 2026-11).
    """

    name = "Alibaba Cloud OSS (S3)"
    website = "https://help.aliyun.com/en/oss/developer-reference/use-aws-sdks-to-access-oss"
    region_name = "cn-hangzhou"
    ex_limits = OSS_LIMITS
    ex_style = "virtual"
    ex_regions = _hosts(
        "s3.oss-{r}.aliyuncs.com",
        "cn-hangzhou cn-shanghai cn-qingdao cn-beijing cn-zhangjiakou cn-huhehaote cn-wulanchabu "
        "cn-shenzhen cn-heyuan cn-guangzhou cn-chengdu cn-hongkong us-west-1 us-east-1 "
        "ap-southeast-1 ap-southeast-3 ap-southeast-5 ap-northeast-1 eu-central-1 eu-west-1 "
        "me-east-1",
    )


class LinodeMultipartDriver(S3CompatibleMultipartDriver):
    """Linode's (Akamai's) object storage, which is Ceph behind.

    "Product support and limits", techdocs.akamai.com (read 2026-11).
    """

    name = "Linode Object Storage"
    website = "https://techdocs.akamai.com/cloud-computing/docs/object-storage"
    region_name = "us-east-1"
    ex_limits = CEPH_LIMITS
    ex_regions = _hosts(
        "{r}.linodeobjects.com",
        "us-east-1 us-southeast-1 us-ord-1 us-lax-1 us-mia-1 us-sea-1 us-sea-9 us-iad-1 us-iad-10 "
        "id-cgk-1 in-maa-1 in-bom-1 jp-osa-1 ap-south-1 sg-sin-1 eu-central-1 de-fra-1 es-mad-1 "
        "fr-par-1 gb-lon-1 it-mil-1 nl-ams-1 se-sto-1 br-gru-1 au-mel-1",
    )


class HetznerMultipartDriver(S3CompatibleMultipartDriver):
    """Hetzner's object storage, which is Ceph behind ("Overview", docs.hetzner.com, read 2026-11).

    Its regions are its locations.
    """

    name = "Hetzner Object Storage"
    website = "https://docs.hetzner.com/storage/object-storage/"
    region_name = "fsn1"
    ex_limits = CEPH_LIMITS
    ex_regions = _hosts("{r}.your-objectstorage.com", "fsn1 nbg1 hel1")


class AuroraObjectsMultipartDriver(S3CompatibleMultipartDriver):
    """PCextreme's AuroraObjects, which has SigV2 only: refused in words."""

    name = "AuroraObjects"
    website = "https://www.pcextreme.nl/en/aurora/objects"
    ex_regions = {"us-east-1": "o.auroraobjects.eu"}
    ex_refusal = (
        "AuroraObjects signs with SigV2 only, and this driver with SigV4 only: use libcloud's own "
        "driver (Provider.AURORAOBJECTS) for it"
    )
