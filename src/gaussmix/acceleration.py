"""Longer steps for the one loop: along the path of EM itself, in strides that grow as it levels out.

An M-step makes θ from statistics u, the pass at θ yields g, and EM goes on with u' = g. In the complete-data
exponential family f = g − u is the gradient of the objective with respect to the natural parameters (Fisher's
identity), so EM is a step of length one along the path du/dt = f(u), and slow where f changes slowly: where
components overlap. A Newton step would be quick, and end in another valley. An implicit Euler step of length τ,

    p = (1 + μ) (μ + B)⁻¹ f,    μ = 1/τ,    B = −∂f/∂u,

stays near the path, whatever τ, and is EM's own for τ → 0 and Newton's for τ → ∞; where B = 1, EM is exact and p = f.
With 1 + τ inversely proportional to the length of f (EM's own step is the 1) this is pseudo-transient continuation
(Kelley & Keyes 1998, SIAM J. Numer. Anal. 35, 508-523): strides of one length along the path, and EM itself as long as
its own steps are longer. Of B is known what the last steps S = (s₁, s₂, …) told, B S = Y = −ΔF = S − ΔG; elsewhere it
is taken for 1. With γ of (SᵀY + μ SᵀS) γ = Sᵀf, the equation along these steps, p = f + ΔG γ, that is

    u' = g + Σᵢ γᵢ Δgᵢ

(for μ = 0 the first kind of Anderson's method: Fang & Saad 2009, Numer. Linear Algebra Appl. 16, 197-221). All families
share it, for it never sees parameters; what it proposes goes through the M-step like any statistics, and the loop
accepts it only when the objective rises.

Statistics are extrapolated about one origin, the current means. Lengths and products are those of masses, whitened
first moments and the size of each covariance, in which the complete-data information is the identity.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gaussmix.kernel import coordinates, proposed
from gaussmix.mixture import Mixture
from gaussmix.statistics import Statistics

Array = NDArray[np.float64]
Pass = tuple[Statistics, Statistics]

# 1 + τ times the length of f, in standard deviations per square root of a row: one that keeps to a path that bends, and
# one for runs that may end in any valley.
STRIDE, LONG_STRIDE = 1 / 80, 1 / 8
# The longest τ, in passes of EM: near a saddle f is short, and a longer one would stop there where EM goes on.
REACH = 16
# Steps that are remembered: how many slow directions the path may have at once; fewer, but one, where they take more
# than so many bytes.
MEMORY = 3
ROOM = 16 << 20


def extrapolated(passes: Sequence[Pass], mixture: Mixture, stride: float) -> Statistics | None:
    """Statistics u + p to go on with, from (u, g) of the last passes, the last at ``mixture``; None: EM's step is best.

    None where EM's own step is a ``stride``, where they tell nothing of the curvature, and where a component would lose
    nearly all its mass.
    """
    folded = passes[-1][1]
    several = [statistics for each in passes for statistics in each]
    vectors, size, squared = coordinates(several, mixture.means, mixture.whitening, folded.mass)
    mu = damping(math.sqrt(squared / folded.weight), stride)
    vector = None if mu == math.inf else proposed(vectors, size, len(folded.mass), mu)
    return None if vector is None else _unpacked(vector, folded)


def damping(length: float, stride: float) -> float:
    """μ = 1/τ where f has this length, per square root of a row; inf where EM's own step is a stride already."""
    return max(length / (stride - length), 1 / REACH) if length < stride else math.inf


def memory(statistics: Statistics) -> int:
    """How many steps to remember of statistics of this size."""
    numbers = statistics.mass.size + statistics.first.size + statistics.second.size
    return max(1, min(MEMORY, ROOM // (16 * numbers) - 1))


def _unpacked(vector: Array, like: Statistics) -> Statistics:
    """Statistics of a packed vector, about the origin of ``like`` and of its rows."""
    n_components, n_features = like.origin.shape
    masses, firsts = 1 + n_components, 1 + n_components + n_components * n_features
    return Statistics(
        like.origin,
        vector[1:masses],
        vector[masses:firsts].reshape(like.origin.shape),
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
