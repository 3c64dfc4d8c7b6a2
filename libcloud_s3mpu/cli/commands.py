# SPDX-License-Identifier: Apache-2.0
"""The commands of ``s3mpu`` by name, each imported when it is used, and the group they stand in.

``s3mpu ls`` does not wait for the demo's server, nor ``--help`` for any of them. A command is a
module beside this one; errors leave it as they are and become words in :mod:`libcloud_s3mpu.cli`.
"""

from __future__ import annotations

from importlib import import_module

import click

from .service import version_option, service_options

#: Name -> the module that has it, and its line in the list, which is its own help's first sentence.
COMMANDS = {
    "cp": ("copy", "Copy objects: on the service, from a file, or to one."),
    "demo": ("demo", "Upload a generated stream to a server of its own."),
    "doctor": ("doctor", "Ask a service what it can do, and say what follows from it."),
    "get": ("get", "Download an object to a file, or to standard output."),
    "ls": ("names", "List the buckets, or the objects whose names begin with PREFIX."),
    "mb": ("names", "Make a bucket."),
    "put": ("put", "Upload a file, or standard input of any length."),
    "resume": ("resume", "Go on with an upload that put --keep or a crash left behind."),
    "rm": ("names", "Delete objects."),
    "serve": ("serve", "Take uploads into a bucket, from a page to drop files on, or by tus."),
    "uploads": ("uploads", "See and end multipart uploads that were begun and not completed."),
}

_EPILOG = """\b
Exit codes:
  0    done; for an upload: the service confirmed the whole object
  1    failed; one line on standard error says why and what is left behind
  2    wrong usage, or click or rich is not installed
  75   failed, but the upload was kept: the last line is the command that goes
       on with it
  129, 130, 143
       ended by SIGHUP, Ctrl-C, SIGTERM; an upload was aborted (kept, with
       --keep), a half-written file removed
  141  nobody reads standard output any more

\b
Keys, region and endpoint are found as the AWS CLI finds them: AWS_ACCESS_KEY_ID
(with AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN), AWS_PROFILE, AWS_REGION,
AWS_ENDPOINT_URL_S3, AWS_CA_BUNDLE, ~/.aws/credentials, ~/.aws/config.
There is no option for a secret: every user of a machine sees its command lines.
"""


class _Lazy(click.Group):
    """A group whose commands are imported one at a time, when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        found = getattr(import_module(f".{COMMANDS[cmd_name][0]}", __package__), cmd_name)
        assert isinstance(found, click.Command)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(
    cls=_Lazy,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=False,
)
@service_options
@version_option
def commands() -> None:
    """Stream anything into S3: parallel parts, bounded memory, nothing left behind.

    Object names are exactly what stands after the bucket: s3://bucket//a is the object "/a".
    Sizes are written 512MiB, 5GiB, or in bytes.
    """
