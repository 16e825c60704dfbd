"""Taking items out of `data/`: their rows, their files, and every copy of their bytes in tar shards.

Every step may be repeated: what a kill left undone is done by the next call, whatever it was.
"""

from __future__ import annotations

import tarfile
from collections.abc import Collection
from pathlib import Path

import pandas as pd

from deepfakestream.data.manifest import MEDIA_DIR, PACKS_DIR, item_names, read_manifest, write_manifest
from deepfakestream.data.packs import member_digests, write_without
from deepfakestream.errors import DataError
from deepfakestream.host.digest import sha256_file
from deepfakestream.host.whole_files import PARTIAL_SUFFIX, remove_partials

MIN_PREFIX = 6
_SHOWN_DIGITS = 12


def resolve_item(manifest: pd.DataFrame, item: str) -> str | None:
    """Return the media id that an item is called by, or None where the dataset has no such item.

    Args:
        manifest: one row an item, columns as in `columns.MANIFEST_COLUMNS`.
        item: `source/original_name`, or the first digits of the sha256, six or more.

    Raises:
        DataError: several items have this name, or begin with these digits.
    """
    exact = manifest.loc[item_names(manifest) == item, "media_id"]
    if len(exact) > 1:
        digits = ", ".join(sorted(media_id[:_SHOWN_DIGITS] for media_id in exact))
        raise DataError(
            f"{item}: {len(exact)} items have this name; give the first digits of the one meant: {digits}"
        )
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

    A tar shard is packed without every file that has an item's bytes, also one that the manifest does not
    name. New tar shards are written first, then the manifest; what it no longer names is deleted last.

    Args:
        data_dir: folder of the dataset.
        media_ids: ids of the items.

    Raises:
        DataError: the manifest or a tar shard is damaged.
    """
    remove_partials(data_dir)
    manifest = read_manifest(data_dir)
    unwanted = manifest["media_id"].isin(set(media_ids))
    kept = manifest[~unwanted].copy()
    packs = sorted(set(kept.loc[kept["member"].notna(), "path"])) if media_ids else []
    moved = {path: _repack(data_dir, path, media_ids) for path in packs}
    kept["path"] = kept["path"].map(lambda path: moved.get(path, path))
    if unwanted.any() or any(old != new for old, new in moved.items()):
        write_manifest(data_dir, kept)
    _delete_files(data_dir, kept, media_ids)
    return int(unwanted.sum())


def _repack(data_dir: Path, path: str, media_ids: Collection[str]) -> str:
    """Write a tar shard that holds items without them, under its new digest; return its path in `data/`."""
    partial = data_dir / PACKS_DIR / f"repack{PARTIAL_SUFFIX}"
    try:
        with (data_dir / path).open("rb") as pack:
            if set(media_ids).isdisjoint(member_digests(pack)):
                return path
        write_without(data_dir / path, partial, media_ids)
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
