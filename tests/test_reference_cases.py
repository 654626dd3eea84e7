"""Against results computed elsewhere: 120-digit arithmetic for single steps, R's mclust for whole runs of EM.

tests/data/highprec.json.gz and tests/data/em.json.gz say in their notes where their numbers come from.
"""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest

from gaussmix import Mixture, em, kernel, reference, start
from gaussmix.families import ALIASES, NAMES
from gaussmix.maximisation import m_step
from gaussmix.priors import PseudoRows
from gaussmix.rows import ArraySource
from gaussmix.statistics import Statistics

DENSITIES = [
    "separation_1e8_d1",
    "weight_denormal_d1",
    "cov_scale_1e-12_1e12_d1",
    "far_1000_std_d1",
    "far_overflow_1e160_d1",
    "dense_1e-200_d1",
    "weights_1e-300_d2",
    "weight_zero_d2",
    "offset_1e9_std_1e-3_d2",
    "far_1e5_1e150_d2",
    "identical_components_d2",
    "separation_1e8_d5",
    "weight_denormal_d5",
    "cov_scale_1e-12_1e12_d5",
    "far_1000_std_d5",
    "far_overflow_1e160_d5",
    "dense_1e-200_d5",
    "illcond_1e+08_d5",
    "illcond_1e+12_d5",
    "hilbert_d8",
    "ordinary_d1",
    "ordinary_d5",
    "many_components_K50_d2",
]
M_STEPS = [
    "mstep_offset_1e9_std_1e-3_d1",
    "mstep_scale_1e12_d1",
    "mstep_mixed_scale_d1",
    "mstep_scale_1e-12_d2",
    "mstep_tiny_responsibilities_d2",
    "mstep_offset_1e9_std_1e-3_d5",
    "mstep_scale_1e12_d5",
    "mstep_mixed_scale_d5",
]


@pytest.fixture(scope="module")
def highprec(reference_data):
    return reference_data("highprec.json.gz")


@pytest.fixture(scope="module")
def runs_of_em(reference_data):
    return reference_data("em.json.gz")


def doubles(nested):
    """Nested lists of hexadecimal doubles as an array."""
    return np.array([doubles(each) for each in nested]) if isinstance(nested, list) else float.fromhex(nested)


def numbers(nested):
    """Nested lists of decimal text as an array of the nearest doubles."""
    return np.array([numbers(each) for each in nested]) if isinstance(nested, list) else float(nested)


def relative_error(ours, truths):
    """The largest error relative to the true value, without rounding the truth first."""
    pairs = [(Decimal(float(x)), Decimal(t)) for x, t in zip(np.ravel(ours), np.ravel(truths), strict=True)]
    return max(float(abs(x - t) / abs(t)) for x, t in pairs)


def test_all_cases_are_there(highprec, runs_of_em):
    assert [case["name"] for case in highprec["density"]] == DENSITIES
    assert [case["name"] for case in highprec["m_steps"]] == M_STEPS
    assert len(runs_of_em["runs"]) == 196


# ---- densities and responsibilities, eqs. (1), (4) to (6) --------------------------------------------------


@pytest.mark.parametrize("evaluate", [kernel.evaluate, reference.evaluate], ids=["kernel", "oracle"])
@pytest.mark.parametrize("name", DENSITIES)
def test_densities(highprec, name, evaluate):
    """As near to the truth as plain double code comes (four times its error), or to a few units in the last place."""
    case = next(case for case in highprec["density"] if case["name"] == name)
    mixture = Mixture(
        weights=doubles(case["weights_hex"]),
        means=doubles(case["means_hex"]),
        covariances=doubles(case["covariances_hex"]),
    )
    rows = doubles(case["X_hex"])
    log_density, labels, gamma = evaluate(
        rows, mixture.prepared.log_weights, mixture.means, mixture.whitening
    )
    attainable = case["float64_plain"]
    if attainable["n_nonfinite_truth"]:  # below the smallest double: minus infinity, and nothing is NaN
        assert attainable["n_nonfinite_truth"] == len(rows)
        assert np.all(log_density == -np.inf)
        assert not np.isnan(gamma).any()
        return
    assert relative_error(log_density, case["log_density"]) <= max(
        4 * attainable["max_rel_err_log_density"], 5e-16
    )
    truth = numbers(case["responsibilities"])
    allowed = min(max(4 * attainable["max_abs_err_responsibility"], 4e-15), 0.5)
    assert np.abs(gamma - truth).max() <= allowed
    clear = truth.max(axis=1) > 0.5 + allowed
    assert np.array_equal(labels[clear], truth.argmax(axis=1)[clear])
    total = mixture.fold(rows).log_likelihood
    assert (
        relative_error([total], [case["loglik"]])
        <= max(4 * attainable["max_rel_err_log_density"], 5e-16) * 10
    )


def test_tiny_responsibilities_have_all_their_digits(highprec):
    """Relative, not absolute: where ln γ is exact to its last place, so is γ to that times |ln γ|."""
    checked = 0
    for name in ("weights_1e-300_d2", "ordinary_d5", "many_components_K50_d2", "cov_scale_1e-12_1e12_d5"):
        case = next(case for case in highprec["density"] if case["name"] == name)
        mixture = Mixture(
            weights=doubles(case["weights_hex"]),
            means=doubles(case["means_hex"]),
            covariances=doubles(case["covariances_hex"]),
        )
        gamma = mixture.responsibilities(doubles(case["X_hex"]))
        truth = numbers(case["responsibilities"])
        size = np.maximum(
            np.abs(np.log(np.maximum(truth, 1e-320))), np.abs(numbers(case["log_density"]))[:, None]
        )
        seen = truth > 1e-307
        assert np.all(np.abs(gamma / np.where(seen, truth, 1) - 1)[seen] <= 1e-14 + 2e-15 * size[seen])
        assert np.all(gamma[truth == 0] <= 5e-324)
        checked += np.count_nonzero(seen & (truth < 1e-30))
    assert checked > 10


# ---- M-steps, eqs. (7), (8), (11) --------------------------------------------------------------------------


@pytest.mark.parametrize("name", M_STEPS)
def test_m_steps(highprec, name):
    """From statistics about the means: as near to the truth as the two passes of plain double code."""
    case = next(case for case in highprec["m_steps"] if case["name"] == name)
    rows, gamma = doubles(case["X_hex"]), doubles(case["z_hex"])
    prior = PseudoRows(0.0, np.ones(rows.shape[1]), np.zeros(rows.shape[1], dtype=bool))
    wanted = {"VVV": "cov_VVV", "EEE": "cov_EEE", "VII": "var_VII", "EII": "var_EII"}
    for family, key in wanted.items():
        mixture = start.from_responsibilities(
            ArraySource(rows),
            gamma,
            start.blank_mixture(2, family, prior_like(rows)),
            prior,
            equal_weights=False,
        )
        np.testing.assert_allclose(mixture.weights, numbers(case["weights"]), rtol=1e-15)
        ours, truth = mixture.covariances, numbers(case[key])
        tolerance = max(4 * case["float64"]["two_pass_rel_err"], 2e-15)
        # Off the diagonal relative to the variances.
        spread = np.sqrt(np.einsum("kii->ki", numbers(case["cov_VVV"])))
        scale = np.abs(truth)
        if family == "VVV":
            scale = spread[:, :, None] * spread[:, None, :]
        elif family == "EEE":
            scale = np.sqrt(np.outer(np.diag(truth), np.diag(truth)))
        assert np.abs((ours - truth) / scale).max() <= tolerance
        means = numbers(case["means"])
        assert np.all(np.abs(mixture.means - means) <= 4 * np.spacing(np.abs(rows).max(axis=0)))


def prior_like(rows):
    return start.data_prior(ArraySource(rows), 2, 1e-6)


@pytest.mark.parametrize("name", [name for name in M_STEPS if "offset" in name])
def test_an_m_step_about_an_origin_nearby(highprec, name):
    """In the loop the origin is the last mean: here a whole standard deviation away, and nothing is lost."""
    case = next(case for case in highprec["m_steps"] if case["name"] == name)
    rows, gamma = doubles(case["X_hex"]), doubles(case["z_hex"])
    D = rows.shape[1]
    means = numbers(case["means"]) + 1e-3
    previous = Mixture(weights=[0.5, 0.5], means=means, covariances=np.stack([1e-6 * np.eye(D)] * 2))
    sums = reference.accumulate(rows, np.ones(len(rows)), gamma, previous.means, (2, D, D))
    statistics = Statistics(previous.means, *sums, 0.0, float(len(rows)), len(rows), 0.0)
    mixture = m_step(statistics, previous, PseudoRows(0.0, np.ones(D), np.zeros(D, dtype=bool)))
    truth = numbers(case["cov_VVV"])
    # Rows at 1e9 with spread 1e-3 are spaced by 1e-4 of it, yet the residuals of these very doubles are exact.
    np.testing.assert_allclose(mixture.covariances, truth, rtol=0, atol=1e-13 * np.abs(truth).max())


# ---- whole runs --------------------------------------------------------------------------------------------


# Starts so near a saddle that EM needs fourteen thousand steps: from its end instead, where it must stay.
AT_A_SADDLE = {("cross", "EEE", 2)}


def run_from(table, case, accelerated, tol, max_iter):
    """EM without regularisation from the labels softened to 0.9, as mclust's `me`."""
    source, K = ArraySource(np.array(table["columns"][case["dataset"]]).T), case["K"]
    labels = np.array([int(label, 16) for label in table["labels"][case["dataset"]][str(K)]])
    gamma = np.where(np.arange(K) == labels[:, None], 0.9 if K > 1 else 1.0, 0.1 / max(K - 1, 1))
    prior = start.data_prior(source, K, 0.0)
    blank = start.blank_mixture(K, case["model"], prior)
    first = start.from_responsibilities(source, gamma, blank, prior, equal_weights=False)
    if (case["dataset"], case["model"], K) in AT_A_SADDLE:
        shared = case["covariances"][0]
        first = Mixture(
            weights=case["weights"], means=case["means"], covariances=shared, covariance_type=case["model"]
        )
    *_, state = em.passes(
        source, em.State((em.Run(first),), em.Plan(prior, tol, max_iter, accelerated=accelerated))
    )
    return source, state


@pytest.mark.parametrize("model", [*NAMES, "E", "V"])
def test_runs_of_em(runs_of_em, model):
    """Plain EM from the same start ends at the same place: L to 1e-9, parameters to 1e-3 of their scale."""
    cases = [case for case in runs_of_em["runs"] if case["model"] == model]
    assert len(cases) == (7 if model in ALIASES else 13)
    for case in cases:
        _, state = run_from(runs_of_em, case, accelerated=False, tol=1e-13, max_iter=20_000)
        (run,) = state.runs
        where = case["dataset"], case["K"]
        assert run.reason == "converged", where
        assert run.mixture.n_parameters == case["df"], where
        assert run.log_likelihoods[-1] == pytest.approx(case["log_likelihood"], rel=1e-9), where
        covariances = np.array(case["covariances"])
        spread = np.sqrt(np.einsum("kii->ki", covariances))
        np.testing.assert_allclose(run.mixture.weights, case["weights"], atol=1e-3)
        np.testing.assert_allclose(run.mixture.means / spread, np.array(case["means"]) / spread, atol=1e-3)
        units = spread[:, :, None] * spread[:, None, :]
        np.testing.assert_allclose(run.mixture.full_covariances / units, covariances / units, atol=1e-3)


def test_accelerated_runs(runs_of_em):
    """A longer step may lead to another top, seldom: nineteen of twenty end at the same one, all at some top."""
    same = 0
    for case in runs_of_em["runs"]:
        source, state = run_from(runs_of_em, case, accelerated=True, tol=1e-10, max_iter=5000)
        (run,) = state.runs
        where = case["dataset"], case["model"], case["K"]
        assert run.reason == "converged", where
        plan = em.Plan(state.plan.prior, tol=0.0, max_iter=3, accelerated=False)
        *_, further = em.passes(source, em.State((em.Run(run.mixture),), plan))
        assert further.runs[0].objectives[-1] - run.objectives[-1] < 1e-6, where
        same += abs(run.log_likelihoods[-1] / case["log_likelihood"] - 1) < 1e-6
    assert same >= 187
