"""What several test files share: seeded data, reference tables, and a command for a fresh interpreter."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

DATA = Path(__file__).parent / "data"

# Seeded where nobody watches, so that a failure there is a failure here.
settings.register_profile("ci", derandomize=True, deadline=None, max_examples=40)
settings.register_profile("developer", deadline=None, max_examples=40)
settings.load_profile("ci" if os.environ.get("CI") else "developer")

# Tests that need a part of the machine which `make system-packages` installs.
NEEDS_A_PART = ("browser", "dask", "qemu", "spark")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """Where every part must be there (GAUSSMIX_REQUIRE_ALL=1), a test skipped for want of one has failed."""
    report = yield
    skipped = call.excinfo is not None and call.excinfo.errisinstance(pytest.skip.Exception)
    if skipped and os.environ.get("GAUSSMIX_REQUIRE_ALL") and any(map(item.get_closest_marker, NEEDS_A_PART)):
        report.outcome = "failed"
        report.longrepr = f"skipped ({call.excinfo.value}), but GAUSSMIX_REQUIRE_ALL is set"
    return report


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20240229)


@pytest.fixture(scope="session")
def two_clusters() -> np.ndarray:
    """400 rows of three correlated features in two overlapping clusters."""
    rng = np.random.default_rng(5)
    rows = rng.standard_normal((400, 3)) @ np.array([[1.0, 0.6, 0.0], [0.0, 0.7, -0.3], [0.0, 0.0, 0.5]])
    rows[:150] = 0.6 * rows[:150] + [2.5, 1.0, -1.0]
    return rows


@pytest.fixture(scope="session")
def reference_data() -> Any:
    """Load a table of tests/data by its name."""
    return lambda name: json.loads(gzip.decompress((DATA / name).read_bytes()))


@pytest.fixture(scope="session")
def fresh_python() -> Any:
    """Run code in a new interpreter and return what it printed; a failure there fails the test."""

    def run(code: str, *before: str, **environment: str) -> str:
        done = subprocess.run(
            [*before, sys.executable, "-c", code],
            capture_output=True,
            text=True,
            timeout=100,
            env={**os.environ, **environment},
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run


@pytest.fixture(scope="session")
def interrupted() -> Any:
    """Run code that prints "ready" and then works on; Ctrl-C must end it within a second."""

    def run(code: str, pause: float = 0.5) -> None:
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        # Heard even where the tests run in the background, which ignores it.
        hear = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
        with subprocess.Popen([sys.executable, "-c", code], preexec_fn=hear, **pipes) as process:
            try:
                assert process.stdout.readline() == "ready\n"
                time.sleep(pause)
                assert process.poll() is None, "it ended before it was interrupted"
                begin = time.monotonic()
                process.send_signal(signal.SIGINT)
                errors = process.communicate(timeout=20)[1]
                elapsed = time.monotonic() - begin
            finally:
                process.kill()
        assert errors.rstrip().endswith("KeyboardInterrupt")
        assert process.returncode == -signal.SIGINT
        assert elapsed < 1.0

    return run
