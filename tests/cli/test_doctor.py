# SPDX-License-Identifier: Apache-2.0
"""``s3mpu doctor``: a table, what follows from it, and nothing left behind."""

from __future__ import annotations

from tests.cli.conftest import Cli
from tests.fake_s3.faults import error
from libcloud_s3mpu.protocol.findings import QUESTIONS


def test_the_table_has_every_question(cli: Cli) -> None:
    ended = cli("doctor", "s3://bucket")
    assert ended.code == 0
    for question in QUESTIONS.values():
        assert question in ended.out
    assert "FakeS3" in ended.out and "container bucket" in ended.out
    assert "AKIA" not in ended.out
    assert cli.objects == {}
    assert ended.stderr == ""


def test_a_problem_is_explained(cli: Cli) -> None:
    cli.fake.script("ListObjectsV2", error("NotImplemented"), forever=True)
    ended = cli("doctor", "s3://bucket")
    assert ended.code == 0
    assert "! listings use the first version" in ended.out
    assert "HTTP 501 NotImplemented" in ended.out


def test_json_is_the_whole_report(cli: Cli) -> None:
    report = cli("doctor", "s3://bucket", "--json").json
    assert [found["name"] for found in report["findings"]] == list(QUESTIONS)
    assert {found["answer"] for found in report["findings"]} <= {"yes", "no", "unknown"}


def test_a_bucket_that_is_not_there_is_an_error(cli: Cli) -> None:
    ended = cli("doctor", "s3://nowhere")
    assert ended.code == 1
    assert "NoSuchBucket" in ended.stderr


def test_what_is_left_is_said(cli: Cli) -> None:
    cli.fake.script("DeleteObject", error("AccessDenied"), forever=True)
    ended = cli("doctor", "s3://bucket")
    assert ended.code == 1
    assert "could not be removed: object s3mpu-probe-" in ended.stderr
