"""The model file: a mixture as JSON, exact to the last bit; loading it checks everything and runs no code.

Numbers are written with the fewest digits that read back as the same double. The format is described, key by
key, in docs/model-file.md, and checked in `gaussmix.model_schema`.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gaussmix
from gaussmix import model_schema
from gaussmix.atomic import replacing
from gaussmix.errors import ModelFileError
from gaussmix.mixture import Mixture
from gaussmix.models import fit_in, mixture_in

# A quarter of a gigabyte holds 100 full covariances of 350 features; parsing needs about ten times as much.
LARGEST_FILE = 1 << 28


@dataclass(frozen=True)
class ModelFile:
    """What a model file holds.

    Attributes
    ----------
    mixture : Mixture
    metadata : mapping
        Where the model comes from: ``gaussmix`` (version), ``n_rows``, ``log_likelihood``, ``bic``, ...
        Not checked; no result depends on it.
    """

    mixture: Mixture
    metadata: Mapping[str, Any]


def save(model: Any, path: str | os.PathLike[str]) -> None:
    """Write a model to a file, whole or not at all.

    Parameters
    ----------
    model : Mixture, Fit, Selection or fitted estimator
        Anything that is a mixture or has one as ``mixture``, ``mixture_`` or ``best.mixture``.
    path : path
        Replaced if it exists.

    Raises
    ------
    ParameterError
        ``model`` has no mixture, or its parameters are not those of one.
    ModelFileError
        The file would be larger than `load` accepts.
    OSError
        The file cannot be written.

    Examples
    --------
    >>> import gaussmix, tempfile
    >>> mixture = gaussmix.Mixture(weights=[1.0], means=[[0.1]], covariances=[2.0], covariance_type="V")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     gaussmix.save(mixture, folder + "/one.gaussmix.json")
    ...     gaussmix.load(folder + "/one.gaussmix.json") == mixture
    True
    """
    # What is written can be read: the parameters pass the checks of `load` now.
    text = _text(_document(_checked(mixture_in(model)), _metadata_of(model)))
    content = text.encode("utf-8", "backslashreplace")
    if len(content) > LARGEST_FILE:
        raise ModelFileError(f"the model takes {len(content)} bytes, a model file at most {LARGEST_FILE}.")
    with replacing(path) as beside:
        beside.write_bytes(content)


def load(path: str | os.PathLike[str]) -> Mixture:
    """The mixture of a model file, equal to the last bit to the one that was saved.

    Raises
    ------
    ModelFileError
        The file is missing, damaged, hostile, of another kind, or of a newer version.
    """
    return read(path).mixture


def read(path: str | os.PathLike[str]) -> ModelFile:
    """The mixture of a model file and its metadata.

    Raises
    ------
    ModelFileError
        As `load`.
    """
    try:
        fields = model_schema.fields_of(_content(path))
        return ModelFile(model_schema.mixture_of(fields), model_schema.metadata_of(fields))
    except ModelFileError as error:
        raise ModelFileError(f"model file {os.fspath(path)!r}: {error}") from None


# ---- writing -----------------------------------------------------------------------------------------------


def _checked(mixture: Mixture) -> Mixture:
    return Mixture(
        weights=mixture.weights,
        means=mixture.means,
        covariances=mixture.covariances,
        covariance_type=mixture.covariance_type,
        noise_weight=mixture.noise_weight,
        feature_names=mixture.feature_names,
        **_noise_of(mixture),
    )


def _noise_of(mixture: Mixture) -> dict[str, float]:
    """The density of the noise component under the name by which it comes back to the last bit."""
    if mixture.has_noise and not 0 < mixture.noise_density < math.inf:
        return {"noise_log_density": mixture.noise_log_density}
    return {"noise_density": mixture.noise_density}


def _metadata_of(model: Any) -> dict[str, Any]:
    """What is known of the fit; numbers that JSON cannot hold become null."""
    fit = fit_in(model)
    found = {
        "gaussmix": gaussmix.__version__,
        "n_rows": getattr(fit, "weight", None),
        "log_likelihood": getattr(fit, "log_likelihood", None),
        "bic": getattr(fit, "bic", None),
        "aic": getattr(fit, "aic", None),
        "icl": getattr(getattr(model, "best_candidate", None), "icl", None),
        "n_iter": getattr(fit, "n_iter", None),
        "reason": getattr(fit, "reason", None),
        "remarks": list(getattr(fit, "remarks", ())),
    }
    plain = {key: value for key, value in found.items() if isinstance(value, (bool, int, float, str, list))}
    return {k: v if not isinstance(v, float) or math.isfinite(v) else None for k, v in plain.items()}


def _document(mixture: Mixture, metadata: dict[str, Any]) -> dict[str, Any]:
    density = {key.removeprefix("noise_"): value for key, value in _noise_of(mixture).items()}
    noise = {"weight": mixture.noise_weight, **density}
    return {
        "format": model_schema.FORMAT,
        "version": model_schema.VERSION,
        "covariance_type": mixture.covariance_type,
        "n_components": mixture.n_components,
        "n_features": mixture.n_features,
        "feature_names": None if mixture.feature_names is None else list(mixture.feature_names),
        "noise": noise if mixture.has_noise else None,
        "weights": mixture.weights.tolist(),
        "means": mixture.means.tolist(),
        "covariances": mixture.covariances.tolist(),
        "metadata": metadata,
    }


def _text(document: dict[str, Any]) -> str:
    """JSON with one key, and one row of a matrix, on a line: made to be read and compared by people too."""
    lines = ",\n".join(f'  "{key}": {_value(value, "  ")}' for key, value in document.items())
    return "{\n" + lines + "\n}\n"


def _value(value: Any, indent: str) -> str:
    if isinstance(value, list) and value and isinstance(value[0], list):
        inner = indent + "  "
        return "[\n" + ",\n".join(inner + _value(row, inner) for row in value) + "\n" + indent + "]"
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


# ---- reading -----------------------------------------------------------------------------------------------


def _content(path: str | os.PathLike[str]) -> str:
    """The text of a file that begins as a JSON object does; of others no more than a few bytes are read."""
    try:
        with open(path, "rb") as file:
            head = file.read(1024)
            if not head.strip():
                raise ModelFileError("the file is empty; save the model again.")
            if not head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{"):
                raise ModelFileError("expected JSON as gaussmix.save writes it, got another kind of file.")
            content = head + file.read(LARGEST_FILE)
    except OSError as error:
        raise ModelFileError(f"it cannot be read: {error.strerror}.") from None
    if len(content) > LARGEST_FILE:
        raise ModelFileError(f"it is larger than {LARGEST_FILE} bytes, too large for a model file.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        why = f"byte {error.start} is not UTF-8 text: the file is damaged; save the model again."
        raise ModelFileError(why) from None
