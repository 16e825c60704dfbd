"""Embedding drift on real faces: false alarms a month of hourly checks, and a generator that is new.

Reference and traffic are DFDC faces that version 0 was not trained on. The new generator swaps faces, and the
check gets nothing but embeddings: what its other columns say about the same windows is printed next to it.
"""

from __future__ import annotations

import sys
import tarfile
from collections.abc import Iterable
from itertools import repeat
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from deepfakestream.faces.quality import luma, sharpness
from deepfakestream.forge.mesh import FaceMesh
from deepfakestream.forge.swap import pose_distance, swap_face
from deepfakestream.media.types import RGBImage
from deepfakestream.model.packaged import packaged_model_dir
from deepfakestream.model.scorer import open_scorer
from deepfakestream.monitoring.drift_psi import noise_threshold, psi
from deepfakestream.monitoring.embedding_drift import check_embeddings
from deepfakestream.monitoring.params import DriftParams

PARAMS = DriftParams()
CHECKS_A_MONTH = 24 * 31
NUM_QUIET, NUM_CHANGED = 3000, 40
NUM_REFERENCE, NUM_WINDOW = 300, 200
COLUMNS = ("sharpness", "luma", "coded_bits_per_px")


class Faces(NamedTuple):
    """A table with a row a face, and the pictures."""

    table: pd.DataFrame
    pictures: list[RGBImage]


def jpeg(bgr: RGBImage, *, size: int | None) -> bytes:
    """Return a picture as JPEG: of quality 90, or of that which comes nearest to a size in bytes."""
    qualities = [90] if size is None else range(70, 100)
    contents = [
        cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, each])[1].tobytes() for each in qualities
    ]
    return min(contents, key=lambda content: abs(len(content) - (size or 0)))


def described(pictures: Iterable[RGBImage], sizes: Iterable[int | None] = repeat(None)) -> pd.DataFrame:
    """Return what the check knows of pictures that clients send as JPEG, of given sizes if any."""
    scorer = open_scorer(packaged_model_dir(), device="cpu")
    rows = []
    for picture, size in zip(pictures, sizes, strict=False):
        content = jpeg(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), size=size)
        rgb = cv2.cvtColor(cv2.imdecode(np.frombuffer(content, np.uint8), 1), cv2.COLOR_BGR2RGB)
        scores = scorer.scores(rgb[None])
        rows.append(
            {
                "embedding": scores.embeddings[0].astype(np.float16),
                "p_fake": float(1 / (1 + np.exp(-scores.logits[0]))),
                "sharpness": sharpness(rgb),
                "luma": luma(rgb),
                "coded_bits_per_px": 8.0 * len(content) / (rgb.shape[0] * rgb.shape[1]),
            }
        )
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def dfdc(devdata: Path) -> Faces:
    """Faces of the validation split."""
    manifest = pd.read_csv(devdata / "dfdc-faces" / "manifest.csv")
    wanted = manifest[manifest["split"] == "val"].set_index("file")
    pictures = {}
    for shard in sorted(wanted["shard"].unique()):
        with tarfile.open(devdata / "dfdc-faces" / shard) as archive:
            for member in archive:
                if member.name in wanted.index:
                    data = np.frombuffer(archive.extractfile(member).read(), np.uint8)
                    pictures[member.name] = cv2.cvtColor(cv2.imdecode(data, 1), cv2.COLOR_BGR2RGB)
    table = described(pictures.values())
    found = wanted.loc[list(pictures)]
    table["is_fake"] = (found["label"] == "fake").to_numpy()
    table["group"] = pd.factorize(found["group_id"])[0]
    return Faces(table, list(pictures.values()))


@pytest.fixture(scope="module")
def swapped(dfdc: Faces) -> pd.DataFrame:
    """The new generator's fakes, each on a genuine face and of its size in bytes; `group` is that face's."""
    mesh, rng = FaceMesh(), np.random.default_rng(0)
    real = [int(row) for row in np.flatnonzero(~dfdc.table["is_fake"])]
    points = {row: mesh.find(dfdc.pictures[row], crop_scale=1.0) for row in real}
    rows = [row for row in real if points[row] is not None]
    meshes = np.stack([points[row] for row in rows])
    fakes = []
    for place, row in enumerate(rows):
        near = np.argsort(pose_distance(meshes[place], meshes))[1:11]
        donor = int(rng.choice(near))
        forged = swap_face(dfdc.pictures[row], meshes[place], dfdc.pictures[rows[donor]], meshes[donor], rng)
        fakes.append(forged.fake)
    genuine = dfdc.table.iloc[rows]
    bits = genuine["coded_bits_per_px"] * [picture.shape[0] * picture.shape[1] for picture in fakes]
    return described(fakes, [round(each / 8) for each in bits]).assign(group=genuine["group"].to_numpy())


def one_a_group(table: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Return one row of each source group, in random order: files of the traffic are of different people."""
    shuffled = table.iloc[rng.permutation(len(table))]
    return shuffled.drop_duplicates("group").reset_index(drop=True)


def drawn(table: pd.DataFrame, rng: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return a reference of whole source groups, and the rows of all other groups."""
    groups = rng.permutation(table["group"].unique())
    size = table["group"].value_counts().loc[groups].cumsum().to_numpy()
    mine = groups[: int(np.searchsorted(size, NUM_REFERENCE)) + 1]
    is_mine = table["group"].isin(mine)
    return table[is_mine].reset_index(drop=True), table[~is_mine].reset_index(drop=True)


def traffic(table: pd.DataFrame, clients: NDArray[np.object_] | None = None) -> pd.DataFrame:
    sha256 = [f"{row:064x}" for row in range(len(table))]
    return table.assign(media_sha256=sha256, client=clients if clients is not None else None)


def found(window: pd.DataFrame, reference: pd.DataFrame) -> bool:
    report = check_embeddings(window, reference, minimum=PARAMS.min_window, alpha=PARAMS.embedding_alpha)
    assert report.distance is not None, report.note
    return report.drifted


def drifted_columns(window: pd.DataFrame, reference: pd.DataFrame) -> list[str]:
    return [
        name
        for name in ("p_fake", *COLUMNS)
        if psi(window[name], reference[name], kind="numerical")
        >= max(PARAMS.num_threshold, noise_threshold(window[name], reference[name], kind="numerical", seed=0))
    ]


@pytest.mark.bench
@pytest.mark.devdata
def test_false_alarms(dfdc: Faces) -> None:
    rng = np.random.default_rng(1)
    alarms = {"one client": 0, "30 clients who send 6 faces each, of 2 people": 0}
    for _ in range(NUM_QUIET):
        reference, rest = drawn(dfdc.table, rng)
        window = one_a_group(rest, rng)[:NUM_WINDOW]
        alarms["one client"] += found(traffic(window), reference)
        people = rng.permutation(rest["group"].unique())[:60]
        parts = [
            rest[rest["group"].isin(people[2 * client : 2 * client + 2])]
            .sample(6, replace=True, random_state=int(rng.integers(1 << 31)))
            .assign(client=f"key {client}")
            for client in range(30)
        ]
        window = pd.concat(parts, ignore_index=True)
        alarms["30 clients who send 6 faces each, of 2 people"] += found(
            traffic(window, window["client"].to_numpy()), reference
        )
    for name, count in alarms.items():
        a_month = count / NUM_QUIET * CHECKS_A_MONTH
        sys.stdout.write(f"{name}: {count} of {NUM_QUIET} windows, {a_month:.2f} a month of hourly checks\n")
        assert a_month <= 1.0


@pytest.mark.bench
@pytest.mark.devdata
@pytest.mark.parametrize("share", [0.5, 0.4, 0.3, 0.2])
def test_a_new_generator(dfdc: Faces, swapped: pd.DataFrame, share: float) -> None:
    """Half of the traffic is fake; the new generator makes some of it, up to all (a share of 0.5)."""
    rng = np.random.default_rng(2)
    caught, columns = 0, dict.fromkeys(("p_fake", *COLUMNS), 0)
    for _ in range(NUM_CHANGED):
        reference, rest = drawn(dfdc.table, rng)
        people = one_a_group(rest, rng)["group"].to_numpy()
        num_new = round(share * NUM_WINDOW)
        new = swapped[swapped["group"].isin(people[:300])].drop_duplicates("group")[:num_new]
        others = rest[~rest["group"].isin(new["group"])]
        genuine = one_a_group(others[~others["is_fake"]], rng)[: NUM_WINDOW // 2]
        old = one_a_group(others[others["is_fake"] & ~others["group"].isin(genuine["group"])], rng)
        window = pd.concat([genuine, old[: NUM_WINDOW // 2 - num_new], new], ignore_index=True)
        assert len(window) == NUM_WINDOW
        caught += found(traffic(window), reference)
        for name in drifted_columns(window, reference):
            columns[name] += 1
    others = ", ".join(f"{name} {count / NUM_CHANGED:.0%}" for name, count in columns.items())
    sys.stdout.write(
        f"new generator in {share:.0%} of {NUM_WINDOW} predictions: found by embeddings in "
        f"{caught / NUM_CHANGED:.0%}; drifted columns: {others}\n"
    )
    if share >= 0.4:
        assert caught / NUM_CHANGED >= 0.95
