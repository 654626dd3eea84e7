"""All benchmarks, printed as Markdown: `make bench`.

    python benchmarks/bench.py                      everything: about half an hour
    python benchmarks/bench.py iterations memory    some parts only
    python benchmarks/bench.py --smoke              small sizes, once: does it run, do the results agree
    python benchmarks/bench.py --update             and write the results into the documents and their pictures

`--json FILE` keeps every number; a file that is there keeps the parts that did not run.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import common
import em_iteration
import resources
import steps
import whole_fit

HERE = Path(__file__).parent
ROOT = HERE.parent
DOCUMENTS = (ROOT / "docs" / "benchmarks.md", ROOT / "docs" / "kernel.md")
IMAGES = ROOT / "docs" / "images"
NUMBERS = HERE / "results.json"


def log(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


# ---- the parts: how to measure, how to print -------------------------------------------------------------------------


def measure_machine(options: argparse.Namespace) -> dict[str, Any]:
    threads = sorted({1, common.CORES})
    size = 300 if options.smoke else 1500
    return {
        "about": common.machine(common.CORES),
        "threads": threads,
        "product": {
            dtype: [common.product_rate(dtype, n, 5, size) for n in threads]
            for dtype in ("float64", "float32")
        },
        "copy": [common.copy_rate(n, 16 if options.smoke else 256) for n in threads],
    }


def print_machine(found: dict[str, Any]) -> str:
    lines = [f"- {key}: {value}" for key, value in found["about"].items()]
    counts = [f"{n} thread" + "s" * (n > 1) for n in found["threads"]]
    peaks = [
        (f"matrix product, {dtype}", *(f"{rate:.0f} GFLOP/s" for rate in rates))
        for dtype, rates in found["product"].items()
    ]
    peaks.append(("copying memory, read and written", *(f"{rate:.1f} GB/s" for rate in found["copy"])))
    return "\n".join(lines) + "\n\n" + common.table(("peak", *counts), peaks)


def measure_iterations(options: argparse.Namespace) -> list[Any]:
    dtypes = [options.dtype] if options.dtype else ["float64", "float32"]
    found = []
    for result in em_iteration.results(options.smoke, common.CORES, options.case, dtypes):
        log("  " + em_iteration.progress(result))
        found.append(result)
    return found


def script(name: str, *arguments: str, smoke: tuple[str, ...] | None = None) -> tuple[Any, Any]:
    """A script that prints Markdown by itself; ``smoke`` are its arguments for a short run, None: left out of one."""

    def measure(options: argparse.Namespace) -> str | None:
        chosen = smoke if options.smoke else arguments
        if chosen is None or not (HERE / name).exists():
            return None
        command = [sys.executable, str(HERE / name), *chosen]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()

    return measure, lambda found: f"`{' '.join(('benchmarks/' + name, *arguments))}`:\n\n{found}"


Part = tuple[str, Callable[[argparse.Namespace], Any], Callable[[Any], str]]
PARTS: dict[str, Part] = {
    "machine": ("The machine", measure_machine, print_machine),
    "iterations": ("An EM iteration", measure_iterations, em_iteration.markdown),
    "whole": ("A default fit", lambda options: whole_fit.results(options.smoke), whole_fit.markdown),
    "memory": (
        "Memory",
        lambda options: resources.memory_results(options.smoke),
        resources.memory_markdown,
    ),
    "threads": (
        "Threads",
        lambda options: resources.thread_results(options.smoke),
        resources.thread_markdown,
    ),
    "steps": ("Where a pass spends its time", lambda options: steps.results(options.smoke), steps.markdown),
    "pruning": ("Many components", *script("pruning.py", "--limit", "1.5", smoke=("--smoke",))),
    "selection": ("Choosing", *script("selection.py", smoke=("--repeats", "1"))),
    "startup": (
        "From the prompt to the answer",
        *script("startup.py", smoke=("--repeats", "1")),
    ),
    "optimum": ("The optimum that is found", *script("optimum.py", "--seeds", "3")),
    "convergence": ("Passes until convergence", *script("convergence.py")),
}


# ---- the document ----------------------------------------------------------------------------------------------------


def marked(name: str) -> re.Pattern[str]:
    """Where the document has what the part printed."""
    return re.compile(rf"(<!-- printed: {name} -->\n).*?(<!-- end -->)", re.DOTALL)


def updated(text: str, printed: dict[str, str]) -> str:
    """The document with what was printed between its marks; parts that did not run stay."""
    for name, section in printed.items():
        text = marked(name).sub(lambda found, section=section: f"{found[1]}\n{section}\n\n{found[2]}", text)
    return text


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", nargs="*", help=", ".join(PARTS) + "; all of them without")
    parser.add_argument("--smoke", action="store_true", help="small sizes, once")
    parser.add_argument("--case", action="append", type=common.parsed, metavar="[diag:]N,D,K")
    parser.add_argument("--dtype", choices=("float64", "float32"), help="iterations in this one only")
    parser.add_argument("--json", type=Path, metavar="FILE", help="every number")
    parser.add_argument("--pictures", type=Path, metavar="FOLDER", help="draw the pictures there")
    parser.add_argument("--update", action="store_true", help=f"documents, pictures, {NUMBERS.name}")
    options = parser.parse_args()
    if unknown := set(options.part) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    if options.update:
        options.json, options.pictures = options.json or NUMBERS, options.pictures or IMAGES
    warnings.simplefilter("ignore")  # no fit converges here, and every library says so

    numbers = json.loads(options.json.read_text()) if options.json and options.json.exists() else {}
    printed = {}
    for name in options.part or PARTS:
        title, measure, show = PARTS[name]
        log(f"{title} ...")
        found = measure(options)
        if found is None:
            continue
        numbers[name], printed[name] = found, show(found)
        print(f"## {title}\n\n{printed[name]}\n", flush=True)
        if options.json:
            options.json.write_text(json.dumps(numbers, indent=1) + "\n")
    if options.update:
        for document in DOCUMENTS:
            document.write_text(updated(document.read_text(), printed))
    if options.pictures:
        import pictures

        for path in pictures.draw(numbers, options.pictures):
            log(f"drew {path}")


if __name__ == "__main__":
    main()
