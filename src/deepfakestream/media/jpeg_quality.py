"""How strongly a JPEG was compressed, read from its quantisation tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

# ISO/IEC 10918-1, table K.1: luminance, which libjpeg scales by the quality setting.
# fmt: off
_LUMINANCE = np.array([
    16, 11, 10, 16, 24, 40, 51, 61,
    12, 12, 14, 19, 26, 58, 60, 55,
    14, 13, 16, 24, 40, 57, 69, 56,
    14, 17, 22, 29, 51, 87, 80, 62,
    18, 22, 37, 56, 68, 109, 103, 77,
    24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101,
    72, 92, 95, 98, 112, 100, 103, 99,
], dtype=np.int64)
# fmt: on
_QUALITIES = np.arange(1, 101)
_SCALES = np.where(_QUALITIES < 50, 5000 // _QUALITIES, 200 - 2 * _QUALITIES)
_TABLE_SUMS = np.clip((_LUMINANCE[None] * _SCALES[:, None] + 50) // 100, 1, 255).sum(axis=1)


def estimate_quality(tables: Mapping[int, Sequence[int]]) -> int | None:
    """Return the libjpeg quality, 1 to 100, whose luminance table is nearest; None without a table.

    Exact for files written by libjpeg's standard tables; for others the quality of like strength.
    """
    if not tables:
        return None
    total = sum(tables[min(tables)])
    return int(_QUALITIES[np.abs(_TABLE_SUMS - total).argmin()])
