# SPDX-License-Identifier: Apache-2.0
"""The commands of ``s3mpu`` that talk to a service: ls, rm, mb, and the group they stand in.

Here live their arguments and what they print. Transfers are in :mod:`.cli_transfer`, the demo in
:mod:`.cli_demo`; errors leave these functions as they are and become words in :mod:`.cli`.
"""

from __future__ import annotations

import json
from typing import Any

import click
from libcloud.common.types import LibcloudError
from libcloud.storage.base import Container

from .cli_copy import cp
from .cli_demo import demo
from .cli_serve import serve
from .cli_words import S3Url, Failed, printable
from .cli_doctor import doctor
from .cli_errors import words
from .cli_resume import resume
from .cli_service import (
    Session,
    s3_url,
    bucket_url,
    object_url,
    version_option,
    service_options,
)
from .cli_uploads import uploads
from .cli_transfer import get, put

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


@click.group(
    epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]}, no_args_is_help=False
)
@service_options
@version_option
def commands() -> None:
    """Stream anything into S3: parallel parts, bounded memory, nothing left behind.

    Object names are exactly what stands after the bucket: s3://bucket//a is the object "/a".
    Sizes are written 512MiB, 5GiB, or in bytes.
    """


@commands.command()
@service_options
@click.argument("where", metavar="[s3://BUCKET[/PREFIX]]", type=s3_url, required=False)
@click.option("--long", "is_long", is_flag=True, help="Size, time and ETag too.")
@click.option("--json", "is_json", is_flag=True, help="One JSON object per line.")
@click.pass_obj
def ls(session: Session, where: S3Url | None, is_long: bool, is_json: bool) -> int:
    """List the buckets, or the objects whose names begin with PREFIX.

    Characters that are not printable are escaped; --json gives names exactly. A PREFIX that no
    object has is an error.
    """
    driver = session.driver()
    rows = _containers(driver) if where is None else _objects(driver, where)
    is_empty = True
    for row in rows:
        is_empty = False
        session.out(_line(row, is_long=is_long, is_json=is_json))
    if where is not None and where.key and is_empty:
        raise Failed(f"no object's name begins with {where}")
    return 0


def _containers(driver: Any) -> Any:
    for container in driver.iterate_containers():
        yield {"bucket": container.name, "created": container.extra.get("creation_date")}


def _objects(driver: Any, where: S3Url) -> Any:
    container = Container(where.bucket, {}, driver)
    try:
        for each in driver.iterate_container_objects(container, prefix=where.key or None):
            yield {
                "key": each.name,
                "size": each.size,
                "last_modified": each.extra.get("last_modified"),
                "etag": each.hash,
            }
    except LibcloudError as error:
        # libcloud 3.9.1 asks whether a listing's status is 200, and says no more than that.
        if str(error.value).endswith("status code: 404"):
            raise Failed(f"no such container: {where.bucket}") from error
        raise


def _line(row: dict[str, Any], *, is_long: bool, is_json: bool) -> str:
    if is_json:
        return json.dumps(row)
    name = printable(row.get("key") or row.get("bucket") or "")
    if not is_long:
        return name
    if "bucket" in row:
        return f"{row['created'] or '-':24}  {name}"
    return f"{row['size']:>15}  {row['last_modified'] or '-':24}  {row['etag'] or '-':40}  {name}"


@commands.command()
@service_options
@click.argument("urls", metavar="s3://BUCKET/KEY...", type=object_url, nargs=-1, required=True)
@click.pass_obj
def rm(session: Session, urls: tuple[S3Url, ...]) -> int:
    """Delete objects.

    One that is not there is an error; the others are deleted still.
    """
    driver = session.driver()
    failures = 0
    for url in urls:
        try:
            driver.delete_object(driver.get_object(url.bucket, url.key))
        except (LibcloudError, OSError) as error:  # requests' errors are OSErrors
            failures += 1
            session.note(f"s3mpu: {url} was not deleted: {words(error)}")
    return 1 if failures else 0


@commands.command()
@service_options
@click.argument("where", metavar="s3://BUCKET", type=bucket_url)
@click.pass_obj
def mb(session: Session, where: S3Url) -> int:
    """Make a bucket."""
    session.driver().create_container(where.bucket)
    return 0


for command in (put, resume, get, cp, demo, uploads, doctor, serve):
    commands.add_command(command)
