"""Faces rendered anew by small autoencoders: the traces of learned upsampling without a generator's weights.

Neural swaps and re-enactments (Deepfakes, NeuralTextures, FaceShifter) decode a face from a bottleneck. Three
autoencoders with different decoders are fitted to the real faces at hand; what they give back lacks detail and
carries their grids, and is blended into the face that it came from. Their reconstructions are made once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from deepfakestream.forge.masks import blending_mask
from deepfakestream.forge.mesh import Points
from deepfakestream.forge.regions import random_region
from deepfakestream.forge.self_blend import Forgery, blend
from deepfakestream.forge.traces import colour_shift, sharpened
from deepfakestream.media.types import RGBImage
from deepfakestream.progress import track

RENDER_SIZE_PX = 128
BATCH_SIZE = 64
LEARNING_RATE = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderSpec:
    """How the autoencoders are fitted."""

    steps: int
    seed: int


def _nearest(channels: int, out: int) -> nn.Module:
    return nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(channels, out, 3, padding=1))


def _bilinear(channels: int, out: int) -> nn.Module:
    upsample = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
    return nn.Sequential(upsample, nn.Conv2d(channels, out, 3, padding=1))


def _transposed(channels: int, out: int) -> nn.Module:
    return nn.ConvTranspose2d(channels, out, 4, stride=2, padding=1)


def _shuffled(channels: int, out: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(channels, 4 * out, 3, padding=1), nn.PixelShuffle(2))


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoderSpec:
    """One autoencoder: how it enlarges and how narrow its bottleneck is."""

    upsample: Callable[[int, int], nn.Module]
    halvings: int
    width: int


DECODERS = (
    DecoderSpec(upsample=_shuffled, halvings=4, width=48),
    DecoderSpec(upsample=_transposed, halvings=3, width=24),
    DecoderSpec(upsample=_nearest, halvings=4, width=64),
    DecoderSpec(upsample=_bilinear, halvings=3, width=32),
)


class Autoencoder(nn.Module):
    """Reconstructs faces `(N, 3, 128, 128)` on a 0-1 scale through a bottleneck."""

    def __init__(self, spec: DecoderSpec) -> None:
        super().__init__()
        widths = [3, *(spec.width * 2**i for i in range(spec.halvings))]
        down = [
            layer
            for narrow, wide in zip(widths, widths[1:], strict=False)
            for layer in (nn.Conv2d(narrow, wide, 4, stride=2, padding=1), nn.BatchNorm2d(wide), nn.LeakyReLU(0.1))
        ]
        up: list[nn.Module] = []
        for wide, narrow in zip(widths[:0:-1], widths[-2:0:-1], strict=False):
            up += [spec.upsample(wide, narrow), nn.BatchNorm2d(narrow), nn.LeakyReLU(0.1)]
        self.layers = nn.Sequential(*down, *up, spec.upsample(widths[1], 3))

    def forward(self, faces: Tensor) -> Tensor:
        """Return the reconstructions."""
        rendered: Tensor = torch.sigmoid(self.layers(faces))
        return rendered


def render_faces(images: NDArray[np.uint8], spec: RenderSpec, device: torch.device) -> NDArray[np.uint8]:
    """Return each face as each autoencoder renders it: `(len(DECODERS), N, 128, 128, 3)`."""
    small = np.stack([cv2.resize(i, (RENDER_SIZE_PX, RENDER_SIZE_PX), interpolation=cv2.INTER_AREA) for i in images])
    return np.stack([_fit_and_render(small, decoder, spec, device) for decoder in DECODERS])


def _fit_and_render(
    faces: NDArray[np.uint8], decoder: DecoderSpec, spec: RenderSpec, device: torch.device
) -> NDArray[np.uint8]:
    torch.manual_seed(spec.seed)
    network = Autoencoder(decoder).to(device)
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
    rng = np.random.default_rng(spec.seed)
    for _ in track(range(spec.steps), description="fitting a renderer", unit="step"):
        batch = _batch(faces[rng.integers(0, len(faces), BATCH_SIZE)], device)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"):
            rendered = network(batch)
        loss = _loss(rendered.float(), batch)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    network.eval()
    with torch.inference_mode():
        parts = [
            (network(_batch(faces[start : start + BATCH_SIZE], device)) * 255.0).round().byte().cpu().numpy()
            for start in range(0, len(faces), BATCH_SIZE)
        ]
    return np.ascontiguousarray(np.concatenate(parts).transpose(0, 2, 3, 1))


def _batch(faces: NDArray[np.uint8], device: torch.device) -> Tensor:
    return torch.from_numpy(faces).to(device).permute(0, 3, 1, 2).float() / 255.0


def _loss(rendered: Tensor, faces: Tensor) -> Tensor:
    """Return the L1 distance of colours and of gradients; the second keeps eyes and lips sharp."""
    colour = functional.l1_loss(rendered, faces)
    across = functional.l1_loss(rendered.diff(dim=3), faces.diff(dim=3))
    down = functional.l1_loss(rendered.diff(dim=2), faces.diff(dim=2))
    return colour + across + down


def rerender(target: RGBImage, points: Points, rendered: RGBImage, rng: np.random.Generator) -> Forgery:
    """Return the target with a region of it replaced by its rendering `(128, 128, 3)`; the real is the target."""
    size = target.shape[0]
    upscale = int(rng.choice([cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4]))
    source = np.asarray(cv2.resize(rendered, (size, size), interpolation=upscale), dtype=np.uint8)
    if rng.random() < 0.4:
        source = colour_shift(source, rng)
    if rng.random() < 0.4:
        source = sharpened(source, rng)
    mask = blending_mask(random_region(points, size, rng), rng)
    mask = mask * np.float32(rng.uniform(0.7, 1.0) / max(float(mask.max()), 1e-6))
    return Forgery(real=target, fake=blend(source, target, mask), mask=mask)
