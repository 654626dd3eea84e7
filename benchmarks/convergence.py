"""Passes over the rows until the log-likelihood is within 1e-6 nats per row of plain EM's limit, from the same start.

    python benchmarks/convergence.py [--families VVV ...] [--problems 36]

Only problems on which plain EM needs over 100 passes. A higher optimum counts as reached; a run that ends below the
limit counts with the passes that it was allowed, 1.2 times plain EM's and three.
"""

from __future__ import annotations

import argparse
import warnings

import numpy as np
from problems import COUNT, problem

from gaussmix import em, start
from gaussmix.rows import as_source

NEAR = 1e-6


def objectives(source, first, prior, accelerated, tol, passes, goal=np.inf):
    """The objective after each pass, at most so many, until ``goal``."""
    seen: list[float] = []
    plan = em.Plan(prior, tol, passes, accelerated=accelerated)
    for state in em.passes(source, em.State((em.Run(first),), plan)):
        seen.append(state.runs[0].objectives[-1])
        if seen[-1] >= goal or len(seen) >= passes:
            break
    return np.array(seen)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--families", nargs="+", default=["VVV"])
    parser.add_argument("--problems", type=int, default=COUNT)
    parser.add_argument("--longest", type=int, default=5000, help="passes of plain EM at most")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    print("| family | problem | K | D | plain EM | accelerated | share | L − plain, nats per row |")
    print("|---|---|---|---|---|---|---|---|")
    for family in arguments.families:
        shares = []
        for index in range(arguments.problems):
            rows, n_components, kind = problem(index)
            source = as_source(rows)
            prior = start.data_prior(source, n_components, 1e-6)
            blank = start.blank_mixture(n_components, family, prior)
            first = start.seeded(source, "kmeans", blank, prior, np.random.default_rng(0), False)
            plain = objectives(source, first, prior, False, 1e-9, arguments.longest)
            goal = plain[-1] - NEAR * len(rows)
            needed = int(np.argmax(plain >= goal)) + 1
            if needed <= 100:
                continue
            allowed = int(1.2 * needed) + 3
            fast = objectives(source, first, prior, True, 0.0, allowed, goal)
            used = len(fast) if fast[-1] >= goal else allowed
            shares.append(used / needed)
            apart = (fast[-1] - plain[-1]) / len(rows)
            size = f"{n_components} | {rows.shape[1]}"
            print(
                f"| {family} | {index} {kind} | {size} | {needed} | {used} | {shares[-1]:.2f} | {apart:.1e} |"
            )
        if shares:
            print(
                f"| {family} | median of {len(shares)} | | | | | {np.median(shares):.2f} | worst {max(shares):.2f} |"
            )


if __name__ == "__main__":
    main()
