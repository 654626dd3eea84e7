"""Priors: the conjugate one against R's mclust and its own formulas, whatever the family; and pseudo-rows beside it."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest

import gaussmix
from gaussmix import ConjugatePrior, GaussianMixture, em, families, start
from gaussmix.errors import ParameterError
from gaussmix.maximisation import m_step
from gaussmix.moments import moments_of, variances_of
from gaussmix.prior_settings import prior_for
from gaussmix.priors import PseudoRows
from gaussmix.rows import ArraySource, as_source

CONJUGATE = ("EII", "VII", "EEI", "VVI", "EEE", "VVV")


def clusters(seed=0, n_rows=90, D=3, K=3):
    rng = np.random.default_rng(seed)
    labels = rng.integers(K, size=n_rows)
    centres = rng.normal(size=(K, D)) * 2
    return centres[labels] + rng.normal(size=(n_rows, D)) @ (
        0.4 * rng.normal(size=(D, D)) + np.eye(D)
    ), labels


def prior_of(rows, family, K, conjugate, reg_covar=0.0, max_condition=None):
    source = as_source(rows)
    return prior_for(source, start.data_prior(source, K, reg_covar), family, K, conjugate, max_condition)


# ---- against mclust ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["EII", "VII", "VVI", "EEE", "VVV"])
def test_runs_are_mclust_s(reference_data, family):
    """Where mclust's formulas are those of the paper: plain EM from the same responsibilities, as many steps."""
    table = reference_data("prior.json.gz")
    cases = [run for run in table["runs"] if run["model"] == family]
    assert cases
    for case in cases:
        K, rows = case["K"], np.array(table["columns"][case["dataset"]]).T
        labels = np.array([int(c, 16) for c in table["labels"][f"{case['dataset']} {K}"]])
        gamma = np.full((len(rows), K), 0.1 / (K - 1))
        gamma[np.arange(len(rows)), labels] = 0.9
        prior = prior_of(rows, family, K, ConjugatePrior(case["shrinkage"], case["prior_mean"]))
        spread_over = rows.shape[1] if families.get(family).structure.name == "spherical" else 1
        np.testing.assert_allclose(
            prior.scale * spread_over, np.broadcast_to(case["scale"], prior.scale.shape)
        )
        source = as_source(rows)
        blank = start.blank_mixture(K, family, prior)
        first = start.from_responsibilities(source, gamma, blank, prior, False)
        plan = em.Plan(prior, tol=0.0, max_iter=case["iterations"] - 1, accelerated=False)
        *_, state = em.passes(source, em.State((em.Run(first),), plan))
        found = state.runs[0].mixture
        assert state.runs[0].log_likelihoods[-1] == pytest.approx(case["loglik"], rel=1e-6)
        assert found.weights == pytest.approx(case["weights"], rel=1e-3)
        np.testing.assert_allclose(found.means, case["means"], rtol=1e-3)
        scale = np.abs(case["covariances"]).max()
        np.testing.assert_allclose(found.full_covariances, case["covariances"], atol=1e-3 * scale)
        assert found.n_parameters == case["n_parameters"]


# ---- formulas ----------------------------------------------------------------------------------------------


def published(family, mass, means, scatters, kappa, mu, dof, scale):
    """Means and covariances (K, D, D) of Fraley & Raftery (2007), tables 3 and 4, written out for K components."""
    K, D = means.shape
    apart = means - mu
    shrunk = (mass[:, None] * means + kappa * mu) / (mass + kappa)[:, None]
    P = scatters + (kappa * mass / (kappa + mass))[:, None, None] * apart[:, :, None] * apart[:, None, :]
    one = 1 if kappa > 0 else 0
    trace, diagonal, eye = P.trace(axis1=1, axis2=2), P.diagonal(axis1=1, axis2=2), np.eye(D)
    total = mass.sum()
    covariances = {
        "EII": lambda: np.stack([(scale + trace.sum()) / (total * D + dof + one * K * D + 2) * eye] * K),
        "VII": lambda: ((scale + trace) / (mass * D + dof + one * D + 2))[:, None, None] * eye,
        "EEI": lambda: np.stack([np.diag((scale + diagonal.sum(axis=0)) / (total + dof + one * K + 2))] * K),
        "VVI": lambda: ((scale + diagonal) / (mass + dof + one + 2)[:, None])[:, :, None] * eye,
        "EEE": lambda: np.stack([(scale + P.sum(axis=0)) / (total + dof + D + 1 + one * K)] * K),
        "VVV": lambda: (scale + P) / (mass + dof + D + 1 + one)[:, None, None],
    }[family]()
    return shrunk, covariances


@pytest.mark.parametrize("kappa", [0.0, 0.01, 5.0])
@pytest.mark.parametrize("family", CONJUGATE)
def test_m_step_is_the_published_one(family, kappa):
    """Where mclust deviates too: EII with its scale, EEI with shrunk means, κ = 0 without the means' density."""
    rows, labels = clusters()
    K = 3
    scale = np.cov(rows.T) * 0.3 if family in ("EEE", "VVV") else 0.8
    prior = prior_of(rows, family, K, ConjugatePrior(kappa, [1.0, 2.0, 3.0], 6.0, scale))
    blank = start.blank_mixture(K, family, prior)
    found = start.from_responsibilities(ArraySource(rows), np.eye(K)[labels], blank, prior, False)
    parts = [rows[labels == k] for k in range(K)]
    mass = np.array([float(len(part)) for part in parts])
    means = np.array([part.mean(axis=0) for part in parts])
    scatters = np.array([np.cov(part.T, bias=True) * len(part) for part in parts])
    shrunk, covariances = published(
        family, mass, means, scatters, kappa, np.array([1.0, 2.0, 3.0]), 6.0, scale
    )
    np.testing.assert_allclose(found.means, shrunk, rtol=1e-12)
    np.testing.assert_allclose(found.full_covariances, covariances, rtol=1e-10, atol=1e-12)


def normal_inverse_wishart(mixture, prior, dof, scale, kappa, mu):
    """ln p of the head of conjugate.py, without a constant, from dense matrices."""
    K, D = mixture.means.shape
    own = range(1 if mixture.family.name in ("EII", "EEI", "EEE") else K)
    total = 0.0
    for k, (mean, matrix) in enumerate(zip(mixture.means, mixture.full_covariances, strict=True)):
        log_det, inverse = np.linalg.slogdet(matrix)[1], np.linalg.inv(matrix)
        if kappa > 0:
            total -= 0.5 * (log_det + kappa * (mean - mu) @ inverse @ (mean - mu))
        if k not in own:
            continue
        kind = mixture.family.structure.name
        if kind == "spherical":
            variance = matrix[0, 0]
            total -= 0.5 * ((dof + 2) * math.log(variance) + scale / variance)
        elif kind == "diagonal":
            total -= 0.5 * ((dof + 2) * log_det + scale * np.trace(inverse))
        else:
            total -= 0.5 * ((dof + D + 1) * log_det + np.trace(inverse @ scale))
    return total


@pytest.mark.parametrize("family", families.NAMES)
def test_log_density_is_the_formula(family):
    """Differences between mixtures, with and without a prior of the means."""
    rows, labels = clusters(1)
    dense = len(families.get(family).structure.moment_shape(1, 3)) == 3
    scale, mu = (np.cov(rows.T) if dense else 0.7), np.array([0.5, 0.0, 1.0])
    for kappa in (0.0, 0.5):
        prior = prior_of(rows, family, 3, ConjugatePrior(kappa, mu, 4.0, scale), reg_covar=1e-2)
        plain = prior.pseudo_rows
        blank = start.blank_mixture(3, family, prior)
        mixtures = [
            start.from_responsibilities(ArraySource(rows), np.eye(3)[shifted], blank, prior, False)
            for shifted in (labels, np.roll(labels, 5))
        ]
        ours, theirs = [], []
        for mixture in mixtures:
            penalty = plain.log_density(mixture.means, *mixture.prepared[1:])
            ours.append(prior.log_density(mixture.means, *mixture.prepared[1:]) - penalty)
            theirs.append(normal_inverse_wishart(mixture, prior, 4.0, scale, kappa, mu))
        assert ours[1] - ours[0] == pytest.approx(theirs[1] - theirs[0], rel=1e-9)


# ---- fits --------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:components? .* (is|are) degenerate")
@pytest.mark.parametrize("reg_covar", [0.0, 1e-6, 1e-2])
@pytest.mark.parametrize("family", families.NAMES)
def test_objective_never_falls_and_L_excludes_the_prior(family, reg_covar):
    for seed in range(3):
        rows, _ = clusters(seed)
        fit = gaussmix.fit(
            rows,
            3,
            covariance_type=family,
            prior="conjugate",
            reg_covar=reg_covar,
            tol=1e-9,
            max_iter=300,
            random_state=seed,
        )
        steps = np.diff(fit.objectives)
        assert np.all(steps >= -1e-12 * np.abs(fit.objectives[-1]))
        assert fit.converged
        assert fit.log_likelihood == pytest.approx(fit.mixture.log_likelihood(rows), rel=1e-12)
        prior = prior_of(rows, family, 3, "conjugate", reg_covar)
        density = prior.log_density(fit.mixture.means, *fit.mixture.prepared[1:])
        assert fit.objectives[-1] - fit.log_likelihood == pytest.approx(density, rel=1e-9)


@pytest.mark.parametrize("family", families.NAMES)
def test_fit_is_stationary(family):
    """At the end another M-step moves nothing: the fixed point of the posterior, not of L."""
    rows, _ = clusters(2)
    fit = gaussmix.fit(
        rows, 2, covariance_type=family, prior="conjugate", tol=1e-13, max_iter=2000, random_state=0
    )
    prior = prior_of(rows, family, 2, "conjugate", 1e-6)
    again = m_step(fit.mixture.fold(rows), fit.mixture, prior)
    np.testing.assert_allclose(again.means, fit.mixture.means, atol=1e-4)
    np.testing.assert_allclose(again.full_covariances, fit.mixture.full_covariances, atol=1e-4)
    best = fit.objectives[-1]
    moved = again.with_parameters(again.weights, again.means * 1.01, again.covariances * 1.01, 0.0)
    assert moved.log_likelihood(rows) + prior.log_density(moved.means, *moved.prepared[1:]) < best


def test_it_keeps_a_component_on_one_row():
    """Where L alone is unbounded, and pseudo-rows would leave a spike, a component has the prior's spread."""
    rows = np.concatenate([clusters(3, 60, 2, 2)[0], [[40.0, 40.0]]])
    labels = np.append(np.arange(60) % 2, 2)
    fit = gaussmix.fit(rows, 3, prior="conjugate", reg_covar=0, init_params=labels)
    assert np.linalg.eigvalsh(fit.mixture.full_covariances[2])[0] > 1e-2
    assert fit.degenerate == ()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert gaussmix.fit(rows, 3, init_params=labels).degenerate == (2,)


def test_units_in_common_change_nothing():
    rows, _ = clusters(4)
    plain = gaussmix.fit(rows, 3, prior="conjugate", random_state=0, init_params="kmeans")
    moved = gaussmix.fit(1e-100 * rows, 3, prior="conjugate", random_state=0, init_params="kmeans")
    np.testing.assert_allclose(moved.mixture.means, 1e-100 * plain.mixture.means, rtol=1e-8)
    np.testing.assert_allclose(moved.mixture.covariances, 1e-200 * plain.mixture.covariances, rtol=1e-8)


@pytest.mark.parametrize("family", ["VVI", "VVV", "EEI", "EEE"])
def test_a_constant_feature_keeps_its_floor(family):
    rows, _ = clusters(5)
    settings = {"covariance_type": family, "random_state": 0, "init_params": "kmeans"}
    expected = gaussmix.fit(rows, 2, **settings).mixture
    with pytest.warns(gaussmix.errors.DegenerateWarning, match="no spread"):
        fit = gaussmix.fit(np.c_[rows, np.full(len(rows), 3.0)], 2, prior="conjugate", **settings)
    np.testing.assert_allclose(fit.mixture.full_covariances[:, 3, 3], (3 * 2.0**-52) ** 2, rtol=1e-6)
    np.testing.assert_allclose(fit.mixture.means[:, :3], expected.means, atol=0.5)


def test_moments():
    rows, _ = clusters(6)
    weights = np.random.default_rng(0).integers(0, 4, size=len(rows)).astype(float)
    repeated = np.repeat(rows, weights.astype(int), axis=0)
    found = moments_of(ArraySource(rows + 1e6, weights))
    np.testing.assert_allclose(found.mean, repeated.mean(axis=0) + 1e6)
    np.testing.assert_allclose(found.covariance, np.cov(repeated.T), rtol=1e-8)
    np.testing.assert_allclose(
        variances_of(ArraySource(rows, weights)).covariance, repeated.var(axis=0, ddof=1)
    )


def test_thinned_prior_weighs_less():
    """Beside a tenth of the rows, a tenth of the prior: the same answer where all rows are alike."""
    rows, labels = clusters(7)
    prior = prior_of(rows, "VVV", 3, ConjugatePrior(0.0), 1e-3)
    assert prior.thinned(0.1).pseudo_rows.count == pytest.approx(0.1 * prior.pseudo_rows.count)
    assert prior.thinned(0.1, at_least=1.0).pseudo_rows.count == 1.0
    blank = start.blank_mixture(3, "VVV", prior)
    tenfold = start.from_responsibilities(
        ArraySource(np.repeat(rows, 10, axis=0)), np.eye(3)[np.repeat(labels, 10)], blank, prior, False
    )
    single = start.from_responsibilities(
        ArraySource(rows), np.eye(3)[labels], blank, prior.thinned(0.1), False
    )
    np.testing.assert_allclose(single.covariances, tenfold.covariances, rtol=1e-10)


def test_pseudo_rows_are_a_prior():
    """What holds for every prior: means as they are, scatter and mass added, every covariance admitted."""
    prior = PseudoRows(0.5, np.ones(2), np.zeros(2, dtype=bool))
    scatter, mass = np.ones((3, 2)), np.ones(3)
    added, counted = prior.add_to(scatter, mass)
    whole, half = (prior.supplement(families.get("VVI"), 3, supplied=part) for part in (1.0, 0.5))
    assert np.array_equal(scatter + whole.scatter, added) and np.array_equal(mass + whole.mass, counted)
    assert np.array_equal(half.scatter, whole.scatter / 2) and half.mass == whole.mass
    assert whole.centre is None and whole.floors is None
    assert prior.admitted(families.get("VVI"), scatter, mass) is scatter
    assert prior.pseudo_rows is prior


@pytest.mark.parametrize(
    ("prior", "message"),
    [
        ("jeffreys", 'prior must be None, "conjugate" or a gaussmix.ConjugatePrior'),
        (True, "prior must be None"),
        (np.ones(2), "prior must be None"),
    ],
)
def test_priors_that_are_refused(prior, message):
    with pytest.raises(ParameterError, match=message):
        gaussmix.fit(clusters()[0], 2, prior=prior)
    with pytest.raises(ParameterError, match=message):
        GaussianMixture(2, prior=prior).fit(clusters()[0])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mean": [0.0]}, r"mean .* finite, of shape \(3,\)"),
        ({"scale": np.eye(2)}, r"scale .* finite, of shape \(3, 3\)"),
        ({"scale": -np.eye(3)}, "no negative eigenvalue"),
        ({"scale": np.triu(np.ones((3, 3)))}, "symmetric"),
    ],
)
def test_hyperparameters_that_are_refused(settings, message):
    with pytest.raises(ParameterError, match=message):
        gaussmix.fit(clusters()[0], 2, prior=ConjugatePrior(**settings))
    with pytest.raises(ParameterError, match="one number"):
        gaussmix.fit(clusters()[0], 2, covariance_type="VVI", prior=ConjugatePrior(scale=np.eye(3)))
    with pytest.raises(ParameterError, match="shrinkage of the conjugate prior"):
        ConjugatePrior(-1.0)
