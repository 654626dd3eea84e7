"""What a picture looks at: some rows, their classes, the features' names, and the room the axes need."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gaussmix.errors import DataError, ParameterError
from gaussmix.parameters import feature_position
from gaussmix.rows import as_source

if TYPE_CHECKING:
    from gaussmix.mixture import Mixture

Array = NDArray[np.float64]

# Rows further from the bulk than this many times its width are drawn at the edge.
FAR = 5.0


@dataclass(frozen=True)
class View:
    """Rows to draw, all of them or a sample.

    Attributes
    ----------
    rows : (n, D)
    weights : (n,) or None
    names : tuple of str, D of them
    n_rows : int
        N, of which ``rows`` are a sample.
    """

    rows: Array
    weights: Array | None
    names: tuple[str, ...]
    n_rows: int

    @property
    def count(self) -> str:
        """How many rows are drawn, in words."""
        if len(self.rows) < self.n_rows:
            return f"{len(self.rows):,} of {self.n_rows:,} rows, sampled"
        return f"{self.n_rows:,} row{'s' * (self.n_rows != 1)}"


def look(mixture: Mixture, X: Any, limit: int) -> View:
    """At most ``limit`` rows of ``X``, always the same ones.

    Raises
    ------
    DataError
        ``X`` holds no rows for this mixture.
    """
    source = as_source(X, feature_names=mixture.feature_names)
    if source.n_features != mixture.n_features:
        raise DataError(
            f"X has {source.n_features} columns, the mixture has {mixture.n_features} features; "
            "pass the columns that were fitted, in their order."
        )
    block = source.sample(limit, np.random.default_rng(0))
    names = mixture.feature_names or source.feature_names
    names = names or tuple(f"feature {j}" for j in range(mixture.n_features))
    return View(block.rows, block.weights, names, source.n_rows)


def described(mixture: Mixture) -> str:
    """The model in words."""
    one = mixture.n_components == 1
    noise = " and noise (grey)" if mixture.has_noise else ""
    return f"{mixture.n_components} component{'' if one else 's'}{noise}, {mixture.covariance_type}"


def positions(features: Sequence[int | str], names: tuple[str, ...]) -> list[int]:
    """Features given by name or position, as positions.

    Raises
    ------
    ParameterError
        There is no such feature, or one is given twice.
    """
    found = []
    for feature in features:
        position = feature_position(feature, names, len(names))
        if position is None:
            raise ParameterError(
                f"no feature {feature!r}; choose among 0 to {len(names) - 1} or {', '.join(names)}."
            )
        found.append(position)
    if len(set(found)) != len(found):
        raise ParameterError(f"features {list(features)!r} names one twice; give distinct features.")
    return found


def marginal(mixture: Mixture, view: View, features: Sequence[int]) -> Mixture:
    """The mixture of some features; noise is uniform over the range of the rows that are drawn."""
    if list(features) == list(range(mixture.n_features)):
        return mixture
    if not mixture.has_noise:
        return mixture.marginal(features)
    widths = np.ptp(view.rows[:, features], axis=0)
    return mixture.marginal(features, noise_density=1 / float(np.prod(np.where(widths > 0, widths, 1.0))))


def extent(values: Array, means: Array, deviations: Array) -> tuple[float, float]:
    """The range of one axis: the rows, but for very distant ones, and the components as far as there is room.

    Distant: among the outermost 0.5 % (at least one row) at either end, and further from the others than
    `FAR` times their width.
    """
    ordered = np.sort(values)
    cut = math.ceil(0.005 * len(values)) if len(values) >= 5 else 0
    inner_low, inner_high = float(ordered[cut]), float(ordered[-1 - cut])
    reach = FAR * (inner_high - inner_low)
    low, high = float(ordered[0]), float(ordered[-1])
    if reach > 0:
        low = float(ordered[ordered >= inner_low - reach][0])
        high = float(ordered[ordered <= inner_high + reach][-1])
    width = high - low
    if width <= 0:
        pad = 0.05 * abs(low) or 1.0
        return low - pad, high + pad
    inside = (means >= low) & (means <= high)
    ends = np.concatenate(
        [(means - 2.6 * deviations)[inside], (means + 2.6 * deviations)[inside], [low, high]]
    )
    room, margin = 0.25 * width, 0.04 * width
    return max(low - room, float(ends.min()) - margin), min(high + room, float(ends.max()) + margin)
