"""`gaussmix.fit`: settings, starts of every kind, the choice among several, and what a user is told."""

from __future__ import annotations

import math
import tracemalloc
import warnings

import numpy as np
import pytest

import gaussmix
from gaussmix import Mixture, em, outcome, start
from gaussmix.em import Plan, Run, State
from gaussmix.errors import ConvergenceWarning, DataError, DegenerateWarning, ParameterError, SingularError
from gaussmix.rows import ArraySource


def quiet(*arguments, **settings):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return gaussmix.fit(*arguments, **settings)


# ---- settings ----------------------------------------------------------------------------------------------


OTHER_FAMILY = Mixture(weights=[0.5, 0.5], means=np.eye(2, 3), covariances=[1.0, 1.0], covariance_type="VII")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_components": 0}, "n_components must be a positive integer, got 0"),
        ({"n_components": 2.0}, "n_components must be a positive integer, got 2.0"),
        ({"n_components": True}, "n_components must be a positive integer"),
        ({"max_iter": -1}, "max_iter must be"),
        ({"max_iter": 1.5}, "max_iter must be"),
        ({"n_init": 0}, "n_init must be a positive integer"),
        ({"tol": -1e-9}, "tol must be a number from 0"),
        ({"tol": math.nan}, "tol must be a number from 0"),
        ({"tol": "small"}, "tol must be a number from 0"),
        ({"reg_covar": -1.0}, "reg_covar must be a number from 0"),
        ({"reg_covar": math.inf}, "reg_covar must be a number from 0"),
        ({"covariance_type": "round"}, "covariance_type='round' is not a covariance family"),
        ({"init_params": "best"}, r"init_params must be one of .*kmeans"),
        ({"init_params": np.zeros(400) + 0.5}, "labels in init_params must be integers from 0 to 1"),
        ({"init_params": np.full(400, 2)}, "labels in init_params must be integers from 0 to 1"),
        ({"init_params": np.zeros(399)}, "init_params must be labels"),
        ({"init_params": np.full((400, 3), 1 / 3)}, r"responsibilities \(400, 2\), got \(400, 3\)"),
        ({"init_params": np.full((400, 2), 0.6)}, "sum to 1 in each row"),
        ({"init_params": np.tile([-0.1, 1.1], (400, 1))}, "not negative"),
        ({"init_params": np.tile([np.nan, 1.0], (400, 1))}, "finite"),
        ({"init_params": Mixture(weights=[1.0], means=[[0.0]], covariances=[[[1.0]]])}, "the fit wants"),
        ({"init_params": np.array(["a", "b"] * 200)}, "labels in init_params must be integers"),
        ({"init_params": np.full((400, 2), "a")}, "responsibilities in init_params must be finite"),
        ({"init_params": OTHER_FAMILY}, "init_params is a mixture of family VII, the fit wants VVV; set"),
        ({"weights_init": [0.5, 0.6]}, "weights must sum to 1"),
        ({"means_init": np.zeros((3, 3))}, "means_init should have the shape of"),
        ({"covariances_init": np.stack([np.eye(2)] * 2)}, "covariances of family VVV"),
        ({"n_jobs": 0}, "n_jobs must not be 0"),
    ],
)
def test_settings_that_are_refused(settings, message, two_clusters):
    with pytest.raises(ParameterError, match=message):
        gaussmix.fit(two_clusters, **{"n_components": 2, **settings})


@pytest.mark.parametrize("name", ["VII", "VVI", "VEI", "EVI"])
def test_axis_parallel_families_never_build_matrices(name):
    """Not in the fit, nor in its check for degenerate components, nor in the decomposition."""
    K, D = 20, 400
    rng = np.random.default_rng(0)
    rows = np.repeat(rng.normal(size=(K, D)) * 3, 10, axis=0) + rng.normal(size=(10 * K, D))
    tracemalloc.start()
    try:
        found = quiet(rows, K, covariance_type=name, init_params="kmeans", random_state=0, max_iter=4)
        assert found.mixture.decomposition.volume.shape == (K,)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 0.6 * K * D * D * 8


def test_fewer_rows_than_components():
    with pytest.raises(DataError, match="n_components=4 needs at least as many rows, got n_samples = 3"):
        gaussmix.fit(np.zeros((3, 1)), 4)


def test_numbers_of_numpy_are_numbers(two_clusters):
    fit = quiet(
        two_clusters, np.int64(2), max_iter=np.int32(3), tol=np.float32(0.5), random_state=np.int64(1)
    )
    assert fit.mixture == quiet(two_clusters, 2, max_iter=3, tol=0.5, random_state=1).mixture


# ---- starts ------------------------------------------------------------------------------------------------


def test_every_start_finds_clear_clusters():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], [120, 180])
    rows = rng.normal(size=(300, 2)) + 12.0 * labels[:, None]
    gamma = np.where(labels[:, None] == [0, 1], 0.8, 0.2)
    truth = Mixture(
        weights=[0.4, 0.6], means=[[0.0, 0.0], [12.0, 12.0]], covariances=np.stack([np.eye(2)] * 2)
    )
    starts = [
        *({"init_params": name} for name in ("kmeans", "k-means++", "search")),
        *(
            {"init_params": value}
            for value in (labels, labels.tolist(), gamma, gamma.astype(np.float32), truth)
        ),
        {"means_init": truth.means},
        {
            "means_init": np.asfortranarray(truth.means),
            "weights_init": [0.4, 0.6],
            "covariances_init": truth.covariances,
        },
    ]
    fits = [gaussmix.fit(rows, 2, tol=1e-10, random_state=0, **each) for each in starts]
    for fit in fits:
        order = np.argsort(fit.mixture.means[:, 0])
        np.testing.assert_allclose(fit.mixture.weights[order], [0.4, 0.6], atol=1e-6)
        np.testing.assert_allclose(fit.mixture.means[order[0]], rows[:120].mean(axis=0), atol=1e-5)
        assert fit.log_likelihood == pytest.approx(fits[0].log_likelihood, rel=1e-9)


def test_given_parameters_are_where_it_starts(two_clusters):
    weights, means = [0.3, 0.7], [[2.0, 1.0, -1.0], [0.0, 0.0, 0.0]]
    covariances = np.stack([0.5 * np.eye(3), np.eye(3)])
    fit = quiet(
        two_clusters, 2, weights_init=weights, means_init=means, covariances_init=covariances, max_iter=0
    )
    assert fit.mixture == Mixture(weights=weights, means=means, covariances=covariances)
    assert fit.n_iter == 0
    from_mixture = quiet(two_clusters, 2, init_params=fit.mixture, max_iter=0)
    assert from_mixture.mixture == fit.mixture


@pytest.mark.parametrize("init_params", ["search", *start.STRATEGIES])
def test_names_of_features_reach_the_result(init_params, two_clusters):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(two_clusters, columns=["u", "v", "w"])
    assert quiet(frame, 2, init_params=init_params, random_state=0).mixture.feature_names == ("u", "v", "w")


def test_equal_weights_from_a_start_with_other_weights():
    """The start's own L is higher than any with equal weights: that is no reason to stop."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(1000, 2))
    rows[:100] += [2.5, 1.5]
    settings = {"tol": 1e-8, "max_iter": 1000, "random_state": 0}
    free = quiet(rows, 2, **settings)
    expected = quiet(rows, 2, equal_weights=True, **settings)
    fit = quiet(rows, 2, equal_weights=True, init_params=free.mixture, **settings)
    assert np.array_equal(fit.mixture.weights, [0.5, 0.5])
    assert np.all(np.diff(fit.objectives) >= -1e-9)
    assert fit.log_likelihood == pytest.approx(expected.log_likelihood, rel=1e-6)


def test_random_state(two_clusters):
    def mixture(random_state):
        return quiet(
            two_clusters, 3, init_params="random_from_data", random_state=random_state, max_iter=2
        ).mixture

    assert mixture(3) == mixture(3)
    assert mixture(3) == mixture(np.random.default_rng(3))
    assert mixture(3) != mixture(4)
    assert mixture(None) != mixture(None)
    generator = np.random.default_rng(3)
    assert mixture(generator) != mixture(generator)


# ---- several starts ----------------------------------------------------------------------------------------


def test_the_best_of_several_starts():
    """Eight tight clusters on a circle, from random rows: single starts miss, the best of twenty finds them."""
    rng = np.random.default_rng(1)
    angles = np.arange(8) * np.pi / 4
    rows = np.repeat(10 * np.column_stack([np.cos(angles), np.sin(angles)]), 40, axis=0) + rng.normal(
        size=(320, 2)
    )
    settings = {"init_params": "random_from_data", "random_state": 0, "tol": 1e-6}
    one, many = quiet(rows, 8, **settings), quiet(rows, 8, n_init=20, **settings)
    assert len(many.start_log_likelihoods) == 20
    assert many.log_likelihood == max(many.start_log_likelihoods)
    assert len({round(value, 3) for value in many.start_log_likelihoods}) > 1
    assert many.log_likelihood >= one.log_likelihood
    assert np.bincount(many.mixture.classify(rows)).min() > 30


def plan_of(source, K, reg_covar=1e-6, **settings):
    return Plan(start.data_prior(source, K, reg_covar), **settings)


def ended(mixture, source, reason=em.CONVERGED):
    value = mixture.log_likelihood(source.rows)
    return Run(None, mixture, (value,), (value,), reason, folded=mixture.fold(source.rows))


def test_a_sound_solution_beats_a_degenerate_one(two_clusters):
    """The spike on one row has the higher likelihood, and is no answer."""
    source = ArraySource(two_clusters)
    sound = quiet(two_clusters, 2, random_state=0).mixture
    spike = Mixture(
        weights=[0.995, 0.005],
        means=[two_clusters.mean(axis=0), two_clusters[7]],
        covariances=np.stack([np.cov(two_clusters.T), 1e-280 * np.eye(3)]),
    )
    runs = [ended(mixture, source) for mixture in (sound, spike)]
    assert runs[1].log_likelihoods[0] > runs[0].log_likelihoods[0] + 100
    for order in ([0, 1], [1, 0]):
        best = outcome.choose(State(tuple(runs[i] for i in order), plan_of(source, 2)), source.weight)
        assert best.mixture == sound
        assert best.degenerate == ()
    alone = outcome.choose(State((runs[1],), plan_of(source, 2)), source.weight)
    assert alone.degenerate == (1,)
    assert "component 1 is degenerate" in alone.remarks[0]


def test_a_collapsed_start_loses(two_clusters):
    source = ArraySource(two_clusters)
    sound = quiet(two_clusters, 2, random_state=0).mixture
    collapsed = Run(None, None, (), (), em.COLLAPSED)
    best = outcome.choose(State((collapsed, ended(sound, source)), plan_of(source, 2)), source.weight)
    assert best.mixture == sound
    assert best.start_log_likelihoods == (-math.inf, sound.log_likelihood(two_clusters))
    with pytest.raises(SingularError, match="reg_covar"):
        outcome.choose(State((collapsed, collapsed), plan_of(source, 2)), source.weight)


# ---- what a user is told -----------------------------------------------------------------------------------


def test_no_convergence_is_a_warning(two_clusters):
    with pytest.warns(ConvergenceWarning, match="EM did not converge in 2 iterations; increase max_iter"):
        fit = gaussmix.fit(two_clusters, 3, max_iter=2, tol=0.0, random_state=0)
    assert not fit.converged
    assert fit.reason == "max_iter"
    assert len(fit.remarks) == 1


def test_a_good_fit_is_silent(two_clusters):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit = gaussmix.fit(two_clusters, 2, random_state=0, max_iter=1000)
    assert fit.converged
    assert fit.remarks == ()


def test_a_feature_without_spread_is_named():
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    rows = np.column_stack([rng.normal(size=100), np.full(100, 3.0)])
    with pytest.warns(DegenerateWarning, match="feature 1 has no spread"):
        gaussmix.fit(rows, 1)
    with pytest.warns(DegenerateWarning, match="feature 'still' has no spread"):
        fit = gaussmix.fit(pandas.DataFrame(rows, columns=["moving", "still"]), 1)
    assert fit.mixture.feature_names == ("moving", "still")


def test_the_warning_points_at_the_caller(two_clusters):
    with pytest.warns(ConvergenceWarning) as caught:
        gaussmix.fit(two_clusters, 2, max_iter=1, tol=0.0)
    assert caught[0].filename == __file__


def test_the_observer_sees_each_pass(two_clusters):
    seen = []
    fit = quiet(two_clusters, 2, n_init=3, random_state=0, observer=seen.append)
    assert all(isinstance(state, State) and len(state.runs) == 3 for state in seen)
    assert all(run.candidate is None for run in seen[-1].runs)
    assert fit.log_likelihood == max(run.log_likelihoods[-1] for run in seen[-1].runs)

    class Enough(Exception):
        pass

    def stop(state):
        raise Enough

    with pytest.raises(Enough):
        gaussmix.fit(two_clusters, 2, observer=stop)


# ---- means -------------------------------------------------------------------------------------------------


def test_float32_rows_give_nearly_the_same_fit(two_clusters):
    settings = {"tol": 1e-6, "max_iter": 500, "random_state": 0}
    single, double = two_clusters.astype(np.float32), two_clusters.astype(np.float32).astype(np.float64)
    fit, expected = quiet(single, 2, **settings), quiet(double, 2, **settings)
    assert fit.mixture.means.dtype == np.float64
    assert fit.log_likelihood == pytest.approx(expected.log_likelihood, rel=1e-5)
    np.testing.assert_allclose(fit.mixture.means, expected.mixture.means, atol=2e-2)


def test_memory_of_a_fit(fresh_python):
    """A strided view of 64 MB: the fit takes no copy, and at most 8 bytes a row beside what is constant."""
    code = """
import numpy as np, warnings
import gaussmix
warnings.simplefilter("ignore")
def peak():
    status = dict(line.split(":") for line in open("/proc/self/status"))
    return int(status["VmHWM"].split()[0]) // 1024
rng = np.random.default_rng(0)
table = np.zeros((1_000_000, 16))
table[:500_000] += 5
for begin in range(0, 1_000_000, 100_000):
    table[begin : begin + 100_000] += rng.standard_normal((100_000, 16))
gaussmix.fit(table[::1000, ::2].copy(), 4, max_iter=1)
before = peak()
gaussmix.fit(table[:, ::2], 4, max_iter=2, tol=0.0, random_state=0, n_jobs=2)
print(peak() - before)
"""
    # 8 MB of indices to draw a sample from, and room for the seeding of ten thousand rows.
    assert int(fresh_python(code)) < 8 + 12


# ---- Ctrl-C ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n_rows", "n_components"), [(500, 3), (2_000_000, 8)])
def test_interrupt_a_long_fit(interrupted, n_rows, n_components):
    """Many short passes, or a few long ones."""
    interrupted(f"""
import numpy as np, gaussmix
rows = np.random.default_rng(0).standard_normal(({n_rows}, 4))
print("ready", flush=True)
while True:
    gaussmix.fit(rows, {n_components}, max_iter=100_000_000, tol=0.0)
""")


def test_interrupt_a_selection(interrupted):
    interrupted("""
import numpy as np, gaussmix
rows = np.random.default_rng(0).standard_normal((300_000, 4))
print("ready", flush=True)
gaussmix.select(rows, range(4, 9), max_iter=10_000, tol=0.0, n_jobs=2)
""")


def test_random_state_is_checked():
    with pytest.raises(ParameterError, match="random_state must be None, an integer"):
        gaussmix.fit([[0.0], [1.0], [2.0]], 1, random_state="a")


def test_what_a_fit_says_of_itself():
    """On one line, with what one looks for first."""
    fit = gaussmix.fit([[0.0, 1.0], [1.0, 2.0], [3.0, 1.0], [4.0, 4.0]], 1, covariance_type="diag")
    assert repr(fit.mixture) == "Mixture(n_components=1, n_features=2, covariance_type='diag')"
    assert repr(fit).startswith(f"Fit({fit.mixture!r}, log_likelihood=") and "converged after" in repr(fit)


def test_weights_that_are_held_are_no_free_parameters(rng):
    rows = np.concatenate([rng.normal(size=(60, 2)), rng.normal(size=(40, 2)) + 6])
    free, held = (gaussmix.fit(rows, 2, equal_weights=held, random_state=0) for held in (False, True))
    assert (free.n_parameters, held.n_parameters) == (11, 10)
    assert held.bic == pytest.approx(-2 * held.log_likelihood + 10 * math.log(100))
    model = gaussmix.GaussianMixture(2, equal_weights=True, random_state=0).fit(rows)
    assert model.bic(rows) == pytest.approx(model.result_.bic)
    table = gaussmix.select(rows, [2], "VVV", equal_weights=True, random_state=0).table
    assert table["n_parameters"].to_pylist() == [10]


def test_every_kind_of_random_state(rng):
    rows = rng.normal(size=(50, 2))
    for chance in (np.random.RandomState, np.random.default_rng):
        first, again = (gaussmix.fit(rows, 2, random_state=chance(3)) for _ in range(2))
        assert first.mixture == again.mixture


def test_names_for_one_feature_are_refused_for_several(rng):
    rows = rng.normal(size=(50, 2))
    assert gaussmix.fit(rows[:, :1], 2, covariance_type="E", random_state=0).mixture.n_features == 1
    for name, other in (("E", "EII"), ("V", "VII")):
        with pytest.raises(ParameterError, match=f"is for one feature, got 2.*'{other}'"):
            gaussmix.fit(rows, 2, covariance_type=name)
        with pytest.raises(ParameterError, match="is for one feature"):
            gaussmix.select(rows, covariance_types=[name])
