"""Longer steps for the one loop: limited-memory BFGS in the space of statistics.

An M-step makes θ from statistics u, the pass at θ yields g, and EM goes on with u' = g. In the complete-data
exponential family g − u is the gradient of the objective with respect to the natural parameters (Fisher's identity),
so EM is a gradient step in the metric of the complete-data information, and slow where that metric overstates the
curvature: where components overlap. L-BFGS (Nocedal 1980) learns the difference from the last steps: with
s = Δu and y = −Δ(g − u) it proposes u + p, p = H(g − u), and H = I is plain EM. All families share it, for it
never sees parameters; what it proposes goes through the M-step like any statistics.

Statistics are extrapolated about one common origin, in coordinates whitened by a mixture on the way (the `Frame`),
in which the information is nearly I. The loop accepts a proposal only when the objective rises.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gaussmix.mixture import Mixture
from gaussmix.statistics import Statistics

Array = NDArray[np.float64]

# A frame is renewed after this many pairs: the information moves with θ.
FRAME_AGE = 10
# No proposal is longer than this, in standard deviations per square root of a row: farther lie other optima.
LONGEST = 0.2
# Bytes that the pairs of a run may take.
MEMORY = 16 << 20


class Frame(NamedTuple):
    """Where and in which units statistics are compared: origin (K, D), whitening, and masses (K,) of a mixture."""

    origin: Array
    whitening: Array
    mass: Array

    def pack(self, statistics: Statistics) -> Array:
        """Statistics about this origin as one vector."""
        moved = statistics.recentred(self.origin)
        return np.concatenate([[moved.noise_mass], moved.mass, moved.first.ravel(), moved.second.ravel()])

    def unpack(self, vector: Array, like: Statistics) -> Statistics:
        """The inverse of `pack`; weight and rows are those of ``like``."""
        n_components, n_features = self.origin.shape
        ends = np.cumsum([1, n_components, n_components * n_features])
        return replace(
            like,
            origin=self.origin,
            noise_mass=float(vector[0]),
            mass=vector[1 : ends[1]],
            first=vector[ends[1] : ends[2]].reshape(self.origin.shape),
            second=vector[ends[2] :].reshape(self.whitening.shape),
        )

    def whitened(self, vector: Array) -> Array:
        """The vector in coordinates in which the complete-data information is nearly I."""
        n_components, n_features = self.origin.shape
        ends = np.cumsum([1, n_components, n_components * n_features])
        root = np.sqrt(self.mass)
        first = vector[ends[1] : ends[2]].reshape(self.origin.shape)
        second = vector[ends[2] :].reshape(self.whitening.shape)
        if second.ndim == 2:
            first = self.whitening * first
            second = self.whitening * (self.whitening * second) / root[:, None]
        else:
            first = (self.whitening @ first[:, :, None])[:, :, 0]
            own = root[:, None, None] if len(second) == n_components else math.sqrt(self.mass.sum())
            second = self.whitening @ second @ np.swapaxes(self.whitening, 1, 2) / own
        head = np.concatenate([vector[:1] / math.sqrt(self.mass.sum()), vector[1 : ends[1]] / root])
        return np.concatenate([head, (first / root[:, None]).ravel(), second.ravel() / math.sqrt(2)])


class Pair(NamedTuple):
    """One accepted pass: u and g − u as vectors, and both in whitened coordinates."""

    used: Array
    step: Array
    white_used: Array
    white_step: Array


class Trial(NamedTuple):
    """A proposal u + length · direction; ``slope`` is the objective's rise per length at its start."""

    start: Array
    direction: Array
    slope: float
    length: float
    frame: Frame


@dataclass(frozen=True, eq=False)
class Memory:
    """The last accepted passes of a run, oldest first, in one frame."""

    frame: Frame | None = None
    pairs: tuple[Pair, ...] = ()
    age: int = 0

    def extended(self, used: Statistics, folded: Statistics, mixture: Mixture, limit: int) -> Memory:
        """With one more pass: θ was made of ``used`` and gave ``folded``."""
        memory = self
        if memory.frame is None or memory.age >= FRAME_AGE:
            memory = memory._moved(Frame(mixture.means, mixture.whitening, np.maximum(folded.mass, 1e-300)), folded)
        frame = memory.frame
        assert frame is not None
        start = frame.pack(used)
        step = frame.pack(folded) - start
        fitting = max(2, min(limit, MEMORY // (32 * len(start))))
        pair = Pair(start, step, frame.whitened(start), frame.whitened(step))
        return Memory(frame, (*memory.pairs, pair)[-fitting - 1 :], memory.age + 1)

    def _moved(self, frame: Frame, like: Statistics) -> Memory:
        """The same pairs in another frame."""
        moved = []
        for pair in self.pairs:
            assert self.frame is not None
            used = frame.pack(self.frame.unpack(pair.used, like))
            step = frame.pack(self.frame.unpack(pair.used + pair.step, like)) - used
            moved.append(Pair(used, step, frame.whitened(used), frame.whitened(step)))
        return Memory(frame, tuple(moved), 0)

    def proposal(self, weight: float) -> Trial | None:
        """A quasi-Newton step from the last pair, or None while nothing is known of the curvature."""
        if len(self.pairs) < 2 or self.frame is None:
            return None
        used, step, white_used, white_step = (np.stack(each) for each in zip(*self.pairs, strict=True))
        basis = np.vstack([np.diff(white_used, axis=0), -np.diff(white_step, axis=0), white_step[-1:]])
        with np.errstate(all="ignore"):
            inner = basis @ basis.T
            factors = two_loop(inner)
            squared = float(factors @ inner @ factors)
        if not 0 < squared < math.inf:
            return None
        factors *= min(1.0, LONGEST * math.sqrt(weight / squared))
        slope = float(factors @ inner[-1])
        along_used, along_step = np.split(factors[:-1], 2)
        along_step = -along_step
        direction = (
            np.diff(along_used, prepend=0, append=0) @ -used
            + np.diff(along_step, prepend=0, append=0) @ -step
            + factors[-1] * step[-1]
        )
        return Trial(used[-1], direction, slope, 1.0, self.frame) if slope > 0 else None


def two_loop(inner: Array) -> Array:
    """The two-loop recursion of L-BFGS on inner products alone.

    ``inner`` (2m + 1, 2m + 1) holds the products of s_1 … s_m, y_1 … y_m and the gradient; returned are the factors
    of these vectors in H·gradient. Pairs without positive curvature are left out.
    """
    m = len(inner) // 2
    factors = np.zeros(2 * m + 1)
    factors[-1] = 1.0
    kept = [j for j in range(m) if inner[j, m + j] > 1e-12 * math.sqrt(inner[j, j] * inner[m + j, m + j])]
    alpha = np.zeros(m)
    for j in reversed(kept):
        alpha[j] = inner[j] @ factors / inner[j, m + j]
        factors[m + j] -= alpha[j]
    for j in kept:
        factors[j] += alpha[j] - inner[m + j] @ factors / inner[j, m + j]
    return factors


def proposed(trial: Trial, like: Statistics) -> Statistics | None:
    """The statistics of a trial, or None when a component would lose nearly all its mass."""
    statistics = trial.frame.unpack(trial.start + trial.length * trial.direction, like)
    n_components = len(trial.frame.origin)
    if np.any(statistics.mass <= 0.1 * trial.start[1 : 1 + n_components]) or statistics.noise_mass < 0:
        return None
    return statistics


def shortened(trial: Trial, gain: float) -> Trial:
    """The trial again, at the top of the parabola through its slope and the (negative) ``gain`` it brought."""
    rise = trial.slope * trial.length
    best = 0.5 * rise / (rise - gain) if math.isfinite(gain) else 0.25
    return trial._replace(length=trial.length * min(max(best, 0.1), 0.5))


def remaining_gain(gains: tuple[float, ...]) -> float:
    """What plain EM would still gain, from the last two gains of consecutive plain steps (Aitken); inf if unknown."""
    if len(gains) < 2 or not 0 < gains[-1] < gains[-2]:
        return math.inf
    ratio = gains[-1] / gains[-2]
    return gains[-1] * ratio / (1 - ratio)


