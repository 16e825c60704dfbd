"""Everything there is to say about one face: its score, maps of the evidence, and how far to trust them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deepfakestream.explain.attribution import (
    Map,
    grad_cam,
    gwap_attention,
    kernel_shap,
    layer_cam,
    lime,
    stream_logits,
)
from deepfakestream.explain.face_region import FaceMask, RegionFrom, energy_inside, face_region
from deepfakestream.explain.faithfulness import Faithfulness, FaithfulnessTest, blurred
from deepfakestream.explain.residual import noise_residual
from deepfakestream.faces.types import FaceCrop
from deepfakestream.forge.degrade import jpeg
from deepfakestream.forge.mesh import FaceMesh
from deepfakestream.media.types import RGBImage
from deepfakestream.model.aggregation import calibrate, probability
from deepfakestream.model.network import DetectorNetwork
from deepfakestream.model.scorer import CropScorer

JPEG_QUALITY = 70
MIN_STABILITY = 0.5
"""Maps that correlate less with those of the same face after JPEG are called unstable."""
ATTENTION = "GWAP attention"
_GRADIENT_METHODS = (("Grad-CAM", grad_cam), ("LayerCAM", layer_cam), (ATTENTION, gwap_attention))
_SWITCHING_METHODS = (("KernelSHAP", kernel_shap), ("LIME", lime))


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceMap:
    """One map of the evidence with its tests."""

    method: str
    stream: str
    """Stream of the network; `all` for methods that only see pixels and logits."""
    cells: Map
    """`(h, w)`; above 0 speaks for a fake, below 0 for a real face. Attention has no sign."""
    energy_inside_face: float | None
    """Share of the evidence for a fake (or of the attention) on the face; None where there is none."""
    faithfulness: Faithfulness
    jpeg_stability: float | None
    """Pearson correlation with the map of the same face after JPEG of quality 70; None where one is flat."""

    @property
    def has_sign(self) -> bool:
        """Whether cells speak for or against a fake; attention says only where features count."""
        return self.method != ATTENTION

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences on why not to rely on this map; empty where it passed."""
        found = []
        if not self.faithfulness.is_faithful:
            test = self.faithfulness
            found.append(
                f"{self.method} of '{self.stream}' is not faithful: it ranked pixels better than only "
                f"{test.num_beaten} of {test.num_random} random maps; do not read places from it."
            )
        if self.jpeg_stability is None or self.jpeg_stability < MIN_STABILITY:
            value = "flat" if self.jpeg_stability is None else f"correlation {self.jpeg_stability:.2f}"
            found.append(
                f"{self.method} of '{self.stream}' is not stable: JPEG of quality {JPEG_QUALITY} gives "
                f"another map ({value})."
            )
        return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceExplanation:
    """One face, its score and its maps."""

    face: FaceCrop
    logit: float
    p_fake: float
    stream_logits: dict[str, float]
    """What each stream and the head's bias (`bias`) add to the logit."""
    region: FaceMask
    region_from: RegionFrom
    maps: tuple[FaceMap, ...]
    residual: NDArray[np.float32] | None
    """`(3, S, S)`, grey levels; None for a network without a noise stream."""

    @property
    def area_inside_face(self) -> float:
        """Share of the crop that is face: the energy share that a map without preference would have."""
        return float(self.region.mean())


@dataclass(frozen=True, slots=True, kw_only=True)
class Explainer:
    """A model opened for explaining."""

    network: DetectorNetwork
    scorer: CropScorer
    mesh: FaceMesh

    def explain(self, face: FaceCrop, *, compare: bool = False) -> FaceExplanation:
        """Return the explanation of one face.

        Args:
            face: a crop as the model's spec asks for it.
            compare: add the maps of KernelSHAP and LIME, which take some hundred evaluations each.
        """
        spec = self.scorer.spec
        logit = float(self.scorer.logits(face.rgb[None])[0])
        mask, region_from = face_region(face.rgb, face.box_xyxy, spec.extraction, self.mesh)
        test = FaithfulnessTest(face.rgb, self._p_fake)
        coded = jpeg(face.rgb, quality=JPEG_QUALITY)
        again = {(method, stream): cells for method, stream, cells in self._maps(coded, compare)}
        maps = tuple(
            FaceMap(
                method=method,
                stream=stream,
                cells=cells,
                energy_inside_face=energy_inside(cells, mask),
                faithfulness=test.judge(cells),
                jpeg_stability=correlation(cells, again[method, stream]),
            )
            for method, stream, cells in self._maps(face.rgb, compare)
        )
        return FaceExplanation(
            face=face,
            logit=logit,
            p_fake=probability(logit, spec.calibration),
            stream_logits=stream_logits(self.network, face.rgb),
            region=mask,
            region_from=region_from,
            maps=maps,
            residual=noise_residual(self.network, face.rgb),
        )

    def _maps(self, crop: RGBImage, compare: bool) -> Iterator[tuple[str, str, Map]]:
        for method, by_stream in _GRADIENT_METHODS:
            for stream, cells in by_stream(self.network, crop).items():
                yield method, stream, cells
        for method, by_cells in _SWITCHING_METHODS if compare else ():
            yield method, "all", by_cells(self.scorer.logits, crop, blurred(crop))

    def _p_fake(self, crops: NDArray[np.uint8]) -> NDArray[np.float64]:
        return calibrate(self.scorer.logits(crops).astype(np.float64), self.scorer.spec.calibration)


def correlation(one: Map, other: Map) -> float | None:
    """Return Pearson's correlation of two maps of one shape; None where one of them is constant.

    Args:
        one: map.
        other: map of the same shape.
    """
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return None
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])
