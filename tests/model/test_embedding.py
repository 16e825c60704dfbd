from __future__ import annotations

import numpy as np
import pytest

from deepfakestream.model.embedding import EMBEDDING_SIZE, from_bytes, project, to_bytes

GOLDEN = ["0100011101011000", "1000100110100110", "0110110100111110"]


def test_directions_are_the_same_in_every_release() -> None:
    """Predictions of one release are compared with the reference of another."""
    found = project(np.eye(3, dtype=np.float32)) * np.sqrt(EMBEDDING_SIZE)
    assert set(np.unique(np.round(found, 5))) == {-1.0, 1.0}
    bits = ((1 + np.sign(found[:, :16])) / 2).astype(int)
    assert ["".join(map(str, row)) for row in bits] == GOLDEN


def test_distances_stay_nearly_the_same() -> None:
    rows = np.random.default_rng(0).normal(size=(20, 2560))
    before = np.linalg.norm(rows[:, None] - rows[None], axis=2)
    embeddings = project(rows)
    after = np.linalg.norm(embeddings[:, None] - embeddings[None], axis=2)
    others = ~np.eye(len(rows), dtype=bool)
    ratio = after[others] / before[others]
    assert ratio.mean() == pytest.approx(1.0, abs=0.05)
    assert ratio.std() < 0.15


def test_bytes_keep_half_precision() -> None:
    embedding = np.random.default_rng(0).normal(size=EMBEDDING_SIZE).astype(np.float32)
    content = to_bytes(embedding)
    assert len(content) == 2 * EMBEDDING_SIZE
    np.testing.assert_allclose(from_bytes(content), embedding, rtol=1e-3, atol=1e-6)
