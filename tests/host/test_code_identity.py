from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from deepfakestream.host.code_identity import CodeIdentity, folder_sha256, identify_code, own_code

# sha256sum of the two lines that `sha256sum __init__.py model/weights.bin` prints for the files of `package`.
GOLDEN = "3b3fc1fe929eaebfa387e02dae16376a60c442efedb5675329da79020ac0d092"


@pytest.fixture
def package(tmp_path: Path) -> Path:
    folder = tmp_path / "package"
    (folder / "model").mkdir(parents=True)
    (folder / "__init__.py").write_text("VERSION = 1\n")
    (folder / "model" / "weights.bin").write_bytes(b"\0\1")
    return folder


def git(root: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    command = ["git", "-C", str(root), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def commit_all(root: Path) -> str:
    git(root, "init", "--quiet")
    git(root, "add", ".")
    git(root, "commit", "--quiet", "-m", "first")
    return git(root, "rev-parse", "HEAD")


def test_the_digest_is_that_of_the_documented_command(package):
    assert folder_sha256(package) == GOLDEN
    script = (
        "find -L . -type f -not -path '*/__pycache__/*' -not -path '*/.*' -printf '%P\\n' | LC_ALL=C sort | "
        "tr '\\n' '\\0' | xargs -0 sha256sum | sha256sum"
    )
    printed = subprocess.run(["bash", "-c", script], cwd=package, check=True, capture_output=True, text=True)
    assert printed.stdout.split()[0] == GOLDEN


def test_content_names_and_number_of_files_count(package):
    before = folder_sha256(package)
    (package / "model" / "weights.bin").rename(package / "model" / "other.bin")
    renamed = folder_sha256(package)
    (package / "model" / "other.bin").write_bytes(b"\0\2")
    changed = folder_sha256(package)
    (package / "more.py").touch()
    assert len({before, renamed, changed, folder_sha256(package)}) == 4


def test_what_python_and_editors_leave_does_not_count(package):
    for name in ("__pycache__/a.pyc", "model/__pycache__/b.pyc", ".mypy_cache/c.json", "model/.swap"):
        (package / name).parent.mkdir(exist_ok=True)
        (package / name).write_text("x")
    assert folder_sha256(package) == GOLDEN


def test_outside_a_repository_only_the_digest_is_known(package):
    assert identify_code(package) == CodeIdentity(sha256=GOLDEN, commit=None, dirty=None)


def test_a_checkout_has_a_commit_and_is_dirty_after_a_change(package):
    commit = commit_all(package.parent)
    assert identify_code(package) == CodeIdentity(sha256=GOLDEN, commit=commit, dirty=False)
    (package.parent / "README.md").write_text("not code of the package")
    assert identify_code(package).dirty is False
    (package / "new.py").touch()
    assert (identify_code(package).commit, identify_code(package).dirty) == (commit, True)


def test_the_repository_around_an_environment_is_not_that_of_the_code(package):
    (package.parent / ".gitignore").write_text("package\n")
    commit_all(package.parent)
    assert identify_code(package).commit is None


def test_our_own_code_is_known():
    assert len(own_code().sha256) == 64
