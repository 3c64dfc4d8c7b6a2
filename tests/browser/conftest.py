# SPDX-License-Identifier: Apache-2.0
"""One Chromium for all, one real S3 server for a module, and an app with a bucket for each test."""

from __future__ import annotations

import uuid
from typing import Any
from dataclasses import dataclass
from collections.abc import Iterator

import pytest
from libcloud.storage.base import Container

from tests.unit.small import close_driver
from tests.browser.app import App
from tests.browser.tabs import Tab, Person, Browser
from tests.servers.base import Endpoint
from tests.servers.ceph import Ceph
from libcloud_s3mpu.driver import AmazonS3MultipartDriver
from tests.browser.packages import PACKAGES
from tests.servers.ministack import MiniStack
from libcloud_s3mpu.web.direct import DirectHandler

MIB = 1024 * 1024


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    missing = PACKAGES.missing()
    if missing:
        pytest.skip(missing)
    with Browser() as found:
        yield found


@pytest.fixture(scope="module", params=[MiniStack], ids=["ministack"])
def endpoint(request: pytest.FixtureRequest, browser: Browser) -> Iterator[Endpoint]:
    server = request.param()
    missing = server.available()
    if missing:
        pytest.skip(missing)
    with server as found:
        yield found


on_ceph_too = pytest.mark.parametrize(
    "endpoint", [MiniStack, Ceph], ids=["ministack", "ceph"], indirect=True
)


@dataclass(kw_only=True)
class Stage:
    """A bucket whose CORS rule lets the app's pages in, the app, and one person at the browser."""

    name: str
    driver: Any
    container: Container
    app: App
    person: Person
    browser: Browser

    def mount(self, name: str, **options: Any) -> str:
        """Put a handler into the app; give its path."""
        options.setdefault("authorize", lambda *_: True)
        self.app.handlers[name] = DirectHandler(
            self.driver, self.container, "in/", base_path=f"/{name}", **options
        )
        return f"/{name}"

    def tab(self) -> Tab:
        tab = self.person.tab(self.app.url + "/")
        tab.until("document.title === 'ready'")
        return tab

    def stored(self) -> dict[str, bytes]:
        """Give all objects of the bucket."""
        objects = self.driver.list_container_objects(self.container)
        return {found.name: b"".join(found.as_stream()) for found in objects}

    def keys(self) -> list[str]:
        return [found.name for found in self.driver.list_container_objects(self.container)]

    def unfinished(self) -> list[Any]:
        return list(self.driver.ex_iterate_multipart_uploads(self.container))


@pytest.fixture
def stage(browser: Browser, endpoint: Endpoint) -> Iterator[Stage]:
    driver = AmazonS3MultipartDriver(
        endpoint.access_key,
        endpoint.secret_key,
        region=endpoint.region,
        ex_endpoint_url=endpoint.url,
    )
    person = Person(browser)
    try:
        container = driver.create_container(f"browser-{uuid.uuid4().hex[:8]}")
        with App() as app:
            driver.ex_set_cors(container, [app.url])
            assert driver.ex_check_cors(container, [app.url]) == []
            yield Stage(
                name=endpoint.name,
                driver=driver,
                container=container,
                app=app,
                person=person,
                browser=browser,
            )
    finally:
        person.leave()
        close_driver(driver)
