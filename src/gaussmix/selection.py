"""Choosing: candidates (K, family) become a table of criteria and the best fit.

BIC = −2 L + p ln N (Schwarz 1978), AIC = −2 L + 2 p (Akaike 1974); ICL and CV are those of `gaussmix.criteria`.
Lower is better in all of them, and L never counts a prior.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from gaussmix import families, fitting, start
from gaussmix.cells import SAMPLE_ROWS, STARTING, Cells, extrapolated, fitted_alone
from gaussmix.criteria import Folds, icl
from gaussmix.errors import DataError, ParameterError
from gaussmix.fitting import check_settings
from gaussmix.noise import check_noise
from gaussmix.outcome import Fit
from gaussmix.precision import lightened
from gaussmix.randomness import generator
from gaussmix.rows import ArraySource, Source, as_source

if TYPE_CHECKING:
    import pyarrow as pa

CRITERIA = ("bic", "icl", "aic", "cv")
# Cells of a sample that go on over all rows, at least.
POLISHED = 4

# What every fit may be told: the keywords of `gaussmix.fit` but those that a selection has itself.
OWN = {"X", "n_components", "covariance_type", "sample_weight", "random_state", "n_jobs", "observer"}
SETTINGS = set(inspect.signature(fitting.fit).parameters) - OWN

Observer = Callable[["Candidate", int], object]


@dataclass(frozen=True, repr=False)
class Candidate:
    """One cell of the table: what was asked for, and the fit or why there is none.

    A ``provisional`` fit is one to a sample, its L extrapolated to all rows.
    """

    n_components: int
    covariance_type: str
    fit: Fit | None
    icl: float | None
    remark: str
    cv: float | None = None
    provisional: bool = False

    def __repr__(self) -> str:
        """The cell on one line; the fit is an attribute."""
        outcome = self.remark if self.fit is None else f"bic={self.fit.bic:.6g}, {self.fit.reason}"
        return f"Candidate(n_components={self.n_components}, covariance_type={self.covariance_type!r}: {outcome})"

    def criterion(self, name: str) -> float:
        """The criterion's value, lower is better; inf for a failed cell."""
        if self.fit is None:
            return math.inf
        value: float | None = getattr(self if name in ("icl", "cv") else self.fit, name)
        return math.inf if value is None else float(value)

    def rank(self, name: str) -> tuple[bool, float, bool]:
        """Sound ones first, then by the criterion; of equal ones those fitted to all rows."""
        return self.fit is None or bool(self.fit.degenerate), self.criterion(name), self.provisional


@dataclass(frozen=True, repr=False)
class Selection:
    """What `select` found.

    Attributes
    ----------
    candidates : tuple of Candidate
    criterion : str
    """

    candidates: tuple[Candidate, ...]
    criterion: str

    def __repr__(self) -> str:
        """The choice on one line; all candidates are in `table`."""
        best = self.best_candidate
        value = f"{self.criterion}={best.criterion(self.criterion):.6g}"
        chosen = f"n_components={best.n_components}, covariance_type={best.covariance_type!r}, {value}"
        return f"Selection(best: {chosen}, of {len(self.candidates)} candidates)"

    @property
    def best_candidate(self) -> Candidate:
        """The lowest criterion among sound candidates; among all when none is sound."""
        return min(self.candidates, key=lambda each: each.rank(self.criterion))

    @property
    def best(self) -> Fit:
        """The fit that was chosen."""
        best = self.best_candidate.fit
        assert best is not None
        return best

    @property
    def table(self) -> pa.Table:
        """One row per candidate: what was asked for, L, p, criteria, how EM went, and a remark.

        Columns n_components, covariance_type, log_likelihood, n_parameters, bic, aic, icl, cv, n_iter, converged,
        remark. Criteria are lower-is-better and null where the candidate failed; cv where it is not the criterion.
        """
        import pyarrow as pa

        def column(read: Callable[[Fit], Any], kind: pa.DataType) -> pa.Array:
            return pa.array([None if each.fit is None else read(each.fit) for each in self.candidates], kind)

        def own(name: str, kind: pa.DataType) -> pa.Array:
            return pa.array([getattr(each, name) for each in self.candidates], kind)

        return pa.table(
            {
                "n_components": own("n_components", pa.int64()),
                "covariance_type": own("covariance_type", pa.string()),
                "log_likelihood": column(lambda fit: fit.log_likelihood, pa.float64()),
                "n_parameters": column(lambda fit: fit.n_parameters, pa.int64()),
                "bic": column(lambda fit: fit.bic, pa.float64()),
                "aic": column(lambda fit: fit.aic, pa.float64()),
                "icl": own("icl", pa.float64()),
                "cv": own("cv", pa.float64()),
                "n_iter": column(lambda fit: fit.n_iter, pa.int64()),
                "converged": column(lambda fit: fit.converged, pa.bool_()),
                "remark": own("remark", pa.string()),
            }
        )


def select(
    X: Any,
    n_components: int | Iterable[int] = range(1, 10),
    covariance_types: str | Sequence[str] = "all",
    criterion: str = "bic",
    *,
    random_state: Any = None,
    n_jobs: int | None = None,
    sample_weight: Any = None,
    observer: Observer | None = None,
    **settings: Any,
) -> Selection:
    """Fit every combination of K and family, and choose by a criterion.

    Each combination starts from several places, mostly from others that are fitted already, and keeps its best sound
    solution, the largest component first. With more than 20,000 rows all are fitted to a sample, and the most promising
    then to all rows.

    Parameters
    ----------
    X : array-like (N, D), data frame or source of rows
    n_components : int or iterable of int
    covariance_types : str or sequence of str
        Family names, or "all": the fourteen, or with one feature E and V.
    criterion : {"bic", "icl", "aic", "cv"}
        "cv" is the mean negative log density of held-out rows, in five parts.
    random_state : None, int, numpy.random.RandomState or numpy.random.Generator
    n_jobs : int, optional
        Threads of a pass over the rows; few rows are visited by one alone. No result depends on it.
    sample_weight : array-like (N,), optional
    observer : callable, optional
        Called with each finished candidate and the number of all.
    **settings
        Further keywords of `gaussmix.fit`. One that says where to start (``init_params``, ``n_init``, ...) is
        followed: each combination is then fitted by itself.

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
    counts, names = _counts(n_components), _family_names(covariance_types, source.n_features)
    if not counts or not names:
        raise ParameterError("nothing to choose from: n_components or covariance_types is empty.")
    _check(counts[0], names[0], settings)
    contest = _Contest(source, criterion, random_state, {"max_iter": 1000, "n_jobs": n_jobs, **settings})
    found = []
    for candidate in contest.candidates(counts, names):
        found.append(candidate)
        if observer is not None:
            observer(candidate, len(counts) * len(names))
    if all(candidate.fit is None for candidate in found):
        raise DataError(f"no candidate could be fitted: {found[0].remark}")
    order = {(k, name): (i, k) for i, name in enumerate(names) for k in counts}
    found.sort(key=lambda each: order[each.n_components, each.covariance_type])
    return Selection(tuple(contest.polished(found)), criterion)


class _Contest:
    """One selection: the rows, a sample of them where there are many, and how each cell becomes a candidate."""

    def __init__(self, source: Source, criterion: str, random_state: Any, settings: dict[str, Any]) -> None:
        self.source, self.criterion, self.settings = source, criterion, settings
        rng = generator(random_state)
        self.seed = int(rng.integers(2**63))
        self.given_seed = random_state if isinstance(random_state, (int, np.integer)) else self.seed
        self.alone = any(name in settings for name in STARTING)
        self.reg_covar = settings.get("reg_covar", 1e-6)
        few = self.alone or source.n_rows <= SAMPLE_ROWS
        self.swept = source if few else _sample(source, rng, self.reg_covar)
        self.cells = self._cells(self.swept)
        self.folds = Folds(self.swept, SAMPLE_ROWS, self.seed) if criterion == "cv" else None

    def _cells(self, source: Source) -> Cells:
        apart = (*STARTING, "reg_covar")
        options = {name: value for name, value in self.settings.items() if name not in apart}
        return Cells(source, self.reg_covar, options)

    def candidates(self, counts: list[int], names: list[str]) -> Iterator[Candidate]:
        """All of them, as they are found."""
        if self.alone:
            settings = {**self.settings, "reg_covar": self.reg_covar}
            fits = fitted_alone(self.source, counts, names, self.given_seed, settings)
        else:
            fits = self.cells.swept(counts, names, self.seed)
        for (k, name), fit in fits:
            if isinstance(fit, str):
                yield Candidate(k, name, None, None, fit)
            else:
                yield self._candidate(k, name, fit)

    def _candidate(self, k: int, name: str, fit: Fit) -> Candidate:
        provisional = self.swept is not self.source
        cv = None if self.folds is None else self.folds.held_out(fit, self.cells.plan(k, name))
        fit = extrapolated(fit, self.source.weight) if provisional else fit
        return Candidate(k, name, fit, icl(self.swept, fit), " ".join(fit.remarks), cv, provisional)

    def polished(self, found: list[Candidate]) -> list[Candidate]:
        """The same candidates; of those of a sample the most promising are fitted to all rows, until one leads.

        What these have beyond what was expected is the sample's luck. It is the others' as much.
        """
        if self.swept is self.source:
            return found
        cells = self._cells(self.source)
        fitted, gained, luck = dict[int, Candidate](), list[float](), 0.0
        for each in sorted((each for each in found if each.provisional), key=self._rank):
            enough = len(fitted) >= POLISHED
            if enough and min(map(self._rank, fitted.values())) <= self._rank(_raised(each, luck)):
                break
            k, name, expected = each.n_components, each.covariance_type, each.fit
            assert expected is not None
            fit = cells.polished(k, name, expected)
            fitted[id(each)] = Candidate(k, name, fit, icl(self.source, fit), " ".join(fit.remarks), each.cv)
            gained.append(fit.log_likelihood - expected.log_likelihood)
            luck = sum(gained) / len(gained)
        return [fitted.get(id(each)) or _raised(each, luck) for each in found]

    def _rank(self, candidate: Candidate) -> tuple[bool, float, bool]:
        return candidate.rank(self.criterion)


def _raised(candidate: Candidate, nats: float) -> Candidate:
    """A candidate with so much more L where it is provisional."""
    if candidate.fit is None or candidate.icl is None or not candidate.provisional:
        return candidate
    raised = (candidate.fit.log_likelihood + nats,)
    fit = replace(candidate.fit, log_likelihoods=raised, objectives=raised)
    return replace(candidate, fit=fit, icl=candidate.icl - 2 * nats)


def _sample(source: Source, rng: np.random.Generator, reg_covar: float) -> ArraySource:
    """Some rows, which decide what is fitted to all of them."""
    block = source.sample(SAMPLE_ROWS, rng)
    whole = ArraySource(block.rows, block.weights, source.feature_names)
    return replace(whole, rows=lightened(block.rows, start.data_prior(whole, 1, reg_covar)))


def _counts(n_components: int | Iterable[int]) -> list[int]:
    """The numbers of components, each once, from few to many."""
    given = [n_components] if isinstance(n_components, (int, np.integer)) else list(n_components)
    for each in given:
        if not isinstance(each, (int, np.integer)) or isinstance(each, bool) or each < 1:
            raise ParameterError(f"n_components must be a positive integer, or several, got {each!r}.")
    return sorted({int(each) for each in given})


def _family_names(covariance_types: str | Sequence[str], n_features: int) -> list[str]:
    """mclust's letters of the families that were asked for; with one feature E and V, whichever letters follow."""
    if isinstance(covariance_types, str):
        wanted = list(families.NAMES) if covariance_types == "all" else [covariance_types]
    else:
        wanted = list(covariance_types)
    return list(dict.fromkeys(families.letters(name, n_features) for name in wanted))


def _check(k: int, name: str, settings: dict[str, Any]) -> None:
    """Refuse settings that there are not, or out of range, before anything is fitted."""
    if unknown := sorted(set(settings) - SETTINGS):
        known = ", ".join(sorted(SETTINGS))
        raise TypeError(
            f"select() got an unexpected keyword argument {unknown[0]!r}; its settings are {known}."
        )
    defaults = {"tol": 1e-5, "reg_covar": 1e-6, "max_iter": 1000, "n_init": 1, "init_params": "kmeans"}
    checked = [settings.get(each, default) for each, default in defaults.items()]
    check_settings(k, name, *checked)
    check_noise(settings.get("noise", False), settings.get("hypervolume"))
