"""Everything there is to say about one face: its score, maps of the evidence, and how far to trust them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from deepfakestream.explain.attribution import (
    Map,
    grad_cam,
    gwap_attention,
    kernel_shap,
    layer_cam,
    lime,
    patch_evidence,
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
from deepfakestream.model.fused import FusedScorer
from deepfakestream.model.network import DetectorNetwork
from deepfakestream.model.scorer import Scorer
from deepfakestream.model.spec import ExpertSpec

JPEG_QUALITY = 70
MIN_STABILITY = 0.5
"""Maps that correlate less with those of the same face after JPEG are called unstable."""
NUM_RANDOM_OF_TOWER = 9
"""Random maps next to a tower's: each takes 14 of its evaluations, of 0.2 s on two cores."""
ATTENTION = "GWAP attention"
PATCHES = "Patch evidence"
_GRADIENT_METHODS = (("Grad-CAM", grad_cam), ("LayerCAM", layer_cam), (ATTENTION, gwap_attention))
_SWITCHING_METHODS = (("KernelSHAP", kernel_shap), ("LIME", lime))


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceMap:
    """One map of the evidence with its tests."""

    method: str
    stream: str
    """Stream of the network, or `tower`; `all` for methods that only see pixels and logits."""
    rgb: RGBImage
    """`(S, S, 3)`, RGB: the crop that the map lies on. That of a tower is wider."""
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
    """What each stream, the tower of an accurate detector, and the constants (`bias`) add to the logit."""
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
    scorer: Scorer
    """Fast or accurate: the logit and `p_fake` of a face are its own."""
    mesh: FaceMesh
    tower: DetectorNetwork | None = None
    """The tower of an accurate detector."""

    def explain(self, face: FaceCrop, *, compare: bool = False) -> FaceExplanation:
        """Return the explanation of one face.

        Args:
            face: a crop as the model's spec asks for it.
            compare: add the maps of KernelSHAP and LIME, which take some hundred evaluations each.
        """
        spec = self.scorer.spec
        logit = float(self.scorer.face_scores([face]).logits[0])
        mask, region_from = face_region(face.rgb, face.box_xyxy, spec.extraction, self.mesh)
        test = FaithfulnessTest(face.rgb, self._p_fake)
        maps = _tested(face.rgb, lambda crop: self._maps(crop, compare), mask, test)
        parts = stream_logits(self.network, face.rgb)
        if isinstance(self.scorer, FusedScorer) and self.tower is not None and face.wide_rgb is not None:
            maps += self._tower_maps(self.scorer, self.tower, face, face.wide_rgb)
            parts = _fused_parts(parts, stream_logits(self.tower, face.wide_rgb), self.scorer.expert)
        return FaceExplanation(
            face=face,
            logit=logit,
            p_fake=probability(logit, spec.calibration),
            stream_logits=parts,
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
            yield method, "all", by_cells(self.scorer.fast.logits, crop, blurred(crop))

    def _tower_maps(
        self, scorer: FusedScorer, tower: DetectorNetwork, face: FaceCrop, wide: RGBImage
    ) -> tuple[FaceMap, ...]:
        extraction = replace(scorer.spec.extraction, crop_scale=scorer.wide_scale)
        mask, _ = face_region(wide, face.box_xyxy, extraction, self.mesh)
        network = scorer.fast.logits(face.rgb[None])

        def p_fake(crops: NDArray[np.uint8]) -> NDArray[np.float64]:
            """Return the accurate detector's `p_fake` `(N,)` where only the tower sees another crop."""
            logits = scorer.fuse(network, scorer.tower_logits(crops))
            return calibrate(logits.astype(np.float64), scorer.spec.calibration)

        def maps(crop: RGBImage) -> Iterator[tuple[str, str, Map]]:
            for stream, cells in patch_evidence(tower, crop).items():
                yield PATCHES, stream, cells

        return _tested(wide, maps, mask, FaithfulnessTest(wide, p_fake, num_random=NUM_RANDOM_OF_TOWER))

    def _p_fake(self, crops: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return the `p_fake` `(N,)` of the network alone."""
        fast = self.scorer.fast
        return calibrate(fast.logits(crops).astype(np.float64), fast.spec.calibration)


def _tested(
    crop: RGBImage,
    maps_of: Callable[[RGBImage], Iterator[tuple[str, str, Map]]],
    mask: FaceMask,
    test: FaithfulnessTest,
) -> tuple[FaceMap, ...]:
    """Return the maps of a crop, each with its tests."""
    coded = jpeg(crop, quality=JPEG_QUALITY)
    again = {(method, stream): cells for method, stream, cells in maps_of(coded)}
    return tuple(
        FaceMap(
            method=method,
            stream=stream,
            rgb=crop,
            cells=cells,
            energy_inside_face=energy_inside(cells, mask),
            faithfulness=test.judge(cells),
            jpeg_stability=correlation(cells, again[method, stream]),
        )
        for method, stream, cells in maps_of(crop)
    )


def _fused_parts(network: dict[str, float], tower: dict[str, float], expert: ExpertSpec) -> dict[str, float]:
    """Return what adds up to the accurate detector's logit: parts of both, shrunk as their logits are."""
    bias, parts = 0.0, dict[str, float]()
    for own, share, scale in (
        (network, expert.network_weight, expert.network_logits),
        (tower, 1.0 - expert.network_weight, expert.tower_logits),
    ):
        shrunk = {name: share * value / scale.std for name, value in own.items()}
        bias += shrunk.pop("bias") - share * scale.mean / scale.std
        parts |= shrunk
    return {"bias": bias, **parts}


def correlation(one: Map, other: Map) -> float | None:
    """Return Pearson's correlation of two maps of one shape; None where one of them is constant.

    Args:
        one: map.
        other: map of the same shape.
    """
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return None
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])
