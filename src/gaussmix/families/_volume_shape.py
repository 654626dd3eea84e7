"""Volumes λₖ of components that share the rest of their covariance: Σₖ = λₖ C.

Celeux & Govaert (1995) alternate λₖ = tr(C⁻¹Sₖ) / (D Nₖ) with C = Σₖ Sₖ / (λₖ N). Here the second is put into
the M-step's objective, which leaves, of the precisions wₖ = 1/λₖ = exp θₖ alone,

    h(θ) = ln|Σₖ wₖ Sₖ| − Σₖ nₖ θₖ,    nₖ = D Nₖ / N,

convex, because the determinant is a polynomial in the wₖ without a negative coefficient. With the parts
Pₖ = wₖ M⁻¹Sₖ of M = Σₖ wₖ Sₖ, in a symmetric form that adds up to I,

    ∂h/∂θₖ = tr Pₖ − nₖ,    ∂²h/∂θₖ∂θₗ = δₖₗ tr Pₖ − tr(Pₖ Pₗ),

and the third derivative along u is at most (max u − min u) times the second: a Newton step d shortened by
ln(1 + ρ)/ρ, ρ = max d − min d, always descends (Bach 2010, Electron. J. Statist. 4, 384-414), and it is soon
not shortened at all.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gaussmix.families import Array

# weights (K,) -> the parts Pₖ, one row each (K, D or D²), and their traces (K,).
Parts = Callable[[Array], tuple[Array, Array]]

# A Newton step this small has left an error of its square.
SMALL = 1e-6
# Below this each step is far smaller than the last, unless both are rounding.
NEAR = 1e-2

# Eigenvalues of the scaled Hessian, all within [0, 1], below which a direction is flat.
FLAT = 1e-13


def diagonal_parts(scatter: Array) -> Parts:
    """Parts of diagonal matrices, scatter (K, D)."""

    def parts(weights: Array) -> tuple[Array, Array]:
        weighted = weights[:, None] * scatter
        shares = weighted / weighted.sum(axis=0)
        return shares, shares.sum(axis=1)

    return parts


def matrix_parts(scatter: Array) -> Parts:
    """Parts of full matrices, scatter (K, D, D): Pₖ = wₖ L⁻¹ Sₖ L⁻ᵀ with M = L Lᵀ."""
    K, D = scatter.shape[:2]

    def parts(weights: Array) -> tuple[Array, Array]:
        weighted = weights[:, None, None] * scatter
        inverse = np.linalg.inv(np.linalg.cholesky(weighted.sum(axis=0)))
        shares = (inverse @ weighted @ inverse.T).reshape(K, D * D)
        return shares, shares[:, :: D + 1].sum(axis=1)

    return parts


def precisions(parts: Parts, mass: Array, start: Array | None) -> Array:
    """The 1/λₖ that minimise h(θ), up to a common factor; from `start`, or else from C = Σₖ Sₖ.

    Raises
    ------
    numpy.linalg.LinAlgError
        A volume tends to zero: the maximum of the likelihood does not exist.
    """
    K = len(mass)
    weights = np.ones(K) if start is None else start / start.max()
    shares, traces = parts(weights)
    target = mass * (traces.sum() / mass.sum())
    if start is None:
        weights = _refuse_zero(target) / _refuse_zero(traces)
        shares, traces = parts(weights)
    step, rank = _newton_step(shares, traces, target)
    reach = np.inf
    for _ in range(200):
        weights = weights * np.exp(step)
        last, reach = reach, np.ptp(step)
        if reach < SMALL or last / 2 < reach < NEAR:
            return weights
        shares, traces = parts(weights)
        step, remaining = _newton_step(shares, traces, target)
        if remaining < rank:
            break
    raise np.linalg.LinAlgError("a volume tends to zero")


def _newton_step(shares: Array, traces: Array, target: Array) -> tuple[Array, int]:
    """The shortened Newton step in θ (K,), and the number of directions that are not flat."""
    scale = 1 / np.sqrt(_refuse_zero(traces))
    scaled = shares * scale[:, None]
    curvature, directions = np.linalg.eigh(np.eye(len(traces)) - scaled @ scaled.T)
    steep = curvature > FLAT
    steep[0] = False  # the common factor, in which h is flat, whatever rounding says
    directions = directions[:, steep]
    step = scale * (directions @ ((scale * (target - traces)) @ directions / curvature[steep]))
    reach = np.ptp(step)
    return (step * (np.log1p(reach) / reach) if reach > 0 else step), int(steep.sum())


def _refuse_zero(values: Array) -> Array:
    if not np.all(values > 0):
        raise np.linalg.LinAlgError("a component has no scatter")
    return values


def with_shape(scatter: Array) -> Array:
    """Scatter where a component without any (on which every shape is optimal) takes the shape of the pooled.

    It is made so small, 2⁻¹²⁰, that it counts for nothing in a common volume.
    """
    spread = scatter.reshape(len(scatter), -1).any(axis=1)
    if spread.all():
        return scatter
    scatter = scatter.copy()
    scatter[~spread] = scatter.sum(axis=0) * 2.0**-120
    return scatter
