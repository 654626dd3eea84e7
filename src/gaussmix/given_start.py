"""Where EM starts when the user says so: a mixture, some parameters, labels or responsibilities; all checked."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaussmix import start
from gaussmix.em import Plan
from gaussmix.errors import ParameterError
from gaussmix.mixture import Mixture
from gaussmix.noise import LEAST, with_noise
from gaussmix.rows import Source

Array = NDArray[np.float64]


def from_given(source: Source, init_params: Any, means_init: Any, blank: Mixture, plan: Plan) -> Mixture:
    """The first mixture from ``init_params``: a mixture, labels, responsibilities; or from ``means_init``."""
    if isinstance(init_params, Mixture):
        if init_params.means.shape != blank.means.shape:
            raise ParameterError(
                f"init_params is a mixture with (K, D) = {init_params.means.shape}, the fit wants {blank.means.shape}."
            )
        if init_params.family != blank.family:
            raise ParameterError(
                f"init_params is a mixture of family {init_params.family.name}, the fit wants {blank.family.name}; "
                f"set covariance_type={init_params.covariance_type!r}, or give its labels: mixture.classify(X)."
            )
        return init_params
    if isinstance(init_params, str):
        means = _shaped("means_init", means_init, blank.means.shape)
        return start.from_means(source, means, blank, plan.prior, plan.equal_weights)
    gamma = _responsibilities(init_params, source.n_rows, blank)
    return start.from_responsibilities(source, gamma, blank, plan.prior, plan.equal_weights)


def overridden(first: Mixture, weights: Any, means: Any, covariances: Any) -> Mixture:
    """``first`` with the parameters that were given in place of its own; checked."""
    if weights is None and means is None and covariances is None:
        return first
    return Mixture(
        weights=first.weights if weights is None else np.asarray(weights) * (1 - first.noise_weight),
        means=first.means if means is None else _shaped("means_init", means, first.means.shape),
        covariances=first.covariances if covariances is None else covariances,
        covariance_type=first.covariance_type,
        noise_weight=first.noise_weight,
        noise_log_density=first.noise_log_density,
        feature_names=first.feature_names,
    )


def admitted(first: Mixture, blank: Mixture, plan: Plan) -> Mixture:
    """``first`` within the constraints of the fit: equal weights, bounded covariances, the noise of ``blank``.

    A start outside of them may have a higher L than any within: the first step would fall, and end the run.
    """
    if first.has_noise and not blank.has_noise:
        raise ParameterError(
            "init_params is a mixture with a noise component, the fit has none; set noise=True."
        )
    noise_weight = 0.0
    if blank.has_noise:
        noise_weight = first.noise_weight if first.noise_weight > 0 else LEAST
    shares = np.ones(blank.n_components) if plan.equal_weights else first.weights
    weights = shares * ((1 - noise_weight) / max(float(shares.sum()), 1e-300))
    covariances = plan.prior.admitted(first.family, first.covariances, weights)
    if noise_weight == first.noise_weight and not plan.equal_weights:
        weights = first.weights
    return blank.with_parameters(weights, first.means, covariances, noise_weight)


def _shaped(name: str, values: Any, shape: tuple[int, ...]) -> Array:
    array = np.asarray(values, dtype=np.float64)
    if array.shape != shape:
        raise ParameterError(f"{name} should have the shape of {shape}, but got {array.shape}.")
    return array


def _responsibilities(values: Any, n_rows: int, blank: Mixture) -> Array:
    """Labels (N,) or responsibilities (N, K) as responsibilities, checked; with noise (N, K + 1), noise last."""
    array, n_components = np.asarray(values), blank.n_components
    if array.ndim == 1 and len(array) == n_rows:
        labels = array.astype(np.int64) if array.dtype.kind in "biuf" else np.full(n_rows, -2)
        if np.any(labels != array) or labels.min() < -blank.has_noise or labels.max() >= n_components:
            hint = " or −1, noise" if blank.has_noise else "; −1 is noise, with noise=True"
            raise ParameterError(
                f"labels in init_params must be integers from 0 to {n_components - 1}{hint}."
            )
        gamma = np.eye(n_components + 1)[labels]
        return gamma if np.any(labels < 0) else _beside_noise(gamma[:, :-1], blank)
    shapes = [(n_rows, n_components), *([(n_rows, n_components + 1)] if blank.has_noise else [])]
    if array.shape not in shapes:
        raise ParameterError(
            f"init_params must be labels ({n_rows},) or responsibilities {' or '.join(map(str, shapes))}, "
            f"got {array.shape}."
        )
    gamma = array.astype(np.float64) if array.dtype.kind in "biuf" else np.full(array.shape, np.nan)
    if not np.all(np.isfinite(gamma)) or np.any(gamma < 0) or np.any(np.abs(gamma.sum(axis=1) - 1) > 1e-6):
        raise ParameterError(
            "responsibilities in init_params must be finite, not negative, and sum to 1 in each row."
        )
    return gamma if gamma.shape[1] > n_components else _beside_noise(gamma, blank)


def _beside_noise(gamma: Array, blank: Mixture) -> Array:
    """Responsibilities that say nothing of noise, with a little of it where the fit has noise."""
    return with_noise(gamma, np.zeros(len(gamma), dtype=bool)) if blank.has_noise else gamma
