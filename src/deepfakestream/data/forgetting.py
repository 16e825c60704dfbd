"""Taking items out of `data/`: their rows, their files, and their members of tar shards.

Every step may be repeated: what a kill left undone is done by the next call, whatever it was.
"""

from __future__ import annotations

import tarfile
from collections.abc import Collection
from pathlib import Path

import pandas as pd

from deepfakestream.data.atomic import PARTIAL_SUFFIX, remove_partials
from deepfakestream.data.ingestion import MEDIA_DIR, PACKS_DIR
from deepfakestream.data.manifest import read_manifest, write_manifest
from deepfakestream.errors import DataError
from deepfakestream.media.digest import sha256_file

MIN_PREFIX = 6


def resolve_item(manifest: pd.DataFrame, item: str) -> str | None:
    """Return the media id that an item is called by, or None where the set has no such item.

    Args:
        manifest: the set.
        item: `source/original_name`, or the first digits of the sha256, six or more.

    Raises:
        DataError: several items begin with these digits.
    """
    called = manifest["source"] + "/" + manifest["original_name"]
    exact = manifest.loc[called == item, "media_id"]
    if len(exact):
        return str(exact.iloc[0])
    if len(item) < MIN_PREFIX:
        return None
    found = manifest.loc[manifest["media_id"].str.startswith(item.lower()), "media_id"]
    if len(found) > 1:
        raise DataError(f"{item}: {len(found)} items begin with these digits; give more of them")
    return str(found.iloc[0]) if len(found) else None


def remove_from_data(data_dir: Path, media_ids: Collection[str]) -> int:
    """Remove items from `data/` and return how many rows the manifest lost.

    New tar shards are written first, then the manifest, and what it no longer names is deleted last.

    Raises:
        DataError: the manifest or a tar shard is damaged.
    """
    remove_partials(data_dir)
    manifest = read_manifest(data_dir)
    unwanted = manifest["media_id"].isin(set(media_ids))
    kept = manifest[~unwanted].copy()
    packed = manifest[unwanted & manifest["member"].notna()]
    for path, members in packed.groupby("path")["member"]:
        others = kept["path"] == path
        if others.any():
            kept.loc[others, "path"] = _repack(data_dir, str(path), set(members))
    if unwanted.any():
        write_manifest(data_dir, kept)
    _delete_files(data_dir, kept, media_ids)
    return int(unwanted.sum())


def _repack(data_dir: Path, path: str, members: Collection[str]) -> str:
    """Write a tar shard without some members under its new digest; return its path relative to `data/`."""
    partial = data_dir / PACKS_DIR / f"repack{PARTIAL_SUFFIX}"
    try:
        with tarfile.open(data_dir / path, "r:") as old, tarfile.open(partial, "w:") as new:
            for entry in old:
                if entry.name not in members:
                    new.addfile(entry, old.extractfile(entry) if entry.isfile() else None)
    except (tarfile.TarError, OSError) as error:
        raise DataError(
            f"{data_dir / path}: cannot be packed without the item ({error}); run 'dvc checkout data.dvc'"
        ) from error
    repacked = f"{PACKS_DIR}/{sha256_file(partial)}.tar"
    partial.replace(data_dir / repacked)
    return repacked


def _delete_files(data_dir: Path, kept: pd.DataFrame, media_ids: Collection[str]) -> None:
    for media_id in media_ids:
        for path in (data_dir / MEDIA_DIR / media_id[:2]).glob(f"{media_id}*"):
            path.unlink()
    named = {Path(path).name for path in kept["path"]}
    for path in (data_dir / PACKS_DIR).glob("*.tar"):
        if path.name not in named:
            path.unlink()
