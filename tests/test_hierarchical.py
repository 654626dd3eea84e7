"""Hierarchical classes: mclust's, and what holds for any rows."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from gaussmix import hierarchical


@pytest.mark.parametrize("name", ["iris", "trees", "ex4_1"])
def test_classes_are_those_of_mclust(reference_data, name):
    table = reference_data("bic.json.gz")["tables"][name]
    tree = hierarchical.tree(hierarchical.components(np.array(table["rows"])))
    for k, classes in table["classes"].items():
        assert adjusted_rand_score(tree.labels(int(k)), classes) == 1.0


def directly(points, weights, n_clusters):
    """The same clustering, its costs from the definition, every pair at every step."""
    n_features = points.shape[1]
    middle = weights @ points / weights.sum()
    offset = weights @ ((points - middle) ** 2).sum(axis=1) / (weights.sum() * n_features)
    groups = [[i] for i in range(len(points))]

    def cost(group):
        mass = weights[group].sum()
        centred = points[group] - weights[group] @ points[group] / mass
        scatter = (weights[group, None] * centred).T @ centred
        determinant = max(np.linalg.det(scatter / mass), 0.0) if mass > n_features else 0.0
        return mass * np.log(determinant + (np.trace(scatter) + offset) / mass)

    while len(groups) > n_clusters:
        pairs = [(i, j) for j in range(len(groups)) for i in range(j)]
        rises = [cost(groups[i] + groups[j]) - cost(groups[i]) - cost(groups[j]) for i, j in pairs]
        i, j = pairs[int(np.argmin(rises))]
        groups[i] += groups.pop(j)
    labels = np.empty(len(points), dtype=int)
    for k, group in enumerate(groups):
        labels[group] = k
    return labels


@pytest.mark.parametrize("n_features", [1, 2, 3])
def test_each_merge_is_the_cheapest(rng, n_features):
    points = rng.standard_normal((24, n_features)) * np.arange(1, n_features + 1)
    weights = rng.integers(1, 4, 24).astype(float)
    tree = hierarchical.tree(points, weights)
    for k in (2, 4, 9, 17):
        assert adjusted_rand_score(tree.labels(k), directly(points, weights, k)) == 1.0


def test_a_weight_of_two_is_two_rows(rng):
    points = rng.standard_normal((40, 2))
    weights = rng.integers(1, 4, 40)
    repeated = np.repeat(np.arange(40), weights)
    tree, long = hierarchical.tree(points, weights.astype(float)), hierarchical.tree(points[repeated])
    assert tree.most == long.most == 40
    for k in (2, 5, 20):
        assert adjusted_rand_score(tree.labels(k)[repeated], long.labels(k)) == 1.0


def test_labels_count_up_and_nest(rng):
    tree = hierarchical.tree(rng.standard_normal((50, 3)))
    coarse = tree.labels(3)
    for k in range(3, 50):
        labels = tree.labels(k)
        assert sorted(set(labels)) == list(range(k))
        assert labels[0] == 0
        assert all(len(set(coarse[labels == j])) == 1 for j in range(k))


def test_order_does_not_matter(rng):
    points, order = rng.standard_normal((60, 2)), rng.permutation(60)
    one, other = hierarchical.tree(points), hierarchical.tree(points[order])
    assert adjusted_rand_score(one.labels(5)[order], other.labels(5)) == 1.0


def test_components_have_their_singular_values_as_squares(rng):
    rows = rng.standard_normal((30, 3)) @ rng.standard_normal((3, 3)) + 7.0
    components = hierarchical.components(rows)
    standardised = (rows - rows.mean(axis=0)) / rows.std(axis=0, ddof=1)
    np.testing.assert_allclose((components**2).sum(axis=0), np.linalg.svd(standardised)[1])
    np.testing.assert_allclose(np.abs(np.corrcoef(components.T) - np.eye(3)), 0, atol=1e-12)


def test_features_without_spread_are_left_out(rng):
    rows = np.column_stack([rng.standard_normal(20), np.full(20, 3.0), rng.standard_normal(20)])
    assert hierarchical.components(rows).shape == (20, 2)
