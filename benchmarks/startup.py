"""Time from the shell's prompt to the answer: the import, the command's help, a fit of 272 rows.

Each is a new process; printed are the median, the fastest and the slowest of several, after one that warms the caches.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import measured_on

EXAMPLE = Path(__file__).parents[1] / "examples" / "old_faithful.csv"
COMMAND = Path(sys.executable).with_name("gaussmix")


def commands(folder: str) -> dict[str, list[str]]:
    return {
        "python -c pass": [sys.executable, "-c", "pass"],
        "python -c 'import numpy'": [sys.executable, "-c", "import numpy"],
        "python -c 'import gaussmix'": [sys.executable, "-c", "import gaussmix"],
        "gaussmix --help": [str(COMMAND), "--help"],
        f"gaussmix fit {EXAMPLE.name}": [
            str(COMMAND),
            *("fit", str(EXAMPLE), "--output-dir", folder, "--force"),
        ],
        "python -c 'import sklearn.mixture'": [sys.executable, "-c", "import sklearn.mixture"],
    }


def seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    repeats = parser.parse_args().repeats
    print(measured_on())
    print("\n| process | median | fastest to slowest |\n|---|---:|---:|")
    with tempfile.TemporaryDirectory() as folder:
        for name, command in commands(folder).items():
            seconds(command)
            times = [seconds(command) for _ in range(repeats)]
            print(f"| `{name}` | {statistics.median(times):.2f} s | {min(times):.2f} to {max(times):.2f} s |")


if __name__ == "__main__":
    main()
