"""The layer of SRM residuals: what is left of a face when its content is predicted away (`model.noise`)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from deepfakestream.model.noise import KERNELS, TRUNCATION


def srm_kernels() -> Tensor:
    """Return the kernels as convolution weights of shape `(3 out, 3 in, 5, 5)`; every filter sums to 0."""
    return torch.from_numpy(KERNELS)[:, None].repeat(1, 3, 1, 1)


class SRM(nn.Module):
    """Turn pixels `(N, 3, H, W)` on a 0-255 scale into batch-normalised residuals of the same shape."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(srm_kernels(), requires_grad=False)
        self.norm = nn.BatchNorm2d(3)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the residuals `(N, 3, H, W)`, always in the precision of the weights.

        The border is reflected so that it leaves no residual of its own.

        Args:
            pixels: `(N, 3, H, W)`, 0-255.
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
