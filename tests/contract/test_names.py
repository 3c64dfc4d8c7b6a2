# SPDX-License-Identifier: Apache-2.0
"""Keys and metadata come back exactly as they were given; and both ways of addressing a bucket."""

from __future__ import annotations

import socket
import unicodedata
from typing import Any

import pytest

from tests.servers.base import Endpoint
from tests.contract.conftest import MIB, read, chunks, connect, pattern

pytestmark = pytest.mark.contract

PART = 5 * MIB
NFC = unicodedata.normalize("NFC", "café-Å-한")
NFD = unicodedata.normalize("NFD", NFC)
KEYS = [
    "plain",
    "/lead",
    "//lead",
    "a//b",
    "a///b",
    "a/../b",
    "a/./b",
    "../x",
    "./x",
    "x/..",
    "x/.",
    "...",
    "trailing/",
    "trailing//",
    " lead",
    "trail ",
    "a b  c",
    "a+b",
    "a%b",
    "a%20b",
    "a%2Fb",
    "a%zz",
    "a?b",
    "a?uploads",
    "a#b",
    "a&b=c",
    "a;b",
    "a:b@c,d!e$f'g\"h*i",
    "(a)[b]{c}|d\\e^f`g<h>",
    "~-._",
    "a\tb",
    NFC,
    NFD,
    "文件/🎉/\u00a0",
    "x" * 1024,
    "é" * 512,
    "d/" * 511 + "xy",
]
#: Where the whole key goes through initiate, parts, complete and the listings of both.
MULTIPART_KEYS = ["/lead", "a//b", "a/../b", "x/.", " a b+c%2F?d#e&f;g", NFD, "🎉", "trailing/"]
METADATA = {
    "plain": "value",
    "spaces": "a  b   c",
    "latin": "café.txt",
    "chinese": "文件.txt",
    "emoji": "🎉" * 30,
    "blanks": "  both ends ",
    "lookalike": "=?UTF-8?B?eA==?=",
    "number": "7",
    "with-dash": "x",
}


def ids(key: str) -> str:
    return ascii(key)[1:-1][:24]


def check(driver: Any, container: Any, key: str, data: bytes) -> None:
    assert [found.name for found in driver.iterate_container_objects(container)] == [key]
    found = driver.get_object(container.name, key)
    assert (found.name, found.size) == (key, len(data))
    assert b"".join(driver.download_object_as_stream(found)) == data
    assert driver.delete_object(found) is True
    assert list(driver.iterate_container_objects(container)) == []


@pytest.mark.parametrize("key", KEYS, ids=ids)
def test_a_key_is_stored_exactly(container: Any, driver: Any, key: str) -> None:
    driver.upload_object_via_stream(iter([b"data"]), container, key)
    check(driver, container, key, b"data")


@pytest.mark.on_real(road=["lean"])
@pytest.mark.parametrize("key", MULTIPART_KEYS, ids=ids)
@pytest.mark.parametrize("road", ["lean", "hooked"])
def test_a_key_is_stored_exactly_by_multipart(
    container: Any, driver: Any, key: str, road: str
) -> None:
    if road == "hooked":
        driver.connection.connection.session.hooks["response"].append(lambda r, **_: r)
        assert driver.ex_transport == "plain"
    data = pattern(PART + 1)
    driver.upload_object_via_stream(chunks(data), container, key)
    check(driver, container, key, data)


@pytest.mark.parametrize("key", MULTIPART_KEYS, ids=ids)
def test_an_upload_of_any_key_is_listed_and_aborted(container: Any, driver: Any, key: str) -> None:
    upload_id = driver._initiate_multipart(container, key)
    (found,) = driver.ex_iterate_multipart_uploads(container)
    assert (found.key, found.id) == (key, upload_id)
    driver.ex_cleanup_all_multipart_uploads(container)
    assert list(driver.ex_iterate_multipart_uploads(container)) == []


def test_the_two_normal_forms_are_two_keys(container: Any, driver: Any) -> None:
    assert NFC != NFD
    for key in (NFC, NFD):
        driver.upload_object_via_stream(iter([key.encode()]), container, key)
    found = {each.name for each in driver.iterate_container_objects(container)}
    assert found == {NFC, NFD}
    for key in (NFC, NFD):
        assert read(driver, container, key) == key.encode()


def test_a_key_that_climbs_does_not_reach_another_bucket(container: Any, driver: Any) -> None:
    key = f"../{container.name}-other/x"
    other = driver.create_container(f"{container.name}-other")
    try:
        driver.upload_object_via_stream(iter([b"x"]), container, key)
        assert list(driver.iterate_container_objects(other)) == []
        check(driver, container, key, b"x")
    finally:
        driver.delete_container(other)


@pytest.mark.on_real(road=["lean", "plain"])
@pytest.mark.parametrize("size", [10, PART + 1], ids=["put", "multipart"])
def test_metadata_comes_back_exactly(
    endpoint: Endpoint, container: Any, road: Any, size: int
) -> None:
    driver = road()
    lost = {"blanks", "lookalike"} if "decodes-metadata" in endpoint.quirks else set()
    wanted = {name: value for name, value in METADATA.items() if name not in lost}
    driver.upload_object_via_stream(
        chunks(pattern(size)), container, "object", extra={"meta_data": wanted}
    )
    assert driver.get_object(container.name, "object").meta_data == wanted


@pytest.mark.parametrize("size", [10, PART + 1], ids=["put", "multipart"])
def test_content_type_and_encoding(container: Any, driver: Any, size: int) -> None:
    driver.upload_object_via_stream(
        chunks(pattern(size)),
        container,
        "object",
        extra={"content_type": "text/x-own"},
        headers={"Content-Encoding": "x-own", "Cache-Control": "no-store"},
    )
    found = driver.get_object(container.name, "object")
    assert found.extra["content_type"] == "text/x-own"
    assert found.extra["content_encoding"] == "x-own"


@pytest.mark.parametrize("size", [10, PART + 1], ids=["put", "multipart"])
def test_the_content_type_is_guessed_from_the_name(container: Any, driver: Any, size: int) -> None:
    driver.upload_object_via_stream(chunks(pattern(size)), container, "a.json")
    assert driver.get_object(container.name, "a.json").extra["content_type"] == "application/json"


@pytest.mark.parametrize("size", [10, PART + 1], ids=["put", "multipart"])
def test_the_standard_storage_class(container: Any, driver: Any, size: int) -> None:
    uploaded = driver.upload_object_via_stream(
        chunks(pattern(size)), container, "object", ex_storage_class="standard"
    )
    assert uploaded.size == size


@pytest.mark.parametrize("size", [10, PART + 1], ids=["put", "multipart"])
@pytest.mark.parametrize("key", ["plain", "/lead", "a//b", "a/../b", "é+%?#"], ids=ids)
def test_virtual_host_addressing(
    endpoint: Endpoint, container: Any, monkeypatch: pytest.MonkeyPatch, size: int, key: str
) -> None:
    if key.startswith("/") and "cleans-virtual-paths" in endpoint.quirks:
        pytest.skip("this server loses the slash")
    resolve = socket.getaddrinfo

    def resolved(host: Any, *args: Any, **kwargs: Any) -> Any:
        """Not every system knows that all names below localhost are this machine (RFC 6761)."""
        is_here = isinstance(host, str) and host.endswith("localhost")
        return resolve(endpoint.host if is_here else host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    host = "s3.localhost" if "wants-s3-in-host-names" in endpoint.quirks else "localhost"
    driver = connect(endpoint, host=host, ex_addressing="virtual")
    data = pattern(size)
    driver.upload_object_via_stream(chunks(data), container, key)
    check(driver, container, key, data)
