"""The orientation that components share: Σₖ = D Λₖ Dᵀ, common principal components.

With the diagonals τₖⱼ = dⱼᵀ Sₖ dⱼ the optimal Λₖ are known, and the M-step's objective in D alone is

    VVE:  Σₖ Nₖ Σⱼ ln τₖⱼ        (Flury & Gautschi 1986, SIAM J. Sci. Stat. Comput. 7, 169-184)
    EVE:  Σₖ (Πⱼ τₖⱼ)^(1/D)      (Celeux & Govaert 1995, model [λDAₖDᵀ])

It is lowered by rotating pairs of columns of D, all disjoint pairs (p, q) of a round at once. For VVE the pairs of
a round add up; for EVE the convexity of exp bounds Πⱼ τⱼ'/τⱼ to the power 1/D by the mean over the P pairs of
(τp'τq' / τpτq)^(P/D). Both are Σₖ cₖ φ(τp'τq'/τpτq) with φ(x) = (xʳ − 1)/r: r = 0, the logarithm, or r = P/D.

What is rotated are the columns of Yₖ = Rₖ D, Rₖᵀ Rₖ = Sₖ (one-sided Jacobi): its sums of squares τ never cancel,
so a variance 10⁻¹² of another keeps ten digits.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from gaussmix.families import Array

Pairs = NDArray[np.intp]

# A pair is done when its slope is below this, in units where every component is a correlation.
STATIONARY = 1e-11
MAX_SWEEPS = 1000


def common_orientation(
    scatter: Array, weigh: Callable[[Array], Array], power: float, start: Array
) -> tuple[Array, Array]:
    """A stationary D (D, D) for scatter (K, D, D), from `start`, and the diagonals τ (K, D).

    ``weigh`` gives the cₖ (K,) at diagonals (K, D); ``power`` is r times D/P: 0 or 1.
    """
    K, D = scatter.shape[:2]
    columns = np.empty((D, K + 1, D))
    columns[:, :K] = (roots(scatter) @ start).transpose(2, 0, 1)
    columns[:, K] = start.T
    exponent = power * (D // 2) / D
    for sweep in range(MAX_SWEEPS):
        done = True
        for p, q in rounds(D):
            weights = weigh(diagonals(columns))
            done &= _rotate(columns, p, q, weights, exponent, search=sweep == 0)
        if done:
            break
    return columns[:, K].T.copy(), diagonals(columns)


def diagonals(columns: Array) -> Array:
    """τ (K, D) of columns (D, K + 1, D): the squared lengths of the columns of each Yₖ."""
    squares: Array = np.einsum("jki,jki->kj", columns[:, :-1], columns[:, :-1])
    return squares


def roots(scatter: Array) -> Array:
    """Rₖ (K, D, D) with Rₖᵀ Rₖ = Sₖ, by the eigenvectors of the correlations: singular ones have it too."""
    scale = np.sqrt(scatter.diagonal(axis1=1, axis2=2))
    safe = np.where(scale > 0, scale, 1.0)
    eigenvalues, vectors = np.linalg.eigh(scatter / safe[:, :, None] / safe[:, None, :])
    root: Array = np.sqrt(np.maximum(eigenvalues, 0))[:, :, None] * vectors.mT * scale[:, None, :]
    return root


@lru_cache(maxsize=64)
def rounds(D: int) -> tuple[tuple[Pairs, Pairs], ...]:
    """All pairs of D columns in rounds of disjoint pairs, as a round-robin tournament plays them."""
    players = list(range(D)) + [-1] * (D % 2)
    schedule = []
    for _ in range(len(players) - 1):
        half = len(players) // 2
        pairs = [(a, b) for a, b in zip(players[:half], players[:half - 1:-1], strict=True) if min(a, b) >= 0]
        p, q = np.array(pairs, dtype=np.intp).reshape(-1, 2).T
        schedule.append((p, q))
        players = [players[0], players[-1], *players[1:-1]]
    return tuple(schedule) if D > 1 else ()


def _rotate(columns: Array, p: Pairs, q: Pairs, weights: Array, exponent: float, search: bool) -> bool:
    """Rotates the pairs (p, q) of columns, each to a lower objective; True where none has a slope left."""
    first, second = columns[p], columns[q]
    y, x = first[:, :-1], second[:, :-1]
    a, b, g = (np.einsum("pki,pki->pk", left, right) for left, right in ((y, y), (x, x), (y, x)))
    angles, still = _candidates(a, b, g, weights, exponent, search)
    angle = angles[np.argmin(_objective(angles, a, b, g, weights, exponent), axis=0), np.arange(len(p))]
    cos, sin = np.cos(angle)[:, None, None], np.sin(angle)[:, None, None]
    columns[p] = cos * first + sin * second
    columns[q] = cos * second - sin * first
    return still


def _candidates(
    a: Array, b: Array, g: Array, weights: Array, exponent: float, search: bool
) -> tuple[Array, bool]:
    """Angles (C, P) to try: the minorising step, Newton's, and in a search what suits each component alone.

    The first replaces φ by its tangent in τp and τq, above φ because it is concave (Flury & Gautschi's inner
    step), and never goes up.
    """
    pull = weights * (1 / a - 1 / b)
    slope = 2 * (pull * g).sum(axis=1)
    spread = (pull * (b - a)).sum(axis=1)
    bound = weights * (4 * g * g * (1 / (a * a) + 1 / (b * b)) - exponent * (2 * g * (1 / a - 1 / b)) ** 2)
    curvature = 2 * spread - bound.sum(axis=1)
    majorised = 0.5 * np.arctan2(-slope, spread)
    newton = np.where(curvature > 0, -slope / np.where(curvature > 0, curvature, 1), majorised)
    still = bool(np.all(slope * slope <= STATIONARY**2 * weights.sum() * spread))
    if not search:
        return np.stack([majorised, newton]), still
    own = 0.5 * np.arctan2(np.where(a < b, -2 * g, 2 * g), np.abs(a - b))
    return np.concatenate([majorised[None], newton[None], own.T]), still


def _objective(angles: Array, a: Array, b: Array, g: Array, weights: Array, exponent: float) -> Array:
    """Σₖ cₖ φ(τp'τq' / τpτq) after rotations by angles (C, P), for τp, τq and ypᵀyq of shape (P, K)."""
    cos, sin = np.cos(angles)[:, :, None], np.sin(angles)[:, :, None]
    twist = 2 * cos * sin * g
    ratio = (cos * cos * a + twist + sin * sin * b) * (sin * sin * a - twist + cos * cos * b) / (a * b)
    gain = np.log(ratio) if exponent == 0 else ratio**exponent / exponent
    objective: Array = gain @ weights
    return objective
