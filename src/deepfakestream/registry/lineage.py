"""Where a model comes from: code, data and parameters, as tags that its run and its version carry."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import yaml

from deepfakestream import __version__
from deepfakestream.data.versioning.repository import DvcRepo
from deepfakestream.settings import Settings

UNKNOWN = "unknown"
LINEAGE = ("git_commit", "dvc_data_md5", "params_sha256", "tool_version")


def lineage_tags(settings: Settings) -> dict[str, str]:
    """Return the tags named in `LINEAGE` for the workspace as it is now.

    What cannot be told is `unknown`: a workspace outside Git or without ingested data is no error.
    """
    return {
        "git_commit": git_commit(settings.workspace) or UNKNOWN,
        "dvc_data_md5": DvcRepo(settings.workspace).data_digest() or UNKNOWN,
        "params_sha256": _params_sha256(settings.params_file) or UNKNOWN,
        "tool_version": __version__,
    }


def git_commit(directory: Path) -> str | None:
    """Return the commit checked out around the directory, read from Git's files; no git program needed."""
    start = directory.resolve()
    for folder in (start, *start.parents):
        git_dir = _git_dir(folder / ".git")
        if git_dir is not None:
            return _head_commit(git_dir)
    return None


def _git_dir(dot_git: Path) -> Path | None:
    if dot_git.is_dir():
        return dot_git
    if not dot_git.is_file():
        return None
    key, _, target = dot_git.read_text(encoding="utf-8").strip().partition(":")
    return (dot_git.parent / target.strip()).resolve() if key == "gitdir" else None


def _head_commit(git_dir: Path) -> str | None:
    head = _first_line(git_dir / "HEAD")
    if head is None or not head.startswith("ref:"):
        return head
    reference = head.removeprefix("ref:").strip()
    common = git_dir / (_first_line(git_dir / "commondir") or ".")
    for folder in (git_dir, common):
        commit = _first_line(folder / reference)
        if commit is not None:
            return commit
    return _packed_commit(common / "packed-refs", reference)


def _packed_commit(packed_refs: Path, reference: str) -> str | None:
    if not packed_refs.is_file():
        return None
    for line in packed_refs.read_text(encoding="utf-8").splitlines():
        commit, _, name = line.partition(" ")
        if name == reference:
            return commit
    return None


def _first_line(path: Path) -> str | None:
    if not path.is_file():
        return None
    return path.read_text(encoding="utf-8").partition("\n")[0].strip() or None


def _params_sha256(path: Path) -> str | None:
    """Return the digest of the values, so that a comment changes nothing."""
    if not path.is_file():
        return None
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
