"""Where a model comes from: code, data and parameters, as tags that its run and its version carry."""

from __future__ import annotations

import hashlib
import json

import yaml

from deepfakestream import __version__
from deepfakestream.data.versioning.repository import DvcRepo
from deepfakestream.host.code_identity import own_code
from deepfakestream.host.git import ask_git
from deepfakestream.registry.store import Store

UNKNOWN = "unknown"
LINEAGE = (
    "tool_version",
    "code_sha256",
    "code_commit",
    "code_dirty",
    "dvc_data_md5",
    "params_sha256",
    "workspace_commit",
)
"""Tags of a run: the program, then the data and parameters, and the commit that the workspace was at.

`code_*` are those of `host.code_identity`; `workspace_commit` is the commit of the user's own repository.
"""


def lineage_tags(store: Store) -> dict[str, str]:
    """Return the tags named in `LINEAGE` for the workspace as it is now.

    What is not known is `unknown`: a workspace outside Git or without ingested data is no error.
    """
    code = own_code()
    return {
        "tool_version": __version__,
        "code_sha256": code.sha256,
        "code_commit": code.commit or UNKNOWN,
        "code_dirty": UNKNOWN if code.dirty is None else str(code.dirty).lower(),
        "dvc_data_md5": DvcRepo(store.workspace).data_digest() or UNKNOWN,
        "params_sha256": params_sha256(store) or UNKNOWN,
        "workspace_commit": ask_git(store.workspace, "rev-parse", "--verify", "HEAD") or UNKNOWN,
    }


def params_sha256(store: Store) -> str | None:
    """Return the digest of the values of the workspace's params.yaml, or None without that file.

    It is of the values, so that a comment changes nothing.
    """
    if not store.params_file.is_file():
        return None
    values = yaml.safe_load(store.params_file.read_text(encoding="utf-8"))
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
