"""One feature: the density p(x) = Σ_k π_k N(x | μ_k, σ_k²), eq. (1), its terms, a histogram of the rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gaussmix.errors import DataError
from gaussmix.models import mixture_in
from gaussmix.plot import _style
from gaussmix.plot._view import View, described, extent, look, marginal, positions

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from gaussmix.mixture import Mixture

Array = NDArray[np.float64]

# Rows in the histogram, and the most for which single rows are marked along the axis by themselves.
HISTOGRAM_ROWS = 200_000
RUG_ROWS = 500


def density(
    mixture: Any,
    X: Any,
    ax: Axes | None = None,
    *,
    feature: int | str | None = None,
    rug: bool | None = None,
) -> Axes:
    """The density of one feature over a histogram of the rows: each weighted component, and their sum on top.

    The curve of component k is π_k N(x | μ_k, σ_k²) = γ_k(x) p(x), eq. (4); of a mixture of several features,
    that of its exact marginal. Noise reaches over the range of the rows.

    Parameters
    ----------
    mixture : Mixture, or a Fit, Selection or fitted estimator that has one
    X : array-like (N, D), data frame or source of rows
        Beyond 200,000 rows the histogram is that of a sample, and says so.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a figure of its own if not given.
    feature : int or str, optional
        Which of the D features, by position or name; needed when D > 1.
    rug : bool, optional
        Mark single rows below the axis, in the colour of their class; by default up to 500 rows.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    DataError
        ``X`` does not fit the mixture, or there are several features and none is chosen.
    ParameterError
        There is no such feature.
    """
    mixture = mixture_in(mixture)
    if feature is None and mixture.n_features > 1:
        raise DataError(
            f"plot.density draws one feature, this mixture has {mixture.n_features}: choose one with "
            f"feature=, or use plot.{'classification' if mixture.n_features == 2 else 'pairs'}."
        )
    view = look(mixture, X, HISTOGRAM_ROWS)
    j = positions([0 if feature is None else feature], view.names)[0]
    ax = _style.dress(_style.new_axes(6.4, 4.0) if ax is None else ax, grid="y")
    outside = draw_density(ax, mixture, view, j)
    if rug if rug is not None else len(view.rows) <= RUG_ROWS:
        _rug(ax, view.rows[:, j], mixture.classify(view.rows))
    _style.label_axes(ax, view.names[j], "density")
    beyond = f"{outside:,} distant row{'s' * (outside != 1)} beyond the edge" if outside else ""
    _style.note(ax, f"{described(mixture)} · {view.count}", beyond)
    return ax


def draw_density(ax: Axes, mixture: Mixture, view: View, j: int, numbers: bool = True) -> int:
    """Histogram and curves of feature ``j``; the number of rows that lie beyond the edges."""
    one = marginal(mixture, view, [j])
    values, means = view.rows[:, j], one.means[:, 0]
    deviations = np.sqrt(one.full_covariances[:, 0, 0])
    low, high = extent(values, means, deviations)
    within = float(one.weights @ deviations) / max(float(one.weights.sum()), 1e-300)
    edges, heights = _histogram(values, view.weights, low, high, within)
    ax.stairs(heights, edges, fill=True, color=_style.BARS, zorder=1)

    box = (float(values.min()), float(values.max()))
    grid = _grid(low, high, means, deviations, box)
    total, parts = _curves(one, grid, box)
    # A component narrower than any bar must not flatten the rest.
    shown = (grid >= low) & (grid <= high)
    top = min(float(total[shown].max()), 2.5 * float(heights.max()))
    top = 1.12 * max(top, float(heights.max()))
    for label, part in parts:
        style: dict[str, Any] = {"color": _style.color(label), "zorder": 3, "gid": f"component {label}"}
        ax.plot(grid, part, linewidth=1.4, linestyle=_style.line(label), **style)
        ax.fill_between(grid, part, color=_style.color(label), alpha=0.13, linewidth=0, zorder=2)
        if numbers and label >= 0:
            peak = float(np.interp(means[label], grid, part))
            _style.badge(ax, float(means[label]), min(peak, 0.94 * top), label)
    ax.plot(grid, total, color=_style.INK, linewidth=1.6, zorder=4, gid="density")
    ax.set_xlim(low, high)
    ax.set_ylim(0, top)
    return int(np.sum((values < low) | (values > high)))


def _curves(one: Mixture, grid: Array, box: tuple[float, float]) -> tuple[Array, list[tuple[int, Array]]]:
    """p(x), and γ_k(x) p(x) with the label of each component, on ``grid`` (G,); noise only in its ``box``."""
    parts = one.responsibilities(grid[:, None]) * np.exp(one.log_density(grid[:, None]))[:, None]
    if one.has_noise:
        parts[(grid < box[0]) | (grid > box[1]), -1] = 0.0
    labels = [*range(one.n_components), *([-1] if one.has_noise else [])]
    return parts.sum(axis=1), [(label, parts[:, i]) for i, label in enumerate(labels)]


def _grid(low: float, high: float, means: Array, deviations: Array, box: tuple[float, float]) -> Array:
    """Where to evaluate: evenly over the axis, closely around each mean, and at the edges of the noise."""
    around = means[:, None] + deviations[:, None] * np.linspace(-6, 6, 121)
    steps = np.nextafter(box, (-np.inf, np.inf))
    return np.unique(np.concatenate([np.linspace(low, high, 401), around.ravel(), box, steps]))


def _histogram(
    values: Array, weights: Array | None, low: float, high: float, within: float
) -> tuple[Array, Array]:
    """Edges and heights, of area 1 with the rows beyond the edges.

    The width is Scott's (1979), 3.5 σ N^(−1/3), for the mean standard deviation ``within`` the components:
    that of all rows would blur the modes together.
    """
    chosen = (values >= low) & (values <= high)
    inside = values[chosen]
    distinct = np.unique(inside)
    begin, end = float(distinct[0]), float(distinct[-1])
    if end <= begin:
        edges = np.linspace(low, high, 22)
    else:
        width = min(max(3.5 * within * len(inside) ** (-1 / 3), (end - begin) / 120), (end - begin) / 8)
        # Rounded measurements: whole steps, so that every bar holds the same number of possible values.
        step = float(np.diff(distinct).min())
        width = max(round(width / step), 1) * step
        edges = begin - step / 2 + width * np.arange(np.ceil((end - begin + step) / width) + 1)
    counts, edges = np.histogram(inside, edges, weights=None if weights is None else weights[chosen])
    whole = len(values) if weights is None else float(weights.sum())
    return edges, counts / (whole * np.diff(edges))


def _rug(ax: Axes, values: Array, labels: NDArray[np.int64]) -> None:
    """A short stroke for each row, just above the axis."""
    for label in np.unique(labels):
        ax.vlines(
            values[labels == label],
            0,
            0.025,
            transform=ax.get_xaxis_transform(),
            color=_style.color(int(label)),
            linewidth=0.7,
            alpha=0.7,
            zorder=5,
        )
