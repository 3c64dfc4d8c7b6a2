# SPDX-License-Identifier: Apache-2.0
"""A bucket's lifecycle configuration: the one rule that frees what clients left behind.

``AbortIncompleteMultipartUpload`` is the service's own clean-up, and works when no client lives to
do it. Here a configuration is read, our rule put into it, and every other rule left as it is; when
that is worth doing is :mod:`libcloud_s3mpu.maintenance`'s. "PutBucketLifecycleConfiguration",
Amazon S3 API Reference (read 2026-11).
"""

from __future__ import annotations

from lxml import etree

from . import xml
from .rules import Rules
from .messages import S3Request, S3Response

#: The ID of our rule: at most 255 characters, unique in a configuration.
RULE_ID = "libcloud_s3mpu-abort-incomplete-uploads"
_LIFECYCLE = Rules(
    subject="BucketLifecycleConfiguration",
    query="lifecycle",
    root="LifecycleConfiguration",
    rule="Rule",
    none="NoSuchLifecycleConfiguration",
)
#: A setting of the whole configuration that travels as a header; a PUT without it resets it.
_MINIMUM_SIZE = "x-amz-transition-default-minimum-object-size"


get_request, put_request = _LIFECYCLE.get_request, _LIFECYCLE.put_request
put_result = _LIFECYCLE.put_result


def get_result(request: S3Request, response: S3Response) -> tuple[xml.Element, dict[str, str]]:
    """Read the configuration, and the headers that belong to it; none is an empty one."""
    root = _LIFECYCLE.get_result(request, response)
    is_there = response.status == 200 and _MINIMUM_SIZE in response.headers
    return root, {_MINIMUM_SIZE: response.headers[_MINIMUM_SIZE]} if is_there else {}


def with_abort_rule(root: xml.Element, days: int) -> bool:
    """Have the configuration abort uploads ``days`` days after they were initiated.

    Nothing is changed where an enabled rule, ours or another's, does so for the whole bucket and no
    later than that; ours is made to say exactly ``days``. Other rules are not touched.

    :returns: whether ``root`` was changed.
    """
    own = _LIFECYCLE.of_id(root, RULE_ID)
    if len(own) == 1 and _abort_days(own[0]) == days:
        return False
    others = [rule for rule in xml.children(root, "Rule") if rule not in own]
    if not own and any((found := _abort_days(rule)) and found <= days for rule in others):
        return False
    made = _rule(root, days, is_first_version=_is_first_version(others))
    for rule in own:
        root.replace(rule, made)  # Moves it to the place of the last of them.
    return True


def _abort_days(rule: xml.Element) -> int | None:
    """Give after how many days an enabled rule for the whole bucket aborts; None if it does not."""
    if (xml.text_of(rule, "Status") or "").strip() != "Enabled" or not _is_for_all(rule):
        return None
    for action in xml.children(rule, "AbortIncompleteMultipartUpload"):
        days = (xml.text_of(action, "DaysAfterInitiation") or "").strip()
        if days.isdecimal():
            return int(days)
    return None


def _is_for_all(rule: xml.Element) -> bool:
    if xml.text_of(rule, "Prefix"):
        return False
    for element in xml.children(rule, "Filter"):
        names = [xml.local_name(child) for child in element]
        if names not in ([], ["Prefix"]) or xml.text_of(element, "Prefix"):
            return False
    return True


def _is_first_version(rules: list[xml.Element]) -> bool:
    """Tell whether the rules have <Prefix> instead of <Filter>; S3 refuses a mixture."""
    has = {name for rule in rules for name in map(xml.local_name, rule)}
    return "Prefix" in has and "Filter" not in has


def _rule(root: xml.Element, days: int, *, is_first_version: bool) -> xml.Element:
    rule, named = _LIFECYCLE.added(root)  # Where it stands is the caller's.
    etree.SubElement(rule, named("ID")).text = RULE_ID
    place = rule if is_first_version else etree.SubElement(rule, named("Filter"))
    etree.SubElement(place, named("Prefix")).text = ""
    etree.SubElement(rule, named("Status")).text = "Enabled"
    action = etree.SubElement(rule, named("AbortIncompleteMultipartUpload"))
    etree.SubElement(action, named("DaysAfterInitiation")).text = str(days)
    return rule
