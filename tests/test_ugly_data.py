"""Data that break naive code: by default a finite sensible fit, with a warning where it is degenerate."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import pytest

from gaussmix import GaussianMixture, fit
from gaussmix.errors import ConvergenceWarning, DataError, DegenerateWarning, SingularError

TYPES = ["full", "tied", "diag", "spherical"]


def normal_rows(n_rows: int = 120, n_features: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n_rows, n_features))


def two_clusters(n_rows: int = 300) -> np.ndarray:
    rng = np.random.default_rng(1)
    rows = rng.standard_normal((n_rows, 2)) @ np.array([[1.0, 0.4], [0.0, 0.6]])
    rows[: n_rows // 3] += [4.0, 2.0]
    return rows


def constant_column() -> np.ndarray:
    return np.column_stack([normal_rows(n_features=2), np.full(120, 7.25)])


def outlier() -> np.ndarray:
    rows = normal_rows()
    rows[17] = 1e10
    return rows


DATA: dict[str, tuple[Callable[[], np.ndarray], int]] = {
    "constant column": (constant_column, 3),
    "large constant column": (lambda: constant_column() * [1, 1, 1e12], 3),
    "two constant columns": (lambda: constant_column()[:, [0, 2, 2]], 2),
    "repeated rows": (lambda: np.repeat(normal_rows(6), 20, axis=0), 3),
    "all rows equal": (lambda: np.full((30, 3), 4.2), 3),
    "all rows zero": (lambda: np.zeros((30, 3)), 2),
    "N < K D": (lambda: normal_rows(10, 5), 4),
    "D > N": (lambda: normal_rows(8, 20), 2),
    "K = N": (lambda: normal_rows(6, 2), 6),
    "K = N = 2": (lambda: normal_rows(2, 2), 2),
    "one outlier": (outlier, 3),
    "Cauchy": (lambda: np.random.default_rng(3).standard_cauchy((200, 3)), 3),
    "denormals": (lambda: normal_rows() * 1e-310, 2),
    "smallest denormal": (lambda: (normal_rows() > 0) * 5e-324, 2),
    "largest values": (lambda: normal_rows() * 1e149, 2),
    "K = 1": (normal_rows, 1),
    "one feature": (lambda: normal_rows(50, 1), 2),
    "mixed units": (lambda: normal_rows() * [1e-60, 1.0, 1e60], 2),
    "integers": (lambda: np.random.default_rng(4).integers(0, 3, (100, 2)), 4),
    "booleans": (lambda: normal_rows() > 0, 2),
    "linearly dependent": (lambda: normal_rows(100, 2)[:, [0, 1, 0]], 2),
}
DEGENERATE = {
    "constant column",
    "two constant columns",
    "large constant column",
    "all rows equal",
    "all rows zero",
    "denormals",
    "smallest denormal",
    "K = N",
    "K = N = 2",
}


def assert_finite_model(model: GaussianMixture, rows: np.ndarray) -> None:
    for name in ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_"):
        assert np.all(np.isfinite(getattr(model, name))), name
    assert np.isclose(model.weights_.sum(), 1)
    assert np.all(
        np.isfinite(
            np.log(np.diagonal(np.linalg.cholesky(model.mixture_.full_covariances), axis1=1, axis2=2))
        )
    )
    assert np.all(np.isfinite(model.score_samples(rows)))
    assert np.isfinite([model.lower_bound_, model.bic(rows), model.aic(rows)]).all()
    assert np.allclose(model.predict_proba(rows).sum(axis=1), 1)
    assert np.all(np.isfinite(model.sample(20)[0]))
    # Every mean lies among the rows.
    spread = np.ptp(rows, axis=0)
    assert np.all(model.means_ >= rows.min(axis=0) - 1e-9 * spread - 1e-15 * np.abs(rows).max())
    assert np.all(model.means_ <= rows.max(axis=0) + 1e-9 * spread + 1e-15 * np.abs(rows).max())


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("name", DATA)
def test_finite_sensible_fit(name: str, covariance_type: str) -> None:
    make, n_components = DATA[name]
    rows = make()
    model = GaussianMixture(n_components, covariance_type=covariance_type, random_state=0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(rows)
    categories = {each.category for each in caught}
    assert all(issubclass(each, (ConvergenceWarning, DegenerateWarning)) for each in categories), categories
    assert_finite_model(model, np.asarray(rows, dtype=np.float64))
    if name in DEGENERATE:
        assert DegenerateWarning in categories


@pytest.mark.parametrize("init_params", ["k-means++", "random", "random_from_data"])
@pytest.mark.parametrize(
    "name", ["constant column", "repeated rows", "all rows equal", "K = N", "one outlier"]
)
@pytest.mark.filterwarnings("ignore::gaussmix.errors.DegenerateWarning")
@pytest.mark.filterwarnings("ignore::gaussmix.errors.ConvergenceWarning")
def test_every_start_survives(name: str, init_params: str) -> None:
    make, n_components = DATA[name]
    rows = make()
    model = GaussianMixture(n_components, init_params=init_params, random_state=0).fit(rows)
    assert_finite_model(model, rows)


@pytest.mark.parametrize("covariance_type", TYPES)
def test_fewer_rows_than_components(covariance_type: str) -> None:
    with pytest.raises(DataError, match="n_components = 6, n_samples = 5"):
        GaussianMixture(6, covariance_type=covariance_type).fit(normal_rows(5))


def test_constant_column_is_named() -> None:
    with pytest.warns(DegenerateWarning, match="feature 2 has no spread"):
        GaussianMixture(2, random_state=0).fit(constant_column())


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag"])
@pytest.mark.filterwarnings("ignore::gaussmix.errors.DegenerateWarning")
def test_constant_columns_do_not_change_the_clusters(covariance_type: str) -> None:
    rows = two_clusters()
    settings = {"covariance_type": covariance_type, "random_state": 0, "tol": 1e-10, "max_iter": 1000}
    settings["init_params"] = "kmeans"  # a search draws directions, and with more features others
    alone = GaussianMixture(2, **settings).fit(rows)
    beside = GaussianMixture(2, **settings).fit(np.column_stack([rows, np.full((300, 3), 7.25)]))
    assert np.allclose(beside.weights_, alone.weights_, rtol=1e-6)
    assert np.allclose(beside.means_[:, :2], alone.means_, rtol=1e-6)


def test_well_behaved_data_warn_of_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        GaussianMixture(2, random_state=0).fit(two_clusters())


@pytest.mark.parametrize("covariance_type", TYPES)
def test_without_regularisation_a_point_is_an_error(covariance_type: str) -> None:
    rows = np.repeat([[0.0, 0.0], [1.0, 1.0]], 5, axis=0)
    with pytest.raises(SingularError, match="reg_covar=0"):
        GaussianMixture(2, covariance_type=covariance_type, reg_covar=0, random_state=0).fit(rows)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.nan, "NaN: row 7, column 1"),
        (np.inf, "infinity: row 7, column 1"),
        (-np.inf, "infinity: row 7, column 1"),
        (1e200, "row 7, column 1 is 1e\\+200"),
    ],
)
def test_bad_value_is_located(bad: float, message: str) -> None:
    rows = normal_rows()
    model = GaussianMixture(2, random_state=0).fit(rows)
    rows[7, 1] = bad
    with pytest.raises(DataError, match=message):
        GaussianMixture(2).fit(rows)
    with pytest.raises(DataError, match=message):
        model.predict(rows)


# a·x + b for a common a, b in units of a·std.
MAPS = [
    *[(a, 0.0) for a in (1e-150, 1e-75, 1e-9, 1e-6, 1e-3, 3.7, 1e6, 1e75, 1e140)],
    *[(a, b) for a in (1e-140, 1e-6, 1.0, 1e6, 1e130) for b in (1.0, -1e3, 1e6, 1e9)],
]


@pytest.mark.parametrize("covariance_type", TYPES)
def test_fit_of_the_transform_is_the_transform_of_the_fit(covariance_type: str) -> None:
    rows = two_clusters()
    settings = {"covariance_type": covariance_type, "random_state": 0, "tol": 1e-13, "max_iter": 1000}
    reference = GaussianMixture(2, **settings).fit(rows)
    expected, std = reference.score_samples(rows), rows.std()
    for a, b in MAPS:
        mapped = a * rows + b * a * std
        found = GaussianMixture(2, **settings).fit(mapped)
        # L carries N·D·ln a, and a run ends when it gains less than the rounding of that: it is that far from the top,
        # and log densities are the root of it, a few units of the last place of ln a each, from where they would be.
        unit = np.finfo(float).eps
        allowed = 1e-6 + 30 * unit * abs(b) + 10 * np.sqrt(unit * rows.shape[1] * abs(np.log(a)))
        difference = found.score_samples(mapped) - (expected - rows.shape[1] * np.log(a))
        assert np.abs(difference).max() < allowed, (a, b)
        assert np.array_equal(found.predict(mapped), reference.predict(rows)), (a, b)


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag"])
def test_each_feature_may_have_its_own_unit(covariance_type: str) -> None:
    rows, units = two_clusters(), np.array([1e-40, 1e60])
    settings = {"covariance_type": covariance_type, "random_state": 0, "tol": 1e-13, "max_iter": 1000}
    reference = GaussianMixture(2, **settings).fit(rows)
    found = GaussianMixture(2, **settings).fit(rows * units)
    expected = reference.score_samples(rows) - np.log(units).sum()
    assert np.allclose(found.score_samples(rows * units), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("covariance_type", TYPES)
def test_a_row_far_away_has_exact_responsibilities(covariance_type: str) -> None:
    model = GaussianMixture(2, covariance_type=covariance_type, random_state=0).fit(two_clusters())
    far = np.array([[1e6, -1e7], [1e100, 1e100], [-1e140, 3.0]])
    gamma = model.predict_proba(far)
    assert np.all(np.isfinite(model.score_samples(far)))
    assert np.array_equal(gamma.sum(axis=1), np.ones(3))
    assert np.array_equal(gamma.argmax(axis=1), model.predict(far))


@pytest.mark.parametrize("covariance_type", ["EII", "VII"])
def test_spheres_held_up_by_a_constant_feature_alone_are_degenerate(covariance_type: str) -> None:
    rows = np.column_stack([np.random.default_rng(0).normal(size=200) * 1e-7, np.full(200, 1.7e9)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert fit(rows, 1, covariance_type=covariance_type).degenerate == (0,)
