# SPDX-License-Identifier: Apache-2.0
"""``s3mpu cp``: objects into an object, on the service.

Arguments, what is shown meanwhile, and the last line. How a copy runs is told by
:mod:`libcloud_s3mpu.transfer.assembly`.
"""

from __future__ import annotations

import sys
import json
from typing import Any

import click
from libcloud.storage.base import Object, Container

from .cli_words import S3Url
from .cli_service import Session, s3_url, object_url, positive_size, service_options
from .cli_progress import Watch, Display
from .cli_transfer import pairs_of, summary_of, described_result
from .protocol.options import UploadOptions


@click.command()
@service_options
@click.argument("sources", metavar="s3://BUCKET/KEY...", type=object_url, nargs=-1, required=True)
@click.argument("dest", metavar="s3://BUCKET[/KEY]", type=s3_url)
@click.option("--join", is_flag=True, help="Several sources become one object, in this order.")
@click.option("--metadata", metavar="K=V", multiple=True, help="Instead of the source's.")
@click.option("--header", metavar="'NAME: VALUE'", multiple=True, help="Instead of the source's.")
@click.option("--storage-class", metavar="NAME", help="As in STANDARD_IA.")
@click.option("--part-size", metavar="SIZE", type=positive_size, help="Of parts that are copied.")
@click.option("--concurrency", metavar="N", type=click.IntRange(1), help="Parts in flight, most.")
@click.option("--if-none-match", is_flag=True, help="Fail where the object exists already.")
@click.option("--quiet", is_flag=True, help="Show nothing but errors.")
@click.option("--json", "is_json", is_flag=True, help="The result as JSON on standard output.")
@click.pass_obj
def cp(session: Session, /, sources: tuple[S3Url, ...], dest: S3Url, **given: Any) -> int:
    """Copy an object of any size on the service, or join several into one.

    A DEST that is a bucket or ends in "/" takes the source's last name. A source that changes
    meanwhile is an error, and nothing is left then.
    """
    url = _object_of(sources, dest, is_join=given["join"])
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
    target = (Container(url.bucket, {}, driver), url.key)
    try:
        with display:
            if given["join"]:
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
    if len(sources) > 1 and not is_join:
        raise click.BadParameter("several sources need --join", param_hint="'s3://BUCKET/KEY...'")
    if dest.key and not dest.key.endswith("/"):
        return dest
    name = sources[0].key.rpartition("/")[2]
    if is_join or not name:
        raise click.BadParameter("name the object: s3://bucket/key", param_hint="'DEST'")
    return S3Url(dest.bucket, dest.key + name)
