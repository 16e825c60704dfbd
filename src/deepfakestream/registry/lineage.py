"""Where a model comes from: code, data and parameters, as tags that its run and its version carry."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import yaml

from deepfakestream import __version__
from deepfakestream.data.versioning.repository import DvcRepo
from deepfakestream.host.git import ask_git
from deepfakestream.registry.store import Store

UNKNOWN = "unknown"
LINEAGE = ("git_commit", "dvc_data_md5", "params_sha256", "tool_version")


def lineage_tags(store: Store) -> dict[str, str]:
    """Return the tags named in `LINEAGE` for the workspace as it is now.

    What is not known is `unknown`: a workspace outside Git or without ingested data is no error.
    """
    return {
        "git_commit": ask_git(store.workspace, "rev-parse", "--verify", "HEAD") or UNKNOWN,
        "dvc_data_md5": DvcRepo(store.workspace).data_digest() or UNKNOWN,
        "params_sha256": _params_sha256(store.params_file) or UNKNOWN,
        "tool_version": __version__,
    }


def _params_sha256(path: Path) -> str | None:
    """Return the digest of the values, so that a comment changes nothing."""
    if not path.is_file():
        return None
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
