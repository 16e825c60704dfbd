"""Whether the embeddings of today's files could have come from where those of the reference came from.

A test with the energy distance (Szekely and Rizzo, 2013), one row a file. How large the distance becomes by
chance is measured on permutations of whole groups: rows of one file, of one source or of one client resemble
each other. A test that takes them apart finds drift by that alone, as Evidently 0.7 does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deepfakestream.arrays import FloatArray
from deepfakestream.frozen import Frozen
from deepfakestream.monitoring.groups import MIN_GROUPS, groups_of, has_many_clients

MAX_ROWS = 400
"""Rows of either side that are compared; of more, so many are drawn. It bounds time and memory, and how small
a difference may be that counts as drift."""
MUCH = 0.2
"""Share of a window from which a client could make drift alone."""
_SHRINKAGE = 0.3
"""How far the covariance is drawn towards equal variances: it is estimated from few rows."""
_SEED = 0


class EmbeddingDrift(Frozen):
    """The embeddings of the window against those of the reference."""

    drifted: bool = False
    distance: float | None = None
    """Energy distance of the two samples, near 0 where they are alike; null where not compared."""
    threshold: float | None = None
    """Distance that chance alone exceeds in a share `drift.embedding_alpha` of all checks."""
    p_value: float | None = None
    """How often chance alone gives such a distance; at least one in the number of permutations."""
    note: str = ""
    """Why the embeddings were not compared, or what else was noticed."""

    def sentence(self) -> str:
        """Return the finding in words; empty where nothing is known."""
        if self.distance is None or self.threshold is None or self.p_value is None:
            return self.note
        numbers = f"distance {self.distance:.2f}, threshold {self.threshold:.2f}, p = {self.p_value:.2g}"
        found = "drifted" if self.drifted else self.note or "not drifted"
        return f"{found} ({numbers})"


@dataclass(frozen=True, slots=True)
class Sample:
    """Embeddings of one side."""

    rows: Sequence[NDArray[np.floating]]
    """`n` embeddings, `(d,)` each."""
    groups: NDArray[np.int64]
    """`(n,)`; rows of one number belong together."""

    def only(self, chosen: NDArray[np.bool_]) -> Sample:
        """Return the rows `(n,)` that are chosen."""
        return Sample([self.rows[row] for row in np.flatnonzero(chosen).tolist()], self.groups[chosen])

    @property
    def num_groups(self) -> int:
        """How many groups there are."""
        return len(np.unique(self.groups))


def check_embeddings(
    current: pd.DataFrame, reference: pd.DataFrame, *, minimum: int, alpha: float
) -> EmbeddingDrift:
    """Compare the embeddings of a window with those of the reference.

    With few clients, drift counts only if it stays without any one that sent much, if enough is left then.

    Args:
        current: a row a prediction: `embedding` (array or None), `media_sha256`, `client`; missing values
            are those without face, file or key.
        reference: a row a file: `embedding`, `group`. References of earlier releases have neither.
        minimum: rows with an embedding that either side needs.
        alpha: share of checks that may find drift where there is none; 0: nothing is compared.
    """
    if not alpha:
        return EmbeddingDrift(note="not compared: switched off (drift.embedding_alpha)")
    if "embedding" not in reference:
        return EmbeddingDrift(
            note="not compared: the reference has no embeddings; evaluate and promote again"
        )
    now, before = (_drawn(side) for side in (current, reference))
    window = _sample(now, groups_of(now))
    old = _sample(before, before["group"])
    if why := _why_not(window, old, minimum):
        return EmbeddingDrift(note=f"not compared: {why}")
    found = two_sample_test(window, old, alpha=alpha)
    if not found.drifted or has_many_clients(now):
        return found
    clients = now["client"].astype("object")
    shares = clients.value_counts(normalize=True)
    for client in shares[shares >= MUCH].index:
        others = (clients != client).to_numpy()
        rest = window.only(others)
        if rest.num_groups >= MIN_GROUPS and not two_sample_test(rest, old, alpha=alpha).drifted:
            note = f"only the files of client {client} differ"
            return found.model_copy(update={"drifted": False, "note": note})
    return found


def two_sample_test(current: Sample, reference: Sample, *, alpha: float) -> EmbeddingDrift:
    """Return whether two samples differ more than chance explains; each group counts as much as another.

    Args:
        current: one side, of at least two groups.
        reference: the other side; its groups are none of the first side's, whatever their numbers.
        alpha: share of tests that may say so wrongly.
    """
    groups = [np.unique(side.groups, return_inverse=True)[1] for side in (current, reference)]
    num_now = int(groups[0].max()) + 1
    likeness = _between_groups(
        -_distances(np.array([*current.rows, *reference.rows], dtype=np.float64)),
        np.concatenate([groups[0], num_now + groups[1]]),
    )
    num_permutations = round(2 / alpha) - 1
    order = np.tile(np.arange(len(likeness), dtype=np.int32), (num_permutations + 1, 1))
    order[1:] = np.random.default_rng(_SEED).permuted(order[1:], axis=1)
    found = _energy(likeness, order < num_now)
    by_chance = np.sort(found[1:])
    num_larger = int((by_chance >= found[0]).sum())
    return EmbeddingDrift(
        drifted=num_larger <= 1,
        distance=float(found[0]),
        threshold=float(by_chance[-2]),
        p_value=(1 + num_larger) / (1 + num_permutations),
    )


def _drawn(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with an embedding, at most `MAX_ROWS` of them."""
    usable = [row is not None and bool(np.isfinite(row).all()) for row in table["embedding"]]
    table = table[np.array(usable, dtype=bool)]
    return table if len(table) <= MAX_ROWS else table.sample(MAX_ROWS, random_state=_SEED)


def _sample(table: pd.DataFrame, groups: pd.Series) -> Sample:
    return Sample(list(table["embedding"]), pd.factorize(groups)[0].astype(np.int64))


def _why_not(window: Sample, reference: Sample, minimum: int) -> str:
    """Return why two samples cannot be compared; empty where they can."""
    for sample, name in ((reference, "reference"), (window, "window")):
        if len(sample.rows) < minimum:
            return f"the {name} has {len(sample.rows)} embeddings, {minimum} are needed"
        if sample.num_groups < MIN_GROUPS:
            return f"the {name} has {sample.num_groups} independent sources, {MIN_GROUPS} are needed"
    if len({len(row) for row in (*window.rows, *reference.rows)}) > 1:
        return "window and reference have embeddings of different sizes"
    return ""


def _distances(rows: FloatArray) -> FloatArray:
    """Return the distance of each row `(n, d)` to each, in units of their spread in every direction."""
    centred = rows - rows.mean(axis=0)
    covariance = np.cov(centred.T)
    mean_variance = np.trace(covariance) / len(covariance)
    shrunk = (1.0 - _SHRINKAGE) * covariance + _SHRINKAGE * mean_variance * np.eye(len(covariance))
    variances, directions = np.linalg.eigh(shrunk)
    scaled = centred @ directions / np.sqrt(np.maximum(variances, np.finfo(np.float64).tiny))
    norms = (scaled**2).sum(axis=1)
    return np.asarray(np.sqrt(np.maximum(norms[:, None] + norms[None] - 2.0 * scaled @ scaled.T, 0.0)))


def _between_groups(values: FloatArray, group_of: NDArray[np.int64]) -> FloatArray:
    """Return the mean of `values` `(n, n)` between the rows of each two groups; 0 on the diagonal."""
    shares = np.zeros((int(group_of.max()) + 1, len(group_of)))
    shares[group_of, np.arange(len(group_of))] = 1.0
    shares /= shares.sum(axis=1, keepdims=True)
    means = shares @ values @ shares.T
    np.fill_diagonal(means, 0.0)
    return np.asarray(means)


def _energy(likeness: FloatArray, is_now: NDArray[np.bool_]) -> FloatArray:
    """Return the energy distance for each way to label the groups, `(k, G)`; 0 is expected by chance."""
    labels = is_now.astype(np.float64)
    num_now = int(is_now[0].sum())
    num_before = is_now.shape[1] - num_now
    within_now = ((labels @ likeness) * labels).sum(axis=1)
    of_now = labels @ likeness.sum(axis=1)
    within_before = likeness.sum() - 2.0 * of_now + within_now
    return np.asarray(
        within_now / (num_now * (num_now - 1))
        + within_before / (num_before * (num_before - 1))
        - 2.0 * (of_now - within_now) / (num_now * num_before)
    )
