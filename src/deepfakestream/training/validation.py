"""What decides between epochs: faces of people that training never saw, with fakes of several kinds.

Kinds are measured one by one and weigh alike, so that a network cannot be chosen for the one kind of fake
that its dataset happens to hold: fakes of the dataset, the same after a video encoder, self-blends, swaps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from deepfakestream.errors import DivergedError
from deepfakestream.forge.degrade import video_world
from deepfakestream.model.network import DetectorNetwork
from deepfakestream.training.distributed import DistributedContext
from deepfakestream.training.face_set import FaceSet
from deepfakestream.training.pairs import PairDataset, PairSpec
from deepfakestream.training.params import FakeMix

MAX_FORGED = 400
SCORE_BATCH = 64
FORGED_KINDS = {
    "self_blend": FakeMix(dataset=0.0, self_blend=1.0, swap=0.0),
    "swap": FakeMix(dataset=0.0, self_blend=0.0, swap=1.0),
}
"""Of fakes that are made here from reals: each with the mix that holds nothing else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledImages:
    """Pictures of one kind of fake and reals to tell them from."""

    images: NDArray[np.uint8]
    is_fake: NDArray[np.bool_]
    groups: NDArray[np.str_]
    """Source group of each picture."""


def validation_sets(faces: FaceSet, *, seed: int) -> dict[str, LabelledImages]:
    """Return the pictures to validate on, by kind; kinds that the split cannot show are left out.

    Args:
        faces: of the split `val`.
        seed: the same seed draws the same.
    """
    sets = {}
    if len(faces.fakes) and faces.is_beside_fakes.any():
        labelled = faces.has_fakes_in_source
        plain = LabelledImages(
            images=faces.images[labelled], is_fake=faces.is_fake[labelled], groups=faces.groups[labelled]
        )
        sets["dataset"] = plain
        images = [
            video_world(image, np.random.default_rng([seed, i])) for i, image in enumerate(plain.images)
        ]
        sets["dataset_coded"] = replace(plain, images=np.stack(images))
    if len(faces.forgeable) > 1:
        for kind, mix in FORGED_KINDS.items():
            sets[kind] = _forged(faces, mix, seed)
    return sets


def _forged(faces: FaceSet, mix: FakeMix, seed: int) -> LabelledImages:
    pairs = PairDataset(faces, PairSpec(mix=mix, augment="none", seed=seed))
    chosen = np.random.default_rng(seed).permutation(faces.forgeable)[:MAX_FORGED]
    made = [pairs.pair(int(p), np.random.default_rng([seed, int(p)])) for p in chosen]
    images = np.stack([real for real, _ in made] + [fake for _, fake in made])
    return LabelledImages(
        images=images,
        is_fake=np.repeat([False, True], len(made)),
        groups=np.tile(faces.groups[chosen], 2),
    )


def logits_of(
    network: DetectorNetwork, images: NDArray[np.uint8], device: torch.device
) -> NDArray[np.float64]:
    """Return the logits `(N,)` of uint8 RGB pictures `(N, S, S, 3)`.

    Args:
        network: in evaluation mode.
        images: crops `(N, S, S, 3)`, RGB, 0-255.
        device: where it runs.
    """
    network.eval()
    parts = []
    with torch.inference_mode():
        for start in range(0, len(images), SCORE_BATCH):
            # Copied, because pictures that map a file are read-only, which tensors cannot be.
            batch = torch.from_numpy(np.array(images[start : start + SCORE_BATCH])).to(device)
            parts.append(network(batch.permute(0, 3, 1, 2).float()).float().cpu().numpy())
    return np.concatenate(parts).astype(np.float64)


def measure_kinds(
    network: DetectorNetwork, sets: dict[str, LabelledImages], context: DistributedContext
) -> dict[str, float]:
    """Return the AUC on each kind, and their mean as `val_auc`; a context shares the pictures.

    Args:
        network: in evaluation mode.
        sets: of pictures by kind.
        context: the processes that train together.

    Raises:
        DivergedError: a score is not a number.
    """

    def by_network(images: NDArray[np.uint8]) -> NDArray[np.float64]:
        return logits_of(network, images, context.device)

    metrics = {}
    for kind, part in sets.items():
        logits = context.scores(by_network, part.images)
        if not np.isfinite(logits).all():
            raise DivergedError(
                f"train.optimisation.learning_rate: training diverged: scores of {kind} are not finite; "
                "lower the rate"
            )
        metrics[f"val_auc_{kind}"] = float(roc_auc_score(part.is_fake, logits))
    return {"val_auc": float(np.mean(list(metrics.values()))), **metrics}
