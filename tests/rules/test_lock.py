"""The locks: exact, complete, nothing else in them, and safe from what is known to be broken."""

from __future__ import annotations

import ast
import platform
import re
import sys
import tomllib
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
USES = {
    "requirements.lock": {"dev"},
    "infra/locks/scan.lock": set(),
    "infra/locks/service.lock": {"serve"},
    "infra/locks/service-torch.lock": {"serve", "explain"},
    "infra/locks/pipeline.lock": {"pipeline", "train"},
}
"""Lock file to the extras that are installed from it."""
LINES = {name: (ROOT / name).read_text(encoding="utf-8").splitlines() for name in USES}
LINE = re.compile(r"([A-Za-z0-9._-]+)==([A-Za-z0-9.+!]+) --hash=sha256:[0-9a-f]{64}")
LOCKS = {
    name: {
        canonicalize_name(found[1]): Version(found[2]) for line in lines if (found := LINE.fullmatch(line))
    }
    for name, lines in LINES.items()
}
LOCK = LOCKS["requirements.lock"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]


def declared(*lists: list[str]) -> list[Requirement]:
    """Each package once; what the extras share has the same range in each (a test holds them to it)."""
    lines = sorted({line for lines in lists for line in lines})
    return [one for one in map(Requirement, lines) if one.name != PROJECT["name"]]


DECLARED = declared(PROJECT["dependencies"], *EXTRAS.values())
RUNTIME = {
    canonicalize_name(one.name)
    for one in declared(PROJECT["dependencies"], *(lines for name, lines in EXTRAS.items() if name != "dev"))
}
TEST_MODULES = {path.stem for path in (ROOT / "tests").rglob("*.py")}
"""Modules next to tests, which the processes that a test starts import."""
BUILD_BACKEND = "setuptools"
STACK = (ROOT / "docs" / "TECHNICAL_STACK.md").read_text(encoding="utf-8")
FLOOR = re.compile(r"^\| `([\w.-]+)` \| >= ([\d.]+) \|", re.MULTILINE)
PATCH_RELEASES = ("3.11.0", platform.python_version())
"""The lock serves every 3.11, whatever patch release it was made on."""
BROKEN = {"pandas": "3.1.1", "fastapi": "0.155.0", "sqlalchemy": "2.1.9"}
"""Releases that install cleanly next to the others and fail when they run (docs/TECHNICAL_STACK.md)."""


@pytest.mark.parametrize("name", USES)
def test_every_line_is_one_exact_version_with_its_digest(name: str) -> None:
    assert [line for line in LINES[name] if not LINE.fullmatch(line)] == []
    assert len(LOCKS[name]) == len(LINES[name]) > 0


@pytest.mark.parametrize("name", USES)
def test_the_locks_agree(name: str) -> None:
    assert set(LINES[name]) <= set(LINES["requirements.lock"])


@pytest.mark.parametrize("extra", ["dvc", "prefect", "great-expectations", "evidently", "albumentations"])
def test_the_service_is_installed_without_the_pipeline(extra: str) -> None:
    assert extra not in LOCKS["infra/locks/service.lock"]
    assert extra not in LOCKS["infra/locks/service-torch.lock"]


def test_what_scans_and_serves_on_a_cpu_is_installed_without_pytorch() -> None:
    assert "torch" not in LOCKS["infra/locks/scan.lock"].keys() | LOCKS["infra/locks/service.lock"].keys()


def test_extras_that_share_a_package_agree_on_its_range() -> None:
    names = [canonicalize_name(one.name) for one in DECLARED]
    assert sorted(names) == sorted(set(names))


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


def asked_for(extras: set[str]) -> list[Requirement]:
    """Return what is declared for a use, with what its extras refer to."""
    found = [Requirement(line) for line in PROJECT["dependencies"]]
    waiting = set(extras)
    while waiting:
        for one in map(Requirement, EXTRAS[waiting.pop()]):
            if one.name == PROJECT["name"]:
                waiting |= one.extras
            else:
                found.append(one)
    return found


@pytest.mark.parametrize("name", USES)
def test_a_lock_holds_what_is_needed_and_no_more(name: str) -> None:
    try:
        names = needed([*asked_for(USES[name]), Requirement(BUILD_BACKEND)])
    except PackageNotFoundError as error:
        pytest.fail(f"{error.name} is needed and not installed; make lock")
    assert names - LOCKS[name].keys() == set()
    assert LOCKS[name].keys() - names == set()


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
def test_what_is_imported_is_declared(
    providers: Mapping[str, list[str]], packages: tuple[str, ...], declared: set[str]
) -> None:
    undeclared = {
        f"{path.relative_to(ROOT)}: {name}"
        for package in packages
        for path in (ROOT / package).rglob("*.py")
        for name in imported(path)
        if not {canonicalize_name(one) for one in providers.get(name, [])} & declared
    }
    assert undeclared == set()
