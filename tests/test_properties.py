"""What holds for any rows and any mixture: properties, with examples found by Hypothesis."""

from __future__ import annotations

import warnings
from functools import reduce

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import gaussmix
from gaussmix import Mixture, kernel, reference
from gaussmix.families import NAMES
from gaussmix.statistics import Statistics

STRUCTURES = ("full", "tied", "diag", "spherical")
seeds = st.integers(0, 2**32 - 1)


@st.composite
def mixtures(draw, max_components=6, max_features=9):
    """Any storage, size, and scales of means and covariances over eight orders of magnitude; some with noise."""
    rng = np.random.default_rng(draw(seeds))
    K, D = draw(st.integers(1, max_components)), draw(st.integers(1, max_features))
    name = draw(st.sampled_from(STRUCTURES))
    unit = 10.0 ** draw(st.integers(-4, 4))
    spread = np.exp(rng.normal(size=(K, D)) * draw(st.sampled_from([0.0, 1.0, 3.0])))
    roots = np.linalg.qr(rng.normal(size=(K, D, D)))[0] * spread[:, None]
    matrices = roots @ roots.transpose(0, 2, 1) * unit**2
    matrices = (matrices + matrices.transpose(0, 2, 1)) / 2
    covariances = {
        "full": matrices,
        "tied": matrices[0],
        "diag": (spread * unit) ** 2,
        "spherical": (spread[:, 0] * unit) ** 2,
    }[name]
    noise = draw(st.sampled_from([0.0, 0.2]))
    return Mixture(
        weights=rng.dirichlet(np.ones(K)) * (1 - noise),
        means=rng.normal(size=(K, D)) * unit * draw(st.sampled_from([0.0, 1.0, 30.0])),
        covariances=covariances,
        covariance_type=name,
        noise_weight=noise,
        noise_density=unit**-D / 100 if noise else 0.0,
    )


def rows_near(mixture, n_rows, seed):
    """Rows that the components explain, and some far away."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(mixture.n_components, size=n_rows)
    scale = np.sqrt(np.einsum("kii->ki", mixture.full_covariances))[labels]
    return mixture.means[labels] + scale * rng.standard_t(2, size=(n_rows, mixture.n_features))


@given(mixtures(), seeds, st.sampled_from([np.float32, np.float64]))
def test_responsibilities_are_probabilities(mixture, seed, dtype):
    rows = rows_near(mixture, 40, seed).astype(dtype)
    gamma = mixture.responsibilities(rows)
    assert gamma.shape == (40, mixture.n_components + mixture.has_noise)
    assert np.all((gamma >= 0) & (gamma <= 1 + 1e-6))
    np.testing.assert_allclose(gamma.sum(axis=1), 1, atol=1e-14 * 10 if dtype is np.float64 else 1e-5)
    assert np.all(np.isfinite(mixture.log_density(rows)))
    labels = mixture.classify(rows)
    labels[labels == -1] = mixture.n_components
    assert np.array_equal(gamma[np.arange(40), labels], gamma.max(axis=1))


@given(mixtures(), seeds, st.booleans())
def test_kernel_is_the_oracle(mixture, seed, weighted):
    rows = rows_near(mixture, 60, seed)
    weights = np.random.default_rng(seed).exponential(size=60) if weighted else None
    arguments = mixture.prepared.log_weights, mixture.means, mixture.whitening, mixture._log_noise
    ours, theirs = kernel.fold(rows, weights, *arguments), reference.fold(rows, weights, *arguments)
    density = reference.evaluate(rows, *arguments)[0]
    # What a difference of log densities loses, relative to the whole of each sum.
    tolerance = 1e-13 * max(10.0, np.abs(density).max())
    for mine, other in zip(ours, theirs, strict=True):
        # The fold may count responsibilities below e^-690 as zero.
        np.testing.assert_allclose(mine, other, rtol=0, atol=tolerance * np.abs(other).max() + 1e-280)


@given(mixtures(), seeds, st.lists(st.integers(0, 300), max_size=5), st.booleans())
def test_statistics_add_over_any_split(mixture, seed, cuts, weighted):
    """Of the sums of magnitudes, whatever the blocks: that is why a pass may be cut anywhere."""
    rows = rows_near(mixture, 300, seed)
    weights = np.random.default_rng(seed).exponential(size=300) if weighted else np.ones(300)
    whole = mixture.fold(rows, weights)
    blocks = zip(np.split(rows, sorted(cuts)), np.split(weights, sorted(cuts)), strict=True)
    parts = reduce(Statistics.__add__, [mixture.fold(*block) for block in blocks])
    assert (parts.rows, whole.rows) == (300, 300)
    for name in ("mass", "first", "second", "noise_mass", "weight", "log_likelihood"):
        ours, theirs = getattr(parts, name), np.asarray(getattr(whole, name))
        scale = np.abs(theirs).max() if name != "first" else scale_of_first(mixture, rows, weights)
        scale = max(scale, 300.0) if name == "log_likelihood" else scale
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12 * max(scale, 1e-300), err_msg=name)


def scale_of_first(mixture, rows, weights):
    gamma = mixture.responsibilities(rows)[:, : mixture.n_components] * weights[:, None]
    return max(np.abs(gamma[:, k] @ np.abs(rows - mean)).max() for k, mean in enumerate(mixture.means))


@given(mixtures(), seeds, st.floats(-20, 20))
def test_recentred_is_consistent(mixture, seed, shift):
    """Means and scatter do not depend on the origin, up to the cancellation that a far one brings."""
    rows = rows_near(mixture, 50, seed)
    statistics = mixture.fold(rows)
    assume(np.all(statistics.mass > 1e-3))
    unit = np.sqrt(np.abs(statistics.second).max() / statistics.mass.min())
    moved = statistics.recentred(mixture.means + shift * unit)
    for ours, theirs, power in zip(moved.scatter(), statistics.scatter(), (1, 2), strict=True):
        weight = 1.0 if power == 1 else statistics.mass.sum()
        atol = 1e-11 * weight * (unit * (1 + abs(shift))) ** power + 1e-14 * np.abs(mixture.means).max()
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=atol)


# ---- weights of rows ---------------------------------------------------------------------------------------


def clusters(seed, n_rows=60, D=2, K=2):
    """Rows and responsibilities that know the clusters: from a saddle, rounding alone would choose the way."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(K, size=n_rows)
    rows = rng.normal(size=(n_rows, D)) + 4.0 * labels[:, None]
    return rows, 0.7 * np.eye(K)[labels] + 0.3 * rng.dirichlet(np.ones(K), size=n_rows)


def fitted(rows, gamma, name, **settings):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of convergence: few iterations are wanted here
        return gaussmix.fit(
            rows, gamma.shape[1], covariance_type=name, init_params=gamma, tol=0.0, **settings
        )


def assert_same_mixture(left, right):
    """To 1e-9; where one orientation is common to all and the likelihood flat about it, to 1e-6."""
    tolerance = 1e-6 if left.family.name in ("EVE", "VVE") else 1e-9
    for name in ("weights", "means", "covariances"):
        ours, theirs = getattr(left, name), getattr(right, name)
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * np.abs(theirs).max(), err_msg=name)


@given(seeds, st.sampled_from(NAMES), st.integers(0, 3), st.integers(2, 4))
def test_a_weight_is_a_number_of_rows(seed, name, max_iter, most):
    rows, gamma = clusters(seed)
    times = np.random.default_rng(seed).integers(0, most, size=len(rows))
    weighted = fitted(rows, gamma, name, sample_weight=times, max_iter=max_iter)
    repeated = fitted(
        np.repeat(rows, times, axis=0), np.repeat(gamma, times, axis=0), name, max_iter=max_iter
    )
    assert weighted.weight == repeated.weight == times.sum()
    assert weighted.bic == pytest.approx(repeated.bic, rel=1e-9)
    assert weighted.n_iter == repeated.n_iter
    assert weighted.log_likelihood == pytest.approx(repeated.log_likelihood, rel=1e-9)
    assert_same_mixture(weighted.mixture, repeated.mixture)


@given(seeds, st.sampled_from(NAMES), st.floats(-100, 100))
def test_a_common_factor_of_the_weights_changes_nothing(seed, name, exponent):
    rows, gamma = clusters(seed)
    weights = np.random.default_rng(seed).exponential(size=len(rows))
    factor = 10.0**exponent
    plain = fitted(rows, gamma, name, sample_weight=weights, max_iter=3)
    scaled = fitted(rows, gamma, name, sample_weight=weights * factor, max_iter=3)
    assert scaled.log_likelihood / factor == pytest.approx(plain.log_likelihood, rel=1e-9)
    assert_same_mixture(scaled.mixture, plain.mixture)


@given(seeds, st.sampled_from(NAMES))
def test_the_order_of_rows_and_components_changes_nothing(seed, name):
    rows, gamma = clusters(seed, K=3)
    rng = np.random.default_rng(seed)
    by_row, by_component = rng.permutation(len(rows)), rng.permutation(3)
    plain = fitted(rows, gamma, name, max_iter=3)
    shuffled = fitted(rows[by_row], gamma[by_row][:, by_component], name, max_iter=3)
    assert shuffled.log_likelihood == pytest.approx(plain.log_likelihood, rel=1e-8)
    np.testing.assert_allclose(shuffled.mixture.weights, plain.mixture.weights[by_component], atol=1e-7)
    np.testing.assert_allclose(shuffled.mixture.means, plain.mixture.means[by_component], atol=1e-6)
    expected = plain.mixture.full_covariances[by_component]
    np.testing.assert_allclose(
        shuffled.mixture.full_covariances, expected, atol=1e-6 * np.abs(expected).max()
    )
