# SPDX-License-Identifier: Apache-2.0
"""What all commands share: the options that say which service, and the session made of them.

A :class:`Session` is one run of ``s3mpu``: it finds the settings, makes the driver, keeps secrets
out of every text, and writes. Commands are in :mod:`.commands`, settings in
:mod:`.profile`.
"""

from __future__ import annotations

import os
import re
import sys
import time
import logging
import warnings
from typing import Any, TypeVar
from contextlib import ExitStack, suppress, contextmanager
from importlib.util import find_spec
from collections.abc import Mapping, Callable, Iterator

import click

from .. import __version__
from .words import S3Url, Failed, ReaderGoneError, one_line, parse_size, shell_word, is_terminal
from .profile import Given, Settings, find_settings
from ..transfer.chain import botocore_credentials
from ..transfer.journal import FileJournal
from ..transfer.credentials import ExpiringCredentials

_SECRETS = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN")
#: AWS's secrets have 40 characters; what is shorter is some server's default.
_SECRET_LENGTH = 16
_LOGGER = "libcloud_s3mpu"
_ATTEMPTS = f"{_LOGGER}.attempt"
#: How long a command may fail behind the scenes before a terminal is told; where a service refuses
#: at once, all six attempts are over before (2 s, measured).
_SILENT_SECONDS = 5.0

F = TypeVar("F", bound=Callable[..., Any])


class Session:
    """One run of the command line; click's ``obj``."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._stack = ExitStack()
        logger = logging.getLogger(_LOGGER)
        silent = logging.NullHandler()  # else Python prints warnings, which our last line repeats
        logger.addHandler(silent)
        self._stack.callback(logger.removeHandler, silent)
        if is_terminal(sys.stderr):
            self._tell_of_waits()
        self._secrets = {environ[name] for name in _SECRETS if environ.get(name)}
        self.given: dict[str, Any] = {}
        self.is_debug = False
        #: What a failed command left on the service; said after the error.
        self.outcome = ""
        #: The command that goes on with an upload that was kept; said on a line of its own.
        self.go_on = ""

    def close(self) -> None:
        self._stack.close()

    def debug(self) -> None:
        """Log to standard error from now on."""
        if self.is_debug:
            return
        self.is_debug = True
        handler = _RedactingHandler(self.redacted)
        logger = logging.getLogger(_LOGGER)
        before = logger.level
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)
        self._stack.callback(logger.removeHandler, handler)
        self._stack.callback(logger.setLevel, before)

    def _tell_of_waits(self) -> None:
        """Say what fails when it takes long: a person at a terminal waits for something else."""
        logger = logging.getLogger(_ATTEMPTS)
        handler, before = _WaitHandler(self._note_wait), logger.level
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        self._stack.callback(logger.removeHandler, handler)
        self._stack.callback(logger.setLevel, before)

    def _note_wait(self, text: str) -> None:
        if not self.is_debug:  # Else the log has it already.
            self.note(text)

    def redacted(self, text: str) -> str:
        """Take every secret out of a text: nothing puts one in, and nothing that does gets far.

        One that may be a word of its own ("test", "minioadmin") is taken out where it stands alone:
        the buckets of such services are named so too.
        """
        for secret in sorted(self._secrets, key=len, reverse=True):
            if len(secret) >= _SECRET_LENGTH:
                text = text.replace(secret, "[secret]")
            else:
                text = re.sub(rf"(?<![\w/+-]){re.escape(secret)}(?![\w/+-])", "[secret]", text)
        return text

    def driver(self) -> Any:
        """Find the settings and make the driver; nothing is sent.

        :raises Failed: if there are no usable keys, or an endpoint or region makes no sense.
        """
        from libcloud.storage.providers import get_driver

        given = Given(**self.given)
        # botocore looks into the process's own environment, and nowhere else.
        has_chain = self._environ is os.environ and find_spec("botocore") is not None
        settings = find_settings(given, self._environ, has_chain=has_chain)
        keys = settings.keys
        where = settings.endpoint_url or f"AWS, region {settings.region}"
        source = keys.source if keys is not None else "botocore's chain"
        logging.getLogger(f"{_LOGGER}.cli").debug("keys from %s, to %s", source, where)
        if keys is not None:
            self._hide(keys.secret_key, keys.token)
        self._stack.enter_context(_trusting(settings))
        try:
            driver = get_driver("s3_multipart")(
                keys.access_key if keys is not None else "",
                keys.secret_key if keys is not None else None,
                token=keys.token if keys is not None else None,
                ex_credentials=self._chain(given.profile) if keys is None else None,
                region=settings.region,
                ex_endpoint_url=settings.endpoint_url,
                ex_addressing=settings.addressing,
            )
        except ValueError as error:
            raise Failed(str(error)) from error
        if settings.endpoint_url is None and settings.region != "us-east-1":
            # Upstream's driver takes the constraint for new buckets from its class, which knows
            # one region; AWS refuses to make a bucket elsewhere without it.
            driver.ex_location_name = driver.ex_location_name or settings.region
        return driver

    def _hide(self, *secrets: str | None) -> None:
        self._secrets |= {secret for secret in secrets if secret}

    def _chain(self, profile: str | None) -> Callable[[], ExpiringCredentials]:
        """Give botocore's chain, whose secrets are kept out of every text like others."""
        chain = botocore_credentials(profile)

        def issue() -> ExpiringCredentials:
            found = chain()
            self._hide(found.credentials.secret_key, found.credentials.token)
            return found

        issue.forget = chain.forget  # type: ignore[attr-defined]
        return issue

    def password(self, name: str) -> str | None:
        """Give a password that the environment may hold; no text shows it from now on."""
        found = self._environ.get(name) or None
        self._hide(found)
        return found

    def journal(self) -> FileJournal:
        """Give the journal of uploads that are kept: S3MPU_JOURNAL, or the user's own folder.

        :raises Failed: without the packages that it needs.
        """
        try:
            return FileJournal(self._environ.get("S3MPU_JOURNAL") or None)
        except ImportError as error:
            raise Failed(str(error)) from error

    def command(self, *words: str) -> str:
        """Give a command line for a shell, with this one's options for the service."""
        given = dict(self.given)
        options = [] if given.pop("verifies_ssl", True) else ["--no-verify-ssl"]
        for name, value in given.items():
            options += [f"--{name.replace('_', '-')}", str(value)]
        return " ".join(shell_word(word) for word in ("s3mpu", *words, *options))

    def out(self, text: str) -> None:
        """Write a line to standard output: names and figures, exactly as they are.

        :raises ReaderGoneError: if nobody reads it.
        """
        if sys.stdout is None:
            raise Failed("standard output is closed")
        try:
            sys.stdout.write(text + "\n")
        except BrokenPipeError as error:
            raise ReaderGoneError from error

    def flush(self) -> None:
        """Hand on what was written to standard output.

        :raises ReaderGoneError: if nobody reads it.
        """
        try:
            sys.stdout.flush()
        except BrokenPipeError as error:
            raise ReaderGoneError from error

    def note(self, text: str) -> None:
        """Write a line to standard error; where nobody reads it, nothing is lost."""
        with suppress(OSError, ValueError):
            click.echo(self.redacted(one_line(text)), err=True)


class _RedactingHandler(logging.Handler):
    def __init__(self, redacted: Callable[[str], str]) -> None:
        super().__init__()
        self._redacted = redacted
        self.setFormatter(logging.Formatter("%(name)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stderr.write(self._redacted(one_line(self.format(record))) + "\n")
        except Exception:
            self.handleError(record)


class _WaitHandler(logging.Handler):
    """Shows a failed attempt if nothing was said for some seconds."""

    def __init__(self, note: Callable[[str], None]) -> None:
        super().__init__(logging.INFO)
        self._note = note
        self._said = time.monotonic()

    def emit(self, record: logging.LogRecord) -> None:
        now = time.monotonic()
        if now - self._said >= _SILENT_SECONDS:
            self._said = now
            self._note(f"s3mpu: {record.getMessage()}")


@contextmanager
def _trusting(settings: Settings) -> Iterator[None]:
    """Set whom to trust; libcloud has no argument for that, only a module of globals."""
    import libcloud.security as security

    before = security.VERIFY_SSL_CERT, security.CA_CERTS_PATH
    if settings.ca_bundle:
        security.CA_CERTS_PATH = settings.ca_bundle
    with warnings.catch_warnings():
        if not settings.verifies_ssl:
            security.VERIFY_SSL_CERT = False
            warnings.filterwarnings("ignore", message="(?s).*(SSL|HTTPS).*")  # it was asked for
        try:
            yield
        finally:
            security.VERIFY_SSL_CERT, security.CA_CERTS_PATH = before


# -- options -----------------------------------------------------------------------------------


def _keep(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    """Note an option that may stand before or after the command; the later place wins."""
    session = context.find_object(Session)
    if session is None or value in (None, False):
        return
    if parameter.name == "debug":
        session.debug()
    elif parameter.name == "no_verify_ssl":
        session.given["verifies_ssl"] = False
    else:
        session.given[str(parameter.name)] = value


def _kept(*names: str, **settings: Any) -> Callable[[F], F]:
    return click.option(*names, expose_value=False, callback=_keep, **settings)


def service_options(command: F) -> F:
    """Add the options that say which service, and as whom."""
    for option in reversed(
        (
            _kept("--endpoint-url", metavar="URL", help="An S3-compatible service's address."),
            _kept("--region", metavar="NAME", help="The region to sign for."),
            _kept("--profile", metavar="NAME", help="A profile of ~/.aws/config and credentials."),
            _kept(
                "--addressing",
                type=click.Choice(["auto", "path", "virtual"]),
                help="Where the bucket goes: into the path or the host name.",
            ),
            _kept("--ca-bundle", metavar="FILE", help="Certificates to trust."),
            _kept("--no-verify-ssl", is_flag=True, help="Trust any certificate."),
            _kept("--debug", is_flag=True, help="Log what is done; secrets are never shown."),
        )
    ):
        command = option(command)
    return command


version_option = click.version_option(__version__, prog_name="s3mpu")


def size(text: Any) -> int:
    """Click's type for sizes."""
    try:
        return text if isinstance(text, int) else parse_size(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def positive_size(text: Any) -> int:
    value = size(text)
    if value < 1:
        raise click.BadParameter("must be at least 1 byte")
    return value


def s3_url(text: Any) -> S3Url:
    """Click's type for ``s3://bucket[/key]``."""
    try:
        return text if isinstance(text, S3Url) else S3Url.parse(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def object_url(text: Any) -> S3Url:
    """Click's type for ``s3://bucket/key``."""
    url = s3_url(text)
    if not url.key:
        raise click.BadParameter(f"{text!r} names no object: it reads s3://bucket/key")
    return url


def bucket_url(text: Any) -> S3Url:
    """Click's type for ``s3://bucket``."""
    url = s3_url(text)
    if url.key:
        raise click.BadParameter(f"{text!r} names an object: it reads s3://bucket")
    return url
