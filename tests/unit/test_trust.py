# SPDX-License-Identifier: Apache-2.0
"""One TLS context for all connections that trust the same certificates."""

from __future__ import annotations

import os
import ssl
from typing import Any
from pathlib import Path

import pytest
from urllib3.connectionpool import HTTPSConnectionPool

from tests.fake_s3 import FakeS3, FakeServer
from tests.unit.small import service
from tests.fake_s3.tls import make_certificate
from libcloud_s3mpu.transfer.trust import Trust


@pytest.fixture
def ca_file(tmp_path: Path) -> Path:
    return make_certificate(tmp_path).ca_file


def connection(ca_file: Path | None, **more: Any) -> Any:
    given = {"ca_certs": str(ca_file) if ca_file else None, "cert_reqs": "CERT_REQUIRED", **more}
    return HTTPSConnectionPool("localhost", 1, **given)._new_conn()


def lent(trust: Trust, made: Any) -> Any:
    trust.lend(made)
    return made.ssl_context


def test_what_trusts_the_same_file_has_the_same_context(ca_file: Path) -> None:
    trust, first, second = Trust(), connection(ca_file), connection(ca_file)
    context = lent(trust, first)
    assert context is lent(trust, second)
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert [first.ca_certs, second.ca_certs] == [None, None]


def test_a_changed_file_is_read_again(ca_file: Path) -> None:
    trust = Trust()
    before = lent(trust, connection(ca_file))
    os.utime(ca_file, (1, 1))
    assert lent(trust, connection(ca_file)) is not before


@pytest.mark.parametrize(
    "more",
    [
        {"cert_reqs": "CERT_NONE"},
        {"cert_file": "client.pem"},
        {"assert_hostname": "other.example"},
        {"assert_fingerprint": "00" * 32},
        {"ssl_minimum_version": ssl.TLSVersion.TLSv1_3},
        {"ssl_context": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)},
    ],
    ids=lambda more: next(iter(more)),
)
def test_what_asks_for_more_is_left_to_urllib3(ca_file: Path, more: dict[str, Any]) -> None:
    made = connection(ca_file, **more)
    assert lent(Trust(), made) is more.get("ssl_context")
    assert made.ca_certs == str(ca_file)


@pytest.mark.parametrize("text", [None, "no certificate"])
def test_a_file_that_cannot_be_read_is_left_to_urllib3(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "ca.pem"
    if text is not None:
        file.write_text(text)
    made = connection(file)
    assert lent(Trust(), made) is None and made.ca_certs == str(file)


def test_connections_of_a_driver_share_it(monkeypatch: pytest.MonkeyPatch) -> None:
    contexts: list[Any] = []
    wrap = ssl.SSLContext.wrap_socket

    def noted(context: ssl.SSLContext, *given: Any, **more: Any) -> Any:
        if not more.get("server_side"):
            contexts.append(context)
        return wrap(context, *given, **more)

    monkeypatch.setattr(ssl.SSLContext, "wrap_socket", noted)
    with service(tls=True) as running:
        running.upload(b"abc")
        streams = [
            running.driver.download_object_as_stream(running.container.get_object("key"))
            for _ in range(3)
        ]
        assert [b"".join(stream) for stream in streams] == [b"abc"] * 3
    assert len(contexts) >= 3 and len({id(context) for context in contexts}) == 1


def test_an_issuer_that_is_not_in_the_file_is_refused(tmp_path: Path, ca_file: Path) -> None:
    (tmp_path / "other").mkdir()
    other = make_certificate(tmp_path / "other")
    with FakeServer(FakeS3(buckets=("bucket",)), certificate=other) as server:
        made = HTTPSConnectionPool(
            "localhost", server.port, ca_certs=str(ca_file), cert_reqs="CERT_REQUIRED"
        )._new_conn()
        Trust().lend(made)
        assert made.ssl_context is not None
        with pytest.raises(ssl.SSLCertVerificationError):
            try:
                made.connect()
            finally:
                made.close()
