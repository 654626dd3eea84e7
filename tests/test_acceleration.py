"""Longer steps: several of EM's at once, in coordinates in which statistics are compared."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gaussmix import acceleration, em, kernel, start
from gaussmix.acceleration import MEMORY, REACH, STRIDE, ahead, extrapolated
from gaussmix.mixture import Mixture
from gaussmix.rows import ArraySource
from gaussmix.statistics import Statistics

FAMILIES = ("VVV", "EEE", "VVI", "VII")


def passes_of(rng, name, count=4):
    """(u, g) of passes of plain EM, the last at the mixture that is returned too."""
    rows = rng.normal(size=(300, 3)) * [1.0, 5.0, 0.2] + rng.integers(3, size=(300, 1)) * [2.0, 0, 0.1]
    source = ArraySource(rows)
    prior = start.data_prior(source, 4, 1e-6)
    blank = start.blank_mixture(4, name, prior)
    first = start.seeded(source, "k-means++", blank, prior, rng, False)
    plan = em.Plan(prior, 0.0, count + 1, accelerated=False)
    states = [s.runs[0] for s in em.passes(source, em.State((em.Run(first),), plan))]
    return [(run.made_of, run.folded) for run in states[1 : count + 1]], states[count].mixture


@pytest.mark.parametrize("name", FAMILIES)
def test_coordinates(rng, name):
    """The packed sums about the means; behind them what has the identity as its complete-data information."""
    ((used, _), (_, folded)), mixture = passes_of(rng, name, 2)
    mass, roots = folded.mass, mixture.whitening
    vectors, size, squared = kernel.coordinates([used, folded], mixture.means, roots, mass)
    assert squared == pytest.approx(np.sum((vectors[1, size:] - vectors[0, size:]) ** 2))
    for each, vector in zip((used, folded), vectors, strict=True):
        moved = each.recentred(mixture.means)
        packed = np.concatenate([[each.noise_mass], moved.mass, moved.first.ravel(), moved.second.ravel()])
        np.testing.assert_allclose(vector[:size], packed, rtol=1e-12, atol=1e-12 * np.abs(packed).max())
        root = np.sqrt(mass)
        whitening = roots[:, :, None] * np.eye(3) if roots.ndim == 2 else roots
        second = moved.second[:, :, None] * np.eye(3) if roots.ndim == 2 else moved.second
        first = (whitening @ moved.first[:, :, None])[:, :, 0]
        whole = np.trace(whitening @ second @ whitening.transpose(0, 2, 1), axis1=1, axis2=2)
        own, total = (x.sum(keepdims=True) if len(whole) == 1 else x for x in (moved.mass, mass))
        parts = [[each.noise_mass / math.sqrt(mass.sum())], moved.mass / root, first / root[:, None]]
        parts.append((whole - 3 * own) / np.sqrt(6 * total))
        white = np.concatenate([np.ravel(part) for part in parts])
        np.testing.assert_allclose(vector[size:], white, rtol=1e-11, atol=1e-11 * np.abs(white).max())
        if moved.second.ndim == 3:
            second = vector[size - moved.second.size : size].reshape(moved.second.shape)
            assert np.array_equal(second, np.swapaxes(second, 1, 2))


def test_coordinates_see_the_information(rng):
    """Their covariance over rows of one component is the identity, that of the complete data."""
    covariance = np.diag([1.0, 9.0, 0.04]) + 0.1
    mixture = Mixture(weights=[1.0], means=[[1.0, 2, 3]], covariances=[covariance], covariance_type="VVV")
    rows = mixture.means + rng.normal(size=(20_000, 3)) @ np.linalg.cholesky(covariance).T
    several = [mixture.fold(row[None]) for row in rows]
    vectors, size, _ = kernel.coordinates(several, mixture.means, mixture.whitening, np.ones(1))
    np.testing.assert_allclose(np.cov(vectors[:, size + 2 :].T), np.eye(4), atol=0.1)


def path(f, steps, changes, mass=1e9):
    """(u, g), (u, g), … of one component, in which f, the last steps s and the changes of g are these."""
    u = np.cumsum([np.zeros_like(f), *steps[::-1]], axis=0)
    g = np.cumsum([np.zeros_like(f), *changes[::-1]], axis=0)
    g += u[-1] + f - g[-1]
    vectors = np.stack([u, g], axis=1).reshape(-1, len(f))
    return np.concatenate([np.full((len(vectors), 2), [0.0, mass]), vectors, vectors], axis=1)


def one_component(n_features):
    """Statistics of this shape, with variances."""
    zeros = np.zeros((1, n_features))
    return Statistics(zeros, np.ones(1), zeros, zeros, 0.0, 1.0, 1, 0.0)


def step_along(f, steps, changes, ahead=3.0):
    """p = u' − u of the statistics that the kernel proposes; None where it proposes none."""
    found = kernel.proposed(path(f, steps, changes), one_component(len(f) // 2), ahead)
    return None if found is None else np.concatenate([found.first[0], found.second[0]]) - sum(steps)


def linear(rng, n=6):
    """EM's map J, symmetric, with eigenvalues from 0 to more than 1, steps S, what they tell, S J, and f."""
    turn, _ = np.linalg.qr(rng.normal(size=(n, n)))
    rates = turn @ np.diag(np.linspace(0, 1.1, n)) @ turn.T
    steps = rng.normal(size=(3, n))
    return rates, steps, steps @ rates, rng.normal(size=n)


@pytest.mark.parametrize("whole", [1, 4, 16])
def test_so_many_steps_of_em_at_once(rng, whole):
    """f + J f + … + J^τ f, with J as the steps tell it along them and 0 across them; between two τ a part of both."""
    _, s, changes, f = linear(rng)
    told = np.linalg.pinv(s) @ changes
    sums = np.cumsum([np.linalg.matrix_power(told.T, t) @ f for t in range(whole + 2)], axis=0)
    for tau in (whole, whole + 0.25):
        expected = sums[whole] + (tau - whole) * (sums[whole + 1] - sums[whole])
        np.testing.assert_allclose(step_along(f, s, changes, tau), expected, rtol=1e-9)


def test_all_of_em_where_its_map_is_linear(rng):
    """Steps that span all directions know J: what is proposed is where EM gets to, beside a saddle too."""
    rates, *_ = linear(rng)
    steps, f = rng.normal(size=(6, 6)), rng.normal(size=6)
    u = f
    for _ in range(9):
        u = f + rates @ u
    np.testing.assert_allclose(step_along(f, steps, steps @ rates, 9), u, rtol=1e-6)


def test_strides_are_short_where_the_path_is_fast_and_bounded_where_it_rests():
    for part in (0.1, 0.5, 0.9):  # of a stride is EM's own step, and (1 + τ) of it are the whole
        assert (1 + ahead(part * STRIDE, STRIDE)) * part == pytest.approx(1)
    assert ahead(1.01 * STRIDE, STRIDE) == 0
    assert ahead(math.nan, STRIDE) == 0
    assert ahead(0.0, STRIDE) == REACH


def test_steps_that_tell_nothing_new_are_left_out(rng):
    _, s, changes, f = linear(rng)
    s[2] = s[0] - 2 * s[1]
    np.testing.assert_allclose(step_along(f, s, changes), step_along(f, s[:2], changes[:2]), atol=1e-12)
    for nothing in (np.zeros(6), np.full(6, np.nan)):
        s[0] = nothing
        assert step_along(f, s, changes) is None


def test_no_component_is_emptied(rng):
    _, s, changes, f = linear(rng)
    for left, accepted in ((0.05, False), (0.15, True), (-1.0, False), (np.nan, False)):
        vectors = path(f, s[:1], changes[:1], mass=1.0)
        vectors[-1, 1] = left  # the last pass gives the component so much of its mass, as the pass before did
        vectors[-3, 1] = left
        assert (kernel.proposed(vectors, one_component(3), 3.0) is not None) == accepted


@pytest.mark.parametrize("name", FAMILIES)
def test_no_step_without_curvature(rng, name):
    (_, last), mixture = passes_of(rng, name, 2)
    assert extrapolated([last, last], mixture, 1.0) is None


@pytest.mark.parametrize("name", FAMILIES)
def test_short_strides_are_plain_em(rng, monkeypatch, name):
    passes, mixture = passes_of(rng, name)
    assert extrapolated(passes, mixture, 1e-12) is None
    monkeypatch.setattr(acceleration, "ahead", lambda length, stride: 1e-12)
    found, (_, expected) = extrapolated(passes, mixture, STRIDE), passes[-1]
    for field in ("origin", "mass", "first", "second", "noise_mass"):
        ours, theirs = getattr(found, field), getattr(expected, field)
        np.testing.assert_allclose(ours, theirs, atol=1e-8 * max(1, np.abs(theirs).max()))


@pytest.mark.parametrize("name", FAMILIES)
def test_what_is_proposed_accounts_for_every_row(rng, name):
    passes, mixture = passes_of(rng, name)
    found, (_, folded) = extrapolated(passes, mixture, 0.4), passes[-1]
    assert found.mass.sum() + found.noise_mass == pytest.approx(300, rel=1e-12)
    assert found.origin is folded.origin
    assert (found.weight, found.rows) == (300.0, 300)
    assert not np.allclose(found.mass, folded.mass)


def test_a_run_remembers_so_many_passes_and_plain_em_none(rng):
    source = ArraySource(rng.normal(size=(200, 2)))
    prior = start.data_prior(source, 3, 1e-6)
    first = start.seeded(source, "k-means++", start.blank_mixture(3, "VVV", prior), prior, rng, False)
    for accelerated, most in ((True, MEMORY), (False, 0)):
        state = em.State((em.Run(first),), em.Plan(prior, 0.0, 10, accelerated=accelerated))
        lengths = [len(after.runs[0].earlier) for after in em.passes(source, state)]
        assert (lengths[:2], max(lengths), lengths[-1]) == ([0, 0], most, most)


def test_large_statistics_are_remembered_for_fewer_steps():
    def of(K, D):
        sums = np.zeros((K, D)), np.zeros(K), np.zeros((K, D)), np.zeros((K, D, D))
        return Statistics(*sums, 0.0, 1.0, 1, 0.0)

    assert acceleration.memory(of(256, 8)) == acceleration.MEMORY
    assert acceleration.memory(of(30, 100)) == 2
    assert acceleration.memory(of(200, 100)) == 1
