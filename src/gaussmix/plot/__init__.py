"""Pictures of mixtures and of their selection, one per file, in Matplotlib.

Each function draws into the ``ax`` it is given, or into a figure of its own, and returns the axes
(`summary`: the figure; ``axes.figure`` is the figure of the others). None of them uses pyplot, so the
backend is the caller's, nothing is shown and nothing has to be closed; global settings stay as they are.
Matplotlib is imported by the first picture.

Components have one colour and one number in all pictures: the labels of `Mixture.classify`. Noise is grey.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gaussmix.plot.classes import classification as classification
    from gaussmix.plot.curves import criterion as criterion
    from gaussmix.plot.densities import density as density
    from gaussmix.plot.matrix import pairs as pairs
    from gaussmix.plot.overview import summary as summary
    from gaussmix.plot.traces import trace as trace

_HOMES = {
    "classification": "classes",
    "criterion": "curves",
    "density": "densities",
    "pairs": "matrix",
    "summary": "overview",
    "trace": "traces",
}

__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'gaussmix.plot' has no attribute {name!r}")
    value = getattr(import_module(f"gaussmix.plot.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
