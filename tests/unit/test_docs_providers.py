# SPDX-License-Identifier: Apache-2.0
"""docs/providers.md says what the code and the recorded run say."""

from __future__ import annotations

from tests.contract.matrix import PAGE, page, sections


def test_the_generated_sections_are_those_of_now() -> None:
    text = PAGE.read_text(encoding="utf-8")
    made = sections()
    assert {"providers", "limits"} <= made.keys()
    assert page(text, made) == text, "python -m tests.contract.matrix writes it anew"
