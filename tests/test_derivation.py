"""docs/derivation.md, checked: its equations against calculus and the library, its numbers against a recount.

Four kinds of witnesses. SymPy proves identities for small cases; the complex step, f'(x) = Im f(x + ih)/h with
h = 1e-30, differentiates to the last digit at random points; the library must compute what the text says it computes;
and the text itself is read, so that numbers, tags and names in it cannot drift. Tests are named after equations.
"""

from __future__ import annotations

import itertools
import re
from fractions import Fraction
from functools import cache, reduce
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import sympy as sp
from numpy.testing import assert_allclose
from scipy import integrate, stats

import gaussmix
from gaussmix import em
from gaussmix.errors import ParameterError, SingularError
from gaussmix.maximisation import m_step
from gaussmix.mixture import Mixture
from gaussmix.rows import as_source
from gaussmix.start import data_prior

DOCUMENT = Path(__file__).parents[1] / "docs" / "derivation.md"
STEP = 1e-30

# ---- plain mathematics, for real and complex parameters ------------------------------------------------------


def log_f(X, weights, means, covariances):
    """ln f_nk = ln π_k N(x_n | μ_k, Σ_k), (N, K): eq. (1) as it is written."""
    columns = []
    for pi, mu, sigma in zip(weights, means, covariances, strict=True):
        r = X - mu
        square = np.einsum("ni,ij,nj->n", r, np.linalg.inv(sigma), r)
        columns.append(
            np.log(pi) - 0.5 * (X.shape[1] * np.log(2 * np.pi) + np.log(np.linalg.det(sigma)) + square)
        )
    return np.stack(columns, axis=1)


def log_likelihood(X, w, weights, means, covariances):
    """L of eq. (6), weighted as in section 8."""
    return w @ np.log(np.exp(log_f(X, weights, means, covariances)).sum(axis=1))


def gamma_of(X, *theta):
    """γ(z_nk) of eq. (5), (N, K)."""
    f = np.exp(log_f(X, *theta))
    return f / f.sum(axis=1, keepdims=True)


def bound(q, X, w, *theta):
    """B(q, θ) of (K), with 0 ln 0 = 0."""
    return w @ (q * (log_f(X, *theta) - np.log(np.where(q > 0, q, 1)))).sum(axis=1)


def penalty(nu, R, covariances):
    """P of (R), with R (D, D)."""
    return -nu / 2 * sum(np.log(np.linalg.det(s)) + np.trace(np.linalg.inv(s) @ R) for s in covariances)


def slope(f, at, direction):
    """Derivative of f at ``at`` along ``direction``, by the complex step."""
    return np.imag(f(at + 1j * STEP * direction)) / STEP


def gradient(f, at):
    """All partial derivatives of f, entries varied independently."""
    units = np.eye(at.size).reshape(at.size, *at.shape)
    return np.array([slope(f, at, unit) for unit in units]).reshape(at.shape)


def symmetric_gradient(f, at):
    """Derivatives by the free entries σ_ij, i ≤ j, of a symmetric matrix, mirrored."""
    out = np.empty_like(at)
    for i, j in itertools.combinations_with_replacement(range(len(at)), 2):
        direction = np.zeros_like(at)
        direction[i, j] = direction[j, i] = 1
        out[i, j] = out[j, i] = slope(f, at, direction)
    return out


def replaced(array, k, value):
    """``array`` with entry k replaced, complex if the value is."""
    out = array.astype(np.result_type(array, value))
    out[k] = value
    return out


def spd(rng, n_features, scale=1.0):
    """A random symmetric positive definite matrix."""
    root = rng.normal(size=(n_features, n_features))
    return scale * (root @ root.T / n_features + 0.3 * np.eye(n_features))


def scatter_about(X, row_masses, centre):
    """S_k(c) of section 5."""
    r = X - centre
    return (row_masses[:, None] * r).T @ r


def theta_of(mixture):
    return mixture.weights, mixture.means, mixture.full_covariances


def em_trace(mixture, X, w=None, reg_covar=0.0, max_iter=200):
    """Plain EM in the library's loop, run to the end without a tolerance: the last state's only run."""
    source = as_source(X, w)
    plan = em.Plan(
        data_prior(source, mixture.n_components, reg_covar), tol=0.0, max_iter=max_iter, accelerated=False
    )
    *_, last = em.passes(source, em.State((em.Run(mixture),), plan))
    return last.runs[0]


# ---- cases -----------------------------------------------------------------------------------------------------


def random_case(seed, n_rows=20, n_components=3, n_features=3):
    """Rows, weights and a mixture that have nothing to do with each other."""
    rng = np.random.default_rng(seed)
    mixture = Mixture(
        weights=rng.dirichlet(np.full(n_components, 4.0)),
        means=rng.normal(size=(n_components, n_features)),
        covariances=np.stack([spd(rng, n_features) for _ in range(n_components)]),
    )
    return SimpleNamespace(
        X=rng.normal(size=(n_rows, n_features)) * 1.5,
        w=rng.uniform(0.2, 2.0, size=n_rows),
        mixture=mixture,
        theta=theta_of(mixture),
        rng=rng,
    )


@pytest.fixture(params=[1, 2])
def case(request):
    return random_case(request.param)


@cache
def fitted(weighted=True, reg_covar=0.0):
    """A mixture at EM's fixed point, with the rows it was fitted to."""
    rng = np.random.default_rng(7)
    centres = np.array([[0.0, 0, 0], [3, 1, 0], [0, 2, 3]])
    X = np.concatenate([c + rng.normal(size=(25, 3)) @ rng.normal(size=(3, 3)) for c in centres])
    w = rng.uniform(0.3, 2.0, size=len(X)) if weighted else np.ones(len(X))
    first = Mixture(
        weights=[0.3, 0.3, 0.4], means=centres + [0.5, 0.5, -0.5], covariances=np.stack([np.eye(3)] * 3)
    )
    trace = em_trace(first, X, w, reg_covar, max_iter=1500)
    # The loop ends where L stands still to its last bit; θ, of which L is a quadratic there, needs some steps more.
    prior = data_prior(as_source(X, w), 3, reg_covar)
    mixture = reduce(lambda m, _: m_step(m.fold(X, w), m, prior), range(1500), trace.mixture)
    return SimpleNamespace(X=X, w=w, mixture=mixture, theta=theta_of(mixture), trace=trace)


def example(weights=(0.5, 0.5), means=(1.0, 4.0), variances=(1.0, 1.0)):
    """The two components of section 6."""
    return Mixture(
        weights=weights, means=np.reshape(means, (2, 1)), covariances=np.reshape(variances, (2, 1, 1))
    )


EXAMPLE_ROWS = np.array([[0.0], [1.0], [3.0], [6.0]])


# ---- sections 1 to 3: density, responsibilities, likelihood -----------------------------------------------------


def test_eq_1_density(case):
    """(1) is what `Mixture.log_density` computes, and what SciPy's normal density gives."""
    expected = sum(
        pi * stats.multivariate_normal(mu, sigma).pdf(case.X)
        for pi, mu, sigma in zip(*case.theta, strict=True)
    )
    assert_allclose(np.exp(case.mixture.log_density(case.X)), expected, rtol=1e-12)
    assert_allclose(np.exp(log_f(case.X, *case.theta)).sum(axis=1), expected, rtol=1e-12)


def test_eq_1_integrates_to_one():
    """(1) with (2), (3) is a density; the trapezoidal rule is exact to rounding for such functions."""
    mixture = random_case(3, n_components=2, n_features=2).mixture
    axis = np.linspace(-30, 30, 601)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    assert_allclose(np.exp(mixture.log_density(grid)).sum() * (axis[1] - axis[0]) ** 2, 1, rtol=1e-10)


@pytest.mark.parametrize("weights", [(-0.1, 1.1), (0.5, 0.6)])
def test_eq_2_3_are_required(weights):
    """Weights that are not probabilities, (2), (3), make no mixture."""
    with pytest.raises(ParameterError):
        example(weights=weights)


def test_eq_A_whitening(case):
    """(A): W Σ Wᵀ = I, Σ⁻¹ = WᵀW, |W| = |Σ|^(-1/2), W lower triangular."""
    for W, sigma in zip(case.mixture.whitening, case.theta[2], strict=True):
        assert np.array_equal(W, np.tril(W))
        assert_allclose(W @ sigma @ W.T, np.eye(3), atol=1e-12)
        assert_allclose(W.T @ W, np.linalg.inv(sigma), rtol=1e-10)
        assert_allclose(np.linalg.det(W), np.linalg.det(sigma) ** -0.5)


def test_eq_4_5_bayes(case):
    """(4), (5): joint over marginal; positive, summing to one over components."""
    joint = np.stack(
        [
            pi * stats.multivariate_normal(mu, sigma).pdf(case.X)
            for pi, mu, sigma in zip(*case.theta, strict=True)
        ],
        axis=1,
    )
    gamma = case.mixture.responsibilities(case.X)
    assert_allclose(gamma, joint / joint.sum(axis=1, keepdims=True), rtol=1e-11)
    assert_allclose(gamma.sum(axis=1), 1)
    assert np.all(gamma > 0)


def test_classification_errs_least(case):
    """Section 2: largest responsibility; no threshold on the line makes fewer errors than that rule's."""
    assert np.array_equal(case.mixture.classify(case.X), gamma_of(case.X, *case.theta).argmax(axis=1))
    mixture = example(weights=(0.3, 0.7), variances=(1.0, 1.5))
    axis = np.linspace(-8, 14, 4001)[:, None]
    gamma, p = mixture.responsibilities(axis), np.exp(mixture.log_density(axis))

    def error(labels):
        return integrate.trapezoid(p * (1 - gamma[np.arange(len(axis)), labels]), axis[:, 0])

    least = error(mixture.classify(axis))
    rng = np.random.default_rng(0)
    rules = [(axis[:, 0] > t).astype(int) for t in np.linspace(-2, 8, 41)] + list(
        rng.integers(0, 2, (20, len(axis)))
    )
    assert all(error(rule) >= least for rule in rules)
    assert least < 0.1


def test_eq_6_log_likelihood(case):
    """(6), and its weighted form of section 8, which is the fold's."""
    density = np.exp(log_f(case.X, *case.theta)).sum(axis=1)
    assert_allclose(case.mixture.log_likelihood(case.X), np.log(density).sum())
    assert_allclose(case.mixture.fold(case.X, case.w).log_likelihood, case.w @ np.log(density))


# ---- section 4: tools -------------------------------------------------------------------------------------------


def test_eq_B_log_of_a_sum():
    """(B), for arbitrary functions."""
    t = sp.symbols("t")
    f = [sp.Function(f"f{k}")(t) for k in range(3)]
    text = sum(fk / sum(f) * sp.diff(sp.log(fk), t) for fk in f)
    assert sp.simplify(sp.diff(sp.log(sum(f)), t) - text) == 0


def symbolic_matrices():
    """A symmetric Σ (2, 2), an arbitrary direction H, vectors a, x, μ."""
    s11, s12, s22 = sp.symbols("s11 s12 s22")
    return (
        sp.Matrix([[s11, s12], [s12, s22]]),
        sp.Matrix(2, 2, sp.symbols("h11 h12 h21 h22")),
        sp.Matrix(sp.symbols("a1 a2")),
    )


def derivative(f, sigma, direction):
    """df in the sense of section 4.3."""
    t = sp.symbols("t")
    return sp.diff(f(sigma + t * direction), t).subs(t, 0)


def vanishes(expression):
    return (
        sp.simplify(expression) == sp.zeros(*expression.shape)
        if hasattr(expression, "shape")
        else (sp.simplify(expression) == 0)
    )


def test_eq_D_trace():
    """(D) and tr(AB) = tr(BA)."""
    sigma, H, a = symbolic_matrices()
    assert vanishes((sigma * H).trace() - (H * sigma).trace())
    assert vanishes((a.T * H * a)[0] - (H * a * a.T).trace())


def test_eq_E_log_determinant():
    """(E): d ln|Σ| = tr(Σ⁻¹ dΣ)."""
    sigma, H, _ = symbolic_matrices()
    assert vanishes(derivative(lambda s: sp.log(s.det()), sigma, H) - (sigma.inv() * H).trace())


def test_eq_F_G_inverse_and_quadratic_form():
    """(F): dΣ⁻¹ = −Σ⁻¹ dΣ Σ⁻¹; (G): d aᵀΣ⁻¹a = −tr(Σ⁻¹ a aᵀ Σ⁻¹ dΣ)."""
    sigma, H, a = symbolic_matrices()
    inverse = sigma.inv()
    assert vanishes(derivative(lambda s: s.inv(), sigma, H) + inverse * H * inverse)
    quadratic = derivative(lambda s: (a.T * s.inv() * a)[0], sigma, H)
    assert vanishes(quadratic + (inverse * a * a.T * inverse * H).trace())


def test_eq_H_in_terms_of_the_precision():
    """(H): with Λ = Σ⁻¹, d ln|Σ| = −tr(Σ dΛ) and d aᵀΛa = tr(a aᵀ dΛ)."""
    precision, H, a = symbolic_matrices()
    assert vanishes(derivative(lambda s: sp.log(s.inv().det()), precision, H) + (precision.inv() * H).trace())
    assert vanishes(derivative(lambda s: (a.T * s * a)[0], precision, H) - (a * a.T * H).trace())


def test_eq_I_quadratic_form_by_the_mean():
    """(I): d (x−μ)ᵀΣ⁻¹(x−μ) = −2 (x−μ)ᵀΣ⁻¹ dμ."""
    sigma, _, x = symbolic_matrices()
    mu, direction = sp.Matrix(sp.symbols("m1 m2")), sp.Matrix(sp.symbols("v1 v2"))
    df = derivative(lambda m: ((x - m).T * sigma.inv() * (x - m))[0], mu, direction)
    assert vanishes(df + 2 * ((x - mu).T * sigma.inv() * direction)[0])


def test_eq_J_symmetry():
    """(J): by free entries, the gradient is G on the diagonal and 2G off it; a continuation adds what nobody sees."""
    sigma, H, a = symbolic_matrices()
    (s11, s12), (_, s22) = sigma.tolist()
    f = sp.log(sigma.det()) + (a.T * sigma.inv() * a)[0]
    G = sigma.inv() - sigma.inv() * a * a.T * sigma.inv()
    assert vanishes(sp.diff(f, s11) - G[0, 0])
    assert vanishes(sp.diff(f, s22) - G[1, 1])
    assert vanishes(sp.diff(f, s12) - 2 * G[0, 1])
    # ln|Σ| + c (Σ_12 − Σ_21) is the same function of symmetric matrices: G gains an antisymmetric part.
    c = sp.symbols("c")
    entries = sp.Matrix(2, 2, sp.symbols("e11 e12 e21 e22"))
    continued = sp.log(entries.det()) + c * (entries[0, 1] - entries[1, 0])
    other = sp.Matrix(2, 2, [sp.diff(continued, e) for e in entries]).subs(
        dict(zip(entries, sigma, strict=True))
    )
    extra = (other - sigma.inv()).applyfunc(sp.simplify)
    assert extra == -extra.T != sp.zeros(2)
    assert vanishes((extra.T * (H + H.T)).trace())


# ---- section 5: the gradient ------------------------------------------------------------------------------------


@cache
def symbolic_likelihood():
    """L of eq. (6) for D = 1, K = 2, N = 3, with its γ, in symbols."""
    x = sp.symbols("x1:4", real=True)
    pi, mu = sp.symbols("p1:3", positive=True), sp.symbols("m1:3", real=True)
    var = sp.symbols("v1:3", positive=True)
    f = [
        [
            p * sp.exp(-((xn - m) ** 2) / (2 * v)) / sp.sqrt(2 * sp.pi * v)
            for p, m, v in zip(pi, mu, var, strict=True)
        ]
        for xn in x
    ]
    gamma = [[fnk / sum(row) for fnk in row] for row in f]
    return SimpleNamespace(x=x, pi=pi, mu=mu, var=var, gamma=gamma, L=sum(sp.log(sum(row)) for row in f))


@pytest.mark.parametrize("k", [0, 1])
def test_eq_7_8_9_symbolically(k):
    """∂L/∂μ_k, ∂L/∂Σ_k, ∂J/∂π_k of section 5 are SymPy's."""
    s = symbolic_likelihood()
    responsibility = [row[k] for row in s.gamma]
    mean = sum(g * (x - s.mu[k]) for g, x in zip(responsibility, s.x, strict=True)) / s.var[k]
    scatter = sum(g * (x - s.mu[k]) ** 2 for g, x in zip(responsibility, s.x, strict=True))
    mass = sum(responsibility)
    variance = (scatter - mass * s.var[k]) / (2 * s.var[k] ** 2)
    multiplier = sp.symbols("lambda")
    J = s.L + multiplier * (sum(s.pi) - 1)
    assert vanishes(sp.diff(s.L, s.mu[k]) - mean)
    assert vanishes(sp.diff(s.L, s.var[k]) - variance)
    assert vanishes(sp.diff(J, s.pi[k]) - (mass / s.pi[k] + multiplier))
    assert vanishes(sp.diff(J, multiplier) - (sum(s.pi) - 1))


@pytest.mark.parametrize("k", [0, 1, 2])
def test_eq_7_gradient_of_the_means(case, k):
    """∂L/∂μ_k = Σ_k⁻¹ Σ_n w_n γ(z_nk)(x_n − μ_k)."""
    weights, means, covariances = case.theta
    gamma = case.w * case.mixture.responsibilities(case.X)[:, k]
    got = gradient(
        lambda mu: log_likelihood(case.X, case.w, weights, replaced(means, k, mu), covariances), means[k]
    )
    assert_allclose(got, np.linalg.inv(covariances[k]) @ (gamma @ (case.X - means[k])), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("k", [0, 1, 2])
def test_eq_8_gradient_of_the_covariances(case, k):
    """∂L/∂Σ_k = ½ Σ_k⁻¹(S_k − N_k Σ_k)Σ_k⁻¹, by D² entries and by D(D+1)/2; ∂L/∂Σ_k⁻¹ = ½(N_k Σ_k − S_k)."""
    weights, means, covariances = case.theta
    gamma = case.w * case.mixture.responsibilities(case.X)[:, k]
    S, mass, inverse = scatter_about(case.X, gamma, means[k]), gamma.sum(), np.linalg.inv(covariances[k])

    def L(sigma):
        return log_likelihood(case.X, case.w, weights, means, replaced(covariances, k, sigma))

    G = inverse @ (S - mass * covariances[k]) @ inverse / 2
    off = np.ones((3, 3)) - np.eye(3)
    assert_allclose(gradient(L, covariances[k]), G, rtol=1e-8, atol=1e-10)
    assert_allclose(symmetric_gradient(L, covariances[k]), G * (1 + off), rtol=1e-8, atol=1e-10)
    by_precision = gradient(lambda precision: L(np.linalg.inv(precision)), inverse)
    assert_allclose(by_precision, (mass * covariances[k] - S) / 2, rtol=1e-8, atol=1e-10)


def test_eq_9_gradient_of_the_weights(case):
    """∂L/∂π_k = N_k / π_k, so that Σ_k π_k ∂L/∂π_k = N for every θ."""
    weights, means, covariances = case.theta
    got = gradient(lambda pi: log_likelihood(case.X, case.w, pi, means, covariances), weights)
    assert_allclose(got, case.mixture.fold(case.X, case.w).mass / weights, rtol=1e-10)
    assert_allclose(weights @ got, case.w.sum(), rtol=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
def test_eq_7_8_11_hold_at_the_fixed_point(weighted):
    """Where EM stands still ∂L/∂μ_k and ∂L/∂Σ_k vanish, and (7), (8), (11) hold."""
    fit = fitted(weighted)
    weights, means, covariances = fit.theta
    gamma = fit.w[:, None] * fit.mixture.responsibilities(fit.X)
    assert_allclose(weights, gamma.sum(axis=0) / fit.w.sum(), rtol=1e-10)
    for k in range(3):
        assert_allclose(means[k], gamma[:, k] @ fit.X / gamma[:, k].sum(), rtol=1e-9, atol=1e-10)
        assert_allclose(
            covariances[k], scatter_about(fit.X, gamma[:, k], means[k]) / gamma[:, k].sum(), atol=1e-9
        )
        by_mean = gradient(
            lambda mu, k=k: log_likelihood(fit.X, fit.w, weights, replaced(means, k, mu), covariances),
            means[k],
        )
        by_covariance = symmetric_gradient(
            lambda s, k=k: log_likelihood(fit.X, fit.w, weights, means, replaced(covariances, k, s)),
            covariances[k],
        )
        assert_allclose(by_mean, 0, atol=1e-7)
        assert_allclose(by_covariance, 0, atol=1e-7)


@pytest.mark.parametrize("weighted", [False, True])
def test_eq_10_multiplier(weighted):
    """There every ∂L/∂π_k is N = Σw, so ∂J/∂π_k vanishes with λ = −N, (10)."""
    fit = fitted(weighted)
    weights, means, covariances = fit.theta
    by_weight = gradient(lambda pi: log_likelihood(fit.X, fit.w, pi, means, covariances), weights)
    assert_allclose(by_weight, fit.w.sum(), rtol=1e-9)
    multiplier = -(weights @ by_weight)
    assert_allclose(multiplier, -fit.w.sum(), rtol=1e-12)
    assert_allclose(by_weight + multiplier, 0, atol=1e-7)


# ---- sections 6 and 7: EM and its proof --------------------------------------------------------------------------


def test_eq_7_8_11_are_the_m_step(case):
    """The library's M-step, from residuals, is (7), (8), (11) as they are written."""
    new = m_step(
        case.mixture.fold(case.X, case.w), case.mixture, data_prior(as_source(case.X, case.w), 3, 0.0)
    )
    gamma = case.w[:, None] * gamma_of(case.X, *case.theta)
    mass = gamma.sum(axis=0)
    assert_allclose(new.weights, mass / case.w.sum(), rtol=1e-12)
    assert_allclose(new.means, gamma.T @ case.X / mass[:, None], rtol=1e-10, atol=1e-12)
    for k in range(3):
        assert_allclose(
            new.covariances[k], scatter_about(case.X, gamma[:, k], new.means[k]) / mass[k], rtol=1e-9
        )


def test_eq_K_L_bound(case):
    """(K): B(q, θ) ≤ L for any q; (L): the gap is Σ w KL(q‖γ); it closes at q = γ."""
    L, gamma = log_likelihood(case.X, case.w, *case.theta), gamma_of(case.X, *case.theta)
    candidates = list(case.rng.dirichlet(np.ones(3), size=(20, len(case.X)))) + [
        np.eye(3)[gamma.argmax(axis=1)]
    ]
    for q in candidates:
        gap = case.w @ stats.entropy(q, gamma, axis=1)
        assert gap > 0
        assert_allclose(L - bound(q, case.X, case.w, *case.theta), gap, rtol=1e-9)
    assert_allclose(bound(gamma, case.X, case.w, *case.theta), L, rtol=1e-13)


def test_eq_K_bound_is_tangent(case):
    """At q = γ(θ) the bound has the gradient of L."""
    weights, means, covariances = case.theta
    gamma = gamma_of(case.X, *case.theta)
    touching = gradient(lambda m: bound(gamma, case.X, case.w, weights, m, covariances), means)
    assert_allclose(
        touching, gradient(lambda m: log_likelihood(case.X, case.w, weights, m, covariances), means)
    )


def test_eq_M_has_one_maximiser(case):
    """(7), (8), (11) beat every other θ in the bound: near ones, far ones, and along each block alone."""
    gamma = gamma_of(case.X, *case.theta)
    best = theta_of(
        m_step(case.mixture.fold(case.X, case.w), case.mixture, data_prior(as_source(case.X, case.w), 3, 0.0))
    )
    top = bound(gamma, case.X, case.w, *best)
    for scale in (1e-3, 1e-1, 1.0):
        for _ in range(10):
            weights = best[0] * np.exp(scale * case.rng.normal(size=3))
            means = best[1] + scale * case.rng.normal(size=(3, 3))
            roots = np.linalg.cholesky(best[2]) @ (np.eye(3) + scale * case.rng.normal(size=(3, 3, 3)))
            other = weights / weights.sum(), means, roots @ np.swapaxes(roots, 1, 2)
            for blocks in itertools.product([False, True], repeat=3):
                if any(blocks):
                    theta = [o if b else t for o, b, t in zip(other, blocks, best, strict=True)]
                    assert bound(gamma, case.X, case.w, *theta) < top


def test_eq_N_scatter_about_another_point(case):
    """(N): S_k(c) = S_k(μ̂) + N_k (μ̂ − c)(μ̂ − c)ᵀ."""
    mean, centre = case.w @ case.X / case.w.sum(), case.rng.normal(size=3)
    shift = np.outer(mean - centre, mean - centre) * case.w.sum()
    assert_allclose(
        scatter_about(case.X, case.w, centre), scatter_about(case.X, case.w, mean) + shift, rtol=1e-10
    )


def test_eq_O_inequality(case):
    """(O): m ln|Σ| + tr(Σ⁻¹S) ≥ m ln|S/m| + mD; equality at S/m, and strict elsewhere."""
    S, m = spd(case.rng, 3, 5.0), 3.7

    def left(sigma):
        return m * np.log(np.linalg.det(sigma)) + np.trace(np.linalg.inv(sigma) @ S)

    right = m * np.log(np.linalg.det(S / m)) + 3 * m
    assert_allclose(left(S / m), right, rtol=1e-13)
    assert all(left(spd(case.rng, 3, scale)) > right for scale in np.geomspace(1e-3, 1e3, 50))
    assert all(left(S / m * factor) > right for factor in (0.99, 1.01))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("reg_covar", [0.0, 1e-2])
def test_eq_P_never_falls(weighted, reg_covar):
    """(P): the library's objective, L or L + P, rises at each step; it is the text's."""
    fit = fitted(weighted, reg_covar)
    gains = np.diff(fit.trace.objectives)
    rounding = 1e-13 * np.abs(fit.trace.objectives[-1])
    assert np.all(gains >= -rounding)
    assert np.all(gains[:5] > 0)
    prior = data_prior(as_source(fit.X, fit.w), 3, reg_covar)
    P = penalty(prior.count, np.diag(prior.variances), theta_of(fit.trace.mixture)[2])
    assert_allclose(fit.trace.objectives[-1] - fit.trace.log_likelihoods[-1], P, rtol=1e-9, atol=1e-12)


def test_section_6_max_iter_counts_m_steps():
    """The loop ends with an E-step: L belongs to θ."""
    trace = em_trace(example(), EXAMPLE_ROWS, max_iter=2)
    assert (trace.n_iter, trace.reason, len(trace.log_likelihoods)) == (2, "max_iter", 3)
    assert_allclose(trace.log_likelihoods[-1], trace.mixture.log_likelihood(EXAMPLE_ROWS))
    step = reduce(lambda m, _: em_trace(m, EXAMPLE_ROWS, max_iter=1).mixture, range(2), example())
    assert step == trace.mixture


def test_section_7_4_symmetric_start_is_a_saddle():
    """Equal components stay equal, where the gradient vanishes and L still rises: skewed rows, means and variances."""
    stuck = em_trace(example(means=(1.0, 1.0)), EXAMPLE_ROWS, max_iter=3).mixture
    assert_allclose(stuck.responsibilities(EXAMPLE_ROWS), 0.5)
    assert_allclose(stuck.means, EXAMPLE_ROWS.mean())
    assert_allclose(stuck.covariances, EXAMPLE_ROWS.var())
    weights, means, covariances = theta_of(stuck)
    one = np.ones(len(EXAMPLE_ROWS))
    by_mean = gradient(lambda m: log_likelihood(EXAMPLE_ROWS, one, weights, m, covariances), means)
    by_variance = gradient(lambda s: log_likelihood(EXAMPLE_ROWS, one, weights, means, s), covariances)
    assert_allclose(by_mean, 0, atol=1e-14)
    assert_allclose(by_variance, 0, atol=1e-14)
    assert stats.skew(EXAMPLE_ROWS[:, 0]) > 0
    apart = np.array([1.0, -1.0])
    for step in (1e-3, 1e-2, 1e-1):
        other = example(means=means[:, 0] + step * apart, variances=covariances[:, 0, 0] + step * apart)
        assert other.log_likelihood(EXAMPLE_ROWS) > stuck.log_likelihood(EXAMPLE_ROWS)


def test_section_7_4_label_switching(case):
    """K! numberings, one density."""
    for order in map(list, itertools.permutations(range(3))):
        switched = Mixture(
            **dict(zip(("weights", "means", "covariances"), (p[order] for p in case.theta), strict=True))
        )
        assert_allclose(switched.log_density(case.X), case.mixture.log_density(case.X), rtol=1e-13)


# ---- sections 8 and 9: weights, collapse, pseudo-rows ------------------------------------------------------------


@pytest.mark.parametrize("reg_covar", [0.0, 1e-2])
def test_section_8_weights_are_repetitions(case, reg_covar):
    """A row of weight w counts as w rows; a factor common to all weights changes nothing but L."""
    counts = case.rng.integers(0, 4, size=len(case.X))
    options = {"reg_covar": reg_covar, "max_iter": 3}
    weighted = em_trace(case.mixture, case.X, counts.astype(float), **options)
    repeated = em_trace(case.mixture, np.repeat(case.X, counts, axis=0), **options)
    scaled = em_trace(case.mixture, case.X, 7.0 * counts, **options)
    for ours, theirs, many in zip(
        *map(theta_of, (weighted.mixture, repeated.mixture, scaled.mixture)), strict=True
    ):
        assert_allclose(ours, theirs, rtol=1e-8, atol=1e-10)
        assert_allclose(ours, many, rtol=1e-8, atol=1e-10)
    assert_allclose(weighted.log_likelihoods, repeated.log_likelihoods)
    assert_allclose(7 * np.array(weighted.log_likelihoods), scaled.log_likelihoods)


def collapsing(s):
    """The mixture of section 9.1."""
    return example(means=(EXAMPLE_ROWS[0, 0], EXAMPLE_ROWS.mean()), variances=(s**2, EXAMPLE_ROWS.var()))


def test_eq_Q_collapse():
    """(Q): L exceeds its bound, which grows like −ln s; with P it does not."""
    spreads = np.geomspace(1, 1e-12, 13)
    L = np.array([collapsing(s).log_likelihood(EXAMPLE_ROWS) for s in spreads])
    covered = stats.norm(EXAMPLE_ROWS.mean(), EXAMPLE_ROWS.std()).logpdf(EXAMPLE_ROWS[1:]).sum() - 3 * np.log(
        2
    )
    assert np.all(L >= -np.log(2 * spreads * np.sqrt(2 * np.pi)) + covered)
    assert_allclose(np.diff(L)[6:], np.log(10), rtol=1e-6)
    prior = data_prior(as_source(EXAMPLE_ROWS), 2, 1e-6)
    whole = [v + prior.penalty(*collapsing(s).prepared[1:], 2) for v, s in zip(L, spreads, strict=True)]
    assert whole[-1] < whole[0]


def test_eq_R_penalty(case):
    """(R) is the library's prior: ν = reg_covar·N/K, R = diag(variances), the value in nats."""
    prior = data_prior(as_source(case.X, case.w), 3, 0.05)
    centred = case.X - case.w @ case.X / case.w.sum()
    assert_allclose(prior.count, 0.05 * case.w.sum() / 3)
    assert_allclose(prior.variances, case.w @ centred**2 / case.w.sum())
    P = penalty(prior.count, np.diag(prior.variances), case.theta[2])
    assert_allclose(prior.penalty(*case.mixture.prepared[1:], 3), P, rtol=1e-10)


def test_eq_R_feature_without_spread():
    """Section 9.2: a constant feature has variance (2⁻⁵² max|x|)² in R, or 1e-300."""
    rows = np.stack([np.arange(5.0), np.full(5, -3.0), np.zeros(5)], axis=1)
    assert_allclose(data_prior(as_source(rows), 2, 0.1).variances, [2.0, (3 * 2.0**-52) ** 2, 1e-300])


def test_eq_S_m_step(case):
    """(S): (S_k + νR)/(N_k + ν); weights and means are those without P; L + P is stationary at its fixed point."""
    prior = data_prior(as_source(case.X, case.w), 3, 0.3)
    free = m_step(
        case.mixture.fold(case.X, case.w), case.mixture, data_prior(as_source(case.X, case.w), 3, 0.0)
    )
    held = m_step(case.mixture.fold(case.X, case.w), case.mixture, prior)
    assert_allclose(held.weights, free.weights)
    assert_allclose(held.means, free.means)
    gamma = case.w[:, None] * gamma_of(case.X, *case.theta)
    for k, mass in enumerate(gamma.sum(axis=0)):
        S = scatter_about(case.X, gamma[:, k], held.means[k])
        expected = (S + prior.count * np.diag(prior.variances)) / (mass + prior.count)
        assert_allclose(held.covariances[k], expected, rtol=1e-9, atol=1e-12)
    fit = fitted(True, 1e-2)
    weights, means, covariances = fit.theta
    prior = data_prior(as_source(fit.X, fit.w), 3, 1e-2)

    def objective(sigma):
        moved = replaced(covariances, 0, sigma)
        P = penalty(prior.count, np.diag(prior.variances), moved)
        return log_likelihood(fit.X, fit.w, weights, means, moved) + P

    assert_allclose(symmetric_gradient(objective, covariances[0]), 0, atol=1e-7)


def test_eq_S_likelihood_alone_may_fall():
    """Section 9.2: from the maximum of L, pseudo-rows lead L down and L + P up, L by less than P."""
    fit = fitted(True, 0.0)
    trace = em_trace(fit.mixture, fit.X, fit.w, reg_covar=0.3, max_iter=5)
    assert np.diff(trace.log_likelihoods)[0] < 0
    assert np.all(np.diff(trace.objectives) > 0)


def test_eq_T_upper_bound(case):
    """(T) exceeds L + P everywhere: at random θ, at collapses onto rows, at the fit."""
    N, D, K = case.w.sum(), 3, 3
    for reg_covar in (1e-6, 1e-1):
        prior = data_prior(as_source(case.X, case.w), K, reg_covar)
        nu, R = prior.count, np.diag(prior.variances)
        top = -N * D / 2 * np.log(2 * np.pi) - (N + nu) / 2 * (np.log(np.linalg.det(nu * R / (N + nu))) + D)
        top -= (K - 1) * nu / 2 * (np.log(np.linalg.det(R)) + D)
        thetas = [
            (case.theta[0], case.X[:K], np.stack([spd(case.rng, D, scale), *case.theta[2][1:]]))
            for scale in np.geomspace(1e-12, 1e3, 40)
        ]
        thetas += [
            (case.theta[0], case.theta[1], case.theta[2] * scale) for scale in np.geomspace(1e-10, 1e3, 40)
        ]
        for weights, means, covariances in thetas:
            mixture = Mixture(weights=weights, means=means, covariances=covariances)
            assert mixture.fold(case.X, case.w).log_likelihood + penalty(nu, R, covariances) <= top


@pytest.mark.parametrize("scale", [1e-3, 250.0, np.array([1e-3, 1.0, 4e5])])
def test_section_9_2_no_units(case, scale):
    """The fit of ax + b is the transform of the fit of x, a a number or one per feature; not so for a rotation."""
    a, b = np.broadcast_to(scale, 3), np.array([3.0, -20.0, 1.0])
    weights, means, covariances = case.theta
    moved = Mixture(weights=weights, means=means * a + b, covariances=covariances * a[:, None] * a)
    options = {"reg_covar": 0.1, "max_iter": 4}
    ours = em_trace(case.mixture, case.X, case.w, **options).mixture
    theirs = em_trace(moved, case.X * a + b, case.w, **options).mixture
    assert_allclose(theirs.weights, ours.weights, rtol=1e-7)
    assert_allclose((theirs.means - b) / a, ours.means, rtol=1e-7, atol=1e-9)
    assert_allclose(theirs.covariances / a[:, None] / a, ours.covariances, rtol=1e-7, atol=1e-9)


def test_section_9_2_rotations_are_seen(case):
    """R is diagonal and knows the features: the regularised fit does not turn with the data."""
    turn = stats.special_ortho_group(3, seed=5).rvs()
    weights, means, covariances = case.theta
    turned = Mixture(weights=weights, means=means @ turn.T, covariances=turn @ covariances @ turn.T)
    for reg_covar, equal in ((0.0, True), (0.1, False)):
        ours = em_trace(case.mixture, case.X, reg_covar=reg_covar, max_iter=1).mixture
        theirs = em_trace(turned, case.X @ turn.T, reg_covar=reg_covar, max_iter=1).mixture
        assert np.allclose(theirs.covariances, turn @ ours.covariances @ turn.T, rtol=1e-8) == equal


def test_section_9_2_collapse_is_reported():
    """With P a component still collapses, to about νR/(N_k + ν), and is reported; without P it is an error."""
    rows = np.concatenate([np.random.default_rng(0).normal(size=(60, 1)), [[50.0]]])
    start = Mixture(weights=[0.9, 0.1], means=[[0.0], [50.0]], covariances=np.ones((2, 1, 1)))
    with pytest.warns(gaussmix.errors.DegenerateWarning):
        fit = gaussmix.fit(rows, 2, init_params=start, tol=1e-10, max_iter=500)
    nu, variance = 1e-6 * 61 / 2, rows.var()
    assert_allclose(fit.mixture.full_covariances[1, 0, 0], nu * variance / (1 + nu), rtol=1e-3)
    assert fit.degenerate == (1,)
    with pytest.raises(SingularError):
        gaussmix.fit(rows, 2, init_params=start, tol=1e-10, max_iter=500, reg_covar=0)


# ---- section 10: how it is computed ------------------------------------------------------------------------------


def test_eq_U_V_statistics(case):
    """(U) is what `Statistics` holds about the current means; (V) turns it into (7) and (8)."""
    s = case.mixture.fold(case.X, case.w)
    gamma = case.w[:, None] * gamma_of(case.X, *case.theta)
    assert np.array_equal(s.origin, case.mixture.means)
    assert_allclose(s.mass, gamma.sum(axis=0))
    means, scatter = s.scatter()
    for k, o in enumerate(s.origin):
        assert_allclose(s.first[k], gamma[:, k] @ (case.X - o), rtol=1e-9, atol=1e-12)
        assert_allclose(s.second[k], scatter_about(case.X, gamma[:, k], o), rtol=1e-9, atol=1e-12)
        step = s.first[k] / s.mass[k]
        assert_allclose(means[k], o + step, rtol=1e-14)
        assert_allclose(
            scatter[k] / s.mass[k], s.second[k] / s.mass[k] - np.outer(step, step), rtol=1e-9, atol=1e-13
        )
        assert_allclose(scatter[k], scatter_about(case.X, gamma[:, k], means[k]), rtol=1e-9, atol=1e-12)


def test_eq_V_step_vanishes_at_the_fixed_point():
    """As EM converges d → 0: nothing is left to cancel."""
    fit = fitted()
    assert np.abs(fit.mixture.fold(fit.X, fit.w).first).max() < 1e-8


def test_eq_V_nothing_cancels():
    """At 1e9 ± 1e-3 one step gives the exact variance of the rows; E[x²] − μ² has no digit of it."""
    x = 1e9 + 1e-3 * np.random.default_rng(1).normal(size=400)
    exact = [Fraction(float(v)) for v in x]
    mean = sum(exact) / len(exact)
    variance = float(sum((v - mean) ** 2 for v in exact) / len(exact))
    start = Mixture(weights=[1.0], means=[[x[0]]], covariances=[[[1e-6]]])
    ours = em_trace(start, x[:, None], max_iter=2).mixture
    assert_allclose(ours.covariances[0, 0, 0], variance, rtol=1e-9)
    textbook = np.mean(x**2) - np.mean(x) ** 2
    assert abs(textbook - variance) > 0.9 * variance


def test_eq_W_recentred(case):
    """(W): the sums about another origin, and statistics of the same origin add."""
    s, shift = case.mixture.fold(case.X, case.w), case.rng.normal(size=(3, 3))
    moved = s.recentred(s.origin + shift)
    for k, h in enumerate(shift):
        n, d = s.mass[k], s.first[k]
        assert_allclose(moved.first[k], d - n * h, rtol=1e-10, atol=1e-12)
        expected = s.second[k] - np.outer(d, h) - np.outer(h, d) + n * np.outer(h, h)
        assert_allclose(moved.second[k], expected, rtol=1e-9, atol=1e-11)
    halves = case.mixture.fold(case.X[:9], case.w[:9]) + case.mixture.fold(case.X[9:], case.w[9:])
    assert_allclose(halves.second, s.second, rtol=1e-10, atol=1e-12)
    with pytest.raises(ValueError, match="origin"):
        s + moved


def test_eq_X_far_away():
    """(X): where every density underflows, ln p is finite and the responsibilities are exact."""
    mixture = example()
    far = np.array([[-1e4], [2.5 + 1e3], [1e6]])
    f = mixture.weights * stats.norm(mixture.means[:, 0], 1).pdf(far)
    assert np.all(f == 0)
    nearest = stats.norm(np.where(far[:, 0] < 2.5, 1.0, 4.0), 1).logpdf(far[:, 0]) + np.log(0.5)
    assert_allclose(mixture.log_density(far), nearest, rtol=1e-14)
    assert_allclose(mixture.responsibilities(far), [[1, 0], [0, 1], [0, 1]])
    # A tie, far from both: two wide components of equal distance.
    assert_allclose(example(means=(-1, 1)).responsibilities([[0.0]]), [[0.5, 0.5]])
    plane = Mixture(weights=[0.5, 0.5], means=[[-1.0, 0], [1, 0]], covariances=np.stack([np.eye(2)] * 2))
    assert_allclose(plane.responsibilities([[0.0, 1e5]]), [[0.5, 0.5]])


def test_eq_Y_density_by_whitening(case):
    """(Y): ln N from W alone."""
    for W, mu, sigma in zip(case.mixture.whitening, *case.theta[1:], strict=True):
        squares = ((case.X - mu) @ W.T) ** 2
        ours = -1.5 * np.log(2 * np.pi) + np.log(np.diag(W)).sum() - squares.sum(axis=1) / 2
        assert_allclose(ours, stats.multivariate_normal(mu, sigma).logpdf(case.X), rtol=1e-10)


# ---- the document ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def text():
    return DOCUMENT.read_text(encoding="utf-8")


def table(text, first_header):
    """Rows of cells of the table whose header begins with ``first_header``."""
    lines = text.splitlines()
    begin = next(i for i, line in enumerate(lines) if line.startswith(f"| {first_header} |"))
    rows = itertools.takewhile(lambda line: line.startswith("|"), lines[begin:])
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in rows]
    return [cells[0], *cells[2:]]


def decimals(cells):
    """Numbers as printed, and the rounding that printing them cost."""
    places = max(len(cell.partition(".")[2]) for cell in cells)
    return np.array([float(cell) for cell in cells]), 0.5001 * 10.0**-places


def test_document_equation_numbers(text):
    """(1) to (11) are tagged once each, in order; so are the letters; nothing refers to a number that is missing."""
    tags = re.findall(r"\\tag\{(\w+)\}", text)
    assert [t for t in tags if t.isdigit()] == [str(n) for n in range(1, 12)]
    letters = [t for t in tags if not t.isdigit()]
    assert letters == [chr(ord("A") + i) for i in range(len(letters))]
    prose = re.sub(r"```.*?```|\$[^$]*\$", "", text, flags=re.DOTALL)
    references = set(re.findall(r"\((\d{1,2}|[A-Z])\)", prose))
    assert references <= set(tags)
    assert set(map(str, range(1, 12))) <= references


def test_document_example_e_step(text):
    """Section 6: the table of the first E-step."""
    mixture = example()
    f = np.exp(log_f(EXAMPLE_ROWS, *theta_of(mixture)))
    expected = np.column_stack(
        [
            EXAMPLE_ROWS,
            f,
            f.sum(axis=1),
            mixture.responsibilities(EXAMPLE_ROWS),
            mixture.log_density(EXAMPLE_ROWS),
        ]
    )
    _, *rows = table(text, "$x_n$")
    assert len(rows) == len(EXAMPLE_ROWS)
    for row, numbers in zip(rows, expected, strict=True):
        printed, rounding = decimals(row)
        assert_allclose(printed, numbers, rtol=0, atol=rounding)
    sigmoid = 1 / (1 + np.exp(3 * EXAMPLE_ROWS[:, 0] - 7.5))
    assert_allclose(mixture.responsibilities(EXAMPLE_ROWS)[:, 0], sigmoid)


def test_document_example_steps(text):
    """Section 6: parameters, masses and L after 0, 1, 2 and infinitely many steps."""
    _, *rows = table(text, "steps")
    assert [row[0] for row in rows] == ["0", "1", "2", "∞"]
    for steps, *cells in rows:
        mixture = example()
        if steps != "0":
            mixture = em_trace(mixture, EXAMPLE_ROWS, max_iter=5000 if steps == "∞" else int(steps)).mixture
        s = mixture.fold(EXAMPLE_ROWS)
        expected = np.concatenate(
            [s.mass, mixture.weights, mixture.means[:, 0], mixture.covariances[:, 0, 0], [s.log_likelihood]]
        )
        printed, rounding = decimals(cells)
        assert_allclose(printed, expected, rtol=0, atol=rounding)


def test_document_example_residuals(text):
    """Section 10.1: the same step from the sums about the current mean."""
    paragraph = re.search(r"In the first step of section 6, (.*?)\n\n", text, flags=re.DOTALL).group(1)
    printed = [float(v) for v in re.findall(r"(?<![\w.])-?\d+\.\d+", paragraph.replace("- ", ""))]
    s = example().fold(EXAMPLE_ROWS)
    n, d, S = s.mass[0], s.first[0, 0], s.second[0, 0, 0]
    expected = [n, d, S, abs(d / n), 1 + d / n, S / n, (d / n) ** 2, S / n - (d / n) ** 2]
    assert_allclose(printed, expected, rtol=0, atol=0.5001e-6)


def test_document_collapse_table(text):
    """Section 9.1: L as the variance shrinks."""
    spreads, likelihoods = table(text, "$s$")
    expected = [collapsing(float(s)).log_likelihood(EXAMPLE_ROWS) for s in spreads[1:]]
    printed, rounding = decimals(likelihoods[1:])
    assert_allclose(printed, expected, rtol=0, atol=rounding)
    assert "mean 2.5 and variance 5.25" in text
    assert (EXAMPLE_ROWS.mean(), EXAMPLE_ROWS.var()) == (2.5, 5.25)
    assert rf"$\ln 10 = {np.log(10):.4f}$" in text


def test_document_names_exist(text):
    """Section 11: each name of the table is importable, or a member of `Mixture`."""
    section = text.partition("## 11.")[2].partition("\n## ")[0]
    names = re.findall(r"`([\w.]+)`", section)
    assert len(names) >= 12
    for name in names:
        head, *rest = name.split(".")
        if head == "Mixture":
            assert all(part in dir(Mixture) or part in Mixture.__dataclass_fields__ for part in rest), name
            continue
        found = import_module("gaussmix")
        for depth, part in enumerate(rest):
            path = ".".join([head, *rest[: depth + 1]])
            found = getattr(found, part) if hasattr(found, part) else import_module(path)


def test_document_renders_everywhere(text):
    """Markdown must not touch the mathematics: fences for displays, and inline nothing that Markdown would read."""
    assert "$$" not in text
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    assert prose.count("$") % 2 == 0
    for formula in re.findall(r"\$([^$]*)\$", prose):
        assert formula == formula.strip() and "\n" not in formula, formula
        # \{ \, \| lose their backslash; * and < and | mean something; _ after punctuation opens emphasis.
        assert not re.search(r"\\[^A-Za-z]|[*<>|`]|[^A-Za-z0-9]_", formula), formula
    headings = [
        re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in re.findall(r"(?m)^#+ (.*)$", text)
    ]
    assert set(re.findall(r"\]\(#([^)]*)\)", text)) <= set(headings)
