"""From too many components to K: pairs are merged, greedily by what EM's lower bound says of it.

A merge of i and j replaces q_i and q_j by their sum and two Gaussians by one with their joint moments. By the lower
bound of EM it changes L by at least

    n_ij ln n_ij − n_i ln n_i − n_j ln n_j − ½(n_ij ln|Σ_ij| − n_i ln|Σ_i| − n_j ln|Σ_j|) + E_i + E_j − E_ij,

with E = Σ_n q_n ln q_n. The pair with the largest of these numbers is merged first (after Ueda et al. 2000, who take
the one that looks most alike).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from gaussmix.trials import Parts

Array = NDArray[np.float64]
LogDet = Callable[[Array], Array]

# Numbers that the moments of a block of pairs may take.
BLOCK = 1 << 18
# Responsibilities whose cosine is smaller share no rows to speak of.
OVERLAP = 1e-4


def merge_groups(parts: Parts, gamma: Array, n_groups: int, log_det: LogDet) -> NDArray[np.int64]:
    """Which of ``n_groups`` each of M components belongs to, (M,).

    ``gamma`` (n, M) holds the responsibilities for some rows times their weights; ``log_det`` is the family's ln|Σ|
    of covariances in the shape of the parts' scatter.
    """
    merging = _Merging(parts, gamma, log_det)
    group = np.arange(len(parts.mass))
    for _ in range(len(group) - n_groups):
        i, j = merging.merge_best()
        group[group == j] = i
    return np.unique(group, return_inverse=True)[1]


def grouped(parts: Parts, group: NDArray[np.int64]) -> Parts:
    """Components with the joint moments of the members of each group."""
    members = np.equal.outer(np.arange(group.max() + 1), group).astype(np.float64)
    mass = members @ parts.mass
    means = members @ (parts.mass[:, None] * parts.means) / mass[:, None]
    apart = parts.means - means[group]
    scatter = parts.scatter + parts.weighed(parts.squared(apart))
    return Parts(mass, means, np.tensordot(members, scatter, axes=1))


def merge_gains(
    parts: Parts, gamma: Array, i: NDArray[np.int64], j: NDArray[np.int64], log_det: LogDet
) -> Array:
    """What a merge of each pair (i, j) changes L by at least, in nats; ``gamma`` (n, M) as for `merge_groups`."""
    nothing = np.zeros(len(parts.mass))
    own, joint = _bound(parts, nothing, log_det), _bound(_joined(parts, i, j), nothing[i], log_det)
    # E_i + E_j − E_ij = Σ_n q_ij [r ln r + (1 − r) ln(1 − r)] with r = q_i / q_ij; single precision will do.
    first, both = gamma[:, i].astype(np.float32), (gamma[:, i] + gamma[:, j]).astype(np.float32)
    share = np.clip(first / np.maximum(both, 1e-30), 1e-7, 1 - 1e-7)
    entropy = share * np.log(share) + (1 - share) * np.log(1 - share)
    gains: Array = joint - own[i] - own[j] + np.einsum("np,np->p", both, entropy)
    return gains


class _Merging:
    """The parts that are left, and what each pair's merge is known to gain at least."""

    def __init__(self, parts: Parts, gamma: Array, log_det: LogDet) -> None:
        self.parts = Parts(*(each.copy() for each in parts))
        self.gamma, self.log_det = np.asfortranarray(gamma), log_det
        self.entropy = _entropy(self.gamma)
        self.own = _bound(self.parts, self.entropy, log_det)
        self.gain = np.full((len(gamma.T), len(gamma.T)), -np.inf)
        i, j = np.tril_indices(len(gamma.T), -1)
        size = max(1, BLOCK // self.parts.scatter[0].size)
        for begin in range(0, len(i), size):
            self._score(i[begin : begin + size], j[begin : begin + size])

    def merge_best(self) -> tuple[int, int]:
        """Merge the best pair (i, j) into i; j is gone."""
        i, j = divmod(int(np.argmax(self.gain)), len(self.gain))
        pair = _joined(self.parts, np.array([i]), np.array([j]))
        for array, value in zip(self.parts, pair, strict=True):
            array[i] = value[0]
        self.gamma[:, i] += self.gamma[:, j]
        self.entropy[i] = _entropy(self.gamma[:, i])
        self.own[i] = _bound(pair, self.entropy[i : i + 1], self.log_det)[0]
        self.gain[j, :] = self.gain[:, j] = -np.inf
        self.own[j] = np.nan
        left = np.flatnonzero(np.isfinite(self.own))
        left = left[left != i]
        self._score(np.maximum(left, i), np.minimum(left, i))
        return i, j

    def _score(self, i: NDArray[np.int64], j: NDArray[np.int64]) -> None:
        joint = _bound(_joined(self.parts, i, j), self._joint_entropy(i, j), self.log_det)
        self.gain[i, j] = joint - self.own[i] - self.own[j]

    def _joint_entropy(self, i: NDArray[np.int64], j: NDArray[np.int64]) -> Array:
        """E of q_i + q_j; the sum of both where they share no rows to speak of."""
        joint = self.entropy[i] + self.entropy[j]
        shared = self.gamma.T @ self.gamma
        own = np.sqrt(np.diagonal(shared))
        p = np.flatnonzero(shared[i, j] > OVERLAP * own[i] * own[j])
        joint[p] = _entropy(self.gamma[:, i[p]] + self.gamma[:, j[p]])
        return joint


def _joined(parts: Parts, i: NDArray[np.int64], j: NDArray[np.int64]) -> Parts:
    """Mass, mean and scatter of each pair (i, j) together."""
    mass, means, scatter = parts
    total = mass[i] + mass[j]
    apart = means[j] - means[i]
    between = Parts(mass[i] * mass[j] / total, apart, parts.squared(apart))
    return Parts(
        total,
        means[i] + apart * (mass[j] / total)[:, None],
        scatter[i] + scatter[j] + between.weighed(between.scatter),
    )


def _bound(parts: Parts, entropy: Array, log_det: LogDet) -> Array:
    """n ln n − ½ n ln|Σ| − E of each component."""
    bound: Array = parts.mass * (np.log(parts.mass) - 0.5 * log_det(parts.covariances())) - entropy
    return bound


def _entropy(gamma: Array) -> Array:
    """Σ_n q ln q of a column (n,), or of each (n, P)."""
    sums: Array = (gamma * np.log(np.maximum(gamma, 1e-300))).sum(axis=0)
    return sums
