"""Statistics: they add, they move, and an M-step's moments come out of them without cancellation."""

from __future__ import annotations

import dataclasses
import pickle
from fractions import Fraction
from functools import reduce

import numpy as np
import pytest

from gaussmix import reference
from gaussmix.statistics import Statistics

SHAPES = {"diagonal": lambda K, D: (K, D), "tied": lambda K, D: (1, D, D), "full": lambda K, D: (K, D, D)}


def responsibilities(rng, n_rows, K):
    return rng.dirichlet(np.ones(K + 1), size=n_rows)


def statistics_of(rows, gamma, origin, structure, weights=None):
    """Sums of given responsibilities (N, K + 1), the noise component last."""
    weights = np.ones(len(rows)) if weights is None else weights
    K = gamma.shape[1] - 1
    sums = reference.accumulate(rows, weights, gamma[:, :K], origin, SHAPES[structure](*origin.shape))
    return Statistics(
        origin, *sums, float(weights @ gamma[:, K]), float(weights.sum()), len(rows), -2.5 * len(rows)
    )


def assert_close(left, right, rtol):
    for field in dataclasses.fields(Statistics):
        mine, theirs = getattr(left, field.name), getattr(right, field.name)
        np.testing.assert_allclose(
            mine, theirs, rtol=rtol, atol=rtol * np.abs(theirs).max(), err_msg=field.name
        )


@pytest.mark.parametrize("structure", SHAPES)
def test_statistics_add(rng, structure):
    rows, gamma = rng.normal(size=(211, 3)), responsibilities(rng, 211, 4)
    weights, origin = rng.exponential(size=211), rng.normal(size=(4, 3))
    whole = statistics_of(rows, gamma, origin, structure, weights)
    assert whole.second.shape == SHAPES[structure](4, 3)
    for cuts in ([1], [100], [0, 211], [5, 6, 7, 90, 200]):
        parts = [
            statistics_of(r, g, origin, structure, w)
            for r, g, w in zip(
                np.split(rows, cuts), np.split(gamma, cuts), np.split(weights, cuts), strict=True
            )
        ]
        assert_close(reduce(Statistics.__add__, parts), whole, 1e-13)
        assert reduce(Statistics.__add__, reversed(parts)).rows == 211


def test_different_origins_do_not_add(rng):
    rows, gamma, origin = rng.normal(size=(9, 2)), responsibilities(rng, 9, 2), np.zeros((2, 2))
    one = statistics_of(rows, gamma, origin, "full")
    other = statistics_of(rows, gamma, origin + [[0.0, 1e-300], [0.0, 0.0]], "full")
    with pytest.raises(ValueError, match=r"different origins do not add; move one with \.recentred"):
        one + other
    assert (one + statistics_of(rows, gamma, origin.copy(), "full")).rows == 18
    assert (one + other.recentred(origin)).weight == 18


@pytest.mark.parametrize("structure", SHAPES)
def test_recentred(rng, structure):
    rows, gamma, origin = rng.normal(size=(80, 3)), responsibilities(rng, 80, 2), rng.normal(size=(2, 3))
    for shift in (0.0, 1.0, rng.normal(size=(2, 3)), 30.0):
        moved = statistics_of(rows, gamma, origin, structure).recentred(origin + shift)
        assert_close(moved, statistics_of(rows, gamma, origin + shift, structure), 1e-13)
        back = moved.recentred(origin)
        assert_close(back, statistics_of(rows, gamma, origin, structure), 1e-11)


@pytest.mark.parametrize("structure", SHAPES)
def test_scatter_by_definition(rng, structure):
    """Eqs. (7), (8) from the rows themselves, wherever the origin lies."""
    rows, gamma = rng.normal(size=(150, 3)) + 4, responsibilities(rng, 150, 2)
    mass = gamma[:, :2].sum(axis=0)
    means = gamma[:, :2].T @ rows / mass[:, None]
    residuals = rows[None] - means[:, None]
    expected = np.einsum("nk,kni,knj->kij", gamma[:, :2], residuals, residuals)
    if structure == "diagonal":
        expected = np.einsum("kii->ki", expected)
    elif structure == "tied":
        expected = expected.sum(axis=0, keepdims=True)
    for origin in (means, means + 0.1, np.zeros((2, 3)), means + [[3.0, 0.0, -2.0], [0.0, 1.0, 5.0]]):
        found, scatter = statistics_of(rows, gamma, origin, structure).scatter()
        np.testing.assert_allclose(found, means, rtol=1e-13)
        np.testing.assert_allclose(scatter, expected, rtol=1e-11, atol=1e-12 * np.abs(expected).max())


@pytest.mark.parametrize("structure", SHAPES)
def test_a_component_without_mass(structure):
    """It keeps its origin as mean and has no scatter; nothing is divided by zero."""
    gamma = np.tile([0.0, 1.0, 0.0], (5, 1))
    origin = np.array([[7.0, 8.0], [0.0, 0.0]])
    means, scatter = statistics_of(np.arange(10.0).reshape(5, 2), gamma, origin, structure).scatter()
    assert np.array_equal(means, [[7.0, 8.0], [4.0, 5.0]])
    if structure != "tied":
        assert not scatter[0].any()


def test_nothing_cancels_far_from_zero():
    """Rows at 1e9 with spread 1e-3, against exact rational arithmetic."""
    rng = np.random.default_rng(1)
    rows = 1e9 + 1e-3 * rng.normal(size=(50, 1))
    exact_rows = [Fraction(float(x)) for x in rows[:, 0]]
    mean = sum(exact_rows) / 50
    variance = sum((x - mean) ** 2 for x in exact_rows) / 50
    gamma = np.tile([1.0, 0.0], (50, 1))
    means, scatter = statistics_of(rows, gamma, rows[:1], "full").scatter()
    assert abs(Fraction(float(means[0, 0])) - mean) <= Fraction(2.0**-23)  # one unit in the last place of 1e9
    assert float(scatter[0, 0, 0] / 50) == pytest.approx(float(variance), rel=1e-13)


def test_frozen_and_picklable(rng):
    whole = statistics_of(rng.normal(size=(9, 2)), responsibilities(rng, 9, 2), np.zeros((2, 2)), "full")
    with pytest.raises(dataclasses.FrozenInstanceError):
        whole.rows = 3
    assert_close(pickle.loads(pickle.dumps(whole)), whole, 0)
