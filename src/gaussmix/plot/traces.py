"""A fit: the log-likelihood after each M-step, eq. (6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gaussmix.errors import ParameterError
from gaussmix.models import fit_in
from gaussmix.outcome import Fit
from gaussmix.plot import _style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

REASONS = {"converged": "converged", "max_iter": "stopped at max_iter", "collapsed": "a component collapsed"}


def trace(fit: Any, ax: Axes | None = None) -> Axes:
    """L(X; θ_t) in nats against the number t of M-steps, of the start that was returned.

    Parameters
    ----------
    fit : Fit, or a Selection or fitted estimator that has one
    ax : matplotlib.axes.Axes, optional
        Where to draw; a figure of its own if not given.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ParameterError
        There is no fit in it.
    """
    from matplotlib.ticker import MaxNLocator

    fit = fit_in(fit)
    if not isinstance(fit, Fit):
        raise ParameterError(f"plot.trace draws a Fit, got {type(fit).__name__}.")
    ax = _style.dress(_style.new_axes(6.4, 4.0) if ax is None else ax)
    steps = range(len(fit.log_likelihoods))
    small = len(steps) <= 60
    ax.plot(
        steps,
        fit.log_likelihoods,
        color=_style.color(0),
        linewidth=1.6,
        marker="o" if small else "",
        markersize=3.5,
        gid="log-likelihood",
    )
    ax.plot(steps[-1], fit.log_likelihood, "o", markersize=9, fillstyle="none", color=_style.INK)
    ax.annotate(
        _style.number(fit.log_likelihood, 3),
        (steps[-1], fit.log_likelihood),
        (0, -10),
        textcoords="offset points",
        ha="right" if len(steps) > 1 else "center",
        va="top",
        fontsize=8,
        fontweight="bold",
        color=_style.INK,
    )
    ax.xaxis.set_major_locator(MaxNLocator("auto", integer=True, min_n_ticks=1))
    _style.label_axes(ax, "M-steps", "log-likelihood L, nats")
    ended = f"{REASONS.get(fit.reason, fit.reason)} after {fit.n_iter} M-step{'s' * (fit.n_iter != 1)}"
    starts = len(fit.start_log_likelihoods)
    _style.note(ax, ended, f"best of {starts} starts" if starts > 1 else "")
    return ax
