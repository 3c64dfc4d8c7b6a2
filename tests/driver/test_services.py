# SPDX-License-Identifier: Apache-2.0
"""Every provider by name: its host, region, limits and arguments; and what is refused in words."""

from __future__ import annotations

import pickle
import inspect
from typing import Any
from collections.abc import Iterator

import pytest
from libcloud.common.types import LibcloudError
from libcloud.storage.base import Container
from libcloud.storage.types import Provider
from libcloud.storage.drivers import ovh, rgw, minio, scaleway, auroraobjects, digitalocean_spaces
from libcloud.storage.providers import DRIVERS, get_driver

import libcloud_s3mpu as ours
from tests.fake_s3 import REGION, ACCESS_KEY, SECRET_KEY, FakeS3, FakeServer
from tests.unit.small import close_driver
from tests.fake_s3.faults import wrong_etag
from libcloud_s3mpu.providers import REPLACED, PROVIDERS
from libcloud_s3mpu.compatible import S3CompatibleMultipartDriver
from libcloud_s3mpu.protocol.errors import InvalidRequestError
from libcloud_s3mpu.protocol.limits import MIB, COMPATIBLE_LIMITS, Limits

COMPATIBLE = {n: c for n, c in PROVIDERS.items() if issubclass(c, S3CompatibleMultipartDriver)}
USABLE = {name: cls for name, cls in COMPATIBLE.items() if not cls.ex_refusal}
UPSTREAM = {
    "digitalocean_spaces": digitalocean_spaces.DigitalOceanSpacesStorageDriver,
    "minio": minio.MinIOStorageDriver,
    "ovh": ovh.OvhStorageDriver,
    "s3_rgw": rgw.S3RGWStorageDriver,
    "s3_rgw_outscale": rgw.S3RGWOutscaleStorageDriver,
    "scaleway": scaleway.ScalewayStorageDriver,
}


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    yield
    ours.unregister()


def made(cls: Any, **kwargs: Any) -> Any:
    """Make a driver, with a host where the service has none of its own."""
    if not cls.ex_regions:
        kwargs.setdefault("host", "s3.example.com")
    kwargs.setdefault("ex_account", "account")
    return cls("key", "secret", **kwargs)


# -- names -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(PROVIDERS))
def test_every_provider_is_found_by_its_name_and_its_constant(name: str) -> None:
    cls = PROVIDERS[name]
    assert get_driver(name) is cls
    assert get_driver(getattr(Provider, name.upper())) is cls
    # Flask-Cloudy finds a provider by the name of a driver's class.
    assert [each for each in DRIVERS if DRIVERS[each][1] == cls.__name__] == [name]
    assert getattr(ours, cls.__name__) is cls


@pytest.mark.parametrize("name", sorted(REPLACED))
def test_upstreams_name_gives_ours_after_replacing(name: str) -> None:
    theirs = get_driver(name)
    assert theirs is UPSTREAM[name]
    ours.register(replace=True)
    assert get_driver(name) is PROVIDERS[REPLACED[name]]
    ours.unregister()
    assert get_driver(name) is theirs


@pytest.mark.parametrize("name", sorted(REPLACED))
def test_upstreams_positional_arguments_keep_their_places(name: str) -> None:
    theirs = list(inspect.signature(UPSTREAM[name].__init__).parameters)
    cls = PROVIDERS[REPLACED[name]]
    mine = list(inspect.signature(cls.__init__).parameters)
    wanted = [each for each in theirs if each not in ("kwargs", "url")]
    assert mine[: len(wanted)] == wanted


@pytest.mark.parametrize("name", sorted(set(REPLACED) - {"minio", "s3_rgw"}))
def test_a_replaced_driver_goes_where_upstreams_went(name: str) -> None:
    theirs = UPSTREAM[name]("key", "secret", **({"signature_version": "4"} if "ocean" in name or
                            "rgw" in name else {}))  # fmt: skip
    mine = made(PROVIDERS[REPLACED[name]])
    assert mine.connection.host == theirs.connection.host
    assert mine.name == theirs.name
    assert mine.region_name == theirs.region_name


@pytest.mark.parametrize(
    ("module", "table", "name"),
    [
        (ovh, "REGION_TO_HOST_MAP", "ovh_multipart"),
        (scaleway, "REGION_TO_HOST_MAP", "scaleway_multipart"),
        (digitalocean_spaces, "DO_SPACES_HOSTS_BY_REGION", "digitalocean_spaces_multipart"),
        (rgw, "S3_RGW_OUTSCALE_HOSTS_BY_REGION", "outscale_multipart"),
    ],
)
def test_every_region_of_upstreams_has_its_host(module: Any, table: str, name: str) -> None:
    for region, host in getattr(module, table).items():
        driver = made(PROVIDERS[name], region=region)
        assert (driver.connection.host, driver.region) == (host, region)
        assert region in driver.list_regions()


# -- hosts and regions -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(USABLE))
def test_every_region_makes_a_driver_that_signs_for_it(name: str) -> None:
    cls = USABLE[name]
    for region in [*cls.ex_regions, None]:
        driver = made(cls, region=region)
        assert driver.connection.exact_signer().region == (region or cls.region_name)
        host = driver.connection.host
        assert "{" not in host and "." in host
        assert driver.connection.endpoint.scheme == "https"
    assert not cls.ex_regions or cls.region_name in cls.ex_regions


@pytest.mark.parametrize(
    ("cls", "kwargs", "host"),
    [
        (ours.CloudflareR2MultipartDriver, {"ex_account": "0a1b"}, "0a1b.r2.cloudflarestorage.com"),
        (
            ours.OracleMultipartDriver,
            {"ex_account": "axy", "region": "eu-zurich-1"},
            "axy.compat.objectstorage.eu-zurich-1.oraclecloud.com",
        ),
        (ours.HetznerMultipartDriver, {"region": "hel1"}, "hel1.your-objectstorage.com"),
        (ours.WasabiMultipartDriver, {}, "s3.wasabisys.com"),
        (ours.GoogleStorageMultipartDriver, {}, "storage.googleapis.com"),
        (ours.OvhMultipartDriver, {"region": "us-east-va"}, "s3.us-east-va.io.cloud.ovh.us"),
        (ours.IBMCloudMultipartDriver, {"region": "eu-de"},
         "s3.eu-de.cloud-object-storage.appdomain.cloud"),
    ],
)  # fmt: skip
def test_hosts(cls: Any, kwargs: dict[str, Any], host: str) -> None:
    assert cls("key", "secret", **kwargs).connection.host == host


@pytest.mark.parametrize("name", sorted(n for n, c in USABLE.items() if c.ex_regions))
def test_an_unknown_region_is_refused_with_those_that_are_known(name: str) -> None:
    for error in (ValueError, LibcloudError):
        with pytest.raises(error, match=r"region: atlantis .*give host= or endpoint_url="):
            made(USABLE[name], region="atlantis")
    assert made(USABLE[name], region="atlantis", host="s3.example.com").region == "atlantis"


@pytest.mark.parametrize("name", sorted(n for n, c in USABLE.items() if not c.ex_regions))
def test_a_server_of_ones_own_needs_a_host(name: str) -> None:
    with pytest.raises(LibcloudError, match="host argument is required"):
        USABLE[name]("key", "secret")
    driver = USABLE[name]("key", "secret", endpoint_url="http://s3.example.com:9000/base")
    endpoint = driver.connection.endpoint
    assert (endpoint.host, endpoint.port, endpoint.base_path) == ("s3.example.com", 9000, "/base")


@pytest.mark.parametrize("cls", [ours.CloudflareR2MultipartDriver, ours.OracleMultipartDriver])
def test_a_host_that_begins_with_the_account_needs_it(cls: Any) -> None:
    with pytest.raises(InvalidRequestError, match="ex_account="):
        cls("key", "secret")


def test_alibaba_takes_virtual_host_style_only() -> None:
    driver = made(ours.AlibabaOSSMultipartDriver)
    endpoint = driver.connection.endpoint
    assert endpoint.host_for("bucket") == "bucket.s3.oss-cn-hangzhou.aliyuncs.com"
    assert made(ours.OracleMultipartDriver).connection.endpoint.host_for("bucket")[:8] == "account."


@pytest.mark.parametrize(
    ("host", "region", "service", "is_virtual"),
    [
        ("s3.dualstack.eu-west-3.amazonaws.com", "eu-west-3", "s3", False),
        ("s3-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1", "s3", False),
        ("s3.cn-north-1.amazonaws.com.cn", "cn-north-1", "s3", False),
        ("s3-accelerate.amazonaws.com", "us-east-1", "s3", True),
        ("s3-accesspoint.eu-west-1.amazonaws.com", "eu-west-1", "s3", True),
        ("s3express-use1-az4.us-east-1.amazonaws.com", "us-east-1", "s3express", True),
        ("bucket.vpce-1a.s3.us-west-2.vpce.amazonaws.com", "us-west-2", "s3", False),
        ("minio.example.com", "us-east-1", "s3", False),
    ],
)
def test_a_host_of_aws_says_region_service_and_style(
    host: str, region: str, service: str, is_virtual: bool
) -> None:
    for kwargs in ({"host": host}, {"ex_endpoint_url": f"https://{host}"}):
        driver = ours.AmazonS3MultipartDriver("key", "secret", **kwargs)
        signer = driver.connection.exact_signer()
        assert (driver.region, signer.region, signer.service) == (region, region, service)
        assert driver.connection.endpoint.is_virtual("bucket") is is_virtual
    other = ours.AmazonS3MultipartDriver("key", "secret", host=host, region="eu-north-1")
    assert other.region == "eu-north-1"


# -- signatures ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(USABLE))
def test_sigv2_is_refused_in_words(name: str) -> None:
    for version in ("2", 2):
        with pytest.raises(InvalidRequestError, match="SigV2"):
            made(USABLE[name], signature_version=version)
    with pytest.raises(ValueError, match="Invalid signature_version: 3"):
        made(USABLE[name], signature_version="3")
    assert made(USABLE[name], signature_version="4").signature_version == "4"


def test_a_service_of_sigv2_only_is_refused_in_words() -> None:
    with pytest.raises(InvalidRequestError, match=r"SigV2 only.*AURORAOBJECTS"):
        ours.AuroraObjectsMultipartDriver("key", "secret")
    ours.register(replace=True)
    assert get_driver("auroraobjects") is auroraobjects.AuroraObjectsStorageDriver


# -- limits ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(PROVIDERS))
def test_the_limits_of_every_provider_say_where_and_when_they_were_read(name: str) -> None:
    limits = PROVIDERS[name].ex_limits
    assert "read 2026" in limits.source or "seen 2026" in limits.source


def test_limits_may_be_given_and_go_with_a_pickle() -> None:
    limits = Limits(max_parts=77, source="measured")
    driver = made(ours.GarageMultipartDriver, ex_limits=limits)
    again = pickle.loads(pickle.dumps(driver))
    for each in (driver, again):
        assert each.ex_limits == limits
        assert each.name == "Garage (garage)"
    assert ours.GarageMultipartDriver.ex_limits is COMPATIBLE_LIMITS


def test_a_condition_that_a_service_may_ignore_is_refused_before_anything_is_sent() -> None:
    driver = made(ours.CephRGWMultipartDriver)
    options = ours.UploadOptions(if_none_match="*")
    container = Container("bucket", {}, driver)
    with pytest.raises(InvalidRequestError, match="if-none-match is not known to be honoured"):
        driver.upload_object_via_stream([b"x"], container, "key", ex_options=options)
    with pytest.raises(InvalidRequestError, match="if-match"):
        driver.upload_object_via_stream([b"x"], container, "key", headers={"If-Match": "etag"})


# -- uploads ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(USABLE))
def test_every_provider_uploads_in_parts(name: str) -> None:
    fake = FakeS3(buckets=("bucket",))
    data = b"x" * (17 * MIB)
    with FakeServer(fake) as server:
        driver = made(
            USABLE[name],
            endpoint_url=server.endpoint,
            host=None,
            region=REGION,
            ex_addressing="path",
            project="project",
        )
        driver.ex_set_credentials(ACCESS_KEY, SECRET_KEY)
        container = Container("bucket", {}, driver)
        stored = driver.upload_object_via_stream(iter([data]), container, "key")
        close_driver(driver)
    assert fake.objects["bucket"]["key"].body == data
    assert stored.hash.endswith(f"-{stored.extra['parts']}")
    (complete,) = fake.requests_of("CompleteMultipartUpload")
    assert "x-amz-mp-object-size" not in complete.headers
    assert complete.headers["x-amz-project-id"] == "project"


@pytest.mark.parametrize("limits", [ours.S3_LIMITS, ours.GCS_LIMITS])
def test_an_etag_is_compared_only_where_it_is_an_md5(limits: Limits) -> None:
    """GCS, R2 and Alibaba answer ETags of their own making, of the same shape as S3's."""
    fake = FakeS3(buckets=("bucket",))
    fake.script("CompleteMultipartUpload", wrong_etag())
    with FakeServer(fake) as server:
        driver = made(
            ours.WasabiMultipartDriver,
            endpoint_url=server.endpoint,
            host=None,
            region=REGION,
            ex_limits=limits,
        )
        driver.ex_set_credentials(ACCESS_KEY, SECRET_KEY)
        container = Container("bucket", {}, driver)
        source = iter([b"x" * (6 * MIB)])
        try:
            if limits.has_md5_etags:
                with pytest.raises(ours.ChecksumMismatchError):
                    driver.upload_object_via_stream(source, container, "key")
            else:
                stored = driver.upload_object_via_stream(source, container, "key")
                assert stored.hash != fake.objects["bucket"]["key"].etag
        finally:
            close_driver(driver)


def test_an_empty_host_is_none_and_never_amazons() -> None:
    """An unset setting is often an empty string; a MinIO's keys went to s3.amazonaws.com then."""
    with pytest.raises(InvalidRequestError, match="host argument is required"):
        get_driver("minio_multipart")("key", "secret", host="")
    driver = get_driver("scaleway_multipart")("key", "secret", host="", region="nl-ams")
    assert driver.connection.endpoint.host == "s3.nl-ams.scw.cloud"
    driver = get_driver("s3_multipart")("key", "secret", host="", region="eu-west-3")
    assert driver.connection.endpoint.host == "s3-eu-west-3.amazonaws.com"
