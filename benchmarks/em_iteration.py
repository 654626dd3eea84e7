"""An EM iteration: gaussmix, scikit-learn, oneDAL and, where they are installed, Armadillo and mclust.

Every library gets the same rows, the same start, no regularisation and the same number of iterations, and must end at
the same log-likelihood; otherwise the run stops. Two costs are printed. The *whole fit* is that of a fit from the
array to the result, checks of the input and all, divided by its iterations. *One more iteration* is the difference
between a longer and a shorter fit, divided by the difference of their iterations: what EM itself costs.

The libraries take turns within each repeat; printed is the median, with the fastest and the slowest. scikit-learn works
through BLAS, whose threads harm small problems: for each case it gets one thread or all of them, whichever was faster.
"""

from __future__ import annotations

import math
import statistics
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

from common import (
    CASES,
    SMOKE_CASES,
    Case,
    Problem,
    duration,
    geometric_mean,
    make_problem,
    product_rate,
    spread,
    table,
    times,
)
from libraries import IN_PROCESS, Fit, Outcome, libraries

# Relative difference of L that rounding may explain.
AGREEMENT = {"float64": 1e-9, "float32": 1e-4}
# Seconds before a fit: the threads of a matrix product keep a core busy for a while after it.
CALM = 0.2


@dataclass
class Timing:
    """Seconds per iteration, one number for each repeat; threads; L at the end, in nats."""

    threads: int
    whole: list[float] = field(default_factory=list)
    marginal: list[float] = field(default_factory=list)
    log_likelihood: float = 0.0


@dataclass(frozen=True)
class Effort:
    """How long to measure: repeats at most, seconds of a library's budget for a case, at least three repeats."""

    repeats: int = 9
    budget: float = 8.0
    least: int = 3
    iterations: int = 5
    product_size: int = 1500

    def lengths(self, case: Case) -> tuple[int, int]:
        """Iterations of the shorter and of the longer fit."""
        return (10, 50) if case.small else (1, self.iterations)

    def enough(self, name: str, timing: Timing, spent: float) -> bool:
        """Programs of their own, which are slow, need no three repeats."""
        done = len(timing.whole)
        least = self.least if name in IN_PROCESS else 1
        return done >= self.repeats or (done >= least and spent > self.budget)


def measure(problem: Problem, effort: Effort, n_threads: int) -> dict[str, Any]:
    """Each library in turn until it has been measured enough; the matrix product beside them."""
    case, dtype = problem.case, str(problem.rows.dtype)
    short, long = effort.lengths(case)
    fits = libraries() if dtype == "float64" else libraries(IN_PROCESS)
    timings = {name: Timing(n_threads) for name in fits}
    timings["scikit-learn"].threads = faster_choice(fits["scikit-learn"], problem, short, n_threads)
    spent = dict.fromkeys(fits, 0.0)
    product = partial(product_rate, dtype, n_threads, 3, effort.product_size, of=statistics.median)
    rates = [product()]
    failures: dict[str, str] = {}
    for name in ("gaussmix", "oneDAL"):
        if name in fits:
            fits[name](problem, short, n_threads)  # their threads and buffers are there from now on
    while waiting := [name for name in timings if not effort.enough(name, timings[name], spent[name])]:
        for name in waiting:
            try:
                spent[name] += repeat(name, fits[name], problem, timings[name], short, long)
            except (RuntimeError, subprocess.CalledProcessError) as error:
                if name in ("gaussmix", "scikit-learn"):
                    raise
                failures[name] = str(error)
                del timings[name]
        rates.append(product())
    check_agreement(problem, {name: timing.log_likelihood for name, timing in timings.items()})
    return {
        "case": asdict(case),
        "dtype": dtype,
        "product": statistics.median(rates),
        "libraries": {name: asdict(timing) for name, timing in timings.items()},
        "failures": failures,
    }


def faster_choice(fit: Fit, problem: Problem, n_iterations: int, n_threads: int) -> int:
    trials = {choice: fit(problem, n_iterations, choice).seconds for choice in {1, n_threads}}
    return min(trials, key=lambda choice: trials[choice])


def repeat(name: str, fit: Fit, problem: Problem, timing: Timing, short: int, long: int) -> float:
    """One shorter and one longer fit; returns the seconds that it took."""
    begin = time.perf_counter()
    time.sleep(CALM)
    shorter = checked(name, problem, short, fit(problem, short, timing.threads))
    time.sleep(CALM)
    longer = checked(name, problem, long, fit(problem, long, timing.threads))
    timing.whole.append(longer.seconds / long)
    timing.marginal.append((longer.seconds - shorter.seconds) / (long - short))
    taken = time.perf_counter() - begin
    if len(timing.whole) == 1:
        timing.log_likelihood = longer.log_likelihood()
    return taken


def checked(name: str, problem: Problem, wanted: int, outcome: Outcome) -> Outcome:
    if outcome.n_iterations != wanted:
        raise SystemExit(f"{problem.case.name}: {name} made {outcome.n_iterations} iterations, not {wanted}")
    return outcome


def check_agreement(problem: Problem, ends: dict[str, float]) -> None:
    expected = ends["scikit-learn"]
    for name, end in ends.items():
        if not abs(end / expected - 1) < AGREEMENT[str(problem.rows.dtype)]:
            raise SystemExit(f"{problem.case.name}: {name} ends at L = {end}, scikit-learn at {expected}")


def results(
    smoke: bool, n_threads: int, cases: Sequence[Case] | None, dtypes: Sequence[str]
) -> Iterator[Any]:
    """One after the other, so that progress can be shown."""
    effort = Effort(repeats=1, least=1, product_size=300) if smoke else Effort()
    for dtype in dtypes:
        for case in cases or (SMOKE_CASES if smoke else CASES):
            yield measure(make_problem(case, dtype), effort, n_threads)


# ---- printing --------------------------------------------------------------------------------------------------------

WHAT = {"whole": "Whole fit divided by its iterations", "marginal": "One more iteration"}


def median(result: dict[str, Any], name: str, cost: str) -> float:
    """Seconds; NaN where the difference of two fits got lost in the machine's noise."""
    value = statistics.median(result["libraries"][name][cost])
    return value if value > 0 else math.nan


def others(found: list[dict[str, Any]]) -> list[str]:
    """The other libraries, in the order of the first case that has them."""
    return [
        name for name in dict.fromkeys(name for r in found for name in r["libraries"]) if name != "gaussmix"
    ]


def case_of(result: dict[str, Any]) -> Case:
    return Case(**result["case"])


def line(result: dict[str, Any], names: list[str], cost: str) -> list[str]:
    case = case_of(result)
    cells = [f"{case.n_rows:,}", str(case.n_features), str(case.n_components), case.covariance_type]
    cells.append(spread(result["libraries"]["gaussmix"][cost]))
    ours = median(result, "gaussmix", cost)
    if cost == "marginal":
        rate = case.flops / ours / 1e9
        cells += ["?", "?"] if math.isnan(rate) else [f"{rate:.0f}", f"{rate / result['product']:.0%}"]
    for name in names:
        if name in result["libraries"]:
            ratio = median(result, name, cost) / ours
            cells += [spread(result["libraries"][name][cost]), f"**{times(ratio)}**"]
        else:
            cells += ["fails", ""]
    return cells


def cost_table(found: list[dict[str, Any]], cost: str) -> str:
    names = others(found)
    titles = ["N", "D", "K", "covariances", "gaussmix"]
    titles += ["GFLOP/s", "of the matrix product"] if cost == "marginal" else []
    titles += [title for name in names for title in (name, "ratio")]
    return table(titles, [line(result, names, cost) for result in found], words=0)


def means(found: list[dict[str, Any]], cost: str) -> str:
    """Geometric means of the ratios over the cases with many rows, if there are any, and the least of them."""
    lines = []
    large = [result for result in found if not case_of(result).small]
    if not large:
        return ""
    for name in others(found):
        there = [result for result in large if name in result["libraries"]]
        ratios = [median(result, name, cost) / median(result, "gaussmix", cost) for result in there]
        least = min(ratios, key=lambda ratio: math.inf if math.isnan(ratio) else ratio)
        lines.append(f"{name}: {times(geometric_mean(ratios))} times, at least {times(least)}")
    return f"Geometric mean over the {len(large)} cases with many rows: " + "; ".join(lines) + "."


def precision_gain(found: list[dict[str, Any]]) -> str:
    """How much faster float32 is than float64."""
    by_case: dict[str, dict[str, dict[str, Any]]] = {}
    for result in found:
        by_case.setdefault(case_of(result).name, {})[result["dtype"]] = result
    both = {
        name: each for name, each in by_case.items() if len(each) == 2 and not case_of(each["float32"]).small
    }
    if not both:
        return ""
    gains = {
        name: median(each["float64"], "gaussmix", "marginal")
        / median(each["float32"], "gaussmix", "marginal")
        for name, each in both.items()
    }
    cells = [(name, times(gain)) for name, gain in gains.items()]
    mean = times(geometric_mean(gains.values()))
    return (
        f"### float32 against float64\n\nHow many times as fast one more iteration of gaussmix is in float32; "
        f"geometric mean {mean}:\n\n" + table(["case", "ratio"], cells)
    )


def markdown(found: list[dict[str, Any]]) -> str:
    parts = []
    for dtype in dict.fromkeys(result["dtype"] for result in found):
        mine = [result for result in found if result["dtype"] == dtype]
        rates = [result["product"] for result in mine]
        for cost in ("whole", "marginal"):
            parts += [f"### {WHAT[cost]}, {dtype}", cost_table(mine, cost), means(mine, cost)]
        parts.append(
            f"The matrix product ran at {min(rates):.0f} to {max(rates):.0f} GFLOP/s between the fits; an iteration "
            "counts 2·N·K·D·(D + 1) operations, 8·N·K·D with diagonal covariances."
        )
        single = {timing["threads"] for result in mine for timing in [result["libraries"]["scikit-learn"]]}
        chosen = [
            case_of(result).name for result in mine if result["libraries"]["scikit-learn"]["threads"] == 1
        ]
        if len(single) > 1:
            parts.append(f"scikit-learn was faster with one thread of BLAS in {', '.join(chosen)}.")
    parts.append(precision_gain(found))
    return "\n\n".join(part for part in parts if part)


def progress(result: dict[str, Any]) -> str:
    costs = ", ".join(f"{name} {duration(median(result, name, 'marginal'))}" for name in result["libraries"])
    return f"{case_of(result).name} {result['dtype']}: {costs}"
