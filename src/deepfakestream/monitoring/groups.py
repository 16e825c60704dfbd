"""Which predictions count as one: those of the same file, or of the same client."""

from __future__ import annotations

import pandas as pd

MIN_GROUPS = 20
"""With fewer clients than this, a group is a file and not a client."""


def has_many_clients(predictions: pd.DataFrame) -> bool:
    """Return whether there are enough clients for each to count as one.

    Args:
        predictions: `client`, missing without keys.
    """
    return bool(predictions["client"].nunique() >= MIN_GROUPS)


def groups_of(predictions: pd.DataFrame) -> pd.Series:
    """Return what each prediction belongs to: its client where there are many, else its file.

    Args:
        predictions: `client` and `media_sha256`; where both are missing, a row is a group of its own.
    """
    rows = pd.Series(predictions.index, predictions.index, dtype="object")
    files = predictions["media_sha256"].astype("object").fillna(rows)
    clients = predictions["client"].astype("object")
    return clients.fillna(files) if has_many_clients(predictions) else files
