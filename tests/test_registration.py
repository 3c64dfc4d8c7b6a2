# SPDX-License-Identifier: Apache-2.0
"""How libcloud finds these drivers, and that nothing of libcloud's is written to on the way."""

from __future__ import annotations

import sys
import importlib
import subprocess
from typing import Any
from collections.abc import Iterator

import pytest
import libcloud.http
import libcloud.common.base
from libcloud.base import DriverType
from libcloud.base import get_driver as get_any_driver
from libcloud.storage.types import Provider
from libcloud.storage.drivers import s3 as upstream
from libcloud.storage.providers import DRIVERS, get_driver

import libcloud_s3mpu
from tests.unit.small import close_driver
from libcloud_s3mpu.providers import REPLACED, S3_MULTIPART, register, unregister
from libcloud_s3mpu.protocol.options import UploadOptions

FAMILY = {
    name: entry
    for name, entry in DRIVERS.items()
    if entry[0] == upstream.__name__
    and issubclass(getattr(upstream, entry[1]), upstream.S3StorageDriver)
}


OTHERS = {name: DRIVERS[name] for name in REPLACED}


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    yield
    unregister()
    assert {name: DRIVERS[name] for name in FAMILY} == FAMILY
    assert {name: DRIVERS[name] for name in OTHERS} == OTHERS


def made(cls: Any, *args: Any, **kwargs: Any) -> Any:
    """Make a driver that needs no closing: it has connected to nothing."""
    return cls("key", "secret", *args, **kwargs)


def test_importing_registers_the_driver() -> None:
    assert S3_MULTIPART == "s3_multipart"
    assert Provider.S3_MULTIPART == S3_MULTIPART
    assert get_driver("s3_multipart") is libcloud_s3mpu.AmazonS3MultipartDriver
    assert get_any_driver(DriverType.STORAGE, "s3_multipart").name == "Amazon S3"


def test_libclouds_own_names_are_left_alone_unless_asked() -> None:
    assert get_driver(Provider.S3) is upstream.S3StorageDriver
    before = dict(DRIVERS)
    register()
    register()
    assert before == DRIVERS


def test_the_family_is_there() -> None:
    assert Provider.S3 in FAMILY
    assert len(FAMILY) > 10


@pytest.mark.parametrize("name", sorted(FAMILY))
def test_replacing_gives_our_driver_under_every_name_of_the_family(name: str) -> None:
    theirs = get_driver(name)
    register(replace=True)
    register(replace=True)
    ours = get_driver(name)
    assert issubclass(ours, libcloud_s3mpu.AmazonS3MultipartDriver)
    assert issubclass(ours, upstream.S3StorageDriver)
    assert ours.name == theirs.name
    assert ours.region_name == theirs.region_name
    assert ours.ex_location_name == theirs.ex_location_name
    if name != Provider.S3:
        assert ours.__name__ == theirs.__name__
    driver, old = made(ours), made(theirs)
    assert (driver.region, driver.connection.host) == (old.region, old.connection.host)
    unregister()
    assert get_driver(name) is theirs


def test_the_same_class_comes_every_time() -> None:
    register(replace=True)
    assert get_driver("s3_eu_west") is get_driver("s3_eu_west")


def test_other_drivers_are_never_replaced() -> None:
    taken = {*FAMILY, *REPLACED}
    others = {name: entry for name, entry in DRIVERS.items() if name not in taken}
    assert {"google_storage", "backblaze_b2", "aliyun_oss", "auroraobjects"} <= others.keys()
    register(replace=True)
    assert {name: DRIVERS[name] for name in others} == others


def test_unregister_may_be_called_any_number_of_times() -> None:
    unregister()
    register(replace=True)
    unregister()
    unregister()
    assert get_driver(Provider.S3) is upstream.S3StorageDriver
    assert get_driver("s3_multipart") is libcloud_s3mpu.AmazonS3MultipartDriver


def test_a_reload_still_knows_how_to_undo() -> None:
    register(replace=True)
    kept = {n: m for n, m in sys.modules.items() if n.partition(".")[0] == "libcloud_s3mpu"}
    try:
        for name in kept:
            del sys.modules[name]
        again = importlib.import_module("libcloud_s3mpu")
        assert again is not libcloud_s3mpu
        again.register(replace=True)
        again.unregister()
        assert {name: DRIVERS[name] for name in FAMILY} == FAMILY
    finally:
        for name in [n for n in sys.modules if n.partition(".")[0] == "libcloud_s3mpu"]:
            del sys.modules[name]
        sys.modules.update(kept)
    importlib.reload(sys.modules["libcloud_s3mpu.providers"])
    sys.modules["libcloud_s3mpu.providers"].unregister()


def test_an_unknown_name_is_an_attribute_error() -> None:
    providers = importlib.import_module("libcloud_s3mpu.providers")
    for name in ("S3NoSuchDriver", "nothing"):
        with pytest.raises(AttributeError, match=name):
            getattr(providers, name)


# -- making one ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("region", "host"),
    [
        (None, "s3.amazonaws.com"),
        ("us-east-1", "s3.amazonaws.com"),
        ("mx-central-1", "s3.mx-central-1.amazonaws.com"),
        ("ap-southeast-7", "s3.ap-southeast-7.amazonaws.com"),
        ("us-isob-east-1", "s3.us-isob-east-1.sc2s.sgov.gov"),
    ],
)
def test_any_region_of_the_shape_of_aws_has_a_host(region: str | None, host: str) -> None:
    driver = made(libcloud_s3mpu.AmazonS3MultipartDriver, region=region)
    assert driver.connection.host == host
    assert driver.region == driver.region_name == (region or "us-east-1")
    assert driver.connection.exact_signer().region == (region or "us-east-1")


@pytest.mark.parametrize("region", ["mars", "us-east-1/", "evil.example", "a b", "us-east-1\n"])
def test_another_region_is_refused_as_upstream_refuses_it(region: str) -> None:
    with pytest.raises(ValueError, match="Invalid or unsupported region: "):
        made(libcloud_s3mpu.AmazonS3MultipartDriver, region=region)


@pytest.mark.parametrize("region", ["garage", "default", "eu1", "mars"])
def test_with_a_host_the_region_is_any_string(region: str) -> None:
    driver = made(libcloud_s3mpu.AmazonS3MultipartDriver, host="minio.local", region=region)
    assert (driver.connection.host, driver.region) == ("minio.local", region)
    assert driver.connection.exact_signer().region == region


@pytest.mark.parametrize(
    ("url", "scheme", "host", "port"),
    [
        ("https://s3.example.com", "https", "s3.example.com", 443),
        ("http://s3.example.com", "http", "s3.example.com", 80),
        ("http://127.0.0.1:9000/base", "http", "127.0.0.1", 9000),
        ("https://s3.example.com:8443", "https", "s3.example.com", 8443),
    ],
)
def test_an_endpoint_url_stands_for_secure_host_and_port(
    url: str, scheme: str, host: str, port: int
) -> None:
    driver = made(libcloud_s3mpu.AmazonS3MultipartDriver, ex_endpoint_url=url)
    endpoint = driver.connection.endpoint
    assert (endpoint.scheme, endpoint.host, endpoint.port) == (scheme, host, port)
    assert (driver.connection.host, int(driver.connection.port)) == (host, port)
    assert bool(driver.connection.secure) is (scheme == "https")
    assert endpoint.base_path == ("/base" if "base" in url else "")


@pytest.mark.parametrize("more", [{"host": "h"}, {"port": 1}, {"host": "h", "port": 1}])
def test_an_endpoint_url_and_a_host_contradict_each_other(more: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="not both"):
        made(libcloud_s3mpu.AmazonS3MultipartDriver, ex_endpoint_url="https://h", **more)


def test_a_driver_without_an_endpoint_url_has_the_endpoint_of_its_host() -> None:
    driver = made(
        libcloud_s3mpu.AmazonS3MultipartDriver, secure=False, host="h", port=9000, region="x"
    )
    endpoint = driver.connection.endpoint
    assert (endpoint.scheme, endpoint.host, endpoint.port) == ("http", "h", 9000)


@pytest.mark.parametrize(("style", "host"), [("auto", "h"), ("path", "h"), ("virtual", "bucket.h")])
def test_the_style_of_addressing_is_the_callers_choice(style: Any, host: str) -> None:
    driver = made(
        libcloud_s3mpu.AmazonS3MultipartDriver, ex_endpoint_url="https://h", ex_addressing=style
    )
    assert driver.connection.endpoint.host_for("bucket") == host
    with_host = made(
        libcloud_s3mpu.AmazonS3MultipartDriver, host="h", region="x", ex_addressing=style
    )
    assert with_host.connection.endpoint.host_for("bucket") == host


def test_another_style_is_refused() -> None:
    with pytest.raises(ValueError, match=r"ex_addressing must be .*, not 'dns'"):
        made(libcloud_s3mpu.AmazonS3MultipartDriver, ex_addressing="dns")


def test_options_of_a_driver_are_checked_when_it_is_made() -> None:
    options = UploadOptions(concurrency=3)
    driver = made(libcloud_s3mpu.AmazonS3MultipartDriver, ex_options=options)
    assert driver.ex_options is options
    with pytest.raises(TypeError, match="ex_options must be UploadOptions"):
        made(libcloud_s3mpu.AmazonS3MultipartDriver, ex_options={"concurrency": 3})


def test_libclouds_positional_arguments_keep_their_places() -> None:
    driver = libcloud_s3mpu.AmazonS3MultipartDriver(
        "key", "secret", False, "h", 9000, "region", "token"
    )
    assert (driver.key, driver.secret) == ("key", "secret")
    assert (driver.connection.host, driver.connection.token) == ("h", "token")


def test_a_subclass_may_name_its_own_region_and_limits() -> None:
    class Scaleway(libcloud_s3mpu.AmazonS3MultipartDriver):
        name = "Scaleway"
        region_name = "fr-par"
        ex_limits = libcloud_s3mpu.SCALEWAY_LIMITS

    driver = made(Scaleway, host="s3.fr-par.scw.cloud")
    assert (driver.region, driver.ex_limits.max_parts) == ("fr-par", 1000)


#: Every class that a driver could be tempted to write to.
WATCHED = [
    libcloud_s3mpu.AmazonS3MultipartDriver,
    *libcloud_s3mpu.AmazonS3MultipartDriver.__mro__[1:-1],
    *libcloud_s3mpu.AmazonS3MultipartDriver.connectionCls.__mro__[:-1],
    libcloud.http.LibcloudConnection,
    libcloud.http.LibcloudBaseConnection,
    upstream.S3Response,
    upstream.S3RawResponse,
]


def snapshot() -> dict[tuple[str, str], int]:
    return {(cls.__qualname__, name): id(value) for cls in WATCHED for name, value in
            vars(cls).items() if not name.startswith("__")}  # fmt: skip


def test_no_class_attribute_is_ever_written() -> None:
    from tests.unit.small import chunks, service

    before = snapshot()
    for region in (None, "mx-central-1"):
        made(libcloud_s3mpu.AmazonS3MultipartDriver, region=region)
    made(libcloud_s3mpu.AmazonS3MultipartDriver, host="h", port=1, secure=False, token="t")
    with service() as it:
        it.upload(chunks(8))
        it.container.list_objects()
        it.driver.get_object("bucket", "key")
    register(replace=True)
    close_driver(made(get_driver("s3_eu_west")))
    unregister()
    assert snapshot() == before


def in_a_fresh_process(code: str) -> list[str]:
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return run.stdout.split()


def test_a_driver_waits_for_no_room_that_it_does_not_enter() -> None:
    loaded = in_a_fresh_process(
        "import sys, libcloud_s3mpu\n"
        "libcloud_s3mpu.AmazonS3MultipartDriver('key', 'secret')\n"
        "print(*(name for name in sys.modules if name.startswith('libcloud_s3mpu.')))\n"
    )
    entered = {name.removeprefix("libcloud_s3mpu.") for name in loaded}
    assert {"driver", "transfer.upload"} <= entered and len(entered) < 64
    assert not entered & {"resumable", "web", "direct", "services", "transfer.download"}


def test_every_public_name_is_where_the_root_says() -> None:
    assert {name for name in libcloud_s3mpu.__all__ if not hasattr(libcloud_s3mpu, name)} == set()
    homes = [name for names in libcloud_s3mpu._HOMES.values() for name in names.split()]
    at_once = {"S3_MULTIPART", "__version__", "register", "unregister"}
    assert sorted(homes) == sorted(set(libcloud_s3mpu.__all__) - at_once)
    assert set(libcloud_s3mpu.__all__) <= set(dir(libcloud_s3mpu))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = libcloud_s3mpu.nothing


def test_providers_are_classes_when_they_are_looked_at() -> None:
    for name, cls in libcloud_s3mpu.PROVIDERS.items():
        assert get_driver(name) is cls
