"""From too many components to K: pairs are merged, greedily by what EM's lower bound says of it.

A merge of i and j replaces q_i and q_j by their sum and two Gaussians by one with their joint moments. By the lower
bound of EM it changes L by at least

    n_ij ln n_ij − n_i ln n_i − n_j ln n_j − ½(n_ij ln|Σ_ij| − n_i ln|Σ_i| − n_j ln|Σ_j|) + E_i + E_j − E_ij,

with E = Σ_n q_n ln q_n, whose last three come from the rows that both share. The pair with the largest of these numbers
is merged first (after Ueda et al. 2000, who take the one that looks most alike).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gaussmix.kernel import merge_gains
from gaussmix.trials import Parts

Array = NDArray[np.float64]


def merge_groups(parts: Parts, gamma: Array, n_groups: int, spherical: bool) -> NDArray[np.int64]:
    """Which of ``n_groups`` each of M components belongs to, (M,).

    ``gamma`` (n, M) holds the responsibilities for some rows times their weights; ``spherical`` components have one
    variance, the mean of those of the parts.
    """
    parts, gamma = Parts(*(each.copy() for each in parts)), gamma.copy()
    group, left = np.arange(len(parts.mass)), np.ones(len(parts.mass), dtype=bool)
    gain = np.full((len(group), len(group)), -np.inf)
    i, j = np.tril_indices(len(group), -1)
    gain[i, j] = merge_gains(parts, gamma, i, j, spherical)
    for _ in range(len(group) - n_groups):
        a, b = divmod(int(np.argmax(gain)), len(gain))
        for array, value in zip(parts, _joined(parts, a, b), strict=True):
            array[a] = value
        gamma[:, a] += gamma[:, b]
        group[group == b] = a
        gain[b, :] = gain[:, b] = -np.inf
        left[b] = False
        others = np.flatnonzero(left)
        others = others[others != a]
        i, j = np.maximum(others, a), np.minimum(others, a)
        gain[i, j] = merge_gains(parts, gamma, i, j, spherical)
    return np.unique(group, return_inverse=True)[1]


def grouped(parts: Parts, group: NDArray[np.int64]) -> Parts:
    """Components with the joint moments of the members of each group."""
    members = np.equal.outer(np.arange(group.max() + 1), group).astype(np.float64)
    mass = members @ parts.mass
    means = members @ (parts.mass[:, None] * parts.means) / mass[:, None]
    apart = parts.means - means[group]
    scatter = parts.scatter + parts.weighed(parts.squared(apart))
    return Parts(mass, means, np.tensordot(members, scatter, axes=1))


def _joined(parts: Parts, i: int, j: int) -> Parts:
    """Mass, mean and scatter of two components together."""
    mass, means, scatter = parts
    total, apart = mass[i] + mass[j], means[j] - means[i]
    between = mass[i] * mass[j] / total * parts.squared(apart)
    return Parts(total, means[i] + apart * (mass[j] / total), scatter[i] + scatter[j] + between)
