"""Embeddings: what the head of a network saw of a face, projected to a few numbers for the drift check."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

EMBEDDING_SIZE = 64
_SEED = 20251
Embeddings = NDArray[np.float32]
"""`(N, EMBEDDING_SIZE)`, one row a face or a file."""


def project(features: NDArray[np.floating]) -> Embeddings:
    """Return features `(N, C)` on fixed random directions: distances between rows stay nearly the same.

    The directions depend on C alone, so that predictions and reference of one model can be compared.

    Args:
        features: `(N, C)`, what the head of a network saw.
    """
    return (np.asarray(features, np.float32) @ _directions(features.shape[1])).astype(np.float32)


@lru_cache(maxsize=4)
def _directions(num_features: int) -> NDArray[np.float32]:
    # Signs from raw bits: numpy promises these for every release, which it does not for normal numbers.
    words = np.random.PCG64(_SEED).random_raw(num_features)
    bits = (words[:, None] >> np.arange(EMBEDDING_SIZE, dtype=np.uint64)) & np.uint64(1)
    return (2.0 * bits.astype(np.float32) - 1.0) / np.float32(np.sqrt(EMBEDDING_SIZE))


def to_bytes(embedding: NDArray[np.floating]) -> bytes:
    """Return an embedding as half-precision bytes, as the prediction log and the reference keep it.

    Args:
        embedding: `(EMBEDDING_SIZE,)`.
    """
    with np.errstate(over="ignore"):  # to infinity, which the drift check leaves out
        return np.asarray(embedding).astype("<f2").tobytes()


def from_bytes(content: bytes) -> NDArray[np.float32]:
    """Return the embedding that `to_bytes` wrote, as single-precision numbers.

    Args:
        content: two bytes a number.
    """
    return np.frombuffer(content, dtype="<f2").astype(np.float32)
