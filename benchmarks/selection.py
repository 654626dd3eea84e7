"""How long it takes to choose: all families with one to nine components on small data, in a process that runs already.

    python benchmarks/selection.py [--repeats 9]

Printed are the median, the fastest and the slowest of several runs, after one that warms the caches, and the choice.
"""

from __future__ import annotations

import argparse
import warnings
from functools import partial
from pathlib import Path

import numpy as np
from common import measured_on, seconds, spread, table
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


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=9)
    repeats = parser.parse_args().repeats
    warnings.simplefilter("ignore")
    lines = []
    for name, rows in data().items():
        choose = partial(gaussmix.select, rows, random_state=0)
        chosen = choose()
        took = [seconds(choose) for _ in range(repeats)]
        best = chosen.best
        lines.append(
            (
                name,
                *map(str, rows.shape),
                str(len(chosen.candidates)),
                spread(took),
                f"{best.mixture.covariance_type}, {best.mixture.n_components}",
                f"{best.bic:.1f}",
            )
        )
    print(measured_on() + "\n")
    print(table(("data", "rows", "features", "candidates", "all of them", "chosen", "BIC"), lines))


if __name__ == "__main__":
    main()
