"""Memory that a fit adds to its data, and what a second thread brings.

Memory: a fresh process loads the rows from a file, fits some hundred of them once, so that all code and threads are
there, sets its peak back, and fits them all: the peak of resident memory above what was there before (Linux). Each
library makes its own default start; then five iterations.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from common import CORES, Case, make_problem, product_rate, significant, spread, table
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


def iteration_seconds(problem: Any, n_threads: int, longer: int = 6) -> float:
    """One more iteration: the difference of a longer and a shorter fit."""
    shorter, long = (with_gaussmix(problem, n, n_threads).seconds for n in (1, 1 + longer))
    return max(long - shorter, 1e-9) / longer


def threads(case: Case, repeats: int, product_size: int) -> dict[str, Any]:
    """Seconds per iteration with one thread and with all, by turns; the matrix product's gain beside them."""
    problem = make_problem(case)
    pairs = [(iteration_seconds(problem, 1), iteration_seconds(problem, CORES)) for _ in range(repeats + 1)][
        1:
    ]
    rates = [product_rate("float64", n, 3, product_size) for n in (1, CORES)]
    return {
        "case": case.__dict__,
        "one": [pair[0] for pair in pairs],
        "all": [pair[1] for pair in pairs],
        "product": rates[1] / rates[0],
    }


# ---- both ------------------------------------------------------------------------------------------------------------


def memory_results(smoke: bool) -> list[dict[str, Any]]:
    return [memory(case) for case in (SMOKE_MEMORY if smoke else MEMORY)]


def thread_results(smoke: bool) -> list[dict[str, Any]]:
    return [
        threads(case, *((1, 300) if smoke else (7, 1500))) for case in (SMOKE_THREADS if smoke else THREADS)
    ]


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
        gain = statistics.median(result["one"]) / statistics.median(result["all"])
        row = (Case(**result["case"]).short_name, spread(result["one"]), spread(result["all"]))
        lines.append((*row, f"**{gain:.2f}**", f"{result['product']:.2f}"))
    titles = ("one more iteration", "1 thread", f"{CORES} threads", "gain", "gain of the matrix product")
    return table(titles, lines)


if __name__ == "__main__":
    print(json.dumps(added_memory(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
