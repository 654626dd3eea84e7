"""Covariance families: their M-steps against reference results, and against what a maximum must satisfy.

tests/data/mstep.json.gz holds, for several data sets and every family, one M-step from hard labels softened
to 0.9, computed independently (R's mclust, and NumPy where mclust stops early or, in VVE, solves another
problem).
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gaussmix import Mixture, fit, kernel, reference
from gaussmix.families import NAMES, get
from gaussmix.families.decomposition import decompose
from gaussmix.priors import Supplement
from gaussmix.statistics import Statistics

REFERENCE = json.loads(gzip.decompress((Path(__file__).parent / "data" / "mstep.json.gz").read_bytes()))
EQUIVARIANT = ("EEI", "VEI", "EVI", "VVI", "EEE", "VEE", "EVV", "VVV")  # per feature
SIZES = ((1, 1), (3, 1), (1, 3), (3, 2), (4, 5), (6, 3))  # (K, D)


def reference_scatter(dataset, K):
    rows = np.array(REFERENCE["columns"][dataset]).T
    labels = np.array([int(c, 16) for c in REFERENCE["labels"][dataset][str(K)]])
    z = np.where(np.arange(K) == labels[:, None], 0.9 if K > 1 else 1.0, 0.1 / max(K - 1, 1))
    mass = z.sum(axis=0)
    residuals = rows[None] - (z.T @ rows / mass[:, None])[:, None]
    return np.einsum("nk,kni,knj->kij", z, residuals, residuals), mass


def random_scatter(seed, K, D):
    rng = np.random.default_rng(seed)
    rows = (
        rng.standard_normal((K, 4 * D + 3, D))
        @ rng.standard_normal((K, D, D))
        * np.exp(rng.normal(size=(K, 1, 1)))
    )
    return np.einsum("kni,knj->kij", rows, rows), rng.uniform(5, 50, K)


def moments(family, scatter):
    """Scatter (K, D, D) as the family's pass accumulates it."""
    return {
        "spherical": lambda: np.einsum("kii->ki", scatter).copy(),
        "diagonal": lambda: np.einsum("kii->ki", scatter).copy(),
        "tied": lambda: scatter.sum(axis=0, keepdims=True),
        "full": lambda: scatter,
    }[family.structure.name]()


def solved(name, scatter, mass, previous=None):
    family = get(name)
    K, D = scatter.shape[:2]
    covariances = family.solve(moments(family, scatter), mass, previous)
    assert covariances.shape == family.structure.shape(K, D)
    reference.prepare(mass, family.structure.spread(covariances, D))
    return family.structure.dense(covariances, K, D)


def objective(dense, scatter, mass):
    """Σₖ Nₖ ln|Σₖ| + tr(Σₖ⁻¹ Sₖ)."""
    logs = np.linalg.slogdet(dense)[1]
    return float(mass @ logs + np.trace(np.linalg.solve(dense, scatter), axis1=1, axis2=2).sum())


@pytest.mark.parametrize("name", NAMES)
def test_reference_m_steps(name):
    runs = [run for run in REFERENCE["runs"] if run["family"] == name]
    assert len(runs) >= 13
    for run in runs:
        scatter, mass = reference_scatter(run["dataset"], run["K"])
        dense = solved(name, scatter, mass)
        expected = np.array(run["covariances"])
        np.testing.assert_allclose(dense, expected, rtol=0, atol=1e-8 * np.abs(expected).max())
        assert objective(dense, scatter, mass) <= run["objective"] + 1e-8


def test_number_of_parameters():
    for name, K, D, expected in REFERENCE["parameters"]:
        assert get(name).n_parameters(K, D) == expected, (name, K, D)


def directions(letters, dense):
    """Tangents (M, K, D, D) of the family at covariances: volumes, shapes, orientations."""
    K, D = dense.shape[:2]
    volume, shape, axes = decompose(dense, letters[2])
    variances = volume[:, None] * shape
    each = np.eye(K)
    tangents = []

    def add(letter, change):
        for group in np.ones((1, K)) if letter == "E" else each:
            tangents.append(group[:, None, None] * change)

    add(letters[0], dense)
    if letters[1] != "I":
        for j in range(1, D):
            log_change = np.eye(D)[j] - np.eye(D)[0]
            add(letters[1], (axes * (variances * log_change)[:, None, :]) @ axes.transpose(0, 2, 1))
    if letters[2] != "I":
        for p in range(D):
            for q in range(p):
                twist = np.zeros((D, D))
                twist[p, q], twist[q, p] = 1, -1
                inner = twist * variances[:, None, :] - variances[:, :, None] * twist
                add(letters[2], axes @ inner @ axes.transpose(0, 2, 1))
    return tangents


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("K", "D"), SIZES)
def test_stationary(name, K, D):
    """The objective's derivative along the family vanishes: Σₖ tr(Gₖ ∂Σₖ), Gₖ = Nₖ Σₖ⁻¹ − Σₖ⁻¹ Sₖ Σₖ⁻¹."""
    scatter, mass = random_scatter(1, K, D)
    dense = solved(name, scatter, mass)
    precision = np.linalg.inv(dense)
    gradient = mass[:, None, None] * precision - precision @ scatter @ precision
    for tangent in directions(name, dense):
        slope = np.einsum("kij,kji->", gradient, tangent)
        size = np.abs(np.einsum("kij,kjl->kil", precision, tangent)).sum()
        assert abs(slope) <= 1e-8 * mass.sum() * max(size, 1e-300)


@pytest.mark.parametrize("name", ["EEV", "VEV", "EVE", "VVE", "EVV", "VEE", "VVV"])
@pytest.mark.parametrize("D", [2, 6, 20])
def test_features_of_scales_far_apart(name, D):
    """One component has the covariance of its rows in every family, to rounding in each feature's own unit."""
    rows = np.random.default_rng(1).normal(size=(4 * D, D)) @ random_scatter(3, 1, D)[0][0]
    rows *= 10.0 ** np.linspace(-8, 8, D) / np.sqrt((rows**2).sum(axis=0))
    scatter = (rows.T @ rows)[None]
    root = np.sqrt(np.diagonal(scatter[0]))
    covariance = get(name).solve(scatter, np.array([4.0 * D]), None)
    np.testing.assert_allclose(
        4 * D * covariance / root[:, None] / root, scatter / root[:, None] / root, atol=1e-11
    )


@pytest.mark.parametrize("name", ["EEV", "VEV", "EVE", "VVE"])
def test_a_feature_that_is_constant_in_one_component(name):
    """Its variance there is zero, whatever the sign of its rounding."""
    first = np.array([[0.3, 0.0, 0.4], [0.2, 0.0, 0.1]])
    second = np.array([np.diag([1.0, 0.0, 2.0]), np.diag([1.0, 1.5, 2.0])])
    first[0, 1], second[0, 1, 1] = 3e-9, 1e-18
    statistics = Statistics(np.zeros((2, 3)), np.array([5.0, 5.0]), first, second, 0.0, 10.0, 10, 0.0)
    added = np.full(3, 1e-9)
    covariances = kernel.maximised(
        statistics, Supplement(0.0, added), get(name), np.repeat(np.eye(3)[None], 2, 0)
    ).covariances
    assert np.linalg.eigvalsh(covariances).min() > 0


def alternated(scatter, mass):
    """The oracle of VEE, and with diagonal scatter of VEI: Celeux & Govaert's two steps in turn, 3000 times."""
    K, D = scatter.shape[:2]
    volumes = np.ones(K)
    for _ in range(3000):
        common = (scatter / volumes[:, None, None]).sum(axis=0) / mass.sum()
        volumes = np.trace(np.linalg.solve(common, scatter), axis1=1, axis2=2) / (D * mass)
    return volumes[:, None, None] * common


@pytest.mark.parametrize(("K", "D"), [*SIZES, (9, 2), (40, 3), (3, 20)])
def test_volumes_against_the_oracle(K, D):
    scatter, mass = random_scatter(11, K, D)
    expected = alternated(scatter, mass)
    dense = solved("VEE", scatter, mass, get("VEE").solve(random_scatter(12, K, D)[0], mass, None))
    np.testing.assert_allclose(dense, expected, rtol=0, atol=1e-9 * np.abs(expected).max())
    diagonal = np.einsum("kii->ki", scatter)
    expected = np.einsum("kii->ki", alternated(diagonal[:, :, None] * np.eye(D), mass))
    np.testing.assert_allclose(get("VEI").solve(diagonal, mass, None), expected, rtol=1e-9)


def rotated_pairwise(scatter, mass, axes):
    """The oracle of EVE and VVE: the common orientation by Jacobi rotations, each the best of 64 angles, then of finer.

    VVE with masses, EVE without; returns the diagonals τ (K, D).
    """

    def volumes(diagonals):
        logs = np.log(diagonals).mean(axis=-1)
        return np.exp(logs).sum(axis=-1) if mass is None else logs @ mass

    turned, D = axes.T @ scatter @ axes, scatter.shape[1]
    for sweep in range(60):
        for p in range(D):
            for q in range(p):
                angle, width = 0.0, np.pi / 4 / (1 + sweep) ** 2
                for _ in range(12):
                    angles = angle + np.linspace(-width, width, 65)
                    cos, sin = np.cos(angles)[:, None], np.sin(angles)[:, None]
                    a, b, g = turned[:, p, p], turned[:, q, q], turned[:, p, q]
                    tried = np.repeat(np.einsum("kii->ki", turned)[None], 65, axis=0)
                    tried[:, :, p] = cos * cos * a + 2 * cos * sin * g + sin * sin * b
                    tried[:, :, q] = sin * sin * a - 2 * cos * sin * g + cos * cos * b
                    angle, width = angles[np.argmin(volumes(tried))], width / 16
                turn = np.eye(D)
                turn[p, p] = turn[q, q] = np.cos(angle)
                turn[q, p], turn[p, q] = np.sin(angle), -np.sin(angle)
                turned = turn.T @ turned @ turn
    return np.einsum("kii->ki", turned)


@pytest.mark.parametrize("name", ["EVE", "VVE"])
@pytest.mark.parametrize(("K", "D"), [(3, 2), (2, 3), (3, 4)])
def test_orientation_against_the_oracle(name, K, D):
    """From the pooled eigenvectors, where both begin, no higher than the oracle."""
    scatter, mass = random_scatter(13, K, D)
    diagonals = rotated_pairwise(
        scatter, mass if name == "VVE" else None, np.linalg.eigh(scatter.sum(axis=0))[1]
    )
    expected = get(name[:2] + "I").solve(diagonals, mass, None)
    dense = solved(name, scatter, mass)
    assert mass @ np.linalg.slogdet(dense)[1] <= mass @ np.log(expected).sum(axis=1) + 1e-8 * mass.sum()


def check_stationary(dense, scatter, mass):
    """The gradient along D exp X, X skew, vanishes beside what cancels in it, however many features.

    With B_k = Dᵀ S_k D and the variances v_k along D it is Σₖ (v_kp⁻¹ − v_kq⁻¹) B_kpq; were axes p and q of a component
    correlated by one, its part of it were Nₖ (v_kp / v_kq)^½ − Nₖ (v_kq / v_kp)^½.
    """
    D = dense.shape[1]
    axes = decompose(dense, "E")[2][0]
    turned, diagonal = axes.T @ scatter @ axes, axes.T @ dense @ axes
    precision = 1 / np.einsum("kii->ki", diagonal)
    np.testing.assert_allclose(
        diagonal * np.sqrt(precision[:, :, None] * precision[:, None, :]), np.eye(D) + 0 * diagonal, atol=1e-9
    )
    pulls = (precision[:, :, None] - precision[:, None, :]) * turned
    assert np.abs(pulls.sum(axis=0)).max() <= 1e-6 * np.abs(pulls).sum(axis=0).max()
    ratios = np.sqrt(precision[:, None, :] / precision[:, :, None])
    largest = np.einsum("k,kpq->pq", mass, np.abs(ratios - 1 / ratios))
    assert np.abs(pulls.sum(axis=0)[np.triu_indices(D, 1)] / largest[np.triu_indices(D, 1)]).max() <= 1e-8


@pytest.mark.parametrize("name", ["EVE", "VVE"])
@pytest.mark.parametrize(("K", "D", "warm"), [(4, 20, False), (3, 20, True), (3, 40, False), (2, 40, True)])
def test_stationary_on_the_orthogonal_group(name, K, D, warm):
    scatter, mass = random_scatter(14, K, D)
    previous = get(name).solve(random_scatter(15, K, D)[0], mass, None) if warm else None
    check_stationary(solved(name, scatter, mass, previous), scatter, mass)


@pytest.mark.parametrize("name", ["EVE", "VVE"])
def test_stationary_with_so_many_features_that_the_hessian_is_not_kept(name, rng):
    D, mass = 201, np.array([100.0, 150.0])
    turn, _ = np.linalg.qr(rng.normal(size=(D, D)))
    apart = 1e-3 * rng.normal(size=(2, D, D))
    scatter = (turn * np.exp(rng.normal(size=(2, 1, D)))) @ turn.T + apart @ apart.transpose(0, 2, 1)
    scatter = mass[:, None, None] * (scatter + scatter.transpose(0, 2, 1)) / 2
    check_stationary(solved(name, scatter, mass), scatter, mass)


@pytest.mark.parametrize("name", NAMES)
def test_structure(name):
    scatter, mass = random_scatter(2, 4, 3)
    dense = solved(name, scatter, mass)
    volume, shape, axes = decompose(dense, name[2])
    np.testing.assert_allclose(
        (axes * (volume[:, None] * shape)[:, None]) @ axes.transpose(0, 2, 1), dense, rtol=1e-9, atol=1e-9
    )
    np.testing.assert_allclose(np.prod(shape, axis=1), 1)
    np.testing.assert_allclose(axes @ axes.transpose(0, 2, 1), np.eye(3) + 0 * axes, atol=1e-12)
    if name[0] == "E":
        np.testing.assert_allclose(volume, volume[0])
    if name[1] != "V":
        np.testing.assert_allclose(shape, shape[[0] * 4])
    if name[1] == "I":
        np.testing.assert_allclose(shape, 1)
    if name[2] != "V":
        assert np.array_equal(axes, axes[[0] * 4])
    if name[2] == "I":
        assert np.array_equal(axes[0], np.eye(3))
    if name[2] == "V":
        assert np.all(np.diff(shape, axis=1) <= 0)


@pytest.mark.parametrize("name", NAMES)
@settings(derandomize=True, deadline=None, max_examples=15)
@given(seed=st.integers(0, 10**6), size=st.sampled_from(SIZES))
def test_never_worse_than_previous(name, seed, size):
    """From the solution of unrelated scatter, the M-step goes down, and its own solution is a fixed point."""
    family = get(name)
    K, D = size
    other, other_mass = random_scatter(seed + 1, K, D)
    previous = family.solve(moments(family, other), other_mass, None)
    scatter, mass = random_scatter(seed, K, D)
    after = family.solve(moments(family, scatter), mass, previous)
    again = family.solve(moments(family, scatter), mass, after)
    before, now, then = (
        objective(family.structure.dense(c, K, D), scatter, mass) for c in (previous, after, again)
    )
    assert now <= before + 1e-10 * abs(before)
    assert then <= now + 1e-10 * abs(now)


@pytest.mark.parametrize("name", ["EVE", "VVE"])
def test_one_pair_of_axes_is_searched_through(name):
    """With two features the common orientation is the best of all angles, wherever it starts."""
    for seed in range(10):
        scatter, mass = random_scatter(seed, 4, 2)
        turns = np.linspace(0, np.pi / 2, 721)
        cos, sin = np.cos(turns), np.sin(turns)
        axes = np.stack([np.stack([cos, -sin], 1), np.stack([sin, cos], 1)], 1)
        logs = np.log(np.einsum("aij,kil,alj->akj", axes, scatter, axes)).sum(axis=2)
        lowest = (
            logs @ mass if name == "VVE" else 2 * mass.sum() * np.log(np.exp(logs / 2).sum(axis=1))
        ).min()
        previous = solved(name, random_scatter(seed + 100, 4, 2)[0], mass)
        for start in (None, previous):
            reached = float(mass @ np.linalg.slogdet(solved(name, scatter, mass, start))[1])
            divisor = mass if name == "VVE" else np.full(4, mass.sum())
            assert reached + 2 * mass @ np.log(divisor) <= lowest + 1e-9 * abs(lowest)


@pytest.mark.parametrize("name", ["EVE", "VVE"])
@pytest.mark.parametrize("dimension", [3, 6])
def test_no_worse_than_the_pooled_axes(name, dimension):
    scatter, mass = random_scatter(8, 4, dimension)
    axes = np.linalg.eigh(scatter.sum(axis=0))[1]
    turned = np.einsum("kii->ki", axes.T @ scatter @ axes)
    pooled = (axes * get(name[:2] + "I").solve(turned, mass, None)[:, None]) @ axes.T
    previous = solved(name, random_scatter(9, 4, dimension)[0], mass)
    for start in (None, previous):
        dense = solved(name, scatter, mass, start)
        assert objective(dense, scatter, mass) <= objective(pooled, scatter, mass)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scale", [2.0**-990, 2.0**930])
def test_common_scale(name, scale):
    scatter, mass = random_scatter(3, 3, 4)
    dense = solved(name, scatter, mass)
    np.testing.assert_allclose(
        solved(name, scatter * scale, mass) / scale, dense, rtol=1e-9, atol=1e-9 * dense.max()
    )


@pytest.mark.parametrize("name", EQUIVARIANT)
def test_scale_per_feature(name):
    scatter, mass = random_scatter(4, 3, 4)
    scale = np.array([2.0**-26, 1, 2.0**13, 2.0**26])
    scale = scale[:, None] * scale
    np.testing.assert_allclose(
        solved(name, scatter * scale, mass) / scale, solved(name, scatter, mass), rtol=1e-9, atol=1e-9
    )


@pytest.mark.parametrize("name", ["EII", "EEI", "VEI", "EEE", "VEE", "EEV", "VEV", "VII"])
def test_singular_components_where_a_maximum_exists(name):
    scatter, mass = random_scatter(5, 3, 3)
    scatter[0] = np.outer([1.0, 2.0, 3.0], [1.0, 2.0, 3.0])  # on a line
    assert np.all(np.isfinite(solved(name, scatter, mass)))


@pytest.mark.parametrize("name", ["EII", "EEI", "EVI", "EEE", "EVE", "EEV", "EVV"])
def test_a_component_without_scatter_takes_the_common_volume(name):
    scatter, mass = random_scatter(6, 3, 3)
    scatter[1] = 0
    assert np.all(np.isfinite(solved(name, scatter, mass)))


@pytest.mark.parametrize("name", ["VII", "VEI", "VVI", "VEE", "VVE", "VEV", "VVV"])
def test_a_component_without_scatter_collapses_where_volumes_vary(name):
    scatter, mass = random_scatter(6, 3, 3)
    scatter[1] = 0
    with pytest.raises(np.linalg.LinAlgError):
        solved(name, scatter, mass)


def test_volumes_that_tend_to_zero_are_refused():
    """Component 0 has only feature 0, component 1 hardly needs it: its volume wants to vanish."""
    scatter = np.array([[1.0, 0.0], [1.0, 1.0]])
    with pytest.raises(np.linalg.LinAlgError):
        get("VEI").solve(scatter, np.array([5.0, 5.0]), None)


def test_orientation_weighs_components_by_precision():
    """VVE: a component of tiny volume pulls as hard as one of its mass, so D follows both."""
    angle = 0.3
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    large = np.diag([100.0, 50.0]) * 1e6
    small = turn @ np.diag([10.0, 0.01]) @ turn.T
    dense = solved("VVE", np.stack([large, small]), np.array([10.0, 10.0]))
    axes = decompose(dense, "E")[2][0]
    assert np.abs(axes.T @ turn).max(axis=0).min() > 0.999


@pytest.mark.parametrize("seed", range(20))
def test_volumes_of_ill_conditioned_scatter(seed):
    """The common factor of the volumes is flat only up to rounding, which grows with the condition."""
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((200, 3)) @ np.diag([1.0, 1e-2, 1e-5]) @ rng.standard_normal((3, 3))
    scatter = np.stack([np.cov(part.T, bias=True) * 100 for part in (rows[::2], rows[1::2])])
    solved = get("VEE").solve(scatter, np.array([100.0, 100.0]), np.repeat(np.eye(3)[None], 2, axis=0))
    np.testing.assert_allclose(solved[1] / solved[1, 0, 0], solved[0] / solved[0, 0, 0], rtol=1e-9)
    assert 0.5 < solved[1, 0, 0] / solved[0, 0, 0] < 2


@pytest.mark.parametrize("name", NAMES)
def test_the_gradient_of_the_log_likelihood_vanishes_at_the_solution(name):
    """Along weights, means and the family's covariances, by central differences of ln p: far below N per unit step."""
    rng = np.random.default_rng(16)
    roots = np.array([[[1.0, 0.3, 0.0], [0.0, 0.8, 0.2], [0.0, 0.0, 0.6]], np.diag([0.5, 1.0, 0.7])])
    rows = np.concatenate(
        [
            rng.normal(size=(150, 3)) @ root + centre
            for root, centre in zip(roots, ([0, 0, 0], [2.5, 2, 1]), strict=True)
        ]
    )
    labels = np.repeat([0, 1], 150)
    fitted = fit(
        rows, 2, covariance_type=name, reg_covar=0.0, tol=1e-13, max_iter=5000, init_params=labels
    ).mixture

    def log_likelihood(weights, means, dense):
        return Mixture(weights=weights, means=means, covariances=dense).log_likelihood(rows)

    at = {"weights": fitted.weights, "means": fitted.means, "dense": np.array(fitted.full_covariances)}
    changes = [("weights", np.array([1.0, -1.0]))]
    changes += [("means", change.reshape(2, 3)) for change in np.eye(6)]
    changes += [("dense", tangent / np.abs(tangent).max()) for tangent in directions(name, at["dense"])]
    step = 1e-5
    for part, change in changes:
        above, below = (log_likelihood(**{**at, part: at[part] + sign * step * change}) for sign in (1, -1))
        assert abs(above - below) / (2 * step) < 1e-5 * len(rows), part
