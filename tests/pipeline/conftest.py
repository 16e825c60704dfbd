"""A workspace in which everything is real but small: 8 px crops, a model that looks at brightness alone."""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from deepfakestream.data.crop_store import encode_image
from deepfakestream.data.extraction.crop_assembly import assemble
from deepfakestream.data.extraction.face_store import StoredFaces
from deepfakestream.data.manifest import to_frame, write_manifest
from deepfakestream.faces.types import ExtractionSpec
from deepfakestream.model.spec import (
    AggregationSpec,
    CalibrationSpec,
    DetectorSpec,
    NetworkSpec,
    NormalisationSpec,
    OperatingPoint,
    write_spec,
)
from deepfakestream.settings import Settings

CROP_PX = 8
EXTRACTION = ExtractionSpec(
    detector="retinaface_mnet025",
    num_frames=2,
    min_face_px=4,
    min_score=0.5,
    max_faces_per_frame=4,
    crop_scale=1.0,
    crop_size_px=CROP_PX,
)
SPEC = DetectorSpec(
    network=NetworkSpec(variant="rgb", backbone="none", global_pool="avg", drop_rate=0.0),
    normalisation=NormalisationSpec(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
    extraction=EXTRACTION,
    aggregation=AggregationSpec(frames="mean", tracks="max", min_track_frames=1),
    calibration=CalibrationSpec(slope=1.0, intercept=0.0),
    operating_points={
        "balanced": OperatingPoint(
            threshold=0.5, inconclusive_from=0.4, fpr=None, tpr=None, measured_on="none"
        )
    },
    trained_on="made up brightness",
)


def write_brightness_model(directory: Path, *, slope: float, name: str = "model") -> None:
    """Write a model folder with logit `slope * (mean pixel - 128) / 32`; `name` makes its weights differ."""
    directory.mkdir(parents=True, exist_ok=True)
    nodes = [
        helper.make_node("ReduceMean", ["pixels"], ["mean"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Sub", ["mean", "centre"], ["centred"]),
        helper.make_node("Mul", ["centred", "slope"], ["logits"]),
    ]
    constants = [
        helper.make_tensor("centre", TensorProto.FLOAT, [], [128.0]),
        helper.make_tensor("slope", TensorProto.FLOAT, [], [slope / 32.0]),
    ]
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["n", 3, CROP_PX, CROP_PX])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n"])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=9)
    (directory / "model.onnx").write_bytes(model.SerializeToString(deterministic=True))
    (directory / "model.safetensors").write_bytes(f"{name} {slope}".encode())
    write_spec(SPEC, directory)


def _item(index: int, label: str) -> dict[str, Any]:
    return {
        "media_id": f"{index:064x}",
        "path": f"items/{index}.png",
        "kind": "crop",
        "label": label,
        "manipulation": "none" if label == "real" else "swap",
        "group_id": f"group-{index // 2}",
        "split": "test" if index % 4 < 2 else "train",
        "source": "made-up",
        "licence": "none",
        "original_name": f"{index}.png",
        "size_bytes": 10,
        "width_px": CROP_PX,
        "height_px": CROP_PX,
        "codec": "png",
        "ingested_at": "2026-01-01T00:00:00+00:00",
        "tool_version": "0",
    }


def _faces(media_id: str, levels: Sequence[float]) -> StoredFaces:
    faces = tuple(
        {
            "frame_index": frame,
            "time_s": float(frame),
            "track_id": 0,
            "box_xyxy": [0.0, 0.0, 8.0, 8.0],
            "landmarks_xy": [4.0] * 10,
            "score": 0.99,
            "face_px": 8.0,
            "sharpness": level,
            "luma": level,
            "image": encode_image(np.full((CROP_PX, CROP_PX, 3), level, dtype=np.uint8)),
        }
        for frame, level in enumerate(levels)
    )
    return StoredFaces(media_id=media_id, num_frames=2, notes=(), faces=faces)


def build_workspace(
    root: Path, empty_store: Path, *, num_items: int = 80, num_without_face: int = 0, slope: float = 1.0
) -> Settings:
    """Make a workspace with items, crops and a trained model; fakes are brighter than reals."""
    settings = Settings(workspace=root, device="cpu", tracking_uri=None)
    settings.work_dir.mkdir(exist_ok=True)
    shutil.copyfile(empty_store, settings.work_dir / "mlflow.db")
    items = [_item(index, "fake" if index % 2 else "real") for index in range(num_items)]
    settings.data_dir.mkdir(exist_ok=True)
    write_manifest(settings.data_dir, to_frame(items))
    rng = np.random.default_rng(3)
    results = []
    for index, item in enumerate(items):
        level = np.clip(rng.normal(150 if item["label"] == "fake" else 106, 28, size=2), 0, 255)
        results.append((item, _faces(item["media_id"], level.round() if index >= num_without_face else [])))
    rows = to_frame(items).set_index("media_id", drop=False).astype(object)
    rows = rows.where(rows.notna(), None)
    assemble(
        settings.artifacts_dir / "extract",
        [(rows.loc[item["media_id"]].to_dict(), stored) for item, stored in results],
        shard_size=64,
        spec=EXTRACTION,
    )
    train_dir = settings.artifacts_dir / "train"
    write_brightness_model(train_dir, slope=slope)
    (train_dir / "run.json").write_text(json.dumps({"run_id": "unknown-run", "experiment": "x"}))
    return settings


@pytest.fixture
def make_workspace(tmp_path: Path, empty_store: Path) -> Callable[..., Settings]:
    """The function `build_workspace`, for the test's own folder."""
    return functools.partial(build_workspace, tmp_path, empty_store)


@pytest.fixture(scope="session")
def make_template(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Callable[..., Settings]:
    """The function `build_workspace`, for a new folder that several tests copy."""
    return lambda **options: build_workspace(tmp_path_factory.mktemp("template"), empty_store, **options)


@pytest.fixture
def copy_of(tmp_path: Path) -> Callable[[Settings], Settings]:
    """Copy a workspace to the test's own folder: making one takes seconds, copying it does not."""

    def copy(template: Settings) -> Settings:
        shutil.copytree(template.workspace, tmp_path, dirs_exist_ok=True)
        return template.model_copy(update={"workspace": tmp_path})

    return copy


@pytest.fixture(scope="session")
def write_model() -> Callable[..., None]:
    """Write another trained model into a folder."""
    return write_brightness_model
