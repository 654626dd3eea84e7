"""The bound on eigenvalues, and what counts as degenerate."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import gaussmix
from gaussmix import GaussianMixture, Mixture, degeneracy, families, start
from gaussmix.bounded import FAMILIES, Bounded, cut
from gaussmix.degeneracy import degenerate_components
from gaussmix.errors import ParameterError
from gaussmix.rows import ArraySource


@pytest.fixture(scope="module")
def spiky():
    """Two clusters of unlike shape, a spike of three rows, and features in different units."""
    rng = np.random.default_rng(1)
    parts = [
        rng.normal(size=(200, 3)),
        rng.normal(size=(150, 3)) * [0.1, 1, 2] + 4,
        rng.normal(size=(3, 3)) * 1e-5 + 2,
    ]
    return np.concatenate(parts) * [1.0, 10.0, 0.1]


def quiet(*arguments, **settings):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return gaussmix.fit(*arguments, **settings)


def condition(mixture, rows):
    """Largest over smallest eigenvalue across components; of standardised features unless spheres."""
    scale = 1.0 if mixture.family.structure.name == "spherical" else rows.std(axis=0)
    values = np.linalg.eigvalsh(mixture.full_covariances / scale / np.reshape(scale, (-1, 1)))
    return values.max() / values.min()


# ---- the bound ---------------------------------------------------------------------------------------------


def test_the_cut_is_optimal():
    """No m on a fine grid is better; masses weigh; what is within the bound stays."""
    rng = np.random.default_rng(0)
    for case in range(60):
        K, J = rng.integers(2, 6), rng.integers(1, 5)
        values, mass = np.exp(3 * rng.normal(size=(K, J))), rng.uniform(0.1, 10, size=K)
        if case % 7 == 0:
            values[0] = 0.0
        bound = float(np.exp(rng.uniform(0, 5)))

        def objective(at, values=values, mass=mass):
            return float((mass[:, None] * (np.log(at) + values / at)).sum())

        found = cut(values, mass, bound)
        assert found.max() <= bound * found.min() * (1 + 1e-12)
        grid = np.exp(
            np.linspace(np.log(values[values > 0].min() / bound) - 1, np.log(values.max()) + 1, 1000)
        )
        best = min(objective(np.clip(values, m, bound * m)) for m in grid)
        assert objective(found) <= best + 1e-9 * abs(best)
    assert np.array_equal(cut(values, mass, 1e9), values)
    np.testing.assert_allclose(cut(1e-200 * values, mass, 2.0), 1e-200 * cut(values, mass, 2.0))
    with pytest.raises(np.linalg.LinAlgError):
        cut(np.zeros((2, 2)), np.ones(2), 2.0)


@pytest.mark.parametrize("bound", [1.0, 1.5, 20.0, 500.0])
@pytest.mark.parametrize("family", FAMILIES)
def test_fits_stay_within_the_bound(spiky, family, bound):
    free = quiet(spiky, 4, covariance_type=family, random_state=0, tol=1e-7, max_iter=500)
    fit = quiet(spiky, 4, covariance_type=family, max_condition=bound, random_state=0, tol=1e-7, max_iter=500)
    assert condition(fit.mixture, spiky) <= bound * (1 + 1e-9)
    assert np.all(np.diff(fit.objectives) >= -1e-12 * abs(fit.objectives[-1]))
    assert fit.converged
    if condition(free.mixture, spiky) < bound / 2:
        assert fit.log_likelihood == pytest.approx(free.log_likelihood, rel=1e-3)


def test_it_is_the_best_within_the_bound(spiky):
    """Among covariances within the bound, the M-step's have the highest lower bound: random ones are lower."""
    rng = np.random.default_rng(2)
    prior = Bounded(start.data_prior(ArraySource(spiky), 2, 0.0), 5.0)
    labels = (np.arange(len(spiky)) >= 200).astype(int)
    source, blank = ArraySource(spiky), start.blank_mixture(2, "VVV", prior)
    best = start.from_responsibilities(source, np.eye(2)[labels], blank, prior, False)
    parts = [spiky[labels == k] for k in (0, 1)]

    def bound(covariances):
        return sum(
            -0.5
            * len(part)
            * (np.linalg.slogdet(S)[1] + np.trace(np.linalg.solve(S, np.cov(part.T, bias=True))))
            for part, S in zip(parts, covariances, strict=True)
        )

    assert condition(best, spiky) == pytest.approx(5.0)
    scale = spiky.std(axis=0)
    for _ in range(200):
        moved = best.covariances / scale / scale[:, None]
        change = 0.05 * rng.normal(size=moved.shape)
        values, axes = np.linalg.eigh(moved + change + np.swapaxes(change, 1, 2))
        floor = values.max() / 5 * rng.uniform(0.9, 1.0)
        values = np.clip(values, floor, 5 * floor)
        moved = (axes * values[:, None, :]) @ np.swapaxes(axes, 1, 2) * scale * scale[:, None]
        assert bound(moved) < bound(best.covariances)


def test_units_of_features_change_nothing(spiky):
    for family in ("EEI", "VVI", "EEE", "VVV"):
        settings = {
            "covariance_type": family,
            "max_condition": 10,
            "random_state": 0,
            "init_params": "kmeans",
        }
        one, other = (quiet(spiky * units, 3, **settings) for units in (1.0, [1e100, 1.0, 1e-90]))
        np.testing.assert_allclose(other.mixture.means, one.mixture.means * [1e100, 1.0, 1e-90], rtol=1e-6)


def test_a_start_outside_is_cut_first(spiky):
    """Its likelihood may be higher than any within the bound: the first step must not fall."""
    free = quiet(spiky, 4, random_state=0).mixture
    assert condition(free, spiky) > 100
    for init in ({"init_params": free}, {"means_init": free.means, "covariances_init": free.covariances}):
        fit = quiet(spiky, 4, max_condition=3, max_iter=500, **init)
        assert fit.n_iter > 1
        assert np.all(np.diff(fit.objectives) >= 0)
        assert condition(fit.mixture, spiky) <= 3 * (1 + 1e-9)


def test_it_keeps_likelihoods_bounded_without_pseudo_rows(spiky):
    labels = np.repeat([0, 1, 2], [200, 150, 3])
    fit = quiet(spiky, 3, max_condition=50, reg_covar=0, init_params=labels)
    assert fit.reason == "converged"
    assert fit.degenerate == ()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert gaussmix.fit(spiky, 3, init_params=labels).degenerate == (2,)


def test_with_a_conjugate_prior_and_noise(spiky):
    fit = quiet(
        spiky, 2, max_condition=10, prior="conjugate", noise=True, random_state=0, tol=1e-7, max_iter=500
    )
    assert condition(fit.mixture, spiky) <= 10 * (1 + 1e-9)
    assert np.all(np.diff(fit.objectives) >= -1e-12 * abs(fit.objectives[-1]))


@pytest.mark.parametrize("family", sorted(set(families.NAMES) - set(FAMILIES)))
def test_other_families_refuse(spiky, family):
    with pytest.raises(ParameterError, match=f"EEE, VVV only, not for {family}"):
        gaussmix.fit(spiky, 2, covariance_type=family, max_condition=10)


@pytest.mark.parametrize("value", [0.5, -1, "10", np.inf, np.nan])
def test_bounds_that_are_refused(spiky, value):
    with pytest.raises(ParameterError, match="max_condition must be None or a number from 1"):
        GaussianMixture(2, max_condition=value).fit(spiky)


# ---- what counts as degenerate -----------------------------------------------------------------------------


def degenerate(rows, mixture, reg_covar=1e-6):
    prior = start.data_prior(ArraySource(rows), mixture.n_components, reg_covar)
    return degenerate_components(mixture, mixture.fold(rows), prior)


@pytest.mark.parametrize("family", families.NAMES)
def test_sound_components_are_not_degenerate(family):
    """Nor are few rows where a family shares what they cannot tell: a common covariance, a common shape."""
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal(size=(300, 3)), rng.normal(size=(6, 3)) + 8])
    labels = np.repeat([0, 1], [300, 6])
    assert quiet(rows, 2, covariance_type=family, init_params=labels).degenerate == ()


@pytest.mark.parametrize("units", [np.ones(3), np.full(3, 1e100), np.full(3, 1e-100)])
@pytest.mark.parametrize("family", ["VII", "VEI", "VVI", "VVV", "VVE", "VEV", "VEE"])
def test_a_spike_is_degenerate(family, units):
    """Two equal rows far off: all the volume of their component is the pseudo-rows'."""
    rows = np.concatenate([np.random.default_rng(0).normal(size=(100, 3)), np.full((2, 3), 9.0)]) * units
    fit = quiet(rows, 2, covariance_type=family, init_params=np.repeat([0, 1], [100, 2]), max_iter=3)
    assert fit.degenerate == (1,)


@pytest.mark.parametrize("family", ["EVI", "EVV", "EVE"])
def test_a_flat_component_of_the_common_volume_is_degenerate(family):
    """Rows on a line along an axis: the shape is pseudo-rows', however large the volume makes it."""
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal(size=(100, 2)), np.c_[rng.normal(size=40), np.full(40, 9.0)]])
    fit = quiet(rows, 2, covariance_type=family, init_params=np.repeat([0, 1], [100, 40]))
    assert 1 in fit.degenerate


@pytest.mark.parametrize("family", ["EII", "EEI", "EEE", "EEV"])
def test_a_common_covariance_is_everyone_s(family):
    rows = np.concatenate([np.random.default_rng(0).normal(size=(100, 3)), np.full((1, 3), 9.0)])
    assert quiet(rows, 2, covariance_type=family, init_params=np.repeat([0, 1], [100, 1])).degenerate == ()


def test_spheres_over_features_of_extreme_units():
    """Their variance is 1e400 times that of the smaller feature: no overflow, and nothing to complain of."""
    rows = np.random.default_rng(0).normal(size=(60, 2)) * [1e100, 1e-100]
    for family in ("EII", "VII"):
        assert quiet(rows, 2, covariance_type=family, random_state=0).degenerate == ()


def test_masses_count_not_weights(spiky):
    """With equal weights, and with noise: the mass of a component is the rows it has."""
    labels = np.repeat([0, 1, 2], [200, 150, 3])
    assert quiet(spiky, 3, equal_weights=True, init_params=labels, max_iter=2).degenerate == (2,)
    noisy = np.where(np.arange(len(spiky)) % 10 == 0, -1, labels)
    assert quiet(spiky, 3, noise=True, init_params=noisy, max_iter=2).degenerate == (2,)
    assert quiet(spiky[:350], 2, noise=True, init_params=noisy[:350]).degenerate == ()


def test_thin_and_few_without_regularisation():
    """Below 3(D + 1) rows, a smallest eigenvalue below a thousandth of the pooled one."""
    rng = np.random.default_rng(4)
    for n_rows, thickness, expected in ((8, 1e-3, (1,)), (8, 0.1, ()), (40, 1e-3, ())):
        thin = np.c_[rng.normal(size=n_rows), thickness * rng.normal(size=n_rows)] + 12
        rows = np.concatenate([rng.normal(size=(200, 2)), thin])
        centre = [rows[:200], thin]
        mixture = Mixture(
            weights=[200 / len(rows), n_rows / len(rows)],
            means=[part.mean(axis=0) for part in centre],
            covariances=[np.cov(part.T, bias=True) for part in centre],
        )
        assert degenerate(rows, mixture, 0.0) == expected


@pytest.mark.parametrize("family", families.NAMES)
def test_bounds_clear_none_that_is_degenerate(family, monkeypatch):
    """Where bounds tell that all are sound, eigenvalues say so too; and in most sound mixtures bounds tell it."""
    rng = np.random.default_rng(5)
    found = []
    for size in np.geomspace(1e-5, 1, 25):
        for n_rows in (5, 9, 60):
            few = rng.normal(size=(n_rows, 2)) * [size, 1.0] + 9
            rows = np.concatenate([rng.normal(size=(120, 2)), few])
            labels = np.repeat([0, 1], [120, n_rows])
            mixture = quiet(rows, 2, covariance_type=family, init_params=labels, max_iter=1).mixture
            prior = start.data_prior(ArraySource(rows), 2, 1e-6)
            told = all(degeneracy._surely_sound(mixture, mixture.fold(rows).mass, prior.pseudo_rows))
            with monkeypatch.context() as patched:
                patched.setattr(degeneracy, "_surely_sound", lambda *given: (False, False))
                bounded = degenerate(rows, mixture)
                patched.setattr(degeneracy, "_largest_change", lambda *given: np.inf)
                exact = degenerate(rows, mixture)
            assert not told or exact == ()
            assert degenerate(rows, mixture) == bounded == exact
            found.append((told, exact == ()))
    told, sound = np.sum(found, axis=0)
    assert told > 0.4 * sound


def test_the_result_says_which_and_what_to_do(spiky):
    labels = np.repeat([0, 1, 2], [200, 150, 3])
    with pytest.warns(
        gaussmix.errors.DegenerateWarning, match=r"component 2 is degenerate \(3 rows.*Use fewer"
    ):
        fit = gaussmix.fit(spiky, 3, init_params=labels)
    assert fit.degenerate == (2,)
