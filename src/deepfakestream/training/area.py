"""Where a picture is forged, learnt beside whether it is: a loss at each place of the feature map.

One label a picture lets a network with few faces to learn from find that label in the person or the room.
Asked place by place it has to look at the forgery itself (face X-ray, Li et al., CVPR 2020; PCL, Zhao et al.,
ICCV 2021). Masks need not be stored: a pair is augmented alike, so the forged area is where its two pictures
differ. The heads that say it are left behind after training.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from deepfakestream.model.network import DetectorNetwork

CELLS_A_PLACE = 4
"""Pictures are compared in cells, this many squared to a place of the feature map."""
FORGED_SHARE = 0.2
"""A cell is forged where it differs by this share of the pair's greatest difference."""
MIN_DIFFERENCE = 1.5
"""Grey levels: less is the noise of coding."""
MIN_GREATEST_DIFFERENCE = 2.5
"""Grey levels: below it nothing of the forgery is left to be seen."""
MAX_FORGED_BORDER = 0.3
"""Share of the upper, left and right border: above it the pair does not line up, and tells of no area."""


class AreaLearner(nn.Module):
    """A network in training; where asked for, a head beside each stream says what is forged where."""

    def __init__(self, network: DetectorNetwork, *, tells_where: bool) -> None:
        super().__init__()
        self.network = network
        widths = network.widths if tells_where else {}
        self.heads = nn.ModuleDict({name: nn.Conv2d(width, 1, 1) for name, width in widths.items()})

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return logits a picture, `(N,)`, and where heads tell, a place, `(N, streams, h, w)`."""
        maps = self.network.feature_maps(pixels)
        places = [head(maps[name]) for name, head in self.heads.items()]
        return self.network.judge(maps), torch.cat(places, dim=1) if places else None


def area_loss(places: Tensor, pixels: Tensor) -> Tensor:
    """Return the mean cross-entropy over the places of the pictures whose forged area is known.

    Args:
        places: `(2 N, streams, h, w)` logits.
        pixels: `(2 N, 3, S, S)`, a real and its fake in turn.
    """
    height, width = places.shape[2:]
    area, known = forged_area(pixels.reshape(-1, 2, *pixels.shape[1:]), (height, width))
    targets = torch.stack([torch.zeros_like(area), area], dim=1).flatten(0, 1).unsqueeze(1)
    weights = torch.stack([torch.ones_like(known), known], dim=1).flatten()
    each = functional.binary_cross_entropy_with_logits(
        places, targets.expand_as(places), reduction="none"
    ).mean(dim=(1, 2, 3))
    return (weights * each).sum() / weights.sum()


def forged_area(pairs: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Return where fakes differ from their reals.

    Args:
        pairs: `(N, 2, 3, S, S)` reals and fakes, 0-255.
        size: height and width of the feature map.

    Returns:
        The forged share of each place, `(N, height, width)`; and 1.0 where it is known, else 0.0, `(N,)`.
    """
    difference = (pairs[:, 1] - pairs[:, 0]).abs().mean(dim=1)
    cells = functional.adaptive_avg_pool2d(difference, (CELLS_A_PLACE * size[0], CELLS_A_PLACE * size[1]))
    greatest = cells.amax(dim=(1, 2))
    forged = ((cells > FORGED_SHARE * greatest[:, None, None]) & (cells > MIN_DIFFERENCE)).float()
    border = torch.cat([forged[:, 0], forged[:, :, 0], forged[:, :, -1]], dim=1).mean(dim=1)
    known = (greatest > MIN_GREATEST_DIFFERENCE) & (border < MAX_FORGED_BORDER)
    return functional.avg_pool2d(forged, CELLS_A_PLACE), known.float()
