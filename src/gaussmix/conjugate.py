"""The normal-inverse-Wishart prior of Fraley & Raftery (2007, Journal of Classification 24, 155-181).

    μ_k | Σ_k ~ N(μ_P, Σ_k / κ),    Σ_k ~ inverse Wishart(ν, Λ),

whose log density, up to a constant, is

    −½ [(ν + D + 1) ln|Σ| + tr(Σ⁻¹Λ)] − ½ Σ_k [ln|Σ_k| + κ (μ_k − μ_P)ᵀ Σ_k⁻¹ (μ_k − μ_P)],

the first part once for each covariance that the family has: once in EII, EEI and EEE, for each component in the
others. Variances of a diagonal or spherical family have an inverse gamma prior, 1/σ² ~ Γ(ν/2, rate s/2), in place of
it: (ν + 2) ln σ² + s/σ². Eqs. (7), (8) become

    μ_k = (n_k x̄_k + κ μ_P) / (n_k + κ),
    S_k ← S_k + Λ + (κ n_k / (κ + n_k)) (x̄_k − μ_P)(x̄_k − μ_P)ᵀ,    n_k ← n_k + 1 + (ν + D + 1),

and the family solves as ever; κ = 0 is a flat prior of the means, without the 1. In EII, VII, EEI, VVI, EEE and VVV
this is conjugate; in the other eight it is the same density on the family's own covariances, and MAP all the same.

mclust's formulas deviate for EII (no s), EEI (means not shrunk) and, with κ = 0, for VVV and V (the 1 stays).
"""

from __future__ import annotations

import math
import numbers
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gaussmix.errors import ParameterError
from gaussmix.priors import PseudoRows, Supplement

if TYPE_CHECKING:
    from gaussmix.families import Family

Array = NDArray[np.float64]

# Families of a single covariance.
COMMON = ("EII", "EEI", "EEE")


@dataclass(frozen=True, eq=False)
class ConjugatePrior:
    """Hyperparameters of the conjugate prior; what is None comes from the data, as in Fraley & Raftery (2007).

    Parameters
    ----------
    shrinkage : float
        κ, in rows: how strongly means are drawn to ``mean``; 0 is not at all.
    mean : array-like (D,), optional
        μ_P; the mean of the data.
    dof : float, optional
        ν, degrees of freedom; D + 2.
    scale : float or array-like (D, D), optional
        s of the spherical and diagonal families, in squared units: the mean variance of the features over K^(2/D).
        Λ of the others: the covariance of the data over K^(2/D).
    """

    shrinkage: float = 0.01
    mean: ArrayLike | None = None
    dof: float | None = None
    scale: ArrayLike | None = None

    def __post_init__(self) -> None:
        for name, value in (("shrinkage", self.shrinkage), ("dof", self.dof)):
            if value is not None and (not isinstance(value, numbers.Real) or not 0 <= value < math.inf):
                raise ParameterError(f"{name} of the conjugate prior must be a number from 0, got {value!r}.")

    def for_data(
        self, pseudo_rows: PseudoRows, family: Family, n_components: int, mean: Array, covariance: Array
    ) -> Conjugate:
        """The prior of a family, beside data of that mean (D,) and covariance (D, D), with divisor N − 1."""
        n_features = len(mean)
        dof = n_features + 2 if self.dof is None else float(self.dof)
        shrunk_to = mean if self.mean is None else _shaped("mean", self.mean, (n_features,))
        volume = n_components ** (2 / n_features)
        # A feature without spread has the variance of its pseudo-rows.
        varying = 1.0 - pseudo_rows.constant
        if len(family.structure.moment_shape(1, n_features)) == 3:
            matrix = covariance / volume if self.scale is None else _scale_matrix(self.scale, n_features)
            count, scale = dof + n_features + 1, matrix * varying * varying[:, None]
        else:
            mean_variance = float(np.mean(np.diagonal(covariance)))
            single = mean_variance / volume if self.scale is None else float(_shaped("scale", self.scale, ()))
            # One inverse gamma for the D variances that a spherical family holds to be one.
            if family.structure.name == "spherical":
                count, scale = (dof + 2) / n_features, np.full(n_features, single / n_features)
            else:
                count, scale = dof + 2, single * varying
        return Conjugate(
            pseudo_rows, float(self.shrinkage), shrunk_to, count, scale, common=family.name in COMMON
        )


@dataclass(frozen=True, eq=False)
class Conjugate:
    """The conjugate prior of a family, beside pseudo-rows.

    Attributes
    ----------
    pseudo_rows : PseudoRows
    shrinkage : float
        κ.
    mean : (D,)
        μ_P.
    count : float
        What a covariance's mass gains: ν + D + 1, ν + 2, or (ν + 2) / D in a spherical family.
    scale : (D,) or (D, D)
        What its scatter gains: s, s / D or Λ.
    common : bool
        Whether all components share the one covariance, and so the one prior.
    """

    pseudo_rows: PseudoRows
    shrinkage: float
    mean: Array
    count: float
    scale: Array
    common: bool

    @property
    def variances(self) -> Array:
        """Of the features."""
        return self.pseudo_rows.variances

    def supplement(self, family: Family, n_components: int, supplied: float = 1.0) -> Supplement:
        """Means drawn to μ_P, scatter and mass with the prior's own and the pseudo-rows."""
        pseudo, part = self.pseudo_rows.supplement(family, n_components, supplied), self._part(n_components)
        return pseudo._replace(
            mass=part * self.count + (self.shrinkage > 0) + pseudo.mass,
            scatter=part * self.scale + (pseudo.scatter if self.scale.ndim == 1 else np.diag(pseudo.scatter)),
            shrinkage=self.shrinkage,
            centre=self.mean,
        )

    def log_density(self, means: Array, whitening: Array, log_root: float) -> float:
        """The two parts of the head, and the pseudo-rows' penalty; ln|Σ| = −2 ln|W| and Σ⁻¹ = WᵀW."""
        apart, part = means - self.mean, self._part(len(means)) * (len(means) / len(whitening))
        if whitening.ndim == 2:
            distance, trace = (whitening * apart) ** 2, whitening**2 * self.scale
        else:
            distance = (whitening @ apart[:, :, None]) ** 2
            trace = (whitening @ self.scale) * whitening
        counts = part * self.count + (self.shrinkage > 0) * len(means) / len(whitening)
        return (
            counts * log_root
            - 0.5 * (part * float(trace.sum()) + self.shrinkage * float(distance.sum()))
            + self.pseudo_rows.log_density(means, whitening, log_root)
        )

    def admitted(self, family: Family, covariances: Array, weights: Array, added: float = 0.0) -> Array:
        """All are."""
        return covariances

    def thinned(self, share: float, at_least: float = 0.0) -> Conjugate:
        """All of it times ``share``, but for the flat or not flat prior of the means."""
        return replace(
            self,
            pseudo_rows=self.pseudo_rows.thinned(share, at_least),
            shrinkage=self.shrinkage * share,
            count=self.count * share,
            scale=self.scale * share,
        )

    def about(self, centre: Array) -> Conjugate:
        """With μ_P moved along."""
        return replace(self, mean=self.mean - centre)

    def _part(self, n_components: int) -> float:
        """The part of a covariance's prior that each of the components brings."""
        return 1.0 / n_components if self.common else 1.0


def _shaped(name: str, values: Any, shape: tuple[int, ...]) -> Array:
    array = np.asarray(values, dtype=np.float64)
    if array.shape != shape or not np.all(np.isfinite(array)) or (shape == () and array < 0):
        kind = f"finite, of shape {shape}" if shape else "one number from 0 in this family"
        raise ParameterError(f"{name} of the conjugate prior must be {kind}, got shape {array.shape}.")
    return array


def _scale_matrix(values: Any, n_features: int) -> Array:
    matrix = _shaped("scale", values, (n_features, n_features))
    if not np.allclose(matrix, matrix.T, rtol=1e-8) or np.any(np.linalg.eigvalsh(matrix) < 0):
        raise ParameterError(
            "scale of the conjugate prior must be a covariance: symmetric, no negative eigenvalue."
        )
    return matrix
