"""What a fit, a mixture, a score is, as a document: nested dictionaries that become JSON or text."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gaussmix.families import letters

if TYPE_CHECKING:
    from gaussmix.mixture import Mixture
    from gaussmix.selection import Candidate, Selection
    from gaussmix.storage import ModelFile

Document = dict[str, Any]


def feature_names(mixture: Mixture) -> tuple[str, ...]:
    """The names of the features; x1, x2, ... where the model has none."""
    return mixture.feature_names or tuple(f"x{j + 1}" for j in range(mixture.n_features))


def mixture_document(mixture: Mixture) -> Document:
    """The parameters of a mixture; spreads are standard deviations, √diag(Σ_k)."""
    spreads = np.sqrt(np.diagonal(mixture.full_covariances, axis1=1, axis2=2))
    components = [
        {
            "label": k,
            "weight": float(mixture.weights[k]),
            "mean": mixture.means[k].tolist(),
            "standard_deviation": spreads[k].tolist(),
        }
        for k in range(mixture.n_components)
    ]
    return {
        "covariance_type": letters(mixture.family.name, mixture.n_features),
        "n_components": mixture.n_components,
        "n_features": mixture.n_features,
        "features": list(feature_names(mixture)),
        "n_parameters": mixture.n_parameters,
        "noise_weight": mixture.noise_weight if mixture.has_noise else None,
        "components": components,
    }


def fit_document(selection: Selection, labels: NDArray[Any]) -> Document:
    """What was chosen, out of what, and how it went; ``labels`` (N,) are the classes of the rows."""
    best, fit = selection.best_candidate, selection.best
    document = mixture_document(fit.mixture)
    for component in document["components"]:
        component["n_rows"] = int((labels == component["label"]).sum())
    return {
        "n_rows": len(labels),
        "criterion": selection.criterion,
        **_criteria(best),
        "log_likelihood_per_row": fit.log_likelihood / fit.weight,
        "n_iter": fit.n_iter,
        "reason": fit.reason,
        "mixture": document,
        "candidates": [_candidate(each) for each in _ranked(selection)],
        "fit_remarks": [*fit.remarks, *_at_the_end(selection)],
    }


def score_document(mixture: Mixture, log_density: NDArray[Any]) -> Document:
    """L of eq. (6) on rows that need not be those of the fit, and the criteria it gives."""
    total, n_rows = float(log_density.sum()), len(log_density)
    return {
        "n_rows": n_rows,
        "log_likelihood": total,
        "log_likelihood_per_row": total / n_rows,
        "bic": -2 * total + mixture.n_parameters * math.log(n_rows),
        "aic": -2 * total + 2 * mixture.n_parameters,
        "n_parameters": mixture.n_parameters,
    }


def model_document(stored: ModelFile, name: str) -> Document:
    """What a model file holds."""
    return {"file": name, "mixture": mixture_document(stored.mixture), "metadata": dict(stored.metadata)}


def json_text(document: Document) -> str:
    """The document as JSON on one line."""
    return json.dumps(plain(document), allow_nan=False)


def plain(value: Any) -> Any:
    """A document that JSON can hold: numbers that are not finite become null."""
    if isinstance(value, Mapping):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _ranked(selection: Selection) -> list[Candidate]:
    """The chosen candidate first, the others by the criterion."""
    best = selection.best_candidate
    others = sorted(selection.candidates, key=lambda each: each.criterion(selection.criterion))
    return [best, *(each for each in others if each is not best)]


def _at_the_end(selection: Selection) -> list[str]:
    """A remark where still more components might be better."""
    counts = {each.n_components for each in selection.candidates}
    best = selection.best_candidate.n_components
    if len(counts) == 1 or best < max(counts):
        return []
    return [f"the best has {best} components, the most that were tried: more may be better."]


def _candidate(each: Candidate) -> Document:
    fitted = each.fit is not None
    return {
        "n_components": each.n_components,
        "covariance_type": each.covariance_type,
        **_criteria(each),
        "n_parameters": each.fit.n_parameters if each.fit else None,
        "n_iter": each.fit.n_iter if each.fit else None,
        "converged": each.fit.converged if each.fit else None,
        "degenerate": bool(each.fit.degenerate) if each.fit else None,
        "provisional": each.provisional,
        "remark": each.remark if fitted else each.remark or "could not be fitted",
    }


def _criteria(each: Candidate) -> Document:
    fit = each.fit
    return {
        "log_likelihood": fit.log_likelihood if fit else None,
        "bic": fit.bic if fit else None,
        "aic": fit.aic if fit else None,
        "icl": each.icl,
        "cv": each.cv,
    }
