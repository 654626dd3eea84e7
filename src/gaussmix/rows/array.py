"""Rows in memory: one array, visited where it lies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

S = TypeVar("S")


class Block(NamedTuple):
    """Some rows (n, D), their weights (n,) or None, and what a step keeps with them from pass to pass, if anything."""

    rows: NDArray[Any]
    weights: NDArray[np.float64] | None
    memo: dict[str, Any] | None = None


@dataclass(frozen=True, eq=False)
class ArraySource:
    """Checked rows (N, D), float32 or float64, any strides; weights (N,) or None; names of the columns or None."""

    rows: NDArray[Any]
    weights: NDArray[np.float64] | None = None
    feature_names: tuple[str, ...] | None = None
    memo: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.rows)

    @property
    def n_features(self) -> int:
        """D."""
        return int(self.rows.shape[1])

    @cached_property
    def weight(self) -> float:
        """N = Σw."""
        return float(self.n_rows if self.weights is None else self.weights.sum())

    @cached_property
    def _block(self) -> Block:
        return Block(self.rows, self.weights, self.memo)

    def fold(self, step: Callable[[Block], S]) -> S:
        """The sum of ``step`` over all rows: one block, since the array is in memory."""
        return step(self._block)

    def map(self, step: Callable[[Block], S]) -> S:
        """``step`` of all rows."""
        return step(self._block)

    def sample(self, n_rows: int, rng: np.random.Generator) -> Block:
        """At most ``n_rows`` distinct rows of positive weight, in the order of the data, as a copy in float64."""
        positive = None if self.weights is None else np.flatnonzero(self.weights > 0)
        count = self.n_rows if positive is None else len(positive)
        index = np.arange(min(count, n_rows))
        if count > n_rows:
            index = np.sort(rng.choice(count, n_rows, replace=False, shuffle=False))
        index = index if positive is None else positive[index]
        weights = None if self.weights is None else self.weights[index]
        return Block(self.rows[index].astype(np.float64), weights)
