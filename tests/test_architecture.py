# SPDX-License-Identifier: Apache-2.0
"""The table of the design, section 2, held against the imports as they are written."""

from __future__ import annotations

import re
import ast
import sys
from pathlib import Path
from collections.abc import Iterator

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "libcloud_s3mpu"
MODULES = sorted(PACKAGE.rglob("*.py"))
NAMES = [str(path.relative_to(PACKAGE).with_suffix("")) for path in MODULES]

#: What the pure half may not import, wherever in a module.
IMPURE = {"socket", "threading", "time", "os", "random", "requests", "concurrent", "asyncio",
          "selectors", "select", "ssl", "subprocess", "tempfile", "urllib3", "http", "secrets",
          "libcloud_s3mpu", "multiprocessing", "pathlib", "io", "sys", "logging"}  # fmt: skip
#: Rooms of transfer/ with more than one file; the road's may use every edge.
CONNECTION_ROOM = {
    "answer",
    "connection",
    "credentials",
    "chain",
    "exchange",
    "express",
    "identity",
    "plain",
    "sockets",
    "stream",
    "urls",
    "transport",
    "trust",
    "http",
}
ROAD_ROOM = {
    "upload",
    "attempt",
    "complete",
    "cleanup",
    "single",
    "put",
    "intake",
    "copy",
    "copyjobs",
    "assembly",
    "concatenate",
    "download",
    "ranged",
    "keylist",
    "rangejob",
    "orphans",
    "resume",
    "retrace",
    "begin",
    "lost",
    "proof",
    "outcome",
    "watched",
    "probe",
}
SOURCE_ROOM = {
    "splitter",
    "spool",
    "window",
    "pace",
    "journal",
    "running",
    "landing",
}
#: Beside the window and the command line: the locks of uploads, the ASGI skin's workers, and the
#: lock of the handlers' counters.
THREADED = {"resumable/locks.py", "web/asgi.py", "web/metrics.py"}
MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 80


def imports(path: Path) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield (module, names) of every import, inside the package as ``libcloud_s3mpu.x.y``."""
    parts = ("libcloud_s3mpu", *path.relative_to(PACKAGE).with_suffix("").parts)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, ()
        elif isinstance(node, ast.ImportFrom):
            base = parts[: len(parts) - node.level] if node.level else ()
            module = ".".join((*base, *(node.module or "").split("."))).strip(".")
            yield module, tuple(alias.name for alias in node.names)


def own_modules(path: Path) -> set[str]:
    """Give what a module imports of this package, as ``transfer/window``."""
    found = set()
    for module, names in imports(path):
        if module.split(".")[0] != "libcloud_s3mpu":
            continue
        inside = module.split(".")[1:]
        for candidate in [[*inside, name] for name in names] + [inside]:
            if "/".join(candidate) in NAMES:
                found.add("/".join(candidate))
    return found


def roots(path: Path) -> set[str]:
    return {module.split(".")[0] for module, _ in imports(path)}


def under(folder: str) -> list[Path]:
    return [path for path in MODULES if path.parent.name == folder]


def is_cli(path: Path) -> bool:
    return path.relative_to(PACKAGE).parts[0] == "cli"


def test_the_package_was_found() -> None:
    assert {"driver", "transfer/window", "protocol/wire", "providers"} <= set(NAMES)


@pytest.mark.parametrize("path", under("protocol"), ids=lambda path: path.stem)
def test_the_protocol_is_pure(path: Path) -> None:
    assert roots(path) & (IMPURE - {"libcloud_s3mpu"}) == set()
    assert {name for name in own_modules(path) if not name.startswith("protocol/")} == set()


@pytest.mark.parametrize("path", under("transfer"), ids=lambda path: path.stem)
def test_edges_do_not_import_each_other(path: Path) -> None:
    room = path.stem
    wanted = own_modules(path)
    assert {n for n in wanted if "/" not in n} == set(), "transfer/ may not look up"
    edges = {name.split("/")[1] for name in wanted if name.startswith("transfer/")}
    if room in ROAD_ROOM:
        return
    allowed = CONNECTION_ROOM if room in CONNECTION_ROOM else set()
    assert edges - allowed - {room, "__init__"} == set()


@pytest.mark.parametrize("path", under("transfer"), ids=lambda path: path.stem)
def test_every_file_of_the_transfer_has_a_room(path: Path) -> None:
    assert path.stem in CONNECTION_ROOM | ROAD_ROOM | SOURCE_ROOM | {"__init__"}


@pytest.mark.parametrize("path", under("resumable"), ids=lambda path: path.stem)
def test_resumable_uploads_know_no_http_and_no_web(path: Path) -> None:
    assert roots(path) & {"http", "wsgiref", "asyncio", "urllib3", "requests"} == set()
    rooms = {name.split("/")[0] for name in own_modules(path)}
    assert rooms <= {"resumable", "transfer", "protocol", "arguments"}


def test_the_road_knows_nothing_of_the_connection_room() -> None:
    for path in under("transfer"):
        if path.stem in ROAD_ROOM:
            edges = {name.split("/")[-1] for name in own_modules(path)}
            assert edges & CONNECTION_ROOM == set(), path.stem


def test_no_two_modules_import_each_other() -> None:
    graph = {name: own_modules(path) for name, path in zip(NAMES, MODULES, strict=True)}
    done: set[str] = set()

    def visit(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, " -> ".join((*above, name))
        if name in done:
            return
        for following in graph.get(name, ()):
            if following != "__init__":
                visit(following, (*above, name))
        done.add(name)

    for name in graph:
        visit(name, ())


@pytest.mark.parametrize("path", MODULES, ids=NAMES)
def test_nobody_imports_the_package_root(path: Path) -> None:
    if is_cli(path):
        pytest.skip("a door onto the public names, like any app")
    for module, names in imports(path):
        modules = {n for n in names if n in NAMES or (PACKAGE / n).is_dir()}
        if module == "libcloud_s3mpu":
            assert set(names) - modules - {"_version"} == set()


@pytest.mark.parametrize("path", MODULES, ids=NAMES)
def test_no_module_is_longer_than_400_lines(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_MODULE_LINES


@pytest.mark.parametrize("path", MODULES, ids=NAMES)
def test_no_function_is_longer_than_80_lines(path: Path) -> None:
    long = [
        f"{node.name}: {(node.end_lineno or 0) - node.lineno + 1} lines"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and (node.end_lineno or 0) - node.lineno + 1 > MAX_FUNCTION_LINES
    ]
    assert long == []


@pytest.mark.parametrize("path", MODULES, ids=NAMES)
def test_threads_are_the_windows_alone(path: Path) -> None:
    if path.stem == "window" or is_cli(path) or path.relative_to(PACKAGE).as_posix() in THREADED:
        return
    assert roots(path) & {"threading", "concurrent", "multiprocessing", "_thread"} == set()


@pytest.mark.parametrize("path", MODULES, ids=NAMES)
def test_http_libraries_are_the_connection_rooms_alone(path: Path) -> None:
    if path.parent.name == "transfer" and path.stem in CONNECTION_ROOM:
        return
    assert roots(path) & {"requests", "urllib3"} == set()


@pytest.mark.parametrize("path", MODULES, ids=NAMES)
def test_the_environment_is_read_by_the_cli_alone(path: Path) -> None:
    if is_cli(path) or path.stem == "testing":
        return
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute):
            assert node.attr not in ("environ", "getenv", "environb")
    assert not any({"environ", "getenv"} & set(names) for _, names in imports(path))


@pytest.mark.parametrize("path", MODULES, ids=NAMES)
def test_every_module_has_a_licence_and_a_docstring(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.splitlines()[0] == "# SPDX-License-Identifier: Apache-2.0"
    if path.name != "_version.py":
        assert ast.get_docstring(ast.parse(text))


@pytest.mark.parametrize("path", MODULES, ids=NAMES)
def test_no_path_of_a_machine_is_in_the_source(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert re.search(r"[\"'`](/work/|/tmp/|/home/|/root/|/Users/|[A-Z]:\\\\)", text) is None


@pytest.mark.parametrize("path", MODULES, ids=NAMES)
def test_everything_third_party_is_declared(path: Path) -> None:
    declared = {"libcloud", "requests", "urllib3", "lxml", "libcloud_s3mpu"}
    optional = {"crc32c", "awscrt", "click", "rich", "ministack", "pytest", "moto",
                "hypercorn", "werkzeug", "flask"}  # fmt: skip
    if path.is_relative_to(PACKAGE / "contrib" / "invenio"):
        # Its extra; other modules of contrib/ are given what they need.
        declared |= {"flask", "werkzeug", "celery", "invenio_db", "invenio_files_rest"}
    known = set(sys.stdlib_module_names) | declared
    assert (
        roots(path) - known - (optional if is_cli(path) or path.stem == "testing" else set())
        == set()
    )


def test_what_all_names_exists() -> None:
    import libcloud_s3mpu

    for name in libcloud_s3mpu.__all__:
        assert getattr(libcloud_s3mpu, name) is not None
    assert len(set(libcloud_s3mpu.__all__)) == len(libcloud_s3mpu.__all__)


def test_importing_the_package_brings_no_command_line_and_no_test_tool() -> None:
    import subprocess

    code = (
        "import sys; import libcloud_s3mpu; "
        "print([m for m in ('click', 'rich', 'pytest', 'ministack', 'boto3') if m in sys.modules])"
    )
    run = [sys.executable, "-W", "error::SyntaxWarning", "-c", code]
    done = subprocess.run(run, capture_output=True, text=True, check=True, cwd=PACKAGE.parent)
    assert done.stdout.strip() == "[]"
