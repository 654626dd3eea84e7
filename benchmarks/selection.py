"""How long it takes to choose: all families with one to nine components on small data, in a process that runs already.

    python benchmarks/selection.py [--repeats 9]

Printed are the median, the fastest and the slowest of several runs, after one that warms the caches, and the choice.
Where mclust is installed it takes turns with gaussmix.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path

import numpy as np
from common import measured_on, seconds, spread, table, times
from libraries import has_mclust
from pyarrow import csv
from sklearn.datasets import load_iris, load_wine

import gaussmix

EXAMPLE = Path(__file__).parents[1] / "examples" / "old_faithful.csv"


def data() -> dict[str, np.ndarray]:
    """Old Faithful, and two of those that come with scikit-learn."""
    read = csv.read_csv(EXAMPLE)
    columns = [read[name].to_numpy() for name in read.column_names]
    found = {"Old Faithful": np.column_stack(columns).astype(np.float64)}
    return found | {"iris": load_iris().data, "wine": load_wine().data}


@contextmanager
def mclust(rows: np.ndarray) -> Iterator[Callable[[], tuple[float, str]]]:
    """What makes mclust choose, in a process that runs already: seconds, and the choice."""
    with tempfile.NamedTemporaryFile("w", suffix=".csv") as file:
        np.savetxt(file, rows, delimiter=",")
        file.flush()
        command = ["Rscript", str(Path(__file__).with_name("select.R")), file.name]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:

            def choose() -> tuple[float, str]:
                process.stdin.write("\n")
                process.stdin.flush()
                took, model, n_components, bic = process.stdout.readline().split()
                return float(took), f"{model}, {n_components}, {-float(bic):.1f}"

            choose()
            yield choose


def line(
    name: str, rows: np.ndarray, repeats: int, other: Callable[[], tuple[float, str]] | None
) -> list[str]:
    choose = partial(gaussmix.select, rows, random_state=0)
    chosen = choose()
    took, others = [], []
    for _ in range(repeats):
        took.append(seconds(choose))
        if other is not None:
            others.append(other())
    best = chosen.best
    found = f"{best.mixture.covariance_type}, {best.mixture.n_components}, {best.bic:.1f}"
    cells = [name, *map(str, rows.shape), str(len(chosen.candidates)), spread(took), found]
    if others:
        theirs = [each for each, _ in others]
        ratio = statistics.median(theirs) / statistics.median(took)
        cells += [spread(theirs), f"**{times(ratio)}**", others[0][1]]
    return cells


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=9)
    repeats = parser.parse_args().repeats
    warnings.simplefilter("ignore")
    installed = has_mclust()
    lines = []
    for name, rows in data().items():
        with mclust(rows) if installed else nullcontext() as other:
            lines.append(line(name, rows, repeats, other))
    titles = ["data", "rows", "features", "candidates", "gaussmix", "chosen, BIC"]
    titles += ["mclust", "ratio", "chosen, BIC"][: len(lines[0]) - len(titles)]
    print(measured_on() + "\n")
    print(table(titles, lines))


if __name__ == "__main__":
    main()
