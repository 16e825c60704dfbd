"""Finding alike fingerprints among millions without comparing all with all.

Locality-sensitive hashing by sampled bits (Indyk and Motwani, "Approximate nearest neighbors", STOC 1998):
in each of `NUM_TABLES` tables a key of some of the bits is sorted, and only crops with equal keys are
compared. The key grows with the logarithm of the number of crops, so that the work grows about linearly.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from deepfakestream.data.validation.fingerprints import NUM_BITS, Bits

Rows = npt.NDArray[np.int64]

NUM_TABLES = 20
MAX_SHARE_OF_BITS = 0.16
"""Two fingerprints are candidates if at most this share of their bits differs."""

_BLOCK = 1 << 20
_MAX_BUCKET = 2000


def candidate_pairs(prints: Bits, split_codes: npt.NDArray[np.int8]) -> npt.NDArray[np.int64]:
    """Return pairs of rows of different splits with alike fingerprints, `(n, 2)`, smaller row first, sorted.

    A key that very many crops share (black or blank pictures) says nothing and is passed over.

    Args:
        prints: fingerprints, `(num_crops, 1 + NUM_VIEWS, NUM_WORDS)`.
        split_codes: number of each crop's split.
    """
    found: list[npt.NDArray[np.int64]] = []
    generator = np.random.default_rng(20)
    key_bits = key_length(len(prints))
    for _ in range(NUM_TABLES):
        positions = generator.choice(NUM_BITS, size=key_bits, replace=False)
        keys = _keys(prints, positions)
        for left, right, view, probe in _collisions(keys, split_codes):
            distance = np.bitwise_count(prints[left, probe] ^ prints[right, view]).sum(axis=1)
            near = distance <= MAX_SHARE_OF_BITS * NUM_BITS
            found.append(np.sort(np.stack([left[near], right[near]], axis=1), axis=1))
    if not found:
        return np.zeros((0, 2), dtype=np.int64)
    return np.unique(np.concatenate(found), axis=0)


def key_length(num_crops: int) -> int:
    """Return the bits of a key: enough that unlike crops seldom share one."""
    return int(np.clip(np.ceil(np.log2(max(num_crops, 2))) + 6, 16, 32))


def _keys(prints: Bits, positions: Rows) -> npt.NDArray[np.uint64]:
    """Return the sampled bits of each fingerprint as a number, `(num_crops, 1 + NUM_VIEWS)`."""
    keys = np.zeros(prints.shape[:2], dtype=np.uint64)
    as_bytes = prints.view(np.uint8)
    for position in positions:
        bit = (as_bytes[:, :, position // 8] >> np.uint8(7 - position % 8)) & np.uint8(1)
        keys = (keys << np.uint64(1)) | bit
    return keys


def _collisions(
    keys: npt.NDArray[np.uint64], split_codes: npt.NDArray[np.int8]
) -> Iterator[tuple[Rows, Rows, int, int]]:
    """Yield rows whose whole (probe 1) or mirrored whole (probe 0) has the key of another split's view."""
    for split in np.unique(split_codes):
        inside = np.flatnonzero(split_codes == split)
        outside = np.flatnonzero(split_codes != split)
        for view in range(1, keys.shape[1]):
            order = outside[np.argsort(keys[outside, view], kind="stable")]
            sorted_keys = keys[order, view]
            for probe in (0, 1):
                for left, right in _equal(keys[inside, probe], sorted_keys):
                    yield inside[left], order[right], view, probe


def _equal(
    wanted: npt.NDArray[np.uint64], sorted_keys: npt.NDArray[np.uint64]
) -> Iterator[tuple[Rows, Rows]]:
    """Yield positions in `wanted` and in `sorted_keys` that hold the same key, in blocks of bounded size."""
    first = np.searchsorted(sorted_keys, wanted, side="left")
    count = np.searchsorted(sorted_keys, wanted, side="right") - first
    count[count > _MAX_BUCKET] = 0
    held = np.flatnonzero(count)
    ends = np.cumsum(count[held])
    start = 0
    while start < len(held):
        base = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, base + _BLOCK, side="right")))
        rows = held[start:stop]
        left = np.repeat(rows, count[rows])
        offsets = np.arange(len(left)) - np.repeat(ends[start:stop] - count[rows] - base, count[rows])
        yield left, first[left] + offsets
        start = stop
