"""Pairs of alike crops side by side, for a person to look at."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from deepfakestream.data.crop_store import CropReader
from deepfakestream.media.types import RGBImage

MAX_PAIRS = 48
_COLUMNS = 6
_SIDE_PX = 112
_TEXT_PX = 34
_MARGIN_PX = 4


def write_contact_sheet(path: Path, duplicates: pd.DataFrame, crops: pd.DataFrame, extract_dir: Path) -> None:
    """Write a PNG with at most `MAX_PAIRS` pairs, the most alike first; the left one was excluded.

    Args:
        path: file to write.
        duplicates: what `near_duplicates.find_near_duplicates` returned, with one row at least.
        crops: the crop table.
        extract_dir: folder of the crop store.
    """
    places = crops.set_index("crop_id")[["shard", "row"]]
    reader = CropReader(extract_dir)
    shown = duplicates.head(MAX_PAIRS)
    tiles = []
    for pair in shown.to_dict("records"):
        sides = []
        for side in ("aside", "kept"):
            shard, row = places.loc[pair[f"{side}_crop"]]
            sides.append(cv2.resize(reader.read(str(shard), int(row)), (_SIDE_PX, _SIDE_PX)))
        lines = []
        for side in ("aside", "kept"):
            # The end of a long name says more than its start; the font has ASCII letters only.
            name = pair[f"{side}_name"].encode("ascii", "replace").decode()[-24:]
            lines.append(f"{pair['similarity']:.2f} {pair[f'{side}_split']} {name}")
        tiles.append(_tile(np.hstack(sides), lines))
    columns = min(_COLUMNS, len(tiles))
    blank = np.full_like(tiles[0], 255)
    tiles += [blank] * (-len(tiles) % columns)
    rows = [np.hstack(tiles[start : start + columns]) for start in range(0, len(tiles), columns)]
    # The crops' names, digests of their items in them: forgetting an item finds the picture by these.
    named = PngInfo()
    named.add_text("crops", "\n".join([*shown["aside_crop"], *shown["kept_crop"]]))
    Image.fromarray(np.vstack(rows)).save(path, pnginfo=named)


def _tile(pictures: RGBImage, lines: list[str]) -> RGBImage:
    framed = cv2.copyMakeBorder(
        pictures, _TEXT_PX, _MARGIN_PX, _MARGIN_PX, _MARGIN_PX, cv2.BORDER_CONSTANT, value=(255, 255, 255)
    )
    for number, line in enumerate(lines):
        origin = (_MARGIN_PX, 14 + 14 * number)
        cv2.putText(framed, line, origin, cv2.FONT_HERSHEY_SIMPLEX, 0.36, (0, 0, 0), 1, cv2.LINE_AA)
    return np.asarray(framed, dtype=np.uint8)
