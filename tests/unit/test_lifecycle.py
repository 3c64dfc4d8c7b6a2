# SPDX-License-Identifier: Apache-2.0
"""The lifecycle rule: put into any configuration, without touching what else is in it."""

from __future__ import annotations

import hashlib
from base64 import b64decode

import pytest
from lxml import etree

from libcloud_s3mpu.protocol import xml
from libcloud_s3mpu.protocol.errors import (
    AccessDeniedError,
    MalformedAnswerError,
    ContainerMissingError,
)
from libcloud_s3mpu.protocol.messages import S3Response
from libcloud_s3mpu.protocol.lifecycle import (
    RULE_ID,
    get_result,
    get_request,
    put_request,
    with_abort_rule,
)

REQUEST = get_request("bucket")
SIZE = "x-amz-transition-default-minimum-object-size"
OTHER = (
    "<Rule><ID>logs &amp; more</ID>\n <Filter><And><Prefix>logs/</Prefix><Tag><Key>a</Key>"
    "<Value> b </Value></Tag></And></Filter><Status>Enabled</Status>"
    "<Transition><Days>30</Days><StorageClass>GLACIER</StorageClass></Transition></Rule>"
)
OLD = "<Rule><ID>old</ID><Prefix>tmp/</Prefix><Status>Enabled</Status></Rule>"


def answer(
    *rules: str, namespace: bool = True, headers: dict[str, str] | None = None
) -> S3Response:
    space = f' xmlns="{xml.NAMESPACE}"' if namespace else ""
    body = f"<LifecycleConfiguration{space}>{''.join(rules)}</LifecycleConfiguration>"
    return S3Response(status=200, headers=headers or {}, body=body.encode())


def aborting(
    days: int, *, rule_id: str = "theirs", place: str = "<Filter/>", status: str = "Enabled"
) -> str:
    return (
        f"<Rule><ID>{rule_id}</ID>{place}<Status>{status}</Status>"
        "<AbortIncompleteMultipartUpload>"
        f"<DaysAfterInitiation>{days}</DaysAfterInitiation></AbortIncompleteMultipartUpload></Rule>"
    )


def error(status: int, code: str) -> S3Response:
    return S3Response(
        status=status, headers={}, body=f"<Error><Code>{code}</Code></Error>".encode()
    )


def written(response: S3Response, days: int = 7) -> bytes:
    """Give the configuration that is written after this answer."""
    root, kept = get_result(REQUEST, response)
    assert with_abort_rule(root, days)
    request = put_request("bucket", root, kept)
    assert request.body is not None
    body = b"".join(request.body.buffers())
    assert b64decode(request.headers["content-md5"]) == hashlib.md5(body).digest()
    assert request.payload_sha256 == hashlib.sha256(body).hexdigest()
    return body


def ours(body: bytes) -> list[str]:
    root = xml.parse(body)
    return [
        etree.tostring(rule, with_tail=False).decode()
        for rule in xml.children(root, "Rule")
        if xml.text_of(rule, "ID") == RULE_ID
    ]


def test_no_configuration_is_an_empty_one() -> None:
    body = written(error(404, "NoSuchLifecycleConfiguration"))
    assert body == (
        b"<?xml version='1.0' encoding='UTF-8'?>\n"
        b'<LifecycleConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Rule><ID>'
        b"libcloud_s3mpu-abort-incomplete-uploads</ID><Filter><Prefix></Prefix></Filter>"
        b"<Status>Enabled</Status><AbortIncompleteMultipartUpload><DaysAfterInitiation>7"
        b"</DaysAfterInitiation></AbortIncompleteMultipartUpload></Rule></LifecycleConfiguration>"
    )


@pytest.mark.parametrize("namespace", [True, False])
def test_other_rules_stay_as_they_are_byte_for_byte(namespace: bool) -> None:
    body = written(answer(OTHER, aborting(3, place="<Filter><Prefix>x</Prefix></Filter>"),
                          namespace=namespace)).decode()  # fmt: skip
    assert OTHER in body
    assert aborting(3, place="<Filter><Prefix>x</Prefix></Filter>") in body
    assert len(ours(body.encode())) == 1
    assert {etree.QName(e).namespace for e in xml.parse(body.encode()).iter()} == {
        xml.NAMESPACE if namespace else None
    }


def test_a_rule_of_ours_is_replaced_and_no_other() -> None:
    body = written(answer(OTHER, aborting(30, rule_id=RULE_ID), OLD.replace("Prefix", "X")), 7)
    assert len(ours(body)) == 1 and ">7<" in ours(body)[0]
    assert OTHER in body.decode()


def test_doubles_of_ours_become_one() -> None:
    double = aborting(30, rule_id=RULE_ID)
    assert len(ours(written(answer(double, OTHER, double)))) == 1


def test_beside_rules_of_the_first_version_ours_is_one_too() -> None:
    body = written(answer(OLD))
    assert "<Filter" not in body.decode() and "<Prefix/>" in ours(body)[0]


@pytest.mark.parametrize(
    "rule",
    [
        aborting(7, rule_id=RULE_ID),
        aborting(7),
        aborting(1),
        aborting(7, place="<Prefix></Prefix>"),
        aborting(7, place="<Filter><Prefix/></Filter>"),
    ],
)
def test_nothing_is_written_where_a_rule_does_as_much(rule: str) -> None:
    root, _ = get_result(REQUEST, answer(OTHER, rule))
    before = etree.tostring(root)
    assert not with_abort_rule(root, 7)
    assert etree.tostring(root) == before


@pytest.mark.parametrize(
    "rule",
    [
        aborting(8),
        aborting(7, status="Disabled"),
        aborting(7, place="<Filter><Prefix>a</Prefix></Filter>"),
        aborting(7, place="<Prefix>a</Prefix>"),
        aborting(7, place="<Filter><Tag><Key>a</Key><Value>b</Value></Tag></Filter>"),
        aborting(7, rule_id=RULE_ID, status="Disabled"),
        aborting(8, rule_id=RULE_ID),
        aborting(6, rule_id=RULE_ID),
    ],
)
def test_a_rule_that_does_less_is_not_enough(rule: str) -> None:
    assert ">7<" in ours(written(answer(rule)))[0]


def test_the_setting_that_travels_as_a_header_is_kept() -> None:
    headers = {SIZE: "varies_by_storage_class"}
    root, kept = get_result(REQUEST, answer(OTHER, headers=headers))
    with_abort_rule(root, 7)
    assert put_request("bucket", root, kept).headers[SIZE] == "varies_by_storage_class"


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (error(404, "NoSuchBucket"), ContainerMissingError),
        (error(403, "AccessDenied"), AccessDeniedError),
        (S3Response(status=200, headers={}, body=b""), MalformedAnswerError),
        (S3Response(status=200, headers={}, body=b"<html/>"), MalformedAnswerError),
        (answer("<Unknown/>"), MalformedAnswerError),
    ],
)
def test_what_cannot_be_read_is_never_written_over(
    response: S3Response, expected: type[Exception]
) -> None:
    with pytest.raises(expected):
        get_result(REQUEST, response)
