"""Two features: rows coloured by class, the components' ellipses, contours of the density p(x), eq. (1)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gaussmix.errors import DataError, ParameterError
from gaussmix.models import mixture_in
from gaussmix.plot import _style
from gaussmix.plot._view import View, described, extent, look, marginal, positions

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.path import Path

    from gaussmix.mixture import Mixture

Array = NDArray[np.float64]

SHOWN_ROWS = 20_000
# Contours of p(x) enclose these shares of the rows, and are shaded from light to dark.
SHARES = (0.95, 0.75, 0.5, 0.25)
SHADES = ("#F3F3F3", "#EAEAEA", "#DFDFDF", "#D3D3D3")
CONTOUR_POINTS = 161


def classification(
    mixture: Any,
    X: Any,
    ax: Axes | None = None,
    *,
    features: Sequence[int | str] | None = None,
    mass: Sequence[float] = (0.5, 0.95),
    contours: bool = True,
    max_rows: int = SHOWN_ROWS,
) -> Axes:
    """The classes in the plane of two features, with the components' ellipses and contours of the density.

    An ellipse is the set of points at Mahalanobis distance r from μ_k; with r² = −2 ln(1 − m) it holds the
    share m of a component's mass. A contour is a line of equal p(x) around the region that holds 95, 75, 50
    or 25 % of the rows, the darker the denser. Of a mixture of more features both are those of its exact
    marginal, while a row's class is that of all.

    Parameters
    ----------
    mixture : Mixture, or a Fit, Selection or fitted estimator that has one
    X : array-like (N, D), data frame or source of rows
    ax : matplotlib.axes.Axes, optional
        Where to draw; a figure of its own if not given.
    features : sequence of two int or str, optional
        Horizontal and vertical feature, by position or name; needed when D > 2.
    mass : sequence of float
        The shares m, between 0 and 1.
    contours : bool
        Draw contours of p(x).
    max_rows : int
        Draw at most so many rows, chosen at random; the picture says so.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    DataError
        ``X`` does not fit the mixture, or D is not two and no two features are chosen.
    ParameterError
        There is no such feature, or a share is not between 0 and 1.
    """
    mixture = mixture_in(mixture)
    if mixture.n_features == 1 or (features is None and mixture.n_features > 2):
        advice = (
            "use plot.density" if mixture.n_features == 1 else "choose two with features=, or use plot.pairs"
        )
        raise DataError(
            f"plot.classification draws two features, this mixture has {mixture.n_features}: {advice}."
        )
    if not all(0 < share < 1 for share in mass):
        raise ParameterError(f"mass holds shares between 0 and 1, got {list(mass)!r}.")
    view = look(mixture, X, max_rows)
    chosen = positions((0, 1) if features is None else features, view.names)
    if len(chosen) != 2:
        raise ParameterError(f"features must be two, got {len(chosen)}; plot.pairs draws more.")
    ax = _style.dress(_style.new_axes(6.4, 5.2) if ax is None else ax)
    plane = marginal(mixture, view, chosen)
    distant = draw_classes(ax, mixture.classify(view.rows), plane, view, chosen, mass)
    if contours:
        _contours(ax, plane, view.rows[:, chosen])
    for k, mean in enumerate(plane.means):
        _style.badge(ax, float(mean[0]), float(mean[1]), k)
    _style.label_axes(ax, view.names[chosen[0]], view.names[chosen[1]])
    _style.note(ax, f"{described(mixture)} · {view.count}", *legend_sentences(mass, contours, distant))
    return ax


def legend_sentences(mass: Sequence[float], contours: bool, distant: NDArray[np.bool_]) -> list[str]:
    """What the lines and marks mean."""
    shares = " and ".join(f"{100 * share:g} %" for share in mass)
    lines = [f"ellipses hold {shares} of a component"] if mass else []
    lines += ["shading: p(x), regions of 95, 75, 50, 25 % of the rows"] if contours else []
    outside = int(distant.sum())
    beyond = f"{outside:,} distant row{'s' * (outside != 1)} drawn at the edge (◇)" if outside else ""
    return [" · ".join(lines), beyond]


def draw_classes(
    ax: Axes,
    labels: NDArray[np.int64],
    plane: Mixture,
    view: View,
    chosen: Sequence[int],
    mass: Sequence[float],
    scale: float = 1.0,
) -> NDArray[np.bool_]:
    """Points and ellipses of two features, and the limits of the axes; which rows lie beyond them, (n,)."""
    deviations = np.sqrt(np.diagonal(plane.full_covariances, axis1=1, axis2=2))
    points = view.rows[:, chosen]
    limits = np.array([extent(points[:, i], plane.means[:, i], deviations[:, i]) for i in range(2)])
    ax.set_xlim(*limits[0])
    ax.set_ylim(*limits[1])
    distant: NDArray[np.bool_] = np.any((points < limits[:, 0]) | (points > limits[:, 1]), axis=1)
    for label in map(int, np.unique(labels)):
        style = _style.point_style(len(points), label, scale)
        ax.plot(
            *points[(labels == label) & ~distant].T, zorder=2 + (label >= 0), gid=f"class {label}", **style
        )
    for point, label in zip(points[distant], labels[distant], strict=True):
        at = np.clip(point, limits[:, 0], limits[:, 1])
        ax.plot(
            *at, "D", color=_style.color(int(label)), fillstyle="none", markersize=6, clip_on=False, zorder=7
        )
    _ellipses(ax, plane, mass, scale)
    return distant


def ellipse(mean: Array, covariance: Array, radius: float) -> Path:
    """The points at Mahalanobis distance ``radius`` from ``mean`` (2,), under ``covariance`` (2, 2).

    μ + r C u for u on the unit circle and C Cᵀ = Σ, the Cholesky factor: exact for features of any scales.
    """
    from matplotlib.path import Path

    first = math.sqrt(covariance[0, 0])
    second = covariance[1, 0] / first
    factor = np.array([[first, 0.0], [second, math.sqrt(max(covariance[1, 1] - second**2, 0.0))]])
    circle = Path.unit_circle()
    return Path(mean + radius * np.asarray(circle.vertices) @ factor.T, circle.codes)


def _ellipses(ax: Axes, plane: Mixture, mass: Sequence[float], scale: float) -> None:
    from matplotlib.patches import PathPatch

    for k, (mean, covariance) in enumerate(zip(plane.means, plane.full_covariances, strict=True)):
        for share in mass:
            path = ellipse(mean, covariance, math.sqrt(-2 * math.log1p(-share)))
            patch = PathPatch(path, fill=False, edgecolor=_style.color(k), linewidth=1.4 * scale, zorder=5)
            patch.set_linestyle(_style.line(k))
            patch.set_gid(f"ellipse {k} {share:g}")
            ax.add_patch(patch)


def _contours(ax: Axes, plane: Mixture, points: Array) -> None:
    """Regions of equal ln p(x): almost quadratic near each mean, so it interpolates better than p(x)."""
    levels = np.unique(np.quantile(plane.log_density(points), [1 - share for share in SHARES]))
    x, y = (np.linspace(*limits, CONTOUR_POINTS) for limits in (ax.get_xlim(), ax.get_ylim()))
    grid = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    heights = plane.log_density(grid).reshape(len(y), len(x))
    levels = levels[levels < heights.max()]
    if len(levels):
        shades = SHADES[-len(levels) :]
        ax.contourf(x, y, heights, levels=[*levels, np.inf], colors=shades, zorder=0.4)
        ax.contour(
            x, y, heights, levels=levels, colors=_style.NOISE, linewidths=0.5, linestyles="-", zorder=0.6
        )
