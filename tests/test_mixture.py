"""Mixture: what it refuses and how it says so, and what can be asked of it, against definitions."""

from __future__ import annotations

import copy
import dataclasses
import math
import pickle

import numpy as np
import pytest

from gaussmix import Mixture, fitting
from gaussmix.errors import DataError, ParameterError
from gaussmix.families import ALIASES, NAMES, get


def full(K=2, D=3, seed=0, **changes):
    rng = np.random.default_rng(seed)
    roots = rng.normal(size=(K, D, D)) + 2 * np.eye(D)
    fields = {
        "weights": rng.dirichlet(np.full(K, 4.0)),
        "means": rng.normal(size=(K, D)) * 2,
        "covariances": roots @ roots.transpose(0, 2, 1),
        **changes,
    }
    return Mixture(**fields)


def of_family(name, K=3, D=2):
    """Some mixture of that family: its own covariances, made by one M-step from random scatter."""
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(K, 20, D)) @ rng.normal(size=(K, D, D))
    scatter = np.einsum("kni,knj->kij", rows, rows)
    family = get(name)
    shape = family.structure.moment_shape(K, D)
    moments = np.einsum("kii->ki", scatter).copy() if len(shape) == 2 else scatter
    moments = moments.sum(axis=0, keepdims=True) if shape[0] == 1 and len(shape) == 3 else moments
    covariances = family.solve(moments, np.full(K, 20.0), None)
    means = rng.normal(size=(K, D))
    return Mixture(weights=np.full(K, 1 / K), means=means, covariances=covariances, covariance_type=name)


# ---- what is refused ---------------------------------------------------------------------------------------

IDENTITY = np.stack([np.eye(2)] * 2)
VALID = {"weights": [0.5, 0.5], "means": [[0.0, 0.0], [1.0, 1.0]], "covariances": IDENTITY}
LOPSIDED = IDENTITY + [[0.0, 0.3], [0.0, 0.0]]
INDEFINITE = np.stack([np.eye(2), [[1.0, 2.0], [2.0, 1.0]]])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": [-0.5, 1.5]}, r"weights must not be negative, got -0\.5 for component 0"),
        ({"weights": [0.5, 0.6]}, r"weights must sum to 1, their sum is 1\.1"),
        ({"weights": [0.5, 0.5 + 1e-7]}, "weights must sum to 1"),
        ({"weights": [np.nan, 1.0]}, "weights must be finite, got nan"),
        ({"weights": [[0.5, 0.5]]}, r"weights must have 1 dimension\(s\), got shape \(1, 2\)"),
        ({"weights": [1.0]}, "1 weights for 2 means"),
        ({"weights": ["a", "b"]}, "weights must be an array of numbers"),
        ({"weights": []}, "weights is empty"),
        ({"weights": None}, "weights must"),
        ({"means": [0.0, 1.0]}, r"means must have 2 dimension\(s\), got shape \(2,\)"),
        ({"means": [[0.0, np.inf], [1.0, 1.0]]}, "means must be finite, got inf"),
        ({"means": [[0.0, 1.0], [1.0]]}, "means must be an array of numbers"),
        (
            {"means": np.zeros((2, 3))},
            r"family VVV .* have shape \(2, 3, 3\), got \(2, 2, 2\)",
        ),
        ({"covariances": np.eye(2)}, r"shape \(2, 2, 2\), got \(2, 2\)"),
        (
            {"covariances": IDENTITY, "covariance_type": "tied"},
            r"family EEE .* \(2, 2\), got \(2, 2, 2\)",
        ),
        ({"covariances": IDENTITY, "covariance_type": "diag"}, r"family VVI .* shape \(2, 2\)"),
        ({"covariances": [1.0], "covariance_type": "spherical"}, r"family VII .* shape \(2,\), got \(1,\)"),
        ({"covariances": IDENTITY * [[1.0, np.nan], [1.0, 1.0]]}, "covariances must be finite, got nan"),
        ({"covariances": LOPSIDED}, "covariances must be symmetric"),
        ({"covariances": INDEFINITE}, "positive definite; component 1 has smallest eigenvalue -1"),
        ({"covariances": 0 * IDENTITY}, "positive definite; component 0 has smallest eigenvalue 0"),
        ({"covariances": [1.0, -2.0], "covariance_type": "VII"}, "component 1 has smallest eigenvalue -2"),
        ({"covariances": [[1.0, 1.0], [0.0, 1.0]], "covariance_type": "VVI"}, "component 1 has smallest"),
        ({"covariances": INDEFINITE[1], "covariance_type": "EEE"}, "positive definite"),
        (
            {"covariance_type": "wide"},
            "'wide' is not a covariance family; choose one of full",
        ),
        ({"covariance_type": ["full"]}, "is not a covariance family"),
        ({"covariance_type": None}, "is not a covariance family"),
        ({"noise_weight": 0.5}, "weights must sum to 1, their sum is 1.5"),
        ({"weights": [0.6, 0.6], "noise_weight": -0.2}, "noise_weight must lie in"),
        ({"weights": [0.4, 0.4], "noise_weight": 0.2}, "noise_weight=0.2 needs a noise_density"),
        ({"weights": [0.4, 0.4], "noise_weight": 0.2, "noise_density": -1}, "noise_density must be finite"),
        (
            {"weights": [0.4, 0.4], "noise_weight": 0.2, "noise_density": np.inf},
            "noise_density must be finite",
        ),
        ({"weights": [0.4, 0.4], "noise_weight": np.nan, "noise_density": 1}, "noise_weight|sum to 1"),
        ({"feature_names": ["a"]}, "1 feature names for 2 features"),
    ],
)
def test_refused(changes, message):
    with pytest.raises(ParameterError, match=message):
        Mixture(**{**VALID, **changes})


def test_no_fields_by_position():
    with pytest.raises(TypeError):
        Mixture([0.5, 0.5], [[0.0], [1.0]], [1.0, 1.0])


def test_smallest_difference_that_is_refused():
    """Weights may be off by the rounding of ten digits, covariances asymmetric by that of eight."""
    Mixture(**{**VALID, "weights": [0.5, 0.5 + 9e-9]})
    almost = IDENTITY.copy()
    almost[0, 0, 1] = 5e-9
    Mixture(**{**VALID, "covariances": almost})
    almost[0, 0, 1] = 2e-8
    with pytest.raises(ParameterError, match="symmetric"):
        Mixture(**{**VALID, "covariances": almost})


def test_symmetry_is_judged_in_the_features_own_units():
    scale = np.array([1e-6, 1e6])
    covariances = np.array([[1.0, 0.5], [0.5, 1.0]]) * np.outer(scale, scale)
    Mixture(weights=[1.0], means=[[0.0, 0.0]], covariances=[covariances])
    covariances[0, 1] *= 1 + 1e-4
    with pytest.raises(ParameterError, match="symmetric"):
        Mixture(weights=[1.0], means=[[0.0, 0.0]], covariances=[covariances])


# ---- a value -----------------------------------------------------------------------------------------------


def test_frozen():
    mixture = full()
    with pytest.raises(dataclasses.FrozenInstanceError):
        mixture.weights = np.ones(2) / 2
    for name in ("weights", "means", "covariances", "whitening", "full_covariances"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(mixture, name)[0] = 0.5


def test_keeps_no_hold_on_what_it_was_given():
    weights, means, covariances = np.array([0.5, 0.5]), np.zeros((2, 2)), IDENTITY.copy()
    mixture = Mixture(weights=weights, means=means, covariances=covariances)
    for array in (weights, means, covariances):
        array[0] = 7
    assert mixture == Mixture(weights=[0.5, 0.5], means=np.zeros((2, 2)), covariances=IDENTITY)


def test_arrays_of_any_layout_and_type():
    plain = full(3, 4)
    for convert in (np.asfortranarray, lambda a: a.astype(">f8"), lambda a: np.repeat(a, 2, axis=0)[::2]):
        same = full(
            3, 4, **{name: convert(getattr(plain, name)) for name in ("weights", "means", "covariances")}
        )
        assert same == plain
        assert same.log_likelihood(np.ones((5, 4))) == plain.log_likelihood(np.ones((5, 4)))
    diagonal = Mixture(
        weights=[0.5, 0.5], means=np.ones((3, 2)).T, covariances=np.ones((3, 2)).T, covariance_type="diag"
    )
    assert math.isfinite(diagonal.log_likelihood(np.ones((5, 3))))


@pytest.mark.parametrize("name", [*NAMES, *ALIASES])
def test_pickle_and_copy(name):
    mixture = of_family(name)
    rows = np.random.default_rng(0).normal(size=(9, 2))
    mixture.log_density(rows)  # with its caches filled
    for twin in (pickle.loads(pickle.dumps(mixture)), copy.deepcopy(mixture), copy.copy(mixture)):
        assert twin == mixture
        assert twin.covariance_type == name
        assert np.array_equal(twin.log_density(rows), mixture.log_density(rows))
        with pytest.raises(ValueError, match="read-only"):
            twin.means[0] = 1


def test_equality_is_to_the_last_bit():
    mixture = full(feature_names=["a", "b", "c"])
    assert mixture == full(feature_names=["a", "b", "c"])
    assert mixture != full()
    assert mixture != full(2, 3, 1, feature_names=["a", "b", "c"])
    nearly = mixture.means.copy()
    nearly[0, 0] = np.nextafter(nearly[0, 0], 9)
    assert mixture != full(means=nearly, feature_names=["a", "b", "c"])
    assert mixture != "a mixture"
    ones = {"weights": [1.0], "means": [[0.0]]}
    assert Mixture(**ones, covariances=[1.0], covariance_type="VII") != Mixture(**ones, covariances=[[[1.0]]])
    with pytest.raises(TypeError):
        hash(mixture)


@pytest.mark.parametrize("name", NAMES)
def test_number_of_parameters(name):
    K, D = 3, 2
    mixture = of_family(name, K, D)
    expected = K - 1 + K * D + get(name).n_parameters(K, D)
    assert mixture.n_parameters == expected
    noisy = dataclasses.asdict(mixture) | {
        "weights": np.full(K, 0.3),
        "noise_weight": 0.1,
        "noise_density": 0.5,
    }
    assert Mixture(**noisy).n_parameters == expected + 2


@pytest.mark.parametrize("name", NAMES)
def test_components_in_another_order(name):
    """The same density, to the bit component by component; the largest first, equal ones by their means."""
    mixture = of_family(name)
    rows = np.random.default_rng(2).normal(size=(50, 2)) * 2
    order = np.array([2, 0, 1])
    other = mixture.reordered(order)
    assert np.array_equal(other.means, mixture.means[order])
    assert np.array_equal(other.full_covariances, mixture.full_covariances[order])
    np.testing.assert_allclose(
        other.responsibilities(rows), mixture.responsibilities(rows)[:, order], rtol=1e-13
    )
    for array in (other.weights, other.means, other.covariances, other.whitening):
        assert not array.flags.writeable
    assert np.all(np.diff(mixture.reordered(mixture.largest_first()).weights) <= 0)
    even = Mixture(weights=[0.25] * 4, means=[[1, 2], [0, 5], [1, 0], [0, 1]], covariances=[np.eye(2)] * 4)
    assert list(even.largest_first()) == [3, 1, 2, 0]


@pytest.mark.parametrize("order", [[0, 1], [0, 1, 1], [1, 2, 3], [[0, 1, 2]], ["a", "b", "c"], [0.5, 1, 2]])
def test_orders_that_are_refused(order):
    with pytest.raises(ParameterError, match="order must hold each component from 0 to 2 once"):
        of_family("VVV").reordered(order)


# ---- density and responsibilities --------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_density_by_definition(name):
    """Eqs. (1), (4) to (6), from inverse and determinant of the covariances written out."""
    mixture = of_family(name)
    rows = np.random.default_rng(2).normal(size=(50, 2)) * 2
    parts = np.empty((50, 3))
    for k in range(3):
        inverse, r = np.linalg.inv(mixture.full_covariances[k]), rows - mixture.means[k]
        norm = np.sqrt(np.linalg.det(2 * np.pi * mixture.full_covariances[k]))
        parts[:, k] = mixture.weights[k] * np.exp(-0.5 * np.einsum("ni,ij,nj->n", r, inverse, r)) / norm
    total = parts.sum(axis=1)
    np.testing.assert_allclose(mixture.log_density(rows), np.log(total), rtol=1e-11)
    np.testing.assert_allclose(
        mixture.responsibilities(rows), parts / total[:, None], rtol=1e-10, atol=1e-300
    )
    np.testing.assert_array_equal(mixture.classify(rows), parts.argmax(axis=1))
    assert mixture.log_likelihood(rows) == pytest.approx(np.log(total).sum(), rel=1e-12)
    assert mixture.fold(rows).log_likelihood == pytest.approx(np.log(total).sum(), rel=1e-12)


def test_density_integrates_to_one():
    mixture = full(3, 1)
    grid = np.linspace(-60, 60, 200_001)
    assert np.exp(mixture.log_density(grid[:, None])).sum() * (grid[1] - grid[0]) == pytest.approx(
        1, abs=1e-9
    )


@pytest.mark.parametrize("name", NAMES)
def test_whitening_whitens(name):
    mixture = of_family(name, 3, 4)
    roots = mixture.whitening
    if roots.ndim == 2:
        roots = roots[:, :, None] * np.eye(4)
    assert np.array_equal(roots, np.tril(roots))
    product = roots @ mixture.full_covariances @ np.swapaxes(roots, 1, 2)
    np.testing.assert_allclose(product, np.stack([np.eye(4)] * 3), atol=1e-10)


def test_noise_component():
    mixture = Mixture(
        weights=[0.9],
        means=[[0.0, 0.0]],
        covariances=[1.0],
        covariance_type="VII",
        noise_weight=0.1,
        noise_density=0.01,
    )
    rows = np.array(
        [
            [0.0, 0.0],
            [3.0, 3.0],
        ]
    )
    normal = 0.9 * np.exp(-0.5 * (rows**2).sum(axis=1)) / (2 * np.pi)
    np.testing.assert_allclose(mixture.log_density(rows), np.log(normal + 0.001), rtol=1e-14)
    gamma = mixture.responsibilities(rows)
    np.testing.assert_allclose(
        gamma, np.stack([normal, [0.001, 0.001]], axis=1) / (normal + 0.001)[:, None], rtol=1e-13
    )
    np.testing.assert_array_equal(mixture.classify(rows), [0, -1])
    np.testing.assert_allclose(mixture.log_density([[1e149, 0.0]]), math.log(0.001))
    statistics = mixture.fold(rows)
    assert statistics.noise_mass + statistics.mass.sum() == pytest.approx(2)
    with pytest.raises(ParameterError, match="noise"):
        mixture.sample(3)


def test_marginal():
    mixture = full(3, 4, feature_names=list("abcd"))
    part = mixture.marginal([2, 0])
    assert part.feature_names == ("c", "a")
    # Integrated out over a grid of the other two features.
    grid = np.linspace(-40, 40, 161)
    b, d = (axis.ravel() for axis in np.meshgrid(grid, grid))
    rows = np.column_stack([np.full(b.size, 0.3), b, np.full(b.size, -0.7), d])
    integral = np.exp(mixture.log_density(rows)).sum() * (grid[1] - grid[0]) ** 2
    assert math.exp(part.log_density([[-0.7, 0.3]])[0]) == pytest.approx(integral, rel=1e-6)
    assert mixture.marginal(["c", "a"]) == part
    for wrong in ([], [0, 0], [4], [-1], [0.7], ["e"], ["a", 0]):
        with pytest.raises(ParameterError, match="features must be distinct positions from 0 to 3"):
            mixture.marginal(wrong)


# ---- sampling ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["VVV", "EEE", "VVI", "EII", "VEV"])
def test_sample_moments(name):
    """Shares, means and covariances of the components' rows within five standard errors."""
    mixture = of_family(name)
    n_rows = 40_000
    rows, labels = mixture.sample(n_rows, random_state=3)
    assert rows.shape == (n_rows, 2)
    assert labels.shape == (n_rows,)
    for k in range(3):
        own = rows[labels == k]
        share = mixture.weights[k]
        assert abs(len(own) / n_rows - share) < 5 * math.sqrt(share * (1 - share) / n_rows)
        covariance = mixture.full_covariances[k]
        spread = np.sqrt(np.diag(covariance))
        assert np.all(np.abs(own.mean(axis=0) - mixture.means[k]) < 5 * spread / math.sqrt(len(own)))
        error = np.sqrt((np.outer(spread, spread) ** 2 + covariance**2) / len(own))
        assert np.all(np.abs(np.cov(own.T) - covariance) < 5 * error)
    # In random order: the first component does not come first.
    assert np.count_nonzero(np.diff(labels)) > n_rows / 3


def test_sample_is_repeatable():
    mixture = full()
    first, labels = mixture.sample(10, random_state=4)
    again, same = mixture.sample(10, random_state=4)
    assert np.array_equal(first, again)
    assert np.array_equal(labels, same)
    assert not np.array_equal(first, mixture.sample(10, random_state=5)[0])
    generator = np.random.default_rng(4)
    assert np.array_equal(mixture.sample(10, generator)[0], first)
    assert not np.array_equal(mixture.sample(10, generator)[0], first)


@pytest.mark.parametrize("n_samples", [0, -1, 2.5, "3", None])
def test_sample_of_no_size(n_samples):
    with pytest.raises(ParameterError, match="n_samples must be a positive integer"):
        full().sample(n_samples)


# ---- rows from the outside ---------------------------------------------------------------------------------


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_data_frames_by_column_name(library):
    """The named columns are found wherever they stand, beside others, of any numeric type."""
    mixture = full(feature_names=["u", "v", "w"])
    rng = np.random.default_rng(6)
    columns = {
        "w": rng.normal(size=7),
        "name": list("abcdefg"),
        "u": rng.integers(0, 9, 7),
        "v": rng.normal(size=7).astype(np.float32),
    }
    rows = np.column_stack([columns["u"], columns["v"], columns["w"]]).astype(np.float64)
    module = pytest.importorskip(library)
    make = module.table if library == "pyarrow" else module.DataFrame
    frame = make(columns)
    np.testing.assert_array_equal(mixture.log_density(frame), mixture.log_density(rows))
    np.testing.assert_array_equal(mixture.responsibilities(frame), mixture.responsibilities(rows))
    with pytest.raises(DataError, match="column 'u' is missing"):
        mixture.classify(make({name: values for name, values in columns.items() if name != "u"}))
    with pytest.raises(DataError, match="column 'u' holds"):
        mixture.classify(make({**columns, "u": list("abcdefg")}))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([0.0, 1.0, 2.0], r"two-dimensional array \(N, D\), got shape \(3,\)"),
        (np.zeros((4, 2)), "X has 2 features, but this model expects 3"),
        ([[0.0, np.nan, 1.0]], "NaN: row 0, column 'b'"),
        ([[0.0, 0.0, 1.0], [0.0, 0.0, -np.inf]], "infinity: row 1, column 'c'"),
        ([["a", "b", "c"]], "expected an array of numbers"),
        (np.zeros((0, 3)), "at least one row"),
        ([[1e151, 0.0, 0.0]], "row 0, column 'a' is 1e\\+151"),
    ],
)
def test_rows_that_are_refused(rows, message):
    mixture = full(feature_names=["a", "b", "c"])
    for ask in (mixture.log_density, mixture.responsibilities, mixture.classify, mixture.log_likelihood):
        with pytest.raises(DataError, match=message):
            ask(rows)


@pytest.mark.parametrize("name", NAMES)
def test_decomposition_has_the_factors_of_the_covariances(name, rng):
    rows = rng.standard_normal((200, 3)) @ rng.standard_normal((3, 3))
    labels = np.arange(200) % 2
    mixture = fitting.fit(rows, 2, covariance_type=name, init_params=labels, tol=1.0).mixture
    volume, shape, orientation = mixture.decomposition
    built = np.einsum("k,kij,kj,klj->kil", volume, orientation, shape, orientation)
    np.testing.assert_allclose(built, mixture.full_covariances, atol=1e-9)
    np.testing.assert_allclose(shape.prod(axis=1), 1.0)
    for letter, factor in zip(name, mixture.decomposition, strict=True):
        if letter == "E":
            np.testing.assert_allclose(factor[0], factor[1], atol=1e-6)
