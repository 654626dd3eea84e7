"""What the benchmarks share: sizes, rows with a start, clocks, the machine's peaks, and Markdown."""

from __future__ import annotations

import os

# An old or forced BLAS would make the others look slow; this must happen before NumPy is imported.
for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
    os.environ.pop(name, None)

import math
import platform
import statistics
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import sklearn
from threadpoolctl import threadpool_info, threadpool_limits

import gaussmix
from gaussmix import _kernel

CORES = len(os.sched_getaffinity(0))


@dataclass(frozen=True)
class Case:
    n_rows: int
    n_features: int
    n_components: int
    covariance_type: str = "full"

    @property
    def name(self) -> str:
        return f"{self.covariance_type}:{self.n_rows},{self.n_features},{self.n_components}"

    @property
    def short_name(self) -> str:
        size = f"{self.n_rows / 1e6:g}M" if self.n_rows >= 1e6 else f"{self.n_rows / 1e3:g}k"
        size = str(self.n_rows) if self.n_rows < 1000 else size
        kind = "" if self.covariance_type == "full" else f", {self.covariance_type}"
        return f"{size} × {self.n_features}, K = {self.n_components}{kind}"

    @property
    def flops(self) -> float:
        """Of an iteration: both triangles, 2·N·K·D·(D + 1); or the eight operations on each x − μ for diagonals."""
        d = self.n_features
        return (
            self.n_rows
            * self.n_components
            * (8.0 * d if self.covariance_type == "diag" else 2.0 * d * (d + 1))
        )

    @property
    def small(self) -> bool:
        """Whether overhead counts more than arithmetic."""
        return self.n_rows < 10_000


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
    Case(272, 2, 3),  # the size of Old Faithful
)
SMOKE_CASES = (Case(20_000, 8, 4), Case(10_000, 33, 3), Case(10_000, 8, 8, "diag"), Case(272, 2, 3))


def parsed(text: str) -> Case:
    """A case as `Case.name` writes it; "full:" may be left out."""
    family, _, sizes = text.rpartition(":")
    return Case(*map(int, sizes.split(",")), family or "full")


@dataclass(frozen=True)
class Problem:
    """Rows and a start: π_k = 1/K, μ_k some of the rows, Σ_k the variances of all."""

    case: Case
    rows: np.ndarray
    weights: np.ndarray
    means: np.ndarray
    variances: np.ndarray

    @property
    def covariances(self) -> np.ndarray:
        spread = self.variances if self.case.covariance_type == "diag" else np.diag(self.variances)
        return np.repeat(spread[None], self.case.n_components, axis=0)

    @property
    def mixture(self) -> gaussmix.Mixture:
        return gaussmix.Mixture(
            weights=self.weights,
            means=self.means,
            covariances=self.covariances,
            covariance_type=self.case.covariance_type,
        )

    def log_likelihood(self, weights: np.ndarray, means: np.ndarray, covariances: np.ndarray) -> float:
        """L of other libraries' parameters, in nats."""
        family = self.case.covariance_type
        mixture = gaussmix.Mixture(
            weights=weights / weights.sum(), means=means, covariances=covariances, covariance_type=family
        )
        return mixture.log_likelihood(self.rows)


def make_problem(case: Case, dtype: str = "float64") -> Problem:
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
    return Problem(case, rows, np.full(k, 1 / k), means, rows.var(axis=0, dtype=np.float64))


# ---- clocks ----------------------------------------------------------------------------------------------------------


def seconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def geometric_mean(ratios: Iterable[float]) -> float:
    """Of those that are known."""
    logs = [math.log(ratio) for ratio in ratios if not math.isnan(ratio)]
    return math.exp(statistics.fmean(logs)) if logs else math.nan


# ---- the machine -----------------------------------------------------------------------------------------------------


def product_rate(
    dtype: str, n_threads: int, repeats: int, size: int, of: Callable[[Iterable[float]], float] = min
) -> float:
    """GFLOP/s of NumPy's matrix product, from the least ``of`` several times: what the BLAS reaches in this run."""
    a = np.random.default_rng(0).normal(size=(size, size)).astype(dtype)
    with threadpool_limits(n_threads):
        return 2 * size**3 / of(seconds(lambda: a @ a) for _ in range(repeats)) / 1e9


def copy_rate(n_threads: int, megabytes: int = 256) -> float:
    """GB/s of memory traffic of copies, read and written bytes together, each thread its own part."""
    source = np.ones(megabytes * 2**17 // n_threads * n_threads)
    target = np.zeros_like(source)
    parts = list(zip(np.split(target, n_threads), np.split(source, n_threads), strict=True))

    def copy() -> None:
        threads = [threading.Thread(target=np.copyto, args=part) for part in parts[1:]]
        for thread in threads:
            thread.start()
        np.copyto(*parts[0])
        for thread in threads:
            thread.join()

    return 2 * source.nbytes / min(seconds(copy) for _ in range(5)) / 1e9


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def machine(n_threads: int) -> dict[str, object]:
    """What was measured on, in words."""
    loaded = [each for each in threadpool_info() if each["user_api"] == "blas"]
    blas = [f"{each['internal_api']} {each['version']} ({each.get('architecture', '?')})" for each in loaded]
    return {
        "date": date.today().isoformat(),
        "processor": processor(),
        "cores": CORES,
        "threads": n_threads,
        "instruction set of gaussmix": _kernel.instruction_set(),
        "BLAS of NumPy and SciPy": ", ".join(sorted(set(blas))),
        "versions": f"Python {platform.python_version()}, gaussmix {gaussmix.__version__}, "
        f"scikit-learn {sklearn.__version__}, NumPy {np.__version__}",
    }


def measured_on() -> str:
    """Lines for a part that may be printed on another machine than the rest."""
    about = machine(1)
    return "\n".join(
        f"- {what}: {about[what]}" for what in ("date", "processor", "cores", "instruction set of gaussmix")
    )


# ---- Markdown --------------------------------------------------------------------------------------------------------


def duration(value: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if abs(value) >= size:
            return f"{significant(value / size)} {unit}"
    return f"{significant(value / 1e-6)} µs"


def significant(value: float) -> str:
    """Three digits, no exponent."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def spread(values: Sequence[float]) -> str:
    """The median; with its range where there are several."""
    middle = duration(statistics.median(values))
    return middle if len(values) == 1 else f"{middle} ({duration(min(values))} to {duration(max(values))})"


def times(ratio: float) -> str:
    if math.isnan(ratio):
        return "?"
    return f"{ratio:.1f}" if ratio >= 1 else f"{ratio:.2f}"


def table(titles: Sequence[str], rows: Iterable[Sequence[object]], words: int = 1) -> str:
    """Markdown; the first ``words`` columns are text, the others numbers."""
    lines = ["| " + " | ".join(titles) + " |", "|" + "---|" * words + "---:|" * (len(titles) - words)]
    lines += ["| " + " | ".join(map(str, row)) + " |" for row in rows]
    return "\n".join(lines)
