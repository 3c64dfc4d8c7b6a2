# SPDX-License-Identifier: Apache-2.0
"""Chromium as the tests see it: a browser, people with their own storage, and tabs.

Node runs Playwright (``bridge.mjs``); each call here is one line to it and one back. One thread.
"""

from __future__ import annotations

import json
import subprocess
from typing import Any
from pathlib import Path
from collections.abc import Sequence

from tests.browser.packages import PACKAGES, chromium

_BRIDGE = Path(__file__).with_name("bridge.mjs")
#: How long a test waits for what a browser must do soon.
PATIENCE_SECONDS = 20.0


class BrowserError(AssertionError):
    """What Playwright says of a call that failed."""


class Browser:
    """One Chromium; a context manager."""

    def __init__(self) -> None:
        argv = ["node", str(_BRIDGE), str(PACKAGES.modules), str(chromium())]
        self._process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.version = self._read()["ready"]

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def call(self, operation: str, **given: Any) -> Any:
        """Do one thing in the browser.

        :raises BrowserError: if it could not be done.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"operation": operation, **given}) + "\n")
        self._process.stdin.flush()
        answer = self._read()
        if "error" in answer:
            raise BrowserError(answer["error"])
        return answer["value"]

    def _read(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise BrowserError("Chromium or node ended")
        return json.loads(line)


class Person:
    """A profile of the browser: its tabs share what pages store; no other person sees it."""

    def __init__(self, browser: Browser) -> None:
        self.browser = browser
        self._number = browser.call("context")

    def tab(self, url: str) -> Tab:
        """Open a tab and wait until its page has loaded."""
        tab = Tab(self.browser, self.browser.call("tab", context=self._number))
        tab.go(url)
        return tab

    def leave(self) -> None:
        self.browser.call("leave", context=self._number)


class Tab:
    """One tab."""

    def __init__(self, browser: Browser, number: int) -> None:
        self._browser = browser
        self._number = number

    def _call(self, operation: str, **given: Any) -> Any:
        return self._browser.call(operation, tab=self._number, **given)

    def go(self, url: str) -> None:
        assert self._call("goto", url=url) == 200

    def reload(self) -> None:
        assert self._call("reload") == 200

    def close(self) -> None:
        self._call("close")

    def run(self, source: str, given: Any = None) -> Any:
        """Evaluate an expression, which may await and sees ``given``."""
        return self._call("run", source=source, given=given)

    def until(self, source: str, given: Any = None, seconds: float = PATIENCE_SECONDS) -> Any:
        """Wait until an expression is true; give it.

        :raises BrowserError: with what the page said, if it does not come true.
        """
        try:
            return self._call("until", source=source, given=given, seconds=seconds)
        except BrowserError as error:
            told = self.told()
            recent = "\n".join([*told["said"][-15:], *map(str, told["requests"][-15:])])
            raise BrowserError(f"{source}: {error}\n{recent}") from error

    def rule(self, method: str, pattern: str, act: str, times: int = 1, **more: Any) -> None:
        """Have the next requests that match answered, broken, delayed or held for ever."""
        self._call("rule", method=method, pattern=pattern, act=act, times=times, **more)

    def give_files(self, selector: str, paths: Sequence[Path]) -> None:
        self._call("files", selector=selector, paths=[str(path) for path in paths])

    def click(self, selector: str) -> None:
        self._call("click", selector=selector)

    def picture(self, path: Path, width: int = 900, height: int = 560) -> None:
        self._call("picture", path=str(path), width=width, height=height)

    def told(self) -> dict[str, Any]:
        """Give what the page said, the answers that it got, and how many requests a rule met."""
        found: dict[str, Any] = self._call("told")
        return found

    def answers(self, method: str, part: str) -> list[int]:
        """Give the status of each answer to requests whose URL holds ``part``; 0 for none."""
        return [s for m, url, s in self.told()["requests"] if m == method and part in url]
