# SPDX-License-Identifier: Apache-2.0
"""The generated section of docs/benchmarks.md.

Must not live here: any figure. What stands outside the two markers is written by people and is
kept as it is.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.tables import render
from benchmarks.results import Call, all_versions, latest_groups
from benchmarks.client.job import READING

BEGIN = "<!-- measured: begin (written by python -m benchmarks --update-docs) -->"
END = "<!-- measured: end -->"
INTRO_PATH = Path(__file__).resolve().parent / "intro.md"


def machine_lines(call: Call) -> list[str]:
    machine = call["machine"]
    return [
        f"Measured {call['at']} on {machine['cores']} cores ({machine['processor']}), "
        f"{machine['system']}, Python {machine['python']}, {machine['openssl']}.",
    ]


def section(calls: list[Call]) -> str:
    """Give what stands between the markers."""
    lines = machine_lines(calls[-1])
    versions = all_versions(calls)
    if versions:
        told = ", ".join(f"{name} {version}" for name, version in versions.items())
        lines += ["", f"Versions: {told}."]
    commands = dict.fromkeys(call["command"] for call in calls)
    lines += ["", "```", *commands, "```", ""]
    groups = latest_groups(calls)
    for heading, reads in (("Uploads", False), ("Downloads, streams, listings", True)):
        told = [render(group) for group in groups if (group.workload in READING) is reads]
        lines += [f"## {heading}\n"] * bool(told) + [text.rstrip() + "\n" for text in told]
    return "\n".join(lines).rstrip()


def replace_section(text: str, new: str) -> str:
    """Put a section between the markers; at the end, with markers, where there are none.

    :raises ValueError: when only one marker is there, or they stand the wrong way round.
    """
    begin, end = text.find(BEGIN), text.find(END)
    whole = f"{BEGIN}\n\n{new}\n\n{END}"
    if begin < 0 and end < 0:
        return f"{text.rstrip()}\n\n{whole}\n"
    if begin < 0 or end < begin:
        raise ValueError("the markers of the measured section are broken")
    return text[:begin] + whole + text[end + len(END) :]


def update(path: Path, calls: list[Call]) -> None:
    """Rewrite the measured section of a page, beginning the page where there is none."""
    text = path.read_text() if path.exists() else INTRO_PATH.read_text()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(replace_section(text, section(calls)))
