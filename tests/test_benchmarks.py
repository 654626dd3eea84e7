"""The benchmarks run: the parts of `make bench` with small sizes, its numbers, its document and its pictures."""

from __future__ import annotations

import importlib
import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BENCHMARKS = ROOT / "benchmarks"

# The source distribution leaves the benchmarks out.
pytestmark = pytest.mark.skipif(not BENCHMARKS.exists(), reason="there are no benchmarks here")


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("bench")


def test_every_part_runs(tmp_path):
    numbers, pictures = tmp_path / "numbers.json", tmp_path / "pictures"
    parts = ("machine", "iterations", "whole", "memory", "threads", "steps")
    command = [sys.executable, BENCHMARKS / "bench.py", *parts, "--smoke"]
    command += ["--json", numbers, "--pictures", pictures]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stderr
    found = json.loads(numbers.read_text())
    assert set(found) == set(parts)
    for result in found["iterations"]:
        assert {"gaussmix", "scikit-learn"} <= set(result["libraries"])
        assert all(min(timing["whole"]) > 0 for timing in result["libraries"].values())
    assert all(math.isfinite(each["added"]["gaussmix"]) for each in found["memory"])
    assert {path.name for path in pictures.iterdir()} == {"roofline.png", "ratios.png"}
    for title in ("An EM iteration", "A default fit", "Memory", "Threads"):
        assert f"## {title}\n\n" in done.stdout


def test_other_results_stop_the_run(bench):
    problem = bench.common.make_problem(bench.common.Case(300, 2, 2))
    check = bench.em_iteration.check_agreement
    check(problem, {"scikit-learn": -500.0, "gaussmix": -500.0 * (1 + 1e-12)})
    with pytest.raises(SystemExit, match="gaussmix ends at L"):
        check(problem, {"scikit-learn": -500.0, "gaussmix": -500.001})
    with pytest.raises(SystemExit, match="gaussmix ends at L"):
        check(problem, {"scikit-learn": -500.0, "gaussmix": math.nan})


def test_work_that_was_skipped_stops_the_run(bench):
    problem = bench.common.make_problem(bench.common.Case(300, 2, 2))
    checked = bench.em_iteration.checked
    for name, fit in bench.em_iteration.libraries(["gaussmix", "oneDAL"]).items():
        outcome = fit(problem, 2, 1)
        assert checked(name, problem, 2, outcome) is outcome
        with pytest.raises(SystemExit, match=f"{name} made 2 iterations, not 3"):
            checked(name, problem, 3, outcome)


def test_operations_and_means(bench):
    case = bench.common.Case
    assert case(10, 3, 2).flops == 10 * 2 * (2 * 3 * 4)
    assert case(10, 3, 2, "diag").flops == 10 * 2 * 8 * 3
    assert bench.common.geometric_mean([2.0, 8.0]) == pytest.approx(4.0)
    assert bench.common.parsed(case(10, 3, 2, "diag").name) == case(10, 3, 2, "diag")


def test_the_document_takes_what_was_printed(bench):
    text = (
        "a\n<!-- printed: memory -->\nold\n<!-- end -->\nb\n<!-- printed: threads -->\nkept\n<!-- end -->\n"
    )
    expected = text.replace("\nold\n", "\n\nnew \\1\n\n")
    assert bench.updated(text, {"memory": "new \\1"}) == expected
    documents = "".join(document.read_text() for document in bench.DOCUMENTS)
    assert all(len(bench.marked(name).findall(documents)) == 1 for name in bench.PARTS)
