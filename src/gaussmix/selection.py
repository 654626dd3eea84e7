"""Choosing: candidates (K, family) become a table of criteria and the best fit.

BIC = −2 L + p ln N (Schwarz 1978), AIC = −2 L + 2 p (Akaike 1974), ICL = BIC − 2 Σ_n w_n ln max_k γ(z_nk)
(Biernacki, Celeux & Govaert 2000, as mclust computes it). Lower is better in all of them.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from gaussmix import families
from gaussmix.em import Fit, State
from gaussmix.errors import DataError, ParameterError, SingularError
from gaussmix.kernel import thread_count
from gaussmix.rows import Block, Source, as_source
from gaussmix.fitting import fit_source

if TYPE_CHECKING:
    import pyarrow as pa

CRITERIA = ("bic", "icl", "aic")


@dataclass(frozen=True)
class Candidate:
    """One cell of the table: what was asked for, and the fit or why there is none."""

    n_components: int
    covariance_type: str
    fit: Fit | None
    icl: float | None
    remark: str

    def criterion(self, name: str) -> float:
        """The criterion's value, lower is better; inf for a failed cell."""
        if self.fit is None:
            return math.inf
        value = self.icl if name == "icl" else getattr(self.fit, name)
        return float(value)


@dataclass(frozen=True)
class Selection:
    """What `select` found.

    Attributes
    ----------
    candidates : tuple of Candidate
    criterion : str
    """

    candidates: tuple[Candidate, ...]
    criterion: str

    @property
    def best_candidate(self) -> Candidate:
        """The lowest criterion among sound candidates; among all when none is sound."""
        return min(
            self.candidates,
            key=lambda c: (c.fit is None or bool(c.fit.degenerate), c.criterion(self.criterion)),
        )

    @property
    def best(self) -> Fit:
        """The fit that was chosen."""
        best = self.best_candidate.fit
        assert best is not None
        return best

    @property
    def table(self) -> pa.Table:
        """One row per candidate: n_components, covariance_type, log_likelihood, n_parameters, bic, aic, icl, n_iter,
        converged, remark. Criteria are lower-is-better and null where the candidate failed."""
        import pyarrow as pa

        def column(read: Callable[[Fit], Any]) -> list[Any]:
            return [None if c.fit is None else read(c.fit) for c in self.candidates]

        return pa.table(
            {
                "n_components": pa.array([c.n_components for c in self.candidates], pa.int64()),
                "covariance_type": pa.array([c.covariance_type for c in self.candidates], pa.string()),
                "log_likelihood": pa.array(column(lambda f: f.log_likelihood), pa.float64()),
                "n_parameters": pa.array(column(lambda f: f.mixture.n_parameters), pa.int64()),
                "bic": pa.array(column(lambda f: f.bic), pa.float64()),
                "aic": pa.array(column(lambda f: f.aic), pa.float64()),
                "icl": pa.array([c.icl for c in self.candidates], pa.float64()),
                "n_iter": pa.array(column(lambda f: f.n_iter), pa.int64()),
                "converged": pa.array(column(lambda f: f.converged), pa.bool_()),
                "remark": pa.array([c.remark for c in self.candidates], pa.string()),
            }
        )


def select(
    X: Any,
    n_components: int | Iterable[int] = range(1, 10),
    covariance_types: str | Sequence[str] = "all",
    criterion: str = "bic",
    *,
    random_state: int | None = None,
    n_jobs: int | None = None,
    sample_weight: Any = None,
    observer: Callable[[Candidate, int], object] | None = None,
    **settings: Any,
) -> Selection:
    """Fit every combination of K and family, and choose by a criterion.

    Parameters
    ----------
    X : array-like (N, D), data frame or source of rows
    n_components : int or iterable of int
    covariance_types : str or sequence of str
        Family names, or "all".
    criterion : {"bic", "icl", "aic"}
    random_state : int, optional
    n_jobs : int, optional
        Candidates fitted at the same time.
    sample_weight : array-like (N,), optional
    observer : callable, optional
        Called with each finished candidate and the number of all.
    **settings
        Further keywords of `gaussmix.fit`.

    Returns
    -------
    Selection

    Raises
    ------
    ParameterError
        No such criterion or family, or a setting is out of range.
    DataError
        The rows cannot be fitted.
    """
    if criterion not in CRITERIA:
        raise ParameterError(f"criterion must be one of {', '.join(CRITERIA)}, got {criterion!r}.")
    source = as_source(X, sample_weight)
    counts = [int(n_components)] if isinstance(n_components, (int, np.integer)) else list(n_components)
    cells = [(k, name) for name in _family_names(covariance_types, source.n_features) for k in counts]
    if not cells:
        raise ParameterError("nothing to choose from: n_components or covariance_types is empty.")
    options: dict[str, Any] = {"tol": 1e-5, "reg_covar": 1e-6, "max_iter": 1000, "n_init": 1, "init_params": "kmeans"}
    options |= settings
    found: list[Candidate] = []
    for candidate in _in_parallel(source, cells, random_state, options, thread_count(n_jobs)):
        found.append(candidate)
        if observer is not None:
            observer(candidate, len(cells))
    if all(candidate.fit is None for candidate in found):
        raise DataError(f"no candidate could be fitted: {found[0].remark}")
    return Selection(tuple(found), criterion)


def _family_names(covariance_types: str | Sequence[str], n_features: int) -> list[str]:
    """mclust's letters of the families that were asked for; one of each that are equal when D = 1."""
    if covariance_types == "all":
        return list(families.NAMES) if n_features > 1 else ["E", "V"]
    wanted = [covariance_types] if isinstance(covariance_types, str) else list(covariance_types)
    return list(dict.fromkeys(families.get(name).name for name in wanted))


def _in_parallel(
    source: Source, cells: list[tuple[int, str]], random_state: int | None, options: dict[str, Any], n_threads: int
) -> Iterator[Candidate]:
    """The candidates in order, fitted side by side; on Ctrl-C those under way end after their pass."""
    stop = threading.Event()

    def watch(_: State) -> None:
        if stop.is_set():
            raise CancelledError

    with ThreadPoolExecutor(n_threads) as pool:
        pending = [pool.submit(_fitted, source, *cell, random_state, {**options, "observer": watch}) for cell in cells]
        try:
            for each in pending:
                yield each.result()
        finally:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)


def _fitted(source: Source, k: int, name: str, random_state: int | None, options: dict[str, Any]) -> Candidate:
    try:
        result = fit_source(source, k, covariance_type=name, random_state=random_state, n_jobs=1, **options)
    except (DataError, SingularError) as error:
        return Candidate(k, name, None, None, str(error))
    return Candidate(k, name, result, _icl(source, result), " ".join(result.remarks))


def _icl(source: Source, result: Fit) -> float:
    """BIC − 2 Σ_n w_n ln max_k γ(z_nk)."""

    def entropy(block: Block) -> float:
        gamma = result.mixture.evaluate(block.rows)[2]
        assert gamma is not None
        logs = np.log(gamma.max(axis=1))
        return float(logs.sum() if block.weights is None else logs @ block.weights)

    return result.bic - 2 * source.fold(entropy)
