# SPDX-License-Identifier: Apache-2.0
"""``s3mpu cp``: objects into an object, on the service; a file up, or an object down.

Arguments, what is shown meanwhile, and the last line. How a copy runs is told by
:mod:`libcloud_s3mpu.transfer.assembly`; files are left to :mod:`.put` and :mod:`.get`.
"""

from __future__ import annotations

import os
import sys
import json
from typing import Any

import click
from libcloud.storage.base import Object, Container

from .get import download
from .put import (
    UNSAID,
    upload,
    pairs_of,
    summary_of,
    told_apart,
    check_absent,
    described_result,
)
from .words import S3Url, Failed, is_remote
from .service import Session, object_url, positive_size, service_options
from .progress import Watch, Display
from ..protocol.options import UploadOptions

_REMOTE = "an object is written s3://bucket/key"


@click.command()
@service_options
@click.argument("sources", metavar="SOURCE...", nargs=-1, required=True)
@click.argument("dest", metavar="DEST")
@click.option("--join", is_flag=True, help="Several sources become one object, in this order.")
@click.option("--metadata", metavar="K=V", multiple=True, help="x-amz-meta-K: V; repeatable.")
@click.option("--header", metavar="'NAME: VALUE'", multiple=True, help="Repeatable.")
@click.option("--storage-class", metavar="NAME", help="As in STANDARD_IA.")
@click.option("--part-size", metavar="SIZE", type=positive_size, help="Of the (first) parts.")
@click.option("--concurrency", metavar="N", type=click.IntRange(1), help="Parts in flight, most.")
@click.option("--if-none-match", is_flag=True, help="Fail where the object exists already.")
@click.option("--quiet", is_flag=True, help="Show nothing but errors.")
@click.option("--json", "is_json", is_flag=True, help="The result as JSON on standard output.")
@click.pass_obj
def cp(session: Session, /, sources: tuple[str, ...], dest: str, **given: Any) -> int:
    """Copy objects: on the service, from a file, or to one.

    \b
      s3mpu cp s3://bucket/a s3://other/b       any size, on the service
      s3mpu cp --join s3://b/1 s3://b/2 s3://b/all
      s3mpu cp disk.img s3://bucket/images/     what s3mpu put does
      s3mpu cp s3://bucket/a .                  what s3mpu get does

    A copy on the service has the source's metadata and headers, unless others are given. An object
    as DEST may be a bucket or end in "/": it takes the source's last name then. A source that
    changes meanwhile is an error, and nothing is left then. A file that exists is replaced, as by
    s3mpu get, which has --no-overwrite.
    """
    is_join = given.pop("join")
    if len(sources) > 1 and not is_join:
        raise click.BadParameter("several sources need --join", param_hint="'SOURCE...'")
    remote = [is_remote(source) for source in sources]
    if all(remote) and is_remote(dest):
        objects = tuple(object_url(source) for source in sources)
        return _copy(session, objects, _place_of(dest), given, is_join=is_join)
    if is_join:
        raise click.UsageError(f"--join is for objects on the service: {_REMOTE}")
    (source,) = sources
    if is_remote(dest):
        url = _place_of(dest)
        _check_file(source)
        upload(session, source, url, {**UNSAID, **given})
    elif is_remote(source):
        _check_download(given)
        download(session, object_url(source), dest, quiet=given["quiet"])
    else:
        raise click.UsageError(f"neither {source!r} nor {dest!r} is an object: {_REMOTE}")
    return 0


def _place_of(text: str) -> S3Url:
    """Read where a copy goes."""
    try:
        return S3Url.parse(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="'DEST'") from None


def _check_file(source: str) -> None:
    """Say that an object's name was meant, perhaps, where no file has it."""
    if source != "-" and not os.path.exists(source):
        raise Failed(f"{source}: No such file or directory ({_REMOTE})")


def _check_download(given: dict[str, Any]) -> None:
    """Refuse what a download cannot be told."""
    for name, value in given.items():
        if value and name != "quiet":
            option = "--json" if name == "is_json" else f"--{name.replace('_', '-')}"
            raise click.UsageError(f"{option} is not for a download")


def _copy(
    session: Session,
    sources: tuple[S3Url, ...],
    dest: S3Url,
    given: dict[str, Any],
    *,
    is_join: bool,
) -> int:
    """Copy or join on the service."""
    url = _object_of(sources, dest, is_join=is_join)
    is_shown = not (given["quiet"] or session.is_debug)
    watch = Watch(lambda done: display.show(done))
    display = Display("cp", stream=sys.stderr if is_shown else None, total=None, watch=watch)
    options = UploadOptions(
        part_size_bytes=given["part_size"],
        concurrency=given["concurrency"],
        if_none_match="*" if given["if_none_match"] else None,
        on_event=watch,
    )
    metadata = pairs_of(given["metadata"], "=", "'--metadata'") or None
    how: dict[str, Any] = {
        "headers": pairs_of(given["header"], ":", "'--header'"),
        "ex_storage_class": (given["storage_class"] or "").lower() or None,
        "ex_options": options,
    }
    driver = session.driver()
    objects = [
        Object(each.key, 0, "", {}, {}, Container(each.bucket, {}, driver), driver)
        for each in sources
    ]
    if given["if_none_match"]:
        check_absent(driver, url)
    target = (Container(url.bucket, {}, driver), url.key)
    try:
        with told_apart(url, given), display:
            if is_join:
                extra = {"meta_data": metadata} if metadata else None
                result = driver.ex_concatenate_objects(objects, *target, extra=extra, **how)
            else:
                result = driver.ex_copy_object(objects[0], *target, metadata=metadata, **how)
    except BaseException as error:
        session.outcome = watch.outcome(error)
        raise
    if given["is_json"]:
        session.out(json.dumps(described_result(url, result)))
    if not given["quiet"]:
        session.note(summary_of(url, result))
    return 0


def _object_of(sources: tuple[S3Url, ...], dest: S3Url, *, is_join: bool) -> S3Url:
    """Give the object to write, before anything is asked for."""
    if dest.key and not dest.key.endswith("/"):
        return dest
    name = sources[0].key.rpartition("/")[2]
    if is_join or not name:
        raise click.BadParameter("name the object: s3://bucket/key", param_hint="'DEST'")
    return S3Url(dest.bucket, dest.key + name)
