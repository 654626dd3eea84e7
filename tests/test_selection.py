"""`gaussmix.select`: the table, the criteria by their definitions, and the choice."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest

import gaussmix
from gaussmix.criteria import icl
from gaussmix.errors import DataError, ParameterError
from gaussmix.families import NAMES
from gaussmix.rows import ArraySource
from gaussmix.selection import CRITERIA, Candidate, Selection


@pytest.fixture(scope="module")
def clusters():
    """Three round clusters of equal size and spread."""
    rng = np.random.default_rng(3)
    return rng.normal(size=(300, 2)) + np.repeat([[0.0, 0.0], [7.0, 0.0], [0.0, 7.0]], 100, axis=0)


@pytest.fixture(scope="module")
def selection(clusters):
    return gaussmix.select(clusters, range(1, 6), ["EII", "VVV", "tied"], random_state=0)


def test_the_truth_is_chosen(selection):
    best = selection.best_candidate
    assert (best.n_components, best.covariance_type) == (3, "EII")
    assert selection.best is best.fit
    assert selection.criterion == "bic"


def test_its_line(selection):
    """What a prompt shows: the choice, not all that was tried."""
    bic = f"bic={selection.best.bic:.6g}"
    chosen = f"n_components=3, covariance_type='EII', {bic}"
    assert repr(selection) == f"Selection(best: {chosen}, of 15 candidates)"
    cell = f"n_components=3, covariance_type='EII': {bic}, converged"
    assert repr(selection.best_candidate) == f"Candidate({cell})"
    assert repr(Candidate(2, "VVV", None, None, "why not")).endswith(": why not)")


def test_the_largest_component_comes_first(selection, clusters):
    """Whatever the seed: candidates that start from one another have no order of their own."""
    other = gaussmix.select(clusters, range(1, 6), ["EII", "VVV", "tied"], random_state=1)
    for candidate in (*selection.candidates, *other.candidates):
        assert np.all(np.diff(candidate.fit.mixture.weights) <= 0)
    np.testing.assert_allclose(other.best.mixture.means, selection.best.mixture.means, atol=0.01)


def test_the_largest_component_comes_first_over_all_rows():
    """Of two that are nearly equal, the larger in the sample need not be the larger in all rows."""
    rng = np.random.default_rng(0)
    rows = rng.permutation(rng.normal(size=(30_000, 1)) + np.repeat([[0.0], [9.0]], [14_950, 15_050], axis=0))
    for seed in range(4):
        best = gaussmix.select(rows, 2, "E", random_state=seed).best
        assert best.mixture.means[0, 0] == pytest.approx(9, abs=0.1)


def test_the_table(selection, clusters):
    """One row per candidate, in order, each value that of the fit and by definition."""
    table = selection.table.to_pylist()
    cells = [(k, name) for name in ("EII", "VVV", "EEE") for k in range(1, 6)]
    assert [(row["n_components"], row["covariance_type"]) for row in table] == cells
    for row, candidate in zip(table, selection.candidates, strict=True):
        mixture, L = candidate.fit.mixture, row["log_likelihood"]
        assert pytest.approx(mixture.log_likelihood(clusters), rel=1e-12) == L
        assert row["n_parameters"] == mixture.n_parameters
        assert row["bic"] == pytest.approx(mixture.n_parameters * math.log(300) - 2 * L)
        assert row["aic"] == pytest.approx(2 * mixture.n_parameters - 2 * L)
        sure = np.log(mixture.responsibilities(clusters).max(axis=1)).sum()
        assert row["icl"] == pytest.approx(row["bic"] - 2 * sure)
        assert row["icl"] >= row["bic"] - 1e-9
        assert row["n_iter"] == candidate.fit.n_iter
        assert row["converged"] is True


def test_every_candidate_is_the_fit_of_its_cell(selection, clusters):
    """Where a setting says how to start, each candidate is fitted by itself."""
    chosen = gaussmix.select(clusters, [2, 3], ["EII", "VVV"], random_state=0, init_params="kmeans")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        settings = {"init_params": "kmeans", "random_state": 0, "tol": 1e-5, "max_iter": 1000}
        alone = gaussmix.fit(clusters, 3, covariance_type="VVV", **settings)
    assert chosen.candidates[3].fit.mixture == alone.mixture
    assert chosen.best.log_likelihood == pytest.approx(selection.best.log_likelihood, abs=1e-3)


@pytest.mark.parametrize("criterion", [name for name in CRITERIA if name != "cv"])
def test_each_criterion_chooses_its_lowest(selection, criterion):
    chosen = Selection(selection.candidates, criterion)
    values = selection.table[criterion].to_pylist()
    assert chosen.best_candidate.criterion(criterion) == min(values)
    assert chosen.best_candidate is selection.candidates[int(np.argmin(values))]


def test_threads_change_nothing(selection, clusters):
    for n_jobs in (1, 3):
        again = gaussmix.select(clusters, range(1, 6), ["EII", "VVV", "tied"], random_state=0, n_jobs=n_jobs)
        assert again.table.equals(selection.table)


def test_weights_count_as_rows(clusters):
    weights = np.arange(300) % 3
    weighted = gaussmix.select(clusters, 3, "VVV", sample_weight=weights, init_params=np.arange(300) // 100)
    repeated = gaussmix.select(
        np.repeat(clusters, weights, axis=0), 3, "VVV", init_params=np.repeat(np.arange(300) // 100, weights)
    )
    for name in ("log_likelihood", "bic", "aic", "icl"):
        left, right = weighted.table[name][0].as_py(), repeated.table[name][0].as_py()
        assert left == pytest.approx(right, rel=1e-9)


def test_all_families(clusters):
    names = [c.covariance_type for c in gaussmix.select(clusters, 1, max_iter=5).candidates]
    assert names == list(NAMES)
    one_feature = gaussmix.select(clusters[:, :1], [1, 2], random_state=0)
    assert [(c.n_components, c.covariance_type) for c in one_feature.candidates] == [
        (1, "E"),
        (2, "E"),
        (1, "V"),
        (2, "V"),
    ]
    assert one_feature.candidates[0].fit.bic == pytest.approx(one_feature.candidates[2].fit.bic)
    doubled = gaussmix.select(clusters, 2, ["full", "VVV", "spherical"], random_state=0)
    assert [c.covariance_type for c in doubled.candidates] == ["VVV", "VII"]


def test_a_failed_candidate_is_a_row_of_nulls(clusters):
    few = gaussmix.select(clusters[:3], [1, 4], "EII", random_state=0)
    rows = few.table.to_pylist()
    assert "n_components=4 needs at least as many rows" in rows[1]["remark"]
    assert [rows[1][name] for name in ("log_likelihood", "n_parameters", "bic", "aic", "icl", "n_iter")] == [
        None
    ] * 6
    assert few.candidates[1].criterion("bic") == math.inf
    assert few.best_candidate is few.candidates[0]
    with pytest.raises(DataError, match="no candidate could be fitted: n_components=4 needs"):
        gaussmix.select(clusters[:3], [4, 5], "EII")


def test_singular_candidates_lose(clusters):
    """Without regularisation the tied family fits repeated rows, separate covariances do not."""
    rows = np.vstack([clusters[:100], np.tile([20.0, 20.0], (30, 1))])
    chosen = gaussmix.select(rows, 2, ["VVV", "EEE"], reg_covar=0.0, random_state=0)
    assert chosen.candidates[0].fit is None
    assert "singular" in chosen.candidates[0].remark
    assert chosen.best_candidate.covariance_type == "EEE"


def test_a_degenerate_candidate_loses_to_any_sound_one(selection):
    sound = selection.candidates[0]
    spike = selection.candidates[5]
    fit = type(spike.fit)(**{**vars(spike.fit), "degenerate": (0,), "log_likelihoods": (1e9,)})
    degenerate = Candidate(1, "VVV", fit, -1e9, "")
    assert degenerate.criterion("bic") < sound.criterion("bic")
    assert Selection((degenerate, sound), "bic").best_candidate is sound
    assert Selection((degenerate,), "bic").best_candidate is degenerate


def test_the_observer_sees_each_candidate(clusters):
    seen = []
    chosen = gaussmix.select(
        clusters, [1, 2], ["EII", "VII"], random_state=0, observer=lambda *news: seen.append(news), n_jobs=2
    )
    assert {id(candidate) for candidate, _ in seen} == {id(candidate) for candidate in chosen.candidates}
    assert {total for _, total in seen} == {4}

    def refuse(candidate, total):
        raise InterruptedError

    with pytest.raises(InterruptedError):
        gaussmix.select(clusters, [1, 2], "VVV", observer=refuse)


@pytest.mark.parametrize(
    ("arguments", "settings", "message"),
    [
        ((2, "EII", "mdl"), {}, "criterion must be one of bic, icl, aic, cv, got 'mdl'"),
        (([], "EII"), {}, "nothing to choose from"),
        ((2, []), {}, "nothing to choose from"),
        ((2, "oval"), {}, "covariance_type='oval' is not a covariance family"),
        ((2, "EII"), {"tol": -1.0}, "tol must be a number from 0"),
        ((0, "EII"), {}, "n_components must be a positive integer"),
        ((2, "EII"), {"n_jobs": 0}, "n_jobs must not be 0"),
        ((2, "EII"), {"reg_covar": "a"}, "reg_covar must be a number from 0, got 'a'"),
    ],
)
def test_refused(clusters, arguments, settings, message):
    with pytest.raises(ParameterError, match=message):
        gaussmix.select(clusters, *arguments, **settings)


def test_settings_that_there_are_not(clusters):
    for name in ("bogus", "covariance_type"):
        with pytest.raises(
            TypeError, match=f"unexpected keyword argument '{name}'; its settings are .* max_iter"
        ):
            gaussmix.select(clusters, 2, **{name: "full"})


def test_a_number_of_numpy_is_a_number(clusters):
    assert len(gaussmix.select(clusters, np.int64(2), "EII").candidates) == 1


# ---- mclust's tables --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tables(reference_data):
    """Each table of mclust's, and the selection over the same cells."""
    return {
        name: (table, gaussmix.select(np.array(table["rows"]), random_state=0))
        for name, table in reference_data("bic.json.gz")["tables"].items()
    }


def test_cells_are_no_worse_than_those_of_mclust(tables):
    """At most half a unit of BIC, in at least 98 % of the cells that mclust could fit."""
    above = []
    for table, selection in tables.values():
        found = {(c.covariance_type, c.n_components): c.criterion("bic") for c in selection.candidates}
        above += [found[name, k] - bic for name, k, bic in table["cells"]]
    assert len(above) > 600
    assert np.mean(np.array(above) <= 0.5) >= 0.98


def test_the_best_model_is_that_of_mclust_or_better(tables):
    for table, selection in tables.values():
        name, k, bic, _, _ = table["best"]
        best = selection.best_candidate
        assert not best.fit.degenerate
        same = (best.covariance_type, best.n_components) == (name, k)
        assert best.criterion("bic") < bic + (0.5 if same else 0.0)


def test_iris(tables):
    """VEV with two components, L and ICL as mclust has them."""
    table, selection = tables["iris"]
    best = selection.best_candidate
    assert (best.covariance_type, best.n_components) == ("VEV", 2)
    assert best.fit.log_likelihood >= -215.726 - 1e-3
    assert best.icl == pytest.approx(-table["best"][4], abs=0.1)


def test_few_rows_of_many_values(tables):
    """No cell crashes, and what is chosen is sound, where most of the larger cells are degenerate."""
    _, selection = tables["trees"]
    spikes = [c for c in selection.candidates if c.fit is not None and c.fit.degenerate]
    assert spikes
    assert all("degenerate" in candidate.remark for candidate in spikes)
    assert not selection.best.degenerate


# ---- starts, criteria, many rows --------------------------------------------------------------------------


def test_candidates_do_not_depend_on_what_else_is_asked_for_beyond_their_neighbours(clusters):
    alone = gaussmix.select(clusters, range(1, 4), "VVV", random_state=0)
    beside = gaussmix.select(clusters, range(1, 6), "VVV", random_state=0)
    assert [c.fit.mixture for c in alone.candidates] == [c.fit.mixture for c in beside.candidates[:3]]


def test_units_and_names_change_nothing(clusters):
    scaled = gaussmix.select(clusters * [1e-6, 1e5], range(1, 4), ["VVV", "EEE"], random_state=0)
    plain = gaussmix.select(clusters, range(1, 4), ["full", "tied"], random_state=0)
    moved = 300 * math.log(1e-6 * 1e5)
    for one, other in zip(scaled.candidates, plain.candidates, strict=True):
        assert one.fit.log_likelihood + moved == pytest.approx(other.fit.log_likelihood, abs=1e-3)


def test_cross_validation_is_the_density_of_rows_held_out(clusters):
    chosen = gaussmix.select(clusters, [1, 3], ["EII", "VVV"], "cv", random_state=0)
    best = chosen.best_candidate
    assert (best.n_components, best.covariance_type) == (3, "EII")
    assert best.cv > -best.fit.log_likelihood / 300
    assert best.cv == pytest.approx(-best.fit.log_likelihood / 300, abs=0.05)
    again = gaussmix.select(clusters, [1, 3], ["EII", "VVV"], "cv", random_state=0)
    assert again.table.equals(chosen.table)
    assert gaussmix.select(clusters, 1, "EII").table["cv"].to_pylist() == [None]


def test_a_prior_is_not_counted(clusters):
    chosen = gaussmix.select(clusters, 3, "VVV", prior="conjugate", random_state=0)
    L = chosen.best.mixture.log_likelihood(clusters)
    assert chosen.table["log_likelihood"][0].as_py() == pytest.approx(L, rel=1e-12)
    assert chosen.best.objectives[-1] != pytest.approx(L, rel=1e-6)


def test_noise_is_selected_with(clusters):
    rng = np.random.default_rng(0)
    rows = np.vstack([clusters, rng.uniform(-40, 40, (40, 2))])
    chosen = gaussmix.select(rows, range(1, 6), ["EII", "VVV"], noise=True, random_state=0)
    assert chosen.best_candidate.n_components == 3
    assert chosen.best.mixture.noise_weight == pytest.approx(40 / 340, abs=0.03)


def test_a_family_that_the_settings_refuse_is_a_failed_cell(clusters):
    chosen = gaussmix.select(clusters, 2, ["VVE", "VVV"], max_condition=50.0, random_state=0)
    assert chosen.candidates[0].fit is None
    assert "max_condition is implemented for" in chosen.candidates[0].remark
    with pytest.raises(ParameterError, match="max_condition is implemented for"):
        gaussmix.select(clusters, 2, "VVE", max_condition=50.0)


@pytest.mark.parametrize("starting", [{}, {"init_params": "kmeans"}, {"n_init": 2}])
@pytest.mark.parametrize(
    ("settings", "admitted", "why"),
    [
        (
            {"max_condition": 20.0},
            {"EII", "VII", "EEI", "VVI", "EEE", "VVV"},
            "max_condition is implemented for",
        ),
        ({"prior": "conjugate"}, set(NAMES), ""),
        (
            {"prior": gaussmix.ConjugatePrior(scale=1.0)},
            {"EII", "VII", "EEI", "VEI", "EVI", "VVI"},
            "scale of the conjugate prior must be",
        ),
    ],
)
def test_families_that_refuse_a_setting_stay_as_rows(clusters, settings, admitted, why, starting):
    chosen = gaussmix.select(clusters[::3], [1, 2], "all", random_state=0, **settings, **starting)
    assert [(c.covariance_type, c.n_components) for c in chosen.candidates] == [
        (name, k) for name in NAMES for k in (1, 2)
    ]
    for candidate in chosen.candidates:
        assert (candidate.fit is not None) == (candidate.covariance_type in admitted)
        assert candidate.fit is not None or why in candidate.remark
    assert chosen.best_candidate.covariance_type in admitted
    with pytest.raises(ParameterError):
        gaussmix.select(clusters, 2, ["VVE", "EVE"], max_condition=50.0, **starting)


def test_equal_rows_give_fewer_classes():
    rows = np.repeat([[0.0, 0.0], [5.0, 1.0], [2.0, 7.0]], [9, 5, 6], axis=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        chosen = gaussmix.select(rows, range(1, 6), ["EII", "VVV"], random_state=0)
    assert len(chosen.candidates) == 10


@pytest.mark.parametrize("offset", [0.0, 1e6])  # with and without a sample in single precision
def test_many_rows_are_sampled_first_and_polished_on_all(offset):
    truth = gaussmix.Mixture(
        weights=[0.2, 0.3, 0.5],
        means=np.array([[0.0, 0.0], [6.0, 0.0], [0.0, 6.0]]) + offset,
        covariances=[0.5, 1.0, 2.0],
        covariance_type="VII",
    )
    rows = truth.sample(60_000, 0)[0]
    chosen = gaussmix.select(rows, [2, 3, 4], ["VII", "EII", "VVV"], random_state=0)
    best = chosen.best_candidate
    assert (best.n_components, best.covariance_type) == (3, "VII")
    assert not best.provisional
    assert best.fit.weight == 60_000
    assert best.fit.log_likelihood == pytest.approx(best.fit.mixture.log_likelihood(rows), rel=1e-12)
    assert best.fit.log_likelihood > truth.log_likelihood(rows)
    others = [c for c in chosen.candidates if c.provisional]
    assert 0 < len(others) < 9
    for each in others:
        assert "extrapolated from a sample of 20,000 rows" in each.remark
        assert each.fit.log_likelihood == pytest.approx(each.fit.mixture.log_likelihood(rows), rel=0.01)


def test_the_luck_of_a_sample_is_not_taken_for_a_better_model():
    """Few rows of high density: how many of them the sample has moves L by a thousand nats."""
    truth = gaussmix.Mixture(
        weights=[0.4, 0.54, 0.06],
        means=[[0.0, 0.0], [6.0, 0.0], [3.0, 9.0]],
        covariances=[0.5, 2.0, 3e-4],
        covariance_type="VII",
    )
    rows = truth.sample(60_000, 0)[0]
    chosen = gaussmix.select(rows, [3, 4], ["VII", "VEI", "VVI", "VVV"], random_state=2)
    sound = [each for each in chosen.candidates if not each.fit.degenerate]
    assert chosen.best.bic == min(each.fit.bic for each in sound)
    waiting = [each for each in chosen.candidates if each.provisional]
    assert len(waiting) == 4
    for each in waiting:
        assert each.fit.log_likelihood == pytest.approx(each.fit.mixture.log_likelihood(rows), abs=100)
        assert each.icl == pytest.approx(icl(ArraySource(rows), each.fit), abs=100)


def test_ctrl_c_ends_a_selection(interrupted):
    interrupted(
        "import numpy as np, gaussmix\n"
        "rows = np.random.default_rng(0).normal(size=(20_000, 8))\n"
        "print('ready', flush=True)\n"
        "gaussmix.select(rows, range(1, 10))"
    )


def test_rows_that_are_equal_or_nearly_all_of_them():
    """The sample from which classes start may have one point only."""
    rows = np.zeros((5000, 2))
    rows[7], rows[17] = [1.0, 2.0], [3.0, 1.0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for X in (rows, np.full((50, 3), 2.0)):
            found = gaussmix.select(X, range(1, 3), random_state=1)
            assert len(found.candidates) == 28 and np.isfinite(found.best.log_likelihood)
