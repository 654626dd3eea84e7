"""gaussmix: Gaussian mixture models, p(x) = Σ_k π_k N(x | μ_k, Σ_k), learned by the EM algorithm.

>>> import gaussmix
>>> model = gaussmix.GaussianMixture(n_components=2).fit(X)      # doctest: +SKIP

Everything is imported when it is first used: ``import gaussmix`` loads NumPy and nothing else.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gaussmix.conjugate import ConjugatePrior as ConjugatePrior
    from gaussmix.estimators import AutoGaussianMixture as AutoGaussianMixture
    from gaussmix.estimators import GaussianMixture as GaussianMixture
    from gaussmix.fitting import fit as fit
    from gaussmix.mixture import Mixture as Mixture
    from gaussmix.outcome import Fit as Fit
    from gaussmix.selection import Selection as Selection
    from gaussmix.selection import select as select
    from gaussmix.storage import load as load
    from gaussmix.storage import save as save

__version__ = "0.1.0"

_HOMES = {
    "AutoGaussianMixture": "estimators",
    "ConjugatePrior": "conjugate",
    "Fit": "outcome",
    "GaussianMixture": "estimators",
    "Mixture": "mixture",
    "Selection": "selection",
    "fit": "fitting",
    "load": "storage",
    "save": "storage",
    "select": "selection",
}

__all__ = [*_HOMES, "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'gaussmix' has no attribute {name!r}")
    value = getattr(import_module(f"gaussmix.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
