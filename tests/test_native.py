"""The kernel without Python: tests/native/levels.cpp for this machine, and for an emulated 64-bit ARM with NEON."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gaussmix import _kernel

# A slow machine takes its time for the kernel.
pytestmark = pytest.mark.timeout(400)

ROOT = Path(__file__).parents[1]
NATIVE = ROOT / "native"


def levels() -> dict[str, list[str]]:
    """The compiler's flags for each instruction set, as CMakeLists.txt has them."""
    text = (ROOT / "CMakeLists.txt").read_text()
    common = re.search(r"set\(arithmetic (.*?)\)", text).group(1).split()
    return {
        name: [*common, f"-DGAUSSMIX_LEVEL={name}", f"-DGAUSSMIX_BYTES={size}", *flags.split()]
        for name, size, flags in re.findall(r"add_level\((\w+) (\d+)(.*?)\)", text)
    }


def compiled(compiler: str, names: list[str], folder: Path, optimised: str, *link: str) -> Path:
    """The program with these instruction sets; its parts are compiled at once."""

    def built(name: str, *arguments: object) -> Path:
        command = [compiler, "-std=c++20", "-DNDEBUG", f"-I{NATIVE}", *arguments, "-o", folder / name]
        done = subprocess.run([str(each) for each in command], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return folder / name

    program, level = ROOT / "tests" / "native" / "levels.cpp", NATIVE / "level.cpp"
    parts = {"program.o": ["-O1", "-Wall", "-c", program]}
    parts |= {f"{name}.o": [optimised, "-c", *levels()[name], level] for name in names}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = list(pool.map(lambda name: built(name, *parts[name]), parts))
    return built("levels", *objects, "-pthread", *link)


def run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("error") > 90


@pytest.mark.parametrize("compiler", ["g++", "clang++"])
def test_instruction_sets_of_this_machine(compiler, tmp_path):
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    built = [name for name in levels() if (name == "neon") == (_kernel.instruction_sets() == ["neon"])]
    # Quickly compiled: what is shipped, with all optimisations, tests/test_kernel.py runs.
    run(str(compiled(compiler, built, tmp_path, "-O1")), *_kernel.instruction_sets())


def test_rows_are_asked_for_ahead():
    """A function that does no more than prefetch has no effect in a compiler's eyes, which may leave out its calls."""
    objdump = shutil.which("objdump")
    if objdump is None:
        pytest.skip("objdump is not installed")
    code = subprocess.run(
        [objdump, "-d", _kernel.__file__], capture_output=True, text=True, check=True
    ).stdout
    asked = code.count("prefetcht1") + code.count("pldl2keep")  # x86-64, ARM
    assert asked >= len(_kernel.instruction_sets())


@pytest.mark.qemu
def test_neon(tmp_path):
    compiler, emulator = shutil.which("aarch64-linux-gnu-g++"), shutil.which("qemu-aarch64")
    if compiler is None or emulator is None:
        pytest.skip("aarch64-linux-gnu-g++ or qemu-aarch64 is not installed")
    run(emulator, str(compiled(compiler, ["neon"], tmp_path, "-O3", "-static")), "neon")
