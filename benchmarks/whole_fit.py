"""Default fits from the rows to the result, each library with its own start and stop; and predictions of many rows.

Not the same work: each library chooses where EM starts and when it ends. So the mean log-likelihood that it reached
stands beside the time. gaussmix and scikit-learn fit with their estimators' defaults, oneDAL with `em_gmm_init` and
`em_gmm` (at most ten iterations), all with a fixed random state where they have one.
"""

from __future__ import annotations

import statistics
import warnings
from functools import partial
from typing import Any

import numpy as np
import sklearn.mixture
from common import CORES, Case, Problem, duration, make_problem, seconds, spread, table, times
from libraries import installed, with_gaussmix

import gaussmix

FIT, SMOKE_FIT = Case(1_000_000, 8, 8), Case(10_000, 8, 4)
COPIES, SMOKE_COPIES = 14, 2  # predictions: the rows of the fit so many times

ACTIONS = ("predict", "score_samples", "predict_proba")


def fit_gaussmix(rows: np.ndarray, k: int) -> tuple[float, int, float]:
    model = gaussmix.GaussianMixture(k, random_state=0)
    elapsed = seconds(lambda: model.fit(rows))
    return elapsed, model.n_iter_, float(model.score(rows))


def fit_sklearn(rows: np.ndarray, k: int) -> tuple[float, int, float]:
    model = sklearn.mixture.GaussianMixture(k, random_state=0)
    elapsed = seconds(lambda: model.fit(rows))
    return elapsed, model.n_iter_, float(model.score(rows))


def fit_onedal(rows: np.ndarray, k: int) -> tuple[float, int, float]:
    import daal4py

    results: list[Any] = []

    def work() -> None:
        start = daal4py.em_gmm_init(nComponents=k).compute(rows)
        results.append(
            daal4py.em_gmm(nComponents=k).compute(rows, start.weights, start.means, start.covariances)
        )

    elapsed, end = seconds(work), results[0]
    weights = end.weights.ravel()
    mixture = gaussmix.Mixture(
        weights=weights / weights.sum(), means=end.means, covariances=np.stack(end.covariances)
    )
    return elapsed, int(end.nIterations[0, 0]), mixture.log_likelihood(rows) / len(rows)


FITS = {"gaussmix": fit_gaussmix, "scikit-learn": fit_sklearn, "oneDAL": fit_onedal}


def default_fits(case: Case, rows: np.ndarray, repeats: int) -> dict[str, Any]:
    """Seconds (several for gaussmix, which is quick), iterations, mean log-likelihood, nats per row."""
    found = {}
    for name in filter(installed, FITS):
        runs = [FITS[name](rows, case.n_components) for _ in range(repeats if name == "gaussmix" else 1)]
        found[name] = {"seconds": [run[0] for run in runs], "iterations": runs[0][1], "mean": runs[0][2]}
    return found


def start_seconds(problem: Problem) -> float:
    """The default start of gaussmix: what a fit without iterations takes longer than from given parameters."""

    def without_iterations(init: Any) -> float:
        k = problem.case.n_components
        fit = partial(gaussmix.fit, problem.rows, k, max_iter=0, init_params=init, random_state=0)
        return seconds(fit)

    return without_iterations("search") - without_iterations(problem.mixture)


def five_iterations_seconds(problem: Problem) -> float:
    """Of plain EM: the difference of a longer and a shorter fit."""
    return with_gaussmix(problem, 6, CORES).seconds - with_gaussmix(problem, 1, CORES).seconds


def predictions(case: Case, rows: np.ndarray, copies: int, repeats: int) -> dict[str, Any]:
    """Seconds of each action over all the rows."""
    few = rows[: min(len(rows), 20_000)]
    models = {
        "gaussmix": gaussmix.GaussianMixture(case.n_components, random_state=0, max_iter=3),
        "scikit-learn": sklearn.mixture.GaussianMixture(case.n_components, random_state=0, max_iter=3),
    }
    many = np.tile(rows, (copies, 1))
    found: dict[str, Any] = {"rows": len(many)}
    for name, model in models.items():
        model.fit(few)
        times_of = {}
        for action in ACTIONS:
            method = getattr(model, action)
            count = repeats if name == "gaussmix" else 1
            times_of[action] = [seconds(lambda method=method: method(many)) for _ in range(count)]
        found[name] = times_of
    return found


def results(smoke: bool) -> dict[str, Any]:
    case, copies, repeats = (SMOKE_FIT, SMOKE_COPIES, 1) if smoke else (FIT, COPIES, 5)
    problem = make_problem(case)
    rows = problem.rows
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fits = default_fits(case, rows, repeats)
        return {
            "case": case.__dict__,
            "fits": fits,
            "start": [start_seconds(problem) for _ in range(repeats)],
            "five iterations": [five_iterations_seconds(problem) for _ in range(repeats)],
            "predictions": predictions(case, rows, copies, repeats),
        }


def markdown(found: dict[str, Any]) -> str:
    case = Case(**found["case"])
    ours = statistics.median(found["fits"]["gaussmix"]["seconds"])
    lines = []
    for name, fit in found["fits"].items():
        ratio = "" if name == "gaussmix" else f"**{times(statistics.median(fit['seconds']) / ours)}**"
        lines.append((name, spread(fit["seconds"]), ratio, fit["iterations"], f"{fit['mean']:.4f}"))
    titles = ("default fit", "time", "ratio", "iterations", "mean log-likelihood, nats per row")
    return "\n\n".join(
        (
            f"{case.short_name}, float64. The start of gaussmix takes {duration(statistics.median(found['start']))} "
            f"of its time; five iterations of plain EM take {duration(statistics.median(found['five iterations']))}.",
            table(titles, lines),
            f"### Predictions of {found['predictions']['rows']:,} rows",
            prediction_table(found["predictions"]),
        )
    )


def prediction_table(found: dict[str, Any]) -> str:
    lines = []
    for action in ACTIONS:
        ours, theirs = found["gaussmix"][action], found["scikit-learn"][action]
        ratio = times(statistics.median(theirs) / statistics.median(ours))
        lines.append((f"`{action}`", spread(ours), spread(theirs), f"**{ratio}**"))
    return table(("method", "gaussmix", "scikit-learn", "ratio"), lines)
