"""Rows in single precision, where a search among fits loses nothing by it: a pass is twice as fast."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gaussmix.priors import PseudoRows

Array = NDArray[np.float64]

# Rows that tell where the middle half of the data is. Single precision must resolve it, and the least spread, to these
# parts, and the data must lie well within its range.
MIDDLE_ROWS = 1_000
STEPS, PART_OF_LEAST = 1e-4, 1e-2
RANGE = 1e9


def lightened(rows: Array, pseudo_rows: PseudoRows) -> NDArray[np.floating]:
    """The rows (n, D) in single precision, unless its steps or range would be seen.

    They would be beside the middle half of a feature, or beside what pseudo-rows leave of its spread at least.
    """
    low, high = np.quantile(rows[:: 1 + len(rows) // MIDDLE_ROWS], [0.25, 0.75], axis=0)
    least = np.sqrt(pseudo_rows.count / pseudo_rows.rows * pseudo_rows.variances)
    largest, middle = np.abs(rows).max(axis=0), high - low
    seen = largest * 2.0**-24 > np.minimum(STEPS * middle, PART_OF_LEAST * least)
    return rows if (seen | (middle < 1 / RANGE) | (largest > RANGE)).any() else rows.astype(np.float32)
