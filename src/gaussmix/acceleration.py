"""Longer steps for the one loop: along the path of EM itself, in strides that grow as it levels out.

An M-step makes θ from statistics u, the pass at θ yields g, and EM goes on with u' = g. In the complete-data
exponential family f = g − u is the gradient of the objective with respect to the natural parameters (Fisher's
identity), so EM is a step of length one along the path du/dt = f(u), and slow where f changes slowly: where
components overlap. A Newton step would be quick, and end in another valley. An implicit Euler step of length τ,

    p = (1 + μ) (μ + B)⁻¹ f,    μ = 1/τ,    B = −∂f/∂u,

stays near the path, whatever τ, and is EM's own for τ → 0 and Newton's for τ → ∞; where B = 1, EM is exact and p = f.
With τ inversely proportional to the length of f this is pseudo-transient continuation (Kelley & Keyes 1998, SIAM J.
Numer. Anal. 35, 508-523). Of B is known what the last step s told, B s = y = −Δf: μ + B is the BFGS update of
μ + 1 by the pair s, y + μ s. All families share it, for it never sees parameters; what it proposes goes through the
M-step like any statistics, and the loop accepts it only when the objective rises.

Statistics are extrapolated about one origin, the current means. Lengths and products are those of masses and whitened
first moments, in which the complete-data information is the identity.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gaussmix.kernel import coordinates
from gaussmix.mixture import Mixture
from gaussmix.statistics import Statistics

Array = NDArray[np.float64]
Pass = tuple[Statistics, Statistics]

# τ times the length of f, in standard deviations per square root of a row.
STRIDE = 1 / 128

# f, s and y of the vectors u, g of the pass before and u, g of this one.
DIFFERENCES = np.array([[0.0, 0, -1, 1], [-1, 0, 1, 0], [-1, 1, 1, -1]])


def extrapolated(before: Pass, last: Pass, mixture: Mixture) -> Statistics | None:
    """Statistics u + p to go on with, from (u, g) of two passes, the ``last`` at ``mixture``; None: EM's step is best.

    None where the two tell nothing of the curvature, and where a component would lose nearly all its mass.
    """
    used, folded = last
    passes = (*before, used, folded)
    vectors, size = coordinates(passes, mixture.means, mixture.whitening, folded.mass)
    differences = DIFFERENCES @ vectors
    metric = differences[:, size:]
    factors = implicit_step((metric @ metric.T).tolist(), folded.weight)
    if factors is None:
        return None
    vector = vectors[2, :size] + np.array(factors) @ differences[:, :size]
    return _unpacked(vector, folded) if _keeps_mass(vector, vectors[2], len(folded.mass)) else None


def implicit_step(products: Sequence[Sequence[float]], weight: float) -> tuple[float, float, float] | None:
    """The factors of f, s and y in p, from their inner ``products``; None where B is not known to be positive.

    With z = y + μ s, α = s·f / s·z and β = z·(f − α z) / ((1 + μ) s·z), p = (1 + μ) [(f − α z) / (1 + μ) + (α − β) s].
    """
    (ff, fs, fy), (_, ss, sy), (_, _, yy) = products
    mu = math.sqrt(ff / weight) / STRIDE
    sz, fz, zz = sy + mu * ss, fy + mu * fs, yy + 2 * mu * sy + mu * mu * ss
    if not 1e-12 * math.sqrt(ss * max(zz, 0.0)) < sz < math.inf:
        return None
    alpha = fs / sz
    beta = (fz - alpha * zz) / ((1 + mu) * sz)
    return 1.0, (1 + mu) * (alpha - beta) - mu * alpha, -alpha


def _keeps_mass(vector: Array, start: Array, n_components: int) -> bool:
    """Whether every component keeps a tenth of its mass, and noise has not less than none."""
    masses = slice(1, 1 + n_components)
    return bool(vector[0] >= 0 and (vector[masses] > 0.1 * start[masses]).all())


def _unpacked(vector: Array, like: Statistics) -> Statistics:
    """Statistics of a packed vector, about the origin of ``like`` and of its rows."""
    n_components, n_features = like.origin.shape
    masses, firsts = 1 + n_components, 1 + n_components + n_components * n_features
    return Statistics(
        like.origin,
        vector[1:masses],
        vector[masses:firsts].reshape(n_components, n_features),
        vector[firsts:].reshape(like.second.shape),
        float(vector[0]),
        like.weight,
        like.rows,
        like.log_likelihood,
    )


def remaining_gain(gains: tuple[float, ...]) -> float:
    """What plain EM would still gain, from the last two gains of consecutive plain steps (Aitken); inf if unknown."""
    if len(gains) < 2 or not 0 < gains[-1] < gains[-2]:
        return math.inf
    ratio = gains[-1] / gains[-2]
    return gains[-1] * ratio / (1 - ratio)
