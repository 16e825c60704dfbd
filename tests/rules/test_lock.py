"""requirements.lock: exact, complete, nothing else in it, and safe from what is known to be broken."""

from __future__ import annotations

import ast
import platform
import re
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
LINES = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
LOCK = {canonicalize_name(name): Version(pin) for name, pin in (line.split("==") for line in LINES)}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
DECLARED = [
    Requirement(line)
    for line in [*PROJECT["dependencies"], *(one for lines in EXTRAS.values() for one in lines)]
]
RUNTIME = {canonicalize_name(Requirement(line).name) for line in PROJECT["dependencies"]}
OPTIONAL = {"src/deepfakestream/data/extraction/executors/ray_cluster.py: ray"}
"""Imported where the extra of that name is installed; the module says so where it is not."""
PROVIDERS = packages_distributions()
TEST_MODULES = {path.stem for path in (ROOT / "tests").rglob("*.py")}
"""Modules beside tests, which the processes that a test starts import."""
BUILD_BACKEND = "setuptools"
STACK = (ROOT / "docs" / "TECHNICAL_STACK.md").read_text(encoding="utf-8")
FLOOR = re.compile(r"^\| `([\w.-]+)` \| >= ([\d.]+) \|", re.MULTILINE)
PATCH_RELEASES = ("3.11.0", platform.python_version())
"""The lock serves every 3.11, whatever patch release it was made on."""
BROKEN = {"pandas": "3.1.1", "fastapi": "0.155.0", "sqlalchemy": "2.1.9"}
"""Releases that install cleanly beside the others and fail when they run (docs/TECHNICAL_STACK.md)."""


def test_every_line_is_one_exact_version() -> None:
    for line in LINES:
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", line), line
    assert len(LOCK) == len(LINES)


@pytest.mark.parametrize("requirement", DECLARED, ids=str)
def test_every_declared_range_is_kept(requirement: Requirement) -> None:
    pin = LOCK[canonicalize_name(requirement.name)]
    assert requirement.specifier.contains(pin, prereleases=True), f"{requirement}: locked is {pin}; make lock"


def test_the_environment_is_the_lock() -> None:
    installed = {name: version(name) for name in LOCK}
    assert {name: pin for name, pin in installed.items() if Version(pin) != LOCK[name]} == {}


def needed(requirements: list[Requirement]) -> set[str]:
    """Names of everything that the requirements need, by the metadata of what is installed."""
    seen: set[tuple[str, str]] = set()
    waiting = [(canonicalize_name(one.name), extra) for one in requirements for extra in ("", *one.extras)]
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        for line in distribution(name).requires or []:
            one = Requirement(line)
            if one.marker is None or any(
                one.marker.evaluate({"extra": extra, "python_full_version": patch})
                for patch in PATCH_RELEASES
            ):
                waiting += [(canonicalize_name(one.name), more) for more in ("", *one.extras)]
    return {name for name, _ in seen}


def test_the_lock_holds_what_is_needed_and_no_more() -> None:
    try:
        names = needed([*DECLARED, Requirement(BUILD_BACKEND)])
    except PackageNotFoundError as error:
        pytest.fail(f"{error.name} is needed and not installed; make lock")
    assert names - LOCK.keys() == set()
    assert LOCK.keys() - names == set()


@pytest.mark.parametrize(("name", "broken"), BROKEN.items())
def test_releases_that_are_known_to_fail_are_out_of_range_or_unlocked(name: str, broken: str) -> None:
    assert LOCK[name] < Version(broken)
    (declared,) = [one for one in DECLARED if canonicalize_name(one.name) == name]
    assert not declared.specifier.contains(broken)


@pytest.mark.parametrize(("name", "floor"), FLOOR.findall(STACK))
def test_known_vulnerabilities_are_below_what_is_locked(name: str, floor: str) -> None:
    assert LOCK[canonicalize_name(name)] >= Version(floor)


def test_the_document_lists_floors() -> None:
    assert len(FLOOR.findall(STACK)) >= 9


@pytest.mark.parametrize("requirement", DECLARED, ids=lambda one: one.name)
def test_every_dependency_has_its_row_in_the_document(requirement: Requirement) -> None:
    row = next((line for line in STACK.splitlines() if line.startswith(f"| `{requirement.name}` |")), "")
    assert row, f"docs/TECHNICAL_STACK.md says nothing about {requirement.name}"
    for clause in requirement.specifier:
        assert str(clause) in row.replace(" ", ""), row


def imported(path: Path) -> set[str]:
    """Return the top names of the third-party modules that a file imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names - sys.stdlib_module_names - {"deepfakestream", "flows", "bentos", "infra"} - TEST_MODULES


@pytest.mark.parametrize(
    ("packages", "declared"),
    [
        (("flows", "bentos", "src"), RUNTIME),
        # The demo runs in a checkout, with what 'make setup' installs.
        (("tests", "infra/demo"), {canonicalize_name(one.name) for one in DECLARED}),
    ],
    ids=["package", "tests and demo"],
)
def test_what_is_imported_is_declared(packages: tuple[str, ...], declared: set[str]) -> None:
    undeclared = {
        f"{path.relative_to(ROOT)}: {name}"
        for package in packages
        for path in (ROOT / package).rglob("*.py")
        for name in imported(path)
        if not {canonicalize_name(one) for one in PROVIDERS.get(name, [])} & declared
    }
    assert undeclared - OPTIONAL == set()
