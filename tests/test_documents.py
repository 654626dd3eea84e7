"""What the documents print is what the code prints: their Python and command blocks run, and their output is compared.

In README.md and docs/*.md a ```python block that a ```text block follows is run; in a ```console block, each line
that begins with "$ gaussmix" is. Links to files of the repository must lead somewhere.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMAND = Path(sys.executable).with_name("gaussmix")


def blocks(pattern: str) -> list[object]:
    found = [
        (path, match) for path in DOCUMENTS for match in re.finditer(pattern, path.read_text(), re.S | re.M)
    ]
    return [
        pytest.param(
            *match.groups(), id=f"{path.name}:{path.read_text()[: match.start()].count(chr(10)) + 1}"
        )
        for path, match in found
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    return tmp_path


def output(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(("code", "printed"), blocks(r"^```python\n(.*?)^```\n+```text\n(.*?)^```"))
def test_python(code: str, printed: str, folder: Path) -> None:
    assert output([sys.executable, "-c", code], folder) == printed


@pytest.mark.parametrize("session", blocks(r"^```console\n(\$ gaussmix .*?)^```"))
def test_commands(session: str, folder: Path) -> None:
    ran = ""
    for line in session.splitlines():
        if line.startswith("$ gaussmix "):
            ran += line + "\n" + output([str(COMMAND), *line.split()[2:]], folder)
    assert ran.rstrip() == session.rstrip()


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links(path: Path) -> None:
    targets = re.findall(r"\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"", path.read_text())
    for target in (a or b for a, b in targets):
        if not re.match(r"https?:|#|mailto:", target):
            name, _, anchor = target.partition("#")
            there = (path.parent / name).resolve()
            assert there.exists(), target
            if anchor:
                headings = re.findall(r"^#+ (.*)$", there.read_text(), re.M)
                slugs = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]
                assert anchor in slugs, target
