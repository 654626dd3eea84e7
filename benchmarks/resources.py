"""Memory that a fit adds to its data, and what threads bring.

Memory: a fresh process loads the rows from a file, fits some hundred of them once, so that all code and threads are
there, sets its peak back, and fits them all: the peak of resident memory above what was there before (Linux). Each
library makes its own default start; then five iterations.

Threads: an iteration with one thread, with one for each core, and of as many fits at once with one thread each. These
share nothing but the machine: what they gain together is about all that a machine grants.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from common import CORES, Case, Problem, make_problem, seconds, significant, spread, table
from libraries import installed, with_gaussmix

MEMORY = (Case(1_000_000, 8, 8), Case(100_000, 8, 256))
SMOKE_MEMORY = (Case(20_000, 8, 4),)
THREADS = (Case(1_000_000, 2, 3), Case(1_000_000, 8, 8), Case(100_000, 32, 16), Case(200_000, 32, 64, "diag"))
SMOKE_THREADS = (Case(20_000, 8, 4),)


# ---- memory ----------------------------------------------------------------------------------------------------------


def fit_gaussmix(rows: np.ndarray, k: int) -> None:
    import gaussmix

    gaussmix.GaussianMixture(k, max_iter=5, random_state=0).fit(rows)


def fit_sklearn(rows: np.ndarray, k: int) -> None:
    from sklearn.mixture import GaussianMixture

    GaussianMixture(k, max_iter=5, random_state=0).fit(rows)


def fit_onedal(rows: np.ndarray, k: int) -> None:
    """One trial of its start: more take time, not memory."""
    import daal4py

    start = daal4py.em_gmm_init(nComponents=k, nTrials=1, nIterations=1).compute(rows)
    algorithm = daal4py.em_gmm(nComponents=k, maxIterations=5)
    algorithm.compute(rows, start.weights, start.means, start.covariances)


FITS = {"gaussmix": fit_gaussmix, "scikit-learn": fit_sklearn, "oneDAL": fit_onedal}


def resident(field: str) -> float:
    """VmRSS or VmHWM of this process, megabytes of 10⁶ bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(field)) * 1024 / 1e6


def added_memory(name: str, path: str, k: int) -> float:
    warnings.simplefilter("ignore")
    rows = np.load(path)
    FITS[name](rows[: max(4 * k, 300)].copy(), k)
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # sets VmHWM back
    FITS[name](rows, k)
    return resident("VmHWM") - before


def memory(case: Case) -> dict[str, Any]:
    """Megabytes for each library, each in its own process."""
    found: dict[str, Any] = {"case": case.__dict__, "added": {}}
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "rows.npy")
        np.save(path, make_problem(case).rows)
        for name in filter(installed, FITS):
            command = [sys.executable, __file__, name, path, str(case.n_components)]
            done = subprocess.run(command, check=name == "gaussmix", capture_output=True, text=True)
            found["added"][name] = json.loads(done.stdout) if done.returncode == 0 else None
    return found


# ---- threads ---------------------------------------------------------------------------------------------------------


def iteration_seconds(problem: Problem, n_threads: int, at_once: int = 1, longer: int = 6) -> float:
    """One more iteration, the difference of a longer and a shorter fit; of several fits ``at_once`` each one's part."""

    def fits(n_iterations: int) -> None:
        with ThreadPoolExecutor(at_once) as pool:
            list(pool.map(lambda _: with_gaussmix(problem, n_iterations, n_threads), range(at_once)))

    shorter, long = (seconds(partial(fits, n)) for n in (1, 1 + longer))
    return max(long - shorter, 1e-9) / longer / at_once


def threads(case: Case, repeats: int) -> dict[str, Any]:
    """Seconds per iteration with one thread, with all, and of as many fits at once with one thread each, by turns."""
    problem = make_problem(case)
    ways = {"one": (1, 1), "all": (CORES, 1), "at once": (1, CORES)}
    taken: dict[str, Any] = {name: [] for name in ways}
    for _ in range(repeats + 1):
        for name, way in ways.items():
            taken[name].append(iteration_seconds(problem, *way))
    return {"case": case.__dict__, **{name: each[1:] for name, each in taken.items()}}


# ---- both ------------------------------------------------------------------------------------------------------------


def memory_results(smoke: bool) -> list[dict[str, Any]]:
    return [memory(case) for case in (SMOKE_MEMORY if smoke else MEMORY)]


def thread_results(smoke: bool) -> list[dict[str, Any]]:
    return [threads(case, 1 if smoke else 31) for case in (SMOKE_THREADS if smoke else THREADS)]


def memory_markdown(found: list[dict[str, Any]]) -> str:
    names = list(found[0]["added"])
    lines = []
    for result in found:
        case = Case(**result["case"])
        data = case.n_rows * case.n_features * 8 / 1e6
        lines.append(
            (case.short_name, f"{data:.0f} MB", *(megabytes(result["added"][name]) for name in names))
        )
    return table(("fit", "the rows", *names), lines)


def megabytes(added: float | None) -> str:
    return "fails" if added is None else f"{significant(max(added, 0.0))} MB"


def thread_markdown(found: list[dict[str, Any]]) -> str:
    lines = []
    for result in found:
        one, all_cores, at_once = (result[name] for name in ("one", "all", "at once"))
        gains = [
            statistics.median(a / b for a, b in zip(one, other, strict=True))
            for other in (all_cores, at_once)
        ]
        row = (Case(**result["case"]).short_name, *map(spread, (one, all_cores, at_once)))
        lines.append((*row, f"**{gains[0]:.2f}**", f"{gains[1]:.2f}"))
    titles = ("one more iteration", "1 thread", f"{CORES} threads", f"{CORES} fits at once, each")
    return table((*titles, f"gain of {CORES} threads", f"gain of {CORES} fits"), lines)


if __name__ == "__main__":
    print(json.dumps(added_memory(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
