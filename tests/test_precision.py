"""Rows in single precision where a search among fits loses nothing by it."""

from __future__ import annotations

import numpy as np
import pytest

from gaussmix import start
from gaussmix.mixture import Mixture
from gaussmix.precision import lightened
from gaussmix.rows import ArraySource


def lightened_of(rows, reg_covar=1e-6):
    return lightened(rows, start.data_prior(ArraySource(rows), 1, reg_covar))


def test_rows_in_single_precision_have_the_likelihood_of_those_in_double(rng):
    mixture = Mixture(
        weights=[0.3, 0.7], means=[[0, 0], [3, 2]], covariances=[np.eye(2), [[1, 0.9], [0.9, 1]]]
    )
    rows, _ = mixture.sample(5000, rng)
    found = lightened_of(rows)
    assert found.dtype == np.float32
    assert mixture.fold(found).log_likelihood == pytest.approx(
        mixture.fold(rows).log_likelihood, abs=5000 * 1e-7
    )


@pytest.mark.parametrize(
    "spoiled",
    [
        lambda rows: rows + [1e6, 0],  # its steps would be a tenth of the spread
        lambda rows: rows * [1.0, 1e-12],
        lambda rows: rows * [1.0, 1e12],
        lambda rows: np.concatenate([rows, [[1e8, 0.0]]]),
        lambda rows: rows * [1, 0],  # no spread at all
    ],
)
def test_rows_stay_as_they_are_where_it_would_be_seen(rng, spoiled):
    rows = spoiled(rng.normal(size=(3000, 2)))
    assert lightened_of(rows) is rows


def test_without_pseudo_rows_no_spread_is_too_small_to_be_seen(rng):
    rows = rng.normal(size=(3000, 2))
    assert lightened_of(rows, reg_covar=0.0) is rows
