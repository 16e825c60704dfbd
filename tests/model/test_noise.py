from __future__ import annotations

import numpy as np
import torch

from deepfakestream.media.types import RGBImage
from deepfakestream.model.noise import TRUNCATION, noise_residuals
from deepfakestream.model.srm import SRM


def test_it_is_what_the_network_sees(astronaut: RGBImage) -> None:
    crop = np.ascontiguousarray(astronaut[40:168, 160:288])
    layer = SRM().eval()
    with torch.inference_mode():
        seen = layer(torch.from_numpy(crop.transpose(2, 0, 1)[None].astype(np.float32)))
    residuals = noise_residuals(crop)
    assert residuals.shape == (3, 128, 128)
    np.testing.assert_allclose(residuals, seen[0].numpy() * np.sqrt(1.0 + layer.norm.eps), atol=1e-3)
    assert np.abs(residuals).max() == TRUNCATION
    assert 0.3 < np.abs(residuals).mean() < 3.0
