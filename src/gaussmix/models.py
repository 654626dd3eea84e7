"""What holds a mixture or a fit: a `Fit`, a `Selection`, a fitted estimator. Who saves or draws takes any of them."""

from __future__ import annotations

from typing import Any

from gaussmix.errors import ParameterError
from gaussmix.mixture import Mixture


def mixture_in(model: Any) -> Mixture:
    """The mixture of whatever has one.

    Raises
    ------
    ParameterError
        It has none.
    """
    for owner in (model, getattr(model, "best", None)):
        for mixture in (owner, getattr(owner, "mixture", None), getattr(owner, "mixture_", None)):
            if isinstance(mixture, Mixture):
                return mixture
    raise ParameterError(
        "expected a Mixture, a Fit, a Selection or a fitted estimator, "
        f"got {type(model).__name__}; fit it first."
    )


def fit_in(model: Any) -> Any:
    """The fit of whatever has one; else ``model`` itself."""
    return getattr(model, "best", getattr(model, "result_", model))
