# SPDX-License-Identifier: Apache-2.0
"""Virtual environments of the contenders, made when first needed and kept in a cache folder.

Must not live here: what goes into one (`peers.py`). An environment that could not be made is
removed again, so a broken one is never mistaken for a finished one.
"""

from __future__ import annotations

import os
import re
import sys
import shutil
import subprocess
from pathlib import Path

from benchmarks.peers import FAMILIES

ROOT = Path(__file__).resolve().parent.parent
FINISHED = "finished.txt"


class UnavailableError(Exception):
    """An environment cannot be had; the text says why in one line."""


def cache_folder() -> Path:
    """Where sinks and environments are kept: S3MPU_BENCH_CACHE, or the user's cache."""
    named = os.environ.get("S3MPU_BENCH_CACHE")
    if named:
        return Path(named).expanduser().resolve()
    user = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(user) / "libcloud_s3mpu-benchmarks"


def own_dependencies() -> tuple[str, ...]:
    """What this checkout declares as its dependencies, as far as pyproject.toml lists them."""
    try:
        text = (ROOT / "pyproject.toml").read_text()
    except OSError:
        return ()
    listed = re.search(r"^dependencies\s*=\s*\[(.*?)\]", text, re.MULTILINE | re.DOTALL)
    return tuple(re.findall(r"[\"']([^\"']+)[\"']", listed.group(1))) if listed else ()


def requirements(family: str) -> tuple[str, ...]:
    wanted = FAMILIES[family]
    return (*own_dependencies(), *wanted) if family.startswith("ours") else wanted


def _python(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _is_finished(folder: Path, wanted: tuple[str, ...]) -> bool:
    try:
        return (folder / FINISHED).read_text().split("\n") == list(wanted)
    except OSError:
        return False


def _make(folder: Path, wanted: tuple[str, ...], seconds: float) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    install = [str(_python(folder)), "-m", "pip", "install", "--quiet", *wanted]
    try:
        for command in ([sys.executable, "-m", "venv", str(folder)], install):
            subprocess.run(command, check=True, timeout=seconds, capture_output=True, text=True)
    except subprocess.TimeoutExpired:
        shutil.rmtree(folder, ignore_errors=True)
        raise UnavailableError(f"no environment within {seconds:.0f} s") from None
    except (subprocess.CalledProcessError, OSError) as error:
        shutil.rmtree(folder, ignore_errors=True)
        told = (getattr(error, "stderr", "") or str(error)).strip().splitlines()
        raise UnavailableError(f"no environment: {told[-1] if told else error}") from error
    (folder / FINISHED).write_text("\n".join(wanted))


def interpreter(family: str, *, seconds: float) -> Path:
    """Give the interpreter of a family, making its environment first if need be.

    :raises UnavailableError: when that fails or takes longer than `seconds`.
    """
    wanted = requirements(family)
    if not wanted:
        return Path(sys.executable)
    folder = cache_folder() / "venvs" / family
    if not _is_finished(folder, wanted):
        print(f"making the environment of {family} ...", file=sys.stderr, flush=True)
        _make(folder, wanted, seconds)
    return _python(folder)
