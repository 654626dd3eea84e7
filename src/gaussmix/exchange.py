"""Exchanges: one component leaves, another becomes two, and EM settles the rest.

From a converged mixture the best exchange is found by what both halves are worth after the parts have moved, not by
what they are worth at first (which is all that the split and merge moves of Ueda et al. 2000 look at):

- a component that leaves costs what L has lost after a few steps of EM without it;
- a component that becomes two gains what L would lose if they were merged again, after a few steps of EM in which every
  component is two. Such steps are made from several kinds of halves, and go on from each component's best.

Pairs with the highest sum race: all run briefly, the best few longer, the best one until it converges.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from gaussmix.degeneracy import FEW_ROWS
from gaussmix.em import Run, hoped
from gaussmix.kernel import merge_gains
from gaussmix.mixture import Mixture
from gaussmix.trials import Parts, Trials

Array = NDArray[np.float64]
Halve = Callable[[Parts, Trials, Array], Parts]

# Rows on which responsibilities are looked at.
ROWS = 4_000
# Nats per row: components whose absence costs more than LOSS at once stay; a promise may err by WINDOW.
LOSS = 0.5
WINDOW = 0.006
# Components that are left out for a trial, at most, and steps of such a trial and of those with halves.
CANDIDATES = 5
LEFT_OUT_STEPS = 5
SPLIT_STEPS = (4, 8)
# The race: (pairs, M-steps) of its rounds. Who would still be behind when it gained HOPE times what the RECENT last
# passes gained is out; in the first round, in which all gain much, that leaves the choice to the rank. A success gains
# more than SUCCESS, in nats per row.
RACE = ((8, 3), (3, 8), (1, 10), (1, 20), (1, 70))
HOPE, RECENT = 10, 3
SUCCESS = 1e-5
# So few steps are plain ones: acceleration would not begin to pay.
PLAIN = 5
# Half the distance of two halves in standard deviations along their axis; size and share of a small part.
APART = 0.7
SMALL, SMALL_SHARE = 0.3, 0.3


def exchanged(trials: Trials, best: Run, attempts: int) -> Run | None:
    """The run after the best exchange, or None when none of so many ``attempts`` finds a better one."""
    mixture = best.mixture
    assert mixture is not None
    some = trials.thinned(ROWS)
    gamma = mixture.evaluate(some.sample.rows, wanted=["responsibilities"]).responsibilities
    absent = _absence(gamma, mixture, some.sample.weights)
    leaving = [int(k) for k in np.argsort(-absent)[:CANDIDATES] if absent[k] > -LOSS]
    if not leaving:
        return None
    parts = trials.parts(best)
    left = {k: without for k in leaving if (without := _without(trials, parts, k, best)) is not None}
    for attempt in range(attempts):
        gains = _splits(some, gamma, parts, HALVES if attempt == 0 else HALVES[1:])
        pairs = [(left[k][0] + gain, k, c) for k in left for c, (gain, _) in gains.items() if c != k]
        pairs = sorted((pair for pair in pairs if pair[0] > -WINDOW), reverse=True)[: RACE[0][0]]
        if not pairs:
            return None
        made = [(c, trials.mixture(left[k][1].without(c - (c > k)).joined(gains[c][1]))) for _, k, c in pairs]
        winner = _raced(trials, [(c, each) for c, each in made if each is not None], best)
        if winner is not None:
            return winner
    return None


def _raced(trials: Trials, starts: list[tuple[int, Mixture]], best: Run) -> Run | None:
    """The winner, if it is better than ``best``; of pairs that split the same component only the best go on."""
    ended = [(c, Run(each)) for c, each in starts]
    for lanes, steps in RACE:
        runs = trials.further([run for _, run in ended[:lanes]], steps, accelerated=steps > PLAIN)
        ended = [(c, run) for (c, _), run in zip(ended, runs, strict=False) if run.mixture is not None]
        ended = [(c, run) for c, run in ended if _hopes(trials, run, best)]
        ended.sort(key=lambda pair: trials.rank(pair[1]), reverse=True)
        firsts = dict(reversed(ended))
        ended = [(c, run) for c, run in ended if firsts[c] is run]
    return ended[0][1] if ended and trials.better(ended[0][1], best, SUCCESS) else None


def _hopes(trials: Trials, run: Run, best: Run) -> bool:
    """Whether a run may still become better than ``best``, by what it gained lately; or is, as a sound one may be."""
    return hoped(run, RECENT, HOPE) > best.log_likelihoods[-1] or trials.better(run, best, 0.0)


def _absence(gamma: Array, mixture: Mixture, weights: Array | None) -> Array:
    """What L gains at once, in nats per row, when component k leaves and the others share its weight: (K,), below 0.

    p(x) without k is p(x) (1 − γ_k) / (1 − π_k).
    """
    logs = np.log(np.maximum(1 - gamma, 1e-9))
    mean: Array = np.average(logs, axis=0, weights=weights)
    return mean - np.log1p(-np.minimum(mixture.weights, 1 - 1e-9))


def _without(trials: Trials, parts: Parts, k: int, best: Run) -> tuple[float, Parts] | None:
    """What L gains, in nats per row, by a few steps without component k, and where they lead; None when they fail."""
    left = trials.mixture(parts.without(k))
    runs = [] if left is None else trials.plain([left], LEFT_OUT_STEPS)
    if not runs:
        return None
    gain = (runs[0].log_likelihoods[-1] - best.log_likelihoods[-1]) / trials.sample.weight
    return gain, trials.parts(runs[0])


def _splits(
    some: Trials, gamma: Array, parts: Parts, halves: tuple[Halve, ...]
) -> dict[int, tuple[float, Parts]]:
    """For each component that can be split: the gain of L in nats per row, and its two parts."""
    own = some.on(some.sample.rows, some.sample.weights, "VVV" if parts.scatter.ndim == 3 else "VVI")
    starts = [own.mixture(halve(parts, some, gamma)) for halve in halves]
    found = [_worth(own, run) for run in own.plain([each for each in starts if each], SPLIT_STEPS[0])]
    if not found:
        return {}
    gains = np.stack([gain for gain, _ in found])
    pieces = [each for _, each in found]
    n_components = len(parts.mass)
    chosen = gains.argmax(axis=0)
    both = np.concatenate([chosen, chosen])
    index = np.arange(2 * n_components)
    mixed = Parts(*(np.stack(each)[both, index] for each in zip(*pieces, strict=True)))
    start = own.mixture(mixed)
    runs = [] if start is None else own.plain([start], SPLIT_STEPS[1])
    if not runs:
        return {}
    gain, two = _worth(own, runs[0])
    splits = {}
    for c in np.flatnonzero(np.isfinite(gain)):
        pair = two.of(np.array([c, n_components + c]))
        scale = parts.mass[c] / pair.mass.sum()
        splits[int(c)] = (float(gain[c]), Parts(pair.mass * scale, pair.means, pair.scatter * scale))
    return splits


def _worth(own: Trials, run: Run) -> tuple[Array, Parts]:
    """What L would lose, in nats per row, if components c and K + c were merged, (K,), and the components.

    −∞ where one has so few rows that it may be degenerate, see `gaussmix.degeneracy`.
    """
    assert run.mixture is not None
    parts = own.parts(run)
    rows, weights = own.sample.rows, own.sample.weights
    gamma = run.mixture.evaluate(rows, wanted=["responsibilities"]).responsibilities
    weighed = gamma if weights is None else gamma * weights[:, None]
    first, second = np.split(np.arange(len(parts.mass)), 2)
    gains = merge_gains(parts, weighed, first, second, run.mixture.family.structure.name == "spherical")
    populated = np.minimum(parts.mass[first], parts.mass[second]) >= FEW_ROWS * (rows.shape[1] + 1)
    return np.where(populated, -gains / own.sample.weight, -np.inf), parts


# ---- how each of K components becomes two, c and K + c --------------------------------------------------------------


def along_longest_axis(parts: Parts, some: Trials, gamma: Array) -> Parts:
    """Two halves along the longest axis, in units of the features' spread."""
    axes = _axes(parts, some)
    if axes.ndim == 2:
        return _halves(parts, some, np.where(axes == axes.max(axis=1, keepdims=True), axes, 0.0))
    return _halves(parts, some, axes[:, :, -1])


def along_any_direction(parts: Parts, some: Trials, gamma: Array) -> Parts:
    """Two halves along a random direction in the component's own metric."""
    axes = _axes(parts, some)
    drawn = some.rng.standard_normal(parts.means.shape)
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    return _halves(parts, some, axes * drawn if axes.ndim == 2 else (axes @ drawn[:, :, None])[:, :, 0])


def small_part(parts: Parts, some: Trials, gamma: Array) -> Parts:
    """Most of the component, and a small part of it about one of its rows."""
    weights = some.sample.weights
    sums = np.cumsum(gamma if weights is None else gamma * weights[:, None], axis=0)
    drawn = some.rng.random(len(parts.mass)) * sums[-1]
    rows = [int(np.searchsorted(own, value)) for own, value in zip(sums.T, drawn, strict=True)]
    about = some.sample.rows[np.minimum(rows, len(gamma) - 1)].astype(np.float64)
    small, most = SMALL_SHARE, 1 - SMALL_SHARE
    return Parts(
        np.concatenate([parts.mass * most, parts.mass * small]),
        np.concatenate([parts.means, about]),
        np.concatenate([parts.scatter * most, parts.scatter * (small * SMALL**2)]),
    )


HALVES: tuple[Halve, ...] = (along_longest_axis, along_any_direction, small_part)


def _axes(parts: Parts, some: Trials) -> Array:
    """Semi-axes in units of the features' spread: lengths along the features (K, D), or columns (K, D, D)."""
    scale = np.sqrt(some.plan.prior.variances)
    covariances = parts.covariances()
    if covariances.ndim == 2:
        lengths: Array = np.sqrt(covariances) / scale
        return lengths
    values, vectors = np.linalg.eigh(covariances / scale / scale[:, None])
    columns: Array = vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]
    return columns


def _halves(parts: Parts, some: Trials, axis: Array) -> Parts:
    """Two halves with the moments of the component together, ``axis`` (K, D) in units of the features' spread."""
    shift = APART * np.sqrt(some.plan.prior.variances) * axis
    half = (parts.scatter - parts.weighed(parts.squared(shift))) / 2
    return Parts(
        np.concatenate([parts.mass, parts.mass]) / 2,
        np.concatenate([parts.means + shift, parts.means - shift]),
        np.concatenate([half, half]),
    )
