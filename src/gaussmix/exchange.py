"""Exchanges: one component leaves, another becomes two, and EM settles the rest.

From a converged mixture the best exchange is found by what both halves are worth after the parts have moved, not by
what they are worth at first (which is all that the split and merge moves of Ueda et al. 2000 look at):

- a component that leaves costs what L has lost after a few steps of EM without it;
- a component that becomes two gains what EM of two components gains on its own rows, that is on all rows with
  weights w_n γ_nk. By the lower bound of EM, L rises by at least as much.

Pairs with the highest sum race: all run briefly, the best few longer, the best one until it converges.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from gaussmix.em import Run
from gaussmix.mixture import Mixture
from gaussmix.trials import Parts, Trials

Array = NDArray[np.float64]
Halve = Callable[[Parts, int, Trials], Parts]

# Rows on which responsibilities are looked at; a component's own rows are those with more than SHARE of them.
ROWS = 4_000
SHARE = 0.02
# Nats per row: without a component whose absence costs more than LOSS at once nothing is tried, nor when a pair
# promises less than WINDOW below zero.
LOSS = 0.5
WINDOW = 0.05
# Components that are left out for a trial, at most, and steps of such a trial and of one that splits.
CANDIDATES = 12
LEFT_OUT_STEPS = 8
SPLIT_STEPS = (4, 16)
# Attempts, each with other random directions, before the solution counts as the best.
ATTEMPTS = 3
# The race: (pairs, M-steps) of its rounds.
RACE = ((8, 10), (2, 25), (1, 100))
# A success gains more than this, in nats per row; a loser of the second round may still be this much behind.
SUCCESS = 1e-5
SLACK = 3e-3
# Half the distance of two halves in standard deviations along their axis; size and share of a small part.
APART = 0.7
SMALL, SMALL_SHARE = 0.3, 0.3


def exchanged(trials: Trials, best: Run) -> Run | None:
    """The run after the best exchange, or None when none is better."""
    mixture = best.mixture
    assert mixture is not None
    some = trials.thinned(ROWS)
    gamma = mixture.evaluate(some.sample.rows, wanted=["responsibilities"]).responsibilities
    absent = _absence(gamma, mixture, some.sample.weights)
    leaving = [int(k) for k in np.argsort(-absent)[:CANDIDATES] if absent[k] > -LOSS]
    if not leaving:
        return None
    parts = trials.parts(best)
    losses = {k: _loss(trials, parts, k, best) for k in leaving}
    for attempt in range(ATTEMPTS):
        gains = _splits(some, gamma, parts, HALVES if attempt == 0 else HALVES[1:])
        pairs = [(losses[k] + gain, k, c) for k in leaving for c, (gain, _) in gains.items() if c != k]
        pairs = sorted((pair for pair in pairs if pair[0] > -WINDOW), reverse=True)[: RACE[0][0]]
        made = [trials.mixture(parts.without(k, c).joined(gains[c][1])) for _, k, c in pairs]
        winner = _raced(trials, [each for each in made if each is not None], best)
        if winner is not None:
            return winner
    return None


def _raced(trials: Trials, starts: list[Mixture], best: Run) -> Run | None:
    """The winner, if it is better than ``best``."""
    for lanes, steps in RACE:
        runs = trials.em(starts[:lanes], steps)
        if not runs or not trials.better(runs[0], best, -SLACK):
            return None
        starts = [run.mixture for run in runs if run.mixture is not None]
    return runs[0] if trials.better(runs[0], best, SUCCESS) else None


def _absence(gamma: Array, mixture: Mixture, weights: Array | None) -> Array:
    """What L gains at once, in nats per row, when component k leaves and the others share its weight: (K,), below 0.

    p(x) without k is p(x) (1 − γ_k) / (1 − π_k).
    """
    logs = np.log(np.maximum(1 - gamma, 1e-9))
    mean: Array = np.average(logs, axis=0, weights=weights)
    return mean - np.log1p(-np.minimum(mixture.weights, 1 - 1e-9))


def _loss(trials: Trials, parts: Parts, k: int, best: Run) -> float:
    """What L has gained, in nats per row, after a few steps without component k; −∞ when they fail."""
    left = trials.mixture(parts.without(k))
    runs = [] if left is None else trials.plain([left], LEFT_OUT_STEPS)
    if not runs:
        return -np.inf
    return (runs[0].log_likelihoods[-1] - best.log_likelihoods[-1]) / trials.sample.weight


def _splits(
    some: Trials, gamma: Array, parts: Parts, halves: tuple[Halve, ...]
) -> dict[int, tuple[float, Parts]]:
    """For each component that can be split: the gain of L in nats per row, and its two parts."""
    rows, weights = some.sample.rows, some.sample.weights
    family = "VVV" if parts.scatter.ndim == 3 else "VVI"
    found = {}
    for c in range(len(parts.mass)):
        own = gamma[:, c] > SHARE
        if np.count_nonzero(own) < 4 * (rows.shape[1] + 1):
            continue
        share = gamma[own, c] if weights is None else gamma[own, c] * weights[own]
        inside = some.on(rows[own], share, family)
        whole = inside.mixture(parts.of(np.array([c])))
        starts = [inside.mixture(halve(parts, c, inside)) for halve in halves]
        runs = inside.plain([each for each in starts if each is not None], SPLIT_STEPS[0])
        runs = inside.plain([run.mixture for run in runs[:1] if run.mixture is not None], SPLIT_STEPS[1])
        if whole is None or not runs:
            continue
        before = inside.plain([whole], 0)[0].log_likelihoods[-1]
        gain = (runs[0].log_likelihoods[-1] - before) / some.sample.weight
        two = inside.parts(runs[0])
        scale = parts.mass[c] / two.mass.sum()
        found[c] = (gain, Parts(two.mass * scale, two.means, two.scatter * scale))
    return found


# ---- how a component becomes two ----------------------------------------------------------------------------------


def along_longest_axis(parts: Parts, c: int, inside: Trials) -> Parts:
    """Two halves of component c along its longest axis, in units of the features' spread."""
    axes = _axes(parts, c, inside)
    if axes.ndim == 1:
        return _halves(parts, c, inside, np.where(np.arange(len(axes)) == axes.argmax(), axes, 0.0))
    return _halves(parts, c, inside, axes[:, -1])


def along_any_direction(parts: Parts, c: int, inside: Trials) -> Parts:
    """Two halves of component c along a random direction in its own metric."""
    axes = _axes(parts, c, inside)
    drawn = inside.rng.standard_normal(len(axes))
    drawn /= np.linalg.norm(drawn)
    return _halves(parts, c, inside, axes * drawn if axes.ndim == 1 else axes @ drawn)


def small_part(parts: Parts, c: int, inside: Trials) -> Parts:
    """Most of component c, and a small part of it about one of its rows."""
    weights = inside.sample.weights
    assert weights is not None
    row = inside.sample.rows[inside.rng.choice(len(weights), p=weights / weights.sum())]
    share = np.array([1 - SMALL_SHARE, SMALL_SHARE])
    size = np.array([1.0, SMALL**2]) * share
    mass, mean, scatter = (each[c] for each in parts)
    return Parts(mass * share, np.stack([mean, row]), size.reshape(-1, *[1] * scatter.ndim) * scatter)


HALVES: tuple[Halve, ...] = (along_longest_axis, along_any_direction, small_part)


def _axes(parts: Parts, c: int, inside: Trials) -> Array:
    """Semi-axes of component c in units of the features' spread: lengths (D,) along the features, or columns (D, D)."""
    variances = inside.plan.prior.variances
    covariance = parts.scatter[c] / parts.mass[c]
    if covariance.ndim == 1:
        lengths: Array = np.sqrt(covariance / variances)
        return lengths
    scale = np.sqrt(variances)
    values, vectors = np.linalg.eigh(covariance / np.outer(scale, scale))
    columns: Array = vectors * np.sqrt(np.maximum(values, 0.0))
    return columns


def _halves(parts: Parts, c: int, inside: Trials, axis: Array) -> Parts:
    """Two halves with the moments of component c together, ``axis`` (D,) in units of the features' spread."""
    shift = APART * np.sqrt(inside.plan.prior.variances) * axis
    mass, mean, scatter = (each[c] for each in parts)
    between = mass * (shift**2 if scatter.ndim == 1 else np.outer(shift, shift))
    half = (scatter - between) / 2
    return Parts(np.full(2, mass / 2), np.stack([mean + shift, mean - shift]), np.stack([half, half]))
