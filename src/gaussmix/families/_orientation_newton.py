"""Newton's step for the orientation that components share: the objective of `_orientation` to second order.

With D exp X, X skew with columns xⱼ, and Tₖ = Dᵀ Sₖ D with diagonal τₖ and columns Tₖⱼ, wₖⱼ = Tₖⱼ / τₖⱼ:

    ln τₖⱼ' = ln τₖⱼ + 2 wₖⱼᵀxⱼ + xⱼᵀ(Tₖ/τₖⱼ − 2 wₖⱼwₖⱼᵀ)xⱼ + (Tₖ X²)ⱼⱼ/τₖⱼ,    X² = −XᵀX,

so that Σₖ cₖ Σⱼ ln τₖⱼ has the Hessian 2 Σⱼ xⱼᵀAⱼxⱼ, Aⱼ = Σₖ cₖ (Tₖ/τₖⱼ − 2 wₖⱼwₖⱼᵀ) − M with M the symmetric
part of Σₖ cₖ Tₖ diag(1/τₖ). Rotating pairs alone converges linearly where no D diagonalises all the Sₖ.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gaussmix.families import Array

# Beyond this the Hessian, of D(D − 1)/2 pairs squared, costs more than it saves.
MAX_FEATURES = 16
SHIFTS = (0.0, 0.1, 1.0)


def newton_rotation(columns: Array, weights: Array, power: int) -> Array | None:
    """The rotation (D, D) that Newton's step asks for; None where the Hessian is not positive definite.

    columns (D, K, D) are those of the Yₖ, weights the cₖ (K,); with power 1 the objective is
    Σₖ exp(Σⱼ ln τₖⱼ / D).
    """
    D = len(columns)
    if D > MAX_FEATURES:
        return None
    products = np.einsum("iks,jks->kij", columns, columns)
    precision = 1 / products.diagonal(axis1=1, axis2=2)
    slopes = products * precision[:, None, :]
    p, q = np.triu_indices(D, 1)
    hessian = _pairwise(_blocks(products, precision, slopes, weights), p, q)
    gradients = 2 * (slopes[:, p, q] - slopes[:, q, p])
    if power:
        hessian += (gradients.T * (weights / D)) @ gradients
    factor = _positive_factor(hessian)
    if factor is None:
        return None
    triangle: Array = np.zeros((D, D))
    triangle[p, q] = np.linalg.solve(factor.T, np.linalg.solve(factor, -weights @ gradients)) / 2
    half = triangle - triangle.T
    # Cayley's transform: orthogonal, and exp X to second order.
    return np.asarray(np.linalg.solve(np.eye(D) - half, np.eye(D) + half), dtype=np.float64)


def _positive_factor(hessian: Array) -> Array | None:
    """The Cholesky factor; with the diagonal raised (Levenberg) where there is none."""
    diagonal = np.diag(np.abs(hessian.diagonal()))
    for shift in SHIFTS:
        try:
            return np.asarray(np.linalg.cholesky(hessian + shift * diagonal), dtype=np.float64)
        except np.linalg.LinAlgError:
            continue
    return None


def _blocks(products: Array, precision: Array, slopes: Array, weights: Array) -> Array:
    """Aⱼ (D, D, D) for Tₖ (K, D, D), 1/τₖⱼ (K, D) and wₖⱼ, the columns of slopes (K, D, D)."""
    mean = np.tensordot(weights, slopes, axes=1)
    weighted = weights[:, None] * precision
    blocks: Array = np.einsum("kj,kis->jis", weighted, products)
    blocks -= 2 * np.einsum("k,kij,ksj->jis", weights, slopes, slopes)
    blocks -= (mean + mean.T) / 2
    return blocks


def _pairwise(blocks: Array, p: NDArray[np.intp], q: NDArray[np.intp]) -> Array:
    """2 Σⱼ xⱼᵀAⱼxⱼ in the coordinates X[p, q] = −X[q, p], p < q."""
    ends = ((p, q, 1.0), (q, p, -1.0))
    total: Array = np.zeros((len(p), len(p)))
    for row, column, sign in ends:
        for other_row, other_column, other_sign in ends:
            shared = column[:, None] == other_column
            entries = blocks[column[:, None], row[:, None], other_row]
            total += np.where(shared, 2 * sign * other_sign * entries, 0.0)
    return total
