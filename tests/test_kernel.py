"""The native kernel against its oracle: structures, sizes, memory layouts, threads and instruction sets."""

from __future__ import annotations

import inspect
import math
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import pytest

from gaussmix import Mixture, _kernel, families, kernel, reference
from gaussmix.priors import Supplement
from gaussmix.statistics import Statistics

LEVELS = _kernel.instruction_sets()
STRUCTURES = ("diagonal", "tied", "full")
# Of the sum of magnitudes that were added; of max(1, |ln p|) for log densities.
DOUBLE, SINGLE = 1e-12, 1e-5


class Problem(NamedTuple):
    """Arguments of a fold but the threads."""

    rows: np.ndarray
    row_weights: np.ndarray | None
    log_weights: np.ndarray
    means: np.ndarray
    whitening: np.ndarray
    log_noise: float

    @property
    def parameters(self):
        return self[2:]


def problem(N, D, K, structure, weighted=False, noise=False, seed=0):
    """Overlapping components, so that most responsibilities are neither 0 nor 1."""
    rng = np.random.default_rng([seed, N, D, K])
    means = rng.normal(size=(K, D)) * 2 / math.sqrt(D)
    if structure == "diagonal":
        whitening = np.exp(rng.normal(size=(K, D)) * 0.3)
        roots = whitening[:, :, None] * np.eye(D)
    else:
        roots = np.tril(rng.normal(size=(1 if structure == "tied" else K, D, D)) * 0.3 / math.sqrt(D), -1)
        roots += np.exp(rng.normal(size=roots.shape[:2]) * 0.3)[:, :, None] * np.eye(D)
        whitening = roots
    labels = rng.integers(K, size=N)
    scales = np.linalg.inv(roots)[labels if len(roots) > 1 else 0 * labels]
    rows = means[labels] + np.einsum("nij,nj->ni", scales, rng.normal(size=(N, D)))
    row_weights = rng.exponential(size=N) * (rng.random(N) < 0.9) if weighted else None
    log_weights = np.log(rng.dirichlet(np.full(K, 5.0)) * (0.9 if noise else 1.0))
    typical = float(np.median(reference.evaluate(rows[:50], log_weights, means, whitening)[0]))
    log_noise = math.log(0.1) + typical
    return Problem(rows, row_weights, log_weights, means, whitening, log_noise if noise else -math.inf)


def fold_scales(p):
    """What the errors of the six sums are measured in: the sums of the magnitudes."""
    log_density, gamma = reference.bayes(reference.log_component_densities(p.rows, *p.parameters))
    weights = np.ones(len(p.rows)) if p.row_weights is None else p.row_weights
    gamma = gamma * weights[:, None]
    residuals = [np.abs(p.rows.astype(np.float64) - mean) for mean in p.means]
    first = np.stack([gamma[:, k] @ r for k, r in enumerate(residuals)])
    if p.whitening.ndim == 2:
        second = np.stack([gamma[:, k] @ r**2 for k, r in enumerate(residuals)])
    else:
        second = np.stack([(r * gamma[:, [k]]).T @ r for k, r in enumerate(residuals)])
        second = second if len(p.whitening) == len(p.means) else second.sum(axis=0, keepdims=True)
    mass = gamma.sum(axis=0)
    return mass[:-1], first, second, mass[-1], weights.sum(), weights @ np.maximum(1, np.abs(log_density))


def assert_folds_agree(got, p, tolerance):
    expected, scales = reference.fold(*p), fold_scales(p)
    # A tiny share of everything, so that responsibilities below e^-690 (float32: e^-80) may be zero.
    negligible = 1e-290 if tolerance == DOUBLE else 1e-30
    names = ("mass", "first", "second", "noise mass", "weight", "L")
    for name, ours, theirs, scale in zip(names, got, expected, scales, strict=True):
        error = np.abs(np.asarray(ours) - theirs)
        allowed = tolerance * np.asarray(scale) + negligible * np.max(scale)
        assert np.all(error <= allowed), (name, np.max(error / np.maximum(allowed, 1e-300)) * tolerance)


def check(p, tolerance=DOUBLE, n_threads=1):
    assert_folds_agree(kernel.fold(*p, n_threads), p, tolerance)
    log_density, labels, gamma = kernel.evaluate(p.rows, *p.parameters, n_threads)
    expected, best, responsibilities = reference.evaluate(p.rows, *p.parameters)
    scale = np.maximum(1, np.abs(expected))
    assert np.all(np.abs(log_density - expected) <= tolerance * scale)
    # ln gamma is a difference of logarithms: its error is theirs.
    assert np.all(np.abs(gamma - responsibilities) <= 10 * tolerance * scale[:, None])
    np.testing.assert_allclose(gamma.sum(axis=1), 1, rtol=0, atol=10 * tolerance)
    second, largest = np.partition(np.pad(responsibilities, ((0, 0), (1, 0))), -2, axis=1)[:, -2:].T
    assert np.all((labels == best) | (largest - second <= 20 * tolerance * scale))


@pytest.fixture(params=LEVELS)
def level(request, monkeypatch):
    monkeypatch.setenv("GAUSSMIX_SIMD", request.param)
    assert _kernel.instruction_set() == request.param
    return request.param


# ---- the same numbers as the oracle ------------------------------------------------------------------------


def test_same_signatures_as_the_oracle():
    assert inspect.signature(kernel.fold) == inspect.signature(reference.fold)
    assert inspect.signature(kernel.evaluate) == inspect.signature(reference.evaluate)
    assert inspect.signature(kernel.prepare) == inspect.signature(reference.prepare)


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("D", [1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 15, 16, 17, 20, 21, 26, 28, 29, 31, 70])
def test_every_width(level, structure, D):
    for K, weighted, noise in ((1, False, False), (3, True, False), (4, False, True), (2, True, True)):
        check(problem(157, D, K, structure, weighted, noise))


@pytest.mark.parametrize("structure", STRUCTURES)
def test_many_components(level, structure):
    for K in (5, 16, 39, 40):
        check(problem(90, 3, K, structure, weighted=True, noise=True))
    check(problem(131, 33, 40, structure))


@pytest.mark.parametrize(("D", "tile"), [(1, 512), (4, 512), (5, 256), (16, 256), (17, 128)])
def test_sizes_around_a_tile(level, D, tile):
    for N in (1, 2, 3, 7, 8, 9, tile - 1, tile, tile + 1, 2 * tile, 3 * tile + 5):
        check(problem(N, D, 2, "full", weighted=N % 2 == 1, noise=N % 3 == 0))


@pytest.mark.parametrize("apart", [1, 30, 1e4, 1e8])
def test_tied_components_near_each_other_and_far_apart(level, apart):
    """Rows are whitened once for all components, but not where that would lose digits."""
    p = problem(150, 6, 3, "tied", weighted=True)
    means = apart * p.means
    rows = means[np.arange(150) % 3] + np.random.default_rng(1).normal(size=(150, 6))
    check(p._replace(rows=rows, means=means))
    if apart < 1e4:  # beyond, float32 rows are too coarse themselves
        check(singly(p._replace(rows=rows, means=means)), SINGLE)


@pytest.mark.parametrize("D", [5, 9, 16, 31, 64])
def test_tied_statistics_from_pairs_of_means(level, D):
    """Above so many components that each takes its own products (D = 5: from 30 on), and below."""
    for K, weighted, noise in ((3, True, True), (8, False, False), (14, True, False), (40, False, True)):
        p = problem(300, D, K, "tied", weighted, noise)
        check(p, DOUBLE, 2)
        check(singly(p), SINGLE)


def test_tied_rows_far_from_zero_and_of_any_share(level):
    """1e9 ± 1e-3; rows that are noise but for one part in e^600, and one that has no density at all."""
    p = problem(400, 9, 4, "tied", weighted=True, noise=True)
    p.rows[::7] += 34 * np.random.default_rng(0).choice([-1, 1], size=p.rows[::7].shape)
    check(p)
    centre = 1e9 * np.arange(1.0, 10.0)
    rows = p.rows * 1e-3 + centre
    means = rows[:4]  # what can be written so far from zero
    check(p._replace(rows=rows, means=means, whitening=p.whitening * 1e3))
    rows = np.vstack([p.rows, np.full((1, 9), 1e160)])
    far = p._replace(rows=rows, row_weights=np.append(p.row_weights, 1.0), log_noise=-math.inf)
    near = p._replace(log_noise=-math.inf)
    for ours, theirs in zip(kernel.fold(*far)[:3], kernel.fold(*near)[:3], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-13, atol=1e-13 * np.abs(theirs).max())


# More components than a tile of the usual size holds: it shrinks, at 2000 to its least.
@pytest.mark.parametrize(("D", "K"), [(1, 200), (2, 2000)])
def test_tiles_that_shrink(level, D, K):
    check(problem(140, D, K, "diagonal", weighted=True))


# Rows of the longest chunks: 8192 here, two tiles of 256 there. N spans several chunks and ends inside one.
@pytest.mark.parametrize(("N", "D", "K"), [(5 * 8192 + 77, 2, 3), (1300, 70, 40)])
@pytest.mark.parametrize("structure", STRUCTURES)
def test_several_chunks(structure, N, D, K):
    p = problem(N, D, K, structure, weighted=True, noise=True)
    assert_folds_agree(kernel.fold(*p, 2), p, DOUBLE)


# ---- float32 -----------------------------------------------------------------------------------------------


def singly(p):
    return p._replace(rows=p.rows.astype(np.float32))


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("D", [1, 2, 3, 4, 5, 7, 11, 16, 17, 23, 30, 70])
def test_float32_rows(level, structure, D):
    for K, weighted, noise in ((1, False, False), (4, True, True)):
        check(singly(problem(700, D, K, structure, weighted, noise)), SINGLE)


def test_float32_rows_far_from_zero(level):
    """Residuals are formed without rounding the mean: 1e4 standard deviations away, as good as near zero."""
    p = problem(600, 3, 2, "full", weighted=True)
    check(singly(p._replace(rows=p.rows + 1e4, means=p.means + 1e4)), SINGLE)


@pytest.mark.parametrize("scale", [1e-30, 1e-16, 1e16, 1e30])
@pytest.mark.parametrize("structure", STRUCTURES)
def test_float32_rows_of_extreme_scale(structure, scale):
    """Their squares leave float32, so they are computed in float64."""
    p = problem(300, 5, 3, structure, weighted=True)
    p = singly(p._replace(rows=p.rows * scale, means=p.means * scale, whitening=p.whitening / scale))
    check(p, DOUBLE)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_float32_rows_far_beyond_ordinary_components(level, structure):
    """The square of the distance overflows float32, though the log density is an ordinary double."""
    p = problem(64, 5, 3, structure)
    p.rows[3] = 1e25
    p.rows[40, 2] = -3e38
    p = singly(p)
    log_density = kernel.evaluate(p.rows, *p.parameters)[0]
    assert np.all(np.isfinite(log_density))
    np.testing.assert_allclose(log_density, reference.evaluate(p.rows, *p.parameters)[0], rtol=1e-5)
    assert_folds_agree(kernel.fold(*p), p, SINGLE)


@pytest.mark.parametrize("scale", [1e-60, 1e-30, 1e30, 1e60])
def test_float32_rows_with_weights_of_any_scale(scale):
    p = singly(problem(300, 3, 2, "full", weighted=True))
    check_scaled = p._replace(row_weights=p.row_weights * scale)
    assert_folds_agree(kernel.fold(*check_scaled), check_scaled, SINGLE)


# ---- memory layouts ----------------------------------------------------------------------------------------


def layouts(rows):
    """The same rows, differently in memory."""
    N, D = rows.shape
    wide, tall = np.full((N, 2 * D + 1), np.nan, rows.dtype), np.full((3 * N, D), np.nan, rows.dtype)
    wide[:, 1::2], tall[::3] = rows, rows
    return {
        "Fortran": np.asfortranarray(rows),
        "every second column": wide[:, 1::2],
        "every third row": tall[::3],
        "reversed": np.ascontiguousarray(rows[::-1, ::-1])[::-1, ::-1],
        "Fortran, sliced": np.asfortranarray(tall)[::3],
        "columns of a wider table": np.hstack([rows, rows])[:, D:],
    }


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("D", [1, 3, 7, 20])
@pytest.mark.parametrize("single", [False, True])
def test_layout_changes_no_bit(level, structure, D, single):
    p = problem(700, D, 3, structure, weighted=True)
    p = singly(p) if single else p
    expected = kernel.fold(*p)
    density = kernel.evaluate(p.rows, *p.parameters)
    for name, rows in layouts(p.rows).items():
        assert np.array_equal(rows, p.rows)
        assert same_bits(kernel.fold(rows, *p[1:]), expected), name
        assert same_bits(kernel.evaluate(rows, *p.parameters), density), name


def test_repeated_memory():
    """One row seen many times through a stride of zero, and a table that may not be written."""
    p = problem(40, 3, 2, "full")
    once = np.broadcast_to(p.rows[0], (40, 3))
    assert same_bits(kernel.fold(once, *p[1:]), kernel.fold(once.copy(), *p[1:]))
    p.rows.flags.writeable = False
    check(p)


def same_bits(left, right):
    return all(np.asarray(a).tobytes() == np.asarray(b).tobytes() for a, b in zip(left, right, strict=True))


def test_no_copy_of_the_rows(fresh_python):
    """64 MB of rows inside a table of 128 MB: neither fold nor log densities take a tenth of that."""
    code = """
import numpy as np
from gaussmix import Mixture
def peak():
    status = dict(line.split(":") for line in open("/proc/self/status"))
    return int(status["VmHWM"].split()[0]) // 1024
table = np.random.default_rng(0).standard_normal((1_000_000, 16))
rows = table[:, ::2]
means = np.arange(24.0).reshape(3, 8) / 8
full = np.stack([np.eye(8)] * 3)
for name, covariances in (("full", full), ("diag", np.ones((3, 8))), ("tied", np.eye(8))):
    mixture = Mixture(weights=[0.2, 0.3, 0.5], means=means, covariances=covariances, covariance_type=name)
    mixture.fold(rows[:1000], None, n_threads=2)
    before = peak()
    for weights in (None, np.ones(1_000_000)):
        before = max(before, peak()) if weights is None else peak() + 8
        mixture.fold(rows, weights, n_threads=2)
        print(peak() - before)
before = peak()
mixture.log_density(rows)
print(peak() - before - 16)
"""
    grown = [int(line) for line in fresh_python(code).splitlines()]
    assert len(grown) == 7
    assert max(grown) < 6


# ---- threads -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize(("N", "D", "K"), [(50_001, 2, 3), (40_000, 1, 1), (3_001, 17, 5), (1_200, 70, 20)])
@pytest.mark.parametrize("structure", STRUCTURES)
def test_threads_change_no_bit(structure, N, D, K, single):
    p = problem(N, D, K, structure, weighted=True, noise=True)
    p = singly(p) if single else p
    alone = kernel.fold(*p, 1), kernel.evaluate(p.rows, *p.parameters, 1)
    for n_threads in range(2, 9):
        assert same_bits(kernel.fold(*p, n_threads), alone[0]), n_threads
    assert same_bits(kernel.evaluate(p.rows, *p.parameters, 5), alone[1])


def test_threads_of_a_caller_that_may_use_one_core():
    """They have no other core to begin on, and leave the caller's as they were."""
    p = problem(50_001, 2, 3, "full")
    alone, core = kernel.fold(*p, 1), {min(os.sched_getaffinity(0))}

    def bound():
        os.sched_setaffinity(0, core)  # of this thread alone
        return kernel.fold(*p, 4), os.sched_getaffinity(0)

    with ThreadPoolExecutor(1) as pool:
        sums, allowed = pool.submit(bound).result()
    assert same_bits(sums, alone)
    assert allowed == core


def test_thread_count(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(12)))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert [kernel.thread_count(n) for n in (None, -1, -2, -12, -40, 1, 20)] == [12, 12, 11, 1, 1, 1, 20]
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    assert [kernel.thread_count(n) for n in (None, -1, -2, 20)] == [4, 4, 3, 20]
    with pytest.raises(ValueError, match="n_jobs"):
        kernel.thread_count(0)


# ---- Ctrl-C ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("work", ["fold", "evaluate"])
def test_interrupt_within_a_pass(interrupted, work):
    """One pass of many seconds, with a thread beside the caller's: it ends at once, as KeyboardInterrupt."""
    interrupted(f"""
import numpy as np
from gaussmix import kernel
rng = np.random.default_rng(0)
rows = np.broadcast_to(rng.standard_normal(100), (4_000_000, 100))
problem = np.full(200, -np.log(200)), rng.standard_normal((200, 100)), np.stack([np.eye(100)] * 200)
print("ready", flush=True)
if {work!r} == "fold":
    kernel.fold(rows, None, *problem, n_threads=2)
else:
    kernel.evaluate(rows, *problem, n_threads=2, wanted=["log_density"])
""")


# ---- the ends of the range ---------------------------------------------------------------------------------


def test_subnormal_responsibilities(level):
    """ln γ from −700 to −744: γ is rounded to the nearest multiple of 5e-324, not lost."""
    logs = np.linspace(-700, -744, 353)
    # Unit variances, means 0 and 100, π equal: ln γ of the second is 100 x − 5000 to first order.
    rows = ((logs + 5000) / 100)[:, None]
    mixture = Mixture(
        weights=[0.5, 0.5], means=[[0.0], [100.0]], covariances=[1.0, 1.0], covariance_type="spherical"
    )
    gamma = mixture.responsibilities(rows)[:, 1]
    exact = np.array([math.exp(100 * x - 5000) for x in rows[:, 0]])
    oracle = reference.evaluate(rows, np.log(mixture.weights), mixture.means, mixture.whitening)[2][:, 1]
    for ours in (gamma, oracle):
        assert np.all(np.abs(ours - exact) <= 5e-324 + 1e-11 * exact)
        assert ours[-1] > 0


def test_densities_that_underflow(level):
    """1e3 to 1e140 standard deviations away: exact responsibilities, finite log densities."""
    mixture = Mixture(
        weights=[0.25, 0.75], means=np.zeros((2, 2)), covariances=[1.0, 1.0], covariance_type="VII"
    )
    rows = np.array([[1e3, 0], [1e8, -1e8], [1e100, 2], [-1e140, 1e140]])
    # Equal components: the responsibilities are the weights wherever one stands, up to the rounding of ln p.
    log_density = mixture.log_density(rows)
    np.testing.assert_allclose(log_density, -math.log(2 * math.pi) - 0.5 * (rows**2).sum(axis=1), rtol=1e-14)
    np.testing.assert_allclose(mixture.responsibilities(rows)[0], [0.25, 0.75], rtol=1e-9)
    means = [[-1.0, 0.0], [1.0, 0.0]]
    apart = Mixture(weights=[0.5, 0.5], means=means, covariances=[1.0, 1.0], covariance_type="VII")
    np.testing.assert_array_equal(apart.responsibilities([[1e3, 0.0], [-1e3, 0.0]]), [[0, 1], [1, 0]])
    np.testing.assert_array_equal(apart.classify([[1e3, 0.0], [-1e3, 0.0]]), [1, 0])


@pytest.mark.parametrize("structure", ["full", "tied", "diag", "spherical"])
@pytest.mark.parametrize("D", [1, 3, 6])
def test_infinitely_far(level, structure, D):
    """Beyond 1e154 standard deviations the square of the distance overflows: −inf, never NaN."""
    shape = {"full": (2, 1, 1), "tied": (1, 1)}.get(structure)
    if shape is None:
        covariances = np.full((2, D) if structure == "diag" else 2, 1e-30)
    else:
        covariances = np.tile(1e-30 * np.eye(D), shape)
    means = np.arange(2.0 * D).reshape(2, D)
    mixture = Mixture(weights=[0.5, 0.5], means=means, covariances=covariances, covariance_type=structure)
    rows = np.zeros((5, D))
    rows[1], rows[3, 0] = 1e150, -1e150
    log_density, labels, gamma = mixture.evaluate(rows)
    np.testing.assert_array_equal(np.isneginf(log_density), [False, True, False, True, False])
    assert not np.isnan(gamma).any()
    assert set(labels) <= {0, 1}
    statistics = mixture.fold(rows)
    assert statistics.log_likelihood == -math.inf
    for sums in (statistics.mass, statistics.first, statistics.second):
        assert not np.isnan(sums).any()


def test_weight_of_zero(level):
    """π_k = 0: the component takes nothing, and no NaN comes of ln 0."""
    p = problem(300, 3, 3, "full")
    p.log_weights[1] = -math.inf
    mass, first, _, _, _, log_likelihood = kernel.fold(*p)
    assert mass[1] == 0
    assert np.all(first[1] == 0)
    kept = [0, 2]
    others = p._replace(log_weights=p.log_weights[kept], means=p.means[kept], whitening=p.whitening[kept])
    assert log_likelihood == pytest.approx(reference.fold(*others)[-1], rel=1e-13)


def test_rows_of_weight_zero_count_for_nothing(level):
    """Even where their density is zero: 0 · (−inf) is 0 here."""
    p = problem(50, 2, 2, "full")
    far = p._replace(rows=np.vstack([p.rows, [[1e160, 1e160]]]), row_weights=np.append(np.ones(50), 0.0))
    for ours, theirs in zip(kernel.fold(*far), kernel.fold(*p), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-13)


def test_exponential_and_logarithm(level):
    """Two equal components at known log odds: γ and ln p are exp and log of them, nearly to the last bit."""
    odds = np.concatenate([np.linspace(0, 40, 4001), np.linspace(40, 700, 1001)])
    gamma, log_density = np.empty(len(odds)), np.empty(len(odds))
    for i, value in enumerate(odds):  # one feature at 0, so that only the constants differ
        weights, zeros = np.array([0.0, -value]), np.zeros((2, 1))
        densities, _, responsibilities = kernel.evaluate(zeros[:1], weights, zeros, np.ones((2, 1)))
        log_density[i], gamma[i] = densities[0], responsibilities[0, 1]
    exact = np.exp(-odds)
    # The constants themselves are rounded: ln γ to half a unit of its last place, twice.
    assert np.all(np.abs(gamma / (exact / (1 + exact)) - 1) <= 1e-15 + 2.3e-16 * odds)
    np.testing.assert_allclose(log_density + 0.5 * math.log(2 * math.pi), np.log1p(exact), rtol=0, atol=5e-16)


# ---- around the pass ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shape", [(3, 4), (5, 1, 1), (1, 2, 2), (4, 3, 3), (2, 7, 7), (1, 8, 8), (2, 37, 37)]
)
@pytest.mark.parametrize("scale", [1e-150, 1.0, 1e150])
def test_prepared_parameters(level, rng, shape, scale):
    n_features = shape[-1]
    weights = np.r_[0.0, rng.dirichlet(np.ones(3))]
    if len(shape) == 2:
        covariances = rng.exponential(size=shape)
    else:
        factors = rng.normal(size=(shape[0], n_features, 2 * n_features + 1))
        covariances = factors @ np.swapaxes(factors, 1, 2)
    units = scale * np.exp(rng.normal(size=n_features))
    covariances *= units if len(shape) == 2 else np.sqrt(units)[:, None] * np.sqrt(units)
    ours, theirs = (module.prepare(weights, covariances) for module in (kernel, reference))
    np.testing.assert_array_equal(ours.log_weights[0], -np.inf)
    np.testing.assert_allclose(ours.log_weights, theirs.log_weights, rtol=1e-15)
    np.testing.assert_allclose(ours.log_root, theirs.log_root, rtol=1e-12)
    assert ours.whitening.shape == shape
    if len(shape) == 2:
        np.testing.assert_allclose(ours.whitening, theirs.whitening, rtol=1e-15)
    else:
        assert np.array_equal(ours.whitening, np.tril(ours.whitening))
        unit = ours.whitening @ covariances @ np.swapaxes(ours.whitening, 1, 2)
        np.testing.assert_allclose(unit, np.broadcast_to(np.eye(n_features), unit.shape), atol=1e-11)
        size = np.abs(theirs.whitening).max(axis=(1, 2), keepdims=True)
        np.testing.assert_allclose(ours.whitening / size, theirs.whitening / size, atol=1e-12)


@pytest.mark.parametrize("value", [0.0, -1.0, np.inf, np.nan])
@pytest.mark.parametrize("shape", [(3, 4), (3, 1, 1), (2, 6, 6)])
def test_covariances_that_have_no_whitening(level, shape, value):
    covariances = np.ones(shape) if len(shape) == 2 else np.tile(np.eye(shape[-1]), (shape[0], 1, 1))
    covariances[-1, ..., -1] = value
    for module in (kernel, reference):
        with np.errstate(all="ignore"), pytest.raises(np.linalg.LinAlgError):
            module.prepare(np.ones(shape[0]), covariances)
    with pytest.raises(np.linalg.LinAlgError):
        kernel.prepare(np.ones(1), np.ones((1, 3, 3)))  # singular


@pytest.mark.parametrize("shape", [(4, 3), (1, 3, 3), (4, 3, 3)])
def test_scatter_is_that_of_the_statistics(rng, shape):
    mass, origin = np.r_[0.0, rng.exponential(size=3)], rng.normal(size=(4, 3))
    first = rng.normal(size=(4, 3)) * mass[:, None]
    factors = rng.normal(size=(*shape, 9))
    second = (factors**2).sum(-1) if len(shape) == 2 else np.einsum("kidn,kjdn->kij", factors, factors)
    statistics = Statistics(origin, mass, first, second, 0.0, 1.0, 1, 0.0)
    expected = statistics.scatter()
    family = families.get("VVI" if len(shape) == 2 else "VVV" if shape[0] == 4 else "EEE")
    stored = np.ones(family.structure.shape(4, 3))
    found = kernel.maximised(statistics, Supplement(1.0, np.zeros(3)), family, stored)
    weights, means, covariances, noise = found[:4]
    scatter = covariances * (
        mass.sum() + 4.0 if shape[0] == 1 else (mass + 1.0).reshape(4, *[1] * (len(shape) - 1))
    )
    for ours, theirs in zip((means, scatter.reshape(shape)), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-14 * np.abs(theirs).max())
    assert len(shape) == 2 or np.array_equal(covariances, np.swapaxes(covariances, -1, -2))
    assert np.array_equal(weights, mass / mass.sum()) and noise == 0


@pytest.mark.parametrize("name", families.NAMES)
def test_an_m_step_is_solved_and_prepared(rng, name):
    """What the one call gives is what its parts give, one by one."""
    family = families.get(name)
    rows, gamma = rng.normal(size=(60, 3)) * [1, 2, 5], rng.dirichlet(np.ones(4), size=60)
    origin = rng.normal(size=(4, 3))
    apart = rows[None] - origin[:, None]
    second = np.einsum("nk,kni,knj->kij", gamma, apart, apart)
    sums = (gamma.sum(0), np.einsum("nk,kni->ki", gamma, apart), family.structure.moments(second))
    statistics = Statistics(origin, *sums, 1.5, 61.5, 60, 0.0)
    added, centre = rng.uniform(0.1, 1, 3), rng.normal(size=3)
    blank = family.solve(family.structure.moments(np.repeat(np.eye(3)[None], 4, axis=0)), np.ones(4), None)
    supplement = Supplement(2.5, added, 0.5, centre)
    weights, means, covariances, noise, prepared = kernel.maximised(statistics, supplement, family, blank)

    middle, scatter = statistics.scatter()
    together = gamma.sum(0)[:, None] + 0.5
    np.testing.assert_allclose(means, (gamma.sum(0)[:, None] * middle + 0.5 * centre) / together)
    pull = 0.5 * gamma.sum(0)[:, None] / together
    drawn = (pull * (middle - centre))[:, :, None] * (middle - centre)[:, None, :]
    more = family.structure.moments(drawn + np.diag(added))
    expected = family.solve(scatter + more, gamma.sum(0) + 2.5, blank)
    np.testing.assert_allclose(covariances, expected, rtol=1e-9, atol=1e-12)
    again = kernel.prepare(weights, family.structure.spread(covariances, 3))
    for ours, theirs in zip(prepared, again, strict=True):
        assert np.array_equal(ours, theirs)
    assert noise == pytest.approx(1.5 / 61.5) and weights.sum() + noise == pytest.approx(1)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", [(4, 3), (1, 3, 3), (4, 3, 3)])
def test_sums_of_classes_are_those_of_responsibilities_zero_and_one(rng, shape, weighted, dtype):
    """Rows of any strides; rows of no class, an empty class, rows without weight."""
    rows = (1e3 + rng.normal(size=(2, 50, 6))).astype(dtype)[0, :, ::2]
    labels = rng.integers(-1, 3, size=50)
    weights = rng.integers(0, 3, size=50).astype(float) if weighted else None
    means, *sums = kernel.class_sums(rows, weights, labels, 4, shape)
    gamma = (labels[:, None] == np.arange(4)).astype(float)
    expected = reference.accumulate(rows, weights, gamma, means, shape)
    for ours, theirs in zip(sums, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-9)
    np.testing.assert_allclose(sums[1], 0.0, atol=1e-9)
    assert sums[0][3] == 0 and not means[3].any()


def test_gains_of_merges_survive_what_is_not_a_number():
    parts = np.ones(2), np.zeros((2, 1)), np.ones((2, 1, 1))
    for bad in (np.nan, np.inf):
        for q in ([[1.0, bad]], [[bad, 1.0]], [[bad, bad]]):
            gain = kernel.merge_gains(parts, np.array(q), np.array([0]), np.array([1]), False)
            assert np.all(np.isfinite(gain))
    flat = np.array([[[1.0, 1.0], [1.0, 1.0]]] * 2)  # singular
    flat_parts = np.ones(2), np.zeros((2, 2)), flat
    assert np.all(np.isfinite(kernel.merge_gains(flat_parts, np.eye(2), np.array([0]), np.array([1]), False)))


def test_wrong_shapes_of_sums_and_pairs_are_refused():
    rows, labels = np.zeros((5, 2)), np.zeros(5, dtype=np.int64)
    for shape in ((), (6,), (3, 2, 1, 1), (2, 2, 2)):
        with pytest.raises(ValueError, match="second"):
            kernel.class_sums(rows, None, labels, 3, shape)
    with pytest.raises(ValueError, match="below K"):
        kernel.class_sums(rows, None, labels + 3, 3, (3, 2))
    parts = np.ones(2), np.zeros((2, 1)), np.ones((2, 1, 1))
    with pytest.raises(ValueError, match="components"):
        kernel.merge_gains(parts, np.eye(2), np.array([0]), np.array([2]), False)
    with pytest.raises(ValueError, match="first seed"):
        kernel.seeds_of(rows, np.ones(5), 5, np.zeros((2, 1)))
    sums = Statistics(np.zeros((6, 2)), np.ones(6), np.zeros((6, 2)), np.ones((6, 2)), 0.0, 6.0, 6, 0.0)
    for whitening in (np.ones((2, 6)), np.ones((6, 2, 1)), np.ones(12)):
        with pytest.raises(ValueError, match="whitening"):
            kernel.coordinates([sums, sums], sums.origin, whitening, sums.mass)
    with pytest.raises(ValueError, match="two passes"):
        kernel.proposed(np.zeros((2, 4)), Statistics(*np.zeros((4, 1, 1)), 0.0, 1.0, 1, 0.0), 1.0)


# ---- the door ----------------------------------------------------------------------------------------------


def test_unknown_instruction_set(monkeypatch):
    monkeypatch.setenv("GAUSSMIX_SIMD", "mmx")
    p = problem(5, 2, 1, "full")
    with pytest.raises(ValueError, match=r"GAUSSMIX_SIMD=mmx is not an instruction set .*; it has baseline"):
        kernel.fold(*p)
    with pytest.raises(ValueError, match="GAUSSMIX_SIMD=mmx"):
        kernel.evaluate(p.rows, *p.parameters)


def test_choice_of_instruction_set(monkeypatch):
    monkeypatch.delenv("GAUSSMIX_SIMD", raising=False)
    assert LEVELS[0] == "baseline"
    assert _kernel.instruction_set() == LEVELS[-1]
    monkeypatch.setenv("GAUSSMIX_SIMD", "")
    assert _kernel.instruction_set() == LEVELS[-1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows": np.zeros((4, 3))}, "disagree"),
        ({"rows": np.zeros((4, 2), dtype=np.int64)}, "float32 or float64"),
        ({"log_weights": np.zeros(3)}, "disagree"),
        ({"whitening": np.ones((3, 2, 2))}, "whitening"),
        ({"whitening": np.ones((2, 3))}, "whitening"),
        ({"row_weights": np.ones(5)}, "row weights"),
    ],
)
def test_shapes_are_checked_at_the_door(change, message):
    p = problem(4, 2, 2, "full")._replace(**change)
    with pytest.raises(ValueError, match=message):
        kernel.fold(*p)


@pytest.mark.qemu
def test_processor_without_avx2(fresh_python):
    """On an emulated Nehalem the kernel chooses its baseline, agrees with the oracle, fits as here."""
    emulator = shutil.which("qemu-x86_64")
    if emulator is None:
        pytest.skip("qemu-x86_64 is not installed")
    code = """
import numpy as np, gaussmix
from gaussmix import _kernel, kernel, reference
print(_kernel.instruction_set(), *_kernel.instruction_sets())
rng = np.random.default_rng(0)
rows = rng.standard_normal((700, 6))
rows[:300] += 3
root = np.eye(6) + np.tri(6, k=-1) / 9
for dtype, tolerance in ((np.float64, 1e-12), (np.float32, 1e-5)):
    for whitening in (np.ones((2, 6)), root[None], np.stack([np.eye(6), root])):
        problem = rows.astype(dtype), None, np.log([0.4, 0.6]), np.array([[3.0] * 6, [0.0] * 6]), whitening
        for ours, theirs in zip(kernel.fold(*problem), reference.fold(*problem)):
            assert np.allclose(ours, theirs, rtol=tolerance, atol=1e3 * tolerance), (dtype, whitening.shape)
fit = gaussmix.fit(rows, 2, random_state=0, tol=1e-8)
print(fit.converged, fit.log_likelihood)
"""
    unforced = {"GAUSSMIX_SIMD": "", "OPENBLAS_CORETYPE": ""}  # NumPy's BLAS chooses, too
    chosen, emulated = fresh_python(code, emulator, "-cpu", "Nehalem", **unforced).splitlines()
    assert chosen == "baseline baseline"
    here = fresh_python(code).splitlines()[1]
    assert emulated.split()[0] == here.split()[0] == "True"
    assert float(emulated.split()[1]) == pytest.approx(float(here.split()[1]), rel=1e-10)


# ---- pruning -----------------------------------------------------------------------------------------------


def crowd(n_components, spread, n_rows=6000, n_features=5, seed=0, dtype=np.float64):
    """Rows of many components with centres N(0, spread² I), and the components."""
    rng = np.random.default_rng(seed)
    means = spread * rng.normal(size=(n_components, n_features))
    whitening = np.tril(0.3 * rng.normal(size=(n_components, n_features, n_features)), -1)
    whitening += np.eye(n_features) * rng.uniform(0.7, 1.6, size=(n_components, n_features, 1))
    rows = means[rng.integers(n_components, size=n_rows)] + rng.normal(size=(n_rows, n_features))
    return rows.astype(dtype), np.log(rng.dirichlet(np.full(n_components, 5.0))), means, whitening


def always(n_components):
    """What is known of the rows before a pass that is pruned whether it pays or not: without rows to judge by."""
    return {f"tiles for {n_components}": np.empty(0, dtype=np.int32)}


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("form", ["full", "diagonal", "tied"])
def test_pruned_pass_equals_the_dense_one(monkeypatch, level, form):
    """To 1e-12 of their scale, with weights and noise, in the same bits for any number of threads."""
    monkeypatch.setenv("GAUSSMIX_SIMD", level)
    rows, log_weights, means, whitening = crowd(400, 12.0)
    whitening = {
        "full": whitening,
        "tied": whitening[:1].copy(),
        "diagonal": np.diagonal(whitening, axis1=1, axis2=2).copy(),
    }[form]
    weights = np.random.default_rng(1).uniform(0.5, 2.0, size=len(rows))
    memo = always(400)
    dense = kernel.fold(rows, weights, log_weights, means, whitening, -20.0)
    pruned = kernel.fold(rows, weights, log_weights, means, whitening, -20.0, 1, memo)
    assert np.array_equal(np.sort(memo["order"]), np.arange(len(rows)))
    for got, expected in zip(pruned, dense, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-12 * np.abs(expected).max())
    for n_threads in (2, 5):
        again = kernel.fold(rows, weights, log_weights, means, whitening, -20.0, n_threads, memo)
        assert all(np.array_equal(a, b) for a, b in zip(again, pruned, strict=True))


def test_pruning_only_where_it_pays():
    """A crowd far apart is visited in an order that is kept; of one that overlaps no order is looked for."""
    for spread, pays in ((12.0, True), (0.3, False)):
        rows, *parameters = crowd(128, spread, n_rows=40_000)
        memo: dict = {}
        pruned = kernel.fold(rows, None, *parameters, -math.inf, 1, memo)
        dense = kernel.fold(rows, None, *parameters)
        assert same_bits(pruned, dense) != pays
        assert ("order" in memo) == pays


def test_what_is_known_of_the_rows_decides_nothing():
    """Whether it pays depends on rows and mixture alone: the same bits with an order that another mixture asked for."""
    rows, *parameters = crowd(128, 12.0, n_rows=40_000)
    memo: dict = {}
    kernel.fold(rows, None, *parameters, -math.inf, 1, memo)
    for spread in (1.0, 2.0, 3.0, 4.0, 6.0, 12.0):
        log_weights, means, whitening = parameters
        others = log_weights, means * (spread / 12.0), whitening
        fresh, known = (kernel.fold(rows, None, *others, -math.inf, 1, each) for each in ({}, memo))
        assert same_bits(fresh, known), spread


def test_a_component_without_rows_loses_nothing():
    """One whose mass is below one row gets the sums of the dense pass."""
    rows, log_weights, means, whitening = crowd(400, 12.0)
    means[0] = means[1] + 12.0
    dense = kernel.fold(rows, None, log_weights, means, whitening)
    assert 0 < dense[0][0] < 1
    pruned = kernel.fold(rows, None, log_weights, means, whitening, -math.inf, 1, always(len(means)))
    assert not np.array_equal(pruned[2], dense[2])  # it did prune
    np.testing.assert_allclose(pruned[0], dense[0], rtol=1e-12)
    np.testing.assert_allclose(pruned[1][0], dense[1][0], rtol=1e-11)


def test_a_component_that_loses_its_rows_loses_nothing():
    """Its weight lets expect a hundred rows, but it lies where it gets the tail of one: its sums are the dense ones."""
    rows, log_weights, means, whitening = crowd(200, 12.0, 8000)
    direction = np.linalg.solve(whitening[1], np.eye(5)[0])
    # As far from its own mean as leaves it about 1e-12 of a row.
    means[0], whitening[0] = means[1] + 9.0 * direction, whitening[1]
    dense = kernel.fold(rows, None, log_weights, means, whitening)
    assert np.exp(log_weights[0]) * len(rows) > 20
    assert 0 < dense[0][0] < 1
    pruned = kernel.fold(rows, None, log_weights, means, whitening, -math.inf, 1, always(len(means)))
    assert not np.array_equal(pruned[2], dense[2])  # it did prune
    np.testing.assert_allclose(pruned[0], dense[0], rtol=1e-11)
    np.testing.assert_allclose(pruned[2][0], dense[2][0], rtol=1e-9)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("n_features", [1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 33])
def test_pruning_of_every_width(level, n_features, dtype):
    """Full and diagonal, some rows far out, some of weight zero."""
    rows, log_weights, means, whitening = crowd(100, 40.0 if n_features < 3 else 12.0, 3000, n_features)
    rng = np.random.default_rng(2)
    rows[::50] += 30 * rng.normal(size=rows[::50].shape)
    rows, weights = rows.astype(dtype), rng.uniform(0, 2, size=len(rows)) * (np.arange(len(rows)) % 7 > 0)
    tolerance = 1e-12 if dtype == np.float64 else 1e-5
    for roots in (whitening, np.diagonal(whitening, axis1=1, axis2=2).copy()):
        parameters = rows, weights, log_weights, means, roots
        dense = kernel.fold(*parameters)
        pruned = kernel.fold(*parameters, -math.inf, 2, always(100))
        for got, expected in zip(pruned, dense, strict=True):
            np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance * np.abs(expected).max())


@pytest.mark.parametrize(("shift", "scale"), [(1e6, 1.0), (0.0, 1e-9), (-1e3, 1e6)])
def test_pruning_far_from_zero_and_in_any_unit(shift, scale):
    """The planes are float32: what they leave out stays certain far from zero, and where variances are tiny or huge."""
    rows, log_weights, means, whitening = crowd(200, 12.0, 8000)
    rows, means, whitening = (rows + shift) * scale, (means + shift) * scale, whitening / scale
    dense = kernel.fold(rows, None, log_weights, means, whitening)
    pruned = kernel.fold(rows, None, log_weights, means, whitening, -math.inf, 1, always(len(means)))
    assert not np.array_equal(pruned[2], dense[2])  # it did prune
    for got, expected in zip(pruned, dense, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-12 * np.abs(expected).max())


def test_pruning_of_float32_rows():
    rows, *parameters = crowd(400, 12.0, dtype=np.float32)
    memo = always(400)
    dense = kernel.fold(rows, None, *parameters)
    pruned = kernel.fold(rows, None, *parameters, -math.inf, 2, memo)
    assert "order" in memo  # it did prune
    for got, expected in zip(pruned, dense, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


def test_order_of_few_and_equal_rows():
    for rows in (np.zeros((1, 3)), np.ones((500, 2)), np.arange(65.0)[:, None]):
        assert np.array_equal(np.sort(kernel.spatial_order(rows)), np.arange(len(rows)))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("rest", [1, 8, 9])
def test_a_last_row_alone_finds_its_home(dtype, rest):
    """A pruned pass settles rows in groups; the last group may be one row."""
    rng = np.random.default_rng(0)
    K, D, N = 400, 3, 16384 + rest
    means = rng.uniform(-100, 100, size=(K, D))
    rows = (means[rng.integers(K, size=N)] + rng.normal(size=(N, D))).astype(dtype)
    parameters = (np.full(K, -np.log(K)), means, np.repeat(np.eye(D)[None], K, axis=0))
    memo = always(K)
    for _ in range(3):
        pruned = kernel.fold(rows, None, *parameters, memo=memo)
        dense = kernel.fold(rows, None, *parameters)
        tolerance = 1e-12 if dtype == np.float64 else 1e-5
        for ours, theirs in zip(pruned, dense, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance * np.abs(theirs).max())
    assert "order" in memo
