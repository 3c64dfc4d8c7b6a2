# SPDX-License-Identifier: Apache-2.0
"""Keys, region and endpoint, found where the AWS CLI finds them and in its order.

"Configuration settings and precedence" and "Service-specific endpoints", AWS SDKs and Tools
Reference Guide (read 2026-11). Keys that need a program or a second service (roles, SSO,
``credential_process``) are left to botocore's chain where it is installed, else named in the error,
never passed over. The environment is handed in; who
reads it is :mod:`libcloud_s3mpu.cli`. No text made here holds a value of a credentials file.
"""

from __future__ import annotations

import os
import ssl
import shlex
import configparser
from typing import Literal, cast
from dataclasses import field, dataclass
from collections.abc import Mapping

from .words import Failed

Section = Mapping[str, str]

_DEFAULT_REGION = "us-east-1"
#: What the AWS CLI prefers to keys that stand in the same profile.
_BEFORE_KEYS = ("role_arn", "web_identity_token_file", "sso_session", "sso_start_url")
#: What it prefers to keys in the config file only.
_BEFORE_CONFIG_KEYS = ("login_session", "credential_process")
_OTHER_SOURCES = (
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
)


class NeedsChainError(Failed):
    """The keys are where botocore's chain may find them; the text is for those without it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What the command line said; None where it said nothing."""

    endpoint_url: str | None = None
    region: str | None = None
    profile: str | None = None
    addressing: str | None = None
    ca_bundle: str | None = None
    verifies_ssl: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """``source`` says in words where they were found."""

    access_key: str
    secret_key: str = field(repr=False)
    token: str | None = field(repr=False)
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All that connecting takes; without ``keys`` botocore's chain is to find them."""

    keys: Keys | None
    region: str
    endpoint_url: str | None
    addressing: Literal["auto", "path", "virtual"]
    ca_bundle: str | None
    verifies_ssl: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One profile of both files; ``services`` is the section that its key ``services`` names."""

    name: str
    credentials: Section
    config: Section
    services: Section

    def get(self, key: str) -> str | None:
        """Look a key up; the credentials file goes first, as botocore merges them."""
        return self.credentials.get(key) or self.config.get(key) or None

    def nested(self, key: str, *, section: Section | None = None) -> Section:
        """Read ``s3 =`` with its indented lines."""
        text = (self.config if section is None else section).get(key, "")
        pairs = (line.partition("=")[::2] for line in text.splitlines() if "=" in line)
        return {name.strip().lower(): value.strip() for name, value in pairs}


def find_settings(given: Given, environ: Mapping[str, str], *, has_chain: bool = False) -> Settings:
    """Find everything.

    :param has_chain: what is not found here is not to be an error.
    :raises Failed: if there are no keys, half of them, a profile that is not there, or a file that
        cannot be read.
    """
    profile = _profile(given, environ)
    ca_bundle = given.ca_bundle or environ.get("AWS_CA_BUNDLE") or profile.get("ca_bundle")
    if ca_bundle:
        _check_bundle(_expanded(ca_bundle, environ))
    region = given.region or environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION")
    keys: Keys | None = None
    try:
        keys = _keys(given, environ, profile)
    except NeedsChainError:
        if not has_chain:
            raise
    return Settings(
        keys=keys,
        region=region or profile.get("region") or _DEFAULT_REGION,
        endpoint_url=_endpoint_url(given, environ, profile),
        addressing=_addressing(given, profile),
        ca_bundle=_expanded(ca_bundle, environ) if ca_bundle else None,
        verifies_ssl=given.verifies_ssl,
    )


def _check_bundle(path: str) -> None:
    """Refuse certificates that cannot be read; each request would, as if the network had failed."""
    if not os.path.exists(path):
        raise Failed(f"there is no CA bundle {path}")
    if os.path.isdir(path):
        return  # OpenSSL's folder of hashed names, read when it is needed.
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except ssl.SSLError:
        raise Failed(f"CA bundle {path} holds no certificate (PEM)") from None
    except OSError as error:
        raise Failed(f"CA bundle {path}: {error.strerror}") from None


def _addressing(given: Given, profile: Profile) -> Literal["auto", "path", "virtual"]:
    found = given.addressing or profile.nested("s3").get("addressing_style") or "auto"
    if found not in ("auto", "path", "virtual"):
        raise Failed(f"profile {profile.name!r}: addressing_style is auto, path or virtual")
    return cast('Literal["auto", "path", "virtual"]', found)


def _endpoint_url(given: Given, environ: Mapping[str, str], profile: Profile) -> str | None:
    if given.endpoint_url:
        return given.endpoint_url
    ignores = environ.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS") or profile.get(
        "ignore_configured_endpoint_urls"
    )
    if (ignores or "").lower() == "true":
        return None
    return (
        environ.get("AWS_ENDPOINT_URL_S3")
        or environ.get("AWS_ENDPOINT_URL")
        or profile.nested("s3", section=profile.services).get("endpoint_url")
        or profile.get("endpoint_url")
        or None
    )


# -- keys --------------------------------------------------------------------------------------


def _keys(given: Given, environ: Mapping[str, str], profile: Profile) -> Keys:
    # A profile named on the command line wins over keys in the environment; AWS_PROFILE does not.
    if given.profile is None and environ.get("AWS_ACCESS_KEY_ID"):
        lower = {name.lower(): value for name, value in environ.items() if name.startswith("AWS_")}
        return _pair(lower, "the environment", upper=True)
    _refuse(profile, _BEFORE_KEYS)
    if profile.credentials.get("aws_access_key_id"):
        return _pair(profile.credentials, f"profile {profile.name!r} of the credentials file")
    _refuse(profile, _BEFORE_CONFIG_KEYS)
    if profile.config.get("aws_access_key_id"):
        return _pair(profile.config, f"profile {profile.name!r} of the config file")
    found = [name for name in _OTHER_SOURCES if environ.get(name)]
    if found:
        raise NeedsChainError(f"{found[0]} is set, which takes botocore; {_export_hint(None)}")
    raise NeedsChainError(
        "no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or put them into "
        f"profile {profile.name!r} of the credentials file (aws configure)"
    )


def _pair(values: Section, source: str, *, upper: bool = False) -> Keys:
    secret = values.get("aws_secret_access_key")
    if not secret:
        name = "aws_secret_access_key"
        raise Failed(
            f"{source} has an access key but no {name.upper() if upper else name} beside it"
        )
    token = values.get("aws_session_token") or values.get("aws_security_token") or None
    return Keys(
        access_key=values["aws_access_key_id"], secret_key=secret, token=token, source=source
    )


def _refuse(profile: Profile, names: tuple[str, ...]) -> None:
    found = [name for name in names if profile.get(name)]
    if found:
        raise NeedsChainError(
            f"profile {profile.name!r} has {' and '.join(found)}, which takes botocore; "
            + _export_hint(profile.name)
        )


def _export_hint(profile: str | None) -> str:
    option = f" --profile {shlex.quote(profile)}" if profile else ""
    export = f"aws configure export-credentials{option} --format env"
    return f'pip install "libcloud_s3mpu[aws]", or run: eval "$({export})"'


# -- files -------------------------------------------------------------------------------------


def _profile(given: Given, environ: Mapping[str, str]) -> Profile:
    credentials = _read(environ.get("AWS_SHARED_CREDENTIALS_FILE"), "credentials", environ)
    config = _read(environ.get("AWS_CONFIG_FILE"), "config", environ)
    named = given.profile or environ.get("AWS_PROFILE") or environ.get("AWS_DEFAULT_PROFILE")
    name = named or "default"
    profiles = {_profile_name(section): values for section, values in config.items()}
    if named and name != "default" and name not in credentials and name not in profiles:
        raise Failed(f"there is no profile {name!r} in the config and credentials files")
    found = profiles.get(name, {})
    services = config.get(f"services {found['services']}", {}) if "services" in found else {}
    return Profile(
        name=name, credentials=credentials.get(name, {}), config=found, services=services
    )


def _profile_name(section: str) -> str | None:
    """Give the name in ``[profile name]``, ``[profile "a name"]`` and ``[default]``."""
    if section == "default":
        return section
    try:
        words = shlex.split(section)
    except ValueError:
        return None
    return words[1] if len(words) == 2 and words[0] == "profile" else None


def _read(path: str | None, name: str, environ: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Read one of the files; one that is not there is an empty one, as for the AWS CLI."""
    path = _expanded(path, environ) if path else _expanded(f"~/.aws/{name}", environ)
    parser = configparser.RawConfigParser(default_section="")
    problem = None
    try:
        with open(path, encoding="utf-8-sig") as file:
            parser.read_file(file)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        problem = error.strerror or "it cannot be read"
    except configparser.Error as error:
        # Its own text quotes the line, which may be a key.
        lines = getattr(error, "errors", None)
        number = lines[0][0] if lines else getattr(error, "lineno", None)
        problem = f"line {number} is not understood" if number else type(error).__name__
    except UnicodeDecodeError:
        problem = "it is not UTF-8"
    if problem:
        raise Failed(f"{path}: {problem}")
    return {section: dict(parser[section]) for section in parser.sections()}


def _expanded(path: str, environ: Mapping[str, str]) -> str:
    """Expand ``~`` by the environment that was handed in."""
    if (path == "~" or path.startswith("~/")) and environ.get("HOME"):
        return environ["HOME"] + path[1:]
    return os.path.expanduser(path)
