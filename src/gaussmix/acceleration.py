"""Longer steps for the one loop: along the path of EM itself, in strides that grow as it levels out.

An M-step makes θ from statistics u, the pass at θ yields g, and EM goes on with u' = g. It is slow where its steps
f = g − u change slowly: where components overlap. There its map is nearly linear, one step following the other by
f' = J f, so that τ steps more lead to

    u' = g + J f + J² f + … + J^τ f.

Of J is known what the last steps S = (s₁, s₂, …) told, J S = ΔG; elsewhere it is taken for 0, as where EM is exact.
With R of (SᵀS) R = SᵀΔG and c of (SᵀS) c = Sᵀf these steps are x ← c + R x, τ times from x = 0, and

    u' = g + Σᵢ xᵢ Δgᵢ.

For τ → ∞ that is, where steps become shorter, the first kind of Anderson's method (Fang & Saad 2009, Numer. Linear
Algebra Appl. 16, 197-221), quick, and drawn to any place where f is zero. With few steps ahead it keeps to EM's path,
beside saddles too, where f grows. How many: 1 + τ is inversely proportional to the length of f (EM's own step is the
1), as in pseudo-transient continuation (Kelley & Keyes 1998, SIAM J. Numer. Anal. 35, 508-523): strides of one length,
and EM itself as long as its own steps are longer. All families share it, for it never sees parameters; what it
proposes goes through the M-step like any statistics, and the loop accepts it only when the objective rises.

Statistics are extrapolated about one origin, the current means. Lengths and products are those of masses, whitened
first moments and the size of each covariance, in which the complete-data information is the identity.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from gaussmix.kernel import coordinates, proposed
from gaussmix.mixture import Mixture
from gaussmix.statistics import TINY, Statistics

Pass = tuple[Statistics, Statistics]

# 1 + τ times the length of f, in standard deviations per square root of a row: one that keeps to a path that bends, and
# one for runs that may end in any valley.
STRIDE, LONG_STRIDE = 1 / 110, 1 / 8
# The largest τ: beside a saddle f is short, and says little of what EM will do much later.
REACH = 16
# Steps that are remembered: how many slow directions the path may have at once; fewer, but one, where their second
# moments take more than so many bytes.
MEMORY = 3
ROOM = 16 << 20


def extrapolated(passes: Sequence[Pass], mixture: Mixture, stride: float) -> Statistics | None:
    """Statistics to go on with, from (u, g) of the last passes, the last at ``mixture``; None: EM's step is best.

    None where EM's own step is a ``stride``, where they tell nothing of the curvature, and where a component would lose
    nearly all its mass.
    """
    folded = passes[-1][1]
    several = [statistics for each in passes for statistics in each]
    vectors, _, squared = coordinates(several, mixture.means, mixture.whitening, folded.mass)
    tau = ahead(math.sqrt(squared / folded.weight), stride)
    return proposed(vectors, folded, tau) if tau > 0 else None


def ahead(length: float, stride: float) -> float:
    """τ where f has this length, per square root of a row; 0 where EM's own step is a stride already."""
    return min(stride / max(length, TINY) - 1, REACH) if length < stride else 0.0


def memory(statistics: Statistics) -> int:
    """How many steps to remember of statistics of this size."""
    return max(1, min(MEMORY, ROOM // (16 * statistics.second.size) - 1))


def remaining_gain(gains: tuple[float, ...]) -> float:
    """What plain EM would still gain, from the last two gains of consecutive plain steps (Aitken); inf if unknown."""
    if len(gains) < 2 or not 0 < gains[-1] < gains[-2]:
        return math.inf
    ratio = gains[-1] / gains[-2]
    return gains[-1] * ratio / (1 - ratio)
