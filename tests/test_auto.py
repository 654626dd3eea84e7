"""AutoGaussianMixture: scikit-learn's conventions, and that it is the selection it shows."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import gaussmix
from gaussmix import AutoGaussianMixture, GaussianMixture
from gaussmix.errors import ConvergenceWarning, DataError, ParameterError

FEW = {"n_components": (1, 2, 3), "covariance_types": ("EII", "VVV"), "random_state": 0}


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    rng = np.random.default_rng(4)
    return rng.normal(size=(200, 2)) * [1.0, 0.5] + np.repeat([[0.0, 0.0], [6.0, 3.0]], 100, axis=0)


@pytest.fixture(scope="module")
def model(rows: np.ndarray) -> AutoGaussianMixture:
    return AutoGaussianMixture(**FEW).fit(rows)


@parametrize_with_checks([AutoGaussianMixture((1, 2), covariance_types=("EII", "VVV"))])
def test_estimator_checks(estimator: AutoGaussianMixture, check: Callable[[Any], None]) -> None:
    if check.func.__name__ != "check_array_api_input":
        check(estimator)


def test_it_is_the_best_of_its_selection(model: AutoGaussianMixture, rows: np.ndarray) -> None:
    selection = gaussmix.select(rows, (1, 2, 3), ("EII", "VVV"), random_state=0)
    assert model.table_.equals(selection.table)
    assert model.mixture_ == selection.best.mixture == model.selection_.best.mixture
    best = selection.best_candidate
    assert (model.n_components_, model.covariance_type_) == (best.n_components, best.covariance_type)
    assert model.result_ is model.selection_.best
    assert model.bic(rows) == pytest.approx(best.fit.bic)
    assert model.aic(rows) == pytest.approx(best.fit.aic)


def test_it_answers_as_the_estimator_of_the_best(model: AutoGaussianMixture, rows: np.ndarray) -> None:
    best = model.best_estimator_
    assert isinstance(best, GaussianMixture)
    assert best.n_components == model.n_components_
    for name in ("predict", "predict_proba", "score_samples", "score"):
        np.testing.assert_array_equal(getattr(model, name)(rows), getattr(best, name)(rows))
    for name in ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_"):
        np.testing.assert_array_equal(getattr(model, name), getattr(best, name))
    np.testing.assert_array_equal(AutoGaussianMixture(**FEW).fit_predict(rows), model.predict(rows))
    drawn, labels = model.sample(50)
    assert drawn.shape == (50, 2)
    assert set(labels) <= set(range(model.n_components_))


def test_settings_reach_every_candidate(rows: np.ndarray) -> None:
    noisy = np.vstack([rows, np.random.default_rng(0).uniform(-30, 30, (20, 2))])
    model = AutoGaussianMixture((2, 3), covariance_types="VVV", noise=True, random_state=0).fit(noisy)
    assert model.predict_proba(noisy).shape == (220, model.n_components_ + 1)
    assert -1 in model.predict(noisy)
    equal = AutoGaussianMixture(2, covariance_types="full", equal_weights=True, random_state=0).fit(rows)
    np.testing.assert_array_equal(equal.weights_, [0.5, 0.5])
    with pytest.warns(ConvergenceWarning):
        AutoGaussianMixture(2, covariance_types="VVV", max_iter=0, random_state=0).fit(rows)


def test_criteria(rows: np.ndarray) -> None:
    for criterion in ("icl", "aic", "cv"):
        model = AutoGaussianMixture(**FEW, criterion=criterion).fit(rows)
        values = model.table_[criterion].to_pylist()
        assert model.selection_.best_candidate.criterion(criterion) == min(values)


def test_one_feature_has_e_and_v(rows: np.ndarray) -> None:
    model = AutoGaussianMixture(range(1, 4), random_state=0).fit(rows[:, :1])
    assert model.covariance_type_ in ("E", "V")
    assert model.n_components_ == 2


def test_clone_pickle_pipeline(model: AutoGaussianMixture, rows: np.ndarray) -> None:
    assert clone(model).get_params() == model.get_params()
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict(rows), model.predict(rows))
    assert again.table_.equals(model.table_)
    pipeline = make_pipeline(StandardScaler(), AutoGaussianMixture(**FEW))
    assert len(cross_val_score(pipeline, rows, cv=3)) == 3


def test_float32_stays(rows: np.ndarray) -> None:
    model = AutoGaussianMixture(**FEW).fit(rows.astype(np.float32))
    assert model.means_.dtype == np.float32
    assert model.n_components_ == 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"criterion": "mdl"}, "criterion must be one of"),
        ({"covariance_types": "oval"}, "is not a covariance family"),
        ({"n_components": (0,)}, "n_components must be a positive integer"),
        ({"tol": -1.0}, "tol must be a number from 0"),
        ({"n_jobs": 0}, "n_jobs must be None or an integer other than 0"),
        ({"random_state": "x"}, "random_state must be"),
    ],
)
def test_refused(rows: np.ndarray, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        AutoGaussianMixture(**{**FEW, **settings}).fit(rows)


def test_no_candidate(rows: np.ndarray) -> None:
    with pytest.raises(DataError, match="no candidate could be fitted"):
        AutoGaussianMixture(n_components=5).fit(rows[:3])
