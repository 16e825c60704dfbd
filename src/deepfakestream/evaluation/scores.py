"""Scores of files from a crop store: one row a file, with what the drift reference needs.

Evaluation and promotion score with the same function, and with the same aggregation as scan and service.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deepfakestream.data.crop_store import decode_image, read_crop_table, read_images
from deepfakestream.data.extraction.crop_assembly import spec_differences
from deepfakestream.data.extraction.face_store import read_stored
from deepfakestream.data.manifest import read_manifest
from deepfakestream.errors import DataError, WeightsError
from deepfakestream.evaluation.skin_tone import ita_deg
from deepfakestream.faces.types import ExtractionSpec
from deepfakestream.host.progress import progress_bar
from deepfakestream.media.types import RGBImage
from deepfakestream.model.aggregation import aggregate, calibrate
from deepfakestream.model.embedding import to_bytes
from deepfakestream.model.scorer import CropScorer, FaceScores
from deepfakestream.model.spec import DetectorSpec
from deepfakestream.scanning.features import FEATURE_NAMES, media_features

BATCH_SIZE = 64
IDENTITY_COLUMNS = ("media_id", "label", "manipulation", "group_id", "source", "original_name")
SCORE_COLUMNS = ("p_fake", "logit", "p_fake_low", "p_fake_high")
SLICE_NUMBERS = ("jpeg_quality", "bits_per_px", "ita_deg", "abs_yaw_deg")
SLICE_COLUMNS = ("codec", *SLICE_NUMBERS)
"""What slices are cut by, besides the drift features; null where the file or its faces do not say."""
FACE_COLUMNS = ("crop_id", "media_id", "label", "group_id")

TEST_SPLIT = "test"
SCORED_COLUMNS = ["media_id", "track_id", "score", "face_px", "sharpness", "luma"]
"""Of faces from the store: what `score_media` reads of them."""


def score_crops(
    scorer: CropScorer, images: Iterable[RGBImage], *, total: int, description: str
) -> FaceScores:
    """Return logits and embeddings of face crops, `total` in their order; a bar shows the progress.

    The pictures are read batch by batch: a store larger than the memory is no problem.

    Args:
        scorer: the model.
        images: crops `(S, S, 3)`, RGB, 0-255.
        total: number of crops.
        description: what the progress bar says.

    Raises:
        WeightsError: the model gave a score that is not a number.
    """
    remaining = iter(images)
    batches = range(0, total, BATCH_SIZE)
    scores = [
        scorer.scores(np.stack(list(islice(remaining, BATCH_SIZE))))
        for _ in progress_bar(batches, description=description, total=len(batches), unit="batch")
    ]
    found = np.concatenate([each.logits for each in scores]) if scores else np.empty(0, dtype=np.float32)
    if not np.isfinite(found).all():  # in the table NaN would read as "no face"
        raise WeightsError(
            "the model gave a score that is not a number; train again with a lower learning rate"
        )
    embeddings = [each.embeddings for each in scores if each.embeddings is not None]
    return FaceScores(found, np.concatenate(embeddings) if embeddings else None)


def score_media(
    media: pd.DataFrame, crops: pd.DataFrame, logits: NDArray[np.floating], spec: DetectorSpec
) -> pd.DataFrame:
    """Return the score of each file; NaN where it has no face crop.

    Args:
        media: rows of the manifest, one a file; all of them are in the result.
        crops: rows of the crop table that belong to them; `embedding`, where there is one, is an array.
        logits: `(len(crops),)`, in the order of `crops`.
        spec: aggregation and calibration of the model that made the logits.

    Returns:
        One row a file, ordered by `media_id`: who it is (`IDENTITY_COLUMNS`), `is_crop`, the score
        (`SCORE_COLUMNS`), the drift features (`scan.features.FEATURE_NAMES`), what else slices need
        (`SLICE_COLUMNS`), and `embedding`: the mean over the faces as bytes, or None.
    """
    scored = crops.assign(logit=logits)
    by_media = {str(media_id): rows for media_id, rows in scored.groupby("media_id")}
    nothing = scored.iloc[:0]
    rows = []
    for item in media.sort_values("media_id").to_dict("records"):
        faces = by_media.get(item["media_id"], nothing)
        identity = {name: item[name] for name in IDENTITY_COLUMNS}
        score = {}
        if not faces.empty:
            found = aggregate(faces["logit"].to_numpy(), faces["track_id"].to_numpy(), spec)
            low, high = found.interval or (float("nan"), float("nan"))
            score = dict(zip(SCORE_COLUMNS, (found.p_fake, found.logit, low, high), strict=True))
        is_crop = {"is_crop": item["kind"] == "crop"}
        embedding = None
        if not faces.empty and "embedding" in faces:
            embedding = to_bytes(np.mean(np.stack(faces["embedding"].to_list()), axis=0))
        measured = _features(item, faces) | _slice_values(item, faces)
        rows.append(identity | is_crop | score | measured | {"embedding": embedding})
    columns = [*IDENTITY_COLUMNS, "is_crop", *SCORE_COLUMNS, *FEATURE_NAMES, *SLICE_COLUMNS, "embedding"]
    numbers = dict.fromkeys((*SCORE_COLUMNS, *FEATURE_NAMES, *SLICE_NUMBERS), "float64")
    return pd.DataFrame(rows, columns=columns).astype(numbers)


def score_faces(crops: pd.DataFrame, logits: NDArray[np.floating], spec: DetectorSpec) -> pd.DataFrame:
    """Return one row a face crop: `FACE_COLUMNS` and its `p_fake`, for metrics of single frames.

    Args:
        crops: rows of the crop table.
        logits: `(N,)` log-odds of a fake.
        spec: of the model.
    """
    return crops[list(FACE_COLUMNS)].assign(p_fake=calibrate(np.asarray(logits), spec.calibration))


def _features(item: dict[Any, Any], faces: pd.DataFrame) -> dict[str, float]:
    return media_features(
        face_px=faces["face_px"],
        sharpness=faces["sharpness"],
        luma=faces["luma"],
        score=faces["score"],
        track_ids=[int(track_id) for track_id in faces["track_id"]],
        width_px=item["width_px"],
        height_px=item["height_px"],
        duration_s=item["duration_s"],
        fps=item["fps"],
        size_bytes=item["size_bytes"],
    )


def _slice_values(item: dict[Any, Any], faces: pd.DataFrame) -> dict[str, Any]:
    codec = item.get("codec")
    size, duration, fps = (_number(item.get(name)) for name in ("size_bytes", "duration_s", "fps"))
    pixels = duration * fps * _number(item.get("width_px")) * _number(item.get("height_px"))
    bits_per_px = 8.0 * size / pixels if pixels > 0 else float("nan")
    return {
        "codec": codec if isinstance(codec, str) else None,
        "jpeg_quality": _number(item.get("jpeg_quality")),
        "bits_per_px": bits_per_px,
        "ita_deg": _median(_known(faces, "ita_deg")),
        "abs_yaw_deg": _median(np.abs(_known(faces, "yaw_deg"))),
    }


def _known(faces: pd.DataFrame, column: str) -> NDArray[np.float64]:
    return faces[column].dropna().to_numpy(dtype=np.float64) if column in faces else np.empty(0)


def _median(values: NDArray[np.float64]) -> float:
    return float(np.median(values)) if len(values) else float("nan")


def _number(value: Any) -> float:
    return float("nan") if value is None or pd.isna(value) else float(value)


def read_items(data_dir: Path, *, split: str = TEST_SPLIT) -> pd.DataFrame:
    """Return the manifest's rows of a split, ordered by `media_id`, those without a face too.

    Args:
        data_dir: folder of the dataset.
        split: train, val or test.

    Raises:
        DataError: nothing has been ingested, or no item is in the split.
    """
    manifest = read_manifest(data_dir)
    items = manifest[manifest["split"] == split].sort_values("media_id").reset_index(drop=True)
    if items.empty:
        raise DataError(
            f"{data_dir}: none of {len(manifest)} items is in the {split} split; raise "
            f"ingest.split_fractions.{split} in params.yaml or ingest more source groups"
        )
    return items


def score_from_store(
    items: pd.DataFrame, scorer: CropScorer, extract_dir: Path, *, description: str = "score"
) -> pd.DataFrame:
    """Return the scores of items from `artifacts/extract`; the columns are those of `score_media`.

    All crops count, also those that validation excluded from training: the service would score them too.

    Args:
        items: rows of the manifest.
        scorer: the model.
        extract_dir: folder with the crops.
        description: of the progress bar.

    Raises:
        DataError: the crops are missing, or were made otherwise than the model expects.
    """
    faces = score_stored_faces(items, scorer, extract_dir, description=description)
    return score_media(items, faces, faces["logit"].to_numpy(), scorer.spec)


def score_stored_faces(
    items: pd.DataFrame, scorer: CropScorer, extract_dir: Path, *, description: str = "score"
) -> pd.DataFrame:
    """Return the crop table's rows of items, each with `logit`, `ita_deg` and, if any, `embedding`.

    Args:
        items: rows of the manifest.
        scorer: the model.
        extract_dir: folder with the crops.
        description: of the progress bar.

    Raises:
        DataError: the crops are missing, or were made otherwise than the model expects.
    """
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
    scores = score_crops(scorer, images, total=len(crops), description=description)
    scored = crops.assign(logit=scores.logits, ita_deg=np.array(tones, dtype=np.float64))
    return scored if scores.embeddings is None else scored.assign(embedding=list(scores.embeddings))


def _noting_tones(images: Iterable[RGBImage], tones: list[float]) -> Iterator[RGBImage]:
    """Pass pictures on; their skin tones are measured on the way, so that each is read once."""
    for image in images:
        tones.append(ita_deg(image))
        yield image


def score_items(
    items: pd.DataFrame,
    scorer: CropScorer,
    extract_dir: Path,
    *,
    extract: Callable[[pd.DataFrame, ExtractionSpec], Mapping[str, Path]],
    description: str,
) -> pd.DataFrame:
    """Return the scores of items as `score_from_store` does, whatever crops the model expects.

    A champion of older extraction parameters gets the crops it was trained for: they are made again from the
    media, or come from the face store.

    Args:
        items: rows of the manifest.
        scorer: the model.
        extract_dir: folder with the crops of today's parameters.
        extract: finds the faces of items by a spec; returns the file of the face store by `media_id`.
        description: of the progress bar.

    Raises:
        DataError: crops or media are missing or damaged.
        WeightsError: the weights of the face detector that the model expects are missing.
    """
    spec = scorer.spec.extraction
    if not spec_differences(spec, extract_dir):
        return score_from_store(items, scorer, extract_dir, description=description)
    stored = extract(items, spec)
    faces = [
        {"media_id": media_id, **face}
        for media_id in items["media_id"]
        for face in read_stored(stored[media_id], media_id).faces
    ]
    images = (decode_image(face["image"], name=f"face of item {face['media_id']}") for face in faces)
    scores = score_crops(scorer, images, total=len(faces), description=description)
    return score_media(items, pd.DataFrame(faces, columns=SCORED_COLUMNS), scores.logits, scorer.spec)
