"""The libraries: each makes so many EM iterations from a problem's start, without regularisation, and says how long.

scikit-learn is there with gaussmix; oneDAL comes with scikit-learn-intelex (`daal4py`). Armadillo (a C++ compiler and
its headers) and mclust (R) take part where they are installed; they get the rows as a file, and their own clocks
leave out reading it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from common import Problem
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits

from gaussmix import em, fitting
from gaussmix.rows import as_source
from gaussmix.start import data_prior

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Outcome:
    """Seconds of the whole fit, iterations made, and how to find L of the result, in nats."""

    seconds: float
    n_iterations: int
    log_likelihood: Callable[[], float]


Fit = Callable[[Problem, int, int], Outcome]  # problem, iterations, threads


# ---- in this process -------------------------------------------------------------------------------------------------


def with_gaussmix(problem: Problem, n_iterations: int, n_threads: int) -> Outcome:
    """Plain EM: what the estimator does, without its acceleration, which would take other steps than the others."""
    begin = time.perf_counter()
    source = as_source(problem.rows)
    prior = data_prior(source, problem.case.n_components, 0.0, n_threads)
    plan = em.Plan(prior, tol=0.0, max_iter=n_iterations, n_threads=n_threads, accelerated=False)
    fit = fitting.run(source, em.State((em.Run(problem.mixture),), plan))
    return Outcome(time.perf_counter() - begin, fit.n_iter, lambda: fit.log_likelihood)


def with_sklearn(problem: Problem, n_iterations: int, n_threads: int) -> Outcome:
    case = problem.case
    inverse = (
        1 / problem.covariances if case.covariance_type == "diag" else np.linalg.inv(problem.covariances)
    )
    with threadpool_limits(n_threads):
        begin = time.perf_counter()
        model = GaussianMixture(
            case.n_components,
            covariance_type=case.covariance_type,
            weights_init=problem.weights.astype(problem.rows.dtype),
            means_init=problem.means.astype(problem.rows.dtype),
            precisions_init=inverse.astype(problem.rows.dtype),
            tol=0.0,
            reg_covar=0.0,
            max_iter=n_iterations,
        ).fit(problem.rows)
        elapsed = time.perf_counter() - begin
    return Outcome(elapsed, model.n_iter_, lambda: float(model.score(problem.rows)) * case.n_rows)


def with_onedal(problem: Problem, n_iterations: int, n_threads: int) -> Outcome:
    """The likelihood that oneDAL reports lags one M-step: here it is that of its last parameters.

    It takes as many threads as the process may use, whatever ``n_threads`` says.
    """
    import daal4py

    begin = time.perf_counter()
    diagonal = problem.case.covariance_type == "diag"
    covariances = problem.covariances[:, None, :] if diagonal else problem.covariances
    algorithm = daal4py.em_gmm(
        nComponents=problem.case.n_components,
        fptype="float" if problem.rows.dtype == np.float32 else "double",
        maxIterations=n_iterations,
        accuracyThreshold=0.0,
        covarianceStorage="diagonal" if diagonal else "full",
        regularizationFactor=0.0,
    )
    end = algorithm.compute(problem.rows, problem.weights[None], problem.means, list(covariances))
    elapsed = time.perf_counter() - begin

    def log_likelihood() -> float:
        stacked = np.stack([np.squeeze(each) for each in end.covariances])
        return problem.log_likelihood(end.weights.ravel().astype(np.float64), end.means, stacked)

    return Outcome(elapsed, int(end.nIterations[0, 0]), log_likelihood)


# ---- programs of their own -------------------------------------------------------------------------------------------


def by_program(command: list[str], problem: Problem, n_iterations: int, n_threads: int) -> Outcome:
    """Run ``command FOLDER N D K full|diag ITERATIONS``, which reads rows.bin and start.bin and writes end.bin.

    All are float64: the rows one after the other; weights, means and covariances component by component, in end.bin
    after the seconds and the number of iterations.
    """
    case, parts = problem.case, (problem.weights, problem.means, problem.covariances)
    folder = _stored(problem)
    size = list(map(str, (case.n_rows, case.n_features, case.n_components)))
    environment = {**os.environ, "OMP_NUM_THREADS": str(n_threads), "OPENBLAS_NUM_THREADS": str(n_threads)}
    subprocess.run(
        [*command, folder, *size, case.covariance_type, str(n_iterations)], check=True, env=environment
    )
    elapsed, made, *numbers = np.fromfile(Path(folder) / "end.bin")
    cuts = np.cumsum([part.size for part in parts])[:-1]
    end = [
        each.reshape(part.shape) for each, part in zip(np.split(np.array(numbers), cuts), parts, strict=True)
    ]
    return Outcome(elapsed, int(made), lambda: problem.log_likelihood(*end))


_folders: dict[int, tuple[Problem, tempfile.TemporaryDirectory[str]]] = {}


def _stored(problem: Problem) -> str:
    """A folder with the problem's rows and start; only the last problem's is kept."""
    if id(problem) not in _folders:
        _folders.clear()
        folder = tempfile.TemporaryDirectory()
        _folders[id(problem)] = problem, folder
        np.ascontiguousarray(problem.rows, dtype=np.float64).tofile(Path(folder.name) / "rows.bin")
        start = (problem.weights, problem.means, problem.covariances)
        np.concatenate([part.ravel() for part in start]).tofile(Path(folder.name) / "start.bin")
    return _folders[id(problem)][1].name


@cache
def _armadillo() -> tuple[tempfile.TemporaryDirectory[str], str] | None:
    """The compiled program, or None without a compiler, Armadillo or its libraries."""
    compiler = shutil.which("g++")
    if compiler is None:
        return None
    folder = tempfile.TemporaryDirectory()
    program = str(Path(folder.name) / "armadillo")
    command = [compiler, "-std=c++17", "-O3", "-march=native", "-fopenmp", str(HERE / "armadillo.cpp")]
    done = subprocess.run([*command, "-larmadillo", "-o", program], capture_output=True)
    return (folder, program) if done.returncode == 0 else None


def with_armadillo(problem: Problem, n_iterations: int, n_threads: int) -> Outcome:
    _, program = _armadillo()
    return by_program([program], problem, n_iterations, n_threads)


def with_mclust(problem: Problem, n_iterations: int, n_threads: int) -> Outcome:
    return by_program(["Rscript", str(HERE / "mclust.R")], problem, n_iterations, n_threads)


def has_mclust() -> bool:
    if shutil.which("Rscript") is None:
        return False
    return subprocess.run(["Rscript", "-e", "library(mclust)"], capture_output=True).returncode == 0


def _has_onedal() -> bool:
    try:
        import daal4py
    except ImportError:
        return False
    return hasattr(daal4py, "em_gmm")


IN_PROCESS = ("gaussmix", "scikit-learn", "oneDAL")


LIBRARIES: dict[str, tuple[Fit, Callable[[], bool]]] = {
    "gaussmix": (with_gaussmix, lambda: True),
    "scikit-learn": (with_sklearn, lambda: True),
    "oneDAL": (with_onedal, _has_onedal),
    "Armadillo": (with_armadillo, lambda: _armadillo() is not None),
    "mclust": (with_mclust, has_mclust),
}


@cache
def installed(name: str) -> bool:
    return LIBRARIES[name][1]()


def libraries(names: Iterable[str] = LIBRARIES) -> dict[str, Fit]:
    """Those of the names that are installed."""
    return {name: LIBRARIES[name][0] for name in names if installed(name)}
