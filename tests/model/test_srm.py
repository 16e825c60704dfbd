from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.signal import correlate2d

from deepfakestream.model.noise import TRUNCATION
from deepfakestream.model.srm import SRM, srm_kernels

KB = [[0, 0, 0, 0, 0], [0, -1, 2, -1, 0], [0, 2, -4, 2, 0], [0, -1, 2, -1, 0], [0, 0, 0, 0, 0]]
KV = [[-1, 2, -2, 2, -1], [2, -6, 8, -6, 2], [-2, 8, -12, 8, -2], [2, -6, 8, -6, 2], [-1, 2, -2, 2, -1]]
H = [[0, 0, 0, 0, 0], [0, 0, 0, 0, 0], [0, 1, -2, 1, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]]


def _residual(pixels: torch.Tensor) -> torch.Tensor:
    """Residuals before batch norm: a fresh layer in evaluation mode only divides by sqrt(1 + eps)."""
    layer = SRM().eval()
    with torch.inference_mode():
        return layer(pixels) * np.sqrt(1.0 + layer.norm.eps)


class TestKernels:
    @pytest.mark.parametrize(("index", "kernel", "divisor"), [(0, KB, 4), (1, KV, 12), (2, H, 2)])
    def test_values_and_order(self, index: int, kernel: list[list[int]], divisor: int) -> None:
        kernels = srm_kernels()
        assert kernels.shape == (3, 3, 5, 5)
        for channel in range(3):
            np.testing.assert_allclose(kernels[index, channel].numpy(), np.array(kernel) / divisor, rtol=1e-6)

    def test_each_sums_to_zero(self) -> None:
        assert srm_kernels().sum(dim=(2, 3)).abs().max() < 1e-6

    def test_strengths(self) -> None:
        norms = srm_kernels()[:, 0].flatten(1).norm(dim=1)
        np.testing.assert_allclose(norms.numpy(), [1.5, 2.0344, 1.2247], atol=1e-4)


class TestResiduals:
    @pytest.mark.parametrize("level", [0.0, 1.0, 128.0, 255.0])
    def test_constant_picture_leaves_nothing_even_at_the_border(self, level: float) -> None:
        assert _residual(torch.full((1, 3, 9, 9), level)).abs().max() < 1e-3

    def test_smallest_picture(self) -> None:
        assert _residual(torch.rand(1, 3, 3, 3)).shape == (1, 3, 3, 3)

    def test_agrees_with_scipy_inside(self) -> None:
        pixels = np.random.default_rng(0).uniform(100, 101, (3, 12, 12)).astype(np.float32)
        found = _residual(torch.from_numpy(pixels)[None])[0].numpy()
        for index, kernel in enumerate([np.array(KB) / 4, np.array(KV) / 12, np.array(H) / 2]):
            expected = sum(correlate2d(channel, kernel, mode="valid") for channel in pixels)
            np.testing.assert_allclose(found[index, 2:-2, 2:-2], np.clip(expected, -3, 3), atol=1e-3)

    @pytest.mark.parametrize(("step", "expected"), [(0.5, -0.5 * 3), (1.0, -3.0), (40.0, -3.0), (-40.0, 3.0)])
    def test_truncates_grey_levels(self, step: float, expected: float) -> None:
        """One bright column: H answers -step a channel there, truncated at 3 grey levels."""
        pixels = torch.full((1, 3, 9, 9), 100.0)
        pixels[..., 4] += step
        assert _residual(pixels)[0, 2, 4, 4].item() == pytest.approx(expected, abs=1e-4)
        assert TRUNCATION == 3.0

    def test_horizontal_kernel_does_not_see_rows(self) -> None:
        pixels = torch.arange(9.0)[:, None].pow(2).expand(1, 3, 9, 9)
        assert _residual(pixels)[0, 2].abs().max() < 1e-3
        assert _residual(pixels.transpose(2, 3))[0, 2].abs().max() > 1.0


class TestMixedPrecision:
    def test_autocast_changes_no_residual(self) -> None:
        """A noisy ramp: in bfloat16 the mean error would be a third of the residual."""
        ramp = 100.0 + torch.arange(32.0)[:, None] * 2 + torch.arange(32.0)
        noise = torch.randint(-1, 2, (2, 3, 32, 32), generator=torch.Generator().manual_seed(0))
        pixels = ramp + noise
        layer = SRM().eval()
        with torch.inference_mode():
            exact = layer(pixels)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                mixed = layer(pixels)
                rounded = torch.nn.functional.conv2d(pixels, layer.weight)
        assert rounded.dtype == torch.bfloat16  # autocast was at work
        assert mixed.dtype == torch.float32
        assert (mixed - exact).abs().max() < 1e-5
        assert exact.abs().mean() > 1.0


class TestLearning:
    def test_the_kernels_do_not_learn(self) -> None:
        layer = SRM()
        layer(torch.rand(2, 3, 8, 8) * 255).sum().backward()
        assert not layer.weight.requires_grad
        assert layer.weight.grad is None

    def test_kernels_are_saved_with_the_weights(self) -> None:
        assert "weight" in SRM().state_dict()
