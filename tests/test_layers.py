"""The house: imports go downward only, and little is loaded before it is used."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

import gaussmix

ROOT = Path(gaussmix.__file__).parent

# From the ground up; a part imports only from lower floors, or from itself. A new file gets its place here.
FLOORS = (
    ("errors", "atomic", "_kernel"),
    ("reference", "statistics", "priors", "families", "hierarchical", "rows", "randomness"),
    ("kernel", "given", "bounded", "conjugate", "precision"),
    ("parameters", "common_features"),
    ("mixture",),
    ("maximisation",),
    ("degeneracy", "acceleration", "model_schema", "moments", "models"),
    ("noise", "prior_settings"),
    ("em", "start"),
    ("outcome",),
    ("trials", "verbose", "given_start", "shared_starts", "criteria"),
    ("merging",),
    ("exchange",),
    ("search",),
    ("fitting", "sweep"),
    ("storage", "cells"),
    ("selection",),
    ("estimators",),
    ("plot", "documents"),
    ("report", "jobs"),
    ("terminal",),
    ("cli",),
    ("__main__",),
)
FLOOR = {part: height for height, parts in enumerate(FLOORS) for part in parts}
MATHEMATICS = {
    "reference", "statistics", "priors", "families", "hierarchical", "kernel", "given", "parameters", "mixture",
    "maximisation", "common_features", "degeneracy", "acceleration", "bounded", "conjugate",
}  # fmt: skip
# Rows that a user passes to a mixture's methods: the one door, opened inside a function.
DOORS = {("mixture", "rows")}


def part_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def sources():
    return [path for path in sorted(ROOT.rglob("*.py")) if path != ROOT / "__init__.py"]


def imports(path: Path):
    """(module, names, whether at the top of the file) of each import that runs; those for type checkers do not."""

    def visit(node, top):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
                continue
            if isinstance(child, ast.Import):
                for alias in child.names:
                    yield alias.name, [], top
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{path}: relative import"
                yield child.module, [alias.name for alias in child.names], top
            else:
                yield from visit(
                    child, top and not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef))
                )

    yield from visit(ast.parse(path.read_text()), True)


def parts_imported(path: Path):
    """The parts of gaussmix that a file imports, and whether at its top."""
    for module, names, top in imports(path):
        if module == "gaussmix":
            yield from ((name, top) for name in names if name in FLOOR)
        elif module.startswith("gaussmix."):
            yield module.split(".")[1], top


def test_every_part_has_its_floor():
    parts = {part_of(path) for path in sources()}
    assert parts <= set(FLOOR), f"give {sorted(parts - set(FLOOR))} a place in FLOORS"


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_downward(path):
    part = part_of(path)
    for other, top in parts_imported(path):
        if other == part or ((part, other) in DOORS and not top):
            continue
        assert FLOOR.get(other, -1) < FLOOR.get(part, len(FLOORS)), f"{part} imports {other}"


def test_rows_and_mathematics_do_not_know_each_other():
    for path in sources():
        part = part_of(path)
        others = {other for other, top in parts_imported(path) if (part, other) not in DOORS or top}
        if part == "rows":
            assert not others & MATHEMATICS, path
        if part in MATHEMATICS:
            assert "rows" not in others, path


def test_families_know_no_mixture():
    for path in sources():
        if part_of(path) in ("families", "priors", "statistics"):
            assert {other for other, _ in parts_imported(path)} <= {"families", "errors", "_kernel"}, path


ASKED = {
    "acceleration": {"coordinates", "proposed"},
    "degeneracy": {"Maximum", "surely_sound"},
    "exchange": {"merge_gains"},
    "maximisation": {"Maximum", "maximised"},
    "merging": {"merge_gains"},
    "shared_starts": {"class_sums"},
    "start": {"class_sums", "seeds_of"},
}


def test_the_kernel_has_one_caller_for_passes():
    """Others ask it for what `ASKED` says: arithmetic with statistics and single rows, and the number of threads."""
    for path in sources():
        part = part_of(path)
        for module, names, _ in imports(path):
            if part in ("mixture", "kernel"):
                continue
            assert module != "gaussmix._kernel", path
            ground = FLOOR[part] <= FLOOR["families"]  # below the door
            assert module != "gaussmix" or not {"kernel", "_kernel"} & set(names) or ground, path
            assert module != "gaussmix.kernel" or set(names) <= ASKED.get(part, {"thread_count"}), path


@pytest.mark.parametrize(
    ("library", "parts"),
    [
        ("sklearn", {"estimators"}),
        ("scipy", {"estimators"}),
        ("matplotlib", {"plot"}),
        ("typer", {"cli", "terminal", "jobs"}),
        ("rich", {"cli", "terminal", "jobs", "report"}),
        ("pandas", set()),
        ("polars", set()),
        ("narwhals", {"rows"}),
    ],
)
def test_each_library_has_its_place(library, parts):
    users = {
        part_of(path)
        for path in sources()
        for module, _, _ in imports(path)
        if module.split(".")[0] == library
    }
    assert users <= parts


def test_an_array_needs_no_arrow():
    """The files behind the door for arrays import neither PyArrow nor narwhals before a frame comes."""
    for name in ("__init__", "array", "source"):
        tops = [module for module, _, top in imports(ROOT / "rows" / f"{name}.py") if top]
        assert not [module for module in tops if module.split(".")[0] in ("pyarrow", "narwhals")]


LOADED = """
import sys
before = set(sys.modules)
CODE
print(*sorted({
    name.split(".")[0] for name in set(sys.modules) - before
    if "site-packages" in (getattr(sys.modules[name], "__file__", None) or "") and not name.startswith("_")
}))
"""


@pytest.mark.parametrize(
    "code",
    [
        "import gaussmix",
        "import gaussmix; gaussmix.fit([[0.0, 1.0], [2.0, 0.5], [1.0, 1.5]]).mixture.log_density([[0.0, 0.0]])",
        "import gaussmix; gaussmix.select([[0.0], [2.0], [1.0], [1.5]], 1)",
    ],
)
def test_what_is_loaded(fresh_python, code):
    assert set(fresh_python(LOADED.replace("CODE", code)).split()) <= {"numpy", "gaussmix"}


def test_no_public_function_shares_a_module_s_name():
    modules = {path.stem for path in sources()} | {path.parent.name for path in sources()}
    for path in sources():
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
                assert node.name not in modules, f"{path}: {node.name}"


def test_public_names_exist():
    for name in gaussmix.__all__:
        assert getattr(gaussmix, name) is not None
    assert set(dir(gaussmix)) == set(gaussmix.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = gaussmix.nothing


def test_every_module_imports_alone(fresh_python):
    """In an order that no user would choose: no import works only because another came before."""
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in sources()]
    light = [
        name.removesuffix(".__init__") for name in names if not name.startswith(("__main__", "plot", "estim"))
    ]
    for name in light:
        importlib.import_module(f"gaussmix.{name}")
    code = """
import subprocess, sys
import importlib
for name in sys.argv[1:] or %r:
    for loaded in [n for n in sys.modules if n.split(".")[0] == "gaussmix" and n != "gaussmix._kernel"]:
        del sys.modules[loaded]
    importlib.import_module("gaussmix." + name)
print("fine")
"""
    assert fresh_python(code % light) == "fine"
