"""Grad-CAM and LayerCAM next to KernelSHAP and LIME: faithfulness, agreement, seconds; on free media."""

from __future__ import annotations

import os
import sys
import time

import cv2
import numpy as np
import pytest
from scipy.stats import spearmanr

from deepfakestream.explain.attribution import GRID_CELLS, grad_cam, kernel_shap, layer_cam, lime
from deepfakestream.explain.face import JPEG_QUALITY, correlation
from deepfakestream.explain.face_region import energy_inside, enlarged, face_region
from deepfakestream.explain.faithfulness import FaithfulnessTest, blurred
from deepfakestream.faces.crop import crop_face
from deepfakestream.forge.degrade import jpeg
from deepfakestream.forge.mesh import FaceMesh
from deepfakestream.forge.picture import find_face, forge_picture
from deepfakestream.model.aggregation import calibrate
from deepfakestream.model.files import load_network
from deepfakestream.model.packaged import packaged_model_dir
from deepfakestream.model.scorer import open_scorer
from infra.demo.people import PEOPLE, read_square

NUM_PEOPLE = int(os.environ.get("EXPLAIN_PEOPLE", "3"))
"""Each gives a real face, a self-blend and a swap."""


class Bench:
    def __init__(self) -> None:
        self.network, self.spec = load_network(packaged_model_dir())
        self.scorer = open_scorer(packaged_model_dir(), device="cpu")
        self.mesh = FaceMesh()

    def p_fake(self, crops):
        return calibrate(self.scorer.logits(crops).astype(np.float64), self.spec.calibration)

    def maps(self, crop):
        """Yield method, map and the processor seconds that it took; a network's streams count together."""
        for method, by_stream in (("Grad-CAM", grad_cam), ("LayerCAM", layer_cam)):
            start = time.process_time()
            cells = sum(by_stream(self.network, crop).values())
            yield method, cells, time.process_time() - start
        for method, by_cells in (("KernelSHAP", kernel_shap), ("LIME", lime)):
            start = time.process_time()
            cells = by_cells(self.scorer.logits, crop, blurred(crop))
            yield method, cells, time.process_time() - start

    def row(self, crop, box_xyxy):
        test = FaithfulnessTest(crop, self.p_fake)
        mask, _ = face_region(crop, box_xyxy, self.spec.extraction, self.mesh)
        again = {method: cells for method, cells, _ in self.maps(jpeg(crop, quality=JPEG_QUALITY))}
        found = {}
        for method, cells, seconds in self.maps(crop):
            outcome = test.judge(cells)
            found[method] = {
                "faithful": outcome.is_faithful,
                "beaten of 19": outcome.num_beaten,
                "deletion": outcome.curves.deletion_auc,
                "random deletion": outcome.random_deletion_auc,
                "insertion": outcome.curves.insertion_auc,
                "random insertion": outcome.random_insertion_auc,
                "JPEG": correlation(cells, again[method]),
                "on the face": energy_inside(cells, mask),
                "of area": float(mask.mean()),
                "CPU s": seconds,
                "cells": cells,
            }
        return found


def sample_faces(bench, detector, folder):
    """Yield kind, crop and box of each face: real, self-blended and swapped with the next person's."""
    spec = bench.spec.extraction
    pictures = [read_square(person, folder)[0] for person in PEOPLE[: NUM_PEOPLE + 1]]
    for number, rgb in enumerate(pictures[:NUM_PEOPLE]):
        donor = find_face(pictures[number + 1], detector, bench.mesh)
        box = detector.detect([rgb])[0][0].box_xyxy
        for kind in ("real", "self_blend", "swap"):
            shown = rgb
            if kind != "real":
                shown = forge_picture(
                    rgb, detector, bench.mesh, np.random.default_rng(number), kind, donor
                ).fake
            yield (
                kind,
                crop_face(
                    shown, box, scale=spec.crop_scale, size_px=spec.crop_size_px, shift_y=spec.crop_shift_y
                ),
                box,
            )


def on_one_grid(cells):
    """Return the map averaged over the cells of the coarsest common grid, as a vector."""
    return cv2.resize(
        enlarged(cells, 20 * GRID_CELLS), (GRID_CELLS,) * 2, interpolation=cv2.INTER_AREA
    ).ravel()


def mean(values):
    known = [value for value in values if value is not None]
    return f"{np.mean(known):6.2f}" if known else "     –"


@pytest.mark.bench
@pytest.mark.timeout(1800)
def test_explanations_side_by_side(detector, sample_media):
    bench = Bench()
    faces = list(sample_faces(bench, detector, sample_media))
    rows = []
    for kind, crop, box in faces:
        rows.append(bench.row(crop, box))
        beaten = {method: found["beaten of 19"] for method, found in rows[-1].items()}
        sys.stdout.write(f"{kind}: {beaten}\n")
        sys.stdout.flush()
    methods = list(rows[0])
    columns = [name for name in rows[0][methods[0]] if name != "cells"]
    lines = ["", f"{len(faces)} faces, weights {bench.scorer.info.weights_sha256[:12]}"]
    lines.append(" | ".join(["method    ", "faces     ", *columns]))
    for method in methods:
        for kind in ("real", "self_blend", "swap", "all"):
            chosen = [row[method] for row, face in zip(rows, faces, strict=True) if kind in ("all", face[0])]
            cells = [mean([each[name] for each in chosen]) for name in columns]
            lines.append(" | ".join([f"{method:10}", f"{kind:10}", *cells]))
    lines.append("agreement: mean Spearman correlation over faces")
    for method in methods:
        agreements = [
            mean(
                [
                    spearmanr(on_one_grid(row[method]["cells"]), on_one_grid(row[other]["cells"]))[0]
                    for row in rows
                ]
            )
            for other in methods
        ]
        lines.append(" | ".join([f"{method:10}", *agreements]))
    sys.stdout.write("\n".join(lines) + "\n")
    for method in methods:
        gains = [row[method]["insertion"] - row[method]["deletion"] for row in rows]
        assert np.mean(gains) > 0, f"{method} is worse than chance"
