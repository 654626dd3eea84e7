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
from dataclasses import dataclass, field, replace
from functools import cached_property
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


@dataclass(frozen=True, eq=False)
class Frame:
    """Where and in which units statistics are compared: origin (K, D), whitening, and masses (K,) of a mixture."""

    origin: Array
    whitening: Array
    mass: Array

    @cached_property
    def _ends(self) -> tuple[int, int]:
        """Where masses and first moments end in a vector."""
        n_components, n_features = self.origin.shape
        return 1 + n_components, 1 + n_components + n_components * n_features

    @cached_property
    def _unit(self) -> Array:
        """One over the units of a whitened vector, (P,)."""
        own = np.sqrt(self.mass)
        all_together = math.sqrt(self.mass.sum())
        shared = len(self.whitening) != len(self.mass)
        second = np.full(len(self.whitening), all_together) if shared else own
        sizes = [1, 1, self.origin.shape[1], math.prod(self.whitening.shape[1:])]
        units = [np.array([all_together]), own, own, math.sqrt(2) * second]
        return 1 / np.concatenate([np.repeat(u, size) for u, size in zip(units, sizes, strict=True)])

    def pack(self, statistics: Statistics) -> Array:
        """Statistics about this origin as one vector."""
        moved = statistics if statistics.origin is self.origin else statistics.recentred(self.origin)
        return np.concatenate([[moved.noise_mass], moved.mass, moved.first.ravel(), moved.second.ravel()])

    def unpack(self, vector: Array, like: Statistics) -> Statistics:
        """The inverse of `pack`; weight and rows are those of ``like``."""
        masses, firsts = self._ends
        return replace(
            like,
            origin=self.origin,
            noise_mass=float(vector[0]),
            mass=vector[1:masses],
            first=vector[masses:firsts].reshape(self.origin.shape),
            second=vector[firsts:].reshape(self.whitening.shape),
        )

    def whitened(self, vector: Array) -> Array:
        """The vector in coordinates in which the complete-data information is nearly I."""
        masses, firsts = self._ends
        first = vector[masses:firsts].reshape(self.origin.shape)
        second = vector[firsts:].reshape(self.whitening.shape)
        if second.ndim == 2:
            first = self.whitening * first
            second = self.whitening * (self.whitening * second)
        else:
            first = self.whitening @ first[:, :, None]
            second = self.whitening @ second @ self.whitening.transpose(0, 2, 1)
        return np.concatenate([vector[:masses], first.ravel(), second.ravel()]) * self._unit


class Trial(NamedTuple):
    """A proposal u + length · direction; ``slope`` is the objective's rise per length at its start."""

    start: Array
    direction: Array
    slope: float
    length: float
    frame: Frame


@dataclass(frozen=True, eq=False)
class Memory:
    """The last accepted passes of a run, oldest first, in one frame.

    Attributes
    ----------
    frame : Frame or None
    used, step : (m, P)
        u and g − u of each pass as vectors.
    white_used, white_step : (m, P)
        Both in whitened coordinates.
    age : int
        Passes since the frame was made.
    """

    frame: Frame | None = None
    used: Array = field(default_factory=lambda: np.empty((0, 0)))
    step: Array = field(default_factory=lambda: np.empty((0, 0)))
    white_used: Array = field(default_factory=lambda: np.empty((0, 0)))
    white_step: Array = field(default_factory=lambda: np.empty((0, 0)))
    age: int = 0

    def extended(self, used: Statistics, folded: Statistics, mixture: Mixture, limit: int) -> Memory:
        """With one more pass: θ was made of ``used`` and gave ``folded``."""
        memory = self
        if memory.frame is None or memory.age >= FRAME_AGE:
            memory = memory._moved(
                Frame(mixture.means, mixture.whitening, np.maximum(folded.mass, 1e-300)), folded
            )
        frame = memory.frame
        assert frame is not None
        start = frame.pack(used)
        step = frame.pack(folded) - start
        fitting = max(2, min(limit, MEMORY // (32 * len(start))))

        def longer(vectors: Array, last: Array) -> Array:
            return np.vstack([vectors[-fitting:], last]) if len(vectors) else last[None]

        return Memory(
            frame,
            longer(memory.used, start),
            longer(memory.step, step),
            longer(memory.white_used, frame.whitened(start)),
            longer(memory.white_step, frame.whitened(step)),
            memory.age + 1,
        )

    def _moved(self, frame: Frame, like: Statistics) -> Memory:
        """The same passes in another frame."""
        if self.frame is None or not len(self.used):
            return Memory(frame)
        old = self.frame
        used = np.stack([frame.pack(old.unpack(vector, like)) for vector in self.used])
        folded = np.stack([frame.pack(old.unpack(vector, like)) for vector in self.used + self.step])
        step = folded - used
        white_used, white_step = (np.stack([frame.whitened(v) for v in vectors]) for vectors in (used, step))
        return Memory(frame, used, step, white_used, white_step)

    def proposal(self, weight: float) -> Trial | None:
        """A quasi-Newton step from the last pass, or None while nothing is known of the curvature."""
        if len(self.used) < 2 or self.frame is None:
            return None
        gradient = self.white_step[-1:]
        basis = np.vstack(
            [self.white_used[1:] - self.white_used[:-1], self.white_step[:-1] - self.white_step[1:], gradient]
        )
        inner = basis @ basis.T
        factors = two_loop(inner)
        squared = float(factors @ inner @ factors)
        if not 0 < squared < math.inf:
            return None
        factors *= min(1.0, LONGEST * math.sqrt(weight / squared))
        slope = float(factors @ inner[-1])
        if not slope > 0:
            return None
        # The factors belong to differences of neighbours; summed up, they belong to the vectors themselves.
        m = len(self.used) - 1
        along_used, along_step = np.zeros(m + 1), np.zeros(m + 1)
        along_used[1:] += factors[:m]
        along_used[:-1] -= factors[:m]
        along_step[:-1] += factors[m:-1]
        along_step[1:] -= factors[m:-1]
        along_step[-1] += factors[-1]
        direction = along_used @ self.used + along_step @ self.step
        return Trial(self.used[-1], direction, slope, 1.0, self.frame)


# What is known before the first pass.
NOTHING = Memory()


def two_loop(inner: Array) -> Array:
    """The two-loop recursion of L-BFGS on inner products alone.

    ``inner`` (2m + 1, 2m + 1) holds the products of s_1 … s_m, y_1 … y_m and the gradient; returned are the factors
    of these vectors in H·gradient. Pairs without positive curvature are left out.
    """
    m = len(inner) // 2
    factors = np.zeros(2 * m + 1)
    factors[-1] = 1.0
    curvature = np.diagonal(inner[:m, m:-1]).tolist()
    squares = np.diagonal(inner).tolist()
    kept = [j for j in range(m) if curvature[j] > 1e-12 * math.sqrt(squares[j] * squares[m + j])]
    alpha = [0.0] * m
    for j in reversed(kept):
        alpha[j] = float(inner[j] @ factors) / curvature[j]
        factors[m + j] -= alpha[j]
    for j in kept:
        factors[j] += alpha[j] - float(inner[m + j] @ factors) / curvature[j]
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
