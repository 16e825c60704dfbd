"""The last layer refitted by logistic regression, once the streams below it are final.

Dropout, averaged weights and an end chosen on validation leave a head that does not fit the features that it
ends up with; fitting it alone is a convex problem of seconds and needs no new data (last layer re-training,
Kirichenko et al., ICLR 2023).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from deepfakestream.model.network import DetectorNetwork
from deepfakestream.training.distributed import DistributedContext
from deepfakestream.training.loading import pair_loader
from deepfakestream.training.pairs import DrawSampler, PairDataset

PENALTY = 1.0 / 6.0
"""Of half the squared weights of standardised features, against the mean loss of a face."""
MAX_ITERATIONS = 1000
BATCH_PAIRS = 16


def refit_head(
    network: DetectorNetwork,
    draws: Sequence[tuple[PairDataset, DrawSampler]],
    *,
    num_workers: int,
    context: DistributedContext,
) -> None:
    """Replace the network's head by the one that fits the drawn pairs best, with a penalty.

    Args:
        network: on the context's device; only its head changes, and in every process alike.
        draws: pairs, and this process's share of them; best ones that training has not drawn.
        num_workers: processes that make pairs, for each one of the context.
        context: computes features, each process those of its share.
    """
    shares = [_features(network, pairs, sampler, num_workers, context.device) for pairs, sampler in draws]
    features = np.concatenate(context.gather(np.concatenate(shares)))
    labels = np.tile([False, True], len(features) // 2)
    scale = StandardScaler().fit(features)
    fit = LogisticRegression(C=1.0 / (PENALTY * len(features)), max_iter=MAX_ITERATIONS)
    fit.fit(scale.transform(features), labels)
    weight = fit.coef_[0] / scale.scale_
    with torch.no_grad():
        network.head.weight.copy_(torch.from_numpy(weight)[None])
        network.head.bias.fill_(float(fit.intercept_[0] - weight @ scale.mean_))


def _features(
    network: DetectorNetwork,
    pairs: PairDataset,
    sampler: DrawSampler,
    num_workers: int,
    device: torch.device,
) -> NDArray[np.float64]:
    """Return the features `(2 N, C)` of reals and fakes in turn."""
    network.eval()
    parts = []
    with torch.inference_mode():
        for batch in pair_loader(pairs, sampler, batch_size=BATCH_PAIRS, num_workers=num_workers):
            pixels = torch.from_numpy(np.asarray(batch)).to(device).flatten(0, 1).float()
            parts.append(network.features(pixels).cpu().numpy())
    return np.concatenate(parts).astype(np.float64)
