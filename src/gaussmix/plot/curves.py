"""A selection: the criterion against K, one line for each covariance family."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gaussmix.errors import ParameterError
from gaussmix.plot import _style
from gaussmix.selection import Candidate, Selection

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = NDArray[np.float64]

LABEL_SIZE = 7.5
# The range is cut when all of it is so many times that of three quarters of the values.
SQUEEZED = 2.5
# It then reaches up to the last value within so many times that range.
NEAR = 1.5


def criterion(selection: Any, ax: Axes | None = None) -> Axes:
    """The criterion of every candidate against its number of components; lower is better.

    Each family is a line, named at its right end; the chosen candidate is ringed. A candidate that failed
    leaves a gap; one with a degenerate component, which cannot be chosen while there is a sound one, is a
    hollow mark. When a few values lie far above the others they leave through the upper edge, so that the
    rest can be told apart.

    Parameters
    ----------
    selection : Selection, or an AutoGaussianMixture that has one
        ``dataclasses.replace(selection, criterion="icl")`` draws another criterion of the same candidates.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a figure of its own if not given.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ParameterError
        It is neither.
    """
    from matplotlib.ticker import MaxNLocator

    selection = getattr(selection, "selection_", selection)
    if not isinstance(selection, Selection):
        raise ParameterError(f"plot.criterion draws a Selection, got {type(selection).__name__}.")
    ax = _style.dress(_style.new_axes(6.4, 4.6) if ax is None else ax)
    name = selection.criterion
    best = selection.best_candidate
    families = list(dict.fromkeys(c.covariance_type for c in selection.candidates))
    low, high = _limits(selection)
    ends = []
    for i, family in enumerate(families):
        chosen = family == best.covariance_type
        cells = sorted(
            (c for c in selection.candidates if c.covariance_type == family), key=lambda c: c.n_components
        )
        end = _line(ax, cells, name, i, chosen)
        if end is not None:
            ends.append((family, i, chosen, *end))
    ax.set_ylim(low, high)
    counts = [c.n_components for c in selection.candidates]
    ax.set_xlim(min(counts) - 0.4, max(counts) + 0.4)
    ax.xaxis.set_major_locator(MaxNLocator("auto", integer=True, min_n_ticks=1))
    _names(ax, ends)
    _mark_best(ax, best, name)
    _style.label_axes(ax, "number of components K", f"{name.upper()} (lower is better)")
    _style.note(ax, _counts(selection, high))
    return ax


def _sound(candidate: Candidate) -> bool:
    return candidate.fit is not None and not candidate.fit.degenerate


def _line(ax: Axes, cells: list[Candidate], name: str, i: int, chosen: bool) -> tuple[int, float] | None:
    """One family's line, and the last point of it."""
    values = np.array([cell.criterion(name) for cell in cells])
    values[~np.isfinite(values)] = np.nan
    counts = [cell.n_components for cell in cells]
    style: dict[str, Any] = {
        "color": _style.color(i),
        "zorder": 4 if chosen else 3,
        "alpha": 1.0 if chosen else 0.75,
    }
    ax.plot(
        counts, values, linewidth=2.0 if chosen else 1.1, gid=f"family {cells[0].covariance_type}", **style
    )
    for sound in (True, False):
        here = [j for j, cell in enumerate(cells) if _sound(cell) == sound]
        ax.plot(
            [counts[j] for j in here],
            values[here],
            linestyle="none",
            marker=_style.MARKERS[i % len(_style.MARKERS)],
            markersize=4.5 if chosen else 3.5,
            markerfacecolor=_style.color(i) if sound else "white",
            gid="sound" if sound else "degenerate",
            **style,
        )
    finite = np.flatnonzero(np.isfinite(values))
    return (counts[finite[-1]], float(values[finite[-1]])) if len(finite) else None


def _limits(selection: Selection) -> tuple[float, float]:
    """The vertical range: of all sound candidates, or of the lower three quarters and those near them."""
    name = selection.criterion
    sound = [c for c in selection.candidates if _sound(c)] or [
        c for c in selection.candidates if c.fit is not None
    ]
    values = [c.criterion(name) for c in sound]
    low, high, most = min(values), max(values), float(np.quantile(values, 0.75))
    if high - low > SQUEEZED * (most - low) > 0:
        high = max(value for value in values if value <= low + NEAR * (most - low))
    height = (high - low) or max(abs(low) * 0.01, 1.0)
    return low - 0.18 * height, high + 0.06 * height


def _names(ax: Axes, ends: list[tuple[str, int, bool, int, float]]) -> None:
    """Each family's name beside the end of its line, moved apart where they would overlap."""
    low, high = ax.get_ylim()
    inches = ax.get_window_extent().height / ax.figure.dpi
    step = 1.25 * LABEL_SIZE / 72 / inches
    ends = sorted(ends, key=lambda end: end[4])
    wanted = np.clip([(end[4] - low) / (high - low) for end in ends], 0, 1)
    for (family, i, chosen, count, value), height in zip(ends, _apart(wanted, step), strict=True):
        ax.annotate(
            family if value <= high else f"{family} ↑",
            (count, min(value, high)),
            (1.03, height),
            xycoords="data",
            textcoords="axes fraction",
            va="center",
            fontsize=LABEL_SIZE,
            fontweight="bold" if chosen else "normal",
            color=_style.color(i),
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": _style.color(i),
                "linewidth": 0.5,
                "alpha": 0.6,
                "shrinkB": 2,
            },
        )


def _apart(wanted: Array, step: float) -> Array:
    """Increasing heights at least ``step`` apart, within 0 and 1 if they fit, near the ``wanted`` ones."""
    ramp = step * np.arange(len(wanted))
    upward = np.maximum.accumulate(wanted - ramp) + ramp
    downward = np.minimum.accumulate((wanted - ramp)[::-1])[::-1] + ramp
    heights: Array = np.maximum((upward + downward) / 2, ramp)
    return np.minimum(heights, max(1.0, ramp[-1]) - ramp[::-1]) if len(ramp) else heights


def _mark_best(ax: Axes, best: Candidate, name: str) -> None:
    value = best.criterion(name)
    if not math.isfinite(value):
        return
    left, right = ax.get_xlim()
    across = (best.n_components - left) / (right - left)
    ax.plot(
        best.n_components, value, "o", markersize=11, fillstyle="none", color=_style.INK, zorder=5, gid="best"
    )
    ax.annotate(
        f"{best.covariance_type}, K = {best.n_components}: {_style.number(value, 1)}",
        (best.n_components, value),
        (0, -12),
        textcoords="offset points",
        ha="left" if across < 0.2 else "right" if across > 0.8 else "center",
        va="top",
        fontsize=8,
        fontweight="bold",
        color=_style.INK,
        zorder=6,
    )


def _counts(selection: Selection, high: float) -> str:
    total = len(selection.candidates)
    failed = sum(c.fit is None for c in selection.candidates)
    degenerate = sum(c.fit is not None and bool(c.fit.degenerate) for c in selection.candidates)
    parts = [f"{total} candidate{'s' * (total != 1)}"]
    parts += [f"{failed} failed (gaps)"] if failed else []
    parts += [f"{degenerate} degenerate (hollow)"] if degenerate else []
    above = sum(high < c.criterion(selection.criterion) < math.inf for c in selection.candidates)
    parts += [f"{above} above the upper edge"] if above else []
    return " · ".join(parts)
