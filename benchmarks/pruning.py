"""What an EM iteration costs as the number of components grows: gaussmix pruned and dense, scikit-learn, oneDAL.

Rows of K components with centres N(0, 5² I) and standard deviations from 0.6 to 1.5 along axes turned at random. EM
starts from their parameters changed by a tenth; timed is its tenth iteration, by each library from the same
parameters. All must end at the same log-likelihood, and the pruned pass at the sums of the dense one. The others take
part up to the K from which an iteration lasts longer than ``--limit`` seconds.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from common import CORES, Case, Problem, duration, seconds, table, times
from libraries import libraries
from pictures import COLORS, MARKS

import gaussmix
from gaussmix.maximisation import m_step
from gaussmix.plot._style import dress, label_axes, new_figure
from gaussmix.rows import as_source
from gaussmix.start import data_prior
from gaussmix.statistics import Statistics

IMAGE = Path(__file__).parent.parent / "docs" / "images" / "pruning.png"
AGREEMENT = 1e-9  # relative difference of L between libraries that rounding may explain
EXACT = 1e-12  # the pruned pass and the dense one: L, and N_k, means and covariances in their scales
OTHERS = ("scikit-learn", "oneDAL")


@dataclass(frozen=True)
class Crowd(Problem):
    """Rows, and the parameters from which every library makes its iteration."""

    full: np.ndarray

    @property
    def covariances(self) -> np.ndarray:
        return self.full


def make_crowd(n_rows: int, n_features: int, n_components: int) -> Crowd:
    rng = np.random.default_rng([20260, n_components])
    centres = 5 * rng.normal(size=(n_components, n_features))
    turns = np.linalg.qr(rng.normal(size=(n_components, n_features, n_features)))[0]
    roots = turns * rng.uniform(0.6, 1.5, size=(n_components, 1, n_features))
    labels = rng.integers(n_components, size=n_rows)
    rows = centres[labels] + np.einsum("nij,nj->ni", roots[labels], rng.normal(size=(n_rows, n_features)))

    def changed(values: np.ndarray) -> np.ndarray:
        shape = (n_components,) + (1,) * (values.ndim - 1) if values.ndim == 3 else values.shape
        return values * (1 + 0.1 * rng.uniform(-1, 1, size=shape))

    weights = changed(np.full(n_components, 1 / n_components))
    case = Case(n_rows, n_features, n_components)
    covariances = changed(roots @ np.swapaxes(roots, 1, 2))
    return Crowd(case, rows, weights / weights.sum(), changed(centres), rows.var(axis=0), covariances)


class OneIteration:
    """The tenth iteration of gaussmix, its pass pruned or dense."""

    def __init__(self, crowd: Crowd, n_threads: int) -> None:
        self.rows, self.n_threads = crowd.rows, n_threads
        self.prior = data_prior(as_source(crowd.rows), crowd.case.n_components, reg_covar=0.0)
        self.memo: dict[str, Any] = {}
        self.mixture = crowd.mixture
        for _ in range(9):
            self.mixture = self.next(self.fold(self.memo))

    def fold(self, memo: dict[str, Any] | None) -> Statistics:
        return self.mixture.fold(self.rows, None, memo, self.n_threads)

    def next(self, statistics: Statistics) -> gaussmix.Mixture:
        mixture = m_step(statistics, self.mixture, self.prior)
        if not isinstance(mixture, gaussmix.Mixture):
            raise SystemExit(f"K = {len(statistics.mass)}: {mixture.why}")
        return mixture


def lost(pruned: Statistics, dense: Statistics) -> float:
    """The largest difference of the two: of L and N_k to themselves, of moments to the components' spread."""
    mass = np.maximum(dense.mass, 1e-300)
    spread = np.sqrt(np.einsum("kii->k", dense.second) / mass)
    return max(
        abs(pruned.log_likelihood / dense.log_likelihood - 1),
        np.max(np.abs(pruned.mass / mass - 1)),
        np.max(np.abs(pruned.first - dense.first) / (mass * spread)[:, None]),
        np.max(np.abs(pruned.second - dense.second) / (mass * spread**2)[:, None, None]),
    )


def of_others(name: str, crowd: Crowd, n_threads: int, repeats: int) -> tuple[float, float]:
    """Seconds of one more iteration, the median of differences of two fits in turn; and L after the first."""
    fit = libraries((name,))[name]
    for _ in range(repeats):
        first = fit(crowd, 1, n_threads)  # its threads and buffers are there from now on
    cost = statistics.median(
        fit(crowd, 2, n_threads).seconds - fit(crowd, 1, n_threads).seconds for _ in range(repeats)
    )
    return cost, first.log_likelihood()


def measured(crowd: Crowd, names: tuple[str, ...], n_threads: int, repeats: int) -> dict[str, float]:
    """Seconds of an iteration of each; of the two passes alone; what pruning changed."""
    ours = OneIteration(crowd, n_threads)
    memos: dict[str, dict[str, Any] | None] = {"pruned pass": ours.memo, "dense pass": None}
    folded = {name: ours.fold(memo) for name, memo in memos.items()}
    found = {"lost": lost(folded["pruned pass"], folded["dense pass"])}
    if not found["lost"] < EXACT:
        raise SystemExit(f"K = {crowd.case.n_components}: pruning changed the sums by {found['lost']:.1e}")
    passes = {
        name: [seconds(lambda memo=memo: ours.fold(memo)) for _ in range(repeats)]  # type: ignore[misc]
        for name, memo in memos.items()
    }
    found |= {name: statistics.median(each) for name, each in passes.items()}
    step = statistics.median(seconds(lambda: ours.next(folded["dense pass"])) for _ in range(repeats))
    found |= {
        "gaussmix": found["pruned pass"] + step,
        "gaussmix, nothing pruned": found["dense pass"] + step,
    }
    end = ours.next(folded["pruned pass"]).log_likelihood(crowd.rows)
    now = replace(
        crowd, weights=ours.mixture.weights, means=ours.mixture.means, full=ours.mixture.full_covariances
    )
    for name in names:
        counted = (1, n_threads) if name == "scikit-learn" and n_threads > 1 else (n_threads,)
        some = repeats if found["dense pass"] < 0.1 else 1
        found[name], theirs = min(of_others(name, now, count, some) for count in counted)
        if not abs(theirs / end - 1) < AGREEMENT:
            raise SystemExit(f"{crowd.case.name}: {name} ends at L = {theirs}, gaussmix at {end}")
    return found


# ---- printing --------------------------------------------------------------------------------------------------------


TITLES = ("gaussmix", "gaussmix, nothing pruned", *OTHERS)


def row(n_components: int, found: dict[str, float]) -> list[str]:
    cells = [duration(found[name]) if name in found else "–" for name in TITLES]
    ratio = found["dense pass"] / found["pruned pass"]
    return [str(n_components), *cells, times(ratio), f"{found['lost']:.0e}"]


def markdown(results: dict[int, dict[str, float]]) -> str:
    titles = ("K", *TITLES, "dense pass / pruned pass", "largest difference of their sums")
    return table(titles, [row(*each) for each in results.items()], words=0)


def draw(results: dict[int, dict[str, float]], case: Case, path: Path) -> None:
    """Milliseconds against K, both in powers of two."""
    figure = new_figure(6.6, 4.2)
    ax = dress(figure.add_subplot())
    for name in TITLES:
        counts = [k for k, found in results.items() if name in found]
        library, _, dense = name.partition(",")
        ax.plot(
            counts,
            [1e3 * results[k][name] for k in counts],
            color=COLORS[library],
            marker=MARKS[library],
            markersize=5,
            markerfacecolor="white" if dense else COLORS[library],
            linestyle="--" if dense else "-",
            linewidth=1.5,
            label=name,
        )
    ax.set(xscale="log", yscale="log", xticks=list(results), xticklabels=list(map(str, results)))
    ax.minorticks_off()
    ax.yaxis.set_major_formatter("{x:,g}")
    label_axes(ax, "components K", "milliseconds per iteration")
    ax.set_title(f"{case.n_rows:,} rows, {case.n_features} features", loc="left", fontsize=9)
    figure.legend(loc="outside lower center", ncols=len(TITLES), frameon=False, fontsize=8.5)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Software": None})


def survey(
    sizes: tuple[int, int],
    counts: list[int],
    limit: float,
    n_threads: int,
    repeats: int,
    log: Callable[[str], Any],
) -> dict[int, dict[str, float]]:
    """Results for each K; a library whose next iteration would outlast the limit is left out from there on."""
    names, results = tuple(libraries(OTHERS)), {}
    for n_components in counts:
        results[n_components] = found = measured(make_crowd(*sizes, n_components), names, n_threads, repeats)
        log(f"  K = {n_components}: " + ", ".join(row(n_components, found)[1:]))
        names = tuple(name for name in names if 2 * found[name] < limit)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--features", type=int, default=8)
    parser.add_argument("--most", type=int, default=4096, help="the largest K")
    parser.add_argument(
        "--limit", type=float, default=20.0, help="seconds of an iteration of another library"
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=CORES)
    parser.add_argument(
        "--image", type=Path, default=IMAGE, help=f"where the picture goes; {IMAGE.name} of the documents"
    )
    parser.add_argument(
        "--smoke", action="store_true", help="few rows, once, no picture: do the results agree"
    )
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # no fit converges here, and every library says so
    if options.smoke:
        options.rows, options.most, options.repeats, options.limit = 8_000, 128, 1, 1.0
    counts = [2**power for power in range(3, 30) if 2**power <= options.most]
    results = survey(
        (options.rows, options.features), counts, options.limit, options.threads, options.repeats,
        lambda text: print(text, file=sys.stderr, flush=True),
    )  # fmt: skip
    print(markdown(results))
    if not options.smoke:
        draw(results, Case(options.rows, options.features, counts[-1]), options.image)


if __name__ == "__main__":
    main()
