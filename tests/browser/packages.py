# SPDX-License-Identifier: Apache-2.0
"""Uppy and Playwright from the npm registry, in the cache; no test, so installing needs no pytest.

Two versions of Uppy, each made into one module that a page can import. Chromium itself is Debian's:
``.ci/install-servers browser`` brings all of it.
"""

from __future__ import annotations

import os
import json
import shutil
import contextlib
from pathlib import Path
from dataclasses import dataclass

from tests.servers.base import INSTALL, run, cache_folder

#: The plugins' newest versions of 2026-11, the last of version 5, and the first 6 that takes keys.
UPPY = {
    "5": {
        "@uppy/core": "5.2.0",
        "@uppy/aws-s3": "5.1.0",
        "@uppy/tus": "5.1.1",
        "@uppy/golden-retriever": "5.2.1",
    },
    "6.1": {
        "@uppy/core": "6.0.1",
        "@uppy/aws-s3": "6.1.0",
        "@uppy/tus": "6.0.0",
        "@uppy/golden-retriever": "6.0.0",
    },
    "6": {
        "@uppy/core": "6.3.1",
        "@uppy/aws-s3": "6.3.1",
        "@uppy/tus": "6.0.0",
        "@uppy/golden-retriever": "6.0.0",
    },
}
TOOLS = {"playwright-core": "1.65.1", "esbuild": "0.25.12"}
_ENTRY = """
export { default as Uppy } from "@uppy/core"
export { default as AwsS3 } from "@uppy/aws-s3"
export { default as Tus } from "@uppy/tus"
export { default as GoldenRetriever } from "@uppy/golden-retriever"
"""
_CHROMIUM = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")


@dataclass(frozen=True, slots=True)
class BrowserPackages:
    """A folder in the cache with ``uppy-5.mjs``, others of its kind, and Playwright's modules."""

    folder: Path

    @property
    def modules(self) -> Path:
        """Where Playwright is: S3MPU_NODE_MODULES if it is there, else the cache."""
        named = os.environ.get("S3MPU_NODE_MODULES")
        if named and (Path(named) / "playwright-core").is_dir():
            return Path(named).absolute()
        return self.folder / "tools" / "node_modules"

    def bundle(self, version: str) -> Path:
        return self.folder / f"uppy-{version}.mjs"

    def is_ready(self) -> bool:
        with contextlib.suppress(OSError):
            return self._mark.read_text() == self._wanted
        return False

    def missing(self) -> str | None:
        """Say what keeps the browser's tests from running, or None."""
        for found, what in (
            (shutil.which("node"), "Node.js (node)"),
            (chromium(), "Chromium"),
            (self.is_ready(), f"Uppy in {self.folder}"),
        ):
            if not found:
                return f"no {what}: {INSTALL} browser"
        return None

    def install(self, *, timeout_seconds: float) -> None:
        """Bring it by npm; nothing to do when it is ready.

        :raises ServerError: npm failed, is not there, or took too long.
        """
        if self.is_ready():
            return
        _npm(self.folder / "tools", TOOLS, timeout_seconds)
        esbuild = self.folder / "tools" / "node_modules" / "esbuild" / "bin" / "esbuild"
        node = shutil.which("node") or "node"
        for version, packages in UPPY.items():
            place = self.folder / f"uppy-{version}"
            _npm(place, packages, timeout_seconds)
            entry = place / "entry.mjs"
            entry.write_text(_ENTRY)
            out = f"--outfile={self.bundle(version)}"
            program = [node, str(esbuild)] if _is_script(esbuild) else [str(esbuild)]
            run([*program, str(entry), "--bundle", "--format=esm", out, "--log-level=error"])
        self._mark.write_text(self._wanted)

    @property
    def _mark(self) -> Path:
        return self.folder / "installed-packages"

    @property
    def _wanted(self) -> str:
        return json.dumps([UPPY, TOOLS])


def chromium() -> str | None:
    """Give the path of a Chromium: S3MPU_CHROMIUM, or the first that is found."""
    named = os.environ.get("S3MPU_CHROMIUM")
    return named or next(filter(None, map(shutil.which, _CHROMIUM)), None)


def _npm(folder: Path, packages: dict[str, str], timeout_seconds: float) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    npm = shutil.which("npm") or "npm"
    quiet = ["--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
    wanted = [f"{name}@{version}" for name, version in packages.items()]
    argv = [npm, "install", *quiet, "--prefix", str(folder), *wanted]
    run(argv, timeout_seconds=timeout_seconds)


def _is_script(program: Path) -> bool:
    return program.read_bytes()[:2] == b"#!"


PACKAGES = BrowserPackages(cache_folder() / "browser-2026.11")
