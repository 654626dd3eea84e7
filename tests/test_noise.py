"""The noise component: its volume and whole runs against R's mclust, and what a fit with outliers gives."""

from __future__ import annotations

import csv
import math
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

import gaussmix
from gaussmix import GaussianMixture, em, families, noise, start
from gaussmix.errors import DegenerateWarning, ParameterError
from gaussmix.rows import ArraySource, Block, as_source


@pytest.fixture(scope="module")
def table(reference_data):
    return reference_data("noise.json.gz")


def blank_with_noise(source, K, family="VVV", reg_covar=1e-6, hypervolume=None):
    prior = start.data_prior(source, K, reg_covar)
    blank = start.blank_mixture(K, family, prior)
    return noise.with_component(blank, source, prior, hypervolume), prior


def log_volume(rows, weights=None, family="VVV", source=ArraySource):
    blank = blank_with_noise(source(np.asarray(rows, dtype=float), weights), 1, family)[0]
    return -blank.noise_log_density


@pytest.fixture(scope="module")
def scattered():
    """Two clusters of 120 rows, and 30 outliers over a box; the last 30 rows."""
    rng = np.random.default_rng(3)
    clusters = rng.normal(size=(120, 2)) @ [[1.0, 0.5], [0.0, 0.6]]
    clusters[60:] = 0.5 * clusters[60:] + [5.0, -2.0]
    return np.concatenate([clusters, rng.uniform([-14, -14], [18, 14], size=(30, 2))])


# ---- against mclust ----------------------------------------------------------------------------------------


def test_volume_is_mclust_s(table):
    for name, volume in table["hypervolume"].items():
        assert log_volume(np.array(table["columns"][name]).T) == pytest.approx(math.log(volume), abs=1e-12)


@pytest.mark.parametrize("family", families.NAMES)
def test_runs_are_mclust_s(table, family):
    """Plain EM from the same responsibilities, after the same number of steps; VVE: against NumPy."""
    for case in (run for run in table["runs"] if run["model"] == family):
        K, rows = case["K"], np.array(table["columns"][case["dataset"]]).T
        labels = np.array([int(c, 16) for c in table["labels"][f"{case['dataset']} {K}"]])
        gamma = np.full((len(rows), K + 1), 0.1 / K)
        gamma[np.arange(len(rows)), labels] = 0.9
        source = as_source(rows)
        blank, prior = blank_with_noise(source, K, family, reg_covar=0.0)
        first = start.from_responsibilities(source, gamma, blank, prior, False)
        plan = em.Plan(prior, tol=0.0, max_iter=case["iterations"] - 1, accelerated=False)
        *_, state = em.passes(source, em.State((em.Run(first),), plan))
        found = state.runs[0].mixture
        assert state.runs[0].log_likelihoods[-1] == pytest.approx(case["loglik"], rel=1e-9)
        assert np.append(found.weights, found.noise_weight) == pytest.approx(case["weights"], rel=1e-4)
        np.testing.assert_allclose(found.means, case["means"], rtol=1e-4)
        scale = np.abs(case["covariances"]).max()
        np.testing.assert_allclose(found.full_covariances, case["covariances"], atol=1e-4 * scale)
        assert found.n_parameters == case["n_parameters"]


def test_the_default_start_finds_what_mclust_finds_from_the_truth(table):
    rows = np.array(table["columns"]["faithful_noise"]).T
    expected = {run["K"]: run["loglik"] for run in table["runs"] if run["model"] == "VVV"}
    fit = gaussmix.fit(rows, 2, noise=True, tol=1e-8, max_iter=500, random_state=0)
    assert fit.log_likelihood >= expected[2] - 1e-4
    assert fit.mixture.noise_weight == pytest.approx(0.168, abs=0.002)


# ---- the volume --------------------------------------------------------------------------------------------


def test_volume_beyond_the_range_of_a_double(tmp_path):
    """Fifty features: V = 1e±400 in other units, with the same fit, and to the last bit through a model file."""
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal(size=(200, 50)), rng.normal(size=(200, 50)) + 4])
    rows[:20] = rng.uniform(-20, 20, size=(20, 50))
    plain = gaussmix.fit(rows, 2, covariance_type="EEI", noise=True, random_state=0).mixture
    for unit, density in ((1e8, 0.0), (1e-8, math.inf)):
        scaled = gaussmix.fit(rows * unit, 2, covariance_type="EEI", noise=True, random_state=0).mixture
        assert scaled.noise_density == density
        shift = scaled.noise_log_density - plain.noise_log_density
        assert shift == pytest.approx(-50 * math.log(unit))
        assert scaled.noise_weight == pytest.approx(plain.noise_weight, rel=1e-6)
        np.testing.assert_array_equal(scaled.classify(rows * unit), plain.classify(rows))
        gaussmix.save(scaled, tmp_path / "noise.json")
        assert gaussmix.load(tmp_path / "noise.json") == scaled
    assert plain.noise_weight == pytest.approx(20 / 400, abs=1e-3)


def test_volume_of_weighted_rows_in_parts(scattered):
    """A row of weight 0 is no row, of weight 2 two; blocks are the source's affair."""

    class Halves(ArraySource):
        def fold(self, step):
            blocks = [Block(self.rows[i::2], self.weights[i::2].copy()) for i in (0, 1)]
            return step(blocks[0]) + step(blocks[1])

    weights = np.random.default_rng(0).integers(0, 3, size=len(scattered)).astype(float)
    expected = log_volume(np.repeat(scattered, weights.astype(int), axis=0))
    assert log_volume(scattered, weights) == pytest.approx(expected, abs=1e-12)
    assert log_volume(scattered, weights, source=Halves) == pytest.approx(expected, abs=1e-12)
    # Far from zero in single precision too.
    assert log_volume((scattered + 1000).astype(np.float32)) == pytest.approx(log_volume(scattered), abs=1e-4)


def test_rows_in_a_plane_have_the_bounding_box(scattered):
    plane = np.c_[scattered, scattered @ [2.0, -1.0]]
    assert log_volume(plane) == pytest.approx(np.log(np.ptp(plane, axis=0)).sum())
    assert log_volume(plane.astype(np.float32)) == pytest.approx(log_volume(plane), abs=1e-5)


def test_a_constant_feature_says_nothing_of_noise(scattered):
    # To the top: steps may differ.
    settings = {"noise": True, "random_state": 0, "tol": 1e-9, "max_iter": 1000}
    expected = gaussmix.fit(scattered, 2, **settings)
    with pytest.warns(DegenerateWarning, match="no spread"):
        fit = gaussmix.fit(np.c_[scattered, np.full(len(scattered), 7.0)], 2, **settings)
    np.testing.assert_array_equal(
        fit.mixture.classify(np.c_[scattered, np.full(len(scattered), 7.0)]),
        expected.mixture.classify(scattered),
    )
    assert fit.mixture.noise_weight == pytest.approx(expected.mixture.noise_weight, rel=1e-6)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert gaussmix.fit(np.ones((10, 2)), 2, noise=True).mixture.noise_weight < 0.02


def test_hypervolume_overrides(scattered):
    small, large = (
        gaussmix.fit(scattered, 2, noise=True, hypervolume=v, random_state=0).mixture for v in (200.0, 1e5)
    )
    assert (small.noise_density, large.noise_density) == (pytest.approx(1 / 200), pytest.approx(1e-5))
    assert small.noise_weight > large.noise_weight


# ---- the fit -----------------------------------------------------------------------------------------------


def test_outliers_are_found(scattered):
    """Where k-means++ without noise spends a component on them."""
    for seed in range(5):
        model = GaussianMixture(2, noise=True, random_state=seed).fit(scattered)
        assert np.mean(model.predict(scattered)[120:] == -1) > 0.8
        assert np.mean(model.predict(scattered)[:120] == -1) < 0.05
        assert sorted(model.means_[:, 0]) == pytest.approx([0, 5], abs=0.4)


@pytest.mark.parametrize("strategy", start.STRATEGIES)
def test_every_start_has_noise(scattered, strategy):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = gaussmix.fit(scattered, 2, noise=True, init_params=strategy, random_state=0, max_iter=500)
    assert 0.05 < fit.mixture.noise_weight < 0.5
    assert np.all(np.diff(fit.objectives) >= -1e-9)


def test_few_rows_leave_enough_for_the_components():
    rows = np.array([[0.0, 0.0], [1.0, 0.5], [9.0, 9.0]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert math.isfinite(gaussmix.fit(rows, 3, noise=True).log_likelihood)


def test_surface(scattered):
    model = GaussianMixture(2, noise=True, random_state=0).fit(scattered)
    assert model.weights_.shape == (2,)
    assert model.weights_.sum() + model.noise_weight_ == pytest.approx(1, abs=1e-12)
    proba = model.predict_proba(scattered)
    assert proba.shape == (150, 3)
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    np.testing.assert_array_equal(proba.argmax(axis=1), np.where((y := model.predict(scattered)) < 0, 2, y))
    density = np.exp(model.score_samples(scattered))
    np.testing.assert_allclose(proba[:, 2] * density, model.noise_weight_ * model.mixture_.noise_density)
    p = 1 + 4 + 6 + 2
    assert model.mixture_.n_parameters == p
    assert model.bic(scattered) == pytest.approx(-2 * 150 * model.score(scattered) + p * math.log(150))
    with pytest.raises(ParameterError, match="not where it lies"):
        model.sample()
    assert GaussianMixture(2).fit(scattered).noise_weight_ == 0
    again = GaussianMixture.from_mixture(model.mixture_, warm_start=True).fit(scattered)
    assert again.result_.log_likelihoods[0] == pytest.approx(model.result_.log_likelihood, abs=1e-9)
    single = GaussianMixture(2, noise=True, random_state=0).fit(scattered.astype(np.float32))
    assert single.noise_weight_ == pytest.approx(model.noise_weight_, abs=1e-3)


def test_equal_weights_share_what_noise_leaves(scattered):
    model = GaussianMixture(2, noise=True, equal_weights=True, random_state=0).fit(scattered)
    assert model.weights_ == pytest.approx([(1 - model.noise_weight_) / 2] * 2)
    assert 0.1 < model.noise_weight_ < 0.3


def test_a_weight_is_a_number_of_rows(scattered):
    weights = np.random.default_rng(1).integers(1, 4, size=len(scattered))
    labels = np.repeat([0, 1, -1], [60, 60, 30])
    one = gaussmix.fit(
        scattered, 2, noise=True, init_params=labels, sample_weight=weights, tol=1e-9, max_iter=500
    )
    rows, labels = np.repeat(scattered, weights, axis=0), np.repeat(labels, weights)
    two = gaussmix.fit(rows, 2, noise=True, init_params=labels, tol=1e-9, max_iter=500)
    assert one.log_likelihood == pytest.approx(two.log_likelihood, rel=1e-9)
    assert one.mixture.noise_weight == pytest.approx(two.mixture.noise_weight, rel=1e-5)


@pytest.mark.filterwarnings("ignore:EM did not converge")
def test_given_starts(scattered):
    """Labels with −1; without, and (N, K), a little noise; (N, K + 1); means; weights; a mixture without noise."""
    labels = np.repeat([0, 1, -1], [60, 60, 30])
    first = gaussmix.fit(scattered, 2, noise=True, init_params=labels, max_iter=0).mixture
    assert first.weights == pytest.approx([0.4, 0.4])
    assert first.noise_weight == pytest.approx(0.2)
    same = gaussmix.fit(scattered, 2, noise=True, init_params=np.eye(3)[labels], max_iter=0).mixture
    assert same == first
    some = np.maximum(labels, 0)
    for start_ in (some, np.eye(2)[some]):
        mixture = gaussmix.fit(scattered, 2, noise=True, init_params=start_, max_iter=0).mixture
        assert mixture.noise_weight == pytest.approx(noise.LEAST)
    given = gaussmix.fit(
        scattered, 2, noise=True, means_init=[[0, 0], [5, -2]], weights_init=[0.7, 0.3], max_iter=0
    )
    left = 1 - given.mixture.noise_weight
    assert given.mixture.weights == pytest.approx([0.7 * left, 0.3 * left])
    plain = gaussmix.fit(scattered[:120], 2, random_state=0).mixture
    fit = gaussmix.fit(scattered, 2, noise=True, init_params=plain)
    assert np.mean(fit.mixture.classify(scattered)[120:] == -1) > 0.8


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"noise": 1}, "noise must be True or False"),
        ({"noise": True, "hypervolume": 0}, "hypervolume must be None or a positive number"),
        ({"noise": True, "hypervolume": math.inf}, "hypervolume must be None or a positive number"),
        ({"hypervolume": 3.0}, "set noise=True"),
        ({"init_params": np.full(150, -1)}, "−1 is noise, with noise=True"),
        ({"noise": True, "init_params": np.full(150, -2)}, "or −1, noise"),
        ({"init_params": np.full((150, 3), 1 / 3)}, r"\(150, 2\)"),
        ({"noise": True, "init_params": np.full((150, 4), 1 / 4)}, r"\(150, 2\) or \(150, 3\)"),
    ],
)
def test_settings_that_are_refused(scattered, settings, message):
    with pytest.raises(ParameterError, match=message):
        gaussmix.fit(scattered, 2, **settings)
    with pytest.raises(ParameterError, match=message):
        GaussianMixture(2, **settings).fit(scattered)


def test_a_start_with_noise_needs_a_fit_with_noise(scattered):
    mixture = gaussmix.fit(scattered, 2, noise=True, random_state=0).mixture
    with pytest.raises(ParameterError, match="set noise=True"):
        gaussmix.fit(scattered, 2, init_params=mixture)


def test_command(tmp_path, scattered):
    np.savetxt(tmp_path / "rows.csv", scattered, delimiter=",", header="a,b", comments="")
    command = Path(sys.executable).with_name("gaussmix")
    arguments = ["fit", "rows.csv", "--noise", "-k", "2", "--covariance", "VVV", "--no-picture", "--json"]
    subprocess.run([command, *arguments], cwd=tmp_path, check=True, capture_output=True, timeout=60)
    with open(tmp_path / "rows.classified.csv") as file:
        rows = list(csv.DictReader(file))
    assert sum(row["label"] == "-1" for row in rows) > 20
    assert gaussmix.load(tmp_path / "rows.gaussmix.json").has_noise
