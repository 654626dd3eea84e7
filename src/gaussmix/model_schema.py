"""What a model file must hold, checked key by key; a file that does not is refused in one sentence.

What the file claims is compared with what it holds before anything is allocated, and the parameters pass the
checks of `Mixture`. Nothing in a file is executed or imported.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

import gaussmix
from gaussmix import families
from gaussmix.errors import ModelFileError
from gaussmix.mixture import Mixture

FORMAT = "gaussmix-model"
VERSION = 1

PARAMETERS = ("weights", "means", "covariances")
REQUIRED = ("format", "version", "covariance_type", "n_components", "n_features", *PARAMETERS)
OPTIONAL = ("feature_names", "noise", "metadata")


def fields_of(text: str) -> dict[str, Any]:
    """The fields of a model file of this version; their values are not checked yet.

    Raises
    ------
    ModelFileError
        Not JSON, keys twice or unknown or missing, another format, a newer version.
    """
    try:
        fields = json.loads(text, object_pairs_hook=_without_duplicates, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        why = f"line {error.lineno}, column {error.colno}: {error.msg}"
        raise ModelFileError(f"it is damaged or cut off, not JSON ({why}); save the model again.") from None
    except RecursionError:
        raise ModelFileError("it is nested too deeply for a model file.") from None
    except ModelFileError:
        raise
    except ValueError:
        raise ModelFileError("it holds an integer of thousands of digits.") from None
    fields = _object(fields, "the file")
    _check_header(fields)
    return fields


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        raise ModelFileError(f"key {next(key for key in keys if keys.count(key) > 1)!r} occurs twice.")
    return found


def _refuse_constant(name: str) -> None:
    raise ModelFileError(f"{name} is not a JSON number; every parameter must be finite.")


def metadata_of(fields: dict[str, Any]) -> dict[str, Any]:
    """The metadata, an object without further rules."""
    found = fields.get("metadata")
    return {} if found is None else _object(found, "metadata")


def _object(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ModelFileError(f"{what} must be a JSON object, got {_kind(value)}.")
    return value


def _check_header(fields: dict[str, Any]) -> None:
    if fields.get("format") != FORMAT:
        found = _brief(fields.get("format"))
        raise ModelFileError(f'expected "format": "{FORMAT}", got {found}: another kind of file.')
    version = fields.get("version")
    if type(version) is not int or version < 1:
        raise ModelFileError(f"version must be a positive integer, got {_brief(version)}.")
    if version > VERSION:
        raise ModelFileError(
            f"it has version {_brief(version)}, gaussmix {gaussmix.__version__} reads up to {VERSION}; "
            "upgrade gaussmix to read it."
        )
    missing = [key for key in REQUIRED if key not in fields]
    if missing:
        raise ModelFileError(f"{missing[0]!r} is missing; save the model again.")
    unknown = [key for key in fields if key not in REQUIRED and key not in OPTIONAL]
    if unknown:
        raise ModelFileError(f"{_brief(unknown[0])} is not a key of version {version}; remove it.")


def mixture_of(fields: dict[str, Any]) -> Mixture:
    """The mixture that the fields describe.

    Raises
    ------
    ModelFileError
        A wrong type or length, or parameters that are not those of a mixture.
    """
    shape = tuple(_count(fields, key) for key in ("n_components", "n_features"))
    names = fields.get("feature_names")
    if names is not None and not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        raise ModelFileError("feature_names must be null or a list of texts.")
    if not isinstance(fields["covariance_type"], str):
        raise ModelFileError(f"covariance_type must be a text, got {_kind(fields['covariance_type'])}.")
    noise = _noise(fields.get("noise"))
    try:
        structure = families.get(fields["covariance_type"]).structure
        with np.errstate(all="ignore"):
            return Mixture(
                weights=_numbers(fields["weights"], shape[:1], "weights"),
                means=_numbers(fields["means"], shape, "means"),
                covariances=_numbers(fields["covariances"], structure.shape(*shape), "covariances"),
                covariance_type=fields["covariance_type"],
                feature_names=names,
                **noise,
            )
    except ModelFileError:
        raise
    except ValueError as error:  # ParameterError, no such family, LinAlgError
        raise ModelFileError(f"it does not hold a mixture: {str(error)[:400]}") from None


def _count(fields: dict[str, Any], key: str) -> int:
    value = fields[key]
    if type(value) is not int or value < 1:
        raise ModelFileError(f"{key} must be a positive integer, got {_brief(value)}.")
    return value


def _noise(value: Any) -> dict[str, float]:
    """Keywords of `Mixture`; ln(1/V) stands where 1/V is no double."""
    if value is None:
        return {}
    if not isinstance(value, dict) or set(value) not in ({"weight", "density"}, {"weight", "log_density"}):
        raise ModelFileError(
            'noise must be null or an object with "weight" and "density" (or "log_density").'
        )
    numbers = _numbers(list(value.values()), (2,), "noise").tolist()
    return {f"noise_{key}": number for key, number in zip(value, numbers, strict=True)}


def _numbers(values: Any, shape: tuple[int, ...], where: str) -> NDArray[np.float64]:
    """Nested lists of numbers as an array; their lengths are compared with ``shape`` first."""
    _check_lists(values, shape, where)
    try:
        array = np.array(values, dtype=np.float64)
    except OverflowError:
        raise ModelFileError(f"{where} holds a number too large for a double.") from None
    return array


def _check_lists(values: Any, shape: tuple[int, ...], where: str) -> None:
    if not isinstance(values, list):
        raise ModelFileError(f"{where} must be a list of {_brief(shape[0])}, got {_kind(values)}.")
    if len(values) != shape[0]:
        raise ModelFileError(f"{where} must be a list of {_brief(shape[0])}, got {len(values)}.")
    if len(shape) > 1:
        for i, inner in enumerate(values):
            _check_lists(inner, shape[1:], f"{where}[{i}]")
    elif not {type(value) for value in values} <= {int, float}:
        odd = next(i for i, value in enumerate(values) if type(value) not in (int, float))
        raise ModelFileError(f"{where}[{odd}] must be a number, got {_kind(values[odd])}.")


def _kind(value: Any) -> str:
    names = {type(None): "null", bool: "true or false", str: "a text", list: "a list", dict: "an object"}
    return names.get(type(value), "a number")


def _brief(value: Any, length: int = 40) -> str:
    """A value of the file in a message, cut to a length that a terminal can show."""
    text = repr(value) if not isinstance(value, (list, dict)) else _kind(value)
    return text if len(text) <= length else f"{text[: length - 3]}...{text[-1]}"
