# SPDX-License-Identifier: Apache-2.0
"""The embedded server's interpreter, as far as no server is needed for it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from libcloud_s3mpu import testing
from libcloud_s3mpu.testing import EmbeddedServerError, embedded_server

pytestmark = pytest.mark.skipif(os.name != "posix", reason="makes links")


@pytest.mark.timeout(60)
@pytest.mark.parametrize("given", ["server-venv/bin/python", "./server-venv/bin/../bin/python"])
def test_an_interpreter_may_be_named_from_the_folder_one_is_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    """Its link is not followed: what the process takes itself for is the link's own path."""
    python = tmp_path / "server-venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(os.path.realpath(sys.executable))
    home = os.path.dirname(os.path.realpath(sys.executable))
    config = f"home = {home}\ninclude-system-site-packages = false\n"
    (tmp_path / "server-venv" / "pyvenv.cfg").write_text(config)
    monkeypatch.chdir(tmp_path)
    expected = f"no S3 server is installed for {python}: "
    with pytest.raises(EmbeddedServerError) as caught, embedded_server(python=given):
        pass
    assert str(caught.value).startswith(expected)


@pytest.mark.parametrize("given", ["python3", "/some/python"])
def test_a_name_is_left_to_the_path_and_an_absolute_one_as_it_is(
    monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    seen: list[str] = []

    def started(python: str, kind: str, *, own_path: bool) -> None:
        seen.append(python)
        raise OSError("not run here")

    monkeypatch.setattr(testing, "_Process", started)
    with pytest.raises(EmbeddedServerError, match="could not run"), embedded_server(python=given):
        pass
    assert seen == [given]
