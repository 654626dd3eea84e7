"""Covariance families: one file each, found by mclust's letters.

A mixture's covariances are Σₖ = λₖ Dₖ Aₖ Dₖᵀ (Celeux & Govaert 1995): volume λ, shape A (|A| = 1) and
orientation D are each equal (E) or variable (V) across components, or the identity (I). A family is a value:
how its covariances are stored (a `Structure`), along which axes its M-step measures scatter, and how many parameters it
has.

To add one, add a file `xyz.py` that defines `family`. What components may share, and along which axes, is in
native/families.hpp.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module

import numpy as np
from numpy.typing import NDArray

from gaussmix import _kernel
from gaussmix.errors import ParameterError
from gaussmix.families.structures import Structure

Array = NDArray[np.float64]

# scikit-learn's names, and the one-dimensional models of mclust.
ALIASES = {"full": "VVV", "tied": "EEE", "diag": "VVI", "spherical": "VII", "E": "EII", "V": "VII"}

NAMES = (
    "EII",
    "VII",
    "EEI",
    "VEI",
    "EVI",
    "VVI",
    "EEE",
    "VEE",
    "EVE",
    "VVE",
    "EEV",
    "VEV",
    "EVV",
    "VVV",
)


@dataclass(frozen=True)
class Family:
    """One covariance structure.

    Attributes
    ----------
    name : str
        mclust's three letters.
    structure : Structure
        How covariances are stored, and which second moments the pass accumulates.
    axes : str
        Along which axes scatter is measured where components share volume or shape: "mean" over the features, "given"
        as it comes, "common" or "own" ones of the components.
    n_parameters : callable (K, D) -> int
        Free parameters of the K covariances (without means and weights).
    """

    name: str
    structure: Structure
    axes: str
    n_parameters: Callable[[int, int], int]

    def solve(self, scatter: Array, mass: Array, previous: Array | None) -> Array:
        """The M-step, eq. (8) under the family's constraint, as native/families.hpp takes it.

        Parameters
        ----------
        scatter : Array
            Σₙ γₙₖ (xₙ − μₖ)(xₙ − μₖ)ᵀ, in the structure's moment shape, prior rows included.
        mass : (K,)
            Nₖ.
        previous : Array or None
            The covariances of the last M-step: where families without a closed form begin.

        Raises
        ------
        numpy.linalg.LinAlgError
            The maximum does not exist.
        """
        covariances = np.empty(self.structure.shape(len(mass), scatter.shape[-1]))
        if not _kernel.solve(self.name[:2], self.axes, scatter, mass, previous, covariances):
            raise np.linalg.LinAlgError("no covariances maximise the likelihood: one tends to be singular")
        return covariances

    # Pickled and copied by name: what it does is code, not data.
    def __reduce__(self) -> tuple[Callable[[str], Family], tuple[str]]:
        return get, (self.name,)


def get(covariance_type: str) -> Family:
    """The family of that name: mclust's letters, or scikit-learn's full, tied, diag, spherical.

    Raises
    ------
    ParameterError
        No such family; the message lists those that exist.
    """
    name = ALIASES.get(covariance_type, covariance_type) if isinstance(covariance_type, str) else None
    if name not in NAMES:
        raise ParameterError(
            f"covariance_type={covariance_type!r} is not a covariance family; "
            f"choose one of {', '.join([*list(ALIASES)[:4], *NAMES])}."
        )
    return _defined(name)


def check_features(covariance_type: str, n_features: int) -> None:
    """Refuse mclust's names of models with one feature where there are several.

    Raises
    ------
    ParameterError
    """
    if covariance_type in ("E", "V") and n_features > 1:
        raise ParameterError(
            f"covariance_type={covariance_type!r} is for one feature, got {n_features}; one variance for all of them "
            f"is {ALIASES[covariance_type]!r}."
        )


def letters(name: str, n_features: int) -> str:
    """A family's name as mclust has it: with one feature E or V alone, whichever letters follow.

    Raises
    ------
    ParameterError
        No such family, or one of those names where there are several features.
    """
    check_features(name, n_features)
    return get(name).name[: 1 if n_features == 1 else None]


@cache
def _defined(name: str) -> Family:
    """Every M-step asks for its family: the import system would take longer than the M-step."""
    family: Family = import_module(f"gaussmix.families.{name.lower()}").family
    return family
