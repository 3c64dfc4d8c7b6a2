# SPDX-License-Identifier: Apache-2.0
"""libcloud's own tests of its S3 driver, run on ours: the drop-in contract as libcloud states it.

They are only in libcloud's source distribution, which pip brings once into the cache of the servers
(``S3MPU_SERVER_CACHE``, or the user's). Of it only ``libcloud/test`` is used: the libcloud that is
installed stays the one under test. No test is written here; what must hold beyond libcloud's own is
in ``tests/driver``.
"""

from __future__ import annotations

import os
import sys
import shutil
import tarfile
import tempfile
import importlib
import subprocess
from typing import Any
from pathlib import Path

import pytest
import libcloud
from libcloud.common.types import LibcloudError
from libcloud.storage.types import Provider
from libcloud.storage.drivers import s3 as upstream
from libcloud.storage.drivers import digitalocean_spaces
from libcloud.storage.providers import get_driver

import libcloud_s3mpu
from tests.servers.base import cache_folder
from libcloud_s3mpu.driver import AmazonS3MultipartDriver

_PIP_SECONDS = 90


def _test_folder() -> Path:
    """Give a folder that holds ``libcloud/test`` of the installed version, downloaded if need be.

    :raises RuntimeError: pip could not bring it; the text says why.
    """
    version = libcloud.__version__
    folder = cache_folder() / f"libcloud-tests-{version}"
    if (folder / "test" / "storage" / "test_s3.py").is_file():
        return folder
    cache_folder().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache_folder()) as scratch:
        pip = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check"]
        # fmt: off
        wanted = ["--no-deps", "--no-binary", ":all:", "--retries", "1",
                  "--dest", scratch, f"apache-libcloud=={version}"]
        # fmt: on
        try:
            done = subprocess.run(
                [*pip, *wanted], capture_output=True, text=True, timeout=_PIP_SECONDS
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise RuntimeError(f"pip could not run: {error}") from error
        if done.returncode:
            raise RuntimeError(f"pip download failed: {done.stderr.strip()[-300:]}")
        unpacked = Path(scratch, "unpacked")
        _unpack(next(Path(scratch).glob("*.tar.gz")), unpacked)
        # libcloud.test.secrets is made by hand from this, as libcloud's own instructions have it.
        shutil.copy(unpacked / "test" / "secrets.py-dist", unpacked / "test" / "secrets.py")
        try:
            os.replace(unpacked, folder)
        except OSError:
            if not folder.is_dir():  # else another run was faster
                raise
    return folder


def _unpack(archive: Path, folder: Path) -> None:
    """Take what storage tests need of ``libcloud/test``: plain files only, below ``folder``."""
    with tarfile.open(archive) as tar:
        for member in tar:
            _, _, name = member.name.partition("/libcloud/test/")
            path = Path(name)
            is_wanted = name.startswith("storage/") or (name and path.parent == Path("."))
            if not is_wanted or not member.isreg() or ".." in path.parts:
                continue
            target = folder / "test" / path
            target.parent.mkdir(parents=True, exist_ok=True)
            source = tar.extractfile(member)
            assert source is not None  # It is a regular file.
            target.write_bytes(source.read())


def _upstream_tests() -> Any:
    """Import ``libcloud.test.storage.test_s3`` from a folder that has nothing but ``test``.

    First on the path, since some wheels carry a ``libcloud.test`` without its ``secrets``.
    """
    folder = str(_test_folder())
    if folder not in libcloud.__path__:
        libcloud.__path__.insert(0, folder)
    return importlib.import_module("libcloud.test.storage.test_s3")


try:
    _test_s3 = _upstream_tests()
except (RuntimeError, OSError) as problem:
    pytest.skip(f"libcloud's own tests are not to be had: {problem}", allow_module_level=True)


class _Restoring(_test_s3.S3Tests):  # type: ignore[name-defined,misc]
    """Upstream's cases; what they write to classes is taken back after each of them."""

    __test__ = False
    driver_type: Any = AmazonS3MultipartDriver

    def setUp(self) -> None:
        connection_class = self.driver_type.connectionCls
        for owner, name in (
            (connection_class, "conn_class"),
            (self.driver_type, "_upload_object"),
            (upstream.S3StorageDriver, "RESPONSES_PER_REQUEST"),
            (self.mock_response_klass, "type"),
        ):
            self.addCleanup(_restorer(owner, name))
        super().setUp()


def _restorer(owner: Any, name: str) -> Any:
    """Give a function that puts the attribute back as it is now, its absence included."""
    is_own = name in vars(owner)
    value = vars(owner).get(name)

    def restore() -> None:
        if is_own:
            setattr(owner, name, value)
        elif name in vars(owner):
            delattr(owner, name)

    return restore


class TestMultipartDriver(_Restoring):
    """The class itself."""

    __test__ = True


class TestByName(_Restoring):
    """``get_driver("s3_multipart")``."""

    __test__ = True

    @classmethod
    def setUpClass(cls) -> None:
        cls.driver_type = get_driver(libcloud_s3mpu.S3_MULTIPART)


class _Replaced(_Restoring):
    """An app that changed nothing but one call: ``register(replace=True)``."""

    provider: str

    @classmethod
    def setUpClass(cls) -> None:
        libcloud_s3mpu.register(replace=True)
        cls.addClassCleanup(libcloud_s3mpu.unregister)
        cls.driver_type = get_driver(cls.provider)

    def test_the_driver_is_ours(self) -> None:
        self.assertTrue(issubclass(self.driver_type, AmazonS3MultipartDriver))


class TestReplaced(_Replaced):
    """``get_driver(Provider.S3)`` after the call."""

    __test__ = True
    provider = Provider.S3


class _Provider(_Replaced):
    """A service whose driver upstream tests by the same cases: connected as its own tests do it."""

    host: str

    @classmethod
    def create_driver(cls) -> Any:
        return cls.driver_type(*cls.driver_args, host=cls.host)

    def test_the_host_is_the_one_that_was_given(self) -> None:
        connection = self.create_driver().connection
        self.assertEqual((connection.host, connection.port), (self.host, 443))
        self.assertTrue(connection.secure)


class TestOvh(_Provider):
    """``test_ovh.py``."""

    __test__ = True
    provider = Provider.OVH
    host = "s3.sbg.perf.cloud.ovh.net"


class TestScaleway(_Provider):
    """``test_scaleway.py``."""

    __test__ = True
    provider = Provider.SCALEWAY
    host = "s3.fr-par.scw.cloud"


class TestMinIO(_Provider):
    """``test_minio.py`` has no case of transfers: it gets those of S3."""

    __test__ = True
    provider = Provider.MINIO
    host = "localhost"
    test_token = None  # It makes a driver without a host.

    def test_host_port_and_secure(self) -> None:
        for host, secure in (("127.0.0.3", False), ("127.0.0.4", True)):
            driver = self.driver_type(*self.driver_args, host=host, port=9000, secure=secure)
            self.assertEqual(driver.connection.host, host)
            self.assertEqual(driver.connection.port, 9000)
            self.assertEqual(bool(driver.connection.secure), secure)

    def test_empty_host_error(self) -> None:
        with self.assertRaisesRegex(LibcloudError, "host argument is required"):
            self.driver_type(*self.driver_args)


class TestSpaces(_Provider):
    """``test_digitalocean_spaces.py``, but for SigV2 and for hosts kept on a class."""

    __test__ = True
    provider = Provider.DIGITALOCEAN_SPACES
    host = "nyc3.digitaloceanspaces.com"

    def test_valid_regions(self) -> None:
        for region, host in digitalocean_spaces.DO_SPACES_HOSTS_BY_REGION.items():
            driver = self.driver_type(*self.driver_args, region=region, signature_version="4")
            self.assertEqual(driver.connection.host, host)

    def test_invalid_arguments(self) -> None:
        with self.assertRaises(ValueError):
            self.driver_type(*self.driver_args, signature_version="3", host=self.host)
        with self.assertRaises(LibcloudError):
            self.driver_type(*self.driver_args, region="atlantis")


class TestRGW(_Provider):
    """``test_rgw.py``, with SigV4; it gets the cases of S3 too."""

    __test__ = True
    provider = Provider.S3_RGW
    host = "localhost"
    test_token = None  # It makes a driver without a host.


class TestOutscale(_Provider):
    """``test_rgw.py``'s second half."""

    __test__ = True
    provider = Provider.S3_RGW_OUTSCALE
    host = "osu.eu-west-2.outscale.com"

    def test_the_default_host(self) -> None:
        driver = self.driver_type(*self.driver_args, signature_version="4")
        self.assertEqual(driver.connection.host, self.host)


class TestReplacedRegion(_Replaced):
    """A name for one region, which is a class of its own."""

    __test__ = True
    provider = Provider.S3_EU_WEST

    def test_the_region_is_the_one_of_the_name(self) -> None:
        self.assertEqual(self.create_driver().region, "eu-west-1")


def test_the_installed_libcloud_is_the_one_under_test() -> None:
    assert Path(upstream.__file__).is_relative_to(Path(libcloud.__file__).parent)
    assert Path(_test_s3.__file__).is_relative_to(_test_folder())


def test_upstreams_classes_are_left_as_they_were() -> None:
    assert "conn_class" not in vars(AmazonS3MultipartDriver.connectionCls)
    assert get_driver(Provider.S3) is upstream.S3StorageDriver
