"""Where EM starts: variances of the data, seeds, and the first M-step from what a user gives."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from gaussmix import start
from gaussmix.errors import DataError, SingularError
from gaussmix.families import NAMES
from gaussmix.noise import with_noise
from gaussmix.priors import PseudoRows
from gaussmix.rows import ArraySource, Block


def prior_of(source, K=2, reg_covar=1e-6):
    return start.data_prior(source, K, reg_covar)


def three_blobs(rng, n_rows=300):
    labels = np.arange(n_rows) % 3
    return rng.normal(size=(n_rows, 2)) * 0.3 + np.array([[0.0, 0.0], [5.0, 0.0], [0.0, 5.0]])[labels], labels


# ---- the data's variances ----------------------------------------------------------------------------------


@pytest.mark.parametrize("offset", [0.0, 1e3, -1e9])
@pytest.mark.parametrize("scale", [1e-60, 1.0, 1e60])
def test_variances_of_the_data(rng, offset, scale):
    rows = (rng.normal(size=(3000, 3)) * [1.0, 1e-3, 1e3] + offset) * scale
    weights = rng.exponential(size=3000)
    prior = start.data_prior(ArraySource(rows, weights), 4, 1e-6)
    residuals = rows - np.median(rows, axis=0)
    expected = weights @ (residuals - weights @ residuals / weights.sum()) ** 2 / weights.sum()
    np.testing.assert_allclose(prior.variances, expected, rtol=1e-10)
    assert prior.count == pytest.approx(1e-6 * weights.sum() / 4)
    assert not prior.constant.any()


def test_features_without_spread():
    rows = np.column_stack([np.arange(9.0), np.full(9, 0.1), np.zeros(9), np.full(9, -1e20)])
    prior = prior_of(ArraySource(rows))
    assert list(prior.constant) == [False, True, True, True]
    np.testing.assert_allclose(prior.variances[1:], [(2.0**-52 * 0.1) ** 2, 1e-300, (2.0**-52 * 1e20) ** 2])


def test_rows_of_weight_zero_have_no_variance():
    rows = np.array([[1.0], [1.0], [1e100]])
    assert prior_of(ArraySource(rows, np.array([1.0, 1.0, 0.0]))).constant[0]


# ---- pseudo-rows -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(3, 2), (1, 2, 2), (3, 2, 2)])
def test_pseudo_rows_maximise_their_penalty(rng, shape):
    """The covariance that eq. (8) makes of pseudo-rows alone is where the penalty is highest."""
    prior = PseudoRows(0.7, np.array([2.0, 9.0]), np.zeros(2, dtype=bool))
    scatter, mass = prior.add_to(np.zeros(shape), np.zeros(3))
    moments = scatter if len(shape) == 2 else np.diagonal(scatter, axis1=1, axis2=2)
    total = mass if shape[0] == 3 else mass.sum()
    np.testing.assert_allclose(moments.T / total, np.tile([[2.0], [9.0]], shape[0]))
    best = np.ones(shape) if len(shape) == 2 else np.tile(np.eye(2), (shape[0], 1, 1))
    best = best / np.sqrt(prior.variances)

    def penalty(whitening):
        diagonal = whitening if whitening.ndim == 2 else np.diagonal(whitening, axis1=1, axis2=2)
        return prior.penalty(whitening, float(np.log(diagonal).sum()), 3)

    top = penalty(best)
    # At R: ln|R| + D, for each of three components.
    assert top == pytest.approx(-0.5 * 0.7 * 3 * (np.log(18.0) + 2))
    for _ in range(20):
        change = np.tril(rng.normal(size=shape)) if len(shape) == 3 else rng.normal(size=shape)
        assert penalty(best + 1e-3 * change) < top


def test_no_pseudo_rows():
    prior = PseudoRows(0.0, np.ones(2), np.zeros(2, dtype=bool))
    scatter, mass = np.ones((3, 2)), np.ones(3)
    assert prior.add_to(scatter, mass)[0] is scatter
    assert prior.penalty(np.ones((3, 2)), 0.0, 3) == 0.0


# ---- seeds -------------------------------------------------------------------------------------------------


def test_standardised_rows(rng):
    rows = rng.normal(size=(500, 3)) @ np.array([[1.0, 0.9, 0.0], [0.0, 0.1, 0.0], [0.0, 0.0, 1e5]]) + 1e6
    weights = rng.exponential(size=500)
    points = start.standardise(Block(rows, weights), prior_of(ArraySource(rows, weights)))
    np.testing.assert_allclose(weights @ points / weights.sum(), 0, atol=1e-9)
    np.testing.assert_allclose(weights @ points**2 / weights.sum(), 1, rtol=1e-9)


def test_seeds_are_distinct_points_of_positive_weight(rng):
    points = np.repeat(rng.normal(size=(6, 2)), 5, axis=0)
    weights = np.where(np.arange(30) % 5 == 2, 1.0, 0.0)
    for seed in range(50):
        seeds = start.kmeans_plus_plus(points, weights, 6, np.random.default_rng(seed))
        assert len({tuple(points[i]) for i in seeds}) == 6
        assert np.all(weights[seeds] > 0)


def test_seeds_when_points_repeat():
    """Fewer distinct points than seeds: the rest are any other rows."""
    points = np.repeat([[0.0], [1.0]], 4, axis=0)
    seeds = start.kmeans_plus_plus(points, np.ones(8), 5, np.random.default_rng(0))
    assert len(set(seeds.tolist())) == 5
    assert set(points[seeds, 0]) == {0.0, 1.0}


def test_seeds_are_spread_out(rng):
    """Far blobs get one seed each: 3 of 3 nearly always, where random rows would do so in 2 of 9 cases."""
    points, labels = three_blobs(rng)
    hits = [
        len(set(labels[start.kmeans_plus_plus(points, np.ones(300), 3, np.random.default_rng(seed))])) == 3
        for seed in range(100)
    ]
    assert sum(hits) >= 97


def test_first_seed_by_weight():
    points, weights = np.arange(4.0)[:, None], np.array([1.0, 0.0, 2.0, 5.0])
    rng = np.random.default_rng(1)
    firsts = [start.kmeans_plus_plus(points, weights, 1, rng)[0] for _ in range(4000)]
    shares = np.bincount(firsts, minlength=4) / 4000
    # Five standard errors of a share are at most 0.04.
    np.testing.assert_allclose(shares, weights / 8, atol=0.04)
    assert shares[1] == 0


def test_lloyd_takes_the_steps_of_k_means(rng):
    points, weights = rng.normal(size=(200, 2)), rng.exponential(size=200)
    for seed in range(20):
        centres = points[np.random.default_rng(seed).choice(200, 5, replace=False)]
        found = start.lloyd(points, weights, centres)
        for _ in range(start.LLOYD_STEPS):
            labels = start.nearest_labels(points, centres)
            centres = np.stack(
                [np.average(points[labels == k], axis=0, weights=weights[labels == k]) for k in range(5)]
            )
        assert np.array_equal(found, start.nearest_labels(points, centres))


def test_lloyd_empties_no_cluster(rng):
    """A centre that no point is nearest to at the start: there are no labels; later: those of the step before."""
    points = np.array([[-1.0], [0.9], [1.1], [5.0]])
    assert start.lloyd(points, np.ones(4), np.array([[0.0], [100.0]])) is None
    for seed in range(20):
        points = np.random.default_rng(seed).normal(size=(40, 3))
        labels = start.lloyd(points, np.ones(40), points[:12])
        assert set(labels) == set(range(12))


@pytest.mark.parametrize("strategy", ["kmeans", "k-means++", "random_from_data"])
def test_every_component_has_rows(strategy, rng):
    points = np.vstack([np.zeros((50, 2)), rng.normal(size=(3, 2)) + 100])
    for seed in range(20):
        labels = start.seed_labels(strategy, points, np.ones(53), 5, np.random.default_rng(seed))
        assert set(labels) == set(range(5))


def test_kmeans_finds_clear_clusters(rng):
    points, labels = three_blobs(rng)
    found = start.seed_labels("kmeans", points, np.ones(300), 3, np.random.default_rng(0))
    assert any(np.array_equal(np.array(order)[labels], found) for order in permutations(range(3)))


# ---- the first mixture -------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", start.STRATEGIES)
@pytest.mark.parametrize("name", NAMES)
def test_first_mixtures_are_sound(strategy, name, two_clusters):
    """Also from as many components as rows, where every seed is a single row."""
    for rows, K in ((two_clusters, 4), (two_clusters[:6], 6), (two_clusters[:1], 1)):
        source = ArraySource(rows)
        prior = prior_of(source, K)
        blank = start.blank_mixture(K, name, prior)
        assert np.array_equal(blank.weights, np.full(K, 1 / K))
        first = start.seeded(source, strategy, blank, prior, np.random.default_rng(0), False)
        assert first.family.name == name
        assert first.weights.sum() == pytest.approx(1)
        assert np.all(first.weights > 0)
        assert np.isfinite(first.log_likelihood(rows))


def test_fewer_rows_than_components():
    source = ArraySource(np.zeros((2, 1)))
    prior = prior_of(source, 3)
    blank = start.blank_mixture(3, "VVV", prior)
    with pytest.raises(DataError, match="n_components=3 needs at least as many rows, got 2"):
        start.seeded(source, "kmeans", blank, prior, np.random.default_rng(0), False)


@pytest.mark.parametrize("strategy", ["kmeans", "k-means++", "random_from_data"])
def test_seeds_do_not_depend_on_units(strategy, two_clusters):
    """Each feature in units of its own spread: in other units the same seeds, and the same first mixture."""
    scale, shift = np.array([1e4, 1e-6, 3.0]), np.array([0.0, 1e-3, -7.0])

    def first(rows):
        source = ArraySource(rows)
        prior = prior_of(source, 3)
        blank = start.blank_mixture(3, "VVV", prior)
        return start.seeded(source, strategy, blank, prior, np.random.default_rng(3), False)

    plain, scaled = first(two_clusters), first(two_clusters * scale + shift)
    np.testing.assert_allclose((scaled.means - shift) / scale, plain.means, rtol=1e-9)
    np.testing.assert_allclose(
        scaled.covariances / np.outer(scale, scale), plain.covariances, rtol=1e-8, atol=1e-9
    )


def test_given_responsibilities(two_clusters):
    """One M-step by hand, eqs. (7), (8), (11), prior and row weights included."""
    rng = np.random.default_rng(0)
    gamma, weights = rng.dirichlet([1, 1], size=400), rng.exponential(size=400)
    source = ArraySource(two_clusters, weights)
    prior = prior_of(source, 2, 1e-2)
    first = start.from_responsibilities(source, gamma, start.blank_mixture(2, "VVV", prior), prior, False)
    mass = weights @ gamma
    means = (gamma * weights[:, None]).T @ two_clusters / mass[:, None]
    np.testing.assert_allclose(first.weights, mass / mass.sum(), rtol=1e-13)
    np.testing.assert_allclose(first.means, means, rtol=1e-12)
    for k in range(2):
        residuals = two_clusters - means[k]
        scatter = (residuals * (gamma[:, k] * weights)[:, None]).T @ residuals
        expected = (scatter + prior.count * np.diag(prior.variances)) / (mass[k] + prior.count)
        np.testing.assert_allclose(first.covariances[k], expected, rtol=1e-11, atol=1e-13)
    equal = start.from_responsibilities(source, gamma, start.blank_mixture(2, "VVV", prior), prior, True)
    assert np.array_equal(equal.weights, [0.5, 0.5])
    assert np.array_equal(equal.means, first.means)


def test_from_means(rng):
    rows, labels = three_blobs(rng)
    source = ArraySource(rows * [1.0, 1e6])
    prior = prior_of(source, 3)
    means = np.array([[0.5, 0.0], [4.0, 1e6], [0.5, 4e6]])
    first = start.from_means(source, means, start.blank_mixture(3, "VVV", prior), prior, False)
    expected = [source.rows[labels == k].mean(axis=0) for k in range(3)]
    np.testing.assert_allclose(first.means, expected, rtol=1e-9, atol=1e-9)


def test_a_singular_start_is_refused_without_regularisation():
    source = ArraySource(np.repeat([[0.0, 0.0], [1.0, 1.0]], 5, axis=0))
    prior = prior_of(source, 2, 0.0)
    with pytest.raises(SingularError, match=r"the start is singular .* reg_covar=0 leaves it so"):
        start.from_responsibilities(
            source, np.eye(2)[np.arange(10) // 5], start.blank_mixture(2, "VVV", prior), prior, False
        )


@pytest.mark.parametrize("name", ["VVV", "EEE", "VVI", "VII"])
@pytest.mark.parametrize("noise", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_classes_are_responsibilities_of_zero_and_one(rng, name, noise, weighted):
    """The statistics of labels are those of the same responsibilities, noise and an empty class included."""
    rows, labels = 1e3 + rng.normal(size=(60, 3)), rng.integers(-1 if noise else 0, 3, size=60)
    weights = rng.random(60) if weighted else None
    prior = start.data_prior(ArraySource(rows, weights), 4, 1e-6)
    blank = start.blank_mixture(
        4, name, prior, **({"noise_weight": 0.1, "noise_density": 1e-3} if noise else {})
    )
    gamma = np.eye(4)[np.maximum(labels, 0)]
    if noise:
        gamma = with_noise(gamma, labels < 0)
    found = start._classes(Block(rows, weights), labels, blank)
    expected = start._statistics([(Block(rows, weights), gamma)], blank)
    assert found.weight == pytest.approx(expected.weight)
    assert found.noise_mass == pytest.approx(expected.noise_mass)
    np.testing.assert_allclose(found.mass, expected.mass, atol=1e-12)
    np.testing.assert_allclose(found.scatter()[0][:3], expected.scatter()[0][:3], rtol=1e-12)
    np.testing.assert_allclose(found.scatter()[1], expected.scatter()[1], rtol=1e-9, atol=1e-9)
