"""How often a fit finds the best known optimum, and how long it takes, beside scikit-learn.

    python benchmarks/optimum.py [--seeds 2] [--problems 36] [--improve SECONDS]

A fit hits when its log-likelihood is within 1e-3 nats per row of the best known one of `optimum_best.json`. Any
better sound solution that turns up replaces the best known one; ``--improve`` spends that many seconds a problem on
restarts alone. Times are the process's, on one thread each.
"""

from __future__ import annotations

import argparse
import json
import os
import time
import warnings
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import common
import numpy as np
from problems import COUNT, problem

import gaussmix

BEST = Path(__file__).with_name("optimum_best.json")
HIT = 1e-3


def ours(init_params: str):
    def fit(rows, n_components, seed):
        found = gaussmix.fit(rows, n_components, init_params=init_params, random_state=seed, n_jobs=1)
        return -np.inf if found.degenerate else found.log_likelihood

    return fit


def sklearns(n_init: int):
    from sklearn.mixture import GaussianMixture

    def fit(rows, n_components, seed):
        model = GaussianMixture(n_components, n_init=n_init, random_state=seed).fit(rows)
        return model.score(rows) * len(rows)

    return fit


def improve(rows, n_components, best, seconds):
    """The best of searches and long restarts within the time."""
    begin, seed = time.process_time(), 1000
    while time.process_time() - begin < seconds:
        for strategy in ("search", "kmeans", "random_from_data"):
            options = {"init_params": strategy, "random_state": seed, "tol": 1e-6, "max_iter": 1000}
            found = gaussmix.fit(rows, n_components, n_jobs=1, **options)
            if not found.degenerate:
                best = max(best, found.log_likelihood)
        seed += 1
    return best


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--problems", type=int, default=COUNT)
    parser.add_argument("--improve", type=float, default=0.0, metavar="SECONDS")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    best = json.loads(BEST.read_text()) if BEST.exists() else {}
    methods = {
        "gaussmix, init_params='search'": ours("search"),
        "gaussmix, init_params='kmeans'": ours("kmeans"),
        "scikit-learn": sklearns(1),
        "scikit-learn, n_init=10": sklearns(10),
    }
    seconds = dict.fromkeys(methods, 0.0)
    reached: dict[str, list[tuple[int, float]]] = {name: [] for name in methods}
    for index in range(arguments.problems):
        rows, n_components, _ = problem(index)
        known = improve(rows, n_components, best.get(str(index), -np.inf), arguments.improve)
        for name, fit in methods.items():
            for seed in range(arguments.seeds):
                begin = time.process_time()
                log_likelihood = fit(rows, n_components, seed)
                seconds[name] += time.process_time() - begin
                reached[name].append((index, log_likelihood / len(rows)))
                if name.startswith("gaussmix"):
                    known = max(known, log_likelihood)
        best[str(index)] = float(known)
    BEST.write_text(json.dumps(best, indent=0) + "\n")
    sizes = {index: len(problem(index)[0]) for index in range(arguments.problems)}
    print(common.measured_on())
    print("\n| fit | within 1e-3 nats per row of the best known | seconds |\n|---|---|---|")
    for name, values in reached.items():
        hits = sum(best[str(index)] / sizes[index] - value < HIT for index, value in values)
        print(f"| {name} | {100 * hits / len(values):.0f} % of {len(values)} | {seconds[name]:.1f} |")


if __name__ == "__main__":
    main()
