"""The fits of all cells, components × families, of one source of rows: from the settings of `gaussmix.fit`.

Cells start from one another (`gaussmix.sweep`) unless a setting says where to start; then each is fitted by itself.
With more rows than `SAMPLE_ROWS` a sample of them is swept, and `polished` goes on from there over all of them. What
a cell of the sample has for all rows is known before that: its L over n rows is too high by p/2 for having been
fitted to them (Akaike), so that N rows are expected to reach (L − p/2) N/n + p/2.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from gaussmix import em, start
from gaussmix.acceleration import LONG_STRIDE
from gaussmix.em import Plan, Run, State
from gaussmix.errors import DataError, ParameterError, SingularError
from gaussmix.fitting import fit_source, prepared
from gaussmix.kernel import thread_count
from gaussmix.mixture import Mixture
from gaussmix.outcome import Fit, degenerate_in, fit_of
from gaussmix.prior_settings import check_prior
from gaussmix.priors import PseudoRows
from gaussmix.rows import Source
from gaussmix.sweep import Cell, Sweep

# More rows than these are sampled first.
SAMPLE_ROWS = 20_000
# Criteria are wanted to a twentieth of a unit; no L is iterated beyond 1e-6 nats per row for that.
NATS = 0.05
FINEST = 1e-6
# Settings that say where to start.
STARTING = ("init_params", "n_init", "weights_init", "means_init", "covariances_init")


class Cells:
    """The cells of a source; ``settings`` are checked keywords of `gaussmix.fitting.prepared`."""

    def __init__(self, source: Source, reg_covar: float, settings: dict[str, Any]) -> None:
        self.source = source
        n_threads = thread_count(settings.get("n_jobs"))
        self._of_one = start.data_prior(source, 1, reg_covar, n_threads)
        self._settings = {"tol": max(NATS / source.weight, FINEST), **settings, "n_jobs": n_threads}
        self._pseudo_rows: dict[int, PseudoRows] = {}
        self._prepared: dict[Cell, tuple[Plan, Mixture]] = {}

    def plan(self, k: int, name: str) -> Plan:
        """How the cell is fitted."""
        return self._of(k, name)[0]

    def blank(self, k: int, name: str) -> Mixture:
        """What it fits, before it is fitted."""
        return self._of(k, name)[1]

    def swept(
        self, counts: Sequence[int], names: Sequence[str], seed: int
    ) -> Iterator[tuple[Cell, Fit | str]]:
        """The fit of each cell, or why there is none; cells start from one another."""
        refused = {name: why for name in names if (why := self._refused(min(counts), name))}
        admitted = [name for name in names if name not in refused]
        if not admitted:
            raise ParameterError(next(iter(refused.values())))
        sweep = Sweep(self.source, admitted, self.plan, self.blank, seed)
        for cell in sweep.cells(counts):
            yield cell, self._chosen(cell, sweep)
        for name, why in refused.items():
            yield from (((k, name), why) for k in counts)

    def polished(self, k: int, name: str, found: Fit) -> Fit:
        """The cell over all rows of this source, from a fit to some of them."""
        plan = self.plan(k, name)
        ended = em.final(self.source, State((Run(found.mixture),), plan)).runs[0]
        return self._fit(ended, degenerate_in(ended, plan.prior), ended.log_likelihoods[-1:], plan)

    def _of(self, k: int, name: str) -> tuple[Plan, Mixture]:
        if (k, name) not in self._prepared:
            if k not in self._pseudo_rows:
                self._pseudo_rows[k] = self._of_one.thinned(1 / k)
            plan, blank = prepared(self.source, k, name, self._pseudo_rows[k], **self._settings)
            self._prepared[k, name] = plan._replace(stride=LONG_STRIDE), blank
        return self._prepared[k, name]

    def _refused(self, k: int, name: str) -> str:
        """Why the settings do not go with a family, or nothing."""
        try:
            check_prior(name, self._settings.get("prior"), self._settings.get("max_condition"))
            self.plan(k, name)
        except ParameterError as error:
            return str(error)
        return ""

    def _fit(self, ended: Run, degenerate: tuple[int, ...], starts: tuple[float, ...], plan: Plan) -> Fit:
        """What a run found, the largest component first: starts that cells share have an order of their own."""
        if ended.mixture is not None:
            order = ended.mixture.largest_first()
            degenerate = tuple(place for place, k in enumerate(order) if k in degenerate)
            ended = ended._replace(mixture=ended.mixture.reordered(order))
        return fit_of(ended, degenerate, starts, plan, self.source.weight, self.source.feature_names)

    def _chosen(self, cell: Cell, sweep: Sweep) -> Fit | str:
        if cell[0] > self.source.n_rows:
            return f"n_components={cell[0]} needs at least as many rows, got {self.source.n_rows}."
        best = sweep.best(cell)
        if best is None:
            return "no start has an M-step: a covariance is singular, and reg_covar=0 leaves it so."
        starts = tuple(run.log_likelihoods[-1] for run in sweep.runs[cell])
        try:
            return self._fit(best, sweep.degenerate(best, cell), starts, self.plan(*cell))
        except SingularError as error:
            return str(error)


def fitted_alone(
    source: Source, counts: Sequence[int], names: Sequence[str], random_state: Any, settings: dict[str, Any]
) -> Iterator[tuple[Cell, Fit | str]]:
    """The fit of each cell by itself, from where the settings say; or why there is none.

    Raises
    ------
    ParameterError
        The settings go with none of the cells.
    """
    defaults = {"tol": 1e-5, "n_init": 1, "init_params": "kmeans"}
    refusals = []
    for name in names:
        for k in counts:
            options = {**defaults, **settings, "covariance_type": name, "random_state": random_state}
            try:
                yield (k, name), fit_source(source, k, **options)
            except (DataError, ParameterError, SingularError) as error:
                refusals += [error] if isinstance(error, ParameterError) else []
                yield (k, name), str(error)
    if len(refusals) == len(names) * len(counts):
        raise refusals[0]


def extrapolated(found: Fit, weight: float) -> Fit:
    """What a fit to a sample is expected to be when it is one to rows of total ``weight``."""
    half = found.n_parameters / 2
    expected = (found.log_likelihood - half) * weight / found.weight + half
    remark = (
        f"Its log-likelihood and criteria are extrapolated from a sample of {found.weight:,.0f} rows, "
        "in which others were better."
    )
    lower = (expected,)
    return replace(
        found, log_likelihoods=lower, objectives=lower, weight=weight, remarks=(*found.remarks, remark)
    )
