"""Statistics: all that an M-step needs to know of the rows, and nothing else.

Sums over rows n of w_n γ(z_nk) times powers of the residual x_n − o_k about an `origin` o_k (the means of the
mixture that made them). They add, so a pass may be cut into blocks, threads and machines in any way. With
n = `mass`, d = `first` / n the M-step is μ' = o + d and Σ = S/n − d dᵀ, eqs. (7), (8): near convergence d → 0
and nothing is left to cancel, whatever the distance of the data from zero (unlike E[x²] − μ²).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# The least mass that is divided by; first and second moments of less are zero beside it.
TINY = 1e-300


@dataclass(frozen=True, eq=False, init=False)
class Statistics:
    """Sums of one pass; frozen, additive, picklable.

    Attributes
    ----------
    origin : (K, D)
        o_k, about which residuals are taken.
    mass : (K,)
        N_k = Σ_n w_n γ(z_nk).
    first : (K, D)
        Σ_n w_n γ(z_nk) (x_n − o_k).
    second : (K, D), (1, D, D) or (K, D, D)
        Σ_n w_n γ(z_nk) (x_n − o_k)(x_n − o_k)ᵀ: its diagonal, summed over k, or in full.
    noise_mass : float
        Σ_n w_n γ(z_n0), the rows' weight explained by the noise component.
    weight : float
        N = Σ_n w_n.
    rows : int
        Number of rows visited.
    log_likelihood : float
        Σ_n w_n ln p(x_n), eq. (6), in nats.
    """

    origin: Array
    mass: Array
    first: Array
    second: Array
    noise_mass: float
    weight: float
    rows: int
    log_likelihood: float

    def __init__(
        self,
        origin: Array,
        mass: Array,
        first: Array,
        second: Array,
        noise_mass: float,
        weight: float,
        rows: int,
        log_likelihood: float,
    ) -> None:
        # To set frozen fields one by one, through their class, takes as long as a small fold.
        self.__dict__.update(
            origin=origin,
            mass=mass,
            first=first,
            second=second,
            noise_mass=noise_mass,
            weight=weight,
            rows=rows,
            log_likelihood=log_likelihood,
        )

    def __add__(self, other: Statistics) -> Statistics:
        """Statistics of the rows of both.

        Raises
        ------
        ValueError
            The two have different origins; `recentred` moves one.
        """
        if self.origin is not other.origin and not np.array_equal(self.origin, other.origin):
            raise ValueError(
                "statistics about different origins do not add; move one with .recentred(origin)"
            )
        return Statistics(
            origin=self.origin,
            mass=self.mass + other.mass,
            first=self.first + other.first,
            second=self.second + other.second,
            noise_mass=self.noise_mass + other.noise_mass,
            weight=self.weight + other.weight,
            rows=self.rows + other.rows,
            log_likelihood=self.log_likelihood + other.log_likelihood,
        )

    def with_sums(self, origin: Array, mass: Array, first: Array, second: Array) -> Statistics:
        """Other sums of the same rows."""
        rest = (self.noise_mass, self.weight, self.rows, self.log_likelihood)
        return Statistics(origin, mass, first, second, *rest)

    def recentred(self, origin: Array) -> Statistics:
        """The same sums about another ``origin`` (K, D)."""
        shift = origin - self.origin
        first = self.first - self.mass[:, None] * shift
        # Σγ(r − s)(r − s)ᵀ = S − f sᵀ − s (f − n s)ᵀ
        if self.second.ndim == 2:
            second = self.second - shift * (self.first + first)
        else:
            crossed = shift[:, :, None] * first[:, None, :] + self.first[:, :, None] * shift[:, None, :]
            crossed = (crossed + np.swapaxes(crossed, 1, 2)) / 2
            second = self.second - (
                crossed if len(self.second) == len(shift) else crossed.sum(0, keepdims=True)
            )
        return self.with_sums(origin, self.mass, first, second)

    def scatter(self) -> tuple[Array, Array]:
        """Means μ_k, eq. (7), (K, D) and scatter Σ_n w_n γ(z_nk)(x_n − μ_k)(x_n − μ_k)ᵀ, in the shape of `second`.

        A component without mass keeps its origin as mean and has no scatter.
        """
        mass = np.maximum(self.mass, TINY)[:, None]
        step = self.first / mass
        if self.second.ndim == 2:
            return self.origin + step, np.maximum(self.second - self.first * step, 0.0)
        # d dᵀ/n as the product of d/√n with itself is symmetric to the last bit.
        root = self.first / np.sqrt(mass)
        if len(self.second) == len(root):
            scatter = root[:, :, None] * root[:, None, :]
            return self.origin + step, np.subtract(self.second, scatter, out=scatter)
        return self.origin + step, self.second - (root.T @ root)
