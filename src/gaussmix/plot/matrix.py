"""More than two features: every pair of them, and the density of each on the diagonal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gaussmix.errors import DataError, ParameterError
from gaussmix.models import mixture_in
from gaussmix.plot import _style
from gaussmix.plot._view import View, described, look, marginal, positions
from gaussmix.plot.classes import draw_classes, legend_sentences
from gaussmix.plot.densities import draw_density

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

    from gaussmix.mixture import Mixture

SHOWN_ROWS = 4000
MOST_FEATURES = 6
MOST_ENTRIES = 14
TINY = 1e-300


def pairs(
    mixture: Any,
    X: Any,
    axes: Any = None,
    *,
    features: Sequence[int | str] | None = None,
    mass: Sequence[float] = (0.95,),
    max_rows: int = SHOWN_ROWS,
) -> NDArray[np.object_]:
    """A scatter matrix: classes and ellipses of each pair of features, their densities on the diagonal.

    Ellipses and densities are those of the mixture's exact marginals; a row's class is that of all features.

    Parameters
    ----------
    mixture : Mixture, or a Fit, Selection or fitted estimator that has one
    X : array-like (N, D), data frame or source of rows
    axes : array of matplotlib.axes.Axes (d, d), optional
        Where to draw; a figure of its own if not given. Only the lower triangle is used; the upper is
        switched off and its corner holds the legend.
    features : sequence of int or str, optional
        Which d features, by position or name. By default all; of more than six, the six whose means differ
        most between the components, as a share of their variance, and the picture says so.
    mass : sequence of float
        The shares of a component's mass in its ellipses, see `classification`.
    max_rows : int
        Draw at most so many rows, chosen at random; the picture says so.

    Returns
    -------
    array of matplotlib.axes.Axes (d, d)

    Raises
    ------
    DataError
        ``X`` does not fit the mixture, or the mixture has one feature.
    ParameterError
        There is no such feature, fewer than two are chosen, ``axes`` has another shape, or a share is not
        between 0 and 1.
    """
    mixture = mixture_in(mixture)
    if mixture.n_features == 1:
        raise DataError("plot.pairs draws several features, this mixture has one: use plot.density.")
    if not all(0 < share < 1 for share in mass):
        raise ParameterError(f"mass holds shares between 0 and 1, got {list(mass)!r}.")
    view = look(mixture, X, max_rows)
    chosen = _telling(mixture) if features is None else positions(features, view.names)
    if len(chosen) < 2:
        raise ParameterError("plot.pairs needs at least two features; plot.density draws one.")
    grid = _grid(axes, len(chosen))
    distant = _fill(grid, mixture, view, chosen, mass)
    part = "" if len(chosen) == mixture.n_features else f"{len(chosen)} of {mixture.n_features} features"
    part += ", those that separate most" if part and features is None else ""
    sentences = [described(mixture), view.count, part, *legend_sentences(mass, False, distant)]
    _legend(grid[0, -1], mixture, len(chosen), sentences)
    return grid


def figure_side(n_features: int) -> float:
    """Inches of the matrix: room for each panel, within a page."""
    return min(1.2 + 1.55 * n_features, 10.0)


def new_grid(figure: Figure | SubFigure, size: int) -> NDArray[np.object_]:
    """Panels (d, d) in ``figure``."""
    return figure.subplots(size, size, squeeze=False)


def shown_features(mixture: Mixture) -> int:
    """d, the features that `pairs` draws by default."""
    return min(mixture.n_features, MOST_FEATURES)


def _fill(
    grid: NDArray[np.object_], mixture: Mixture, view: View, chosen: Sequence[int], mass: Sequence[float]
) -> NDArray[np.bool_]:
    """Draw the panels ``grid`` (d, d); which rows lie beyond the edge of one, (n,)."""
    labels = mixture.classify(view.rows)
    distant = np.zeros(len(view.rows), dtype=bool)
    for row, i in enumerate(chosen):
        for column, j in enumerate(chosen):
            ax = grid[row, column]
            if column > row:
                ax.set_axis_off()
                continue
            _style.dress(ax)
            if row == column:
                draw_density(ax, mixture, view, j, numbers=False)
            else:
                plane = marginal(mixture, view, [j, i])
                distant |= draw_classes(ax, labels, plane, view, [j, i], mass, scale=0.7)
            _outer_labels(ax, view, i, j, row, column, len(chosen))
    return distant


def _telling(mixture: Mixture) -> list[int]:
    """The features to draw, those of largest Σ_k π_k (μ_kj − μ̄_j)² / var_j; in the order of the columns."""
    weights = mixture.weights / max(float(mixture.weights.sum()), TINY)
    between = weights @ (mixture.means - weights @ mixture.means) ** 2
    within = weights @ np.diagonal(mixture.full_covariances, axis1=1, axis2=2)
    share = between / (between + within + TINY)
    return sorted(np.argsort(-share, kind="stable")[:MOST_FEATURES].tolist())


def _grid(axes: Any, size: int) -> NDArray[np.object_]:
    if axes is None:
        side = figure_side(size)
        return new_grid(_style.new_figure(side, side), size)
    grid = np.asarray(axes, dtype=object)
    if grid.shape != (size, size):
        raise ParameterError(
            f"axes must be an array of {size} × {size} axes for {size} features, got {grid.shape}."
        )
    return grid


def _outer_labels(ax: Axes, view: View, i: int, j: int, row: int, column: int, size: int) -> None:
    """Names and numbers along the left and lower side of the matrix only."""
    from matplotlib.ticker import MaxNLocator

    ax.xaxis.set_major_locator(MaxNLocator(3))
    ax.yaxis.set_major_locator(MaxNLocator(3))
    ax.tick_params(labelsize=7, labelbottom=row == size - 1, labelleft=column == 0 and row > 0)
    if row == column:
        ax.set_yticks([])
        ax.grid(False)
    _style.label_axes(
        ax, view.names[j] if row == size - 1 else None, view.names[i] if column == 0 and row else None
    )


def _entries(mixture: Mixture) -> list[Artist]:
    """A mark and the weight of each component, noise last."""
    from matplotlib.lines import Line2D

    shares = [(str(k), k, float(weight)) for k, weight in enumerate(mixture.weights[:MOST_ENTRIES])]
    shares += [("noise", -1, mixture.noise_weight)] if mixture.has_noise else []
    return [
        Line2D([], [], **_style.point_style(1, k, 1.0), label=f"{name}: {100 * weight:.1f} %")
        for name, k, weight in shares
    ]


def _legend(ax: Axes, mixture: Mixture, size: int, sentences: Sequence[str]) -> None:
    """The components and what is drawn, in the free corner."""
    more = mixture.n_components - MOST_ENTRIES
    lines = [*sentences, f"and {more} more components" if more > 0 else ""]
    entries = _entries(mixture)
    legend = ax.legend(
        handles=entries,
        title="\n".join(line for line in lines if line),
        title_fontsize=7.5,
        fontsize=7.5,
        loc="upper right",
        bbox_to_anchor=(1.0, 1.0),
        borderaxespad=0,
        ncols=1 if len(entries) <= 4 else 2 if len(entries) <= 8 or size == 2 else 3,
        alignment="right",
        frameon=False,
        labelcolor=_style.INK,
        handletextpad=0.2,
        columnspacing=1.0,
    )
    legend.get_title().set(color=_style.SOFT, ha="right", linespacing=1.35, parse_math=False)
    # It may reach over the empty panels beside it, and must not widen this one.
    legend.set_in_layout(False)
