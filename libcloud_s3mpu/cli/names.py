# SPDX-License-Identifier: Apache-2.0
"""``s3mpu ls``, ``rm`` and ``mb``: what is listed, deleted and made by its name.

Here live their arguments and what they print.
"""

from __future__ import annotations

import json
from typing import Any

import click
from libcloud.common.types import LibcloudError
from libcloud.storage.base import Container
from libcloud.storage.types import ObjectDoesNotExistError

from .words import S3Url, Failed, printable
from .errors import words_of
from .service import Session, s3_url, bucket_url, object_url, service_options


@click.command()
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
    for each in driver.iterate_container_objects(container, prefix=where.key or None):
        yield {
            "key": each.name,
            "size": each.size,
            "last_modified": each.extra.get("last_modified"),
            "etag": each.hash,
        }


def _line(row: dict[str, Any], *, is_long: bool, is_json: bool) -> str:
    if is_json:
        return json.dumps(row)
    name = printable(row.get("key") or row.get("bucket") or "")
    if not is_long:
        return name
    if "bucket" in row:
        return f"{row['created'] or '-':24}  {name}"
    return f"{row['size']:>15}  {row['last_modified'] or '-':24}  {row['etag'] or '-':40}  {name}"


@click.command()
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
        except ObjectDoesNotExistError:
            failures += 1
            session.note(f"s3mpu: {url} was not deleted: there is no such object")
        except (LibcloudError, OSError) as error:  # requests' errors are OSErrors
            failures += 1
            session.note(f"s3mpu: {url} was not deleted: {words_of(error)}")
    return 1 if failures else 0


@click.command()
@service_options
@click.argument("where", metavar="s3://BUCKET", type=bucket_url)
@click.pass_obj
def mb(session: Session, where: S3Url) -> int:
    """Make a bucket."""
    session.driver().create_container(where.bucket)
    return 0
