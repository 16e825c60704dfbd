"""The accurate detector: the network and a tuned image tower, their logits standardised and averaged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from deepfakestream.errors import WeightsError
from deepfakestream.faces.types import FaceCrop
from deepfakestream.host.device import resolve_device
from deepfakestream.model.folder import TOWER_GRAPH_FILE, TUNED_FILE
from deepfakestream.model.scorer import Crops, FaceScorer, FaceScores, Logits, ModelInfo, open_scorer
from deepfakestream.model.spec import DetectorSpec, ExpertSpec, NetworkSpec, Standardisation, read_spec
from deepfakestream.model.tower.runtime import TowerRuntime, open_tower
from deepfakestream.model.tower.sources import find_tower, read_tower, tower_path

if TYPE_CHECKING:
    from deepfakestream.model.network import DetectorNetwork

TOWER_BATCH_SIZE = 8
DetectorChoice = Literal["auto", "fast", "accurate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FusedScorer:
    """A loaded accurate detector. Its spec has the calibration and operating points of both together."""

    fast: FaceScorer
    tower: TowerRuntime
    spec: DetectorSpec
    info: ModelInfo
    expert: ExpertSpec
    tower_file: Path
    """File with the tower's weights."""

    @property
    def wide_scale(self) -> float:
        """Side of the wider crops that the tower sees, over the longer side of the box."""
        return self.expert.wide_scale

    def face_scores(self, crops: Sequence[FaceCrop]) -> FaceScores:
        """Return logits of the faces of one file, and the network's embeddings of them; N may be 0.

        Raises:
            ValueError: a face has no wide crop.
        """
        if not crops:
            return FaceScores(np.empty(0, dtype=np.float32))
        network = self.fast.face_scores(crops)
        return network._replace(logits=self.fuse(network.logits, self._logits_of_tracks(crops)))

    def fuse(self, network: NDArray[np.floating], tower: NDArray[np.floating]) -> Logits:
        """Return the weighted mean `(N,)` of standardised logits.

        Args:
            network: `(N,)` logits of the network.
            tower: `(N,)` logits of the tower, or one for all.
        """
        share = self.expert.network_weight
        ours, theirs = self.expert.network_logits, self.expert.tower_logits
        fused = share * _standardised(network, ours) + (1.0 - share) * _standardised(tower, theirs)
        return fused.astype(np.float32)

    def tower_logits(self, wide: Crops) -> Logits:
        """Return the tower's own logits `(N,)`, not standardised.

        Args:
            wide: `(N, S, S, 3)` crops at `wide_scale`, RGB, 0-255.
        """
        pixels = np.ascontiguousarray(wide.transpose(0, 3, 1, 2), np.float32)
        starts = range(0, len(pixels), TOWER_BATCH_SIZE)
        return np.concatenate([self.tower(pixels[start : start + TOWER_BATCH_SIZE]) for start in starts])

    def _logits_of_tracks(self, crops: Sequence[FaceCrop]) -> NDArray[np.float64]:
        """Return the tower's logit of each face: scored, or interpolated between scored ones of its track."""
        tracks = np.array([crop.track_id for crop in crops])
        members_of = {track: np.flatnonzero(tracks == track) for track in np.unique(tracks)}
        chosen = {
            track: np.unique(np.linspace(0, len(members) - 1, self.expert.max_faces).round().astype(int))
            if len(members) > self.expert.max_faces
            else np.arange(len(members))
            for track, members in members_of.items()
        }
        scored = np.concatenate([members_of[track][chosen[track]] for track in members_of])
        logits = np.full(len(crops), np.nan)
        wide = [crops[index].wide_rgb for index in scored]
        if any(each is None for each in wide):
            raise ValueError("a face has no wide crop; extract faces with the scorer's wide_scale")
        logits[scored] = self.tower_logits(np.stack(wide))
        for track, members in members_of.items():
            known = chosen[track]
            logits[members] = np.interp(np.arange(len(members)), known, logits[members[known]])
        return logits


def tower_to_use(directory: Path, choice: DetectorChoice, cache_dir: Path | None) -> Path | None:
    """Return the tower's file where the model's scores need it, or None for the fast detector.

    A model of the variant `tower` needs it whatever the choice, and the file need not be there.

    Args:
        directory: model folder.
        choice: `auto` takes the accurate detector where the model has one and its tower was fetched.
        cache_dir: folder that the tower was fetched to; None: the user's cache folder.

    Raises:
        WeightsError: the accurate detector was asked for and is not to be had.
    """
    spec = read_spec(directory)
    if spec.network.variant == "tower":
        return tower_path(cache_dir)
    if choice == "fast":
        return None
    tower = find_tower(cache_dir)
    has_expert = spec.expert is not None
    if choice == "accurate" and not has_expert:
        raise WeightsError(f"{directory}: this model has no accurate detector; use --model fast")
    if choice == "accurate" and tower is None:
        raise WeightsError(
            f"{tower_path(cache_dir)}: missing; run 'deepfakestream model fetch accurate' or use --model fast"
        )
    return tower if has_expert else None


def open_fused_scorer(
    directory: Path, tower: Path, *, device: str = "auto", version: str = "0"
) -> FusedScorer:
    """Return the accurate detector of a model folder, ready to score.

    Args:
        directory: model folder.
        tower: file with the tower's weights, as `fetch_tower` makes it.
        device: auto, cpu or cuda.
        version: what results call the model's version.

    Raises:
        WeightsError: a file is missing or damaged, or the model has no accurate detector.
        ParamsError: a GPU was asked for and there is none.
    """
    network = open_scorer(directory, device=device, version=version)
    expert = network.spec.expert
    if expert is None:
        raise WeightsError(f"{directory}: this model has no accurate detector; use the fast one")
    if resolve_device(device) == "cuda":
        runtime = _torch_tower(directory, tower)
    else:
        runtime = open_tower(directory / TOWER_GRAPH_FILE, directory / TUNED_FILE, tower)
    update = {"calibration": expert.calibration, "operating_points": expert.operating_points}
    return FusedScorer(
        fast=network,
        tower=runtime,
        spec=network.spec.model_copy(update=update),
        info=network.info.model_copy(update={"detector": "accurate"}),
        expert=expert,
        tower_file=tower,
    )


def _standardised(logits: NDArray[np.floating], spec: Standardisation) -> NDArray[np.float64]:
    return (np.asarray(logits, dtype=np.float64) - spec.mean) / spec.std


def load_tower_network(directory: Path, tower: Path) -> DetectorNetwork:
    """Return the tuned tower of an accurate detector as a network of one stream, in evaluation mode.

    Args:
        directory: model folder.
        tower: file with the tower's weights.
    """
    from safetensors.torch import load_file

    from deepfakestream.model.network import create_network
    from deepfakestream.model.tower.network import BACKBONE, load_tower_weights

    network = create_network(
        NetworkSpec(variant="tower", backbone=BACKBONE, global_pool="avg", drop_rate=0.0)
    )
    load_tower_weights(network, read_tower(tower))
    network.load_state_dict(load_file(directory / TUNED_FILE), strict=False)
    return network.eval()


def _torch_tower(directory: Path, tower: Path) -> TowerRuntime:
    import torch

    network = load_tower_network(directory, tower).cuda()

    def run(pixels: NDArray[np.float32]) -> Logits:
        with torch.inference_mode():
            logits: Logits = network(torch.from_numpy(pixels).cuda()).float().cpu().numpy()
        return logits

    return run
