"""From a feature map to a feature vector."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional


class AveragePooling(nn.Module):
    """Mean over positions: `(N, C, H, W)` to `(N, C)`."""

    def forward(self, features: Tensor) -> Tensor:
        """Return the pooled features `(N, C)`.

        Args:
            features: `(N, C, H, W)`.
        """
        return features.mean(dim=(2, 3))


class WeightedAveragePooling(nn.Module):
    """Global weighted average pooling (GWAP; Qiu, 2018, arXiv 1809.08264): a learned weight a position.

    The weights start equal, so that an untrained layer is the plain average.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.score = nn.Conv2d(channels, 1, kernel_size=1)
        nn.init.zeros_(self.score.weight)
        nn.init.zeros_(self.score.bias)  # type: ignore[arg-type]

    def forward(self, features: Tensor) -> Tensor:
        """Return the pooled features `(N, C)`.

        Args:
            features: `(N, C, H, W)`.
        """
        weights = self.weights(features)
        return (features * weights).sum(dim=(2, 3))

    def weights(self, features: Tensor) -> Tensor:
        """Return the weight of each position, `(N, 1, H, W)`; they sum to 1 over a picture."""
        positive = functional.softplus(self.score(features))
        normalised: Tensor = positive / positive.sum(dim=(2, 3), keepdim=True)
        return normalised


def create_pooling(kind: Literal["avg", "gwap"], channels: int) -> nn.Module:
    """Return the pooling layer of that name.

    Args:
        kind: avg or gwap.
        channels: of the feature map.
    """
    return WeightedAveragePooling(channels) if kind == "gwap" else AveragePooling()
