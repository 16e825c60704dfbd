"""Where a model comes from: code, data and parameters, as tags that its run and its version carry."""

from __future__ import annotations

import hashlib
import json

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
    params_sha256 = None
    if store.params_file.is_file():
        # Of the values, so that a comment changes nothing.
        values = yaml.safe_load(store.params_file.read_text(encoding="utf-8"))
        params_sha256 = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
    return {
        "git_commit": ask_git(store.workspace, "rev-parse", "--verify", "HEAD") or UNKNOWN,
        "dvc_data_md5": DvcRepo(store.workspace).data_digest() or UNKNOWN,
        "params_sha256": params_sha256 or UNKNOWN,
        "tool_version": __version__,
    }
