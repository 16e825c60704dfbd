"""The champion that answered last, kept on this machine for when the registry cannot be asked."""

from __future__ import annotations

import json
from pathlib import Path

from deepfakestream.errors import WeightsError
from deepfakestream.host.whole_files import replacing
from deepfakestream.model.folder import model_sha256

KEPT_FILE = "champion.json"


def version_folder(models_dir: Path, version: int, digest: str) -> Path:
    """Return where a version's files are kept; the folder need not be there.

    Args:
        models_dir: folder of the fetched versions.
        version: number of the version.
        digest: SHA-256 over the files that decide a score.
    """
    return models_dir / f"{version}-{digest[:12] or 'unknown'}"


def keep(models_dir: Path, version: int, folder: Path) -> None:
    """Note the version as the champion that answered last.

    Args:
        models_dir: folder of the fetched versions.
        version: number of the version.
        folder: its files.

    Raises:
        WeightsError: a file is missing.
    """
    note = {"version": version, "model_sha256": model_sha256(folder)}
    with replacing(models_dir / KEPT_FILE) as partial:
        partial.write_text(json.dumps(note) + "\n", encoding="utf-8")


def kept(models_dir: Path) -> tuple[int, Path] | None:
    """Return number and folder of the champion that answered last, or None where none is kept whole.

    Args:
        models_dir: folder of the fetched versions.
    """
    try:
        note = json.loads((models_dir / KEPT_FILE).read_text(encoding="utf-8"))
        version, digest = int(note["version"]), str(note["model_sha256"])
        folder = version_folder(models_dir, version, digest)
        return (version, folder) if model_sha256(folder) == digest else None
    except (OSError, ValueError, KeyError, TypeError, WeightsError):
        return None  # never kept, or damaged since
