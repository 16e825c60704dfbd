"""What no file of the repository may hold, and how long modules and functions may become."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = [
    path for package in ("src", "flows", "bentos", "infra") for path in sorted((ROOT / package).rglob("*.py"))
]
MAX_MODULE_LINES = 500
MAX_FUNCTION_LINES = 80
MAX_CRUMB_LINES = 6
MAX_CRUMB_SHARE = 0.03
BINARY = {".onnx", ".safetensors", ".tflite", ".png", ".jpg", ".npy"}
# Written in parts, so that this file does not hold what it forbids.
DEVELOPMENT_DATA = re.compile(r"shared/" + r"(?:data|DESIGN|research)")
MACHINE_PATH = re.compile(
    r"(?<![\w.~-])/(?:" + r"root|home/(?!alice\b)\w+|Users/\w+|work/main|mnt|media/\w+/\w+)/"
)
PACKAGE_INDEX = re.compile(
    r"--(?:extra-)?index" + r"-url|/simple" + r"/|arti" + r"factory|dev" + r"pi", re.IGNORECASE
)
URL_HOST = re.compile(r"https?://([A-Za-z0-9.-]+)")
HOSTS = {
    *("127.0.0.1", "127", "localhost", "...", "mlflow", "prefect", "prometheus", "registry"),
    *(
        "arxiv.org",
        "doi.org",
        "github.com",
        "keepachangelog.com",
        "openaipublic.azureedge.net",
        "semver.org",
        "www.apache.org",
        "www.w3.org",
    ),
}
"""This machine, services of compose.yaml, and public pages and files that a reader needs."""


def repository_files() -> list[Path]:
    """Files that are tracked or would be."""
    command = ["git", "-C", str(ROOT), "ls-files", "-co", "--exclude-standard"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        pytest.skip("not a git checkout")
    return [path for line in done.stdout.splitlines() if (path := ROOT / line).is_file()]


def texts() -> dict[str, str]:
    return {
        path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
        for path in repository_files()
        if path.suffix not in BINARY
    }


def lines_with(pattern: re.Pattern[str], *, but: tuple[str, ...] = ()) -> list[str]:
    return [
        f"{name}:{number}: {line.strip()[:120]}"
        for name, text in texts().items()
        if not name.startswith(but)
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]


def test_the_development_data_are_named_in_tests_and_the_log_only() -> None:
    assert lines_with(DEVELOPMENT_DATA, but=("tests/", "docs/log.md")) == []


def test_no_text_holds_a_path_of_somebodys_machine() -> None:
    assert lines_with(MACHINE_PATH) == []


def test_no_weights_hold_a_path_of_somebodys_machine() -> None:
    """Exporters like to keep stack traces."""
    marks = (b"site-" + b"packages/", b'File "' + b"/")
    found = [path for path in repository_files() if path.suffix in BINARY]
    assert found
    assert [path.name for path in found if any(mark in path.read_bytes() for mark in marks)] == []


def test_no_package_index_is_named() -> None:
    assert lines_with(PACKAGE_INDEX, but=(".gitignore",)) == []


def test_only_known_hosts_are_named() -> None:
    known = (".example", ".invalid", ".localhost")
    unknown = {
        f"{name}: {host}"
        for name, text in texts().items()
        if not name.startswith(("tests/", "LICENSE"))
        for host in URL_HOST.findall(text)
        if host not in HOSTS and not host.endswith(known)
    }
    assert unknown == set()


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_modules_and_functions_stay_short(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MAX_MODULE_LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            length = node.end_lineno - node.lineno + 1
            assert length <= MAX_FUNCTION_LINES, f"{node.name} has {length} lines"


def private_functions(tree: ast.Module) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("_")
        and not node.name.startswith("__")
        and not node.decorator_list
    ]


def is_a_crumb(function: ast.FunctionDef | ast.AsyncFunctionDef, tree: ast.Module) -> bool:
    """Tell whether at most 6 lines, docstring apart, are called once and referred to nowhere else."""
    assert function.end_lineno is not None
    lines = function.end_lineno - function.lineno + 1
    if ast.get_docstring(function) is not None:
        docstring = function.body[0]
        assert docstring.end_lineno is not None
        lines -= docstring.end_lineno - docstring.lineno + 1
    if lines > MAX_CRUMB_LINES:
        return False
    uses = [
        node
        for node in ast.walk(tree)
        if (isinstance(node, ast.Name) and node.id == function.name)
        or (isinstance(node, ast.Attribute) and node.attr == function.name)
    ]
    called = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return len(uses) == 1 and uses[0] in called


def test_few_private_functions_only_name_an_expression() -> None:
    """A reader follows a call for each: what has one caller and few lines is better read in place."""
    num_private, crumbs = 0, []
    for path in (path for path in SOURCES if path.is_relative_to(ROOT / "src")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        functions = private_functions(tree)
        num_private += len(functions)
        crumbs += [f"{path.relative_to(ROOT)}: {each.name}" for each in functions if is_a_crumb(each, tree)]
    assert len(crumbs) < MAX_CRUMB_SHARE * num_private, "\n".join(crumbs)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_module_is_named_after_what_it_holds(path: Path) -> None:
    words = {word for part in path.relative_to(ROOT).with_suffix("").parts for word in part.split("_")}
    assert not {"utils", "util", "helpers", "helper", "misc", "common"} & words
