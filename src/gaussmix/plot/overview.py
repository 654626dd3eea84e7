"""The one picture of a fit: density, classes or matrix, whichever suits D, and the selection beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gaussmix.models import mixture_in
from gaussmix.plot import _style
from gaussmix.plot.classes import classification
from gaussmix.plot.curves import criterion
from gaussmix.plot.densities import density
from gaussmix.plot.matrix import figure_side, new_grid, pairs, shown_features

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure

    from gaussmix.mixture import Mixture
    from gaussmix.selection import Selection


def summary(mixture: Any, X: Any, selection: Selection | None = None) -> Figure:
    """The mixture over its rows: `density` for one feature, `classification` for two, `pairs` for more.

    Parameters
    ----------
    mixture : Mixture, or a Fit, Selection or fitted estimator that has one
    X : array-like (N, D), data frame or source of rows
    selection : Selection, optional
        Draws its `criterion` beside the mixture.

    Returns
    -------
    matplotlib.figure.Figure
        Save it with ``figure.savefig("picture.png", dpi=150)``; a notebook that imported pyplot shows it.

    Raises
    ------
    DataError
        ``X`` does not fit the mixture.
    """
    mixture = mixture_in(mixture)
    width, height = _size(mixture)
    if selection is None:
        figure = _style.new_figure(width, height)
        _draw(figure, mixture, X)
        return figure
    figure = _style.new_figure(width + 5.4, height)
    left, right = figure.subfigures(1, 2, squeeze=False, width_ratios=[width, 5.4], wspace=0.03)[0]
    _draw(left, mixture, X)
    rows = right.add_gridspec(2, 1, height_ratios=[4.8, max(height - 4.8, 1e-3)])
    criterion(selection, ax=right.add_subplot(rows[0] if height > 6 else rows[:]))
    return figure


def _size(mixture: Mixture) -> tuple[float, float]:
    """Inches of the mixture's own picture, wide and high."""
    if mixture.n_features <= 2:
        return 6.0, 4.8
    side = figure_side(shown_features(mixture))
    return side, side


def _draw(figure: Figure | SubFigure, mixture: Mixture, X: Any) -> None:
    if mixture.n_features == 1:
        density(mixture, X, ax=figure.add_subplot())
    elif mixture.n_features == 2:
        classification(mixture, X, ax=figure.add_subplot())
    else:
        pairs(mixture, X, axes=new_grid(figure, shown_features(mixture)))
