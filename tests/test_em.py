"""The loop: the objective never falls, what is reported belongs together, and a State is all there is to resume."""

from __future__ import annotations

import math
import pickle
import warnings
from dataclasses import astuple

import numpy as np
import pytest

import gaussmix
from gaussmix import em, start
from gaussmix.em import Plan, Run, State
from gaussmix.errors import SingularError
from gaussmix.families import NAMES
from gaussmix.rows import ArraySource
from gaussmix.statistics import Statistics

EQUIVARIANT = ("EEI", "VEI", "EVI", "VVI", "EEE", "VEE", "EVV", "VVV")  # per feature


def overlapping(seed, n_rows=150, D=2, K=3):
    """Clusters that overlap, so that EM is slow and accelerated."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(K, D)) * 1.5
    roots = rng.normal(size=(K, D, D)) * 0.5 + np.eye(D)
    labels = rng.integers(K, size=n_rows)
    return centres[labels] + np.einsum("nij,nj->ni", roots[labels], rng.normal(size=(n_rows, D)))


def quiet(*arguments, **settings):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return gaussmix.fit(*arguments, **settings)


def state_of(source, names_and_seeds, K=3, reg_covar=1e-6, **plan):
    """A state whose runs start from k-means++ seeds."""
    prior = start.data_prior(source, K, reg_covar)
    runs = []
    for name, seed in names_and_seeds:
        blank = start.blank_mixture(K, name, prior)
        first = start.seeded(source, "k-means++", blank, prior, np.random.default_rng(seed), False)
        runs.append(Run(first))
    return State(tuple(runs), Plan(prior, **plan))


def last(states):
    *_, final = states
    return final


def assert_same_run(left, right):
    """To the last bit, what the next step is made of included."""
    assert left.mixture == right.mixture
    for name in ("log_likelihoods", "objectives", "reason", "n_iter", "gains", "trial"):
        assert getattr(left, name) == getattr(right, name), name
    for name in ("used", "made_of", "folded"):
        for mine, theirs in zip(*(astuple(getattr(run, name)) for run in (left, right)), strict=True):
            assert np.array_equal(mine, theirs), name
    assert len(left.earlier) == len(right.earlier)
    for mine, theirs in zip(*(sum(run.earlier, ()) for run in (left, right)), strict=True):
        assert all(map(np.array_equal, astuple(mine), astuple(theirs)))


# ---- the objective -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("reg_covar", [1e-6, 1e-2, 0.0])
@pytest.mark.parametrize("name", NAMES)
def test_the_objective_never_falls(name, reg_covar):
    """Beyond rounding: 1e-13 of the magnitudes that are summed. Plain EM and accelerated, many starts in one batch."""
    for seed in range(4):
        source = ArraySource(overlapping(seed))
        for accelerated in (False, True):
            state = state_of(
                source,
                [(name, s) for s in range(3)],
                reg_covar=reg_covar,
                tol=0.0,
                max_iter=60,
                accelerated=accelerated,
            )
            for run in last(em.passes(source, state)).runs:
                objectives = np.array(run.objectives)
                assert np.all(np.isfinite(objectives))
                scale = source.n_rows + np.abs(objectives[:-1])
                assert np.all(np.diff(objectives) >= -1e-13 * scale), (seed, accelerated)


def awkward():
    """Rows that regularisation keeps apart from zero, and rows in units near the ends of the range of a double."""
    rows = overlapping(0, D=3, K=3)
    ones = np.ones((len(rows), 1))
    line = np.outer(rows[:, 0], [1.0, 2.0, -3.0])
    return {
        "constant": np.hstack([rows, 3 * ones]),
        "constants": np.hstack([0 * ones, rows[:, :1], -7e5 * ones]),
        "plane": np.column_stack([rows[:, :2], rows[:, 0] + 2 * rows[:, 1]]),
        "line": line + [1e3, 0.0, 5.0],
        "integers": np.round(rows),
        "small": rows * 1e-100,
        "large": rows * 1e100,
    }


@pytest.mark.parametrize("kind", awkward())
@pytest.mark.parametrize("name", NAMES)
def test_the_objective_never_falls_on_awkward_rows(name, kind):
    """Beyond rounding, which grows with the condition of the covariances: 1e6 here, that of the pseudo-rows."""
    source = ArraySource(awkward()[kind])
    for K, accelerated in ((2, False), (2, True), (4, True)):
        starts = [(name, seed) for seed in range(2)]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            state = em.final(
                source, state_of(source, starts, K=K, tol=0.0, max_iter=60, accelerated=accelerated)
            )
        for run in state.runs:
            objectives = np.array(run.objectives)
            assert run.reason != em.COLLAPSED
            assert np.all(np.isfinite(objectives))
            scale = source.n_rows + np.abs(objectives[:-1])
            assert np.all(np.diff(objectives) >= -1e-10 * scale), (K, accelerated)


def test_the_objective_of_float32_rows_falls_by_rounding_only():
    source = ArraySource(overlapping(1, n_rows=3000).astype(np.float32))
    for accelerated in (False, True):
        state = state_of(source, [("VVV", 0), ("EEE", 1)], tol=0.0, max_iter=100, accelerated=accelerated)
        for run in last(em.passes(source, state)).runs:
            steps = np.diff(run.objectives)
            assert np.all(steps >= -1e-6 * source.n_rows)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_reported_belongs_together(name, two_clusters):
    """L, the objective and n_iter are those of the parameters that are returned."""
    for max_iter in (0, 1, 7, 300):
        seen = []
        fit = quiet(
            two_clusters,
            3,
            covariance_type=name,
            tol=1e-9,
            max_iter=max_iter,
            random_state=0,
            observer=seen.append,
        )
        assert fit.log_likelihood == pytest.approx(fit.mixture.log_likelihood(two_clusters), rel=1e-13)
        assert fit.n_iter <= max_iter
        assert len(seen) == fit.n_iter + 1
        assert len(fit.log_likelihoods) == len(fit.objectives) <= fit.n_iter + 1
        assert fit.reason == ("converged" if fit.converged else "max_iter")
        assert fit.converged or fit.n_iter == max_iter
        prior = start.data_prior(ArraySource(two_clusters), 3, 1e-6)
        penalty = fit.objectives[-1] - fit.log_likelihood
        assert penalty == pytest.approx(prior.penalty(*fit.mixture.prepared[1:], 3), abs=1e-9)
    assert fit.converged
    p, N = fit.mixture.n_parameters, len(two_clusters)
    assert fit.bic == pytest.approx(p * math.log(N) - 2 * fit.log_likelihood)
    assert fit.aic == pytest.approx(2 * p - 2 * fit.log_likelihood)


@pytest.mark.parametrize("accelerated", [False, True])
def test_converged_means_that_little_is_left(accelerated):
    """What a hundred times smaller tolerance still gains is below tol."""
    for seed in range(5):
        source = ArraySource(overlapping(seed, n_rows=400))
        for tol in (1e-4, 1e-6):
            state = state_of(source, [("VVV", 0)], tol=tol, max_iter=5000, accelerated=accelerated)
            (run,) = last(em.passes(source, state)).runs
            further = State(
                (Run(run.mixture),), Plan(state.plan.prior, tol / 100, 5000, accelerated=accelerated)
            )
            (end,) = last(em.passes(source, further)).runs
            assert run.reason == end.reason == "converged"
            assert end.objectives[-1] - run.objectives[-1] < tol * source.weight


def test_a_run_goes_on_where_its_m_steps_ended():
    """Resumed under another plan it is the longer run, bit for bit; one that ended otherwise stays as it is."""
    source = ArraySource(overlapping(2))
    state = state_of(source, [("VVV", 0)], tol=0.0, max_iter=30, accelerated=False)
    whole = em.final(source, state).runs[0]
    brief = em.final(source, State(state.runs, state.plan._replace(max_iter=10))).runs[0]
    plan = state.plan._replace(max_iter=20)
    again = em.final(source, State((em.resumed(brief, plan),), plan)).runs[0]
    assert again.mixture == whole.mixture
    assert again.objectives == whole.objectives[10:]
    assert again.n_iter == 20
    assert em.resumed(brief._replace(reason=em.CONVERGED), plan).candidate is None


def test_one_small_gain_is_no_end():
    """From a start on a slope so gentle that one step gains less than tol, EM goes on to where little is left."""
    source = ArraySource(overlapping(4, n_rows=400))
    slow = state_of(source, [("VVV", 1)], tol=0.0, max_iter=3000, accelerated=False)
    top = em.final(source, slow)
    for state in em.passes(source, slow):
        run, tol = state.runs[0], 1e-3
        assert run.candidate is not None, "EM was never slow"
        left = (top.runs[0].objectives[-1] - run.objectives[-1]) / source.weight
        if run.gains and run.gains[-1] < tol * source.weight and left > 5 * tol:
            break
    again = em.final(
        source, State((Run(run.mixture),), Plan(slow.plan.prior, tol, 3000, accelerated=False))
    ).runs[0]
    assert again.n_iter > 2
    assert again.objectives[-1] > top.runs[0].objectives[-1] - 0.2 * tol * source.weight


def test_acceleration_reaches_the_same_top_in_fewer_passes():
    passes = np.zeros(2)
    for seed in range(12):
        source = ArraySource(overlapping(seed, n_rows=400))
        prior = start.data_prior(source, 3, 1e-6)
        near = np.eye(3)[np.argmin(np.abs(source.rows[:, :1] - [-2, 0, 2]), axis=1)]
        first = start.from_responsibilities(
            source, 0.8 * near + 0.2 / 3, start.blank_mixture(3, "VVV", prior), prior, False
        )
        plain, quick = (
            last(
                em.passes(source, State((Run(first),), Plan(prior, 1e-9, 20_000, accelerated=accelerated)))
            ).runs[0]
            for accelerated in (False, True)
        )
        assert plain.reason == quick.reason == "converged"
        # Another top is allowed, were it lower it would be a loss; here all agree.
        assert quick.objectives[-1] >= plain.objectives[-1] - 1e-5
        assert quick.n_iter < plain.n_iter
        passes += plain.n_iter, quick.n_iter
    assert passes[1] < 0.4 * passes[0]


# ---- states ------------------------------------------------------------------------------------------------


def test_resuming_changes_no_bit():
    """From every state on the way, through pickle, to the same end."""
    source = ArraySource(overlapping(2, n_rows=200))
    state = state_of(source, [("VVV", 0), ("VEE", 1), ("VVE", 2), ("EII", 3)], tol=1e-7, max_iter=60)
    states = list(em.passes(source, state))
    assert len(states) > 20
    for halfway in states[:-1:7]:
        end = last(em.passes(source, pickle.loads(pickle.dumps(halfway))))
        for left, right in zip(end.runs, states[-1].runs, strict=True):
            assert_same_run(left, right)
    assert list(em.passes(source, states[-1])) == []


def test_states_are_frozen_values():
    """A state that was yielded does not change when the loop goes on."""
    source = ArraySource(overlapping(3))
    passes = em.passes(source, state_of(source, [("VVV", 0)], tol=1e-7))
    early = next(passes)
    before = pickle.dumps((early.runs[0].mixture, early.runs[0].objectives, early.runs[0].candidate))
    last(passes)
    assert pickle.dumps((early.runs[0].mixture, early.runs[0].objectives, early.runs[0].candidate)) == before
    with pytest.raises(AttributeError):
        early.runs = ()


@pytest.mark.parametrize("weighted", [False, True])
def test_a_batch_of_starts_is_each_alone(weighted):
    """Bit for bit: families, and starts that end at different times, side by side."""
    rows = overlapping(4, n_rows=250)
    weights = np.random.default_rng(0).exponential(size=250) if weighted else None
    source = ArraySource(rows, weights)
    starts = [(name, seed) for name in ("VVV", "EEE", "VVI", "VII", "EVE") for seed in (0, 1)]
    together = last(em.passes(source, state_of(source, starts, tol=1e-6))).runs
    assert len({run.n_iter for run in together}) > 3
    for which, run in zip(starts, together, strict=True):
        (alone,) = last(em.passes(source, state_of(source, [which], tol=1e-6))).runs
        assert_same_run(alone, run)


def test_threads_and_layout_change_no_bit():
    rows = overlapping(5, n_rows=30_000, D=3)
    fits = [
        quiet(layout, 3, n_jobs=n_jobs, random_state=1, tol=1e-5)
        for n_jobs in (1, 2, 5)
        for layout in (rows, np.asfortranarray(rows), np.repeat(rows, 2, axis=1)[:, ::2])
    ]
    assert all(fit.mixture == fits[0].mixture and fit.objectives == fits[0].objectives for fit in fits)


class Blocks:
    """A source of several blocks, as files and clusters have."""

    def __init__(self, rows, cuts):
        self.parts = [ArraySource(part) for part in np.split(rows, cuts)]
        self.n_rows, self.n_features = rows.shape
        self.weight, self.feature_names, self.whole = float(len(rows)), None, ArraySource(rows)

    def fold(self, step):
        first, *others = [part.fold(step) for part in self.parts]
        for other in others:
            first = first + other
        return first

    def map(self, step):
        return np.concatenate([part.map(step) for part in self.parts])

    def sample(self, n_rows, rng):
        return self.whole.sample(n_rows, rng)


@pytest.mark.parametrize("init_params", ["kmeans", "given"])
def test_rows_in_blocks(init_params):
    """The fold may be cut anywhere: the same fit to rounding, from seeds or given responsibilities."""
    rows = overlapping(6, n_rows=500)
    if init_params == "given":
        init_params = 0.9 * np.eye(3)[np.arange(500) % 3] + 0.1 / 3
        init_params = init_params[np.argsort(rows[:, 0]).argsort()]
    settings = {"init_params": init_params, "random_state": 0, "tol": 1e-4}
    whole, cut = quiet(rows, 3, **settings), quiet(Blocks(rows, [1, 40, 41, 300]), 3, **settings)
    assert cut.log_likelihood == pytest.approx(whole.log_likelihood, rel=1e-8)
    np.testing.assert_allclose(cut.mixture.means, whole.mixture.means, atol=1e-4)


# ---- units -------------------------------------------------------------------------------------------------


def assert_transformed(fit, expected, n_rows, scale, shift):
    """``fit`` of rows·scale + shift is the transform of ``expected``."""
    mixture, other = fit.mixture, expected.mixture
    jacobian = n_rows * np.log(np.abs(scale * np.ones(other.n_features))).sum()
    assert fit.log_likelihood + jacobian == pytest.approx(expected.log_likelihood, abs=2e-6 * n_rows)
    np.testing.assert_allclose(mixture.weights, other.weights, atol=1e-4)
    spread = np.sqrt(np.einsum("kii->ki", other.full_covariances)).max(axis=0)
    np.testing.assert_allclose((mixture.means - shift) / scale / spread, other.means / spread, atol=1e-3)
    units = np.outer(scale * spread, scale * spread)
    dense = other.full_covariances * np.outer(scale * np.ones(len(spread)), scale)
    np.testing.assert_allclose(mixture.full_covariances / units, dense / units, atol=1e-3)


@pytest.mark.parametrize("reg_covar", [0.0, 1e-6, 1e-3])
@pytest.mark.parametrize("name", NAMES)
def test_equivariance(name, reg_covar, two_clusters):
    """Of the whole: prior, seeds, stopping, acceleration. A common factor everywhere, one per feature where it can."""
    settings = {
        "covariance_type": name,
        "reg_covar": reg_covar,
        "tol": 1e-8,
        "random_state": 0,
        "max_iter": 1000,
    }
    expected = quiet(two_clusters, 2, **settings)
    assert expected.converged
    factors = [(1e-7, 0.0), (3e5, 0.0), (-2.0, 100.0), (1e-80, 0.0)]
    if name in EQUIVARIANT:
        factors += [(np.array([1e-6, 1.0, 1e4]), np.array([0.0, -5.0, 1e3]))]
    for scale, shift in factors:
        fit = quiet(two_clusters * scale + shift, 2, **settings)
        assert_transformed(fit, expected, len(two_clusters), scale * np.ones(3), shift)


@pytest.mark.parametrize("name", NAMES)
def test_far_from_zero(name, two_clusters):
    """Rows at 1e9 with spread 1e-3 fit as well as their own rounding allows: as they do once moved to zero."""
    far = 1e9 + 1e-3 * two_clusters
    settings = {"covariance_type": name, "tol": 1e-8, "random_state": 0, "max_iter": 1000}
    at_zero, fit = quiet(far - 1e9, 2, **settings), quiet(far, 2, **settings)
    # A mean at 1e9 is a double, half of 1.2e-7 apart from what it should be: 1e-4 of the smallest deviation.
    assert fit.log_likelihood == pytest.approx(at_zero.log_likelihood, abs=1e-6 * len(far))
    np.testing.assert_allclose(fit.mixture.means - 1e9, at_zero.mixture.means, atol=3e-7)
    np.testing.assert_allclose(fit.mixture.full_covariances, at_zero.mixture.full_covariances, atol=1e-9)


# ---- collapse ----------------------------------------------------------------------------------------------


def test_collapse_is_a_value_in_the_loop(two_clusters):
    """Without regularisation a component on repeated rows has no variance: that run ends, the others do not."""
    rows = np.vstack([two_clusters, np.tile([9.0, 9.0, 9.0], (20, 1))])
    source = ArraySource(rows)
    prior = start.data_prior(source, 2, 0.0)
    blank = start.blank_mixture(2, "VVV", prior)
    gamma = np.zeros((len(rows), 2))
    gamma[:400, 0], gamma[400:, 1], gamma[395:400] = 1, 1, 0.5
    doomed = start.from_responsibilities(source, gamma, blank, prior, False)
    sound = start.seeded(
        source, "kmeans", start.blank_mixture(2, "EEE", prior), prior, np.random.default_rng(0), False
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        runs = last(em.passes(source, State((Run(doomed), Run(sound)), Plan(prior, tol=1e-9)))).runs
    assert [run.reason for run in runs] == ["collapsed", "converged"]
    assert runs[0].candidate is None
    assert np.isfinite(runs[0].log_likelihoods).all()
    (alone,) = last(em.passes(source, State((Run(sound),), Plan(prior, tol=1e-9)))).runs
    assert_same_run(alone, runs[1])


@pytest.mark.parametrize("name", NAMES)
def test_collapse_raises_without_regularisation(name):
    """Every run on rows without any spread; the default regularisation fits them."""
    rows = np.repeat(np.random.default_rng(0).normal(size=(2, 2)), 10, axis=0)
    labels = np.repeat([0, 1], 10)
    with pytest.raises(SingularError, match="reg_covar"):
        gaussmix.fit(rows, 2, covariance_type=name, init_params=labels, reg_covar=0)
    fit = quiet(rows, 2, covariance_type=name, init_params=labels)
    assert np.isfinite(fit.log_likelihood)
    np.testing.assert_allclose(np.sort(fit.mixture.means, axis=0), np.sort(rows[[0, 10]], axis=0), atol=1e-3)


# ---- equal weights -----------------------------------------------------------------------------------------


def test_equal_weights(two_clusters):
    fit = quiet(two_clusters, 2, equal_weights=np.True_, random_state=0, tol=1e-6)
    assert np.array_equal(fit.mixture.weights, [0.5, 0.5])
    free = quiet(two_clusters, 2, random_state=0, tol=1e-6)
    assert fit.log_likelihood < free.log_likelihood
    assert np.all(np.diff(fit.objectives) > -1e-9)


def test_the_pass_is_mixture_fold(two_clusters):
    """No second E-step: the first pass of a run is the fold of its candidate."""
    source = ArraySource(two_clusters)
    state = state_of(source, [("VVV", 0)], K=2)
    after = next(em.passes(source, state))
    folded = state.runs[0].candidate.fold(two_clusters)
    assert isinstance(folded, Statistics)
    assert after.runs[0].log_likelihoods == (folded.log_likelihood,)
    assert after.runs[0].mixture == state.runs[0].candidate
