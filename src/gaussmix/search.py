"""The search over starts: where the last run begins when nobody says where.

EM climbs to the optimum near its start. The search, on a sample of the rows that it can afford to visit often,

1. makes two starts with twice the components, which find every cluster, some of them twice: one in the family that is
   fitted, one with a covariance that all share, which k-means then takes for its metric, and so on: it sees long
   parallel clusters that k-means cuts across. Pairs of components are merged until K are left (`gaussmix.merging`);
2. joins both solutions and merges again, unless they are one: the good parts of each remain;
3. exchanges components, one that is missed least for a half of one that gains most when it is split, as long as L rises
   and the solution stays sound (`gaussmix.exchange`).

Trial runs compute in single precision about the middle of the rows where that loses nothing that they could see; the
run that starts where the search ends has the rows as they are.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gaussmix import start
from gaussmix.acceleration import LONG_STRIDE
from gaussmix.em import Plan, Run
from gaussmix.exchange import exchanged
from gaussmix.merging import grouped, merge_groups
from gaussmix.mixture import Mixture
from gaussmix.precision import lightened
from gaussmix.rows import ArraySource, Source
from gaussmix.trials import Parts, Trials

Array = NDArray[np.float64]

# Rows that the search visits, if a pass over them takes at most WORK multiplications of the covariances' size.
SEARCH_ROWS = 10_000
WORK = 50_000_000
# Rows of the starts, of those with a shared covariance, of their seeds, and of merges.
START_ROWS = 3_000
SHARED_ROWS = 3_500
SEED_ROWS = 2_000
MERGE_ROWS = 300
# Rows that tell where the middle of the data is.
MEDIAN_ROWS = 1_000
# More components than this are not searched over: merges cost their square.
LARGEST = 48
# M-steps of a start; of one with a shared covariance, in each of so many metrics; of two starts together; after a part
# of the components was merged; of K components in the end; and of the best of these, which may need more.
SETTLE = 12
SHARED_SETTLE, METRICS = 15, 4
JOINT_SETTLE = 10
BETWEEN, PART = 4, 0.3
CLIMB = 25
LAST = 100
# Nats per row: solutions that are no farther apart are the same.
SAME = 1e-4
# Exchanges; and attempts of one, each with other random directions, before the solution counts as the best: so many as
# ATTEMPTED multiplications of a pass allow, at least and at most.
EXCHANGES = 12
ATTEMPTED, ATTEMPTS = 5_000_000, (2, 10)
# The family with one covariance for all that a start goes through, by the second moments of the family fitted.
SHARED = {"full": "EEE", "diagonal": "EEI", "spherical": "EII"}


def searched(source: Source, blank: Mixture, plan: Plan, rng: np.random.Generator) -> Mixture:
    """The mixture where the last run over all rows should start; ``blank`` gives K, D and family.

    The largest component comes first; those of equal weight go by their means.
    """
    n_components, n_features = blank.means.shape
    # Rows of a covariance that are its own: what a component costs, and the data that it needs, grow with them.
    height = 1 if len(blank.family.structure.moment_shape(n_components, n_features)) == 2 else n_features
    work = n_components * (n_features + 1) * (height + 1)
    n_rows = min(SEARCH_ROWS, source.n_rows, WORK // work)
    room = 4 * n_components * (height + 1)
    if n_components == 1 or n_components > LARGEST or blank.has_noise or n_rows < room:
        return start.seeded(source, "kmeans", blank, plan.prior, rng, plan.equal_weights)
    block = source.sample(n_rows, rng)
    centre = np.median(block.rows[:: 1 + len(block.rows) // MEDIAN_ROWS], axis=0)
    sample = ArraySource(lightened(block.rows - centre, plan.prior.pseudo_rows), block.weights)
    prior = plan.prior.thinned(sample.weight / source.weight).about(centre)
    attempts = int(np.clip(ATTEMPTED // (n_rows * work), *ATTEMPTS))
    best = _best(Trials(sample, plan._replace(prior=prior, stride=LONG_STRIDE), blank, rng), attempts)
    if best is None or best.mixture is None:
        return start.seeded(source, "kmeans", blank, plan.prior, rng, plan.equal_weights)
    found = best.mixture.reordered(best.mixture.largest_first())
    return Mixture.unchecked(
        found.weights,
        found.means + centre,
        found.covariances,
        found.covariance_type,
        feature_names=blank.feature_names,
    )


def _best(trials: Trials, attempts: int) -> Run | None:
    """Both starts, their union, and exchanges."""
    starts = [
        each for each in (_doubled(trials), _doubled_with_shared_covariance(trials)) if each is not None
    ]
    runs = trials.em(starts, CLIMB)
    if len(runs) == 2 and trials.better(runs[1], runs[0], -SAME):
        attempts = 1  # two ways to the same place: there is hardly a better one
    elif len(runs) == 2:
        runs = _with_union(trials, runs)
    best = _settled(trials, runs) if runs else None
    for _ in range(EXCHANGES):
        better = exchanged(trials, best, attempts) if best else None
        if better is None:
            break
        best = better
    return best


def _settled(trials: Trials, runs: list[Run]) -> Run:
    """The best of the runs after the first, so far the best, went on to its end: an exchange is worth what it adds."""
    best, *others = runs
    return max([*trials.further([best], LAST), *others], key=trials.rank)


def _doubled(trials: Trials) -> Mixture | None:
    """2K components of the family's own kind, from k-means, merged to K."""
    some = trials.thinned(START_ROWS)
    runs = some.em([some.seeded(some.shaped(2 * trials.blank.n_components), SEED_ROWS)], SETTLE)
    return _merged(some, runs[0]) if runs else None


def _doubled_with_shared_covariance(trials: Trials) -> Mixture | None:
    """2K components with one covariance for all, merged to K as if each had its own.

    They come from k-means, again and again in the metric of the covariance found last, as long as L rises: each time
    it sees better which way the clusters are long.
    """
    some = trials.thinned(SHARED_ROWS)
    structure = trials.blank.family.structure
    shared = some.on(
        some.sample.rows, some.sample.weights, SHARED.get(structure.name, trials.blank.family.name)
    )
    doubled, whitening, best = shared.shaped(2 * trials.blank.n_components), None, None
    for _ in range(METRICS):
        runs = shared.em([shared.seeded(doubled, SEED_ROWS, whitening)], SHARED_SETTLE)
        if not runs or (best is not None and not shared.better(runs[0], best, 0.0)):
            break
        best = runs[0]
        whitening = best.mixture.whitening[0] if best.mixture is not None else None
    if best is None:
        return None
    own = some.mixture(shared.parts(best))
    runs = [] if own is None else some.plain([own], 0)
    return _merged(some, runs[0], all_at_once=True) if runs else None


def _with_union(trials: Trials, runs: list[Run]) -> list[Run]:
    """The runs and what their union merges to, the best first."""
    both = [trials.parts(run) for run in runs[:2]]
    halved = [Parts(mass / 2, means, scatter / 2) for mass, means, scatter in both]
    union = trials.mixture(halved[0].joined(halved[1]))
    joint = [] if union is None else trials.em([union], JOINT_SETTLE)
    merged = _merged(trials, joint[0]) if joint else None
    climbed = [] if merged is None else trials.em([merged], CLIMB)
    return sorted([*climbed, *runs], key=trials.rank, reverse=True)


def _merged(trials: Trials, run: Run, all_at_once: bool = False) -> Mixture | None:
    """The mixture of a run after merges down to K; EM settles the rest each time that a part of them is gone."""
    wanted = trials.blank.n_components
    while True:
        parts = trials.parts(run)
        n_components = len(parts.mass)
        left = wanted if all_at_once else max(wanted, min(n_components - 1, round((1 - PART) * n_components)))
        mixture = trials.mixture(grouped(parts, _groups(trials, run, parts, left)))
        if left == wanted or mixture is None:
            return mixture
        runs = trials.plain([mixture], BETWEEN)
        if not runs:
            return None
        run = runs[0]


def _groups(trials: Trials, run: Run, parts: Parts, n_groups: int) -> NDArray[np.int64]:
    assert run.mixture is not None
    rows, weights, _ = trials.sample.sample(MERGE_ROWS, trials.rng)
    gamma = run.mixture.evaluate(rows, wanted=["responsibilities"]).responsibilities
    weights = np.ones(len(rows)) if weights is None else weights
    weighed = gamma * (weights * (trials.sample.weight / weights.sum()))[:, None]
    return merge_groups(parts, weighed, n_groups, run.mixture.family.structure.name == "spherical")
