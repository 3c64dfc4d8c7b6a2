# SPDX-License-Identifier: Apache-2.0
"""``python -m tests.contract.matrix [RUN.json...]`` writes docs/providers.md.

The table of providers comes from the code; the matrix of servers from what a run of the contract
recorded (``S3MPU_MATRIX=run.json python -m pytest tests/contract``). Runs that are named are kept
in ``matrix.json`` beside this file, so that the page can be made again without them.
"""

from __future__ import annotations

import sys
import json
from typing import Any
from pathlib import Path

from libcloud_s3mpu.providers import REPLACED, PROVIDERS
from libcloud_s3mpu.compatible import S3CompatibleMultipartDriver
from libcloud_s3mpu.protocol.limits import (
    GIB,
    KIB,
    MIB,
    TIB,
    QUIRKS,
    S3_LIMITS,
    EXPRESS_LIMITS,
    Limits,
)
from libcloud_s3mpu.protocol.findings import QUESTIONS

HERE = Path(__file__).resolve().parent
KEPT = HERE / "matrix.json"
PAGE = HERE.parents[1] / "docs" / "providers.md"
BEGIN, END = "<!-- begin {} -->", "<!-- end {} -->"
SIGNS = {"yes": "yes", "no": "no", "ignored": "**ignored**", "unknown": "?"}
TITLES = {
    "ministack": "MiniStack",
    "moto": "moto",
    "ceph": "Ceph RGW",
    "swift": "Swift s3api",
    "localstack": "LocalStack",
    "s3rver": "s3rver",
    "fake": "our fake",
}


def size(count: int) -> str:
    """Give a limit in the unit that it was written in."""
    if count >= TIB:
        return f"{count / TIB:.4g} TiB"
    for unit, name in ((GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if count >= unit and count % unit == 0:
            return f"{count // unit} {name}"
    return f"{count:,} bytes"


def row(*cells: object) -> str:
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"


def providers() -> str:
    """Give the table of providers, from their classes."""
    taken = {ours: theirs for theirs, ours in REPLACED.items()}
    lines = [
        row("name", "class", "regions", "default", "replaces"),
        row(*["---"] * 5),
    ]
    for name, cls in PROVIDERS.items():
        regions = getattr(cls, "ex_regions", {})
        known = len(regions) or ("any of AWS" if name == "s3_multipart" else "`host=`")
        if any("{account}" in host for host in regions.values()):
            known = f"{known}, by `ex_account=`"
        if issubclass(cls, S3CompatibleMultipartDriver) and cls.ex_refusal:
            known = "refused: SigV2 only"
        replaces = taken.get(name) or ("s3, s3_*" if name == "s3_multipart" else "")
        lines.append(row(f"`{name}`", f"`{cls.__name__}`", known, cls.region_name, replaces))
    return "\n".join(lines)


def limits() -> str:
    """Give the table of limits, one row for each value that some provider has."""
    seen: dict[Limits, list[str]] = {}
    for name, cls in PROVIDERS.items():
        if not getattr(cls, "ex_refusal", ""):
            seen.setdefault(cls.ex_limits, []).append(name.removesuffix("_multipart"))
        if cls.ex_limits == S3_LIMITS:
            seen[EXPRESS_LIMITS] = ["s3 on a zone of S3 Express"]
    lines = [
        row("providers", "parts", "part size", "object", "checksums", "conditions", "not",
            "source"),
        row(*["---"] * 8),
    ]  # fmt: skip
    for each, names in seen.items():
        lacks = [
            text
            for is_so, text in (
                (each.uniform_parts, "unequal parts"),
                (not each.has_md5_etags, "MD5 ETags"),
                (not each.has_part_copy, "UploadPartCopy"),
                (not each.has_list_v2, "ListObjectsV2"),
                (not each.takes_content_md5, "Content-MD5"),
                (not each.has_standard_class, "class STANDARD"),
                (not each.lists_any_prefix, "prefixes without a slash at their end"),
            )
            if is_so
        ]
        lines.append(
            row(
                ", ".join(names),
                f"{each.max_parts:,}",
                f"{size(each.min_part_size)} to {size(each.max_part_size)}",
                size(each.max_object_size),
                ", ".join(sorted(each.checksums)) or "none (bodies are signed)",
                ", ".join(sorted(each.conditions)) or "none",
                ", ".join(lacks),
                each.source,
            )
        )
    lines += ["", row("quirk", "what becomes of it"), row("---", "---")]
    lines += [row(name, text) for name, text in QUIRKS.items()]
    return "\n".join(lines)


def matrix(run: dict[str, Any]) -> str:
    """Give the matrix of servers, from a recorded run."""
    servers = {name: run["servers"][name] for name in TITLES if name in run["servers"]}
    heads = [f"{TITLES[name]} {each['version']}" for name, each in servers.items()]
    lines = [row("", *heads), row(*["---"] * (1 + len(heads)))]
    counts = [
        f"{each['passed']} passed, {each['failed']} failed, {each['skipped']} skipped"
        if each["passed"] or each["failed"]
        else "uploads and downloads only"
        for each in servers.values()
    ]
    lines.append(row("**contract tests**", *counts))
    for name, question in QUESTIONS.items():
        cells = []
        for each in servers.values():
            found = each.get("probe", {}).get(name, {"answer": "unknown"})
            cells.append(SIGNS[found["answer"]])
        lines.append(row(question, *cells))
    lines += ["", f"libcloud_s3mpu {run['libcloud_s3mpu']}, Python {run['python']}."]
    return "\n".join(lines)


def page(text: str, sections: dict[str, str]) -> str:
    """Give the page with its generated sections replaced."""
    for name, made in sections.items():
        begin, end = BEGIN.format(name), END.format(name)
        before, _, rest = text.partition(begin)
        _, _, after = rest.partition(end)
        text = f"{before}{begin}\n{made}\n{end}{after}"
    return text


def sections() -> dict[str, str]:
    made = {"providers": providers(), "limits": limits()}
    if KEPT.exists():
        made["matrix"] = matrix(json.loads(KEPT.read_text()))
    return made


def main(paths: list[str]) -> None:
    runs = [json.loads(Path(path).read_text()) for path in paths]
    if runs:
        merged = runs[0]
        for run in runs[1:]:
            merged["servers"].update(run["servers"])
        KEPT.write_text(json.dumps(merged, indent=1, sort_keys=True) + "\n")
    PAGE.write_text(page(PAGE.read_text(), sections()))


if __name__ == "__main__":
    main(sys.argv[1:])
