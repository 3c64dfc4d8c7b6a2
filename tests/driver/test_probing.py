# SPDX-License-Identifier: Apache-2.0
"""``ex_probe``: each way in which a service may differ is seen, and nothing is left there."""

from __future__ import annotations

import json
from typing import Any

import pytest

import libcloud_s3mpu as ours
from tests.fake_s3 import FakeLimits
from tests.unit.small import AT_ONCE, service
from tests.fake_s3.config import Quirks
from tests.fake_s3.faults import error, reset, answer
from libcloud_s3mpu.protocol.limits import MIB, COMPATIBLE_LIMITS
from libcloud_s3mpu.protocol.findings import IGNORED, PROBLEMS, QUESTIONS, Answer

#: With S3's smallest part.
S3_LIKE = FakeLimits(min_part_size=5 * MIB)
OPTIONS = {"ex_options": ours.UploadOptions(retry=AT_ONCE)}


def probed(**fake_options: Any) -> ours.ProbeReport:
    """Probe a fake made this way; nothing may be left on it."""
    with service(driver=OPTIONS, limits=S3_LIKE, **fake_options) as it:
        report = it.driver.ex_probe(it.container)
        assert it.keys == []
        assert list(it.driver.ex_iterate_multipart_uploads(it.container)) == []
        assert report.left_behind == ()
        assert report.container == "bucket"
        return report


def test_every_question_is_answered_by_a_service_that_is_s3() -> None:
    report = probed()
    assert [found.name for found in report.findings] == list(QUESTIONS)
    answers = {found.name: found.answer for found in report.findings}
    # No name resolves below 127.0.0.1.
    assert answers.pop("virtual-host") in (Answer.NO, Answer.UNKNOWN)
    assert set(answers.values()) == {Answer.YES}
    assert not any(found.problem for found in report.findings if found.answer is Answer.YES)
    assert report.applied_to(COMPATIBLE_LIMITS).checksums == ours.S3_LIMITS.checksums
    found = report.applied_to(ours.Limits(max_parts=77))
    assert (found.max_parts, found.conditions) == (77, ours.S3_LIMITS.conditions)
    assert found.has_md5_etags and found.has_list_v2 and found.has_part_copy
    assert "probed: http://127.0.0.1:" in found.source


@pytest.mark.parametrize(
    ("quirks", "name", "expected"),
    [
        (Quirks(verifies_checksums=False), "crc32", Answer.IGNORED),
        (Quirks(verifies_checksums=False), "sha256", Answer.IGNORED),
        (Quirks(complete_etag=False), "complete-etag", Answer.NO),
        (Quirks(complete_repeats=True), "complete-once", Answer.NO),
        (Quirks(conditional_complete=False), "complete-if-none-match", Answer.IGNORED),
        (Quirks(conditional_complete=False), "complete-if-match", Answer.IGNORED),
        (Quirks(conditional_complete=False), "put-if-none-match", Answer.YES),
        (Quirks(list_parts_paginates=False), "list-parts", Answer.NO),
        (Quirks(namespace=False), "list-v2", Answer.YES),
        (Quirks(quotes_etags=False), "composite-etag", Answer.YES),
    ],
)
def test_a_quirk_is_seen(quirks: Quirks, name: str, expected: Answer) -> None:
    report = probed(quirks=quirks)
    assert report.answer(name) is expected
    found = next(each for each in report.findings if each.name == name)
    assert bool(found.problem) == (expected is not Answer.YES and name in PROBLEMS)


def test_what_is_ignored_has_a_problem_of_its_own() -> None:
    assert IGNORED.keys() < PROBLEMS.keys() < QUESTIONS.keys()
    found = ours.Finding(name="put-if-match", answer=Answer.IGNORED)
    assert "protects nothing" in found.problem
    assert ours.Finding(name="put-if-match", answer=Answer.NO).problem == "if_match cannot be used"


def test_limits_that_follow_are_those_of_a_service_that_ignores() -> None:
    report = probed(quirks=Quirks(verifies_checksums=False, conditional_complete=False))
    found = report.applied_to(ours.S3_LIMITS)
    assert found.checksums == found.conditions == frozenset()


@pytest.mark.parametrize(
    ("operation", "code", "name"),
    [
        ("UploadPartCopy", "NotImplemented", "part-copy"),
        ("ListObjectsV2", "NotImplemented", "list-v2"),
        ("ListMultipartUploads", "AccessDenied", "list-uploads"),
        ("ListParts", "AccessDenied", "list-parts"),
    ],
)
def test_a_verb_that_is_missing_ends_nothing(operation: str, code: str, name: str) -> None:
    with service(driver=OPTIONS, limits=S3_LIKE) as it:
        it.fake.script(operation, error(code), forever=True)
        report = it.driver.ex_probe(it.container)
        assert it.keys == []
    assert report.answer(name) is Answer.NO
    assert report.answer("composite-etag") is Answer.YES


def test_initiate_that_is_refused_leaves_the_rest_unknown() -> None:
    with service(driver=OPTIONS, limits=S3_LIKE) as it:
        it.fake.script("InitiateMultipartUpload", error("AccessDenied"), forever=True)
        report = it.driver.ex_probe(it.container)
        assert it.keys == []
    assert report.answer("part-copy") is Answer.UNKNOWN
    assert report.answer("list-v2") is Answer.YES


@pytest.mark.lean
def test_a_service_that_fails_for_a_while_is_asked_again() -> None:
    with service(driver=OPTIONS, limits=S3_LIKE) as it:
        it.fake.script("PutObject", error("SlowDown"), reset(), error("InternalError"))
        it.fake.script("UploadPart", error("SlowDown"))
        report = it.driver.ex_probe(it.container)
    assert report.answer("composite-etag") is Answer.YES


def test_a_container_that_is_not_there_is_an_error() -> None:
    with service(driver=OPTIONS) as it:
        it.container.name = "nowhere"
        with pytest.raises(ours.ContainerMissingError):
            it.driver.ex_probe(it.container)
        it.container.name = "../x"
        with pytest.raises(ours.InvalidRequestError):
            it.driver.ex_probe(it.container)


@pytest.mark.parametrize("at", ["PutObject", "UploadPart", "CompleteMultipartUpload", "ListParts"])
@pytest.mark.parametrize("kind", [KeyboardInterrupt, RuntimeError])
def test_an_interrupt_leaves_nothing(at: str, kind: type[BaseException]) -> None:
    with service(driver=OPTIONS, limits=S3_LIKE) as it:
        transport = it.driver._transport
        call, seen = transport.call, []

        def interrupted(request: Any) -> Any:
            found = call(request)
            if request.operation == at:
                seen.append(at)
                if len(seen) == 2 or at == "ListParts":
                    raise kind
            return found

        transport.call = interrupted  # type: ignore[method-assign]
        with pytest.raises(kind):
            it.driver.ex_probe(it.container)
        assert it.keys == []
        assert list(it.driver.ex_iterate_multipart_uploads(it.container)) == []


def test_what_cannot_be_removed_is_named() -> None:
    with service(driver=OPTIONS, limits=S3_LIKE) as it:
        it.fake.script("DeleteObject", error("AccessDenied"), forever=True)
        report = it.driver.ex_probe(it.container)
        assert len(report.left_behind) == len({each.split(":")[0] for each in report.left_behind})
        assert all("AccessDenied" in each for each in report.left_behind)
        assert {each.split(": ")[0] for each in report.left_behind} >= {
            f"object {key}" for key in it.keys
        }


def test_no_secret_is_in_a_report() -> None:
    with service(driver=OPTIONS, limits=S3_LIKE) as it:
        said = "x-amz-signature=abc <Token>secret</Token>"
        it.fake.script("ListObjectsV2", answer(400, "InvalidArgument", said))
        report = it.driver.ex_probe(it.container)
        text = str(report) + json.dumps(report.as_json())
        assert it.driver.secret not in text and "abc" not in text
