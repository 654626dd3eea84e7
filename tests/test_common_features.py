"""Features in which all components agree do not hide the others."""

from __future__ import annotations

import numpy as np
import pytest

import gaussmix
from gaussmix import Mixture
from gaussmix.common_features import agreeing

pytestmark = pytest.mark.filterwarnings("ignore:feature .* no spread")


@pytest.fixture
def rows(rng):
    """Two clusters in the first feature, one value in the third."""
    apart = np.repeat([[0.0], [10.0]], 100, axis=0)
    return np.hstack([rng.normal(size=(200, 1)) + apart, rng.normal(size=(200, 1)), np.zeros((200, 1))])


@pytest.mark.parametrize("value", [0.0, 1.0, -7.3])
@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag"])
def test_rows_with_another_value_keep_their_component(rows, covariance_type, value):
    rows = rows + [0, 0, value]
    model = gaussmix.GaussianMixture(2, covariance_type=covariance_type, random_state=0).fit(rows)
    other = rows + [0, 0, 1]
    assert (model.predict(other) == model.predict(rows)).all()
    np.testing.assert_array_equal(model.predict_proba(other), model.predict_proba(rows))
    far = model.predict_proba(rows + [0, 0, 1e149])
    np.testing.assert_array_equal(far, model.predict_proba(rows))
    assert (model.score_samples(other) < -1e20).all()


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag"])
def test_densities_are_those_of_all_features(rng, covariance_type):
    means = np.array([[0.0, 5.0, 1.0], [3.0, 5.0, -1.0]])
    matrix = np.array([[2.0, 0, 0.5], [0, 0.3, 0], [0.5, 0, 1.0]])
    covariances = {
        "full": [matrix, matrix + np.diag([1, 0, 0])],
        "tied": matrix,
        "diag": [[2, 0.3, 1], [1, 0.3, 2]],
    }
    mixture = Mixture(
        weights=[0.3, 0.7],
        means=means,
        covariances=covariances[covariance_type],
        covariance_type=covariance_type,
    )
    assert agreeing(mixture.means, mixture.whitening).tolist() == [False, True, False]
    points = rng.normal(size=(50, 3)) * 3 + [1, 5, 0]
    kept = mixture.marginal([0, 2]).log_density(points[:, [0, 2]])
    own = -0.5 * (np.log(2 * np.pi * 0.3) + (points[:, 1] - 5) ** 2 / 0.3)
    np.testing.assert_allclose(mixture.log_density(points), kept + own, rtol=1e-12)
    np.testing.assert_allclose(mixture.log_density(points.astype(np.float32)), kept + own, rtol=1e-4)


def test_what_is_not_common():
    matrices = np.array([np.eye(3), np.eye(3)])
    means = np.array([[0.0, 1.0, 2.0], [0.0, 1.0, 3.0]])
    assert agreeing(means, matrices).tolist() == [True, True, False]
    matrices[1, 1, 0] = 0.1  # related in one of the components
    assert agreeing(means, matrices).tolist() == [False, False, False]
    variances = np.array([[1.0, 1, 1], [1, 2, 1]])
    assert agreeing(means, variances).tolist() == [True, False, False]


def test_components_that_agree_in_all_features_and_noise(rng):
    """Where nothing tells them apart weights do; noise has a density in all features."""
    same = {"means": [[0.0], [0.0]], "covariances": [[1.0], [1.0]], "covariance_type": "diag"}
    mixture = Mixture(weights=[0.25, 0.75], **same)
    np.testing.assert_allclose(mixture.responsibilities([[3.0]]), [[0.25, 0.75]])
    noisy = {"means": [[0.0, 0], [4.0, 0]], "covariances": np.ones((2, 2)), "covariance_type": "diag"}
    mixture = Mixture(weights=[0.4, 0.4], noise_weight=0.2, noise_density=0.01, **noisy)
    assert mixture.classify([[0.0, 0], [4, 0], [0, 9]]).tolist() == [0, 1, -1]
