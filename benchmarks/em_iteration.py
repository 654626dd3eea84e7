"""Time of an EM iteration: gaussmix against scikit-learn and, where it is installed, oneDAL.

Every library gets the same rows, the same start, no regularisation and the same number of iterations, and must end at
the same log-likelihood; otherwise the run stops. A time is that of a whole fit, checks of the input and all, divided by
its iterations. The libraries take turns within each repeat. Printed are the median, the fastest and the slowest.

scikit-learn works through BLAS, whose threads harm small problems: for each case it gets one thread or all of them,
whichever was faster in trial fits (the column "threads").
"""

from __future__ import annotations

import os

# An old or forced BLAS would make the others look slow; this must happen before NumPy is imported.
for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
    os.environ.pop(name, None)

import argparse
import json
import platform
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
import sklearn.mixture
from threadpoolctl import threadpool_info, threadpool_limits

import gaussmix
from gaussmix import em, fitting
from gaussmix.rows import as_source
from gaussmix.start import data_prior


@dataclass(frozen=True)
class Case:
    n_rows: int
    n_features: int
    n_components: int
    covariance_type: str = "full"

    @property
    def name(self) -> str:
        return f"{self.covariance_type}:{self.n_rows},{self.n_features},{self.n_components}"


CASES = (
    Case(1_000_000, 2, 3),
    Case(1_000_000, 2, 16),
    Case(1_000_000, 8, 8),
    Case(200_000, 16, 32),
    Case(100_000, 32, 16),
    Case(50_000, 64, 16),
    Case(20_000, 128, 8),
    Case(100_000, 8, 256),
    Case(1_000_000, 8, 8, "diag"),
    Case(200_000, 32, 64, "diag"),
    Case(100_000, 64, 256, "diag"),
)
SMALL = Case(272, 2, 3)  # the size of Old Faithful: here overhead counts, so a fit makes 50 iterations
SMOKE = (Case(20_000, 2, 3), Case(10_000, 8, 8), Case(5_000, 32, 4), Case(10_000, 8, 8, "diag"), SMALL)

# Relative difference of L that rounding may explain.
AGREEMENT = {"float64": 1e-9, "float32": 1e-4}


@dataclass(frozen=True)
class Problem:
    """Rows and a start: π_k = 1/K, μ_k some of the rows, Σ_k the variances of all."""

    case: Case
    rows: np.ndarray
    weights: np.ndarray
    means: np.ndarray
    variances: np.ndarray
    n_iterations: int
    n_threads: int

    @property
    def covariances(self) -> np.ndarray:
        spread = self.variances if self.case.covariance_type == "diag" else np.diag(self.variances)
        return np.repeat(spread[None], self.case.n_components, axis=0)


def make_problem(case: Case, dtype: str, n_iterations: int, n_threads: int) -> Problem:
    """Overlapping clusters, so that no component collapses and every row has several that matter."""
    rng = np.random.default_rng(20250101)
    n, d, k = case.n_rows, case.n_features, case.n_components
    centres = rng.normal(scale=3 / np.sqrt(d), size=(k, d))
    shapes = np.eye(d) + rng.normal(scale=0.3 / np.sqrt(d), size=(k, d, d))
    labels = rng.integers(k, size=n)
    rows = rng.normal(size=(n, d))
    for j in range(k):
        rows[labels == j] = rows[labels == j] @ shapes[j].T + centres[j]
    rows = rows.astype(dtype)
    means = rows[rng.choice(n, k, replace=False)].astype(np.float64)
    return Problem(
        case, rows, np.full(k, 1 / k), means, rows.var(axis=0, dtype=np.float64), n_iterations, n_threads
    )


# ---- the libraries: each fits a problem and returns how to read L at the end, in nats --------------------------------

Fitted = Callable[[], float]


def with_gaussmix(problem: Problem) -> Fitted:
    """Plain EM: what the estimator does, without its acceleration, which would take other steps than the others."""
    source = as_source(problem.rows)
    prior = data_prior(source, problem.case.n_components, reg_covar=0.0)
    plan = em.Plan(prior, tol=0.0, max_iter=problem.n_iterations, n_threads=problem.n_threads, memory=0)
    start = gaussmix.Mixture(
        weights=problem.weights,
        means=problem.means,
        covariances=problem.covariances,
        covariance_type=problem.case.covariance_type,
    )
    fit = fitting.run(source, em.State((em.Run(start),), plan))
    check_iterations("gaussmix", fit.n_iter, problem)
    return lambda: fit.log_likelihood


def with_sklearn(problem: Problem) -> Fitted:
    case = problem.case
    inverse = (
        1 / problem.covariances if case.covariance_type == "diag" else np.linalg.inv(problem.covariances)
    )
    model = sklearn.mixture.GaussianMixture(
        case.n_components,
        covariance_type=case.covariance_type,
        weights_init=problem.weights.astype(problem.rows.dtype),
        means_init=problem.means.astype(problem.rows.dtype),
        precisions_init=inverse.astype(problem.rows.dtype),
        tol=0.0,
        reg_covar=0.0,
        max_iter=problem.n_iterations,
    ).fit(problem.rows)
    check_iterations("scikit-learn", model.n_iter_, problem)
    return lambda: float(model.score(problem.rows)) * case.n_rows


def with_onedal(problem: Problem) -> Fitted:
    import daal4py

    storage = "diagonal" if problem.case.covariance_type == "diag" else "full"
    covariances = problem.covariances[:, None, :] if storage == "diagonal" else problem.covariances
    algorithm = daal4py.em_gmm(
        nComponents=problem.case.n_components,
        fptype="float" if problem.rows.dtype == np.float32 else "double",
        maxIterations=problem.n_iterations,
        accuracyThreshold=0.0,
        covarianceStorage=storage,
        regularizationFactor=0.0,
    )
    end = algorithm.compute(problem.rows, problem.weights[None], problem.means, list(covariances))
    check_iterations("oneDAL", int(end.nIterations[0, 0]), problem)

    def log_likelihood() -> float:
        stacked = np.stack([np.squeeze(each) for each in end.covariances])
        family = problem.case.covariance_type
        weights = end.weights.ravel().astype(np.float64)
        mixture = gaussmix.Mixture(
            weights=weights / weights.sum(), means=end.means, covariances=stacked, covariance_type=family
        )
        return mixture.log_likelihood(problem.rows)

    return log_likelihood


def check_iterations(name: str, made: int, problem: Problem) -> None:
    if made != problem.n_iterations:
        raise SystemExit(f"{problem.case.name}: {name} made {made} iterations, not {problem.n_iterations}")


def libraries() -> dict[str, Callable[[Problem], Fitted]]:
    found = {"gaussmix": with_gaussmix, "scikit-learn": with_sklearn}
    try:
        import daal4py
    except ImportError:
        return found
    if hasattr(daal4py, "em_gmm"):
        found["oneDAL"] = with_onedal
    return found


# ---- measuring -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Timing:
    """Seconds per iteration, one number for each repeat, threads, and L at the end."""

    seconds: list[float]
    threads: int
    log_likelihood: float

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


def timed(fit: Callable[[Problem], Fitted], problem: Problem, threads: int) -> tuple[float, Fitted]:
    with threadpool_limits(threads):
        start = time.perf_counter()
        fitted = fit(problem)
        return (time.perf_counter() - start) / problem.n_iterations, fitted


def measure(problem: Problem, repeats: int, budget: float) -> dict[str, Timing]:
    """Each library in turn, ``repeats`` times, or three times once the budget in seconds is spent."""
    fits = libraries()
    begin = time.perf_counter()
    threads = dict.fromkeys(fits, problem.n_threads)
    trials = {choice: timed(with_sklearn, problem, choice)[0] for choice in {1, problem.n_threads}}
    threads["scikit-learn"] = min(trials, key=lambda choice: trials[choice])
    for name in fits:
        if name != "scikit-learn":
            timed(fits[name], problem, threads[name])
    seconds: dict[str, list[float]] = {name: [] for name in fits}
    ends: dict[str, float] = {}
    for repeat in range(repeats):
        if repeat >= 3 and time.perf_counter() - begin > budget:
            break
        for name, fit in fits.items():
            taken, log_likelihood = timed(fit, problem, threads[name])
            seconds[name].append(taken)
            if repeat == 0:
                ends[name] = log_likelihood()
    for name, end in ends.items():
        difference = abs(end / ends["scikit-learn"] - 1)
        if not difference < AGREEMENT[str(problem.rows.dtype)]:
            raise SystemExit(
                f"{problem.case.name}: {name} ends at L = {end}, scikit-learn at {ends['scikit-learn']}"
            )
    return {name: Timing(seconds[name], threads[name], ends[name]) for name in fits}


def matrix_product_rate(dtype: str, n_threads: int) -> float:
    """GFLOP/s of NumPy's matrix product: what the BLAS behind the others reaches in this run."""
    a = np.random.default_rng(0).normal(size=(1500, 1500)).astype(dtype)
    times = []
    for _ in range(5):
        with threadpool_limits(n_threads):
            start = time.perf_counter()
            a @ a
            times.append(time.perf_counter() - start)
    return 2 * 1500**3 / min(times) / 1e9


# ---- printing --------------------------------------------------------------------------------------------------------


def duration(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} µs"


def cell(timing: Timing) -> str:
    return f"{duration(timing.median)} ({duration(min(timing.seconds))} to {duration(max(timing.seconds))})"


def row(case: Case, dtype: str, timings: dict[str, Timing]) -> str:
    ours = timings["gaussmix"].median
    cells = [f"{case.n_rows:,}", case.n_features, case.n_components, case.covariance_type, dtype]
    for name, timing in timings.items():
        cells.append(cell(timing))
        if name == "scikit-learn":
            cells.append(timing.threads)
        if name != "gaussmix":
            ratio = timing.median / ours
            cells.append(f"**{ratio:.1f}**" if ratio >= 1 else f"**{ratio:.2f}**")
    return "| " + " | ".join(map(str, cells)) + " |"


def header() -> str:
    titles = ["N", "D", "K", "covariances", "rows"]
    for name in libraries():
        titles += {"gaussmix": [name], "scikit-learn": [name, "threads", "ratio"]}.get(name, [name, "ratio"])
    return "| " + " | ".join(titles) + " |\n|" + "---:|" * 3 + "---|" * 2 + "---:|" * (len(titles) - 5)


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def machine(n_threads: int, dtypes: list[str]) -> dict[str, Any]:
    from gaussmix import _kernel

    loaded = [each for each in threadpool_info() if each["user_api"] == "blas"]
    blas = [f"{each['internal_api']} {each['version']} ({each.get('architecture', '?')})" for each in loaded]
    return {
        "date": date.today().isoformat(),
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": n_threads,
        "instruction set of gaussmix": _kernel.instruction_set(),
        "BLAS of NumPy and SciPy": ", ".join(sorted(set(blas))),
        "matrix product": ", ".join(
            f"{matrix_product_rate(t, n_threads):.0f} GFLOP/s in {t}" for t in dtypes
        ),
        "versions": f"Python {platform.python_version()}, gaussmix {gaussmix.__version__}, "
        f"scikit-learn {sklearn.__version__}, NumPy {np.__version__}",
    }


def parsed(text: str) -> Case:
    """A case as `Case.name` writes it; "full:" may be left out."""
    family, _, sizes = text.rpartition(":")
    return Case(*map(int, sizes.split(",")), family or "full")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--case", action="append", type=parsed, metavar="[diag:]N,D,K", help="only this one; repeatable"
    )
    parser.add_argument("--dtype", choices=("float64", "float32"), help="only this one")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--iterations", type=int, default=5, help=f"of one fit; {SMALL.name} makes 50")
    parser.add_argument("--budget", type=float, default=60.0, help="seconds per case, after three repeats")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument(
        "--smoke", action="store_true", help="small cases, once: does it run, do the results agree"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="every number")
    options = parser.parse_args()

    warnings.simplefilter("ignore")  # no fit converges here, and every library says so
    cases = options.case or (SMOKE if options.smoke else (*CASES, SMALL))
    dtypes = [options.dtype] if options.dtype else ["float64", "float32"]
    results = []
    about = machine(options.threads, dtypes)
    print("\n".join(f"- {key}: {value}" for key, value in about.items()), "", header(), sep="\n", flush=True)
    for dtype in dtypes:
        for case in cases:
            iterations = 50 if case == SMALL else options.iterations
            problem = make_problem(case, dtype, iterations, options.threads)
            timings = measure(problem, 1 if options.smoke else options.repeats, options.budget)
            print(row(case, dtype, timings), flush=True)
            results.append(asdict(case) | {"dtype": dtype} | {name: asdict(t) for name, t in timings.items()})
    if options.json:
        options.json.write_text(json.dumps({"machine": about, "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
