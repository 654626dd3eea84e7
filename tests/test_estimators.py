"""GaussianMixture behaves as scikit-learn's class of that name, and better where that one is wrong."""

from __future__ import annotations

import contextlib
import doctest
import importlib
import inspect
import pickle
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
import sklearn.exceptions
import sklearn.mixture
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator, parametrize_with_checks

import gaussmix
from gaussmix import GaussianMixture
from gaussmix.errors import ConvergenceWarning, DataError, DegenerateWarning, ParameterError
from gaussmix.rows import ArraySource

TYPES = ["full", "tied", "diag", "spherical"]
FAMILIES = ["EII", "VII", "EEI", "VVI", "EEE", "VVV"]
SHAPES = {"full": (2, 3, 3), "tied": (3, 3), "diag": (2, 3), "spherical": (2,)}


def clusters(n_rows: int = 200, distance: float = 5.0, dtype: Any = np.float64) -> np.ndarray:
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((n_rows, 3)) * [1.0, 0.7, 1.4]
    rows[: n_rows // 3] += distance
    return rows.astype(dtype)


@pytest.fixture
def rows() -> np.ndarray:
    return clusters()


def fitted(rows: np.ndarray, **settings: Any) -> GaussianMixture:
    return GaussianMixture(2, **{"random_state": 0, **settings}).fit(rows)


# ---- conventions -----------------------------------------------------------------------------------------


@parametrize_with_checks([GaussianMixture(covariance_type=name) for name in (*TYPES, "EEE", "VVI", "EII")])
def test_estimator_checks(estimator: GaussianMixture, check: Callable[[Any], None]) -> None:
    if check.func.__name__ != "check_array_api_input":  # theirs skips it too
        check(estimator)


def test_every_check_that_theirs_passes_passes() -> None:
    def passed(estimator: Any) -> set[str]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            results = check_estimator(estimator, on_fail=None, on_skip=None)
        return {result["check_name"] for result in results if result["status"] == "passed"}

    assert passed(GaussianMixture()) >= passed(sklearn.mixture.GaussianMixture())


ADDED = ["n_jobs", "equal_weights", "noise", "hypervolume", "prior", "max_condition"]


def test_constructor_is_theirs_and_more() -> None:
    ours = inspect.signature(GaussianMixture.__init__).parameters
    theirs = inspect.signature(sklearn.mixture.GaussianMixture.__init__).parameters
    assert [*theirs, *ADDED] == list(ours)
    different = {name for name in theirs if ours[name].default != theirs[name].default}
    assert different == {"init_params"}
    assert all(ours[name].kind == theirs[name].kind for name in theirs)


def test_methods_are_theirs() -> None:
    for name, method in inspect.getmembers(sklearn.mixture.GaussianMixture, inspect.isfunction):
        if not name.startswith("_"):
            ours = list(inspect.signature(getattr(GaussianMixture, name)).parameters)
            theirs = list(inspect.signature(method).parameters)
            assert ours[: len(theirs)] == theirs, name


def test_fitted_attributes_are_theirs(rows: np.ndarray) -> None:
    frame = pd.DataFrame(rows, columns=["a", "b", "c"])
    for name in vars(sklearn.mixture.GaussianMixture(2).fit(frame)):
        assert not name.endswith("_") or hasattr(GaussianMixture(2).fit(frame), name), name


def test_tags_and_routing_are_theirs() -> None:
    assert GaussianMixture().__sklearn_tags__() == sklearn.mixture.GaussianMixture().__sklearn_tags__()
    assert GaussianMixture().get_metadata_routing()._serialize() == {}


def test_top_level_name_is_lazy() -> None:
    assert gaussmix.GaussianMixture is importlib.import_module("gaussmix.estimators").GaussianMixture


@pytest.mark.parametrize("covariance_type", TYPES)
def test_shapes(covariance_type: str, rows: np.ndarray) -> None:
    model = fitted(rows, covariance_type=covariance_type)
    assert model.weights_.shape == (2,)
    assert model.means_.shape == (2, 3)
    for name in ("covariances_", "precisions_", "precisions_cholesky_"):
        assert getattr(model, name).shape == SHAPES[covariance_type]
    assert model.predict(rows).shape == model.score_samples(rows).shape == (200,)
    assert model.predict_proba(rows).shape == (200, 2)
    assert isinstance(model.score(rows), float)
    assert isinstance(model.bic(rows), float)
    assert isinstance(model.aic(rows), float)
    assert isinstance(model.converged_, bool)
    assert isinstance(model.n_iter_, int)
    assert isinstance(model.lower_bound_, float)
    assert model.n_features_in_ == 3
    assert model.mixture_.means.dtype == np.float64


@pytest.mark.parametrize("covariance_type", [*TYPES, *FAMILIES])
def test_precisions_are_inverses(covariance_type: str, rows: np.ndarray) -> None:
    model = fitted(rows, covariance_type=covariance_type)
    covariances, precisions, roots = model.covariances_, model.precisions_, model.precisions_cholesky_
    assert covariances.shape == precisions.shape == roots.shape
    if model.mixture_.whitening.ndim == 2:
        assert np.allclose(precisions * covariances, 1)
        assert np.allclose(roots**2, precisions)
    else:
        assert np.allclose(precisions @ covariances, np.eye(3), atol=1e-9)
        assert np.allclose(roots @ np.swapaxes(roots, -1, -2), precisions)
        assert np.array_equal(roots, np.triu(roots))


def test_attributes_are_read_only(rows: np.ndarray) -> None:
    for model in (fitted(rows), fitted(rows.astype(np.float32))):
        with pytest.raises(AttributeError):
            model.means_ = np.zeros((2, 3))
        with pytest.raises(ValueError, match="read-only"):
            model.means_[0] = 0
        with pytest.raises(ValueError, match="read-only"):
            model.mixture_.whitening[0] = 0


def test_unfitted() -> None:
    model = GaussianMixture()
    for method in (
        model.predict,
        model.predict_proba,
        model.score,
        model.score_samples,
        model.bic,
        model.aic,
    ):
        with pytest.raises(NotFittedError, match="This GaussianMixture instance is not fitted yet"):
            method([[0.0]])
    with pytest.raises(NotFittedError):
        model.sample()
    assert not hasattr(model, "means_")
    assert not hasattr(model, "converged_")


def test_fit_leaves_the_constructor_parameters_alone(rows: np.ndarray) -> None:
    given = {
        "weights_init": [0.5, 0.5],
        "means_init": [[0, 0, 0], [5, 5, 5]],
        "precisions_init": [np.eye(3).tolist()] * 2,
    }
    before = pickle.dumps(given)
    model = GaussianMixture(2, **given).fit(rows)
    assert all(getattr(model, name) is value for name, value in given.items())
    assert pickle.dumps(given) == before


def test_clone_and_set_params(rows: np.ndarray) -> None:
    labels = (rows[:, 0] > 2.5).astype(int)
    model = GaussianMixture(2, init_params=labels, tol=1e-5, covariance_type="EEE").fit(rows)
    copy = clone(model)
    assert not hasattr(copy, "mixture_")
    assert np.array_equal(copy.init_params, labels)
    assert copy.fit(rows).mixture_ == model.mixture_
    assert model.set_params(n_components=3).get_params()["n_components"] == 3


def test_pickle_keeps_everything(rows: np.ndarray) -> None:
    model = fitted(rows)
    model.sample(3)
    copy = pickle.loads(pickle.dumps(model))
    assert copy.mixture_ == model.mixture_
    assert copy.result_.reason == model.result_.reason
    assert np.array_equal(copy.predict_proba(rows), model.predict_proba(rows))
    assert np.array_equal(copy.sample(5)[0], model.sample(5)[0])


def test_pipeline_and_grid_search(rows: np.ndarray) -> None:
    pipeline = make_pipeline(StandardScaler(), GaussianMixture(random_state=0))
    grid = {"gaussianmixture__n_components": [1, 2], "gaussianmixture__covariance_type": ["full", "EEE"]}
    search = GridSearchCV(pipeline, grid, cv=KFold(3, shuffle=True, random_state=0), n_jobs=2).fit(rows)
    assert search.best_params_["gaussianmixture__n_components"] == 2
    assert search.predict(rows).shape == (200,)


def test_search_by_bic(rows: np.ndarray) -> None:
    search = GridSearchCV(
        GaussianMixture(random_state=0),
        {"n_components": [1, 2, 3]},
        scoring=lambda model, X, y=None: -model.bic(X),
        cv=[(np.arange(200), np.arange(200))],
    )
    assert search.fit(rows).best_params_ == {"n_components": 2}


def test_joblib_and_routing(rows: np.ndarray) -> None:
    alone = cross_val_score(fitted(rows), rows, cv=3)
    with joblib.parallel_backend("threading"):
        assert np.array_equal(cross_val_score(fitted(rows), rows, cv=3, n_jobs=2), alone)
    with sklearn.config_context(enable_metadata_routing=True):
        assert np.array_equal(cross_val_score(fitted(rows), rows, cv=3), alone)


@pytest.mark.parametrize("frame", ["pandas", "polars"])
def test_frames_through_a_pipeline(frame: str, rows: np.ndarray) -> None:
    make: Any = pd.DataFrame if frame == "pandas" else pl.DataFrame
    X = make({name: rows[:, j] for j, name in enumerate("abc")})
    pipeline = make_pipeline(StandardScaler(), GaussianMixture(2, random_state=0)).set_output(transform=frame)
    assert pipeline.fit(X).predict(X).shape == (200,)
    assert list(pipeline[-1].feature_names_in_) == ["a", "b", "c"]
    assert pipeline[-1].mixture_.feature_names == ("a", "b", "c")


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame])
def test_feature_names_are_checked_as_theirs(make: Any, rows: np.ndarray) -> None:
    def frame(names: str) -> Any:
        return make({name: rows[:, j] for j, name in enumerate(names)})

    def complaints(model: Any, X: Any) -> list[str]:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                model.predict(X)
            except ValueError as error:
                return [str(error)]
        return [str(each.message) for each in caught]

    ours = GaussianMixture(2, random_state=0).fit(frame("abc"))
    theirs = sklearn.mixture.GaussianMixture(2, random_state=0).fit(frame("abc"))
    assert np.array_equal(ours.feature_names_in_, theirs.feature_names_in_)
    for wrong in (frame("acb"), frame("abd"), frame("ab"), rows, rows[:, :2]):
        assert complaints(ours, wrong) == complaints(theirs, wrong) != []
    assert complaints(ours, frame("abc")) == []
    ours.fit(rows)
    assert not hasattr(ours, "feature_names_in_")
    assert complaints(ours, frame("abc")) == complaints(theirs.fit(rows), frame("abc")) != []


def test_nan_in_a_frame_is_named() -> None:
    frame = pd.DataFrame({"height": [1.0, 2.0, np.nan], "width": [1.0, 2.0, 3.0]})
    with pytest.raises(DataError, match="NaN: row 2, column 'height'"):
        GaussianMixture().fit(frame)


# ---- starts ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("init_params", ["kmeans", "k-means++", "random", "random_from_data"])
def test_starts_by_name(init_params: str, rows: np.ndarray) -> None:
    model = fitted(rows, init_params=init_params, n_init=3, max_iter=500)
    again = fitted(rows, init_params=init_params, n_init=3, max_iter=500)
    assert model.mixture_ == again.mixture_
    assert len(model.result_.start_log_likelihoods) == 3
    # A start has the scale of the data, not that of the regularisation.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        start = fitted(rows, init_params=init_params, max_iter=0)
    assert np.linalg.eigvalsh(start.covariances_).min() > 0.01


def test_start_from_labels_and_responsibilities(rows: np.ndarray) -> None:
    labels = (rows[:, 0] > 2.5).astype(int)
    by_labels = fitted(rows, init_params=labels)
    by_responsibilities = fitted(rows, init_params=np.eye(2)[labels])
    assert by_labels.mixture_ == by_responsibilities.mixture_
    assert by_labels.means_[0, 0] < by_labels.means_[1, 0]


@pytest.mark.parametrize(
    "wrong", [np.zeros(7), np.full(200, 2), np.full((200, 3), 1 / 3), np.ones((200, 2)), 3]
)
def test_wrong_start(wrong: Any, rows: np.ndarray) -> None:
    with pytest.raises(ParameterError, match="init_params"):
        GaussianMixture(2, init_params=wrong).fit(rows)


def test_given_parameters_are_the_start(rows: np.ndarray) -> None:
    given = {
        "weights_init": np.array([0.3, 0.7], dtype=np.float32),
        "means_init": [[1, 2, 3], [4, 5, 6]],
        "precisions_init": np.array([np.eye(3), np.diag([1.0, 4.0, 9.0])]),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = GaussianMixture(2, max_iter=0, **given).fit(rows)
    assert np.allclose(model.weights_, [0.3, 0.7])
    assert np.array_equal(model.means_, given["means_init"])
    assert np.allclose(model.precisions_, given["precisions_init"])
    assert model.lower_bounds_ == []
    assert np.isclose(model.lower_bound_, model.score(rows))


@pytest.mark.parametrize("name", ["weights_init", "means_init", "precisions_init"])
@pytest.mark.parametrize("covariance_type", TYPES)
def test_some_given_parameters(name: str, covariance_type: str, rows: np.ndarray) -> None:
    source = fitted(rows, covariance_type=covariance_type)
    value = getattr(source, name.replace("init", ""))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = fitted(rows, covariance_type=covariance_type, max_iter=0, **{name: value})
    assert np.allclose(getattr(model, name.replace("init", "")), value)


@pytest.mark.parametrize(
    ("covariance_type", "settings", "message"),
    [
        ("full", {"weights_init": [1.0]}, r"'weights' should have the shape of \(2,\), but got \(1,\)"),
        ("full", {"weights_init": [-1, 2]}, "max value 2.00000, min value -1.00000"),
        ("full", {"weights_init": [0.5, 0.2]}, r"normalized, but got sum\(weights\) = 0.7"),
        ("full", {"means_init": np.ones((3, 3))}, "'means' should have the shape"),
        ("full", {"means_init": [[1, 2, np.nan], [0, 0, 0]]}, "'means' should be finite"),
        ("full", {"precisions_init": np.ones((2, 2, 2))}, "'full precision' should have the shape"),
        ("full", {"precisions_init": -np.ones((2, 3, 3))}, "'full precision' should be symmetric, positive"),
        ("full", {"precisions_init": [np.triu(np.ones((3, 3)))] * 2}, "'full precision' should be symmetric"),
        ("tied", {"precisions_init": np.zeros((3, 3))}, "'tied precision' should be symmetric, positive"),
        ("diag", {"precisions_init": -np.ones((2, 3))}, "'diag precision' should be positive"),
        ("spherical", {"precisions_init": [1.0, 0.0]}, "'spherical precision' should be positive"),
        ("EII", {"precisions_init": [1.0, 0.0]}, "'EII precision' should be positive"),
    ],
)
def test_wrong_parameters(
    covariance_type: str, settings: dict[str, Any], message: str, rows: np.ndarray
) -> None:
    with pytest.raises(ParameterError, match=message):
        GaussianMixture(2, covariance_type=covariance_type, **settings).fit(rows)


@pytest.mark.parametrize(
    "settings",
    [
        {"n_components": 0},
        {"n_components": 1.5},
        {"n_components": True},
        {"covariance_type": "round"},
        {"tol": -1},
        {"tol": np.nan},
        {"reg_covar": -1e-6},
        {"reg_covar": "small"},
        {"max_iter": -1},
        {"n_init": 0},
        {"init_params": "magic"},
        {"random_state": -3},
        {"random_state": "seed"},
        {"warm_start": "yes"},
        {"verbose": -1},
        {"verbose_interval": 0},
        {"n_jobs": 0},
        {"n_jobs": 1.5},
    ],
)
def test_settings_out_of_range(settings: dict[str, Any], rows: np.ndarray) -> None:
    (name,) = settings
    with pytest.raises(ValueError, match=f"{name}|{settings[name]}"):
        GaussianMixture(**settings).fit(rows)


# ---- the loop --------------------------------------------------------------------------------------------


def test_lower_bound_belongs_to_the_parameters() -> None:
    rows = clusters(distance=1.5)
    for max_iter in (1, 3, 100):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = fitted(rows, max_iter=max_iter, tol=1e-8)
        assert np.isclose(model.lower_bound_, model.score(rows), rtol=1e-12)
        assert 0 < len(model.lower_bounds_) <= model.n_iter_ <= max_iter
        assert model.lower_bounds_[-1] == model.lower_bound_
        assert np.all(np.diff(model.lower_bounds_) > -1e-9)


def test_not_converging_warns_in_both_languages() -> None:
    rows = clusters(distance=1.0)
    for category in (sklearn.exceptions.ConvergenceWarning, ConvergenceWarning):
        with pytest.warns(category, match="Best performing initialization did not converge") as caught:
            model = fitted(rows, max_iter=2, tol=1e-9, init_params="kmeans")
        assert caught[0].filename == __file__
    assert not model.converged_
    assert model.n_iter_ == 2


def test_degenerate_component_warns(rows: np.ndarray) -> None:
    with pytest.warns(DegenerateWarning) as caught:
        GaussianMixture(2, random_state=0).fit(np.repeat(rows[:2], 10, axis=0))
    assert caught[0].filename == __file__


def test_warm_start_continues() -> None:
    rows = clusters(distance=2.0)
    through = fitted(rows, tol=1e-12, max_iter=1000)
    model = GaussianMixture(2, random_state=0, max_iter=2, tol=1e-12, warm_start=True)
    scores = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(1000):
            scores.append(model.fit(rows).score(rows))
            if model.converged_:
                break
    assert model.converged_
    assert np.all(np.diff(scores) > -1e-12)
    assert np.isclose(scores[-1], through.score(rows), atol=1e-9)
    with pytest.raises(ParameterError, match="warm_start"):
        model.set_params(n_components=3).fit(rows)


def test_warm_start_converges_in_one_step_at_the_optimum(rows: np.ndarray) -> None:
    model = fitted(rows, tol=1e-10, max_iter=1000)
    model.set_params(warm_start=True, tol=1e-6).fit(rows)
    assert model.converged_
    assert model.n_iter_ == 1


@pytest.mark.parametrize("verbose", [0, 1, 2])
def test_verbose(verbose: int, capsys: pytest.CaptureFixture[str]) -> None:
    rows = clusters(distance=1.0)
    fitted(rows, verbose=verbose, verbose_interval=2, tol=1e-6, max_iter=1000)
    lines = capsys.readouterr().out.splitlines()
    if verbose == 0:
        assert lines == []
        return
    assert lines[0] == "Initialization 0"
    assert lines[1].startswith("  Iteration 2")
    assert lines[-1].startswith("Initialization converged.")
    assert ("ll change" in lines[1]) == ("lower bound" in lines[-1]) == (verbose == 2)


def test_verbose_of_several_starts(rows: np.ndarray, capsys: pytest.CaptureFixture[str]) -> None:
    fitted(rows, verbose=1, n_init=3)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Initializations 0 to 2"
    assert sum(line.endswith("converged.") for line in lines) == 3


def test_interrupt_propagates(rows: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("gaussmix.verbose.Printer.__call__", interrupted)
    model = GaussianMixture(2, verbose=1)
    with pytest.raises(KeyboardInterrupt):
        model.fit(rows)
    assert not hasattr(model, "mixture_")


def test_threads_change_nothing() -> None:
    rows = clusters(5000)
    one, two = fitted(rows, n_jobs=1), fitted(rows, n_jobs=2)
    assert one.mixture_ == two.mixture_
    assert np.array_equal(one.predict_proba(rows), two.predict_proba(rows))


# ---- rows ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("covariance_type", TYPES)
def test_single_precision(covariance_type: str) -> None:
    rows = clusters(dtype=np.float32)
    model = fitted(rows, covariance_type=covariance_type)
    for name in ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_"):
        assert getattr(model, name).dtype == np.float32
    assert model.mixture_.means.dtype == np.float64
    assert model.score_samples(rows).dtype == model.predict_proba(rows).dtype == np.float32
    assert model.score_samples(rows.astype(np.float64)).dtype == np.float64
    double = fitted(rows.astype(np.float64), covariance_type=covariance_type)
    assert np.allclose(model.score_samples(rows), double.score_samples(rows), atol=1e-3)


@pytest.mark.parametrize("convert", [np.asfortranarray, lambda X: X[::-1][::-1], lambda X: X.tolist()])
def test_layout_does_not_matter(convert: Callable[[Any], Any], rows: np.ndarray) -> None:
    assert np.allclose(fitted(convert(rows)).means_, fitted(rows).means_, rtol=1e-12)


def test_integers_are_rows() -> None:
    rows = clusters().round().astype(np.int64)
    assert fitted(rows).means_.dtype == np.float64


def test_a_source_of_rows(rows: np.ndarray) -> None:
    source = ArraySource(rows, None, ("a", "b", "c"))
    model = fitted(source)
    assert model.mixture_.means.tolist() == fitted(rows).mixture_.means.tolist()
    assert list(model.feature_names_in_) == ["a", "b", "c"]
    assert np.array_equal(model.predict(source), model.predict(pd.DataFrame(rows, columns=["a", "b", "c"])))
    with pytest.raises(DataError, match="X has 2 features, but GaussianMixture is expecting 3"):
        model.predict(ArraySource(rows[:, :2]))


# ---- random numbers --------------------------------------------------------------------------------------


def test_sample_goes_on(rows: np.ndarray) -> None:
    model, again = fitted(rows), fitted(rows)
    first, second = model.sample(10), model.sample(10)
    assert not np.array_equal(first[0], second[0])
    for expected in (first, second):
        assert all(np.array_equal(a, b) for a, b in zip(again.sample(10), expected, strict=True))
    model.fit(rows)
    assert np.array_equal(model.sample(10)[0], first[0])


def test_sample_of_its_own_seed(rows: np.ndarray) -> None:
    model = fitted(rows)
    X, y = model.sample(50, random_state=7)
    assert X.shape == (50, 3)
    assert X.dtype == np.float64
    assert y.shape == (50,)
    assert y.dtype == np.int64
    assert np.array_equal(y, np.sort(y))
    assert np.array_equal(model.sample(50, random_state=7)[0], X)
    for make in (np.random.RandomState, np.random.default_rng):
        generator = make(0)
        one, two = model.sample(5, generator)[0], model.sample(5, generator)[0]
        assert not np.array_equal(one, two)
        assert np.array_equal(model.sample(5, make(0))[0], one)


@pytest.mark.parametrize("n_samples", [0, -1, 2.5, "3"])
def test_sample_size(n_samples: Any, rows: np.ndarray) -> None:
    with pytest.raises(ParameterError, match="Invalid value for 'n_samples'"):
        fitted(rows).sample(n_samples)


def test_kinds_of_random_state() -> None:
    rows = clusters(distance=1.0)

    def start(random_state: Any) -> np.ndarray:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = GaussianMixture(3, init_params="random", max_iter=0, random_state=random_state)
            return model.fit(rows).means_

    for make in (np.random.RandomState, np.random.default_rng):
        generator = make(5)
        first = start(generator)
        assert not np.array_equal(first, start(generator))
        assert np.array_equal(first, start(make(5)))
    assert np.array_equal(start(3), start(np.int64(3)))
    assert not np.array_equal(start(3), start(4))
    state = np.random.get_state()  # noqa: NPY002
    try:
        np.random.seed(1)  # noqa: NPY002
        first = start(None)
        np.random.seed(1)  # noqa: NPY002
        assert np.array_equal(first, start(None))
    finally:
        np.random.set_state(state)  # noqa: NPY002


# ---- from a mixture --------------------------------------------------------------------------------------


def test_from_mixture(rows: np.ndarray) -> None:
    frame = pd.DataFrame(rows, columns=["a", "b", "c"])
    source = GaussianMixture(2, covariance_type="EEE", random_state=0).fit(frame)
    model = GaussianMixture.from_mixture(source.mixture_, random_state=0)
    assert np.array_equal(model.predict_proba(frame), source.predict_proba(frame))
    assert np.array_equal(model.covariances_, source.covariances_)
    assert list(model.feature_names_in_) == ["a", "b", "c"]
    assert np.array_equal(model.sample(5)[0], source.sample(5)[0])
    assert model.get_params()["covariance_type"] == "EEE"
    assert not hasattr(model, "converged_")
    assert model.set_params(warm_start=True).fit(frame).score(frame) >= source.score(frame)


def test_from_the_function_fit(rows: np.ndarray) -> None:
    result = gaussmix.fit(rows, 2, random_state=0)
    model = GaussianMixture.from_mixture(result.mixture)
    assert np.isclose(model.bic(rows), result.bic)
    assert np.isclose(model.aic(rows), result.aic)
    assert fitted(rows).mixture_ == result.mixture


# ---- scikit-learn's own tests ----------------------------------------------------------------------------

# Tests of public behaviour in sklearn/mixture/tests/test_gaussian_mixture.py, with arguments. Left out, see
# docs/coming-from-scikit-learn.md: test_check_weights, test_gaussian_mixture_setting_best_params,
# test_gaussian_mixture_precisions_init_diag, and tests of private functions and of the array API.
SEEDS = [{"global_random_seed": seed} for seed in range(3)]
INITS = [
    {"init_params": name, **seed}
    for name in ("random", "random_from_data", "k-means++", "kmeans")
    for seed in SEEDS
]
DOUBLE = [{"global_dtype": np.float64}]
BOTH = [*DOUBLE, {"global_dtype": np.float32}]
THEIR_TESTS: dict[str, list[dict[str, Any]]] = {
    "test_gaussian_mixture_attributes": [{}],
    "test_check_means": [{}],
    "test_check_precisions": [{}],
    "test_gaussian_mixture_predict_predict_proba": [{}],
    "test_gaussian_mixture_fit_predict": [
        {"seed": seed, "max_iter": steps, "tol": tol, **dtype}
        for seed, steps, tol in ((0, 2, 1e-7), (1, 2, 1e-1), (3, 300, 1e-7), (4, 300, 1e-1))
        for dtype in BOTH
    ],
    "test_gaussian_mixture_fit_predict_n_init": [{}],
    "test_gaussian_mixture_fit_best_params": [{}],
    "test_gaussian_mixture_fit": BOTH,
    "test_gaussian_mixture_fit_convergence_warning": [{}],
    "test_multiple_init": [{}],
    "test_gaussian_mixture_n_parameters": [{}],
    "test_bic_1d_1component": [{}],
    "test_gaussian_mixture_aic_bic": [{}],
    "test_gaussian_mixture_verbose": [{}],
    "test_warm_start": [{"seed": seed} for seed in range(3)],
    "test_convergence_detected_with_warm_start": [{}],
    "test_score": DOUBLE,
    "test_score_samples": [{}],
    "test_monotonic_likelihood": [{}],
    "test_regularisation": [{}],
    "test_fitted_precision_covariance_concistency": [
        {"covar_type": name, **dtype} for name in TYPES for dtype in BOTH
    ],
    "test_sample": [{}],
    "test_init": [{}],
    "test_init_means_not_duplicated": INITS,
    "test_means_for_all_inits": [{**init, **dtype} for init in INITS for dtype in BOTH],
    "test_max_iter_zero": [{}],
    "test_gaussian_mixture_single_component_stable": [{}],
}


@contextlib.contextmanager
def their_tests(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    module = importlib.import_module("sklearn.mixture.tests.test_gaussian_mixture")
    monkeypatch.setattr(module, "GaussianMixture", GaussianMixture)
    # They expect EM to begin where k-means ends: that one iteration is not enough, that more starts fit better.
    monkeypatch.setitem(GaussianMixture.__init__.__kwdefaults__, "init_params", "kmeans")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", DegenerateWarning)
        yield module


@pytest.mark.parametrize("name", THEIR_TESTS)
def test_theirs(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with their_tests(monkeypatch) as module:
        test = getattr(module, name, None)
        if test is None:
            pytest.skip(f"scikit-learn {sklearn.__version__} has no {name}")
        for arguments in THEIR_TESTS[name]:
            wanted = inspect.signature(test).parameters
            test(**{key: value for key, value in arguments.items() if key in wanted})


def test_examples_of_the_guide() -> None:
    guide = Path(__file__).parent.parent / "docs" / "coming-from-scikit-learn.md"
    with warnings.catch_warnings():
        result = doctest.testfile(str(guide), module_relative=False, encoding="utf-8")
    assert result.attempted > 30
    assert result.failed == 0


def test_rows_that_are_refused_as_everywhere(rng):
    rows = rng.normal(size=(20, 2))
    model = GaussianMixture(2)
    with pytest.raises(DataError, match="masked values, the first in row 3"):
        model.fit(np.ma.masked_array(rows, mask=np.arange(40).reshape(20, 2) == 6))
    with pytest.raises(DataError, match="column 'when' holds Datetime"):
        model.fit(pd.DataFrame({"when": pd.date_range("2020-01-01", periods=20), "a": rows[:, 0]}))
