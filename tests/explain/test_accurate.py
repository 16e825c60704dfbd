"""Explanations of the accurate detector: its own score, its parts, and a map of the tower."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from face_crops import face_crop
from torch.nn.functional import normalize

from deepfakestream.explain.attribution import patch_evidence, pixels_of
from deepfakestream.explain.command import explain_file
from deepfakestream.explain.face import NUM_RANDOM_OF_TOWER, PATCHES, Explainer, FaceExplanation
from deepfakestream.faces.crop import crop_face
from deepfakestream.forge.mesh import FaceMesh
from deepfakestream.model.fused import FusedScorer
from deepfakestream.model.network import DetectorNetwork, create_network
from deepfakestream.model.packaged import packaged_model_dir
from deepfakestream.model.scorer import FaceScorer, ModelInfo, Outputs
from deepfakestream.model.spec import DetectorSpec, NetworkSpec, Standardisation, read_spec
from deepfakestream.model.tower.network import FEATURE_SCALE, TokenPooling
from deepfakestream.model.tower.sources import find_tower
from deepfakestream.scanning.engine import open_engine
from deepfakestream.scanning.model_options import ModelOptions

SIZE_PX, PATCH_PX, WIDE_SCALE = 160, 16, 1.2
BOX = (178.0, 58.0, 273.0, 178.0)


@pytest.fixture(scope="module")
def tower() -> DetectorNetwork:
    """timm's test transformer with random weights, and a head that is not zero."""
    torch.manual_seed(3)
    spec = NetworkSpec(variant="tower", backbone="test_vit", global_pool="avg", drop_rate=0.0)
    network = create_network(spec).eval()
    with torch.no_grad():
        network.head.weight.normal_(std=0.05)
        network.head.bias.fill_(0.7)
    return network


@pytest.fixture(scope="module")
def wide(astronaut) -> np.ndarray:
    return crop_face(astronaut, BOX, scale=WIDE_SCALE, size_px=SIZE_PX, shift_y=0.0)


def run(network: DetectorNetwork, pixels: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return network(torch.from_numpy(pixels)).numpy()


def test_patches_class_token_and_bias_add_up_to_the_towers_logit(tower, wide):
    (cells,) = patch_evidence(tower, wide).values()
    assert cells.shape == (SIZE_PX // PATCH_PX, SIZE_PX // PATCH_PX)
    assert np.ptp(cells) > 0
    with torch.inference_mode():
        tokens = tower.streams["tower"](pixels_of(wide))
        half = FEATURE_SCALE * normalize(tokens[:, 0], dim=1)
        by_class_token = float(half @ tower.head.weight[0, : half.shape[1]])
    total = float(cells.sum()) + by_class_token + tower.head.bias.item()
    assert total == pytest.approx(float(run(tower, pixels_of(wide).numpy())[0]), abs=1e-3)


def test_parts_of_patches_add_up_to_half_of_the_features():
    tokens = torch.zeros(1, 1 + 4, 2)
    tokens[0, 1:, 0] = torch.tensor([1.0, 2.0, 3.0, 4.0])
    parts = TokenPooling().patch_parts(tokens)
    np.testing.assert_allclose(parts[0, :, 0], FEATURE_SCALE * np.array([1, 2, 3, 4]) / 10)
    np.testing.assert_allclose(parts.sum(dim=1), TokenPooling()(tokens)[:, 2:])


@pytest.fixture(scope="module")
def spec() -> DetectorSpec:
    """The packaged model's spec with a small backbone, and numbers of its own for the fusion."""
    packaged = read_spec(packaged_model_dir()).model_dump()
    packaged["network"]["backbone"] = "test_efficientnet"
    packaged["extraction"]["crop_size_px"] = SIZE_PX
    packaged["expert"] |= {
        "wide_scale": WIDE_SCALE,
        "network_logits": Standardisation(mean=0.3, std=0.5),
        "tower_logits": Standardisation(mean=-0.2, std=2.0),
    }
    return DetectorSpec.model_validate(packaged)


@pytest.fixture(scope="module")
def network(spec) -> DetectorNetwork:
    torch.manual_seed(7)
    return create_network(spec.network).eval()


@pytest.fixture(scope="module")
def scorer(spec, network, tower) -> FusedScorer:
    info = ModelInfo(name="stand-in", version="1", weights_sha256="00")
    return FusedScorer(
        fast=FaceScorer(spec=spec, info=info, runtime=lambda pixels: Outputs(run(network, pixels))),
        tower=lambda pixels: run(tower, pixels),
        spec=spec.model_copy(update={"calibration": spec.expert.calibration}),
        info=info,
        expert=spec.expert,
        tower_file=Path("tower"),
    )


@pytest.fixture(scope="module")
def explained(scorer, network, tower, astronaut, wide) -> FaceExplanation:
    crop = crop_face(astronaut, BOX, scale=0.85, size_px=SIZE_PX, shift_y=0.04)
    face = face_crop(crop, wide_rgb=wide, box_xyxy=BOX)
    return Explainer(network=network, scorer=scorer, mesh=FaceMesh(), tower=tower).explain(face)


def test_score_and_parts_are_those_of_both_together(explained, scorer):
    assert explained.logit == pytest.approx(float(scorer.face_scores([explained.face]).logits[0]))
    assert set(explained.stream_logits) == {"bias", "rgb", "stacked", "tower"}
    assert sum(explained.stream_logits.values()) == pytest.approx(explained.logit, abs=1e-3)


def test_the_towers_map_lies_on_its_wider_crop(explained, tower, wide):
    by_method = {each.method: each for each in explained.maps}
    found = by_method[PATCHES]
    assert found.stream == "tower"
    np.testing.assert_array_equal(found.rgb, wide)
    np.testing.assert_array_equal(found.cells, patch_evidence(tower, wide)["tower"])
    assert found.faithfulness.num_random == NUM_RANDOM_OF_TOWER
    for each in explained.maps:
        if each.method != PATCHES:
            np.testing.assert_array_equal(each.rgb, explained.face.rgb)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_with_the_real_tower_the_score_is_the_one_of_scan(astronaut_jpg, tmp_path):
    tower = find_tower(None)
    if tower is None:
        pytest.skip("the image tower is not in the user's cache folder; run make tower")
    written = explain_file(
        astronaut_jpg, ModelOptions(detector="accurate"), out_dir=tmp_path, num_faces=1, compare=False
    )
    scanned = open_engine(packaged_model_dir(), "0", operating_point="balanced", tower=tower).scan(
        astronaut_jpg
    )
    assert written.record["p_fake"] == pytest.approx(scanned.p_fake, abs=1e-5)
    assert written.record["verdict"] == scanned.verdict
    (face,) = json.loads((tmp_path / "explanation.json").read_text())["faces"]
    assert face["p_fake"] == pytest.approx(scanned.tracks[0].faces[0].p_fake, abs=1e-5)
    assert sum(face["logit_by_stream"].values()) == pytest.approx(face["logit"], abs=0.02)
    assert [each["stream"] for each in face["maps"] if each["method"] == PATCHES] == ["tower"]
