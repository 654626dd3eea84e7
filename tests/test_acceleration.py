"""Longer steps: implicit Euler along EM's path, in coordinates in which statistics are compared."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gaussmix import acceleration, em, kernel, start
from gaussmix.acceleration import STRIDE, extrapolated, implicit_step
from gaussmix.rows import ArraySource

FAMILIES = ("VVV", "EEE", "VVI", "VII")


def two_passes(rng, name, equal_weights=False):
    """(u, g) of two passes of plain EM, the last at the mixture that is returned too."""
    rows = rng.normal(size=(300, 3)) * [1.0, 5.0, 0.2] + rng.integers(3, size=(300, 1)) * [2.0, 0, 0.1]
    source = ArraySource(rows)
    prior = start.data_prior(source, 4, 1e-6)
    blank = start.blank_mixture(4, name, prior)
    first = start.seeded(source, "k-means++", blank, prior, rng, False)
    plan = em.Plan(prior, 0.0, 3, equal_weights, accelerated=False)
    states = [s.runs[0] for s in em.passes(source, em.State((em.Run(first),), plan))]
    pairs = [(run.made_of, run.folded) for run in states[1:3]]
    return *pairs, states[2].mixture


@pytest.mark.parametrize("name", FAMILIES)
def test_coordinates(rng, name):
    (used, _), (_, folded), mixture = two_passes(rng, name)
    mass = folded.mass
    vectors, size = kernel.coordinates([used, folded], mixture.means, mixture.whitening, mass)
    for each, vector in zip((used, folded), vectors, strict=True):
        moved = each.recentred(mixture.means)
        packed = np.concatenate([[each.noise_mass], moved.mass, moved.first.ravel(), moved.second.ravel()])
        np.testing.assert_allclose(vector[:size], packed, rtol=1e-12, atol=1e-12 * np.abs(packed).max())
        root = np.sqrt(mass)
        roots = mixture.whitening
        whitened = roots * moved.first if roots.ndim == 2 else (roots @ moved.first[:, :, None])[:, :, 0]
        white = np.concatenate(
            [[each.noise_mass / math.sqrt(mass.sum())], moved.mass / root, (whitened / root[:, None]).ravel()]
        )
        np.testing.assert_allclose(vector[size:], white, rtol=1e-12, atol=1e-12 * np.abs(white).max())
        if moved.second.ndim == 3:
            second = vector[size - moved.second.size : size].reshape(moved.second.shape)
            assert np.array_equal(second, np.swapaxes(second, 1, 2))


@pytest.mark.parametrize("length", [1e-6, 1e-3, 1.0])
def test_implicit_step_solves_its_equation(rng, length):
    """(μ + B) p = (1 + μ) f, with B the BFGS update of the identity that the secant pair makes of μ + B."""
    matrix = rng.normal(size=(6, 6))
    hessian = matrix @ matrix.T / 20
    f, s = rng.normal(size=6) * length, rng.normal(size=6)
    y, weight = hessian @ s, 50.0
    basis = np.stack([f, s, y])
    factors = implicit_step((basis @ basis.T).tolist(), weight)
    mu = np.linalg.norm(f) / math.sqrt(weight) / STRIDE
    z = y + mu * s
    damped = (1 + mu) * (np.eye(6) - np.outer(s, s) / (s @ s)) + np.outer(z, z) / (z @ s)
    np.testing.assert_allclose(damped @ (factors @ basis), (1 + mu) * f, rtol=1e-9, atol=1e-12 * length)


def test_no_step_without_curvature():
    assert implicit_step(np.zeros((3, 3)).tolist(), 10.0) is None
    f, s = np.array([1e-9, 0.0]), np.array([1.0, 0.0])
    basis = np.stack([f, s, -s])  # the objective curves upwards along the last step
    assert implicit_step((basis @ basis.T).tolist(), 10.0) is None
    basis[0, 0] = np.nan
    assert implicit_step((basis @ basis.T).tolist(), 10.0) is None


@pytest.mark.parametrize("name", FAMILIES)
def test_short_strides_are_plain_em(rng, monkeypatch, name):
    before, last, mixture = two_passes(rng, name)
    monkeypatch.setattr(acceleration, "STRIDE", 1e-12)
    found, (_, expected) = extrapolated(before, last, mixture), last
    for field in ("origin", "mass", "first", "second", "noise_mass"):
        ours, theirs = getattr(found, field), getattr(expected, field)
        np.testing.assert_allclose(ours, theirs, atol=1e-8 * max(1, np.abs(theirs).max()))


@pytest.mark.parametrize("name", FAMILIES)
def test_what_is_proposed_accounts_for_every_row(rng, name):
    before, last, mixture = two_passes(rng, name)
    found = extrapolated(before, last, mixture)
    assert found.mass.sum() + found.noise_mass == pytest.approx(300, rel=1e-12)
    assert found.origin is last[1].origin
    assert (found.weight, found.rows) == (300.0, 300)
    assert not np.allclose(found.mass, last[1].mass)


def test_no_component_is_emptied(rng, monkeypatch):
    before, last, mixture = two_passes(rng, "VVV")
    monkeypatch.setattr(acceleration, "implicit_step", lambda products, weight: (1e4, 0.0, 0.0))
    assert extrapolated(before, last, mixture) is None
