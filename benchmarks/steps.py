"""Where the time of a pass goes: filling tiles, densities, Bayes' theorem, statistics, on one thread in float64.

steps.cpp is compiled with the kernel's headers and the flags of the instruction set in use, and puts a clock
between the steps of each tile. Densities and statistics have N·K·D·(D + 1) operations each with full covariances,
4·N·K·D with diagonal ones; a logarithm and the exponentials of Bayes' theorem are not counted.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from common import CASES, SMOKE_CASES, Case, product_rate, significant, table

from gaussmix import _kernel

HERE = Path(__file__).parent
STEPS = ("filling", "densities", "bayes", "statistics")


def flags(level: str) -> list[str]:
    """The compiler's flags of an instruction set, as CMakeLists.txt has them."""
    text = (HERE.parent / "CMakeLists.txt").read_text()
    common = re.search(r"set\(arithmetic (.*?)\)", text)
    own = re.search(rf"add_level\({level} (\d+)(.*?)\)", text)
    assert common and own
    return [*common[1].split(), f"-DGAUSSMIX_BYTES={own[1]}", *own[2].split()]


def compiled(folder: str) -> str | None:
    """The program; None without a compiler."""
    compiler = shutil.which("g++") or shutil.which("c++")
    if compiler is None:
        return None
    program = str(Path(folder) / "steps")
    command = [compiler, "-std=c++20", "-O3", "-DNDEBUG", f"-I{HERE.parent / 'native'}"]
    command += [*flags(_kernel.instruction_set()), str(HERE / "steps.cpp"), "-pthread", "-o", program]
    subprocess.run(command, check=True)
    return program


def measure(program: str, case: Case, repeats: int, product_size: int) -> dict[str, Any]:
    """Seconds of each step; the matrix product of one thread in GFLOP/s."""
    size = map(str, (case.n_rows, case.n_features, case.n_components))
    command = [program, *size, case.covariance_type, str(repeats)]
    before = product_rate("float64", 1, 3, product_size)
    printed = subprocess.run(command, check=True, capture_output=True, text=True, timeout=600).stdout.split()
    rate = max(before, product_rate("float64", 1, 3, product_size))
    return {"case": case.__dict__, "product": rate, **dict(zip(STEPS, map(float, printed), strict=True))}


def results(smoke: bool) -> list[dict[str, Any]] | None:
    repeats, size, cases = (1, 300, SMOKE_CASES) if smoke else (5, 1500, CASES)
    with tempfile.TemporaryDirectory() as folder:
        program = compiled(folder)
        if program is None:
            return None
        return [measure(program, case, repeats, size) for case in cases if not case.small]


def line(found: dict[str, Any]) -> tuple[str, ...]:
    case = Case(**found["case"])
    total = sum(found[step] for step in STEPS)
    each = 1e9 / (case.n_rows * case.n_components)
    rates = {step: case.flops / 2 / found[step] / 1e9 for step in ("densities", "statistics")}
    cells = [f"{significant(total * each)} ns", *(f"{found[step] / total:.0%}" for step in STEPS)]
    return (case.short_name, *cells, *(f"{rate / found['product']:.0%}" for rate in rates.values()))


def markdown(found: list[dict[str, Any]]) -> str:
    titles = ("case", "row × component", "filling", "densities", "Bayes", "statistics")
    titles += ("densities, of the matrix product", "statistics, of the matrix product")
    return table(titles, map(line, found))
