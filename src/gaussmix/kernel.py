"""The door to the native code: the signatures of `gaussmix.reference`, arrays in, arrays out."""

from __future__ import annotations

import os

from gaussmix.reference import evaluate, fold

__all__ = ["evaluate", "fold", "thread_count"]


def thread_count(n_jobs: int | None = None) -> int:
    """How many threads a fold may use: ``n_jobs``, or (None, negative) what affinity and OMP_NUM_THREADS leave."""
    available = len(os.sched_getaffinity(0))
    limit = os.environ.get("OMP_NUM_THREADS", "")
    if limit.isdigit() and int(limit) > 0:
        available = min(available, int(limit))
    if n_jobs is None or n_jobs == -1:
        return available
    return n_jobs if n_jobs > 0 else max(1, available + 1 + n_jobs)
