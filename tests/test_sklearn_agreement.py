"""Numbers equal to scikit-learn's: the same M-steps from one start, the same answers from one mixture."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import sklearn.mixture
from sklearn.datasets import load_iris, load_wine

import gaussmix

TYPES = ["full", "tied", "diag", "spherical"]


def clusters(n_components: int, n_features: int, n_rows: int = 400) -> np.ndarray:
    rng = np.random.default_rng(10 * n_components + n_features)
    centres = rng.normal(0, 3, (n_components, n_features))
    rows = rng.standard_normal((n_rows, n_features)) @ rng.normal(0, 0.6, (n_features, n_features))
    return rows + rng.standard_normal((n_rows, n_features)) * 0.5 + centres[np.arange(n_rows) % n_components]


DATA = {
    "one feature": (clusters(2, 1), 2),
    "two features": (clusters(3, 2), 3),
    "seven features": (clusters(4, 7), 4),
    "one component": (clusters(2, 3), 1),
    "iris": (load_iris().data, 3),
    "wine": (load_wine().data[:, :6], 3),
}


def same_start(rows: np.ndarray, n_components: int, covariance_type: str) -> dict[str, Any]:
    """Means at spread rows, equal weights, the data's own variances."""
    n_features = rows.shape[1]
    order = np.argsort(rows[:, 0], kind="stable")
    means = rows[order[np.linspace(0, len(rows) - 1, 2 * n_components + 1).astype(int)[1::2]]]
    precision = 1 / rows.var(axis=0)
    precisions = {
        "full": np.repeat(np.diag(precision)[None], n_components, axis=0),
        "tied": np.diag(precision),
        "diag": np.repeat(precision[None], n_components, axis=0),
        "spherical": np.full(n_components, 1 / rows.var(axis=0).mean()),
    }[covariance_type]
    assert precisions.ndim == {"full": 3, "tied": 2, "diag": 2, "spherical": 1}[covariance_type], n_features
    return {
        "n_components": n_components,
        "covariance_type": covariance_type,
        "weights_init": np.full(n_components, 1 / n_components),
        "means_init": means,
        "precisions_init": precisions,
        "reg_covar": 0,
    }


def both(
    rows: np.ndarray, **settings: Any
) -> tuple[gaussmix.GaussianMixture, sklearn.mixture.GaussianMixture]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return gaussmix.GaussianMixture(**settings).fit(rows), sklearn.mixture.GaussianMixture(
            **settings
        ).fit(rows)


def assert_same_parameters(ours: Any, theirs: Any, rows: np.ndarray, rtol: float) -> None:
    """Within ``rtol`` of the spread of the data; and L within 1e-8 nats per row."""
    std = rows.std(axis=0)
    matrix = theirs.covariances_.ndim > 1 and theirs.covariance_type in ("full", "tied")
    scale = std[:, None] * std if matrix else std**2 if theirs.covariance_type == "diag" else std.max() ** 2
    assert np.allclose(ours.weights_, theirs.weights_, rtol=0, atol=rtol)
    assert np.all(np.abs(ours.means_ - theirs.means_) <= rtol * std)
    assert ours.covariances_.shape == theirs.covariances_.shape
    assert np.all(np.abs(ours.covariances_ - theirs.covariances_) <= rtol * scale)
    assert np.allclose(ours.precisions_, theirs.precisions_, rtol=100 * rtol, atol=100 * rtol / scale.min())
    assert np.allclose(
        ours.precisions_cholesky_, theirs.precisions_cholesky_, rtol=1e-5, atol=1e-6 / std.min()
    )
    assert abs(ours.score(rows) - theirs.score(rows)) < 1e-8


def plain_em(rows: np.ndarray, n_iter: int, **settings: Any) -> tuple[gaussmix.GaussianMixture, list[float]]:
    """Plain M-steps, one in each call of fit, since a longer run would accelerate; and L/N after each."""
    model = gaussmix.GaussianMixture(max_iter=1, tol=0, warm_start=True, **settings)
    trace = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(n_iter):
            trace.append(model.fit(rows).lower_bound_)
            assert model.n_iter_ == 1
    return model, trace


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("n_iter", [1, 3, 25])
@pytest.mark.parametrize("name", DATA)
def test_same_m_steps_give_the_same_parameters(name: str, n_iter: int, covariance_type: str) -> None:
    rows, n_components = DATA[name]
    settings = same_start(rows, n_components, covariance_type)
    ours, trace = plain_em(rows, n_iter, **settings)
    _, theirs = both(rows, max_iter=n_iter, tol=0, **settings)
    assert theirs.n_iter_ == n_iter
    assert_same_parameters(ours, theirs, rows, 1e-8)
    # Their lower_bound_ belongs to the parameters before the last M-step.
    assert np.allclose(trace[:-1], theirs.lower_bounds_[1:], rtol=0, atol=1e-10)


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("name", ["one feature", "two features", "seven features", "iris"])
def test_same_optimum(name: str, covariance_type: str) -> None:
    rows, n_components = DATA[name]
    settings = same_start(rows, n_components, covariance_type)
    ours, theirs = both(rows, max_iter=5000, tol=1e-12, **settings)
    assert ours.converged_
    assert abs(ours.score(rows) - theirs.score(rows)) * len(rows) < 1e-8
    assert np.allclose(ours.means_, theirs.means_, rtol=0, atol=1e-4 * rows.std())


def mixture_of(theirs: sklearn.mixture.GaussianMixture) -> gaussmix.Mixture:
    return gaussmix.Mixture(
        weights=theirs.weights_,
        means=theirs.means_,
        covariances=theirs.covariances_,
        covariance_type=theirs.covariance_type,
    )


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("name", DATA)
def test_same_answers_from_the_same_parameters(name: str, covariance_type: str) -> None:
    rows, n_components = DATA[name]
    theirs = sklearn.mixture.GaussianMixture(n_components, covariance_type=covariance_type, random_state=0)
    theirs.fit(rows)
    ours = gaussmix.GaussianMixture.from_mixture(mixture_of(theirs))
    assert np.array_equal(ours.predict(rows), theirs.predict(rows))
    assert np.allclose(ours.predict_proba(rows), theirs.predict_proba(rows), rtol=0, atol=1e-8)
    # Theirs takes differences of products of size |mean|²/variance.
    atol = 1e-15 * max(1.0, np.abs(rows).max() ** 2 * theirs.precisions_.max()) * rows.shape[1] + 1e-10
    assert np.allclose(ours.score_samples(rows), theirs.score_samples(rows), rtol=1e-10, atol=atol)
    for criterion in ("score", "bic", "aic"):
        assert np.isclose(getattr(ours, criterion)(rows), getattr(theirs, criterion)(rows), rtol=1e-8)
    assert ours._n_parameters() == theirs._n_parameters() == ours.mixture_.n_parameters
    assert np.allclose(ours.precisions_, theirs.precisions_, rtol=1e-6, atol=1e-9 * theirs.precisions_.max())


@pytest.mark.parametrize("covariance_type", TYPES)
def test_samples_of_both_have_the_same_moments(covariance_type: str) -> None:
    rows, n_components = DATA["two features"]
    theirs = sklearn.mixture.GaussianMixture(n_components, covariance_type=covariance_type, random_state=0)
    theirs.fit(rows)
    ours = gaussmix.GaussianMixture.from_mixture(mixture_of(theirs), random_state=0)
    (X, y), (X_theirs, y_theirs) = ours.sample(40_000), theirs.sample(40_000)
    assert X.shape == X_theirs.shape
    assert X.dtype == X_theirs.dtype
    assert y.dtype == y_theirs.dtype
    assert np.array_equal(y, np.sort(y))  # grouped by component, as theirs
    for k in range(n_components):
        mine, other = X[y == k], X_theirs[y_theirs == k]
        assert abs(len(mine) - len(other)) < 6 * np.sqrt(40_000 / 2)
        error = 6 * X.std() * np.sqrt(2 / min(len(mine), len(other)))
        assert np.allclose(mine.mean(axis=0), other.mean(axis=0), rtol=0, atol=error)
        assert np.allclose(np.cov(mine.T), np.cov(other.T), rtol=0.1, atol=error)


@pytest.mark.parametrize("covariance_type", TYPES)
def test_many_starts_find_what_theirs_find(covariance_type: str) -> None:
    rows, n_components = DATA["iris"]
    ours, theirs = (
        each(
            n_components, covariance_type=covariance_type, tol=1e-6, max_iter=300, n_init=10, random_state=0
        ).fit(rows)
        for each in (gaussmix.GaussianMixture, sklearn.mixture.GaussianMixture)
    )
    # Regularisation differs by up to 1e-6 of a variance; ours must not be the worse optimum.
    assert ours.score(rows) > theirs.score(rows) - 1e-3
