"""What ``verbose`` prints: the loop's states, in scikit-learn's lines."""

from __future__ import annotations

import math
import time

from gaussmix.em import CONVERGED, Run, State


class Printer:
    """Prints what the loop does; it only observes. Starts run side by side and share their lines."""

    def __init__(self, verbose: int, interval: int, weight: float) -> None:
        self.detailed, self.interval, self.weight = verbose > 1, interval, weight
        self.begun = self.last = time.perf_counter()
        self.ended: set[int] = set()
        self.passes = 0

    def __call__(self, state: State) -> None:
        """Print what a pass changed."""
        # The first pass evaluates the starts, every other one the next M-step of each run that lives.
        n_iter, last = self.passes, len(state.runs) - 1
        self.passes += 1
        if n_iter == 0:
            print(f"Initializations 0 to {last}" if last else "Initialization 0")
        elif n_iter % self.interval == 0:
            evaluated = [run for run in state.runs if run.objectives]
            self._iteration(n_iter, max(evaluated, key=lambda run: run.objectives[-1]))
        for index, run in enumerate(state.runs):
            if run.reason and index not in self.ended:
                self.ended.add(index)
                self._end(f" {index}" if last else "", run)

    def _iteration(self, n_iter: int, leading: Run) -> None:
        now, line = time.perf_counter(), f"  Iteration {n_iter}"
        if self.detailed:
            before, after = (-math.inf, *leading.objectives)[-2:]
            gain = (after - before) / self.weight
            line += f"\t time lapse {now - self.last:.5f}s\t ll change {gain:.5f}"
        self.last = now
        print(line)

    def _end(self, which: str, run: Run) -> None:
        line = f"Initialization{which} {'converged' if run.reason == CONVERGED else 'did not converge'}."
        if self.detailed:
            bound = run.log_likelihoods[-1] / self.weight if run.log_likelihoods else -math.inf
            line += f" time lapse {time.perf_counter() - self.begun:.5f}s\t lower bound {bound:.5f}."
        print(line)
