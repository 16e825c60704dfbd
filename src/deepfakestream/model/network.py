"""The networks: an RGB stream, a noise (SRM) stream, or both, on any timm backbone.

`dual` gives each view a backbone of its own and fuses their features; `stacked` shows both views to one
backbone as six channels, at half the cost; `ensemble` puts an `rgb` next to a `stacked`.

Shapes: pixels `(N, 3, S, S)` RGB, float, 0-255; logits `(N,)`, higher means more likely fake. Normalisation
is the first layer, so that no caller can forget or repeat it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from deepfakestream.model.imagenet import create_backbone
from deepfakestream.model.pooling import create_pooling
from deepfakestream.model.spec import NetworkSpec, NormalisationSpec, Variant
from deepfakestream.model.srm import SRM
from deepfakestream.model.tower import network as tower

NORMALISATION = NormalisationSpec(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
STREAMS: Mapping[Variant, tuple[Variant, ...]] = {
    "rgb": ("rgb",),
    "srm": ("srm",),
    "stacked": ("stacked",),
    "dual": ("rgb", "srm"),
    "ensemble": ("rgb", "stacked"),
    "tower": ("tower",),
}
"""The streams of each variant; a stream is named after the variant that it is alone."""


class Normalise(nn.Module):
    """Map 0-255 pixels to the backbone's scale."""

    mean: Tensor
    std: Tensor

    def __init__(self, spec: NormalisationSpec) -> None:
        super().__init__()
        self.register_buffer("mean", 255.0 * torch.tensor(spec.mean)[:, None, None], persistent=False)
        self.register_buffer("std", 255.0 * torch.tensor(spec.std)[:, None, None], persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the normalised pixels, in the same shape.

        Args:
            pixels: `(N, 3, H, W)`, 0-255.
        """
        return (pixels - self.mean) / self.std


class Stacked(nn.Module):
    """RGB and SRM residuals side by side: `(N, 3, H, W)` to `(N, 6, H, W)`."""

    def __init__(self, normalise: nn.Module, srm: nn.Module) -> None:
        super().__init__()
        self.normalise = normalise
        self.srm = srm

    def forward(self, pixels: Tensor) -> Tensor:
        """Return both views as channels, `(N, 6, H, W)`.

        Args:
            pixels: `(N, 3, H, W)`, 0-255.
        """
        return torch.cat([self.normalise(pixels), self.srm(pixels)], dim=1)


class Stream(nn.Module):
    """One view of the pixels through one backbone, and the pooling that makes a vector of its map."""

    def __init__(self, view: nn.Module, backbone: nn.Module, pooling: nn.Module) -> None:
        super().__init__()
        self.view = view
        self.backbone = backbone
        self.pooling = pooling
        self.num_features = int(backbone.num_features)  # type: ignore[arg-type]

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the stream's feature map, `(N, C, h, w)`."""
        features: Tensor = self.backbone(self.view(pixels))
        return features


class DetectorNetwork(nn.Module):
    """One or two streams, their features side by side, and a linear head."""

    def __init__(self, streams: dict[str, Stream], *, drop_rate: float, flip_tta: bool = False) -> None:
        super().__init__()
        self.flip_tta = flip_tta
        self.widths = {name: stream.num_features for name, stream in streams.items()}
        """Features of each stream, in the order in which the head reads them."""
        self.streams = nn.ModuleDict(streams)
        self.dropout = nn.Dropout(drop_rate)
        self.head = nn.Linear(sum(self.widths.values()), 1)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return one logit a picture, `(N,)`: the mean with that of its mirror image where so built."""
        if self.flip_tta and not self.training:
            return (self.one_way(pixels) + self.one_way(pixels.flip(3))) / 2
        return self.one_way(pixels)

    def one_way(self, pixels: Tensor) -> Tensor:
        """Return one logit a picture, `(N,)`, as it stands, never mirrored."""
        return self.judge(self.feature_maps(pixels))

    def feature_maps(self, pixels: Tensor) -> dict[str, Tensor]:
        """Return the feature map of each stream, `(N, C, h, w)`."""
        return {name: stream(pixels) for name, stream in self.streams.items()}

    def judge(self, maps: Mapping[str, Tensor]) -> Tensor:
        """Return one logit a picture, `(N,)`, from the feature maps of all streams."""
        return self.judge_features(self._pooled(maps))

    def judge_features(self, features: Tensor) -> Tensor:
        """Return one logit a picture, `(N,)`, from what the head sees, `(N, C)`.

        The head is linear: the mean of two views' features gives the mean of their logits.
        """
        logits: Tensor = self.head(self.dropout(features)).squeeze(1)
        return logits

    def features(self, pixels: Tensor) -> Tensor:
        """Return what the head sees, `(N, C)`: the mean with the mirror image's where so built."""
        views = (pixels, pixels.flip(3)) if self.flip_tta else (pixels,)
        return torch.stack([self._pooled(self.feature_maps(view)) for view in views]).mean(dim=0)

    def _pooled(self, maps: Mapping[str, Tensor]) -> Tensor:
        return torch.cat([self.streams[name].pooling(features) for name, features in maps.items()], dim=1)  # type: ignore[operator]


def create_network(
    spec: NetworkSpec, *, normalisation: NormalisationSpec = NORMALISATION, imagenet: bool = False
) -> DetectorNetwork:
    """Return the network that the spec describes, with ImageNet or random backbone weights.

    Args:
        spec: how it is built.
        normalisation: channel statistics of its input.
        imagenet: whether the backbone starts from ImageNet weights.

    Raises:
        ParamsError: timm knows no such backbone.
        WeightsError: ImageNet weights were asked for and cannot be had.
    """
    if spec.variant == "tower":
        return _create_tower(spec)
    rgb, srm = Normalise(normalisation), SRM()
    views: dict[str, nn.Module] = {"rgb": rgb, "srm": srm, "stacked": Stacked(rgb, srm)}
    streams: dict[str, Stream] = {}
    for name in STREAMS[spec.variant]:
        view = views[name]
        in_channels = 6 if isinstance(view, Stacked) else 3
        backbone = create_backbone(
            spec.backbone, imagenet=imagenet, in_channels=in_channels, drop_path=spec.drop_path
        )
        pooling = create_pooling(spec.global_pool, int(backbone.num_features))  # type: ignore[arg-type]
        streams[name] = Stream(view, backbone, pooling)
    return DetectorNetwork(streams, drop_rate=spec.drop_rate, flip_tta=spec.flip_tta)


def _create_tower(spec: NetworkSpec) -> DetectorNetwork:
    """Return a network with a tower of random weights, of which only layer norms and head can be trained."""
    view = Normalise(tower.NORMALISATION)
    stream = Stream(view, tower.Tokens(spec.backbone), tower.TokenPooling())
    network = DetectorNetwork({"tower": stream}, drop_rate=spec.drop_rate, flip_tta=spec.flip_tta)
    nn.init.zeros_(network.head.weight)
    nn.init.zeros_(network.head.bias)
    tower.freeze_all_but_norms(network)
    return network


def join_networks(parts: Mapping[Variant, DetectorNetwork], spec: NetworkSpec) -> DetectorNetwork:
    """Return the network of several streams whose logit is the mean of the logits of these networks.

    Args:
        parts: a network of one stream for each of the spec's streams, by name.
        spec: of the network to make.
    """
    names = STREAMS[spec.variant]
    joined = create_network(spec)
    with torch.no_grad():
        for name in names:
            joined.streams[name].load_state_dict(parts[name].streams[name].state_dict())
        heads = [parts[name].head for name in names]
        joined.head.weight.copy_(torch.cat([head.weight for head in heads], dim=1) / len(names))
        joined.head.bias.copy_(torch.stack([head.bias for head in heads]).mean(dim=0))
    return joined.eval()


def head_of_streams(network: DetectorNetwork, names: Sequence[str]) -> dict[str, Tensor]:
    """Return the weights of a head for some of a network's streams, by their names in a state dict.

    They are scaled to the number of streams: of what `join_networks` made, one stream's head is the one that
    it had alone, but for the bias. A network that lacks one of the streams has no such head: nothing is
    returned.

    Args:
        network: with several streams.
        names: of the streams that stay.
    """
    parts = {}
    start = 0
    for name, width in network.widths.items():
        parts[name] = network.head.weight.detach()[:, start : start + width]
        start += width
    if not set(names) <= set(parts):
        return {}
    weight = torch.cat([parts[name] for name in names], dim=1) * len(parts) / len(names)
    return {"head.weight": weight, "head.bias": network.head.bias.detach()}
