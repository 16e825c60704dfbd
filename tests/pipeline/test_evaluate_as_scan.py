"""The same file gets the same score from evaluate and from scan: real detector, real model, real faces."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import pandas as pd
import pytest
from media_info import info_of
from skimage.data import astronaut

from deepfakestream.data.extraction.params import ExtractParams
from deepfakestream.data.manifest import to_frame, write_manifest
from deepfakestream.evaluation.params import EvaluateParams
from deepfakestream.host.digest import sha256_file
from deepfakestream.model.embedding import from_bytes
from deepfakestream.model.packaged import packaged_model_dir
from deepfakestream.model.spec import read_spec
from deepfakestream.pipeline import evaluate, extract, promote
from deepfakestream.promotion.params import PromoteParams
from deepfakestream.scanning.engine import open_engine
from deepfakestream.settings import Settings

pytestmark = pytest.mark.slow
SAMPLES = Path(__file__).parents[2] / "build" / "sample-media" / "feat" / "tests" / "data"


def _media(directory: Path) -> list[Path]:
    """Make or copy the test's files: portraits in two sizes, and a clip where `make setup` fetched one."""
    directory.mkdir(parents=True)
    portrait = cv2.cvtColor(astronaut(), cv2.COLOR_RGB2BGR)
    paths = []
    for scale in (1.0, 0.8):
        paths.append(directory / f"portrait-{scale}.png")
        cv2.imwrite(
            str(paths[-1]), cv2.resize(portrait, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        )
    if (SAMPLES / "single_face.mp4").exists():
        paths.append(Path(shutil.copy(SAMPLES / "single_face.mp4", directory)))
    return paths


def _row(path: Path, data_dir: Path, label: str) -> dict[str, Any]:
    info = info_of(path)
    return {
        "media_id": sha256_file(path),
        "path": str(path.relative_to(data_dir)),
        "kind": info.kind,
        "label": label,
        "manipulation": "none" if label == "real" else "made up",
        "group_id": path.stem,
        "split": "test",
        "source": "sample",
        "licence": "test only",
        "original_name": path.name,
        "size_bytes": info.size_bytes,
        "width_px": info.width_px,
        "height_px": info.height_px,
        "codec": info.codec,
        "duration_s": info.duration_s,
        "fps": info.fps,
        "ingested_at": "2026-01-01T00:00:00+00:00",
        "tool_version": "0",
    }


def test_same_score_and_features(make_workspace: Callable[..., Settings]) -> None:
    settings = make_workspace()
    shutil.rmtree(settings.artifacts_dir)
    paths = _media(settings.data_dir / "sample")
    rows = [
        _row(path, settings.data_dir, label)
        for path, label in zip(paths, ("real", "fake", "real"), strict=False)
    ]
    write_manifest(settings.data_dir, to_frame(rows))
    model_dir = settings.artifacts_dir / "train"
    shutil.copytree(packaged_model_dir(), model_dir)
    spec = read_spec(model_dir).extraction
    extract.run(ExtractParams(**vars_of(spec), shard_size=64), settings=settings)

    evaluate.run(EvaluateParams(num_bootstrap=10, robustness_faces=0), settings=settings)
    scores = pd.read_parquet(settings.artifacts_dir / "evaluate" / "scores.parquet").set_index("media_id")
    engine = open_engine(model_dir, "0", operating_point="balanced", device=settings.device)
    for path in paths:
        scanned, evaluated = engine.scan(path), scores.loc[sha256_file(path)]
        assert scanned.p_fake == pytest.approx(evaluated["p_fake"], abs=1e-5), path.name
        for name, value in scanned.features.items():
            assert value == pytest.approx(evaluated[name], rel=1e-4, abs=1e-4), f"{path.name} {name}"
        assert scanned.embedding == pytest.approx(
            from_bytes(evaluated["embedding"]).tolist(), rel=1e-2, abs=1e-3
        )

    decision = promote.run(PromoteParams(min_auc=0.0, max_ece=1.0), settings=settings).decision
    assert decision is not None
    assert decision.difference is not None
    assert decision.difference.challenger_auc == decision.difference.champion_auc  # version 0 both


def vars_of(spec: object) -> dict[str, Any]:
    """Return the fields of an extraction spec, which are the parameters of the same names."""
    return {name: getattr(spec, name) for name in ExtractParams.model_fields if name != "shard_size"}
