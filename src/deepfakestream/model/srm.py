"""Steganalysis rich model (SRM) residuals: what is left of a face when its content is predicted away.

The three 5x5 kernels of Zhou et al. (CVPR 2018, "Learning Rich Features for Image Manipulation Detection")
after Fridrich and Kodovsky (2012), in the order KB, KV, H, each summed over the colour channels. They run on
grey levels (0-255) and are truncated at +-3, as in steganalysis; on a 0-1 scale the truncation would never
act.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

TRUNCATION = 3.0

_KB = ((0, 0, 0, 0, 0), (0, -1, 2, -1, 0), (0, 2, -4, 2, 0), (0, -1, 2, -1, 0), (0, 0, 0, 0, 0))
_KV = ((-1, 2, -2, 2, -1), (2, -6, 8, -6, 2), (-2, 8, -12, 8, -2), (2, -6, 8, -6, 2), (-1, 2, -2, 2, -1))
_H = ((0, 0, 0, 0, 0), (0, 0, 0, 0, 0), (0, 1, -2, 1, 0), (0, 0, 0, 0, 0), (0, 0, 0, 0, 0))


def srm_kernels() -> Tensor:
    """Return the kernels as convolution weights of shape `(3 out, 3 in, 5, 5)`; every filter sums to 0."""
    kernels = torch.stack([torch.tensor(_KB) / 4.0, torch.tensor(_KV) / 12.0, torch.tensor(_H) / 2.0])
    return kernels[:, None].repeat(1, 3, 1, 1)


class SRM(nn.Module):
    """Turn pixels `(N, 3, H, W)` on a 0-255 scale into batch-normalised residuals of the same shape."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(srm_kernels(), requires_grad=False)
        self.norm = nn.BatchNorm2d(3)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the residuals, always in the precision of the weights.

        The border is reflected so that it leaves no residual of its own.
        """
        device_type = pixels.device.type
        if torch.is_autocast_enabled(device_type):
            # Half formats round a sum of grey levels by as much as the residual that is left of it.
            with torch.autocast(device_type, enabled=False):
                return self._residual(pixels.to(self.weight.dtype))
        return self._residual(pixels)

    def _residual(self, pixels: Tensor) -> Tensor:
        padded = functional.pad(pixels, (2, 2, 2, 2), mode="reflect")
        residual = functional.conv2d(padded, self.weight)
        truncated: Tensor = self.norm(residual.clamp(-TRUNCATION, TRUNCATION))
        return truncated
