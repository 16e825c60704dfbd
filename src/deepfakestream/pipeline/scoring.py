"""Scores of a split by any model folder: the one way in which evaluate and promote read it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

import numpy as np
import pandas as pd

from deepfakestream.data.crop_store import decode_image, read_crop_table, read_images
from deepfakestream.data.extraction.crop_assembly import spec_differences
from deepfakestream.data.extraction.face_filling import fill_store
from deepfakestream.data.extraction.face_store import read_stored
from deepfakestream.data.manifest import read_manifest
from deepfakestream.errors import DataError
from deepfakestream.evaluation.scoring import Scorer, score_crops, score_media
from deepfakestream.evaluation.skin_tone import ita_deg
from deepfakestream.faces.detectors import open_detector
from deepfakestream.media.types import RGBImage
from deepfakestream.settings import Settings

TEST_SPLIT = "test"
SCORED_COLUMNS = ["media_id", "track_id", "score", "face_px", "sharpness", "luma"]
"""Of faces from the store: what `score_media` reads of them."""


def read_test_items(settings: Settings) -> pd.DataFrame:
    """Return the manifest's rows of the test split, as `read_items` does."""
    return read_items(settings, split=TEST_SPLIT)


def read_items(settings: Settings, *, split: str) -> pd.DataFrame:
    """Return the manifest's rows of a split, those without a face too.

    Raises:
        DataError: nothing has been ingested, or no item is in the split.
    """
    manifest = read_manifest(settings.data_dir)
    items = manifest[manifest["split"] == split].sort_values("media_id").reset_index(drop=True)
    if items.empty:
        raise DataError(
            f"{settings.data_dir}: none of {len(manifest)} items is in the {split} split; raise "
            f"ingest.split_fractions.{split} in params.yaml or ingest more source groups"
        )
    return items


def score_from_store(
    items: pd.DataFrame, scorer: Scorer, settings: Settings, *, description: str = "score"
) -> pd.DataFrame:
    """Return the scores of items from `artifacts/extract`; the columns are those of `score_media`.

    All crops count, also those that validation set aside from training: the service would score them too.

    Raises:
        DataError: the crops are missing, or were made otherwise than the model expects.
    """
    faces = score_stored_faces(items, scorer, settings, description=description)
    return score_media(items, faces, faces["logit"].to_numpy(), scorer.spec)


def score_stored_faces(
    items: pd.DataFrame, scorer: Scorer, settings: Settings, *, description: str = "score"
) -> pd.DataFrame:
    """Return the crop table's rows of items, each with its `logit` and `ita_deg`.

    Raises:
        DataError: the crops are missing, or were made otherwise than the model expects.
    """
    extract_dir = settings.extract_dir
    differences = spec_differences(scorer.spec.extraction, extract_dir)
    if differences:
        raise DataError(
            f"{extract_dir}: its crops are not what the model expects ({'; '.join(differences)}); "
            "train again with 'dvc repro train'"
        )
    table = read_crop_table(extract_dir)
    mine = table[table["media_id"].isin(items["media_id"])]
    crops = mine.sort_values(["shard", "row"]).reset_index(drop=True)
    tones: list[float] = []
    images = _noting_tones(read_images(extract_dir, crops), tones)
    logits = score_crops(scorer, images, total=len(crops), description=description)
    return crops.assign(logit=logits, ita_deg=np.array(tones, dtype=np.float64))


def _noting_tones(images: Iterable[RGBImage], tones: list[float]) -> Iterator[RGBImage]:
    """Pass pictures on; their skin tones are measured on the way, so that each is read once."""
    for image in images:
        tones.append(ita_deg(image))
        yield image


def score_items(items: pd.DataFrame, scorer: Scorer, settings: Settings, *, description: str) -> pd.DataFrame:
    """Return the scores of items as `score_from_store` does, whatever crops the model expects.

    A champion of older extraction parameters gets the crops it was trained for: they are made again from the
    media, or come from the face store.

    Raises:
        DataError: crops or media are missing or damaged.
        WeightsError: the weights of the face detector that the model expects are missing.
    """
    spec = scorer.spec.extraction
    if not spec_differences(spec, settings.extract_dir):
        return score_from_store(items, scorer, settings, description=description)
    factory = partial(
        open_detector, spec.detector, weights=settings.retinaface_r50_weights, device=settings.device
    )
    stored, _ = fill_store(items, spec, factory, settings)
    faces = [
        {"media_id": media_id, **face}
        for media_id in items["media_id"]
        for face in read_stored(stored[media_id], media_id).faces
    ]
    images = (decode_image(face["image"], name=f"face of item {face['media_id']}") for face in faces)
    logits = score_crops(scorer, images, total=len(faces), description=description)
    return score_media(items, pd.DataFrame(faces, columns=SCORED_COLUMNS), logits, scorer.spec)
