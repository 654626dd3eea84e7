"""Model files: exact round trips, and one clear sentence for every file that is not one."""

import contextlib
import json
import os
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gaussmix
from gaussmix import Mixture, families
from gaussmix.errors import GaussmixError, ModelFileError, ParameterError
from gaussmix.storage import LARGEST_FILE, read

PLAIN = Mixture(
    weights=[0.25, 0.75],
    means=[[0.1, -0.0], [5e-324, 1e300]],
    covariances=[[[1.0, 0.1], [0.1, 2.0]], [[3.0, 0.0], [0.0, 1e-300]]],
    feature_names=["größe", 'a "b"\n'],
)


def bits(mixture):
    arrays = (mixture.weights, mixture.means, mixture.covariances)
    scalars = struct.pack("<2d", mixture.noise_weight, mixture.noise_density)
    return [a.shape for a in arrays], [a.tobytes() for a in arrays], scalars


finite = st.floats(allow_nan=False, allow_infinity=False, width=64)
positive = st.floats(1e-290, 1e290)


@st.composite
def mixtures(draw):
    n_components, n_features = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    family = families.get(draw(st.sampled_from(families.NAMES)))
    shape = family.structure.shape(n_components, n_features)
    if shape[-2:] == (n_features, n_features) and family.name in ("EEE", "VVV", "EEV", "VEV", "EVV", "VEE"):
        covariances = np.zeros(shape)
        diagonal = np.einsum("...ii->...i", covariances)
        diagonal[...] = np.reshape(
            draw(st.lists(positive, min_size=diagonal.size, max_size=diagonal.size)), diagonal.shape
        )
    elif len(shape) == 3:
        covariances = np.broadcast_to(np.eye(n_features) * draw(positive), shape)
    else:
        size = int(np.prod(shape))
        covariances = np.reshape(draw(st.lists(positive, min_size=size, max_size=size)), shape)
    raw = np.array(draw(st.lists(st.floats(1e-5, 1), min_size=n_components, max_size=n_components)))
    noise = draw(st.booleans())
    weights = raw / raw.sum() * (0.5 if noise else 1.0)
    size = n_components * n_features
    means = np.reshape(draw(st.lists(finite, min_size=size, max_size=size)), (n_components, n_features))
    names = draw(st.none() | st.lists(st.text(), min_size=n_features, max_size=n_features))
    return Mixture(
        weights=weights,
        means=means,
        covariances=covariances,
        covariance_type=family.name,
        noise_weight=0.5 if noise else 0.0,
        noise_density=draw(positive) if noise else 0.0,
        feature_names=names,
    )


@settings(derandomize=True, max_examples=150, deadline=None)
@given(mixture=mixtures())
def test_every_bit_returns(tmp_path_factory, mixture):
    path = tmp_path_factory.getbasetemp() / "round.json"
    gaussmix.save(mixture, path)
    loaded = gaussmix.load(path)
    assert loaded == mixture
    assert bits(loaded) == bits(mixture)


def test_signed_zero_and_subnormals_return(tmp_path):
    gaussmix.save(PLAIN, tmp_path / "m.json")
    assert bits(gaussmix.load(tmp_path / "m.json")) == bits(PLAIN)
    assert gaussmix.load(tmp_path / "m.json").feature_names == PLAIN.feature_names


def test_whatever_has_a_mixture_can_be_saved(tmp_path):
    X = np.random.default_rng(0).normal(size=(60, 2))
    fit = gaussmix.fit(X, 2, random_state=0)
    selection = gaussmix.select(X, [1, 2], ["full"], random_state=0)
    for number, (model, mixture) in enumerate([(fit, fit.mixture), (selection, selection.best.mixture)]):
        path = tmp_path / f"{number}.json"
        gaussmix.save(model, path)
        stored = read(path)
        assert stored.mixture == mixture
        assert stored.metadata["n_rows"] == 60
        assert stored.metadata["gaussmix"] == gaussmix.__version__
    assert read(tmp_path / "1.json").metadata["bic"] == selection.best.bic


def test_estimator_can_be_saved(tmp_path):
    estimator = pytest.importorskip("gaussmix.estimators").GaussianMixture(2, random_state=0)
    estimator.fit(np.random.default_rng(0).normal(size=(60, 2)))
    gaussmix.save(estimator, tmp_path / "m.json")
    assert gaussmix.load(tmp_path / "m.json") == estimator.mixture_
    assert read(tmp_path / "m.json").metadata["n_rows"] == 60


def test_no_mixture_no_file(tmp_path):
    with pytest.raises(ParameterError, match="expected a Mixture"):
        gaussmix.save({"weights": [1]}, tmp_path / "m.json")
    assert not list(tmp_path.iterdir())


def test_parameters_that_load_would_refuse_are_not_saved(tmp_path):
    broken = Mixture.unchecked(np.array([1.0]), np.array([[np.nan]]), np.array([1.0]), "EII")
    with pytest.raises(ParameterError, match="finite"):
        gaussmix.save(broken, tmp_path / "m.json")
    assert not list(tmp_path.iterdir())


def test_a_failed_save_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "m.json"
    gaussmix.save(PLAIN, path)
    before = path.read_bytes()

    def full_disk(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        gaussmix.save(gaussmix.fit(np.arange(9.0)[:, None], 1), path)
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["m.json"]


def test_permissions_and_links_are_kept(tmp_path):
    path, link = tmp_path / "m.json", tmp_path / "link.json"
    gaussmix.save(PLAIN, path)
    path.chmod(0o640)
    link.symlink_to(path)
    gaussmix.save(PLAIN, link)
    assert link.is_symlink()
    assert path.stat().st_mode & 0o777 == 0o640


# ---- hostile files -----------------------------------------------------------------------------------------


def fields(**changes):
    plain = {
        "format": "gaussmix-model",
        "version": 1,
        "covariance_type": "VVI",
        "n_components": 1,
        "n_features": 2,
        "weights": [1.0],
        "means": [[0.0, 1.0]],
        "covariances": [[1.0, 2.0]],
    }
    return json.dumps({key: value for key, value in (plain | changes).items() if value is not ...})


def test_optional_keys_may_be_missing_and_integers_are_numbers(tmp_path):
    path = tmp_path / "m.json"
    path.write_text("\ufeff" + fields(weights=[1]), encoding="utf-8")
    assert gaussmix.load(path).weights.tolist() == [1.0]


HOSTILE = {
    "empty": ("", "empty"),
    "blank": (" \n ", "empty"),
    "text": ("weights,means\n1,2\n", "another kind of file"),
    "array": ("[1, 2]", "another kind of file"),
    "cut off": (fields()[:-30], "damaged or cut off"),
    "nothing in it": ("{}", '"format"'),
    "format": (fields(format="pickle"), "'pickle'"),
    "no format": (fields(format=...), "got None"),
    "newer": (fields(version=2), "upgrade gaussmix"),
    "version text": (fields(version="1"), "version must be a positive integer"),
    "version true": (fields(version=True), "version must be a positive integer"),
    "version huge": (fields(version=10**3000), "upgrade gaussmix"),
    "missing key": (fields(means=...), "'means' is missing"),
    "unknown key": (fields(code="import os"), "'code' is not a key"),
    "twice": (fields()[:-1] + ', "weights": [1.0]}', "'weights' occurs twice"),
    "NaN": (fields(weights=[float("nan")]), "NaN is not a JSON number"),
    "Infinity": (fields(means=[[float("inf"), 0.0]]), "Infinity is not a JSON number"),
    "1e999": (fields().replace("2.0", "1e999"), "finite"),
    "large integer": (fields(means=[[0, 10**400]]), "too large for a double"),
    "thousands of digits": (fields().replace("2.0", "9" * 5000), "thousands of digits"),
    "nesting": (fields().replace("[[1.0, 2.0]]", "[" * 200_000), "nested too deeply"),
    "nesting closed": (
        fields().replace("[[1.0, 2.0]]", "[" * 90_000 + "]" * 90_000),
        "nested too deeply|must be a list",
    ),
    "10 GB": (fields(n_features=10**10), "means.0. must be a list of 10000000000, got 2"),
    "components": (fields(n_components=10**18), "weights must be a list of"),
    "no components": (fields(n_components=0), "n_components must be a positive integer"),
    "components true": (fields(n_components=True), "n_components must be a positive integer"),
    "features 2.0": (fields(n_features=2.0), "n_features must be a positive integer"),
    "weights object": (fields(weights={"0": 1}), "weights must be a list of 1, got an object"),
    "weights text": (fields(weights=["1.0"]), "must be a number, got a text"),
    "weights true": (fields(weights=[True]), "must be a number, got true or false"),
    "weights null": (fields(weights=[None]), "must be a number, got null"),
    "weights nested": (fields(weights=[[1.0]]), "must be a number, got a list"),
    "means ragged": (fields(means=[[0.0]]), "must be a list of 2, got 1"),
    "means flat": (fields(means=[0.0, 1.0]), "means must be a list of 1, got 2"),
    "covariances": (fields(covariances=[[[1.0, 0.0], [0.0, 1.0]]]), "must be a list of 2|must be a number"),
    "sum": (fields(weights=[0.9]), "sum to 1"),
    "negative variance": (fields(covariances=[[1.0, -2.0]]), "positive definite"),
    "zero variance": (fields(covariances=[[1.0, 0.0]]), "positive definite"),
    "asymmetric": (fields(covariance_type="EEE", covariances=[[1.0, 0.5], [0.0, 1.0]]), "symmetric"),
    "not definite": (
        fields(covariance_type="full", covariances=[[[1.0, 2.0], [2.0, 1.0]]]),
        "positive definite",
    ),
    "extreme": (
        fields(covariance_type="full", covariances=[[[1e308, 1e308], [-1e308, 1e308]]]),
        "symmetric|definite",
    ),
    "family": (fields(covariance_type="XYZ"), "not a covariance family"),
    "family path": (fields(covariance_type="../evil"), "not a covariance family"),
    "family list": (fields(covariance_type=["full"]), "covariance_type must be a text"),
    "names": (fields(feature_names=["a"]), "1 feature names for 2 features"),
    "names numbers": (fields(feature_names=[1, 2]), "feature_names must be null or a list of texts"),
    "noise": (fields(noise=0.1), "noise must be null or an object"),
    "noise text": (fields(noise={"weight": "a", "density": 1}), "must be a number"),
    "noise no density": (fields(weights=[0.5], noise={"weight": 0.5, "density": 0}), "noise_density"),
    "metadata": (fields(metadata=[1]), "metadata must be a JSON object"),
}


@pytest.mark.parametrize(("content", "message"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_file_is_refused_in_one_sentence(tmp_path, content, message):
    path = tmp_path / "m.json"
    path.write_text(content)
    with pytest.raises(ModelFileError, match=message) as caught:
        gaussmix.load(path)
    said = str(caught.value)
    assert str(path) in said
    assert "\n" not in said
    assert len(said) < len(str(path)) + 500


@pytest.mark.parametrize(
    "content", [b"\x80\x04pickle", b"\x93NUMPY", b"PK\x03\x04", bytes(2000), b"{\xff\xfe}", b"\x89PNG"]
)
def test_binary_file_is_refused(tmp_path, content):
    path = tmp_path / "m.json"
    path.write_bytes(content)
    with pytest.raises(ModelFileError):
        gaussmix.load(path)


def test_every_cut_is_refused(tmp_path):
    gaussmix.save(PLAIN, tmp_path / "m.json")
    whole = (tmp_path / "m.json").read_bytes().rstrip()
    path = tmp_path / "cut.json"
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(ModelFileError):
            gaussmix.load(path)


def test_every_changed_byte_is_refused_or_a_mixture(tmp_path):
    gaussmix.save(PLAIN, tmp_path / "m.json")
    whole = bytearray((tmp_path / "m.json").read_bytes())
    rng = np.random.default_rng(0)
    path = tmp_path / "changed.json"
    for position in rng.integers(len(whole), size=300):
        changed = whole.copy()
        changed[position] = rng.integers(256)
        path.write_bytes(changed)
        with contextlib.suppress(ModelFileError):
            assert isinstance(gaussmix.load(path), Mixture)


def test_missing_directory_and_too_large(tmp_path):
    with pytest.raises(ModelFileError, match="No such file"):
        gaussmix.load(tmp_path / "none.json")
    with pytest.raises(ModelFileError, match="directory"):
        gaussmix.load(tmp_path)
    path = tmp_path / "large.json"
    with open(path, "wb") as file:
        file.write(b"{")
        file.truncate(LARGEST_FILE + 2000)  # sparse: takes no room
    with pytest.raises(ModelFileError, match="too large"):
        gaussmix.load(path)


def test_endless_device_is_refused_at_once():
    if not os.path.exists("/dev/zero"):
        pytest.skip("no /dev/zero here")
    with pytest.raises(ModelFileError, match="another kind of file"):
        gaussmix.load("/dev/zero")


def test_errors_are_gaussmix_errors():
    assert issubclass(ModelFileError, GaussmixError)
    assert issubclass(ModelFileError, ValueError)
