"""Seeded random mixtures for the benchmarks of optima and of convergence: crowded, clear, cigars, unequal, …

Every problem has at least 200·K·√D rows, so that the best optimum means something.
"""

from __future__ import annotations

import numpy as np

KINDS = ("random", "overlap", "clear", "cigars", "crowded", "unequal")
COUNT = 36
SEPARATION = {"random": 3.0, "overlap": 1.5, "clear": 7.0, "cigars": 4.0, "crowded": 3.0, "unequal": 3.0}


def problem(index: int) -> tuple[np.ndarray, int, str]:
    """Rows (N, D), the number of components they were drawn from, and the kind of problem."""
    rng = np.random.default_rng([20260, index])
    n_components, n_features = int(rng.integers(2, 13)), int(rng.integers(1, 11))
    kind = KINDS[index % len(KINDS)]
    if kind == "crowded":
        n_components, n_features = int(rng.integers(8, 13)), int(rng.integers(1, 4))
    if kind == "cigars":
        n_features = max(n_features, 2)
    n_rows = int(np.ceil(200 * n_components * np.sqrt(n_features) * rng.uniform(1, 2)))
    separation = SEPARATION[kind] * rng.uniform(0.8, 1.25)
    weights = rng.dirichlet(np.full(n_components, 1.0 if kind == "unequal" else 5.0)) + 0.02
    weights /= weights.sum()
    means = rng.normal(size=(n_components, n_features)) * separation / np.sqrt(2)
    if n_features == 1:
        means *= np.sqrt(n_components) / 1.5
    labels = rng.choice(n_components, n_rows, p=weights)
    if kind == "cigars":  # parallel, side by side: k-means cuts them across
        turn, _ = np.linalg.qr(rng.normal(size=(n_features, n_features)))
        roots = [turn * np.r_[rng.uniform(6, 15), np.ones(n_features - 1)]] * n_components
        means = np.zeros((n_components, n_features))
        means[:, 1] = np.arange(n_components) * separation * 0.9
        means[:, 0] = rng.normal(size=n_components) * 4
        means = means @ turn.T
    else:
        roots = []
        for _ in range(n_components):
            turn, _ = np.linalg.qr(rng.normal(size=(n_features, n_features)))
            roots.append(turn * np.exp(rng.normal(size=n_features) * 0.6))
    rows = np.empty((n_rows, n_features))
    for k in range(n_components):
        own = labels == k
        rows[own] = means[k] + rng.normal(size=(own.sum(), n_features)) @ roots[k].T
    return rows, n_components, kind
