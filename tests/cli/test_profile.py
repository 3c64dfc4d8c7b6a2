# SPDX-License-Identifier: Apache-2.0
"""Where keys, region and endpoint come from: the AWS CLI's order."""

from __future__ import annotations

from typing import Any
from pathlib import Path

import pytest

from libcloud_s3mpu.cli.words import Failed
from libcloud_s3mpu.cli.profile import Given, Settings, find_settings

CREDENTIALS = """
[default]
aws_access_key_id = CRED_DEFAULT
aws_secret_access_key = s%cret=with:odd#signs
[work]
aws_access_key_id = CRED_WORK
aws_secret_access_key = work-secret
aws_session_token = work-token
"""
CONFIG = """
[default]
region = eu-west-1
[profile work]
region = eu-west-2
endpoint_url = http://profile.example
services = mine
s3 =
  addressing_style = virtual
[profile "two words"]
aws_access_key_id = CONF_TWO
aws_secret_access_key = two-secret
endpoint_url = http://two.example
[services mine]
s3 =
  endpoint_url = http://services.example
"""
ENV_KEYS = {"AWS_ACCESS_KEY_ID": "ENV", "AWS_SECRET_ACCESS_KEY": "env-secret"}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "credentials").write_text(CREDENTIALS)
    (tmp_path / ".aws" / "config").write_text(CONFIG)
    return tmp_path


def found(home: Path, environ: dict[str, str] | None = None, **given: Any) -> Settings:
    return find_settings(Given(**given), {"HOME": str(home), **(environ or {})})


def test_the_default_profile_is_used_when_nothing_is_said(home: Path) -> None:
    settings = found(home)
    assert settings.keys.access_key == "CRED_DEFAULT"
    assert settings.keys.secret_key == "s%cret=with:odd#signs"
    assert settings.keys.token is None
    assert (settings.region, settings.endpoint_url) == ("eu-west-1", None)
    assert settings.addressing == "auto"


def test_keys_of_the_environment_win_over_files_and_aws_profile(home: Path) -> None:
    assert found(home, ENV_KEYS).keys.access_key == "ENV"
    settings = found(home, {**ENV_KEYS, "AWS_PROFILE": "work"})
    assert (settings.keys.access_key, settings.region) == ("ENV", "eu-west-2")


def test_a_profile_on_the_command_line_wins_over_keys_of_the_environment(home: Path) -> None:
    settings = found(home, ENV_KEYS, profile="work")
    assert settings.keys.access_key == "CRED_WORK"
    assert settings.keys.token == "work-token"


def test_a_session_token_of_the_environment_belongs_to_its_keys_only(home: Path) -> None:
    token = {"AWS_SESSION_TOKEN": "env-token"}
    assert found(home, {**ENV_KEYS, **token}).keys.token == "env-token"
    assert found(home, token).keys.token is None


def test_a_profile_on_the_command_line_wins_over_aws_profile(home: Path) -> None:
    assert found(home, {"AWS_PROFILE": "two words"}).keys.access_key == "CONF_TWO"
    assert found(home, {"AWS_DEFAULT_PROFILE": "two words"}).keys.access_key == "CONF_TWO"
    settings = found(home, {"AWS_PROFILE": "two words"}, profile="work")
    assert settings.keys.access_key == "CRED_WORK"


def test_the_region_goes_option_then_environment_then_profile(home: Path) -> None:
    environ = {"AWS_DEFAULT_REGION": "eu-north-1"}
    assert found(home, environ).region == "eu-north-1"
    environ["AWS_REGION"] = "eu-south-1"
    assert found(home, environ).region == "eu-south-1"
    assert found(home, environ, region="eu-central-1").region == "eu-central-1"
    (home / ".aws" / "config").unlink()
    assert found(home).region == "us-east-1"


def test_the_endpoint_goes_option_then_environment_then_services_then_profile(home: Path) -> None:
    environ = {"AWS_ENDPOINT_URL": "http://env", "AWS_ENDPOINT_URL_S3": "http://env-s3"}
    given = {"profile": "work"}
    assert found(home, environ, **given, endpoint_url="http://opt").endpoint_url == "http://opt"
    assert found(home, environ, **given).endpoint_url == "http://env-s3"
    del environ["AWS_ENDPOINT_URL_S3"]
    assert found(home, environ, **given).endpoint_url == "http://env"
    assert found(home, **given).endpoint_url == "http://services.example"
    assert found(home, profile="two words").endpoint_url == "http://two.example"


def test_configured_endpoints_can_be_ignored(home: Path) -> None:
    environ = {"AWS_ENDPOINT_URL": "http://env", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"}
    assert found(home, environ, profile="work").endpoint_url is None
    assert found(home, environ, endpoint_url="http://opt").endpoint_url == "http://opt"


def test_addressing_goes_option_then_profile(home: Path) -> None:
    assert found(home, profile="work").addressing == "virtual"
    assert found(home, profile="work", addressing="path").addressing == "path"


def test_the_files_can_be_elsewhere(home: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("[default]\naws_access_key_id=OTHER\naws_secret_access_key=x\n")
    environ = {"AWS_SHARED_CREDENTIALS_FILE": "~/other", "AWS_CONFIG_FILE": str(other)}
    assert found(home, environ).keys.access_key == "OTHER"


def test_an_empty_variable_is_one_that_is_not_set(home: Path) -> None:
    empty = {"AWS_ACCESS_KEY_ID": "", "AWS_PROFILE": "", "AWS_REGION": "", "AWS_ENDPOINT_URL": ""}
    settings = found(home, empty)
    assert (settings.keys.access_key, settings.region) == ("CRED_DEFAULT", "eu-west-1")
    assert settings.endpoint_url is None


@pytest.mark.parametrize("where", [{"AWS_PROFILE": "nope"}, {}])
def test_a_profile_that_is_not_there_is_an_error(home: Path, where: dict[str, str]) -> None:
    given = {} if where else {"profile": "nope"}
    with pytest.raises(Failed, match="there is no profile 'nope'"):
        found(home, {**ENV_KEYS, **where}, **given)


def test_half_a_pair_of_keys_is_an_error_not_the_next_place(home: Path) -> None:
    with pytest.raises(Failed, match="no AWS_SECRET_ACCESS_KEY beside it"):
        found(home, {"AWS_ACCESS_KEY_ID": "ENV"})


def test_no_keys_at_all_says_where_they_may_be_put(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="set AWS_ACCESS_KEY_ID"):
        found(tmp_path)


@pytest.mark.parametrize(
    "key", ["role_arn", "web_identity_token_file", "sso_session", "credential_process"]
)
def test_keys_that_cannot_be_used_are_named_never_passed_over(home: Path, key: str) -> None:
    (home / ".aws" / "config").write_text(
        f"[profile x]\n{key} = y\naws_access_key_id = A\naws_secret_access_key = B\n"
    )
    with pytest.raises(Failed, match=f"{key}.*export-credentials --profile x"):
        found(home, profile="x")


def test_a_role_for_a_container_is_named(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="AWS_CONTAINER_CREDENTIALS_FULL_URI is set"):
        found(tmp_path, {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://x"})


def test_a_broken_file_is_named_by_its_line_without_what_it_says(home: Path) -> None:
    path = home / ".aws" / "credentials"
    path.write_text("[default]\naws_access_key_id = A\ntop-secret-on-a-line-of-its-own\n")
    with pytest.raises(Failed, match="credentials: line 3 is not understood") as caught:
        found(home)
    assert "top-secret" not in str(caught.value)
    assert caught.value.__cause__ is None and caught.value.__context__ is None


def test_secrets_are_in_no_repr(home: Path) -> None:
    text = repr(found(home, profile="work"))
    assert "work-secret" not in text and "work-token" not in text


def test_a_ca_bundle_that_is_not_there_is_an_error(home: Path) -> None:
    with pytest.raises(Failed, match="no CA bundle"):
        found(home, {"AWS_CA_BUNDLE": "~/none.pem"})
