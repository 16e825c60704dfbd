r"""Which code runs: a digest of the package's files, and its commit where it lies in a git checkout.

A version number says which release was meant; the digest says what was there. A checkout and a wheel of one
commit have the same digest. In the package's folder this prints it:

    find -L . -type f -not -path '*/__pycache__/*' -not -path '*/.*' -printf '%P\n' | LC_ALL=C sort |
        tr '\n' '\0' | xargs -0 sha256sum | sha256sum
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from deepfakestream.host.digest import sha256_file
from deepfakestream.host.git import ask_git

PACKAGE_DIR = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeIdentity:
    """The code of this process."""

    sha256: str
    """From `folder_sha256`."""
    commit: str | None
    """Of the checkout that the package lies in; None where it was installed from a wheel."""
    dirty: bool | None
    """Whether files of the package differ from the commit; None without a commit."""


def folder_sha256(folder: Path) -> str:
    """Return a digest of the content and the paths of all files of a folder, in hexadecimal digits.

    Hidden files and compiled ones (`__pycache__`) do not count.

    Raises:
        OSError: a file cannot be read.
    """
    digest = hashlib.sha256()
    names = {
        path.relative_to(folder).as_posix(): path
        for path in folder.rglob("*")
        if path.is_file()
        and not any(part.startswith(".") or part == "__pycache__" for part in path.relative_to(folder).parts)
    }
    for name in sorted(names, key=str.encode):
        digest.update(f"{sha256_file(names[name])}  {name}\n".encode())
    return digest.hexdigest()


def identify_code(folder: Path) -> CodeIdentity:
    """Return what identifies the code in a folder.

    Args:
        folder: of a package. A repository around it counts only if it tracks the package's `__init__.py`: an
            environment may lie in the checkout of something else.

    Raises:
        OSError: a file cannot be read.
    """
    commit = None
    if ask_git(folder, "ls-files", "--error-unmatch", "__init__.py") is not None:
        commit = ask_git(folder, "rev-parse", "--verify", "HEAD")
    changes = None if commit is None else ask_git(folder, "status", "--porcelain", "--", ".")
    return CodeIdentity(
        sha256=folder_sha256(folder), commit=commit, dirty=None if changes is None else bool(changes)
    )


@cache
def own_code() -> CodeIdentity:
    """Return what identifies this package as this process found it at the first call."""
    return identify_code(PACKAGE_DIR)
