# SPDX-License-Identifier: Apache-2.0
"""botocore's provider chain behind ``ex_credentials``, before services that stand on loopback."""

from __future__ import annotations

import sys
import json
import pickle
import threading
from typing import Any
from pathlib import Path
from datetime import datetime, timezone, timedelta
from http.server import ThreadingHTTPServer, BaseHTTPRequestHandler
from collections.abc import Callable, Iterator

import pytest

from tests.unit.small import Apart, whole, chunks, service
from libcloud_s3mpu.transfer import chain as subject
from libcloud_s3mpu.transfer.chain import botocore_credentials
from libcloud_s3mpu.protocol.errors import ExpiredCredentialsError
from libcloud_s3mpu.protocol.signing import Credentials
from libcloud_s3mpu.transfer.credentials import (
    CredentialsError,
    CredentialsSource,
    as_credentials,
)

FIRST = Credentials("AKID1", "secret-1", "token-1")
SECOND = Credentials("AKID2", "secret-2", "token-2")
ROLE = "/latest/meta-data/iam/security-credentials/"
STS = """<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
<AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>AKID1</AccessKeyId>
<SecretAccessKey>secret-1</SecretAccessKey><SessionToken>token-1</SessionToken>
<Expiration>{until}</Expiration></Credentials></AssumeRoleWithWebIdentityResult>
<ResponseMetadata><RequestId>r</RequestId></ResponseMetadata>
</AssumeRoleWithWebIdentityResponse>"""


def until(hours: float = 1.0) -> str:
    return (datetime.now(timezone.utc) + timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ")


def keys_json(keys: Credentials, **more: str) -> str:
    return json.dumps(
        {
            "Code": "Success",
            "AccessKeyId": keys.access_key,
            "SecretAccessKey": keys.secret_key,
            "Token": keys.token,
            "Expiration": until(),
            **more,
        }
    )


class Issuer:
    """Whoever gives keys by HTTP: the instance's metadata, a container's agent, STS."""

    def __init__(self) -> None:
        self.answer: Callable[[str, str, Any], str] = lambda method, path, headers: ""
        self.asked: list[str] = []

        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def _any(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                issuer.asked.append(f"{self.command} {self.path}")
                data = issuer.answer(self.command, self.path, self.headers).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(data)))
                # botocore takes a token for one of IMDSv2 by its time to live.
                self.send_header("x-aws-ec2-metadata-token-ttl-seconds", "21600")
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_PUT = do_POST = _any

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    made = Issuer()
    thread = threading.Thread(target=made.server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield made
    made.server.shutdown()
    thread.join(10)
    made.server.server_close()


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, request: Any) -> None:
    """An environment that knows of no key at all."""
    import os

    for name in list(os.environ):
        if name.startswith("AWS_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    if "without" not in request.node.name:
        pytest.importorskip("botocore.session", reason="needs botocore (the extra aws)")


def found(profile: str | None = None) -> Credentials:
    return CredentialsSource(botocore_credentials(profile)).current()


# -- where keys are found ----------------------------------------------------------------------


def test_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKID1")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret-1")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token-1")
    assert found() == FIRST


def test_a_profile_of_the_credentials_file(tmp_path: Path) -> None:
    text = "[other]\naws_access_key_id = AKID2\naws_secret_access_key = secret-2\n"
    (tmp_path / "credentials").write_text(text)
    assert found("other") == Credentials("AKID2", "secret-2", None)
    with pytest.raises(CredentialsError, match="botocore found no keys anywhere"):
        found()
    with pytest.raises(CredentialsError, match="nobody"):
        found("nobody")


def test_a_process_that_a_profile_names(tmp_path: Path) -> None:
    said = {"Version": 1, "SessionToken": "token-1"}
    (tmp_path / "said").write_text(keys_json(FIRST).replace('"Code"', '"x"'))
    keys = json.loads((tmp_path / "said").read_text())
    (tmp_path / "said").write_text(json.dumps({**keys, **said}))
    code = f"import sys; sys.stdout.write(open(r'{tmp_path / 'said'}').read())"
    (tmp_path / "tell.py").write_text(code)
    (tmp_path / "config").write_text(
        f"[profile told]\ncredential_process = {sys.executable} {tmp_path / 'tell.py'}\n"
    )
    assert found("told") == FIRST


def test_the_metadata_of_an_instance(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(method: str, path: str, headers: Any) -> str:
        if method == "PUT":
            return "a-token-of-imds"
        assert headers["x-aws-ec2-metadata-token"] == "a-token-of-imds"
        return "backup-role" if path == ROLE else keys_json(FIRST)

    issuer.answer = answer
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "false")
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", issuer.url)
    assert found() == FIRST
    assert issuer.asked == ["PUT /latest/api/token", f"GET {ROLE}", f"GET {ROLE}backup-role"]


def test_the_agent_of_a_container(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    ecs(issuer, monkeypatch, FIRST)
    assert found() == FIRST
    assert issuer.asked == ["GET /keys"]


def ecs(issuer: Issuer, monkeypatch: pytest.MonkeyPatch, *given: Credentials) -> None:
    """Give keys in turn, the last for ever."""
    left = list(given)

    def answer(method: str, path: str, headers: Any) -> str:
        assert headers["Authorization"] == "a-token-of-the-agent"
        return keys_json(left.pop(0) if len(left) > 1 else left[0])

    issuer.answer = answer
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{issuer.url}/keys")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "a-token-of-the-agent")


def test_a_web_identity(issuer: Issuer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    issuer.answer = lambda method, path, headers: STS.format(until=until())
    (tmp_path / "token").write_text("a.web.token")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/backup")
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", issuer.url)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    assert found() == FIRST
    assert issuer.asked == ["POST /"]


def test_their_moment_of_expiry_is_known(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    ecs(issuer, monkeypatch, FIRST)
    given = botocore_credentials()()
    left = given.expires_epoch - datetime.now(timezone.utc).timestamp()  # type: ignore[operator]
    assert 3500 < left < 3601


def test_the_default_of_botocore_refreshable_credentials_is_understood() -> None:
    from botocore.credentials import RefreshableCredentials

    expires = datetime.now(timezone.utc) + timedelta(hours=1)
    made = RefreshableCredentials("AKID1", "secret-1", "token-1", expires, lambda: None, "test")
    given = as_credentials(made)
    assert given.credentials == FIRST
    assert given.expires_epoch == pytest.approx(expires.timestamp())


# -- how often it is asked ---------------------------------------------------------------------


def test_sixteen_threads_are_one_question(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    ecs(issuer, monkeypatch, FIRST)
    source = CredentialsSource(botocore_credentials())
    calls = [Apart(source.current) for _ in range(16)]
    assert [call.result() for call in calls] == [FIRST] * 16
    assert len(issuer.asked) == 1


def test_keys_that_are_refused_in_mid_upload_are_asked_for_anew_once_for_all_workers(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """botocore thinks them good for an hour still; the service has the last word."""
    ecs(issuer, monkeypatch, FIRST, SECOND)
    keys = {"key": "", "secret": None, "ex_credentials": botocore_credentials()}
    known = {k.access_key: (k.secret_key, k.token or "") for k in (FIRST, SECOND)}
    with service(driver=keys, credentials=known) as made:

        def source() -> Iterator[bytes]:
            for number, chunk in enumerate(chunks(12)):
                if number == 6:
                    made.fake.keyring.expired_tokens.add("token-1")
                yield chunk

        made.upload(source(), concurrency=4)
        assert made.stored() == whole(12)
    assert issuer.asked == ["GET /keys"] * 2


def test_keys_that_stay_refused_end_the_upload(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ecs(issuer, monkeypatch, FIRST)
    keys = {"key": "", "secret": None, "ex_credentials": botocore_credentials()}
    with service(driver=keys, credentials={"AKID1": ("secret-1", "token-1")}) as made:
        made.fake.keyring.expired_tokens.add("token-1")
        with pytest.raises(ExpiredCredentialsError, match="ExpiredToken"):
            made.upload(chunks(4))
    assert len(issuer.asked) == 2


def test_a_file_that_was_rotated_is_read_again_when_its_keys_are_refused(tmp_path: Path) -> None:
    text = "[default]\naws_access_key_id = AKID{n}\naws_secret_access_key = secret-{n}\n"
    (tmp_path / "credentials").write_text(text.format(n=1))
    source = CredentialsSource(botocore_credentials())
    old = source.current()
    (tmp_path / "credentials").write_text(text.format(n=2))
    assert source.current() == old
    assert source.refresh(old)
    assert source.current() == Credentials("AKID2", "secret-2", None)


# -- without it --------------------------------------------------------------------------------


def test_without_botocore_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(subject, "import_module", missing)
    with pytest.raises(CredentialsError, match=r"pip install \"libcloud_s3mpu\[aws\]\""):
        found()


def test_without_asking_nothing_is_imported_and_its_pickle_holds_no_key() -> None:
    call = botocore_credentials("a profile")
    again = pickle.loads(pickle.dumps(call))
    assert repr(again) == repr(call) == "<botocore_credentials a profile>"
    assert b"secret" not in pickle.dumps(call)
