"""The orientation that components share: Σₖ = D Λₖ Dᵀ, common principal components.

With the diagonals τₖⱼ = dⱼᵀ Sₖ dⱼ the optimal Λₖ are known, and the M-step's objective in D alone is

    VVE:  Σₖ Nₖ Σⱼ ln τₖⱼ        (Flury & Gautschi 1986, SIAM J. Sci. Stat. Comput. 7, 169-184)
    EVE:  Σₖ (Πⱼ τₖⱼ)^(1/D)      (Celeux & Govaert 1995, model [λDAₖDᵀ])

It is lowered by rotating pairs of columns of D, all disjoint pairs (p, q) of a round at once. For VVE the
pairs of a round add up; for EVE the convexity of exp bounds Πⱼ τⱼ'/τⱼ to the power 1/D by the mean over the P
pairs of (τp'τq' / τpτq)^(P/D). Both are Σₖ cₖ φ(τp'τq'/τpτq) with φ(x) = (xʳ − 1)/r: r = 0, the logarithm, or
r = P/D.

What is rotated are the columns of Yₖ = Rₖ D, Rₖᵀ Rₖ = Sₖ (one-sided Jacobi): its sums of squares τ never
cancel, so a variance 10⁻¹² of another keeps ten digits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from gaussmix.families import Array
from gaussmix.families._orientation_newton import newton_rotation

Pairs = NDArray[np.intp]

# A pair is done when its slope is below this, in units where every component is a correlation.
STATIONARY = 1e-11
NEAR = 0.3  # below it Newton's step for all pairs is worth its cost
MAX_SWEEPS = 200
# In a loop, where the next M-step goes on from here: only where a component is all but flat are they not enough.
LOOP_SWEEPS = 8
TINIEST = float(np.finfo(float).tiny)

# Variances of a correlation matrix: below the first it is flat, below the second it is raised to it.
FLAT = 2.0**-52
TINY = 2.0**-80


@dataclass(frozen=True)
class Criterion:
    """What D minimises, of the log volumes vₖ = (1/D) Σⱼ ln τₖⱼ (K,).

    Attributes
    ----------
    value : callable (v) -> float
    weights : callable (v) -> (K,)
        cₖ, the derivative of the value by vₖ.
    power : int
        1 where the value is a sum of exp vₖ, 0 where it is linear: r = power / D for all columns together.
    """

    value: Callable[[Array], float]
    weights: Callable[[Array], Array]
    power: int


def common_orientation(scatter: Array, criterion: Criterion, previous: Array | None) -> tuple[Array, Array]:
    """A stationary D (D, D) for scatter (K, D, D), and the diagonals τ (K, D).

    It starts from the orientation of ``previous`` or from the eigenvectors of the pooled scatter, whichever
    is lower; without ``previous`` it descends from the pooled and from the lowest of each component's.

    Raises
    ------
    numpy.linalg.LinAlgError
        A component has no extent along one of the common axes: the maximum of the likelihood does not exist.
    """
    root = roots(scatter)
    columns = [_turned(root, start) for start in _starts(scatter, previous)]
    values = [criterion.value(log_volumes(c)) for c in columns]
    chosen = {int(np.argmin(values))} | ({0} if previous is None else set())
    most = MAX_SWEEPS if previous is None else LOOP_SWEEPS
    solved = [_descend(columns[i], criterion, most) for i in sorted(chosen)]
    lowest = min(solved, key=lambda c: criterion.value(log_volumes(c)))
    orientation, diagonals = lowest[:, -1].T.copy(), squares(lowest)
    reach = (np.sqrt(scatter.diagonal(axis1=1, axis2=2)) @ np.abs(orientation)) ** 2
    if not np.all(diagonals > FLAT * reach):
        raise np.linalg.LinAlgError("a component is flat along a common axis")
    return orientation, diagonals


def _starts(scatter: Array, previous: Array | None) -> list[Array]:
    """Orientations (D, D) to start from, out of eigenvectors."""
    pooled = scatter.sum(axis=0)
    if previous is None:
        return list(np.linalg.eigh(np.concatenate([pooled[None], scatter]))[1])
    # Unequal shares, so that components whose axes are ordered differently do not add up to a sphere.
    shares = 1 / (np.arange(1, len(previous) + 1) * previous.trace(axis1=1, axis2=2))
    return list(np.linalg.eigh(np.stack([pooled, np.tensordot(shares, previous, axes=1)]))[1])


def _descend(columns: Array, criterion: Criterion, most: int) -> Array:
    """Sweeps over all pairs, and Newton steps for all of them together, until no pair has a slope left."""
    D = len(columns)
    # A single pair takes Newton's own step: this slope will be its square.
    enough = STATIONARY if D > 2 else STATIONARY**0.5
    exponent = criterion.power * (D // 2) / D
    for sweep in range(most):
        steepest = 0.0
        for p, q in rounds(D):
            weights = criterion.weights(log_volumes(columns))
            steepest = max(steepest, _rotate(columns, p, q, weights, exponent, search=sweep == 0))
        if steepest <= enough:
            break
        if D > 2 and steepest <= NEAR:
            columns = _newton(columns, criterion)
    return columns


def _newton(columns: Array, criterion: Criterion) -> Array:
    """The columns after a Newton step, or as they were where that does not go down."""
    before = log_volumes(columns)
    rotation = newton_rotation(columns[:, :-1], criterion.weights(before), criterion.power)
    if rotation is None:
        return columns
    turned = np.tensordot(rotation.T, columns, axes=1)
    return turned if criterion.value(log_volumes(turned)) <= criterion.value(before) else columns


def _turned(root: Array, orientation: Array) -> Array:
    """Columns (D, K + 1, D): j-th columns of every Yₖ = Rₖ D, and of D itself."""
    columns: Array = np.concatenate([root @ orientation, orientation[None]]).transpose(2, 0, 1).copy()
    return columns


def squares(columns: Array) -> Array:
    """τ (K, D) of columns (D, K + 1, D): the squared lengths of the columns of each Yₖ."""
    lengths: Array = np.einsum("jki,jki->kj", columns[:, :-1], columns[:, :-1])
    return lengths


def log_volumes(columns: Array) -> Array:
    """vₖ (K,) of columns (D, K + 1, D)."""
    volumes: Array = np.log(squares(columns)).mean(axis=1)
    return volumes


def roots(scatter: Array) -> Array:
    """Rₖ (K, D, D) with Rₖᵀ Rₖ = Sₖ, by the eigenvectors of the correlations: singular ones have it too."""
    scale = np.sqrt(scatter.diagonal(axis1=1, axis2=2))
    safe = np.where(scale > 0, scale, 1.0)
    eigenvalues, vectors = np.linalg.eigh(scatter / safe[:, :, None] / safe[:, None, :])
    lengths = np.sqrt(np.maximum(eigenvalues, TINY))
    root: Array = (lengths[:, None] * vectors).transpose(0, 2, 1) * scale[:, None]
    return root


@lru_cache(maxsize=64)
def rounds(D: int) -> tuple[tuple[Pairs, Pairs], ...]:
    """All pairs of D columns in rounds of disjoint pairs, as a round-robin tournament plays them."""
    players = list(range(D)) + [-1] * (D % 2)
    schedule = []
    for _ in range(len(players) - 1):
        p, q = np.array(players, dtype=np.intp).reshape(2, -1)
        q = q[::-1]
        playing = (p >= 0) & (q >= 0)
        p, q = p[playing], q[playing]
        schedule.append((p, q))
        players = [players[0], players[-1], *players[1:-1]]
    return tuple(schedule) if D > 1 else ()


def _rotate(columns: Array, p: Pairs, q: Pairs, weights: Array, exponent: float, search: bool) -> float:
    """Rotates the pairs (p, q) of columns, each to a lower objective; the steepest slope that one had."""
    first, second = columns[p], columns[q]
    y, x = first[:, :-1], second[:, :-1]
    a, b, g = (np.einsum("pki,pki->pk", left, right) for left, right in ((y, y), (x, x), (y, x)))
    angles, steepest = _candidates(a, b, g, weights, exponent, search)
    angle = angles[np.argmin(_objective(angles, a, b, g, weights, exponent), axis=0), np.arange(len(p))]
    cos, sin = np.cos(angle)[:, None, None], np.sin(angle)[:, None, None]
    columns[p] = cos * first + sin * second
    columns[q] = cos * second - sin * first
    return steepest


def _candidates(
    a: Array, b: Array, g: Array, weights: Array, exponent: float, search: bool
) -> tuple[Array, float]:
    """Angles (C, P) to try, and the steepest slope.

    The majorising step, Newton's, and in a search what suits each component alone. The first replaces φ by
    its tangent in τp and τq, which lies above φ, a concave function: Flury & Gautschi's inner step. It never
    goes up.
    """
    pull = weights * (1 / a - 1 / b)
    slope = 2 * (pull * g).sum(axis=1)
    spread = (pull * (b - a)).sum(axis=1)
    bound = weights * (4 * g * g * (1 / (a * a) + 1 / (b * b)) - exponent * (2 * g * (1 / a - 1 / b)) ** 2)
    curvature = 2 * spread - bound.sum(axis=1)
    majorised = 0.5 * np.arctan2(-slope, spread)
    newton = np.where(curvature > 0, -slope / np.where(curvature > 0, curvature, 1), majorised)
    steepest = float(np.sqrt((slope * slope / np.maximum(weights.sum() * spread, TINIEST)).max()))
    if not search:
        return np.stack([majorised, newton]), steepest
    own = 0.5 * np.arctan2(np.where(a < b, -2 * g, 2 * g), np.abs(a - b))
    return np.concatenate([majorised[None], newton[None], own.T]), steepest


def _objective(angles: Array, a: Array, b: Array, g: Array, weights: Array, exponent: float) -> Array:
    """Σₖ cₖ φ(τp'τq' / τpτq) after rotations by angles (C, P), for τp, τq and ypᵀyq of shape (P, K)."""
    cos, sin = np.cos(angles)[:, :, None], np.sin(angles)[:, :, None]
    twist = 2 * cos * sin * g
    ratio = (cos * cos * a + twist + sin * sin * b) * (sin * sin * a - twist + cos * cos * b) / (a * b)
    gain = np.log(ratio) if exponent == 0 else ratio**exponent / exponent
    objective: Array = gain @ weights
    return objective
