# SPDX-License-Identifier: Apache-2.0
"""The catalogue is whole: each entry has a test, and a row in docs/reliability.md naming it."""

from __future__ import annotations

import re
import ast
from pathlib import Path

HERE = Path(__file__).parent
TABLE = HERE.parents[1] / "docs" / "reliability.md"
ENTRIES = range(1, 96)
#: Letter of a section -> its first and last entry; the letter is in the file's name.
SECTIONS = {"a": (1, 10), "b": (11, 22), "c": (23, 35), "d": (36, 41), "e": (42, 51), "f": (52, 67),
            "g": (68, 74), "h": (75, 79), "i": (80, 85), "j": (86, 89), "k": (90, 95)}  # fmt: skip


def functions() -> dict[str, str]:
    """Give the test functions of this folder: name -> file name."""
    found = {}
    for path in sorted(HERE.glob("test_*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                assert node.name not in found, f"two tests are called {node.name}"
                found[node.name] = path.name
    return found


def numbers_of(name: str) -> list[int]:
    return [int(number) for number in re.findall(r"(?<=_)f(\d\d)(?=_)", name)]


def rows() -> dict[int, str]:
    lines = TABLE.read_text(encoding="utf-8").splitlines()
    found = [re.match(r"\| (\d+) \|", line) for line in lines]
    return {int(match[1]): line for match, line in zip(found, lines, strict=True) if match}


def test_every_entry_has_a_test_in_the_file_of_its_section() -> None:
    tested = {}
    for name, file in functions().items():
        for number in numbers_of(name):
            tested[number] = name
            first, last = SECTIONS[file.split("_")[1]]
            assert first <= number <= last, f"{name} is in {file}"
    assert sorted(tested) == list(ENTRIES)


def test_every_entry_has_a_row_that_names_its_tests() -> None:
    table = rows()
    assert list(table) == list(ENTRIES)
    known = functions()
    for number, row in table.items():
        named = re.findall(r"`(test_\w+)`", row)
        assert named, f"row {number} names no test"
        for name in named:
            assert name in known, f"row {number} names {name}, which is not there"
        assert any(number in numbers_of(name) for name in named), f"row {number} names others only"
